"""Truncated backpropagation through time: a long text in windows, the state carried on."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from unrolled._validate import Array, check_shape
from unrolled.layers import State, layer_backward, layer_forward
from unrolled.params import Recurrent, tree_map


def stream(ids: Array, batch: int) -> Array:
    """Lay a long text out as ``batch`` columns, each a contiguous piece of it.

    Row t+1 follows row t in every column, so that the state after one window is the right initial
    state of the next. What does not fill a whole row is dropped.

    Parameters
    ----------
    ids : ndarray of shape (N,)
    batch : int
        B, from 1 to N.

    Returns
    -------
    ndarray of shape (T, B), with T = N // B

    Raises
    ------
    ValueError
        If ``ids`` is no vector, or ``batch`` is not in that range.

    Examples
    --------
    >>> stream(np.arange(7), 2)
    array([[0, 3],
           [1, 4],
           [2, 5]])

    Notes
    -----
    Chapter 3, "A network that reads Shakespeare".
    """
    check_shape("ids", ids, N=None)
    if not 1 <= batch <= len(ids):
        raise ValueError(f"batch must lie between 1 and N={len(ids)}, got {batch}")
    T = len(ids) // batch
    return np.reshape(ids[: T * batch], (batch, T)).T.copy()


def windows(stream: Array, length: int) -> Iterator[tuple[Array, Array]]:
    """Cut a stream into windows that do not overlap, each with what it is to predict.

    ``y[t] = x[t+1]``: the last symbol of a window's y is the first of the next window's x.

    Parameters
    ----------
    stream : ndarray of shape (T, B)
        At least two steps.
    length : int
        Steps in a window, at least 1; the last window holds what is left.

    Returns
    -------
    iterator of (x, y), each an ndarray of shape (length, B)
        Copies.

    Raises
    ------
    ValueError
        If ``stream`` is no such array, or ``length`` is less than 1.

    Examples
    --------
    >>> [(x.ravel().tolist(), y.ravel().tolist()) for x, y in windows(np.arange(6)[:, None], 3)]
    [([0, 1, 2], [1, 2, 3]), ([3, 4], [4, 5])]

    Notes
    -----
    Chapter 3, "A network that reads Shakespeare".
    """
    check_shape("stream", stream, T=None, B=None)
    if len(stream) < 2:
        raise ValueError(f"stream must have at least two time steps, got T={len(stream)}")
    if length < 1:
        raise ValueError(f"length must be at least 1, got {length}")
    x, y = stream[:-1], stream[1:]
    # A generator, and not a function that yields: so the errors come at the call.
    return ((x[i : i + length].copy(), y[i : i + length].copy()) for i in range(0, len(x), length))


def truncated_bptt(
    cell: str,
    params: Recurrent,
    pieces: Iterable[Array],
    loss: Callable[[int, Array], tuple[float, Array]],
    state: State = None,
) -> tuple[float, Recurrent, State]:
    """Go forward and back through one window after the other, carrying the state, not its gradient.

    Each window starts from the last state of the one before it, taken as a constant: the gradient
    does not see further back than its window begins. The memory needed is that of one window.

    Parameters
    ----------
    cell : {"rnn", "gru", "lstm"}
    params : Recurrent
    pieces : iterable of ndarray of shape (T_k, B, D)
        The windows of the input, at least one. With a single one this is full BPTT.
    loss : callable
        Takes the number k = 0, 1, … of a window and its output (T_k, B, H), and returns the
        window's loss and the gradient with respect to that output.
    state : ndarray of shape (B, H), or for the LSTM a pair (h, c) of them, optional

    Returns
    -------
    total : float
        Sum of the windows' losses.
    grads : Recurrent
        Sum of the windows' gradients.
    state_n : like ``state``
        The state after the last window.

    Raises
    ------
    ValueError
        If there is no window, or as ``layer_forward``.

    Examples
    --------
    >>> from unrolled.params import init_rnn
    >>> rng = np.random.default_rng(0)
    >>> params, x = init_rnn(2, 4, rng=rng), rng.normal(size=(9, 3, 2))
    >>> summed = lambda k, out: (float(out.sum()), np.ones_like(out))
    >>> full, *_ = truncated_bptt("rnn", params, [x], summed)
    >>> cut, *_ = truncated_bptt("rnn", params, [x[:4], x[4:8], x[8:]], summed)
    >>> bool(np.isclose(full, cut))  # the losses are equal, the gradients are not
    True

    Notes
    -----
    Chapter 3, "Windows: truncated BPTT"; Williams & Peng (1990).
    """
    total, grads = 0.0, None
    for k, x in enumerate(pieces):
        value, window_grads, state = _one_window(cell, params, x, loss, k, state)
        total += value
        grads = window_grads if grads is None else tree_map(np.add, grads, window_grads)
    if grads is None:
        raise ValueError("pieces must hold at least one window, got none")
    return total, grads, state


def _one_window(
    cell: str,
    params: Recurrent,
    x: Array,
    loss: Callable[[int, Array], tuple[float, Array]],
    k: int,
    state: State,
) -> tuple[float, Recurrent, State]:
    out, state, cache = layer_forward(cell, params, x, state)
    value, dout = loss(k, out)
    _, _, grads = layer_backward(cache, dout)
    # A copy, as the state is a view that would keep the cache: this is all that outlives a window.
    return value, grads, tree_map(np.array, state)
