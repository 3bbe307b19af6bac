"""Attention, drawn so that it can grow on the page, and alignments that can be read."""

import math
from collections.abc import Sequence
from string import punctuation

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle

from unrolled._validate import Array, check_shape
from unrolled.diagrams import GRADIENT, INPUT, NODE, OUTPUT, STATE, WEIGHT, Point, arrow, box
from unrolled.plotting import GREY

PARTS = ("scores", "weights", "context")
SIZE = (8.2, 5.9)  # of the drawing of attention
DECODER_PARTS = ("fixed vector", "attention")
DECODER_SIZE = (9.0, 5.3)  # of the drawing of an encoder and a decoder

_PLACES = (2.5, 3.9, 5.3, 6.7)  # where the four places of the source stand
_MIDDLE = 4.6
_KEY, _SCORE, _SOFTMAX, _WEIGHT, _TIMES, _SUM = 0.5, 1.45, 2.35, 3.25, 4.25, 5.3  # heights
_BESIDE, _VALUE = 0.68, 3.78  # a value stands this far to the left of its weight, at this height
_QUERY = (0.7, _SCORE)
_PLUS = 0.26  # radius of the circle of the sum
_CROSS = 0.15  # and of that of a product


def draw_attention(ax: Axes, upto: str = "context", *, backward: bool = False) -> None:
    """Draw how one query meets four places, as far as one part, with that part in colour.

    Parameters
    ----------
    ax : matplotlib Axes
        Of a canvas of the size ``SIZE``.
    upto : {"scores", "weights", "context"}
        The last part to be drawn, in the order of ``PARTS``.
    backward : bool, default False
        Whether to draw the gradient's way, over the whole drawing in grey.

    Raises
    ------
    ValueError
        If there is no such part.

    Examples
    --------
    >>> from unrolled.diagrams import canvas
    >>> figure, ax = canvas(*SIZE)
    >>> draw_attention(ax, "scores")
    >>> [text.get_text() for text in ax.texts if "e_" in text.get_text()][:2]
    ['$e_{t1}$', '$e_{t2}$']

    Notes
    -----
    Chapter 9, "A soft dictionary"; Bahdanau, Cho & Bengio (2015); Vaswani et al. (2017).
    """
    if upto not in PARTS:
        raise ValueError(f"upto must be one of {', '.join(PARTS)}, got {upto!r}")
    shown = PARTS[: PARTS.index(upto) + 1]
    pale = backward

    def color(part: str, own: str) -> str:
        return GREY if pale or part != upto else own

    for s, x in enumerate(_PLACES, start=1):
        _circle(ax, (x, _KEY), f"$k_{s}$", GREY if pale else STATE)
        _circle(ax, (x - _BESIDE, _VALUE), f"$v_{s}$", GREY if pale else STATE)
    _circle(ax, _QUERY, "$q_t$", GREY if pale else STATE)
    _scores(ax, color("scores", OUTPUT))
    if "weights" in shown:
        _weights(ax, color("weights", WEIGHT))
    if "context" in shown:
        _context(ax, color("context", OUTPUT))
    if backward:
        _gradients(ax)


