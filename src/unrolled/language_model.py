"""A language model: embedding, recurrent layer and output layer, forward and back."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from unrolled._validate import Array, check_shape
from unrolled.embedding import EmbeddingCache, embedding_backward, embedding_forward
from unrolled.functional import softmax
from unrolled.layers import Cache, State, get_layer, layer_backward, layer_forward
from unrolled.losses import cross_entropy
from unrolled.neurons import LinearCache, linear_backward, linear_forward
from unrolled.params import Linear, Recurrent, init_linear


class LanguageModel(NamedTuple):
    """Parameters of a model that reads symbols and predicts the next one."""

    embedding: Array  # (V, E), one row a symbol
    layer: Recurrent
    output: Linear  # from H to V


class LanguageModelCache(NamedTuple):
    """What the backward pass of a language model needs: the cache of each part."""

    embedding: EmbeddingCache
    layer: Cache
    output: LinearCache


def init_language_model(
    cell: str, V: int, E: int, H: int, *, rng: np.random.Generator, dtype: DTypeLike = np.float64
) -> LanguageModel:
    """Draw a language model's parameters as torch does: the embedding normal, the rest uniform.

    Parameters
    ----------
    cell : {"rnn", "gru", "lstm"}
    V, E, H : int
        Size of the vocabulary, of an embedding and of the hidden state.
    rng : numpy.random.Generator
    dtype : dtype, default float64

    Returns
    -------
    LanguageModel

    Examples
    --------
    >>> params = init_language_model("gru", 65, 8, 16, rng=np.random.default_rng(0))
    >>> params.embedding.shape, params.layer.W_hh.shape, params.output.W.shape
    ((65, 8), (48, 16), (65, 16))
    """
    for name, size in (("V", V), ("E", E), ("H", H)):
        if size < 1:
            raise ValueError(f"{name} must be at least 1, got {size}")
    return LanguageModel(
        embedding=rng.normal(size=(V, E)).astype(dtype),
        layer=get_layer(cell).init(E, H, rng=rng, dtype=dtype),
        output=init_linear(H, V, rng=rng, dtype=dtype),
    )


def language_model_forward(
    cell: str, params: LanguageModel, x: Array, state: State = None
) -> tuple[Array, State, LanguageModelCache]:
    """Score each symbol as the next one: embed x, run the layer, and read its output.

    Parameters
    ----------
    cell : {"rnn", "gru", "lstm"}
    params : LanguageModel
    x : integer ndarray of shape (T, B)
        Ids of symbols.
    state : ndarray of shape (B, H), or for the LSTM a pair (h, c) of them, optional

    Returns
    -------
    logits : ndarray of shape (T, B, V)
    state_n : like ``state``
    cache : LanguageModelCache

    Raises
    ------
    ValueError
        If an id is not in the range 0 to V - 1, or a shape does not fit.
    TypeError
        If ``x`` does not hold integers.

    Examples
    --------
    >>> params = init_language_model("rnn", 65, 8, 16, rng=np.random.default_rng(0))
    >>> language_model_forward("rnn", params, np.array([[3], [1], [4]]))[0].shape
    (3, 1, 65)

    Notes
    -----
    Chapter 3, "A network that reads Shakespeare"; Mikolov et al. (2010).
    """
    check_shape("x", x, T=None, B=None)
    embedded, embedding = embedding_forward(params.embedding, x)
    out, state_n, layer = layer_forward(cell, params.layer, embedded, state)
    # One prediction a row: the output layer knows nothing of time.
    logits, output = linear_forward(params.output, out.reshape(-1, out.shape[-1]))
    caches = LanguageModelCache(embedding, layer, output)
    return logits.reshape(*x.shape, -1), state_n, caches


def language_model_backward(
    cache: LanguageModelCache, dlogits: Array, dstate_n: State = None
) -> tuple[State, LanguageModel]:
    """Carry a gradient back through ``language_model_forward``.

    Parameters
    ----------
    cache : LanguageModelCache
    dlogits : ndarray of shape (T, B, V)
    dstate_n : like ``state_n``, optional

    Returns
    -------
    dstate : like ``state``
    grads : LanguageModel

    Raises
    ------
    ValueError
        If a shape does not fit.

    Notes
    -----
    Chapter 3, "A network that reads Shakespeare".
    """
    T, B, _ = cache.layer.x.shape
    V = len(cache.output.params.W)
    check_shape("dlogits", dlogits, T=T, B=B, V=V)
    dout, output = linear_backward(cache.output, dlogits.reshape(T * B, V))
    dembedded, dstate, layer = layer_backward(cache.layer, dout.reshape(T, B, -1), dstate_n)
    return dstate, LanguageModel(embedding_backward(cache.embedding, dembedded), layer, output)


def language_model_loss(
    cell: str,
    params: LanguageModel,
    x: Array,
    y: Array,
    state: State = None,
    *,
    mask: Array | None = None,
) -> tuple[float, LanguageModel, State]:
    """Compute the cross-entropy of the next symbols, and all its gradients.

    Parameters
    ----------
    cell : {"rnn", "gru", "lstm"}
    params : LanguageModel
    x, y : integer ndarray of shape (T, B)
        What is read, and what follows each of it.
    state : ndarray of shape (B, H), or for the LSTM a pair (h, c) of them, optional
        The ``state_n`` of the window before, in truncated BPTT.
    mask : bool ndarray of shape (T, B), optional
        True where a prediction counts.

    Returns
    -------
    loss : float
        In nats per symbol; divide by log 2 for bits.
    grads : LanguageModel
    state_n : like ``state``

    Raises
    ------
    ValueError
        If an id is not in the range 0 to V - 1, or a shape does not fit.
    TypeError
        If ``x`` or ``y`` does not hold integers.

    Examples
    --------
    >>> params = init_language_model("lstm", 5, 8, 16, rng=np.random.default_rng(0))
    >>> x, y = np.array([[0], [1], [2]]), np.array([[1], [2], [3]])
    >>> loss, grads, state = language_model_loss("lstm", params, x, y)
    >>> bool(abs(loss - np.log(5)) < 0.3)  # it knows nothing yet
    True

    Notes
    -----
    Chapter 3, "A network that reads Shakespeare"; Mikolov et al. (2010).
    """
    logits, state_n, cache = language_model_forward(cell, params, x, state)
    loss, dlogits = cross_entropy(logits, y, mask)
    _, grads = language_model_backward(cache, dlogits)
    return loss, grads, state_n


def sample(
    cell: str,
    params: LanguageModel,
    start: Array,
    length: int,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    rng: np.random.Generator,
) -> Array:
    """Let the model write: draw the next symbol, feed it back, and so on.

    ``p = softmax(logits / temperature)``, over the ``top_k`` most likely symbols.

    Parameters
    ----------
    cell : {"rnn", "gru", "lstm"}
    params : LanguageModel
    start : integer ndarray of shape (T,)
        The text to be continued, at least one symbol.
    length : int
        How many symbols to add.
    temperature : float, default 1
        Less than 1 sharpens the distribution; 0 always takes the most likely symbol.
    top_k : int, optional
        Out of how many symbols to draw; of all, if left out.
    rng : numpy.random.Generator

    Returns
    -------
    ids : int64 ndarray of shape (length,)
        What was added.

    Raises
    ------
    ValueError
        If ``start`` is empty, a number is less than it can be, or ``temperature`` is infinite.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> params = init_language_model("gru", 5, 8, 16, rng=rng)
    >>> sample("gru", params, np.array([0]), 8, rng=rng).shape
    (8,)

    Notes
    -----
    Chapter 3, "Letting it write"; Graves (2013).
    """
    start = np.asarray(start)
    check_shape("start", start, T=None)
    if len(start) == 0:
        raise ValueError("start must hold at least one symbol, got none")
    if length < 0:
        raise ValueError(f"length must be at least 0, got {length}")
    if not temperature >= 0:
        raise ValueError(f"temperature must be at least 0, got {temperature}")
    if math.isinf(temperature):
        raise ValueError(f"temperature must be finite, got {temperature}")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k must be at least 1, got {top_k}")
    ids = np.empty(length, dtype=np.int64)
    x, state = start[:, None], None
    for t in range(length):
        logits, state, _ = language_model_forward(cell, params, x, state)
        ids[t] = _pick(logits[-1, 0].astype(np.float64), temperature, top_k, rng)
        x = ids[t : t + 1, None]
    return ids


def _pick(
    logits: Array, temperature: float, top_k: int | None, rng: np.random.Generator
) -> np.int64:
    """Draw one symbol."""
    # Stable: of equal ones the first comes first, as in argmax.
    best = np.argsort(-logits, kind="stable")[: 1 if temperature == 0 else top_k]
    with np.errstate(over="ignore"):  # below the largest, the first, -inf is the limit
        p = softmax((logits[best] - logits[best[0]]) / (temperature or 1.0))
    return rng.choice(best, p=p)
