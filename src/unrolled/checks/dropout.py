"""Checks of the exercises of chapter 7, dropout and training well."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from unrolled._validate import Array
from unrolled.checks._tools import (
    NotAnswered,
    alike,
    call,
    close,
    explained,
    fail,
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
from unrolled.dropout import dropout_mask, masked_layer_backward, masked_layer_forward
from unrolled.functional import sigmoid
from unrolled.params import Linear, Recurrent, init_lstm

# --- What several checks share. ---


def _predicted(
    what: str, value: Any, right: float, within: float, look: str, reasons: Mapping[str, float]
) -> None:
    """Compare a predicted number with the right one, and name the mistake if it is known."""
    guess = number(what, value)
    if abs(guess - right) <= within:
        return
    for why, wrong in reasons.items():
        near = abs(guess - wrong) <= 0.005 * max(abs(wrong), 0.01)
        if near and abs(guess - wrong) < abs(guess - right):
            fail(f"{what} = {guess:.6g} is not right: {why}")
    fail(f"{what} = {guess:.6g} is not right: {look}")


def _generator(rng: np.random.Generator) -> np.random.Generator:
    """Return a generator for a learner's function, in a state that the check draws."""
    return np.random.default_rng(rng.integers(2**32))


def _pair(rng: np.random.Generator) -> tuple[np.random.Generator, ...]:
    """Return two generators in one state, and a third in another."""
    seed = int(rng.integers(2**32))
    return tuple(np.random.default_rng(state) for state in (seed, seed, seed + 1))


# --- Masks. ---


def _drawn(
    draw_mask: Any, T: int, B: int, H: int, p: float, locked: bool, rng: np.random.Generator
) -> Array:
    """Call a learner's function, and refuse what holds other numbers than a mask."""
    value = call("draw_mask", draw_mask, T=T, B=B, H=H, p=p, locked=locked, rng=rng)
    if isinstance(value, np.ndarray) and value.dtype.kind == "b":
        explained("draw_mask returned True and False; a mask holds numbers, 0 and 1 / (1 - p)")
    look = "Also a locked mask has an entry for every step."
    mask = numbers("the mask", value, look, T=T, B=B, H=H)
    kept = 1 / (1 - p)
    if (odd := mask[(mask != 0) & (np.abs(mask - kept) > 1e-9 * kept)]).size:
        first = float(odd[0])
        reasons = {
            "it is not rescaled: with 0 and 1 its mean is 1 - p, and it must be 1": 1.0,
            "divide by the share that is kept, 1 - p, not by p": 1 / p if p else 1.0,
            "1 - p is what others multiply by after training; here divide by it": 1 - p,
            "what is kept is divided by 1 - p, not multiplied by p": p,
            "it is rescaled twice": kept**2,
        }
        for why, wrong in reasons.items():
            if p and alike(odd, np.full_like(odd, wrong), 1e-6):
                explained(f"the mask holds {first:.4g} for p = {p:g}: {why}")
        if alike(odd, np.full_like(odd, kept), 1e-4):
            explained(
                f"the mask holds {first:.10g} for p = {p:g}; that is 1 / (1 - p) to a few digits "
                "only: compute in float64, and do not round"
            )
        fail(
            f"the mask holds {first:.4g} for p = {p:g}; only 0 and 1 / (1 - p) = {kept:.4g} may "
            "stand there"
        )
    return mask


def _independent(mask: Array, p: float) -> None:
    """Refuse a large mask whose numbers are not drawn independently with probability p."""
    off = mask == 0
    share, q = float(off.mean()), 1 - p
    if share in (0, 1):
        fail(f"{share:.0f} of the mask is 0, and it should be about p = {p:g}")
    likeness: dict[str, float] = {}
    for axis, what in enumerate(("step", "sequence", "unit")):
        first, second = (np.take(off, list(k), axis) for k in _neighbours(off.shape[axis]))
        if first.size < 2:
            continue
        equal = float((first == second).mean())
        if equal == 1:
            explained(
                {
                    "step": "with locked=False every step has a mask of its own; this one is the "
                    "same at all steps",
                    "sequence": "every sequence has a mask of its own; this one is the same for "
                    "the whole batch",
                    "unit": "every unit has a number of its own; in this mask all units of a "
                    "sequence are off, or none",
                }[what]
            )
        likeness[what] = equal
    for axis, what in enumerate(("step", "sequence", "unit")):
        lines = {line.tobytes() for line in np.moveaxis(off, axis, 0)}
        if len(lines) < off.shape[axis]:
            explained(f"two {what}s have the same mask: each has numbers of its own")
    counts = off.sum(axis=2)
    for axis, what in enumerate(("steps of a sequence", "sequences of a step")):
        if counts.shape[axis] > 1 and (counts == counts.take([0], axis)).all():
            explained(
                f"in all {what} the same number of units is off: each unit is off by a chance of "
                "its own, so the number varies"
            )
    for what, equal in likeness.items():
        if abs(equal - share**2 - (1 - share) ** 2) > 0.06:
            fail(
                f"the mask of one {what} tells something about that of the next: draw every "
                "number independently"
            )
    within = 6 * math.sqrt(p * q / off.size)
    if abs(share - p) > within:
        if abs(share - q) <= within:
            explained(f"{share:.2f} of the mask is 0 for p = {p:g}: p is the share that is dropped")
        tenths = math.floor(10 * p) / 10, math.ceil(10 * p) / 10
        if min(abs(share - tenth) for tenth in tenths) <= within:
            explained(
                f"{share:.2f} of the mask is 0 for p = {p:g}: p need not be a whole number of "
                "tenths, and may not be rounded"
            )
        fail(f"{share:.2f} of the mask is 0, and it should be about p = {p:g}")


def _neighbours(size: int) -> tuple[range, range]:
    return range(size - 1), range(1, size)


def _own_number(draw_mask: Any, rng: np.random.Generator, locked: bool) -> None:
    """Refuse masks that do not follow the generator, or switch off a fixed number of units.

    A mask that switches off all units, or none, must come up too.
    """
    one, same, other = _pair(rng)
    size = (3, 4, 10, 0.5, locked)
    first, second, third = (_drawn(draw_mask, *size, generator) for generator in (one, same, other))
    if not np.array_equal(first, second):
        explained(
            "draw_mask gives another mask for a generator in the same state: draw from rng, and "
            "from nothing else"
        )
    if np.array_equal(first, third):
        explained(
            "draw_mask gives the same mask for two generators in different states: draw from the "
            "rng that is given, and make no new one"
        )
    draws = [_drawn(draw_mask, 1, 1, 10, 0.5, locked, _generator(rng)) for _ in range(30)]
    if len({int((mask == 0).sum()) for mask in draws}) == 1:
        explained(
            "in 30 masks for one sequence of one step the same number of units is off each time: "
            "each unit is off by a chance of its own, so the number varies"
        )
    if all(_drawn(draw_mask, 1, 1, 1, 0.9, locked, _generator(rng)).any() for _ in range(60)):
        explained(
            "in 60 masks for a single unit, with p = 0.9, it is never off: also where all units "
            "are off a mask stays as it was drawn"
        )


