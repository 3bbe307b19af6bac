"""Checks of the exercises of chapter 9, attention."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from unrolled._validate import Array
from unrolled.attention import (
    Additive,
    AttentionCache,
    attention_backward,
    attention_forward,
)
from unrolled.checks._tools import (
    alike,
    call,
    close,
    explained,
    fail,
    holds_nan,
    judge_names,
    kind_of,
    names_of,
    number,
    numbers,
    results,
    rng_of,
    same_still,
    snapshot,
)

# --- What several checks share. ---


def _chosen(
    what: str, value: Any, inside: Mapping[str, str], outside: Mapping[str, str], look: str
) -> None:
    """Compare a set of names with the right one; each name has the reason why."""
    chosen = names_of(what, value, [*inside, *outside])
    where, look = "which does not belong there:", f". {look}, for {{name}}:"
    judge_names(what, chosen, outside, inside, where=where, look=look)


def _softmax(scores: Array, axis: int = -1) -> Array:
    """Compute a softmax, also where it is a mistake: without a warning."""
    with np.errstate(all="ignore"):
        weights = np.exp(scores - scores.max(axis=axis, keepdims=True))
        return np.asarray(weights / weights.sum(axis=axis, keepdims=True))


def _where(mask: Array, scores: Array, hidden: float = -np.inf) -> Array:
    return np.where(np.broadcast_to(mask, scores.shape), scores, hidden)


def _likely(wrong: Mapping[str, Array]) -> dict[str, Array]:
    """Leave out suspects that overflow, and those that are zero only because an input is."""
    return {why: a for why, a in wrong.items() if np.isfinite(a).all() and np.any(a)}


def _near(value: float, wrong: float, share: float) -> bool:
    return abs(value - wrong) <= share * abs(wrong)


# --- 1. How far the scores lie apart. ---

SIZE = 256  # of the vectors in the first question
ROOT = 16  # its root


def check_spreads(dot: Any, by_size: Any, states: Any, slope: Any) -> None:
    """Refuse wrong predictions of how far scores lie apart, and what a softmax makes of it."""
    saturated = float(np.exp(-ROOT) / (1 + np.exp(-ROOT)) ** 2)
    power = float(np.log10(np.e))
    fits: dict[str, tuple[float, str, dict[str, float]]] = {
        "dot": (
            ROOT,
            "what is the variance of a sum of 256 independent terms of variance 1?",
            {
                "this is the variance; the standard deviation is its root": SIZE,
                "this is one term's; there are 256 of them": 1,
                "a sum has no smaller spread than its terms": 1 / ROOT,
                "2 times 256 numbers meet in 256 products": float(np.sqrt(2 * SIZE)),
            },
        ),
        "by_size": (
            1 / ROOT,
            "dividing by a number divides the standard deviation by it",
            {
                "this would be so if it were divided by the root of 256": 1,
                "this is the variance; the standard deviation is its root": 1 / SIZE,
                "this is the spread before the division": ROOT,
            },
        ),
        "states": (
            1 / ROOT,
            "what is the standard deviation of one product, if its two factors have 1/4 each?",
            {
                "the query and the key are both smaller, so each product has two factors of 1/4": (
                    1 / 4
                ),
                "this is for components of standard deviation 1": 1,
                "this is the variance; the standard deviation is its root": 1 / SIZE,
                "it is divided by the root of 256, not by 256": 1 / SIZE,
                "this is the spread before the division": 4,
            },
        ),
        "slope": (
            saturated,
            "the larger weight is a = 1 / (1 + exp(-dot)); its slope is a (1 - a). Give two digits",
            {
                "this is the larger weight itself": 1.0,
                "one of two equal scores has it; here they lie far apart": 0.25,
                "this is for scores that lie 1 apart": 0.19661,
                "the smaller weight is small, but not 0": 0.0,
                "this is e to the power of 16; the sign": float(np.exp(ROOT)),
                "this is the power of 10; what is asked for is the slope": -ROOT * power,
            },
        ),
    }
    answers = {"dot": dot, "by_size": by_size, "states": states, "slope": slope}
    for what, (right, look, reasons) in fits.items():
        guess = number(what, answers[what])
        if _near(guess, right, 0.05):
            continue
        known = (why for why, wrong in reasons.items() if _near(guess, wrong, 0.02))
        fail(f"{what} = {guess:.4g} is not right: {next(known, look)}")


# --- 2. The weights. ---


def _lengths(rng: np.random.Generator, B: int, S: int) -> Array:
    """Draw a mask (B, S) that hides the ends; one row is open, and one has a single place."""
    lengths = rng.integers(1, S + 1, size=B)
    lengths[0], lengths[-1] = S, 1 if B > 1 else S
    return np.asarray(np.arange(S) < lengths[:, None])


def _open(rng: np.random.Generator, T: int, B: int, S: int) -> Array:
    """Draw a mask (T, B, S) at random, in which a place of each query is open, and one hidden."""
    t, b, s = np.ogrid[:T, :B, :S]
    mask, turn = rng.random((T, B, S)) < 0.5, (t + b + s) % S
    return np.asarray((mask | (turn == 0)) & (turn != 1))


def _weight_cases(rng: np.random.Generator) -> list[tuple[str, Array, Array]]:
    def normal(*sizes: int) -> Array:
        return np.asarray(2 * rng.normal(size=sizes))

    one_place = np.arange(6) == rng.integers(6)
    steps = np.tri(4, dtype=bool)[:, None]
    holes, low = _open(rng, 3, 2, 4), _open(rng, 2, 3, 4)
    large = 1e4 * normal(3, 2, 5)
    top = _open(rng, 3, 2, 5) | (large == large.max(axis=-1, keepdims=True))
    nan = np.where(holes, normal(3, 2, 4), rng.choice([np.nan, np.inf, -np.inf], (3, 2, 4)))
    far = 2e306 * (55 + rng.permuted(np.arange(24.0)).reshape(2, 3, 4))  # above 1e308
    return [
        ("", normal(4, 4, 4), _open(rng, 4, 4, 4)),
        ("", normal(2, 3, 5), _lengths(rng, 3, 5)),
        ("", normal(4, 3, 4), steps),
        ("", normal(1, 1, 6), one_place[None]),
        ("", normal(3, 2, 1), np.ones((2, 1), dtype=bool)),
        ("", np.zeros((2, 3, 5)), _lengths(rng, 3, 5)),
        ("", normal(2, 3, 5), np.ones((3, 5), dtype=bool)),
        ("large", large, top),
        ("low", np.where(low, -far, far), low),
        ("nan", nan, holes),
    ]


def _weights(scores: Array, mask: Array, wrong: str = "") -> Array:
    """Return the weights, right or with a mistake by its name below."""
    full, plain = np.broadcast_to(mask, scores.shape), _softmax(scores)
    with np.errstate(all="ignore"):
        match wrong:
            case "queries" | "batch":
                found = _softmax(_where(mask, scores), 0 if wrong == "queries" else 1)
            case "everything":
                flat = _where(mask, scores).reshape(1, -1)
                found = _softmax(flat).reshape(scores.shape)
            case "no mask":
                found = plain
            case "turned":
                found = _softmax(_where(~full, scores))
            case "after":
                found = plain * full
            case "zero":
                found = _softmax(scores * full)
            case "zero after exp":
                found = np.exp(scores) * full
            case "queries, after":
                found = _softmax(scores, 0) * full
            case "added":
                found = _softmax(scores + full)
            case "minus one":
                found = _softmax(_where(mask, scores, -1.0))
            case "ten":
                found = _softmax(scores - 10.0 * ~full)
            case "a billion less":
                found = _softmax(scores - 1e9 * ~full)
            case "minus a billion":
                found = _softmax(_where(mask, scores, -1e9))
            case "mean":
                found = full / full.sum(axis=-1, keepdims=True)
            case "log":
                found = np.log(_softmax(_where(mask, scores)) + 1e-300)
            case _:
                found = _softmax(_where(mask, scores))
    return np.asarray(found)


WEIGHTS = {
    "queries": "a softmax over the queries, axis 0; each query shares its weights over the places",
    "batch": "a softmax over the batch, axis 1; each query shares its weights over the places",
    "everything": "one softmax of all scores together; each query has its own, over the places",
    "a billion less": "what comes out if a number such as 1e9 is taken from a hidden score; it may "
    "be larger than that. Choose with np.where",
    "no mask": "the softmax of all places; the mask is not used",
    "turned": "what comes out with the mask turned; True is where a query may look",
    "after": "what comes out if the mask comes after the softmax: the hidden places have taken "
    "their share, and the rows do not sum to 1",
    "minus a billion": "what comes out with a number such as -1e9 for a hidden score; an open "
    "one may be lower still. Only -inf is below all of them",
    "zero": "what comes out if a hidden score becomes 0; exp(0) is 1, not 0",
    "zero after exp": "what comes out if the division by the sum is missing",
    "queries, after": "a softmax over the queries, axis 0, with the mask after it",
    "added": "what comes out if the mask is added to the scores",
    "minus one": "what comes out if a hidden score becomes -1; which score has the weight 0?",
    "ten": "what comes out if 10 is taken from a hidden score; that leaves it a little weight",
    "mean": "an equal weight for each open place; the scores are not used",
    "log": "the logarithm of the weights",
}
CUT = (
    "what comes out if large scores, or large differences of scores, are cut off: an open score "
    "may be of any size"
)
NAN = {
    "nan": "weights is nan where a hidden score is nan or inf. 0 times nan is nan, and so is nan "
    "minus a number: choose with np.where, before the softmax",
    "low": "weights is nan where the open scores lie far below the hidden ones: put in -inf first, "
    "and then subtract the largest score that is left, so that not all of exp is 0",
    "large": "weights is nan for large scores: subtract each row's largest score before exp",
}


def check_masked_softmax(masked_softmax: Any, seed: int = 0) -> None:
    """Refuse what is not a softmax over the places that a mask leaves open."""
    name, kept = "masked_softmax", []
    for kind, scores, mask in _weight_cases(rng_of(seed)):
        T, B, S = scores.shape
        value = call(name, masked_softmax, scores=scores, mask=mask)
        if isinstance(value, np.ma.MaskedArray):
            explained(
                "weights is a masked array, behind whose mask any number may stand: return "
                "weights.filled(0)"
            )
        if kind and holds_nan(value):
            explained(NAN[kind])
        look = "One weight for each query, sequence and place."
        found = numbers("weights", value, look, T=T, B=B, S=S)
        right = _weights(scores, mask)
        reasons = WEIGHTS | {"mean": CUT} if kind in ("low", "large") else WEIGHTS
        wrong = {why: _weights(scores, mask, bug) for bug, why in reasons.items()}
        look = "Print the sums over the last axis, and the weights of the hidden places."
        close("weights", found, right, suspects=_likely(wrong), look=look)
        if np.any(most := np.abs(found[~np.broadcast_to(mask, scores.shape)])):
            explained(
                f"weights is {most.max():.3g} at a hidden place, where exactly 0 is asked: only "
                "exp(-inf) is 0 whatever the other scores are"
            )
        kept.append((value, snapshot(value)))
    same_still(name, kept)


# --- 3. The additive score. ---

UNCHANGED = {
    "constant": "is there a factor that stands above and below the fraction line of the softmax?",
    "keys": "what does a query's score grow by, at one place and at another?",
    "values": "are the values there when the weights are computed?",
    "linear": "without tanh the score is a sum of two. Which of them differs from place to place?",
}
CHANGED = {
    "doubled": "the scores lie twice as far apart",
    "queries": "the score at place s grows by the vector times key s, which differs from place to "
    "place",
    "additive": "the vector goes through the tanh, where it matters what it is added to",
}


def check_unchanged(unchanged: Any) -> None:
    """Refuse a wrong prediction of what leaves attention weights as they are."""
    look = "Write down two scores of one query, before and after"
    _chosen("unchanged", unchanged, UNCHANGED, CHANGED, look)


# (T, B, S, Dq, Dk, A): a case in which wrong transposes fit, then all different, and ones.
SCORES = [
    (4, 3, 4, 5, 5, 5),
    (2, 3, 4, 5, 6, 7),
    (4, 4, 4, 4, 4, 4),
    (1, 3, 5, 2, 4, 3),
    (3, 1, 2, 4, 1, 5),
    (2, 4, 1, 1, 3, 2),
    (3, 2, 4, 2, 3, 1),
    (2, 3, 4, 5, 6, 7),
]


def _additive(params: Additive, query: Array, keys: Array, wrong: str = "") -> Array:
    """Compute the additive score, right or with a mistake by its name below."""
    W_q, W_k, v = params
    if wrong == "W exchanged":
        W_q, W_k = W_k, W_q
    with np.errstate(all="ignore"):
        a_q = (query @ (W_q if wrong == "W_q" else W_q.T))[:, :, None]  # (T, B, 1, A)
        a_k = (keys @ (W_k if wrong == "W_k" else W_k.T)).swapaxes(0, 1)  # (B, S, A)
        if wrong == "keys cut anew":
            a_k = a_k.swapaxes(0, 1).reshape(a_k.shape)
        a = {
            "product": a_q * a_k,
            "difference": a_q - a_k,
            "no query": 0 * a_q + a_k,
            "no keys": a_q + 0 * a_k,
        }.get(wrong, a_q + a_k)
        match wrong:
            case "no tanh":
                found = a @ v
            case "tanh last":
                found = np.tanh(a @ v)
            case "two tanh":
                found = (np.tanh(a_q) + np.tanh(a_k)) @ v
            case "sigmoid":
                found = 0.5 * (1 + np.tanh(a / 2)) @ v
            case "v inside":
                found = np.tanh(a * v).sum(axis=-1)
            case "no v":
                found = np.tanh(a).sum(axis=-1)
            case "mean":
                found = np.tanh(a) @ v / len(v)
            case "root":
                found = np.tanh(a) @ v / np.sqrt(len(v))
            case "weights":
                found = _softmax(np.tanh(a) @ v)
            case "other sequence":
                found = np.tanh(a_q + a_k[:1]) @ v
            case "cut anew":
                found = np.tanh(a) @ v
                found = found.swapaxes(1, 2).reshape(found.shape)
            case _:
                found = np.tanh(a) @ v
    return np.asarray(found)


ADDITIVES = {
    "no tanh": "what comes out without the tanh",
    "tanh last": "what comes out if the tanh comes last; v stands outside it",
    "two tanh": "what comes out with a tanh for each of the two parts; it is one tanh of their sum",
    "sigmoid": "what comes out with a sigmoid for the tanh",
    "v inside": "what comes out if v stands inside the tanh; it stands outside",
    "no v": "what comes out without v",
    "mean": "the mean over the A neurons; the score is a sum",
    "root": "what comes out if the score is divided by a root; only the scaled score is",
    "weights": "the softmax of the scores; the scores themselves are asked for",
    "product": "what comes out if the two parts are multiplied; they are added",
    "difference": "what comes out if the keys' part is subtracted; it is added",
    "no query": "what comes out without the query",
    "no keys": "what comes out without the keys",
    "W_q": "what comes out if W_q is used without .T",
    "W_k": "what comes out if W_k is used without .T",
    "W exchanged": "what comes out with W_q and W_k exchanged",
    "keys cut anew": "what comes out if the keys' part is cut anew by reshape; swapaxes turns axes",
    "cut anew": "what comes out if the scores are cut anew by reshape; swapaxes turns axes",
    "other sequence": "what comes out if all sequences look at the keys of the first one",
}


def check_additive_scores(additive_scores: Any, seed: int = 0) -> None:
    """Refuse what is not the additive score of each query with each key."""
    rng, name, kept = rng_of(seed), "additive_scores", []
    for k, (T, B, S, Dq, Dk, A) in enumerate(SCORES):
        params = Additive(*(rng.normal(size=size) for size in [(A, Dq), (A, Dk), (A,)]))
        query, keys = rng.normal(size=(T, B, Dq)), rng.normal(size=(S, B, Dk))
        if k == 3:
            query[:] = 0
        if k == 4:
            keys *= 1e5
        if k == 7:  # 30 in a query and -30 in a key, which cancel
            params.W_q[:], params.W_k[:] = 1.0, 1.0
            query[0], keys[1] = 30.0 / Dq, -30.0 / Dk
        value = call(name, additive_scores, params=params, query=query, keys=keys)
        if np.shape(value) == (S, B):
            explained(
                f"scores has shape {(S, B)}: query t met key t alone. Each query meets all keys: "
                f"make room for the pairs, {(T, B, S)}"
            )
        look = "One score for each pair of a query and a place of its own sequence."
        found = numbers("scores", value, look, T=T, B=B, S=S)
        right, wrong = _additive(params, query, keys), {}
        for bug, why in ADDITIVES.items():
            fits = {"W_q": Dq == A, "W_k": Dk == A, "W exchanged": Dq == Dk}
            if fits.get(bug, True):
                wrong[why] = _additive(params, query, keys, bug)
        if T == S:
            why = "what comes out with the axes T and S exchanged: scores[t, b, s] is query t's"
            wrong[why] = right.transpose(2, 1, 0)
        if T == B == S:
            why = "what comes out with the axes in another order; they are T, B, S"
            wrong |= {f"{why}{' ' * k}": right.transpose(order) for k, order in enumerate(ORDERS)}
        look = "Compute one pair with two vectors, and compare."
        close("scores", found, right, suspects=_likely(wrong), look=look)
        kept.append((value, snapshot(value)))
    same_still(name, kept)


ORDERS = [(1, 0, 2), (0, 2, 1), (1, 2, 0), (2, 0, 1)]

# --- 4. The way back. ---

# (T, B, S, D, Dv); T != B, so that a mean over the one is not taken for a mean over the other
BACKS = [
    (4, 3, 4, 5, 5),
    (3, 2, 5, 4, 6),
    (1, 3, 4, 2, 5),
    (4, 1, 3, 1, 2),
    (3, 4, 1, 2, 3),
    (2, 3, 4, 3, 1),
    (3, 2, 5, 4, 6),
]
PARTS = ("dquery", "dkeys", "dvalues")


def _back(cache: AttentionCache, dcontext: Array, dweights: Array, wrong: str = "") -> list[Array]:
    """Run scaled attention back, right or with a mistake by its name below."""
    _, _, query, keys, values, weights, _ = cache
    D, root = query.shape[-1], np.sqrt(query.shape[-1])
    read = keys if wrong == "K for V" else values
    g = np.einsum("tbd,sbd->tbs", dcontext, read)
    g = 0 * g if wrong == "dcontext" else g
    average = (weights * g).sum(axis=-1, keepdims=True)
    if wrong not in ("dweights", "dweights past"):
        g = g - dweights if wrong == "minus dweights" else g + dweights
    if wrong != "poor average":
        average = (weights * g).sum(axis=-1, keepdims=True)
    de = {
        "no average": weights * g,
        "alone": weights * (1 - weights) * g,
        "plain mean": weights * (g - g.mean(axis=-1, keepdims=True)),
        "plain sum": weights * (g - g.sum(axis=-1, keepdims=True)),
        "no weights": g - average,
        "no softmax": g,
        "over queries": weights * (g - (weights * g).sum(axis=0, keepdims=True)),
        "sign": weights * (average - g),
        "dweights past": weights * (g - average) + dweights,
        "average twice": weights * (g - weights * average),
    }.get(wrong, weights * (g - average))
    de = de / {
        "no root": 1.0,
        "by D": D,
        "by Dv": np.sqrt(values.shape[-1]),
        "by S": np.sqrt(len(keys)),
    }.get(wrong, root)
    dquery = np.einsum("tbs,sbd->tbd", de, values if wrong == "V for K" else keys)
    dkeys = np.einsum("tbs,tbd->sbd", de, query)
    dquery = dquery * (root if wrong == "dquery's root" else 1)
    dkeys = dkeys * (root if wrong == "dkeys' root" else 1)
    dkeys = dkeys / (root if wrong == "met and root" else 1)
    dvalues = np.einsum("tbs,tbd->sbd", weights, dcontext)
    if wrong == "dvalues unweighted":
        dvalues = np.broadcast_to(dcontext.sum(axis=0), values.shape)
    if wrong == "dvalues by dweights":
        dvalues = np.einsum("tbs,tbd->sbd", weights + dweights, dcontext)
    if wrong == "dvalues by de":
        dvalues = np.einsum("tbs,tbd->sbd", de, dcontext)
    if wrong == "keys are values":
        dkeys = dvalues = dkeys + dvalues
    if wrong == "turned":
        dvalues = np.einsum("tbs,sbd->tbd", weights, dcontext)
        dkeys = np.einsum("tbs,sbd->tbd", de, query)
    if wrong == "over steps":
        dkeys, dvalues = dkeys / len(query), dvalues / len(query)
    if wrong == "over batch":
        return [a / query.shape[1] for a in (dquery, dkeys, dvalues)]
    return [dquery, dkeys, dvalues]


# What fits only where sizes are equal: D = Dv, or T = S.
EQUAL_D = {
    "K for V": "what comes out if g reads the keys; the context is made of the values",
    "V for K": "what comes out if dquery reads the values; the scores are made of the keys",
    "keys are values": "what comes out if the keys were the values; here each has a gradient of "
    "its own",
}
EQUAL_T = {"turned": "what comes out with the axes T and S exchanged in the products with weights"}
BACK_BUGS = {
    "no average": "what comes out if the average of g is not subtracted: a softmax's own weight "
    "grows at the expense of the others",
    "alone": "what comes out with weights (1 - weights) alone, the diagonal of the softmax's "
    "Jacobian; each score moves all weights of its query",
    "plain mean": "what comes out with the plain mean of g; the average has the weights in it",
    "plain sum": "what comes out with the sum of g; the average has the weights in it",
    "no weights": "what comes out if the factor weights in front of g - average is missing",
    "no softmax": "what comes out if g is taken for the gradient of the scores; the softmax is "
    "in between",
    "over queries": "what comes out if the average is taken over the queries; the softmax is over "
    "the places",
    "sign": "what comes out with average - g: the sign",
    "dweights past": "what comes out if dweights is added behind the softmax; it is the gradient "
    "of the weights, and so a part of g",
    "poor average": "what comes out if the average of g is taken without dweights, which is a part "
    "of g",
    "minus dweights": "what comes out if dweights is subtracted; it is added",
    "average twice": "what comes out if the average is multiplied by the weights once too often",
    "dweights": "what comes out without dweights",
    "dcontext": "what comes out if the weights get no gradient from the context",
    "no root": "what comes out without the root of D",
    "met and root": "what comes out if dkeys is divided by the root of D twice; cache.met is the "
    "query after the division",
    "by D": "what comes out with D in place of its root",
    "by Dv": "what comes out with the root of Dv; it is that of D, the size of a key",
    "by S": "what comes out with the root of S; it is that of D, the size of a key",
    "dvalues by dweights": "what comes out if dvalues is made with the sum of weights and "
    "dweights; the values were multiplied by the weights alone",
    "dvalues unweighted": "what comes out if dvalues lacks the weights",
    "dvalues by de": "what comes out if dvalues is made with the gradient of the scores; it needs "
    "the weights",
    "over steps": "the mean over the steps; the gradients are sums",
    "over batch": "the mean over the batch; the gradients are sums",
}


def check_look_backward(look_backward: Any, seed: int = 0) -> None:
    """Refuse a backward pass of scaled dot-product attention that is not right."""
    rng, name, kept = rng_of(seed), "look_backward", []
    for T, B, S, D, Dv in BACKS:
        sizes = [(T, B, D), (S, B, D), (S, B, Dv)]
        query, keys, values = (rng.normal(size=size) for size in sizes)
        mask = _lengths(rng, B, S)
        cache = attention_forward(query, keys, values, mask=mask)[2]
        dcontext, dweights = rng.normal(size=(T, B, Dv)), rng.normal(size=(T, B, S))
        if Dv == 1:
            dcontext[:] = 0
        given = cache, dcontext, dweights
        value = call(name, look_backward, cache=cache, dcontext=dcontext, dweights=dweights)
        parts = results(name, value, *PARTS)
        right = attention_backward(cache, dcontext, dweights)[:3]
        wrong = {why: _back(*given, bug) for bug, why in BACK_BUGS.items()}
        wrong |= {why: _back(*given, b) for b, why in EQUAL_D.items() if Dv == D}
        wrong |= {why: _back(*given, b) for b, why in EQUAL_T.items() if T == S}
        hint = "It has the shape of what it is the gradient of."
        arrays = [
            numbers(what, part, hint, **_axes(what[1:], wanted))
            for what, part, wanted in zip(PARTS, parts, right, strict=True)
        ]
        _ordered(name, arrays, right)
        for k in (2, 0, 1):  # the values first: their gradient needs no other
            suspects = {why: both[k] for why, both in wrong.items()}
            look = "Compare g, then the gradient of the scores, then the products."
            if alike(right[k], 0 * right[k]) and np.abs(arrays[k]).max() < 1e-12:
                continue  # one place has the weight 1 whatever happens: zero, but for rounding
            close(PARTS[k], arrays[k], right[k], suspects=_likely(suspects), look=look, rel=1e-12)
        kept.append((value, snapshot(value)))
    same_still(name, kept)


def _ordered(name: str, got: Sequence[Array], right: Sequence[Array]) -> None:
    """Refuse the right gradients in a wrong order, which may fit."""
    for order in [(0, 2, 1), (1, 0, 2), (2, 1, 0), (1, 2, 0), (2, 0, 1)]:
        pairs = [(got[k], right[place]) for k, place in enumerate(order)]
        if all(a.shape == b.shape and alike(a, b) for a, b in pairs):
            explained(f"{name} must return dquery, dkeys, dvalues in this order")


def _axes(what: str, wanted: Array) -> dict[str, int]:
    """Name the axes of query, keys or values."""
    names = {"query": ("T", "B", "D"), "keys": ("S", "B", "D"), "values": ("S", "B", "Dv")}[what]
    return dict(zip(names, wanted.shape, strict=True))


# --- 5. The future. ---

LEAKS = {
    "after": "the future has taken its share before it is set to 0. Whose share gets smaller?",
    "one more": "print np.tri(3, k=1). What does the first step see?",
    "minus ten": "how large is exp(-10)?",
    "queries": "which queries stand below the fraction line of weights[t, s]?",
    "standardised": "which steps does the mean over all steps know?",
}
TIGHT = {
    "shared": "the share that the future had taken cancels, when a row is divided by its sum",
    "largest": "what is subtracted from all scores of a row stands above and below the fraction "
    "line, and cancels",
}


def check_leaks(leaks: Any) -> None:
    """Refuse a wrong prediction of which ways to hide the future let something through."""
    look = "Follow a change of the last place to what the first step gets"
    _chosen("leaks", leaks, LEAKS, TIGHT, look)


# (T, B, S, D, Dv): the queries stand at the last T of S places.
LOOKS = [
    (3, 2, 6, 4, 4),
    (4, 3, 4, 5, 6),
    (1, 3, 5, 2, 4),
    (4, 1, 4, 1, 2),
    (1, 2, 1, 3, 2),
    (3, 2, 4, 4, 3),
    (3, 2, 6, 4, 4),
]


def _look(query: Array, keys: Array, values: Array, wrong: str = "") -> tuple[Array, Array]:
    """Let each query look at the places up to its own, right or with a mistake named below."""
    T, S, D = len(query), len(keys), query.shape[-1]
    root = {
        "no root": 1.0,
        "by D": D,
        "by Dv": np.sqrt(values.shape[-1]),
        "by S": np.sqrt(S),
        "by T": np.sqrt(T),
    }.get(wrong, np.sqrt(D))
    if wrong == "cut anew":
        keys = keys.reshape(-1, S, D).swapaxes(0, 1)
    scores = np.einsum("tbd,sbd->tbs", query, keys) / root
    places = np.arange(S)
    shift = {"left": 0, "left, after": 0, "one more": S - T + 1, "one less": S - T - 1, "k is 1": 1}
    seen = places <= np.arange(T)[:, None] + shift.get(wrong, S - T)
    seen = {
        "turned": places >= np.arange(T)[:, None] + S - T,
        "no mask": np.ones_like(seen),
        "own alone": places == np.arange(T)[:, None] + S - T,
        "strip": (places <= np.arange(T)[:, None] + S - T) & (places >= S - T),
    }.get(wrong, seen)[:, None]
    hidden = np.where(seen, scores, -np.inf)
    if wrong in ("after", "left, after"):
        weights = _softmax(scores) * seen
    elif wrong == "zero":
        weights = _softmax(scores * seen)
    elif wrong == "minus ten":
        weights = _softmax(scores - 10.0 * ~seen)
    elif wrong == "a billion less":
        weights = _softmax(scores - 1e9 * ~seen)
    elif wrong == "minus a billion":
        weights = _softmax(np.where(seen, scores, -1e9))
    elif wrong == "queries":
        weights = _softmax(hidden, 0)
    elif wrong == "largest of queries":
        with np.errstate(all="ignore"):
            weights = np.exp(hidden - hidden.max(axis=0))
            weights = weights / weights.sum(axis=-1, keepdims=True)
    else:
        weights = _softmax(hidden)
    read = keys if wrong == "K for V" else values
    with np.errstate(all="ignore"):
        return np.einsum("tbs,sbd->tbd", weights, read), weights


LOOK_BUGS = {
    "left, after": "what both mistakes together give; neither is mended",
    "after": "what comes out if the mask comes after the softmax: the future still takes its share",
    "left": "what comes out with np.tri(T, S): query t stands at place S - T + t, not at place t, "
    "so too much of the past is hidden",
    "one more": "what comes out if each step sees one place too many, the next one",
    "k is 1": "what comes out with k=1; by how many places must the triangle move, if S is larger "
    "than T?",
    "one less": "what comes out if each step sees one place too few; its own is allowed",
    "a billion less": "what comes out if a number such as 1e9 is taken from a hidden score; it may "
    "be larger than that. Choose with np.where",
    "turned": "what comes out with the mask turned: each step sees the future alone",
    "no mask": "what comes out without a mask",
    "own alone": "what comes out if each step sees its own place alone",
    "strip": "what comes out if the first S - T places are hidden; they are the past of all steps",
    "minus a billion": "what comes out with a number such as -1e9 for a hidden score; an open "
    "one may be lower still. Only -inf is below all of them",
    "zero": "what comes out if a hidden score becomes 0; exp(0) is 1, not 0",
    "minus ten": "what comes out if 10 is taken from a hidden score; that leaves it "
    "a little weight",
    "queries": "what comes out with a softmax over the queries; it is over the places",
    "largest of queries": "what comes out if the largest score of each place, over the queries, is "
    "subtracted; it is that of each query, over the places",
    "cut anew": "what comes out if the keys are cut anew by reshape; swapaxes turns axes",
    "no root": "what comes out without the root of D",
    "by D": "what comes out with D in place of its root",
    "by Dv": "what comes out with the root of Dv; it is that of D, the size of a key",
    "by S": "what comes out with the root of S; it is that of D, the size of a key",
    "by T": "what comes out with the root of T; it is that of D, the size of a key",
}


def _look_case(rng: np.random.Generator, k: int) -> dict[str, Any]:
    """Draw a case; in one the future has scores far above the past's, in one all scores are 0."""
    T, B, S, D, Dv = LOOKS[k]
    query, keys = rng.normal(size=(T, B, D)), rng.normal(size=(S, B, D))
    if D == 1:
        query[:] = 1.0
        keys[:, 0, 0] = 2e307 * (np.arange(S) - S - 4)  # those of the past lie below -1e308
    if k == 5:
        query[:] = 0.0
    return {"query": query, "keys": keys, "values": rng.normal(size=(S, B, Dv))}


