"""The checks of the exercises of chapter 4 refuse wrong answers, each for its own reason.

They accept right ones, however unusual. A row of a table of wrong answers holds the mistake, the
answer, and the part of the message that tells the learner of this mistake.
"""

import math
from functools import cache
from typing import Any

import nbformat
import numpy as np

from tests.check_cases import *  # noqa: F403
from tests.check_cases import Check, dots, stops
from tools.notebooks import ROOT
from unrolled.checks import vanishing_gradients as checks
from unrolled.gradients import clip_by_norm, state_jacobian
from unrolled.params import Recurrent
from unrolled.rnn import RNNCache, rnn_backward

CHECKS, MASTER = checks, "04_vanishing_gradients"
SCOPE = {"np": np}
WRONG: dict[Check, list[tuple[str, Any, str]]] = {}
RIGHT: dict[Check, list[tuple[str, Any]]] = {}


# --- 1. How many steps. ---

LAGS = {50: 10, 90: 66, 99: 688, 110: 73}


def lags(**other: Any) -> Any:
    """The right lags but for some: lags(at90=65)."""
    return LAGS | {int(key[2:]): value for key, value in other.items()}


WRONG[checks.check_lags] = [
    ("one too few", lags(at90=65), r"lags\[90\] = 65 .*one step too few"),
    ("one too many", lags(at50=11), r"lags\[50\] = 11 .*one step too many"),
    ("rounded down", lags(at110=72), r"lags\[110\] = 72 .*one step too few"),
    ("half-life", lags(at50=1), "this is the half-life"),
    ("half-life of 0.9", lags(at90=7), "this is the half-life"),
    ("negative", lags(at50=-10), "a lag counts backwards already"),
    ("not rounded", lags(at90=65.563), "no whole number: which is the first"),
    ("linear", lags(at90=10), "a share of what is left"),
    ("linear to 1/1000", lags(at90=9.99), "a share of what is left"),
    ("mixed logarithms", lags(at90=29), "3 is the logarithm of 1000 to base 10"),
    ("mixed the other way", lags(at90=151), "take both logarithms to one base"),
    ("squared norm", lags(at90=33), "it is not squared"),
    ("root of the norm", lags(at99=1376), "no square root is taken"),
    ("something else", lags(at99=500), r"lags\[99\] = 500 .*solve rho\*\*k = 1/1000"),
    ("one missing", {50: 10, 90: 66, 99: 688}, "no entry for 110 percent"),
    ("keys are text", {"50": 10}, "no entry for 50 percent"),
    ("a list", [10, 66, 688, 73], "lags must be a dict"),
    ("text", lags(at50="10"), "must be a number, got '10'"),
    ("nan", lags(at50=math.nan), "must be a finite number"),
    ("not written", ..., "replace the dots by a dict"),
    ("one not written", lags(at99=...), r"lags\[99\] has no value yet"),
]  # fmt: skip
RIGHT[checks.check_lags] = [
    ("floats", {key: float(k) for key, k in LAGS.items()}),
    ("NumPy's", {key: np.int64(k) for key, k in LAGS.items()}),
    ("more of them", {1: 1, **LAGS, 200: 10}),
]

# --- 2. The product. ---


def product(
    factor: Any = lambda W, h_t: (1 - h_t**2)[:, :, None] * W,
    *,
    steps: Any = lambda T, k: range(T, T - k, -1),
    order: Any = lambda product, J: product @ J,
    give: Any = lambda product: product,
) -> Any:
    """A product of Jacobians whose factor, steps, order or result may be wrong."""

    def lag_jacobian(W_hh: Any, h: Any, k: int) -> Any:
        result = np.tile(np.eye(len(W_hh)), (h.shape[1], 1, 1))
        for t in steps(len(h) - 1, k):
            result = order(result, factor(W_hh, h[t]))
        return give(result)

    return lag_jacobian


def power_of_the_last(W_hh: Any, h: Any, k: int) -> Any:
    return np.linalg.matrix_power(product()(W_hh, h, 1), k)


def changes_h(W_hh: Any, h: Any, k: int) -> Any:
    right = product()(W_hh, h, k)
    h *= 0.5
    return right


def changes_W(W_hh: Any, h: Any, k: int) -> Any:
    result = np.tile(np.eye(len(W_hh)), (h.shape[1], 1, 1))
    for t in range(len(h) - 1, len(h) - 1 - k, -1):
        result = result @ ((1 - h[t] ** 2)[:, :, None] * W_hh)
    W_hh -= 1.0
    return result


def mean_slopes(W: Any, h_t: Any) -> Any:
    return np.tile((1 - h_t**2).mean(axis=0)[:, None] * W, (len(h_t), 1, 1))


def sums_up(W_hh: Any, h: Any, k: int) -> Any:
    if k == 0:
        return np.tile(np.eye(len(W_hh)), (h.shape[1], 1, 1))
    return sum((1 - h[t] ** 2)[:, :, None] * W_hh for t in range(len(h) - k, len(h)))


def nothing_for_zero(W_hh: Any, h: Any, k: int) -> Any:
    return product()(W_hh, h, k) * (k > 0)


def last_only(W_hh: Any, h: Any, k: int) -> Any:
    return product()(W_hh, h, min(k, 1))


def only_the_first(W_hh: Any, h: Any, k: int) -> Any:
    return np.tile(product()(W_hh, h, k)[:1], (h.shape[1], 1, 1))


def in_float32(W_hh: Any, h: Any, k: int) -> Any:
    return product()(W_hh.astype(np.float32), h.astype(np.float32), k).astype(np.float32)


