"""The checks of the exercises of chapter 3 refuse wrong answers, each for its own reason.

They accept right ones, however unusual. A row of a table of wrong answers holds the mistake, the
answer, and the part of the message that tells the learner of this mistake.
"""

import itertools
import math
from fractions import Fraction
from typing import Any

import numpy as np

from tests.check_cases import *  # noqa: F403
from tests.check_cases import Check, dots, stops
from tools.notebooks import ROOT
from unrolled.bptt import truncated_bptt
from unrolled.checks import bptt as checks
from unrolled.gradient_check import relative_error
from unrolled.params import Recurrent, init_rnn, tree_map
from unrolled.rnn import rnn_backward, rnn_forward

CHECKS, MASTER = checks, "03_bptt"
SCOPE = {"np": np, "Recurrent": Recurrent, "rnn_forward": rnn_forward, "rnn_backward": rnn_backward}
WRONG: dict[Check, list[tuple[str, Any, str]]] = {}
RIGHT: dict[Check, list[tuple[str, Any]]] = {}

# --- 1. The memory of a gradient. ---

WRONG[checks.check_kept_bytes] = [
    ("T states", 24_576_000, "h0 is kept as well: T"),
    ("T + 1 inputs", 24_600_576, "x has T steps"),
    ("float64", 49_184_768, "4 bytes, not 8"),
    ("float64 without h0", 49_152_000, "4 bytes, not 8, and h0"),
    ("numbers", 6_148_096, "this counts the numbers; each"),
    ("numbers without h0", 6_144_000, "numbers, without h0"),
    ("bits", 196_739_072, "in bits"),
    ("one sequence", 768_512, "all of them are kept"),
    ("states only", 16_400_384, "x is kept as well: the gradient"),
    ("T states only", 16_384_000, "x is kept as well, and so is h0"),
    ("x only", 8_192_000, "the states are kept"),
    ("one step", 24_576, "this is one step"),
    ("MiB", 23.45, "in a larger unit"),
    ("MB", 24.6, "in a larger unit"),
    ("kB", 24_592.384, "in a larger unit"),
    ("rounded", 24.6e6, "not what the measurement says"),
    ("one byte more", 24_592_385, "not what the measurement says"),
    ("zero", 0, "not what the measurement says"),
    ("text", "24 MB", "must be a number"),
    ("nan", math.nan, "finite number"),
    ("dots", ..., "has no value yet"),
]
RIGHT[checks.check_kept_bytes] = [
    ("a product", 4 * 32 * (1000 * 64 + 1001 * 128)),
    ("a float", 24592384.0),
    ("NumPy's", np.int64(24592384)),
    ("an array", np.array([24592384])),
]


def fits(budget: int, B: int, D: int, H: int, T: int) -> bool:
    return budget >= 4 * B * (T * D + (T + 1) * H)


def by_trial(budget: int, B: int, D: int, H: int) -> int:
    low, high = 0, budget + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(budget, B, D, H, middle) else (low, middle)
    return low


