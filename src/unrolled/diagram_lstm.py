"""The LSTM cell, drawn so that it can grow on the page: one gate after the other."""

import itertools
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.patches import Circle

from unrolled.diagrams import GRADIENT, INPUT, STATE, Point, arrow, box
from unrolled.plotting import GREY

PARTS = ("conveyor", "forget gate", "input gate", "output gate")
SIZE = (8.2, 4.7)  # of the drawing

_CELL, _GATES, _BUS = 4.0, 1.75, 0.85  # heights: cell state, gates, what the gates read
_LEFT, _RIGHT = 0.75, 7.25
_KEEP, _ADD, _READ = (1.7, _CELL), (3.85, _CELL), (6.55, 2.55)  # where c is changed and read
_TANH = (6.55, 3.3)
_RADIUS = 0.2


def draw_lstm(ax: Axes, upto: str = "output gate", *, backward: bool = False) -> None:
    """Draw the cell of an LSTM as far as one of its parts, with the last part in colour.

    Parameters
    ----------
    ax : matplotlib Axes
        Of a canvas of the size ``SIZE``.
    upto : {"conveyor", "forget gate", "input gate", "output gate"}
        The last part to be drawn, in the order of ``PARTS``.
    backward : bool, default False
        Whether to draw, over the whole cell in grey, the two ways of the gradient into ``c_t``
        and the one way on to ``c_{t-1}``.

    Raises
    ------
    ValueError
        If there is no such part.

    Examples
    --------
    >>> from unrolled.diagrams import canvas
    >>> figure, ax = canvas(*SIZE)
    >>> draw_lstm(ax, "forget gate")
    >>> [text.get_text() for text in ax.texts if "f" in text.get_text()]
    ['$f_t$']

    Notes
    -----
    Chapter 5, "A conveyor"; Hochreiter & Schmidhuber (1997); Gers, Schmidhuber & Cummins (2000).
    """
    if upto not in PARTS:
        raise ValueError(f"upto must be one of {', '.join(PARTS)}, got {upto!r}")
    shown = PARTS[: PARTS.index(upto) + 1]
    colors = dict.fromkeys(shown, GREY) if backward else dict.fromkeys(shown, "black")
    if not backward:
        colors[upto] = STATE
    _conveyor(ax, colors["conveyor"], keep="forget gate" in shown)
    if "forget gate" in shown:
        _bus(ax, [1.7, 3.2, 4.5, 5.8][: (0, 1, 3, 4)[len(shown) - 1]])
        _gate(ax, 1.7, "σ", "$f_t$", _KEEP, colors["forget gate"])
        _operation(ax, _KEEP, "×", colors["forget gate"])
    if "input gate" in shown:
        meet = (_ADD[0], 2.95)
        _gate(ax, 3.2, "σ", "$i_t$", meet, colors["input gate"])
        _gate(ax, 4.5, "tanh", "$g_t$", meet, colors["input gate"])
        _operation(ax, meet, "×", colors["input gate"])
        arrow(ax, meet, _ADD, color=colors["input gate"], gap=_RADIUS)
    else:
        arrow(ax, (_ADD[0], 2.9), _ADD, color=colors["conveyor"], gap=_RADIUS)
        ax.text(_ADD[0], 2.9, "what is new", ha="center", va="center", color=colors["conveyor"])
    if "output gate" in shown:
        _output(ax, colors["output gate"])
    if backward:
        _gradients(ax)


def _conveyor(ax: Axes, color: str, *, keep: bool) -> None:
    """Draw the cell's own line, with the place where something is added to it."""
    stops = [(_LEFT, _CELL), *([_KEEP] if keep else []), _ADD, (_RIGHT, _CELL)]
    for n, (start, end) in enumerate(itertools.pairwise(stops)):
        # The ends carry text, the stops between them a circle.
        shift = 0.05 if n == 0 else _RADIUS
        _line(ax, [(start[0] + shift, _CELL), (end[0] - _RADIUS, _CELL)], color, width=3.0)
    arrow(ax, (_RIGHT - 0.6, _CELL), (_RIGHT + 0.1, _CELL), color=color, gap=0.0)
    ax.text(_LEFT - 0.35, _CELL, "$c_{t-1}$", ha="center", va="center")
    ax.text(_RIGHT + 0.4, _CELL, "$c_t$", ha="center", va="center")
    _operation(ax, _ADD, "+", color)


