"""Checks of the exercises of chapter 3, Backpropagation through time."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from unrolled._validate import Array
from unrolled.checks._tools import (
    alike,
    call,
    close,
    explained,
    fail,
    names_of,
    number,
    numbers,
    prediction,
    results,
    rng_of,
)
from unrolled.functional import softmax
from unrolled.params import Recurrent, init_rnn, tree_map
from unrolled.rnn import rnn_backward, rnn_forward

# (T, B, D, H): a case in which wrong transposes fit, so that they can be named; then all different,
# one step, one sequence.
SIZES = [(5, 4, 4, 4), (7, 3, 2, 5), (1, 2, 4, 3), (6, 1, 3, 2)]
WEIGHTS = Recurrent._fields


class Back(NamedTuple):
    """What a backward pass returns."""

    dx: Array  # (T, B, D)
    dh0: Array  # (B, H)
    grads: Recurrent


# --- 1. The memory of a gradient. ---

# What the prediction asks for: the chapter's model, in float32.
KEPT_T, KEPT_B, KEPT_D, KEPT_H, ITEM = 1000, 32, 64, 128, 4


def _kept(T: int, B: int, D: int, H: int) -> int:
    """Bytes of x and of the states from h0 on."""
    return ITEM * B * (T * D + (T + 1) * H)


def check_kept_bytes(kept_bytes: Any) -> None:
    """Refuse a wrong number of bytes of what forward keeps for backward."""
    guess = number("kept_bytes", kept_bytes)
    T, B, D, H = KEPT_T, KEPT_B, KEPT_D, KEPT_H
    right = _kept(T, B, D, H)
    reasons = {
        right - ITEM * B * H: "h0 is kept as well: T + 1 states",
        right + ITEM * B * D: "x has T steps; only of the states there is one more",
        2 * right: "a float32 has 4 bytes, not 8",
        2 * (right - ITEM * B * H): "a float32 has 4 bytes, not 8, and h0 is kept as well",
        right // ITEM: "this counts the numbers; each has 4 bytes",
        right // ITEM - B * H: "this counts the numbers, without h0; each has 4 bytes",
        right * 8: "this is in bits",
        right // B: "a batch holds B sequences, and all of them are kept",
        ITEM * B * (T + 1) * H: "x is kept as well: the gradient of W_ih needs it",
        ITEM * B * T * H: "x is kept as well, and so is h0",
        ITEM * B * T * D: "the states are kept as well",
        ITEM * B * (D + 2 * H): "this is one step: every step is kept",
        ITEM * B * (D + H): "this is one step: every step is kept",
    }
    if guess in reasons:
        fail(f"kept_bytes = {guess:.10g} is not right: {reasons[int(guess)]}")
    for unit in (2.0**10, 2.0**20, 1e3, 1e6):
        if abs(guess * unit - right) < 0.01 * right:
            fail(f"kept_bytes = {guess:.6g} is right in a larger unit; give it in bytes")
    look = "x has T B D numbers, the states from h0 on have (T + 1) B H, and each has 4 bytes."
    prediction("kept_bytes", guess, right, look=look, rel=1e-9)


# The right rule for the length of a window first, then wrong ones by the mistake.
WINDOW_RULES: dict[Callable[[int, int, int, int], int], str] = {
    lambda n, B, D, H: (n // (ITEM * B) - H) // (D + H): "",
    lambda n, B, D, H: n // (ITEM * B * (D + H)): "the initial state needs room, too",
    lambda n, B, D, H: (n // (2 * ITEM * B) - H) // (D + H): "a float32 has 4 bytes, not 8",
    lambda n, B, D, H: (n // B - H) // (D + H): "a float32 has 4 bytes, not one",
    lambda n, B, D, H: (n // ITEM - H) // (D + H): "each step is kept for B sequences",
    lambda n, B, D, H: (n // (ITEM * B) - H) // H: "x is kept as well",
    lambda n, B, D, H: n // (ITEM * B * H): "x is kept as well, and so is h0",
}


def check_longest_window(longest_window: Any, seed: int = 0) -> None:
    """Refuse what is not the largest T whose x and states fit into a budget."""
    rng = rng_of(seed)
    cases: list[tuple[int, ...]] = [(10_000, 1, 2, 3), (64 * 2**20, 32, 64, 128)]
    cases += [(int(rng.integers(10**5, 10**7)), *map(int, rng.integers(2, 40, 3))) for _ in "123"]
    B, D, H = 3, 2, 5
    cases += [(_kept(7, B, D, H), B, D, H), (_kept(7, B, D, H) - 1, B, D, H)]
    # Here h0 left out and a result rounded up come apart.
    cases += [(_kept(7, B, D, H) + ITEM * B, B, D, H)]
    cases += [(_kept(1, B, D, H) - 1, B, D, H), (5, B, D, H), (0, B, D, H)]
    found = []
    for budget, B, D, H in cases:
        args: dict[str, Any] = {"budget": budget, "B": B, "D": D, "H": H}
        T = number("longest_window", call("longest_window", longest_window, **args))
        at = f"longest_window({budget}, B={B}, D={D}, H={H})"
        if T % 1:
            explained(f"{at} is {T:.6g}, and a window has a whole number of steps: round down")
        if T < 0:
            explained(f"{at} is {T:g}: where not even one step fits, return 0")
        found.append(int(T))
    right, *known = ([max(f(*case), 0) for case in cases] for f in WINDOW_RULES)
    if found == right:
        return
    i = next(i for i, T in enumerate(found) if right[i] != T)
    reasons = [why for why, wrong in zip(list(WINDOW_RULES.values())[1:], known) if wrong == found]
    if found[i] - right[i] == 1:
        reasons.append("that needs more than the budget; round down, and mind h0")
    elif found[i] > right[i]:
        reasons.append("that needs more than the budget")
    reasons.append("a longer window fits; solve 4 B (T D + (T + 1) H) <= budget for T")
    budget, B, D, H = cases[i]
    at = f"longest_window({budget}, B={B}, D={D}, H={H})"
    fail(f"{at} should be {right[i]}, but it is {found[i]}: {reasons[0]}")


# --- Backward passes, right and wrong. ---


def _back(
    params: Recurrent,
    x: Array,
    h: Array,
    dout: Array,
    dh_n: Array,
    *,
    slope: Callable[[Array, Array], Array] = lambda h_t, h_prev: 1 - h_t * h_t,
    through: Callable[[Array, Array], Array] | None = None,
    joined: Callable[[Array, Array], Array] = lambda own, later: own + later,
) -> Back:
    """Walk back through an RNN, with parts that may be wrong."""
    da = np.empty_like(dout)
    dh = dh_n
    for t in range(len(x), 0, -1):
        total = joined(dout[t - 1], dh)
        da[t - 1] = total * slope(h[t], h[t - 1])
        dh = da[t - 1] @ params.W_hh if through is None else through(da[t - 1], total)
    return _collected(params, x, h, da, dh)


def _collected(params: Recurrent, x: Array, h: Array, da: Array, dh0: Array) -> Back:
    """Compute all that follows from da."""
    dW_ih = np.einsum("tbj,tbd->jd", da, x)
    dW_hh = np.einsum("tbj,tbk->jk", da, h[:-1])
    db = da.sum(axis=(0, 1))
    return Back(da @ params.W_ih, dh0, Recurrent(dW_ih, dW_hh, db, db))


def _flat(back: Back) -> dict[str, Array]:
    """Return the results by the names that a learner knows them by."""
    names = ("dx", "dh0", *(f"grads.{name}" for name in WEIGHTS))
    return dict(zip(names, (back.dx, back.dh0, *back.grads), strict=True))


def _wrong_backs(
    params: Recurrent, x: Array, h: Array, dout: Array, dh_n: Array
) -> Iterator[tuple[str, dict[str, Array]]]:
    """Backward passes that are wrong in a known way, by the mistake."""
    W_hh = params.W_hh
    args = (params, x, h, dout, dh_n)
    zero = np.zeros_like(dh_n)
    because = "what comes out "
    right = _back(*args)
    # The first one: of a single step, it gives the dh_prev of a pass without the slope.
    loops = {
        "if dh and not da goes back through W_hh": _back(*args, through=lambda da, dh: dh @ W_hh),
        "if dh_n is ignored": _back(*args[:4], zero),
        "if dout is ignored": _back(params, x, h, np.zeros_like(dout), dh_n),
        "without the second path, from the step after": _back(
            *args, through=lambda da, dh: zero
        )._replace(dh0=right.dh0),
        "with the slope 1 - h; that of tanh is 1 - h²": _back(
            *args, slope=lambda h_t, h_prev: 1 - h_t
        ),
        "with the slope 1 - h² of the state before the step": _back(
            *args, slope=lambda h_t, h_prev: 1 - h_prev * h_prev
        ),
        "without the slope of tanh": _back(*args, slope=lambda h_t, h_prev: np.ones_like(h_t)),
        "with the slope h (1 - h), the sigmoid's": _back(
            *args, slope=lambda h_t, h_prev: h_t * (1 - h_t)
        ),
        "with tanh of the state, which has been through tanh already": _back(
            *args, slope=lambda h_t, h_prev: 1 - np.tanh(h_t) ** 2
        ),
        "with W_hh transposed: backward takes da @ W_hh": _back(
            *args, through=lambda da, dh: da @ W_hh.T
        ),
        "if da goes back without W_hh": _back(*args, through=lambda da, dh: da),
        "if dh_n is added at every step": _back(params, x, h, dout + dh_n, zero),
        "if the gradient of the step after replaces dout; both are added": _back(
            *args, joined=lambda own, later: later
        ),
        "if dout is read from its wrong end": _back(params, x, h, dout[::-1], dh_n),
        "if dout is taken one step too late": _back(
            params, x, h, np.concatenate([dout[1:], zero[None]]), dh_n
        ),
    }
    for why, back in loops.items():
        yield because + why, _flat(back)
    da = np.empty_like(dout)
    later = dh_n
    for t in range(len(x), 0, -1):
        da[t - 1] = (dout[t - 1] + later) * (1 - h[t] ** 2)
        later = da[t - 1] @ W_hh
    T, B, _ = x.shape
    db = da.sum(axis=(0, 1))
    turned = {"grads.W_ih": right.grads.W_ih.T, "grads.W_hh": right.grads.W_hh.T}
    yield "the right gradient, transposed", turned
    after = np.einsum("tbj,tbk->jk", da, h[1:])
    yield (
        "da_t with h_t, the state after the step; the step has read h_{t-1}",
        {"grads.W_hh": after},
    )
    if x.shape[2] == h.shape[2]:
        yield (
            "da_t with the input x_t; W_hh has multiplied h_{t-1}",
            {"grads.W_hh": right.grads.W_ih},
        )
        yield "da_t with the state; W_ih has multiplied x_t", {"grads.W_ih": right.grads.W_hh}
        yield "with W_ih transposed: dx_t = da_t @ W_ih", {"dx": da @ params.W_ih.T}
        yield "the gradient through W_hh; x_t came in through W_ih", {"dx": da @ W_hh}
        yield (
            "the gradient through W_ih; the state came in through W_hh",
            {"dh0": da[0] @ params.W_ih},
        )
    for t, what in ((0, "of step 1"), (-1, "of the last step")):
        part = {
            "grads.W_ih": da[t].T @ x[t],
            "grads.W_hh": da[t].T @ h[:-1][t],
            "grads.b_ih": da[t].sum(axis=0),
            "grads.b_hh": da[t].sum(axis=0),
        }
        yield f"only the copy {what}: the steps are to be added, with +=", part
    weights = _flat(right)
    for divisor, what in ((B, "batch"), (T, "steps"), (T * B, "batch and the steps")):
        mean = {key: value / divisor for key, value in weights.items() if "grads" in key}
        yield f"a mean over the {what}; the gradient is the sum", mean
    yield (
        "zero: both biases enter a_t alike, so both have the same gradient",
        {
            "grads.b_ih": 0 * db,
            "grads.b_hh": 0 * db,
        },
    )
    yield (
        "the gradient of both biases together; each has it once",
        {
            "grads.b_ih": 2 * db,
            "grads.b_hh": 2 * db,
        },
    )
    dh1 = da[1] @ W_hh + dout[0] if T > 1 else dout[0] + dh_n
    yield "dh of the first step; dh0 is one way further back, da_1 @ W_hh", {"dh0": dh1}
    yield "da of the first step; dh0 is one way further back, da_1 @ W_hh", {"dh0": da[0]}
    yield "the gradient that reaches the last state, not the initial one", {"dh0": dh_n}
    yield "dh0 with the first dout once more", {"dh0": right.dh0 + dout[0]}
    yield "the right numbers in the wrong order of time", {"dx": right.dx[::-1]}
    if x.shape[2] == h.shape[2]:
        yield "da itself; it still has to go through W_ih", {"dx": da}


LOOKS = {
    "dx": "dx_t is da_t @ W_ih.",
    "dh0": "It is da_1 @ W_hh, what is left over after the last turn of the loop.",
    "W_ih": "It is the sum over the steps of da_t.T @ x_t.",
    "W_hh": "It is the sum over the steps of da_t.T @ h_{t-1}.",
    "b_ih": "It is the sum of da over the steps and the batch.",
    "b_hh": "It is the sum of da over the steps and the batch.",
}
STEP_LOOKS = {
    "dx": "It is da @ W_ih.",
    "dh0": "It is da @ W_hh.",
    "W_ih": "It is da.T @ x_t.",
    "W_hh": "It is da.T @ h_prev.",
    "b_ih": "It is the sum of da over the batch.",
    "b_hh": "It is the sum of da over the batch.",
}


def _gradients(what: str, grads: Any, D: int, H: int) -> Recurrent:
    """Return the gradients of the parameters, of the right shapes."""
    if not isinstance(grads, tuple | list) or len(grads) != 4:
        explained(f"{what} must be Recurrent({', '.join(WEIGHTS)}), four arrays")
    shapes = {"W_ih": {"H": H, "D": D}, "W_hh": {"rows": H, "columns": H}}
    look = "A gradient has the shape of its parameter."
    parts = zip(WEIGHTS, grads, strict=True)
    return Recurrent(
        *(numbers(f"{what}.{n}", v, look, **shapes.get(n, {"H": H})) for n, v in parts)
    )


def _compare(
    right: Back,
    wrong: list[tuple[str, dict[str, Array]]],
    dx: Array,
    dh0: Array,
    grads: Recurrent,
    looks: dict[str, str],
    names: dict[str, str] | None = None,
) -> None:
    """Compare a backward pass with the right one, part by part."""
    found, expected = _flat(Back(dx, dh0, grads)), _flat(right)
    for key, value in found.items():
        suspects = {why: parts[key] for why, parts in wrong if key in parts}
        what = (names or {}).get(key, key)
        look = looks[key.removeprefix("grads.")]
        close(what, value, expected[key], suspects=suspects, look=look)


# --- 2. One step back. ---


def check_step_backward(rnn_step_backward: Any, seed: int = 0) -> None:
    """Refuse what is not the way back through ``rnn_cell``."""
    rng = rng_of(seed)
    # The first three sizes are square, all different, and a batch of one.
    for B, D, H in [(4, 4, 4), (3, 2, 5), (1, 3, 2), (2, 5, 5)]:
        params, x_t = init_rnn(D, H, rng=rng), rng.normal(size=(B, D))
        h_prev, dh = rng.normal(size=(B, H)), rng.normal(size=(B, H))
        if B == 2:
            h_prev[0] *= 1e5  # there tanh is ±1, and its slope 0
        h_t, _, cache = rnn_forward(params, x_t[None], h_prev)
        h_t = h_t[0].copy()
        args: dict[str, Any] = {
            "params": params,
            "x_t": x_t,
            "h_prev": h_prev,
            "h_t": h_t,
            "dh": dh,
        }
        result = call("rnn_step_backward", rnn_step_backward, **args)
        parts = results("rnn_step_backward", result, "dx_t", "dh_prev", "grads")
        dx_t = numbers("dx_t", parts[0], "It is the shape of x_t.", B=B, D=D)
        dh_prev = numbers("dh_prev", parts[1], "It is the shape of h_prev.", B=B, H=H)
        grads = _gradients("grads", parts[2], D, H)
        right = Back(*rnn_backward(cache, dh_n=dh))
        if D == H and alike(dx_t, right.dh0) and alike(dh_prev, right.dx[0]):
            explained("dx_t and dh_prev are exchanged")
        # With all of dh from one place, half of the known mistakes make no difference.
        wrong = list(_wrong_backs(params, x_t[None], cache.h, np.zeros_like(dh)[None], dh))
        wrong = [(why, parts) for why, parts in wrong if "dh_n" not in why and "dout" not in why]
        names = {"dx": "dx_t", "dh0": "dh_prev"}
        wrong = [(_of_a_step(why), _first_step(parts)) for why, parts in wrong]
        step = right._replace(dx=right.dx[0])
        _compare(step, wrong, dx_t, dh_prev, grads, STEP_LOOKS, names)


def _of_a_step(why: str) -> str:
    """Say of one step what is said of a whole pass."""
    renamed = {"dh of the first step": "dh itself", "da of the first step": "da itself"}
    renamed |= {"dh0": "dh_prev", "da_1": "da", "da_t": "da", "dx_t = da": "dx_t = da"}
    for old, new in renamed.items():
        why = why.replace(old, new)
    return why.replace("h_{t-1}", "h_prev")


def _first_step(parts: dict[str, Array]) -> dict[str, Array]:
    """Take the one step of ``dx``."""
    return {key: value[0] if key == "dx" else value for key, value in parts.items()}


# --- 3. Three mistakes. ---

GRADIENTS = ("dx", "dh0", "W_ih", "W_hh", "b_ih", "b_hh")


def check_wrong_gradients(wrong_gradients: Any) -> None:
    """Refuse a prediction other than the gradients that the faulty backward pass gets wrong."""
    chosen = names_of("wrong_gradients", wrong_gradients, GRADIENTS)
    if not chosen:
        fail("wrong_gradients is empty, but two lines make gradients wrong: which shapes hide it?")
    if chosen & {"dx", "dh0", "W_ih"}:
        name = min(chosen & {"dx", "dh0", "W_ih"})
        fail(f"{name} is right: it comes from da, W and x alone, and at the first call da is right")
    if chosen == {"W_hh", "b_ih"} or chosen == {"W_hh", "b_hh"}:
        fail("nearly: both biases get the same array db, so both are wrong or neither is")
    if "W_hh" not in chosen:
        fail(f"{min(chosen)} is wrong indeed, but not alone: which state has the step read?")
    if not chosen & {"b_ih", "b_hh"}:
        fail("W_hh is wrong indeed, but not alone: which gradient is not added up over the steps?")


def check_mended_backward(mended_backward: Any, seed: int = 0) -> None:
    """Refuse what is not the whole way back through ``rnn_forward``."""
    rng = rng_of(seed)
    for T, B, D, H in SIZES:
        params, x = init_rnn(D, H, rng=rng), rng.normal(size=(T, B, D))
        h0, dh_n = rng.normal(size=(B, H)), rng.normal(size=(B, H))
        dout = rng.normal(size=(T, B, H))
        if B == 1:
            x[T // 2] *= 1e5
        h = rnn_forward(params, x, h0)[2].h
        args: dict[str, Any] = {"params": params, "x": x, "h": h, "dout": dout, "dh_n": dh_n}
        result = call("mended_backward", mended_backward, **args)
        found = _whole("mended_backward", result, T, B, D, H)
        right = _back(**args)
        _compare(right, list(_wrong_backs(**args)), *found, LOOKS)


def _whole(name: str, result: Any, T: int, B: int, D: int, H: int) -> Back:
    """Return dx, dh0 and grads, of the right shapes."""
    parts = results(name, result, "dx", "dh0", "grads")
    return Back(
        numbers("dx", parts[0], "It is the shape of x.", T=T, B=B, D=D),
        numbers("dh0", parts[1], "It is the shape of h0.", B=B, H=H),
        _gradients("grads", parts[2], D, H),
    )


# --- 4. Windows. ---

SHARE_T, SHARE_K = 256, 64


def check_kept_share(kept_share: Any) -> None:
    """Refuse a wrong share of the terms that windows keep."""
    guess = number("kept_share", kept_share)
    T, k = SHARE_T, SHARE_K
    right = (k + 1) / (T + 1)
    reasons = {
        1 - right: "this is the share that is lost",
        k / T: "nearly: a loss also has a term with the copy of its own step",
        (k - 1) / (T - 1): "nearly: a loss also has a term with the copy of its own step",
        1 / 4 * right: "there are T / k windows, each with k (k + 1) / 2 terms",
        k * (k + 1) / (T * (T + 1)): "this is one window; there are T / k of them",
        (k / T) ** 2: "this is one window; there are T / k of them",
        (k * T - k * (k - 1) / 2) / (T * (T + 1) / 2): "this is the share if every loss saw k "
        "steps back; early in its window a loss sees fewer",
        2 * k / (T + 1): "a loss sees k steps only if it is the last of its window",
        100 * right: "a share lies between 0 and 1",
    }
    for value, reason in reasons.items():
        if abs(guess - value) <= 1e-3 * value:
            fail(f"kept_share = {guess:.4g} is not right: {reason}")
    look = "In a full pass loss t has t terms; in a window, as many as its place in the window."
    prediction("kept_share", guess, right, look=look, rel=5e-3)


WINDOWS = [(4, 4, 4, 4, 2), (7, 3, 2, 5, 3), (5, 2, 3, 4, 1), (1, 2, 4, 3, 2), (6, 1, 3, 2, 6)]


def _cut(
    params: Recurrent,
    x: Array,
    h0: Array,
    dout: Array,
    k: int,
    *,
    start: Callable[[Array], Array] = lambda h: h,
    edges: list[int] | None = None,
) -> tuple[Recurrent, Array, list[Recurrent]]:
    """Go through windows, and return the summed gradients, the last state and each window's own."""
    edges = list(range(0, len(x), k)) if edges is None else edges
    h, each = h0, []
    for i, j in zip(edges, [*edges[1:], len(x)], strict=True):
        _, last, cache = rnn_forward(params, x[i:j], h)
        each.append(rnn_backward(cache, dout[i:j])[2])
        h = start(last)
    return _sum(each), last, each