def check_causal_look(causal_look: Any, seed: int = 0) -> None:
    """Refuse a look at the past that leaks the future, or hides too much."""
    rng, name, kept = rng_of(seed), "causal_look", []
    for k, (T, B, S, D, Dv) in enumerate(LOOKS):
        case = _look_case(rng, k)
        value = call(name, causal_look, **case)
        context, weights = results(name, value, "context", "weights")
        above = (
            "where the scores of the future lie far above the others: hide it before the softmax, "
            "and then subtract the largest score that is left"
        )
        if D == 1 and holds_nan(weights):
            explained(f"weights holds nan {above}")
        if holds_nan(weights):
            explained("weights holds nan: a query sees no place at all. Its own is always open")
        right_context, right = _look(**case)
        found = numbers("weights", weights, "Each query has S weights.", T=T, B=B, S=S)
        if D == 1 and not found.any(axis=-1).all():
            explained(f"weights has a row of zeros {above}")
        wrong = {why: _look(**case, wrong=bug)[1] for bug, why in LOOK_BUGS.items()}
        if D == 1:  # all queries are the same, so this gives equal weights, as what cuts off does
            wrong[CUT] = wrong.pop(LOOK_BUGS["largest of queries"])
        look = "Print the weights of the first query: which places has it seen?"
        close("weights", found, right, suspects=_likely(wrong), look=look)
        got = numbers("context", context, "Each query gets an average of values.", T=T, B=B, Dv=Dv)
        suspects = {"the mean of the values, without the weights": _mean_of(case["values"], T)}
        if Dv == D:
            why = "what comes out if the keys are averaged; the context is made of the values"
            suspects[why] = _look(**case, wrong="K for V")[0]
        look = "The weights are right; how are the values averaged with them?"
        close("context", got, right_context, suspects=_likely(suspects), look=look)
        kept.append((value, snapshot(value)))
    same_still(name, kept)