def check_draw_mask(draw_mask: Any, seed: int = 0) -> None:
    """Refuse what is not a mask with numbers of its own at every step."""
    rng, kept = rng_of(seed), []
    for T, B, H, p in [(20, 24, 25, 0.35), (20, 24, 25, 0.6), (3, 3, 3, 0.5), (2, 1, 5, 0.9)]:
        mask = _drawn(draw_mask, T, B, H, p, False, _generator(rng))
        if T == 20:
            _independent(mask, p)
    _own_number(draw_mask, rng, False)
    none = _drawn(draw_mask, 4, 3, 5, 0.0, False, _generator(rng))
    if (none != 1).any():
        fail("with p = 0 nothing is dropped, and the mask holds ones; this one holds zeros")
    for _ in range(2):
        generator = _generator(rng)
        size: dict[str, Any] = {"T": 2, "B": 3, "H": 4, "p": 0.5, "locked": False}
        value = call("draw_mask", draw_mask, **size, rng=generator)
        kept.append((value, snapshot(value)))
    same_still("draw_mask", kept)


def check_locked(draw_mask: Any, seed: int = 0) -> None:
    """Refuse what is not one mask for all steps of a sequence."""
    rng = rng_of(seed)
    for T, B, H, p in [(3, 100, 120, 0.35), (3, 3, 3, 0.5), (5, 1, 30, 0.5), (1, 60, 100, 0.6)]:
        mask = _drawn(draw_mask, T, B, H, p, True, _generator(rng))
        if B > 3 and (mask == 0).any() and (mask == mask[:, :1]).all():
            explained(
                "with locked=True the mask is the same for the whole batch; lock it along the "
                "steps, one mask for each sequence"
            )
        if (mask != mask[:1]).any():
            explained("with locked=True all steps of a sequence have one mask; here they differ")
        if B > 3:
            _independent(mask[:1], p)
    _own_number(draw_mask, rng, True)


# --- A layer between two masks. ---

# (B, D, H): a case in which wrong transposes fit, so that they can be named; then all different,
# one sequence, one unit, one input; one size again, for what an answer keeps from call to call,
# and for five cases that are special by their masks or their numbers.
LAYERS = [(4, 4, 4), (3, 2, 5), (1, 4, 3), (2, 3, 1), (2, 1, 3), *[(3, 2, 5)] * 5]
FLAT, X_ALONE, H_ZERO, X_ZERO, IN_USE = range(5, 10)


def _layer_case(rng: np.random.Generator, k: int) -> dict[str, Any]:
    """Draw the layer's arguments; in the case FLAT tanh is 1 or -1, and h_mask stands alone."""
    B, D, H = LAYERS[k]
    params = Linear(0.4 * rng.normal(size=(H, D)), 0.7 * rng.normal(size=H))
    x = rng.normal(size=(B, D))
    if k == FLAT:
        np.abs(params.W, out=params.W)
        params.W[:] += 0.5
        x[0] = 1e3 * (1 + rng.random(D))
        x[1] = -x[0]
        x[2] *= 0.2
    x_mask, h_mask = (_mask(rng, (B, width), rng.uniform(0.2, 0.5)) for width in (D, H))
    return {
        "params": params,
        "x": x,
        "x_mask": None if k in (FLAT, IN_USE) else 0 * x_mask if k == X_ZERO else x_mask,
        "h_mask": None if k in (X_ALONE, IN_USE) else 0 * h_mask if k == H_ZERO else h_mask,
    }


def _where(case: dict[str, Any]) -> str:
    """Say which of the two masks is special."""
    words = []
    for name in ("x_mask", "h_mask"):
        if case[name] is None:
            words.append(f"{name} = None")
        elif not case[name].any():
            words.append(f"an {name} of zeros")
    return f"with {' and '.join(words)}, " if words else ""


def _mask(rng: np.random.Generator, shape: tuple[int, int], p: float) -> Array:
    """Draw a mask that is neither all zeros nor without any, if there is room."""
    mask = dropout_mask(shape, p, rng=rng)
    mask[0, 0] = 1 / (1 - p)
    if mask.size > 1:
        mask[-1, -1] = 0.0
    return mask


def _layer(
    params: Linear, x: Array, x_mask: Array | None, h_mask: Array | None, *wrong: str
) -> Array:
    """Compute the masked layer's output, right or with a mistake by its name below."""
    m: Array | float = 1.0 if x_mask is None or "no x mask" in wrong else x_mask
    n: Array | float = 1.0 if h_mask is None or "no h mask" in wrong else h_mask
    if "zeros and ones" in wrong:
        m, n = np.sign(m), np.sign(n)
    if "twice" in wrong:
        m, n = np.square(m), np.square(n)
    if "exchanged" in wrong:
        m, n = n, m
    a = (
        m * (x @ params.W.T)
        if "after W" in wrong
        else (m * x) @ (params.W if "W turned" in wrong else params.W.T)
    )
    a = a if "no b" in wrong else a + params.b
    if "inside" in wrong:
        return np.tanh(n * a)
    return n * (a if "no tanh" in wrong else np.tanh(a))


LAYER_BUGS = {
    "no x mask": "what comes out if x_mask is not used",
    "no h mask": "what comes out if h_mask is not used",
    "inside": "what comes out with h_mask inside the tanh; it multiplies what comes out of it",
    "zeros and ones": "what comes out if the masks hold 0 and 1; multiply by what stands in them",
    "twice": "what comes out if each mask is applied twice",
    "no b": "what comes out without b",
    "no tanh": "what comes out without tanh",
    "W turned": "what comes out if W is used without .T",
    "exchanged": "what comes out with the two masks exchanged",
    "after W": "what comes out if x_mask multiplies what comes out of W; it multiplies x",
}
SQUARE_BUGS = {"W turned", "exchanged", "after W"}  # they need as many inputs as units


def check_block(block: Any, seed: int = 0) -> None:
    """Refuse what is not a tanh layer between two masks."""
    rng, kept = rng_of(seed), []
    for k, (B, D, H) in enumerate(LAYERS):
        case = _layer_case(rng, k)
        value = call("block", block, **case)
        out = numbers("out", value, "One number for each sequence and unit.", B=B, H=H)
        bugs = [bug for bug in LAYER_BUGS if bug not in SQUARE_BUGS or D == H]
        suspects = {LAYER_BUGS[bug]: _layer(*case.values(), bug) for bug in bugs}
        look = "x times its mask, then the layer, then its output times the other mask."
        if "None" in _where(case):
            look = "For a mask that is None nothing may be multiplied, and nothing rescaled."
        close(f"{_where(case)}out", out, _layer(*case.values()), suspects=suspects, look=look)
        kept.append((value, snapshot(value)))
    same_still("block", kept)