def _sum(each: list[Recurrent]) -> Recurrent:
    """Add up gradients."""
    total = each[0]
    for grads in each[1:]:
        total = tree_map(np.add, total, grads)
    return total


def _wrong_cuts(
    params: Recurrent, x: Array, h0: Array, dout: Array, k: int
) -> Iterator[tuple[str, tuple[Recurrent, Array]]]:
    """Do truncated BPTT that is wrong in a known way, by the mistake."""
    T, zero = len(x), np.zeros_like(h0)
    args = (params, x, h0, dout, k)
    _, last, each = _cut(*args)
    because = "what comes out "
    restarted = f"{because}if each window starts from"
    whole = _cut(params, x, h0, dout, T)
    yield "the full gradient: the windows are to cut it", whole[:2]
    yield f"{restarted} zero: carry the state on", _cut(*args, start=lambda h: zero)[:2]
    yield f"{restarted} h0: carry the state on", _cut(*args, start=lambda h: h0)[:2]
    yield f"{because}if h0 is ignored", _cut(params, x, zero, dout, k)[:2]
    yield "the gradient of the last window alone: add up all of them", (each[-1], last)
    yield "the gradient of the first window alone: add up all of them", (each[0], last)
    mean = tree_map(lambda total: total / len(each), _sum(each))
    yield "a mean over the windows; the gradient is their sum", (mean, last)
    if T % k and len(each) > 1:
        shorter = _cut(params, x[: T - T % k], h0, dout, k)[:2]
        yield f"{because}if the last window, which is shorter, is left out", shorter
        edges = [0, *range(T % k, T, k)]
        yield (
            f"{because}if the first window is the short one, not the last",
            _cut(*args, edges=edges)[:2],
        )
    again = np.concatenate([dout[: min(k, T - i)] for i in range(0, T, k)])
    yield f"{because}if each window gets the first window's dout", _cut(params, x, h0, again, k)[:2]
    ends = np.zeros_like(dout)
    for i in range(0, T, k):
        j = min(i + k, T) - 1
        ends[j] = dout[j]
    yield f"{because}if only the last loss of each window counts", _cut(params, x, h0, ends, k)[:2]
    if k > 1:
        yield f"{because}with a cut after every step", _cut(params, x, h0, dout, 1)[:2]
    if k < T:
        longer = _cut(params, x, h0, dout, k + 1)
        yield f"{because}with windows of k + 1 steps", longer[:2]