FACTORS = [
    ("columns scaled", product(lambda W, h: (1 - h**2)[:, None, :] * W), "scale the columns"),
    ("1 - h", product(lambda W, h: (1 - h)[:, :, None] * W), "slopes 1 - h;"),
    ("tanh again", product(lambda W, h: (1 - np.tanh(h) ** 2)[:, :, None] * W), "taken again"),
    ("no slopes", product(lambda W, h: np.tile(W, (len(h), 1, 1))), "without the slopes"),
    ("no W", product(lambda W, h: (1 - h**2)[:, :, None] * np.eye(len(W))), "without W_hh"),
    ("W transposed", product(lambda W, h: (1 - h**2)[:, :, None] * W.T), "W_hh transposed"),
    ("1 + h^2", product(lambda W, h: (1 + h**2)[:, :, None] * W), r"1 \+ h\*\*2"),
    ("result transposed", product(give=lambda J: J.transpose(0, 2, 1)), "numbers transposed"),
    ("slopes averaged", product(mean_slopes), "slopes averaged; each has its own"),
    ("first sequence for all", only_the_first, "the first sequence, for all"),
    ("states before", product(steps=lambda T, k: range(T - 1, T - 1 - k, -1)),
     "slopes from h.t - 1"),
    ("summed over the batch", product(give=lambda J: J.sum(axis=0)), "must have shape"),
    ("batch last", product(give=lambda J: np.moveaxis(J, 0, 2)),
     "must have shape|Jacobian.* should be"),
    ("one step too few", product(steps=lambda T, k: range(T, T - k + 1, -1)), "one step fewer"),
    ("float32", in_float32, "right to a few digits only"),
    ("nan", product(give=lambda J: J * np.nan), "holds nan"),
    ("h changed", changes_h, "changed its argument h"),
    ("W changed", changes_W, "changed its argument W_hh"),
    ("stops", stops, "lag_jacobian stopped with IndexError"),
    ("not written", dots, "lag_jacobian returned Ellipsis"),
]  # fmt: skip
WRONG[checks.check_one_step] = [
    *FACTORS,
    ("one step too many", product(steps=lambda T, k: range(T, max(T - k - 1, 0), -1)),
     "one step more"),
    ("first steps", product(steps=lambda T, k: range(k, 0, -1)), "the first k steps"),
]  # fmt: skip
WRONG[checks.check_lag_jacobian] = [
    *FACTORS,
    ("one step too many", product(steps=lambda T, k: range(T, max(T - k - 1, 0), -1)),
     "one step more"),
    ("first steps", product(steps=lambda T, k: range(k, 0, -1)), "the first k steps"),
    ("wrong order", product(order=lambda J, f: f @ J), "in the wrong order"),
    ("power of the last", power_of_the_last, "to the power k"),
    ("elementwise", product(order=lambda J, f: f if (np.eye(J.shape[1]) == J).all() else J * f),
     "the product of the entries"),
    ("summed", sums_up, "the sum of the Jacobians"),
    ("last step alone", last_only, "one step fewer"),
    ("zero for k = 0", nothing_for_zero, "after no step at all"),
]  # fmt: skip


def from_the_right(W_hh: Any, h: Any, k: int) -> Any:
    """Carry unit rows back, one batch row at a time, in lists."""
    H = len(W_hh)
    result = []
    for b in range(h.shape[1]):
        rows = np.eye(H)
        for t in range(len(h) - 1, len(h) - 1 - k, -1):
            rows = (rows * (1 - h[t, b] * h[t, b])) @ W_hh
        result.append(rows.tolist())
    return result


def by_einsum(W_hh: Any, h: Any, k: int) -> Any:
    J = np.stack([np.eye(len(W_hh))] * h.shape[1])
    for s in (1 - h**2)[::-1][:k]:
        J = np.einsum("bij,bj,jl->bil", J, s, W_hh)
    return J


def forward_in_time(W_hh: Any, h: Any, k: int) -> Any:
    J = np.stack([np.eye(len(W_hh))] * h.shape[1])
    for t in range(len(h) - k, len(h)):
        J = ((1 - h[t]) * (1 + h[t]))[..., None] * (W_hh @ J)
    return J


def by_diag(W_hh: Any, h: Any, k: int) -> Any:
    if k == 0:
        return np.array([np.eye(len(W_hh)) for _ in h[0]])
    stacks = [[np.diag(1 - s**2) @ W_hh for s in h[: -k - 1 : -1, b]] for b in range(h.shape[1])]
    return np.stack([np.linalg.multi_dot([*J, np.eye(len(W_hh))]) for J in stacks])


def packages_own(W_hh: Any, h: Any, k: int) -> Any:
    if k == 0:
        return np.tile(np.eye(len(W_hh)), (h.shape[1], 1, 1))
    H = len(W_hh)
    params = Recurrent(np.zeros((H, 1)), W_hh, np.zeros(H), np.zeros(H))
    cache = RNNCache(params, np.zeros((k, h.shape[1], 1)), h[-k - 1 :])
    return state_jacobian(cache)


RIGHT[checks.check_one_step] = [
    ("unit rows, in lists", from_the_right),
    ("einsum", by_einsum),
    ("forward in time", forward_in_time),
    ("diag and multi_dot", by_diag),
    ("the package's own", packages_own),
]
RIGHT[checks.check_lag_jacobian] = RIGHT[checks.check_one_step]

# --- 3. Clipping. ---

WRONG[checks.check_norm_after] = [
    ("the limit", 1.0, "each array's own norm"),
    ("the sum", 6, "norms do not add up; their squares do"),
    ("four arrays", 2.0, "six arrays: four of the recurrent layer"),
    ("five arrays", 5**0.5, "count the arrays"),
    ("two arrays", 2**0.5, "more than two arrays"),
    ("sum of four", 4, "norms do not add up, and there are six"),
    ("one over it", 6**-0.5, "a longer gradient"),
    ("to one decimal", 2.4, "What is the sum of all squares"),
    ("another number", 17, "not what the measurement says"),
    ("text", "2.45", "must be a number"),
    ("nan", math.nan, "finite number"),
    ("not written", ..., "norm_after has no value yet: replace the dots"),
]
RIGHT[checks.check_norm_after] = [
    ("two decimals", 2.45),
    ("three decimals", np.float32(2.449)),
    ("an array", np.array([math.sqrt(6)])),
]