def draw_decoder(ax: Axes, upto: str = "attention") -> None:
    """Draw an encoder and a decoder, joined by the last state alone or by attention as well.

    Parameters
    ----------
    ax : matplotlib Axes
        Of a canvas of the size ``DECODER_SIZE``.
    upto : {"fixed vector", "attention"}
        The last part to be drawn, in the order of ``DECODER_PARTS``.

    Raises
    ------
    ValueError
        If there is no such part.

    Examples
    --------
    >>> from unrolled.diagrams import canvas
    >>> figure, ax = canvas(*DECODER_SIZE)
    >>> draw_decoder(ax, "fixed vector")
    >>> "attention" in [text.get_text() for text in ax.texts]
    False

    Notes
    -----
    Chapter 9, "In the decoder"; Luong, Pham & Manning (2015).
    """
    if upto not in DECODER_PARTS:
        raise ValueError(f"upto must be one of {', '.join(DECODER_PARTS)}, got {upto!r}")
    low, state, look = 1.15, 2.2, 3.15
    source, target = (0.7, 1.9, 3.1, 4.3), (6.2, 8.2)
    for s, x in enumerate(source, start=1):
        ax.text(x, 0.2, f"$x_{s}$", ha="center", va="center")
        arrow(ax, (x, 0.4), (x, low - 0.33), color=INPUT, gap=0.0)
        box(ax, (x, low), "enc", color=STATE, size=(0.82, 0.62))
        if s < len(source):
            arrow(ax, (x + 0.41, low), (x + 0.79, low), color=STATE, gap=0.0)
    arrow(ax, (source[-1] + 0.41, low), (target[0] - 0.42, low), color=STATE, gap=0.0)
    ax.text((source[-1] + target[0]) / 2, low + 0.52, "last state", ha="center", va="center")
    for t, x in enumerate(target, start=1):
        ax.text(x, 0.2, f"$y_{t - 1}$", ha="center", va="center")
        arrow(ax, (x, 0.4), (x, low - 0.33), color=INPUT, gap=0.0)
        box(ax, (x, low), "dec", color=STATE, size=(0.82, 0.62))
    arrow(ax, (target[0] + 0.41, low), (target[1] - 0.42, low), color=STATE, gap=0.0)
    if upto == "fixed vector":
        for t, x in enumerate(target, start=1):
            arrow(ax, (x, low + 0.32), (x, state + 0.05), color=OUTPUT, gap=0.0)
            ax.text(x, state + 0.3, f"$y_{t}$", ha="center", va="center")
        return
    for s, x in enumerate(source, start=1):
        arrow(ax, (x, low + 0.32), (x, state - 0.33), color=STATE, gap=0.0)
        _circle(ax, (x, state), rf"$\bar{{h}}_{s}$", STATE)
        arrow(ax, (x, state + 0.33), (x, look - 0.3), color=WEIGHT, gap=0.0)
    x = target[1]
    arrow(ax, (x, low + 0.32), (x, state - 0.33), color=STATE, gap=0.0)
    _circle(ax, (x, state), "$h_2$", STATE)
    arrow(ax, (x - 0.33, state + 0.1), (4.95, look - 0.1), color=WEIGHT, gap=0.0)
    ax.text(6.45, state + 0.12, "query", ha="center", va="center")
    box(ax, (2.5, look), "attention", color=WEIGHT, size=(4.8, 0.58))
    arrow(ax, (2.5, look + 0.3), (2.5, 3.78), color=OUTPUT, gap=0.0)
    _line(ax, [(2.5, 3.75), (2.5, 4.1)], OUTPUT)
    arrow(ax, (2.5, 4.1), (x - 0.62, 4.1), color=OUTPUT, gap=0.0)
    ax.text(4.9, 4.35, r"$\mathrm{context}_2$", ha="center", va="center")
    arrow(ax, (x, state + 0.33), (x, 3.79), color=STATE, gap=0.0)
    box(ax, (x, 4.1), "tanh", color=OUTPUT, size=(1.2, 0.6))
    arrow(ax, (x, 4.4), (x, 4.82), color=OUTPUT, gap=0.0)
    ax.text(x, 5.05, "$y_2$", ha="center", va="center")