def _mean_of(values: Array, T: int) -> Array:
    return np.repeat(values.mean(axis=0)[None], T, axis=0)


# --- 6. Copying. ---

# (T, B, S, V, N): N - V words of the source are not in the vocabulary.
COPIES = [
    (2, 3, 5, 4, 7),
    (3, 4, 4, 4, 6),
    (1, 2, 6, 3, 5),
    (3, 1, 4, 5, 5),
    (2, 3, 1, 3, 4),
    (4, 2, 5, 1, 4),
    (2, 3, 5, 4, 7),
]


def _copy_case(rng: np.random.Generator, k: int) -> dict[str, Any]:
    """Draw a case with words that come twice, and padding, whose weight is 0."""
    T, B, S, V, N = COPIES[k]
    ids = rng.integers(N, size=(S, B))
    if S > 3:
        ids[0], ids[2] = N - 1, N - 1  # the same word twice
        ids[1] = rng.integers(V, size=B)
        ids[1, 0] = 1 if k == 0 else 0  # id 0 is a word like others
        ids[3] = ids[1]
    if k == 0:
        ids[4, 0] = V  # a second word that is not in the vocabulary
    mask = _lengths(rng, B, S) if S != 4 else np.ones((B, S), dtype=bool)
    weights = _softmax(_where(mask, rng.normal(size=(T, B, S))))
    ids[~mask.T] = rng.integers(N)
    g = rng.random((T, B))
    if k == 2:
        g[0] = [0.0, 1.0]
    return {
        "p": _softmax(rng.normal(size=(T, B, V))),
        "g": g,
        "weights": weights,
        "ids": ids,
        "N": N,
    }


