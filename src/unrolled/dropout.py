"""Dropout: numbers set to zero at random while training, on a layer's input or inside its loop."""

from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from unrolled._validate import Array, check_float, check_same_dtype, check_shape
from unrolled.layers import Cache, State, get_layer, layer_backward, layer_forward, state_parts
from unrolled.params import Recurrent, tree_map


class MaskedCache(NamedTuple):
    """What ``masked_layer_backward`` needs: one cache a step, and the masks."""

    steps: tuple[Cache, ...]
    h_mask: Array | None  # (T, B, H), (B, H), or None
    c_mask: Array | None


def dropout_mask(
    shape: tuple[int, ...], p: float, *, rng: np.random.Generator, dtype: DTypeLike = np.float64
) -> Array:
    """Draw a mask of inverted dropout: 0 with probability p, else ``1 / (1 - p)``.

    Its mean is 1, so that nothing needs to be rescaled when the network is used without it.

    Parameters
    ----------
    shape : tuple of int
    p : float
        Share that is dropped, at least 0 and less than 1.
    rng : numpy.random.Generator
    dtype : dtype, default float64

    Returns
    -------
    ndarray of that shape

    Raises
    ------
    ValueError
        If ``p`` is not in that range.

    Examples
    --------
    >>> dropout_mask((2, 3), 0.5, rng=np.random.default_rng(0))
    array([[2., 0., 0.],
           [0., 2., 2.]])

    Notes
    -----
    Chapter 7, "Switching units off"; Srivastava et al. (2014).
    """
    if not 0 <= p < 1:
        raise ValueError(f"p must be at least 0 and less than 1, got {p}")
    return np.where(rng.random(shape) < p, 0.0, 1.0 / (1.0 - p)).astype(dtype)


def dropout_forward(
    x: Array, p: float, *, rng: np.random.Generator, per: str = "element"
) -> tuple[Array, Array]:
    """Multiply by a fresh mask: ``out = x * mask``. To evaluate, leave the call out.

    Parameters
    ----------
    x : ndarray of shape (T, B, H); of any shape if ``per`` is "element"
    p : float
        Share that is dropped, at least 0 and less than 1.
    rng : numpy.random.Generator
    per : {"element", "sequence"}
        "sequence" draws one mask (B, H) for all time steps.

    Returns
    -------
    out : ndarray of the shape of ``x``
    mask : ndarray of the shape of ``x``, or (B, H)

    Raises
    ------
    ValueError
        If ``p`` or ``per`` is none of these, or a sequence has not the shape (T, B, H).
    TypeError
        If ``x`` does not hold floating-point numbers.

    Examples
    --------
    >>> out, mask = dropout_forward(np.ones((4, 1, 3)), 0.5, rng=np.random.default_rng(0))
    >>> out, mask = dropout_forward(out, 0.5, rng=np.random.default_rng(1), per="sequence")
    >>> out.shape, mask.shape
    ((4, 1, 3), (1, 3))

    Notes
    -----
    Chapter 7, "Switching units off"; Zaremba, Sutskever & Vinyals (2014) between layers, Gal &
    Ghahramani (2016) with one mask a sequence.
    """
    check_float("x", x)
    if per not in ("element", "sequence"):
        raise ValueError(f"per must be one of element, sequence, got {per!r}")
    if per == "sequence":
        check_shape("x", x, T=None, B=None, H=None)
    shape = x.shape if per == "element" else x.shape[1:]
    mask = dropout_mask(shape, p, rng=rng, dtype=x.dtype)
    return x * mask, mask


def dropout_backward(mask: Array, dout: Array) -> Array:
    """Carry a gradient back through ``dropout_forward``: ``dx = dout * mask``.

    Parameters
    ----------
    mask : ndarray
        As ``dropout_forward`` returned it.
    dout : ndarray of the shape of ``out``

    Returns
    -------
    dx : ndarray of the shape of ``dout``

    Raises
    ------
    ValueError
        If ``dout`` has not the shape of the mask, with or without time before it.

    Examples
    --------
    >>> dropout_backward(np.array([2.0, 0.0]), np.array([[1.0, 3.0], [5.0, 7.0]]))
    array([[ 2.,  0.],
           [10.,  0.]])
    """
    shape = np.shape(dout)
    if mask.shape not in (shape, shape[1:]):
        raise ValueError(f"dout must have shape {mask.shape} or (T, *{mask.shape}), got {shape}")
    return dout * mask


