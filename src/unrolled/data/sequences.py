"""From raw sequences to arrays: windows of a series, letters to ids, and padding."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import DTypeLike

from unrolled._validate import Array, check_shape

PAD, UNKNOWN = 0, 1


class Vocabulary:
    """A sorted list of symbols and the number of each.

    Id 0 is padding and id 1 stands for every symbol that was not in the training text.

    Parameters
    ----------
    texts : iterable of str, or of sequences of str
        The training texts, and only they: a symbol that first appears in the test part must
        meet the model as unknown.

    Attributes
    ----------
    symbols : list of str
        ``symbols[id - 2]`` is the symbol of an id.

    Examples
    --------
    >>> vocabulary = Vocabulary(["Bo", "Abo"])
    >>> len(vocabulary), vocabulary.symbols
    (6, ['A', 'B', 'b', 'o'])
    >>> vocabulary.encode("Boy")
    array([3, 5, 1])
    """

    def __init__(self, texts: Iterable[Iterable[str]]) -> None:
        self.symbols = sorted({symbol for text in texts for symbol in text})
        self._ids = {symbol: i for i, symbol in enumerate(self.symbols, start=2)}

    def __len__(self) -> int:
        """Count the ids, padding and unknown included: V."""
        return len(self.symbols) + 2

    def encode(self, text: Iterable[str]) -> Array:
        """Turn a text into an int64 array of shape (T,), one id a symbol."""
        return np.array([self._ids.get(symbol, UNKNOWN) for symbol in text], dtype=np.int64)


def one_hot(ids: Array, V: int, *, dtype: DTypeLike = np.float64) -> Array:
    """Turn ids into vectors that are 1 at the id and 0 elsewhere.

    Parameters
    ----------
    ids : integer ndarray of shape (...)
        Each from 0 to V - 1.
    V : int
        Size of the vocabulary.
    dtype : dtype, default float64

    Returns
    -------
    ndarray of shape (..., V)

    Raises
    ------
    ValueError
        If an id is not in the range 0 to V - 1.
    TypeError
        If ``ids`` does not hold integers.

    Examples
    --------
    >>> one_hot(np.array([2, 0]), 3)
    array([[0., 0., 1.],
           [1., 0., 0.]])

    Notes
    -----
    Chapter 2, "Letters are not numbers".
    """
    ids = np.asarray(ids)
    if not np.issubdtype(ids.dtype, np.integer):
        raise TypeError(f"ids must hold integers, got dtype {ids.dtype}")
    if ids.size and (ids.min() < 0 or ids.max() >= V):
        raise ValueError(f"ids must lie in 0..{V - 1}, got values from {ids.min()} to {ids.max()}")
    vectors = np.zeros((*ids.shape, V), dtype=dtype)
    np.put_along_axis(vectors, ids[..., None], 1, axis=-1)
    return vectors


def pad(
    sequences: Sequence[Array], *, length: int | None = None, value: float = PAD
) -> tuple[Array, Array]:
    """Put sequences of different lengths into one time-major array.

    Parameters
    ----------
    sequences : sequence of ndarray of shape (T_b, ...)
        At least one, none of them empty, alike in everything but T_b.
    length : int, optional
        T; if left out, the largest T_b.
    value : number, default 0
        What to fill the rest with.

    Returns
    -------
    padded : ndarray of shape (T, B, ...)
    lengths : int64 ndarray of shape (B,)

    Raises
    ------
    ValueError
        If there is no sequence, one is empty or longer than ``length``, or they are not alike in
        dtype and in all sizes but the first.

    Examples
    --------
    >>> padded, lengths = pad([np.array([5, 6, 7]), np.array([8])])
    >>> padded
    array([[5, 8],
           [6, 0],
           [7, 0]])
    >>> lengths
    array([3, 1])

    Notes
    -----
    Chapter 2, "Sequences of unequal length".
    """
    lengths = np.array([len(sequence) for sequence in sequences], dtype=np.int64)
    if lengths.size == 0 or lengths.min() == 0:
        raise ValueError(f"sequences must hold at least one step each, got lengths {lengths}")
    T = int(lengths.max()) if length is None else length
    if lengths.max() > T:
        raise ValueError(f"sequences must hold at most length={T} steps, got {lengths.max()}")
    first = np.asarray(sequences[0])
    kinds = {(np.shape(sequence)[1:], np.asarray(sequence).dtype) for sequence in sequences}
    if len(kinds) > 1:
        found = ", ".join(sorted(f"{shape} {dtype}" for shape, dtype in kinds))
        raise ValueError(f"sequences must be alike in shape (T_b, ...) and dtype, got {found}")
    padded = np.full((T, len(sequences), *first.shape[1:]), value, dtype=first.dtype)
    for b, sequence in enumerate(sequences):
        padded[: lengths[b], b] = sequence
    return padded, lengths


def sliding_windows(series: Array, *, length: int, horizon: int) -> tuple[Array, Array]:
    """Cut a series into overlapping windows, and find what each one is to predict.

    Window i holds steps i to i + length - 1; its target is ``horizon`` steps after its last one.
    To keep the future out of training, cut the series at the split first and then each part
    into windows: no window and no target then crosses the cut.

    Parameters
    ----------
    series : ndarray of shape (N, F)
    length : int
        Steps in a window, at least 1.
    horizon : int
        How far ahead the target lies, at least 1.

    Returns
    -------
    windows : ndarray of shape (length, M, F)
        Time-major; M = N - length - horizon + 1.
    targets : ndarray of shape (M, F)

    Raises
    ------
    ValueError
        If the series is too short for one window and its target.

    Examples
    --------
    >>> windows, targets = sliding_windows(np.arange(5.0)[:, None], length=2, horizon=1)
    >>> windows[:, :, 0]
    array([[0., 1., 2.],
           [1., 2., 3.]])
    >>> targets[:, 0]
    array([2., 3., 4.])

    Notes
    -----
    Chapter 2, "Sliding windows without leakage".
    """
    check_shape("series", series, N=None, F=None)
    if length < 1 or horizon < 1:
        raise ValueError(f"length and horizon must be at least 1, got {length} and {horizon}")
    M = len(series) - length - horizon + 1
    if M < 1:
        raise ValueError(
            f"series must have at least length + horizon = {length + horizon} steps, "
            f"got {len(series)}"
        )
    windows = np.lib.stride_tricks.sliding_window_view(series[: M + length - 1], length, axis=0)
    return np.moveaxis(windows, -1, 0).copy(), series[length + horizon - 1 :].copy()


def minibatches(size: int, *, batch: int, rng: np.random.Generator) -> Iterator[Array]:
    """Go once through the indices 0…size - 1 in random order, ``batch`` of them at a time.

    The last batch may be smaller: every example is seen once an epoch.

    Examples
    --------
    >>> [len(b) for b in minibatches(10, batch=4, rng=np.random.default_rng(0))]
    [4, 4, 2]
    """
    if size < 1 or batch < 1:
        raise ValueError(f"size and batch must be at least 1, got {size} and {batch}")
    order = rng.permutation(size)
    # Not a generator function: one would check its arguments, and draw, only when first asked.
    return (order[start : start + batch] for start in range(0, size, batch))