class AlignmentTable:
    """An alignment as a table of letters, which the reader's own screen draws in any script.

    Jupyter and the book show a row for each symbol of the source and a column for each of the
    target, with the weights in tenths; a terminal shows where each symbol of the target looks most.

    Parameters
    ----------
    weights : ndarray of shape (T, S)
    source, target : sequence of str, of S and T symbols

    Examples
    --------
    >>> AlignmentTable(np.array([[0.9, 0.1], [0.2, 0.8]]), "5月", "05")
    0 looks at 5 (0.9)
    5 looks at 月 (0.8)

    Notes
    -----
    Chapter 9, "What does it look at?".
    """

    def __init__(self, weights: Array, source: Sequence[str], target: Sequence[str]) -> None:
        check_shape("weights", weights, T=len(target), S=len(source))
        self.weights, self.source, self.target = np.asarray(weights), source, target

    def __repr__(self) -> str:
        lines = []
        for row, symbol in zip(self.weights, self.target, strict=True):
            place = int(row.argmax())
            lines.append(f"{symbol} looks at {_shown(self.source[place])} ({row[place]:.1f})")
        return "\n".join(lines)

    def _repr_markdown_(self) -> str:
        # Not a figure: matplotlib's own fonts have no Chinese.
        rows = [["", *map(_escaped, self.target)], ["---", *[":-:" for _ in self.target]]]
        for symbol, column in zip(self.source, self.weights.T, strict=True):
            rows.append([_escaped(symbol), *map(_tenths, column)])
        return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def plot_alignment(ax: Axes, weights: Array, source: Sequence[str], target: Sequence[str]) -> None:
    """Plot weights as dark squares, one row for each symbol of the target.

    For scripts of which matplotlib has no letters there is ``AlignmentTable``.

    Parameters
    ----------
    ax : matplotlib Axes
    weights : ndarray of shape (T, S)
    source, target : sequence of str, of S and T symbols

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> ax = Figure().subplots()
    >>> plot_alignment(ax, np.eye(2), "ab", "AB")
    >>> [label.get_text() for label in ax.get_xticklabels()]
    ['a', 'b']

    Notes
    -----
    Chapter 9, "In the decoder".
    """
    check_shape("weights", weights, T=len(target), S=len(source))
    ax.imshow(weights, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    ax.set_xticks(range(len(source)), [_shown(symbol) for symbol in source])
    ax.set_yticks(range(len(target)), [_shown(symbol) for symbol in target])
    ax.tick_params(length=0)
    ax.xaxis.tick_top()
    ax.xaxis.set_label_position("top")


def _shown(symbol: str) -> str:
    return "\u2423" if symbol.isspace() else symbol  # a space that can be seen


def _escaped(symbol: str) -> str:
    """Protect a symbol from being read as Markdown."""
    return f"\\{symbol}" if symbol in punctuation else _shown(symbol)


def _tenths(weight: float) -> str:
    """Write a weight in tenths, bold from a half on, and nothing where it rounds to 0."""
    tenths = round(10 * float(weight))
    return f"**{tenths}**" if tenths >= 5 else str(tenths or "")


def _scores(ax: Axes, color: str) -> None:
    """Draw the query's rail and the score of each key."""
    _line(ax, [(_QUERY[0] + NODE, _SCORE), (_PLACES[-1], _SCORE)], INPUT)
    for s, x in enumerate(_PLACES, start=1):
        arrow(ax, (x, _KEY + NODE), (x, _SCORE - 0.32), color=INPUT, gap=0.0)
        box(ax, (x, _SCORE), f"$e_{{t{s}}}$", color=color, size=(0.86, 0.62))


def _weights(ax: Axes, color: str) -> None:
    """Draw the softmax over the scores and the weights that come out of it."""
    for s, x in enumerate(_PLACES, start=1):
        arrow(ax, (x, _SCORE + 0.31), (x, _SOFTMAX - 0.26), color=color, gap=0.0)
        arrow(ax, (x, _SOFTMAX + 0.26), (x, _WEIGHT - NODE), color=color, gap=0.0)
        _circle(ax, (x, _WEIGHT), rf"$\alpha_{{t{s}}}$", color)
    box(ax, (_MIDDLE, _SOFTMAX), "softmax", color=color, size=(5.3, 0.5))


def _context(ax: Axes, color: str) -> None:
    """Draw the values, each times its weight, coming together in a sum."""
    for x in _PLACES:
        arrow(ax, (x, _WEIGHT + NODE), (x, _TIMES - _CROSS), color=color, gap=0.0)
        arrow(ax, *_from_value(x), color=color, gap=0.0)
        _sign(ax, (x, _TIMES), "×", _CROSS, color)
        arrow(ax, *_to_sum(x), color=color, gap=0.0)
    _sign(ax, (_MIDDLE, _SUM), "+", _PLUS, color)
    arrow(ax, (_MIDDLE + _PLUS, _SUM), (_MIDDLE + 1.0, _SUM), color=color, gap=0.0)
    ax.text(_MIDDLE + 1.85, _SUM, r"$\mathrm{context}_t$", ha="center", va="center")


def _sign(ax: Axes, at: Point, sign: str, radius: float, color: str) -> None:
    """Draw a sum or a product."""
    ax.add_patch(Circle(at, radius, facecolor="white", edgecolor=color, linewidth=1.6, zorder=3))
    ax.text(*at, sign, ha="center", va="center_baseline", zorder=4)


def _from_value(x: float) -> tuple[Point, Point]:
    """Find the ends of the line from the value to the product at x."""
    return _between((x - _BESIDE, _VALUE), NODE, (x, _TIMES), _CROSS)


def _to_sum(x: float) -> tuple[Point, Point]:
    """Find the ends of the line from the product at x to the sum."""
    return _between((x, _TIMES), _CROSS, (_MIDDLE, _SUM), _PLUS)


def _between(a: Point, a_radius: float, b: Point, b_radius: float) -> tuple[Point, Point]:
    """Cut the line between two centres where it leaves the one circle and meets the other."""
    across, up = b[0] - a[0], b[1] - a[1]
    first, last = (r / math.hypot(across, up) for r in (a_radius, b_radius))
    return (a[0] + first * across, a[1] + first * up), (b[0] - last * across, b[1] - last * up)


def _gradients(ax: Axes) -> None:
    """Draw the gradient's way: from the context to values and weights, and down to q and k."""
    x = _PLACES[2]
    for start, end in (
        ((_MIDDLE + 1.0, _SUM), (_MIDDLE + _PLUS, _SUM)),
        _to_sum(x)[::-1],
        _from_value(x)[::-1],
        ((x, _TIMES - _CROSS), (x, _WEIGHT + NODE)),
        ((x, _WEIGHT - NODE), (x, _SOFTMAX + 0.26)),
        ((x, _SOFTMAX - 0.26), (x, _SCORE + 0.31)),
        ((x, _SCORE - 0.31), (x, _KEY + NODE)),
        ((x - 0.43, _SCORE - 0.42), (_QUERY[0] + 0.3, _SCORE - 0.42)),
    ):
        if end[0] > _QUERY[0] + 1:  # cover the grey arrow of the way forward
            xs, ys = zip(start, end, strict=True)
            ax.plot(xs, ys, color="white", linewidth=9, solid_capstyle="butt", zorder=2)
        _line(ax, [start, end], GRADIENT)
        arrow(ax, start, end, color=GRADIENT, gap=0.0)
    for at, label in (
        ((x - _BESIDE - 0.42, _TIMES + 0.03), r"$dv_3$"),
        ((x + NODE + 0.05, _WEIGHT - 0.12), r"$g_{t3}$"),
        ((x + 0.1, _SCORE + 0.47), r"$de_{t3}$"),
        ((x + NODE + 0.05, _KEY), r"$dk_3$"),
    ):
        ax.text(*at, label, ha="left", va="center", color=GRADIENT, zorder=5)
    ax.text(_QUERY[0] + 0.05, _SCORE - 0.62, "$dq_t$", ha="center", va="center", color=GRADIENT)


def _circle(ax: Axes, at: Point, text: str, color: str) -> None:
    ax.add_patch(Circle(at, NODE, facecolor="white", edgecolor=color, linewidth=1.6, zorder=3))
    ax.text(*at, text, ha="center", va="center", zorder=4)


def _line(ax: Axes, points: Sequence[Point], color: str) -> None:
    ax.plot(*zip(*points), color=color, linewidth=1.3, zorder=2)