def masked_layer_forward(
    cell: str,
    params: Recurrent,
    x: Array,
    state: State = None,
    *,
    h_mask: Array | None = None,
    c_mask: Array | None = None,
) -> tuple[Array, State, MaskedCache]:
    """Run a layer step by step, and multiply the old state by a mask before each step.

    ``h_t, c_t = step(x_t, h_{t-1} * h_mask_t, c_{t-1} * c_mask_t)``; the outputs and the last
    state are as the step made them.

    Parameters
    ----------
    cell : {"rnn", "gru", "lstm"}
    params : Recurrent
    x : ndarray of shape (T, B, D)
    state : ndarray of shape (B, H), or for the LSTM a pair (h, c) of them, optional
    h_mask, c_mask : ndarray of shape (B, H), the same at each step, or (T, B, H), optional
        From ``dropout_mask``. ``c_mask`` is for the LSTM's cell.

    Returns
    -------
    out : ndarray of shape (T, B, H)
    state_n : like ``state``
    cache : MaskedCache

    Raises
    ------
    ValueError
        If a mask does not fit, or ``c_mask`` is given to a layer that has no cell; and as
        ``layer_forward``.
    TypeError
        If a mask has not the dtype of ``x``.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> params, x = get_layer("lstm").init(2, 4, rng=rng), np.ones((5, 3, 2))
    >>> mask = dropout_mask((3, 4), 0.5, rng=rng)  # one a sequence
    >>> masked_layer_forward("lstm", params, x, h_mask=mask)[0].shape
    (5, 3, 4)

    Notes
    -----
    Chapter 7, "Where may a mask go?"; Gal & Ghahramani (2016).
    """
    layer = get_layer(cell)
    check_float("x", x)
    check_shape("x", x, T=None, B=None, D=None)
    T, B, _ = x.shape
    if T == 0:
        raise ValueError("x must have at least one time step, got T=0")
    H = params.W_hh.shape[-1]
    if c_mask is not None and layer.states == 1:
        raise ValueError(f"c_mask must be left out for a {cell}, which has no cell")
    for name, mask in (("h_mask", h_mask), ("c_mask", c_mask)):
        if mask is not None:
            steps = {"T": T} if np.ndim(mask) == 3 else {}
            check_shape(name, mask, **steps, B=B, H=H)
            check_same_dtype(name, mask, "x", x)
    # Here, since a product with the mask would broadcast a state of the wrong shape.
    for name, part in zip(("h0", "c0"), state_parts(layer, "state", state)):
        if part is not None:
            check_shape(name, part, B=B, H=H)
    out, caches = [], []
    for t in range(T):
        state = _masked(state, h_mask, c_mask, t)
        out_t, state, cache = layer_forward(cell, params, x[t : t + 1], state)
        out.append(out_t)
        caches.append(cache)
    return np.concatenate(out), state, MaskedCache(tuple(caches), h_mask, c_mask)


def masked_layer_backward(
    cache: MaskedCache, dout: Array | None = None, dstate_n: State = None
) -> tuple[Array, State, Recurrent]:
    """Carry gradients back through ``masked_layer_forward``, and through the same masks.

    Takes ``dout`` (T, B, H) and ``dstate_n``, like ``state_n``; returns ``dx`` (T, B, D),
    ``dstate`` and ``grads``. The masks are no parameters and have no gradient.
    """
    steps, h_mask, c_mask = cache
    if dout is not None:
        _, B, H = steps[0].h.shape
        check_shape("dout", dout, T=len(steps), B=B, H=H)
    dx, dstate = np.empty_like(steps[0].x, shape=(len(steps), *steps[0].x.shape[1:])), dstate_n
    grads = tree_map(np.zeros_like, steps[0].params)
    for t in reversed(range(len(steps))):
        dout_t = None if dout is None else dout[t : t + 1]
        dx[t : t + 1], dstate, grads_t = layer_backward(steps[t], dout_t, dstate)
        dstate = _masked(dstate, h_mask, c_mask, t)
        grads = tree_map(np.add, grads, grads_t)
    return dx, dstate, grads


def _masked(state: State, h_mask: Array | None, c_mask: Array | None, t: int) -> State:
    """Multiply h, or h and c, by their masks of step t."""

    def times(part: Array | None, mask: Array | None) -> Array | None:
        if part is None or mask is None:
            return part
        return part * (mask[t] if mask.ndim == 3 else mask)

    if isinstance(state, tuple | list):
        return tuple(times(part, mask) for part, mask in zip(state, (h_mask, c_mask)))
    return times(state, h_mask)