def check_windowed_gradient(windowed_gradient: Any, seed: int = 0) -> None:
    """Refuse what is not the gradient of truncated BPTT."""
    rng = rng_of(seed)
    for T, B, D, H, k in [*WINDOWS, (5, 3, 2, 4, 8)]:
        params, x = init_rnn(D, H, rng=rng), rng.normal(size=(T, B, D))
        h0, dout = rng.normal(size=(B, H)), rng.normal(size=(T, B, H))
        args: dict[str, Any] = {"params": params, "x": x, "h0": h0, "dout": dout, "k": k}
        result = call("windowed_gradient", windowed_gradient, **args)
        parts = results("windowed_gradient", result, "grads", "h_n")
        grads = _gradients("grads", parts[0], D, H)
        h_n = numbers("h_n", parts[1], "It is the state after the last step.", B=B, H=H)
        right, last, _ = _cut(**args)
        wrong = list(_wrong_cuts(**args))
        # The state first: where it is wrong, the gradients are as well.
        states = {why: state for why, (_, state) in wrong}
        states["h0; the state after the last step is wanted"] = h0
        states["the state after the first window"] = rnn_forward(params, x[:k], h0)[1]
        look = "Hand the last state of a window to the next as its h0."
        close("h_n", h_n, last, suspects=states, look=look)
        for name, value, expected in zip(WEIGHTS, grads, right, strict=True):
            suspects = {why: getattr(summed, name) for why, (summed, _) in wrong}
            close(
                f"grads.{name}",
                value,
                expected,
                suspects=suspects,
                look="Go through x[:k] alone, then x[k:2*k] from its last state, and add.",
            )


