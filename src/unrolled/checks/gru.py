"""Checks of the exercises of chapter 6, GRU."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from unrolled._validate import Array
from unrolled.checks._tools import (
    alike,
    call,
    close,
    explained,
    fail,
    grads_of,
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
from unrolled.functional import sigmoid
from unrolled.gradients import state_jacobian
from unrolled.gru import GRUCache, gru_backward, gru_forward
from unrolled.params import Recurrent, init_gru

# --- What several checks share. ---


def _parameters(name: str, value: Any, D: int, H: int, look: str, of: str = "") -> Recurrent:
    """Return a layer's parameters, if they are such that ``gru_forward`` takes them."""
    wanted = f"{name} must return Recurrent(W_ih, W_hh, b_ih, b_hh), four arrays"
    if not isinstance(value, tuple | list):
        explained(f"{wanted}; it returned {kind_of(value)}")
    if len(value) != 4:
        explained(f"{wanted}; it returned {len(value)} thing{'' if len(value) == 1 else 's'}")
    sizes = {"W_ih": {"D": D}, "W_hh": {"H": H}, "b_ih": {}, "b_hh": {}}
    for (field, columns), part in zip(sizes.items(), value, strict=True):
        numbers(f"{field}{of}", part, look, rows=3 * H, **columns)
        if not isinstance(part, np.ndarray):
            explained(f"{field}{of} must be an array, as gru_forward asks; it is {kind_of(part)}")
        if part.dtype != np.float64:
            explained(
                f"{field}{of} must hold float64, as gru_forward asks; its dtype is {part.dtype}"
            )
    if not isinstance(value, Recurrent):
        explained(f"{wanted}; it returned them in {kind_of(value)}, which gru_forward refuses")
    return value


# --- What is to be counted. ---

INPUTS, UNITS, BATCH = 10, 40, 8  # D, H and B of the first question


def _size(units: float, blocks: int = 3) -> float:
    """Count the parameters of a layer with this many blocks of rows."""
    return blocks * (units * INPUTS + units * units + 2 * units)


def check_counts(parameters: Any, sigmoids: Any, units: Any) -> None:
    """Refuse wrong counts of a GRU's parameters, sigmoids, and units at equal size."""
    D, H, BH = INPUTS, UNITS, BATCH * UNITS
    one, goal = _size(H, 1), _size(H, 4)
    fits: dict[str, tuple[int, str, dict[float, str]]] = {
        "parameters": (
            3 * int(one),
            "count W_ih, W_hh, b_ih and b_hh, each with its 3H rows",
            {
                one: "this is a plain RNN's count; a GRU has three blocks of rows",
                2 * one: "the candidate has weights, too: two gates, three blocks",
                goal: "this is an LSTM's count; a GRU has three blocks of rows",
                3 * (one - H): "each block has two biases a unit, in b_ih and b_hh",
                3 * (one - 2 * H): "the biases are missing: b_ih and b_hh",
                3 * (one - H * H): "the recurrent weights W_hh are missing",
                3 * (one - H * D): "the weights W_ih of the input are missing",
                3 * BATCH * one: "the batch shares its weights",
            },
        ),
        "sigmoids": (
            2 * BH,
            "which blocks are gates, and how many numbers has a block for the whole batch?",
            {
                3 * BH: "the candidate is no gate: it goes through tanh",
                2 * H: "this is for one sequence; the batch has 8",
                3 * H: "this is for one sequence, and the candidate is no gate",
                BH: "there are two gates; 1 - z is no new one, but there is r besides z",
                4 * BH: "1 - z needs no sigmoid of its own, and the candidate goes through tanh",
                2: "each gate is an array of shape (B, H), not one number",
            },
        ),
        "units": (
            max(h for h in range(100) if _size(h) <= goal),
            "",
            {
                46: "it is right for the weights W_hh alone; the others grow with H and not with "
                "its square, so there is room for more",
                53: "most parameters stand in W_hh, and they grow with the square of H",
                34: "a block less leaves room for more units, not for fewer",
                30: "a block less leaves room for more units, not for fewer",
            },
        ),
    }
    answers = {"parameters": parameters, "sigmoids": sigmoids, "units": units}
    for what, (right, look, reasons) in fits.items():
        guess = number(what, answers[what])
        if guess == right:
            continue
        if what == "units":
            if guess != round(guess):
                fail(f"units = {guess:g} is not right: it is a whole number")
            look = (
                f"a GRU of {guess:g} units has {_size(guess):,.0f} parameters, the LSTM {goal:,.0f}"
            )
        fail(f"{what} = {guess:g} is not right: {reasons.get(guess, look)}")


# --- One step. ---

# (B, D, H): a case in which wrong transposes fit, so that they can be named; then all different,
# one sequence, one unit, one input; one size again, for what an answer keeps from call to call.
STEPS = [(4, 4, 4), (3, 2, 5), (1, 4, 3), (2, 3, 1), (2, 1, 3), (3, 2, 5)]


def _drawn(rng: np.random.Generator, D: int, H: int) -> Recurrent:
    """Draw parameters whose biases are as large as what they are added to."""
    b_ih, b_hh = rng.normal(size=(2, 3 * H))
    return init_gru(D, H, rng=rng)._replace(b_ih=b_ih, b_hh=b_hh)