def length(grads: Any) -> Any:
    return np.sqrt(sum((grad**2).sum() for grad in grads))


def clipping(
    measure: Any = length,
    *,
    give: Any = lambda grads, clipped, norm, limit: (clipped, norm),
    factor: Any = lambda norm, limit: limit / norm if norm > limit else 1.0,
) -> Any:
    """Clipping by one norm and one factor, of which any may be wrong."""

    def clip_gradients(grads: Any, max_norm: float) -> Any:
        scale = factor(measure(grads), max_norm)
        return give(grads, [grad * scale for grad in grads], length(grads), max_norm)

    return clip_gradients


def each(change: Any) -> Any:
    """Clipping of each array for itself; right about the norm."""

    def clip_gradients(grads: Any, max_norm: float) -> Any:
        return [change(g, max_norm, length(grads), len(grads)) for g in grads], length(grads)

    return clip_gradients


def own(grad: Any) -> Any:
    return np.sqrt((grad**2).sum())


def in_place(grads: Any, max_norm: float) -> Any:
    norm = length(grads)
    for grad in grads:
        grad *= min(1.0, max_norm / max(norm, 1e-300))
    return grads, norm


def replaces(grads: Any, max_norm: float) -> Any:
    right = clipping()(grads, max_norm)
    grads[:] = right[0]
    return right


WRONG[checks.check_clip] = [
    ("each by its own", each(lambda g, m, n, k: g * min(1, m / max(own(g), 1e-300))),
     "clipped by its own norm"),
    ("the given function", each(lambda g, m, n, k: g * m / own(g)), "rescaled to the limit by its"),
    ("only the long arrays", each(lambda g, m, n, k: g * m / n if own(g) > m else g),
     "clipped, of .*whose own norm is too long|not clipped at all"),
    ("by value", each(lambda g, m, n, k: np.clip(g, -m, m)), "each element|not clipped at all"),
    ("shares of the limit",
     each(lambda g, m, n, k: g * min(1, m / k**0.5 / max(own(g), 1e-300))), "share of the limit"),
    ("thrown away", clipping(factor=lambda n, m: float(n <= m)), "not thrown away"),
    ("always rescaled", clipping(factor=lambda n, m: m / n if n else 1.0), "short enough"),
    ("0/0", clipping(factor=lambda n, m: m / n), "short enough|holds nan"),
    ("0/0 only for zeros", clipping(factor=lambda n, m: 1.0 if 0 < n <= m else m / n),
     "of a gradient that is zero holds nan"),
    ("unit length", clipping(factor=lambda n, m: 1 / n if n > m else 1.0), "not multiplied by max"),
    ("not clipped", clipping(factor=lambda n, m: 1.0), "not clipped at all"),
    ("upside down", clipping(factor=lambda n, m: max(1.0, n / m)), "the wrong way round"),
    ("with torch's 1e-6", clipping(factor=lambda n, m: m / (n + 1e-6) if n > m else 1.0),
     "right to a few digits only"),
    ("by the largest", clipping(lambda gs: max(abs(g).max() for g in gs)), "largest element"),
    ("sum of norms", clipping(lambda gs: sum(map(own, gs))), "the sum of the arrays' norms"),
    ("longest array", clipping(lambda gs: max(map(own, gs))), "longest array's norm"),
    ("no root", clipping(lambda gs: length(gs) ** 2), "its root is missing"),
    ("L1", clipping(lambda gs: sum(abs(g).sum() for g in gs)), "sum of absolute values"),
    ("root mean square", clipping(lambda gs: length(gs) / sum(g.size for g in gs) ** 0.5),
     "root of the mean square"),
    ("mean of norms", clipping(lambda gs: np.mean([own(g) for g in gs])), "mean of the arrays'"),
    ("spectral", clipping(lambda gs: np.sqrt(sum(np.linalg.norm(g, 2) ** 2 for g in gs))),
     "spectral norms"),
    ("norm after", clipping(give=lambda gs, c, n, m: (c, length(c))), "norm after clipping"),
    ("norm squared", clipping(give=lambda gs, c, n, m: (c, n**2)), "the square of the norm"),
    ("norms summed", clipping(give=lambda gs, c, n, m: (c, sum(map(own, gs)))),
     "add their squares"),
    ("last norm", clipping(give=lambda gs, c, n, m: (c, own(gs[-1]))), "norm of the last array"),
    ("first norm", clipping(give=lambda gs, c, n, m: (c, own(gs[0]))), "norm of the first array"),
    ("factor for norm", clipping(give=lambda gs, c, n, m: (c, min(1.0, m / max(n, 1e-300)))),
     "the factor, not the norm"),
    ("largest for norm", clipping(give=lambda gs, c, n, m: (c, max(abs(g).max() for g in gs))),
     "the largest number of all"),
    ("norm is a list", clipping(give=lambda gs, c, n, m: (c, [own(g) for g in gs])),
     "must be a single number"),
    ("clipped only", clipping(give=lambda gs, c, n, m: c), "must return clipped, norm"),
    ("exchanged", clipping(give=lambda gs, c, n, m: (n, c)), "clipped must be a list of arrays"),
    ("one long vector", clipping(give=lambda gs, c, n, m: ([np.concatenate([a.ravel() for a in c])],
     n)), "clipped must have 6 arrays"),
    ("flat arrays", clipping(give=lambda gs, c, n, m: ([a.ravel() for a in c], n)),
     "must have shape"),
    ("last array missing", clipping(give=lambda gs, c, n, m: (c[:-1], n)), "must have 6 arrays"),
    ("in place", in_place, "changed its argument grads"),
    ("list in place", replaces, "changed its argument grads"),
    ("stops", stops, "clip_gradients stopped with IndexError"),
    ("not written", dots, "clip_gradients returned Ellipsis"),
]  # fmt: skip


