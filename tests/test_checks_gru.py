"""The checks of the exercises of chapter 6 refuse wrong answers, each for its own reason.

They accept right ones, however unusual. A row of a table of wrong answers holds the mistake, the
answer, and the part of the message that tells the learner of this mistake.
"""

import math
from fractions import Fraction
from functools import cache
from typing import Any

import nbformat
import numpy as np
import pytest

from tests.check_cases import *  # noqa: F403
from tests.check_cases import Check, dots, one_buffer, stops
from tools.notebooks import ROOT
from unrolled.checks import gru as checks
from unrolled.functional import sigmoid
from unrolled.gradient_check import numerical_grad, relative_error
from unrolled.gradients import state_jacobian
from unrolled.gru import gru_backward, gru_cell, gru_forward
from unrolled.params import Recurrent, init_gru

CHECKS, MASTER = checks, "06_gru"
SCOPE = {"np": np, "Recurrent": Recurrent, "sigmoid": sigmoid}
WRONG: dict[Check, list[tuple[str, Any, str]]] = {}
RIGHT: dict[Check, list[tuple[str, Any]]] = {}


# --- 1. The counts. ---


def counts(parameters: Any = 6240, sigmoids: Any = 640, units: Any = 47) -> Any:
    return parameters, sigmoids, units


WRONG[checks.check_counts] = [
    ("one block", counts(2080), "a plain RNN's count"),
    ("two blocks", counts(4160), "the candidate has weights, too"),
    ("four blocks", counts(8320), "an LSTM's count"),
    ("one bias", counts(6120), "each block has two biases"),
    ("no bias", counts(6000), "the biases are missing"),
    ("no W_hh", counts(1440), "the recurrent weights W_hh are missing"),
    ("no W_ih", counts(5040), "weights W_ih of the input are missing"),
    ("times the batch", counts(49920), "the batch shares its weights"),
    ("any other", counts(6241), "6241 is not right: count W_ih, W_hh"),
    ("candidate by sigmoid", counts(sigmoids=960), "the candidate is no gate"),
    ("one sequence", counts(sigmoids=80), "for one sequence; the batch has 8"),
    ("one gate", counts(sigmoids=320), "there is r besides z"),
    ("1 - z is a gate", counts(sigmoids=1280), "1 - z needs no sigmoid"),
    ("number of gates", counts(sigmoids=2), "not one number"),
    ("by the root of 4/3", counts(units=46), "there is room for more"),
    ("by 4/3", counts(units=53), "grow with the square of H"),
    ("by 3/4", counts(units=30), "more units, not for fewer"),
    ("by the root of 3/4", counts(units=34), "more units, not for fewer"),
    ("the same", counts(units=40), "40 units has 6,240 parameters, the LSTM 8,320"),
    ("one too many", counts(units=48), "48 units has 8,640 parameters"),
    ("not a whole number", counts(units=47.003), "a whole number"),
    ("text", counts("6240"), "must be a number, got '6240'"),
    ("nan", counts(np.nan), "must be a finite number"),
    ("not written", counts(units=...), "units has no value yet"),
]
RIGHT[checks.check_counts] = [
    ("NumPy's integers", counts(np.int64(6240), np.int32(640))),
    ("floats", counts(6240.0, 640.0, 47.0)),
    ("arrays of one number", counts(np.array([6240]), np.array(640), np.array([[47]]))),
]

# --- 2. One step. ---


def step(*wrong: str, order: str = "rzn", give: Any = lambda h: h) -> Any:
    """One step with mistakes by their names in the checks."""
    return lambda params, x, h: give(checks._step(params, x, h, *wrong, order=order)[0])


def split_in_the_batch(params: Any, x: Any, h: Any) -> Any:
    r, z, n = np.split(x @ params[0].T + params[2], 3)
    return z * h + (1 - z) * np.tanh(n + r * h)


def one_sum(params: Any, x: Any, h: Any) -> Any:
    """As an LSTM may do it."""
    a = x @ params[0].T + params[2] + h @ params[1].T + params[3]
    r, z, n = np.split(a, 3, axis=1)
    z = sigmoid(z)
    return (1 - z) * np.tanh(sigmoid(r) * n) + z * h


def h_in_place(params: Any, x: Any, h: Any) -> Any:
    h[:] = gru_cell(params, x, h)
    return h


def params_in_place(params: Any, x: Any, h: Any) -> Any:
    right = gru_cell(params, x, h)
    params.b_ih[:] += params.b_hh
    return right


def s(a: Any) -> Any:
    """A sigmoid that overflows."""
    return np.exp(a) / (1 + np.exp(a))


def naive(params: Any, x: Any, h: Any) -> Any:
    x_r, x_z, x_n = np.split(x @ params[0].T + params[2], 3, axis=1)
    h_r, h_z, h_n = np.split(h @ params[1].T + params[3], 3, axis=1)
    z = s(x_z + h_z)
    return (1 - z) * np.tanh(x_n + s(x_r + h_r) * h_n) + z * h


def state_of_zeros_skipped(params: Any, x: Any, h: Any) -> Any:
    if h.any():
        return gru_cell(params, x, h)
    _, z, n = np.split(x @ params[0].T + params[2], 3, axis=1)
    return (1 - sigmoid(z)) * np.tanh(n)


def float32_step(params: Any, x: Any, h: Any) -> Any:
    single = Recurrent(*(p.astype(np.float32) for p in params))
    return gru_cell(single, x.astype(np.float32), h.astype(np.float32))


def turned(name: str) -> Any:
    def gru_step(params: Any, x: Any, h: Any) -> Any:
        blocks = [W.T for W in np.split(getattr(params, name), 3)]
        return gru_cell(params._replace(**{name: np.concatenate(blocks)}), x, h)

    return gru_step


def kept_state() -> Any:
    kept: dict[Any, Any] = {}

    def gru_step(params: Any, x: Any, h: Any) -> Any:
        kept[h.shape] = gru_cell(params, x, kept.get(h.shape, h))
        return kept[h.shape]

    return gru_step


WRONG[checks.check_gru_step] = [
    ("z and 1 - z exchanged", step("swap"), "z and 1 - z change places"),
    ("reset before the product", step("before"), "r multiplies h_prev before the product"),
    ("bias outside the reset", step("bias outside"), "b_hn stands outside the reset"),
    ("input reset, too", step("input reset"), "multiplies the input's part as well"),
    ("one sum", one_sum, "multiplies the input's part as well"),
    ("no reset", step("no reset"), "without the reset gate"),
    ("1 - r", step("1 - r"), "with 1 - r in place of r"),
    ("z resets", step("z resets"), "z does the work of r"),
    ("no 1 - z", step("no 1 - z"), "without 1 - z at the candidate"),
    ("z twice", step("both z"), "with z at both"),
    ("all kept", step("all kept"), "all of h_prev is kept"),
    ("nothing kept", step("nothing kept"), "z . h_prev is missing"),
    ("no candidate", step("no n"), "the candidate is not added"),
    ("reset of what is kept", step("reset kept"), "the part of h_prev that is kept, too"),
    ("tanh around h", step("tanh"), "a tanh around h_t"),
    ("candidate by sigmoid", step("n by sigmoid"), "sigmoid for the candidate"),
    ("candidate without tanh", step("n without tanh"), "candidate goes without tanh"),
    ("gates by tanh", step("gates by tanh"), "gates go through tanh"),
    ("no x", step("no x"), "without x_t"),
    ("no h", step("no h"), "W_hh h_prev is missing"),
    ("no b_ih", step("no b_ih"), "without b_ih"),
    ("no b_hh", step("no b_hh"), "without b_hh"),
    ("no bias", step("no bias"), "without the biases"),
    ("every third", step("interleaved"), "every third number is one gate's"),
    ("order z|r|n", step(order="zrn"), r"the order z\|r\|n"),
    ("order r|n|z", step(order="rnz"), r"the order r\|n\|z"),
    ("order n|z|r", step(order="nzr"), r"the order n\|z\|r"),
    ("order n|r|z", step(order="nrz"), r"the order n\|r\|z"),
    ("W_ih turned", turned("W_ih"), "block of W_ih is used without .T"),
    ("W_hh turned", turned("W_hh"), "block of W_hh is used without .T"),
    ("split of the batch", split_in_the_batch, "stopped with ValueError"),
    ("first sequence only", lambda p, x, h: gru_cell(p, x[:1], h[:1]), r"got \(1, 4\)"),
    ("mean of the batch removed", lambda p, x, h: gru_cell(p, x - x.mean(axis=0), h),
     r"h_t\[.*Compare the two parts"),
    ("state of the call before", kept_state(), r"h_t\[.*Compare the two parts"),
    ("one buffer", one_buffer(gru_cell), "gru_step overwrites what it returned before"),
    ("state of zeros skipped", state_of_zeros_skipped, "without b_hh"),
    ("W_hn turned", step("W_hn turned"), "W_hn is used without .T"),
    ("one input flattened", lambda p, x, h: gru_cell(p, x if x.shape[1] > 1 else x[:, 0], h),
     "stopped with ValueError"),
    ("in a list", lambda p, x, h: [gru_cell(p, x, h)], "h_t inside a list; return h_t itself"),
    ("in a tuple", lambda p, x, h: (gru_cell(p, x, h),), "h_t inside a tuple; return h_t itself"),
    ("two states", lambda p, x, h: (gru_cell(p, x, h), h), "a GRU has one state"),
    ("gates as well", checks._step, "gru_step returned 4 arrays; a GRU has"),
    ("h changed in place", h_in_place, "changed its argument h_prev"),
    ("parameters changed", params_in_place, "changed its argument params"),
    ("sigmoid overflows", naive, "h_t holds nan"),
    ("float32", float32_step, "right to a few digits only"),
    ("rounded", step(give=lambda h: h.round(6)), "right to a few digits only"),
    ("stops", stops, "stopped with IndexError: list index"),
    ("not written", dots, "gru_step returned Ellipsis"),
]  # fmt: skip