def _step(
    params: Recurrent, x_t: Array, h_prev: Array, *wrong: str, order: str = "rzn"
) -> tuple[Array, Array, Array, Array]:
    """Return h_t, r, z, n of one step, right or with mistakes by their names below.

    With "before" it is the paper's variant, in which r multiplies the state before the product.
    """
    W_ih, W_hh, b_ih, b_hh = params
    b_ih = b_ih * ("no b_ih" not in wrong and "no bias" not in wrong)
    b_hh = b_hh * ("no b_hh" not in wrong and "no bias" not in wrong)
    a_x = x_t @ W_ih.T * ("no x" not in wrong) + b_ih
    a_h = h_prev @ W_hh.T * ("no h" not in wrong) + b_hh
    if "interleaved" in wrong:
        a_x, a_h = (a.reshape(len(a), -1, 3).swapaxes(1, 2).reshape(a.shape) for a in (a_x, a_h))
    x_of = dict(zip(order, np.split(a_x, 3, axis=1), strict=True))
    h_of = dict(zip(order, np.split(a_h, 3, axis=1), strict=True))
    b_n = dict(zip(order, np.split(b_hh, 3), strict=True))["n"]
    W_n = dict(zip(order, np.split(W_hh, 3), strict=True))["n"]
    gate = np.tanh if "gates by tanh" in wrong else sigmoid
    r, z = gate(x_of["r"] + h_of["r"]), gate(x_of["z"] + h_of["z"])
    reset = {"1 - r": 1 - r, "no reset": np.ones_like(r), "z resets": z}
    (reset_by,) = [reset[name] for name in wrong if name in reset] or [r]
    m = reset_by * h_of["n"]
    if "bias outside" in wrong:
        m = reset_by * (h_of["n"] - b_n) + b_n
    if "before" in wrong:
        m = (reset_by * h_prev) @ W_n.T + b_n
    if "W_hn turned" in wrong:
        in_front = "before" in wrong
        m = (reset_by * h_prev) @ W_n + b_n if in_front else reset_by * (h_prev @ W_n + b_n)
    if "before, bias" in wrong:
        m = (reset_by * h_prev) @ W_n.T + reset_by * b_n
    a_n = reset_by * x_of["n"] + m if "input reset" in wrong else x_of["n"] + m
    n = (
        sigmoid(a_n)
        if "n by sigmoid" in wrong
        else a_n
        if "n without tanh" in wrong
        else np.tanh(a_n)
    )
    h = {
        "swap": z * n + (1 - z) * h_prev,
        "no 1 - z": n + z * h_prev,
        "both z": z * n + z * h_prev,
        "all kept": (1 - z) * n + h_prev,
        "nothing kept": (1 - z) * n,
        "no n": z * h_prev,
        "reset kept": (1 - z) * n + z * r * h_prev,
        "tanh": np.tanh((1 - z) * n + z * h_prev),
    }
    (new,) = [h[name] for name in wrong if name in h] or [(1 - z) * n + z * h_prev]
    return new, r, z, n


STEP_BUGS = {
    "swap": "what comes out if z and 1 - z change places; here z is the share of h_prev that is "
    "kept",
    "before": "what comes out if r multiplies h_prev before the product; here it multiplies "
    "W_hn h_prev + b_hn",
    "bias outside": "what comes out if b_hn stands outside the reset; r multiplies the product "
    "and b_hn",
    "input reset": "what comes out if r multiplies the input's part as well",
    "no reset": "what comes out without the reset gate",
    "1 - r": "what comes out with 1 - r in place of r",
    "z resets": "what comes out if z does the work of r",
    "no 1 - z": "what comes out without 1 - z at the candidate",
    "both z": "what comes out with z at both; the candidate has 1 - z",
    "all kept": "what comes out if all of h_prev is kept; its share is z",
    "nothing kept": "what comes out if z * h_prev is missing",
    "no n": "what comes out if the candidate is not added",
    "reset kept": "what comes out if r multiplies the part of h_prev that is kept, too",
    "tanh": "what comes out with a tanh around h_t; a GRU has none there",
    "n by sigmoid": "what comes out with a sigmoid for the candidate; it is a tanh",
    "n without tanh": "what comes out if the candidate goes without tanh",
    "gates by tanh": "what comes out if the gates go through tanh; they need sigmoid",
    "no x": "what comes out without x_t",
    "no h": "what comes out if W_hh h_prev is missing",
    "no b_ih": "what comes out without b_ih",
    "no b_hh": "what comes out without b_hh",
    "no bias": "what comes out without the biases",
    "W_hn turned": "what comes out if W_hn is used without .T",
    "interleaved": "what comes out if every third number is one gate's; a gate is a block of H",
}
ORDERS = ("zrn", "rnz", "nzr", "nrz", "znr")


def _step_suspects(params: Recurrent, x_t: Array, h_prev: Array) -> dict[str, Array]:
    """Return what comes out by the mistakes that are known."""
    found = {why: _step(params, x_t, h_prev, bug)[0] for bug, why in STEP_BUGS.items()}
    for order in ORDERS:
        why = f"what comes out in the order {'|'.join(order)}; the rows of torch are r|z|n"
        found[why] = _step(params, x_t, h_prev, order=order)[0]
    for why, turned in _turned(params).items():
        found[why] = _step(turned, x_t, h_prev)[0]
    return found


def _turned(params: Recurrent) -> dict[str, Recurrent]:
    """Transpose each block of a matrix, where that fits."""
    found = {}
    for name in ("W_ih", "W_hh"):
        blocks = np.split(getattr(params, name), 3)
        if blocks[0].shape[0] == blocks[0].shape[1]:
            why = f"what comes out if each block of {name} is used without .T"
            found[why] = params._replace(**{name: np.concatenate([W.T for W in blocks])})
    return found


def _case(rng: np.random.Generator, B: int, D: int, H: int) -> dict[str, Any]:
    x_t, h_prev = rng.normal(size=(B, D)), rng.normal(size=(B, H))
    return {"params": _drawn(rng, D, H), "x_t": x_t, "h_prev": h_prev}


def _cases(rng: np.random.Generator) -> Iterator[tuple[tuple[int, int, int], dict[str, Any]]]:
    """Draw a case of each size; one with gates at 0 and 1, and one with a state of zeros."""
    for k, (B, D, H) in enumerate(STEPS):
        case = _case(rng, B, D, H)
        if k == 1:  # each unit gets both signs, so that an exp overflows whatever its sign is
            case["x_t"][0] *= 1e5
            case["x_t"][1] = -case["x_t"][0]
        if D == 1:
            case["h_prev"][:] = 0
        yield (B, D, H), case