def one_vector(grads: Any, max_norm: float) -> Any:
    vector = np.concatenate([np.ravel(grad) for grad in grads])
    norm = np.linalg.norm(vector)
    vector = vector if norm <= max_norm else vector / norm * max_norm
    parts = np.split(vector, np.cumsum([grad.size for grad in grads])[:-1])
    return tuple(p.reshape(grad.shape) for p, grad in zip(parts, grads)), norm


def on_copies(grads: Any, max_norm: float) -> Any:
    clipped = [grad.copy() for grad in grads]
    norm = math.hypot(*(float(np.linalg.norm(grad)) for grad in grads))
    if norm > max_norm:
        for grad in clipped:
            grad /= norm
            grad *= max_norm
    return [clipped, np.array(norm)]


def number_by_number(grads: Any, max_norm: float) -> Any:
    norm = math.sqrt(math.fsum(x * x for grad in grads for x in grad.ravel().tolist()))
    scale = max_norm / max(norm, max_norm)
    return [(scale * grad).tolist() for grad in grads], norm


RIGHT[checks.check_clip] = [
    ("the package's own", lambda grads, m: clip_by_norm(tuple(grads), m)),
    ("one vector", one_vector),
    ("in place on copies", on_copies),
    ("number by number, in lists", number_by_number),
    ("min", clipping(factor=lambda n, m: min(1.0, m / n) if n else 1.0)),
]

# --- 4. What each lag says. ---


def parts(
    slope: Any = lambda h, t: 1 - h[t] ** 2,
    *,
    back: Any = lambda da, dh, W, dh_n: da @ W,
    pair: Any = lambda da, dh, h, t: da.T @ h[t - 1],
    give: Any = np.stack,
) -> Any:
    """The parts of the gradient, in which a step may be wrong."""

    def lag_parts(W_hh: Any, h: Any, dh_n: Any) -> Any:
        result, dh = [], dh_n
        for t in range(len(h) - 1, 0, -1):
            da = dh * slope(h, t)
            result.append(pair(da, dh, h, t))
            dh = back(da, dh, W_hh, dh_n)
        return give(result)

    return lag_parts


def mean_of_batch(W_hh: Any, h: Any, dh_n: Any) -> Any:
    return parts()(W_hh, h, dh_n) / len(dh_n)


def no_first_state(W_hh: Any, h: Any, dh_n: Any) -> Any:
    return parts()(W_hh, np.concatenate([0 * h[:1], h[1:]]), dh_n)


def changes_dh_n(W_hh: Any, h: Any, dh_n: Any) -> Any:
    result = []
    for t in range(len(h) - 1, 0, -1):
        dh_n *= 1 - h[t] ** 2
        result.append(dh_n.T @ h[t - 1])
        dh_n[:] = dh_n @ W_hh
    return np.stack(result)


def slopes_into_h(W_hh: Any, h: Any, dh_n: Any) -> Any:
    right = parts()(W_hh, h, dh_n)
    h[1:] = 1 - h[1:] ** 2
    return right


WRONG[checks.check_lag_parts] = [
    ("in time", parts(give=lambda p: np.stack(p[::-1])), "in the order of time"),
    ("sums so far", parts(give=lambda p: np.cumsum(p, axis=0)), "sums up to each lag"),
    ("sums from there", parts(give=lambda p: np.cumsum(p[::-1], axis=0)[::-1]), "from each lag on"),
    ("the whole", parts(give=lambda p: np.stack([sum(p)] * len(p))), "the sum of all parts"),
    ("one sum", parts(give=lambda p: np.sum(p, axis=0)), "must have shape"),
    ("mean over the batch", mean_of_batch, "mean over the batch"),
    ("transposed", parts(pair=lambda da, dh, h, t: h[t - 1].T @ da), "each part transposed"),
    ("h_t", parts(pair=lambda da, dh, h, t: da.T @ h[t]), "h_t in place of h_"),
    ("no slopes", parts(lambda h, t: 1.0), "without the slopes"),
    ("1 - h", parts(lambda h, t: 1 - h[t]), "slopes 1 - h;"),
    ("tanh again", parts(lambda h, t: 1 - np.tanh(h[t]) ** 2), "tanh is taken again"),
    ("slopes of the step before", parts(lambda h, t: 1 - h[t - 1] ** 2), "slopes of the step"),
    ("W transposed", parts(back=lambda da, dh, W, dh_n: da @ W.T), "W_hh transposed"),
    ("dh goes back", parts(back=lambda da, dh, W, dh_n: dh @ W), "carry da on, not dh"),
    ("slope on the way only", parts(pair=lambda da, dh, h, t: dh.T @ h[t - 1]),
     "and not in the part itself"),
    ("no W", parts(back=lambda da, dh, W, dh_n: da), "goes back without W_hh"),
    ("dh_n at each", parts(back=lambda da, dh, W, dh_n: dh_n), "every step is given dh_n"),
    ("dh_n added", parts(back=lambda da, dh, W, dh_n: da @ W + dh_n), "dh_n is added at every"),
    ("no h0", no_first_state, "initial state is taken as zero"),
    ("last step at all", parts(give=lambda p: np.stack([p[0]] * len(p))), "of lag 0 at every lag"),
    ("norms", parts(give=lambda p: np.linalg.norm(p, axis=(1, 2))), "must have shape"),
    ("nan", parts(give=lambda p: np.nan * np.stack(p)), "holds nan"),
    ("each sequence", parts(pair=lambda da, dh, h, t: da[:, :, None] * h[t - 1][:, None, :]),
     "must have shape"),
    ("absolute values", parts(give=np.abs), "Part k belongs to step t"),
    ("dh_n changed", changes_dh_n, "changed its argument dh_n"),
    ("h changed", slopes_into_h, "changed its argument h"),
    ("stops", stops, "lag_parts stopped with IndexError"),
    ("not written", dots, "lag_parts returned Ellipsis"),
]  # fmt: skip


