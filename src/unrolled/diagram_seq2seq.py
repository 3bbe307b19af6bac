"""The encoder-decoder, drawn so that it can grow on the page: it reads, it writes, it is taught."""

from collections.abc import Sequence
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch

from unrolled.diagrams import GRADIENT, INK, INPUT, OUTPUT, STATE, Point, arrow, box, node
from unrolled.plotting import BLACK, GREY

PARTS = ("encoder", "decoder", "teacher forcing")
SIZE = (8.2, 4.5)  # of the drawing
START, END = "start", "end"

_READ, _CELL, _WRITE, _RIGHT = 0.6, 1.75, 2.95, 4.05  # heights: inputs, cells, outputs, targets
_LEFT, _STEP = 0.55, 1.0
_BOX = (0.62, 0.62)
_SMALL = 10.5  # size of text that is longer than a symbol


def draw_seq2seq(
    ax: Axes,
    upto: str = "teacher forcing",
    *,
    source: Sequence[str] = ("s", "h", "i", "p"),
    target: Sequence[str] = ("SH", "IH", "P"),
    guesses: Sequence[str] | None = None,
    backward: bool = False,
) -> None:
    """Draw an encoder and a decoder, unrolled, as far as one of its parts.

    With ``"decoder"`` each output is the next input, as when the network writes alone. With
    ``"teacher forcing"`` the inputs are the right symbols, and each output meets its target.

    Parameters
    ----------
    ax : matplotlib Axes
        Of a canvas of the size ``SIZE``.
    upto : {"encoder", "decoder", "teacher forcing"}
        The last part to be drawn, in the order of ``PARTS``.
    source, target : sequence of str
        The symbols of the two sequences, without start and end; together at most seven.
    guesses : sequence of str, optional
        What the decoder puts out; the target, if left out.
    backward : bool, default False
        Whether to draw, over the whole network in grey, the way of the gradient.

    Raises
    ------
    ValueError
        If there is no such part, or the sequences are too long for the drawing.

    Examples
    --------
    >>> from unrolled.diagrams import canvas
    >>> figure, ax = canvas(*SIZE)
    >>> draw_seq2seq(ax, "encoder", source="hi", target=["HH", "AY"])
    >>> [text.get_text() for text in ax.texts][:2]
    ['h', 'E']

    Notes
    -----
    Chapter 8, "An encoder and a decoder"; Sutskever, Vinyals & Le (2014); Cho et al. (2014).
    """
    if upto not in PARTS:
        raise ValueError(f"upto must be one of {', '.join(PARTS)}, got {upto!r}")
    S, T = len(source), len(target) + 1
    if S + T > 8:
        raise ValueError(f"source and target must have at most 7 symbols together, got {S + T - 1}")
    columns = [_LEFT + _STEP * k for k in range(S + T)]
    last = S if upto == "encoder" else S + T
    ink = dict.fromkeys((INPUT, STATE, OUTPUT), GREY) if backward else {}
    state = ink.get(STATE, STATE)
    for k, x in enumerate(columns[:last]):
        if k < S:
            node(ax, (x, _READ), source[k], color=ink.get(INPUT, INPUT))
            arrow(ax, (x, _READ), (x, _CELL), color=INPUT)
        box(ax, (x, _CELL), "E" if k < S else "D", color=state, size=_BOX)
    for left, right in pairwise(columns[:last]):
        arrow(ax, (left, _CELL), (right, _CELL), color=state, gap=_BOX[0] / 2)
    if upto == "encoder":
        end = columns[S - 1]
        arrow(ax, (end, _CELL), (end + 1.35, _CELL), color=STATE, gap=_BOX[0] / 2)
        for line, text in enumerate(("the last state:", "all that is known", "of the word")):
            ax.text(end + 1.25, _CELL + 0.4 * (1 - line), text, va="center", size=_SMALL)
        return
    _writing(ax, columns[S:], [*(guesses or target), END], ink)
    if upto == "decoder":
        _own_outputs(ax, columns[S:])
    else:
        _teacher(ax, columns[S:], [*target, END], GREY if backward else BLACK)
    if backward:
        _gradients(ax, columns, S)


def _symbol(ax: Axes, at: Point, text: str, color: str) -> None:
    """Draw a symbol in its circle; the names of start and end stand without one."""
    if text in (START, END):
        ax.text(*at, text, ha="center", va="center", size=_SMALL, color=INK.get(color, "black"))
    else:
        node(ax, at, text, color=color)


def _writing(
    ax: Axes, columns: Sequence[float], symbols: Sequence[str], ink: dict[str, str]
) -> None:
    """Draw what the decoder puts out at each step, and the start symbol that it reads first."""
    color = ink.get(OUTPUT, OUTPUT)
    for x, symbol in zip(columns, symbols, strict=True):
        arrow(ax, (x, _CELL), (x, _WRITE), color=color)
        _symbol(ax, (x, _WRITE), symbol, color)
    _symbol(ax, (columns[0], _READ), START, ink.get(INPUT, INPUT))
    arrow(ax, (columns[0], _READ - 0.1), (columns[0], _CELL), color=INPUT)


def _own_outputs(ax: Axes, columns: Sequence[float]) -> None:
    """Lead each output down between the cells, to be the next input."""
    for before, x in pairwise(columns):
        middle = (before + x) / 2 + 0.02
        points = [(before + 0.36, _WRITE), (middle, _WRITE), (middle, _READ), (x, _READ)]
        ax.plot(*zip(*points, strict=True), "--", color=OUTPUT, linewidth=1.3, zorder=1)
        arrow(ax, (x, _READ), (x, _CELL - _BOX[1] / 2), color=OUTPUT, gap=0.0, dashed=True)


def _teacher(ax: Axes, columns: Sequence[float], symbols: Sequence[str], color: str) -> None:
    """Draw the right symbols twice: as inputs, one step late, and as targets above the outputs."""
    for x, symbol in zip(columns[1:], symbols[:-1], strict=True):
        node(ax, (x, _READ), symbol, color=color)
        arrow(ax, (x, _READ), (x, _CELL), color=color)
    for x, symbol in zip(columns, symbols, strict=True):
        _symbol(ax, (x, _RIGHT), symbol, color)
        low, high = (x, _WRITE + 0.36), (x, _RIGHT - 0.36)
        between = FancyArrowPatch(low, high, arrowstyle="<->", color=color, shrinkA=0, shrinkB=0)
        between.set_mutation_scale(9)
        ax.add_patch(between)


def _gradients(ax: Axes, columns: Sequence[float], S: int) -> None:
    """Draw the gradient: down from each loss, back along the decoder, through the last state."""
    beside, half = 0.14, _BOX[0] / 2
    for x in columns[S:]:
        arrow(ax, (x + beside, _WRITE - 0.3), (x + beside, _CELL + half), color=GRADIENT, gap=0.0)
    for left, right in pairwise(columns):
        height = _CELL - beside
        arrow(ax, (right - half, height), (left + half, height), color=GRADIENT, gap=0.0)
    for x in columns:
        arrow(ax, (x + beside, _CELL - half), (x + beside, _READ + 0.32), color=GRADIENT, gap=0.0)
    door = (columns[S - 1] + columns[S]) / 2
    ax.plot([door, door], [_CELL - 0.05, _CELL + 1.0], color=GRADIENT, linewidth=0.9, zorder=1)
    text = "the one way\ninto the encoder"
    ax.text(
        door - 0.1, _CELL + 1.25, text, ha="right", va="center", size=_SMALL, color=INK[GRADIENT]
    )