def check_gru_step(gru_step: Any, seed: int = 0) -> None:
    """Refuse what is not one step of a GRU."""
    name, kept = "gru_step", []
    for (B, _, H), case in _cases(rng_of(seed)):
        value = call(name, gru_step, **case)
        first = value[0] if isinstance(value, tuple | list) and len(value) else None
        if isinstance(first, np.ndarray) and first.shape == (B, H):
            if len(value) == 1:
                explained(f"{name} returned h_t inside {kind_of(value)}; return h_t itself")
            explained(f"{name} returned {len(value)} arrays; a GRU has one state, h_t")
        h_t = numbers("h_t", value, "One number for each sequence and unit.", B=B, H=H)
        right = _step(*case.values())[0]
        look = "Compare the two parts, then r, z and n, then h_t with gru_cell, line by line."
        close("h_t", h_t, right, suspects=_step_suspects(*case.values()), look=look)
        kept.append((value, snapshot(value)))
    same_still(name, kept)


# --- Another library. ---


def check_changed(changed: Any) -> None:
    """Refuse a wrong prediction of what two biases in one change."""
    chosen = names_of("changed", changed, "rzn")
    for name in sorted(chosen & {"r", "z"}):
        fail(
            f"changed holds {name}: but there the two biases meet in one sum, before the sigmoid. "
            "Where does something stand between them?"
        )
    if not chosen:
        fail("changed is empty: is there a block in which one of the two biases is multiplied?")


# (T, B, D, H); not T = B, so that a mean over the one is not taken for a mean over the other
SIZES = [
    (5, 4, 4, 4),
    (1, 3, 2, 5),
    (6, 3, 2, 5),
    (5, 1, 3, 2),
    (2, 5, 4, 3),
    (4, 2, 3, 1),
    (6, 3, 2, 5),
]


def _other_library(W: Array, U: Array, b: Array, x: Array, h: Array) -> Array:
    """Run the other library's GRU: columns z|r|n, one bias, and z is the share of the new."""
    out = []
    for x_t in x:
        x_z, x_r, x_n = np.split(x_t @ W + b, 3, axis=1)
        h_z, h_r, h_n = np.split(h @ U, 3, axis=1)
        z, r = sigmoid(x_z + h_z), sigmoid(x_r + h_r)
        h = (1 - z) * h + z * np.tanh(x_n + r * h_n)
        out.append(h)
    return np.stack(out)


def _converted(
    W: Array,
    U: Array,
    b: Array,
    *,
    order: str = "rzn",
    minus: str = "z",
    of: str = "WUb",
    less: float = 0.0,
    into: str = "b_ih",
    flat: str = "",
    cut: bool = False,
) -> Recurrent:
    """Convert the other library's parameters; the right ones by default."""
    parts = {}
    for name, array in {"W": W, "U": U, "b": b}.items():
        blocks = dict(zip("zrn", np.split(array, 3, axis=-1), strict=True))
        if name in of:
            blocks |= {k: less - blocks[k] for k in minus}
        parts[name] = [blocks[k] if name in flat else blocks[k].T for k in order]
        if cut and name != "b":
            whole = np.concatenate([blocks[k] for k in order], axis=-1)
            parts[name] = [whole.reshape(-1, len(array))]
    W_ih, W_hh, bias = (np.concatenate(part) for part in parts.values())
    zero, n = np.zeros_like(bias), np.arange(len(bias)) >= 2 * len(bias) // 3
    biases = {
        "b_ih": (bias, zero),
        "b_hh": (zero, bias),
        "n in b_hh": (np.where(n, 0, bias), np.where(n, bias, 0)),
        "both": (bias, bias),
        "halves": (bias / 2, bias / 2),
        "neither": (zero, zero),
    }
    return Recurrent(W_ih, W_hh, *biases[into])


REST = "r multiplies b_hn; the other library's bias of n stands outside the reset"
SIGN = "z and 1 - z have changed places; which numbers turn sigmoid(a) into 1 - sigmoid(a)?"
THREE = "the sign of z is to be turned in W, U and b, in all three"
CONVERSIONS: dict[str, list[dict[str, Any]]] = {
    SIGN: [{"minus": ""}],
    "1 - sigmoid(a) is sigmoid(-a), not the sigmoid of weights 1 - W": [
        {"less": 1.0},
        {"less": 1.0, "of": "WU"},
    ],
    THREE: [{"of": of} for of in ("WU", "Ub", "Wb", "W", "U", "b")],
    "the sign is turned in another block; it is z that means something else here": [
        {"minus": "r"},
        {"minus": "n"},
        {"minus": "zrn"},
        {"minus": "zr"},
    ],
    "the blocks still stand in the order z|r|n; gru_forward has r|z|n": [
        {"order": "zrn"},
        {"order": "zrn", "minus": ""},
        {"order": "zrn", "minus": "r"},
    ],
    "the blocks stand in the order n|r|z; gru_forward has r|z|n": [{"order": "nrz"}],
    REST: [{"into": "b_hh"}, {"into": "n in b_hh"}],
    "the bias counts twice, in b_ih and in b_hh": [{"into": "both"}],
    "half of the bias of n is multiplied by r; put all of it into b_ih": [{"into": "halves"}],
    "the bias is lost": [{"into": "neither"}],
    f"{SIGN} And {REST}": [
        {"minus": "", "into": into} for into in ("b_hh", "n in b_hh", "halves", "both")
    ],
    f"{THREE}. And {REST}": [
        {"of": "WU", "into": into} for into in ("b_hh", "n in b_hh", "halves")
    ],
    "reshape cuts the numbers anew, row by row; .T turns rows into columns": [
        {"cut": True, "order": order, "minus": minus}
        for order in ("rzn", "zrn")
        for minus in ("z", "")
    ],
}