def _layer_back(
    params: Linear, x: Array, x_mask: Array | None, h_mask: Array | None, dout: Array, *wrong: str
) -> tuple[Array, Array, Array]:
    """Carry a gradient back through the masked layer, right or with mistakes by their names."""
    m = np.ones_like(x) if x_mask is None else x_mask
    n = np.ones_like(dout) if h_mask is None else h_mask
    h = _layer(params, x, None if "h without x mask" in wrong else x_mask, None)
    slope = 1 - (n * h) ** 2 if "masked slope" in wrong else 1 - h**2
    slope = np.ones_like(h) if "no slope" in wrong else slope
    way = {"no h mask": np.ones_like(n), "h mask twice": n * n, "h mask of 0 and 1": np.sign(n)}
    (back,) = [way[name] for name in wrong if name in way] or [n]
    da = back * dout * slope
    dm = da @ params.W
    ways = {"no x mask": dm, "x mask twice": m * m * dm, "x mask of 0 and 1": np.sign(m) * dm}
    (dx,) = [ways[name] for name in wrong if name in ways] or [m * dm]
    read = x if "x in dW" in wrong else m * x
    read = m * read if "twice in dW" in wrong else read
    return dx, da.T @ read, da.sum(axis=0)


LAYER_BACK_BUGS = {
    ("masked slope",): "what comes out with the slope 1 - out**2; out is masked, and tanh's slope "
    "needs its own result, before h_mask",
    ("no h mask",): "what comes out if h_mask is left out on the way back",
    ("no x mask",): "what comes out if dx lacks x_mask",
    ("x in dW",): "what comes out if the gradient of W reads x; W was multiplied by x_mask * x",
    ("no x mask", "x in dW"): "what comes out if x_mask is left out on the way back",
    ("no h mask", "no x mask"): "what comes out if both masks are left out on the way back",
    ("no h mask", "no x mask", "x in dW"): "what comes out if both masks are left out",
    ("h mask twice",): "what comes out if h_mask is applied twice on the way back",
    ("x mask twice",): "what comes out if x_mask is applied twice to dx",
    ("h mask of 0 and 1",): "what comes out if h_mask holds 0 and 1 on the way back",
    ("x mask of 0 and 1",): "what comes out if x_mask holds 0 and 1 on the way back",
    ("h without x mask",): "what comes out if h is computed again without x_mask",
    ("twice in dW",): "what comes out if x_mask is applied twice in the gradient of W",
    ("no slope",): "what comes out without the slope of tanh, 1 - h**2",
    ("masked slope", "no h mask"): "what comes out with the slope 1 - out**2, of the masked out, "
    "and without h_mask",
    ("masked slope", "x in dW"): "what comes out with the slope 1 - out**2, of the masked out, and "
    "x without its mask in the gradient of W",
}


def check_block_backward(block_backward: Any, seed: int = 0) -> None:
    """Refuse a wrong way back through a tanh layer between two masks."""
    rng, name, kept = rng_of(seed), "block_backward", []
    for k, (B, D, H) in enumerate(LAYERS):
        case = _layer_case(rng, k)
        case["dout"] = rng.normal(size=(B, H))
        value = call(name, block_backward, **case)
        dx, grads = results(name, value, "dx", "grads")
        if not isinstance(grads, tuple | list) or len(grads) != 2:
            explained("grads must be Linear(W, b), two arrays")
        hint = "It has the shape of what it is the gradient of."
        got = [
            numbers("dx", dx, hint, B=B, D=D),
            numbers("the gradient of W", grads[0], hint, H=H, D=D),
            numbers("the gradient of b", grads[1], hint, H=H),
        ]
        right = _layer_back(*case.values())
        wrong: dict[str, Sequence[Array]] = {
            why: _layer_back(*case.values(), *bugs) for bugs, why in LAYER_BACK_BUGS.items()
        }
        if D == H:
            wrong["the transpose of the right one"] = [a.T for a in right]
            params, x, x_mask, h_mask, dout = case.values()
            exchanged = _layer_back(params, x, h_mask, x_mask, dout)
            wrong["what comes out with the two masks exchanged"] = exchanged
        wrong["the mean over the batch; the gradients are sums"] = [a / B for a in right]
        look = "Go back line by line: h_mask, then tanh, then W, then x_mask."
        for part, what in [(1, "the gradient of W"), (2, "the gradient of b"), (0, "dx")]:
            suspects = {why: arrays[part] for why, arrays in wrong.items()}
            close(_where(case) + what, got[part], right[part], suspects=suspects, look=look)
        kept.append((value, snapshot(value)))
    same_still(name, kept)


# --- Three mistakes in a masked LSTM. ---

WEAK_TESTS = ("one", "two", "off", "zero", "locked", "first", "last")


def check_passes(passes: Any) -> None:
    """Refuse a wrong prediction of which weak tests a wrong backward pass gets through."""
    chosen = names_of("passes", passes, WEAK_TESTS)
    wrong = {
        "two": "before the second step h_1 meets its mask and c_1 meets none; is that so on the "
        "way back?",
        "zero": "W_hh reads m * h, which is zero, so its gradient is zero; what is it here?",
        "locked": "there one index is as good as another, but what W_hh read, and what the cell "
        "met, is wrong with any mask",
        "last": "the gradient that enters at the last step still goes back through all others",
    }
    right = {
        "one": "h_0 and c_0 are zero; what is left for a mask to do?",
        "off": "what does a product with a mask of ones change?",
        "first": "what is there to be carried back from the later steps, and what is h_0?",
    }
    judge_names(
        "passes",
        chosen,
        wrong,
        right,
        where="where a gradient is wrong:",
        look=". Ask of each test:",
    )


Masked = tuple[Recurrent, Array, Array, Array, Array, Array]


def _masked_lstm(params: Recurrent, x: Array, mask: Array) -> Masked:
    """Run an LSTM from zeros with a mask on h before each step, and return its cache."""
    (T, B, _), H = x.shape, params.W_hh.shape[1]
    h, c, gates = np.zeros((T + 1, B, H)), np.zeros((T + 1, B, H)), np.empty((T, B, 4 * H))
    for t in range(T):
        a = x[t] @ params.W_ih.T + (mask[t] * h[t]) @ params.W_hh.T + params.b_ih + params.b_hh
        i, f, g, o = np.split(a, 4, axis=1)
        i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
        gates[t] = np.concatenate([i, f, g, o], axis=1)
        c[t + 1] = f * c[t] + i * g
        h[t + 1] = o * np.tanh(c[t + 1])
    return params, x, h, c, gates, mask


