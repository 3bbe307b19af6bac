"""The checks of the exercises of chapter 9 refuse wrong answers, each for its own reason.

They accept right ones, however unusual. A row of a table of wrong answers holds the mistake, the
answer, and the part of the message that tells the learner of this mistake.
"""

import math
from fractions import Fraction
from typing import Any

import nbformat
import numpy as np
import pytest

from tests.check_cases import *  # noqa: F403
from tests.check_cases import Check, dots, one_buffer, stops
from tools.notebooks import ROOT
from unrolled.attention import (
    Additive,
    attention_backward,
    attention_forward,
    causal_mask,
)
from unrolled.checks import attention as checks
from unrolled.functional import softmax
from unrolled.gradient_check import numerical_grad, relative_error

CHECKS, MASTER = checks, "09_attention"
SCOPE = {"np": np, "Additive": Additive, "softmax": softmax}
WRONG: dict[Check, list[tuple[str, Any, str]]] = {}
RIGHT: dict[Check, list[tuple[str, Any]]] = {}


def single(function: Any) -> Any:
    """The same function in float32."""

    def low(value: Any) -> Any:
        if isinstance(value, np.ndarray) and value.dtype == np.float64:
            return value.astype(np.float32)
        if isinstance(value, tuple):
            parts = [low(part) for part in value]
            return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
        return value

    return lambda *args: function(*map(low, args))


def no_axes(function: Any) -> Any:
    """The same function, whose results have lost the axes of length 1."""

    def less(value: Any) -> Any:
        return value.squeeze() if isinstance(value, np.ndarray) else tuple(map(less, value))

    return lambda *args: less(function(*args))


def spoils(function: Any, which: int) -> Any:
    """The same function, which changes an argument."""

    def spoiling(*args: Any) -> Any:
        result = function(*args)
        args[which][...] += 1
        return result

    return spoiling


# --- 1. How far the scores lie apart. ---

SLOPE = math.exp(-16)


def spreads(dot: Any = 16, by_size: Any = 1 / 16, states: Any = 1 / 16, slope: Any = SLOPE) -> Any:
    return dot, by_size, states, slope


WRONG[checks.check_spreads] = [
    ("variance", spreads(256), "this is the variance"),
    ("one term", spreads(1), "this is one term's"),
    ("divided", spreads(1 / 16), "no smaller spread than its terms"),
    ("twice as many terms", spreads(math.sqrt(512)), "256 products"),
    ("any other", spreads(18), "sum of 256 independent terms"),
    ("by the root", spreads(by_size=1), "if it were divided by the root of 256"),
    ("variance by size", spreads(by_size=1 / 256), "by_size = .*this is the variance"),
    ("not divided", spreads(by_size=16), "before the division"),
    ("states one quarter", spreads(states=0.25), "two factors of 1/4"),
    ("states one", spreads(states=1), "components of standard deviation 1"),
    ("states variance", spreads(states=1 / 256), "states = .*this is the variance"),
    ("states not divided", spreads(states=4), "states = .*this is the spread before"),
    ("the weight", spreads(slope=1), "this is the larger weight itself"),
    ("of equal scores", spreads(slope=0.25), "one of two equal scores"),
    ("of scores one apart", spreads(slope=0.197), "scores that lie 1 apart"),
    ("no slope", spreads(slope=0), "small, but not 0"),
    ("e to the 16", spreads(slope=math.exp(16)), "the sign"),
    ("the power", spreads(slope=-7), "this is the power of 10"),
    ("of the square", spreads(slope=math.exp(-32)), "its slope is a .1 - a."),
    ("one digit", spreads(slope=1e-7), "Give two digits"),
    ("one digit, upwards", spreads(slope=1.2e-7), "Give two digits"),
    ("text", spreads("16"), "must be a number, got '16'"),
    ("nan", spreads(slope=math.nan), "must be a finite number"),
    ("not written", spreads(states=...), "states has no value yet"),
]
RIGHT[checks.check_spreads] = [
    ("rounded", spreads(16.0, 0.0625, 0.06, 1.1e-7)),
    ("fractions", spreads(Fraction(16), Fraction(1, 16), Fraction(1, 16))),
    ("arrays of one number", spreads(np.array([16]), np.float32(0.0625), np.array(0.063))),
    ("as measured", spreads(15.9, 0.062, 0.0624, 1.125e-7)),
]

# --- 2. The weights. ---


def masked(wrong: str = "", give: Any = lambda weights: weights) -> Any:
    """The weights with a mistake by its name in the checks."""
    return lambda scores, mask: give(checks._weights(scores, mask, wrong))


right_weights = masked()


def no_largest(scores: Any, mask: Any) -> Any:
    e = np.exp(np.where(mask, scores, -np.inf))
    return e / e.sum(-1, keepdims=True)


def largest_of_all(scores: Any, mask: Any) -> Any:
    e = np.exp(np.where(mask, scores - scores.max(-1, keepdims=True), -np.inf))
    return e / e.sum(-1, keepdims=True)


def largest_number(scores: Any, mask: Any) -> Any:
    finite = np.where(np.isfinite(scores), scores, 0.0)
    e = np.where(mask, np.exp(finite - finite.max()), 0.0)
    return e / e.sum(-1, keepdims=True)


def after_and_shared(scores: Any, mask: Any) -> Any:
    weights = softmax(scores) * mask
    return weights / weights.sum(-1, keepdims=True)


def added_infinity(scores: Any, mask: Any) -> Any:
    return softmax(scores + np.where(mask, 0, -np.inf))


def scores_in_place(scores: Any, mask: Any) -> Any:
    scores[~np.broadcast_to(mask, scores.shape)] = -np.inf
    return softmax(scores)


def mask_of_two_axes(scores: Any, mask: Any) -> Any:
    return right_weights(scores, mask if mask.ndim == 2 else mask[0])


def a_little_more(scores: Any, mask: Any) -> Any:
    masked = np.where(mask, scores, -np.inf)
    e = np.exp(masked - masked.max(-1, keepdims=True))
    return e / (e.sum(-1, keepdims=True) + 1e-8)


def below_the_open(less: float) -> Any:
    """A hidden score lies a little below the open ones of its row."""

    def weights(scores: Any, mask: Any) -> Any:
        lowest = np.where(mask, scores, np.inf).min(-1, keepdims=True)
        return softmax(np.where(mask, scores, lowest - less))

    return weights


def thirty_below(scores: Any, mask: Any) -> Any:
    largest = np.where(mask, scores, -np.inf).max(-1, keepdims=True)
    return softmax(np.where(mask, scores, largest - 30))


def differences_cut(scores: Any, mask: Any) -> Any:
    largest = np.where(np.isfinite(scores), scores, -np.inf).max(-1, keepdims=True)
    e = np.where(mask, np.exp(np.clip(scores - largest, -700, 0)), 0.0)
    return e / e.sum(-1, keepdims=True)


