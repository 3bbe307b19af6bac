"""Drawings of networks, made from circles, boxes and arrows so that each can grow on the page."""

from collections.abc import Sequence
from itertools import pairwise

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Rectangle

from unrolled.plotting import BLUE, GREEN, GREY, PURPLE, VERMILION, WIDTH

Point = tuple[float, float]
NODE = 0.34  # radius of a neuron
FONT = 13  # larger than in a plot, for the sake of the subscripts
# One role, one colour, in every drawing.
INPUT, STATE, OUTPUT, GRADIENT, WEIGHT = GREY, BLUE, GREEN, VERMILION, PURPLE
# Darker shades for text in three of them, which would be too pale on white.
INK = {OUTPUT: "#007A59", GRADIENT: "#B34F00", WEIGHT: "#A0447A"}


def canvas(width: float, height: float, *, scale: float = 0.6) -> tuple[Figure, Axes]:
    """Open an empty drawing, one unit of the drawing being ``scale`` inches.

    The figure is as wide as all others, so that text is of one size throughout; a drawing that is
    narrower stands in its middle.

    Examples
    --------
    >>> figure, ax = canvas(8, 3)
    >>> ax.get_xlim(), ax.get_ylim()
    ((np.float64(0.0), np.float64(8.0)), (np.float64(0.0), np.float64(3.0)))
    """
    inches = max(WIDTH, width * scale)
    figure = plt.figure(figsize=(inches, height * scale), layout="none")
    # Jupyter cuts the margins off; what it sees reaches from edge to edge.
    figure.add_artist(Rectangle((0, 0), 1, 1, facecolor="none", edgecolor="none"))
    share = width * scale / inches
    ax = figure.add_axes(((1 - share) / 2, 0, share, 1))
    ax.set_xlim(0, width)
    ax.set_ylim(0, height)
    ax.set_aspect("equal")
    ax.axis("off")
    return figure, ax


def node(ax: Axes, at: Point, label: str = "", *, color: str = STATE) -> None:
    """Draw a neuron, or an input, as a circle."""
    ax.add_patch(Circle(at, NODE, facecolor="white", edgecolor=color, linewidth=1.8, zorder=3))
    _write(ax, at, label)


def box(ax: Axes, at: Point, label: str, *, color: str = STATE, size: Point = (1.0, 0.7)) -> None:
    """Draw a function, such as one step of a recurrent cell, as a box centred at a point."""
    (x, y), (w, h) = at, size
    corner = (x - w / 2, y - h / 2)
    style = "round,pad=0,rounding_size=0.12"
    patch = FancyBboxPatch(
        corner, w, h, boxstyle=style, facecolor="white", edgecolor=color, linewidth=1.8, zorder=3
    )
    ax.add_patch(patch)
    _write(ax, at, label)


def arrow(
    ax: Axes,
    start: Point,
    end: Point,
    label: str = "",
    *,
    color: str = "black",
    curve: float = 0.0,
    gap: float = NODE,
    above: float = 0.25,
    dashed: bool = False,
) -> None:
    """Draw an arrow between two points, leaving ``gap`` free at both ends."""
    patch = FancyArrowPatch(
        start,
        end,
        arrowstyle="-|>",
        mutation_scale=12,
        color=color,
        linewidth=1.3,
        linestyle="--" if dashed else "-",
        connectionstyle=f"arc3,rad={curve}",
        # matplotlib counts this distance in points.
        shrinkA=_points(ax, gap),
        shrinkB=_points(ax, gap),
        zorder=2,
    )
    ax.add_patch(patch)
    if label:
        x, y = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2 + above
        _write(ax, (x, y), label, color=color)