# --- 5. What to draw, and drawing it. ---


def check_next_probabilities(next_probabilities: Any, seed: int = 0) -> None:
    """Refuse what is not the softmax of logits / temperature, over the top_k alone."""
    rng = rng_of(seed)
    cases: list[tuple[int, int, float, int | None, float]] = [
        (4, 4, 0.5, None, 1.0),
        (3, 6, 1.0, 3, 1.0),
        (3, 6, 2.0, 4, 1.0),
        (2, 5, 0.0, None, 1.0),
        (2, 5, 0.0, 3, 1.0),
        (2, 5, 1e-3, 2, 1.0),
        (1, 7, 1.5, 1, 1.0),
        (5, 3, 1.0, 3, 1.0),
        (2, 4, 1.0, None, 1000.0),
        (2, 4, 0.7, 2, 1000.0),
    ]
    for B, V, temperature, top_k, scale in cases:
        # Distinct, so that there is no tie to decide; all below zero in one row.
        logits = rng.permuted(np.linspace(-2.0, 2.0, V) + np.zeros((B, V)), axis=1)
        logits = scale * (logits + 0.1 * rng.random((B, V)))
        logits[-1] -= 3.0 * scale
        args: dict[str, Any] = {"logits": logits, "temperature": temperature, "top_k": top_k}
        result = call("next_probabilities", next_probabilities, **args)
        p = numbers("the result", result, "One probability for each logit.", B=B, V=V)
        right = _probabilities(logits, temperature, top_k)
        close(
            f"the result for temperature {temperature:g} and top_k {top_k}",
            p,
            right,
            suspects=_wrong_probabilities(logits, temperature, top_k),
            look="Take softmax of logits / temperature, with -inf for what is not in the top_k.",
        )


