"""Sequences of different lengths in one batch: what is a step, and what is padding."""

import numpy as np

from unrolled._validate import Array, check_shape


def check_lengths(lengths: Array, T: int, B: int) -> Array:
    """Raise unless ``lengths`` holds B whole numbers from 1 to T; return a copy of them.

    Examples
    --------
    >>> check_lengths(np.array([3, 7]), T=5, B=2)
    Traceback (most recent call last):
    ValueError: lengths must lie between 1 and T=5, got 7
    """
    if not isinstance(lengths, np.ndarray):
        raise TypeError(f"lengths must be a NumPy array, got {type(lengths).__name__}")
    if not np.issubdtype(lengths.dtype, np.integer):
        raise TypeError(f"lengths must hold whole numbers, got dtype {lengths.dtype}")
    check_shape("lengths", lengths, B=B)
    outside = lengths[(lengths < 1) | (lengths > T)]
    if outside.size:
        raise ValueError(f"lengths must lie between 1 and T={T}, got {outside[0]}")
    return lengths.astype(np.int64)  # unsigned numbers would wrap around in a difference


def alive(lengths: Array, T: int) -> Array:
    """Tell for each of T steps which sequences have not ended: bool of shape (T, B).

    Examples
    --------
    >>> alive(np.array([1, 3]), 3).astype(int)
    array([[1, 1],
           [0, 1],
           [0, 1]])
    """
    steps: Array = np.arange(T)[:, None] < lengths
    return steps


def has_ended(lengths: Array | None, T: int) -> Array | None:
    """Tell which steps are padding: bool of shape (T, B, 1), or ``None`` if none can be.

    Examples
    --------
    >>> has_ended(np.array([1, 3]), 3)[:, :, 0].astype(int)
    array([[0, 0],
           [1, 0],
           [1, 0]])
    """
    return None if lengths is None else ~alive(lengths, T)[:, :, None]


def hide_padding(x: Array, lengths: Array | None) -> tuple[Array, Array | None, Array | None]:
    """Check the lengths; return x with zeros after each end, the lengths, and what has ended.

    Examples
    --------
    >>> x, lengths, ended = hide_padding(np.full((3, 2, 1), np.nan), np.array([1, 2]))
    >>> x[:, :, 0]
    array([[nan, nan],
           [ 0., nan],
           [ 0.,  0.]])
    """
    if lengths is None:
        return x, None, None
    T, B, _ = x.shape
    lengths = check_lengths(lengths, T, B)
    ended = ~alive(lengths, T)[:, :, None]
    # 0 times NaN is NaN: padding has to go before the first product, not after it.
    return np.where(ended, 0, x), lengths, ended


def window(lengths: Array | None, start: int, stop: int, T: int) -> Array | None:
    """Count the steps that each sequence has among start..stop-1; perhaps none.

    Examples
    --------
    >>> window(np.array([1, 3, 6]), 2, 4, T=6)
    array([0, 1, 2])
    """
    if not 0 <= start < stop <= T:
        raise ValueError(
            f"steps must lie within 0 <= start < stop <= T={T}, got start={start}, stop={stop}"
        )
    return None if lengths is None else np.clip(lengths - start, 0, stop - start)