def draw_network(
    ax: Axes,
    sizes: Sequence[int],
    *,
    left: float = 0.4,
    step: float = 2.4,
    labels: Sequence[str] = (),
    output: bool = True,
    backward: bool = False,
) -> None:
    """Draw layers of neurons as columns of circles, every neuron joined to the whole next layer.

    Parameters
    ----------
    ax : matplotlib Axes
    sizes : sequence of int
        Inputs, neurons of each layer.
    left, step : float
        Where the first column stands, and how far the columns are apart.
    labels : sequence of str
        What to write into the circles of each column, with ``{i}`` for the number in it.
    output : bool, default True
        Whether the last column is the network's output, and not a layer in the middle.
    backward : bool, default False
        Whether to draw the gradients' way back instead of the way forward.

    Examples
    --------
    >>> figure, ax = canvas(6, 3)
    >>> draw_network(ax, [2, 3], labels=["$x_{i}$", "$h_{i}$"])
    >>> len(ax.texts), len(ax.patches)  # 5 circles and 2 * 3 arrows
    (5, 11)
    """
    middle = ax.get_ylim()[1] / 2
    columns = [
        [(left + step * c, middle + 0.9 * ((size - 1) / 2 - i)) for i in range(size)]
        for c, size in enumerate(sizes)
    ]
    for c, column in enumerate(columns):
        last = OUTPUT if output else STATE
        color = INPUT if c == 0 else last if c == len(columns) - 1 else STATE
        label = labels[c] if c < len(labels) else ""
        for i, point in enumerate(column, start=1):
            node(ax, point, label.replace("{i}", f"{i}"), color=color)
    for before, after in pairwise(columns):
        for start in before:
            for end in after:
                if backward:
                    arrow(ax, end, start, color=GRADIENT, dashed=True)
                else:
                    arrow(ax, start, end, color=WEIGHT)


def draw_unrolled(
    ax: Axes,
    steps: Sequence[str],
    *,
    read: Sequence[int] = (),
    outputs: Sequence[str] = (),
    left: float = 1.6,
    bottom: float = 0.4,
    step: float = 1.9,
    padded: int = 0,
) -> None:
    """Draw a recurrent layer unrolled in time: the same box once a step, joined by its state.

    Parameters
    ----------
    ax : matplotlib Axes
    steps : sequence of str
        What to write below each step: the inputs.
    read : sequence of int
        The steps, counted from 1, whose state is read out.
    outputs : sequence of str
        What to write above the steps that are read.
    left, bottom, step : float
        Place of the first input, and the distance between steps.
    padded : int, default 0
        How many of the last steps are padding, drawn dashed.

    Examples
    --------
    >>> figure, ax = canvas(8, 3)
    >>> draw_unrolled(ax, ["$x_1$", "$x_2$"], read=[2], outputs=["$y$"])
    >>> [text.get_text() for text in ax.texts][-1]
    '$y$'
    """
    height = bottom + 1.3
    real = len(steps) - padded
    arrow(ax, (left - 1.9, height), (left, height), "$h_0$", color=STATE, gap=0.5)
    for t, label in enumerate(steps, start=1):
        x = left + step * (t - 1)
        color = STATE if t <= real else GREY
        node(ax, (x, bottom), label, color=INPUT)
        box(ax, (x, height), "cell", color=color)
        arrow(ax, (x, bottom), (x, height), color=INPUT, gap=0.36, dashed=t > real)
        if t < len(steps):
            after = (x + step, height)
            dashed = t >= real
            arrow(ax, (x, height), after, f"$h_{t}$", color=STATE, gap=0.5, dashed=dashed)
    for t, label in zip(read, outputs, strict=True):
        x = left + step * (t - 1)
        arrow(ax, (x, height), (x, height + 1.3), color=OUTPUT, gap=0.36)
        node(ax, (x, height + 1.3), label, color=OUTPUT)


def _write(ax: Axes, at: Point, text: str, *, color: str = "black") -> None:
    """Write a text around a point, in a shade of the colour that can be read on white."""
    ax.text(*at, text, ha="center", va="center", size=FONT, color=INK.get(color, color), zorder=4)


def _points(ax: Axes, length: float) -> float:
    """Turn a length of the drawing into points; its axes keep their place."""
    left, right = ax.get_xlim()
    return length * ax.bbox.width / ax.figure.dpi * 72 / (right - left)