def as_masked_array(scores: Any, mask: Any) -> Any:
    hidden = np.ma.array(scores, mask=~np.broadcast_to(mask, scores.shape))
    e = np.ma.exp(hidden - hidden.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


WRONG[checks.check_masked_softmax] = [
    ("over queries", masked("queries"), "over the queries, axis 0"),
    ("over the batch", masked("batch"), "over the batch, axis 1"),
    ("over everything", masked("everything"), "one softmax of all scores together"),
    ("no mask", masked("no mask"), "the mask is not used"),
    ("turned", masked("turned"), "True is where a query may look"),
    ("after", masked("after"), "the mask comes after the softmax"),
    ("over queries, after", masked("queries, after"), "with the mask after it"),
    ("zero", masked("zero"), r"exp\(0\) is 1, not 0"),
    ("not divided", masked("zero after exp"), "the division by the sum is missing"),
    ("mask added", masked("added"), "the mask is added to the scores"),
    ("minus one", masked("minus one"), "a hidden score becomes -1"),
    ("minus ten", masked("ten"), "a little weight"),
    ("minus a billion", masked("minus a billion"), "Only -inf is below all of them"),
    ("minus 1e30", lambda s, m: softmax(np.where(m, s, -1e30)), "Only -inf is below all of them"),
    ("minus 1e250", lambda s, m: softmax(np.where(m, s, -1e250)), "Only -inf is below all"),
    ("minus 1e308", lambda s, m: softmax(np.where(m, s, -1e308)), "Only -inf is below all"),
    ("a hundred below the lowest", below_the_open(100), "exactly 0 is asked"),
    ("thirty below the largest", thirty_below, "exactly 0 is asked"),
    ("never quite 0", masked(give=lambda w: np.maximum(w, 1e-12)), "weights is 1e-12 at a hidden"),
    ("differences cut", differences_cut, "large differences of scores, are cut off"),
    ("scores cut", lambda s, m: right_weights(np.clip(s, -1e6, 1e6), m), "large scores, .* cut"),
    ("unfilled masked array", as_masked_array, r"return weights.filled\(0\)"),
    ("a billion less", lambda s, m: softmax(np.where(m, s, s - 1e9)), "np.where|0 times nan"),
    ("equal weights", masked("mean"), "the scores are not used"),
    ("logarithm", masked("log"), "the logarithm of the weights"),
    ("no largest subtracted", no_largest, "subtract each row's largest score"),
    ("largest of all places", largest_of_all, "put in -inf first"),
    ("largest of all queries", largest_number, "nan for large scores|put in -inf first"),
    ("shared afterwards", after_and_shared, "weights is nan"),
    ("infinity added", added_infinity, "0 times nan is nan"),
    ("scores in place", scores_in_place, "changed its argument scores"),
    ("mask of two axes", mask_of_two_axes, r"weights\[.*Print the sums"),
    ("a little more below", a_little_more, "right to a few digits only"),
    ("float32", single(right_weights), "right to a few digits only"),
    ("rounded", masked(give=lambda w: w.round(6)), "right to a few digits only"),
    ("one buffer", one_buffer(right_weights), "overwrites what it returned before"),
    ("no axes of length 1", no_axes(right_weights), r"weights must have shape \(T=1"),
    ("places first", masked(give=lambda w: w.transpose(2, 1, 0)), "weights must have|weights.*Pr"),
    ("in a tuple", masked(give=lambda w: (w,)), "weights must have shape"),
    ("one sequence", lambda s, m: right_weights(s, m)[:, :1], "weights must have shape"),
    ("stops", stops, "stopped with IndexError"),
    ("not written", dots, "masked_softmax returned Ellipsis"),
]  # fmt: skip


def number_by_number(scores: Any, mask: Any) -> Any:
    T, B, S = scores.shape
    mask = np.broadcast_to(mask, scores.shape)
    out = [[[0.0] * S for _ in range(B)] for _ in range(T)]
    for t in range(T):
        for b in range(B):
            places = [s for s in range(S) if mask[t, b, s]]
            top = max(scores[t, b, s] for s in places)
            e = {s: math.exp(scores[t, b, s] - top) for s in places}
            for s in places:
                out[t][b][s] = e[s] / sum(e.values())
    return out


def on_a_copy(scores: Any, mask: Any) -> Any:
    scores = scores.copy()
    np.putmask(scores, ~np.broadcast_to(mask, scores.shape), -np.inf)
    scores -= scores.max(axis=2, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=2, keepdims=True)
    return scores


def by_where(scores: Any, mask: Any) -> Any:
    mask = np.broadcast_to(mask, scores.shape)
    top = scores.max(axis=-1, keepdims=True, where=mask, initial=-np.inf)
    e = np.exp(scores - top, where=mask, out=np.zeros_like(scores))
    return e / np.einsum("tbs->tb", e)[..., None]


RIGHT[checks.check_masked_softmax] = [
    ("the lowest number there is", lambda s, m: softmax(np.where(m, s, np.finfo(float).min))),
    ("the package's softmax", lambda s, m: softmax(np.where(m, s, -np.inf))),
    ("number by number, in lists", number_by_number),
    ("in place on a copy", on_a_copy),
    ("with where", by_where),
    ("masked array, filled at the end", lambda s, m: as_masked_array(s, m).filled(0)),
    ("masked array", lambda s, m: softmax(np.ma.array(s, mask=~np.broadcast_to(m, s.shape))
                                          .filled(-np.inf))),
]  # fmt: skip

# --- 3. The additive score. ---

KEPT = {"constant", "keys", "values", "linear"}
ALL = KEPT | {"doubled", "queries", "additive"}

WRONG[checks.check_unchanged] = [
    ("doubled", KEPT | {"doubled"}, "'doubled'.*twice as far apart"),
    ("queries", KEPT | {"queries"}, "'queries'.*grows by the vector times key"),
    ("additive", KEPT | {"additive"}, "'additive'.*goes through the tanh"),
    ("all", ALL, "holds 'doubled'"),
    ("no constant", KEPT - {"constant"}, "for 'constant'"),
    ("no keys", KEPT - {"keys"}, "for 'keys'"),
    ("no values", KEPT - {"values"}, "for 'values'"),
    ("no linear", KEPT - {"linear"}, "for 'linear': without tanh"),
    ("queries for keys", KEPT - {"keys"} | {"queries"}, "holds 'queries'"),
    ("none", set(), "unchanged is not complete"),
    ("another name", KEPT | {"scores"}, "it holds 'scores'"),
    ("a number", 4, "must be a set of names"),
    ("a dict", dict.fromkeys(ALL, True), "without colons, got a dict"),
    ("not written", ..., "unchanged has no value yet"),
]
RIGHT[checks.check_unchanged] = [
    ("a list", sorted(KEPT)),
    ("with spaces", tuple(f" {name} " for name in KEPT)),
    ("a frozen set", frozenset(KEPT)),
]


def additive(wrong: str = "", give: Any = lambda scores: scores) -> Any:
    return lambda params, query, keys: give(checks._additive(params, query, keys, wrong))


right_scores = additive()


def position_by_position(params: Any, query: Any, keys: Any) -> Any:
    return np.tanh(query[: len(keys)] @ params.W_q.T + keys @ params.W_k.T) @ params.v


def first_query(params: Any, query: Any, keys: Any) -> Any:
    return np.tanh(query[:1] @ params.W_q.T + keys @ params.W_k.T) @ params.v


def across_the_batch(params: Any, query: Any, keys: Any) -> Any:
    a = (query @ params.W_q.T)[:, :, None] + (keys[:, 0] @ params.W_k.T)[None, None]
    return np.tanh(a) @ params.v


def by_exp(params: Any, query: Any, keys: Any) -> Any:
    a = (query @ params.W_q.T)[:, :, None] + (keys @ params.W_k.T).swapaxes(0, 1)
    return (np.exp(a) - np.exp(-a)) / (np.exp(a) + np.exp(-a)) @ params.v


def by_the_addition_theorem(params: Any, query: Any, keys: Any) -> Any:
    x = np.tanh(query @ params.W_q.T)[:, :, None]
    y = np.tanh(keys @ params.W_k.T).swapaxes(0, 1)
    return (x + y) / (1 + x * y) @ params.v


def turned(name: str) -> Any:
    def scores(params: Any, query: Any, keys: Any) -> Any:
        return right_scores(params._replace(**{name: getattr(params, name).T}), query, keys)

    return scores


def params_in_place(params: Any, query: Any, keys: Any) -> Any:
    right = right_scores(params, query, keys)
    params.v[:] *= 2
    return right


def silent_if_nothing_asked(params: Any, query: Any, keys: Any) -> Any:
    return right_scores(params, query, keys) * bool(query.any())


WRONG[checks.check_additive_scores] = [
    *((bug, additive(bug), why.split(";")[0].split("(")[0]) for bug, why in
      checks.ADDITIVES.items() if not bug.startswith("W")),
    ("W_q turned", turned("W_q"), "W_q is used without .T"),
    ("W_k turned", turned("W_k"), "W_k is used without .T"),
    ("W_q and W_k exchanged", lambda p, q, k: checks._additive(
        p, q, k, "W exchanged" if p.W_q.shape == p.W_k.shape else ""), "W_q and W_k exchanged"),
    ("by the addition theorem", by_the_addition_theorem, "scores holds nan"),
    ("T and S exchanged", additive(give=lambda s: s.transpose(2, 1, 0)), "T and S exchanged"),
    ("places before sequences", additive(give=lambda s: s.transpose(0, 2, 1)),
     r"must have shape \(T=4, B=3, S=4\), got \(4, 4, 3\)"),
    ("batch first", additive(give=lambda s: s.swapaxes(0, 1)), r"must have shape .*got \(3, 4, 4"),
    ("position by position", position_by_position, "query t met key t alone"),
    ("one query", first_query, "query t met key t alone"),
    ("one sequence's keys", across_the_batch, "look at the keys of the first one"),
    ("tanh by exp", by_exp, "scores holds nan"),
    ("a query of zeros", silent_if_nothing_asked, r"scores\[.*Compute one pair"),
    ("parameters changed", params_in_place, "changed its argument params"),
    ("query changed", spoils(right_scores, 1), "changed its argument query"),
    ("one buffer", one_buffer(right_scores), "overwrites what it returned before"),
    ("no axes of length 1", no_axes(right_scores), "scores must have shape"),
    ("float32", single(right_scores), "right to a few digits only"),
    ("in a list", additive(give=lambda s: [s]), "scores must have shape"),
    ("stops", stops, "stopped with IndexError"),
    ("not written", dots, "additive_scores returned Ellipsis"),
]  # fmt: skip


def pair_by_pair(params: Any, query: Any, keys: Any) -> Any:
    W_q, W_k, v = params
    return [[[float(v @ np.tanh(W_q @ query[t, b] + W_k @ keys[s, b])) for s in range(len(keys))]
             for b in range(query.shape[1])] for t in range(len(query))]  # fmt: skip


def side_by_side(params: Any, query: Any, keys: Any) -> Any:
    (T, B, _), S = query.shape, len(keys)
    both = np.concatenate([np.broadcast_to(query[:, None], (T, S, B, query.shape[2])),
                           np.broadcast_to(keys, (T, *keys.shape))], axis=-1)  # fmt: skip
    W = np.hstack([params.W_q, params.W_k])
    return np.einsum("tsbd,ad,->tsba", both, W, 1.0, optimize=False).swapaxes(1, 2).__class__(
        (T, B, S), buffer=np.ascontiguousarray(
            (np.tanh(both @ W.T) @ params.v).swapaxes(1, 2)))  # fmt: skip


def step_by_step(params: Any, query: Any, keys: Any) -> Any:
    a_k = np.einsum("sbd,ad->sba", keys, params.W_k)
    rows = [np.tanh(a_k + q @ params.W_q.T) @ params.v for q in query]
    return np.stack(rows).transpose(0, 2, 1)


def by_one_exp(params: Any, query: Any, keys: Any) -> Any:
    a = (query @ params.W_q.T)[:, :, None] + (keys @ params.W_k.T).swapaxes(0, 1)
    return (1 - 2 / (np.exp(2 * a) + 1)) @ params.v


RIGHT[checks.check_additive_scores] = [
    ("by one exp", by_one_exp),
    ("pair by pair, in lists", pair_by_pair),
    ("side by side, one matrix", side_by_side),
    ("step by step", step_by_step),
    ("by sigmoid", lambda p, q, k: checks._additive(
        Additive(2 * p.W_q, 2 * p.W_k, 2 * p.v), q, k, "sigmoid") - p.v.sum()),
]  # fmt: skip

# --- 4. The way back. ---


def back(wrong: str = "", give: Any = lambda *parts: parts) -> Any:
    return lambda *args: give(*checks._back(*args, wrong))


right_back = back()


def values_for(wrong: str) -> Any:
    """A mistake that fits only where keys and values have one size."""

    def look_backward(cache: Any, *above: Any) -> Any:
        same = cache.keys.shape == cache.values.shape
        return checks._back(cache, *above, wrong if same else "")

    return look_backward


def by_differences(cache: Any, dcontext: Any, dweights: Any) -> Any:
    mask = (cache.weights > 0).any(axis=0)

    def loss(inputs: Any) -> float:
        context, weights, _ = attention_forward(*inputs, mask=mask)
        return float((context * dcontext).sum() + (weights * dweights).sum())

    return numerical_grad(loss, (cache.query, cache.keys, cache.values))


WRONG[checks.check_look_backward] = [
    *((bug, back(bug), why.split(";")[0].split("(")[0].split("[")[0])
      for bug, why in checks.BACK_BUGS.items()),
    ("dquery without the root", back("dquery's root"), "dquery is .* without the root of D"),
    ("dkeys without the root", back("dkeys' root"), "dkeys is .* without the root of D"),
    *((bug, values_for(bug), why.split(";")[0]) for bug, why in checks.EQUAL_D.items()),
    ("T and S exchanged", back("turned"), "axes T and S exchanged|must have shape"),
    ("finite differences", by_differences, "right to a few digits only"),
    ("float32", single(right_back), "right to a few digits only"),
    ("four results", attention_backward, "must return dquery, dkeys, dvalues; it returned 4"),
    ("another order", back(give=lambda q, k, v: (k, v, q)), "in this order"),
    ("values first", back(give=lambda q, k, v: (v, q, k)), "in this order"),
    ("weights changed", lambda c, a, b: (b.__iadd__(1), right_back(c, a, b))[1],
     "changed its argument dweights"),
    ("one buffer", one_buffer(right_back), "overwrites what it returned before"),
    ("no axes of length 1", no_axes(right_back), "must have shape"),
    ("mask of the weights forgotten", back(give=lambda q, k, v: (q, k, v.sum(1))), "dvalues must"),
    ("a dict", back(give=lambda q, k, v: {"dquery": q}), "it returned a dict"),
    ("stops", stops, "stopped with IndexError"),
    ("not written", dots, "look_backward returned Ellipsis"),
]  # fmt: skip


def by_jacobian(cache: Any, dcontext: Any, dweights: Any) -> Any:
    weights, root = cache.weights, math.sqrt(cache.query.shape[-1])
    J = weights[..., None] * np.eye(weights.shape[-1]) - np.einsum(
        "tbs,tbu->tbsu", weights, weights
    )
    g = np.matmul(dcontext.swapaxes(0, 1), cache.values.transpose(1, 2, 0)).swapaxes(0, 1)
    de = np.einsum("tbsu,tbu->tbs", J, g + dweights)
    dquery = np.einsum("tbs,sbd->tbd", de, cache.keys) / root
    return [dquery, np.einsum("tbs,tbd->sbd", de, cache.query / root),
            np.einsum("tbs,tbd->sbd", weights, dcontext)]  # fmt: skip


def by_the_context(cache: Any, dcontext: Any, dweights: Any) -> Any:
    """The average of g by the context, as it is done where the weights are not kept."""
    weights = cache.weights
    context = np.einsum("tbs,sbd->tbd", weights, cache.values)
    average = (dcontext * context).sum(-1) + (dweights * weights).sum(-1)
    g = np.einsum("tbd,sbd->tbs", dcontext, cache.values) + dweights
    de = weights * (g - average[..., None])
    dkeys = np.einsum("tbs,tbd->sbd", de, cache.met)
    dquery = np.einsum("tbs,sbd->tbd", de, cache.keys) * cache.query.shape[-1] ** -0.5
    return dquery, dkeys, np.einsum("tbs,tbd->sbd", weights, dcontext)


def sequence_by_sequence(cache: Any, dcontext: Any, dweights: Any) -> Any:
    dquery, dkeys, dvalues = map(np.zeros_like, (cache.query, cache.keys, cache.values))
    T, B, S = cache.weights.shape
    for b in range(B):
        for t in range(T):
            a = cache.weights[t, b]
            g = [float(dcontext[t, b] @ cache.values[s, b] + dweights[t, b, s]) for s in range(S)]
            mean = float(a @ g)
            for s in range(S):
                de = a[s] * (g[s] - mean) / math.sqrt(cache.query.shape[-1])
                dquery[t, b] += de * cache.keys[s, b]
                dkeys[s, b] += de * cache.query[t, b]
                dvalues[s, b] += a[s] * dcontext[t, b]
    return dquery, dkeys, dvalues


RIGHT[checks.check_look_backward] = [
    ("the package's", lambda *args: attention_backward(*args)[:3]),
    ("by the Jacobian, in a list", by_jacobian),
    ("the average by the context", by_the_context),
    ("number by number", sequence_by_sequence),
]

# --- 5. The future. ---

LEAKING = {"after", "one more", "minus ten", "queries", "standardised"}

WRONG[checks.check_leaks] = [
    *((f"without {name}", LEAKING - {name}, f"not complete.*for '{name}'") for name in
      sorted(LEAKING)),
    ("shared", LEAKING | {"shared"}, "'shared'.*cancels"),
    ("largest", LEAKING | {"largest"}, "'largest'.*cancels"),
    ("all", LEAKING | {"shared", "largest"}, "which does not belong there"),
    ("none", set(), "leaks is not complete"),
    ("another name", {"mask"}, "it holds 'mask'"),
    ("a dict", dict.fromkeys(LEAKING, 1), "without colons, got a dict"),
    ("a number", 5, "must be a set of names"),
    ("not written", ..., "leaks has no value yet"),
]  # fmt: skip
RIGHT[checks.check_leaks] = [
    ("a list", sorted(LEAKING)),
    ("a tuple with spaces", tuple(f"{name} " for name in LEAKING)),
    ("a frozen set", frozenset(LEAKING)),
]


def look(wrong: str = "", give: Any = lambda *parts: parts) -> Any:
    return lambda *args: give(*checks._look(*args, wrong))


right_look = look()


def given(query: Any, keys: Any, values: Any) -> Any:
    """The function of the exercise, with its two mistakes."""
    T, S = len(query), len(keys)
    scores = np.einsum("tbd,sbd->tbs", query, keys) / np.sqrt(query.shape[-1])
    seen = np.tri(T, S, dtype=bool)[:, None]
    weights = softmax(scores) * seen
    return np.einsum("tbs,sbd->tbd", weights, values), weights


def look_and_share(query: Any, keys: Any, values: Any) -> Any:
    T, S = len(query), len(keys)
    scores = np.einsum("tbd,sbd->tbs", query, keys) / np.sqrt(query.shape[-1])
    weights = softmax(scores) * np.tri(T, S, k=S - T)[:, None]
    weights /= weights.sum(-1, keepdims=True)
    return np.einsum("tbs,sbd->tbd", weights, values), weights


def look_and_share_safely(query: Any, keys: Any, values: Any) -> Any:
    T, S = len(query), len(keys)
    scores = np.einsum("tbd,sbd->tbs", query, keys) / np.sqrt(query.shape[-1])
    weights = softmax(scores) * np.tri(T, S, k=S - T)[:, None]
    weights /= np.maximum(weights.sum(-1, keepdims=True), 1e-300)
    return np.einsum("tbs,sbd->tbd", weights, values), weights


def hidden_by(number: Any) -> Any:
    """The future gets a number that is made from all scores."""

    def causal_look(query: Any, keys: Any, values: Any) -> Any:
        T, S = len(query), len(keys)
        scores = np.einsum("tbd,sbd->tbs", query, keys) / np.sqrt(query.shape[-1])
        seen = np.tri(T, S, k=S - T, dtype=bool)[:, None]
        weights = softmax(np.where(seen, scores, number(scores)))
        return np.einsum("tbs,sbd->tbd", weights, values), weights

    return causal_look


def scores_cut(query: Any, keys: Any, values: Any) -> Any:
    T, S = len(query), len(keys)
    scores = np.einsum("tbd,sbd->tbs", query, keys) / np.sqrt(query.shape[-1])
    e = np.exp(np.clip(scores, -700, 700)) * np.tri(T, S, k=S - T)[:, None]
    weights = e / e.sum(-1, keepdims=True)
    return np.einsum("tbs,sbd->tbd", weights, values), weights


def moved(k: Any = lambda T, S: S - T, hidden: float = -np.inf) -> Any:
    """The solution, with another place of the triangle or another number for the future."""

    def causal_look(query: Any, keys: Any, values: Any) -> Any:
        T, S = len(query), len(keys)
        scores = np.einsum("tbd,sbd->tbs", query, keys) / np.sqrt(query.shape[-1])
        seen = np.tri(T, S, k=k(T, S), dtype=bool)[:, None]
        weights = softmax(np.where(seen, scores, hidden))
        return np.einsum("tbs,sbd->tbd", weights, values), weights

    return causal_look


def keys_averaged(query: Any, keys: Any, values: Any) -> Any:
    return checks._look(query, keys, values, "K for V" if keys.shape == values.shape else "")


def values_averaged(query: Any, keys: Any, values: Any) -> Any:
    weights = right_look(query, keys, values)[1]
    return np.repeat(values.mean(axis=0)[None], len(query), axis=0), weights


def standardised(query: Any, keys: Any, values: Any) -> Any:
    return right_look(query, keys - keys.mean(0, keepdims=True) * (np.arange(3) > 1).any(),
                      values - values.mean(0))  # fmt: skip


def keys_standardised(query: Any, keys: Any, values: Any) -> Any:
    return right_look(query, keys / (keys.std(0) + 1e-3), values)


WRONG[checks.check_causal_look] = [
    ("as given", given, "what both mistakes together give"),
    *((bug, look(bug), why.split(";")[0].split("(")[0]) for bug, why in checks.LOOK_BUGS.items()
      ),
    ("triangle moved the other way", moved(lambda T, S: T - S), "sees no place at all"),
    ("minus 1e30", moved(hidden=-1e30), "Only -inf is below all of them"),
    ("minus 1e300", moved(hidden=-1e300), "Only -inf is below all of them"),
    ("minus 1e308", moved(hidden=-1e308), "Only -inf is below all of them"),
    ("a hundred below the lowest", hidden_by(lambda e: e.min() - 100), "which places has it seen"),
    ("a billion times the largest", hidden_by(lambda e: -1e9 * np.abs(e).max()),
     "without a mask|a hidden score becomes 0"),
    ("scores cut", scores_cut, "large scores, .* cut off"),
    ("shared afterwards, safely", look_and_share_safely, "weights has a row of zeros where the"),
    ("past alone", lambda q, k, v: right_look(q, k[-len(q):], v[-len(q):]),
     r"weights must have shape \(T=3, B=2, S=6\), got \(3, 2, 3\)"),
    ("shared afterwards", look_and_share, "weights holds nan where the scores of the future"),
    ("keys averaged", keys_averaged, "the keys are averaged"),
    ("values without weights", values_averaged, "the mean of the values, without the weights"),
    ("values standardised", standardised, "context.*The weights are right"),
    ("keys standardised", keys_standardised, "weights.*which places has it seen"),
    ("exchanged", look(give=lambda c, w: (w, c)), "must have shape"),
    ("context alone", look(give=lambda c, w: c), "it returned an array"),
    ("with cache", attention_forward, "it returned 3 things"),
    ("float32", single(right_look), "right to a few digits only"),
    ("values changed", spoils(right_look, 2), "changed its argument values"),
    ("one buffer", one_buffer(right_look), "overwrites what it returned before"),
    ("no axes of length 1", no_axes(right_look), "must have shape"),
    ("stops", stops, "stopped with IndexError"),
    ("not written", dots, "causal_look returned Ellipsis"),
]  # fmt: skip


def by_the_package(query: Any, keys: Any, values: Any) -> Any:
    mask = causal_mask(len(keys))[len(keys) - len(query) :]
    return attention_forward(query, keys, values, mask=mask)[:2]


def query_by_query(query: Any, keys: Any, values: Any) -> Any:
    (T, B, D), S = query.shape, len(keys)
    context, weights = np.zeros((T, B, values.shape[-1])), np.zeros((T, B, S))
    for t in range(T):
        stop = S - T + t + 1
        for b in range(B):
            weights[t, b, :stop] = softmax(keys[:stop, b] @ query[t, b] * D**-0.5)
            context[t, b] = weights[t, b] @ values[:, b]
    return [context, weights]


def future_first(query: Any, keys: Any, values: Any) -> Any:
    T, S = len(query), len(keys)
    later = np.arange(S) > np.arange(S - T, S)[:, None]
    scores = (query / np.sqrt(query.shape[-1])).swapaxes(0, 1) @ keys.transpose(1, 2, 0)
    scores[:, later] = -np.inf
    weights = softmax(scores)
    return (weights @ values.swapaxes(0, 1)).swapaxes(0, 1), weights.swapaxes(0, 1)


def with_all_queries(query: Any, keys: Any, values: Any) -> Any:
    T, S = len(query), len(keys)
    all_places = np.concatenate([np.zeros((S - T, *query.shape[1:])), query])
    context, weights = right_look(all_places, keys, values)
    return context[S - T :], weights[S - T :]


RIGHT[checks.check_causal_look] = [
    ("the lowest number there is", moved(hidden=np.finfo(float).min)),
    ("with a query for each place", with_all_queries),
    ("by the package", by_the_package),
    ("query by query, in a list", query_by_query),
    ("the future named", future_first),
]

# --- 6. Copying. ---


def mix(wrong: str = "", give: Any = lambda mixture: mixture) -> Any:
    return lambda *args: give(checks._mixture(*args, wrong))


right_mix = mix()


def fancy(p: Any, g: Any, weights: Any, ids: Any, N: Any) -> Any:
    out = np.zeros((*g.shape, N))
    out[..., : p.shape[-1]] = g[..., None] * p
    b = np.arange(g.shape[1])
    out[:, b[:, None], ids.T] += (1 - g)[..., None] * weights
    return out


def for_size(p: Any, g: Any, weights: Any, ids: Any, N: Any) -> Any:
    return right_mix(p, g, weights, ids, N)[..., : p.shape[-1] + 1]


def ids_turned(p: Any, g: Any, weights: Any, ids: Any, N: Any) -> Any:
    square = ids.shape[0] == ids.shape[1]
    return right_mix(p, g, weights, ids.T if square else ids, N)


def unknown_ids(p: Any, g: Any, weights: Any, ids: Any, N: Any) -> Any:
    return checks._mixture(p, g, weights, ids, N, "unknown")


def renormalised(p: Any, g: Any, weights: Any, ids: Any, N: Any) -> Any:
    return softmax(right_mix(p, g, weights, ids, N))


WRONG[checks.check_copy_mixture] = [
    *((bug, mix(bug), why.split(";")[0].split("(")[0].split("[")[0])
      for bug, why in checks.COPY_BUGS.items() if bug != "last wins"),
    ("last wins", mix("last wins"), "only the last of several|a copy replaces"),
    ("by fancy indices", fancy, r"mixture\[|each index counts once"),
    ("ids turned", ids_turned, "ids are turned, or cut anew"),
    ("a softmax of it", renormalised, r"mixture\[.*add up by hand"),
    ("one word more than V", for_size, "the mixture must have shape"),
    ("g of three axes", lambda p, g, w, i, N: right_mix(p, g[..., None], w, i, N),
     "stopped with|must have shape"),
    ("p changed", spoils(right_mix, 0), "changed its argument p"),
    ("ids changed", spoils(right_mix, 3), "changed its argument ids"),
    ("float32", single(right_mix), "right to a few digits only"),
    ("one buffer", one_buffer(right_mix), "overwrites what it returned before"),
    ("no axes of length 1", no_axes(right_mix), "must have shape"),
    ("stops", stops, "stopped with IndexError"),
    ("not written", dots, "copy_mixture returned Ellipsis"),
]  # fmt: skip


def add_at(p: Any, g: Any, weights: Any, ids: Any, N: Any) -> Any:
    T, B, V = p.shape
    out = np.concatenate([g[..., None] * p, np.zeros((T, B, N - V))], axis=-1)
    t, b, _ = np.ogrid[:T, :B, : len(ids)]
    np.add.at(out, (t, b, ids.T[None]), (1 - g)[..., None] * weights)
    return out


def by_bincount(p: Any, g: Any, weights: Any, ids: Any, N: Any) -> Any:
    T, B, V = p.shape
    return [
        [
            (1 - g[t, b]) * np.bincount(ids[:, b], weights[t, b], minlength=N)
            + g[t, b] * np.pad(p[t, b], (0, N - V))
            for b in range(B)
        ]
        for t in range(T)
    ]


def word_by_word(p: Any, g: Any, weights: Any, ids: Any, N: Any) -> Any:
    columns = []
    for w in range(N):
        copied = (weights * (w == ids.T)).sum(-1) * (1 - g)
        columns.append(copied + (g * p[..., w] if w < p.shape[-1] else 0))
    return np.stack(columns, axis=-1)


RIGHT[checks.check_copy_mixture] = [
    ("np.add.at", add_at),
    ("bincount, in lists", by_bincount),
    ("word by word", word_by_word),
]


def unmix(wrong: str = "", give: Any = lambda *parts: parts) -> Any:
    return lambda *args: give(*checks._copy_back(*args, wrong))


right_unmix = unmix()


def unmix_by_differences(p: Any, g: Any, weights: Any, ids: Any, dmixture: Any) -> Any:
    def loss(inputs: Any) -> float:
        return float((checks._mixture(*inputs, ids, dmixture.shape[-1]) * dmixture).sum())

    dp, dg, dweights = numerical_grad(loss, (p, g, weights))
    return dp * (1 + 1e-7), dg * (1 + 1e-7), dweights


def shares(a: Any) -> Any:
    return a / a.sum(-1, keepdims=True)


def the_rest(p: Any) -> Any:
    return np.concatenate([p[..., :-1], 1 - p[..., :-1].sum(-1, keepdims=True)], axis=-1)


def unmix_of(
    p_to: Any = lambda p: p, g_to: Any = lambda g: g, weights_to: Any = lambda w: w
) -> Any:
    """The way back, after a change that leaves distributions as they are."""
    return lambda p, g, w, ids, d: right_unmix(p_to(p), g_to(g), weights_to(w), ids, d)


def centred(p: Any, g: Any, weights: Any, ids: Any, dmixture: Any) -> Any:
    dp, _, dweights = right_unmix(p, g, weights, ids, dmixture)
    less = dmixture - dmixture.mean(-1, keepdims=True)
    return dp, right_unmix(p, g, weights, ids, less)[1], dweights


def divided_by_g(p: Any, g: Any, weights: Any, ids: Any, dmixture: Any) -> Any:
    dp, _, dweights = right_unmix(p, g, weights, ids, dmixture)
    return dp, (dp * p).sum(-1) / g - (dweights * weights).sum(-1) / (1 - g), dweights


def without_padding(p: Any, g: Any, weights: Any, ids: Any, dmixture: Any) -> Any:
    dp, dg, dweights = right_unmix(p, g, weights, ids, dmixture)
    return dp, dg, dweights * (weights != 0)


WRONG[checks.check_copy_backward] = [
    *((bug, unmix(bug), why.split(";")[0].split("(")[0])
      for bug, why in checks.COPY_BACKS.items()),
    ("p made a distribution", unmix_of(shares), r"dg\[.*any numbers"),
    ("weights made a distribution", unmix_of(weights_to=shares), r"dg\[.*any numbers"),
    ("the last of p is the rest", unmix_of(the_rest), r"dg\[.*any numbers"),
    ("p positive", unmix_of(np.abs), r"dg\[.*any numbers"),
    ("weights between 0 and 1", unmix_of(weights_to=lambda w: w.clip(0, 1)), "dg.*any numbers"),
    ("g between 0 and 1", unmix_of(g_to=lambda g: np.clip(g, 0, 1)), r"dp\[.*any numbers"),
    ("dg of what differs from the mean", centred, r"dg\[.*any numbers"),
    ("divided by g", divided_by_g, "dg holds nan"),
    ("nothing for weights of 0", without_padding, r"dweights\[.*by what is it multiplied"),
    ("finite differences", unmix_by_differences, "right to a few digits only"),
    ("dp of N words", lambda p, g, w, i, d: (g[..., None] * d, *right_unmix(p, g, w, i, d)[1:]),
     r"dp must have shape \(T=2, B=3, V=4\), got \(2, 3, 7\)"),
    ("dg with an axis", unmix(give=lambda p, g, w: (p, g[..., None], w)), "dg must have shape"),
    ("dg summed", unmix(give=lambda p, g, w: (p, g.sum(), w)), "dg must have shape"),
    ("places first", unmix(give=lambda p, g, w: (p, g, w.transpose(2, 1, 0))), "dweights must"),
    ("two results", unmix(give=lambda p, g, w: (p, g)), "it returned 2 things"),
    ("another order", unmix(give=lambda p, g, w: (g, p, w)), "dp must have shape"),
    ("dmixture changed", spoils(right_unmix, 4), "changed its argument dmixture"),
    ("float32", single(right_unmix), "right to a few digits only"),
    ("one buffer", one_buffer(right_unmix), "overwrites what it returned before"),
    ("stops", stops, "stopped with IndexError"),
    ("not written", dots, "copy_backward returned Ellipsis"),
]  # fmt: skip


def take_along(p: Any, g: Any, weights: Any, ids: Any, dmixture: Any) -> Any:
    at = np.take_along_axis(dmixture, np.broadcast_to(ids.T, weights.shape), axis=-1)
    first = dmixture[..., : p.shape[-1]]
    dg = np.einsum("tbv,tbv->tb", p, first) - np.einsum("tbs,tbs->tb", weights, at)
    return [np.multiply(g[..., None], first), dg, at - g[..., None] * at]


def unmix_by_loops(p: Any, g: Any, weights: Any, ids: Any, dmixture: Any) -> Any:
    dp, dg, dweights = map(np.zeros_like, (p, g, weights))
    for t, b in np.ndindex(g.shape):
        for w in range(p.shape[-1]):
            dp[t, b, w] += g[t, b] * dmixture[t, b, w]
            dg[t, b] += p[t, b, w] * dmixture[t, b, w]
        for s, w in enumerate(ids[:, b]):
            dweights[t, b, s] += (1 - g[t, b]) * dmixture[t, b, w]
            dg[t, b] -= weights[t, b, s] * dmixture[t, b, w]
    return dp, dg, dweights


def by_the_sums(p: Any, g: Any, weights: Any, ids: Any, dmixture: Any) -> Any:
    """dg by the mixtures at g = 1 and at g = 0, as the mixture is a straight line in g."""
    N, one = dmixture.shape[-1], np.ones_like(g)
    slope = checks._mixture(p, one, weights, ids, N) - checks._mixture(p, 0 * one, weights, ids, N)
    return (right_unmix(p, g, weights, ids, dmixture)[0], (slope * dmixture).sum(-1),
            right_unmix(p, g, weights, ids, dmixture)[2])  # fmt: skip


RIGHT[checks.check_copy_backward] = [
    ("take_along_axis, in a list", take_along),
    ("by loops", unmix_by_loops),
    ("by the sums", by_the_sums),
]

# --- 7. Keys by hand. ---

WRONG[checks.check_reachable] = [
    ("all", 10, "2q is larger than q and 3q"),
    ("all but one", 9, "2q is larger than q and 3q"),
    ("one", 1, "a query may be negative"),
    ("none", 0, "if q is large"),
    ("the inner ones", 8, "just what cannot be chosen"),
    ("with q = 0", 3, "none has more than half"),
    ("half", 5, "on which side of the middle"),
    ("any other", 4, "a straight line over k"),
    ("not whole", 2.5, "a straight line over k"),
    ("text", "two", "must be a number"),
    ("a set", {1, 10}, "must be a single number"),
    ("not written", ..., "reachable has no value yet"),
]
RIGHT[checks.check_reachable] = [
    ("a float", 2.0),
    ("NumPy's", np.int64(2)),
    ("an array", np.array([2])),
]


def circle(c: Any = lambda S: S**2, shift: int = 0, change: Any = lambda q, k: (q, k)) -> Any:
    """Keys on a circle; a shift looks to the right, c is the length of a query."""

    def reversal(S: int) -> Any:
        s = np.arange(S)
        turn = 2 * np.pi / S
        angle, wanted = turn * s, turn * (S - 1 - s + shift)
        keys = np.stack([np.cos(angle), np.sin(angle)], -1)[:, None]
        query = c(S) * np.stack([np.cos(wanted), np.sin(wanted)], -1)[:, None]
        return change(query, keys)

    return reversal


def parabola(c: float = 6.0, shift: int = 0, turn: bool = True) -> Any:
    def reversal(S: int) -> Any:
        s = np.arange(S, dtype=float)
        wanted = (S - 1 - s if turn else s) + shift
        keys = np.stack([s, -(s**2)], -1)[:, None]
        return c * np.stack([2 * wanted, np.ones(S)], -1)[:, None], keys

    return reversal


def first_number_alone(S: int) -> Any:
    query, keys = parabola()(S)
    keys[..., 1] = 0
    return query, keys


def half_circle(S: int) -> Any:
    angle = np.pi * np.arange(S) / S
    keys = np.stack([np.cos(angle), np.sin(angle)], -1)[:, None]
    return 4 * S**2 * keys[::-1], keys


TABLE = [np.zeros((100, 1, 2)), np.zeros((100, 1, 2))]


def into_one_table(S: int) -> Any:
    for table, part in zip(TABLE, parabola()(S)):
        table[:S] = part
    return TABLE[0][:S], TABLE[1][:S]


LONGEST = parabola()(100)

WRONG[checks.check_reversal] = [
    ("by a hair", parabola(5.288), "puts 0.9899 on place"),
    ("into one table", into_one_table, "overwrites what it returned before"),
    ("copies", parabola(turn=False), "this copies and does not reverse"),
    ("too far right", parabola(shift=1), "one place too far to the right"),
    ("too far left", parabola(shift=-1), "one place too far to the left"),
    ("round the circle", circle(shift=1), "one place too far, round the circle"),
    ("round the circle, left", circle(shift=-1), "round the circle and to the left"),
    ("too weak", parabola(2.0), "let the scores lie further apart"),
    ("just too weak", parabola(5.2), "let the scores lie further apart"),
    ("a fixed length", circle(lambda S: 1000), "for S = .*let the scores lie further apart"),
    ("a length like S", circle(lambda S: 10 * S), "let the scores lie further apart"),
    ("no length", circle(lambda S: 1), "for S = 3 .*let the scores lie further apart"),
    ("a line", first_number_alone, "for S = 3 query.1. puts .* most is on place"),
    ("all zero", lambda S: (np.zeros((S, 1, 2)), np.zeros((S, 1, 2))), "for S = 3"),
    ("too large", parabola(1e308), "a score is not finite|holds inf"),
    ("made for 3", lambda S: parabola()(3), r"query of reversal\(4\) must have shape"),
    ("exchanged", circle(change=lambda q, k: (k / 9, 9 * k[::-1] ** 3)), "for S = 3"),
    ("no batch", circle(change=lambda q, k: (q[:, 0], k[:, 0])), "must have shape"),
    ("one-hot", lambda S: (40 * np.eye(S)[::-1, None], np.eye(S)[:, None]), "must have shape"),
    ("integers", lambda S: tuple(a.astype(int) for a in parabola()(S)), "must hold float64"),
    ("float32", single(parabola()) and (lambda S: tuple(
        a.astype(np.float32) for a in parabola()(S))), "dtype is float32"),
    ("lists", lambda S: tuple(a.tolist() for a in parabola()(S)), "must be an array"),
    ("keys alone", lambda S: parabola()(S)[1], "must return query, keys"),
    ("values, too", lambda S: (*parabola()(S), 0), "it returned 3 things"),
    ("nan", circle(change=lambda q, k: (q * np.nan, k)), "holds nan"),
    ("empty for one", lambda S: parabola()(S) if S > 1 else None, "reversal returned None"),
    ("stops", stops, "stopped with IndexError"),
    ("not written", dots, "reversal returned Ellipsis"),
]  # fmt: skip
RIGHT[checks.check_reversal] = [
    ("pieces of the longest", lambda S: (LONGEST[0][-S:], LONGEST[1][:S])),
    ("on a circle", circle()),
    ("steep", parabola(1000.0)),
    ("on half a circle", half_circle),
    ("other corner of the circle, in a list", circle(lambda S: 3 * S**2, change=lambda q, k: [
        q[..., ::-1].copy(), k[..., ::-1].copy()])),
]  # fmt: skip

# --- The tests. ---

SEVERAL = {checks.check_spreads}


def test_what_answers_are_compared_with_is_right():
    rng = np.random.default_rng(0)
    T, B, S, D, A = 3, 2, 5, 4, 6
    query, keys = rng.normal(size=(T, B, D)), rng.normal(size=(S, B, D))
    values, mask = rng.normal(size=(S, B, 3)), checks._lengths(rng, B, S)
    params = Additive(*(rng.normal(size=size) for size in [(A, D), (A, D), (A,)]))
    theirs = attention_forward(query, keys, values, params, score="additive", mask=mask)[1]
    scores = checks._additive(params, query, keys)
    assert np.allclose(checks._weights(scores, mask), theirs, rtol=0, atol=1e-14)
    cache = attention_forward(query, keys, values, mask=mask)[2]
    above = rng.normal(size=(T, B, 3)), rng.normal(size=(T, B, S))
    right = attention_backward(cache, *above)[:3]
    assert relative_error(tuple(checks._back(cache, *above)), right) < 1e-13
    for ours, package in zip(
        checks._look(query, keys, values), by_the_package(query, keys, values)
    ):
        assert np.allclose(ours, package, rtol=0, atol=1e-13)


@pytest.mark.parametrize("k", range(len(checks.COPIES)))
def test_the_mixture_is_a_distribution_and_its_gradient_right(k: int):
    rng = np.random.default_rng(k)
    case = checks._copy_case(rng, k)
    mixture = checks._mixture(**case)
    assert np.allclose(mixture.sum(axis=-1), 1)
    assert (mixture >= 0).all()
    dmixture = rng.normal(size=mixture.shape)

    def loss(inputs: Any) -> float:
        return float((checks._mixture(*inputs, case["ids"], case["N"]) * dmixture).sum())

    inputs = case["p"], case["g"], case["weights"]
    ours = tuple(checks._copy_back(*inputs, case["ids"], dmixture))
    assert relative_error(ours, numerical_grad(loss, inputs)) < 1e-6


def weights_of(way: str, x: Any) -> Any:
    if way == "standardised":
        x = (x - x.mean(0)) / x.std(0)
    scores = np.einsum("tbd,sbd->tbs", x, x)
    seen = np.tri(len(x), k=int(way == "one more"), dtype=bool)[:, None]
    if way in ("after", "shared"):
        weights = softmax(scores) * seen
        return weights / weights.sum(-1, keepdims=True) if way == "shared" else weights
    if way == "minus ten":
        return softmax(scores - 10 * ~seen)
    hidden = np.where(seen, scores, -np.inf)
    if way == "queries":
        return softmax(hidden.T).T
    weights = np.exp(hidden - (scores if way == "largest" else hidden).max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def test_the_ways_leak_where_the_answer_says():
    x = np.random.default_rng(0).normal(size=(6, 1, 3))
    later = np.concatenate([x[:-1], x[-1:] + 1])
    ways = [*checks.LEAKS, *checks.TIGHT]
    assert {w for w in ways if np.abs(weights_of(w, later) - weights_of(w, x))[:-1].max() > 1e-9
            } == LEAKING  # fmt: skip


def same_weights(case: str) -> bool:
    rng = np.random.default_rng(0)
    query, keys, values = (rng.normal(size=(n, 2, 4)) for n in (3, 5, 5))
    params = Additive(rng.normal(size=(6, 4)), rng.normal(size=(6, 4)), rng.normal(size=6))
    c = rng.normal(size=4)

    def weights(q: Any, k: Any, factor: float = 1.0, constant: float = 0.0) -> Any:
        if case in ("additive", "linear"):
            bug = "no tanh" if case == "linear" else ""
            return softmax(checks._additive(params, q, k, bug))
        return softmax(factor * np.einsum("tbd,sbd->tbs", q, k) + constant)

    after = {
        "constant": lambda: weights(query, keys, constant=3.0),
        "doubled": lambda: weights(query, keys, factor=2.0),
        "keys": lambda: weights(query, keys + c),
        "queries": lambda: weights(query + c, keys),
        "values": lambda: attention_forward(query, keys, values + c, score="dot")[1],
        "additive": lambda: weights(query, keys + c),
        "linear": lambda: weights(query[::-1], keys),
    }[case]()
    return np.allclose(weights(query, keys), after)


def test_the_weights_stay_where_the_answer_says():
    assert {case for case in ALL if same_weights(case)} == KEPT


def test_two_of_ten_places_can_be_reached_on_a_line():
    keys = np.random.default_rng(0).normal(size=(10, 1, 1))
    query = np.linspace(-1000, 1000, 4001)[:, None, None]
    weights = attention_forward(query, keys, keys, score="dot")[1][:, 0]
    assert ((weights > 0.5).any(axis=0)).sum() == 2


def test_the_numbers_in_the_explanations_are_those_of_the_solutions(solutions: dict[str, Any]):
    text = "".join(c.source for c in nbformat.read(
        ROOT / "book/solutions/09_attention.ipynb", as_version=4).cells)  # fmt: skip
    a = 1 / (1 + math.exp(-16))
    assert f"{a * (1 - a):.1e}" == "1.1e-07"
    assert round(math.log(200), 1) == 5.3
    for said in ("1.1 \\cdot 10^{-7}", "\\approx 5.3$", "1/16^2"):
        assert said in text
    weights = [
        attention_forward(query, keys, keys, score="dot")[1][:, 0]
        for query, keys in map(solutions["reversal"], range(1, 101))
    ]
    assert min(w[::-1].diagonal().min() for w in weights) > 0.99
