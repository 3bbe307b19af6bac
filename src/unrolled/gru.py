"""The GRU: one step as the equations read, and the same thing fast, there and back."""

from typing import NamedTuple

import numpy as np

from unrolled._lengths import has_ended, hide_padding, window
from unrolled._recurrent import check_recurrent, check_upstream
from unrolled._validate import Array, check_same_dtype, check_shape
from unrolled.functional import sigmoid
from unrolled.params import Recurrent


class GRUCache(NamedTuple):
    """What the backward pass of a GRU needs."""

    params: Recurrent
    x: Array  # (T, B, D)
    h: Array  # (T+1, B, H); h[0] is the initial state, h[1:] the output
    gates: Array  # (T, B, 3H); r|z|n
    m: Array  # (T, B, H); what r multiplies: W_hn h_{t-1} + b_hn
    lengths: Array | None = None  # (B,)

    @property
    def r(self) -> Array:
        """Reset gates, (T, B, H)."""
        return np.split(self.gates, 3, axis=2)[0]

    @property
    def z(self) -> Array:
        """Update gates, (T, B, H): the share of the state that is kept."""
        return np.split(self.gates, 3, axis=2)[1]

    @property
    def n(self) -> Array:
        """Candidates, (T, B, H)."""
        return np.split(self.gates, 3, axis=2)[2]

    def steps(self, start: int, stop: int) -> "GRUCache":
        """Cut out steps start…stop-1, counted from 0; backward then runs over these alone."""
        return GRUCache(
            self.params,
            self.x[start:stop],
            self.h[start : stop + 1],
            self.gates[start:stop],
            self.m[start:stop],
            window(self.lengths, start, stop, T=len(self.x)),
        )


def gru_cell(params: Recurrent, x_t: Array, h_prev: Array) -> Array:
    """Take one step: ``h_t = (1 - z) * n + z * h_{t-1}``.

    ``r = sigmoid(W_ir x_t + b_ir + W_hr h_{t-1} + b_hr)``, ``z`` alike with its own rows, and the
    candidate is ``n = tanh(W_in x_t + b_in + r * (W_hn h_{t-1} + b_hn))``.

    Parameters
    ----------
    params : Recurrent
        ``W_ih`` (3H, D), ``W_hh`` (3H, H), ``b_ih`` (3H,), ``b_hh`` (3H,); rows r|z|n.
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
    With weights of zero both gates are half open and the candidate is 0: half the state is kept.

    >>> zero = np.zeros((3, 1))
    >>> params = Recurrent(W_ih=zero, W_hh=zero, b_ih=np.zeros(3), b_hh=np.zeros(3))
    >>> gru_cell(params, np.ones((1, 1)), np.ones((1, 1)))
    array([[0.5]])

    Notes
    -----
    Chapter 6, "One step, then all of them"; Cho et al. (2014), in the variant of torch: r
    multiplies after the product with ``W_hn``, and z is the share that is kept. Equal to
    ``torch.nn.GRUCell``.
    """
    D, H = check_recurrent(params, 3, "x_t", x_t)
    check_shape("x_t", x_t, B=None, D=D)
    check_shape("h_prev", h_prev, B=len(x_t), H=H)
    check_same_dtype("h_prev", h_prev, "x_t", x_t)
    W_ih, W_hh, b_ih, b_hh = params
    x_r, x_z, x_n = np.split(x_t @ W_ih.T + b_ih, 3, axis=1)
    h_r, h_z, m = np.split(h_prev @ W_hh.T + b_hh, 3, axis=1)
    r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
    n = np.tanh(x_n + r * m)
    return (1 - z) * n + z * h_prev


