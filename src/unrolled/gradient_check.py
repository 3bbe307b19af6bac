"""Gradients by finite differences: the judge of every backward pass that is written by hand."""

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from unrolled._validate import Array, check_positive
from unrolled.params import tree_arrays, tree_map

Params = TypeVar("Params")


def numerical_grad(loss: Callable[[Params], float], params: Params, *, eps: float = 1e-5) -> Params:
    """Measure the gradient of a function by moving each number a little to both sides.

    ``dL/dp ≈ (L(p + eps) - L(p - eps)) / (2 eps)``, one number at a time. The error of this
    formula shrinks as ``eps^2``, until rounding takes over; in float64 an ``eps`` of 1e-5 is near
    the best.

    Parameters
    ----------
    loss : callable
        Takes ``params`` and returns one number.
    params : float64 ndarray, NamedTuple of them, or tuples of those
        Where to measure. Not changed.
    eps : float, default 1e-5

    Returns
    -------
    The structure of ``params``.

    Raises
    ------
    TypeError
        If an array is not float64: in float32 rounding drowns the difference.

    Examples
    --------
    >>> numerical_grad(lambda p: float((p**2).sum()), np.array([1.0, 3.0])).round(6)
    array([2., 6.])

    Notes
    -----
    Chapter 1, "Trust, but measure".
    """
    check_positive("eps", eps)
    for array in tree_arrays(params):
        if np.asarray(array).dtype != np.float64:
            raise TypeError(f"params must be float64, got {np.asarray(array).dtype}")
    # Work on a copy, so that the caller's arrays are never moved, not even for a moment.
    moved = tree_map(np.array, params)

    def grad_of(array: Array) -> Array:
        grad = np.empty_like(array)
        for index in np.ndindex(array.shape):
            value = array[index]
            array[index] = value + eps
            up = loss(moved)
            array[index] = value - eps
            down = loss(moved)
            array[index] = value
            grad[index] = (up - down) / (2.0 * eps)
        return grad

    return tree_map(grad_of, moved)


def relative_error(actual: Params, expected: Params) -> float:
    """Compare two gradients: the largest difference over the largest value of either.

    Parameters
    ----------
    actual, expected : ndarray, or the same structure of them

    Returns
    -------
    float
        The worst array's ``max|actual - expected| / max(max|actual|, max|expected|)``; 0 where
        both are all zero; NaN where either holds a NaN or an infinity, so that
        ``error < tolerance`` fails.

    Raises
    ------
    ValueError
        If the structures or shapes differ.

    Examples
    --------
    >>> relative_error(np.array([1.0, 2.0]), np.array([1.0, 2.5]))
    0.2
    """

    def error(a: Array, e: Array) -> float:
        if np.shape(a) != np.shape(e):
            raise ValueError(
                f"actual must have the shape of expected, {np.shape(e)}, got {np.shape(a)}"
            )
        if not (np.isfinite(a).all() and np.isfinite(e).all()):
            return float("nan")
        scale = np.maximum(np.max(np.abs(a)), np.max(np.abs(e)))
        return float(np.max(np.abs(a - e)) / scale) if scale != 0 else 0.0

    return float(np.max(tree_arrays(tree_map(error, actual, expected))))