def by_the_package(W_hh: Any, h: Any, dh_n: Any) -> Any:
    (T, B), H = (len(h) - 1, h.shape[1]), len(W_hh)
    params = Recurrent(np.zeros((H, 1)), W_hh, np.zeros(H), np.zeros(H))
    cache, result = RNNCache(params, np.zeros((T, B, 1)), h), []
    for t in range(T, 0, -1):
        _, dh_n, grads = rnn_backward(cache.steps(t - 1, t), dh_n=dh_n)
        result += [grads.W_hh]
    return result


def by_jacobians(W_hh: Any, h: Any, dh_n: Any) -> Any:
    T = len(h) - 1
    result = np.empty((T, *W_hh.shape))
    for k in range(T):
        dh = np.einsum("bi,bij->bj", dh_n, product()(W_hh, h, k))
        result[k] = np.einsum("bi,bj->ij", dh * (1 - h[T - k] ** 2), h[T - k - 1])
    return result


def recursion(W_hh: Any, h: Any, dh_n: Any) -> Any:
    da = dh_n * (1 - h[-1] * h[-1])
    first = [sum(np.outer(a, b) for a, b in zip(da, h[-2]))]
    return first if len(h) == 2 else first + recursion(W_hh, h[:-1], da @ W_hh)


RIGHT[checks.check_lag_parts] = [
    ("by the package", by_the_package),
    ("by Jacobians", by_jacobians),
    ("recursion", recursion),
    ("by differences of sums",
     parts(give=lambda p: np.diff(np.cumsum([0 * p[0], *p], axis=0), axis=0))),
]  # fmt: skip

# --- 5. Counter-examples. ---


def row(k: int, w: float = 2.0) -> Any:
    return w * np.eye(k + 1, k=1)


def gaussian(k: int) -> Any:
    W = np.random.default_rng(k).normal(size=(30, 30))
    return 2 * W / np.linalg.norm(W, 2)


def jordan(k: int) -> Any:
    return 0.9 * np.eye(40) + np.eye(40, k=1)


def ring(k: int) -> Any:
    return 2.0 * np.roll(np.eye(k + 1), 1, axis=1)


WRONG[checks.check_grows_first] = [
    ("twice the identity", lambda k: 2 * np.eye(2), "still .* the largest is 2"),
    ("half the identity", lambda k: 0.5 * np.eye(2), "norm is 0.5, and no step stretches more"),
    ("for one step only", lambda k: row(1), "so with H = 2 it is 0 after 2 steps"),
    ("one unit too few", lambda k: row(k - 1), "so with H = 1 it is 0 after 1 step:"),
    ("a ring", ring, "still .*eigenvalues must lie well below 1"),
    ("times three", lambda k: row(k, 3.0), "norm of .* is 3, which is more than 2"),
    ("all ones", lambda k: np.triu(np.ones((k + 1, k + 1)), 1) * 2, "norm of .* is more than 2"),
    ("one huge entry", lambda k: np.array([[0.0, 2.0**k], [0.0, 0.0]]), "norm of|all its eigen"),
    ("Frobenius norm 2", lambda k: row(k, 2 / k**0.5), "no step stretches more|each step must"),
    ("1.4", lambda k: row(k, 1.4), "norm is 1.4, and no step stretches more"),
    ("a gaussian", gaussian, "at lag 5 is|at lag 2 is|at lag 20 is"),
    ("a Jordan block near 1", jordan, "still .* well below 1|at lag 20"),
    ("a vector", lambda k: np.ones(3), "must be a square matrix"),
    ("not square", lambda k: np.ones((2, 3)), r"got shape \(2, 3\)"),
    ("the number", lambda k: 2.0**k, "must be a square matrix"),
    ("empty", lambda k: np.zeros((0, 0)), "must be a square matrix"),
    ("always 21 units", lambda k: row(20), "grows for longer than 1 step; take fewer units"),
    ("too large", lambda k: np.zeros((300, 300)), "at most 256 are allowed"),
    ("nan", lambda k: np.nan * row(k), "holds nan"),
    ("stops", stops, "grows_first stopped with IndexError"),
    ("not written", dots, "grows_first returned Ellipsis"),
]  # fmt: skip


def rotated(k: int) -> Any:
    Q, _ = np.linalg.qr(np.random.default_rng(k).normal(size=(k + 1, k + 1)))
    return Q @ row(k) @ Q.T


def mirrored(k: int) -> Any:
    return row(k).T.tolist()


def with_a_diagonal(k: int) -> Any:
    return 0.01 * np.eye(k + 1) + 1.98 * np.eye(k + 1, k=1)


def larger(k: int) -> Any:
    return np.pad(row(k, -1.6), ((0, 7), (0, 7)))


RIGHT[checks.check_grows_first] = [
    ("rotated", rotated),
    ("the other way, in lists", mirrored),
    ("with a diagonal", with_a_diagonal),
    ("negative, with idle units", larger),
    ("times 1.5", lambda k: row(k, 1.5)),
]

UP = np.array([[0.0, 2.0], [0.0, 0.0]])


def pair(A: Any, B: Any) -> Any:
    return lambda: (A, B)