def _copied(weights: Array, ids: Array, N: int, put: Callable[[float, float, int], float]) -> Array:
    """Bring each place's weight to its word, as ``put(old, weight, how often)`` says."""
    T, B, S = weights.shape
    found = np.zeros((T, B, N))
    for s in range(S):
        for b in range(B):
            times = int((ids[:, b] == ids[s, b]).sum())
            for t in range(T):
                found[t, b, ids[s, b]] = put(found[t, b, ids[s, b]], weights[t, b, s], times)
    return found


def _mixture(p: Array, g: Array, weights: Array, ids: Array, N: int, wrong: str = "") -> Array:
    """Mix writing and copying, right or with a mistake by its name below."""
    T, B, V = p.shape
    S = weights.shape[-1]
    written = np.zeros((T, B, N))
    written[..., :V] = p
    to = {
        "unknown": np.where(ids < V, ids, min(1, V - 1)),
        "all V": np.minimum(ids, V),
        "all last": np.where(ids < V, ids, N - 1),
        "cut anew": ids.reshape(B, S).T,
        "first sequence": np.repeat(ids[:, :1], B, axis=1),
    }.get(wrong, ids)
    if wrong == "first wins":
        copied = _copied(weights, to, N, lambda old, new, _: old or new)
    elif wrong == "last wins":
        copied = _copied(weights, to, N, lambda _old, new, _: new)
    elif wrong == "largest":
        copied = _copied(weights, to, N, lambda old, new, _: max(old, new))
    elif wrong == "average":
        copied = _copied(weights, to, N, lambda old, new, times: old + new / times)
    elif wrong == "equal":
        copied = _copied(np.full_like(weights, 1 / S), to, N, lambda old, new, _: old + new)
    else:
        some = weights * (ids.T > 0) if wrong == "padding" else weights
        copied = np.einsum("tbs,sbn->tbn", some, np.eye(N)[to])
    if wrong == "dropped":
        copied[..., V:] = 0
    if wrong == "only unseen":
        copied[..., :V] = 0
    a, c = g[..., None], 1 - g[..., None]
    found: Array = {
        "swapped": c * written + a * copied,
        "no g": written + copied,
        "half": (written + copied) / 2,
        "g at both": a * (written + copied),
        "no g at p": written + c * copied,
        "no 1 - g": a * written + copied,
        "writing": a * written,
        "copying": c * copied,
    }.get(wrong, a * written + c * copied)
    if wrong == "put over":
        found = np.where(copied > 0, c * copied, a * written)
    if wrong == "put over, last":
        last = _copied(weights, to, N, lambda _old, new, _: new)
        stands = np.eye(N)[to].any(axis=0)
        found = np.where(stands, c * last, a * written)
    return np.log(found + 1e-300) if wrong == "log" else found