def _probabilities(logits: Array, temperature: float, top_k: int | None) -> Array:
    """Return the softmax with temperature over the top_k."""
    order = np.argsort(np.argsort(-logits, axis=1), axis=1)  # rank of each logit in its row
    best = 1 if temperature == 0 else logits.shape[1] if top_k is None else top_k
    return softmax(np.where(order < best, logits / (temperature or 1.0), -np.inf))


def _wrong_probabilities(logits: Array, temperature: float, top_k: int | None) -> dict[str, Array]:
    """Probabilities that are wrong in a known way, by the mistake."""
    B, V = logits.shape
    because = "what comes out "
    if temperature == 0:
        return {
            f"{because}if temperature 0 is read as 1; it takes the largest alone": _probabilities(
                logits, 1.0, top_k
            ),
            f"{because}if temperature 0 is read as 1, and top_k ignored": softmax(logits),
            f"{because}if temperature 0 leaves all equal": np.full((B, V), 1.0 / V),
        }
    one = _probabilities(logits, 1.0, top_k)
    with np.errstate(all="ignore"):
        hot = softmax(logits * temperature)
        sharpened = softmax(logits) ** temperature
        wrong = {
            "all symbols, as if top_k were ignored": softmax(logits / temperature),
            f"{because}if the temperature is ignored": one,
            f"{because}if temperature and top_k are ignored": softmax(logits),
            f"{because}if the logits are multiplied by the temperature": hot,
            f"{because}if the logits are multiplied by it, over the top_k": _probabilities(
                logits * temperature, 1.0, top_k
            ),
            "p to the power of the temperature; the power is 1 / temperature": sharpened
            / sharpened.sum(axis=1, keepdims=True),
            f"{because}if the temperature divides twice": _probabilities(
                logits / temperature, temperature, top_k
            ),
            "p divided by the temperature; divide the logits, before the softmax": one
            / temperature,
            f"{because}if the softmax runs over the batch; over each row, it is axis 1": softmax(
                (logits / temperature).T
            ).T,
            "the logits after the temperature, and no softmax yet": logits / temperature,
        }
    if top_k is not None:
        right = _probabilities(logits, temperature, None)
        order = np.argsort(np.argsort(-logits, axis=1), axis=1)
        kept = np.where(order < top_k, right, 0.0)
        wrong["the top_k, but their probabilities do not add up to 1"] = kept
        wrong[f"{because}with a logit of 0 for the others; exp(0) is 1, take -inf"] = softmax(
            np.where(order < top_k, logits / temperature, 0.0)
        )
        wrong[f"{because}with one symbol too many"] = _probabilities(
            logits, temperature, min(top_k + 1, V)
        )
        if top_k > 1:
            wrong[f"{because}with one symbol too few: the k-th itself stays"] = _probabilities(
                logits, temperature, top_k - 1
            )
        wrong["the least likely symbols, not the most likely"] = softmax(
            np.where(order >= V - top_k, logits / temperature, -np.inf)
        )
        flat = np.sort(logits, axis=None)[-top_k]
        with np.errstate(all="ignore"):
            masked = np.where(logits >= flat, logits / temperature, -np.inf)
            if np.isfinite(masked).any(axis=1).all():
                wrong[f"{because}if the top_k are sought in all rows together"] = softmax(masked)
        wrong["p sorted; each symbol must stay in its own place"] = -np.sort(
            -_probabilities(logits, temperature, top_k), axis=1
        )
    return wrong


