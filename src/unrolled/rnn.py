"""The plain recurrent network: one step as the equation reads, and the same thing fast."""

from typing import NamedTuple

import numpy as np

from unrolled._lengths import has_ended, hide_padding, window
from unrolled._recurrent import check_recurrent, check_upstream
from unrolled._validate import Array, check_same_dtype, check_shape
from unrolled.params import Recurrent


class RNNCache(NamedTuple):
    """What the backward pass of an RNN needs."""

    params: Recurrent
    x: Array  # (T, B, D)
    h: Array  # (T+1, B, H); h[0] is the initial state, h[1:] the output
    lengths: Array | None = None  # (B,)

    def steps(self, start: int, stop: int) -> "RNNCache":
        """Cut out steps start…stop-1, counted from 0; backward then runs over these alone."""
        return RNNCache(
            self.params,
            self.x[start:stop],
            self.h[start : stop + 1],
            window(self.lengths, start, stop, T=len(self.x)),
        )


def rnn_cell(params: Recurrent, x_t: Array, h_prev: Array) -> Array:
    """Take one step: ``h_t = tanh(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh)``.

    Parameters
    ----------
    params : Recurrent
        ``W_ih`` (H, D), ``W_hh`` (H, H), ``b_ih`` (H,), ``b_hh`` (H,).
    x_t : ndarray of shape (B, D)
        Input of this step.
    h_prev : ndarray of shape (B, H)
        State after the step before.

    Returns
    -------
    h_t : ndarray of shape (B, H)

    Raises
    ------
    ValueError
        If a shape does not fit.
    TypeError
        If ``x_t`` does not hold floating-point numbers, or anything else has another dtype.

    Examples
    --------
    >>> one = np.ones((1, 1))
    >>> params = Recurrent(W_ih=one, W_hh=one, b_ih=np.zeros(1), b_hh=np.zeros(1))
    >>> rnn_cell(params, 0.25 * one, 0.25 * one).round(4)
    array([[0.4621]])

    Notes
    -----
    Chapter 2, "One step, then all of them"; Elman (1990). Equal to ``torch.nn.RNNCell``.
    """
    D, H = check_recurrent(params, 1, "x_t", x_t)
    check_shape("x_t", x_t, B=None, D=D)
    check_shape("h_prev", h_prev, B=len(x_t), H=H)
    check_same_dtype("h_prev", h_prev, "x_t", x_t)
    W_ih, W_hh, b_ih, b_hh = params
    return np.tanh(x_t @ W_ih.T + b_ih + h_prev @ W_hh.T + b_hh)


def rnn_forward(
    params: Recurrent, x: Array, h0: Array | None = None, *, lengths: Array | None = None
) -> tuple[Array, Array, RNNCache]:
    """Run the cell over a whole sequence, in time-major layout.

    Equal to a loop over ``rnn_cell``, and faster: the product ``W_ih x_t`` does not depend on the
    state, so it is done for all steps in one matrix product before the loop.

    Parameters
    ----------
    params : Recurrent
        ``W_ih`` (H, D), ``W_hh`` (H, H), ``b_ih`` (H,), ``b_hh`` (H,).
    x : ndarray of shape (T, B, D)
        ``x[t-1]`` is the input of step t. Kept in the cache: do not change it before backward.
    h0 : ndarray of shape (B, H), optional
        Initial state; zeros if left out.
    lengths : integer ndarray of shape (B,), optional
        Number of steps of each sequence, from 1 to T. What ``x`` holds after the end has no
        influence; there ``out`` repeats the last state.

    Returns
    -------
    out : ndarray of shape (T, B, H)
        ``out[t-1]`` is the state after step t. Read-only, like ``h_n``: copy it to change it.
    h_n : ndarray of shape (B, H)
        The last state, ``out[T-1]``: of each sequence, that at its own end.
    cache : RNNCache

    Raises
    ------
    ValueError
        If a shape or a length does not fit.
    TypeError
        If ``x`` does not hold floating-point numbers, or anything else has another dtype; if
        ``lengths`` does not hold whole numbers.

    Examples
    --------
    >>> from unrolled.params import init_rnn
    >>> params = init_rnn(2, 4, rng=np.random.default_rng(0))
    >>> out, h_n, cache = rnn_forward(params, np.ones((5, 3, 2)))
    >>> out.shape, h_n.shape, cache.h.shape
    ((5, 3, 4), (3, 4), (6, 3, 4))

    Notes
    -----
    Chapter 2, "One step, then all of them". Equal to ``torch.nn.RNN``.
    """
    D, H = check_recurrent(params, 1, "x", x)
    check_shape("x", x, T=None, B=None, D=D)
    T, B, _ = x.shape
    if T == 0:
        raise ValueError("x must have at least one time step, got T=0")
    if h0 is None:
        h0 = np.zeros((B, H), dtype=x.dtype)
    check_shape("h0", h0, B=B, H=H)
    check_same_dtype("h0", h0, "x", x)
    x, lengths, ended = hide_padding(x, lengths)
    W_ih, W_hh, b_ih, b_hh = params

    # In 2-D: NumPy's product of 3-D arrays is not one matrix product, and slower.
    a_x = (x.reshape(T * B, D) @ W_ih.T + (b_ih + b_hh)).reshape(T, B, H)
    h = np.empty((T + 1, B, H), dtype=a_x.dtype)
    h[0] = h0
    for t in range(1, T + 1):
        np.tanh(a_x[t - 1] + h[t - 1] @ W_hh.T, out=h[t])
        if ended is not None:  # a sequence that has ended keeps its last state
            np.copyto(h[t], h[t - 1], where=ended[t - 1])
    # The results are views of the cache: to write into them would corrupt it.
    h.flags.writeable = False
    return h[1:], h[T], RNNCache(params, x, h, lengths)