COPY_BUGS = {
    "last wins": "what comes out if only the last of several equal words counts. In "
    "out[..., ids] += ... each index counts once; np.add.at adds them all up",
    "first wins": "what comes out if only the first of several equal words counts; add them up",
    "largest": "what comes out if the largest weight of several equal words counts; add them up",
    "average": "the mean over equal words; their weights add up",
    "equal": "what comes out if all places are copied alike; use the weights",
    "swapped": "what comes out with g and 1 - g exchanged; g is the share that is written",
    "no g": "what comes out without g",
    "half": "what comes out with one half for g",
    "g at both": "what comes out with g at both parts; copying has 1 - g",
    "no g at p": "what comes out if p is not multiplied by g",
    "no 1 - g": "what comes out if the copies are not multiplied by 1 - g",
    "writing": "the written part alone",
    "copying": "the copied part alone",
    "dropped": "what comes out if words outside the vocabulary are not copied; they are what the "
    "pointer is for",
    "padding": "what comes out if id 0 is taken for padding and not copied; it is a word like any "
    "other, and padding has weight 0",
    "only unseen": "what comes out if only words outside the vocabulary are copied; any word of "
    "the source may be",
    "unknown": "what comes out if words outside the vocabulary become UNKNOWN; each has an id",
    "all V": "what comes out if all words outside the vocabulary get the id V; each has its own",
    "all last": "what comes out if all words outside the vocabulary get the last id; each has its "
    "own",
    "put over": "what comes out if a copy replaces the written part; a word that is in both gets "
    "both shares",
    "put over, last": "what comes out if each copy is assigned with = and not added; both the "
    "written part and an equal word's copy are lost",
    "first sequence": "what comes out with the ids of the first sequence for all",
    "cut anew": "what comes out if the ids are turned, or cut anew by reshape; ids[s, b] is place "
    "s of sequence b",
    "log": "the logarithm of the mixture",
}


