"""Sequence to sequence: an encoder reads, a decoder writes, with attention between them or not."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from unrolled._lengths import alive, check_lengths
from unrolled._validate import Array, check_shape
from unrolled.attention import (
    SCORES,
    Additive,
    AttentionCache,
    General,
    attention_backward,
    attention_forward,
    lengths_mask,
)
from unrolled.embedding import EmbeddingCache, embedding_backward, embedding_forward
from unrolled.encoder import EncoderCache, encoder_backward, encoder_forward
from unrolled.functional import log_softmax
from unrolled.layers import Bidirectional, Cache, State, get_layer, layer_backward, layer_forward
from unrolled.losses import cross_entropy
from unrolled.neurons import LinearCache, linear_backward, linear_forward
from unrolled.params import Linear, Recurrent, init_linear


class Seq2Seq(NamedTuple):
    """Parameters of an encoder-decoder."""

    source_embedding: Array  # (V_source, E)
    target_embedding: Array  # (V_target, E)
    encoder: Recurrent | Bidirectional  # H in all: H/2 a direction if there are two
    decoder: Recurrent
    attention: General | Additive | None  # what the score needs
    combine: Linear | None  # from [context; h], 2H, to H; None without attention
    output: Linear  # from H to V_target


class Seq2SeqCache(NamedTuple):
    """What the backward pass of an encoder-decoder needs: the cache of each part."""

    source: EmbeddingCache
    target: EmbeddingCache
    encoder: EncoderCache
    decoder: Cache
    attention: AttentionCache | None
    combine: LinearCache | None
    output: LinearCache


class Memory(NamedTuple):
    """All that decoding knows of the source and of what it has written; the batch is on axis 0."""

    outputs: Array  # (B, S, H), of the encoder
    mask: Array  # (B, S), False at padding
    state: State  # of the decoder: (B, H), or a pair of them


def init_seq2seq(
    cell: str,
    V_source: int,
    V_target: int,
    E: int,
    H: int,
    *,
    score: str | None = None,
    bidirectional: bool = False,
    rng: np.random.Generator,
    dtype: DTypeLike = np.float64,
) -> Seq2Seq:
    """Draw an encoder-decoder's parameters as torch does: embeddings normal, the rest uniform.

    ``V_source``, ``V_target``, ``E`` and ``H`` are the sizes of the two vocabularies, of an
    embedding and of the hidden states; ``cell`` and ``score`` are those of ``seq2seq_forward``. A
    bidirectional encoder has two layers of H/2, so that its outputs and its states have H as well.

    Examples
    --------
    >>> params = init_seq2seq("gru", 9, 7, 4, 5, score="dot", rng=np.random.default_rng(0))
    >>> params.encoder.W_ih.shape, params.combine.W.shape, params.output.W.shape
    ((15, 4), (5, 10), (7, 5))
    """
    if score not in (None, *SCORES):
        raise ValueError(f"score must be None or one of {', '.join(SCORES)}, got {score!r}")
    if bidirectional and H % 2:
        raise ValueError(f"H must be even for a bidirectional encoder, got {H}")
    recurrent = partial(get_layer(cell).init, E, rng=rng, dtype=dtype)
    draw = partial(init_linear, rng=rng, dtype=dtype)
    attention: General | Additive | None = None
    if score == "general":
        attention = General(draw(H, H).W)
    if score == "additive":
        attention = Additive(draw(H, H).W, draw(H, H).W, draw(H, 1).W[0])
    return Seq2Seq(
        source_embedding=rng.normal(size=(V_source, E)).astype(dtype),
        target_embedding=rng.normal(size=(V_target, E)).astype(dtype),
        encoder=_draw_both(recurrent, H) if bidirectional else recurrent(H),
        decoder=recurrent(H),
        attention=attention,
        combine=None if score is None else draw(2 * H, H),
        output=draw(H, V_target),
    )


def seq2seq_forward(
    cell: str,
    params: Seq2Seq,
    source: Array,
    source_lengths: Array | None,
    target_in: Array,
    *,
    score: str | None = None,
) -> tuple[Array, Array | None, Seq2SeqCache]:
    """Score each symbol as the next one of the target, given the source and the target so far.

    The encoder's last state is the decoder's first; of two directions, both last states side by
    side. With a score, each state h of the decoder looks at the encoder's outputs, and ``h~ =
    tanh(combine([context; h]))`` takes its place in ``logits = output(h)``. The decoder reads the
    right symbols, not its guesses: teacher forcing.

    Parameters
    ----------
    cell : {"rnn", "gru", "lstm"}
    params : Seq2Seq
    source : integer ndarray of shape (S, B)
    source_lengths : integer ndarray of shape (B,), or None
        Where each source ends; what follows may be any symbol. None: all at S.
    target_in : integer ndarray of shape (T, B)
        The target with the start symbol before it.
    score : {"scaled", "dot", "general", "additive"}, optional

    Returns
    -------
    logits : ndarray of shape (T, B, V_target)
    weights : ndarray of shape (T, B, S), or None without attention
    cache : Seq2SeqCache

    Raises
    ------
    ValueError
        If a shape does not fit, an id is out of range, or a score is given for params without
        ``combine`` or the other way round.
    TypeError
        If ids are no integers, or ``params.attention`` is not what the score needs.

    Notes
    -----
    Chapters 8 and 9; Sutskever, Vinyals & Le (2014), Cho et al. (2014). The attention is that of
    Luong, Pham & Manning (2015) without input feeding, so that all steps can look at once.
    """
    memory, from_source, encoder = _encode(cell, params, source, source_lengths)
    check_shape("target_in", target_in, T=None, B=len(memory.mask))
    y, from_target = embedding_forward(params.target_embedding, target_in)
    h, _, decoder = layer_forward(cell, params.decoder, y, memory.state)
    logits, weights, caches = _predict(params, score, h, memory)
    return logits, weights, Seq2SeqCache(from_source, from_target, encoder, decoder, *caches)


def seq2seq_backward(cache: Seq2SeqCache, dlogits: Array, dweights: Array | None = None) -> Seq2Seq:
    """Carry gradients back through ``seq2seq_forward``.

    The encoder gets its gradient by two ways: through its last state, where the decoder began,
    and through its outputs, which the attention looked at as keys and as values. ``dlogits`` is
    (T, B, V_target); ``dweights``, (T, B, S), is for a loss that uses the weights as well.
    """
    if dweights is not None and cache.attention is None:
        raise ValueError(f"dweights must be None without attention, got {np.shape(dweights)}")
    T, B, _ = cache.decoder.x.shape
    V, H = cache.output.params.W.shape
    check_shape("dlogits", dlogits, T=T, B=B, V=V)
    dh, output = linear_backward(cache.output, dlogits.reshape(T * B, V))
    doutputs = attention = combine = None
    if cache.attention is not None and cache.combine is not None:
        h_tilde = cache.output.x
        djoined, combine = linear_backward(cache.combine, dh * (1.0 - h_tilde * h_tilde))
        dcontext, dh = np.split(djoined.reshape(T, B, -1), [-H], axis=-1)
        dquery, dkeys, dvalues, attention = attention_backward(cache.attention, dcontext, dweights)
        dh, doutputs = dh + dquery, dkeys + dvalues
    dy, dstate, decoder = layer_backward(cache.decoder, dh.reshape(T, B, H))
    dx, _, encoder = encoder_backward(cache.encoder, doutputs, dstate)
    source, target = embedding_backward(cache.source, dx), embedding_backward(cache.target, dy)
    return Seq2Seq(source, target, encoder, decoder, attention, combine, output)


def seq2seq_loss(
    cell: str,
    params: Seq2Seq,
    source: Array,
    source_lengths: Array | None,
    target_in: Array,
    target_out: Array,
    target_lengths: Array | None,
    *,
    score: str | None = None,
) -> tuple[float, Seq2Seq]:
    """Mean cross-entropy over the symbols of the targets, padding left out, and its gradients.

    Parameters
    ----------
    cell, params, source, source_lengths, target_in, score
        As for ``seq2seq_forward``.
    target_out : integer ndarray of shape (T, B)
        The target with the end symbol after it: ``target_in``, one step on.
    target_lengths : integer ndarray of shape (B,), or None
        Where each target ends, the end symbol included. None: all at T.

    Returns
    -------
    loss : float, in nats per symbol
    grads : Seq2Seq

    Examples
    --------
    >>> params = init_seq2seq("lstm", 9, 7, 4, 5, score="dot", rng=np.random.default_rng(0))
    >>> source, lengths, y = np.array([[3, 4], [5, 0]]), np.array([2, 1]), np.array([[2, 6]])
    >>> loss, grads = seq2seq_loss("lstm", params, source, lengths, 0 * y, y, None, score="dot")
    >>> round(loss, 2)
    2.24
    """
    logits, _, cache = seq2seq_forward(cell, params, source, source_lengths, target_in, score=score)
    T, B, _ = logits.shape
    check_shape("target_out", target_out, T=T, B=B)
    mask = None if target_lengths is None else alive(check_lengths(target_lengths, T, B), T)
    loss, dlogits = cross_entropy(logits, target_out, mask)
    return loss, seq2seq_backward(cache, dlogits)


def encode(
    cell: str, params: Seq2Seq, source: Array, source_lengths: Array | None = None
) -> Memory:
    """Read the sources, (S, B), once: the state from which ``decode_step`` starts to write."""
    return _encode(cell, params, source, source_lengths)[0]


def decode_step(
    cell: str, params: Seq2Seq, tokens: Array, memory: Memory, *, score: str | None = None
) -> tuple[Array, Memory]:
    """Write one symbol: give the log probabilities of the next one, and the memory after it.

    ``tokens``, integers (B,), are the symbols before; the log probabilities are (B, V_target).
    ``functools.partial(decode_step, cell, params, score=score)`` is the step of ``decoding``.

    Examples
    --------
    >>> params = init_seq2seq("gru", 9, 7, 4, 5, rng=np.random.default_rng(0))
    >>> memory = encode("gru", params, np.array([[3, 4], [5, 6]]))
    >>> decode_step("gru", params, np.array([0, 0]), memory)[0].shape
    (2, 7)
    """
    y, _ = embedding_forward(params.target_embedding, np.asarray(tokens)[None])
    h, state, _ = layer_forward(cell, params.decoder, y, memory.state)
    logits, _, _ = _predict(params, score, h, memory)
    return log_softmax(logits[0]), memory._replace(state=state)


def _draw_both(draw: Callable[[int], Recurrent], H: int) -> Bidirectional:
    return Bidirectional(draw(H // 2), draw(H // 2))


def _encode(
    cell: str, params: Seq2Seq, source: Array, lengths: Array | None
) -> tuple[Memory, EmbeddingCache, EncoderCache]:
    check_shape("source", source, S=None, B=None)
    S, B = np.shape(source)
    x, embedding = embedding_forward(params.source_embedding, source)
    outputs, state, encoder = encoder_forward(cell, params.encoder, x, lengths=lengths)
    mask = np.ones((B, S), dtype=bool) if lengths is None else lengths_mask(lengths, S)
    return Memory(outputs.swapaxes(0, 1), mask, state), embedding, encoder


def _predict(
    params: Seq2Seq, score: str | None, h: Array, memory: Memory
) -> tuple[Array, Array | None, tuple[AttentionCache | None, LinearCache | None, LinearCache]]:
    """From the decoder's states, (T, B, H), to logits: with attention if there is a score."""
    if (score is None) != (params.combine is None):
        needed = "None" if params.combine is None else "a name"
        raise ValueError(f"score must be {needed} for these params, got {score!r}")
    rows, weights, attention, combine = h, None, None, None
    if score is not None and params.combine is not None:
        keys = memory.outputs.swapaxes(0, 1)
        context, weights, attention = attention_forward(
            h, keys, keys, params.attention, score=score, mask=memory.mask
        )
        joined = np.concatenate([context, h], axis=-1)
        a, combine = linear_forward(params.combine, joined.reshape(-1, joined.shape[-1]))
        rows = np.tanh(a)
    # One prediction a row: the output layer knows nothing of time.
    logits, output = linear_forward(params.output, rows.reshape(-1, rows.shape[-1]))
    return logits.reshape(*h.shape[:2], -1), weights, (attention, combine, output)
