"""One way to run any of the three recurrent layers: forward, in both directions, stacked."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from unrolled._lengths import check_lengths
from unrolled._recurrent import check_type, parts_of
from unrolled._validate import Array, check_same_dtype, check_shape
from unrolled.gru import GRUCache, gru_backward, gru_cell, gru_forward
from unrolled.lstm import LSTMCache, lstm_backward, lstm_cell, lstm_forward
from unrolled.params import Recurrent, init_gru, init_lstm, init_rnn, tree_arrays
from unrolled.rnn import RNNCache, rnn_backward, rnn_cell, rnn_forward

State = Any  # what a layer carries from step to step: h, or (h, c) for the LSTM
Cache = RNNCache | GRUCache | LSTMCache


class Layer(NamedTuple):
    """The functions of one kind of recurrent layer, and what they pass on."""

    cell: Callable[..., Any]
    forward: Callable[..., Any]
    backward: Callable[..., Any]
    init: Callable[..., Recurrent]
    states: int  # 1: the state is h; 2: it is (h, c)
    cache: type[Cache]


LAYERS: dict[str, Layer] = {
    "rnn": Layer(rnn_cell, rnn_forward, rnn_backward, init_rnn, 1, RNNCache),
    "gru": Layer(gru_cell, gru_forward, gru_backward, init_gru, 1, GRUCache),
    "lstm": Layer(lstm_cell, lstm_forward, lstm_backward, init_lstm, 2, LSTMCache),
}


class Bidirectional(NamedTuple):
    """Parameters of two layers that read the same sequence from its two ends."""

    forward: Recurrent
    backward: Recurrent


class BidirectionalCache(NamedTuple):
    """What ``bidirectional_backward`` needs."""

    forward: Cache
    backward: Cache  # of the reversed sequence


def get_layer(name: str) -> Layer:
    """Look a kind of layer up by name.

    Examples
    --------
    >>> get_layer("ltsm")
    Traceback (most recent call last):
    ValueError: cell must be one of rnn, gru, lstm, got 'ltsm'
    """
    if name not in LAYERS:
        raise ValueError(f"cell must be one of {', '.join(LAYERS)}, got {name!r}")
    return LAYERS[name]


def layer_of(cache: Cache) -> Layer:
    """Find the kind of layer that a cache came from; ``TypeError`` if it came from none."""
    for layer in LAYERS.values():
        if isinstance(cache, layer.cache):
            return layer
    raise TypeError(f"cache must come from layer_forward, got {type(cache).__name__}")


def state_parts(layer: Layer, name: str, state: State) -> tuple[Array | None, ...]:
    """Take a state apart: (h,) or (h, c); of one that is None, each part is None."""
    return (state,) if layer.states == 1 else parts_of(name, state, "a pair (h, c)")


def layer_forward(
    cell: str, params: Recurrent, x: Array, state: State = None, *, lengths: Array | None = None
) -> tuple[Array, State, Cache]:
    """Run ``rnn_forward``, ``gru_forward`` or ``lstm_forward``, with the state as one argument.

    Parameters
    ----------
    cell : {"rnn", "gru", "lstm"}
    params : Recurrent
    x : ndarray of shape (T, B, D)
    state : ndarray of shape (B, H), or for the LSTM a pair (h, c) of them, optional
        Zeros if left out.
    lengths : integer ndarray of shape (B,), optional
        Where each sequence ends; all at T if left out. After it ``out`` repeats the last state.

    Returns
    -------
    out : ndarray of shape (T, B, H)
    state_n : like ``state``, for the next call
    cache : RNNCache, GRUCache or LSTMCache

    Raises
    ------
    ValueError
        If there is no such layer, ``state`` is no pair where one is needed, or a size does not fit.

    Examples
    --------
    >>> params = get_layer("lstm").init(2, 4, rng=np.random.default_rng(0))
    >>> out, state, cache = layer_forward("lstm", params, np.ones((5, 3, 2)))
    >>> out, state, cache = layer_forward("lstm", params, np.ones((5, 3, 2)), state)
    >>> out.shape, [part.shape for part in state]
    ((5, 3, 4), [(3, 4), (3, 4)])
    """
    layer = get_layer(cell)
    return layer.forward(params, x, *state_parts(layer, "state", state), lengths=lengths)


def layer_backward(
    cache: Cache, dout: Array | None = None, dstate_n: State = None
) -> tuple[Array, State, Recurrent]:
    """Carry gradients back through ``layer_forward``, whatever the layer was.

    Takes ``dout`` (T, B, H) and ``dstate_n``, like ``state_n``; returns ``dx`` (T, B, D),
    ``dstate`` and ``grads``. What is None counts as zero, also one half of the LSTM's pair.
    """
    layer = layer_of(cache)
    return layer.backward(cache, dout, *state_parts(layer, "dstate_n", dstate_n))


def reverse_sequences(x: Array, lengths: Array | None = None) -> Array:
    """Copy x (T, B, ...) with each sequence reversed up to its own end; padding stays where it is.

    Examples
    --------
    >>> reverse_sequences(np.array([[1, 5], [2, 6], [3, 0]]), np.array([3, 2]))
    array([[3, 6],
           [2, 5],
           [1, 0]])
    """
    if lengths is None:
        return x[::-1].copy()
    T, B = x.shape[:2]
    lengths = check_lengths(lengths, T, B)
    t = np.arange(T)[:, None]
    return x[np.where(t < lengths, lengths - 1 - t, t), np.arange(B)]


def bidirectional_forward(
    cell: str, params: Bidirectional, x: Array, state: State = None, *, lengths: Array | None = None
) -> tuple[Array, tuple[State, State], BidirectionalCache]:
    """Read a sequence from its start and from its end, and put the two outputs side by side.

    Parameters
    ----------
    cell, x, lengths
        As for ``layer_forward``.
    params : Bidirectional
    state : pair (state_f, state_b), optional
        The initial state of each direction.

    Returns
    -------
    out : ndarray of shape (T, B, 2H)
        After a sequence's end each half repeats the last state of its direction.
    state_n : pair (state_f, state_b)
        The last state of each direction: the second has read the first step last.
    cache : BidirectionalCache

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> params = Bidirectional(init_rnn(2, 4, rng=rng), init_rnn(2, 4, rng=rng))
    >>> bidirectional_forward("rnn", params, np.ones((5, 3, 2)))[0].shape
    (5, 3, 8)

    Notes
    -----
    Chapter 9, "Three curves"; Schuster & Paliwal (1997). As torch with ``bidirectional=True``.
    """
    check_type("params", params, Bidirectional, "a Bidirectional")
    state_f, state_b = parts_of("state", state, "a pair (forward, backward)")
    out_f, last_f, cache_f = layer_forward(cell, params.forward, x, state_f, lengths=lengths)
    turned = reverse_sequences(x, lengths)
    out_b, last_b, cache_b = layer_forward(cell, params.backward, turned, state_b, lengths=lengths)
    out = np.concatenate([out_f, reverse_sequences(out_b, lengths)], axis=-1)
    return out, (last_f, last_b), BidirectionalCache(cache_f, cache_b)


def bidirectional_backward(
    cache: BidirectionalCache, dout: Array | None = None, dstate_n: State = None
) -> tuple[Array, tuple[State, State], Bidirectional]:
    """Carry gradients back through ``bidirectional_forward``: ``dx`` is the sum of both readings.

    Takes ``dout`` (T, B, 2H) and ``dstate_n``, a pair; returns ``dx``, ``dstate`` and ``grads``.
    """
    check_type("cache", cache, BidirectionalCache, "a BidirectionalCache")
    last_f, last_b = parts_of("dstate_n", dstate_n, "a pair (forward, backward)")
    dout = _dout_or_zeros([*cache], dout, dstate_n=dstate_n)
    H, lengths = cache.forward.h.shape[-1], cache.forward.lengths
    dx_f, dstate_f, grads_f = layer_backward(cache.forward, dout[..., :H], last_f)
    dout_b = reverse_sequences(dout[..., H:], lengths)
    dx_b, dstate_b, grads_b = layer_backward(cache.backward, dout_b, last_b)
    dx = dx_f + reverse_sequences(dx_b, lengths)
    return dx, (dstate_f, dstate_b), Bidirectional(grads_f, grads_b)


def stacked_forward(
    cell: str,
    params: Sequence[Recurrent | Bidirectional],
    x: Array,
    states: Sequence[State] | None = None,
    *,
    lengths: Array | None = None,
) -> tuple[Array, tuple[State, ...], tuple[Cache | BidirectionalCache, ...]]:
    """Run layers on top of each other: the output of each is the input of the next.

    Parameters
    ----------
    cell, x, lengths
        As for ``layer_forward``.
    params : sequence of Recurrent or Bidirectional
        One for each layer. Above a Bidirectional the input size is 2H.
    states : sequence, optional
        The initial state of each layer.

    Returns
    -------
    out : ndarray of shape (T, B, H), or (T, B, 2H)
        Output of the last layer.
    states_n, caches : tuple
        The last state and the cache of each layer.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> params = [init_lstm(2, 4, rng=rng), init_lstm(4, 3, rng=rng)]
    >>> out, ((h_1, c_1), (h_2, c_2)), caches = stacked_forward("lstm", params, np.ones((5, 6, 2)))
    >>> out.shape, h_1.shape, h_2.shape
    ((5, 6, 3), (6, 4), (6, 3))

    Notes
    -----
    Graves, Mohamed & Hinton (2013). Equal to torch's layers with ``num_layers``.
    """
    if isinstance(params, Recurrent | Bidirectional):
        raise TypeError("params must be a sequence of layers, got a single one")
    if not params:
        raise ValueError("params must hold at least one layer, got none")
    parts = parts_of("states", states, "one state a layer", len(params))
    out, states_n, caches = x, [], []
    for i, (layer, state) in enumerate(zip(params, parts, strict=True)):
        halves = [*layer] if isinstance(layer, Bidirectional) else [layer]
        forward: Any = bidirectional_forward if len(halves) == 2 else layer_forward
        for half in halves:
            D = out.shape[-1] if i else None  # of the first, the layer itself says "x must …"
            check_shape(f"params[{i}].W_ih", half.W_ih, kH=None, D=D)
        out, state_n, cache = forward(cell, layer, out, state, lengths=lengths)
        states_n.append(state_n)
        caches.append(cache)
    return out, tuple(states_n), tuple(caches)


def stacked_backward(
    caches: Sequence[Cache | BidirectionalCache],
    dout: Array | None = None,
    dstates_n: Sequence[State] | None = None,
) -> tuple[Array, tuple[State, ...], tuple[Recurrent | Bidirectional, ...]]:
    """Carry gradients back through ``stacked_forward``, from the last layer to the first.

    Takes ``dout`` and ``dstates_n``, one for each layer; returns ``dx``, ``dstates`` and ``grads``.
    """
    if isinstance(caches, Cache | BidirectionalCache):
        raise TypeError("caches must be a sequence of caches, got a single one")
    check_type("caches", caches, tuple | list, "a sequence of caches")
    if not caches:
        raise ValueError("caches must hold at least one cache, got none")
    for i, cache in enumerate(caches):
        check_type(f"caches[{i}]", cache, Cache | BidirectionalCache, "the cache of a layer")
    parts = parts_of("dstates_n", dstates_n, "one state a layer", len(caches))
    last = [caches[-1]] if isinstance(caches[-1], Cache) else [*caches[-1]]
    dx = _dout_or_zeros(last, dout, dstates_n=dstates_n)
    dstates, grads = [], []
    for layer, dstate_n in zip(reversed(caches), reversed(parts), strict=True):
        backward: Any = layer_backward if isinstance(layer, Cache) else bidirectional_backward
        dx, dstate, grad = backward(layer, dx, dstate_n)
        dstates.append(dstate)
        grads.append(grad)
    return dx, tuple(reversed(dstates)), tuple(reversed(grads))


def _dout_or_zeros(halves: list[Cache], dout: Array | None, **dstate_n: State) -> Array:
    """Check ``dout``, or make zeros: a part whose own gradients are all None is no error here."""
    T, B, _ = halves[0].x.shape
    H = sum(half.h.shape[-1] for half in halves)
    if dout is None and all(part is None for part in tree_arrays(list(dstate_n.values()))):
        raise ValueError(f"one of dout, {', '.join(dstate_n)} must be given, got None for all")
    if dout is None:
        return np.zeros((T, B, H), dtype=halves[0].h.dtype)
    check_shape("dout", dout, T=T, B=B, **{"H" if len(halves) == 1 else "2H": H})
    check_same_dtype("dout", dout, "out", halves[0].h)
    return dout