def _masked_back(cache: Masked, dout: Array, *wrong: str) -> tuple[Array, ...]:
    """Go back through the masked LSTM, right or with mistakes by their names below."""
    params, x, h, c, gates, mask = cache
    da, dh, dc = np.empty_like(gates), np.zeros_like(h[0]), np.zeros_like(h[0])
    T = len(x)
    for t in reversed(range(T)):
        i, f, g, o = np.split(gates[t], 4, axis=1)
        into = dout[t] * (mask[t] if "mask on dout" in wrong else 1.0)
        into = into if "dout at the end" not in wrong or t == T - 1 else np.zeros_like(into)
        dh, tanh_c = dh + into, np.tanh(c[t + 1])
        if "mask on all of dh" in wrong:
            dh = mask[t] * dh
        dc = dc + dh * o * (1 - tanh_c**2)
        da_i, da_f = dc * g * i * (1 - i), dc * c[t] * f * (1 - f)
        da_g, da_o = dc * i * (1 - g**2), dh * tanh_c * o * (1 - o)
        da[t] = np.concatenate([da_i, da_f, da_g, da_o], axis=1)
        m = {
            "step before": mask[t - 1],
            "step after": mask[(t + 1) % T],
            "no mask": np.ones_like(mask[t]),
            "mask on all of dh": np.ones_like(mask[t]),
            "twice": mask[t] ** 2,
            "zeros and ones": np.sign(mask[t]),
        }
        (used,) = [m[name] for name in wrong if name in m] or [mask[t]]
        dh = used * (da[t] @ params.W_hh)
        if "dh not carried" in wrong:
            dh = np.zeros_like(dh)
        on_cell = {"cell": mask[t], "cell, step before": mask[t - 1]}
        (cell,) = [on_cell[name] for name in wrong if name in on_cell] or [1.0]
        dc = np.zeros_like(dc) if "dc not carried" in wrong else cell * dc * f
    reads = {"h in W_hh": h[:-1], "step before in W_hh": mask[np.arange(T) - 1] * h[:-1]}
    reads["new h in W_hh"] = mask * h[1:]
    reads["twice in W_hh"] = mask * mask * h[:-1]
    reads["0 and 1 in W_hh"] = np.sign(mask) * h[:-1]
    reads["zeros and ones"] = np.sign(mask) * h[:-1]
    (read,) = [reads[name] for name in wrong if name in reads] or [mask * h[:-1]]
    dW_ih, dW_hh = (np.einsum("tbk,tbd->kd", da, a) for a in (x, read))
    db = da.sum(axis=(0, 1))
    return da @ params.W_ih, dW_ih, dW_hh, db, db


CELL = "the way back of the cell has a mask; forward none stands on c"
STEP = "the mask of another step: going from step t back, it is mask[t]"
READ = "W_hh read mask[t] * h[t], not h[t]"
MASKED_BUGS = {
    ("step before", "cell", "h in W_hh"): "what all three mistakes together give; none is mended",
    ("step before", "cell"): f"what comes out with two mistakes left: {CELL}. And {STEP}",
    ("step before", "h in W_hh"): f"what comes out with two mistakes left: {STEP}. And {READ}",
    ("cell", "h in W_hh"): f"what comes out with two mistakes left: {CELL}. And {READ}",
    ("step before",): f"what comes out with {STEP}",
    ("cell",): f"what comes out with one mistake left: {CELL}",
    ("h in W_hh",): f"what comes out with one mistake left: {READ}",
    ("step after",): "what comes out with mask[t + 1] on the way back from step t; it is mask[t]",
    (
        "step after",
        "cell",
    ): f"what comes out with two mistakes left: {CELL}. And {STEP} (not t + 1)",
    ("cell, step before",): f"what comes out with one mistake left, mask[t - 1] on dc: {CELL}",
    ("cell, step before", "h in W_hh"): "what comes out with two mistakes left, mask[t - 1] on dc: "
    f"{CELL}. And {READ}",
    ("no mask", "cell"): f"what comes out if dh is carried back without its mask; and {CELL}",
    ("no mask",): "what comes out if dh is carried back without its mask",
    ("no mask", "h in W_hh"): "what comes out without any mask on the way back",
    ("mask on all of dh",): "what comes out if mask[t] multiplies all of step t's dh; dout entered "
    "behind it, and the mask stands before the step",
    ("mask on dout",): "what comes out if dout meets a mask; the output is not masked",
    ("twice",): "what comes out if the mask is applied twice on the way back",
    ("zeros and ones",): "what comes out with a mask of 0 and 1 on the way back",
    ("step before in W_hh",): "what comes out if W_hh's gradient has the mask of another step",
    ("twice in W_hh",): "what comes out if the mask is applied twice in W_hh's gradient",
    ("0 and 1 in W_hh",): "what comes out with a mask of 0 and 1 in W_hh's gradient",
    ("new h in W_hh",): "what comes out with h[t + 1] in W_hh's gradient; step t read h[t]",
    ("dh not carried",): "what comes out if dh is not carried back",
    ("dc not carried",): "what comes out if dc is not carried back",
    ("dout at the end",): "what comes out if dout counts at the last step only",
}

# (T, B, D, H)
SIZES = [(5, 4, 4, 4), (1, 3, 2, 5), (6, 3, 2, 5), (5, 1, 3, 2), (2, 5, 4, 3), (4, 2, 1, 1)]
SIZES.append(SIZES[2])
GRADIENTS: tuple[str, ...] = ("dx", "the gradient of W_ih", "the gradient of W_hh")
GRADIENTS += ("the gradient of b_ih", "the gradient of b_hh")


def check_mended_backward(mended_backward: Any, seed: int = 0) -> None:
    """Refuse a backward pass of an LSTM with masks on h that is not right."""
    rng, name, kept = rng_of(seed), "mended_backward", []
    for k, (T, B, D, H) in enumerate(SIZES):
        params = init_lstm(D, H, rng=rng)
        params = params._replace(b_ih=rng.normal(size=4 * H), b_hh=rng.normal(size=4 * H))
        x, dout = rng.normal(size=(T, B, D)), rng.normal(size=(T, B, H))
        if k == len(SIZES) - 1:  # a unit forgets all, and another shows nothing
            params.b_ih[[H, -1]] = -800
        mask = dropout_mask((T, B, H), rng.uniform(0.3, 0.5), rng=rng)
        if k == 4:
            mask = np.broadcast_to(mask[0], mask.shape).copy()  # locked
        cache = _masked_lstm(params, x, mask)
        value = call(name, mended_backward, cache=cache, dout=dout)
        dx, grads = results(name, value, "dx", "grads")
        if not isinstance(grads, tuple | list) or len(grads) != 4:
            explained("grads must be Recurrent(W_ih, W_hh, b_ih, b_hh), four arrays")
        _, _, package = masked_layer_forward("lstm", params, x, h_mask=mask)
        dx_right, _, grads_right = masked_layer_backward(package, dout)
        right = dx_right, *grads_right
        got = []
        for what, part, wanted in zip(GRADIENTS, (dx, *grads), right, strict=True):
            sizes = {f"axis {axis}": size for axis, size in enumerate(wanted.shape)}
            hint = "It has the shape of what it is the gradient of."
            got.append(numbers(what, part, hint, **sizes))
        kept.append((value, snapshot(value)))
        if all(map(alike, got, right)):
            continue
        wrong: dict[str, Sequence[Array]] = {
            why: _masked_back(cache, dout, *bugs) for bugs, why in MASKED_BUGS.items()
        }
        for what, n in {"batch": B, "steps": T, "steps and batch": T * B}.items():
            wrong[f"the mean over the {what}; the gradients are sums"] = [a / n for a in right]
        look = "Go back through masked_lstm line by line: what stands between h[t] and step t?"
        for part in (2, 1, 0, 3, 4):  # that of W_hh first: it shows best what is missing
            suspects = {why: arrays[part] for why, arrays in wrong.items()}
            close(GRADIENTS[part], got[part], right[part], suspects=suspects, look=look)
    same_still(name, kept)


# --- What is left of a memory. ---

STEPS, HALF_LIFE, P = 10, 50, 0.5


