"""The LSTM: one step as the equations read, and the same thing fast, there and back."""

from typing import NamedTuple

import numpy as np

from unrolled._lengths import has_ended, hide_padding, window
from unrolled._recurrent import check_recurrent, check_upstream
from unrolled._validate import Array, check_same_dtype, check_shape
from unrolled.functional import sigmoid
from unrolled.params import Recurrent


class LSTMCache(NamedTuple):
    """What the backward pass of an LSTM needs."""

    params: Recurrent
    x: Array  # (T, B, D)
    h: Array  # (T+1, B, H); h[0] is the initial state, h[1:] the output
    c: Array  # (T+1, B, H)
    gates: Array  # (4, T, B, H): i, f, g, o
    lengths: Array | None = None  # (B,)

    @property
    def i(self) -> Array:
        """Input gates, (T, B, H)."""
        return self.gates[0]

    @property
    def f(self) -> Array:
        """Forget gates, (T, B, H)."""
        return self.gates[1]

    @property
    def g(self) -> Array:
        """Candidates, (T, B, H)."""
        return self.gates[2]

    @property
    def o(self) -> Array:
        """Output gates, (T, B, H)."""
        return self.gates[3]

    def steps(self, start: int, stop: int) -> "LSTMCache":
        """Cut out steps start…stop-1, counted from 0; backward then runs over these alone."""
        return LSTMCache(
            self.params,
            self.x[start:stop],
            self.h[start : stop + 1],
            self.c[start : stop + 1],
            self.gates[:, start:stop],
            window(self.lengths, start, stop, T=len(self.x)),
        )


def lstm_cell(params: Recurrent, x_t: Array, h_prev: Array, c_prev: Array) -> tuple[Array, Array]:
    """Take one step: ``c_t = f * c_{t-1} + i * g`` and ``h_t = o * tanh(c_t)``.

    The gates i, f, o are ``sigmoid`` and the candidate g is ``tanh`` of their rows of
    ``a_t = W_ih x_t + b_ih + W_hh h_{t-1} + b_hh``.

    Parameters
    ----------
    params : Recurrent
        ``W_ih`` (4H, D), ``W_hh`` (4H, H), ``b_ih`` (4H,), ``b_hh`` (4H,); rows i|f|g|o.
    x_t : ndarray of shape (B, D)
        Input of this step.
    h_prev, c_prev : ndarray of shape (B, H)
        Output and cell state after the step before.

    Returns
    -------
    h_t, c_t : ndarray of shape (B, H)

    Raises
    ------
    ValueError
        If a shape does not fit.
    TypeError
        If ``x_t`` does not hold floating-point numbers, or anything else has another dtype.

    Examples
    --------
    With weights of zero every gate is half open and the candidate is 0: the cell keeps half.

    >>> zero = np.zeros((4, 1))
    >>> params = Recurrent(W_ih=zero, W_hh=zero, b_ih=np.zeros(4), b_hh=np.zeros(4))
    >>> h, c = lstm_cell(params, np.ones((1, 1)), np.ones((1, 1)), np.ones((1, 1)))
    >>> h.round(4), c
    (array([[0.2311]]), array([[0.5]]))

    Notes
    -----
    Chapter 5, "One step, then all of them"; Hochreiter & Schmidhuber (1997), with the forget gate
    of Gers, Schmidhuber & Cummins (2000). Equal to ``torch.nn.LSTMCell``.
    """
    D, H = check_recurrent(params, 4, "x_t", x_t)
    check_shape("x_t", x_t, B=None, D=D)
    for name, state in (("h_prev", h_prev), ("c_prev", c_prev)):
        check_shape(name, state, B=len(x_t), H=H)
        check_same_dtype(name, state, "x_t", x_t)
    W_ih, W_hh, b_ih, b_hh = params
    a = x_t @ W_ih.T + b_ih + h_prev @ W_hh.T + b_hh
    a_i, a_f, a_g, a_o = np.split(a, 4, axis=1)
    i, f, g, o = sigmoid(a_i), sigmoid(a_f), np.tanh(a_g), sigmoid(a_o)
    c_t = f * c_prev + i * g
    return o * np.tanh(c_t), c_t


