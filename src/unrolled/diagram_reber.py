"""The grammar of the Reber strings, drawn as states and the letters that lead between them."""

from matplotlib.axes import Axes

from unrolled.diagrams import FONT, STATE, Point, arrow, node

SIZE = (8.2, 3.2)  # of the drawing

_STATES: tuple[Point, ...] = (
    (0.6, 1.6), (1.9, 1.6), (3.2, 2.5), (3.2, 0.7), (5.0, 2.5), (5.0, 0.7), (6.3, 1.6), (7.6, 1.6),
)  # fmt: skip
# From, to, letter, and where the letter stands beside the middle of the arrow.
_WAYS = (
    (0, 1, "B", (0.0, 0.24)), (1, 2, "T", (-0.2, 0.22)), (1, 3, "P", (-0.2, -0.22)),
    (2, 4, "X", (0.0, 0.24)), (3, 5, "V", (0.0, -0.24)), (4, 6, "S", (0.2, 0.22)),
    (5, 6, "V", (0.2, -0.22)), (6, 7, "E", (0.0, 0.24)),
)  # fmt: skip


def draw_reber(ax: Axes) -> None:
    """Draw the inner grammar: at each state one of two ways is taken, and its letter written.

    Parameters
    ----------
    ax : matplotlib Axes
        Of a canvas of the size ``SIZE``.

    Examples
    --------
    >>> from unrolled.diagrams import canvas
    >>> figure, ax = canvas(*SIZE)
    >>> draw_reber(ax)
    >>> "".join(text.get_text() for text in ax.texts if text.get_text())
    'BTPXVSVESTXP'

    Notes
    -----
    Chapter 5, "A grammar with a memory"; Reber (1967).
    """
    for point in _STATES:
        node(ax, point)
    for start, end, letter, (dx, dy) in _WAYS:
        (x1, y1), (x2, y2) = _STATES[start], _STATES[end]
        arrow(ax, (x1, y1), (x2, y2))
        _letter(ax, (x1 + x2) / 2 + dx, (y1 + y2) / 2 + dy, letter)
    for state, letter, side in ((2, "S", 1), (3, "T", -1)):  # the two loops
        x, y = _STATES[state]
        y += 0.3 * side
        arrow(ax, (x - 0.17, y), (x + 0.17, y), curve=-1.9 * side, gap=0.0)
        _letter(ax, x + 0.5, y + 0.22 * side, letter)
    # From the lower row up and back: the two ways between the rows bend apart.
    arrow(ax, _STATES[4], _STATES[3], curve=0.15)
    arrow(ax, _STATES[5], _STATES[4], curve=0.0)
    _letter(ax, 3.78, 1.86, "X")
    _letter(ax, 5.22, 1.6, "P")


def _letter(ax: Axes, x: float, y: float, letter: str) -> None:
    ax.text(x, y, letter, ha="center", va="center", size=FONT, color=STATE, weight="bold")