def check_predicted(variance: Any, locked_mean: Any, gentle: Any) -> None:
    """Refuse wrong predictions of what a mask leaves of a memory."""
    most = (1 - P) ** -STEPS
    _predicted(
        "variance",
        variance,
        most - 1,
        0.3,
        "what is the mean of m * m for one mask, and of the product of ten such?",
        {
            "this is the mean square; take the square of the mean away": most,
            "this is one step's; the mean squares of ten steps multiply": P / (1 - P),
            "the mean squares multiply; the variances are not added": STEPS * P / (1 - P),
            "this is the standard deviation": math.sqrt(most - 1),
            "the mean does not move, but the number itself does": 0.0,
            "m is 0 in half of the cases and 2 in the others, so m * m has the mean 2, not 4": most
            * most
            - 1,
            "m is 0 in half of the cases, so m * m has the mean 2, not 4": most * most,
            "this is what it would be with one mask for all steps": most * most / 4,
        },
    )
    _predicted(
        "locked_mean",
        locked_mean,
        most / 2,
        0.3,
        "half of the numbers meet ten times a 2, and the others a 0; what is the mean?",
        {
            "this is the mean with a new mask at each step; here the ten factors are equal": 1.0,
            "this is what is left of a number that is kept; the others are 0": most,
            "this is the share that is kept; what became of these numbers?": 0.5,
            "this is the share with a new mask at each step": 1 / most,
            "this is one of the two cases": 0.0,
            "the factors multiply; they are not added": STEPS,
        },
    )
    right = 1 - 0.5 ** (1 / HALF_LIFE)
    _predicted(
        "gentle",
        gentle,
        right,
        0.02 * right,
        f"which share must survive each step, so that half survives {HALF_LIFE}?",
        {
            "if this is 0.5 / 50: the shares that survive multiply, and the losses are not added; "
            "if it is rounded: give two significant digits": 0.5 / HALF_LIFE,
            "this is the share that is kept in a step; p is the share that is dropped": 1 - right,
            "a share, not a percentage": 100 * right,
            "after 50 steps 1/e would be left, not one half": 1 / HALF_LIFE,
            "this is what is left after all steps": 0.5,
        },
    )


def _survival(p: float, T: int, locked: bool) -> tuple[float, float, float]:
    """Return the share of numbers that are not 0 after T masks, their mean and their variance."""
    q = 1 - p
    if locked:
        return q, q ** (1 - T), p * q ** (1 - 2 * T)
    return q**T, 1.0, q**-T - 1


def check_survival(survival: Any, seed: int = 0) -> None:
    """Refuse a wrong formula for what T masks leave of a memory."""
    rng = rng_of(seed)
    drawn = (float(rng.uniform(0.1, 0.9)), int(rng.integers(3, 9)))
    for p, T in [(0.4, 3), (0.1, 10), (0.3, 1), (0.0, 4), (0.9, 5), (0.2, 100), (0.9, 100), drawn]:
        for locked in (False, True):
            value = call("survival", survival, p=p, T=T, locked=locked)
            got = results("survival", value, "share", "mean", "variance")
            q, right = 1 - p, _survival(p, T, locked)
            case = f" for p = {p:.3g}, T = {T}, locked={locked}"
            square = right[2] + right[1] ** 2
            suspects: dict[str, tuple[float, float, float]] = {
                "what it is with locked turned round": _survival(p, T, not locked),
                "what it is with p as the share that is kept": _survival(q, T, locked)
                if p
                else right,
                "what one step leaves": _survival(p, 1, locked),
                "what it is after one step more": _survival(p, T + 1, locked),
                "what it is after one step less": _survival(p, T - 1, locked),
                "the share that is lost": (1 - right[0],) * 3,
                "the mean of those that are left": (math.nan, q**-T, math.nan),
                "what it is if the masks are not rescaled": (
                    math.nan,
                    right[0],
                    right[0] * (1 - right[0]),
                ),
                "the mean square; take away the square of the mean": (math.nan, math.nan, square),
                "the standard deviation": (math.nan, math.nan, math.sqrt(right[2])),
                "the sum of the variances of the steps; the mean squares multiply": (
                    math.nan,
                    math.nan,
                    T * p / q,
                ),
                "the product of the variances of the steps; it is the mean squares that multiply": (
                    math.nan,
                    math.nan,
                    (p / q) ** T,
                ),
                "the mean square of those that are left, less the square of the mean": (
                    math.nan,
                    math.nan,
                    q ** (-2 * T) - right[1] ** 2,
                ),
            }
            look = "Which values has the product of the masks, and with which probabilities?"
            for part, what in enumerate(("share", "mean", "variance")):
                close(
                    what + case,
                    number(what, got[part]),
                    right[part],
                    suspects={why: numbers_[part] for why, numbers_ in suspects.items()},
                    look=look,
                )


# --- Splits. ---

HABITS = ("mean", "twice", "shuffle", "stop", "again", "seeds")


def check_leaks(leaks: Any) -> None:
    """Refuse a wrong choice of habits by which a test score becomes too good."""
    chosen = names_of("leaks", leaks, HABITS)
    wrong = {
        "shuffle": "the order of the training part says nothing about the test part",
        "again": "the test part is used once, after all decisions; to train on the validation part "
        "then is allowed",
        "seeds": "the choice was made on the validation part, and the test part was used once",
    }
    right = {
        "stop": "who decides when training ends?",
        "twice": "what if a test word was in the training part?",
        "mean": "from which words does each number come that the network is given?",
    }
    judge_names("leaks", chosen, wrong, right, where="but", look=". Ask of each habit:")


def _parts(split: Any, families: list[str], shares: Sequence[float], rng: Any) -> list[list[int]]:
    """Call a learner's function, and refuse what does not give every word to one part."""
    value = call("split", split, families=families, shares=list(shares), rng=rng)
    if isinstance(value, Mapping) or not isinstance(value, tuple | list | np.ndarray):
        fail(f"split must return a list of arrays, one for each share, not {kind_of(value)}")
    if len(value) != len(shares):
        explained(
            f"split must return an array of indices for each of {len(shares)} shares; it returned "
            f"{len(value)} thing{'' if len(value) == 1 else 's'}"
        )
    parts: list[list[int]] = []
    for k, part in enumerate(value):
        try:
            array = np.asarray(part)
        except ValueError:
            fail(f"part {k} must be an array of indices, got {kind_of(part)}")
        if array.ndim == 1 and array.dtype.kind == "U" and array.size:
            explained(f"part {k} holds names of families; it must hold the indices of the words")
        if array.dtype.kind == "b":
            explained(f"part {k} is True and False; np.flatnonzero gives the indices")
        if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
            fail(f"part {k} must be an array of indices, got {kind_of(part)}")
        parts.append([int(index) for index in array])
    every = [index for part in parts for index in part]
    N = len(families)
    if strange := [index for index in every if not 0 <= index < N]:
        explained(f"a part holds the index {strange[0]}; there are {N} words, from 0 to {N - 1}")
    if len(set(every)) < len(every):
        twice = next(index for index in every if every.count(index) > 1)
        said = f"word {twice} is in the parts more than once; each belongs to one part"
        if _by_part_of_name(families, parts):
            said += ". It goes with all families whose names are part of its own: compare with =="
        explained(said)
    if len(every) < N:
        missing = next(index for index in range(N) if index not in every)
        said = f"word {missing} of {N} is in no part; each belongs to one part"
        total = float(np.cumsum(shares)[-1])
        if total < 1:
            said += (
                f". As floats these shares add up to {total}, a little less than 1: the last part "
                "takes all that is left"
            )
        explained(said)
    return parts