def _bus(ax: Axes, gates: Sequence[float]) -> None:
    """Draw the line that brings the input and the last output to every gate."""
    _line(ax, [(_LEFT + 0.05, _BUS), (gates[-1], _BUS)], INPUT)
    _line(ax, [(1.1, 0.45), (1.1, _BUS)], INPUT)
    for x in gates:
        arrow(ax, (x, _BUS), (x, _GATES - 0.28), color=INPUT, gap=0.0)
    ax.text(_LEFT - 0.35, _BUS, "$h_{t-1}$", ha="center", va="center")
    ax.text(1.1, 0.22, "$x_t$", ha="center", va="center")


def _gate(ax: Axes, x: float, function: str, name: str, target: Point, color: str) -> None:
    """Draw one small layer and the arrow of its output."""
    box(ax, (x, _GATES), function, color=color, size=(0.8, 0.52))
    start = (x, _GATES + 0.28)
    patch_gap = _RADIUS + 0.02
    dx, dy = target[0] - start[0], target[1] - start[1]
    length = (dx**2 + dy**2) ** 0.5
    end = (target[0] - dx / length * patch_gap, target[1] - dy / length * patch_gap)
    arrow(ax, start, end, color=color, gap=0.0)
    side = 0.3 if dx < 0 or dx == 0 else -0.3
    middle = ((start[0] + end[0]) / 2 + side, (start[1] + end[1]) / 2)
    ax.text(*middle, name, ha="center", va="center", color="black")


def _output(ax: Axes, color: str) -> None:
    """Draw what is read from the cell, and where it goes."""
    arrow(ax, (_TANH[0], _CELL), (_TANH[0], _TANH[1] + 0.23), color=color, gap=0.0)
    box(ax, _TANH, "tanh", color=color, size=(0.8, 0.44))
    arrow(ax, (_TANH[0], _TANH[1] - 0.23), (_READ[0], _READ[1] + _RADIUS), color=color, gap=0.0)
    _gate(ax, 5.8, "σ", "$o_t$", _READ, color)
    _operation(ax, _READ, "×", color)
    arrow(ax, (_READ[0] + _RADIUS, _READ[1]), (_RIGHT + 0.1, _READ[1]), color=color, gap=0.0)
    ax.text(_RIGHT + 0.4, _READ[1], "$h_t$", ha="center", va="center")


def _operation(ax: Axes, at: Point, sign: str, color: str) -> None:
    """Draw an operation that works number by number."""
    ax.add_patch(Circle(at, _RADIUS, facecolor="white", edgecolor=color, linewidth=1.6, zorder=3))
    ax.text(*at, sign, ha="center", va="center", zorder=4)


def _line(ax: Axes, points: Sequence[Point], color: str, width: float = 1.3) -> None:
    ax.plot(*zip(*points), color=color, linewidth=width, zorder=2, solid_capstyle="butt")


def _gradients(ax: Axes) -> None:
    """Draw the gradient's way: from t+1 and from h_t into c_t, and from there to c_{t-1}."""
    above, below, right = _CELL + 0.32, _READ[1] - 0.35, 7.1
    corners = [
        [(_RIGHT + 0.55, above), (right, above)],
        [(_RIGHT + 0.55, below), (right, below), (right, above)],
        [(right, above), (_KEEP[0], above)],
        [(_KEEP[0], above), (_LEFT - 0.6, above)],
    ]
    for points in corners:
        _line(ax, points, GRADIENT)
        arrow(ax, points[-2], points[-1], color=GRADIENT, gap=0.0)
    for x, y, label in (
        (_RIGHT + 0.25, above + 0.22, "from $t+1$"),
        (_RIGHT + 0.15, below - 0.25, "through $h_t$"),
        ((_KEEP[0] + right) / 2, above + 0.22, "$dc_t$"),
        ((_KEEP[0] + _LEFT - 0.6) / 2, above + 0.22, r"$f_t\;dc_t$"),
    ):
        ax.text(x, y, label, ha="center", va="center", color=GRADIENT)
