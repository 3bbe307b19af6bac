"""Attention: each step of one sequence looks at all places of another and takes what it needs."""

import math
from types import NoneType
from typing import NamedTuple

import numpy as np

from unrolled._lengths import alive, check_lengths
from unrolled._validate import Array, check_float, check_same_dtype, check_shape


class General(NamedTuple):
    """Parameters of the score ``q W k``."""

    W: Array  # (Dq, Dk)


class Additive(NamedTuple):
    """Parameters of the score ``v tanh(W_q q + W_k k)``, a small network of A neurons."""

    W_q: Array  # (A, Dq)
    W_k: Array  # (A, Dk)
    v: Array  # (A,)


class AttentionCache(NamedTuple):
    """What the backward pass of attention needs."""

    params: General | Additive | None
    score: str
    query: Array  # (T, B, Dq)
    keys: Array  # (S, B, Dk), zeros where hidden from every query
    values: Array  # (S, B, Dv), likewise
    weights: Array  # (T, B, S)
    met: Array  # the query as it met the keys, (T, B, Dk); additive: the neurons, (B, T, S, A)


# The scores, and which parameters each of them needs.
SCORES = {"scaled": NoneType, "dot": NoneType, "general": General, "additive": Additive}


def causal_mask(T: int) -> Array:
    """Let step t look at the steps up to t and not at the future: bool of shape (T, 1, T).

    Examples
    --------
    >>> causal_mask(3)[:, 0].astype(int)
    array([[1, 0, 0],
           [1, 1, 0],
           [1, 1, 1]])
    """
    return np.tri(T, dtype=bool)[:, None]


def lengths_mask(lengths: Array, S: int) -> Array:
    """Let no query look at the padding of its source: bool of shape (B, S).

    Examples
    --------
    >>> lengths_mask(np.array([1, 3]), 3).astype(int)
    array([[1, 0, 0],
           [1, 1, 1]])
    """
    return alive(check_lengths(lengths, S, np.size(lengths)), S).T


def attention_forward(
    query: Array,
    keys: Array,
    values: Array,
    params: General | Additive | None = None,
    *,
    score: str = "scaled",
    mask: Array | None = None,
) -> tuple[Array, Array, AttentionCache]:
    """Average the values, each weighted by how well its key answers the query.

    ``weights_t = softmax over s of score(query_t, key_s)``, ``context_t = sum over s of
    weights_ts value_s``. The score of q and k is ``q k`` (dot), ``q k / sqrt(Dk)`` (scaled),
    ``q W k`` (general) or ``v tanh(W_q q + W_k k)`` (additive).

    Parameters
    ----------
    query : ndarray of shape (T, B, Dq)
    keys : ndarray of shape (S, B, Dk)
        For dot and scaled, Dk must be Dq.
    values : ndarray of shape (S, B, Dv)
    params : General, Additive or None
        What the score needs.
    score : {"scaled", "dot", "general", "additive"}
    mask : bool ndarray that broadcasts to (T, B, S), optional
        True where a query may look; two axes are (B, S). Whatever stands at a place that is hidden
        from every query has no influence, not even NaN.

    Returns
    -------
    context : ndarray of shape (T, B, Dv)
    weights : ndarray of shape (T, B, S)
        They sum to 1 over S and are exactly 0 where the mask is False. Read-only.
    cache : AttentionCache

    Raises
    ------
    ValueError
        If there is no such score, a shape does not fit, or the mask hides all places from a query.
    TypeError
        If an array does not hold floating-point numbers of the query's dtype, the mask no truth
        values, or ``params`` is not what the score needs.

    Examples
    --------
    >>> query, keys = np.array([[[2.0]]]), np.array([[[0.0]], [[1.0]], [[5.0]]])
    >>> mask = np.array([[True, True, False]])
    >>> context, weights, cache = attention_forward(query, keys, 10 * keys, mask=mask)
    >>> weights.round(2), context.round(2)
    (array([[[0.12, 0.88, 0.  ]]]), array([[[8.81]]]))

    Notes
    -----
    Chapter 9, "Four scores"; Bahdanau, Cho & Bengio (2015) for additive, Luong, Pham & Manning
    (2015) for dot and general, Vaswani et al. (2017) for scaled, which equals
    ``torch.nn.functional.scaled_dot_product_attention``.
    """
    _check_arguments(params, score, query, keys, values)
    if mask is not None:
        mask = _check_mask(mask, len(query), keys.shape[1], len(keys))
        seen = mask.any(axis=0, keepdims=True).T  # (S, B, 1)
        # A weight of 0 would not be enough: 0 times NaN is NaN.
        keys, values = np.where(seen, keys, 0), np.where(seen, values, 0)
    # The batch comes first for the products: matmul hands these views to BLAS without a copy.
    scores, met = _score(params, score, query, keys)  # (B, T, S)
    if mask is not None:
        np.copyto(scores, -np.inf, where=~mask.swapaxes(0, 1))
    # A softmax in place; the largest score is subtracted so that no exp overflows.
    scores -= scores.max(axis=-1, keepdims=True)
    weights = np.exp(scores, out=scores)
    weights /= weights.sum(axis=-1, keepdims=True)
    weights.flags.writeable = False
    context = (weights @ values.swapaxes(0, 1)).swapaxes(0, 1)
    weights = weights.swapaxes(0, 1)
    return context, weights, AttentionCache(params, score, query, keys, values, weights, met)