def check_copy_mixture(copy_mixture: Any, seed: int = 0) -> None:
    """Refuse what is not a mixture of writing and copying."""
    rng, name, kept = rng_of(seed), "copy_mixture", []
    for k, (T, B, _, _, N) in enumerate(COPIES):
        case = _copy_case(rng, k)
        value = call(name, copy_mixture, **case)
        look = "One probability for each of the N words."
        found = numbers("the mixture", value, look, T=T, B=B, N=N)
        wrong = {why: _mixture(**case, wrong=bug) for bug, why in COPY_BUGS.items()}
        look = "Take T = B = 1, and add up by hand what each word gets."
        close("the mixture", found, _mixture(**case), suspects=_likely(wrong), look=look)
        kept.append((value, snapshot(value)))
    same_still(name, kept)


COPY_PARTS = ("dp", "dg", "dweights")


def _copy_back(
    p: Array, g: Array, weights: Array, ids: Array, dmixture: Array, wrong: str = ""
) -> list[Array]:
    """Carry the gradient of a mixture back, right or with a mistake by its name below."""
    V, N = p.shape[-1], dmixture.shape[-1]
    if wrong == "cut anew":
        ids = ids.reshape(ids.shape[::-1]).T
    hot = np.eye(N)[ids]  # (S, B, N)
    a, c = g[..., None], 1 - g[..., None]
    at = np.einsum("tbn,sbn->tbs", dmixture, hot)  # what stands at each place's word
    write, copy = (p * dmixture[..., :V]).sum(axis=-1), (weights * at).sum(axis=-1)
    same = np.einsum("sbn,ubn->bsu", hot, hot)
    times = same.sum(axis=-1)
    first, last = np.tril(same, -1).sum(axis=-1) == 0, np.triu(same, 1).sum(axis=-1) == 0
    dg = {
        "dg writes": write,
        "dg adds": write + copy,
        "dg turned": copy - write,
        "dg weighed": g * write - (1 - g) * copy,
        "dg logit": (write - copy) * g * (1 - g),
        "dg mean": (write - copy) / N,
        "dg first": write - (weights * at * first).sum(axis=-1),
        "dg last": write - (weights * at * last).sum(axis=-1),
    }.get(wrong, write - copy)
    dweights = {
        "dw plain": at,
        "dw by g": a * at,
        "dw minus": -c * at,
        "dw shared": c * at / times,
        "dw sum": c * times * at,
        "dw unseen": c * at * (ids >= V).T,
        "dw seen": c * at * (ids < V).T,
        "dw weighed": weights * c * at,
        "dw first": c * at * first,
        "dw last": c * at * last,
        "dw open": c * at * (weights > 0),
    }.get(wrong, c * at)
    known = dmixture[..., :V]
    dp = {"dp plain": known, "dp by 1 - g": c * known, "dp by p": a * p * known}.get(
        wrong, a * known
    )
    if wrong == "over batch":
        return [part / p.shape[1] for part in (dp, dg, dweights)]
    return [dp, dg, dweights]


