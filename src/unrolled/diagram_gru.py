"""The GRU cell, drawn so that it can grow on the page: one gate after the other."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.patches import Circle

from unrolled.diagrams import GRADIENT, INK, INPUT, STATE, Point, arrow, box
from unrolled.plotting import GREY

PARTS = ("update gate", "candidate", "reset gate")
SIZE = (8.2, 4.9)  # of the drawing

_STATE, _MIX, _CANDIDATE, _GATES = 4.2, 3.25, 2.5, 1.7  # heights
_H_LINE, _X_LINE = 0.85, 0.35
_LEFT, _RIGHT = 0.75, 7.3
_Z, _R, _N = 2.6, 4.2, 6.0  # where the update gate, the reset gate and the candidate stand
_DOWN = 1.2  # where the state branches off to the gates
_SHIFT = 0.25  # of the arrows of h to the left and of x to the right
_RADIUS = 0.2


def draw_gru(ax: Axes, upto: str = "reset gate", *, backward: bool = False) -> None:
    """Draw the cell of a GRU as far as one of its parts, with the last part in colour.

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
        _candidate(ax, colors["candidate"], meet=(_N, _MIX))
    else:
        arrow(ax, (_N, 2.5), (_N, _MIX), color=colors["update gate"], gap=_RADIUS)
        ax.text(_N, 2.5, "what is new", ha="center", va="center", color=colors["update gate"])
    if "reset gate" in shown:
        _reset(ax, colors["reset gate"])
    elif "candidate" in shown:
        arrow(ax, (_N - _SHIFT, _H_LINE), (_N - _SHIFT, _CANDIDATE - 0.28), color=INPUT, gap=0.0)
    if backward:
        _gradients(ax)


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
    _line(ax, [(_DOWN, _STATE), (_DOWN, _H_LINE), (readers[-1] - _SHIFT, _H_LINE)], INPUT)
    _line(ax, [(_LEFT + 0.05, _X_LINE), (readers[-1] + _SHIFT, _X_LINE)], INPUT)
    _dot(ax, (_DOWN, _STATE))
    ax.text(_LEFT - 0.35, _X_LINE, "$x_t$", ha="center", va="center")
    for x in readers:
        top = (_CANDIDATE if x == _N else _GATES) - 0.28
        arrow(ax, (x + _SHIFT, _X_LINE), (x + _SHIFT, top), color=INPUT, gap=0.0)
        if x != _N:
            arrow(ax, (x - _SHIFT, _H_LINE), (x - _SHIFT, top), color=INPUT, gap=0.0)
        if x != readers[-1]:  # a dot marks a branch; lines that cross without one do not meet
            _dot(ax, (x - _SHIFT, _H_LINE))
            _dot(ax, (x + _SHIFT, _X_LINE))


def _update(ax: Axes, color: str) -> None:
    """Draw the gate that serves twice: as z on the state, and as 1 - z on what is new."""
    box(ax, (_Z, _GATES), "σ", color=color, size=(0.9, 0.52))
    arrow(ax, (_Z, _GATES + 0.28), (_Z, _STATE - _RADIUS), color=color, gap=0.0)
    ax.text(_Z - 0.3, 2.5, "$z_t$", ha="center", va="center")
    _dot(ax, (_Z, _MIX), color)
    middle = (_Z + _N) / 2
    arrow(ax, (_Z, _MIX), (middle - 0.32, _MIX), color=color, gap=0.0)
    box(ax, (middle, _MIX), "1−", color=color, size=(0.62, 0.46))
    arrow(ax, (middle + 0.32, _MIX), (_N - _RADIUS, _MIX), color=color, gap=0.0)
    _operation(ax, (_N, _MIX), "×", color)
    arrow(ax, (_N, _MIX), (_N, _STATE), color=color, gap=_RADIUS)


def _candidate(ax: Axes, color: str, meet: Point) -> None:
    """Draw the layer that proposes what is new."""
    box(ax, (_N, _CANDIDATE), "tanh", color=color, size=(1.0, 0.52))
    arrow(ax, (_N, _CANDIDATE + 0.28), (meet[0], meet[1] - _RADIUS), color=color, gap=0.0)
    ax.text(_N + 0.3, 2.92, "$n_t$", ha="center", va="center")


def _reset(ax: Axes, color: str) -> None:
    """Draw the gate on the way from the state to the candidate."""
    at = (_N - _SHIFT, _GATES)
    box(ax, (_R, _GATES), "σ", color=color, size=(0.9, 0.52))
    arrow(ax, (_R + 0.47, _GATES), (at[0] - _RADIUS, _GATES), color=color, gap=0.0)
    ax.text(5.05, _GATES + 0.25, "$r_t$", ha="center", va="center")
    arrow(ax, (at[0], _H_LINE), (at[0], _GATES - _RADIUS), color=color, gap=0.0)
    ax.text(at[0] + 0.27, 1.17, "$m_t$", ha="center", va="center")
    _operation(ax, at, "×", color)
    arrow(ax, (at[0], _GATES + _RADIUS), (at[0], _CANDIDATE - 0.28), color=color, gap=0.0)


def _operation(ax: Axes, at: Point, sign: str, color: str) -> None:
    """Draw an operation that works number by number."""
    ax.add_patch(Circle(at, _RADIUS, facecolor="white", edgecolor=color, linewidth=1.6, zorder=3))
    ax.text(*at, sign, ha="center", va="center", zorder=4)


def _dot(ax: Axes, at: Point, color: str = INPUT) -> None:
    ax.add_patch(Circle(at, 0.06, facecolor=color, edgecolor="none", zorder=3))


def _line(ax: Axes, points: Sequence[Point], color: str, width: float = 1.3) -> None:
    ax.plot(*zip(*points), color=color, linewidth=width, zorder=2, solid_capstyle="butt")


def _gradients(ax: Axes) -> None:
    """Draw the gradient's ways from h_t to h_{t-1}: four, of which three meet below."""
    above, below, start = _STATE + 0.32, _H_LINE + 0.17, _RIGHT + 0.55
    side = _N + 0.75
    ways = [
        [(start, above), (_DOWN + 0.4, above)],  # along the state
        [(_DOWN + 0.4, above), (_LEFT - 0.6, above)],
        [(side, above), (side, _CANDIDATE), (_N + 0.52, _CANDIDATE)],  # into the candidate
        [(_Z + 0.25, above), (_Z + 0.25, _GATES + 0.28)],  # into the update gate
        [(5.35, _GATES - 0.2), (_R + 0.47, _GATES - 0.2)],  # into the reset gate
        [(5.35, _CANDIDATE), (5.35, below), (_DOWN + 0.4, below), (_DOWN + 0.4, above)],
        [(_Z, _GATES - 0.28), (_Z, below)],
        [(_R, _GATES - 0.28), (_R, below)],
    ]
    for points in ways:
        _line(ax, points, GRADIENT)
        arrow(ax, points[-2], points[-1], color=GRADIENT, gap=0.0)
    _line(ax, [(_N - 0.5, _CANDIDATE), (5.35, _CANDIDATE)], GRADIENT)
    for x, y, label in (
        (_N + 0.85, above + 0.22, "$dh_t$"),
        (4.3, above + 0.22, r"$z_t\;dh_t$"),
        (0.75, above + 0.22, "$dh_{t-1}$"),
        (side + 0.42, 3.25, "$dn_t$"),
        (_Z + 0.65, 2.5, "$dz_t$"),
        (4.98, _GATES - 0.42, "$dr_t$"),
    ):
        ax.text(x, y, label, ha="center", va="center", color=INK[GRADIENT])