def check_converted(converted: Any, seed: int = 0) -> None:
    """Refuse parameters with which gru_forward is not the other library's GRU."""
    rng, name, kept = rng_of(seed), "converted", []
    for T, B, D, H in SIZES:
        W, U = rng.normal(size=(D, 3 * H)), rng.normal(size=(H, 3 * H))
        b = rng.normal(size=3 * H)
        value = call(name, converted, W=W, U=U, b=b)
        rows = "It has the layout of torch: the rows are r|z|n."
        params = _parameters(name, value, D, H, rows)
        kept.append((value, snapshot(value)))
        x, h0 = rng.normal(size=(T, B, D)), rng.normal(size=(B, H))
        with np.errstate(all="ignore"):
            out, right = gru_forward(params, x, h0)[0], _other_library(W, U, b, x, h0)
        if alike(out, right):
            continue
        known = dict(CONVERSIONS)
        if D == H:
            known["the blocks of W are not transposed"] = [{"flat": "W"}]
            known["the blocks of U are not transposed"] = [{"flat": "U"}]
            known["the blocks of W and U are not transposed"] = [{"flat": "WU"}]
        for why, mistakes in known.items():
            for mistake in mistakes:
                other = gru_forward(_converted(W, U, b, **mistake), x, h0)[0]
                if not alike(other, right) and alike(out, other):
                    explained(f"gru_forward gives other states than the library: {why}")
        look = "Take T = 1 and h0 = 0, and compare block by block."
        close("the state of gru_forward", out, right, look=look)
    same_still(name, kept)


# --- What one step keeps. ---

LAG, DELAY = 10, 100  # steps


def check_kept(left: Any, bias: Any) -> None:
    """Refuse wrong predictions of what is left of a gradient."""
    guess, right = number("left", left), 0.5**LAG
    if not abs(guess - right) <= 0.03 * right:
        reasons = {
            "this is one step's share; ten steps multiply": 0.5,
            "the gate with a bias of 0 is one half, not 0": 0.0,
            "the gate with a bias of 0 is one half, not 1": 1.0,
            "a share, not a percentage": 100 * right,
            "the inverse; what is asked for is smaller than 1": 1 / right,
            "the shares multiply; they are not added": 0.5 / LAG,
            "this is what is lost": 1 - right,
            "there are ten steps from h_0 to h_10": 0.5 ** (LAG - 1),
            "there are ten steps from h_0 to h_10, not eleven": 0.5 ** (LAG + 1),
            "only z multiplies the old state; 1 - z multiplies the candidate": 0.25**LAG,
        }
        for why, wrong in reasons.items():
            if abs(guess - wrong) <= 0.03 * abs(wrong):
                fail(f"left = {guess:.6g} is not right: {why}")
        fail(
            f"left = {guess:.6g} is not right: what is z at a bias of 0, and z to the power of 10?"
        )
    guess, f = number("bias", bias), 0.5 ** (1 / DELAY)
    exact = float(np.log(f / (1 - f)))
    if abs(guess - exact) <= 0.06:
        return
    reasons = {
        "this is the gate z; the bias is what sigmoid makes z of": f,
        "the sign: in torch's GRU z is the share that is kept": -exact,
        "log 99 leaves a share of 1/e after 100 steps, not one half": float(np.log(DELAY - 1)),
        "log 100 leaves a little more than 1/e after 100 steps, not one half": float(np.log(DELAY)),
        "with 0 half is left after one step": 0.0,
        "f / (1 - f), whose log is still to be taken": f / (1 - f),
        "the logarithm to base 10; sigmoid is made of e": exact / float(np.log(10)),
    }
    for why, wrong in reasons.items():
        if abs(guess - wrong) <= 0.005 * max(abs(wrong), 0.01):
            fail(f"bias = {guess:.6g} is not right: {why}")
    with np.errstate(all="ignore"):
        share = float(sigmoid(np.array(guess))) ** DELAY
    fail(
        f"bias = {guess:.6g} is not right: with it {share:.3g} is left after 100 steps. Which z "
        "has z**100 = 0.5, and which bias has this sigmoid?"
    )


def _jacobian(params: Recurrent, x_t: Array, h_prev: Array, wrong: str = "") -> Array:
    """Compute dh_t / dh_{t-1}, right or with a mistake by its name below."""
    _, r, z, n = _step(params, x_t, h_prev)
    W_r, W_z, W_n = np.split(params.W_hh, 3)
    m = h_prev @ W_n.T + np.split(params.b_hh, 3)[2]
    m = {"h for m": h_prev, "m without b": h_prev @ W_n.T}.get(wrong, m)
    one = np.ones_like(z)
    slopes = {"n": 1 - n**2, "z": z * (1 - z), "r": r * (1 - r)}
    slopes |= {name: one for name in "nzr" if wrong == f"slope {name}"}
    new = z if wrong == "z for 1 - z" else 1 - z
    to_n = new * slopes["n"]
    way_n = to_n * (one if wrong == "no r" else r)
    way_r = to_n * m * slopes["r"]
    way_z = ((n - h_prev) if wrong == "n - h" else (h_prev - n)) * slopes["z"]
    if wrong == "h alone":
        way_z = h_prev * slopes["z"]
    ways = {"n": (way_n, W_n), "r": (way_r, W_r), "z": (way_z, W_z)}

    def matrix(way: Array, W: Array) -> Array:
        """Scale the rows of W, for each sequence."""
        return way[:, None, :] * W if wrong == "columns" else way[:, :, None] * W

    through: Any = sum(matrix(*way) for name, way in ways.items() if wrong != f"no way {name}")
    direct = new if wrong == "1 - z kept" else z
    kept = direct[:, :, None] * np.eye(z.shape[1])
    J: Array = {"z alone": kept, "no z": through}.get(wrong, kept + through)
    return J.swapaxes(1, 2) if wrong == "turned" else J