WRONG[checks.check_longest_window] = [
    ("no h0", lambda n, B, D, H: n // (4 * B * (D + H)), "the initial state needs room"),
    ("float64", lambda n, B, D, H: max((n // (8 * B) - H) // (D + H), 0), "4 bytes, not 8"),
    ("one byte", lambda n, B, D, H: max((n // B - H) // (D + H), 0), "4 bytes, not one"),
    ("no batch", lambda n, B, D, H: max((n // 4 - H) // (D + H), 0), "for B sequences"),
    ("no x", lambda n, B, D, H: max((n // (4 * B) - H) // H, 0), "x is kept as well"),
    ("no x, no h0", lambda n, B, D, H: n // (4 * B * H), "x is kept as well, and so is h0"),
    ("rounded up", lambda n, B, D, H: max(-(-(n // (4 * B) - H) // (D + H)), 0), "round down"),
    ("not rounded", lambda n, B, D, H: max((n / (4 * B) - H) / (D + H), 0), "whole number"),
    ("negative", lambda n, B, D, H: (n // (4 * B) - H) // (D + H), "not even one step fits"),
    ("half", lambda n, B, D, H: by_trial(n, B, D, H) // 2, "a longer window fits"),
    ("two less", lambda n, B, D, H: max(by_trial(n, B, D, H) - 2, 0), "a longer window fits"),
    ("the budget", lambda n, B, D, H: n, "more than the budget"),
    ("at least one", lambda n, B, D, H: max(by_trial(n, B, D, H), 1),
     "should be 0, but it is 1: that needs more"),
    ("less than the budget", lambda n, B, D, H: by_trial(n - 1, B, D, H) if n else 0,
     "a longer window fits"),
    ("infinite", lambda n, B, D, H: math.inf, "finite number"),
    ("a pair", lambda n, B, D, H: (n, B), "must be a single number"),
    ("stops", stops, "stopped with IndexError"),
    ("dots", dots, "longest_window returned Ellipsis"),
]  # fmt: skip
RIGHT[checks.check_longest_window] = [
    ("by trial", by_trial),
    ("a float", lambda n, B, D, H: max(np.floor((n / (4 * B) - H) / (D + H)), 0.0)),
    ("one fraction", lambda n, B, D, H: max((n - 4 * B * H) // (4 * B * (D + H)), 0)),
    ("a fraction", lambda n, B, D, H: max(
        math.floor((Fraction(n, 4 * B) - H) / (D + H)), 0)),
]  # fmt: skip

# --- 2. One step back. ---


def step(
    *,
    slope: Any = lambda h, prev: 1 - h * h,
    dx: Any = lambda da, p: da @ p.W_ih,
    dh: Any = lambda da, p, dh: da @ p.W_hh,
    W_ih: Any = lambda da, x: da.T @ x,
    W_hh: Any = lambda da, prev, h: da.T @ prev,
    db: Any = lambda da: (da.sum(axis=0), da.sum(axis=0)),
    give: Any = lambda dx, dh, grads: (dx, dh, grads),
) -> Any:
    """One step back, with parts that may be wrong."""

    def rnn_step_backward(params: Any, x_t: Any, h_prev: Any, h_t: Any, dh_t: Any) -> Any:
        da = dh_t * slope(h_t, h_prev)
        grads = Recurrent(W_ih(da, x_t), W_hh(da, h_prev, h_t), *db(da))
        return give(dx(da, params), dh(da, params, dh_t), grads)

    return rnn_step_backward


def dh_in_place(params: Any, x_t: Any, h_prev: Any, h_t: Any, dh: Any) -> Any:
    dh *= 1 - h_t * h_t
    db = dh.sum(axis=0)
    return dh @ params.W_ih, dh @ params.W_hh, Recurrent(dh.T @ x_t, dh.T @ h_prev, db, db)


def h_in_place(params: Any, x_t: Any, h_prev: Any, h_t: Any, dh: Any) -> Any:
    kept = h_t.copy()
    h_t *= h_t
    return step()(params, x_t, h_prev, kept, dh)


def fits_square(da: Any, W: Any) -> Any:
    return da @ W if W.shape[0] != W.shape[1] else da @ W.T


WRONG[checks.check_step_backward] = [
    ("slope 1 - h", step(slope=lambda h, prev: 1 - h), "slope 1 - h; that of tanh is 1 - h²"),
    ("slope of h_prev", step(slope=lambda h, prev: 1 - prev**2), "1 - h² of the state before"),
    ("no slope", step(slope=lambda h, prev: 1.0), "without the slope of tanh"),
    ("sigmoid's", step(slope=lambda h, prev: h * (1 - h)), "the sigmoid's"),
    ("tanh twice", step(slope=lambda h, prev: 1 - np.tanh(h) ** 2), "been through tanh already"),
    ("1 + h²", step(slope=lambda h, prev: 1 + h**2), r"dx_t\[.*It is da @ W_ih"),
    ("W_hh turned", step(dh=lambda da, p, dh: da @ p.W_hh.T), "dh_prev.*W_hh transposed"),
    ("W_ih turned", step(dx=lambda da, p: fits_square(da, p.W_ih)), "dx_t.*W_ih transposed"),
    ("W_ih always turned", step(dx=lambda da, p: da @ p.W_ih.T), "W_ih transposed"),
    ("dh goes back", step(dh=lambda da, p, dh: dh @ p.W_hh), "dh and not da goes back"),
    ("no W_hh", step(dh=lambda da, p, dh: da), "da goes back without W_hh"),
    ("dh_prev is dh", step(dh=lambda da, p, dh: dh), "dh_prev is wrong: this is dh itself"),
    ("dh added", step(dh=lambda da, p, dh: da @ p.W_hh + dh), r"dh_prev\[.*It is da @ W_hh"),
    ("dx is da", step(dx=lambda da, p: da), "dx_t is wrong: this is da itself; it still has"),
    ("dx through W_hh", step(dx=lambda da, p: da @ p.W_hh), "the gradient through W_hh; x_t came"),
    ("dh through W_ih", step(dh=lambda da, p, dh: da @ p.W_ih), "the gradient through W_ih; the"),
    ("h_t for h_prev", step(W_hh=lambda da, prev, h: da.T @ h), "step has read h_prev"),
    ("dW_hh turned", step(W_hh=lambda da, prev, h: prev.T @ da), "W_hh.*transposed"),
    ("dW_ih turned", step(W_ih=lambda da, x: x.T @ da), "W_ih.*transposed"),
    ("W_ih with the batch mean", step(W_ih=lambda da, x: da.T @ x / len(x)), "mean over the batch"),
    ("db is a mean", step(db=lambda da: (da.mean(axis=0),) * 2), "mean over the batch"),
    ("db not summed", step(db=lambda da: (da, da)), r"b_ih must have shape \(H=4,\)"),
    ("db over the units", step(db=lambda da: (da.sum(axis=1),) * 2), r"b_ih\[.*sum of da over"),
    ("no b_hh", step(db=lambda da: (da.sum(axis=0), 0 * da[0])), "b_hh.*both biases enter"),
    ("b_hh twice", step(db=lambda da: (da.sum(axis=0), 2 * da.sum(axis=0))), "each has it once"),
    ("one bias", step(give=lambda dx, dh, g: (dx, dh, g[:3])), "grads must be Recurrent"),
    ("exchanged", step(give=lambda dx, dh, g: (dh, dx, g)), "dx_t and dh_prev are exchanged"),
    ("grads first", step(give=lambda dx, dh, g: (g, dx, dh)), r"dx_t must|got a list of unequal"),
    ("no grads", step(give=lambda dx, dh, g: (dx, dh)), "returned 2 things"),
    ("grads unpacked", step(give=lambda dx, dh, g: (dx, dh, *g)), "returned 6 things"),
    ("grads a dict", step(give=lambda dx, dh, g: (dx, dh, g._asdict())), "grads must be Recurrent"),
    ("dx not written", step(give=lambda dx, dh, g: (..., dh, g)), "dx_t is Ellipsis: write"),
    ("dh changed", dh_in_place, "changed its argument dh"),
    ("h_t changed", h_in_place, "changed its argument h_t"),
    ("nan", step(slope=lambda h, prev: (1 - h * h) * np.inf / np.inf), "holds nan"),
    ("float32", step(slope=lambda h, prev: (1 - h * h).astype(np.float32)), "to a few digits"),
    ("stops", stops, "stopped with IndexError"),
    ("dots", dots, "rnn_step_backward returned Ellipsis"),
]  # fmt: skip


def step_einsum(params: Any, x_t: Any, h_prev: Any, h_t: Any, dh: Any) -> Any:
    da = np.einsum("bj,bj->bj", dh, 1 - h_t**2)
    return (
        np.einsum("bj,jd->bd", da, params.W_ih),
        np.einsum("bj,jk->bk", da, params.W_hh),
        [np.einsum("bj,bd->jd", da, x_t), np.einsum("bj,bk->jk", da, h_prev)]
        + [np.einsum("bj->j", da)] * 2,
    )


def step_by_sequence(params: Any, x_t: Any, h_prev: Any, h_t: Any, dh: Any) -> Any:
    dx, before = np.zeros(x_t.shape), np.zeros(h_t.shape)
    grads = tree_map(np.zeros_like, params)
    for b in range(len(x_t)):
        da = dh[b] * (1 - h_t[b]) * (1 + h_t[b])
        dx[b], before[b] = params.W_ih.T @ da, params.W_hh.T @ da
        for grad, share in zip(grads, (np.outer(da, x_t[b]), np.outer(da, h_prev[b]), da, da)):
            grad += share
    return dx, before, grads


def step_again(params: Any, x_t: Any, h_prev: Any, h_t: Any, dh: Any) -> Any:
    """Ignore h_t, and compute it once more."""
    a = x_t @ params.W_ih.T + params.b_ih + h_prev @ params.W_hh.T + params.b_hh
    return step()(params, x_t, h_prev, np.tanh(a), dh)


def step_by_package(params: Any, x_t: Any, h_prev: Any, h_t: Any, dh: Any) -> Any:
    dx, dh0, grads = rnn_backward(rnn_forward(params, x_t[None], h_prev)[2], dh_n=dh)
    return dx[0], dh0, grads


def step_in_lists(*args: Any) -> Any:
    dx, dh, grads = step()(*args)
    return [dx.tolist(), dh.tolist(), [g.tolist() for g in grads]]


def step_on_a_copy(params: Any, x_t: Any, h_prev: Any, h_t: Any, dh: Any) -> Any:
    return dh_in_place(params, x_t, h_prev, h_t, dh.copy())


RIGHT[checks.check_step_backward] = [
    ("einsum", step_einsum),
    ("sequence by sequence", step_by_sequence),
    ("h_t computed again", step_again),
    ("the package's own", step_by_package),
    ("lists", step_in_lists),
    ("in place on a copy", step_on_a_copy),
    ("a float32 constant", step(slope=lambda h, prev: np.float32(1.0) - h * h)),
]

# --- 3. Three mistakes. ---

WRONG[checks.check_wrong_gradients] = [
    ("empty", set(), "is empty"),
    ("all", set(checks.GRADIENTS), "W_ih is right"),
    ("dx too", {"dx", "W_hh", "b_ih", "b_hh"}, "dx is right"),
    ("dh0", {"dh0"}, "dh0 is right"),
    ("W_ih", {"W_ih", "W_hh"}, "W_ih is right"),
    ("W_hh only", {"W_hh"}, "W_hh is wrong indeed, but not alone"),
    ("biases only", {"b_ih", "b_hh"}, "b_hh is wrong indeed, but not alone"),
    ("one bias", {"W_hh", "b_ih"}, "both biases get the same"),
    ("the other bias", ["W_hh", "b_hh"], "both biases get the same"),
    ("a name alone", "W_hh", "not alone: which gradient"),
    ("unknown", {"W_hh", "db"}, "it holds 'db'"),
    ("numbers", {1, 2}, "must be a set of names"),
    ("a number", 3, "must be a set of names"),
    ("a dict", {"b_hh": 1, "b_ih": 2, "W_hh": 3}, "without colons, got a dict"),
    ("dots", ..., "has no value yet"),
]
RIGHT[checks.check_wrong_gradients] = [
    ("a list", ["b_hh", "b_ih", "W_hh"]),
    ("a tuple, one twice", ("b_hh", "b_ih", "W_hh", "W_hh")),
    ("blanks", {" W_hh", "b_ih ", "b_hh"}),
]


def whole(
    *,
    first: Any = lambda dh_n: dh_n,
    join: Any = lambda own, later, dh_n: own + later,
    slope: Any = lambda h, prev: 1 - h * h,
    through: Any = lambda da, dh, p: da @ p.W_hh,
    x_of: Any = lambda x, h, t: x[t - 1],
    h_of: Any = lambda x, h, t: h[t - 1],
    own: Any = lambda dout, t: dout[t - 1],
    steps: Any = lambda T: range(T, 0, -1),
    add: Any = lambda grads, new, t: tree_map(np.add, grads, new),
    give: Any = lambda dx, dh0, grads: (dx, dh0, grads),
) -> Any:
    """A whole backward pass, with parts that may be wrong."""

    def mended_backward(params: Any, x: Any, h: Any, dout: Any, dh_n: Any) -> Any:
        grads, dx, dh = tree_map(np.zeros_like, params), np.empty_like(x), first(dh_n)
        for t in steps(len(x)):
            total = join(own(dout, t), dh, dh_n)
            da = total * slope(h[t], h[t - 1])
            db = da.sum(axis=0)
            new = Recurrent(da.T @ x_of(x, h, t), da.T @ h_of(x, h, t), db, db)
            grads = add(grads, new, t)
            dx[t - 1] = da @ params.W_ih
            dh = through(da, total, params)
        return give(dx, dh, grads)

    return mended_backward


def faulty(params: Any, x: Any, h: Any, dout: Any, dh_n: Any) -> Any:
    """What the question gives."""
    dW_ih, dW_hh = np.zeros_like(params.W_ih), np.zeros_like(params.W_hh)
    db, dx = np.zeros_like(params.b_ih), np.empty_like(x)
    dh = dh_n
    for t in range(len(x), 0, -1):
        dh += dout[t - 1]
        da = dh * (1 - h[t] ** 2)
        dW_ih += da.T @ x[t - 1]
        dW_hh += da.T @ h[t]
        db = da.sum(axis=0)
        dx[t - 1] = da @ params.W_ih
        dh = da @ params.W_hh
    return dx, dh, Recurrent(dW_ih, dW_hh, db, db.copy())


def still_in_place(params: Any, x: Any, h: Any, dout: Any, dh_n: Any) -> Any:
    dh_n += dout[-1]
    dout = np.concatenate([dout[:-1], 0 * dout[-1:]])
    return whole()(params, x, h, dout, dh_n)


def writes_dout(params: Any, x: Any, h: Any, dout: Any, dh_n: Any) -> Any:
    result = whole()(params, x, h, dout, dh_n)
    dout[-1] += dh_n
    return result


def one_place(*names: str) -> Any:
    """Replace some of the gradients instead of adding to them."""

    def add(grads: Any, new: Any, t: int) -> Any:
        summed = tree_map(np.add, grads, new)
        return summed._replace(**{name: getattr(new, name) for name in names})

    return add


def divided(by: Any) -> Any:
    def mended_backward(params: Any, x: Any, h: Any, dout: Any, dh_n: Any) -> Any:
        dx, dh0, grads = whole()(params, x, h, dout, dh_n)
        return dx, dh0, tree_map(lambda g: g / by(*x.shape[:2]), grads)

    return mended_backward


def turned(name: str) -> Any:
    return lambda dx, dh0, g: (dx, dh0, g._replace(**{name: getattr(g, name).T}))


def with_dh0(wrong: Any) -> Any:
    """All is right but dh0, which is made of dx_1, dh_1, the parameters and dh_n."""

    def mended_backward(params: Any, x: Any, h: Any, dout: Any, dh_n: Any) -> Any:
        dx, _, grads = whole()(params, x, h, dout, dh_n)
        dh1 = dout[0] + (whole()(params, x[1:], h[1:], dout[1:], dh_n)[1] if len(x) > 1 else dh_n)
        return dx, wrong(dx[0], dh1, params, dh_n), grads

    return mended_backward


ZERO_LATER = lambda da, dh, p: 0 * da  # noqa: E731
WRONG[checks.check_mended_backward] = [
    ("as given", faulty, "changed its argument dh_n"),
    ("dh_n changed", still_in_place, "changed its argument dh_n"),
    ("dout changed", writes_dout, "changed its argument dout"),
    ("h[t]", whole(h_of=lambda x, h, t: h[t]), r"grads.W_hh.*step has read h_\{t-1\}"),
    ("h[t - 2]", whole(h_of=lambda x, h, t: h[t - 2]), r"grads.W_hh\[.*sum over the steps"),
    ("biases replaced", whole(add=one_place("b_ih", "b_hh")), r"b_ih.*copy of step 1.*\+="),
    ("one bias replaced", whole(add=one_place("b_hh")), "b_hh.*only the copy of step 1"),
    ("all replaced", whole(add=lambda g, new, t: new), "W_ih.*only the copy of step 1"),
    ("W_hh replaced", whole(add=one_place("W_hh")), "W_hh.*only the copy of step 1"),
    ("only the last copy", whole(add=lambda g, new, t: g if np.any(g[2]) else new),
     "only the copy of the last"),
    ("no b_hh", whole(give=lambda dx, dh0, g: (dx, dh0, g._replace(b_hh=0 * g.b_hh))),
     "b_hh.*both biases enter"),
    ("biases together", whole(give=lambda dx, dh0, g: (dx, dh0, g._replace(b_ih=2 * g.b_ih))),
     "b_ih.*each has it once"),
    ("no second path", whole(through=ZERO_LATER), "without the second path"),
    ("second path of dh", whole(through=lambda da, dh, p: dh @ p.W_hh), "dh and not da goes"),
    ("W_hh turned", whole(through=lambda da, dh, p: da @ p.W_hh.T), "W_hh transposed"),
    ("no W_hh", whole(through=lambda da, dh, p: da), "da goes back without W_hh"),
    ("dh_n ignored", whole(first=np.zeros_like), "dh_n is ignored"),
    ("dh_n always", whole(join=lambda own, later, n: own + later + (n if later is not n else 0)),
     "dh_n is added at every step"),
    ("dh_n twice", whole(first=lambda n: 2 * n), r"dx\[.*dx_t is da_t @ W_ih"),
    ("dout ignored", whole(join=lambda own, later, n: later), "dout is ignored|replaces dout"),
    ("dout halved", whole(join=lambda own, later, n: own / 2 + later), r"dx\[.*dx_t is"),
    ("dout from the wrong end", whole(own=lambda dout, t: dout[len(dout) - t]), "its wrong end"),
    ("dout one late", whole(own=lambda dout, t: dout[t] if t < len(dout) else 0 * dout[0]),
     "taken one step too late"),
    ("dout of the last step at all", whole(own=lambda dout, t: dout[-1]), r"dx\[.*dx_t is"),
    ("slope 1 - h", whole(slope=lambda h, prev: 1 - h), "slope 1 - h;"),
    ("slope before", whole(slope=lambda h, prev: 1 - prev * prev), "of the state before the step"),
    ("no slope", whole(slope=lambda h, prev: 1.0), "without the slope"),
    ("slope of tanh h", whole(slope=lambda h, prev: 1 - np.tanh(h) ** 2), "through tanh already"),
    ("forwards", whole(steps=lambda T: range(1, T + 1)), r"dx\["),
    ("first step left out", whole(steps=lambda T: range(T, 1, -1)), r"dx\[|dx holds|dh0"),
    ("dW_hh turned", whole(give=turned("W_hh")), "W_hh.*the right gradient, transposed"),
    ("dW_ih turned", whole(give=turned("W_ih")), "W_ih.*the right gradient, transposed"),
    ("x one off", whole(x_of=lambda x, h, t: x[t - 2]), r"grads.W_ih\["),
    ("dx reversed", whole(give=lambda dx, dh0, g: (dx[::-1], dh0, g)), "wrong order of time"),
    ("W_hh with x", whole(h_of=lambda x, h, t: x[t - 1]), r"W_hh has multiplied h_\{t-1\}"),
    ("W_ih with h", whole(x_of=lambda x, h, t: h[t - 1]), "W_ih has multiplied x_t"),
    ("dh0 is dh1", with_dh0(lambda dx, dh1, p, n: dh1), "dh of the first step"),
    ("dh0 is da1", with_dh0(lambda dx, dh1, p, n: dx @ np.linalg.pinv(p.W_ih)), "da of the first"),
    ("dh0 is dh_n", with_dh0(lambda dx, dh1, p, n: n), "not the initial one"),
    ("dh0 through W_ih", with_dh0(lambda dx, dh1, p, n: dx), "the state came in through W_hh"),
    ("mean over the batch", divided(lambda T, B: B), "mean over the batch; the"),
    ("mean over the steps", divided(lambda T, B: T), "mean over the steps; the"),
    ("mean over all", divided(lambda T, B: T * B), "mean over the batch and the steps"),
    ("no dh0", whole(give=lambda dx, dh0, g: (dx, g)), "returned 2 things"),
    ("batch first", whole(give=lambda dx, dh0, g: (dx.transpose(1, 0, 2), dh0, g)),
     r"dx must have shape \(T=5, B=4, D=4\)"),
    ("three gradients", whole(give=lambda dx, dh0, g: (dx, dh0, g[:3])), "must be Recurrent"),
    ("stops", stops, "stopped with IndexError"),
    ("dots", dots, "mended_backward returned Ellipsis"),
]  # fmt: skip


def by_products(params: Any, x: Any, h: Any, dout: Any, dh_n: Any) -> Any:
    T, B, D = x.shape
    da, dh = np.empty_like(dout), dh_n.copy()
    for t in range(T - 1, -1, -1):
        dh += dout[t]
        da[t] = dh - dh * h[t + 1] ** 2
        dh = da[t] @ params.W_hh
    flat = da.reshape(T * B, -1)
    db = flat.sum(axis=0)
    dW_ih, dW_hh = flat.T @ x.reshape(T * B, D), flat.T @ h[:-1].reshape(T * B, -1)
    return (flat @ params.W_ih).reshape(T, B, D), dh, Recurrent(dW_ih, dW_hh, db, db)


def recursion(params: Any, x: Any, h: Any, dout: Any, dh_n: Any) -> Any:
    dx_t, dh, last = step()(params, x[-1], h[-2], h[-1], dout[-1] + dh_n)
    if len(x) == 1:
        return dx_t[None], dh, last
    dx, dh0, grads = recursion(params, x[:-1], h[:-1], dout[:-1], dh)
    return np.concatenate([dx, dx_t[None]]), dh0, tree_map(np.add, grads, last)


def package_whole(params: Any, x: Any, h: Any, dout: Any, dh_n: Any) -> Any:
    return rnn_backward(rnn_forward(params, x, h[0])[2], dout, dh_n)


def sum_of_terms(params: Any, x: Any, h: Any, dout: Any, dh_n: Any) -> Any:
    """Every loss by itself, as the long sum of the chapter."""
    T = len(x)
    total: Any = None
    for t in range(1, T + 1):
        alone = np.zeros_like(dout[:t])
        alone[-1] = dout[t - 1] + (dh_n if t == T else 0)
        dx, dh0, grads = by_products(params, x[:t], h[: t + 1], alone, 0 * dh_n)
        dx = np.concatenate([dx, np.zeros_like(x[t:])])
        new = (dx, dh0, grads)
        total = new if total is None else tree_map(np.add, total, new)
    return total


RIGHT[checks.check_mended_backward] = [
    ("one product for all", by_products),
    ("recursion", recursion),
    ("the package's own", package_whole),
    ("loss by loss", sum_of_terms),
    ("a loop", whole()),
    ("lists", whole(give=lambda dx, dh0, g: [dx.tolist(), dh0.tolist(), list(g)])),
]

# --- 4. Windows. ---

WRONG[checks.check_kept_share] = [
    ("the rest", 192 / 257, "share that is lost"),
    ("k / T", 0.25, "the copy of its own step"),
    ("without the own step", 63 / 255, "the copy of its own step"),
    ("one window", 65 / 257 / 4, "T / k"),
    ("squares", 1 / 16, "one window"),
    ("k steps back", (64 * 256 - 32 * 63) / (128 * 257), "early in its window"),
    ("twice", 128 / 257, "only if it is the last"),
    ("percent", 25.3, "between 0 and 1"),
    ("terms", 8320, "not what the measurement says"),
    ("a half", 0.5, "not what the measurement says"),
    ("zero", 0.0, "not what the measurement says"),
    ("text", "a quarter", "must be a number"),
    ("dots", ..., "has no value yet"),
]
RIGHT[checks.check_kept_share] = [
    ("a fraction", Fraction(65, 257)),
    ("three digits", 0.253),
    ("counted", sum(range(65)) * 4 / sum(range(257))),
    ("an array", np.array([0.2529])),
]


def cut(
    *,
    start: Any = lambda h0: h0,
    carry: Any = lambda h, h0, out: h,
    edges: Any = lambda T, k: range(0, T, k),
    width: Any = lambda k: k,
    part: Any = lambda dout, i, k: dout[i : i + k],
    add: Any = lambda each: tree_map(lambda *g: sum(g), *each),
    give: Any = lambda grads, h, h0: (grads, h),
) -> Any:
    """Truncated BPTT, with parts that may be wrong."""

    def windowed_gradient(params: Any, x: Any, h0: Any, dout: Any, k: int) -> Any:
        h, last, each = start(h0), h0, []
        for i in edges(len(x), k):
            out, last, cache = rnn_forward(params, x[i : i + width(k)], h)
            each.append(rnn_backward(cache, part(dout, i, width(k)))[2])
            h = carry(last, h0, out)
        return give(add(each), last, h0)

    return windowed_gradient


def only_last_loss(dout: Any, i: int, k: int) -> Any:
    part = np.zeros_like(dout[i : i + k])
    part[-1] = dout[i : i + k][-1]
    return part


def first_is_short(params: Any, x: Any, h0: Any, dout: Any, k: int) -> Any:
    edges = [0, *range(len(x) % k or k, len(x), k)]
    h, each = h0, []
    for i, j in zip(edges, [*edges[1:], len(x)]):
        _, h, cache_ = rnn_forward(params, x[i:j], h)
        each.append(rnn_backward(cache_, dout[i:j])[2])
    return tree_map(lambda *g: sum(g), *each), h


def not_cut(params: Any, x: Any, h0: Any, dout: Any, k: int) -> Any:
    _, h, cache_ = rnn_forward(params, x, h0)
    return rnn_backward(cache_, dout)[2], h


def writes_h0(params: Any, x: Any, h0: Any, dout: Any, k: int) -> Any:
    result = cut()(params, x, h0, dout, k)
    h0[:] = result[1]
    return result


def with_dh_n(params: Any, x: Any, h0: Any, dout: Any, k: int) -> Any:
    """Hand each window's dh0 to the window after it."""
    h, dh, each = h0, np.zeros_like(h0), []
    for i in range(0, len(x), k):
        _, h, cache_ = rnn_forward(params, x[i : i + k], h)
        _, dh, grads = rnn_backward(cache_, dout[i : i + k], dh)
        each.append(grads)
    return tree_map(lambda *g: sum(g), *each), h


def mean_of(each: Any) -> Any:
    return tree_map(lambda *g: sum(g) / len(g), *each)


WRONG[checks.check_windowed_gradient] = [
    ("not cut", not_cut, "the full gradient: the windows are to cut"),
    ("starts from zero", cut(carry=lambda h, h0, out: 0 * h), "starts from zero: carry"),
    ("starts from h0", cut(carry=lambda h, h0, out: h0), "starts from h0: carry"),
    ("h0 ignored", cut(start=np.zeros_like), "h0 is ignored"),
    ("always from zero", cut(start=np.zeros_like, carry=lambda h, h0, out: 0 * h),
     "starts from zero: carry"),
    ("carries the first state", cut(carry=lambda h, h0, out: out[0]), r"h_n\[.*Hand the last"),
    ("last window only", cut(add=lambda each: each[-1]), "last window alone"),
    ("first window only", cut(add=lambda each: each[0]), "first window alone"),
    ("mean", cut(add=mean_of), "mean over the windows"),
    ("rest left out", cut(edges=lambda T, k: range(0, max(T - k + 1, 1), k)),
     "the last window, which is shorter, is left out"),
    ("short one first", first_is_short, "first window is the short one"),
    ("the first dout again", cut(part=lambda dout, i, k: dout[: len(dout[i : i + k])]),
     "first window's dout"),
    ("last loss only", cut(part=only_last_loss), "only the last loss of each"),
    ("cut always", lambda p, x, h0, dout, k: cut()(p, x, h0, dout, 1), "cut after every step"),
    ("k + 1", lambda p, x, h0, dout, k: cut()(p, x, h0, dout, k + 1),
     r"k \+ 1 steps|the full gradient"),
    ("overlap", cut(width=lambda k: k + 1), r"h_n\[|h_n is wrong|grads"),
    ("dh0 handed on", with_dh_n, r"grads.W_ih\[.*Go through x\[:k\]"),
    ("dout squared", cut(part=lambda dout, i, k: dout[i : i + k] ** 2), r"grads.W_ih\[.*Go"),
    ("h_n is h0", cut(give=lambda g, h, h0: (g, h0)), "h_n is wrong: this is h0"),
    ("h_n is out", cut(give=lambda g, h, h0: (g, h[None])), "h_n must have shape"),
    ("W_hh turned", cut(give=lambda g, h, h0: (g._replace(W_hh=g.W_hh.T), h)), r"grads.W_hh\["),
    ("exchanged", cut(give=lambda g, h, h0: (h, g)), "grads must be Recurrent|grads.W_ih must"),
    ("no state", cut(give=lambda g, h, h0: g), "must return grads, h_n; it returned 4"),
    ("list of windows", cut(add=lambda each: [g.W_hh for g in each]), "must be Recurrent"),
    ("h0 changed", writes_h0, "changed its argument h0"),
    ("stops", stops, "stopped with IndexError"),
    ("dots", dots, "windowed_gradient returned Ellipsis"),
]  # fmt: skip


def by_truncated_bptt(params: Any, x: Any, h0: Any, dout: Any, k: int) -> Any:
    pieces = [x[i : i + k] for i in range(0, len(x), k)]
    loss = lambda n, out: (0.0, dout[n * k : n * k + len(out)])  # noqa: E731
    return truncated_bptt("rnn", params, pieces, loss, h0)[1:]


def one_pass_with_borders(params: Any, x: Any, h0: Any, dout: Any, k: int) -> Any:
    """Forward once, and on the way back nothing goes over a border."""
    h = rnn_forward(params, x, h0)[2].h
    grads, dh = tree_map(np.zeros_like, params), 0.0 * h0
    for t in range(len(x), 0, -1):
        if t % k == 0:
            dh = 0.0 * dh
        _, dh, new = step()(params, x[t - 1], h[t - 1], h[t], dout[t - 1] + dh)
        for grad, share in zip(grads, new):
            grad += share
    return grads, h[-1].copy()


def by_cache_steps(params: Any, x: Any, h0: Any, dout: Any, k: int) -> Any:
    _, h_n, whole_cache = rnn_forward(params, x, h0)
    grads = [
        rnn_backward(whole_cache.steps(i, min(i + k, len(x))), dout[i : i + k])[2]
        for i in range(0, len(x), k)
    ]
    return [sum(parts) for parts in zip(*grads)], h_n


RIGHT[checks.check_windowed_gradient] = [
    ("truncated_bptt", by_truncated_bptt),
    ("one pass with borders", one_pass_with_borders),
    ("parts of one cache", by_cache_steps),
    ("a loop", cut()),
]

# --- 5. Sampling. ---


def soft(z: Any, axis: int = 1) -> Any:
    e = np.exp(z - z.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def keep(z: Any, k: Any, fill: float = -np.inf) -> Any:
    return z if k is None else np.where(z >= np.sort(z, axis=1)[:, -k, None], z, fill)


def greedy_or(answer: Any) -> Any:
    """An answer that is right at temperature 0, and elsewhere what is given."""

    def next_probabilities(logits: Any, temperature: float, top_k: Any) -> Any:
        if temperature == 0:
            return np.eye(logits.shape[1])[logits.argmax(axis=1)]
        return answer(logits, temperature, top_k)

    return next_probabilities


def of_p(z: Any, t: float, k: Any) -> Any:
    p = soft(z) ** t
    p = p if k is None else np.where(z >= np.sort(z, axis=1)[:, -k, None], p, 0)
    return p / p.sum(axis=1, keepdims=True)


def cut_in_place(logits: Any, temperature: float, top_k: Any) -> Any:
    if top_k is not None:
        logits[logits < np.sort(logits, axis=1)[:, -top_k, None]] = -np.inf
    return soft(logits / (temperature or 1e-6))


def sorted_p(z: Any, t: float, k: Any) -> Any:
    return -np.sort(-soft(keep(z / t, k)), axis=1)


WRONG[checks.check_next_probabilities] = [
    ("no temperature", greedy_or(lambda z, t, k: soft(keep(z, k))), "the temperature is ignored"),
    ("nothing", greedy_or(lambda z, t, k: soft(z)), "temperature is ignored"),
    ("multiplied", greedy_or(lambda z, t, k: soft(keep(z * t, k))), "are multiplied by"),
    ("power", greedy_or(of_p), "are multiplied by|to the power of the temp"),
    ("twice", greedy_or(lambda z, t, k: soft(keep(z / t / t, k))), "divides twice"),
    ("p divided", greedy_or(lambda z, t, k: soft(keep(z, k)) / t), "p divided by the temperature"),
    ("no softmax", greedy_or(lambda z, t, k: z / t), "no softmax yet"),
    ("over the batch", greedy_or(lambda z, t, k: soft(z / t, 0)), "over the batch"),
    ("no top_k", greedy_or(lambda z, t, k: soft(z / t)), "top_k were ignored"),
    ("not scaled again", greedy_or(lambda z, t, k: np.where(np.isinf(keep(z, k)), 0, soft(z / t))),
     "do not add up to 1"),
    ("logit 0", greedy_or(lambda z, t, k: soft(np.where(np.isinf(keep(z, k)), 0, z / t))),
     "take -inf"),
    ("one too many",
     greedy_or(lambda z, t, k: soft(keep(z / t, k and min(k + 1, z.shape[1])))),
     "one symbol too many"),
    ("one too few", greedy_or(lambda z, t, k: soft(keep(z / t, k and max(k - 1, 1)))),
     "one symbol too few"),
    ("k least", greedy_or(lambda z, t, k: soft(
        z / t if k is None else np.where(z <= np.sort(z, axis=1)[:, k - 1, None], z / t, -np.inf))),
     "least likely"),
    ("k of all", greedy_or(lambda z, t, k: soft(
        z / t if k is None else np.where(z >= np.sort(z, axis=None)[-k], z / t, -1e300))),
     "temperature 1 and top_k 3"),
    ("sorted", greedy_or(sorted_p), "p sorted|temperature 0.5"),
    ("logarithms", greedy_or(lambda z, t, k: np.log(soft(z / t))), "temperature 0.5.*should"),
    ("no greedy", lambda z, t, k: soft(keep(z / (t or 1.0), k)), "temperature 0 is read as 1; it"),
    ("greedy is uniform", lambda z, t, k: soft(keep(z / t, k)) if t else 0 * z + 1 / z.shape[1],
     "temperature 0 leaves all"),
    ("division by 0", lambda z, t, k: soft(keep(z / t, k)), "holds nan"),
    ("greedy ids", lambda z, t, k: soft(keep(z / t, k)) if t else z.argmax(axis=1),
     r"must have shape \(B=2, V=5\)"),
    ("greedy of the batch", lambda z, t, k: soft(keep(z / t, k)) if t else 1.0 * (z == z.max()),
     "temperature 0 and top_k None"),
    ("overflow", greedy_or(lambda z, t, k: np.exp(keep(z / t, k))
                           / np.exp(keep(z / t, k)).sum(axis=1, keepdims=True)), "holds nan"),
    ("largest of the batch", greedy_or(
        lambda z, t, k: np.exp(keep(z / t, k) - z.max() / t)
        / np.exp(keep(z / t, k) - z.max() / t).sum(axis=1, keepdims=True)), "holds nan"),
    ("logits changed", cut_in_place, "changed its argument logits"),
    ("float32", greedy_or(lambda z, t, k: soft(keep(z / t, k)).astype(np.float32)), "few digits"),
    ("rounded", greedy_or(lambda z, t, k: soft(keep(z / t, k)).round(7)), "few digits"),
    ("a small constant", greedy_or(lambda z, t, k: soft(keep(z / t, k)) + 1e-8), "small constants"),
    ("only the kept", lambda z, t, k: soft(np.sort(z, axis=1)[:, -(k or 9) :] / (t or 1e-9)),
     "must have shape|temperature 0.5"),
    ("one row", lambda z, t, k: soft(keep(z / (t or 1e-9), k))[0], r"must have shape \(B=4"),
    ("stops", stops, "stopped with IndexError"),
    ("dots", dots, "next_probabilities returned Ellipsis"),
]  # fmt: skip


def by_argsort(logits: Any, temperature: float, top_k: Any) -> Any:
    p = []
    for row in logits:
        best = np.argsort(-row)[: 1 if temperature == 0 else top_k]
        e = np.exp((row[best] - row[best[0]]) / (temperature or 1))
        p.append(np.zeros(len(row)))
        p[-1][best] = e / e.sum()
    return p


def by_log(logits: Any, temperature: float, top_k: Any) -> Any:
    z = keep(logits, 1 if temperature == 0 else top_k)
    z = z if temperature == 0 else z / temperature
    return np.exp(z - np.logaddexp.reduce(z, axis=1, keepdims=True))


def with_partition(logits: Any, temperature: float, top_k: Any) -> Any:
    V = logits.shape[1]
    k = V if top_k is None else top_k
    z = logits.copy()
    others = np.argpartition(z, V - k, axis=1)[:, : V - k]
    np.put_along_axis(z, others, -np.inf, axis=1)
    return soft(z / max(temperature, 1e-9))


RIGHT[checks.check_next_probabilities] = [
    ("argsort, row by row", by_argsort),
    ("logarithms", by_log),
    ("partition, and nearly 0", with_partition),
    ("on a copy", lambda z, t, k: cut_in_place(z.copy(), t, k)),
]


def sums(p: Any) -> Any:
    return np.cumsum(p, axis=1) / p.sum(axis=1, keepdims=True)


def global_state(p: Any, rng: Any) -> Any:
    return (sums(p) > np.random.random((len(p), 1))).argmax(axis=1)  # noqa: NPY002


def own_rng(p: Any, rng: Any) -> Any:
    return by_sums(p, np.random.default_rng(3))


def by_sums(p: Any, rng: Any) -> Any:
    return (sums(p) > rng.random((len(p), 1))).argmax(axis=1)


def p_changed(p: Any, rng: Any) -> Any:
    p /= 2
    return by_sums(2 * p, rng)


WRONG[checks.check_draw] = [
    ("greedy", lambda p, rng: p.argmax(axis=1), "most likely symbol: draw"),
    ("one draw for all", lambda p, rng: (sums(p) > rng.random()).argmax(axis=1),
     "a draw of its own"),
    ("first row for all", lambda p, rng: rng.choice(5 if p.shape[1] == 5 else 4, len(p), p=p[0]),
     "where its probability is 0"),
    ("uniform", lambda p, rng: rng.integers(p.shape[1], size=len(p)), "its probability is 0"),
    ("uniform where possible", lambda p, rng: by_sums((p > 0) / (p > 0).sum(1)[:, None], rng),
     "drawn alike"),
    ("squared", lambda p, rng: by_sums(p**2 / (p**2).sum(1)[:, None], rng), "running sums"),
    ("roots", lambda p, rng: by_sums(p**0.5, rng), "running sums"),
    ("one too high", lambda p, rng: (sums(p) < rng.random((len(p), 1))).sum(axis=1) + 1,
     "they run from 0 to 4"),
    ("one too low", lambda p, rng: by_sums(p, rng) - 1, "drawn symbol is -1"),
    ("p as running sums", lambda p, rng: (p > rng.random((len(p), 1))).argmax(axis=1),
     "probability is 0|running sums"),
    ("noise on p", lambda p, rng: (p + rng.random(p.shape) * (p > 0)).argmax(axis=1), "symbol"),
    ("p times uniform", lambda p, rng: (p * rng.random(p.shape)).argmax(axis=1), "symbol"),
    ("Gumbel on p", lambda p, rng: (p + rng.gumbel(size=p.shape)).argmax(axis=1), "symbol"),
    ("sums down the batch",
     lambda p, rng: (np.cumsum(p, axis=0) > rng.random((len(p), 1))).argmax(1),
     "symbol|most likely|got the same"),
    ("the smaller last", lambda p, rng: by_sums(p[:, ::-1], rng), "probability is 0|running"),
    ("own rng", own_rng, "gave the same draws twice"),
    ("global", global_state, "use rng, and no other"),
    ("one symbol", lambda p, rng: by_sums(p, rng)[0], "one symbol for each row"),
    ("a column", lambda p, rng: by_sums(p, rng)[:, None], r"must have shape \(3000,\)"),
    ("one-hot", lambda p, rng: np.eye(p.shape[1])[by_sums(p, rng)], r"must have shape \(3000,\)"),
    ("the probabilities drawn", lambda p, rng: p[np.arange(len(p)), by_sums(p, rng)],
     "whole numbers"),
    ("p changed", p_changed, "changed its argument p"),
    ("stops", stops, "stopped with IndexError"),
    ("dots", dots, "draw returned Ellipsis"),
]  # fmt: skip
RIGHT[checks.check_draw] = [
    ("choice, row by row", lambda p, rng: [int(rng.choice(len(row), p=row)) for row in p]),
    ("Gumbel", lambda p, rng: (
        np.log(np.maximum(p, 1e-300)) + rng.gumbel(size=p.shape)).argmax(axis=1)),
    ("exponential race", lambda p, rng: (
        rng.exponential(size=p.shape) / np.maximum(p, 1e-300)).argmin(axis=1)),
    ("multinomial", lambda p, rng: rng.multinomial(1, p / p.sum(1, keepdims=True)).argmax(axis=1)),
    ("sums", by_sums),
    ("searchsorted", lambda p, rng: np.array(
        [np.searchsorted(s, u, side="right") for s, u in zip(sums(p), rng.random(len(p)))])),
    ("floats", lambda p, rng: by_sums(p, rng) * 1.0),
]  # fmt: skip

# --- 6. Checkpoints. ---

WRONG[checks.check_best_k] = [
    ("all", 1, r"4096 \+ 1 = 4097 states.*most are saved"),
    ("nothing", 4096, r"1 \+ 4096 = 4097.*one window"),
    ("states", 128, "number of states, not the distance"),
    ("a little less", 63, r"66 \+ 63 = 129"),
    ("a little more", 65, r"64 \+ 65 = 129"),
    ("logarithm", 12, "most are saved"),
    ("half", 2048, "one window"),
    ("root rounded up", 90, "46 .* 136"),
    ("zero", 0, "from 1 on"),
    ("negative", -64, "from 1 on"),
    ("not whole", 64.5, "whole number"),
    ("text", "64", "must be a number"),
    ("dots", ..., "has no value yet"),
]
RIGHT[checks.check_best_k] = [
    ("a root", math.sqrt(4096)),
    ("searched", min(range(1, 4097), key=lambda k: -(-4096 // k) + k)),
    ("NumPy's", np.int32(64)),
]


def resumed(
    *,
    carry: Any = lambda dh, dh_n: dh,
    start: Any = lambda saved, i: saved[i],
    order: Any = lambda n: range(n - 1, -1, -1),
    first: Any = lambda dh_n: dh_n,
    part: Any = lambda dout, now: dout[now],
    add: Any = lambda each: tree_map(lambda *g: sum(g), *each),
    place: Any = lambda dx: dx,
    give: Any = lambda dx, dh, grads: (dx, dh, grads),
) -> Any:
    """Checkpointing, with parts that may be wrong."""

    def checkpoint_backward(params: Any, x: Any, saved: Any, k: int, dout: Any, dh_n: Any) -> Any:
        dh, each, dx = first(dh_n), [], {}
        for i in order(len(saved)):
            now = slice(i * k, (i + 1) * k)
            back = rnn_backward(
                rnn_forward(params, x[now], start(saved, i))[2], part(dout, now), dh
            )
            dx[i], dh = back[0], carry(back[1], dh_n)
            each.append(back[2])
        parts = [dx[i] for i in sorted(dx)]
        return give(np.concatenate(place(parts)), back[1], add(each))

    return checkpoint_backward


def at_once(params: Any, x: Any, saved: Any, k: int, dout: Any, dh_n: Any) -> Any:
    return rnn_backward(rnn_forward(params, x, saved[0])[2], dout, dh_n)


def changes_dx(params: Any, x: Any, saved: Any, k: int, dout: Any, dh_n: Any) -> Any:
    dx, dh, grads = resumed()(params, x, saved, k, dout, dh_n)
    x[:] = dx
    return x, dh, grads


def writes_saved(params: Any, x: Any, saved: Any, k: int, dout: Any, dh_n: Any) -> Any:
    result = resumed()(params, x, saved, k, dout, dh_n)
    saved[0] = 0.0
    return result


def by_linspace(params: Any, x: Any, saved: Any, k: int, dout: Any, dh_n: Any) -> Any:
    """Windows of equal length, not of k steps."""
    k = -(-len(x) // len(saved))
    return resumed()(params, x, saved, k, dout, dh_n)


WRONG[checks.check_checkpoint_backward] = [
    ("cut", resumed(carry=lambda dh, n: 0 * dh), "the gradient stops at each border"),
    ("at once", at_once, r"run on from saved\[0\]"),
    ("dh_n ignored", resumed(first=np.zeros_like), "dh_n is ignored"),
    ("dh_n for all", resumed(carry=lambda dh, n: n), "every window gets dh_n from outside"),
    ("dh_n again", resumed(carry=lambda dh, n: dh + n), "added again at each border"),
    ("from zero", resumed(start=lambda s, i: 0 * s[i]), "every window starts from zero"),
    ("from saved[0]", resumed(start=lambda s, i: s[0]), r"every window starts from saved\[0\]"),
    ("saved from the end", resumed(start=lambda s, i: s[len(s) - 1 - i]), "from the wrong end"),
    ("saved one off", resumed(start=lambda s, i: s[i - 1]), "dx|wrong end"),
    ("forwards", resumed(order=range), "first window is done first"),
    ("dout ignored", resumed(part=lambda d, now: 0 * d[now]), "dout is ignored"),
    ("first dout", resumed(part=lambda d, now: d[: len(d[now])]), r"dx\[.*Start with the last"),
    ("dx backwards", resumed(place=lambda parts: parts[::-1]), "windows in the wrong order"),
    ("dx reversed", resumed(give=lambda dx, dh, g: (dx[::-1], dh, g)), r"dx\[|dx is wrong"),
    ("first window's grads", resumed(add=lambda each: each[-1]), "gradient of the first window"),
    ("last window's grads", resumed(add=lambda each: each[0]), "gradient of the last window"),
    ("mean", resumed(add=mean_of), "mean over the windows"),
    ("dh0 is dh_n", resumed(give=lambda dx, dh, g: (dx, 0 * dh, g)), r"dh0\[.*Start with"),
    ("no dh0", resumed(give=lambda dx, dh, g: (dx, g)), "returned 2 things"),
    ("list of dx", resumed(give=lambda dx, dh, g: ([dx[:1], dx[1:]], dh, g)), "dx must"),
    ("dx of the first", resumed(place=lambda parts: parts[:1]), r"dx must have shape \(T=4"),
    ("grads listed", resumed(add=lambda each: each), "must be Recurrent|grads.W_ih must"),
    ("x changed", changes_dx, "changed its argument x"),
    ("saved changed", writes_saved, "changed its argument saved"),
    ("stops", stops, "stopped with IndexError"),
    ("dots", dots, "checkpoint_backward returned Ellipsis"),
]  # fmt: skip


def all_states_first(params: Any, x: Any, saved: Any, k: int, dout: Any, dh_n: Any) -> Any:
    """Compute all states again, and walk back step by step."""
    T, dh = len(x), dh_n
    before: list[Any] = []
    after: list[Any] = []
    for t in range(T):
        before.append(saved[t // k] if t % k == 0 else after[-1])
        after.append(rnn_forward(params, x[t : t + 1], before[-1])[1])
    dx, grads = np.empty_like(x), tree_map(np.zeros_like, params)
    for t in reversed(range(T)):
        args = (params, x[t], before[t], after[t], dh + dout[t])
        dx[t], dh, new = step_einsum(*args)
        for grad, share in zip(grads, new):
            grad += share
    return dx, dh, grads


def from_the_last(params: Any, x: Any, saved: Any, k: int, dout: Any, dh_n: Any) -> Any:
    """Recursion: the last window, then the same for the rest."""
    i = (len(saved) - 1) * k
    last = rnn_backward(rnn_forward(params, x[i:], saved[-1])[2], dout[i:], dh_n)
    if i == 0:
        return last
    dx, dh0, grads = from_the_last(params, x[:i], saved[:-1], k, dout[:i], last[1])
    return np.concatenate([dx, last[0]]), dh0, tree_map(np.add, grads, last[2])


def dh_in_dout(params: Any, x: Any, saved: Any, k: int, dout: Any, dh_n: Any) -> Any:
    """What comes back is added to the dout of the step before."""
    dout, edges = dout.copy(), range(0, len(x), k)
    dout[-1] += dh_n
    dx, total = np.empty_like(x), tree_map(np.zeros_like, params)
    for i in reversed(edges):
        cache_ = rnn_forward(params, x[i : i + k], saved[i // k])[2]
        dx[i : i + k], dh, grads = rnn_backward(cache_, dout[i : i + k])
        if i:
            dout[i - 1] += dh
        total = tree_map(np.add, total, grads)
    return dx, dh, total


RIGHT[checks.check_checkpoint_backward] = [
    ("step by step", all_states_first),
    ("recursion", from_the_last),
    ("through dout", dh_in_dout),
    ("lists", resumed(give=lambda dx, dh, g: [dx.tolist(), dh.tolist(), [p.tolist() for p in g]])),
]

# --- 7. Forward in time. ---

WRONG[checks.check_break_even] = [
    ("H", 128, "H for each weight"),
    ("H cubed", 128**3, "size of ∂h"),
    ("one more", 16385, "equal is asked"),
    ("one less", 16383, "leave h0 out"),
    ("over the batch", 512, "the batch cancels"),
    ("H cubed over the batch", 65536, "the batch cancels"),
    ("times the batch", 128**2 * 32, "the batch cancels"),
    ("two H", 256, "H numbers for each"),
    ("operations", 128**4, "of the operations"),
    ("the chapter's text", 134_000, "Set T B H equal"),
    ("zero", 0, "Set T B H equal"),
    ("text", "H**2", "must be a number"),
    ("dots", ..., "has no value yet"),
]
RIGHT[checks.check_break_even] = [
    ("a power", 128**2),
    ("a float", 16384.0),
    ("an array", np.array(2**14)),
]


def forward_mode(
    *,
    carry: Any = lambda W, J, h: np.einsum("il,bljk->bijk", W, J),
    read: Any = lambda prev, h: prev,
    slope: Any = lambda h: 1 - h * h,
    joined: Any = lambda direct, later, s: s * (direct + later),
    start: Any = lambda h0: h0,
    share: Any = lambda dout, J, t: np.einsum("bi,bijk->jk", dout[t], J),
    give: Any = lambda shares: np.cumsum(shares, axis=0),
) -> Any:
    """Real-time recurrent learning, with parts that may be wrong."""

    def rtrl(params: Any, x: Any, h0: Any, dout: Any) -> Any:
        W_ih, W_hh, b_ih, b_hh = params
        (B, H), h = h0.shape, start(h0)
        J, shares = np.zeros((B, H, H, H)), []
        for t, x_t in enumerate(x):
            prev, h = h, np.tanh(x_t @ W_ih.T + b_ih + h @ W_hh.T + b_hh)
            direct = np.einsum("ij,bk->bijk", np.eye(H), read(prev, h))
            J = joined(direct, carry(W_hh, J, h), slope(h)[:, :, None, None])
            shares.append(share(dout, J, t))
        return give(np.stack(shares))

    return rtrl


def one_array(params: Any, x: Any, h0: Any, dout: Any) -> Any:
    """Store the same array again and again."""
    alone = forward_mode(give=lambda s: s)(params, x, h0, dout)
    total, rows = np.zeros_like(alone[0]), []
    for share in alone:
        total += share
        rows.append(total)
    return np.stack(rows)


def dout_changed(params: Any, x: Any, h0: Any, dout: Any) -> Any:
    dout /= 3
    return forward_mode()(params, x, h0, 3 * dout)


WRONG[checks.check_rtrl] = [
    ("alone", forward_mode(give=lambda s: s), "L_t alone"),
    ("the end", forward_mode(give=lambda s: s.sum(axis=0)), r"must have shape \(T=4"),
    ("the end at every step", forward_mode(give=lambda s: 0 * s + s.sum(axis=0)),
     "whole gradient at every step"),
    ("one array", one_array, "whole gradient at every step"),
    ("from t on", forward_mode(give=lambda s: np.cumsum(s[::-1], axis=0)[::-1]), "from t on"),
    ("turned", forward_mode(give=lambda s: np.cumsum(s, axis=0).transpose(0, 2, 1)), "transposed"),
    ("immediate", forward_mode(carry=lambda W, J, h: 0 * J), "immediate derivative alone"),
    ("W_hh turned", forward_mode(carry=lambda W, J, h: np.einsum("li,bljk->bijk", W, J)),
     "W_hh transposed: unit i"),
    ("no W_hh", forward_mode(carry=lambda W, J, h: J), "goes through W_hh"),
    ("wrong axis", forward_mode(carry=lambda W, J, h: np.einsum("kl,bijl->bijk", W, J)),
     "Row 0 is the immediate"),
    ("W_hh of the weights' axis",
     forward_mode(carry=lambda W, J, h: np.einsum("jl,bilk->bijk", W, J)),
     "Row 0 is the immediate"),
    ("no slope", forward_mode(slope=np.ones_like), "without the slope"),
    ("slope 1 - h", forward_mode(slope=lambda h: 1 - h), "slope 1 - h;"),
    ("slope of one way", forward_mode(joined=lambda d, c, s: s * d + c), "direct way alone"),
    ("slope of the other way", forward_mode(joined=lambda d, c, s: d + s * c), "Row 0 is"),
    ("no direct way", forward_mode(joined=lambda d, c, s: s * c), "Row 0 is the immediate"),
    ("h_t", forward_mode(read=lambda prev, h: h), "with h_t in the direct way"),
    ("no h0", forward_mode(start=np.zeros_like), "h0 is ignored"),
    ("mean over the batch", forward_mode(
        share=lambda dout, J, t: np.einsum("bi,bijk->jk", dout[t], J) / len(J)), "the batch; the"),
    ("mean over the steps", forward_mode(
        give=lambda s: np.cumsum(s, axis=0) / np.arange(1, len(s) + 1)[:, None, None]),
     "mean over the steps"),
    ("dout from the end", forward_mode(
        share=lambda dout, J, t: np.einsum("bi,bijk->jk", dout[-1 - t], J)), "its wrong end"),
    ("dout summed first", forward_mode(
        share=lambda dout, J, t: np.einsum("bi,bijk->jk", dout[: t + 1].sum(axis=0), J)),
     "Row 0 is the immediate"),
    ("one too late", forward_mode(
        give=lambda s: np.cumsum(s, axis=0) - s), "one step too late"),
    ("all sequences mixed", forward_mode(
        share=lambda dout, J, t: np.einsum("bi,cijk->jk", dout[t], J)), "Row 0 is the immediate"),
    ("J itself", forward_mode(share=lambda dout, J, t: J), r"must have shape \(T=4, rows=4"),
    ("h0 among the rows", forward_mode(
        give=lambda s: np.concatenate([0 * s[:1], np.cumsum(s, axis=0)])), "must have shape"),
    ("dout changed", dout_changed, "changed its argument dout"),
    ("nan", forward_mode(slope=lambda h: np.nan * h), "holds nan"),
    ("stops", stops, "stopped with IndexError"),
    ("dots", dots, "rtrl returned Ellipsis"),
]  # fmt: skip


def by_bptt(params: Any, x: Any, h0: Any, dout: Any) -> Any:
    cache_ = rnn_forward(params, x, h0)[2]
    return [rnn_backward(cache_.steps(0, t), dout[:t])[2].W_hh for t in range(1, len(x) + 1)]


def in_loops(params: Any, x: Any, h0: Any, dout: Any) -> Any:
    """Weight by weight: how the state moves with each alone."""
    states = np.concatenate([h0[None], rnn_forward(params, x, h0)[0]])
    T, (B, H) = len(x), h0.shape
    rows = np.zeros((T, H, H))
    for j, k in itertools.product(range(H), repeat=2):
        dh, total = np.zeros((B, H)), 0.0
        for t in range(T):
            push = dh @ params.W_hh.T
            push[:, j] += states[t][:, k]
            dh = push * (1 - states[t + 1] ** 2)
            total += (dout[t] * dh).sum()
            rows[t, j, k] = total
    return rows


def flat_matrices(params: Any, x: Any, h0: Any, dout: Any) -> Any:
    """One Jacobian (H, H*H) for each sequence."""
    rows = np.zeros((len(x), *params.W_hh.shape))
    H = h0.shape[1]
    for b in range(len(h0)):
        h, J = h0[b], np.zeros((H, H * H))
        for t in range(len(x)):
            direct = np.kron(np.eye(H), h)
            h = np.tanh(params.W_ih @ x[t, b] + params.b_ih + params.W_hh @ h + params.b_hh)
            J = np.diag(1 - h * h) @ (direct + params.W_hh @ J)
            rows[t] += (dout[t, b] @ J).reshape(H, H)
    return np.cumsum(rows, axis=0)


RIGHT[checks.check_rtrl] = [
    ("BPTT from every step", by_bptt),
    ("weight by weight", in_loops),
    ("flat matrices", flat_matrices),
    ("forward mode", forward_mode()),
]

# --- The tests. ---


def case(T: int = 7, B: int = 3, D: int = 2, H: int = 5) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    params, x, h0 = init_rnn(D, H, rng=rng), rng.normal(size=(T, B, D)), rng.normal(size=(B, H))
    return {"params": params, "x": x, "h0": h0, "dout": rng.normal(size=(T, B, H))}


def test_the_checks_compare_with_the_package():
    a = case()
    _, h_n, cache_ = rnn_forward(a["params"], a["x"], a["h0"])
    expected = rnn_backward(cache_, a["dout"], h_n)
    ours = checks._back(a["params"], a["x"], cache_.h, a["dout"], h_n)
    assert relative_error(tuple(ours), expected) < 1e-14
    saved = cache_.h[:-1:3]
    again, _ = checks._resumed(a["params"], a["x"], saved, 3, a["dout"], h_n)
    assert relative_error(tuple(again), expected) < 1e-13
    grads, last, _ = checks._cut(**a, k=3)
    assert relative_error((grads, last), by_truncated_bptt(**a, k=3)) < 1e-14
    forward = checks._so_far(**a)[-1]
    assert relative_error(forward, rnn_backward(cache_, a["dout"])[2].W_hh) < 1e-13


def test_the_numbers_of_the_predictions_are_measured():
    x = np.zeros((1000, 32, 64), np.float32)
    params = init_rnn(64, 128, rng=np.random.default_rng(0), dtype=np.float32)
    cache_ = rnn_forward(params, x)[2]
    checks.check_kept_bytes(cache_.x.nbytes + cache_.h.nbytes)
    # A unit that stays at 0 counts the terms of its bias.
    one, zero, ones = np.ones((1, 1)), np.zeros(1), np.ones((256, 1, 1))
    args = (Recurrent(one, one, zero, zero), 0 * ones, 0 * one, ones)
    kept, whole_ = (cut()(*args, k)[0].b_ih[0] for k in (64, 256))
    checks.check_kept_share(kept / whole_)
    # The numbers that the solutions name.
    steps, k = 134_000, 366
    states = -(-steps // k) + k
    assert (round(math.sqrt(steps)), states, round(states * 32 * 128 * 4 / 1e6)) == (366, 733, 12)
    assert round(steps * 32 * 128 * 4 / 1e9, 1) == 2.2
    text = (ROOT / "solutions/03_bptt.ipynb").read_text(encoding="utf-8")
    for said in ("733", "12 MB", "2.2 GB", "0.253", "16{,}384"):
        assert said in text