def attention_backward(
    cache: AttentionCache, dcontext: Array | None = None, dweights: Array | None = None
) -> tuple[Array, Array, Array, General | Additive | None]:
    """Carry gradients back through ``attention_forward``.

    ``dvalue_s = sum over t of weights_ts dcontext_t``. A weight gets ``g_ts = dweights_ts +
    dcontext_t value_s``, and its score ``weights_ts (g_ts - sum over u of weights_tu g_tu)``.

    Parameters
    ----------
    cache : AttentionCache
        As ``attention_forward`` returned it.
    dcontext : ndarray of shape (T, B, Dv), optional
        Gradient of the loss with respect to ``context``; None counts as zero.
    dweights : ndarray of shape (T, B, S), optional
        Likewise of ``weights``, where the loss uses them besides the context.

    Returns
    -------
    dquery, dkeys, dvalues : ndarray of the shape of ``query``, ``keys``, ``values``
        Exactly 0 at a place that the mask hides from every query.
    grads : General, Additive or None
        Like ``params``.

    Raises
    ------
    ValueError
        If both gradients are None, or a shape does not fit.
    TypeError
        If a gradient has another dtype than the cache.

    Examples
    --------
    >>> x = np.array([[[1.0]], [[2.0]]])
    >>> context, weights, cache = attention_forward(x, x, x)
    >>> attention_backward(cache, np.ones_like(context))[2].round(4).ravel()
    array([0.3881, 1.6119])

    Notes
    -----
    Chapter 9, "The way back". The mask needs no line here: a weight of 0 lets nothing through to
    its score.
    """
    weights, values = cache.weights.swapaxes(0, 1), cache.values.swapaxes(0, 1)
    (B, T, S), Dv = weights.shape, values.shape[-1]
    if dcontext is None and dweights is None:
        raise ValueError("one of dcontext, dweights must be given, got None for all")
    if dcontext is None:
        dcontext = np.zeros((T, B, Dv), dtype=weights.dtype)
    check_shape("dcontext", dcontext, T=T, B=B, Dv=Dv)
    check_same_dtype("dcontext", dcontext, "context", weights)
    dcontext = dcontext.swapaxes(0, 1)
    dvalues = weights.swapaxes(1, 2) @ dcontext
    g = dcontext @ values.swapaxes(1, 2)
    if dweights is not None:
        check_shape("dweights", dweights, T=T, B=B, S=S)
        check_same_dtype("dweights", dweights, "weights", weights)
        g += dweights.swapaxes(0, 1)
    dscores = weights * (g - (weights * g).sum(axis=-1, keepdims=True))
    dquery, dkeys, grads = _score_backward(cache, dscores)
    return dquery, dkeys, dvalues.swapaxes(0, 1), grads