def lstm_forward(
    params: Recurrent,
    x: Array,
    h0: Array | None = None,
    c0: Array | None = None,
    *,
    lengths: Array | None = None,
) -> tuple[Array, tuple[Array, Array], LSTMCache]:
    """Run the cell over a whole sequence, in time-major layout.

    Equal to a loop over ``lstm_cell``, and faster: one product for all inputs, one tanh a step.

    Parameters
    ----------
    params : Recurrent
        ``W_ih`` (4H, D), ``W_hh`` (4H, H), ``b_ih`` (4H,), ``b_hh`` (4H,); rows i|f|g|o.
    x : ndarray of shape (T, B, D)
        ``x[t-1]`` is the input of step t. Kept in the cache: do not change it before backward.
    h0, c0 : ndarray of shape (B, H), optional
        Initial states; zeros if left out.
    lengths : integer ndarray of shape (B,), optional
        Number of steps of each sequence, from 1 to T. What ``x`` holds after the end has no
        influence; there ``out`` repeats the last state.

    Returns
    -------
    out : ndarray of shape (T, B, H)
        ``out[t-1]`` is h after step t. Read-only, like the final states: copy it to change it.
    (h_n, c_n) : ndarrays of shape (B, H)
        The last states: of each sequence, those at its own end.
    cache : LSTMCache

    Raises
    ------
    ValueError
        If a shape or a length does not fit.
    TypeError
        If ``x`` does not hold floating-point numbers, or anything else has another dtype; if
        ``lengths`` does not hold whole numbers.

    Examples
    --------
    >>> from unrolled.params import init_lstm
    >>> params = init_lstm(2, 4, rng=np.random.default_rng(0))
    >>> out, (h_n, c_n), cache = lstm_forward(params, np.ones((5, 3, 2)))
    >>> out.shape, c_n.shape, cache.f.shape
    ((5, 3, 4), (3, 4), (5, 3, 4))

    Notes
    -----
    Chapter 5, "One step, then all of them"; Hochreiter & Schmidhuber (1997). Equal to
    ``torch.nn.LSTM``.
    """
    D, H = check_recurrent(params, 4, "x", x)
    check_shape("x", x, T=None, B=None, D=D)
    T, B, _ = x.shape
    if T == 0:
        raise ValueError("x must have at least one time step, got T=0")
    h0 = np.zeros((B, H), dtype=x.dtype) if h0 is None else h0
    c0 = np.zeros((B, H), dtype=x.dtype) if c0 is None else c0
    for name, state in (("h0", h0), ("c0", c0)):
        check_shape(name, state, B=B, H=H)
        check_same_dtype(name, state, "x", x)
    x, lengths, ended = hide_padding(x, lengths)
    W_ih, W_hh, b_ih, b_hh = params

    # A gate is an axis of its own, so that it is one block of memory at every step.
    gates = np.matmul(x.reshape(T * B, D), W_ih.reshape(4, H, D).swapaxes(1, 2))
    gates += (b_ih + b_hh).reshape(4, 1, H)
    gates = gates.reshape(4, T, B, H)  # what the inputs add, and gates in its place
    W = np.ascontiguousarray(W_hh.reshape(4, H, H).swapaxes(1, 2))  # one W_hh^T for each gate
    h = np.empty((T + 1, B, H), dtype=x.dtype)
    c = np.empty_like(h)
    h[0], c[0] = h0, c0
    i, f, g, o = a = np.empty((4, B, H), dtype=x.dtype)
    # s * tanh(s * a) + (1 - s) is tanh(a) where s = 1, and sigmoid(a) where s = 1/2.
    s = np.full_like(a, 0.5)
    s[2] = 1.0
    shift = 1 - s
    for t in range(1, T + 1):
        np.matmul(h[t - 1], W, out=a)
        a += gates[:, t - 1]
        a *= s
        np.tanh(a, out=a)
        a *= s
        a += shift
        gates[:, t - 1] = a
        np.add(f * c[t - 1], i * g, out=c[t])
        np.multiply(o, np.tanh(c[t]), out=h[t])
        if ended is not None:  # a sequence that has ended keeps its last states
            np.copyto(h[t], h[t - 1], where=ended[t - 1])
            np.copyto(c[t], c[t - 1], where=ended[t - 1])
    # The results are views of the cache: to write into them would corrupt it.
    for array in (h, c, gates):
        array.flags.writeable = False
    return h[1:], (h[T], c[T]), LSTMCache(params, x, h, c, gates, lengths)