JACOBIANS = {
    "z alone": "the direct way alone: h_prev is also read by r, z and n, through W_hh",
    "no z": "what comes out without the direct way, diag(z)",
    "no way n": "what comes out without the way through the candidate, W_hn",
    "no way r": "what comes out without the way through the reset gate, W_hr",
    "no way z": "what comes out without the way through the update gate, W_hz",
    "turned": "the transpose: row i belongs to h_t's number i",
    "columns": "what comes out if the columns of W_hh's blocks are scaled; it is the rows",
    "no r": "what comes out without r on the way through the candidate",
    "h for m": "what comes out with h_prev at the reset gate; r multiplies W_hn h_prev + b_hn",
    "m without b": "what comes out if r's way lacks b_hn: r multiplies W_hn h_prev + b_hn",
    "n - h": "what comes out with n - h_prev on the way through z; a larger z keeps more of h_prev",
    "h alone": "what comes out with h_prev alone on the way through z; z also stands in 1 - z",
    "1 - z kept": "what comes out with 1 - z on the direct way; z is the share that is kept",
    "z for 1 - z": "what comes out with z at the candidate; its share is 1 - z",
    "slope n": "what comes out without the slope of tanh, 1 - n**2",
    "slope z": "what comes out without the slope of z's sigmoid, z (1 - z)",
    "slope r": "what comes out without the slope of r's sigmoid, r (1 - r)",
}


def check_step_jacobian(step_jacobian: Any, seed: int = 0) -> None:
    """Refuse what is not the derivative of a GRU's new state by its old one."""
    name, kept = "step_jacobian", []
    for (B, _, H), case in _cases(rng_of(seed)):
        value = call(name, step_jacobian, **case)
        J = numbers("J", value, "One matrix for each sequence.", B=B, i=H, j=H)
        right = state_jacobian(gru_forward(case["params"], case["x_t"][None], case["h_prev"])[2])
        suspects = {why: _jacobian(**case, wrong=bug) for bug, why in JACOBIANS.items()}
        look = "Where does h_prev stand in the equations? Each place gives one term."
        close("J", J, right, suspects=suspects, look=look, rel=1e-12)
        kept.append((value, snapshot(value)))
    same_still(name, kept)


# --- Two bugs in a backward pass. ---

RESULTS = ("dx", "dh0", "W_ih", "W_hh", "b_ih", "b_hh")


def check_right_at_one(right_at_one: Any) -> None:
    """Refuse a wrong prediction of what a weak test lets pass."""
    chosen = names_of("right_at_one", right_at_one, RESULTS)
    wrong = {
        "dh0": "its rows of n are multiplied by W_hn, and r is missing there, even if h0 is zero",
        "b_hh": "b_hn stands inside the reset, so its gradient needs r, even if b_hn is zero",
    }
    right = {
        "W_hh": "which gradient is a product with h0?",
        "dx": "what should da_r be if m is zero, and what is it?",
        "W_ih": "who reads da without passing the reset?",
        "b_ih": "who reads da without passing the reset?",
    }
    judge_names(
        "right_at_one",
        chosen,
        wrong,
        right,
        where="which comes out wrong:",
        look=": h0 and the biases are zero, so m is. And",
    )


def _way_back(cache: GRUCache, dout: Array, *wrong: str) -> tuple[Array, ...]:
    """Run the backward pass of a GRU, right or with mistakes by their names in ``BUGS``."""
    (W_ih, W_hh, _, b_hh), x, h, gates, _, _ = cache
    W_n, b_n = np.split(W_hh, 3)[2], np.split(b_hh, 3)[2]
    dh, das_x, das_h = np.zeros_like(h[0]), [], []
    for t in range(len(x), 0, -1):
        r, z, n = np.split(gates[t - 1], 3, axis=1)
        if "dh not carried" in wrong:
            dh = np.zeros_like(dh)
        if t == len(x) or "dout at the end" not in wrong:
            dh = dh + dout[t - 1]
        slope_n, slope_z, slope_r = 1 - n**2, z * (1 - z), r * (1 - r)
        h_prev = h[t] if "h_t in z" in wrong else h[t - 1]
        m = h[t - 1] @ W_n.T + ("no b_hn" not in wrong) * b_n
        m = h[t - 1] if "h for m" in wrong else m
        da_n = dh * (z if "z for 1 - z" in wrong else 1 - z)
        da_n = da_n if "no slope n" in wrong else da_n * slope_n
        da_z = dh * (n - h_prev if "n - h" in wrong else h_prev - n)
        da_z = da_z if "no slope z" in wrong else da_z * slope_z
        da_r = da_n * m * (r if "no r" in wrong else 1.0)
        da_r = da_r if "no slope r" in wrong else da_r * slope_r
        behind = da_n if "one da" in wrong else r * da_n
        das_x.append(np.concatenate([da_r, da_z, behind if "r for x" in wrong else da_n], axis=1))
        all_r = r if "r for all" in wrong else 1.0
        das_h.append(np.concatenate([all_r * da_r, all_r * da_z, behind], axis=1))
        kept = {"no kept": 0.0, "kept 1 - z": dh * (1 - z), "kept dout": dout[t - 1] * z}
        (direct,) = [kept[name] for name in wrong if name in kept] or [dh * z]
        carried = das_x[-1] if "dh one da" in wrong else das_h[-1]
        dh = direct + (0.0 if "kept alone" in wrong else carried @ W_hh)
    da_x, da_h = np.stack(das_x[::-1]), np.stack(das_h[::-1])
    read = h[1:] if "h_t in W_hh" in wrong else h[:-1]
    steps = slice(0, 1) if "last share" in wrong else slice(None)
    dW_ih = np.einsum("tbk,tbd->kd", da_x[steps], x[steps])
    rows = da_x if "W_hh one da" in wrong else da_h
    dW_hh = np.einsum("tbk,tbh->kh", rows[steps], read[steps])
    rows = da_x if "b_hh one da" in wrong else da_h
    db = [a[steps].sum(axis=(0, 1)) for a in (da_x, rows)]
    return da_x @ W_ih, dh, dW_ih, dW_hh, *db