def _by_part_of_name(families: list[str], parts: list[list[int]]) -> bool:
    """Tell whether each family is also where those are whose names are part of its own."""
    held = [{families[index] for index in part} for part in parts]
    places = {name: {k for k, names in enumerate(held) if name in names} for name in families}
    return all(places[one] <= places[other] for one in places for other in places if one in other)


def _families_of(rng: np.random.Generator, sizes: Sequence[int]) -> list[str]:
    """Name the families of words in a random order, so that relatives are not neighbours.

    The names are a, b, aa, ab, ba, bb, aaa and so on: many begin alike, or are part of others.
    """
    digits = [f"{k + 2:b}"[1:] for k in rng.permutation(len(sizes))]
    names = [name.replace("0", "a").replace("1", "b") for name in digits]
    every = [name for name, size in zip(names, sizes, strict=True) for _ in range(size)]
    return [every[k] for k in rng.permutation(len(every))]


SPLITS: list[tuple[list[int], tuple[float, ...]]] = [
    ([8, 6, 5, 3, 3, 2, 2] + [1] * 11, (0.5, 0.25, 0.25)),
    ([1] * 9, (0.6, 0.2, 0.2)),
    ([5], (0.8, 0.1, 0.1)),
    ([3, 3, 3, 3], (0.5, 0.5)),
    ([9, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1], (0.25, 0.25, 0.25, 0.25)),
    ([2] * 10 + [10, 1], (0.7, 0.2, 0.1)),
    ([3] * 20, (1 / 6,) * 6),  # an overshoot in each part adds up
    ([1] * 10, (0.7, 0.2, 0.1)),  # as floats they add up to less than 1
    *[([5] * 8 + [1] * 40, (0.5, 0.25, 0.25))] * 4,
]


def check_split(split: Any, seed: int = 0) -> None:
    """Refuse parts that share a family, leave a word out, or have the wrong sizes."""
    rng = rng_of(seed)
    for sizes, shares in SPLITS * 4:
        families = _families_of(rng, sizes)
        N, largest = len(families), max(sizes)
        parts = _parts(split, families, shares, _generator(rng))
        home: dict[str, int] = {}
        for k, part in enumerate(parts):
            for index in part:
                if home.setdefault(families[index], k) != k:
                    explained(
                        f"family {families[index]} is in part {home[families[index]]} and in part "
                        f"{k}: put whole families into the parts, not words"
                    )
        for k, (part, share) in enumerate(zip(parts, shares, strict=True)):
            if abs(len(part) - share * N) > largest + 1e-9:
                number_of = [list(home.values()).count(j) for j in range(len(shares))]
                wanted = np.multiply(shares, len(home))
                why = (
                    "count words, not families"
                    if np.max(np.abs(number_of - wanted)) <= 1
                    else "leave no size to chance, and cut one line of all words, so that the "
                    "overshoot of one part is taken from the next"
                )
                fail(
                    f"part {k} has {len(part)} of {N} words, for a share of {share:g}. That is "
                    f"further off than the largest family, {largest}: {why}"
                )


DRAWS = 60


def check_split_chance(split: Any, seed: int = 0) -> None:
    """Refuse parts that are not drawn, or not from the generator."""
    rng, shares = rng_of(seed), (0.5, 0.25, 0.25)
    families = _families_of(rng, [4] * 12)
    one, same, _ = _pair(rng)
    first, second = (_parts(split, families, shares, generator) for generator in (one, same))
    if [set(part) for part in first] != [set(part) for part in second]:
        explained(
            "split gives other parts for a generator in the same state: draw from rng, and from "
            "nothing else"
        )
    known = sorted(set(families))
    found = []
    for _ in range(DRAWS):
        parts = _parts(split, families, shares, _generator(rng))
        home = {families[index]: n for n, part in enumerate(parts) for index in part}
        found.append([home[name] for name in known])
    homes = np.array(found)  # (draws, families)
    if (homes == homes[0]).all():
        explained(
            f"split gives the same parts for {DRAWS} generators in different states: shuffle the "
            "families with the rng that is given"
        )
    unequal = _families_of(rng, SPLITS[0][0])
    drawn = [_parts(split, unequal, shares, _generator(rng)) for _ in range(10)]
    if all(list(map(set, parts)) == list(map(set, drawn[0])) for parts in drawn):
        explained(
            "split gives the same parts for 10 generators in different states if the families are "
            "of several sizes: shuffle them also then"
        )
    for name, column in zip(known, homes.T, strict=True):
        for part in range(len(shares)):
            if not (column == part).any():
                fail(
                    f"family {name} was never in part {part} in {DRAWS} draws of 12 families of "
                    "equal size: every family must have its chance in every part"
                )
    appearing = list(dict.fromkeys(families))
    orders = homes, homes[:, [known.index(name) for name in appearing]]
    for ordered in orders:
        together = float((ordered[:, 1:] == ordered[:, :-1]).mean())
        if abs(together - 42 / 132) > 0.12:
            fail(
                f"neighbours among the families share a part in {together:.2f} of the draws, and "
                "by chance it would be 0.32: shuffle the families"
            )
    for ordered, what in zip(orders, ("alphabet", "list"), strict=True):
        stays = float((ordered == np.repeat([0, 1, 2], [6, 3, 3])).mean())
        if abs(stays - 54 / 144) > 0.12:
            fail(
                f"in {stays:.2f} of the draws a family is where the order of the {what} would put "
                "it, and by chance it would be 0.38: shuffle the families well"
            )


# --- When to stop. ---


def _early_stop(
    scores: Sequence[float], patience: int, least: float, wrong: str = ""
) -> tuple[int, int]:
    """Return where training stops and what is kept, right or with a mistake by its name."""
    waited, stopped, marked = 0, len(scores) - 1, 0
    reference = scores[0]
    for look in range(1, len(scores)):
        score = scores[look]
        against: float = {
            "previous": scores[look - 1],
            "best of all": float(np.nanmin(scores[:look])),
            "first": scores[0],
        }.get(wrong, reference)
        progress = {
            "ties": score <= against - least,
            "no least": score < against,
            "least turned": score < against + least,
            "nan": not score >= against - least,
        }.get(wrong, score < against - least)
        if progress:
            reference, marked = score, look
            waited = 0 if wrong != "in all" else waited
        else:
            waited += 1
        if waited == patience + (wrong == "one more") - (wrong == "one less"):
            stopped = look
            break
    seen = np.array(scores if wrong == "future" else scores[: stopped + 1], float)
    kept = int(np.nanargmin(seen))
    if wrong == "last of equals":
        kept = int(np.flatnonzero(seen == np.nanmin(seen))[-1])
    if wrong == "kept nan":
        kept = int(np.argmin(seen))
    kept = {"marked": marked, "stopped": stopped, "before": stopped - patience}.get(wrong, kept)
    if wrong == "from one":
        return stopped + 1, kept + 1
    if wrong == "count":
        return stopped + 1, kept
    if wrong == "exchanged":
        return kept, stopped
    return stopped, kept