WRONG[checks.check_two_jacobians] = [
    ("equal", pair(UP, UP), "A and B are equal"),
    ("minus", pair(UP, -UP), "A B has no eigenvalue but 0, too"),
    ("both triangular", pair(UP + 0.5 * np.eye(2) * 0, np.diag([0.5, 0.4])), "no eigenvalue but 0"),
    ("diagonal", pair(np.diag([0.5, 0.1]), np.diag([0.2, 0.5])), "A B = B A"),
    ("twice the identity", pair(2 * np.eye(2), 2 * np.eye(2)), "radius of A is 2"),
    ("one of them", pair(UP, np.eye(2)), "radius of B is 1"),
    ("swaps", pair(np.array([[0.0, 2.0], [2.0, 0.0]]), UP), "radius of A is 2"),
    ("too long", pair(3 * UP, UP.T), "norm of A is 6, which is more than 2"),
    ("too weak", pair(0.5 * UP, 0.5 * UP.T), "spectral radius of A B that counts, and that is 1"),
    ("halves", pair(UP, 0.25 * UP.T), "that counts, and that is 1"),
    ("of two sizes", pair(UP, np.eye(3, k=1)), "must have one shape"),
    ("one matrix", lambda: UP, "must return A, B; it returned an array"),
    ("three", lambda: (UP, UP.T, UP), "must return A, B; it returned 3 things"),
    ("numbers", pair(0.5, 2.0), "A must be a square matrix"),
    ("B not written", pair(UP, ...), "B is Ellipsis: write the line"),
    ("nan", pair(UP, np.nan * UP), "B holds nan"),
    ("stops", stops, "two_jacobians stopped with IndexError"),
    ("not written", dots, "two_jacobians returned Ellipsis"),
]  # fmt: skip

TURN = np.array([[0.6, -0.8], [0.8, 0.6]])


def big_pair() -> Any:
    A = np.zeros((6, 6))
    A[0, 3] = A[1, 4] = A[2, 5] = 2.0
    return [A.tolist(), A.T.tolist()]


RIGHT[checks.check_two_jacobians] = [
    ("the other way round", pair(UP.T, UP)),
    ("turned", pair(TURN @ UP @ TURN.T, TURN @ UP.T @ TURN.T)),
    ("six units, in lists", big_pair),
    ("a little weaker", pair(0.7 * UP, np.array([[0.3, 0.0], [1.7, -0.3]]))),
]

# --- 6. A latch. ---


def rest(w: float, steps: int = 3000) -> float:
    h = 1.0
    for _ in range(steps):
        h = math.tanh(w * h)
    return h


WRONG[checks.check_latch_slope] = [
    ("no w", lambda w: 1 - rest(w) ** 2, "w is missing"),
    ("at zero", lambda w: w, r"latch_slope\(2.0\).*at h = 0, where a latch"),
    ("1 - h", lambda w: w * (1 - rest(w)), r"this is w \(1 - h\)"),
    ("at one", lambda w: 0.0, "should be 0.5|slope at h = 1"),
    ("the state", rest, "the state at rest, not the slope"),
    ("tanh twice", lambda w: w * (1 - math.tanh(rest(w)) ** 2), "tanh is taken twice"),
    ("of w h", lambda w: w * (1 - (w * rest(w)) ** 2), r"not 1 - \(w h\)\*\*2"),
    ("w squared", lambda w: w**2 * (1 - rest(w) ** 2), "a single factor w"),
    ("slope squared", lambda w: w * (1 - rest(w) ** 2) ** 2, "square that once more"),
    ("divided", lambda w: (1 - rest(w) ** 2) / w, "divided by w"),
    ("first step", lambda w: w * (1 - rest(w, 1) ** 2), "after the first step from 1|should be"),
    ("sign", lambda w: -w * (1 - rest(w) ** 2), "tanh rises everywhere"),
    ("one", lambda w: 1.0, "slope at the edge"),
    ("ten steps", lambda w: w * (1 - rest(w, 10) ** 2), "not at rest yet|should be"),
    ("twenty steps", lambda w: w * (1 - rest(w, 20) ** 2) if w > 1 else w, "not at rest yet"),
    ("a sine", lambda w: 3 * math.sin(w), "go to the state at rest"),
    ("text", str, "must be a number"),
    ("nan", lambda w: math.nan, "finite number"),
    ("stops", stops, "latch_slope stopped with IndexError"),
    ("not written", dots, "latch_slope returned Ellipsis"),
]  # fmt: skip


def by_differences(w: float) -> float:
    h, e = rest(w), 1e-5
    return (math.tanh(w * (h + e)) - math.tanh(w * (h - e))) / (2 * e)


def by_bisection(w: float) -> Any:
    low, high = 1e-9, 1.0
    for _ in range(60):
        h = (low + high) / 2
        low, high = (h, high) if np.tanh(w * h) > h else (low, h)
    return np.array([w * (1 - h * h)])


def in_single(w: float) -> Any:
    h = np.float32(1)
    for _ in range(500):
        h = np.tanh(np.float32(w) * h)
    return np.float32(w) / np.cosh(np.float32(w) * h) ** 2


RIGHT[checks.check_latch_slope] = [
    ("by differences", by_differences),
    ("by bisection", by_bisection),
    ("float32", in_single),
]


def weight_of(slope: float) -> float:
    """The w > 1 with this slope at rest, by a search over w itself, without states."""
    low, high = 1e-7, 30.0
    for _ in range(80):
        u = (low + high) / 2
        low, high = (u, high) if u / (math.sinh(u) * math.cosh(u)) > slope else (low, u)
    return low / math.tanh(low)


def edge(slope: float) -> float:
    h = math.sqrt(1 - slope)
    return math.atanh(h) / h


def angle(w: float) -> float:
    return w * rest(w, 20_000)