NOT_MENDED = "one da", "h for m"
BUGS = {
    NOT_MENDED: "what both mistakes together give; neither is mended on every line",
    ("h for m",): "what comes out with h_{t-1} in da_r; r multiplies m_t, which is W_hn h_{t-1} + "
    "b_hn",
    ("no b_hn",): "what comes out if da_r lacks b_hn; r multiplies all of W_hn h_{t-1} + b_hn",
    ("one da",): "what comes out without r behind the reset: W_hn, b_hn and h_{t-1} get r * da_n",
    ("dh one da",): "what comes out if the way back to h_{t-1} lacks r in the rows of n",
    ("W_hh one da",): "what comes out if the gradient of W_hn lacks r",
    ("b_hh one da",): "what comes out if both biases have one gradient, or they have changed "
    "places; b_hn stands behind the reset",
    ("h for m", "dh one da"): "what comes out with h_{t-1} for m_t in da_r, and no r on the way "
    "back to h_{t-1}",
    ("h for m", "W_hh one da"): "what comes out with h_{t-1} for m_t in da_r, and no r in the "
    "gradient of W_hn",
    (
        "r for all",
    ): "what comes out if r multiplies da_r and da_z as well; it stands before n alone",
    ("r for x",): "what comes out with r in the input's part, too; x_t does not pass the reset",
    ("no r",): "what comes out with r in da_r; the derivative of r * m by r is m",
    ("no kept",): "what comes out if dh * z is missing: the direct way back",
    ("kept alone",): "what comes out if dh * z alone is carried back; W_hh is a way, too",
    ("kept 1 - z",): "what comes out if dh * (1 - z) is carried back; z is the share that is kept",
    ("kept dout",): "what comes out if z multiplies dout alone; it needs all of dh",
    ("z for 1 - z",): "what comes out with z in da_n; the candidate's share is 1 - z",
    ("n - h",): "what comes out with n - h_{t-1} in da_z: the sign",
    ("h_t in z",): "what comes out with h_t in da_z; z multiplies h_{t-1}",
    ("h_t in W_hh",): "what comes out with h_t in the gradient of W_hh; it is h_{t-1}",
    ("no slope n",): "what comes out without the slope of tanh, 1 - n**2",
    ("no slope z",): "what comes out without the slope z (1 - z)",
    ("no slope r",): "what comes out without the slope r (1 - r)",
    ("dh not carried",): "what comes out if dh is not carried back",
    ("dout at the end",): "what comes out if dout counts at the last step only",
    ("last share",): "the share of step 1 alone; the parameters are used at every step",
}


def check_mended_backward(mended_backward: Any, seed: int = 0) -> None:
    """Refuse a backward pass of a GRU that is not right."""
    rng, name, kept = rng_of(seed), "mended_backward", []
    for T, B, D, H in SIZES:
        params = _drawn(rng, D, H)
        x, h0, dout = (rng.normal(size=size) for size in [(T, B, D), (B, H), (T, B, H)])
        cache = gru_forward(params, x, h0)[2]
        value = call(name, mended_backward, cache=cache, dout=dout)
        dx, dh0, grads = results(name, value, "dx", "dh0", "grads")
        dx_right, dh0_right, grads_right = gru_backward(cache, dout)
        right = dx_right, dh0_right, *grads_right
        wrong: dict[str, Sequence[Array]] = {
            why: _way_back(cache, dout, *bugs) for bugs, why in BUGS.items()
        }
        wrong["the mean over the steps; the gradients are sums"] = [a / T for a in right]
        wrong["the mean over steps and batch; the gradients are sums"] = [
            a / (T * B) for a in right
        ]
        look = "Compare each line with the chapter's, above all what stands behind the reset."
        _compare(RESULTS, (dx, dh0, *grads_of(grads)), right, wrong, look)
        kept.append((value, snapshot(value)))
    same_still(name, kept)


def _compare(
    names: Sequence[str],
    got: Sequence[Any],
    right: Sequence[Array],
    wrong: Mapping[str, Sequence[Array]],
    look: str,
) -> None:
    """Compare gradients one by one, after the shapes of all; finite differences are refused."""
    parts = []
    for name, value, wanted in zip(names, got, right, strict=True):
        what = name if name.startswith("d") else f"the gradient of {name}"
        sizes = {f"axis {k}": size for k, size in enumerate(wanted.shape)}
        hint = "It has the shape of what it is the gradient of."
        parts.append((what, numbers(what, value, hint, **sizes), wanted))
    B = right[1].shape[0]
    wrong = {**wrong, "the mean over the batch; the gradients are sums": [a / B for a in right]}
    for k in (3, 5, 1, 0, 2, 4):  # that of W_hh first: it shows best what is missing
        what, value, wanted = parts[k]
        suspects = {why: both[k] for why, both in wrong.items()}
        close(what, value, wanted, suspects=suspects, look=look, rel=1e-12)


# --- The paper's variant. ---

CASES = ("empty", "open", "shut", "half", "diagonal", "orthogonal")


def check_same(same: Any) -> None:
    """Refuse a wrong prediction of where the two variants agree."""
    chosen = names_of("same", same, CASES)
    wrong = {
        "empty": "then r * b_hn is left of the one, and b_hn of the other",
        "shut": "then nothing is left of the one, and b_hn of the other",
        "orthogonal": "the product mixes the units, so it matters whether r comes before it",
    }
    right = {
        "open": "what does a factor of 1 change, before the product or after it?",
        "half": "may one factor for all units be drawn out of a product?",
        "diagonal": "does the product mix the units there?",
    }
    judge_names(
        "same", chosen, wrong, right, where="where the two differ:", look=". Look at {name}:"
    )


PAPER_STEPS = {
    "after": "torch's variant: r multiplies W_hn h_prev; here r multiplies h_prev, before W_hn",
    "before, bias": "what comes out if r multiplies b_hn; here b_hn stands outside the reset",
} | {bug: why for bug, why in STEP_BUGS.items() if bug not in ("before", "bias outside")}