def lstm_backward(
    cache: LSTMCache,
    dout: Array | None = None,
    dh_n: Array | None = None,
    dc_n: Array | None = None,
) -> tuple[Array, tuple[Array, Array], Recurrent]:
    """Carry gradients back through ``lstm_forward``, from the last step to the first.

    ``dc_t`` sums two paths, from step t+1 and through ``h_t = o * tanh(c_t)``; backwards in time
    it is only ever multiplied by f: ``dc_{t-1} = f * dc_t``. With ``a`` the sum that enters a gate,
    ``da_i = dc g i (1 - i)``, ``da_f = dc c_{t-1} f (1 - f)``, ``da_g = dc i (1 - g^2)``,
    ``da_o = dh tanh(c) o (1 - o)``, and ``dh_{t-1} = W_hh^T da``.

    Parameters
    ----------
    cache : LSTMCache
        As ``lstm_forward`` returned it, or ``cache.steps(start, stop)``.
    dout : ndarray of shape (T, B, H), optional
        Gradient with respect to ``out``, also what it repeats after an end; zero if left out.
    dh_n, dc_n : ndarray of shape (B, H), optional
        Gradients with respect to the final states, beyond what ``dout`` holds; zero if left out.

    Returns
    -------
    dx : ndarray of shape (T, B, D)
        Exactly 0 after the end of a sequence.
    (dh0, dc0) : ndarrays of shape (B, H)
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
    >>> from unrolled.params import init_lstm
    >>> params = init_lstm(2, 4, rng=np.random.default_rng(0))
    >>> out, (h_n, c_n), cache = lstm_forward(params, np.ones((5, 3, 2)))
    >>> dx, (dh0, dc0), grads = lstm_backward(cache, np.ones_like(out), dc_n=np.ones_like(c_n))
    >>> dx.shape, dc0.shape, grads.W_hh.shape
    ((5, 3, 2), (3, 4), (16, 4))

    Notes
    -----
    Chapter 5, "The way back"; Hochreiter & Schmidhuber (1997).
    """
    check_upstream(cache.h, dout, dh_n=dh_n, dc_n=dc_n)
    (W_ih, W_hh, _, _), x, h, c, gates, lengths = cache
    (T, B, D), H = x.shape, h.shape[2]
    ended = has_ended(lengths, T)

    da = np.empty((T, B, 4 * H), dtype=h.dtype)
    W = W_hh.reshape(4, H, H)
    dh = np.zeros_like(h[0]) if dh_n is None else dh_n
    dc = np.zeros_like(h[0]) if dc_n is None else dc_n
    da_i, da_f, da_g, da_o = da_t = np.empty((4, B, H), dtype=h.dtype)
    tanh_c = np.tanh(c[1:])
    for t in range(T, 0, -1):
        i, f, g, o = gates[:, t - 1]
        if dout is not None:
            dh = dh + dout[t - 1]
        # The derivatives in fewer products: ig = i * g, fc = f * c and h = o * tanh(c) stand for
        # their parts, so that c_{t-1} f (1 - f), for one, is fc - fc * f.
        ig, fc = i * g, f * c[t - 1]
        dc_t = dc + dh * (o - h[t] * tanh_c[t - 1])
        dc_prev = dc_t * f
        np.multiply(dc_t, ig - ig * i, out=da_i)
        np.multiply(dc_t, fc - fc * f, out=da_f)
        np.multiply(dc_t, i - ig * g, out=da_g)
        np.multiply(dh, h[t] - h[t] * o, out=da_o)
        da[t - 1].reshape(B, 4, H).swapaxes(0, 1)[:] = da_t
        dh_i, dh_f, dh_g, dh_o = np.matmul(da_t, W)  # da @ W_hh, gate by gate
        dh_prev = dh_i + dh_f + dh_g + dh_o
        if ended is not None:  # the states were kept: so are their gradients; nothing else gets any
            np.copyto(dh_prev, dh, where=ended[t - 1])
            np.copyto(dc_prev, dc, where=ended[t - 1])
            np.copyto(da[t - 1], 0, where=ended[t - 1])
        dh, dc = dh_prev, dc_prev

    # The sums over all steps, each as one matrix product.
    da = da.reshape(T * B, 4 * H)
    db = da.sum(axis=0)
    grads = Recurrent(
        W_ih=da.T @ x.reshape(T * B, D),
        W_hh=da.T @ h[:-1].reshape(T * B, H),
        b_ih=db,
        b_hh=db.copy(),
    )
    return (da @ W_ih).reshape(T, B, D), (dh, dc), grads
