"""Gradients in time: how large they are at each lag, and how to keep them from exploding."""

from collections import deque
from collections.abc import Iterator
from typing import Any, TypeVar

import numpy as np

from unrolled._validate import Array, check_positive, check_shape
from unrolled.layers import Cache, State, layer_backward, layer_of, state_parts
from unrolled.params import tree_arrays, tree_map

Grads = TypeVar("Grads")


def global_norm(grads: Grads) -> float:
    """Length of all gradients together, as one long vector: ``sqrt(sum of squares)``.

    Parameters
    ----------
    grads : ndarray, NamedTuple of them, or tuples of those

    Returns
    -------
    float
        Computed in float64, and without overflow: gradients that explode can still be measured.

    Examples
    --------
    >>> global_norm((np.array([3.0, 0.0]), np.array([[4.0]])))
    5.0
    """
    arrays = [np.abs(array, dtype=np.float64) for array in tree_arrays(grads)]
    largest = np.max([array.max(initial=0.0) for array in arrays], initial=0.0)
    if largest == 0 or not np.isfinite(largest):
        return float(largest)
    return float(largest * np.sqrt(sum(np.sum((array / largest) ** 2) for array in arrays)))


def clip_by_norm(grads: Grads, max_norm: float) -> tuple[Grads, float]:
    """Shorten the gradients to a norm of at most ``max_norm``, all by the same factor.

    ``grads * min(1, max_norm / norm)``, where the norm is that of all arrays together: the
    direction of the step is kept.

    Parameters
    ----------
    grads : ndarray, NamedTuple of them, or tuples of those
    max_norm : float
        Greater than 0.

    Returns
    -------
    grads : like ``grads``
        The arrays that were given, where nothing is to be done.
    norm : float
        Before clipping.

    Raises
    ------
    ValueError
        If ``max_norm`` is not positive, or a gradient is NaN or infinite: there is no direction
        to keep.

    Examples
    --------
    >>> clip_by_norm(np.array([3.0, 4.0]), 1.0)
    (array([0.6, 0.8]), 5.0)

    Notes
    -----
    Chapter 4, "The wall"; Pascanu, Mikolov & Bengio (2013). As ``torch.nn.utils.clip_grad_norm_``,
    which adds 1e-6 to the norm that it divides by.
    """
    check_positive("max_norm", max_norm)
    norm = _finite_norm(grads)
    if norm <= max_norm:
        return grads, norm
    # A float64 factor: in float32 that of a huge gradient would lose digits, or be zero.
    scale = np.float64(max_norm / norm)
    return tree_map(lambda grad: (grad * scale).astype(grad.dtype), grads), norm


def clip_by_value(grads: Grads, limit: float) -> Grads:
    """Cut each number of the gradients to the range ±``limit``. This changes their direction.

    Parameters
    ----------
    grads : ndarray, NamedTuple of them, or tuples of those
    limit : float
        Greater than 0.

    Returns
    -------
    grads : like ``grads``

    Raises
    ------
    ValueError
        If ``limit`` is not positive, or a gradient is NaN or infinite.

    Examples
    --------
    >>> clip_by_value(np.array([3.0, -0.5]), 1.0)
    array([ 1. , -0.5])

    Notes
    -----
    Chapter 4, "By norm or by value?". For finite gradients equal to
    ``torch.nn.utils.clip_grad_value_``.
    """
    check_positive("limit", limit)
    _finite_norm(grads)
    limit = float(limit)  # one np.float64 would widen float32
    return tree_map(lambda grad: np.clip(grad, -limit, limit), grads)


def state_jacobian(cache: Cache, *, of: str = "h", wrt: str = "h") -> Array:
    """Compute the Jacobian of the last state with respect to the initial one: ``dh_n / dh_0``.

    Row i is what the backward pass makes of the i-th unit vector.

    Parameters
    ----------
    cache : RNNCache, GRUCache or LSTMCache
        As the forward pass returned it, or some of its ``steps``.
    of, wrt : {"h", "c"}
        Which part of the state: "c" for the LSTM's cell. The other part of the initial state is
        held fixed.

    Returns
    -------
    ndarray of shape (B, H, H)
        ``[b, i, j]`` is the derivative of the last state's number i by the initial one's number j.

    Raises
    ------
    ValueError
        If the layer has no such state.

    Examples
    --------
    >>> from unrolled.params import Recurrent
    >>> from unrolled.rnn import rnn_forward
    >>> params = Recurrent(np.zeros((2, 1)), np.diag([0.9, 0.5]), np.zeros(2), np.zeros(2))
    >>> state_jacobian(rnn_forward(params, np.zeros((2, 1, 1)))[2]).round(2)
    array([[[0.81, 0.  ],
            [0.  , 0.25]]])

    Notes
    -----
    Chapter 4, "A chain of factors"; Bengio, Simard & Frasconi (1994).
    """
    return deque(_jacobians(cache, of, wrt), maxlen=1).pop()


