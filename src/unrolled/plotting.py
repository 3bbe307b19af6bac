"""One style for every figure of the book, and the plots that more than one chapter needs."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.transforms import ScaledTranslation

from unrolled._validate import Array

# The colours of Okabe & Ito (2008), told apart with every common form of colour blindness.
BLUE, VERMILION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY, BLACK, GREY = "#E69F00", "#56B4E9", "#000000", "#767676"
COLORS = [BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK]
WIDTH = 4.8  # of every figure, in inches
# A second way to tell curves apart, for readers and printers without colour.
MARKERS = ["o", "s", "^", "D", "v", "P", "X"]


def use_style() -> None:
    """Set matplotlib's defaults for the book; call once at the top of a notebook.

    Examples
    --------
    >>> use_style()
    >>> mpl.rcParams["axes.spines.top"]
    False
    """
    mpl.rcParams.update(
        {
            "axes.prop_cycle": cycler(color=COLORS),
            "axes.labelsize": 12,  # they hold most of the subscripts
            "axes.spines.right": False,
            "axes.spines.top": False,
            "axes.titlesize": 12,
            "figure.constrained_layout.use": True,
            "figure.dpi": 160,
            # Narrow: on a phone, 346 pixels wide, a font of 11 points has 11 pixels.
            "figure.figsize": (WIDTH, 3.0),
            "font.size": 11,
            "image.cmap": "gray_r",
            "legend.frameon": False,
            "lines.linewidth": 1.8,
        }
    )


def plot_runs(ax: Axes, x: Array, runs: Array, *, label: str, style: int = 0) -> None:
    """Plot the mean of several runs as a line, and their range as a band around it.

    Parameters
    ----------
    ax : matplotlib Axes
    x : ndarray of shape (N,)
    runs : ndarray of shape (R, N)
        One run a row.
    label : str
    style : int, default 0
        Which colour and marker to take.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> ax = Figure().subplots()
    >>> plot_runs(ax, np.arange(3), np.array([[1.0, 2, 3], [2, 3, 4]]), label="two runs")
    >>> ax.lines[0].get_ydata()
    array([1.5, 2.5, 3.5])
    """
    runs = np.asarray(runs)
    color, marker = COLORS[style % len(COLORS)], MARKERS[style % len(MARKERS)]
    ax.plot(x, runs.mean(axis=0), color=color, marker=marker, markersize=5, label=label)
    ax.fill_between(x, runs.min(axis=0), runs.max(axis=0), color=color, alpha=0.3, linewidth=0)


def plot_scores(
    ax: Axes, scores: dict[str, Sequence[float]], *, live: dict[str, float] | None = None
) -> None:
    """Plot every run of every model as a bar on the model's own row, highest mean at the top.

    The name stands above its row and takes no width from the data; the mean stands to the right.

    Parameters
    ----------
    ax : matplotlib Axes
        The caller names the horizontal axis, and gives a row half an inch of height.
    scores : dict
        Model name -> its score in each run.
    live : dict, optional
        Model name -> the score of the run just made on this page, a black triangle below its row.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> ax = Figure().subplots()
    >>> plot_scores(ax, {"guess": [0.1], "model": [0.8, 0.9]})
    >>> [text.get_text() for text in ax.texts]
    ['guess', '0.100', 'model', '0.850', 'mean']
    """
    names = sorted(scores, key=lambda name: float(np.mean(scores[name])))
    across = ax.get_yaxis_transform()  # 0 is the left edge, 1 the right one

    def moved(x: float, y: float) -> ScaledTranslation:
        return ScaledTranslation(x / 72, y / 72, ax.figure.dpi_scale_trans)

    for row, name in enumerate(names):
        values = scores[name]
        ax.plot(values, [row] * len(values), "|", color=BLUE, markersize=10, markeredgewidth=2)
        ax.text(0, row, name, transform=across + moved(2, 7))
        ax.text(1, row, f"{np.mean(values):.3f}", va="center", transform=across + moved(4, 0))
        if live and name in live:
            below = ax.transData + moved(0, -10)
            ax.plot(live[name], row, "^", color=BLACK, markersize=6, transform=below)
    ax.text(1, len(names) - 1, "mean", transform=across + moved(4, 10))
    ax.set_yticks(range(len(names)), [""] * len(names))
    ax.set_ylim(-0.5, len(names) - 0.2)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.grid(color=GREY, alpha=0.3)
