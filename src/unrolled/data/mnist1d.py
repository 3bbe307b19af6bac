"""MNIST-1D: ten shapes, each a line of 12 points, moved, stretched and covered with noise."""

import ast
from typing import NamedTuple

import numpy as np

from unrolled._validate import Array
from unrolled.data._packages import package_file

SEED = 42
PER_DIGIT, TRAIN = 500, 4000
PADDING = (36, 60)  # zeros after the template, both ends possible
SHIFTS = 48  # a shift is drawn from 0…47
SIZE, SHEAR, SMOOTH_NOISE, NOISE = 0.4, 0.75, 0.25, 0.02
LENGTH = 40


class MNIST1D(NamedTuple):
    """Sequences and labels, split into a training and a test part, and the shapes behind them."""

    x_train: Array  # (4000, 40) float64, of mean 0 and standard deviation 1
    y_train: Array  # (4000,) int64 in 0..9
    x_test: Array  # (1000, 40)
    y_test: Array  # (1000,)
    templates: Array  # (10, 12)


def load_mnist1d() -> MNIST1D:
    """Make MNIST-1D, the same 5,000 sequences as the package mnist1d makes.

    The templates are read from the package's file. The recipe, with the published numbers and the
    published seed, is followed here: a template gets 36 to 60 zeros after it, is stretched to 72
    points, made larger or smaller by up to a fifth, and shifted around the circle. The zeros become
    smooth noise, every point gets a little more noise, the whole is tilted, and 40 points are kept.

    Origin: S. Greydanus & D. Kobak (2024), *Scaling Down Deep Learning with MNIST-1D*. Licence:
    Apache-2.0. Split: the first 4,000 after shuffling, and the other 1,000.

    Returns
    -------
    MNIST1D
        Sequences of shape (N, 40); labels 0..9; N = 4,000 and 1,000.

    Raises
    ------
    MissingDataError
        If mnist1d is not installed.

    Examples
    --------
    >>> data = load_mnist1d()
    >>> data.x_train.shape, data.y_test.shape, data.templates.shape
    ((4000, 40), (1000,), (10, 12))
    """
    templates = _templates()
    rng = np.random.RandomState(SEED)  # the generator that the published data were drawn with
    x = np.array([_draw(line, rng) for line in templates for _ in range(PER_DIGIT)])
    y = np.repeat(np.arange(len(templates)), PER_DIGIT)
    order = rng.permutation(len(y))
    x, y = x[order], y[order]
    x = (x - x.mean()) / x.std()
    return MNIST1D(x[:TRAIN], y[:TRAIN], x[TRAIN:], y[TRAIN:], templates)


def _templates() -> Array:
    """Read the ten lines from the package's source, and bring them to one size, begun at 0."""
    source = package_file("mnist1d", "mnist1d/data.py").read_text(encoding="utf-8")
    lists = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.List)]
    lines = [ast.literal_eval(node) for node in lists if len(node.elts) == 12]
    x = np.array(lines, dtype=np.float64)
    x -= x.mean(axis=1, keepdims=True)
    x /= x.std(axis=1, keepdims=True)
    return (x - x[:, :1]) / 6.0


def _draw(line: Array, rng: np.random.RandomState) -> Array:
    """Turn a template into one sequence of 40 points. The order of the draws is the package's."""
    low, high = PADDING
    zeros = low + int(rng.rand() * (high - low + 1))
    # The small number tells a point of the template that is 0 from a zero of the padding.
    x = _resample(np.concatenate([line + 1e-8, np.zeros(zeros)]), len(line) + high)
    x *= 1 + SIZE * (rng.rand() - 0.5)
    x = np.roll(x, rng.choice(SHIFTS))
    x = np.where(x != 0, x, _smooth(SMOOTH_NOISE * rng.randn(len(x))))
    x = x + NOISE * rng.randn(len(x))
    tilt = SHEAR * (rng.rand() - 0.5)
    return _resample(x - tilt * np.linspace(-0.5, 0.5, len(x)), LENGTH)


def _resample(x: Array, length: int) -> Array:
    """Draw straight lines through the points, and read them off at evenly spaced places."""
    return np.interp(np.linspace(0, 1, length), np.linspace(0, 1, len(x)), x)


def _smooth(x: Array, width: float = 2.0, reach: int = 8) -> Array:
    """Average each point with its neighbours by a Gaussian; the ends are mirrored."""
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
    return np.convolve(np.pad(x, reach, mode="symmetric"), weights / weights.sum(), mode="valid")
