"""The GRU cell, drawn so that it can grow on the page: one gate after the other."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.patches import Circle, Ellipse

from unrolled.diagrams import GRADIENT, INK, INPUT, STATE, Point, arrow, box
from unrolled.plotting import GREY

PARTS = ("update gate", "candidate", "reset gate")
SIZE = (8.2, 5.4)  # of the drawing

_STATE, _MIX, _CANDIDATE, _GATES = 4.7, 3.75, 2.95, 2.1  # heights
_H_LINE, _X_LINE = 0.85, 0.35
_LEFT, _RIGHT = 0.75, 7.3
_Z, _R, _N = 2.6, 4.2, 6.0  # where the update gate, the reset gate and the candidate stand
_DOWN = 1.2  # where the state branches off to the gates
_RADIUS = 0.2
_ONE_MINUS = ((_Z + _N) / 2, _MIX)
_MATRIX = (_N - 0.35, 1.38)  # of the state's part of the candidate
_RESET = (_N - 0.35, _GATES)  # where r is multiplied by it


def draw_gru(ax: Axes, upto: str = "reset gate", *, backward: bool = False) -> None:
    """Draw the cell of a GRU as far as one of its parts, with the last part in colour.

    A box holds weights of its own; what is round works number by number and has none.

    Parameters
    ----------
    ax : matplotlib Axes
        Of a canvas of the size ``SIZE``.
    upto : {"update gate", "candidate", "reset gate"}
        The last part to be drawn, in the order of ``PARTS``.
    backward : bool, default False
        Whether to draw, over the whole cell in grey, the ways of the gradient from ``h_t`` to
        ``h_{t-1}``: along the state, and through the candidate and the gates.

    Raises
    ------
    ValueError
        If there is no such part.

    Examples
    --------
    >>> from unrolled.diagrams import canvas
    >>> figure, ax = canvas(*SIZE)
    >>> draw_gru(ax, "candidate")
    >>> [text.get_text() for text in ax.texts if "n" in text.get_text()]
    ['tanh', '$n_t$']

    Notes
    -----
    Chapter 6, "One gate for two"; Cho et al. (2014), in the variant of torch.
    """
    if upto not in PARTS:
        raise ValueError(f"upto must be one of {', '.join(PARTS)}, got {upto!r}")
    shown = PARTS[: PARTS.index(upto) + 1]
    colors = dict.fromkeys(shown, GREY if backward else "black")
    if not backward:
        colors[upto] = STATE
    _state(ax, colors["update gate"])
    _inputs(ax, [_Z, _R, _N] if "reset gate" in shown else [_Z, _N][: len(shown)])
    _update(ax, colors["update gate"])
    if "candidate" in shown:
        _candidate(ax, colors["candidate"])
    else:
        arrow(ax, (_N, _CANDIDATE), (_N, _MIX), color=colors["update gate"], gap=_RADIUS)
        ax.text(
            _N, _CANDIDATE, "what is new", ha="center", va="center", color=colors["update gate"]
        )
    if "reset gate" in shown:
        _reset(ax, colors["reset gate"])
    elif "candidate" in shown:
        below = (_RESET[0], _H_LINE)
        arrow(ax, below, (_RESET[0], _CANDIDATE - 0.28), color=INPUT, gap=0.0)
    if backward:
        _gradients(ax)


def _sides(x: float) -> Point:
    """Where h and x come into a layer that stands at x."""
    return (x - 0.35, x + 0.45) if x == _N else (x - 0.25, x + 0.25)


def _state(ax: Axes, color: str) -> None:
    """Draw the line of the state, with the places where it is multiplied and added to."""
    for start, end in (
        (_LEFT + 0.05, _Z - _RADIUS),
        (_Z + _RADIUS, _N - _RADIUS),
        (_N + _RADIUS, _RIGHT - 0.2),
    ):
        _line(ax, [(start, _STATE), (end, _STATE)], color, width=3.0)
    arrow(ax, (_RIGHT - 0.6, _STATE), (_RIGHT + 0.1, _STATE), color=color, gap=0.0)
    ax.text(_LEFT - 0.35, _STATE, "$h_{t-1}$", ha="center", va="center")
    ax.text(_RIGHT + 0.4, _STATE, "$h_t$", ha="center", va="center")
    _operation(ax, (_Z, _STATE), "×", color)
    _operation(ax, (_N, _STATE), "+", color)


def _inputs(ax: Axes, readers: Sequence[float]) -> None:
    """Draw the lines that bring the state and the input to all who read them."""
    last_h, last_x = _sides(readers[-1])
    _line(ax, [(_DOWN, _STATE), (_DOWN, _H_LINE), (last_h, _H_LINE)], INPUT)
    _line(ax, [(_LEFT + 0.05, _X_LINE), (last_x, _X_LINE)], INPUT)
    _dot(ax, (_DOWN, _STATE))
    ax.text(_LEFT - 0.35, _X_LINE, "$x_t$", ha="center", va="center")
    for reader in readers:
        h, x = _sides(reader)
        top = (_CANDIDATE if reader == _N else _GATES) - 0.28
        arrow(ax, (x, _X_LINE), (x, top), color=INPUT, gap=0.0)
        if reader != _N:
            arrow(ax, (h, _H_LINE), (h, top), color=INPUT, gap=0.0)
        if reader != readers[-1]:  # a dot marks a branch; lines that cross without do not meet
            _dot(ax, (h, _H_LINE))
            _dot(ax, (x, _X_LINE))


def _update(ax: Axes, color: str) -> None:
    """Draw the gate that serves twice: as z on the state, and as 1 - z on what is new."""
    box(ax, (_Z, _GATES), "σ", color=color, size=(0.9, 0.52))
    arrow(ax, (_Z, _GATES + 0.28), (_Z, _STATE - _RADIUS), color=color, gap=0.0)
    ax.text(_Z - 0.3, _CANDIDATE, "$z_t$", ha="center", va="center")
    _dot(ax, (_Z, _MIX), color)
    middle = _ONE_MINUS[0]
    arrow(ax, (_Z, _MIX), (middle - 0.34, _MIX), color=color, gap=0.0)
    oval = Ellipse(_ONE_MINUS, 0.68, 0.46, facecolor="white", edgecolor=color, linewidth=1.6)
    ax.add_patch(oval).set_zorder(3)
    ax.text(*_ONE_MINUS, "1−", ha="center", va="center", zorder=4)
    arrow(ax, (middle + 0.34, _MIX), (_N - _RADIUS, _MIX), color=color, gap=0.0)
    _operation(ax, (_N, _MIX), "×", color)
    arrow(ax, (_N, _MIX), (_N, _STATE), color=color, gap=_RADIUS)


def _candidate(ax: Axes, color: str) -> None:
    """Draw the layer that proposes what is new."""
    box(ax, (_N, _CANDIDATE), "tanh", color=color, size=(1.3, 0.52))
    arrow(ax, (_N, _CANDIDATE + 0.28), (_N, _MIX - _RADIUS), color=color, gap=0.0)
    ax.text(_N - 0.3, 3.38, "$n_t$", ha="center", va="center")


def _reset(ax: Axes, color: str) -> None:
    """Draw the state's own matrix for the candidate, and the gate that stands behind it."""
    x = _RESET[0]
    box(ax, (_R, _GATES), "σ", color=color, size=(0.9, 0.52))
    arrow(ax, (_R + 0.47, _GATES), (x - _RADIUS, _GATES), color=color, gap=0.0)
    ax.text(5.05, _GATES + 0.25, "$r_t$", ha="center", va="center")
    arrow(ax, (x, _H_LINE), (x, _MATRIX[1] - 0.23), color=INPUT, gap=0.0)
    box(ax, _MATRIX, "$W_{hn}$", color=color, size=(0.96, 0.42))
    arrow(ax, (x, _MATRIX[1] + 0.22), (x, _GATES - _RADIUS), color=color, gap=0.0)
    ax.text(x - 0.33, 1.77, "$m_t$", ha="center", va="center")
    _operation(ax, _RESET, "×", color)
    arrow(ax, (x, _GATES + _RADIUS), (x, _CANDIDATE - 0.28), color=color, gap=0.0)


