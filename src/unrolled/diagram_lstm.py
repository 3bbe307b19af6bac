"""The LSTM cell, drawn so that it can grow on the page: one gate after the other."""

import itertools
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.patches import Circle, Ellipse

from unrolled.diagrams import GRADIENT, INK, INPUT, STATE, Point, arrow, box
from unrolled.plotting import GREY

PARTS = ("conveyor", "forget gate", "input gate", "output gate")
SIZE = (8.2, 4.7)  # of the drawing

_CELL, _GATES, _BUS = 4.0, 1.75, 0.85  # heights: cell state, gates, what the gates read
_LEFT, _RIGHT = 0.75, 7.25
_KEEP, _ADD, _READ = (1.7, _CELL), (3.85, _CELL), (6.55, 2.55)  # where c is changed and read
_TANH = (6.55, 3.3)
_RADIUS = 0.2
_ABOVE = _CELL + 0.3  # of the gradient along the conveyor


def draw_lstm(ax: Axes, upto: str = "output gate", *, backward: bool | str = False) -> None:
    """Draw the cell of an LSTM as far as one of its parts, with the last part in colour.

    A box is a layer with weights of its own; what is round works number by number and has none.

    Parameters
    ----------
    ax : matplotlib Axes
        Of a canvas of the size ``SIZE``.
    upto : {"conveyor", "forget gate", "input gate", "output gate"}
        The last part to be drawn, in the order of ``PARTS``.
    backward : bool or "gates", default False
        Whether to draw, over the whole cell in grey, the two ways of the gradient into ``c_t``
        and the one way on to ``c_{t-1}``; with "gates" also those into the four layers, and from
        these to ``x_t`` and ``h_{t-1}``.

    Raises
    ------
    ValueError
        If there is no such part, or no such way back.

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
    if backward not in (False, True, "gates"):
        raise ValueError(f'backward must be True, False or "gates", got {backward!r}')
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
        _into_state(ax)
    if backward == "gates":
        _into_gates(ax)


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
    side = 0.3 if dx < 0 else -0.3
    middle = ((start[0] + end[0]) / 2 + side, (start[1] + end[1]) / 2)
    ax.text(*middle, name, ha="center", va="center", color="black")


def _output(ax: Axes, color: str) -> None:
    """Draw what is read from the cell, and where it goes."""
    arrow(ax, (_TANH[0], _CELL), (_TANH[0], _TANH[1] + 0.26), color=color, gap=0.0)
    oval = Ellipse(_TANH, 1.0, 0.5, facecolor="white", edgecolor=color, linewidth=1.6, zorder=3)
    ax.add_patch(oval)
    ax.text(*_TANH, "tanh", ha="center", va="center", zorder=4)
    arrow(ax, (_TANH[0], _TANH[1] - 0.26), (_READ[0], _READ[1] + _RADIUS), color=color, gap=0.0)
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


def _back(ax: Axes, *points: Point) -> None:
    """Draw a dashed line that ends in an arrow: a gradient on its way."""
    if len(points) > 2:
        ax.plot(*zip(*points[:-1]), color=GRADIENT, linewidth=1.5, linestyle="--", zorder=2)
    arrow(ax, points[-2], points[-1], color=GRADIENT, gap=0.0, dashed=True)


def _name(ax: Axes, x: float, y: float, text: str, *, ha: str = "center") -> None:
    ax.text(x, y, text, ha=ha, va="center", color=INK[GRADIENT], zorder=5)


def _into_state(ax: Axes) -> None:
    """Draw the gradient's two ways into c_t and its way along the conveyor, beside the cell's."""
    above, beside = _ABOVE, _TANH[0] + 0.16
    _back(ax, (_RIGHT + 0.1, above), (beside + 0.05, above))
    _back(ax, (_RIGHT + 0.1, _READ[1] - 0.14), (_READ[0] + _RADIUS, _READ[1] - 0.14))
    _back(ax, (beside, _READ[1] + _RADIUS), (beside, _TANH[1] - 0.25))
    _back(ax, (beside, _TANH[1] + 0.25), (beside, above - 0.03))
    _back(ax, (beside - 0.05, above), (_ADD[0] + 0.16, above))
    _back(ax, (_ADD[0] + 0.16, above), (_KEEP[0] + 0.16, above))
    _back(ax, (_KEEP[0] - 0.16, above), (_LEFT - 0.25, above))
    ax.add_patch(Circle((beside, above), 0.07, facecolor=GRADIENT, edgecolor="none", zorder=3))
    _name(ax, 5.2, above + 0.2, "$dc_t$")
    _name(ax, 1.0, above + 0.2, r"$dc_t \odot f_t$")
    _name(ax, _RIGHT + 0.15, _READ[1] - 0.42, "$dh_t$")
    _name(ax, _RIGHT + 0.9, above + 0.2, r"$dc_{t+1} \odot f_{t+1}$", ha="right")


def _into_gates(ax: Axes) -> None:
    """Draw the gradient's ways into the four layers, and from these to x_t and h_{t-1}."""
    top, below, out = _GATES + 0.28, _GATES - 0.28, _BUS - 0.2
    meet = (_ADD[0], 2.95)
    _back(ax, (_KEEP[0] + 0.16, _ABOVE), (_KEEP[0] + 0.16, top))
    _back(ax, (_ADD[0] + 0.16, _ABOVE), (meet[0] + 0.16, meet[1] + _RADIUS))
    _back(ax, (meet[0] - 0.07, meet[1] - 0.22), (3.38, top))
    _back(ax, (meet[0] + 0.07, meet[1] - 0.22), (4.32, top))
    _back(ax, (_READ[0] - 0.06, _READ[1] - _RADIUS), (6.05, top))
    for x, name in ((1.7, "f"), (3.2, "i"), (4.5, "g"), (5.8, "o")):
        _back(ax, (x + 0.16, below), (x + 0.16, out))
        _name(ax, x + 0.5, 1.17, f"$da_{name}$")
    _back(ax, (5.96, out), (1.3, out))
    _back(ax, (1.3, out), (_LEFT - 0.2, out))
    _back(ax, (1.3, out), (1.3, 0.12))
    _name(ax, _LEFT - 0.3, out - 0.25, "$da_t W_h$")
    _name(ax, 1.66, 0.22, "$dx_t$")