def check_paper_step(paper_step: Any, seed: int = 0) -> None:
    """Refuse what is not one step of a GRU as in the paper: the reset before the product."""
    name, kept = "paper_step", []
    for (B, _, H), case in _cases(rng_of(seed)):
        value = call(name, paper_step, **case)
        h_t, gates = results(name, value, "h_t", "gates")
        gates = results(f"{name}, as its second result,", gates, "r", "z", "n")
        right = _step(*case.values(), "before")
        wrong = {why: _paper(case, bug) for bug, why in PAPER_STEPS.items()}
        for order in ORDERS:
            why = f"what comes out in the order {'|'.join(order)}; the rows are r|z|n"
            wrong[why] = _step(*case.values(), "before", order=order)
        for why, turned in _turned(case["params"]).items():
            wrong[why] = _step(turned, case["x_t"], case["h_prev"], "before")
        size = "One number for each sequence and unit."
        look = "With r = 1 it must be gru_cell."
        parts = {"r": 1, "z": 2, "n": 3, "h_t": 0}  # in the order in which one needs another
        got = (h_t, *gates)
        arrays = {what: numbers(what, got[k], size, B=B, H=H) for what, k in parts.items()}
        if alike(arrays["h_t"], right[0]) and alike(arrays["r"], right[2]):
            explained("h_t is right, but the gates must be r, z, n, in this order")
        for what, k in parts.items():
            suspects = {why: both[k] for why, both in wrong.items()}
            if what == "z":
                suspects["1 - z; z is the share of h_prev that is kept"] = 1 - right[2]
            close(what, arrays[what], right[k], suspects=suspects, look=look)
        kept.append((value, snapshot(value)))
    same_still(name, kept)


def _paper(case: Mapping[str, Any], bug: str) -> tuple[Array, Array, Array, Array]:
    """Take one step of the paper's variant with a mistake."""
    bugs = {"after": (), "before, bias": (bug,)}.get(bug, ("before", bug))
    return _step(case["params"], case["x_t"], case["h_prev"], *bugs)


PAPER_RESULTS = ("dx", "dh_prev", "W_ih", "W_hh", "b_ih", "b_hh")


def _paper_back(
    params: Recurrent, x_t: Array, h_prev: Array, dh: Array, wrong: str = ""
) -> tuple[Array, ...]:
    """Run one step of the paper's variant back, with a named mistake, or right."""
    W_ih, W_hh, _, b_hh = params
    W_n, H = np.split(W_hh, 3)[2], h_prev.shape[1]
    variant = () if wrong in ("torch", "torch gates") else ("before",)
    _, r, z, n = _step(params, x_t, h_prev, *variant)
    da_n = dh * (z if wrong == "swap" else 1 - z) * (1.0 if wrong == "slope n" else 1 - n**2)
    da_z = dh * (n - h_prev if wrong == "n - h" else h_prev - n)
    da_z = da_z if wrong == "slope z" else da_z * z * (1 - z)
    back = da_n if wrong == "no W_hn" else da_n @ (W_n.T if wrong == "W_hn turned" else W_n)
    da_r = back * (1.0 if wrong == "no h" else h_prev)
    da_r = da_r if wrong == "slope r" else da_r * r * (1 - r)
    through = back if wrong == "no r" else back * r
    if wrong == "r before W_hn":
        through = (da_n * r) @ W_n
    if wrong == "torch":
        m = h_prev @ W_n.T + np.split(b_hh, 3)[2]
        da_r, through = da_n * m * r * (1 - r), (da_n * r) @ W_n
    da = np.concatenate([da_r, da_z, da_n], axis=1)
    dh_prev = {"no kept": 0.0 * dh, "kept 1 - z": dh * (1 - z)}.get(wrong, dh * z)
    if wrong != "no way n":
        dh_prev = dh_prev + through
    for name, k, part in (("r", 0, da_r), ("z", 1, da_z)):
        if wrong != f"no way {name}":
            dh_prev = dh_prev + part @ W_hh[k * H : (k + 1) * H]
    read = h_prev if wrong == "h for W_hn" else r * h_prev
    dW_n = (da_n * r).T @ h_prev if wrong in ("torch", "r on da") else da_n.T @ read
    dW_hh = np.concatenate([da[:, : 2 * H].T @ h_prev, dW_n])
    if wrong == "r h for all":
        dW_hh = da.T @ (r * h_prev)
    db = da.sum(axis=0)
    behind = np.concatenate([da[:, : 2 * H], da_n * r], axis=1).sum(axis=0)
    return (
        da @ W_ih,
        dh_prev,
        da.T @ x_t,
        dW_hh,
        db,
        behind if wrong in ("torch", "b_hn") else db,
    )


PAPER_BACKS = {
    "torch": "the way back of torch's variant; here r multiplies h_prev, before W_hn",
    "torch gates": "what comes out with the candidate of torch's variant",
    "no W_hn": "what comes out if da_n is not carried back through W_hn to r * h_prev",
    "W_hn turned": "what comes out if W_hn is transposed on the way back",
    "no h": "what comes out if da_r lacks h_prev, by which r is multiplied",
    "no r": "what comes out if the way back through r * h_prev lacks r",
    "r before W_hn": "what comes out if r multiplies da_n; on the way back W_hn comes first",
    "no kept": "what comes out if dh * z is missing: the direct way back",
    "kept 1 - z": "what comes out if dh * (1 - z) is carried back; z is the share that is kept",
    "no way n": "what comes out if nothing comes back from r * h_prev",
    "no way r": "what comes out if nothing comes back through W_hr",
    "no way z": "what comes out if nothing comes back through W_hz",
    "swap": "what comes out with z in da_n; the candidate's share is 1 - z",
    "n - h": "what comes out with n - h_prev in da_z: the sign",
    "slope n": "what comes out without the slope of tanh, 1 - n**2",
    "slope z": "what comes out without the slope z (1 - z)",
    "slope r": "what comes out without the slope r (1 - r)",
    "h for W_hn": "what comes out with h_prev in the gradient of W_hn; W_hn reads r * h_prev",
    "r on da": "what comes out with r * da_n in the gradient of W_hn; W_hn reads r * h_prev",
    "r h for all": "what comes out if W_hr and W_hz read r * h_prev, too; they read h_prev",
    "b_hn": "what comes out with r in b_hh's rows of n; here b_hn stands outside the reset",
}