def _operation(ax: Axes, at: Point, sign: str, color: str) -> None:
    """Draw an operation that works number by number."""
    ax.add_patch(Circle(at, _RADIUS, facecolor="white", edgecolor=color, linewidth=1.6, zorder=3))
    ax.text(*at, sign, ha="center", va="center", zorder=4)


def _dot(ax: Axes, at: Point, color: str = INPUT) -> None:
    ax.add_patch(Circle(at, 0.07, facecolor=color, edgecolor="none", zorder=3))


def _line(ax: Axes, points: Sequence[Point], color: str, width: float = 1.3) -> None:
    ax.plot(*zip(*points), color=color, linewidth=width, zorder=2, solid_capstyle="butt")


def _back(ax: Axes, *points: Point) -> None:
    """Draw a dashed line that ends in an arrow: a gradient on its way."""
    if len(points) > 2:
        ax.plot(*zip(*points[:-1]), color=GRADIENT, linewidth=1.5, linestyle="--", zorder=2)
    arrow(ax, points[-2], points[-1], color=GRADIENT, gap=0.0, dashed=True)


def _gradients(ax: Axes) -> None:
    """Draw the gradient's ways from h_t to h_{t-1}, each beside the cell's own line."""
    above, beside, below = _STATE + 0.3, 0.15, _H_LINE - 0.17
    z, n, m, home = _Z + beside, _N + beside, _RESET[0] + beside, _DOWN + beside
    out_z, out_r = _Z - 0.37, _R - 0.37  # left of the arrows that bring h
    ways = [
        [(_RIGHT + 0.1, above), (n + 0.05, above)],  # along the state
        [(n - 0.05, above), (z, above)],
        [(z - 0.3, above), (home + 0.05, above)],
        [(home - 0.05, above), (_LEFT - 0.4, above)],
        [(n, above), (n, _MIX + _RADIUS)],  # to the candidate
        [(n, _MIX - _RADIUS), (n, _CANDIDATE + 0.28)],
        [(_N - _RADIUS, _MIX + beside), (_ONE_MINUS[0] + 0.3, _MIX + beside)],  # to the gate
        [(_ONE_MINUS[0] - 0.3, _MIX + beside), (z + 0.05, _MIX + beside)],
        [(z, _STATE - _RADIUS), (z, _MIX + beside + 0.04)],
        [(z, _MIX + beside), (z, _GATES + 0.28)],
        [(m, _CANDIDATE - 0.28), (m, _GATES + _RADIUS)],  # from the candidate down
        [(m, _GATES - _RADIUS), (m, _MATRIX[1] + 0.23)],
        [(_RESET[0] - _RADIUS, _GATES - beside), (_R + 0.47, _GATES - beside)],
        [(m, _MATRIX[1] - 0.23), (m, below), (out_r, below)],  # and back to the state
        [(out_r, _GATES - 0.28), (out_r, below)],
        [(out_r, below), (out_z, below)],
        [(out_z, _GATES - 0.28), (out_z, below)],
        [(out_z, below), (home, below), (home, above - 0.04)],
    ]
    for points in ways:
        _back(ax, *points)
    for at in ((n, above), (home, above), (z, _MIX + beside)):
        _dot(ax, at, GRADIENT)
    for x, y, label in (
        (_RIGHT + 0.1, above + 0.22, "$dh_t$"),
        (2.0, above + 0.22, r"$dh_t \odot z_t$"),
        (out_z - 0.36, 1.4, "$da_z$"),
        (out_r - 0.36, 1.4, "$da_r$"),
        (m + 0.31, 2.48, "$da_n$"),
        (m + 0.3, 1.77, "$dm$"),
        (home + 0.5, 3.3, "$da_h W_h$"),
    ):
        ax.text(x, y, label, ha="center", va="center", color=INK[GRADIENT], zorder=5)
