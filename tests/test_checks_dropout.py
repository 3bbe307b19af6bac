"""The checks of the exercises of chapter 7 refuse wrong answers, each for its own reason.

They accept right ones, however unusual. A row of a table of wrong answers holds the mistake, the
answer, and the part of the message that tells the learner of this mistake.
"""

import math
import random
from fractions import Fraction
from functools import cache
from itertools import accumulate, pairwise
from typing import Any

import nbformat
import numpy as np
import pytest

from tests.check_cases import *  # noqa: F403
from tests.check_cases import Check, dots, one_buffer, stops
from tools.notebooks import ROOT
from unrolled.checks import dropout as checks
from unrolled.dropout import dropout_mask, masked_layer_backward, masked_layer_forward
from unrolled.functional import sigmoid
from unrolled.gradient_check import numerical_grad, relative_error
from unrolled.params import Linear, Recurrent, init_lstm

CHECKS, MASTER = checks, "07_dropout"
SCOPE = {
    "np": np, "Linear": Linear, "Recurrent": Recurrent, "sigmoid": sigmoid, "comb": math.comb
}  # fmt: skip
SEVERAL = {checks.check_predicted, checks.check_luck}
WRONG: dict[Check, list[tuple[str, Any, str]]] = {}
RIGHT: dict[Check, list[tuple[str, Any]]] = {}


# --- 1. Masks. ---


def masks(shape: Any = None, change: Any = lambda m, p: m) -> Any:
    """Masks of a shape that is told by (T, B, H, locked), and repeated to the one asked for."""

    def draw_mask(T: int, B: int, H: int, p: float, locked: bool, rng: Any) -> Any:
        size = shape(T, B, H, locked) if shape else (1 if locked else T, B, H)
        mask = np.array(np.broadcast_to(dropout_mask(size, p, rng=rng), (T, B, H)))
        return change(mask, p)

    return draw_mask


def from_nowhere(T: int, B: int, H: int, p: float, locked: bool, rng: Any) -> Any:
    return masks()(T, B, H, p, locked, np.random.default_rng())


def own_seed(T: int, B: int, H: int, p: float, locked: bool, rng: Any) -> Any:
    return masks()(T, B, H, p, locked, np.random.default_rng(0))


def exactly_so_many(T: int, B: int, H: int, p: float, locked: bool, rng: Any) -> Any:
    """A fixed number of units off in each sequence."""
    rows = np.array([rng.permutation(H) >= round(p * H) for _ in range((1 if locked else T) * B)])
    return np.broadcast_to(rows.reshape(-1, B, H) / (1 - p), (T, B, H))


def in_runs(T: int, B: int, H: int, p: float, locked: bool, rng: Any) -> Any:
    """Each step takes over most of the mask before it."""
    mask = masks()(T, B, H, p, locked, rng)
    for t in range(1, T):
        old = rng.random((B, H)) < 0.5
        mask[t][old] = mask[t - 1][old]
    return mask


