"""The checks of the exercises of chapter 5 refuse wrong answers, each for its own reason.

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
from tests.check_cases import Check, dots, stops
from tools.notebooks import ROOT
from unrolled.checks import lstm as checks
from unrolled.functional import sigmoid
from unrolled.gradient_check import numerical_grad, relative_error
from unrolled.init import chrono
from unrolled.lstm import lstm_backward, lstm_cell, lstm_forward
from unrolled.params import Linear, Recurrent, init_linear, init_lstm

CHECKS, MASTER = checks, "05_lstm"
SCOPE = {"np": np, "Linear": Linear, "Recurrent": Recurrent, "sigmoid": sigmoid}
WRONG: dict[Check, list[tuple[str, Any, str]]] = {}
RIGHT: dict[Check, list[tuple[str, Any]]] = {}


# --- 1. The counts. ---


def counts(parameters: Any = 2560, sigmoids: Any = 480, tanhs: Any = 320) -> Any:
    return parameters, sigmoids, tanhs


WRONG[checks.check_counts] = [
    ("one block", counts(640), "a plain RNN's count"),
    ("three blocks", counts(1920), "the candidate has weights, too"),
    ("one bias", counts(2480), "each block has two biases"),
    ("no bias", counts(2400), "the biases are missing"),
    ("no W_hh", counts(960), "the recurrent weights W_hh are missing"),
    ("no W_ih", counts(1760), "weights W_ih of the input are missing"),
    ("five blocks", counts(3200), "the tanh of the cell state has no weights"),
    ("times the batch", counts(20480), "the batch shares its weights"),
    ("any other", counts(2561), "2561 is not right: count W_ih, W_hh"),
    ("four sigmoids", counts(sigmoids=640), "the candidate is no gate"),
    ("one sequence", counts(sigmoids=60), "for one sequence; the batch has 8"),
    ("number of gates", counts(sigmoids=3), "not one number"),
    ("two gates", counts(sigmoids=320), "three things are gated"),
    ("one tanh", counts(tanhs=160), "read the line of h_t"),
    ("tanhs of one sequence", counts(tanhs=40), "for one sequence; the batch has 8"),
    ("exchanged", counts(sigmoids=320, tanhs=480), "sigmoids = 320"),
    ("two", counts(tanhs=2), "not on one number"),
    ("text", counts("2560"), "must be a number, got '2560'"),
    ("nan", counts(np.nan), "must be a finite number"),
    ("not written", counts(tanhs=...), "tanhs has no value yet"),
]
RIGHT[checks.check_counts] = [
    ("NumPy's integers", counts(np.int64(2560), np.int32(480))),
    ("floats", counts(2560.0, 480.0, 320.0)),
    ("arrays of one number", counts(np.array([2560]), np.array(480))),
]

# --- 2. One step. ---


def blocks(p: Any, x: Any, h: Any) -> list[Any]:
    return np.split(x @ p[0].T + p[2] + h @ p[1].T + p[3], 4, axis=1)


def step(
    *,
    a: Any = blocks,
    order: str = "ifgo",
    gate: Any = sigmoid,
    candidate: Any = np.tanh,
    cell: Any = lambda i, f, g, c, h: f * c + i * g,
    show: Any = lambda o, c, old: o * np.tanh(c),
    give: Any = lambda h, c: (h, c),
) -> Any:
    """One step of an LSTM whose parts may be wrong."""

    def lstm_step(params: Any, x: Any, h: Any, c: Any) -> Any:
        parts = dict(zip(order, a(params, x, h), strict=True))
        i, f, g, o = (candidate(parts[k]) if k == "g" else gate(parts[k]) for k in "ifgo")
        c_t = cell(i, f, g, c, h)
        return give(show(o, c_t, c), c_t)

    return lstm_step


def in_place(params: Any, x: Any, h: Any, c: Any) -> Any:
    i, f, g, o = blocks(params, x, h)
    c *= sigmoid(f)
    c += sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def h_in_place(params: Any, x: Any, h: Any, c: Any) -> Any:
    right, c = lstm_cell(params, x, h, c)
    h[:] = right
    return right, c


def interleaved(p: Any, x: Any, h: Any) -> Any:
    a = np.concatenate(blocks(p, x, h), axis=1)
    return [a[:, k::4] for k in range(4)]


def naive(a: Any) -> Any:
    return np.exp(a) / (1 + np.exp(a))


def first_only(params: Any, x: Any, h: Any, c: Any) -> Any:
    return lstm_cell(params, x[:1], h[:1], c[:1])


def mean_of_batch(params: Any, x: Any, h: Any, c: Any) -> Any:
    return lstm_cell(params, x - x.mean(axis=0), h, c)


def float32_step(*args: Any) -> Any:
    params, *rest = args
    single = Recurrent(*(p.astype(np.float32) for p in params))
    return lstm_cell(single, *(a.astype(np.float32) for a in rest))


def kept_cell() -> Any:
    kept: dict[Any, Any] = {}

    def lstm_step(params: Any, x: Any, h: Any, c: Any) -> Any:
        h, kept[c.shape] = lstm_cell(params, x, h, kept.get(c.shape, c))
        return h, kept[c.shape]

    return lstm_step


WRONG[checks.check_lstm_step] = [
    ("order i|f|o|g", step(order="ifog"), r"the order i\|f\|o\|g"),
    ("order f|i|g|o", step(order="figo"), "what comes out if i and f change places"),
    ("order i|g|f|o", step(order="igfo"), r"the order i\|g\|f\|o"),
    ("order f|i|o|g", step(order="fiog"), r"the order f\|i\|o\|g"),
    ("order g|i|f|o", step(order="gifo"), r"the order g\|i\|f\|o"),
    ("order o|f|g|i", step(order="ofgi"), r"the order o\|f\|g\|i"),
    ("order i|o|f|g", step(order="iofg"), r"the order i\|o\|f\|g"),
    ("every fourth", step(a=interleaved), "every fourth number is one gate's"),
    ("split of the batch", step(a=lambda p, x, h: np.split(np.hstack(blocks(p, x, h)), 4)),
     "stopped with ValueError"),
    ("forget gate acts on h", step(cell=lambda i, f, g, c, h: f * h + i * g), "acts on h_prev"),
    ("no forget gate", step(cell=lambda i, f, g, c, h: c + i * g), "without the forget gate"),
    ("no input gate", step(cell=lambda i, f, g, c, h: f * c + g), "without the input gate"),
    ("no output gate", step(show=lambda o, c, old: np.tanh(c)), "h_t .*without the output gate"),
    ("no tanh on the cell", step(show=lambda o, c, old: o * c), "h_t .*without tanh on the cell"),
    ("old cell shown", step(show=lambda o, c, old: o * np.tanh(old)), "shows the old cell"),
    ("c ignored", step(cell=lambda i, f, g, c, h: i * g), "c_prev is ignored"),
    ("nothing written", step(cell=lambda i, f, g, c, h: f * c), "nothing is written"),
    ("coupled", step(cell=lambda i, f, g, c, h: f * c + (1 - f) * g), "1 - f is written"),
    ("forgets what it should keep", step(cell=lambda i, f, g, c, h: (1 - f) * c + i * g),
     "1 - f is kept"),
    ("i and f exchanged", step(cell=lambda i, f, g, c, h: i * c + f * g), "i and f change places"),
    ("candidate by sigmoid", step(candidate=sigmoid), "sigmoid for the candidate"),
    ("candidate without tanh", step(candidate=lambda a: a), "candidate goes without tanh"),
    ("gates by tanh", step(gate=np.tanh), "gates go through tanh"),
    ("tanh twice", step(cell=lambda i, f, g, c, h: np.tanh(f * c + i * g)), "c_t itself has no"),
    ("tanh stored", step(cell=lambda i, f, g, c, h: np.tanh(f * c + i * g),
                         show=lambda o, c, old: o * c), "tanh is stored in c_t"),
    ("no h", step(a=lambda p, x, h: blocks(p, x, 0 * h)), "without h_prev"),
    ("no x", step(a=lambda p, x, h: blocks(p, 0 * x, h)), "without x_t"),
    ("no b_hh", step(a=lambda p, x, h: blocks((*p[:3], 0 * p[3]), x, h)), "without b_hh"),
    ("no b_ih", step(a=lambda p, x, h: blocks((*p[:2], 0 * p[2], p[3]), x, h)), "without b_ih"),
    ("no bias", step(a=lambda p, x, h: blocks((*p[:2], 0 * p[2], 0 * p[3]), x, h)),
     "without the biases"),
    ("c and h added", step(cell=lambda i, f, g, c, h: f * c + i * g + h),
     r"c_t\[.*Compare a, then i, f, g and o"),
    ("exchanged", step(give=lambda h, c: (c, h)), "returned c_t, h_t; the order is h_t, c_t"),
    ("h alone", step(give=lambda h, c: h), "must return h_t, c_t; it returned an array"),
    ("gates as well", step(give=lambda h, c: (h, c, h)), "it returned 3 things"),
    ("c not written", step(give=lambda h, c: (h, ...)), "c_t is Ellipsis: write"),
    ("c changed in place", in_place, "changed its argument c_prev"),
    ("h changed in place", h_in_place, "changed its argument h_prev"),
    ("sigmoid overflows", step(gate=naive), "c_t holds nan"),
    ("first sequence only", first_only, r"must have shape \(B=4, H=4\), got \(1, 4\)"),
    ("mean of the batch removed", mean_of_batch, r"c_t\[.*Compare a"),
    ("cell of the call before", kept_cell(), r"c_t\[.*Compare a"),
    ("float32", float32_step, "c_t is right to a few digits only"),
    ("rounded", step(give=lambda h, c: (h.round(6), c)), "h_t is right to a few digits only"),
    ("stops", stops, "stopped with IndexError: list index"),
    ("not written", dots, "lstm_step returned Ellipsis"),
]  # fmt: skip


def number_by_number(params: Any, x: Any, h: Any, c: Any) -> Any:
    W_ih, W_hh, b_ih, b_hh = (p.tolist() for p in params)
    H, out_h, out_c = len(c[0]), [], []

    def s(a: float) -> float:
        return 1 / (1 + math.exp(-a)) if a > -700 else 0.0

    for x_b, h_b, c_b in zip(x.tolist(), h.tolist(), c.tolist()):
        a = [
            sum(w * v for w, v in zip(W_ih[k], x_b))
            + sum(w * v for w, v in zip(W_hh[k], h_b))
            + b_ih[k]
            + b_hh[k]
            for k in range(4 * H)
        ]
        new = [s(a[H + k]) * c_b[k] + s(a[k]) * math.tanh(a[2 * H + k]) for k in range(H)]
        out_c.append(new)
        out_h.append([s(a[3 * H + k]) * math.tanh(new[k]) for k in range(H)])
    return out_h, out_c


def by_gate(params: Any, x: Any, h: Any, c: Any) -> Any:
    W_ih, W_hh, b_ih, b_hh = params
    H = c.shape[1]
    a = {}
    for k, name in enumerate("ifgo"):
        rows = slice(k * H, (k + 1) * H)
        a[name] = np.einsum("bd,hd->bh", x, W_ih[rows]) + np.einsum("bk,hk->bh", h, W_hh[rows])
        a[name] += b_ih[rows] + b_hh[rows]
    c = c.copy()
    c *= sigmoid(a["f"])
    c += sigmoid(a["i"]) * np.tanh(a["g"])
    return [np.tanh(c) * sigmoid(a["o"]), c]


RIGHT[checks.check_lstm_step] = [
    ("the package's own", lstm_cell),
    ("number by number, in lists", number_by_number),
    ("gate by gate, in place on a copy", by_gate),
    ("sigmoid that overflows to 0", step(gate=lambda a: 1 / (1 + np.exp(-a)))),
    ("sigmoid by tanh", step(gate=lambda a: 0.5 * np.tanh(0.5 * a) + 0.5)),
    ("one matrix of both", step(a=lambda p, x, h: np.split(
        np.hstack([x, h]) @ np.hstack(p[:2]).T + p[2] + p[3], 4, axis=-1))),
    ("lstm_forward over one step", lambda p, x, h, c: lstm_forward(p, x[None], h, c)[1]),
]  # fmt: skip

# --- 3. A unit set by hand. ---

COUNTS = {"i": (0, 80, -40), "f": (0, 0, 40), "g": (0, 0, 40), "o": (0, 0, 0)}
HOLDS = {"i": (0, 80, -40), "f": (0, -80, 40), "g": (1, 0, 0), "o": (0, 0, 0)}


def unit(table: dict[str, Any], *, order: str = "ifgo", W_hh: float = 0.0, **other: Any) -> Any:
    """A unit by its rows: weight of the number, weight of the mark, bias."""
    rows = np.array([(table | other)[k] for k in order], dtype=float)
    params = Recurrent(rows[:, :2], np.full((4, 1), W_hh), rows[:, 2], np.zeros(4))
    return lambda: params


def parted(table: dict[str, Any], change: Any) -> Any:
    return lambda: change(unit(table)())


def both(table: dict[str, Any]) -> list[Any]:
    return [
        ("order i|f|o|g", unit(table, order="ifog"), "after step [0-9]+ the cell holds"),
        ("order f|i|g|o", unit(table, order="figo"), "after step [0-9]+ the cell holds.* f should"),
        ("zeros", unit(dict.fromkeys("ifgo", (0, 0, 0))), "f should be [01] and is 0.5"),
        ("mark and number exchanged", parted(table, lambda p: p._replace(W_ih=p.W_ih[:, ::-1])),
         "after step 1 the cell holds"),
        ("gates of 10", unit(table, i=(0, 20, -10)), "leaks: larger weights shut it"),
        ("gates of 15", unit(table, i=(0, 30, -15)), "leaks: larger weights shut it"),
        ("forget gate nearly open", unit(table, f=(0, 0, 3)), "f should be [01] and is 0.95"),
        ("input gate shut", unit(table, i=(0, 0, -40)), "with a mark i g should be .* and is"),
        ("input gate always open", unit(table, i=(0, 0, 40)), "a mark i g should be 0 and is"),
        ("input gate upside down", unit(table, i=(0, -80, 40)), "i g should be"),
        ("input gate reads h", parted(table, lambda p: p._replace(W_hh=np.full((4, 1), -90.0))),
         "after step [0-9]+ the cell holds"),
        ("i half open", unit(table, i=(0, 40, -40)), "with a mark i g should be .* and is"),
        ("W_ih transposed", parted(table, lambda p: p._replace(W_ih=p.W_ih.T)),
         r"W_ih must have shape \(rows=4, columns=2\), got \(2, 4\)"),
        ("two units", parted(table, lambda p: Recurrent(*(np.repeat(a, 2, axis=0) for a in p))),
         r"W_ih must have shape \(rows=4"),
        ("W_hh flat", parted(table, lambda p: p._replace(W_hh=np.zeros(4))), "W_hh must have"),
        ("a bias too few", parted(table, lambda p: p._replace(b_hh=np.zeros(3))), "b_hh must have"),
        ("three arrays", parted(table, lambda p: p[:3]), r"must return Recurrent\(W_ih"),
        ("nan", parted(table, lambda p: p._replace(b_ih=p.b_ih * np.nan)), "b_ih holds nan"),
        ("infinite bias", parted(table, lambda p: p._replace(b_ih=p.b_ih * np.inf)), "b_ih holds"),
        ("b_ih left out", parted(table, lambda p: p._replace(b_ih=...)), "b_ih is Ellipsis"),
        ("a number", lambda: 1.0, r"must return Recurrent\(W_ih"),
        ("stops", stops, "stopped with IndexError"),
        ("not written", dots, "returned Ellipsis"),
    ]  # fmt: skip


BOTH_COUNTS, BOTH_HOLDS = both(COUNTS), both(HOLDS)
WRONG[checks.check_counting_cell] = [
    *BOTH_COUNTS,
    ("candidate of tanh(1)", unit(COUNTS, g=(0, 0, 1)), "i g should be 1 and is 0.7616"),
    ("candidate is the number", unit(COUNTS, g=(1, 0, 0)), "with a mark i g should be 1"),
    ("forgets at a mark", unit(COUNTS, f=(0, -80, 40)), "with a mark f should be 1 and is 0"),
    ("counts down", unit(COUNTS, g=(0, 0, -40)), "i g should be 1 and is -1"),
    ("counts the steps", unit(COUNTS, i=(0, 40, 40)), "without a mark i g should be 0 and is 1"),
]
WRONG[checks.check_holding_cell] = [
    *BOTH_HOLDS,
    ("adds", unit(HOLDS, f=(0, 0, 40)), "with a mark f should be 0 and is 1"),
    ("holds nothing", unit(HOLDS, f=(0, 0, -40)), "without a mark f should be 1 and is 0"),
    ("forget gate upside down", unit(HOLDS, f=(0, 80, -40)), "f should be"),
    ("candidate is 1", unit(HOLDS, g=(0, 0, 40)), "with a mark i g should be .* and is 1"),
    ("candidate reads the mark, too", unit(HOLDS, g=(1, 1, 0)), "with a mark i g should be"),
    ("candidate too steep", unit(HOLDS, g=(2, 0, 0)), "with a mark i g should be"),
]
RIGHT[checks.check_counting_cell] = [
    ("candidate follows the mark", unit(COUNTS, i=(0, 0, 40), g=(0, 40, 0))),
    ("biases in b_hh", parted(COUNTS, lambda p: Recurrent(p[0], p[1], p[3], p[2]))),
    ("lists", parted(COUNTS, lambda p: [a.tolist() for a in p])),
    ("enormous weights", unit(COUNTS, i=(0, 2e6, -1e6), f=(0, 0, 1e7))),
    ("output gate does what it likes", unit(COUNTS, o=(3, -2, 1))),
    ("integers", parted(COUNTS, lambda p: Recurrent(*(a.astype(int) for a in p)))),
]
RIGHT[checks.check_holding_cell] = [
    ("candidate reads the mark and takes it off", unit(HOLDS, g=(1, 3, -3))),
    ("gates of 30", unit(HOLDS, i=(0, 60, -30), f=(0, -60, 30))),
    ("uneven gates", unit(HOLDS, i=(0, 300, -100), f=(0, -400, 40))),
    ("gates that read h a little", unit(HOLDS, W_hh=0.0, o=(0, 0, -40))),
    ("bias shared out", parted(HOLDS, lambda p: Recurrent(*p[:2], p[2] / 2, p[2] / 2))),
]

# --- 4. A bias for a delay. ---


def s(b: float) -> float:
    return 1 / (1 + math.exp(-b))


WRONG[checks.check_survival] = [
    ("the gate", (s(5), 3), "this is the gate itself"),
    ("what is lost", (1 - s(5) ** 100, 3), "what is lost"),
    ("a straight line", (1 - 100 * (1 - s(5)), 3), "not a difference"),
    ("percent", (51.1, 3), "a share, not a percentage"),
    ("of bias 1", (s(1) ** 100, 3), r"this is sigmoid\(1\)"),
    ("nothing", (0.0, 3), "what is f = sigmoid"),
    ("everything", (1.0, 3), "what is f = sigmoid"),
    ("bias to the power", (5.0**100, 3), r"the gate is sigmoid\(5\)"),
    ("half after two", (0.51, 2), "still more than half"),
    ("of bias 5", (0.51, 104), "the number for a bias of 5"),
    ("not a whole number", (0.51, 2.21), "a whole number of steps"),
    ("one", (0.51, 1), "which is the first k"),
    ("nan", (np.nan, 3), "finite"),
    ("text", ("half", 3), "must be a number"),
    ("not written", (0.51, ...), "steps_to_half has no value yet"),
]
RIGHT[checks.check_survival] = [
    ("exact", (s(5) ** 100, 3)),
    ("a fraction", (Fraction(51, 100), 3.0)),
    ("three digits", (0.511, np.int64(3))),
    ("an array", (np.array([0.51]), np.array(3))),
]


def logit(f: Any) -> Any:
    return np.log(f / (1 - f))


WRONG[checks.check_bias_for] = [
    ("the gate", lambda k, share: share ** (1 / k), "this is the gate f"),
    ("the sign", lambda k, share: -logit(share ** (1 / k)), "the sign"),
    ("sigmoid of it", lambda k, share: s(share ** (1 / k)), r"this is sigmoid\(f\)"),
    ("log alone", lambda k, share: np.log(share) / k, "log f alone"),
    ("no log", lambda k, share: 1 / (share ** (-1 / k) - 1), "whose log is still to be taken"),
    ("log of the loss", lambda k, share: -np.log(1 - share ** (1 / k)), r"-log\(1 - f\)"),
    ("base 10", lambda k, share: np.log10(1 / (share ** (-1 / k) - 1)), "to base 10"),
    ("base 2", lambda k, share: np.log2(1 / (share ** (-1 / k) - 1)), "to base 2"),
    ("arctanh", lambda k, share: np.arctanh(share ** (1 / k)), "a gate is a sigmoid"),
    ("one step", lambda k, share: logit(share), "the bias for one step"),
    ("a straight line", lambda k, share: logit(1 - (1 - share) / k), "a loss of .1 - share. / k"),
    ("share lost", lambda k, share: logit((1 - share) ** (1 / k)), "share is lost, not kept"),
    ("share times k", lambda k, share: logit(share) * k, r"with it sigmoid\(b\)\*\*10 is"),
    ("log k", lambda k, share: np.log(k + 1.0), "with it sigmoid"),
    ("rounded", lambda k, share: round(logit(share ** (1 / k)), 3), "a few digits only"),
    ("constant", lambda k, share: 1.0, "with it sigmoid"),
    ("infinite", lambda k, share: np.inf, "must be a finite number"),
    ("an array of two", lambda k, share: np.ones(2), "must be a single number"),
    ("stops", stops, "stopped with IndexError"),
    ("not written", dots, "returned Ellipsis"),
]


def bisection(k: int, share: float) -> float:
    low, high = -50.0, 50.0
    for _ in range(80):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if s(middle) ** k < share else (low, middle)
    return low


RIGHT[checks.check_bias_for] = [
    ("bisection", bisection),
    ("without f", lambda k, share: -math.log(math.expm1(-math.log(share) / k))),
    ("twice arctanh", lambda k, share: 2 * np.arctanh(2 * share ** (1 / k) - 1)),
    ("an array", lambda k, share: np.array([logit(np.exp(np.log(share) / k))])),
]


def gates(
    draw: Any = lambda rng, T, H: np.log(rng.uniform(1, T - 1, H)),
    *,
    i: Any = lambda b, rng, T: -b,
    give: Any = lambda p, b_ih, b_hh: p._replace(b_ih=b_ih, b_hh=b_hh),
    rows: tuple[int, int] = (0, 1),
    clear: tuple[int, ...] = (0, 1),
) -> Any:
    """Chrono biases whose parts may be wrong."""

    def my_chrono(params: Any, T_max: int, rng: Any) -> Any:
        H = params.W_hh.shape[1]
        b_ih, b_hh = params.b_ih.copy().reshape(4, H), params.b_hh.copy().reshape(4, H)
        b_ih[rows[1]] = draw(rng, T_max, H)
        b_ih[rows[0]] = i(b_ih[rows[1]], rng, T_max)
        b_hh[list(clear)] = 0
        return give(params, b_ih.ravel(), b_hh.ravel())

    return my_chrono


def chrono_in_place(params: Any, T_max: int, rng: Any) -> Any:
    H = params.W_hh.shape[1]
    params.b_ih[H : 2 * H] = np.log(rng.uniform(1, T_max - 1, H))
    return params


WRONG[checks.check_my_chrono] = [
    ("bias drawn evenly", gates(lambda rng, T, H: rng.uniform(0, np.log(T - 1), H)),
     "the bias itself is drawn evenly"),
    ("log is missing", gates(lambda rng, T, H: rng.uniform(1, T - 1, H)), "its log is missing"),
    ("signs exchanged", gates(lambda rng, T, H: -np.log(rng.uniform(1, T - 1, H))),
     "the sign: the forget gate has"),
    ("up to T_max", gates(lambda rng, T, H: np.log(rng.uniform(1, T, H))), "is drawn up to T_max"),
    ("from 0", gates(lambda rng, T, H: np.log(rng.uniform(0, T - 1, H))), "u is drawn from 0"),
    ("log(u + 1)", gates(lambda rng, T, H: np.log(1 + rng.uniform(1, T - 1, H))), r"log\(1 \+ u\)"),
    ("one for all units", gates(lambda rng, T, H: np.log(rng.uniform(1, T - 1))),
     "all units have one bias"),
    ("the longest for all", gates(lambda rng, T, H: np.log(T - 1)), "all units have one bias"),
    ("normal", gates(lambda rng, T, H: rng.normal(size=H)), "spread evenly from 1 to 2"),
    ("base 10", gates(lambda rng, T, H: np.log10(rng.uniform(1, T - 1, H))), "spread evenly"),
    ("input gate the same", gates(i=lambda b, rng, T: b), "input gate has the bias b_f"),
    ("input gate drawn anew", gates(i=lambda b, rng, T: -np.log(rng.uniform(1, T - 1, len(b)))),
     "minus that of the forget gate, unit by unit"),
    ("input gate 0", gates(i=lambda b, rng, T: 0 * b), "minus that of the forget gate"),
    ("input gate forgotten", gates(rows=(1, 1), i=lambda b, rng, T: b, clear=(1,)),
     "the input gate's bias is untouched"),
    ("b_hh kept", gates(clear=()), "b_hh still holds its old numbers"),
    ("b_hh of i kept", gates(clear=(1,)), "b_hh still holds its old numbers for the input gate"),
    ("i and f exchanged", gates(rows=(1, 0)), "the sign: the forget gate has"),
    ("rows of g", gates(rows=(0, 2), clear=(0, 2)), "bias is untouched: its rows"),
    ("o as well", gates(clear=(0, 1, 3)), "the biases of g and o are to stay"),
    ("all other biases 0", gates(clear=(0, 1, 2, 3)), "the biases of g and o are to stay"),
    ("nothing changed", lambda p, T_max, rng: p, "untouched: return what you have changed"),
    ("in place", chrono_in_place, "changed its argument params"),
    ("weights 0", gates(give=lambda p, b, c: Recurrent(0 * p[0], p[1], b, c)), "the weights"),
    ("the bias alone", gates(give=lambda p, b, c: b), "must return"),
    ("two arrays", gates(give=lambda p, b, c: (b, c)), "it returned 2 things"),
    ("half of the biases", gates(give=lambda p, b, c: p._replace(b_ih=b[:9], b_hh=c)),
     "b_ih must have shape"),
    ("stops", stops, "stopped with IndexError"),
    ("not written", dots, "returned Ellipsis"),
]  # fmt: skip
RIGHT[checks.check_my_chrono] = [
    ("the package's own", lambda params, T_max, rng: chrono(params, T_max, rng=rng)),
    ("one draw at a time", gates(
        lambda rng, T, H: [math.log(1 + (T - 2) * rng.random()) for _ in range(H)])),
    ("all in b_hh", gates(give=lambda p, b, c: Recurrent(
        *p[:2], np.where(np.arange(len(b)) < len(b) // 2, 0, b),
        np.where(np.arange(len(b)) < len(b) // 2, b, c)))),
    ("evenly spaced, in a random order", gates(
        lambda rng, T, H: np.log(rng.permutation(np.linspace(1, T - 1, H))))),
    ("a list of arrays", gates(give=lambda p, b, c: [*p[:2], b, c])),
]  # fmt: skip

# --- 5. Two bugs. ---

WRONG[checks.check_right_at_one] = [
    ("dc0 alone", {"dc0"}, "Which gradient is a product with h0"),
    ("W_hh alone", {"W_hh"}, "follow dc through the single step"),
    ("nothing", set(), "follow dc through the single step"),
    ("everything", set(checks.RESULTS), "holds dx, which comes out wrong"),
    ("dx", {"dc0", "W_hh", "dx"}, "dx is da times W_ih"),
    ("dh0", {"dc0", "W_hh", "dh0"}, "even if h0 is zero"),
    ("W_ih", {"dc0", "W_hh", "W_ih"}, "da_f times x_1"),
    ("b_ih", {"dc0", "W_hh", "b_ih"}, "are da_f itself"),
    ("b_hh only", ["b_hh"], "are da_f itself"),
    ("another name", {"dc0", "dW_hh"}, "it holds 'dW_hh'"),
    ("a number", 2, "must be a set of names"),
    ("not written", ..., "right_at_one has no value yet"),
]
RIGHT[checks.check_right_at_one] = [
    ("a list", ["W_hh", "dc0"]),
    ("a tuple with spaces", ("dc0 ", " W_hh")),
    ("a frozen set", frozenset({"dc0", "W_hh"})),
    ("an array", np.array(["dc0", "W_hh"])),
]


def planted(*bugs: str, change: Any = lambda dx, dh0, dc0, g: (dx, dh0, dc0, g)) -> Any:
    """The way back of the checks with mistakes, by their names there."""

    def mended_backward(cache: Any, dout: Any) -> Any:
        dx, dh0, dc0, *grads = checks._way_back(cache, dout, *bugs)
        return change(dx, dh0, dc0, Recurrent(*grads))

    return mended_backward


def given(cache: Any, dout: Any) -> Any:
    """What stands in the notebook, to be mended."""
    return given_function()(cache, dout)


@cache
def given_function() -> Any:
    cells = nbformat.read(ROOT / "solutions/05_lstm.ipynb", as_version=4).cells
    scope: dict[str, Any] = {"np": np, "Recurrent": Recurrent}
    exec(next(c.source for c in cells if c.source.startswith("def buggy_backward")), scope)
    return scope["buggy_backward"]


def package_back(cache: Any, dout: Any) -> Any:
    dx, (dh0, dc0), grads = lstm_backward(cache, dout)
    return dx, dh0, dc0, grads


def changes_dout(cache: Any, dout: Any) -> Any:
    right = package_back(cache, dout)
    dout[:] = 0
    return right


def changes_cache(cache: Any, dout: Any) -> Any:
    right = package_back(cache, dout)
    cache.params.W_hh[:] = 0
    return right


def from_the_start(cache: Any, dout: Any) -> Any:
    return package_back(cache, dout[::-1].copy())


WRONG[checks.check_mended_backward] = [
    ("as given", given, "both bugs together"),
    ("only da_f mended", planted("f_t"), "by f_t at step t"),
    ("only the conveyor mended", planted("c_t"), "c_t in da_f"),
    ("carried without f", planted("no f"), "carried back without f"),
    ("conveyor cut", planted("no conveyor"), "dc is not carried back at all"),
    ("times i", planted("i"), "times i; the conveyor's factor is f"),
    ("no part through h", planted("no h"), "no part through h_t"),
    ("no slope", planted("no slope"), "without the slope of tanh"),
    ("slope of c", planted("1 - c^2"), r"1 - c\*\*2; it is"),
    ("no output gate", planted("no o"), "without o in dc's way"),
    ("dout alone", planted("dout alone"), "dc uses dout alone"),
    ("1997", planted("dh not carried"), "dh is not carried back"),
    ("dout at the end", planted("dout at the end"), "dout counts at the last step only"),
    ("h_t for W_hh", planted("h_t"), "h_t in the gradient of W_hh"),
    ("last share", planted("last share"), "the share of step 1 alone"),
    ("dc0 without f", planted("dc0 without f"), "c0 reaches it through f_1"),
    ("mean", planted(change=lambda dx, dh0, dc0, g: (
        dx, dh0, dc0, Recurrent(*(a / len(dh0) for a in g)))), "the mean over the batch"),
    ("states exchanged", planted(change=lambda dx, dh0, dc0, g: (dx, dc0, dh0, g)), r"dh0\["),
    ("W_hh transposed", planted(change=lambda dx, dh0, dc0, g: (
        dx, dh0, dc0, g._replace(W_hh=g.W_hh.T))), "gradient of W_hh must have shape"),
    ("grads first", planted(change=lambda dx, dh0, dc0, g: (g, dx, dh0, dc0)), "grads must be"),
    ("states as a pair", planted(change=lambda dx, dh0, dc0, g: (dx, (dh0, dc0), g)),
     "it returned 3 things"),
    ("b_hh left out", planted(change=lambda dx, dh0, dc0, g: (dx, dh0, dc0, g[:3])),
     "grads must be"),
    ("b_hh zero", planted(change=lambda dx, dh0, dc0, g: (dx, dh0, dc0, g._replace(
        b_hh=0 * g.b_hh))), r"gradient of b_hh\["),
    ("signs", planted(change=lambda dx, dh0, dc0, g: (-dx, dh0, dc0, g)), r"dx\[.*Compare each"),
    ("from the start", from_the_start, "is wrong|should be"),
    ("dout changed", changes_dout, "changed its argument dout"),
    ("cache changed", changes_cache, "changed its argument cache"),
    ("nan", planted(change=lambda dx, dh0, dc0, g: (dx * np.nan, dh0, dc0, g)), "dx holds nan"),
    ("stops", stops, "stopped with IndexError"),
    ("not written", dots, "returned Ellipsis"),
]  # fmt: skip


def one_sequence_at_a_time(cache: Any, dout: Any) -> Any:
    parts = []
    for b in range(dout.shape[1]):
        each = slice(b, b + 1)
        alone = cache._replace(
            x=cache.x[:, each], h=cache.h[:, each], c=cache.c[:, each],
            gates=cache.gates[:, :, each],
        )  # fmt: skip
        parts.append(package_back(alone, dout[:, each].copy()))
    dx, dh0, dc0 = (np.concatenate([p[k] for p in parts], axis=int(k == 0)) for k in range(3))
    return dx, dh0, dc0, [sum(arrays) for arrays in zip(*(p[3] for p in parts))]


def step_by_step(cache: Any, dout: Any) -> Any:
    dh, dc, dxs, total = None, None, [], None
    for t in range(len(dout), 0, -1):
        dx, (dh, dc), grads = lstm_backward(
            cache.steps(t - 1, t), dout[t - 1 : t], dh_n=dh, dc_n=dc
        )
        dxs.insert(0, dx[0].tolist())
        total = grads if total is None else [a + b for a, b in zip(total, grads)]
    return [dxs, dh, dc, total]


def f_of_the_next(cache: Any, dout: Any) -> Any:
    """The other way to mend it: keep f of the step after."""
    dx, dh0, dc0, *grads = checks._way_back(cache, dout)
    return dx, dh0, dc0, tuple(grads)


RIGHT[checks.check_mended_backward] = [
    ("the package's own", package_back),
    ("one sequence at a time", one_sequence_at_a_time),
    ("step by step, in lists", step_by_step),
    ("f of the step after", f_of_the_next),
]

# --- 6. Peepholes. ---


def peephole(wrong: str = "", give: Any = lambda h, c, gates: (h, c, gates)) -> Any:
    """A step with a mistake by its name in the checks."""

    def peephole_step(*args: Any) -> Any:
        h, c, *gates = checks._peephole(*args, wrong=wrong)
        return give(h, c, tuple(gates))

    return peephole_step


def plain_step(params: Any, p: Any, x: Any, h: Any, c: Any) -> Any:
    a = [sigmoid(b) for b in blocks(params, x, h)]
    a[2] = np.tanh(blocks(params, x, h)[2])
    return (*lstm_cell(params, x, h, c), a)


def candidate_peeps(params: Any, p: Any, x: Any, h: Any, c: Any) -> Any:
    a_i, a_f, a_g, a_o = blocks(params, x, h)
    i, f, g = sigmoid(a_i + p[0] * c), sigmoid(a_f + p[1] * c), np.tanh(a_g + p[0] * c)
    new = f * c + i * g
    o = sigmoid(a_o + p[2] * new)
    return o * np.tanh(new), new, (i, f, g, o)


def peeps_outside(params: Any, p: Any, x: Any, h: Any, c: Any) -> Any:
    a_i, a_f, a_g, a_o = blocks(params, x, h)
    i, f, g = sigmoid(a_i) + p[0] * c, sigmoid(a_f) + p[1] * c, np.tanh(a_g)
    new = f * c + i * g
    o = sigmoid(a_o) + p[2] * new
    return o * np.tanh(new), new, (i, f, g, o)


def peephole_in_place(params: Any, p: Any, x: Any, h: Any, c: Any) -> Any:
    right = checks._peephole(params, p, x, h, c)
    c[:] = right[1]
    return right[0], right[1], right[2:]


WRONG[checks.check_peephole_step] = [
    ("no peepholes", plain_step, "this is a step without peepholes"),
    ("o sees the old cell", peephole("o sees old"), "output gate sees c_.t-1.; it comes last"),
    ("no p_i", peephole("no p_i"), "without p_i"),
    ("no p_f", peephole("no p_f"), "without p_f"),
    ("no p_o", peephole("no p_o"), "without p_o"),
    ("see h", peephole("see h"), "they see the cell state"),
    ("see tanh(c)", peephole("see tanh"), "they see c itself"),
    ("p_i and p_f exchanged", peephole("order"), "p_i and p_f change places"),
    ("no tanh", peephole("no tanh"), "without tanh on the cell state"),
    ("candidate has one, too", candidate_peeps, r"g\[.*With p = 0"),
    ("outside the sigmoid", peeps_outside, r"i\[.*With p = 0"),
    ("gates left out", peephole(give=lambda h, c, g: (h, c)), "it returned 2 things"),
    ("gates not in a tuple", peephole(give=lambda h, c, g: (h, c, *g)), "it returned 6 things"),
    ("gates exchanged", peephole(give=lambda h, c, g: (h, c, (g[1], g[0], *g[2:]))), r"i\["),
    ("three gates", peephole(give=lambda h, c, g: (h, c, g[:3])), "must return i, f, g, o"),
    ("states exchanged", peephole(give=lambda h, c, g: (c, h, g)), r"c_t\["),
    ("cell changed", peephole_in_place, "changed its argument c_prev"),
    ("rounded", peephole(give=lambda h, c, g: (h, c.round(7), g)), "c_t is right to a few digits"),
    ("stops", stops, "stopped with IndexError"),
    ("not written", dots, "returned Ellipsis"),
]


def diagonal_matrices(params: Any, p: Any, x: Any, h: Any, c: Any) -> Any:
    """A peephole is a diagonal matrix on c."""
    P_i, P_f, P_o = (np.diag(row) for row in p)
    a_i, a_f, a_g, a_o = blocks(params, x, h)
    i, f, g = sigmoid(a_i + c @ P_i), sigmoid(a_f + c @ P_f), np.tanh(a_g)
    new = np.einsum("bh,bh->bh", f, c) + i * g
    o = sigmoid(a_o + new @ P_o)
    return [(o * np.tanh(new)).tolist(), new.tolist(), [i, f, g, o]]


def an_lstm_that_sees(params: Any, p: Any, x: Any, h: Any, c: Any) -> Any:
    """The peepholes of i and f are inputs of an ordinary LSTM; o comes after."""
    H, zero = c.shape[1], np.zeros((c.shape[1], c.shape[1]))
    W = np.vstack([np.diag(p[0]), np.diag(p[1]), zero, zero])
    wide = params._replace(W_ih=np.hstack([params.W_ih, W]))
    seen = np.hstack([x, c])
    _, _, first = lstm_forward(wide, seen[None], h, c)
    W[3 * H :] = np.diag(p[2])
    seen = np.hstack([x, first.c[1]])
    wide = params._replace(W_ih=np.hstack([params.W_ih, W]))
    _, _, last = lstm_forward(wide, seen[None], h, c)
    o = last.o[0]
    new = first.c[1]
    return o * np.tanh(new), new, np.stack([first.i[0], first.f[0], first.g[0], o])[:, :, :]


RIGHT[checks.check_peephole_step] = [
    ("diagonal matrices", diagonal_matrices),
    ("two ordinary LSTMs", lambda *a: (*(r := an_lstm_that_sees(*a))[:2], list(r[2]))),
    ("gates in a list", peephole(give=lambda h, c, g: [h, c, list(g)])),
]


def peephole_back(
    wrong: str = "", change: Any = lambda dx, dh, dc, g, dp: (dx, dh, dc, g, dp)
) -> Any:
    """A way back with a mistake by its name in the checks."""

    def peephole_backward(*args: Any) -> Any:
        dx, dh, dc, *grads, dp = checks._peephole_back(*args, wrong=wrong)
        return change(dx, dh, dc, Recurrent(*grads), dp)

    return peephole_backward


def adds_to_dc(*args: Any) -> Any:
    right = peephole_back()(*args)
    args[-1][:] += 1.0
    return right


WRONG[checks.check_peephole_backward] = [
    ("no peepholes", peephole_back("no peepholes"), "an LSTM without peepholes"),
    ("plain forward", peephole_back("plain forward"), "computed without peepholes"),
    ("no third part", peephole_back("no p_o"), "dc lacks its third part"),
    ("o's part to the old cell", peephole_back("late p_o"), "da_o p_o goes to"),
    ("no part through h", peephole_back("no h"), "no part through tanh"),
    ("dc ignored", peephole_back("no dc"), "handed in is ignored"),
    ("f alone", peephole_back("no p_i, p_f"), "dc times f alone"),
    ("no p_i back", peephole_back("no p_i"), "through the input gate, da_i p_i"),
    ("no p_f back", peephole_back("no p_f"), "through the forget gate, da_f p_f"),
    ("no f", peephole_back("no f"), "carried back without f"),
    ("no conveyor", peephole_back("no conveyor"), "the conveyor is missing"),
    ("c_t in da_f", peephole_back("c_t"), "c_t in da_f"),
    ("no slope", peephole_back("no slope"), "without the slope of tanh"),
    ("slope of c", peephole_back("1 - c^2"), r"slope 1 - c\*\*2"),
    ("old cell for p_o", peephole_back("dp_o"), "the output gate sees c_t"),
    ("new cell for p_i and p_f", peephole_back("dp_if"), "these gates see c_.t-1"),
    ("mean of dp", peephole_back("mean dp"), "the gradient of p is wrong: this is the mean"),
    ("mean of all", peephole_back(change=lambda dx, dh, dc, g, dp: (
        dx, dh, dc, [a / len(dh) for a in g], dp / len(dh))), "the gradients are sums"),
    ("dp for each sequence", peephole_back(change=lambda dx, dh, dc, g, dp: (
        dx, dh, dc, g, np.stack([dp] * len(dh)))), "gradient of p must have shape"),
    ("dp turned", peephole_back(change=lambda dx, dh, dc, g, dp: (dx, dh, dc, g, dp[::-1])),
     r"gradient of p\["),
    ("dp in grads", peephole_back(change=lambda dx, dh, dc, g, dp: (dx, dh, dc, (*g, dp))),
     "it returned 4 things"),
    ("grads as a matrix", peephole_back(change=lambda dx, dh, dc, g, dp: (dx, dh, dc, g[0], dp)),
     "grads must be"),
    ("dh and dc exchanged", peephole_back(change=lambda dx, dh, dc, g, dp: (dx, dc, dh, g, dp)),
     r"dc_prev\["),
    ("dc changed", adds_to_dc, "changed its argument dc"),
    ("nan", peephole_back(change=lambda dx, dh, dc, g, dp: (dx, dh, dc * np.nan, g, dp)),
     "dc_prev holds nan"),
    ("stops", stops, "stopped with IndexError"),
    ("not written", dots, "returned Ellipsis"),
]  # fmt: skip


def differences(params: Any, p: Any, x: Any, h: Any, c: Any, dh: Any, dc: Any) -> Any:
    """Not exact enough."""

    def loss(everything: Any) -> float:
        h_t, c_t, *_ = checks._peephole(*everything)
        return float(np.sum(h_t * dh) + np.sum(c_t * dc))

    grads, dp, dx, dh_prev, dc_prev = numerical_grad(loss, (params, p, x, h, c))
    return dx, dh_prev, dc_prev, grads, dp


WRONG[checks.check_peephole_backward].append(
    ("finite differences", differences, "right to a few digits only.*finite differences")
)


def jacobians(params: Any, p: Any, x: Any, h: Any, c: Any, dh: Any, dc: Any) -> Any:
    """By one matrix for each sequence: of (h_t, c_t) with respect to all that enters the gates."""
    H, out_x, out_h, out_c = c.shape[1], [], [], []
    das, dps = [], []
    for b in range(len(x)):
        _, new, i, f, g, o = (
            part[0]
            for part in checks._peephole(params, p, x[b : b + 1], h[b : b + 1], c[b : b + 1])
        )
        tanh = np.tanh(new)
        dnew_da = np.hstack(
            [np.diag(g * i * (1 - i)), np.diag(c[b] * f * (1 - f)), np.diag(i * (1 - g * g))]
        )
        dh_dnew = o * (1 - tanh**2) + tanh * o * (1 - o) * p[2]
        back = dc[b] + dh[b] * dh_dnew
        da = np.concatenate([back @ dnew_da, dh[b] * tanh * o * (1 - o)])
        das.append(da)
        a_i, a_f, _, a_o = da.reshape(4, H)
        out_c.append(back * f + a_i * p[0] + a_f * p[1])
        out_x.append(da @ params.W_ih)
        out_h.append(da @ params.W_hh)
        dps.append([a_i * c[b], a_f * c[b], a_o * new])
    da, db = np.array(das), np.sum(das, axis=0)
    return out_x, out_h, out_c, (da.T @ x, da.T @ h, db, db), np.sum(dps, axis=0)


def peephole_in_place_on_a_copy(*args: Any) -> Any:
    dx, dh, dc, g, dp = peephole_back()(*args)
    given = args[-1].copy()
    given[:] = dc
    return [dx.tolist(), dh, given, [a.tolist() for a in g], tuple(dp)]


def backward_by_complex_step(*args: Any) -> Any:
    """The derivative by a step along the imaginary axis: exact, and no formula of it is needed."""
    *inputs, dh, dc = args
    flat = [*inputs[0], *inputs[1:]]
    sizes = np.cumsum([a.size for a in flat])[:-1]

    def loss(vector: Any) -> Any:
        W_ih, W_hh, b_ih, b_hh, p, x, h, c = (
            part.reshape(a.shape) for part, a in zip(np.split(vector, sizes), flat)
        )
        a_i, a_f, a_g, a_o = np.split(x @ W_ih.T + b_ih + h @ W_hh.T + b_hh, 4, axis=1)

        def s(a: Any) -> Any:
            return 0.5 + 0.5 * np.tanh(0.5 * a)

        new = s(a_f + p[1] * c) * c + s(a_i + p[0] * c) * np.tanh(a_g)
        return (s(a_o + p[2] * new) * np.tanh(new) * dh + new * dc).sum()

    start = np.concatenate([a.ravel() for a in flat]).astype(complex)
    slopes = np.empty(start.size)
    for k in range(start.size):
        start[k] += 1e-30j
        slopes[k] = loss(start).imag / 1e-30
        start[k] = start[k].real
    *grads, dp, dx, dh_prev, dc_prev = (
        part.reshape(a.shape) for part, a in zip(np.split(slopes, sizes), flat)
    )
    return dx, dh_prev, dc_prev, grads, dp


RIGHT[checks.check_peephole_backward] = [
    ("a matrix for each sequence", jacobians),
    ("lists", peephole_in_place_on_a_copy),
    ("complex steps", backward_by_complex_step),
]

# --- 7. Odd or even. ---

ODD = math.tanh(1.0)


def parity(
    k: float = 40.0,
    *,
    i: Any = None,
    f: Any = None,
    g: Any = None,
    o: Any = None,
    order: str = "ifgo",
    readout: Any = None,
    change: Any = lambda p, r: (p, r),
) -> Any:
    """One unit by its rows: weight of the digit, weight of h, bias."""

    def parity_network() -> Any:
        table = {
            "i": i or (2 * k, -2 * k / ODD, -k),
            "f": f or (-2 * k, 0, k),
            "g": g or (0, 0, k),
            "o": o or (0, 0, k),
        }
        rows = np.array([table[name] for name in order], dtype=float)
        params = Recurrent(rows[:, :1], rows[:, 1:2], rows[:, 2], np.zeros(4))
        W, b = readout or (1.0, -ODD / 2)
        return change(params, Linear(np.array([[float(W)]]), np.array([float(b)])))

    return parity_network


def random_network() -> Any:
    rng = np.random.default_rng(0)
    return init_lstm(1, 8, rng=rng), init_linear(8, 1, rng=rng)


def wide() -> Any:
    return (
        Recurrent(np.ones((400, 1)), np.zeros((400, 100)), np.zeros(400), np.zeros(400)),
        Linear(np.ones((1, 100)), np.zeros(1)),
    )


COUNTER = {"i": (80, 0, -40), "f": (0, 0, 40)}
ANY = [
    ("counts", parity(**COUNTER), "W_hh is zero, so no gate knows"),
    ("last digit", parity(i=(80, 0, -40), f=(0, 0, -40)), "W_hh is zero"),
    ("drawn at random", random_network, "the output is"),
    ("zeros", parity(1e-9, readout=(1, 0)), "the output is"),
    ("readout upside down", parity(readout=(-1, ODD / 2)), "Look at the first step"),
    ("no bias in the readout", parity(readout=(1, 0)), "Look at the first step"),
    ("always odd", parity(readout=(1, 1)), "Look at the first step"),
    ("order i|f|o|g", parity(order="ifog", o=(0, 0, -40)), "the output is"),
    ("forget gate always open", parity(f=(0, 0, 40)), "A 1 must turn the cell over"),
    ("a 0 wipes", parity(f=(0, 0, -40)), "A 0 must change nothing"),
    ("a 0 writes", parity(i=(0, -80 / ODD, 40)), "Look at the first step"),
    ("output gate shut", parity(o=(0, 0, -40)), "the output is"),
    ("h has the wrong sign", parity(i=(80, 80 / ODD, -40)), "A 1 must turn the cell over"),
    ("biases zero", parity(change=lambda p, r: (p._replace(b_ih=0 * p.b_ih), r)), "the output is"),
    ("too many units", wide, "at most 64 are allowed"),
    ("exchanged", parity(change=lambda p, r: (r, p)), "the other way round"),
    ("network alone", parity(change=lambda p, r: p), "must return params, readout"),
    ("readout is a vector", parity(change=lambda p, r: (p, r._replace(W=r.W[0]))),
     "the readout's W must have shape"),
    ("readout without bias", parity(change=lambda p, r: (p, r[:1])), "readout, must be Linear"),
    ("W_ih flat", parity(change=lambda p, r: (p._replace(W_ih=p.W_ih[:, 0]), r)), "W_ih must have"),
    ("W_hh a number", parity(change=lambda p, r: (p._replace(W_hh=1.0), r)), "W_hh must be an arr"),
    ("nan", parity(change=lambda p, r: (p._replace(b_hh=p.b_hh * np.nan), r)), "b_hh holds nan"),
    ("stops", stops, "stopped with IndexError"),
    ("not written", dots, "returned Ellipsis"),
]  # fmt: skip
WRONG[checks.check_parity] = [
    *ANY,
    ("weights far too small", parity(1.0), "the output is"),
]
WRONG[checks.check_parity_long] = [
    *ANY,
    ("forget gate leaks", parity(f=(-80, 0, 5)), "the cell drifts|A 0 must change nothing"),
]


def two_units() -> Any:
    """One holds the parity, one its opposite; the second is written when the first is emptied."""
    (W_ih, W_hh, b_ih, _), _ = parity()()
    W_ih, W_hh = np.repeat(W_ih, 2, axis=0), np.kron(W_hh, np.eye(2))
    return Recurrent(W_ih, W_hh, np.repeat(b_ih, 2), np.zeros(8)), Linear(
        np.array([[0.5, 0.5]]), np.array([-ODD / 2])
    )


def signed_cell() -> Any:
    """Minus one after an odd number, plus one or nothing after an even number."""
    k = 60.0
    rows = [(2 * k, 2 * k / ODD, -k), (-2 * k, 0, k), (0, 0, -k), (0, 0, k)]
    W_ih, W_hh, b = (np.array([row[j] for row in rows]) for j in range(3))
    return (W_ih[:, None], W_hh[:, None], b / 2, b / 2), ([[-3.0]], [-3 * ODD / 2])


def turns_the_candidate() -> Any:
    """The cell is +1 or -1: a 1 replaces it by a candidate of the other sign; 0 is even at first.

    With a second unit that is always 1 after the first digit this would start at a state of
    its own; here the candidate reads h, and a state of zero counts as even.
    """
    k = 40.0
    rows = [(2 * k, 0, -k), (-2 * k, 0, k), (0, -4 * k / ODD, 2 * k), (0, 0, k)]
    W_ih, W_hh, b = (np.array([row[j] for row in rows]) for j in range(3))
    params = Recurrent(W_ih[:, None], W_hh[:, None], b, np.zeros(4))
    return params, Linear(np.ones((1, 1)), np.array([-ODD / 2]))


RIGHT[checks.check_parity] = [
    ("steeper", parity(1000.0)),
    ("two units", two_units),
    ("minus one for odd, in lists", signed_cell),
    ("gates only as steep as needed", parity(25.0)),
    ("plus and minus one", turns_the_candidate),
    ("candidate that follows the digit", parity(g=(40, 0, 0))),
]
RIGHT[checks.check_parity_long] = RIGHT[checks.check_parity]

# --- The tests. ---

SEVERAL = {checks.check_counts, checks.check_survival}


@pytest.mark.parametrize("sizes", checks.STEPS)
def test_what_peepholes_are_compared_with_is_right(sizes: tuple[int, ...]):
    rng = np.random.default_rng(0)
    case = checks._peephole_case(rng, *sizes)
    dh, dc = rng.normal(size=(2, *case["c_prev"].shape))
    dx, dh_prev, dc_prev, *grads, dp = checks._peephole_back(**case, dh=dh, dc=dc)
    right = differences(*case.values(), dh, dc)
    assert relative_error((dx, dh_prev, dc_prev, Recurrent(*grads), dp), right) < 1e-7
    case["p"] = 0 * case["p"]
    h, c, *_ = checks._peephole(**case)
    del case["p"]
    for ours, theirs in zip((h, c), lstm_cell(*case.values())):
        assert np.allclose(ours, theirs, rtol=0, atol=1e-14)


@pytest.mark.parametrize("T, zeros, right", [(1, True, {"dc0", "W_hh"}), (1, False, {"dc0"}),
                                             (3, False, set())])  # fmt: skip
def test_the_prediction_is_what_the_given_function_does(T: int, zeros: bool, right: set[str]):
    rng = np.random.default_rng(0)
    states = rng.normal(size=(2, 3, 5)) * (not zeros)
    _, _, cache = lstm_forward(init_lstm(2, 5, rng=rng), rng.normal(size=(T, 3, 2)), *states)
    dout = rng.normal(size=(T, 3, 5))
    dx, dh0, dc0, grads = given(cache, dout)
    pairs = zip((dx, dh0, dc0, *grads), (*package_back(cache, dout)[:3],
                                         *package_back(cache, dout)[3]))  # fmt: skip
    same = [np.allclose(one, two) for one, two in pairs]
    assert {name for name, ok in zip(checks.RESULTS, same) if ok} == right


def test_the_numbers_in_the_explanations_are_those_of_the_solutions(solutions):
    text = "".join(c.source for c in nbformat.read(
        ROOT / "book/solutions/05_lstm.ipynb", as_version=4).cells)  # fmt: skip
    assert 4 * (20 * 10 + 20 * 20 + 2 * 20) == 2560
    assert (round(s(5) ** 100, 2), round(s(1) ** 2, 2), round(s(1) ** 3, 2)) == (0.51, 0.53, 0.39)
    bias_for = solutions["bias_for"]
    assert (round(bias_for(100, 0.5), 1), round(bias_for(1000, 0.5), 1)) == (5.0, 7.3)
    assert 4e-5 < s(-10) < 5e-5
    for said in ("= 2560$", "0.51$", "0.53", "0.39", "of 5.0", "for 7.3", r"5 \cdot 10^{-5}$"):
        assert said in text