WRONG[checks.check_firmest_latch] = [
    ("no latch", lambda s, T: s ** (1 / T), "no latch: w must be above 1"),
    ("all in one step", lambda s, T: weight_of(s), "one step may not take all"),
    ("share over T", lambda s, T: weight_of(s / T), "they do not add up"),
    ("linear loss", lambda s, T: weight_of(1 - (1 - s) / T), "the losses multiply"),
    ("T + 1", lambda s, T: weight_of(s ** (1 / (T + 1))), "not T [+] 1"),
    ("T - 1", lambda s, T: weight_of(s ** (1 / max(T - 1, 0.5))), "not T - 1"),
    ("w h", lambda s, T: angle(weight_of(s ** (1 / T))), "w h at rest; divide it"),
    ("the state", lambda s, T: rest(weight_of(s ** (1 / T)), 20_000), "the state at rest, not"),
    ("turned over", lambda s, T: s ** (-1 / T), "turned over"),
    ("w missing", lambda s, T: edge(s ** (1 / T)), "w is missing in the slope"),
    ("one", lambda s, T: 1.0, "keeps no bit"),
    ("two", lambda s, T: 2.0, "with this weight .* which is less"),
    ("too near 1", lambda s, T: 1.0001, "which is more"),
    ("rough", lambda s, T: 1 + 1.02 * (weight_of(s ** (1 / T)) - 1), "compute it more exactly"),
    ("zero", lambda s, T: 0.0, "keeps no bit"),
    ("text", lambda s, T: "1.03", "must be a number"),
    ("nan", lambda s, T: math.nan, "finite number"),
    ("stops", stops, "firmest_latch stopped with IndexError"),
    ("not written", dots, "firmest_latch returned Ellipsis"),
]  # fmt: skip


def over_w(share: float, T: int) -> Any:
    """Bisection on w, with the state of rest by Newton's method."""
    low, high = 1 + 1e-9, 30.0
    for _ in range(60):
        w = u = (low + high) / 2
        for _ in range(80):
            u -= (u - w * math.tanh(u)) / (1 - w / math.cosh(u) ** 2)
        low, high = (w, high) if (w / math.cosh(u) ** 2) ** T > share else (low, w)
    return np.float64(w)


def by_table(share: float, T: int) -> Any:
    u = np.linspace(1e-4, 10, 2_000_001)
    i = np.searchsorted(-2 * u / np.sinh(2 * u), -(share ** (1 / T)))
    return u[i] / np.tanh(u[i])


def over_w_step_by_step(share: float, T: int) -> Any:
    low, high = 1.0, 3.0
    for _ in range(40):
        w = (low + high) / 2
        low, high = (w, high) if w * (1 - rest(w, 1000) ** 2) > share ** (1 / T) else (low, w)
    return w


RIGHT[checks.check_firmest_latch] = [
    ("over w, step by step", over_w_step_by_step),
    ("over w", over_w),
    ("by a table", by_table),
    ("over u, with logarithms", lambda s, T: np.array(weight_of(math.exp(math.log(s) / T)))),
]

# --- 7. A radius for noise. ---

GRID = np.linspace(-7, 7, 301)
NORMAL = np.exp(-(GRID**2) / 2) / np.exp(-(GRID**2) / 2).sum()


def mean(values: Any) -> float:
    return float(NORMAL @ values)


def at_rest(rho: float, noise: float, start: float = 1.0, steps: int = 150) -> float:
    q = start
    for _ in range(steps):
        q = rho**2 * mean(np.tanh(q**0.5 * GRID) ** 2) + noise**2
    return q


def slopes(q: float) -> Any:
    return 1 - np.tanh(q**0.5 * GRID) ** 2


def factor(rho: float, noise: float) -> float:
    return rho * mean(slopes(at_rest(rho, noise)) ** 2) ** 0.5


def no_rho_in_q(rho: float, noise: float) -> float:
    return rho * mean(slopes(at_rest(1.0, noise)) ** 2) ** 0.5


def half_rho_in_q(rho: float, noise: float) -> float:
    return rho * mean(slopes(at_rest(rho**0.5, noise)) ** 2) ** 0.5


def of_q(change: Any) -> Any:
    """The factor that belongs to another q."""
    return lambda rho, s: rho * mean(slopes(change(at_rest(rho, s), s)) ** 2) ** 0.5


WRONG[checks.check_gradient_factor] = [
    ("q", at_rest, "the variance q, not the factor|should be"),
    ("squared", lambda r, s: factor(r, s) ** 2, "this is the square"),
    ("rho", lambda r, s: r, "in noise the slopes are below 1"),
    ("no rho", lambda r, s: factor(r, s) / r, "rho is missing"),
    ("root of rho", lambda r, s: factor(r, s) / r**0.5, "rho is not squared inside"),
    ("mean slope", lambda r, s: r * mean(slopes(at_rest(r, s))), "square the slopes before"),
    ("no root", lambda r, s: r * mean(slopes(at_rest(r, s)) ** 2), "root of the mean is missing"),
    ("root of mean slope", lambda r, s: r * mean(slopes(at_rest(r, s))) ** 0.5, "mean slope; the"),
    ("typical slope", lambda r, s: r * (1 - math.tanh(at_rest(r, s) ** 0.5) ** 2), "over all a"),
    ("noise alone", of_q(lambda q, s: s**2), "the states feed it"),
    ("no noise in q", of_q(lambda q, s: q - s**2), "q leaves the noise out"),
    ("noise not squared",
     lambda r, s: factor(r, s**0.5), "takes noise for its square"),
    ("no rho in q", no_rho_in_q, "missing rho..2 in front"),
    ("rho in q", half_rho_in_q, "rho in front of the mean, where"),
    ("q for its root", of_q(lambda q, s: q**2), "not q z"),
    ("z alone", of_q(lambda q, s: 1.0), "not z$"),
    ("one step of q", lambda r, s: r * mean(slopes(at_rest(r, s, steps=1)) ** 2) ** 0.5,
     "should be"),
    ("nearly", lambda r, s: 0.98 * factor(r, s), "nearly, but one percent"),
    ("one", lambda r, s: 1.0, "first let q come to rest"),
    ("nan", lambda r, s: math.nan, "finite number"),
    ("an array", lambda r, s: np.ones(3), "must be a single number"),
    ("stops", stops, "gradient_factor stopped with IndexError"),
    ("not written", dots, "gradient_factor returned Ellipsis"),
]  # fmt: skip