STOP_BUGS = {
    "exchanged": "the two numbers have changed places: (stopped, kept)",
    "from one": "looks are counted from 0",
    "count": "this is how many looks there were; the last one's index is one less",
    "one more": "training stops at the look that completes the patience, not one later",
    "one less": "training stops only when as many looks as the patience were no progress",
    "ties": "progress must be lower by more than least; a score lower by just least, or a tie, is "
    "none",
    "no least": "progress must be lower by more than least",
    "least turned": "progress is lower than the last progress minus least, not plus",
    "previous": "compare with the score at the last progress, not with the look before",
    "best of all": "compare with the score at the last progress, not with the lowest so far: many "
    "small steps make progress in the end",
    "first": "compare with the score at the last progress, not with that at the start",
    "in all": "the looks without progress are counted in a row: progress sets the count to 0",
    "marked": "keep the lowest of all scores that were seen, even if it was too little for "
    "progress",
    "stopped": "the model at the end is not the one that is kept",
    "before": "the lowest score need not be just patience looks before the end",
    "future": "a look after the stop was never taken, and cannot be kept",
    "last of equals": "of equal scores the earliest is kept",
    "nan": "a look whose score is nan is no progress",
    "kept nan": "a look whose score is nan is never kept",
}

NAN = float("nan")
CURVES: list[tuple[list[float], int, float]] = [
    ([4, 3, 2, 2.5, 2.25, 1, 3, 3, 3, 0.5], 3, 0.0),
    ([4, 3, 2, 2.5, 2.25, 2.5, 1], 3, 0.0),
    ([3, 2, 2, 2, 1], 2, 0.0),
    ([3, 2, 2, 2, 1], 4, 0.0),
    ([2, 1.75, 1.5, 1.25, 1.0, 0.75], 2, 0.25),
    ([2, 1.875, 1.75, 1.625, 1.5, 1.375, 1.25, 1.125], 3, 0.25),
    ([2, 1, 0.875, 1.25, 1.125], 2, 0.5),
    ([2, 1, 1.25, 0.875, 1.25, 1.125, 0.25], 3, 0.5),
    ([5], 1, 0.0),
    ([5, 6], 1, 0.0),
    ([5, 6], 2, 0.5),
    ([3, NAN, 2, NAN, NAN, 1], 2, 0.0),
    ([3, NAN, NAN, NAN, 1], 3, 0.0),
    ([-1, -2, -1.5, -3, -2, -2, -2], 3, 0.0),
    ([4, 2, 3, 1, 3, 0.5, 3, 3, 0.25], 2, 0.0),
    ([8, 7, 6, 5, 4, 3], 1, 0.0),
    ([1, 1, 1, 1], 9, 0.0),
    ([4, NAN, 3, NAN, 2.875, 2.875, 2.5], 3, 0.25),
    ([1, 1 + 1e-9, 1 + 1e-9, 1 - 1e-9, 1 - 3e-9, 1 - 2e-9, 1 - 2e-9], 3, 0.0),
    ([4e12, NAN, 3e12, 5e12, 2e12], 2, 0.0),
    ([4e12, 5e12, 3e12, 5e12, 5e12, 2e12], 3, 0.0),
    ([9, *[10] * 59, 8], 60, 0.0),
]


def _walk(rng: np.random.Generator, size: int) -> list[float]:
    """Draw a bumpy curve of eighths, so that differences are exact."""
    steps = rng.integers(-3, 4, size=size) - (rng.random(size) < 0.3)
    return [float(value) for value in 8 + np.cumsum(steps) / 8]


def _shown(values: Sequence[float]) -> str:
    texts = [f"{value:.10g}" for value in values]
    if len(texts) > 20:
        return f"[{', '.join(texts[:3])}, …, {', '.join(texts[-2:])}] ({len(texts)} scores)"
    return f"[{', '.join(texts)}]"


def check_early_stop(early_stop: Any, seed: int = 0) -> None:
    """Refuse what stops at another look, or keeps another."""
    rng = rng_of(seed)
    walks = [
        (_walk(rng, int(rng.integers(4, 15))), int(rng.integers(1, 5)), least)
        for least in (0.0, 0.25, 0.125) * 8
    ]
    cases: list[tuple[list[float], int, float]] = [
        ([float(score) for score in curve], patience, least)
        for curve, patience, least in [*CURVES, *walks]
    ]
    got: list[tuple[float, float]] = []
    wrong: int | None = None  # the first case that is
    for k, (scores, patience, least) in enumerate(cases):
        try:
            curve = np.array(scores)
            value = call("early_stop", early_stop, scores=curve, patience=patience, least=least)
            pair = results("early_stop", value, "stopped", "kept")
            got.append((number("stopped", pair[0]), number("kept", pair[1])))
        except AssertionError:
            if wrong is None:
                raise
            break
        if wrong is None and got[-1] != _early_stop(*cases[k]):
            wrong = k
    if wrong is None:
        return
    scores, patience, least = cases[wrong]
    said = (
        f"with patience {patience}, least {least:g} and {_shown(scores)} it returned "
        f"({got[wrong][0]:g}, {got[wrong][1]:g})"
    )
    for bug, why in STOP_BUGS.items():  # the mistake must explain all that came out
        if all(pair == _early_stop(*case, bug) for pair, case in zip(got, cases, strict=False)):
            explained(f"{said}: {why}")
    fail(f"{said}; it should be {_early_stop(*cases[wrong])}. Go through the looks by hand")


def _needed(scores: Sequence[float], wrong: str = "") -> int:
    """Return the smallest patience that finds the lowest score."""
    records = [0]
    for look, score in enumerate(scores):
        lowest = scores[records[-1]]
        if look and (score < lowest or (wrong == "ties" and score == lowest)):
            records.append(look)
    gaps = [later - earlier for earlier, later in pairwise(records)]
    most = max(gaps, default=1)
    return {
        "one less": most - 1,
        "one more": most + 1,
        "place": records[-1],
        "last gap": gaps[-1] if gaps else 1,
        "first gap": gaps[0] if gaps else 1,
        "whole": max([*gaps, len(scores) - 1 - records[-1]], default=1),
        "zero": max(gaps, default=0),
        "all": len(scores),
    }.get(wrong, most)


NEEDED_BUGS = {
    "ties": "a tie is no new lowest score: the earliest of equals is kept",
    "zero": "if the first look is the best one, the smallest patience is still 1",
    "one less": "with that, training stops one look before the next progress",
    "place": "this is the look of the best score; progress on the way sets the count to 0",
    "last gap": "look at all gaps between one progress and the next, not at the last alone",
    "first gap": "look at all gaps between one progress and the next, not at the first alone",
    "whole": "what comes after the best look need not be waited for",
    "one more": "a smaller one is enough: the progress comes before the look is counted",
    "all": "a smaller one is enough",
}