def rnn_backward(
    cache: RNNCache, dout: Array | None = None, dh_n: Array | None = None
) -> tuple[Array, Array, Recurrent]:
    """Carry gradients back through ``rnn_forward``, from the last step to the first.

    Into ``h_t`` flows what ``out`` sends, and what comes back from step t+1. Through tanh it
    becomes ``da_t = dh_t * (1 - h_t^2)``, and ``dh_{t-1} = W_hh^T da_t``. All steps share their
    weights, so the gradients of the weights are sums over t: ``dW_hh = sum of da_t h_{t-1}^T``.

    Parameters
    ----------
    cache : RNNCache
        As ``rnn_forward`` returned it, or ``cache.steps(start, stop)``.
    dout : ndarray of shape (T, B, H), optional
        Gradient with respect to ``out``, also what it repeats after an end; zero if left out.
    dh_n : ndarray of shape (B, H), optional
        Gradient with respect to ``h_n``, beyond what ``dout`` holds; zero if left out.

    Returns
    -------
    dx : ndarray of shape (T, B, D)
        Exactly 0 after the end of a sequence.
    dh0 : ndarray of shape (B, H)
    grads : Recurrent
        Gradients with respect to the parameters.

    Raises
    ------
    ValueError
        If a shape does not fit, or no gradient is given.
    TypeError
        If a gradient has another dtype than ``out``.

    Examples
    --------
    >>> from unrolled.params import init_rnn
    >>> params = init_rnn(2, 4, rng=np.random.default_rng(0))
    >>> out, h_n, cache = rnn_forward(params, np.ones((5, 3, 2)))
    >>> dx, dh0, grads = rnn_backward(cache, dh_n=np.ones_like(h_n))
    >>> dx.shape, dh0.shape, grads.W_hh.shape
    ((5, 3, 2), (3, 4), (4, 4))

    Notes
    -----
    Chapter 3, "The same in code"; Werbos (1990).
    """
    check_upstream(cache.h, dout, dh_n=dh_n)
    (W_ih, W_hh, _, _), x, h, lengths = cache
    (T, B, D), H = x.shape, h.shape[2]
    ended = has_ended(lengths, T)

    da = np.empty_like(h[1:])
    dh = np.zeros_like(h[0]) if dh_n is None else dh_n
    for t in range(T, 0, -1):
        if dout is not None:
            dh = dh + dout[t - 1]
        np.multiply(dh, 1 - h[t] * h[t], out=da[t - 1])
        dh_prev = da[t - 1] @ W_hh
        if ended is not None:  # the state was kept: so is its gradient, and nothing else gets any
            np.copyto(dh_prev, dh, where=ended[t - 1])
            np.copyto(da[t - 1], 0, where=ended[t - 1])
        dh = dh_prev

    # The sums over all steps, each as one matrix product.
    da = da.reshape(T * B, H)
    db = da.sum(axis=0)
    grads = Recurrent(
        W_ih=da.T @ x.reshape(T * B, D),
        W_hh=da.T @ h[:-1].reshape(T * B, H),
        b_ih=db,
        b_hh=db.copy(),
    )
    return (da @ W_ih).reshape(T, B, D), dh, grads