ROWS = 1000  # that are alike
MIXES = np.array(
    [[0.05, 0.6, 0.05, 0.3, 0.0], [0.0, 0.3, 0.0, 0.0, 0.7], [0.35, 0.0, 0.5, 0.0, 0.15]]
)


def check_draw(draw: Any, seed: int = 0) -> None:
    """Refuse draws that do not follow the probabilities of their row."""
    p = np.repeat(MIXES, ROWS, axis=0)
    B, V = p.shape
    ids = _drawn(draw, p, rng_of(seed))
    shape = f"shape ({B},): one symbol for each row of p"
    if ids.shape != (B,):
        explained(f"the result must have {shape}, got {ids.shape}")
    if ids.min() < 0 or ids.max() >= V:
        wrong = ids.min() if ids.min() < 0 else ids.max()
        fail(f"a drawn symbol is {wrong}, but with V={V} they run from 0 to {V - 1}")
    groups = ids.reshape(len(MIXES), ROWS)
    if (groups == groups[:, :1]).all():
        rng, best = rng_of(seed + 1), MIXES.argmax(axis=1)
        if all(np.array_equal(_drawn(draw, MIXES, rng), best) for _ in range(20)):
            fail("every row got its most likely symbol: draw by the probabilities instead")
        fail("all rows that are alike got the same symbol: each row needs a draw of its own")
    found = np.stack([np.bincount(group, minlength=V) for group in groups]) / ROWS
    never = (found > 0) & (MIXES == 0)
    if never.any():
        m, v = np.argwhere(never)[0]
        fail(f"symbol {v} was drawn from {MIXES[m].tolist()}, where its probability is 0")
    spread = np.sqrt(MIXES * (1 - MIXES) / ROWS)
    off = np.abs(found - MIXES) - 5 * spread
    if (off > 0).any():
        m, v = np.unravel_index(np.argmax(off), off.shape)
        means = {
            "the probabilities of the first row are used for all": MIXES[0],
            "all symbols that are possible are drawn alike": (MIXES[m] > 0) / (MIXES[m] > 0).sum(),
        }
        for why, mix in means.items():
            if (np.abs(found[m] - mix) <= 5 * np.sqrt(mix * (1 - mix) / ROWS) + 1e-9).all():
                fail(
                    f"symbol {v} came {found[m, v]:.0%} of the time in place of "
                    f"{MIXES[m, v]:.0%}: {why}"
                )
        fail(
            f"symbol {v} came {found[m, v]:.0%} of the time from {MIXES[m].tolist()}: "
            "compare a uniform number with the running sums of the row"
        )
    some = np.repeat(MIXES, 20, axis=0)
    rng, same = rng_of(seed), rng_of(seed)
    first, again, second = (
        _drawn(draw, some, rng),
        _drawn(draw, some, same),
        _drawn(draw, some, rng),
    )
    if not np.array_equal(first, again):
        fail("two generators in the same state gave different draws: use rng, and no other")
    if np.array_equal(first, second):
        fail("the same rng gave the same draws twice: draw from it, and start no new one")
    one = _drawn(draw, np.eye(4)[[2]], rng)
    if one.shape != (1,) or one[0] != 2:
        fail(f"from [[0, 0, 1, 0]] comes symbol 2 with certainty, got {one.tolist()}")


def _drawn(draw: Any, p: Array, rng: np.random.Generator) -> Array:
    """Return what was drawn, as whole numbers."""
    ids = np.asarray(numbers_of(call("draw", draw, p=p, rng=rng)))
    if not np.array_equal(ids, ids.astype(np.int64)):
        fail("the result must hold the ids of symbols, whole numbers")
    return ids.astype(np.int64)


def numbers_of(value: Any) -> Array:
    """Return whatever holds numbers as an array of any shape."""
    return numbers("the result", value, **{f"axis{i}": n for i, n in enumerate(np.shape(value))})


# --- 6. Checkpoints. ---

STEPS = 4096