def number_by_number(params: Any, x: Any, h: Any) -> Any:
    W_ih, W_hh, b_ih, b_hh = (p.tolist() for p in params)
    H, out = len(h[0]), []

    def s(a: float) -> float:
        return 1 / (1 + math.exp(-a)) if a > -700 else 0.0

    for x_b, h_b in zip(x.tolist(), h.tolist()):
        a_x = [sum(w * v for w, v in zip(W_ih[k], x_b)) + b_ih[k] for k in range(3 * H)]
        a_h = [sum(w * v for w, v in zip(W_hh[k], h_b)) + b_hh[k] for k in range(3 * H)]
        r = [s(a_x[k] + a_h[k]) for k in range(H)]
        z = [s(a_x[H + k] + a_h[H + k]) for k in range(H)]
        n = [math.tanh(a_x[2 * H + k] + r[k] * a_h[2 * H + k]) for k in range(H)]
        out.append([(1 - z[k]) * n[k] + z[k] * h_b[k] for k in range(H)])
    return out


def by_gate(params: Any, x: Any, h: Any) -> Any:
    W_ih, W_hh, b_ih, b_hh = params
    H, parts = h.shape[1], []
    for k in range(3):
        rows = slice(k * H, (k + 1) * H)
        parts.append((np.einsum("bd,hd->bh", x, W_ih[rows]) + b_ih[rows],
                      np.einsum("bk,hk->bh", h, W_hh[rows]) + b_hh[rows]))  # fmt: skip
    r, z = (1 / (1 + np.exp(-(a + b))) for a, b in parts[:2])
    n = np.tanh(parts[2][0] + r * parts[2][1])
    h = h.copy()
    h -= n
    h *= z
    h += n
    return h


def one_matrix_for_the_gates(params: Any, x: Any, h: Any) -> Any:
    W_ih, W_hh, b_ih, b_hh = params
    H = h.shape[1]
    W = np.hstack([W_ih[: 2 * H], W_hh[: 2 * H]])
    rz = np.hstack([x, h]) @ W.T + (b_ih + b_hh)[: 2 * H]
    r, z = np.split(0.5 + 0.5 * np.tanh(0.5 * rz), 2, axis=-1)
    n = np.tanh(x @ W_ih[2 * H :].T + b_ih[2 * H :] + r * (h @ W_hh[2 * H :].T + b_hh[2 * H :]))
    return n + z * (h - n)


RIGHT[checks.check_gru_step] = [
    ("the package's own", gru_cell),
    ("number by number, in lists", number_by_number),
    ("gate by gate, in place on a copy", by_gate),
    ("one matrix for the gates", one_matrix_for_the_gates),
    ("gru_forward over one step", lambda p, x, h: gru_forward(p, x[None], h)[1]),
]

# --- 3. Another library. ---

WRONG[checks.check_changed] = [
    ("r", {"r"}, "holds r: but there the two biases meet"),
    ("z", {"z"}, "holds z: but there the two biases meet"),
    ("both gates", {"r", "z"}, "holds r"),
    ("r and n", {"r", "n"}, "holds r"),
    ("z and n", ["z", "n"], "holds z"),
    ("all", {"r", "z", "n"}, "holds r"),
    ("none", set(), "is there a block in which one of the two biases is multiplied"),
    ("another name", {"h"}, "it holds 'h'"),
    ("the bias", {"b_hn"}, "it holds 'b_hn'"),
    ("letters in a word", "rn", "it holds 'rn'"),
    ("a number", 1, "must be a set of names"),
    ("a dict", {"r": False, "z": False, "n": True}, "without colons, got a dict"),
    ("not written", ..., "changed has no value yet"),
]
RIGHT[checks.check_changed] = [
    ("a list", ["n"]),
    ("a word", "n"),
    ("a tuple with a space", (" n",)),
    ("a frozen set", frozenset("n")),
]


def conversion(change: Any = lambda params: params, **mistake: Any) -> Any:
    return lambda W, U, b: change(checks._converted(W, U, b, **mistake))


def changes_W(W: Any, U: Any, b: Any) -> Any:
    right = checks._converted(W, U, b)
    W *= -1
    return right


SIGN_AND_REST = "z and 1 - z have changed places; .* And r multiplies b_hn"

WRONG[checks.check_converted] = [
    ("sign forgotten", conversion(minus=""), "z and 1 - z have changed places"),
    ("one minus the weights", conversion(less=1.0), "not the sigmoid of weights 1 - W"),
    ("one minus W and U", conversion(less=1.0, of="WU"), "not the sigmoid of weights 1 - W"),
    ("bias not turned", conversion(of="WU"), "in W, U and b, in all three"),
    ("W not turned", conversion(of="Ub"), "in W, U and b, in all three"),
    ("U not turned", conversion(of="Wb"), "in W, U and b, in all three"),
    ("bias alone turned", conversion(of="b"), "in W, U and b, in all three"),
    ("W alone turned", conversion(of="W"), "in W, U and b, in all three"),
    ("r turned", conversion(minus="r"), "the sign is turned in another block"),
    ("n turned", conversion(minus="n"), "the sign is turned in another block"),
    ("all turned", conversion(minus="zrn"), "the sign is turned in another block"),
    ("z|r|n", conversion(order="zrn"), r"still stand in the order z\|r\|n"),
    ("z|r|n, no sign", conversion(order="zrn", minus=""), r"still stand in the order z\|r\|n"),
    ("z|r|n, second block turned", conversion(order="zrn", minus="r"), r"the order z\|r\|n"),
    ("n|r|z", conversion(order="nrz"), r"the order n\|r\|z"),
    ("bias in b_hh", conversion(into="b_hh"), "bias of n stands outside the reset"),
    ("bias of n in b_hh", conversion(into="n in b_hh"), "bias of n stands outside the reset"),
    ("bias twice", conversion(into="both"), "the bias counts twice"),
    ("halves", conversion(into="halves"), "half of the bias of n is multiplied by r"),
    ("bias lost", conversion(into="neither"), "the bias is lost"),
    ("blocks of W not transposed", lambda W, U, b: checks._converted(
        W, U, b, flat="W" if len(W) == len(U) else ""), "the blocks of W are not transposed"),
    ("blocks of U not transposed", conversion(flat="U"), "the blocks of U are not transposed"),
    ("nothing transposed", conversion(lambda p: p._replace(W_ih=p.W_ih.T, W_hh=p.W_hh.T)),
     r"W_ih must have shape \(rows=12, D=4\), got \(4, 12\)"),
    ("as they are", lambda W, U, b: (W, U, b), "must return Recurrent.*it returned 3 things"),
    ("one bias alone", conversion(lambda p: p[:3]), "it returned 3 things"),
    ("W alone", conversion(lambda p: p[0]), "it returned an array of shape"),
    ("a plain tuple", conversion(tuple), "in a tuple, which gru_forward refuses"),
    ("lists", conversion(lambda p: [a.tolist() for a in p]), "W_ih must be an array.*it is a list"),
    ("b_hh a list", conversion(lambda p: p._replace(b_hh=[0] * len(p.b_hh))),
     "b_hh must be an array, as gru_forward asks; it is a list"),
    ("b_hh of integers", conversion(lambda p: p._replace(b_hh=np.zeros(len(p.b_hh), int))),
     "b_hh must hold float64.*dtype is int64"),
    ("b_hh float32", conversion(lambda p: p._replace(b_hh=np.zeros(len(p.b_hh), np.float32))),
     "b_hh must hold float64.*dtype is float32"),
    ("all float32", conversion(lambda p: Recurrent(*(a.astype(np.float32) for a in p))),
     "W_ih must hold float64"),
    ("one buffer", one_buffer(conversion()), "converted overwrites what it returned before"),
    ("one unit flattened", conversion(
        lambda p: p if p.W_hh.shape[1] > 1 else p._replace(W_hh=p.W_hh[:, 0])),
     r"W_hh must have shape \(rows=3, H=1\), got \(3,\)"),
    ("reshape for .T", conversion(cut=True), "reshape cuts the numbers anew"),
    ("reshape and nothing else", lambda W, U, b: Recurrent(
        W.reshape(-1, len(W)), U.reshape(-1, len(U)), b, 0 * b),
     "the numbers anew|the state of gru"),
    ("nothing transposed but b", conversion(flat="WU"), "blocks of W and U are not transposed"),
    ("sign forgotten, bias in b_hh", conversion(minus="", into="b_hh"), SIGN_AND_REST),
    ("sign forgotten, bias of n in b_hh", conversion(minus="", into="n in b_hh"), SIGN_AND_REST),
    ("sign forgotten, halves", conversion(minus="", into="halves"), SIGN_AND_REST),
    ("bias not turned, in b_hh", conversion(of="WU", into="b_hh"),
     "in W, U and b, in all three. And r multiplies b_hn"),
    ("b_hh a number", conversion(lambda p: p._replace(b_hh=0.0)), "b_hh must have shape"),
    ("b_hh forgotten", conversion(lambda p: p._replace(b_hh=None)), "b_hh is None"),
    ("W and U exchanged", lambda W, U, b: checks._converted(U, W, b), "the state of gru_forward"),
    ("W scaled", lambda W, U, b: checks._converted(2 * W, U, b), "Take T = 1 and h0 = 0"),
    ("rounded", conversion(lambda p: p._replace(W_hh=p.W_hh.round(6))), "a few digits only"),
    ("W changed", changes_W, "changed its argument W"),
    ("nan", conversion(lambda p: p._replace(b_ih=p.b_ih * np.nan)), "b_ih holds nan"),
    ("stops", stops, "stopped with IndexError"),
    ("not written", dots, "returned Ellipsis"),
]  # fmt: skip