COPY_BACKS = {
    "dp plain": "what comes out without g: p is multiplied by it",
    "dp by 1 - g": "what comes out with 1 - g: p is multiplied by g",
    "dp by p": "what comes out with p in it; the derivative of g p by p is g",
    "dg writes": "the part of the writing alone; g also stands in 1 - g, before the copies",
    "dg adds": "what comes out if the copies' part is added; g stands there as 1 - g, so it is "
    "subtracted",
    "dg turned": "what comes out with the sign turned",
    "dg weighed": "what comes out with g and 1 - g in it; the derivative of g p by g is p",
    "dg logit": "the gradient of what goes into g's sigmoid; that of g is asked for",
    "dg mean": "the mean over the N words; the gradient is a sum",
    "dw plain": "what comes out without 1 - g, by which the weights are multiplied",
    "dw by g": "what comes out with g; the weights are multiplied by 1 - g",
    "dw minus": "what comes out with a minus; the weights are multiplied by 1 - g, and added",
    "dw shared": "what comes out if equal words share the gradient; a sum hands all of it to each "
    "of its terms",
    "dw sum": "what comes out if each of several equal words gets the gradient of them all",
    "dw unseen": "what comes out if only places of words outside the vocabulary get a gradient",
    "dw seen": "what comes out if only places of words of the vocabulary get a gradient",
    "dw weighed": "what comes out with the weights in it; the derivative of a product by one "
    "factor is the other",
    "dg first": "what comes out if only the first of several equal words counts; all are copied",
    "dg last": "what comes out if only the last of several equal words counts; all are copied",
    "dw first": "what comes out if only the first of several equal words gets a gradient; all do",
    "dw last": "what comes out if only the last of several equal words gets a gradient; all do",
    "dw open": "what comes out if only weights above 0 get a gradient; how large a weight is does "
    "not matter for its own",
    "cut anew": "what comes out if the ids are turned, or cut anew by reshape; ids[s, b] is place "
    "s of sequence b",
    "over batch": "the mean over the batch; each sequence has its own",
}


