"""An encoder: one recurrent layer, or two that read the same source from its two ends."""

import numpy as np

from unrolled._validate import Array
from unrolled.layers import (
    Bidirectional,
    BidirectionalCache,
    Cache,
    State,
    bidirectional_backward,
    bidirectional_forward,
    layer_backward,
    layer_forward,
)
from unrolled.params import Recurrent, tree_map

EncoderCache = Cache | BidirectionalCache


def encoder_forward(
    cell: str, params: Recurrent | Bidirectional, x: Array, *, lengths: Array | None = None
) -> tuple[Array, State, EncoderCache]:
    """Read the sources; give an output for every place, and one last state for the decoder.

    Of two directions, each with H/2 units, outputs and last states stand side by side: H in all.
    The first half of the state has read the last symbol last, the second half the first one.

    Parameters
    ----------
    cell : {"rnn", "gru", "lstm"}
    params : Recurrent or Bidirectional
    x : ndarray of shape (S, B, E)
    lengths : integer ndarray of shape (B,), optional
        Where each source ends; all at S if left out.

    Returns
    -------
    outputs : ndarray of shape (S, B, H)
    state : ndarray of shape (B, H), or for the LSTM a pair (h, c) of them
    cache : RNNCache, GRUCache, LSTMCache or BidirectionalCache

    Examples
    --------
    >>> from unrolled.params import init_lstm
    >>> rng = np.random.default_rng(0)
    >>> params = Bidirectional(init_lstm(2, 4, rng=rng), init_lstm(2, 4, rng=rng))
    >>> outputs, (h, c), cache = encoder_forward("lstm", params, np.ones((5, 3, 2)))
    >>> outputs.shape, h.shape, c.shape
    ((5, 3, 8), (3, 8), (3, 8))

    Notes
    -----
    Chapter 8, "Two remedies"; Schuster & Paliwal (1997) for the two directions.
    """
    if isinstance(params, Recurrent):
        return layer_forward(cell, params, x, lengths=lengths)
    outputs, states, cache = bidirectional_forward(cell, params, x, lengths=lengths)
    return outputs, tree_map(lambda *both: np.concatenate(both, axis=-1), *states), cache


def encoder_backward(
    cache: EncoderCache, doutputs: Array | None = None, dstate: State = None
) -> tuple[Array, State, Recurrent | Bidirectional]:
    """Carry gradients back through ``encoder_forward``: each direction gets its half of them.

    Takes ``doutputs`` (S, B, H) and ``dstate``, like ``state``; what is None counts as zero.
    Returns ``dx`` (S, B, E), the gradient of the initial state, which was zero, and ``grads``.
    """
    if not isinstance(cache, BidirectionalCache):
        return layer_backward(cache, doutputs, dstate)
    H = cache.forward.h.shape[-1]
    halves = [tree_map(lambda d, cut=cut: d[:, cut], dstate) for cut in np.s_[:H, H:]]
    return bidirectional_backward(cache, doutputs, halves)