def check_best_k(best_k: Any) -> None:
    """Refuse another distance of checkpoints than the one with the fewest states in memory."""
    guess = number("best_k", best_k)
    if guess < 1 or guess != int(guess):
        fail(f"best_k must be a whole number of steps from 1 on, got {guess:.6g}")
    k = int(guess)
    saved = -(-STEPS // k)
    held = saved + k
    if k != 64:
        why = "2 √T is the number of states, not the distance" if k == 128 else ""
        why = why or ("most are saved ones" if saved > k else "most are those of one window")
        fail(f"with k = {k} there are {saved} + {k} = {held} states in memory: {why}; fewer do")


CHECKPOINTS = [(4, 4, 4, 4, 2), (7, 3, 2, 5, 3), (5, 2, 3, 4, 1), (1, 2, 4, 3, 2), (6, 1, 3, 2, 6)]


def _resumed(
    params: Recurrent,
    x: Array,
    saved: Array,
    k: int,
    dout: Array,
    dh_n: Array,
    *,
    carry: Callable[[Array], Array] = lambda dh: dh,
) -> tuple[Back, list[Back]]:
    """Go back window by window from saved states; also return each window's own results."""
    dh, each = dh_n, []
    for i in reversed(range(len(saved))):
        now = slice(i * k, (i + 1) * k)
        cache = rnn_forward(params, x[now], saved[i])[2]
        each.append(Back(*rnn_backward(cache, dout[now], dh)))
        dh = carry(each[-1].dh0)
    each.reverse()
    dx = np.concatenate([back.dx for back in each])
    return Back(dx, each[0].dh0, _sum([back.grads for back in each])), each


def _wrong_resumed(
    params: Recurrent, x: Array, saved: Array, k: int, dout: Array, dh_n: Array
) -> Iterator[tuple[str, dict[str, Array]]]:
    """Checkpointing that is wrong in a known way, by the mistake."""
    args = (params, x, saved, k, dout, dh_n)
    zero = np.zeros_like(dh_n)
    because = "what comes out "
    right, each = _resumed(*args)
    through = rnn_forward(params, x, saved[0])[2]
    wrong: list[tuple[str, Back]] = [
        (
            "if the gradient stops at each border: a window's dh0 is the dh_n of the one before",
            _resumed(*args, carry=lambda dh: zero)[0],
        ),
        (
            "if you run on from saved[0]: begin each window at its own saved state",
            Back(*rnn_backward(through, dout, dh_n)),
        ),
        ("if dh_n is ignored", _resumed(*args[:-1], zero)[0]),
        ("if every window gets dh_n from outside", _resumed(*args, carry=lambda dh: dh_n)[0]),
        (
            "if dh_n is added again at each border",
            _resumed(*args, carry=lambda dh: dh + dh_n)[0],
        ),
        (
            "if every window starts from zero, not from its saved state",
            _resumed(params, x, np.zeros_like(saved), *args[3:])[0],
        ),
        (
            "if every window starts from saved[0]",
            _resumed(params, x, np.broadcast_to(saved[0], saved.shape), *args[3:])[0],
        ),
        (
            "if the saved states are taken from the wrong end",
            _resumed(params, x, saved[::-1], *args[3:])[0],
        ),
        ("if dout is ignored", _resumed(*args[:4], np.zeros_like(dout), dh_n)[0]),
    ]
    # From the first window to the last, with the gradient handed on in the wrong direction.
    dh, forward = dh_n, []
    for i in range(len(saved)):
        now = slice(i * k, (i + 1) * k)
        cache = rnn_forward(params, x[now], saved[i])[2]
        forward.append(Back(*rnn_backward(cache, dout[now], dh)))
        dh = forward[-1].dh0
    dx = np.concatenate([back.dx for back in forward])
    summed = _sum([back.grads for back in forward])
    wrong.append(("if the first window is done first", Back(dx, forward[0].dh0, summed)))
    wrong.append(("if the first window is done first", Back(dx, dh, summed)))
    for why, back in wrong:
        yield because + why, _flat(back)
    yield (
        "the windows in the wrong order: they are computed from the last one to the first",
        {"dx": np.concatenate([back.dx for back in reversed(each)])},
    )
    yield "the dh0 of the last window, not of the first", {"dh0": each[-1].dh0}
    for place, which in ((0, "first"), (-1, "last")):
        one = {key: value for key, value in _flat(each[place]).items() if "grads" in key}
        yield f"the gradient of the {which} window alone: add up all of them", one
    mean = {key: value / len(each) for key, value in _flat(right).items() if "grads" in key}
    yield "a mean over the windows; the gradient is their sum", mean


def check_checkpoint_backward(checkpoint_backward: Any, seed: int = 0) -> None:
    """Refuse what is not the full gradient, from windows that begin at saved states."""
    rng = rng_of(seed)
    for T, B, D, H, k in [*CHECKPOINTS, (5, 3, 2, 4, 8)]:
        params, x = init_rnn(D, H, rng=rng), rng.normal(size=(T, B, D))
        h0, dh_n = rng.normal(size=(B, H)), rng.normal(size=(B, H))
        dout = rng.normal(size=(T, B, H))
        # Rounded, so that it makes a difference where a window begins.
        saved = rnn_forward(params, x, h0)[2].h[:-1:k].round(1)
        args: dict[str, Any] = {
            "params": params,
            "x": x,
            "saved": saved,
            "k": k,
            "dout": dout,
            "dh_n": dh_n,
        }
        result = call("checkpoint_backward", checkpoint_backward, **args)
        found = _whole("checkpoint_backward", result, T, B, D, H)
        right, _ = _resumed(**args)
        expected, wrong = _flat(right), list(_wrong_resumed(**args))
        look = (
            "Start with the last window; what its backward returns as dh0 goes to the one before."
        )
        for key, value in _flat(found).items():
            suspects = {why: parts[key] for why, parts in wrong if key in parts}
            close(key, value, expected[key], suspects=suspects, look=look)


# --- 7. Forward in time. ---

WIDE = 128


def check_break_even(break_even: Any) -> None:
    """Refuse another length than that at which both ways keep equally many numbers."""
    guess = number("break_even", break_even)
    H = WIDE
    reasons = {
        H: "for one sequence BPTT keeps T H numbers, and ∂h/∂W_hh has H for each weight",
        H**3: "this is the size of ∂h/∂W_hh; BPTT keeps H numbers a step, not one",
        H * H + 1: "equal is asked for, not more",
        H * H - 1: "leave h0 out, as the question says",
        H**3 // 32: "the batch cancels: both ways keep their numbers for each sequence",
        H * H // 32: "the batch cancels: both ways keep their numbers for each sequence",
        H * H * 32: "the batch cancels: both ways keep their numbers for each sequence",
        2 * H: "∂h/∂W_hh has H numbers for each of H² weights",
        H**4: "this is the order of the operations of a step, not of the memory",
    }
    if guess in reasons:
        fail(f"break_even = {guess:.10g} is not right: {reasons[int(guess)]}")
    look = "Set T B H equal to the numbers of ∂h/∂W_hh for a batch of B, and solve for T."
    prediction("break_even", guess, H * H, look=look)


def _so_far(
    params: Recurrent,
    x: Array,
    h0: Array,
    dout: Array,
    *,
    through: Callable[[Array, Array], Array] | None = None,
    read: Callable[[Array, Array], Array] = lambda h_t, h_prev: h_prev,
    slope: Callable[[Array], Array] = lambda h_t: 1 - h_t * h_t,
    slope_of_both: bool = True,
) -> Array:
    """Return d(L_1 + … + L_t)/dW_hh after each step, by carrying dh_t/dW_hh forward."""
    H = h0.shape[1]
    h = rnn_forward(params, x, h0)[2].h
    J = np.zeros((len(h0), H, H, H))
    total, out = np.zeros((H, H)), []
    units = np.arange(H)
    for t in range(1, len(x) + 1):
        s = slope(h[t])[:, :, None, None]
        # through: (B, H, H, H) -> the same, over the state's axis 1
        carried = (
            np.einsum("il,bljk->bijk", params.W_hh, J) if through is None else through(J, h[t])
        )
        new = carried * s if slope_of_both else carried
        direct = np.zeros_like(J)
        direct[:, units, units] = read(h[t], h[t - 1])[:, None]
        J = new + direct * s
        total = total + np.einsum("bi,bijk->jk", dout[t - 1], J)
        out.append(total)
    return np.stack(out)


def _wrong_so_far(
    params: Recurrent, x: Array, h0: Array, dout: Array
) -> Iterator[tuple[str, Array]]:
    """Forward-mode gradients that are wrong in a known way, by the mistake."""
    args = (params, x, h0, dout)
    right = _so_far(*args)
    W_hh = params.W_hh
    because = "what comes out "
    alone = np.diff(right, axis=0, prepend=0.0)
    yield "the gradient of L_t alone; the losses up to t are added up", alone
    yield (
        "the whole gradient at every step: row t - 1 knows the losses up to t only",
        (np.broadcast_to(right[-1], right.shape)),
    )
    yield (
        "the gradient of the losses from t on; those up to t are wanted",
        (right[-1] - right + alone),
    )
    yield (
        "the right gradient, transposed: dW_hh[j, k] belongs to W_hh[j, k]",
        (right.transpose(0, 2, 1)),
    )
    yield (
        f"{because}with the immediate derivative alone, without ∂h_(t-1)/∂W_hh",
        _so_far(*args, through=lambda J, h: 0 * J),
    )
    yield (
        f"{because}with W_hh transposed: unit i reads the unit l by W_hh[i, l]",
        _so_far(*args, through=lambda J, h: np.einsum("li,bljk->bijk", W_hh, J)),
    )
    yield (
        f"{because}without the slope 1 - h² of tanh",
        _so_far(*args, slope=np.ones_like),
    )
    yield (
        f"{because}with the slope 1 - h; that of tanh is 1 - h²",
        _so_far(*args, slope=lambda h: 1 - h),
    )
    yield (
        f"{because}if the slope 1 - h² multiplies the direct way alone; it belongs to both",
        (_so_far(*args, slope_of_both=False)),
    )
    yield (
        f"{because}if W_hh multiplies nothing: ∂h_(t-1)/∂W_hh goes through W_hh",
        _so_far(*args, through=lambda J, h: J),
    )
    yield (
        f"{because}with h_t in the direct way; the step has read h_(t-1)",
        _so_far(*args, read=lambda h_t, h_prev: h_t),
    )
    yield f"{because}if h0 is ignored", _so_far(params, x, np.zeros_like(h0), dout)
    yield "a mean over the batch; the gradient is the sum", right / len(h0)
    yield (
        "a mean over the steps; the losses are added up",
        (right / np.arange(1, len(x) + 1)[:, None, None]),
    )
    yield f"{because}if dout is read from its wrong end", _so_far(params, x, h0, dout[::-1])
    yield (
        "one step too late: row t - 1 holds what the steps up to t give",
        (np.concatenate([np.zeros_like(right[:1]), right[:-1]])),
    )


def check_rtrl(rtrl: Any, seed: int = 0) -> None:
    """Refuse what is not the gradient of W_hh of the losses so far, after every step."""
    rng = rng_of(seed)
    for T, B, D, H in [(4, 4, 4, 4), (6, 3, 2, 5), (1, 2, 4, 3), (7, 1, 3, 2)]:
        params, x = init_rnn(D, H, rng=rng), rng.normal(size=(T, B, D))
        # Weights of init_rnn are small; larger ones tell the ways back from each other.
        params = params._replace(W_hh=1.5 * params.W_hh)
        h0, dout = rng.normal(size=(B, H)), rng.normal(size=(T, B, H))
        args: dict[str, Any] = {"params": params, "x": x, "h0": h0, "dout": dout}
        result = call("rtrl", rtrl, **args)
        look = "One gradient of W_hh after each step."
        found = numbers("the result", result, look, T=T, rows=H, columns=H)
        cache = rnn_forward(params, x, h0)[2]
        right = np.stack(
            [rnn_backward(cache.steps(0, t), dout[:t])[2].W_hh for t in range(1, T + 1)]
        )
        close(
            "the result",
            found,
            right,
            suspects=dict(_wrong_so_far(**args)),
            look="Row 0 is the immediate derivative of step 1: compare it first, then row 1.",
        )
