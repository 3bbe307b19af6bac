"""The unrolled graph of a recurrent network, growing step by step into its backward pass."""

from matplotlib.axes import Axes

from unrolled.diagrams import GRADIENT, INPUT, OUTPUT, STATE, WEIGHT, arrow, box, node

LEFT, STEP = 1.9, 2.3  # first column, and the distance between columns
X, H, L = 1.95, 3.1, 4.5  # heights of inputs, states and losses
ASIDE = 0.16  # forward and backward run side by side


def draw_bptt(
    ax: Axes,
    T: int = 3,
    *,
    losses: bool = False,
    time: bool = False,
    weights: str = "",
    cut: int | None = None,
) -> None:
    """Draw T steps with a loss at each, and as much of the way back as is asked for.

    Solid arrows go forward, dashed ones back. A canvas of ``2.3 T + 1.5`` by 5 holds it.

    Parameters
    ----------
    ax : matplotlib Axes
    T : int, default 3
    losses : bool, default False
        Whether to draw the gradients that enter each state from its own loss.
    time : bool, default False
        Whether to draw those that come back from the step after.
    weights : {"", "forward", "backward"}
        Whether to draw the shared weights below, with what they give or what they receive.
    cut : int, optional
        After which step the way back is cut, as in truncated BPTT.

    Examples
    --------
    >>> from unrolled.diagrams import canvas
    >>> figure, ax = canvas(8.4, 5)
    >>> draw_bptt(ax)
    >>> forward = len(ax.patches)
    >>> draw_bptt(ax, time=True)
    >>> len(ax.patches) - 2 * forward  # two ways back between three steps, and one to h_0
    3
    """
    node(ax, (LEFT - 1.5, H), "$h_0$")
    aside = ASIDE if losses or time else 0.0
    for t in range(1, T + 1):
        x = LEFT + STEP * (t - 1)
        node(ax, (x, X), f"$x_{t}$", color=INPUT)
        box(ax, (x, H), f"$h_{t}$", color=STATE)
        node(ax, (x, L), f"$L_{t}$", color=OUTPUT)
        arrow(ax, (x, X), (x, H), color=INPUT, gap=0.37)
        arrow(ax, (x - aside, H), (x - aside, L), color=OUTPUT, gap=0.38)
        # Between the edges of the two states; the first one is a circle.
        left, right = x - (1.18 if t == 1 else STEP - 0.54), x - 0.54
        arrow(ax, (left, H + aside), (right, H + aside), gap=0.0)
        if losses:
            arrow(ax, (x + aside, L), (x + aside, H), color=GRADIENT, gap=0.38, dashed=True)
        if time and t - 1 != cut:
            start, end = (right, H - aside), (left, H - aside)
            arrow(ax, start, end, color=GRADIENT, gap=0.0, dashed=True)
        if t == cut:
            border = x + STEP / 2
            ax.plot([border, border], [X - 0.4, L + 0.4], color=INPUT, linestyle=":")
    if weights:
        _weights(ax, T, backward=weights == "backward")


def _weights(ax: Axes, T: int, *, backward: bool) -> None:
    """Draw the one set of weights, and an arrow to or from each of its uses."""
    label = r"$dW_h = \sum_t$" if backward else "$W_h$"
    color = GRADIENT if backward else WEIGHT
    place = LEFT + STEP * (T - 1.5)  # between the last two steps, clear of their inputs
    for t in range(1, T + 1):
        x = LEFT + STEP * (t - 1)
        # Spread along the box, so that a long arrow keeps clear of the inputs it passes.
        use = (x + (0.3 if x < place else -0.3), H - 0.38)
        shared = (place + 0.1 * (x - place), 0.82)
        start, end = (use, shared) if backward else (shared, use)
        arrow(ax, start, end, color=color, gap=0.02, dashed=backward)
    box(ax, (place, 0.42), label, color=color, size=(2.0 if backward else 1.0, 0.78))