def by_hermite(rho: float, noise: float) -> Any:
    z, w = np.polynomial.hermite_e.hermegauss(80)
    w = w / np.sqrt(2 * np.pi)
    q = 0.5
    for _ in range(200):
        q = noise**2 + rho**2 * (w @ np.tanh(np.sqrt(q) * z) ** 2)
    return np.sqrt(rho**2 * (w @ np.cosh(np.sqrt(q) * z) ** -4.0))


def by_sampling(rho: float, noise: float) -> Any:
    z = np.random.default_rng(0).normal(size=100_000)
    q = 1.0
    for _ in range(30):
        q = noise**2 + rho**2 * np.mean(np.tanh(np.sqrt(q) * z) ** 2)
    return np.array([rho * np.sqrt(np.mean((1 - np.tanh(np.sqrt(q) * z) ** 2) ** 2))])


def by_quantiles(rho: float, noise: float) -> Any:
    from statistics import NormalDist

    z = np.array([NormalDist().inv_cdf((i + 0.5) / 500) for i in range(500)], dtype=np.float32)
    q = np.float32(noise**2)
    for _ in range(300):
        q = np.float32(noise**2) + np.float32(rho**2) * np.mean(np.tanh(np.sqrt(q) * z) ** 2)
    return np.float32(rho) * np.sqrt(np.mean((1 - np.tanh(np.sqrt(q) * z) ** 2) ** 2))


RIGHT[checks.check_gradient_factor] = [
    ("Gauss and Hermite", by_hermite),
    ("by sampling", by_sampling),
    ("quantiles, float32", by_quantiles),
]


def solve(error: Any) -> Any:
    """Find by bisection the rho in 1…10 at which ``error(rho, noise)`` crosses zero."""

    def critical_radius(noise: float) -> float:
        low, high = 1.0, 10.0
        for _ in range(25):
            rho = (low + high) / 2
            low, high = (rho, high) if error(rho, noise) < 0 else (low, rho)
        return low

    return critical_radius


right_radius = cache(solve(lambda r, s: factor(r, s) - 1))

WRONG[checks.check_critical_radius] = [
    ("silence", lambda s: 1.0, "that is the radius for silence"),
    ("squared", lambda s: right_radius(s) ** 2, "the square of the radius"),
    ("root", lambda s: right_radius(s) ** 0.5, "the root of the radius"),
    ("one over", lambda s: 1 / right_radius(s), "one over the radius"),
    ("mean slope", cache(solve(lambda r, s: r * mean(slopes(at_rest(r, s))) - 1)),
     "which half of the interval"),
    ("wrong half", cache(solve(lambda r, s: 1 - factor(r, s))), "which half of the interval"),
    ("slopes not squared", cache(solve(lambda r, s: r**2 * mean(slopes(at_rest(r, s))) - 1)),
     "the slopes are not squared"),
    ("noise alone", lambda s: mean(slopes(s**2) ** 2) ** -0.5, "from the noise alone"),
    ("q of rho = 1", lambda s: 1 / factor(1.0, s), "q belongs to rho = 1"),
    ("1 + noise", lambda s: 1 + s, "plus 1"),
    ("below 1", lambda s: 0.9, "a gradient shrinks"),
    ("two", lambda s: 2.0, "a gradient grows"),
    ("zero", lambda s: 0.0, "look between 1 and 4"),
    ("nearly", lambda s: 1.03 * right_radius(s), "a gradient grows"),
    ("inf", lambda s: math.inf, "finite number"),
    ("stops", stops, "critical_radius stopped with IndexError"),
    ("not written", dots, "critical_radius returned Ellipsis"),
]  # fmt: skip


def over_q(noise: float) -> Any:
    """Each q has its rho, and then its noise: a curve, read backwards."""
    q = np.linspace(1e-3, 4, 4000)
    tanh = np.tanh(np.sqrt(q)[:, None] * GRID)
    rho = ((1 - tanh**2) ** 2 @ NORMAL) ** -0.5
    return np.interp(noise**2, q - rho**2 * (tanh**2 @ NORMAL), rho)


def by_newton(noise: float) -> Any:
    a, b = 1.2, 1.6
    for _ in range(8):
        fa, fb = factor(a, noise) - 1, factor(b, noise) - 1
        if fa == fb:
            break
        a, b = b, b - fb * (b - a) / (fb - fa)
    return np.float32(b)


RIGHT[checks.check_critical_radius] = [
    ("over q", over_q),
    ("secants", by_newton),
    ("bisection", lambda s: [right_radius(s)]),
]

# --- The tests. ---


def test_the_numbers_in_the_explanations_are_those_of_the_solutions(solutions):
    book = nbformat.read(ROOT / "book/solutions/04_vanishing_gradients.ipynb", as_version=4)
    text = "".join(cell.source for cell in book.cells)
    answers = solutions
    said = {
        "0.9993": math.exp(-math.log(1000) / 10_000),
        "6.9": math.log(1000),
        "2.45": answers["norm_after"],
        "1.035": answers["firmest_latch"](1e-3, 100),
        "1.40": answers["critical_radius"](0.3),
        "1.86": answers["critical_radius"](1.0),
        "0.837": answers["gradient_factor"](1.0, 0.3),
        "1.4": 1e4 * answers["gradient_factor"](1.0, 0.3) ** 50,
    }
    for number, value in said.items():
        assert number in text
        assert f"{value:.{len(number.split('.')[1])}f}" == number