def check_patience_needed(patience_needed: Any, seed: int = 0) -> None:
    """Refuse another number than the smallest patience that finds the best look."""
    rng = rng_of(seed)
    curves = [scores for scores, _, least in CURVES if least == 0 and not np.isnan(scores).any()]
    curves += [[9, 8, 8.5, 8.5, 8.5, 7, 7.5, 6, 9, 9, 9, 9, 9, 9], [5, 6, 6, 4, 3, 5, 5, 5, 5, 2]]
    curves += [[5, 1, 4, 4, 4, 4, 1], [3, 4, 4, 4, 4]]
    curves += [_walk(rng, int(rng.integers(4, 15))) for _ in range(24)]
    cases = [[float(score) for score in curve] for curve in curves]
    got: list[float] = []
    wrong: int | None = None  # the first case that is
    for k, scores in enumerate(cases):
        try:
            value = call("patience_needed", patience_needed, scores=np.array(scores))
            got.append(number("the patience", value))
        except AssertionError as error:
            if wrong is None and got and isinstance(error, NotAnswered):
                explained(
                    f"for {_shown(scores)} patience_needed returned nothing: does a loop end "
                    "before it has found the patience?"
                )
            if wrong is None:
                raise
            break
        if wrong is None and got[-1] != _needed(cases[k]):
            wrong = k
    if wrong is None:
        return
    said = f"for {_shown(cases[wrong])} it returned {got[wrong]:g}"
    for bug, why in NEEDED_BUGS.items():
        if all(one == _needed(scores, bug) for one, scores in zip(got, cases, strict=False)):
            explained(f"{said}: {why}")
    fail(
        f"{said}; it should be {_needed(cases[wrong])}: how long is the longest wait from one new "
        "lowest score to the next?"
    )


# --- The price of a choice. ---


def check_luck(fresh: Any, examples: Any) -> None:
    """Refuse wrong predictions about the best of 50 networks that know nothing."""
    _predicted(
        "fresh",
        fresh,
        0.5,
        0.003,
        "on examples that had no part in the choice, what is a coin worth?",
        {
            "a share between 0 and 1, not a percentage": 50.0,
            "this is the score on the examples it was chosen by; its luck is gone now": 0.61,
            "luck is not followed by bad luck: the coin has no memory": 0.39,
            "this is the score on the examples it was chosen by": _best_of(50, 100, 0.5),
        },
    )
    _predicted(
        "examples",
        examples,
        405,  # 400 by the root, 413 exactly
        55,
        "with how many examples is the spread of one score half as large?",
        {
            "the spread falls with the root of the number": 200.0,
            "the spread falls with the root of the number, so it takes more": 141.0,
            "fewer examples leave more to luck, not less": 50.0,
            "fewer examples leave more to luck": 25.0,
            "the spread falls with the root, not with a higher power": 10000.0,
            "this makes it a quarter": 1600.0,
            "this is how many more it takes; how many are they in all?": 300.0,
            "this is the factor; how many examples are that?": 4.0,
        },
    )


def _best_of(n: int, m: int, q: float, wrong: str = "") -> float:
    """Return the expected best share of right answers, or what a mistake by its name gives."""
    if wrong == "normal":
        grid = np.linspace(-10, 10, 20001)
        below = np.array([0.5 * (1 + math.erf(z / math.sqrt(2))) for z in grid])
        steps = np.diff(below**n)
        best = float(np.sum(steps * (grid[1:] + grid[:-1]) / 2))
        return q + best * math.sqrt(q * (1 - q) / m)
    P_k = np.array([math.comb(m, k) * q**k * (1 - q) ** (m - k) for k in range(m + 1)])
    F = np.minimum(np.cumsum(P_k), 1.0)
    k = np.arange(m + 1)
    at_most = {"min": 1 - (1 - F) ** n, "worst": 1 - (1 - F) ** n}.get(wrong, F**n)
    score = float(np.sum(1 - at_most[:-1]) / m)
    return {
        "times m": score * m,
        "optimism": score - q,
        "mean": q,
        "continuous": float(np.sum(k * n * P_k * F ** (n - 1)) / m),
        "one too many": float(np.sum(1 - at_most[:-1]) + 1) / m,
        "one too few": float(np.sum(1 - at_most[1:]) / m),
        "power of P": float(np.sum(k * P_k**n) / m),
        "error": 1 - score,
        "sharper": float(np.sum(1 - F[:-1] ** (n - 1)) / m),
        "one more": float(np.sum(1 - F[:-1] ** (n + 1)) / m),
        "times n": score * n,
    }.get(wrong, score)


BEST_BUGS = {
    "mean": "the expected score of one network; which of n is reported?",
    "times m": "the number of right answers; the score is a share of m",
    "optimism": "by how much the score is too good; asked for is the score",
    "min": "the expected score of the worst of n",
    "error": "the share of wrong answers of the best",
    "continuous": "what comes out with n P(k) F(k)**(n - 1), which is for densities; for whole "
    "numbers P(best = k) is F(k)**n - F(k - 1)**n",
    "one too many": "what comes out with a term too many: P(best >= k) is summed over k = 1 to m",
    "one too few": "what comes out with F(k) for F(k - 1): P(best >= k) is 1 - F(k - 1)**n",
    "power of P": "what comes out with P(k)**n, the chance that all n have k right",
    "sharper": "the best of n - 1",
    "one more": "the best of n + 1",
    "times n": "n times too large",
}


def check_best_of(best_of: Any, seed: int = 0) -> None:
    """Refuse what is not the expected score of the best of n on m examples."""
    rng = rng_of(seed)
    drawn = (int(rng.integers(2, 40)), int(rng.integers(5, 60)), float(rng.uniform(0.1, 0.9)))
    cases = [(3, 4, 0.3), (1, 10, 0.5), (2, 1, 0.5), (5, 7, 0.8), (50, 100, 0.5), drawn]
    for n, m, q in [*cases, (36, 300, 0.95), (20, 300, 0.05), (1000, 30, 0.2)]:
        value = number("the score", call("best_of", best_of, n=n, m=m, q=q))
        right = _best_of(n, m, q)
        if alike(value, right):
            continue
        case = f"best_of({n}, {m}, {q:.4g})"
        if value in (0, 1) and 0 in (q**m, (1 - q) ** m):
            explained(
                f"{case} is not {value:g}: (1 - q)**m or q**m is so small here that a float is 0, "
                "and so is all that is computed from it. Compute each P(k) by itself"
            )
        suspects = {why: _best_of(n, m, q, bug) for bug, why in BEST_BUGS.items()}
        suspects["what comes out if q is taken to be 1 - q"] = _best_of(n, m, 1 - q)
        suspects["what comes out if q is taken to be 0.5"] = _best_of(n, m, 0.5)
        if n * m > 100:
            normal = _best_of(n, m, q, "normal")
            suspects["what the normal curve gives"] = normal
            if abs(value - normal) < 1e-4:
                explained(
                    f"{case} is near the right one only: the normal curve is an approximation; sum "
                    "over the m + 1 possible scores"
                )
        if alike(value, right, 0.02) and n > 1:
            for why, wrong in suspects.items():
                if not alike(wrong, right, 1e-9) and alike(value, wrong, 1e-9):
                    explained(f"{case} is wrong: this is {why}")
            fail(
                f"{case} should be {right:.8g}, but it is {value:.8g}: near, but not exact. Sum "
                "over the m + 1 possible scores; no random numbers are needed"
            )
        look = "What is the chance that all n have at most k right?"
        close(case, value, right, suspects=suspects, look=look)