def _score(
    params: General | Additive | None, score: str, query: Array, keys: Array
) -> tuple[Array, Array]:
    """Score each query against each key of its example: (B, T, S), and ``met`` of the cache."""
    if isinstance(params, Additive):
        a_q, a_k = _times(query, params.W_q.T), _times(keys, params.W_k.T)
        met = np.tanh(a_q.swapaxes(0, 1)[:, :, None] + a_k.swapaxes(0, 1)[:, None])
        return _times(met, params.v), met
    met = query if params is None else _times(query, params.W)
    if score == "scaled":
        met = met / math.sqrt(query.shape[-1])
    return met.swapaxes(0, 1) @ keys.transpose(1, 2, 0), met


def _score_backward(
    cache: AttentionCache, dscores: Array
) -> tuple[Array, Array, General | Additive | None]:
    """Carry the gradient of the scores, (B, T, S), back to queries, keys and parameters."""
    params, score, query, keys, _, _, met = cache
    if isinstance(params, Additive):
        da = dscores[..., None] * params.v * (1.0 - met * met)
        da_q, da_k = da.sum(axis=2).swapaxes(0, 1), da.sum(axis=1).swapaxes(0, 1)
        dv = _outer(dscores[..., None], met)[0]
        grads = Additive(_outer(da_q, query), _outer(da_k, keys), dv)
        return _times(da_q, params.W_q), _times(da_k, params.W_k), grads
    dmet = (dscores @ keys.swapaxes(0, 1)).swapaxes(0, 1)
    dkeys = (dscores.swapaxes(1, 2) @ met.swapaxes(0, 1)).swapaxes(0, 1)
    if score == "scaled":
        dmet = dmet / math.sqrt(query.shape[-1])
    if params is None:
        return dmet, dkeys, None
    return _times(dmet, params.W.T), dkeys, General(_outer(query, dmet))


def _times(x: Array, W: Array) -> Array:
    """Multiply each row of x by W, in 2-D: NumPy's product of 3-D arrays is slower."""
    rows: Array = x.reshape(-1, x.shape[-1]) @ W
    return rows.reshape(*x.shape[:-1], *W.shape[1:])


def _outer(a: Array, b: Array) -> Array:
    """Sum the outer products of the rows of a and of b."""
    product: Array = a.reshape(-1, a.shape[-1]).T @ b.reshape(-1, b.shape[-1])
    return product


def _check_arguments(
    params: General | Additive | None, score: str, query: Array, keys: Array, values: Array
) -> None:
    if score not in SCORES:
        raise ValueError(f"score must be one of {', '.join(SCORES)}, got {score!r}")
    if not isinstance(params, SCORES[score]):
        needed, got = SCORES[score].__name__, type(params).__name__
        raise TypeError(f"params must be {needed} for the score {score}, got {got}")
    named = {"query": query, "keys": keys, "values": values}
    for name, array in (named | (params._asdict() if params else {})).items():
        check_float(name, array)
        check_same_dtype(name, array, "query", query)
    check_shape("query", query, T=None, B=None, Dq=None)
    B, Dq = query.shape[1:]
    check_shape("keys", keys, S=None, B=B, Dk=Dq if params is None else None)
    S, _, Dk = keys.shape
    if S == 0:
        raise ValueError("keys must have at least one place, got S=0")
    check_shape("values", values, S=S, B=B, Dv=None)
    if isinstance(params, General):
        check_shape("W", params.W, Dq=Dq, Dk=Dk)
    if isinstance(params, Additive):
        A = np.size(params.v)
        check_shape("v", params.v, A=A)
        check_shape("W_q", params.W_q, A=A, Dq=Dq)
        check_shape("W_k", params.W_k, A=A, Dk=Dk)


def _check_mask(mask: Array, T: int, B: int, S: int) -> Array:
    mask = np.asarray(mask)
    if mask.dtype != bool:
        raise TypeError(f"mask must hold truth values, got dtype {mask.dtype}")
    try:
        mask = np.broadcast_to(mask, (T, B, S))
    except ValueError:
        raise ValueError(f"mask must broadcast to ({T=}, {B=}, {S=}), got {mask.shape}") from None
    blind = np.argwhere(~mask.any(axis=-1))
    if len(blind):
        t, b = blind[0]
        raise ValueError(f"mask must leave each query a place to look at, got none at [{t}, {b}]")
    return mask
