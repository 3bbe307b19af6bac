"""Tasks that are generated: each asks for one kind of memory, over a distance that one sets."""

import numpy as np
from numpy.typing import DTypeLike

from unrolled._validate import Array
from unrolled.data.reber import ReberBatch, embedded_reber, is_legal, legal_next

__all__ = [
    "TEMPORAL_ORDER",
    "ReberBatch",
    "adding",
    "copy",
    "embedded_reber",
    "is_legal",
    "legal_next",
    "selective_copying",
    "temporal_order",
]

TEMPORAL_ORDER = "abcdXY"  # the symbol of each id


def adding(
    T: int, B: int, *, rng: np.random.Generator, dtype: DTypeLike = np.float32
) -> tuple[Array, Array]:
    """Draw the adding problem: remember two marked numbers and return their sum at the end.

    Each step brings a number drawn uniformly from [0, 1] and a mark, 0 or 1. Two steps are marked,
    one in each half of the sequence.

    Parameters
    ----------
    T, B : int
        Number of steps, at least 2, and of sequences.
    rng : numpy.random.Generator
    dtype : dtype, default float32

    Returns
    -------
    x : ndarray of shape (T, B, 2)
        Number and mark.
    y : ndarray of shape (B, 1)
        The sum of the two marked numbers.

    Raises
    ------
    ValueError
        If a size is too small.

    Examples
    --------
    >>> x, y = adding(10, 3, rng=np.random.default_rng(0))
    >>> bool(np.allclose((x[:, :, 0] * x[:, :, 1]).sum(axis=0), y[:, 0])), x.dtype
    (True, dtype('float32'))

    Notes
    -----
    Chapters 4 and 5; Le, Jaitly & Hinton (2015), with one mark in each half as in Arjovsky, Shah &
    Bengio (2016). Baseline: always to answer 1 has a mean squared error of 1/6 = 0.167, the
    variance of the sum. Hochreiter & Schmidhuber (1997) draw from [-1, 1]
    and ask for 0.5 + sum / 4 (baseline 1/24 = 0.042); their marks lie among the first ten steps and
    in the first half, a mark of -1 stands at both ends, and the length varies by a tenth.
    """
    _check_at_least(2, T=T)
    _check_at_least(1, B=B)
    x = np.zeros((T, B, 2), dtype=dtype)
    x[:, :, 0] = rng.uniform(size=(T, B))
    sequences = np.arange(B)
    first, second = rng.integers(T // 2, size=B), rng.integers(T // 2, T, size=B)
    x[first, sequences, 1] = x[second, sequences, 1] = 1
    y = x[first, sequences, 0] + x[second, sequences, 0]
    return x, y[:, None]


def temporal_order(T: int, B: int, *, rng: np.random.Generator) -> tuple[Array, Array]:
    """Draw the temporal order problem: two of X and Y came, and in one of four orders.

    One of them stands somewhere from step T/10 to 2T/10, another from step 5T/10 to 6T/10 (counted
    from 0); all other steps are a, b, c or d and mean nothing.

    Parameters
    ----------
    T, B : int
        Number of steps, at least 2, and of sequences.
    rng : numpy.random.Generator

    Returns
    -------
    x : int64 ndarray of shape (T, B)
        Ids of the symbols in ``TEMPORAL_ORDER``: a, b, c, d are 0 to 3, X is 4, Y is 5.
    y : int64 ndarray of shape (B,)
        The class: 0 for X…X, 1 for X…Y, 2 for Y…X, 3 for Y…Y.

    Raises
    ------
    ValueError
        If a size is too small.

    Examples
    --------
    >>> x, y = temporal_order(20, 1, rng=np.random.default_rng(1))
    >>> "".join(TEMPORAL_ORDER[i] for i in x[:, 0]), y
    ('bcddYaddabdbYdbbccaa', array([3]))

    Notes
    -----
    Chapters 4 and 5; Hochreiter & Schmidhuber (1997), task 6a, at T = 100. Baseline: guessing costs
    log 4 = 1.386 nats and errs in 75 % of the cases. In the paper the length varies from 100 to
    110, and two more symbols mark the beginning and the end; with one length none is needed.
    """
    _check_at_least(2, T=T)
    _check_at_least(1, B=B)
    x = rng.integers(4, size=(T, B))
    first = rng.integers(T // 10, 2 * T // 10 + 1, size=B)
    second = rng.integers(5 * T // 10, 6 * T // 10 + 1, size=B)
    y = rng.integers(4, size=B)
    sequences = np.arange(B)
    x[first, sequences] = 4 + y // 2
    x[second, sequences] = 4 + y % 2
    return x, y


def copy(
    T: int, B: int, *, symbols: int = 8, length: int = 10, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Draw the copy problem: M symbols, a long silence, and at a sign they are to be repeated.

    Input: M random symbols, T - 1 blanks, the sign, M blanks. Target: T + M blanks, the symbols.

    Parameters
    ----------
    T, B : int
        Steps between a symbol and its repetition, beyond M; number of sequences.
    symbols : int, default 8
        How many there are: K, with ids 0 to K - 1. The blank is K, the sign K + 1.
    length : int, default 10
        How many are to be remembered: M.
    rng : numpy.random.Generator

    Returns
    -------
    x, y : int64 ndarray of shape (T + 2M, B)

    Raises
    ------
    ValueError
        If a size is too small.

    Examples
    --------
    >>> x, y = copy(4, 1, symbols=3, length=2, rng=np.random.default_rng(0))
    >>> x[:, 0], y[:, 0]
    (array([2, 1, 3, 3, 3, 4, 3, 3]), array([3, 3, 3, 3, 3, 3, 2, 1]))

    Notes
    -----
    Chapter 8; Arjovsky, Shah & Bengio (2016), after Hochreiter & Schmidhuber (1997).
    Baseline: who knows when to speak and not what has a cross-entropy of M log K / (T + 2M).
    """
    return _copying(T, B, symbols, length, rng, scattered=False)


def selective_copying(
    T: int, B: int, *, symbols: int = 8, length: int = 10, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Draw the selective copy problem: as ``copy``, but the symbols lie scattered among the blanks.

    Their places are drawn anew for each sequence, from the T + M - 1 steps before the sign. To
    repeat what was seen a fixed number of steps ago no longer helps: one must look at what it is.

    Parameters
    ----------
    T, B, symbols, length, rng : as for ``copy``

    Returns
    -------
    x, y : int64 ndarray of shape (T + 2M, B)

    Raises
    ------
    ValueError
        If a size is too small.

    Examples
    --------
    >>> x, y = selective_copying(4, 1, symbols=3, length=2, rng=np.random.default_rng(0))
    >>> x[:, 0], y[:, 0]
    (array([3, 2, 1, 3, 3, 4, 3, 3]), array([3, 3, 3, 3, 3, 3, 2, 1]))

    Notes
    -----
    Chapter 15; Gu & Dao (2023), with 16 symbols in 4,096 steps. Baseline: as for ``copy``; over the
    last M steps alone, which are all that the paper scores, log K.
    """
    return _copying(T, B, symbols, length, rng, scattered=True)


def _copying(
    T: int, B: int, K: int, M: int, rng: np.random.Generator, *, scattered: bool
) -> tuple[Array, Array]:
    _check_at_least(1, T=T, B=B, symbols=K, length=M)
    message = rng.integers(K, size=(M, B))
    places = np.tile(np.arange(M)[:, None], B)
    if scattered:
        # The M places of a random order that come first are M places without repetition.
        places = np.sort(rng.random((T + M - 1, B)).argsort(axis=0)[:M], axis=0)
    x = np.full((T + 2 * M, B), K, dtype=np.int64)  # whatever the type of K
    y = x.copy()
    np.put_along_axis(x, places, message, axis=0)
    x[T + M - 1] = K + 1
    y[T + M :] = message
    return x, y


def _check_at_least(least: int, **sizes: int) -> None:
    for name, size in sizes.items():
        if size < least:
            raise ValueError(f"{name} must be at least {least}, got {size}")
