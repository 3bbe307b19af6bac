"""One place for the errors that bad arguments raise."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def check_shape(name: str, array: Array, **sizes: int | None) -> None:
    """Raise ``ValueError`` unless ``array`` has the named sizes, in order; ``None`` fits any.

    Examples
    --------
    >>> check_shape("h0", np.zeros((3, 4)), B=3, H=5)
    Traceback (most recent call last):
    ValueError: h0 must have shape (B=3, H=5), got (3, 4)
    """
    shape = np.shape(array)
    fits = len(shape) == len(sizes) and all(
        size is None or size == actual for size, actual in zip(sizes.values(), shape, strict=True)
    )
    if not fits:
        wanted = ", ".join(k if size is None else f"{k}={size}" for k, size in sizes.items())
        comma = "," if len(sizes) == 1 else ""
        raise ValueError(f"{name} must have shape ({wanted}{comma}), got {shape}")


def check_float(name: str, array: Array) -> None:
    """Raise ``TypeError`` unless ``array`` holds floating-point numbers.

    Examples
    --------
    >>> check_float("x", np.zeros(2, dtype=np.int64))
    Traceback (most recent call last):
    TypeError: x must hold floating-point numbers, got dtype int64
    """
    if not isinstance(array, np.ndarray | np.floating):
        raise TypeError(f"{name} must be a NumPy array, got {type(array).__name__}")
    dtype = array.dtype
    if not np.issubdtype(dtype, np.floating):
        raise TypeError(f"{name} must hold floating-point numbers, got dtype {dtype}")


def check_same_dtype(name: str, array: Array, other: str, reference: Array) -> None:
    """Raise ``TypeError`` unless two arrays have one dtype: NumPy would widen without a word.

    Examples
    --------
    >>> check_same_dtype("h0", np.zeros(1), "x", np.zeros(1, dtype=np.float32))
    Traceback (most recent call last):
    TypeError: h0 must have the dtype of x, float32, got float64
    """
    if not isinstance(array, np.ndarray | np.generic):
        raise TypeError(f"{name} must be a NumPy array, got {type(array).__name__}")
    if array.dtype != reference.dtype:
        raise TypeError(
            f"{name} must have the dtype of {other}, {reference.dtype}, got {array.dtype}"
        )


def check_positive(name: str, value: float) -> None:
    """Raise ``ValueError`` unless ``value`` is greater than zero.

    Examples
    --------
    >>> check_positive("lr", 0)
    Traceback (most recent call last):
    ValueError: lr must be greater than 0, got 0
    """
    if not value > 0:
        raise ValueError(f"{name} must be greater than 0, got {value}")