def check_paper_backward(paper_backward: Any, seed: int = 0) -> None:
    """Refuse what is not the way back through one step of the paper's variant."""
    rng, name, kept = rng_of(seed), "paper_backward", []
    for B, D, H in STEPS:
        case = _case(rng, B, D, H)
        case["dh"] = rng.normal(size=(B, H))
        value = call(name, paper_backward, **case)
        dx, dh_prev, grads = results(name, value, "dx", "dh_prev", "grads")
        right = _paper_back(**case)
        wrong = {why: _paper_back(**case, wrong=bug) for bug, why in PAPER_BACKS.items()}
        look = "Give r * h_prev a name and a gradient of its own. Who reads it, and what is it of?"
        _compare(PAPER_RESULTS, (dx, dh_prev, *grads_of(grads)), right, wrong, look)
        kept.append((value, snapshot(value)))
    same_still(name, kept)


# --- Counting in binary. ---

HELD = 1e-3  # how far from 0 or 1 a digit may be


LONG = 3000  # steps
COUNTERS = (1, 2, 3, 5, 11)  # units
COARSE = 0.1  # what is farther off than this is no leak


def check_counter(binary_counter: Any) -> None:
    """Refuse three units that do not count, for some sequence of ten marks and blanks."""
    marks = (np.arange(1024) >> np.arange(10)[:, None]) & 1
    _check_counters(binary_counter, [3], marks)


def check_counter_long(binary_counter: Any, seed: int = 0) -> None:
    """Refuse counters of other sizes, and ones that lose count in the end."""
    marks = rng_of(seed).random((LONG, 4)) < [0.5, 0.1, 0.9, 1.0]
    # What leaks most: marks until the last digit turns over, then blanks, and one mark at the end.
    first = [0, *(2**k - 1 for k in COUNTERS)]
    t = np.arange(LONG)[:, None]
    marks = np.concatenate([(t < first) | (t == LONG - 1), marks], axis=1)
    _check_counters(binary_counter, COUNTERS, marks.astype(int))


def _check_counters(binary_counter: Any, units: Sequence[int], marks: Array) -> None:
    """Read the digits after every step; counters of all sizes run at once, side by side."""
    counters = []
    for k in units:
        name = f"binary_counter({k})" if callable(binary_counter) else "binary_counter"
        value = call(name, binary_counter, k=k)
        rows = f"One input, {k} unit{'s' * (k > 1)}, and three blocks of rows, r|z|n."
        counters.append(_parameters(name, value, 1, k, rows, of=f" of {name}"))
    with np.errstate(all="ignore"):
        cache = gru_forward(_side_by_side(counters), marks[..., None].astype(float))[2]
    stop = 0
    for layer, k in zip(counters, units, strict=True):
        start, stop = stop, stop + k
        _check_digits(f"binary_counter({k})", layer, marks, cache.h[..., start:stop])


def _side_by_side(layers: Sequence[Recurrent]) -> Recurrent:
    """Make one layer of several that read the same input, and nothing of each other."""
    H = sum(layer.W_hh.shape[1] for layer in layers)
    W_hh, stop = np.zeros((3, H, H)), 0
    for layer in layers:
        start, stop = stop, stop + layer.W_hh.shape[1]
        W_hh[:, start:stop, start:stop] = np.split(layer.W_hh, 3)

    def joined(name: str) -> Array:
        split = [np.split(getattr(layer, name), 3) for layer in layers]
        return np.concatenate([block for blocks in zip(*split, strict=True) for block in blocks])

    return Recurrent(joined("W_ih"), W_hh.reshape(3 * H, H), joined("b_ih"), joined("b_hh"))


def _check_digits(name: str, layer: Recurrent, marks: Array, h: Array) -> None:
    """Explain the first digit that is wrong, by what its step makes of the exact digits before."""
    counts = marks.cumsum(axis=0)
    digits = (counts[..., None] >> np.arange(h.shape[2])) & 1
    off = np.abs(h[1:] - digits)
    right = off <= COARSE if (off > COARSE).any() else off <= HELD  # first what is no mere leak
    if right.all():
        return
    t, b, j = np.argwhere(~right)[0]
    mark, now, should = marks[t, b], h[t + 1, b, j], digits[t, b, j]
    before = digits[t - 1, b] if t else np.zeros(h.shape[2], dtype=int)
    turns = bool(mark and before[:j].all())
    with np.errstate(all="ignore"):
        step = gru_forward(layer, np.full((1, 1, 1), float(mark)), before[None].astype(float))[2]
    z, n, old = step.z[0, 0, j], step.n[0, 0, j], h[t, b, j]
    start = (
        f"{name}: after step {t + 1}, marks so far: {counts[t, b]}, h[{j}] is {now:.4g}, not "
        f"{should}"
    )
    if turns and not z <= 0.5:
        why = "It should turn over there, as the mark is set and all lower digits are 1; but z is "
        fail(f"{start}. {why}{z:.4g}")
    if not turns and not z >= 0.5:
        why = "without a mark" if not mark else "as not all lower digits were 1"
        fail(f"{start}. It should stay as it is there, {why}; but z is {z:.4g}")
    drifted = abs(old - before[j]) > HELD / 1000
    if turns and not abs(n - should) <= (COARSE if drifted else HELD):
        was = f"with {before[j]} before, n should be {should} and is {n:.4g}"
        fail(f"{start}. It turns over there; {was}")
    if drifted:
        fail(f"{start}. Before it was {old:.6g} and no longer {before[j]}: take larger weights")
    fail(f"{start}. A gate that is not quite open or shut, z = {z:.6g}, leaks: take larger weights")
