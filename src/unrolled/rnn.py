"""The plain recurrent network: one step as the equation reads, and the same thing fast."""

from typing import NamedTuple

import numpy as np

from unrolled._validate import Array, check_float, check_same_dtype, check_shape
from unrolled.params import Recurrent


class RNNCache(NamedTuple):
    """What the backward pass of an RNN needs."""

    params: Recurrent
    x: Array  # (T, B, D)
    h: Array  # (T+1, B, H); h[0] is the initial state, h[1:] the output


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
        If ``x_t`` does not hold floating-point numbers, or ``h_prev`` has another dtype.

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
    D, H = _check_params(params)
    check_float("x_t", x_t)
    check_shape("x_t", x_t, B=None, D=D)
    check_shape("h_prev", h_prev, B=len(x_t), H=H)
    check_same_dtype("h_prev", h_prev, "x_t", x_t)
    W_ih, W_hh, b_ih, b_hh = params
    return np.tanh(x_t @ W_ih.T + b_ih + h_prev @ W_hh.T + b_hh)


def rnn_forward(
    params: Recurrent, x: Array, h0: Array | None = None
) -> tuple[Array, Array, RNNCache]:
    """Run the cell over a whole sequence, in time-major layout.

    Equal to a loop over ``rnn_cell``, and faster: the product ``W_ih x_t`` does not depend on the
    state, so it is done for all steps in one matrix product before the loop.

    Parameters
    ----------
    params : Recurrent
        ``W_ih`` (H, D), ``W_hh`` (H, H), ``b_ih`` (H,), ``b_hh`` (H,).
    x : ndarray of shape (T, B, D)
        ``x[t-1]`` is the input of step t = 1…T.
    h0 : ndarray of shape (B, H), optional
        Initial state; zeros if left out.

    Returns
    -------
    out : ndarray of shape (T, B, H)
        ``out[t-1]`` is the state after step t. Read-only, like ``h_n``: copy it to change it.
    h_n : ndarray of shape (B, H)
        The last state, ``out[T-1]``.
    cache : RNNCache

    Raises
    ------
    ValueError
        If a shape does not fit.
    TypeError
        If ``x`` does not hold floating-point numbers, or ``h0`` has another dtype.

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
    D, H = _check_params(params)
    check_float("x", x)
    check_shape("x", x, T=None, B=None, D=D)
    T, B, _ = x.shape
    if T == 0:
        raise ValueError("x must have at least one time step, got T=0")
    if h0 is None:
        h0 = np.zeros((B, H), dtype=x.dtype)
    check_shape("h0", h0, B=B, H=H)
    check_same_dtype("h0", h0, "x", x)
    W_ih, W_hh, b_ih, b_hh = params

    # In 2-D: NumPy's product of 3-D arrays is not one matrix product, and slower.
    a_x = (x.reshape(T * B, D) @ W_ih.T + (b_ih + b_hh)).reshape(T, B, H)
    h = np.empty((T + 1, B, H), dtype=a_x.dtype)
    h[0] = h0
    for t in range(1, T + 1):
        np.tanh(a_x[t - 1] + h[t - 1] @ W_hh.T, out=h[t])
    # The results are views of the cache: to write into them would corrupt it.
    h.flags.writeable = False
    return h[1:], h[T], RNNCache(params, x, h)


def _check_params(params: Recurrent) -> tuple[int, int]:
    """Check the shapes of a plain RNN's parameters against each other; return D and H."""
    check_shape("W_ih", params.W_ih, H=None, D=None)
    H, D = params.W_ih.shape
    check_shape("W_hh", params.W_hh, H=H, H_=H)
    check_shape("b_ih", params.b_ih, H=H)
    check_shape("b_hh", params.b_hh, H=H)
    return D, H