def bias_shared_out(W: Any, U: Any, b: Any) -> Any:
    """Only the sum counts in r and z."""
    p = checks._converted(W, U, b)
    H = len(U)
    moved = np.concatenate([np.arange(2.0 * H), np.zeros(H)])
    return p._replace(b_ih=p.b_ih - moved, b_hh=moved)


def by_slices(W: Any, U: Any, b: Any) -> Any:
    H = len(U)
    W_ih, W_hh, b_ih = np.empty((3 * H, len(W))), np.empty((3 * H, H)), np.empty(3 * H)
    for new, old in ((W_ih, W), (W_hh, U), (b_ih, b)):
        new[:H] = old[..., H : 2 * H].T
        new[H : 2 * H] = -old[..., :H].T
        new[2 * H :] = old[..., 2 * H :].T
    return Recurrent(W_ih, W_hh, b_ih, np.zeros(3 * H))


def by_a_matrix(W: Any, U: Any, b: Any) -> Any:
    eye, zero = np.eye(len(U)), np.zeros((len(U), len(U)))
    M = np.block([[zero, eye, zero], [-eye, zero, zero], [zero, zero, eye]])
    return Recurrent(M @ W.T, M @ U.T, M @ b, 0 * b)


RIGHT[checks.check_converted] = [
    ("bias shared out", bias_shared_out),
    ("by slices", by_slices),
    ("by a matrix", by_a_matrix),
    ("biases of r and z in b_hh", conversion(lambda p: p._replace(
        b_ih=np.r_[np.zeros(2 * len(p.b_ih) // 3), p.b_ih[2 * len(p.b_ih) // 3 :]],
        b_hh=np.r_[p.b_ih[: 2 * len(p.b_ih) // 3], np.zeros(len(p.b_ih) // 3)]))),
    ("column by column in memory", conversion(
        lambda p: Recurrent(*(np.asfortranarray(a) for a in p)))),
]  # fmt: skip

# --- 4. What one step keeps. ---

BIAS = math.log(0.5**0.01 / (1 - 0.5**0.01))

WRONG[checks.check_kept] = [
    ("one step", (0.5, BIAS), "this is one step's share"),
    ("nothing", (0.0, BIAS), "one half, not 0"),
    ("everything", (1.0, BIAS), "one half, not 1"),
    ("percent", (0.0977, BIAS), "a share, not a percentage"),
    ("inverse", (1024, BIAS), "the inverse; what is asked for is smaller"),
    ("divided", (0.05, BIAS), "they are not added"),
    ("what is lost", (0.99902, BIAS), "what is lost|one half, not 1"),
    ("nine steps", (0.5**9, BIAS), "ten steps from h_0 to h_10"),
    ("eleven steps", (0.5**11, BIAS), "not eleven"),
    ("both gates", (0.25**10, BIAS), "1 - z multiplies the candidate"),
    ("of the LSTM's bias 1", (0.73**10, BIAS), "what is z at a bias of 0"),
    ("the gate", (0.00098, 0.5**0.01), "this is the gate z"),
    ("the sign", (0.00098, -BIAS), "the share that is kept"),
    ("log 99", (0.00098, math.log(99)), "log 99 leaves"),
    ("log 100", (0.00098, math.log(100)), "log 99 leaves|log 100 leaves"),
    ("zero", (0.00098, 0), "half is left after one step"),
    ("no log", (0.00098, math.exp(BIAS)), "whose log is still to be taken"),
    ("base 10", (0.00098, BIAS / math.log(10)), "to base 10"),
    ("one", (0.00098, 1.0), "is left after 100 steps. Which z"),
    ("six", (0.00098, 6), "with it 0.781 is left"),
    ("nan", (np.nan, BIAS), "finite"),
    ("text", (0.00098, "5"), "must be a number"),
    ("not written", (0.00098, ...), "bias has no value yet"),
]
RIGHT[checks.check_kept] = [
    ("exact", (2.0**-10, BIAS)),
    ("two digits", (0.00098, 5.0)),
    ("a fraction", (Fraction(1, 1024), 4.97)),
    ("a thousandth", (0.001, np.float32(4.96))),
]


def jacobian(wrong: str = "", change: Any = lambda J: J) -> Any:
    return lambda params, x, h: change(checks._jacobian(params, x, h, wrong))


def by_differences(params: Any, x: Any, h: Any, eps: float = 1e-6) -> Any:
    J = np.empty((*h.shape, h.shape[1]))
    for j in range(h.shape[1]):
        d = eps * np.eye(h.shape[1])[j]
        J[:, :, j] = (gru_cell(params, x, h + d) - gru_cell(params, x, h - d)) / (2 * eps)
    return J


def overflowing_jacobian(gate: Any = sigmoid, slope: Any = None) -> Any:
    """Right formulas, of which one overflows."""

    def step_jacobian(params: Any, x: Any, h: Any) -> Any:
        W_r, W_z, W_n = np.split(params.W_hh, 3)
        x_r, x_z, x_n = np.split(x @ params.W_ih.T + params.b_ih, 3, axis=1)
        h_r, h_z, m = np.split(h @ params.W_hh.T + params.b_hh, 3, axis=1)
        r, z = gate(x_r + h_r), gate(x_z + h_z)
        a = x_n + r * m
        n = np.tanh(a)
        to_n = (1 - z) * (1 - n**2 if slope is None else slope(a))
        J = z[:, :, None] * np.eye(z.shape[1]) + ((h - n) * z * (1 - z))[:, :, None] * W_z
        return J + (to_n * r)[:, :, None] * W_n + (to_n * m * r * (1 - r))[:, :, None] * W_r

    return step_jacobian


def jacobian_of_a_state(params: Any, x: Any, h: Any) -> Any:
    """Where the state is zero it has a derivative, too."""
    return checks._jacobian(params, x, h) * h.any()


WRONG[checks.check_step_jacobian] = [
    ("sigmoid overflows", overflowing_jacobian(s), "J holds nan"),
    ("slope of tanh overflows",
     overflowing_jacobian(slope=lambda a: 4 * np.exp(2 * a) / (np.exp(2 * a) + 1) ** 2),
     "J holds nan"),
    ("one buffer", one_buffer(jacobian()), "step_jacobian overwrites what it returned before"),
    ("state of zeros skipped", jacobian_of_a_state, r"J\[.*Where does h_prev stand"),
    ("z alone", jacobian("z alone"), "the direct way alone"),
    ("no direct way", jacobian("no z"), r"without the direct way, diag\(z\)"),
    ("no way through n", jacobian("no way n"), "without the way through the candidate"),
    ("no way through r", jacobian("no way r"), "without the way through the reset gate"),
    ("no way through z", jacobian("no way z"), "without the way through the update gate"),
    ("transposed", jacobian("turned"), "the transpose: row i"),
    ("columns scaled", jacobian("columns"), "it is the rows"),
    ("no r", jacobian("no r"), "without r on the way through the candidate"),
    ("h for m", jacobian("h for m"), "with h_prev at the reset gate"),
    ("m without bias", jacobian("m without b"), "r's way lacks b_hn"),
    ("n - h", jacobian("n - h"), "a larger z keeps more"),
    ("h alone", jacobian("h alone"), "z also stands in 1 - z"),
    ("1 - z kept", jacobian("1 - z kept"), "with 1 - z on the direct way"),
    ("z at the candidate", jacobian("z for 1 - z"), "with z at the candidate"),
    ("no slope of n", jacobian("slope n"), "without the slope of tanh"),
    ("no slope of z", jacobian("slope z"), "without the slope of z's sigmoid"),
    ("no slope of r", jacobian("slope r"), "without the slope of r's sigmoid"),
    ("first sequence", jacobian(change=lambda J: J[0]), r"J must have shape \(B=4, i=4, j=4\)"),
    ("summed over the batch", jacobian(change=lambda J: J.sum(axis=0)), "J must have shape"),
    ("diagonal only", jacobian(change=lambda J: np.einsum("bii->bi", J)), "J must have shape"),
    ("batch last", jacobian(change=lambda J: J.transpose(1, 2, 0)), r"J\[|J must have"),
    ("mean over the batch", jacobian(change=lambda J: 0 * J + J.mean(axis=0)), r"J\[.*Where does"),
    ("the whole sequence's sign", jacobian(change=lambda J: -J), r"J\[.*Where does h_prev stand"),
    ("finite differences", by_differences, "finite differences"),
    ("coarse differences", lambda p, x, h: by_differences(p, x, h, 1e-3), "a few digits|J.*should"),
    ("h changed", lambda p, x, h: (checks._jacobian(p, x, h), h.fill(0))[0],
     "changed its argument h_prev"),
    ("nan", jacobian(change=lambda J: J * np.nan), "J holds nan"),
    ("stops", stops, "stopped with IndexError"),
    ("not written", dots, "returned Ellipsis"),
]  # fmt: skip


def by_unit_vectors(params: Any, x: Any, h: Any) -> Any:
    """What the backward pass makes of each unit vector."""
    _, _, cache = gru_forward(params, x[None], h)
    rows = [gru_backward(cache, dh_n=np.tile(row, (len(h), 1)))[1] for row in np.eye(h.shape[1])]
    return np.stack(rows, axis=1)


def by_complex_steps(params: Any, x: Any, h: Any) -> Any:
    W_ih, W_hh, b_ih, b_hh = params
    J = np.empty((*h.shape, h.shape[1]))
    for j in range(h.shape[1]):
        moved = h.astype(complex)
        moved[:, j] += 1e-30j
        x_r, x_z, x_n = np.split(x @ W_ih.T + b_ih, 3, axis=1)
        h_r, h_z, h_n = np.split(moved @ W_hh.T + b_hh, 3, axis=1)
        r, z = (0.5 + 0.5 * np.tanh(0.5 * a) for a in (x_r + h_r, x_z + h_z))
        n = np.tanh(x_n + r * h_n)
        J[:, :, j] = ((1 - z) * n + z * moved).imag / 1e-30
    return J


def matrices(params: Any, x: Any, h: Any) -> Any:
    """Diagonal matrices, one sequence at a time, in lists."""
    out = []
    W_r, W_z, W_n = np.split(params.W_hh, 3)
    for b in range(len(h)):
        _, r, z, n = (a[0] for a in checks._step(params, x[b : b + 1], h[b : b + 1]))
        m = W_n @ h[b] + np.split(params.b_hh, 3)[2]
        dn = np.diag(1 - n**2) @ (np.diag(r) @ W_n + np.diag(m * r * (1 - r)) @ W_r)
        dz = np.diag(z * (1 - z)) @ W_z
        out.append((np.diag(1 - z) @ dn + np.diag(h[b] - n) @ dz + np.diag(z)).tolist())
    return out


RIGHT[checks.check_step_jacobian] = [
    ("the package's own", lambda p, x, h: state_jacobian(gru_forward(p, x[None], h)[2])),
    ("unit vectors carried back", by_unit_vectors),
    ("sigmoid by exp, slope by cosh", overflowing_jacobian(
        lambda a: 1 / (1 + np.exp(-a)), lambda a: 1 / np.cosh(a) ** 2)),
    ("complex steps", by_complex_steps),
    ("diagonal matrices, in lists", matrices),
]  # fmt: skip

# --- 5. Two mistakes. ---

AT_ONE = {"dx", "W_ih", "W_hh", "b_ih"}

WRONG[checks.check_right_at_one] = [
    ("everything", set(checks.RESULTS), "holds 'dh0', which comes out wrong"),
    ("b_hh", AT_ONE | {"b_hh"}, "even if b_hn is zero"),
    ("dh0", AT_ONE | {"dh0"}, "even if h0 is zero"),
    ("W_hh left out", AT_ONE - {"W_hh"}, "a product with h0"),
    ("dx left out", AT_ONE - {"dx"}, "what should da_r be if m is zero"),
    ("W_ih left out", AT_ONE - {"W_ih"}, "without passing the reset"),
    ("b_ih left out", AT_ONE - {"b_ih"}, "without passing the reset"),
    ("W_hh alone", {"W_hh"}, "what should da_r be"),
    ("nothing", set(), "not complete"),
    ("both biases", ["b_ih", "b_hh"], "b_hn stands inside the reset"),
    ("another name", {"dW_hh"}, "it holds 'dW_hh'"),
    ("a number", 4, "must be a set of names"),
    ("a dict", dict.fromkeys(sorted(AT_ONE), True), "without colons, got a dict"),
    ("not written", ..., "right_at_one has no value yet"),
]
RIGHT[checks.check_right_at_one] = [
    ("a list", ["b_ih", "W_hh", "W_ih", "dx"]),
    ("a tuple with spaces", ("dx ", " W_ih", "W_hh", "b_ih")),
    ("an array", np.array(sorted(AT_ONE))),
]


def planted(*bugs: str, change: Any = lambda dx, dh0, g: (dx, dh0, g)) -> Any:
    """The way back of the checks with mistakes, by their names there."""

    def mended_backward(cache: Any, dout: Any) -> Any:
        dx, dh0, *grads = checks._way_back(cache, dout, *bugs)
        return change(dx, dh0, Recurrent(*grads))

    return mended_backward


def given(cache: Any, dout: Any) -> Any:
    """What stands in the notebook, to be mended."""
    return given_function()(cache, dout)


@cache
def given_function() -> Any:
    cells = nbformat.read(ROOT / "solutions/06_gru.ipynb", as_version=4).cells
    scope: dict[str, Any] = {"np": np, "Recurrent": Recurrent}
    exec(next(c.source for c in cells if c.source.startswith("def buggy_backward")), scope)
    return scope["buggy_backward"]


def changes_dout(cache: Any, dout: Any) -> Any:
    right = gru_backward(cache, dout)
    dout[:] = 0
    return right


def changes_cache(cache: Any, dout: Any) -> Any:
    right = gru_backward(cache, dout)
    cache.params.W_hh[:] = 0
    return right


WRONG[checks.check_mended_backward] = [
    ("as given", given, "what both mistakes together give"),
    ("only da_r mended", planted("one da"), "without r behind the reset"),
    ("only the reset mended", planted("h for m"), "with h_.t-1. in da_r"),
    ("m without its bias", planted("no b_hn"), "da_r lacks b_hn"),
    ("way back without r", planted("dh one da"), "the way back to h_.t-1. lacks r"),
    ("W_hh without r", planted("W_hh one da"), "gradient of W_hn lacks r"),
    ("one gradient for both biases", planted("b_hh one da"), "both biases have one gradient"),
    ("b_hh alone mended", planted("dh one da", "W_hh one da"), "without r behind the reset"),
    ("way back alone mended", planted("W_hh one da", "b_hh one da"), "gradient of W_hn lacks r"),
    ("W_hh alone mended", planted("dh one da", "b_hh one da"), "the way back to h_.t-1. lacks r"),
    ("h for m, no r on the way back", planted("h for m", "dh one da"), "m_t in da_r, and no r on"),
    ("h for m, no r in W_hh", planted("h for m", "W_hh one da"), "m_t in da_r, and no r in the"),
    ("h for m, way back alone mended", planted("h for m", "W_hh one da", "b_hh one da"),
     "m_t in da_r, and no r in the"),
    ("h for m, b_hh alone mended", planted("h for m", "dh one da", "W_hh one da"),
     "both mistakes together give; neither is mended on every line"),
    ("r for all", planted("r for all"), "r multiplies da_r and da_z as well"),
    ("one buffer", one_buffer(gru_backward), "mended_backward overwrites what it returned before"),
    ("one unit flattened", planted(change=lambda dx, dh0, g: (
        dx, dh0 if dh0.shape[1] > 1 else dh0[:, 0], g)), "dh0 must have shape"),
    ("mean over the steps", planted(change=lambda dx, dh0, g: (
        dx, dh0, [a / len(dx) for a in g])), "the mean over the steps"),
    ("mean over all", planted(change=lambda dx, dh0, g: (
        dx, dh0, [a / len(dx) / len(dh0) for a in g])), "the mean over steps and batch"),
    ("r for x, too", planted("r for x"), "x_t does not pass the reset"),
    ("r in da_r", planted("no r"), "the derivative of r . m by r is m"),
    ("no direct way", planted("no kept"), "dh . z is missing"),
    ("direct way alone", planted("kept alone"), "dh . z alone is carried back"),
    ("1 - z carried", planted("kept 1 - z"), r"dh . \(1 - z\) is carried back"),
    ("dout carried", planted("kept dout"), "z multiplies dout alone"),
    ("z in da_n", planted("z for 1 - z"), "with z in da_n"),
    ("sign of da_z", planted("n - h"), "in da_z: the sign"),
    ("h_t in da_z", planted("h_t in z"), "with h_t in da_z"),
    ("h_t for W_hh", planted("h_t in W_hh"), "with h_t in the gradient of W_hh"),
    ("no slope of n", planted("no slope n"), "without the slope of tanh"),
    ("no slope of z", planted("no slope z"), r"without the slope z \(1 - z\)"),
    ("no slope of r", planted("no slope r"), r"without the slope r \(1 - r\)"),
    ("dh not carried", planted("dh not carried"), "dh is not carried back"),
    ("dout at the end", planted("dout at the end"), "dout counts at the last step only"),
    ("last share", planted("last share"), "the share of step 1 alone"),
    ("mean", planted(change=lambda dx, dh0, g: (dx, dh0, [a / len(dh0) for a in g])),
     "the mean over the batch"),
    ("W_hh transposed", planted(change=lambda dx, dh0, g: (dx, dh0, g._replace(W_hh=g.W_hh.T))),
     "gradient of W_hh must have shape"),
    ("biases exchanged", planted(change=lambda dx, dh0, g: (
        dx, dh0, Recurrent(g[0], g[1], g[3], g[2]))), "or they have changed places"),
    ("dh0 with a time axis", planted(change=lambda dx, dh0, g: (dx, dh0[None], g)),
     "dh0 must have shape"),
    ("grads first", planted(change=lambda dx, dh0, g: (g, dx, dh0)), "grads must be"),
    ("b_hh left out", planted(change=lambda dx, dh0, g: (dx, dh0, g[:3])), "grads must be"),
    ("flat", planted(change=lambda dx, dh0, g: (dx, dh0, *g)), "it returned 6 things"),
    ("sign", planted(change=lambda dx, dh0, g: (-dx, dh0, g)), r"dx\[.*Compare each line"),
    ("from the start", lambda cache, dout: gru_backward(cache, dout[::-1].copy()),
     "is wrong|should be"),
    ("dout changed", changes_dout, "changed its argument dout"),
    ("cache changed", changes_cache, "changed its argument cache"),
    ("nan", planted(change=lambda dx, dh0, g: (dx * np.nan, dh0, g)), "dx holds nan"),
    ("stops", stops, "stopped with IndexError"),
    ("not written", dots, "returned Ellipsis"),
]  # fmt: skip


def one_sequence_at_a_time(cache: Any, dout: Any) -> Any:
    parts = []
    for b in range(dout.shape[1]):
        each = slice(b, b + 1)
        alone = cache._replace(
            x=cache.x[:, each], h=cache.h[:, each], gates=cache.gates[:, each], m=cache.m[:, each]
        )
        parts.append(gru_backward(alone, dout[:, each].copy()))
    dx, dh0 = (np.concatenate([p[k] for p in parts], axis=1 - k) for k in range(2))
    return dx, dh0, [sum(arrays) for arrays in zip(*(p[2] for p in parts))]


def step_by_step(cache: Any, dout: Any) -> Any:
    dh, dxs, total = None, [], None
    for t in range(len(dout), 0, -1):
        dx, dh, grads = gru_backward(cache.steps(t - 1, t), dout[t - 1 : t], dh_n=dh)
        dxs.insert(0, dx[0].tolist())
        total = grads if total is None else [a + b for a, b in zip(total, grads)]
    return [dxs, dh, total]


def by_jacobians(cache: Any, dout: Any) -> Any:
    """Carry dh back by the matrices of question 4, and leave the sums to the package."""
    dx, _, grads = gru_backward(cache, dout)
    dh = np.zeros_like(dout[0])
    for t in range(len(dout), 0, -1):
        J = checks._jacobian(cache.params, cache.x[t - 1], cache.h[t - 1])
        dh = np.einsum("bi,bij->bj", dh + dout[t - 1], J)
    return dx, dh, tuple(grads)


RIGHT[checks.check_mended_backward] = [
    ("the package's own", gru_backward),
    ("one sequence at a time", one_sequence_at_a_time),
    ("step by step, in lists", step_by_step),
    ("by Jacobians", by_jacobians),
    ("the checks' own", planted()),
]

# --- 6. The paper's variant. ---

SAME = {"open", "half", "diagonal"}

WRONG[checks.check_same] = [
    ("empty", SAME | {"empty"}, "r . b_hn is left of the one"),
    ("shut", SAME | {"shut"}, "nothing is left of the one"),
    ("orthogonal", SAME | {"orthogonal"}, "the product mixes the units"),
    ("all", set(checks.CASES), "holds 'empty'"),
    ("no open", SAME - {"open"}, "what does a factor of 1 change"),
    ("no half", SAME - {"half"}, "drawn out of a product"),
    ("no diagonal", SAME - {"diagonal"}, "does the product mix the units there"),
    ("none", set(), "not complete"),
    ("open alone", "open", "Look at 'half'"),
    ("another name", {"closed"}, "it holds 'closed'"),
    ("numbers", {1, 3}, "must be a set of names"),
    ("a dict", {"open": 1, "half": 1, "diagonal": 1}, "without colons, got a dict"),
    ("not written", ..., "same has no value yet"),
]
RIGHT[checks.check_same] = [
    ("a list", sorted(SAME)),
    ("a tuple with spaces", ("open ", " half", "diagonal")),
    ("a frozen set", frozenset(SAME)),
]


def paper(
    *wrong: str,
    order: str = "rzn",
    variant: str = "before",
    give: Any = lambda h, r, z, n: (h, (r, z, n)),
) -> Any:
    """A step with a mistake by its name in the checks."""
    return lambda p, x, h: give(*checks._step(p, x, h, variant, *wrong, order=order))


def paper_in_place(params: Any, x: Any, h: Any) -> Any:
    right = paper()(params, x, h)
    h *= right[1][0]
    return right


def overflowing_paper_step(gate: Any = sigmoid, tanh: Any = np.tanh) -> Any:
    def paper_step(params: Any, x: Any, h: Any) -> Any:
        W_r, W_z, W_n = np.split(params.W_hh, 3)
        b_r, b_z, b_n = np.split(params.b_hh, 3)
        x_r, x_z, x_n = np.split(x @ params.W_ih.T + params.b_ih, 3, axis=1)
        r, z = gate(x_r + h @ W_r.T + b_r), gate(x_z + h @ W_z.T + b_z)
        n = tanh(x_n + (r * h) @ W_n.T + b_n)
        return (1 - z) * n + z * h, (r, z, n)

    return paper_step


def paper_state_of_zeros(params: Any, x: Any, h: Any) -> Any:
    if h.any():
        return paper()(params, x, h)
    return paper("no b_hh")(params, x, h)


def turned_in_paper(name: str) -> Any:
    def paper_step(params: Any, x: Any, h: Any) -> Any:
        blocks = [W.T for W in np.split(getattr(params, name), 3)]
        return paper()(params._replace(**{name: np.concatenate(blocks)}), x, h)

    return paper_step


WRONG[checks.check_paper_step] = [
    ("sigmoid overflows", overflowing_paper_step(s), "r holds nan"),
    (
        "tanh overflows",
        overflowing_paper_step(tanh=lambda a: (np.exp(a) - np.exp(-a)) / (np.exp(a) + np.exp(-a))),
        "n holds nan",
    ),
    ("state of zeros skipped", paper_state_of_zeros, "without b_hh"),
    ("one buffer", one_buffer(paper()), "paper_step overwrites what it returned before"),
    (
        "1 - z returned",
        paper(give=lambda h, r, z, n: (h, (r, 1 - z, n))),
        "z is wrong: this is 1 - z; z is the share of h_prev",
    ),
    ("W_hn turned", paper("W_hn turned"), "W_hn is used without .T"),
    ("W_hh turned", turned_in_paper("W_hh"), "block of W_hh is used without .T"),
    ("W_ih turned", turned_in_paper("W_ih"), "block of W_ih is used without .T"),
    ("torch's variant", paper(variant="after"), "torch's variant: r multiplies W_hn h_prev"),
    ("bias reset", paper("before, bias"), "here b_hn stands outside the reset"),
    ("z and 1 - z exchanged", paper("swap"), "z and 1 - z change places"),
    ("no reset", paper("no reset"), "without the reset gate"),
    ("1 - r", paper("1 - r"), "with 1 - r in place of r"),
    ("z resets", paper("z resets"), "z does the work of r"),
    ("input reset", paper("input reset"), "multiplies the input's part as well"),
    ("reset of what is kept", paper("reset kept"), "the part of h_prev that is kept, too"),
    ("no 1 - z", paper("no 1 - z"), "without 1 - z at the candidate"),
    ("all kept", paper("all kept"), "all of h_prev is kept"),
    ("nothing kept", paper("nothing kept"), "z . h_prev is missing"),
    ("candidate by sigmoid", paper("n by sigmoid"), "sigmoid for the candidate"),
    ("candidate without tanh", paper("n without tanh"), "candidate goes without tanh"),
    ("no b_hh", paper("no b_hh"), "without b_hh"),
    ("no b_ih", paper("no b_ih"), "without b_ih"),
    ("order z|r|n", paper(order="zrn"), r"r is wrong: this is .*order z\|r\|n"),
    ("order r|n|z", paper(order="rnz"), r"z is wrong: this is .*order r\|n\|z"),
    ("gates left out", paper(give=lambda h, *g: h), "must return h_t, gates"),
    ("gates not in a tuple", paper(give=lambda *a: a), "it returned 4 things"),
    ("gates first", paper(give=lambda h, *g: (g, h)), "must return r, z, n"),
    ("two gates", paper(give=lambda h, r, z, n: (h, (r, z))), "must return r, z, n"),
    (
        "gates exchanged",
        paper(give=lambda h, r, z, n: (h, (z, r, n))),
        "must be r, z, n, in this order",
    ),
    ("state changed", paper_in_place, "changed its argument h_prev"),
    ("rounded", paper(give=lambda h, *g: (h.round(7), g)), "h_t is right to a few digits"),
    ("first sequence", paper(give=lambda h, *g: (h[:1], g)), "h_t must have shape"),
    ("nan", paper(give=lambda h, *g: (h * np.nan, g)), "h_t holds nan"),
    ("stops", stops, "stopped with IndexError"),
    ("not written", dots, "returned Ellipsis"),
]


def a_matrix_for_each_sequence(params: Any, x: Any, h: Any) -> Any:
    """W_hn with its columns scaled by r."""
    W_ih, W_hh, b_ih, b_hh = params
    H = h.shape[1]
    a = x @ W_ih.T + b_ih + b_hh
    rz = sigmoid(a[:, : 2 * H] + np.einsum("bk,hk->bh", h, W_hh[: 2 * H]))
    r, z = rz[:, :H], rz[:, H:]
    scaled = W_hh[None, 2 * H :] * r[:, None, :]
    n = np.tanh(a[:, 2 * H :] + (scaled @ h[:, :, None])[..., 0])
    return [((1 - z) * n + z * h).tolist(), [r, z, n.tolist()]]


def torch_cell_of_a_reset_state(params: Any, x: Any, h: Any) -> Any:
    """Torch's cell with an open reset gate, on the state that was reset; gates computed before."""
    _, r, z, _ = checks._step(params, x, h)
    H = h.shape[1]
    b_ih = params.b_ih.copy()
    b_ih[:H] = 1e9
    _, _, _, n = checks._step(params._replace(b_ih=b_ih), x, r * h)
    return n + z * (h - n), np.stack([r, z, n])[:, :, :].tolist()


RIGHT[checks.check_paper_step] = [
    ("a matrix for each sequence", a_matrix_for_each_sequence),
    ("torch's cell with an open gate", torch_cell_of_a_reset_state),
    ("sigmoid by exp", overflowing_paper_step(lambda a: 1 / (1 + np.exp(-a)))),
    ("gates in a list", paper(give=lambda h, *g: [h, list(g)])),
]


def paper_back(wrong: str = "", change: Any = lambda dx, dh, g: (dx, dh, g)) -> Any:
    """A way back with a mistake by its name in the checks."""

    def paper_backward(*args: Any) -> Any:
        dx, dh, *grads = checks._paper_back(*args, wrong=wrong)
        return change(dx, dh, Recurrent(*grads))

    return paper_backward


def torch_back(params: Any, x: Any, h: Any, dh: Any) -> Any:
    dx, dh, grads = gru_backward(gru_forward(params, x[None], h)[2], dh_n=dh)
    return dx[0], dh, grads


def dh_in_place(*args: Any) -> Any:
    right = paper_back()(*args)
    args[-1][:] *= 2
    return right


def differences(params: Any, x: Any, h: Any, dh: Any) -> Any:
    """Not exact enough."""

    def loss(everything: Any) -> float:
        return float(np.sum(checks._step(*everything, "before")[0] * dh))

    grads, dx, dh_prev = numerical_grad(loss, (params, x, h))
    return dx, dh_prev, grads


WRONG[checks.check_paper_backward] = [
    ("torch's", torch_back, "the way back of torch's variant"),
    ("torch's candidate", paper_back("torch gates"), "candidate of torch's variant"),
    ("not through W_hn", paper_back("no W_hn"), "not carried back through W_hn"),
    ("W_hn transposed", paper_back("W_hn turned"), "W_hn is transposed on the way back"),
    ("da_r without h", paper_back("no h"), "da_r lacks h_prev"),
    ("no r back", paper_back("no r"), "through r . h_prev lacks r"),
    ("r before W_hn", paper_back("r before W_hn"), "on the way back W_hn comes first"),
    ("no direct way", paper_back("no kept"), "dh . z is missing"),
    ("1 - z carried", paper_back("kept 1 - z"), r"dh . \(1 - z\) is carried back"),
    ("no way through n", paper_back("no way n"), "nothing comes back from r . h_prev"),
    ("no way through r", paper_back("no way r"), "nothing comes back through W_hr"),
    ("no way through z", paper_back("no way z"), "nothing comes back through W_hz"),
    ("z in da_n", paper_back("swap"), "with z in da_n"),
    ("sign of da_z", paper_back("n - h"), "in da_z: the sign"),
    ("no slope of n", paper_back("slope n"), "without the slope of tanh"),
    ("no slope of z", paper_back("slope z"), r"without the slope z \(1 - z\)"),
    ("no slope of r", paper_back("slope r"), r"without the slope r \(1 - r\)"),
    ("h for W_hn", paper_back("h for W_hn"), "with h_prev in the gradient of W_hn"),
    ("r on da", paper_back("r on da"), "r . da_n in the gradient of W_hn"),
    ("r h for all", paper_back("r h for all"), "W_hr and W_hz read r . h_prev, too"),
    ("b_hn with r", paper_back("b_hn"), "here b_hn stands outside the reset"),
    ("mean", paper_back(change=lambda dx, dh, g: (dx, dh, [a / len(dh) for a in g])),
     "the mean over the batch"),
    ("dh first", paper_back(change=lambda dx, dh, g: (dh, dx, g)), r"dh_prev\[|dx must have"),
    ("one buffer", one_buffer(paper_back()), "paper_backward overwrites what it returned before"),
    ("grads as a matrix", paper_back(change=lambda dx, dh, g: (dx, dh, g[0])), "grads must be"),
    ("three grads", paper_back(change=lambda dx, dh, g: (dx, dh, g[:3])), "grads must be"),
    ("dh_prev alone", paper_back(change=lambda dx, dh, g: dh), "must return dx, dh_prev, grads"),
    ("b_hh zero", paper_back(change=lambda dx, dh, g: (dx, dh, g._replace(b_hh=0 * g.b_hh))),
     r"gradient of b_hh\["),
    ("finite differences", differences, "right to a few digits only.*finite differences"),
    ("dh changed", dh_in_place, "changed its argument dh"),
    ("nan", paper_back(change=lambda dx, dh, g: (dx, dh * np.nan, g)), "dh_prev holds nan"),
    ("stops", stops, "stopped with IndexError"),
    ("not written", dots, "returned Ellipsis"),
]  # fmt: skip


def paper_by_complex_steps(*args: Any) -> Any:
    """The derivative by a step along the imaginary axis: exact, and no formula of it is needed."""
    *inputs, dh = args
    flat = [*inputs[0], *inputs[1:]]
    sizes = np.cumsum([a.size for a in flat])[:-1]

    def s(a: Any) -> Any:
        return 0.5 + 0.5 * np.tanh(0.5 * a)

    def loss(vector: Any) -> Any:
        W_ih, W_hh, b_ih, b_hh, x, h = (
            part.reshape(a.shape) for part, a in zip(np.split(vector, sizes), flat)
        )
        W_r, W_z, W_n = np.split(W_hh, 3)
        a_r, a_z, a_n = np.split(x @ W_ih.T + b_ih + b_hh, 3, axis=1)
        z = s(a_z + h @ W_z.T)
        n = np.tanh(a_n + (s(a_r + h @ W_r.T) * h) @ W_n.T)
        return (((1 - z) * n + z * h) * dh).sum()

    start = np.concatenate([a.ravel() for a in flat]).astype(complex)
    slopes = np.empty(start.size)
    for k in range(start.size):
        start[k] += 1e-30j
        slopes[k] = loss(start).imag / 1e-30
        start[k] = start[k].real
    *grads, dx, dh_prev = (part.reshape(a.shape) for part, a in zip(np.split(slopes, sizes), flat))
    return dx, dh_prev, grads


def paper_by_sequence(params: Any, x: Any, h: Any, dh: Any) -> Any:
    """Outer products, one sequence at a time."""
    H, out_x, out_h = h.shape[1], [], []
    W_r, W_z, W_n = np.split(params.W_hh, 3)
    dW_ih, dW_hh, db = (np.zeros_like(a) for a in params[:3])
    for b in range(len(x)):
        _, r, z, n = (a[0] for a in checks._step(params, x[b : b + 1], h[b : b + 1], "before"))
        a_n = dh[b] * (1 - z) * (1 - n * n)
        a_z = dh[b] * (h[b] - n) * (z - z * z)
        q = W_n.T @ a_n
        a_r = q * h[b] * (r - r * r)
        a = np.r_[a_r, a_z, a_n]
        out_x.append(params.W_ih.T @ a)
        out_h.append(dh[b] * z + q * r + W_r.T @ a_r + W_z.T @ a_z)
        dW_ih += np.outer(a, x[b])
        dW_hh[: 2 * H] += np.outer(a[: 2 * H], h[b])
        dW_hh[2 * H :] += np.outer(a_n, r * h[b])
        db += a
    return [out_x, out_h, (dW_ih, dW_hh, db, db)]


RIGHT[checks.check_paper_backward] = [
    ("complex steps", paper_by_complex_steps),
    ("one sequence at a time", paper_by_sequence),
    ("lists", paper_back(change=lambda dx, dh, g: [dx.tolist(), dh, [a.tolist() for a in g]])),
]

# --- 7. Counting in binary. ---


def counter(
    c: float = 40.0,
    *,
    order: str = "rzn",
    r: float = 1.0,
    mark: float = -2.0,
    lower: Any = lambda k: -2 * np.tril(np.ones((k, k)), -1),
    b_z: Any = lambda j: 1 + 2.0 * j,
    own: float = -1.0,
    b_n: float = 1.0,
    change: Any = lambda p: p,
) -> Any:
    """A counter by its parts, all in units of c."""

    def binary_counter(k: int) -> Any:
        zero, one = np.zeros((k, k)), np.ones(k)
        blocks = {
            "r": (0 * one, zero, r * one, 0 * one),
            "z": (mark * one, lower(k), b_z(np.arange(k)), 0 * one),
            "n": (0 * one, own * np.eye(k), 0 * one, b_n * one),
        }
        W_ih, W_hh, b_ih, b_hh = (
            np.concatenate([c * blocks[name][part] for name in order]) for part in range(4)
        )
        return change(Recurrent(W_ih[:, None], W_hh, b_ih, b_hh))

    return binary_counter


def growing(c: Any) -> Any:
    """Weights that k decides, too small for some k."""
    return lambda k: counter(c(k))(k)


def random_counter(k: int) -> Any:
    return init_gru(1, k, rng=np.random.default_rng(0))


def neighbour(k: int) -> Any:
    """Row j: the digit just below."""
    return -2 * np.eye(k, k=-1)


ANY = [
    ("drawn at random", random_counter, "h.[0-9]+. is"),
    ("zeros", counter(0.0), "h.0. is 0, not 1"),
    ("order z|r|n", counter(order="zrn"), "h.[0-9]+. is"),
    ("every digit turns over at a mark", counter(lower=lambda k: np.zeros((k, k)),
                                                 b_z=lambda j: 1.0 + 0 * j),
     "It should stay as it is there, as not all lower digits were 1; but z is|should be .* n"),
    ("sees the digit below only", counter(lower=neighbour, b_z=lambda j: 1.0 + 2 * (j > 0)),
     "as not all lower digits were 1"),
    ("bias of z does not follow j", counter(b_z=lambda j: 1.0 + 0 * j),
     "as not all lower digits were 1; but z is"),
    ("bias of z the same for all", counter(b_z=lambda j: 1.0 + 2.0 * (len(j) - 1) + 0 * j),
     "It should turn over there.* but z is 1"),
    ("higher digits for lower", counter(lower=lambda k: -2 * np.triu(np.ones((k, k)), 1)),
     "h.[0-9]+. is"),
    ("itself among the lower", counter(lower=lambda k: -2 * np.tril(np.ones((k, k)))),
     "h.[0-9]+. is"),
    ("lower digits are not seen", counter(lower=lambda k: np.zeros((k, k))),
     "should turn over there, as the mark is set and all lower digits are 1; but z is 1"),
    ("z upside down", counter(mark=2.0, lower=lambda k: 2 * np.tril(np.ones((k, k)), -1),
                              b_z=lambda j: -1 - 2.0 * j), "but z is"),
    ("marks not read", counter(mark=0.0), "h.0. is"),
    ("no mark turns over", counter(mark=2.0, b_z=lambda j: -1 + 2.0 * j), "h.0. is"),
    ("never turns back", counter(own=0.0), "It turns over there; with 1 before, n should be 0"),
    ("candidate of the wrong sign", counter(own=1.0, b_n=-1.0), "n should be 1 and is -1"),
    ("plus and minus one", counter(own=-2.0), "with 1 before, n should be 0 and is -1"),
    ("candidate too soft", counter(own=-1 / 40, b_n=1 / 40), "n should be 1 and is 0.76"),
    ("reset gate shut", counter(r=-1.0), "n should be 1 and is"),
    ("gates of 3", counter(3.0), "h.[0-9]+. is|leaks: take larger weights"),
    ("gates half open", counter(mark=-1.0, b_z=lambda j: 1 + 2.0 * j), "but z is|leaks"),
    ("transposed", counter(change=lambda p: p._replace(W_ih=p.W_ih.T)),
     "W_ih of binary.* must have shape"),
    ("W_ih flat", counter(change=lambda p: p._replace(W_ih=p.W_ih[:, 0])),
     "W_ih of binary.* must have shape"),
    ("one unit more", lambda k: counter()(k + 1), r"W_ih of binary.* must have shape \(rows="),
    ("bias left out", counter(change=lambda p: p[:3]), r"must return Recurrent.*returned 3 things"),
    ("nan", counter(change=lambda p: p._replace(b_hh=p.b_hh * np.nan)), "b_hh of .* holds nan"),
    ("integers", counter(change=lambda p: Recurrent(*(a.astype(int) for a in p))),
     "W_ih of .* must hold float64.*dtype is int64"),
    ("lists", counter(change=lambda p: [a.tolist() for a in p]), "W_ih of .* must be an array"),
    ("a plain tuple", counter(change=tuple), "in a tuple, which gru_forward refuses"),
    ("plus and minus one, softly", counter(8.0, own=-2.0),
     "with 1 before, n should be 0 and is -"),
    ("upside down, softly", counter(8.0, mark=2.0, lower=lambda k: 2 * np.tril(np.ones((k, k)), -1),
                                    b_z=lambda j: -1 - 2.0 * j), "but z is"),
    ("a number", lambda k: 2**k, "must return Recurrent"),
    ("stops", stops, "stopped with IndexError"),
    ("not written", dots, "returned Ellipsis"),
]  # fmt: skip
WRONG[checks.check_counter] = [
    *ANY,
    ("fours digit first", counter(change=lambda p: Recurrent(*(
        np.concatenate([part[::-1, ::-1] if part.ndim == 2 and part.shape[1] > 1 else part[::-1]
                        for part in np.split(a, 3)]) for a in p))), r"so far: 1, h.0. is 0"),
]  # fmt: skip
WRONG[checks.check_counter_long] = [
    *ANY,
    ("made for k = 3", lambda k: counter()(3),
     r"W_ih of binary_counter\(1\) must have shape \(rows=3, D=1\), got \(9, 1\)"),
    ("none for k > 5", lambda k: counter()(k) if k <= 5 else None,
     r"binary_counter\(11\) returned None"),
    ("weights of 14", counter(14.0), "take larger weights"),
    ("weights of 15", counter(15.0), "take larger weights"),
    ("weights of 17", counter(17.0), "take larger weights"),
    ("weights of 12 k", growing(lambda k: 12.0 * k), r"counter\(1\): after.*take larger weights"),
    ("weights of 6 + 6 k", growing(lambda k: 6.0 + 6 * k), r"counter\(1\): .*larger weights"),
    ("weights of 12 + k / 3", growing(lambda k: 12 + k / 3), r"counter\(1\): .*larger weights"),
    ("weights of 8 + 4 k", growing(lambda k: 8.0 + 4 * k), r"counter\(1\): .*larger weights"),
    ("bias made for three digits", counter(b_z=lambda j: 1 + 2.0 * np.minimum(j, 2)),
     "as not all lower digits were 1"),
    ("leaks slowly", counter(change=lambda p: p._replace(b_ih=p.b_ih - 33 * (
        np.arange(len(p.b_ih)) // (len(p.b_ih) // 3) == 1))), "leaks|but z is|and no longer [01]"),
]  # fmt: skip


def half_open(k: int) -> Any:
    """No weights on the reset gate at all: it is one half, and the candidate's numbers double."""
    return counter(r=0.0, own=-2.0, b_n=2.0)(k)


def uneven(k: int) -> Any:
    """Each unit has its own steepness, and the mark is read by the candidate, too."""
    W_ih, W_hh, b_ih, b_hh = (a.copy() for a in counter(50.0)(k))
    W_ih[2 * k :] = 7.0
    b_ih[2 * k :] = -7.0
    scale = np.concatenate([np.ones(k), 1 + np.arange(k) / 3, np.ones(k)])
    return Recurrent(W_ih * scale[:, None], W_hh * scale[:, None], b_ih * scale, b_hh * scale)


def reset_turns_over(k: int) -> Any:
    """The reset gate shuts at a 1, and the candidate is 1 where it is open."""
    W_ih, W_hh, b_ih, b_hh = (a.copy() for a in counter()(k))
    W_hh[:k], W_hh[2 * k :] = -80 * np.eye(k), 0
    b_ih[2 * k :], b_hh[2 * k :] = 0, 40
    return Recurrent(W_ih, W_hh, b_ih, b_hh)


RIGHT[checks.check_counter] = [
    ("steeper", counter(1000.0)),
    ("reset gate half open", half_open),
    ("uneven", uneven),
    ("all biases in b_hh but r's", counter(change=lambda p: Recurrent(
        p[0], p[1], np.where(np.arange(len(p[2])) < len(p[2]) // 3, p[2], 0),
        p[3] + np.where(np.arange(len(p[2])) < len(p[2]) // 3, 0, p[2])))),
    ("reset gate turns over", reset_turns_over),
    ("gates only as steep as needed", counter(20.0)),
    ("bias of n outside the reset", counter(b_n=0.0, change=lambda p: p._replace(
        b_ih=p.b_ih + 40 * (np.arange(len(p.b_ih)) >= 2 * len(p.b_ih) // 3)))),
]  # fmt: skip
RIGHT[checks.check_counter_long] = RIGHT[checks.check_counter]

# --- The tests. ---

SEVERAL = {checks.check_counts, checks.check_kept}


@pytest.mark.parametrize("sizes", checks.STEPS)
def test_what_answers_are_compared_with_is_right(sizes: tuple[int, ...]):
    rng = np.random.default_rng(0)
    case = checks._case(rng, *sizes)
    assert np.allclose(checks._step(*case.values())[0], gru_cell(*case.values()), 0, 1e-14)
    _, _, trace = gru_forward(case["params"], case["x_t"][None], case["h_prev"])
    assert np.allclose(checks._jacobian(**case), state_jacobian(trace), rtol=0, atol=1e-13)
    dh = rng.normal(size=case["h_prev"].shape)
    dx, dh_prev, *grads = checks._paper_back(**case, dh=dh)
    right = differences(*case.values(), dh)
    assert relative_error((dx, dh_prev, Recurrent(*grads)), right) < 1e-7
    dx, dh_prev, grads = gru_backward(trace, dout=dh[None])
    for ours, theirs in zip(checks._way_back(trace, dh[None]), (dx, dh_prev, *grads)):
        assert np.allclose(ours, theirs, rtol=0, atol=1e-13)


def weak_test(T: int = 1, *, states: float = 0.0, biases: float = 0.0) -> set[str]:
    """Which gradients of the given function come out right."""
    rng = np.random.default_rng(0)
    params = init_gru(2, 5, rng=rng)
    params = params._replace(b_ih=biases * params.b_ih, b_hh=biases * params.b_hh)
    x, h0 = rng.normal(size=(T, 3, 2)), states * rng.normal(size=(3, 5))
    _, _, trace = gru_forward(params, x, h0)
    dout = rng.normal(size=(T, 3, 5))
    (*firsts, grads), (*rights, right) = given(trace, dout), gru_backward(trace, dout)
    pairs = zip(checks.RESULTS, [*firsts, *grads], [*rights, *right])
    return {name for name, one, two in pairs if np.allclose(one, two)}


def test_the_prediction_is_what_the_given_function_does():
    assert weak_test() == AT_ONE
    assert weak_test(biases=1.0) == {"W_hh"}
    assert weak_test(states=1.0) == weak_test(T=3) == set()


def agree(case: str) -> bool:
    rng = np.random.default_rng(0)
    W_ih, W_hh, b_ih, b_hh = params = init_gru(3, 4, rng=rng)
    x, h = rng.normal(size=(2, 3)), rng.normal(size=(2, 4)) * (case != "empty")
    reset = {"open": 1e3, "shut": -1e3, "half": 0.0}
    if case in reset:
        W_ih[:4], W_hh[:4], b_ih[:4], b_hh[:4] = 0, 0, reset[case], 0
    if case in ("half", "diagonal", "orthogonal"):
        b_hh[8:] = 0
    if case == "diagonal":
        W_hh[8:] = np.diag(rng.normal(size=4))
    if case == "orthogonal":
        W_hh[8:] = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    return np.allclose(paper()(params, x, h)[0], gru_cell(params, x, h))


def test_the_variants_agree_where_the_answer_says():
    assert {case for case in checks.CASES if agree(case)} == SAME


def test_the_counter_never_drifts(solutions: dict[str, Any]):
    params = solutions["binary_counter"](3)
    out, _, _ = gru_forward(params, np.ones((20_000, 1, 1)))
    assert np.abs(out - out.round()).max() < 1e-12
    assert (out[:, 0] @ [1, 2, 4] == np.arange(1, 20_001) % 8).all()


def test_the_numbers_in_the_explanations_are_those_of_the_solutions():
    text = "".join(c.source for c in nbformat.read(
        ROOT / "book/solutions/06_gru.ipynb", as_version=4).cells)  # fmt: skip
    assert [checks._size(40), checks._size(40, 4), checks._size(47)] == [6240, 8320, 8319]
    assert round(0.5**0.01, 5) == 0.99309
    assert abs(sigmoid(np.array(4.97)) - 0.5**0.01) < 2e-5
    assert round(1 / 1024, 5) == 0.00098
    for said in ("= 6240$", "8,320", "8,319", "1/1024", "0.99309", "of 4.97"):
        assert said in text