def check_copy_backward(copy_backward: Any, seed: int = 0) -> None:
    """Refuse a way back through the mixture that is not right."""
    rng, name, kept = rng_of(seed), "copy_backward", []
    for k, (T, B, S, V, N) in enumerate(COPIES):
        case = _copy_case(rng, k)
        del case["N"]
        for what in ("p", "g", "weights"):  # any numbers; those that are 0 or 1 remain
            old = case[what]
            case[what] = np.where((old == 0) | (old == 1), old, rng.normal(size=old.shape))
        case["dmixture"] = rng.normal(size=(T, B, N))
        value = call(name, copy_backward, **case)
        parts = results(name, value, *COPY_PARTS)
        right = _copy_back(**case)
        wrong = {why: _copy_back(**case, wrong=bug) for bug, why in COPY_BACKS.items()}
        sizes: Sequence[dict[str, int]] = [
            {"T": T, "B": B, "V": V},
            {"T": T, "B": B},
            {"T": T, "B": B, "S": S},
        ]
        hint = "It has the shape of what it is the gradient of."
        arrays = [
            numbers(what, part, hint, **size)
            for what, part, size in zip(COPY_PARTS, parts, sizes, strict=True)
        ]
        for part, what in enumerate(COPY_PARTS):
            suspects = {why: both[part] for why, both in wrong.items()}
            look = (
                "Where does it stand in the mixture, and by what is it multiplied there? p, g "
                "and weights may hold any numbers."
            )
            close(what, arrays[part], right[part], suspects=_likely(suspects), look=look, rel=1e-12)
        kept.append((value, snapshot(value)))
    same_still(name, kept)


# --- 7. Keys by hand. ---

PLACES = 10
ASKED = 0.99


def check_reachable(reachable: Any) -> None:
    """Refuse a wrong count of the places that a query of one number can choose."""
    guess = number("reachable", reachable)
    if guess == 2:
        return
    reasons = {
        10.0: "take the keys 1, 2, 3: is there a number q for which 2q is larger than q and 3q?",
        1.0: "a query may be negative, too",
        0.0: "which place has the largest score if q is large?",
        9.0: "take the keys 1, 2, 3: is there a number q for which 2q is larger than q and 3q?",
        8.0: "those between the two ends are just what cannot be chosen",
        3.0: "with q = 0 all ten places have one tenth; none has more than half",
        5.0: "it does not matter on which side of the middle a key lies",
    }
    look = "the score q k is a straight line over k. Where can it be largest?"
    fail(f"reachable = {guess:g} is not right: {reasons.get(guess, look)}")


LONGEST = 100
LENGTHS = (3, 4, 1, 2, *range(5, LONGEST + 1))


def _vectors(what: str, value: Any, S: int) -> Array:
    """Return queries or keys, if they are such that ``attention_forward`` takes them."""
    of = f"{what} of reversal({S})"
    found = numbers(of, value, "Two numbers for each step or place, and B = 1.", S=S, B=1, D=2)
    if not isinstance(value, np.ndarray):
        explained(f"{of} must be an array, as attention_forward asks; it is {kind_of(value)}")
    if value.dtype != np.float64:
        explained(f"{of} must hold float64, as attention_forward asks; its dtype is {value.dtype}")
    return found


def check_reversal(reversal: Any) -> None:
    """Refuse queries and keys of two numbers that do not look at the places in reverse."""
    kept = []
    for S in LENGTHS:
        value = call("reversal", reversal, S=S)
        parts = results("reversal", value, "query", "keys")
        query, keys = (
            _vectors(what, part, S) for what, part in zip(("query", "keys"), parts, strict=True)
        )
        with np.errstate(all="ignore"):
            scores = np.einsum("tbd,sbd->tbs", query, keys)
            if not np.isfinite(scores).all():
                fail(f"for S = {S} a score is not finite: take smaller numbers")
            weights = attention_forward(query, keys, keys, score="dot")[1][:, 0]
        _reversed(weights, S)
        kept.append((value, snapshot(value)))
    same_still("reversal", kept)


def _reversed(weights: Array, S: int) -> None:
    """Refuse weights of which one is not at the place that the reversal asks for."""
    steps = np.arange(S)
    right = S - 1 - steps
    short = np.flatnonzero(weights[steps, right] < ASKED)
    if not len(short):
        return
    most = weights.argmax(axis=1)
    for why, wrong in {
        "each step looks at its own place: this copies and does not reverse": steps,
        "each step looks one place too far to the right": np.minimum(right + 1, S - 1),
        "each step looks one place too far to the left": np.maximum(right - 1, 0),
        "each step looks one place too far, round the circle": (right + 1) % S,
        "each step looks one place too far, round the circle and to the left": (right - 1) % S,
    }.items():
        if S > 2 and (most == wrong).all() and (weights.max(axis=1) > 0.6).all():
            explained(f"for S = {S} {why}; step t of 0..S-1 should look at place S-1-t")
    t = int(short[0])
    share = weights[t, right[t]]
    cut = int(1e4 * share) / 1e4  # and not rounded to 0.99
    where = f"for S = {S} query[{t}] puts {cut:g} on place {right[t]}, where 0.99 is asked"
    ahead = np.partition(weights[t], -2)[-2] < share
    if ahead and (most == right).all():
        explained(f"{where}. The right places are ahead: let the scores lie further apart")
    fail(f"{where}; most is on place {most[t]}. Which key lies furthest in its direction?")