def jacobian_norms(cache: Cache, *, of: str = "h", wrt: str = "h") -> Array:
    """Measure how far back the last state feels a change: ``||dh_T / dh_{T-k}||`` for each lag k.

    Parameters
    ----------
    cache : RNNCache, GRUCache or LSTMCache
    of, wrt : {"h", "c"}
        As for ``state_jacobian``.

    Returns
    -------
    ndarray of shape (T+1, B)
        Spectral norms, by lag: ``[0]`` is 1, or 0 where ``of`` and ``wrt`` differ.

    Examples
    --------
    >>> from unrolled.params import Recurrent
    >>> from unrolled.rnn import rnn_forward
    >>> params = Recurrent(np.zeros((2, 1)), 0.5 * np.eye(2), np.zeros(2), np.zeros(2))
    >>> jacobian_norms(rnn_forward(params, np.zeros((3, 1, 1)))[2])[:, 0]
    array([1.   , 0.5  , 0.25 , 0.125])

    Notes
    -----
    Chapter 4, "How fast does it vanish?"; Pascanu, Mikolov & Bengio (2013).
    """
    return np.stack([np.linalg.norm(J, ord=2, axis=(1, 2)) for J in _jacobians(cache, of, wrt)])


def gradient_norms(cache: Cache, dstate_n: State, *, wrt: str = "h") -> Array:
    """Measure a gradient on its way back through time: ``||dL / dh_{T-k}||`` for each lag k.

    Parameters
    ----------
    cache : RNNCache, GRUCache or LSTMCache
    dstate_n : ndarray of shape (B, H), or for the LSTM a pair (dh_n, dc_n) of them
        Gradient of a loss that reads the last state alone.
    wrt : {"h", "c"}

    Returns
    -------
    ndarray of shape (T+1, B)
        By lag: ``[0]`` is the norm of ``dstate_n`` itself.

    Examples
    --------
    >>> from unrolled.params import Recurrent
    >>> from unrolled.rnn import rnn_forward
    >>> params = Recurrent(np.zeros((2, 1)), 0.5 * np.eye(2), np.zeros(2), np.zeros(2))
    >>> gradient_norms(rnn_forward(params, np.zeros((3, 1, 1)))[2], np.array([[3.0, 4.0]]))[:, 0]
    array([5.   , 2.5  , 1.25 , 0.625])

    Notes
    -----
    Chapter 4, "What went wrong in chapter 2"; Hochreiter (1991).
    """
    part = _part(cache, "wrt", wrt)
    zeros = np.zeros_like(cache.h[0])
    given = state_parts(layer_of(cache), "dstate_n", dstate_n)
    if all(array is None for array in given):
        raise ValueError("dstate_n must be given, got None")
    dstate = tuple(zeros if array is None else array for array in given)
    for name, array in zip(("dh_n", "dc_n"), dstate):
        check_shape(name, array, **dict(zip(("B", "H"), zeros.shape)))
    walk = _back_through_time(cache, dstate)
    return np.stack([np.linalg.norm(step[part], axis=1) for step in walk])


def _finite_norm(grads: object) -> float:
    norm = global_norm(grads)
    if not np.isfinite(norm):
        raise ValueError(f"grads must be finite, got {norm}")
    return norm


def _part(cache: Cache, name: str, state: str) -> int:
    """Look up which part of the state is meant."""
    choices = ("h", "c")[: layer_of(cache).states]
    if state not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {state!r}")
    return choices.index(state)


def _back_through_time(
    cache: Cache, dstate: tuple[Array, ...], copies: int = 1
) -> Iterator[tuple[Array, ...]]:
    """Yield the gradient of the state, (dh,) or (dh, dc), at T, T-1, …, 0."""
    yield dstate
    for t in range(len(cache.x), 0, -1):
        step = _copies(cache.steps(t - 1, t), copies)
        given = dstate if len(dstate) == 2 else dstate[0]
        _, taken, _ = layer_backward(step, None, given)
        dstate = taken if len(dstate) == 2 else (taken,)
        yield dstate


def _jacobians(cache: Cache, of: str, wrt: str) -> Iterator[Array]:
    """Yield the Jacobian (B, H, H) of the last state by the one at T, T-1, …, 0."""
    row, column = _part(cache, "of", of), _part(cache, "wrt", wrt)
    B, H = cache.h.shape[1:]
    # Each unit vector is one more example of the batch, so that one pass carries all of them.
    units = np.tile(np.eye(H, dtype=cache.h.dtype), (B, 1))
    parts = [np.zeros_like(units) for _ in range(layer_of(cache).states)]
    parts[row] = units
    for dstate in _back_through_time(cache, tuple(parts), copies=H):
        yield dstate[column].reshape(B, H, H)


def _copies(cache: Cache, n: int) -> Cache:
    """Let each example stand n times in a row. Every array of a cache is (…, B, …) but lengths."""
    repeated: dict[str, Any] = {
        name: np.repeat(value, n, axis=0 if name == "lengths" else -2)
        for name, value in cache._asdict().items()
        if isinstance(value, np.ndarray)
    }
    return cache._replace(**repeated)
