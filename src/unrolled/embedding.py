"""Embeddings: one learned vector for each symbol, looked up by the symbol's number."""

from typing import NamedTuple

import numpy as np

from unrolled._validate import Array, check_float, check_same_dtype, check_shape


class EmbeddingCache(NamedTuple):
    """What the backward pass of an embedding needs."""

    W: Array  # (V, E)
    ids: Array  # (...)


def embedding_forward(W: Array, ids: Array) -> tuple[Array, EmbeddingCache]:
    """Look up the row of each id: ``out = W[ids]``.

    This is the product of a one-hot vector and W, without the multiplications by zero.

    Parameters
    ----------
    W : ndarray of shape (V, E)
        One row a symbol.
    ids : integer ndarray of shape (...)
        Each from 0 to V - 1; in time-major layout (T, B).

    Returns
    -------
    out : ndarray of shape (..., E)
    cache : EmbeddingCache

    Raises
    ------
    ValueError
        If ``W`` has not two axes, or an id is not in the range 0 to V - 1: NumPy would count a
        negative one from the end.
    TypeError
        If ``W`` does not hold floating-point numbers, or ``ids`` no integers.

    Examples
    --------
    >>> W = np.array([[0.0, 0.5], [1.0, 1.5], [2.0, 2.5]])
    >>> embedding_forward(W, np.array([2, 0]))[0]
    array([[2. , 2.5],
           [0. , 0.5]])

    Notes
    -----
    Chapter 8, "An encoder and a decoder"; Bengio, Ducharme, Vincent & Jauvin (2003). Equal to
    ``torch.nn.Embedding``.
    """
    check_float("W", W)
    check_shape("W", W, V=None, E=None)
    ids = np.asarray(ids)
    if not np.issubdtype(ids.dtype, np.integer):
        raise TypeError(f"ids must hold integers, got dtype {ids.dtype}")
    V = len(W)
    if ids.size and (ids.min() < 0 or ids.max() >= V):
        raise ValueError(f"ids must lie in 0..{V - 1}, got values from {ids.min()} to {ids.max()}")
    return W[ids], EmbeddingCache(W, ids)


def embedding_backward(cache: EmbeddingCache, dout: Array) -> Array:
    """Carry a gradient back through ``embedding_forward``.

    ``dW[v] = sum of dout over the places where ids == v``; a row that was not looked up gets 0.
    There is no gradient of the ids: they are not numbers to be moved a little.

    Parameters
    ----------
    cache : EmbeddingCache
        As ``embedding_forward`` returned it.
    dout : ndarray of shape (..., E)
        Gradient of the loss with respect to ``out``.

    Returns
    -------
    dW : ndarray of shape (V, E)

    Raises
    ------
    ValueError
        If ``dout`` has not the shape of ``out``.
    TypeError
        If ``dout`` has not the dtype of ``W``.

    Examples
    --------
    >>> out, cache = embedding_forward(np.zeros((3, 2)), np.array([2, 0, 2]))
    >>> embedding_backward(cache, np.ones_like(out))
    array([[1., 1.],
           [0., 0.],
           [2., 2.]])

    Notes
    -----
    Chapter 8, "The way back".
    """
    W, ids = cache
    V, E = W.shape
    sizes = {f"N{i}": size for i, size in enumerate(ids.shape, start=1)}
    check_shape("dout", dout, **sizes, E=E)
    check_same_dtype("dout", dout, "W", W)
    # dW[ids] += dout would keep only the last of several gradients for one row. Number by number,
    # because NumPy adds at single places several times faster than at rows.
    dW = np.zeros(V * E, dtype=W.dtype)
    first = E * ids.astype(np.int64)[..., None]  # int64: small integers would overflow
    np.add.at(dW, (first + np.arange(E)).ravel(), dout.ravel())
    return dW.reshape(V, E)