def gru_forward(
    params: Recurrent, x: Array, h0: Array | None = None, *, lengths: Array | None = None
) -> tuple[Array, Array, GRUCache]:
    """Run the cell over a whole sequence, in time-major layout.

    Equal to a loop over ``gru_cell``, and faster: one product for the inputs of all steps.

    Parameters
    ----------
    params : Recurrent
        ``W_ih`` (3H, D), ``W_hh`` (3H, H), ``b_ih`` (3H,), ``b_hh`` (3H,); rows r|z|n.
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
    cache : GRUCache

    Raises
    ------
    ValueError
        If a shape or a length does not fit.
    TypeError
        If ``x`` does not hold floating-point numbers, or anything else has another dtype; if
        ``lengths`` does not hold whole numbers.

    Examples
    --------
    >>> from unrolled.params import init_gru
    >>> params = init_gru(2, 4, rng=np.random.default_rng(0))
    >>> out, h_n, cache = gru_forward(params, np.ones((5, 3, 2)))
    >>> out.shape, h_n.shape, cache.z.shape
    ((5, 3, 4), (3, 4), (5, 3, 4))

    Notes
    -----
    Chapter 6, "One step, then all of them"; Cho et al. (2014). Equal to ``torch.nn.GRU``.
    """
    D, H = check_recurrent(params, 3, "x", x)
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

    gates = (x.reshape(T * B, D) @ W_ih.T + b_ih).reshape(T, B, 3 * H)
    # In the loop the gates stand in an axis before B: so each is one block of memory.
    a_x = gates.reshape(T, B, 3, H).swapaxes(1, 2)  # a view, where a gate takes its input's place
    W = np.ascontiguousarray(W_hh.reshape(3, H, H).swapaxes(1, 2))  # one W_hh^T for each gate
    b = b_hh.reshape(3, 1, H)
    h = np.empty((T + 1, B, H), dtype=x.dtype)
    m = np.empty_like(h[1:])
    h[0] = h0
    r, z, n = a = np.empty((3, B, H), dtype=x.dtype)
    rz = a[:2]
    for t in range(1, T + 1):
        np.matmul(h[t - 1], W, out=a)
        a += b
        rz += a_x[t - 1, :2]
        rz *= 0.5  # the sigmoid 0.5 * tanh(0.5 * a) + 0.5, in place
        np.tanh(rz, out=rz)
        rz *= 0.5
        rz += 0.5
        m[t - 1] = n
        n *= r
        n += a_x[t - 1, 2]
        np.tanh(n, out=n)
        a_x[t - 1] = a
        np.add(n, z * (h[t - 1] - n), out=h[t])
        if ended is not None:  # a sequence that has ended keeps its last state
            np.copyto(h[t], h[t - 1], where=ended[t - 1])
    # The results are views of the cache: to write into them would corrupt it.
    for array in (h, gates, m):
        array.flags.writeable = False
    return h[1:], h[T], GRUCache(params, x, h, gates, m, lengths)


def gru_backward(
    cache: GRUCache, dout: Array | None = None, dh_n: Array | None = None
) -> tuple[Array, Array, Recurrent]:
    """Carry gradients back through ``gru_forward``, from the last step to the first.

    With ``a`` the sum that enters a gate, ``da_n = dh (1 - z) (1 - n^2)``,
    ``da_z = dh (h_{t-1} - n) z (1 - z)`` and ``da_r = da_n m r (1 - r)``. The state reaches its
    successor by two paths: ``dh_{t-1} = z * dh + W_hh^T (da_r, da_z, r * da_n)``.

    Parameters
    ----------
    cache : GRUCache
        As ``gru_forward`` returned it, or ``cache.steps(start, stop)``.
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
    >>> from unrolled.params import init_gru
    >>> params = init_gru(2, 4, rng=np.random.default_rng(0))
    >>> out, h_n, cache = gru_forward(params, np.ones((5, 3, 2)))
    >>> dx, dh0, grads = gru_backward(cache, dh_n=np.ones_like(h_n))
    >>> dx.shape, dh0.shape, grads.W_hh.shape
    ((5, 3, 2), (3, 4), (12, 4))

    Notes
    -----
    Chapter 6, "The way back"; Cho et al. (2014).
    """
    check_upstream(cache.h, dout, dh_n=dh_n)
    (W_ih, W_hh, _, _), x, h, gates, m, lengths = cache
    (T, B, D), H = x.shape, h.shape[2]
    ended = has_ended(lengths, T)

    # r stands between n and the state, so the two sides of n have each their own gradient.
    da_x, da_h = np.empty_like(gates), np.empty_like(gates)
    dh = np.zeros_like(h[0]) if dh_n is None else dh_n
    r, z, n = gates_t = np.empty((3, B, H), dtype=h.dtype)
    da_r, da_z, da_n = da_t = np.empty_like(gates_t)
    for t in range(T, 0, -1):
        gates_t[:] = gates[t - 1].reshape(B, 3, H).swapaxes(0, 1)
        if dout is not None:
            dh = dh + dout[t - 1]
        kept = dh * z
        np.multiply(dh - kept, 1 - n * n, out=da_n)
        np.multiply(da_n * m[t - 1], r - r * r, out=da_r)
        np.multiply(kept - kept * z, h[t - 1] - n, out=da_z)
        da_x[t - 1].reshape(B, 3, H).swapaxes(0, 1)[:] = da_t
        da_n *= r
        da_h[t - 1].reshape(B, 3, H).swapaxes(0, 1)[:] = da_t
        dh_prev = da_h[t - 1] @ W_hh
        dh_prev += kept
        if ended is not None:  # the state was kept: so is its gradient, and nothing else gets any
            np.copyto(dh_prev, dh, where=ended[t - 1])
            np.copyto(da_x[t - 1], 0, where=ended[t - 1])
            np.copyto(da_h[t - 1], 0, where=ended[t - 1])
        dh = dh_prev

    # The sums over all steps, each as one matrix product.
    da_x, da_h = da_x.reshape(T * B, 3 * H), da_h.reshape(T * B, 3 * H)
    grads = Recurrent(
        W_ih=da_x.T @ x.reshape(T * B, D),
        W_hh=da_h.T @ h[:-1].reshape(T * B, H),
        b_ih=da_x.sum(axis=0),
        b_hh=da_h.sum(axis=0),
    )
    return (da_x @ W_ih).reshape(T, B, D), dh, grads