def units_in_pairs(T: int, B: int, H: int, p: float, locked: bool, rng: Any) -> Any:
    mask = dropout_mask((1 if locked else T, B, (H + 1) // 2), p, rng=rng)
    return np.broadcast_to(np.repeat(mask, 2, axis=2)[..., :H], (T, B, H))


def in_tenths(T: int, B: int, H: int, p: float, locked: bool, rng: Any) -> Any:
    keep = rng.integers(0, 10, (1 if locked else T, B, H)) >= 10 * p
    return np.broadcast_to(keep / (1 - p), (T, B, H))


def never_all_off(T: int, B: int, H: int, p: float, locked: bool, rng: Any) -> Any:
    mask = masks()(T, B, H, p, locked, rng)
    return mask if mask.any() else never_all_off(T, B, H, p, locked, rng)


def one_put_back(T: int, B: int, H: int, p: float, locked: bool, rng: Any) -> Any:
    mask = masks()(T, B, H, p, locked, rng)
    mask[..., 0] = np.where(mask.any(axis=-1), mask[..., 0], 1 / (1 - p))
    return mask


def two_in_turn(T: int, B: int, H: int, p: float, locked: bool, rng: Any) -> Any:
    """Every other sequence has one mask."""
    mask = dropout_mask((1 if locked else T, min(B, 2), H), p, rng=rng)
    return np.broadcast_to(mask[:, np.arange(B) % 2 if B > 1 else [0]], (T, B, H))


def one_order_each(T: int, B: int, H: int, p: float, locked: bool, rng: Any) -> Any:
    """Every sequence has the batch's mask, in an order of its own."""
    mask = dropout_mask((1 if locked else T, H), p, rng=rng)
    mine = [mask[:, rng.permutation(H)] for _ in range(B)]
    return np.broadcast_to(np.stack(mine, axis=1), (T, B, H))


def p_kept(T: int, B: int, H: int, p: float, locked: bool, rng: Any) -> Any:
    keep = rng.random((1 if locked else T, B, H)) < p
    return np.broadcast_to(keep / max(p, 1e-9), (T, B, H))


def share_swapped(T: int, B: int, H: int, p: float, locked: bool, rng: Any) -> Any:
    keep = rng.random((1 if locked else T, B, H)) < p
    return np.broadcast_to(keep / (1 - p), (T, B, H))


def at_most_p(T: int, B: int, H: int, p: float, locked: bool, rng: Any) -> Any:
    keep = rng.random((1 if locked else T, B, H)) >= (p or 0.2)
    return np.broadcast_to(keep / (1 - p), (T, B, H))


VALUES = [
    ("not rescaled", masks(change=lambda m, p: np.sign(m)), "it is not rescaled"),
    ("truth values", masks(change=lambda m, p: m > 0), "returned True and False"),
    ("multiplied by 1 - p", masks(change=lambda m, p: np.sign(m) * (1 - p)), "by after training"),
    ("multiplied by p", masks(change=lambda m, p: np.sign(m) * p), "not multiplied by p|after tr"),
    ("divided by p", masks(change=lambda m, p: np.sign(m) / (p or 1)), "1 - p, not by p|holds 1.1"),
    ("rescaled twice", masks(change=lambda m, p: m / (1 - p)), "it is rescaled twice"),
    ("p is kept", p_kept, "1 - p, not by p"),
    ("share exchanged", share_swapped, "p is the share that is dropped"),
    ("noise", masks(change=lambda m, p: m * np.linspace(1, 2, m.size).reshape(m.shape)),
     "only 0 and 1 / .1 - p."),
    ("negative", masks(change=lambda m, p: -m), "only 0 and 1 / .1 - p."),
    ("rounded", masks(change=lambda m, p: m.round(2)), "only 0 and 1 / .1 - p."),
    ("four digits", masks(change=lambda m, p: m.round(4)), "holds 1.5385 .*to a few digits only"),
    ("single precision", masks(change=lambda m, p: m.astype("f4")), "to a few digits only"),
    ("p in tenths", in_tenths, "p need not be a whole number of tenths"),
    ("numbers in tenths", lambda T, B, H, p, k, rng: np.broadcast_to((rng.random(
        (1 if k else T, B, H)).round(1) >= p) / (1 - p), (T, B, H)), "should be about p"),
    ("another p for all", lambda T, B, H, p, k, rng: np.sign(
        masks()(T, B, H, 0.1 if p else p, k, rng)) / (1 - p), "it should be about p"),
    ("never all off", never_all_off, "it is never off"),
    ("one unit put back", one_put_back, "it is never off"),
    ("two masks in turn", two_in_turn, "two sequences have the same mask"),
    ("one mask in many orders", one_order_each, "in all sequences of a step the same number"),
    ("nothing dropped", masks(change=lambda m, p: 0 * m + 1 / (1 - p)), "should be about p"),
    ("nan", masks(change=lambda m, p: np.where(m == 0, np.nan, m)), "mask holds nan"),
    ("one step missing", masks(change=lambda m, p: m[1:]), "the mask must have shape"),
    ("time last", masks(change=lambda m, p: m.transpose(1, 2, 0)), "the mask must have shape"),
    ("one number a sequence", masks(lambda T, B, H, k: (1 if k else T, B, 1)),
     "all units of a sequence are off, or none"),
    ("units in pairs", units_in_pairs, "two units have the same mask"),
    ("a generator of its own", from_nowhere, "another mask for a generator in the same state"),
    ("a seed of its own", own_seed, "two generators in different states"),
    ("so many in each sequence", exactly_so_many, "the same number of units is off"),
    ("with the mask, p", masks(change=lambda m, p: (m, p)), "the mask must be an array|shape"),
    ("stops", stops, "stopped with IndexError"),
    ("not written", dots, "returned Ellipsis"),
]  # fmt: skip

WRONG[checks.check_draw_mask] = [
    *VALUES,
    ("always locked", masks(lambda T, B, H, k: (1, B, H)), "the same at all steps"),
    ("one mask for the batch", masks(lambda T, B, H, k: (T, 1, H)), "same for the whole batch"),
    ("lock turned round", masks(lambda T, B, H, k: (T if k else 1, B, H)), "same at all steps"),
    ("in runs", in_runs, "one step tells something"),
    ("p = 0", at_most_p, "with p = 0 nothing is dropped"),
    ("one buffer", one_buffer(masks()), "overwrites what it returned"),
]
WRONG[checks.check_locked] = [
    *VALUES,
    ("never locked", masks(lambda T, B, H, k: (T, B, H)), "all steps of a sequence have one mask"),
    ("locked along the batch", masks(lambda T, B, H, k: (T, 1, H) if k else (T, B, H)),
     "same for the whole batch; lock it along the steps"),
    ("one for all", masks(lambda T, B, H, k: (1, 1, H) if k else (T, B, H)),
     "same for the whole batch; lock it along the steps"),
    ("the first step is another", lambda T, B, H, p, locked, rng: np.concatenate(
        [dropout_mask((1, B, H), p, rng=rng), masks()(T, B, H, p, locked, rng)])[:T],
     "all steps of a sequence have one mask"),
    ("lock without the axis", masks(change=lambda m, p: m[0]), "Also a locked mask has an entry"),
]  # fmt: skip


def number_by_number(T: int, B: int, H: int, p: float, locked: bool, rng: Any) -> Any:
    out: list[Any] = []
    for _ in range(T):
        step = [[0.0 if rng.random() < p else 1 / (1 - p) for _ in range(H)] for _ in range(B)]
        out.append(out[0] if locked and out else step)
    return out


def by_binomial(T: int, B: int, H: int, p: float, locked: bool, rng: Any) -> Any:
    shape = (B, H) if locked else (T, B, H)
    mask = rng.binomial(1, 1 - p, size=shape) / (1 - p)
    return np.stack([mask] * T) if locked else mask


def by_choice(T: int, B: int, H: int, p: float, locked: bool, rng: Any) -> Any:
    mask = rng.choice([0.0, 1 / (1 - p)], size=(T, B, H), p=[p, 1 - p])
    if locked:
        mask[:] = mask[0]
    return mask


def seeded_by_rng(T: int, B: int, H: int, p: float, locked: bool, rng: Any) -> Any:
    mine = random.Random(int(rng.integers(2**60)))
    mask = np.array([mine.random() > p for _ in range(T * B * H)]).reshape(T, B, H) / (1 - p)
    return mask[:1].repeat(T, axis=0) if locked else mask


ANY_MASK = [
    ("the package's", masks()),
    ("number by number, in lists", number_by_number),
    ("by binomial", by_binomial),
    ("by choice, all steps overwritten", by_choice),
    ("another generator, seeded by rng", seeded_by_rng),
]
RIGHT[checks.check_draw_mask] = ANY_MASK
RIGHT[checks.check_locked] = [
    *ANY_MASK,
    ("a view", lambda T, B, H, p, locked, rng: np.broadcast_to(
        dropout_mask((1 if locked else T, B, H), p, rng=rng), (T, B, H))),
]  # fmt: skip

# --- 2. A layer between two masks. ---


def block(*wrong: str, give: Any = lambda out: out) -> Any:
    return lambda params, x, m, n: give(checks._layer(params, x, m, n, *wrong))


def always_masked(params: Any, x: Any, m: Any, n: Any) -> Any:
    return np.tanh((x * m) @ params.W.T + params.b) * n


def rescaled_in_use(params: Any, x: Any, m: Any, n: Any) -> Any:
    out = checks._layer(params, x, m, n)
    return out * 0.5 if n is None else out


def masks_by_truth(params: Any, x: Any, m: Any, n: Any) -> Any:
    return np.tanh((x * m if m else x) @ params.W.T + params.b) * n


def unmasked_without_h(params: Any, x: Any, m: Any, n: Any) -> Any:
    return checks._layer(params, x, None if n is None else m, n)


def any_mask(params: Any, x: Any, m: Any, n: Any) -> Any:
    """A mask is used only if something in it is not 0."""
    return checks._layer(params, x, *(k if k is not None and k.any() else None for k in (m, n)))


def same_scale(params: Any, x: Any, m: Any, n: Any) -> Any:
    """The masks' numbers as they are for p = 0.3."""
    m, n = (k if k is None else np.sign(k) / 0.7 for k in (m, n))
    return checks._layer(params, x, m, n)


def if_square(*wrong: str) -> Any:
    """A mistake that shows where there are as many inputs as units; elsewhere shapes stop it."""
    return lambda p, x, m, n: checks._layer(p, x, m, n, *wrong * (x.shape[1] == 4 == len(p.b)))


def own_tanh(params: Any, x: Any, m: Any, n: Any) -> Any:
    a = checks._layer(params, x, m, None, "no tanh")
    h = (np.exp(a) - np.exp(-a)) / (np.exp(a) + np.exp(-a))
    return h if n is None else h * n


def x_in_place(params: Any, x: Any, m: Any, n: Any) -> Any:
    if m is not None:
        x *= m
    return checks._layer(params, x, None, n)


WRONG[checks.check_block] = [
    ("no mask on x", block("no x mask"), "x_mask is not used"),
    ("no mask on h", block("no h mask"), "h_mask is not used"),
    ("no mask", block("no x mask", "no h mask"), r"out\[.*x times its mask"),
    ("mask inside", block("inside"), "h_mask inside the tanh"),
    ("zeros and ones", block("zeros and ones"), "masks hold 0 and 1"),
    ("twice", block("twice"), "applied twice"),
    ("no b", block("no b"), "without b"),
    ("no tanh", block("no tanh"), "without tanh"),
    ("W turned", if_square("W turned"), "W is used without .T"),
    ("masks exchanged", if_square("exchanged"), "the two masks exchanged"),
    ("x's mask after W", if_square("after W"), "multiplies what comes out of W"),
    ("no mask if h's is None", unmasked_without_h, "with h_mask = None, out.*x_mask is not used"),
    ("no mask if it is all 0", any_mask, "with an h_mask of zeros, out.*h_mask is not used"),
    ("masks of one p", same_scale, r"out\[.*x times its mask"),
    ("masked also in use", always_masked, "stopped with TypeError"),
    ("if of an array", masks_by_truth, "stopped with ValueError"),
    ("rescaled in use", rescaled_in_use, "nothing may be multiplied, and nothing rescaled"),
    ("first sequence's mask", lambda p, x, m, n: checks._layer(
        p, x, m, n if n is None else n[:1]), r"out\[.*x times its mask|out holds"),
    ("tanh overflows", own_tanh, "out holds nan"),
    ("x changed", x_in_place, "changed its argument x"),
    ("with the mask", lambda p, x, m, n: (checks._layer(p, x, m, n), n), "out must|shape"),
    ("turned", block(give=lambda out: out.T), r"out\[|shape"),
    ("rounded", block(give=lambda out: out.round(6)), "a few digits only"),
    ("one buffer", one_buffer(block()), "overwrites what it returned"),
    ("stops", stops, "stopped with IndexError"),
    ("not written", dots, "returned Ellipsis"),
]  # fmt: skip


def block_by_numbers(params: Any, x: Any, m: Any, n: Any) -> Any:
    out = []
    for b, row in enumerate(x.tolist()):
        read = row if m is None else [v * w for v, w in zip(row, m[b])]
        h = [math.tanh(sum(w * v for w, v in zip(ws, read)) + c) for ws, c in zip(*params)]
        out.append(h if n is None else [v * w for v, w in zip(h, n[b])])
    return out


RIGHT[checks.check_block] = [
    ("number by number, in lists", block_by_numbers),
    ("masks of ones for None", lambda p, x, m, n: np.einsum(
        "bd,hd->bh", x * (1 if m is None else m), p.W).__add__(p.b).__array_ufunc__(
            np.tanh, "__call__", np.einsum("bd,hd->bh", x * (1 if m is None else m), p.W) + p.b)
        * (1 if n is None else n)),
    ("where", lambda p, x, m, n: np.where(
        True if n is None else n != 0, checks._layer(p, x, m, n), 0.0)),
    ("in place on a copy", lambda p, x, m, n: np.multiply(
        np.tanh(np.matmul(x if m is None else x * m, p[0].T) + p[1]), 1.0 if n is None else n)),
]  # fmt: skip


def back(*wrong: str, change: Any = lambda dx, dW, db: (dx, Linear(dW, db))) -> Any:
    return lambda *args: change(*checks._layer_back(*args, *wrong))


def recovered(params: Any, x: Any, m: Any, n: Any, dout: Any) -> Any:
    """h taken from the masked output by a division."""
    out = checks._layer(params, x, m, n)
    h = out if n is None else out / n
    da = dout * (1 if n is None else n) * (1 - h**2)
    m = 1 if m is None else m
    return da @ params.W * m, Linear(da.T @ (x * m), da.sum(axis=0))


def slope_of_the_input(params: Any, x: Any, m: Any, n: Any, dout: Any) -> Any:
    h = np.tanh(x @ params.W.T + params.b)
    da = dout * (1 if n is None else n) * (1 - h**2)
    m = 1 if m is None else m
    return da @ params.W * m, Linear(da.T @ (x * m), da.sum(axis=0))


def dout_changed(params: Any, x: Any, m: Any, n: Any, dout: Any) -> Any:
    right = back()(params, x, m, n, dout)
    if n is not None:
        dout *= n
    return right


def scaled_back(params: Any, x: Any, m: Any, n: Any, dout: Any) -> Any:
    """h taken from the masked output by the mask's largest number."""
    n = np.ones_like(dout) if n is None else n
    h = checks._layer(params, x, m, n) / n.max()
    da = dout * n * (1 - h**2)
    m = 1 if m is None else m
    return da @ params.W * m, Linear(da.T @ (x * m), da.sum(axis=0))


def unmasked_back_without_h(params: Any, x: Any, m: Any, n: Any, dout: Any) -> Any:
    return back()(params, x, None if n is None else m, n, dout)


def masks_exchanged_back(params: Any, x: Any, m: Any, n: Any, dout: Any) -> Any:
    turned = x.shape == dout.shape and m is not None and n is not None
    return back()(params, x, *((n, m) if turned else (m, n)), dout)


def of_the_used(params: Any, x: Any, m: Any, n: Any, dout: Any) -> Any:
    return back()(params, x, None, None, dout)


WRONG[checks.check_block_backward] = [
    ("slope of the masked", back("masked slope"), r"slope 1 - out\*\*2; out is masked"),
    ("no mask on h", back("no h mask"), "h_mask is left out on the way back"),
    ("no mask on dx", back("no x mask"), "dx lacks x_mask"),
    ("W reads x", back("x in dW"), "gradient of W reads x"),
    ("x's mask nowhere", back("no x mask", "x in dW"), "gradient of W reads x|x_mask is left out"),
    ("no mask at all", back("no h mask", "no x mask", "x in dW"), "both masks are left out"),
    ("no masks but in W", back("no h mask", "no x mask"), "h_mask is left out|both masks"),
    ("h's mask twice", back("h mask twice"), "h_mask is applied twice"),
    ("x's mask twice", back("x mask twice"), "x_mask is applied twice"),
    ("h's mask of 0 and 1", back("h mask of 0 and 1"), "h_mask holds 0 and 1"),
    ("x's mask of 0 and 1", back("x mask of 0 and 1"), "x_mask holds 0 and 1"),
    ("no slope", back("no slope"), "without the slope of tanh"),
    ("slope masked, no mask", back("masked slope", "no h mask"), "of the masked out, and without"),
    ("slope masked, W reads x", back("masked slope", "x in dW"), "of the masked out, and x"),
    ("h by division", recovered, "holds nan"),
    ("h by the mask's largest", scaled_back, "holds nan"),
    ("slope of the input without mask", slope_of_the_input, "computed again without x_mask"),
    ("x's mask twice in W", back("twice in dW"), "twice in the gradient of W"),
    ("masks exchanged", masks_exchanged_back, "the two masks exchanged"),
    ("no mask if h's is None", unmasked_back_without_h, "with h_mask = None, .*both masks|x_mask"),
    ("as in use", of_the_used, "gradient of W.*line by line|both masks"),
    ("mean over the batch", back(change=lambda dx, dW, db: (dx, Linear(dW / len(dx),
                                                                      db / len(dx)))),
     "the mean over the batch"),
    ("W's gradient turned", back(change=lambda dx, dW, db: (dx, Linear(
        dW.T if len(dW) == dW.shape[1] else dW, db))), "the transpose of the right one"),
    ("b's gradient for each sequence", back(change=lambda dx, dW, db: (dx, Linear(
        dW, np.outer(np.ones(len(dx)), db)))), "gradient of b must have shape"),
    ("exchanged", back(change=lambda dx, dW, db: (Linear(dW, db), dx)), "must|got"),
    ("dx alone", back(change=lambda dx, dW, db: dx), "must return dx, grads"),
    ("three things", back(change=lambda dx, dW, db: (dx, dW, db)), "it returned 3 things"),
    ("no b", back(change=lambda dx, dW, db: (dx, (dW,))), "grads must be Linear"),
    ("dout changed", dout_changed, "changed its argument dout"),
    ("one buffer", one_buffer(back()), "overwrites what it returned"),
    ("rounded", back(change=lambda dx, dW, db: (dx, Linear(dW.round(6), db))), "few digits"),
    ("stops", stops, "stopped with IndexError"),
    ("not written", dots, "returned Ellipsis"),
]  # fmt: skip


def back_by_numbers(params: Any, x: Any, m: Any, n: Any, dout: Any) -> Any:
    (H, D), B = params.W.shape, len(x)
    dx, dW, db = np.zeros((B, D)), np.zeros((H, D)), np.zeros(H)
    for b in range(B):
        for j in range(H):
            kept = n is None or n[b, j] != 0
            if not kept:
                continue
            a = params.b[j] + sum(
                params.W[j, d] * x[b, d] * (1 if m is None else m[b, d]) for d in range(D)
            )
            da = dout[b, j] * (1 if n is None else n[b, j]) * (1 - math.tanh(a) ** 2)
            db[j] += da
            for d in range(D):
                factor = 1 if m is None else m[b, d]
                dW[j, d] += da * x[b, d] * factor
                dx[b, d] += da * params.W[j, d] * factor
    return [dx.tolist(), (dW.tolist(), db.tolist())]


def back_by_cosh(params: Any, x: Any, m: Any, n: Any, dout: Any) -> Any:
    m, n = (np.ones(1) if mask is None else mask for mask in (m, n))
    da = (n * dout) / np.cosh((m * x) @ params.W.T + params.b) ** 2
    dW = np.einsum("bh,bd->hd", da, m * x)
    return np.einsum("bh,hd->bd", da, params.W) * m, Linear(dW, np.ones(len(x)) @ da)


def mask_of_the_slope(params: Any, x: Any, m: Any, n: Any, dout: Any) -> Any:
    """The derivative as one array: n - n h^2."""
    h = checks._layer(params, x, m, None)
    slope = 1 - h**2 if n is None else n - n * h * h
    slope *= dout
    read = x if m is None else m * x
    dx = slope @ params.W if m is None else np.multiply(m, slope @ params.W)
    return dx, Linear((read.T @ slope).T, slope.sum(0))


RIGHT[checks.check_block_backward] = [
    ("number by number, in lists", back_by_numbers),
    ("slope by cosh", back_by_cosh),
    ("mask and slope in one", mask_of_the_slope),
    ("a plain tuple", back(change=lambda dx, dW, db: [dx, (dW, db)])),
]

# --- 3. Three mistakes. ---

PASSES = {"one", "off", "first"}

WRONG[checks.check_passes] = [
    ("two", PASSES | {"two"}, "holds 'two'.*h_1 meets its mask"),
    ("zero", PASSES | {"zero"}, "holds 'zero'.*W_hh reads"),
    ("locked", PASSES | {"locked"}, "holds 'locked'.*one index is as good"),
    ("last", PASSES | {"last"}, "holds 'last'.*still goes back"),
    ("locked and off", {"locked", "off"}, "holds 'locked'"),
    ("all", set(checks.WEAK_TESTS), "passes holds 'two'"),
    ("without one", {"off", "first"}, "h_0 and c_0 are zero"),
    ("without off", {"one", "first"}, "Ask of each test: what does .* a mask of ones change.$"),
    ("without first", {"one", "off"}, "to be carried back from the later steps"),
    ("off alone", "off", "not complete"),
    ("none", set(), "not complete"),
    ("another name", {"three"}, "it holds 'three'"),
    ("a number", 3, "must be a set of names"),
    ("a dict", dict.fromkeys(sorted(PASSES), True), "without colons, got a dict"),
    ("not written", ..., "passes has no value yet"),
]
RIGHT[checks.check_passes] = [
    ("a list", ["one", "off", "first"]),
    ("a tuple with spaces", ("first ", " off", "one")),
    ("an array", np.array(sorted(PASSES))),
]


def planted(*bugs: str, change: Any = lambda dx, *grads: (dx, Recurrent(*grads))) -> Any:
    return lambda cache, dout: change(*checks._masked_back(cache, dout, *bugs))


@cache
def given_function() -> Any:
    cells = nbformat.read(ROOT / "solutions/07_dropout.ipynb", as_version=4).cells
    scope: dict[str, Any] = {"np": np, "Recurrent": Recurrent}
    exec(next(c.source for c in cells if c.source.startswith("def buggy_backward")), scope)
    return scope["buggy_backward"]


def given(cache: Any, dout: Any) -> Any:
    return given_function()(cache, dout)


def changes_mask(cache: Any, dout: Any) -> Any:
    right = planted()(cache, dout)
    cache[-1][:] = 1
    return right


def changes_dout(cache: Any, dout: Any) -> Any:
    right = planted()(cache, dout)
    dout[:] = 0
    return right


def one_mask_for_all(cache: Any, dout: Any) -> Any:
    """The first step's mask at every step."""
    params, x, h, c, gates, mask = cache
    locked = np.broadcast_to(mask[:1], mask.shape)
    return planted()((params, x, h, c, gates, locked), dout)


def from_the_other_end(tanh_c: bool) -> Any:
    """tanh(c) or the cell state before taken from what comes after it, by a division."""

    def mended(cache: Any, dout: Any) -> Any:
        params, x, h, c, gates, mask = cache
        da, dh, dc = np.empty_like(gates), 0.0, 0.0
        for t in reversed(range(len(x))):
            i, f, g, o = np.split(gates[t], 4, axis=1)
            tanh = h[t + 1] / o if tanh_c else np.tanh(c[t + 1])
            before = c[t] if tanh_c else (c[t + 1] - i * g) / f
            dh = dh + dout[t]
            dc = dc + dh * o * (1 - tanh**2)
            da_i, da_f = dc * g * i * (1 - i), dc * before * f * (1 - f)
            da_g, da_o = dc * i * (1 - g**2), dh * tanh * o * (1 - o)
            da[t] = np.concatenate([da_i, da_f, da_g, da_o], axis=1)
            dh, dc = mask[t] * (da[t] @ params.W_hh), dc * f
        dWs = [np.einsum("tbk,tbd->kd", da, read) for read in (x, mask * h[:-1])]
        db = da.sum(axis=(0, 1))
        return da @ params.W_ih, Recurrent(*dWs, db, db)

    return mended


def mask_of_one_p(cache: Any, dout: Any) -> Any:
    return planted()((*cache[:-1], np.sign(cache[-1]) / 0.6), dout)


def a_mask_of_its_own(cache: Any, dout: Any) -> Any:
    mask = dropout_mask(cache[-1].shape, 0.4, rng=np.random.default_rng(7))
    return planted()((*cache[:-1], mask), dout)


WRONG[checks.check_mended_backward] = [
    ("as given", given, "none is mended"),
    ("W_hh mended alone", planted("step before", "cell"), "two mistakes left. the way back of"),
    ("cell mended alone", planted("step before", "h in W_hh"), "two mistakes left. the mask of an"),
    ("step mended alone", planted("cell", "h in W_hh"), "two mistakes left: the way back of the c"),
    ("step left", planted("step before"), "the mask of another step: going from step t"),
    ("cell left", planted("cell"), "one mistake left: the way back of the cell"),
    ("W_hh left", planted("h in W_hh"), "one mistake left: W_hh read mask"),
    ("step after", planted("step after"), "with mask.t . 1. on the way back"),
    ("step after, cell left", planted("step after", "cell"), "two mistakes left"),
    ("other mask on the cell", planted("cell, step before"), "the way back of the cell has a mask"),
    ("other mask on it, h read", planted("cell, step before", "h in W_hh"), "two mistakes left, m"),
    ("no mask on dh, cell left", planted("no mask", "cell"), "its mask; and the way back of the"),
    ("mask twice in W_hh", planted("twice in W_hh"), "applied twice in W_hh's gradient"),
    ("mask of 0 and 1 in W_hh", planted("0 and 1 in W_hh"), "of 0 and 1 in W_hh's gradient"),
    ("tanh by division", from_the_other_end(True), "holds nan"),
    ("cell state by division", from_the_other_end(False), "holds nan"),
    ("mask of one p", mask_of_one_p, r"gradient of W_hh\[.*line by line"),
    ("no mask on dh", planted("no mask"), "carried back without its mask"),
    ("no mask anywhere", planted("no mask", "h in W_hh"), "without any mask on the way back"),
    ("mask on all of dh", planted("mask on all of dh"), "multiplies all of step t's dh"),
    ("mask on dout", planted("mask on dout"), "the output is not masked"),
    ("mask twice", planted("twice"), "the mask is applied twice"),
    ("mask of 0 and 1", planted("zeros and ones"), "a mask of 0 and 1"),
    ("W_hh with another step's", planted("step before in W_hh"), "has the mask of another step"),
    ("W_hh with the new h", planted("new h in W_hh"), "step t read h.t."),
    ("dh not carried", planted("dh not carried"), "dh is not carried back"),
    ("dc not carried", planted("dc not carried"), "dc is not carried back"),
    ("dout at the end", planted("dout at the end"), "dout counts at the last step only"),
    ("one mask for all", one_mask_for_all, r"gradient of W_hh\[.*line by line"),
    ("a mask of its own", a_mask_of_its_own, r"gradient of W_hh\[.*line by line"),
    ("mean over the batch", planted(change=lambda *a: (
        a[0], Recurrent(*(g / a[0].shape[1] for g in a[1:])))), "the mean over the batch"),
    ("mean over the steps", planted(change=lambda *a: (
        a[0], Recurrent(*(g / len(a[0]) for g in a[1:])))), "the mean over the steps;"),
    ("mean over both", planted(change=lambda *a: (
        a[0], Recurrent(*(g / a[0][..., 0].size for g in a[1:])))), "the mean over the steps and"),
    ("half a bias each", planted(change=lambda dx, W, U, b, c: (dx, Recurrent(W, U, b / 2, c / 2))),
     r"gradient of b_ih\["),
    ("bias once", planted(change=lambda dx, W, U, b, c: (dx, Recurrent(W, U, b, 0 * c))),
     r"gradient of b_hh\["),
    ("dx in the grads", planted(change=lambda *a: a), "it returned 5 things"),
    ("grads alone", planted(change=lambda dx, *grads: list(grads)), "it returned 4 things"),
    ("three grads", planted(change=lambda dx, *g: (dx, g[:3])), "grads must be Recurrent"),
    ("W_ih turned", planted(change=lambda dx, W, *g: (dx, (W.T, *g))), "gradient of W_ih must"),
    ("rounded", planted(change=lambda dx, *g: (dx.round(6), g)), "a few digits only"),
    ("mask changed", changes_mask, "changed its argument cache"),
    ("dout changed", changes_dout, "changed its argument dout"),
    ("one buffer", one_buffer(planted()), "overwrites what it returned"),
    ("nan", planted(change=lambda dx, *g: (dx * np.nan, g)), "dx holds nan"),
    ("stops", stops, "stopped with IndexError"),
    ("not written", dots, "returned Ellipsis"),
]  # fmt: skip


def by_the_package(cache: Any, dout: Any) -> Any:
    params, x, *_, mask = cache
    _, _, new = masked_layer_forward("lstm", params, x, h_mask=mask)
    dx, _, grads = masked_layer_backward(new, dout)
    return dx, grads


def step_by_step(cache: Any, dout: Any) -> Any:
    """Gradients summed in the loop; the mask is applied where the step begins."""
    (W_ih, W_hh, _, _), x, h, c, gates, mask = cache
    H = h.shape[2]
    dx, dW, dU, db = np.zeros_like(x), 0 * W_ih, 0 * W_hh, np.zeros(4 * H)
    dread, dc = 0 * h[0], 0 * h[0]
    for t in range(len(x) - 1, -1, -1):
        i, f, g, o = (gates[t][:, k * H : (k + 1) * H] for k in range(4))
        dh = dout[t] + dread
        if t + 1 < len(x):
            dh = dout[t] + dread * mask[t + 1]
        dc = dc + dh * o / np.cosh(c[t + 1]) ** 2
        da = np.hstack([dc * g * (i - i * i), dc * c[t] * (f - f * f), dc * i * (1 - g * g),
                        dh * np.tanh(c[t + 1]) * (o - o * o)])  # fmt: skip
        dread, dc = da @ W_hh, dc * f
        dx[t] = da @ W_ih
        dW += da.T @ x[t]
        dU += da.T @ (h[t] * mask[t])
        db += da.sum(axis=0)
    return [dx, (dW, dU, db, db.copy())]


def masked_weights(cache: Any, dout: Any) -> Any:
    """One matrix for each sequence, whose columns are masked."""
    (W_ih, W_hh, _, _), x, h, c, gates, mask = cache
    das, dh, dc = [], np.zeros(h.shape[1:]), np.zeros(h.shape[1:])
    for t in range(len(x))[::-1]:
        i, f, g, o = np.split(gates[t], 4, axis=-1)
        dh, tanh_c = dh + dout[t], np.tanh(c[t + 1])
        dc = dc + dh * o * (1 - tanh_c**2)
        da = [dc * g * i * (1 - i), dc * c[t] * f * (1 - f), dc * i * (1 - g**2)]
        das.insert(0, np.concatenate([*da, dh * tanh_c * o * (1 - o)], axis=1))
        dh = np.einsum("bk,bkh->bh", das[0], W_hh[None] * mask[t][:, None, :])
        dc = dc * f
    a, read = np.reshape(das, (-1, len(W_hh))), (mask * h[:-1]).reshape(-1, h.shape[2])
    dx = np.reshape(a @ W_ih, x.shape)
    return dx, Recurrent(a.T @ x.reshape(len(a), -1), a.T @ read, a.sum(0), a.sum(0))


RIGHT[checks.check_mended_backward] = [
    ("the package's own", by_the_package),
    ("summed in the loop, in a list", step_by_step),
    ("masked weights", masked_weights),
]

# --- 4. What is left of a memory. ---

GENTLE = 1 - 0.5 ** (1 / 50)


def predicted(variance: Any = 1023, locked_mean: Any = 512, gentle: Any = GENTLE) -> Any:
    return variance, locked_mean, gentle


WRONG[checks.check_predicted] = [
    ("mean square", predicted(1024), "take the square of the mean away"),
    ("near the mean square", predicted(1020), "the product of ten such"),
    ("less one more", predicted(1022), "the product of ten such"),
    ("one step's", predicted(1), "this is one step's"),
    ("added", predicted(10), "the variances are not added"),
    ("the root", predicted(1023**0.5), "the standard deviation"),
    ("no spread", predicted(0), "the number itself does"),
    ("four to the tenth", predicted(2**20), "m . m has the mean 2, not 4"),
    ("that, less one", predicted(2**20 - 1), "m . m has the mean 2, not 4"),
    ("of the locked mask", predicted(2**18), "one mask for all steps"),
    ("any other", predicted(500), "the product of ten such"),
    ("locked: one", predicted(locked_mean=1), "here the ten factors are equal"),
    ("locked: those that are left", predicted(locked_mean=1024), "the others are 0"),
    ("locked: share", predicted(locked_mean=0.5), "the share that is kept; what became"),
    ("locked: share of new masks", predicted(locked_mean=2**-10), "with a new mask at each step"),
    ("locked: zero", predicted(locked_mean=0), "one of the two cases|share with a new"),
    ("locked: added", predicted(locked_mean=10), "the factors multiply"),
    ("locked: any other", predicted(locked_mean=700), "half of the numbers meet ten times a 2"),
    ("gentle: divided", predicted(gentle=0.01), "losses are not added.*significant"),
    ("gentle: kept", predicted(gentle=1 - GENTLE), "p is the share that is dropped"),
    ("gentle: percent", predicted(gentle=1.377), "not a percentage"),
    ("gentle: 1/e", predicted(gentle=0.02), "1/e would be left"),
    ("gentle: half", predicted(gentle=0.5), "what is left after all steps"),
    ("gentle: any other", predicted(gentle=0.2), "so that half survives 50"),
    ("text", predicted("1023"), "must be a number"),
    ("nan", predicted(np.nan), "finite"),
    ("not written", predicted(gentle=...), "gentle has no value yet"),
]
RIGHT[checks.check_predicted] = [
    ("NumPy's numbers", predicted(np.float64(1023), np.int64(512), np.float32(0.01377))),
    ("two digits", predicted(gentle=0.014)),
    ("a fraction", predicted(Fraction(1023), Fraction(1024, 2))),
]


def survives(change: Any) -> Any:
    """A formula that is told what is right, p and T."""

    def survival(p: float, T: int, locked: bool) -> Any:
        return change(*checks._survival(p, T, locked), p, T)

    return survival


def simulated(p: float, T: int, locked: bool) -> Any:
    draw = np.random.default_rng(0)
    m = dropout_mask((1 if locked else T, 2000), p, rng=draw)
    c = m[0] ** T if locked else m.prod(axis=0)
    return (c != 0).mean(), c.mean(), c.var()


def formula(mean_first: bool = True) -> Any:
    def survival(p: float, T: int, locked: bool) -> Any:
        share = (1 - p) if locked else (1 - p) ** T
        mean = share / (1 - p) ** T
        square = share / (1 - p) ** (2 * T)
        return share, mean, square - mean if not mean_first else square - mean**2

    return survival


WRONG[checks.check_survival] = [
    ("locked turned round", lambda p, T, locked: checks._survival(p, T, not locked),
     "locked turned round"),
    ("lock ignored", lambda p, T, locked: checks._survival(p, T, False), "locked turned round"),
    ("always locked", lambda p, T, locked: checks._survival(p, T, True), "locked turned round"),
    ("p is kept", lambda p, T, locked: checks._survival(1 - p or 0.5, T, locked),
     "p as the share that is kept"),
    ("one step", lambda p, T, locked: checks._survival(p, 1, locked), "what one step leaves|share"),
    ("a step more", lambda p, T, locked: checks._survival(p, T + 1, locked), "one step more"),
    ("a step less", lambda p, T, locked: checks._survival(p, T - 1, locked), "one step less"),
    ("what is lost", survives(lambda s, m, v, p, T: (1 - s, m, v)), "the share that is lost"),
    ("mean of those left", survives(lambda s, m, v, p, T: (s, m / s, v)), "mean of those that are"),
    ("not rescaled", survives(lambda s, m, v, p, T: (s, s, s * (1 - s))), "masks are not rescaled"),
    ("mean square", survives(lambda s, m, v, p, T: (s, m, v + m * m)), "take away the square of"),
    ("minus the mean", formula(mean_first=False), "variance.*Which values"),
    ("standard deviation", survives(lambda s, m, v, p, T: (s, m, v**0.5)), "standard deviation"),
    ("variances added", survives(lambda s, m, v, p, T: (s, m, T * p / (1 - p))),
     "sum of the variances"),
    ("variances multiplied", survives(lambda s, m, v, p, T: (s, m, (p / (1 - p)) ** T)),
     "product of the variances"),
    ("square of those left", survives(lambda s, m, v, p, T: (s, m, (1 - p) ** (-2 * T) - m * m)),
     "mean square of those that are left"),
    ("mean always 1", survives(lambda s, m, v, p, T: (s, 1.0, v)), "locked turned round"),
    ("simulated", simulated, "Which values has the product"),
    ("two numbers", survives(lambda s, m, v, p, T: (s, m)), "it returned 2 things"),
    ("one number", survives(lambda s, m, v, p, T: s), "must return share, mean, variance"),
    ("exchanged", survives(lambda s, m, v, p, T: (m, s, v)), "share for p"),
    ("rounded", survives(lambda s, m, v, p, T: (round(s, 7), m, v)), "a few digits|share for"),
    ("texts", survives(lambda s, m, v, p, T: (str(s), m, v)), "share.* must be a number"),
    ("stops", stops, "stopped with IndexError"),
    ("not written", dots, "returned Ellipsis"),
]  # fmt: skip


def enumerated(p: float, T: int, locked: bool) -> Any:
    """All values with their probabilities, step after step."""
    chance = {1.0: 1.0}
    if locked:
        chance = {0.0: p, (1 / (1 - p)) ** T: 1 - p}
    else:
        for _ in range(T):
            new: dict[float, float] = {}
            for value, weight in chance.items():
                for m, w in ((0.0, p), (1 / (1 - p), 1 - p)):
                    new[value * m] = new.get(value * m, 0.0) + weight * w
            chance = new
    mean = sum(value * w for value, w in chance.items())
    var = sum((value - mean) ** 2 * w for value, w in chance.items())
    return np.array([sum(w for value, w in chance.items() if value), mean, var])


RIGHT[checks.check_survival] = [
    ("closed forms", lambda p, T, locked: ((1 - p), (1 - p) ** (1 - T), p * (1 - p) ** (1 - 2 * T))
     if locked else ((1 - p) ** T, 1, (1 - p) ** -T - 1)),
    ("from the mean square", formula()),
    ("enumerated, in a list", lambda p, T, locked: enumerated(p, T, locked).tolist()),
    ("NumPy's numbers", survives(lambda s, m, v, p, T: [np.float64(s), np.array(m), [v]])),
]  # fmt: skip

# --- 5. Splits. ---

LEAKS = {"mean", "twice", "stop"}

WRONG[checks.check_leaks] = [
    ("shuffle", LEAKS | {"shuffle"}, "holds 'shuffle', but the order"),
    ("again", LEAKS | {"again"}, "holds 'again', but the test part is used once"),
    ("seeds", LEAKS | {"seeds"}, "holds 'seeds', but the choice"),
    ("all", set(checks.HABITS), "leaks holds 'shuffle'"),
    ("without mean", {"twice", "stop"}, "from which words does each number come"),
    ("without twice", {"mean", "stop"}, "a test word was in the training part"),
    ("without stop", {"mean", "twice"}, "who decides when training ends"),
    ("stop alone", "stop", "not complete"),
    ("none", set(), "not complete"),
    ("another", {"test"}, "it holds 'test'"),
    ("a number", 3, "must be a set of names"),
    ("a dict", dict.fromkeys(sorted(LEAKS), 1), "without colons, got a dict"),
    ("not written", ..., "leaks has no value yet"),
]
RIGHT[checks.check_leaks] = [
    ("a list", ["mean", "twice", "stop"]),
    ("a frozen set", frozenset(LEAKS)),
    ("a tuple with spaces", (" mean", "stop ", "twice")),
]


def cut(families: list[str], order: list[str], shares: Any) -> list[Any]:
    """Families in an order, cut by the number of words."""
    N, done = len(families), 0
    ends = list(accumulate(shares))
    parts: list[list[int]] = [[] for _ in shares]
    for name in order:
        words = [k for k, family in enumerate(families) if family == name]
        part = next((k for k, end in enumerate(ends) if done < end * N - 1e-9), len(shares) - 1)
        parts[part] += words
        done += len(words)
    return [np.array(part, int) for part in parts]


def right_split(families: Any, shares: Any, rng: Any) -> Any:
    return cut(families, list(rng.permutation(sorted(set(families)))), shares)


def parts_of(change: Any) -> Any:
    return lambda families, shares, rng: change(right_split(families, shares, rng), families)


def by_words(families: Any, shares: Any, rng: Any) -> Any:
    ends = (np.cumsum(shares)[:-1] * len(families)).astype(int)
    return np.split(rng.permutation(len(families)), ends)


def by_number_of_families(families: Any, shares: Any, rng: Any) -> Any:
    names = rng.permutation(sorted(set(families)))
    groups = np.split(names, (np.cumsum(shares)[:-1] * len(names)).astype(int))
    return [np.flatnonzero(np.isin(families, group)) for group in groups]


def a_coin_each(families: Any, shares: Any, rng: Any) -> Any:
    home = {name: rng.choice(len(shares), p=shares) for name in sorted(set(families))}
    return [np.array([k for k, f in enumerate(families) if home[f] == n], int)
            for n in range(len(shares))]  # fmt: skip


def filled(families: Any, shares: Any, rng: Any) -> Any:
    """Fill a part until it has its share, then go on: what is too much is forgotten."""
    parts: list[list[int]] = [[] for _ in shares]
    k = 0
    for name in rng.permutation(sorted(set(families))):
        if len(parts[k]) >= shares[k] * len(families) - 1e-9 and k < len(shares) - 1:
            k += 1
        parts[k] += [i for i, family in enumerate(families) if family == name]
    return parts


def cuts_rounded_down(families: Any, shares: Any, rng: Any) -> Any:
    """Also the last part ends where the sum of the shares says."""
    ends = (np.cumsum(shares) * len(families)).astype(int)
    parts: list[list[int]] = [[] for _ in shares]
    begin = 0
    for name in rng.permutation(sorted(set(families))):
        words = [k for k, family in enumerate(families) if family == name]
        for part, end in zip(parts, ends):
            if begin < end:
                part += words
                break
        begin += len(words)
    return parts


def by_part_of_name(parts: Any, families: Any) -> Any:
    """Relatives are found with `in`."""
    names = [{families[k] for k in part} for part in parts]
    return [[k for k, family in enumerate(families) for name in held if name in family]
            for held in names]  # fmt: skip


def by_part_of_name_once(parts: Any, families: Any) -> Any:
    return [sorted(set(part)) for part in by_part_of_name(parts, families)]


def by_first_letters(families: Any, shares: Any, rng: Any) -> Any:
    return right_split([name[:2] for name in families], shares, rng)


def without_the_last(families: Any, shares: Any, rng: Any) -> Any:
    parts = right_split(families, shares, rng)
    longest = max(range(len(parts)), key=lambda k: len(parts[k]))
    parts[longest] = parts[longest][:-1]
    return parts


def all_in_training(families: Any, shares: Any, rng: Any) -> Any:
    return [np.arange(len(families)), *([[]] * (len(shares) - 1))]


def families_sorted(families: Any, shares: Any, rng: Any) -> Any:
    families[:] = sorted(families)
    return right_split(families, shares, rng)


def from_one(parts: Any, families: Any) -> Any:
    return [np.asarray(part) + 1 for part in parts]


def named(parts: Any, families: Any) -> Any:
    return [[families[k] for k in part] for part in parts]


def as_truth(parts: Any, families: Any) -> Any:
    return [np.isin(np.arange(len(families)), part) for part in parts]


EITHER = [
    ("left out", without_the_last, "is in no part"),
    ("from one", parts_of(from_one), "holds the index"),
    ("names", parts_of(named), "holds names of families"),
    ("truth values", parts_of(as_truth), "True and False; np.flatnonzero"),
    ("numbers with a point", parts_of(lambda parts, f: [np.array(p, float) for p in parts]),
     "must be an array of indices"),
    ("test words twice", parts_of(lambda parts, f: [np.concatenate(parts), *parts[1:]]),
     "more than once"),
    ("one array", parts_of(lambda parts, f: np.concatenate(parts)),
     "for each of \\d shares; it returned|part 0 must be"),
    ("without the training part", parts_of(lambda parts, f: parts[1:]), "it returned"),
    ("a dict", parts_of(lambda parts, f: dict(enumerate(parts))), "must return a list of arrays"),
    ("the list changed", families_sorted, "changed its argument families"),
    ("stops", stops, "stopped with IndexError"),
    ("not written", dots, "returned Ellipsis"),
]  # fmt: skip
WRONG[checks.check_split] = [
    *EITHER,
    ("by words", by_words, "put whole families into the parts, not words"),
    ("by the number of families", by_number_of_families, "count words, not families"),
    ("a coin for each", a_coin_each, "leave no size to chance"),
    ("all in training", all_in_training, "leave no size to chance"),
    ("parts turned round", parts_of(lambda parts, f: parts[::-1]), "leave no size to chance"),
    ("each filled anew", filled, "the overshoot of one part is taken from the next"),
    ("all cuts rounded down", cuts_rounded_down, "is in no part.*a little less than 1"),
    ("by first letters", by_first_letters, "further off than the largest family"),
    ("by part of the name", parts_of(by_part_of_name), "compare with =="),
    ("by part of the name, once", parts_of(by_part_of_name_once), "compare with =="),
]


def alphabetical(families: Any, shares: Any, rng: Any) -> Any:
    return cut(families, sorted(set(families)), shares)


def as_they_come(families: Any, shares: Any, rng: Any) -> Any:
    return cut(families, list(dict.fromkeys(families)), shares)


def turned_alphabet(families: Any, shares: Any, rng: Any) -> Any:
    names = sorted(set(families))
    k = int(rng.integers(len(names)))
    return cut(families, names[k:] + names[:k], shares)


def turned_as_they_come(families: Any, shares: Any, rng: Any) -> Any:
    names = list(dict.fromkeys(families))
    k = int(rng.integers(len(names)))
    return cut(families, names[k:] + names[:k], shares)


def own_generator(families: Any, shares: Any, rng: Any) -> Any:
    return right_split(families, shares, np.random.default_rng())


def own_fixed_seed(families: Any, shares: Any, rng: Any) -> Any:
    return right_split(families, shares, np.random.default_rng(0))


def few_swaps(families: Any, shares: Any, rng: Any) -> Any:
    names = sorted(set(families))
    for _ in range(6):
        i, j = rng.integers(len(names), size=2)
        names[i], names[j] = names[j], names[i]
    return cut(families, names, shares)


def few_swaps_of_the_list(families: Any, shares: Any, rng: Any) -> Any:
    names = list(dict.fromkeys(families))
    for _ in range(6):
        i, j = rng.integers(len(names), size=2)
        names[i], names[j] = names[j], names[i]
    return cut(families, names, shares)


def shuffled_if_equal(families: Any, shares: Any, rng: Any) -> Any:
    names = sorted(set(families), key=lambda name: (families.count(name), name))
    if families.count(names[0]) == families.count(names[-1]):
        rng.shuffle(names)
    return cut(families, names, shares)


def first_always_trains(families: Any, shares: Any, rng: Any) -> Any:
    first, *rest = sorted(set(families))
    return cut(families, [first, *rng.permutation(rest)], shares)


def last_always_tests(families: Any, shares: Any, rng: Any) -> Any:
    *rest, last = sorted(set(families))
    return cut(families, [*rng.permutation(rest), last], shares)


WRONG[checks.check_split_chance] = [
    *EITHER,
    ("alphabetical", alphabetical, "same parts for 60 generators"),
    ("as they come", as_they_come, "same parts for 60 generators"),
    ("a seed of its own", own_fixed_seed, "same parts for 60 generators"),
    ("a generator of its own", own_generator, "other parts for a generator in the same state"),
    ("the alphabet turned", turned_alphabet, "neighbours among the families"),
    ("turned as they come", turned_as_they_come, "neighbours among the families"),
    ("the first always trains", first_always_trains, "was never in part"),
    ("the last always tests", last_always_tests, "was never in part"),
    ("few swaps", few_swaps, "where the order of the alphabet would|neighbours among"),
    ("few swaps of the list", few_swaps_of_the_list, "the order of the list would|neighbours"),
    ("shuffled if all are equal", shuffled_if_equal, "of several sizes: shuffle them also then"),
]


def shuffled_by_random(families: Any, shares: Any, rng: Any) -> Any:
    names = sorted(set(families))
    random.Random(int(rng.integers(2**62))).shuffle(names)
    return tuple(part.tolist() for part in cut(families, names, shares))


def by_keys(families: Any, shares: Any, rng: Any) -> Any:
    """A random number for each family, in the order in which they appear."""
    key = {name: rng.random() for name in dict.fromkeys(families)}
    return cut(families, sorted(key, key=key.__getitem__), shares)


def to_the_neediest(families: Any, shares: Any, rng: Any) -> Any:
    """Each family to the part that lacks most."""
    parts: list[list[int]] = [[] for _ in shares]
    for name in rng.permutation(sorted(set(families))):
        words = [k for k, f in enumerate(families) if f == name]
        lack = [share * len(families) - len(part) for share, part in zip(shares, parts)]
        parts[int(np.argmax(lack))] += words
    return parts


def words_first(families: Any, shares: Any, rng: Any) -> Any:
    """The order in which the families come up among shuffled words."""
    order = dict.fromkeys(families[k] for k in rng.permutation(len(families)))
    return [rng.permutation(part) for part in cut(families, list(order), shares)]


def large_first(families: Any, shares: Any, rng: Any) -> Any:
    """Shuffled, then the large ones first."""
    names = rng.permutation(sorted(set(families)))
    return cut(families, sorted(names, key=families.count, reverse=True), shares)


ANY_SPLIT = [
    ("large families first", large_first),
    ("shuffled by Python's random", shuffled_by_random),
    ("by random keys", by_keys),
    ("to the part that lacks most", to_the_neediest),
    ("families in the order of shuffled words", words_first),
]
RIGHT[checks.check_split] = ANY_SPLIT
RIGHT[checks.check_split_chance] = ANY_SPLIT

# --- 6. Patience. ---


def stopping(bug: str) -> Any:
    return lambda scores, patience, least: checks._early_stop(scores, patience, least, bug)


def scores_returned(scores: Any, patience: Any, least: Any) -> Any:
    stopped, kept = checks._early_stop(scores, patience, least)
    return scores[stopped] + 0.01, scores[kept]


def never_ends_by_itself(scores: Any, patience: Any, least: Any) -> Any:
    stopped, kept = checks._early_stop(scores, patience, least)
    return (stopped, kept) if stopped < len(scores) - 1 else None


def sorts(scores: Any, patience: Any, least: Any) -> Any:
    right = checks._early_stop(scores, patience, least)
    scores.sort()
    return right


def higher_is_better(scores: Any, patience: Any, least: Any) -> Any:
    return checks._early_stop([-score for score in scores], patience, least)


def from_a_constant(start: float) -> Any:
    """The best so far is a number that is thought to be large."""

    def early_stop(scores: Any, patience: Any, least: Any) -> Any:
        last = best = start
        kept = waited = 0
        for look, score in enumerate(scores):
            if score < best:
                best, kept = score, look
            waited = 0 if score < last - least else waited + 1
            last = score if waited == 0 else last
            if waited == patience:
                break
        return look, kept

    return early_stop


def seen_as(change: Any) -> Any:
    return lambda scores, patience, least: checks._early_stop(change(scores), patience, least)


def chapters(scores: Any, patience: Any, least: Any) -> Any:
    """The function of the chapter, which knows no least."""
    best = 0
    for look, score in enumerate(scores):
        if score < scores[best]:
            best = look
        if look - best == patience:
            break
    return look, best


WRONG[checks.check_early_stop] = [
    *((bug, stopping(bug), why[:40].replace("(", ".").replace(")", "."))
      for bug, why in checks.STOP_BUGS.items()),
    ("as in the chapter", chapters, "progress must be lower by more than least"),
    ("higher is better", higher_is_better, "it should be"),
    ("from 10", from_a_constant(10), "it should be"),
    ("from a billion", from_a_constant(1e9), "it should be"),
    ("10 for nan", seen_as(lambda s: np.nan_to_num(s, nan=10.0)), "it should be"),
    ("rounded", seen_as(lambda s: np.round(s, 3)), "it should be"),
    ("single precision", seen_as(lambda s: s.astype("f4")), "it should be"),
    ("more than least", lambda scores, patience, least: checks._early_stop(
        scores, patience, least + 1e-6), "it should be"),
    ("patience up to 50", lambda scores, patience, least: checks._early_stop(
        scores, min(patience, 50), least), r"60 scores|61 scores"),
    ("scores", scores_returned, "it should be"),
    ("nothing at the end", never_ends_by_itself, "returned None"),
    ("sorted", sorts, "changed its argument scores"),
    ("kept alone", lambda scores, patience, least: checks._early_stop(
        scores, patience, least)[1], "must return stopped, kept"),
    ("three things", lambda scores, patience, least: (0, *checks._early_stop(
        scores, patience, least)), "it returned 3 things"),
    ("a text", lambda scores, patience, least: ("0", 0), "stopped must be a number"),
    ("stops", stops, "stopped with IndexError"),
    ("not written", dots, "returned Ellipsis"),
]  # fmt: skip


def in_numpy(scores: Any, patience: Any, least: Any) -> Any:
    """Progress first, then the first gap that is long enough."""
    a = np.nan_to_num(np.array(scores, float), nan=np.inf)
    marks = [0]
    for look in range(1, len(a)):
        if a[look] < a[marks[-1]] - least:
            marks.append(look)
    stopped = len(a) - 1
    for mark, after in pairwise([*marks, len(a) + patience]):
        if after - mark > patience and mark + patience < len(a):
            stopped = mark + patience
            break
    return np.array([stopped, np.argmin(a[: stopped + 1])])


def recursive(scores: Any, patience: Any, least: Any) -> Any:
    def go(look: int, last: float, waited: int) -> int:
        if look == len(scores) or waited == patience:
            return look - 1
        if last - scores[look] > least:
            return go(look + 1, scores[look], 0)
        return go(look + 1, last, waited + 1)

    stopped = go(1, scores[0], 0)
    seen = [(score, k) for k, score in enumerate(scores[: stopped + 1]) if score == score]
    return [stopped, min(seen)[1]]


def floats(scores: Any, patience: Any, least: Any) -> Any:
    stopped, kept = recursive(scores, patience, least)
    return float(stopped), np.int32(kept)


RIGHT[checks.check_early_stop] = [
    ("from infinity", from_a_constant(math.inf)),
    ("gaps, in an array", lambda *args: tuple(in_numpy(*args))),
    ("recursive, in a list", recursive),
    ("floats", floats),
]


def needing(bug: str) -> Any:
    return lambda scores: checks._needed(scores, bug)


def ties_count(scores: Any) -> Any:
    best, needed = 0, 1
    for look, score in enumerate(scores):
        if score <= scores[best]:
            best, needed = look, max(needed, look - best)
    return needed


def worst_run(scores: Any) -> Any:
    """How often in a row the score rises."""
    run = most = 1
    for a, b in pairwise(scores):
        run = run + 1 if b > a else 1
        most = max(most, run)
    return most


def tried_up_to(most: int) -> Any:
    """Falls through if none is found."""
    return lambda scores: next((p for p in range(1, most) if checks._early_stop(
        scores, p, 0.0)[1] == int(np.argmin(scores))), None)  # fmt: skip


WRONG[checks.check_patience_needed] = [
    ("tried up to 20", tried_up_to(20), r"61 scores. patience_needed returned nothing: does a l"),
    ("at most 20", lambda scores: min(20, checks._needed(scores)), "the longest wait"),
    (
        "rounded",
        lambda scores: checks._needed(np.round(scores, 3)),
        "1.000000001.*the longest wait",
    ),
    ("zero", needing("zero"), "the smallest patience is still 1"),
    ("one less", needing("one less"), "one look before the next progress"),
    ("one more", needing("one more"), "a smaller one is enough: the progress"),
    ("place", needing("place"), "the look of the best score"),
    ("last gap", needing("last gap"), "not at the last alone"),
    ("first gap", needing("first gap"), "not at the first alone"),
    ("whole", needing("whole"), "need not be waited for"),
    ("length", needing("all"), "a smaller one is enough"),
    ("ties", ties_count, "a tie is no new lowest"),
    ("rises in a row", worst_run, "the longest wait"),
    ("a list", lambda scores: [1, 2], "must be a single number"),
    ("text", lambda scores: "2", "must be a number"),
    ("sorted", lambda scores: (scores.sort(), 1)[1], "changed its argument scores"),
    ("stops", stops, "stopped with IndexError"),
    ("not written", dots, "returned Ellipsis"),
]


def tried(scores: Any) -> Any:
    """Every patience in turn."""
    patience = 1
    while checks._early_stop(scores, patience, 0.0)[1] != int(np.argmin(scores)):
        patience += 1
    return patience


def by_records(scores: Any) -> Any:
    lowest = np.minimum.accumulate(scores)
    records = [0, *(np.flatnonzero(np.diff(lowest) < 0) + 1)]
    return np.max(np.diff(records), initial=1)


RIGHT[checks.check_patience_needed] = [
    ("tried one by one", tried),
    ("records by NumPy", by_records),
    ("a float", lambda scores: float(tried(scores))),
]

# --- 7. Luck. ---


def luck(fresh: Any = 0.5, examples: Any = 400) -> Any:
    return fresh, examples


WRONG[checks.check_luck] = [
    ("percent", luck(50), "not a percentage"),
    ("the chosen score", luck(0.61), "its luck is gone now"),
    ("bad luck follows", luck(0.39), "the coin has no memory"),
    ("the score of the formula", luck(0.612), "its luck is gone now|chosen by"),
    ("any other", luck(0.55), "what is a coin worth"),
    ("twice", luck(examples=200), "with the root of the number"),
    ("times the root", luck(examples=141), "so it takes more"),
    ("half", luck(examples=50), "leave more to luck, not less"),
    ("a quarter", luck(examples=25), "leave more to luck"),
    ("the square", luck(examples=10_000), "not with a higher power"),
    ("sixteen times", luck(examples=1600), "makes it a quarter"),
    ("300 more", luck(examples=300), "how many more it takes"),
    ("the factor", luck(examples=4), "this is the factor"),
    ("something else", luck(examples=700), "spread of one score half as large"),
    ("text", luck("0.5"), "must be a number"),
    ("not written", luck(examples=...), "examples has no value yet"),
]
RIGHT[checks.check_luck] = [
    ("a fraction", luck(Fraction(1, 2), 400.0)),
    ("exact by the formula", luck(np.float64(0.5), np.int64(399))),
    ("rough", luck(0.501, 410)),
    ("rougher", luck(0.5, 450)),
    ("rougher, too few", luck(0.5, 350)),
]


def by_steps(n: int, m: int, q: float) -> Any:
    """P(k) from P(k - 1); the first may be smaller than any float."""
    P, below, total = (1 - q) ** m, 0.0, 0.0
    for k in range(m):
        below += P
        total += 1 - min(below, 1.0) ** n
        P *= (m - k) / (k + 1) * q / (1 - q)
    return np.array(total / m)


def by_steps_down(n: int, m: int, q: float) -> Any:
    """The same from the other end."""
    P = [q**m]
    for k in range(m, 0, -1):
        P.append(P[-1] * k / (m - k + 1) * (1 - q) / q)
    F = np.cumsum(P[::-1])
    return np.arange(m + 1) @ np.diff(F**n, prepend=0.0) / m


def best(bug: str) -> Any:
    return lambda n, m, q: checks._best_of(n, m, q, bug)


def drawn_at_random(n: int, m: int, q: float) -> Any:
    draw = np.random.default_rng(0)
    return draw.binomial(m, q, size=(200, n)).max(axis=1).mean() / m


def best_changed(change: Any) -> Any:
    return lambda n, m, q: change(checks._best_of(n, m, q), n, m, q)


WRONG[checks.check_best_of] = [
    ("mean", best("mean"), "the expected score of one network"),
    ("number", best("times m"), "the number of right answers"),
    ("optimism", best("optimism"), "by how much the score is too good"),
    ("worst", best("min"), "the worst of n"),
    ("error", best("error"), "the share of wrong answers"),
    ("density", best("continuous"), "which is for densities"),
    ("a term too many", best("one too many"), "a term too many"),
    ("F(k) for F(k - 1)", best("one too few"), r"with F\(k\) for F\(k - 1\)"),
    ("P to the n", best("power of P"), "the chance that all n have k right"),
    ("n - 1", best("sharper"), "the best of n - 1"),
    ("n + 1", best("one more"), "the best of n . 1"),
    ("times n", best("times n"), "n times too large"),
    ("q for 1 - q", lambda n, m, q: checks._best_of(n, m, 1 - q), "taken to be 1 - q"),
    ("a half", lambda n, m, q: checks._best_of(n, m, 0.5), "q is taken to be 0.5"),
    ("normal", lambda n, m, q: checks._best_of(n, m, q, "normal" if n * m > 100 else ""),
     "the normal curve"),
    ("at random", drawn_at_random, "should be"),
    ("a little off", best_changed(lambda s, n, m, q: s + 1e-4 * (n > 1)), "near, but not exact"),
    ("from a P that is 0", by_steps, r"is not 1: .1 - q...m or"),
    ("from the other end", by_steps_down, r"is not 0: .1 - q...m or"),
    ("several", best_changed(lambda s, n, m, q: [s, s]), "must be a single number"),
    ("overflows", best_changed(lambda s, n, m, q: s * math.inf), "finite number"),
    ("text", best_changed(lambda s, n, m, q: str(s)), "must be a number"),
    ("stops", stops, "stopped with IndexError"),
    ("not written", dots, "returned Ellipsis"),
]  # fmt: skip


def by_differences(n: int, m: int, q: float) -> Any:
    """F(k)^n - F(k - 1)^n, with the distribution added up anew for each k."""
    P = [math.comb(m, k) * q**k * (1 - q) ** (m - k) for k in range(m + 1)]
    F = [sum(P[: k + 1]) for k in range(m + 1)]
    return sum(k * (F[k] ** n - (F[k - 1] ** n if k else 0)) for k in range(m + 1)) / m


def one_after_another(n: int, m: int, q: float) -> Any:
    """The distribution of the best so far, one network more each time."""
    P = np.array([math.comb(m, k) * q**k * (1 - q) ** (m - k) for k in range(m + 1)])
    best_so_far, F = P.copy(), np.cumsum(P)
    for _ in range(n - 1):
        below = np.cumsum(best_so_far) - best_so_far
        best_so_far = best_so_far * F + P * below
    return np.arange(m + 1) @ best_so_far / m


def by_logs(n: int, m: int, q: float) -> Any:
    logs = [math.lgamma(m + 1) - math.lgamma(k + 1) - math.lgamma(m - k + 1)
            + k * math.log(q) + (m - k) * math.log1p(-q) for k in range(m + 1)]  # fmt: skip
    return np.sum(1 - np.cumsum(np.exp(logs))[:-1] ** n) / m


def by_tosses(n: int, m: int, q: float) -> Any:
    """The distribution of one network, one example more each time."""
    P = np.ones(1)
    for _ in range(m):
        P = np.convolve(P, [1 - q, q])
    return np.sum(1 - np.cumsum(P)[:-1] ** n) / m


RIGHT[checks.check_best_of] = [
    ("by differences", by_differences),
    ("one network after another", one_after_another),
    ("by logarithms", by_logs),
    ("toss by toss", by_tosses),
]

# --- What the checks and the texts rely on. ---


def test_the_cache_of_the_checks_is_that_of_the_notebook():
    cells = nbformat.read(ROOT / "solutions/07_dropout.ipynb", as_version=4).cells
    scope: dict[str, Any] = {"np": np, "sigmoid": sigmoid}
    exec(next(c.source for c in cells if c.source.startswith("def masked_lstm")), scope)
    rng = np.random.default_rng(0)
    params, x = init_lstm(2, 4, rng=rng), rng.normal(size=(5, 3, 2))
    mask = dropout_mask((5, 3, 4), 0.4, rng=rng)
    out, cache_ = scope["masked_lstm"](params, x, mask)
    theirs = checks._masked_lstm(params, x, mask)
    assert all(np.allclose(a, b, atol=1e-14) for a, b in zip(cache_[1:], theirs[1:], strict=True))
    assert cache_[0] is theirs[0]
    right, _, _ = masked_layer_forward("lstm", params, x, h_mask=mask)
    assert np.allclose(out, right, atol=1e-14)


def test_the_way_back_of_the_checks_agrees_with_finite_differences():
    rng = np.random.default_rng(0)
    params, x = Linear(rng.normal(size=(4, 3)), rng.normal(size=4)), rng.normal(size=(5, 3))
    m, n = (dropout_mask((5, k), 0.4, rng=rng) for k in (3, 4))
    dout = rng.normal(size=(5, 4))
    dx, dW, db = checks._layer_back(params, x, m, n, dout)
    measured = numerical_grad(
        lambda everything: float(np.sum(checks._layer(*everything, m, n) * dout)), (params, x)
    )
    assert relative_error((Linear(dW, db), dx), measured) < 1e-7


def test_the_formulas_of_survival_agree_with_an_enumeration():
    for p, T, locked in [(0.3, 4, False), (0.3, 4, True), (0.0, 2, True), (0.8, 1, False)]:
        assert np.allclose(checks._survival(p, T, locked), enumerated(p, T, locked))


def test_the_weak_tests_pass_as_the_prediction_says():
    rng = np.random.default_rng(1)
    params, x = init_lstm(2, 4, rng=rng), rng.normal(size=(5, 3, 2))
    mask, dout = dropout_mask((5, 3, 4), 0.4, rng=rng), rng.normal(size=(5, 3, 4))
    first, last = np.zeros((2, 5, 1, 1))
    first[0], last[-1] = 1, 1
    tests = {
        "one": (x[:1], mask[:1], dout[:1]),
        "two": (x[:2], mask[:2], dout[:2]),
        "off": (x, np.ones_like(mask), dout),
        "zero": (x, np.zeros_like(mask), dout),
        "locked": (x, np.tile(mask[:1], (5, 1, 1)), dout),
        "first": (x, mask, dout * first),
        "last": (x, mask, dout * last),
    }
    assert tuple(tests) == checks.WEAK_TESTS
    right = set()
    for name, (x_, mask_, dout_) in tests.items():
        cache_ = checks._masked_lstm(params, x_, mask_)
        if relative_error(given(cache_, dout_), by_the_package(cache_, dout_)) < 1e-9:
            right.add(name)
    assert right == PASSES


@pytest.mark.parametrize(
    ("n", "m", "said"), [(50, 100, 0.11), (2500, 100, 0.17), (50, 10, 0.34), (50, 300, 0.06)]
)
def test_the_luck_that_the_text_names(n: int, m: int, said: float):
    assert abs(checks._best_of(n, m, 0.5) - 0.5 - said) < 0.006
