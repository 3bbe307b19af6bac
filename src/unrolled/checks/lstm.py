"""Checks of the exercises of chapter 5, Long short-term memory."""

from collections.abc import Mapping, Sequence
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
    kind_of,
    names_of,
    number,
    numbers,
    results,
    rng_of,
)
from unrolled.functional import sigmoid
from unrolled.lstm import LSTMCache, lstm_backward, lstm_forward
from unrolled.params import Linear, Recurrent, init_lstm

# --- What is to be counted. ---

INPUTS, UNITS, BATCH = 10, 20, 8  # D, H and B of the first question


def check_counts(parameters: Any, sigmoids: Any, tanhs: Any) -> None:
    """Refuse wrong counts of an LSTM's parameters, sigmoids and tanhs."""
    D, H, BH = INPUTS, UNITS, BATCH * UNITS
    weights, biases = H * D + H * H, 2 * H
    fits: dict[str, tuple[int, str, dict[float, str]]] = {
        "parameters": (
            4 * (weights + biases),
            "count W_ih, W_hh, b_ih and b_hh, each with its 4H rows",
            {
                weights + biases: "this is a plain RNN's count; an LSTM has four blocks of rows",
                3 * (weights + biases): "the candidate has weights, too: three gates, four blocks",
                4 * (weights + H): "each block has two biases a unit, in b_ih and b_hh",
                4 * weights: "the biases are missing: b_ih and b_hh",
                4 * (H * D + biases): "the recurrent weights W_hh are missing",
                4 * (H * H + biases): "the weights W_ih of the input are missing",
                5 * (weights + biases): "the tanh of the cell state has no weights",
                4 * (H * D * BATCH + H * H + biases): "the batch shares its weights",
                4 * BATCH * (weights + biases): "the batch shares its weights",
            },
        ),
        "sigmoids": (
            3 * BH,
            "which blocks are gates, and how many numbers has a block for the whole batch?",
            {
                4 * BH: "the candidate is no gate: it goes through tanh",
                3 * UNITS: "this is for one sequence; the batch has 8",
                4 * UNITS: "this is for one sequence, and the candidate is no gate",
                2 * BH: "three things are gated: what is kept, what is written, what is shown",
                BH: "each of the three gates has H numbers of its own for each sequence",
                3: "each gate is an array of shape (B, H), not one number",
            },
        ),
        "tanhs": (
            2 * BH,
            "in which two places of the equations does tanh stand?",
            {
                BH: "tanh stands in two places: read the line of h_t as well",
                2 * UNITS: "this is for one sequence; the batch has 8",
                UNITS: "this is for one sequence, and tanh stands in two places",
                3 * BH: "these are the sigmoids",
                2: "tanh acts on arrays of shape (B, H), not on one number",
            },
        ),
    }
    answers = {"parameters": parameters, "sigmoids": sigmoids, "tanhs": tanhs}
    for what, (right, look, reasons) in fits.items():
        guess = number(what, answers[what])
        if guess != right:
            fail(f"{what} = {guess:g} is not right: {reasons.get(guess, look)}")


# --- One step. ---

# (B, D, H): a case in which wrong transposes fit, so that they can be named; then all different,
# one sequence; one size again, for what an answer keeps from call to call.
STEPS = [(4, 4, 4), (3, 2, 5), (1, 4, 3), (2, 3, 1), (3, 2, 5)]


class _Step:
    """One step's inputs and its parts, from which right and wrong results are put together."""

    def __init__(self, params: Recurrent, x_t: Array, h_prev: Array, c_prev: Array) -> None:
        W_ih, W_hh, b_ih, b_hh = params
        self.a = x_t @ W_ih.T + b_ih + h_prev @ W_hh.T + b_hh
        self.h, self.c = h_prev, c_prev
        self.biases, self.b_ih, self.b_hh = b_ih + b_hh, b_ih, b_hh
        self.no_x, self.no_h = self.a - x_t @ W_ih.T, self.a - h_prev @ W_hh.T

    def blocks(self, a: Array | None = None, order: str = "ifgo") -> list[Array]:
        """Split ``a`` in an order, and return the sums of i, f, g, o."""
        parts = dict(zip(order, np.split(self.a if a is None else a, 4, axis=1), strict=True))
        return [parts[name] for name in "ifgo"]

    def run(self, a: Array | None = None, order: str = "ifgo") -> tuple[Array, Array]:
        a_i, a_f, a_g, a_o = self.blocks(a, order)
        c = sigmoid(a_f) * self.c + sigmoid(a_i) * np.tanh(a_g)
        return sigmoid(a_o) * np.tanh(c), c

    def suspects(self) -> dict[str, tuple[Array, Array]]:
        """Return what comes out by the mistakes that are known."""
        a_i, a_f, a_g, a_o = self.blocks()
        i, f, g, o = sigmoid(a_i), sigmoid(a_f), np.tanh(a_g), sigmoid(a_o)
        h, c, right = self.h, self.c, f * self.c + i * g

        def shown(c_t: Array) -> tuple[Array, Array]:
            return o * np.tanh(c_t), c_t

        found = {
            "what comes out without tanh on the cell state: h_t = o * tanh(c_t)": (
                o * right,
                right,
            ),
            "what comes out if the forget gate acts on h_prev; it keeps a part of c_prev": shown(
                f * h + i * g
            ),
            "what comes out without the forget gate": shown(c + i * g),
            "what comes out without the input gate": shown(f * c + g),
            "what comes out without the output gate": (np.tanh(right), right),
            "what comes out if h_t shows the old cell state": (o * np.tanh(c), right),
            "what comes out if c_prev is ignored": shown(i * g),
            "what comes out if nothing is written: i * g is missing": shown(f * c),
            "what comes out if i and f change places": shown(i * c + f * g),
            "what comes out if 1 - f is written, and i is not used": shown(f * c + (1 - f) * g),
            "what comes out if 1 - f is kept; f itself is what is kept": shown((1 - f) * c + i * g),
            "what comes out with a sigmoid for the candidate; it is a tanh": shown(
                f * c + i * sigmoid(a_g)
            ),
            "what comes out if the candidate goes without tanh": shown(f * c + i * a_g),
            "what comes out if the gates go through tanh; they need sigmoid": (
                np.tanh(a_o) * np.tanh(np.tanh(a_f) * c + np.tanh(a_i) * g),
                np.tanh(a_f) * c + np.tanh(a_i) * g,
            ),
            "what comes out if tanh is stored in c_t; c_t itself has no tanh": (
                o * np.tanh(right),
                np.tanh(right),
            ),
            "the input of the gates without h_prev": self.run(self.no_h),
            "the input of the gates without x_t": self.run(self.no_x),
            "what comes out without b_hh": self.run(self.a - self.b_hh),
            "what comes out without b_ih": self.run(self.a - self.b_ih),
            "what comes out without the biases": self.run(self.a - self.biases),
        }
        interleaved = self.a.reshape(len(h), -1, 4).swapaxes(1, 2).reshape(self.a.shape)
        found["what comes out if every fourth number is one gate's; a gate is a block of H"] = (
            self.run(interleaved)
        )
        for order in ("ifog", "figo", "igfo", "fiog", "gifo", "ofgi", "oifg", "ogfi", "iofg"):
            shown_order = "|".join(order)
            why = f"what comes out in the order {shown_order}; the rows of torch are i|f|g|o"
            found[why] = self.run(order=order)
        return found


def check_lstm_step(lstm_step: Any, seed: int = 0) -> None:
    """Refuse what is not one step of an LSTM."""
    rng = rng_of(seed)
    for B, D, H in STEPS:
        params, x_t = init_lstm(D, H, rng=rng), rng.normal(size=(B, D))
        h_prev, c_prev = rng.normal(size=(2, B, H))
        params = params._replace(b_ih=rng.normal(size=4 * H), b_hh=rng.normal(size=4 * H))
        if B == 1:
            x_t *= 1e5  # there the gates are 0 or 1, and an exp overflows
        step = _Step(params, x_t, h_prev, c_prev)
        args = {"params": params, "x_t": x_t, "h_prev": h_prev, "c_prev": c_prev}
        h_t, c_t = results("lstm_step", call("lstm_step", lstm_step, **args), "h_t", "c_t")
        right_h, right_c = step.run()
        suspects = step.suspects()
        if B == D == H:
            W_ih, W_hh, b_ih, b_hh = params
            turned = [x_t @ W for W in np.split(W_ih, 4)]
            a = np.concatenate(turned, axis=1) + h_prev @ W_hh.T + b_ih + b_hh
            suspects["what comes out if each block of W_ih is used without .T"] = step.run(a)
            turned = [h_prev @ W for W in np.split(W_hh, 4)]
            a = x_t @ W_ih.T + np.concatenate(turned, axis=1) + b_ih + b_hh
            suspects["what comes out if each block of W_hh is used without .T"] = step.run(a)
        look = "One number for each sequence and unit."
        c_t, h_t = numbers("c_t", c_t, look, B=B, H=H), numbers("h_t", h_t, look, B=B, H=H)
        # With all gates shut both are 0, and nothing is out of order.
        if alike(c_t, right_h) and alike(h_t, right_c) and not alike(h_t, right_h):
            explained("lstm_step returned c_t, h_t; the order is h_t, c_t")
        for k, what, value, right in ((1, "c_t", c_t, right_c), (0, "h_t", h_t, right_h)):
            close(
                what,
                value,
                right,
                suspects={why: both[k] for why, both in suspects.items()},
                look="Compare a, then i, f, g and o, then c_t with lstm_cell, line by line.",
            )


# --- Gates set by hand. ---

HELD = 1e-6  # how far from the right number a cell may be, over
LONG = 1000  # steps


def _one_unit(name: str, function: Any) -> Recurrent:
    """Return the parameters of one unit that reads two inputs, checked."""
    params = call(name, function)
    if not isinstance(params, tuple | list) or len(params) != 4:
        explained(
            f"{name} must return Recurrent(W_ih, W_hh, b_ih, b_hh), four arrays; it returned "
            f"{kind_of(params)}"
        )
    rows = "One row for each of i, f, g, o; the columns are the number and the mark."
    return Recurrent(
        numbers("W_ih", params[0], rows, rows=4, columns=2),
        numbers("W_hh", params[1], "One row for each of i, f, g, o.", rows=4, columns=1),
        numbers("b_ih", params[2], "One number for each of i, f, g, o.", rows=4),
        numbers("b_hh", params[3], "One number for each of i, f, g, o.", rows=4),
    )


def _marked(seed: int) -> tuple[Array, Array, Array]:
    """Draw numbers with marks: often, seldom, always, only at the start, only at the end."""
    rng = rng_of(seed)
    x = rng.uniform(-1, 1, size=(LONG, 6, 2))
    for b, often in enumerate((0.5, 0.02, 1.0, 0.0, 0.0, 0.9)):
        x[:, b, 1] = rng.random(LONG) < often
    x[:3, 3, 1] = x[-2:, 4, 1] = 1.0
    h0, c0 = rng.uniform(-0.9, 0.9, size=(2, 6, 1))
    return x, h0, c0


def _compare_cell(
    name: str, params: Recurrent, x: Array, h0: Array, c0: Array, wanted: tuple[Array, Array, str]
) -> None:
    """Compare a unit's cell state at every step with that of the gates wanted."""
    kept, written, rule = wanted
    right = np.empty((LONG + 1, *c0.shape))
    right[0] = c0
    for t in range(1, LONG + 1):
        right[t] = kept[t - 1] * right[t - 1] + written[t - 1]
    with np.errstate(all="ignore"):
        _, _, cache = lstm_forward(params, x, h0, c0)
    wrong = ~(np.abs(cache.c[1:] - right[1:]) <= HELD)
    if not wrong.any():
        return
    t, b = np.argwhere(wrong[..., 0])[0]
    marked = "with" if x[t, b, 1] else "without"
    parts, worst = [], 0.0
    shown = {"f": (cache.f, kept), "i g": (cache.i * cache.g, written)}
    for what, (found, wanted_gate) in shown.items():
        is_, should = found[t, b, 0], wanted_gate[t, b, 0] + 0.0  # no minus zero
        if not abs(is_ - should) <= 1e-12:
            parts.append(f"{what} should be {should:.4g} and is {is_:.4g}")
            worst = max(worst, abs(is_ - should))
    leak = ". A gate that is nearly shut, or open, leaks: larger weights shut it"
    fail(
        f"{name}: after step {t + 1} the cell holds {cache.c[t + 1, b, 0]:.6g}, not "
        f"{right[t + 1, b, 0]:.6g}. At a step {marked} a mark {', '.join(parts) or rule}"
        f"{leak if parts and worst < 0.02 else ''}"
    )


def check_counting_cell(counting_cell: Any, seed: int = 0) -> None:
    """Refuse a unit that does not count the marks for a thousand steps."""
    params = _one_unit("counting_cell", counting_cell)
    x, h0, c0 = _marked(seed)
    written = x[..., 1:]
    wanted = (np.ones_like(written), written, "nothing is lost")
    _compare_cell("counting_cell", params, x, h0, c0, wanted)


def check_holding_cell(holding_cell: Any, seed: int = 0) -> None:
    """Refuse a unit that does not hold the tanh of the last marked number."""
    params = _one_unit("holding_cell", holding_cell)
    x, h0, c0 = _marked(seed)
    mark = x[..., 1:]
    wanted = (1 - mark, mark * np.tanh(x[..., :1]), "the old is replaced")
    _compare_cell("holding_cell", params, x, h0, c0, wanted)


# --- The bias of the forget gate. ---

DELAY, HIGH = 100, 5.0  # how many steps, with which bias


def _gate(bias: float) -> float:
    """Tell where a gate without weights stands."""
    return float(sigmoid(np.array(bias)))


def check_survival(left: Any, steps_to_half: Any) -> None:
    """Refuse wrong predictions of what is left of a gradient on the conveyor."""
    guess = number("left", left)
    f = _gate(HIGH)
    right = f**DELAY
    if not abs(guess - right) <= 0.02 * right:
        reasons = {
            "this is the gate itself; 100 steps multiply 100 of them": f,
            "this is what is lost": 1 - right,
            "the bias is 5, and the gate is sigmoid(5)": 5.0**DELAY,
            "a factor at every step, not a difference: f**100": 1 - DELAY * (1 - f),
            "a share, not a percentage": 100 * right,
            "this is sigmoid(1)**100; here the bias is 5": _gate(1.0) ** DELAY,
        }
        for why, wrong in reasons.items():
            if abs(guess - wrong) <= 2e-3 * abs(wrong):
                fail(f"left = {guess:.6g} is not right: {why}")
        fail(f"left = {guess:.6g} is not right: what is f = sigmoid(5), and f to the power of 100?")
    guess = number("steps_to_half", steps_to_half)
    if guess != 3:
        if guess != round(guess):
            fail(f"steps_to_half = {guess:g} is not right: it is a whole number of steps")
        known: dict[float, str] = {
            2: "after two steps f**2 = 0.53 is left, still more than half",
            69: "that is the number for another bias: here it is 1, and f = sigmoid(1) = 0.73",
            103: "that is the number for a bias of 5; here it is 1",
            104: "that is the number for a bias of 5; here it is 1",
        }
        why = known.get(
            guess, "which is the first k with f**k below 0.5, for f = sigmoid(1) = 0.73?"
        )
        fail(f"steps_to_half = {guess:g} is not right: {why}")


def check_bias_for(bias_for: Any) -> None:
    """Refuse what is not the bias whose gate keeps a share over k steps."""
    for k, share in [(10, 0.3), (1, 0.9), (100, 0.01), (100, 0.9), (5000, 0.5)]:
        value = call("bias_for", bias_for, k=k, share=share)
        bias = number(f"bias_for({k}, {share})", value)
        f = share ** (1 / k)
        right = float(np.log(f) - np.log(-np.expm1(np.log(share) / k)))
        reasons = {
            "this is the gate f; the bias is what sigmoid makes f of": f,
            "sigmoid undone the wrong way round: the sign": -right,
            "this is sigmoid(f); what undoes sigmoid is wanted": _gate(f),
            "log f alone; sigmoid is undone by log(f / (1 - f))": float(np.log(f)),
            "f / (1 - f), whose log is still to be taken": f / (1 - f),
            "-log(1 - f); sigmoid is undone by log(f / (1 - f))": float(-np.log(1 - f)),
            "the log to base 10; sigmoid is made of e": right / float(np.log(10)),
            "the log to base 2; sigmoid is made of e": right / float(np.log(2)),
            "arctanh(f); a gate is a sigmoid": float(np.arctanh(f)),
            "the chrono bias for k steps, whatever the share": float(np.log(max(k - 1, 1e-300))),
            "the bias for one step: the k steps multiply, so f is share**(1/k)": float(
                np.log(share / (1 - share))
            ),
        }
        with np.errstate(all="ignore"):
            linear = 1 - (1 - share) / k
            reasons["a loss of (1 - share) / k a step; steps multiply, f is share**(1/k)"] = float(
                np.log(linear / (1 - linear))
            )
            lost = (1 - share) ** (1 / k)
            reasons["the bias at which share is lost, not kept"] = float(np.log(lost / (1 - lost)))
        if abs(bias - right) <= 1e-6 * max(abs(right), 1.0):
            continue
        for why, wrong in reasons.items():
            if abs(wrong - right) > 1e-4 and abs(bias - wrong) <= 1e-6 * max(abs(wrong), 1.0):
                explained(f"bias_for({k}, {share}) is wrong: this is {why}")
        with np.errstate(all="ignore"):
            kept = _gate(bias) ** k
        if abs(kept - share) <= 1e-2 * share:
            explained(
                f"bias_for({k}, {share}) keeps {kept:.6g}, which is right to a few digits only: "
                "solve for the bias exactly"
            )
        fail(
            f"bias_for({k}, {share}) = {bias:.6g}: with it sigmoid(b)**{k} is {kept:.4g}, not "
            f"{share}. Which f has f**k = share, and which b has sigmoid(b) = f?"
        )


CHRONO_UNITS = 400


def check_my_chrono(my_chrono: Any, seed: int = 0) -> None:
    """Refuse gate biases that are not spread as the chrono initialisation asks."""
    H = CHRONO_UNITS
    for T_max in (3, 12, 400):
        rng = rng_of(seed + T_max)
        b_ih, b_hh = rng.uniform(-0.5, 0.5, size=(2, 4 * H))
        params = Recurrent(rng.normal(size=(4 * H, 2)), np.zeros((4 * H, H)), b_ih, b_hh)
        result = call("my_chrono", my_chrono, params=params, T_max=T_max, rng=rng)
        parts = results("my_chrono", result, "Recurrent(W_ih, W_hh", "b_ih", "b_hh)", "4 arrays")
        names, look = Recurrent._fields, "my_chrono returns Recurrent, with the shapes of params."
        got = Recurrent(
            *(
                numbers(name, part, look, **dict(zip(("rows", "columns"), old.shape, strict=False)))
                for name, part, old in zip(names, parts, params, strict=True)
            )
        )
        if not alike(got.W_ih, params.W_ih) or not alike(got.W_hh, params.W_hh):
            explained("my_chrono changed the weights; it sets biases of two gates only")
        total = (got.b_ih + got.b_hh).reshape(4, H)
        before = (b_ih + b_hh).reshape(4, H)
        kept = [alike(new, old) for new, old in zip(total, before, strict=True)]
        if kept[1] and not all(kept):
            explained("the forget gate's bias is untouched: its rows are H to 2H, of i|f|g|o")
        if kept[1]:
            explained("the forget gate's bias is untouched: return what you have changed")
        if not (kept[2] and kept[3]):
            explained("the biases of g and o are to stay as they are; only those of i and f change")
        _check_spread(total[1], total[0], before, b_hh.reshape(4, H), T_max)


def _check_spread(b_f: Array, b_i: Array, before: Array, b_hh: Array, T_max: int) -> None:
    """Compare the sums of both biases, b_ih + b_hh, with what chrono asks."""
    if not alike(b_i, -b_f):
        for why, wrong in {
            "the input gate's bias is untouched; it is -b_f": before[0],
            "the input gate has the bias b_f; it is -b_f": b_f,
            "b_hh still holds its old numbers: b_ih + b_hh is what the gates see": (
                -(b_f - b_hh[1]) + b_hh[0]
            ),
            "b_hh still holds its old numbers for the input gate": -b_f + b_hh[0],
        }.items():
            if alike(b_i, wrong):
                explained(why)
        fail("b_ih + b_hh of the input gate should be minus that of the forget gate, unit by unit")
    if np.ptp(b_f) < 1e-9:
        explained("all units have one bias: draw a u for each unit")
    with np.errstate(all="ignore"):
        u = np.sort(np.exp(b_f))
    top, even = T_max - 1.0, (np.arange(len(u)) + 0.5) / len(u)

    def distance(share: Array) -> float:
        """Tell the largest distance between the drawn shares and even ones."""
        return float(np.abs(np.clip(share, 0, 1) - even).max())

    limit = 2.3 / np.sqrt(len(u))  # passed by all but one of 20,000 draws
    inside = u[0] >= 1 - 1e-9 and u[-1] <= top * (1 + 1e-9)
    if inside and distance((u - 1) / (top - 1)) <= limit:
        return
    span = f"from {u[0]:.3g} to {u[-1]:.3g}"
    for why, share in {
        "the bias itself is drawn evenly; u is, and the bias is log u": np.sort(b_f) / np.log(top),
        "u is the bias: its log is missing": (np.sort(b_f) - 1) / (top - 1),
        "the sign: the forget gate has +log u, the input gate -log u": (np.sort(np.exp(-b_f)) - 1)
        / (top - 1),
        "u is drawn up to T_max; up to T_max - 1, so that 1 + u is at most T_max": (u - 1) / top,
        "u is drawn from 0; it begins at 1, where the gate is half open": u / top,
        "log(u - 1); the bias is log u itself": u / (top - 1),
        "log(1 + u); the bias is log u itself": (u - 2) / (top - 1),
    }.items():
        if distance(share) <= limit:
            explained(f"with T_max={T_max}, exp(b_f) goes {span}: {why}")
    fail(
        f"with T_max={T_max}, u = exp(b_f) goes {span}, and it should be spread evenly from 1 to "
        f"{top:g}. Is it drawn by rng.uniform, one for each unit?"
    )


# --- Two bugs in a backward pass. ---

RESULTS = ("dx", "dh0", "dc0", "W_ih", "W_hh", "b_ih", "b_hh")


def check_right_at_one(right_at_one: Any) -> None:
    """Refuse a wrong prediction of what a weak test lets pass."""
    chosen = names_of("right_at_one", right_at_one, RESULTS)
    right = {"dc0", "W_hh"}
    if chosen == right:
        return
    for name, why in {
        "dx": "dx is da times W_ih, and the rows of f in da are wrong",
        "dh0": "dh0 is da times W_hh, and the rows of f in da are wrong, even if h0 is zero",
        "W_ih": "the rows of f of this gradient are da_f times x_1, which is not zero",
        "b_ih": "the rows of f of this gradient are da_f itself",
        "b_hh": "the rows of f of this gradient are da_f itself",
    }.items():
        if name in chosen:
            fail(f"right_at_one holds {name}, which comes out wrong: {why}")
    if "dc0" in chosen:
        fail(
            "right_at_one is not complete: the initial states are zero. Which gradient is a "
            "product with h0?"
        )
    fail(
        "right_at_one is not complete: follow dc through the single step. Which result never sees "
        "the wrong line?"
    )


# (T, B, D, H)
SIZES = [(4, 4, 4, 4), (1, 3, 2, 5), (6, 3, 2, 5), (5, 1, 3, 2), (2, 2, 4, 3)]


def _way_back(cache: LSTMCache, dout: Array, *wrong: str) -> tuple[Array, ...]:
    """Run the backward pass of an LSTM, right or with mistakes by their names in ``BUGS``."""
    W_ih, W_hh, _, _ = cache.params
    (T, B, _), H = cache.x.shape, cache.h.shape[2]
    dh, dc, i_next, f_next = np.zeros((4, B, H))
    das = []
    for t in range(T, 0, -1):
        i, f, g, o = cache.gates[:, t - 1]
        c_prev, c = cache.c[t - 1 : t + 1]
        tanh_c = np.tanh(c)
        if "dh not carried" in wrong:
            dh = np.zeros_like(dh)
        if t == T or "dout at the end" not in wrong:
            dh = dh + dout[t - 1]
        slope = 1 - c**2 if "1 - c^2" in wrong else 1 - tanh_c**2
        through = (dout[t - 1] if "dout alone" in wrong else dh) * o * slope
        for name, factor in {"no slope": slope, "no o": o}.items():
            through = through / factor if name in wrong else through
        factors = {"f_t": f, "no f": 1.0, "i": i_next, "no conveyor": 0.0}
        (factor,) = [value for name, value in factors.items() if name in wrong] or [f_next]
        dc = dc * factor + (0.0 if "no h" in wrong else through)
        da_i, da_f = dc * g * i * (1 - i), dc * (c if "c_t" in wrong else c_prev) * f * (1 - f)
        da_g, da_o = dc * i * (1 - g**2), dh * tanh_c * o * (1 - o)
        das.append(np.concatenate([da_i, da_f, da_g, da_o], axis=1))
        i_next, f_next, dh = i, f, das[-1] @ W_hh
    if "dc0 without f" not in wrong:
        dc = dc * f_next
    da, h_prev = np.stack(das[::-1]), cache.h[1:] if "h_t" in wrong else cache.h[:-1]
    steps = slice(0, 1) if "last share" in wrong else slice(None)
    dW_ih = np.einsum("tbk,tbd->kd", da[steps], cache.x[steps])
    dW_hh = np.einsum("tbk,tbh->kh", da[steps], h_prev[steps])
    db = da[steps].sum(axis=(0, 1))
    return da @ W_ih, dh, dc, dW_ih, dW_hh, db, db


BUGS = {
    "c_t": "what comes out with c_t in da_f; the forget gate multiplies c_{t-1}",
    "f_t": "what comes out if the conveyor's part is multiplied by f_t at step t: c_{t+1} is "
    "f_{t+1} c_t, so dc comes with f_{t+1}",
    "no f": "what comes out if dc is carried back without f",
    "no conveyor": "what comes out if dc is not carried back at all",
    "i": "what comes out if dc is carried back times i; the conveyor's factor is f",
    "no h": "what comes out if dc has no part through h_t",
    "no slope": "what comes out without the slope of tanh in dc, 1 - tanh(c)**2",
    "1 - c^2": "what comes out with the slope 1 - c**2; it is 1 - tanh(c)**2",
    "no o": "what comes out without o in dc's way through h_t",
    "dout alone": "what comes out if dc uses dout alone; it needs all of dh",
    "dh not carried": "what comes out if dh is not carried back",
    "dout at the end": "what comes out if dout counts at the last step only",
    "h_t": "what comes out with h_t in the gradient of W_hh; it is h_{t-1}",
    "last share": "the share of step 1 alone; the parameters are used at every step",
    "dc0 without f": "dc of the first step; c0 reaches it through f_1",
}


def check_mended_backward(mended_backward: Any, seed: int = 0) -> None:
    """Refuse a backward pass of an LSTM that is not right."""
    rng = rng_of(seed)
    for T, B, D, H in SIZES:
        params = init_lstm(D, H, rng=rng)
        params = params._replace(b_ih=rng.normal(size=4 * H), b_hh=rng.normal(size=4 * H))
        h0, c0 = rng.normal(size=(2, B, H))
        _, _, cache = lstm_forward(params, rng.normal(size=(T, B, D)), h0, c0)
        dout = rng.normal(size=(T, B, H))
        name = "mended_backward"
        value = call(name, mended_backward, cache=cache, dout=dout)
        dx, dh0, dc0, grads = results(name, value, "dx", "dh0", "dc0", "grads")
        got = (dx, dh0, dc0, *grads_of(grads))
        dx, (dh0, dc0), grads = lstm_backward(cache, dout)
        right = (dx, dh0, dc0, *grads)
        both = "what both bugs together give: nothing is mended yet"
        wrong = {both: _way_back(cache, dout, "c_t", "f_t")}
        wrong |= {why: _way_back(cache, dout, bug) for bug, why in BUGS.items()}
        wrong["the mean over the batch; the gradients are sums"] = tuple(a / B for a in right)
        look = "Compare each line with the chapter's, above all those with dc."
        _compare_results(RESULTS, got, right, wrong, look)


def _compare_results(
    names: Sequence[str],
    got: Sequence[Any],
    right: Sequence[Array],
    wrong: Mapping[str, Sequence[Array]],
    look: str,
    order: Sequence[int] = range(7),
) -> None:
    """Compare results one by one, after the shapes of all; finite differences are refused."""
    title = [f"the gradient of {n}" if n[0] in "Wbp" else n for n in names]
    arrays = []
    for what, value, wanted in zip(title, got, right, strict=True):
        sizes = {f"axis {k}": size for k, size in enumerate(wanted.shape)}
        arrays.append(
            numbers(what, value, "It has the shape of what it is the gradient of.", **sizes)
        )
    for k in order:
        suspects = {why: both[k] for why, both in wrong.items()}
        close(title[k], arrays[k], right[k], suspects=suspects, look=look, rel=1e-12)


# --- Peepholes. ---


def _peephole(
    params: Recurrent, p: Array, x_t: Array, h_prev: Array, c_prev: Array, wrong: str = ""
) -> tuple[Array, ...]:
    """Return h_t, c_t, i, f, g, o of a cell with peepholes, with a named mistake, or right."""
    W_ih, W_hh, b_ih, b_hh = params
    a = x_t @ W_ih.T + b_ih + h_prev @ W_hh.T + b_hh
    a_i, a_f, a_g, a_o = np.split(a, 4, axis=1)
    p_i, p_f, p_o = p if wrong != "order" else p[[1, 0, 2]]
    seen = h_prev if wrong == "see h" else np.tanh(c_prev) if wrong == "see tanh" else c_prev
    i = sigmoid(a_i + (0 if wrong in ("none", "no p_i") else p_i * seen))
    f = sigmoid(a_f + (0 if wrong in ("none", "no p_f") else p_f * seen))
    g = np.tanh(a_g)
    c = f * c_prev + i * g
    late = {"o sees old": c_prev, "see h": h_prev, "see tanh": np.tanh(c)}.get(wrong, c)
    o = sigmoid(a_o + (0 if wrong in ("none", "no p_o") else p_o * late))
    h = o * (c if wrong == "no tanh" else np.tanh(c))
    return h, c, i, f, g, o


PEEPHOLE_STEPS = {
    "o sees old": "what comes out if the output gate sees c_{t-1}; it comes last, and sees c_t",
    "no p_i": "what comes out without p_i",
    "no p_f": "what comes out without p_f",
    "no p_o": "what comes out without p_o",
    "see h": "what comes out if the peepholes see h_{t-1}; they see the cell state",
    "see tanh": "what comes out if the peepholes see tanh(c); they see c itself",
    "order": "what comes out if p_i and p_f change places",
    "no tanh": "what comes out without tanh on the cell state: h_t = o * tanh(c_t)",
}


def _peephole_case(rng: np.random.Generator, B: int, D: int, H: int) -> dict[str, Any]:
    params = init_lstm(D, H, rng=rng)
    params = params._replace(b_ih=rng.normal(size=4 * H), b_hh=rng.normal(size=4 * H))
    p, (h_prev, c_prev) = rng.normal(size=(3, H)), rng.normal(size=(2, B, H))
    x_t = rng.normal(size=(B, D))
    return {"params": params, "p": p, "x_t": x_t, "h_prev": h_prev, "c_prev": c_prev}


def check_peephole_step(peephole_step: Any, seed: int = 0) -> None:
    """Refuse what is not one step of an LSTM with peepholes."""
    rng, name = rng_of(seed), "peephole_step"
    for B, D, H in STEPS:
        case = _peephole_case(rng, B, D, H)
        h_t, c_t, gates = results(name, call(name, peephole_step, **case), "h_t", "c_t", "gates")
        gates = results(f"{name}, as its third result,", gates, "i", "f", "g", "o")
        right = _peephole(**case)
        wrong = {why: _peephole(**case, wrong=bug) for bug, why in PEEPHOLE_STEPS.items()}
        size = "One number for each sequence and unit."
        look = "With p = 0 it must be lstm_cell; then put in one peephole at a time."
        # In the order in which one comes from another.
        parts = {"i": 2, "f": 3, "g": 4, "c_t": 1, "o": 5, "h_t": 0}
        got = (h_t, c_t, *gates)
        arrays = {what: numbers(what, got[k], size, B=B, H=H) for what, k in parts.items()}
        plain = _peephole(**case, wrong="none")
        if all(alike(arrays[what], plain[k]) for what, k in parts.items()):
            explained("this is a step without peepholes: p is not used")
        for what, k in parts.items():
            suspects = {why: both[k] for why, both in wrong.items()}
            close(what, arrays[what], right[k], suspects=suspects, look=look)


PEEPHOLE_RESULTS = ("dx", "dh_prev", "dc_prev", "W_ih", "W_hh", "b_ih", "b_hh", "p")


def _peephole_back(
    params: Recurrent,
    p: Array,
    x_t: Array,
    h_prev: Array,
    c_prev: Array,
    dh: Array,
    dc: Array,
    wrong: str = "",
) -> tuple[Array, ...]:
    """Run one step back through a cell with peepholes, with a named mistake, or right."""
    p_i, p_f, p_o = p
    _, c, i, f, g, o = _peephole(params, p, x_t, h_prev, c_prev)
    if wrong == "plain forward":
        _, c, i, f, g, o = _peephole(params, p, x_t, h_prev, c_prev, "none")
    tanh_c = np.tanh(c)
    da_o = dh * tanh_c * o * (1 - o)
    if wrong == "no peepholes":
        p_i = p_f = p_o = np.zeros_like(p_o)
    through = dh * o * {"no slope": 1.0, "1 - c^2": 1 - c**2}.get(wrong, 1 - tanh_c**2)
    late: Any = 0.0 if wrong in ("no p_o", "late p_o") else da_o * p_o
    whole = (0.0 if wrong == "no dc" else dc) + (0.0 if wrong == "no h" else through) + late
    da_i, da_g = whole * g * i * (1 - i), whole * i * (1 - g**2)
    da_f = whole * (c if wrong == "c_t" else c_prev) * f * (1 - f)
    dc_prev: Array = whole * (1.0 if wrong == "no f" else f)
    if wrong != "no p_i":
        dc_prev = dc_prev + da_i * p_i
    if wrong != "no p_f":
        dc_prev = dc_prev + da_f * p_f
    if wrong == "no p_i, p_f":
        dc_prev = whole * f
    if wrong == "late p_o":
        dc_prev = dc_prev + da_o * p_o
    if wrong == "no conveyor":
        dc_prev = da_i * p_i + da_f * p_f
    da = np.concatenate([da_i, da_f, da_g, da_o], axis=1)
    db = da.sum(axis=0)
    shown = c_prev if wrong == "dp_o" else c
    kept = c if wrong == "dp_if" else c_prev
    dp = np.stack([(da_i * kept).sum(axis=0), (da_f * kept).sum(axis=0), (da_o * shown).sum(0)])
    return (
        da @ params.W_ih,
        da @ params.W_hh,
        dc_prev,
        da.T @ x_t,
        da.T @ h_prev,
        db,
        db,
        dp / len(x_t) if wrong == "mean dp" else dp,
    )


PEEPHOLE_BACKS = {
    "no peepholes": "the backward pass of an LSTM without peepholes",
    "plain forward": "what comes out with gates that were computed without peepholes",
    "no p_o": "what comes out if dc lacks its third part, through the output gate: da_o p_o",
    "late p_o": "what comes out if da_o p_o goes to c_{t-1}; the output gate sees c_t",
    "no h": "what comes out if dc has no part through tanh(c_t)",
    "no dc": "what comes out if the dc that is handed in is ignored",
    "no p_i, p_f": "dc times f alone; c_{t-1} is also seen by i and f, through p_i and p_f",
    "no p_i": "what comes out without the way of c_{t-1} through the input gate, da_i p_i",
    "no p_f": "what comes out without the way of c_{t-1} through the forget gate, da_f p_f",
    "no f": "what comes out if dc is carried back without f",
    "no conveyor": "the ways of c_{t-1} through the gates alone; the conveyor is missing",
    "c_t": "what comes out with c_t in da_f; the forget gate multiplies c_{t-1}",
    "no slope": "what comes out without the slope of tanh in dc, 1 - tanh(c)**2",
    "1 - c^2": "what comes out with the slope 1 - c**2; it is 1 - tanh(c)**2",
    "dp_o": "what comes out with c_{t-1} for p_o; the output gate sees c_t",
    "dp_if": "what comes out with c_t for p_i and p_f; these gates see c_{t-1}",
    "mean dp": "the mean over the batch; the gradient is a sum",
}


def check_peephole_backward(peephole_backward: Any, seed: int = 0) -> None:
    """Refuse what is not the way back through one step of an LSTM with peepholes."""
    rng, name = rng_of(seed), "peephole_backward"
    for B, D, H in STEPS:
        case = _peephole_case(rng, B, D, H)
        case["dh"], case["dc"] = rng.normal(size=(2, B, H))
        value = call(name, peephole_backward, **case)
        *firsts, grads, dp = results(name, value, "dx", "dh_prev", "dc_prev", "grads", "dp")
        got = (*firsts, *grads_of(grads), dp)
        right = _peephole_back(**case)
        wrong = {why: _peephole_back(**case, wrong=bug) for bug, why in PEEPHOLE_BACKS.items()}
        wrong["the mean over the batch; the gradients are sums"] = tuple(a / B for a in right)
        look = "List the readers of each quantity: c_t has three, and so has c_{t-1}."
        order = (2, 0, 1, 3, 4, 5, 6, 7)  # dc_prev first: it shows best what is missing
        _compare_results(PEEPHOLE_RESULTS, got, right, wrong, look, order)


# --- Odd or even. ---

MOST_UNITS = 64


def _parity(parity_network: Any) -> tuple[Recurrent, Linear]:
    """Return a learner's parameters of the LSTM and the readout, checked."""
    name = "parity_network"
    params, readout = results(name, call(name, parity_network), "params", "readout")
    if not isinstance(params, tuple | list) or len(params) != 4:
        turned = isinstance(readout, tuple | list) and len(readout) == 4
        also = "; you returned the two the other way round" if turned else ""
        explained(f"the first result must be Recurrent(W_ih, W_hh, b_ih, b_hh), four arrays{also}")
    try:
        H = len(params[1][0])
    except (TypeError, IndexError):
        fail(f"W_hh must be an array of shape (4H, H), got {kind_of(params[1])}")
    if H > MOST_UNITS:
        explained(f"the network has {H} units; at most {MOST_UNITS} are allowed")
    W_ih = numbers(
        "W_ih", params[0], "One input, and H rows for each of i, f, g, o.", rows=4 * H, D=1
    )
    W_hh = numbers("W_hh", params[1], "H rows for each of i, f, g, o.", rows=4 * H, H=H)
    b_ih, b_hh = numbers("b_ih", params[2], rows=4 * H), numbers("b_hh", params[3], rows=4 * H)
    if not isinstance(readout, tuple | list) or len(readout) != 2:
        explained("the second result, the readout, must be Linear(W, b), two arrays")
    W = numbers("the readout's W", readout[0], "One output.", rows=1, H=H)
    b = numbers("the readout's b", readout[1], "One output.", rows=1)
    return Recurrent(W_ih, W_hh, b_ih, b_hh), Linear(W, b)


def check_parity(parity_network: Any) -> None:
    """Refuse a network that cannot tell odd from even, for every sequence of eight digits."""
    digits = (np.arange(256) >> np.arange(8)[:, None]) & 1
    _check_parity(*_parity(parity_network), digits)


def check_parity_long(parity_network: Any, seed: int = 0) -> None:
    """Refuse a network that loses count within a thousand steps."""
    shares = np.array([0.5, 0.5, 0.9, 0.1, 0.01, 1.0, 0.0, 0.0])
    digits = (rng_of(seed).random((LONG, len(shares))) < shares).astype(int)
    digits[0, 6] = digits[:2, 7] = 1  # then nothing but zeros
    _check_parity(*_parity(parity_network), digits)


def _check_parity(params: Recurrent, readout: Linear, digits: Array) -> None:
    """Ask the network after every step."""
    with np.errstate(all="ignore"):
        out, _, cache = lstm_forward(params, digits[..., None].astype(float))
        output = (out @ readout.W.T + readout.b)[..., 0]
    ones = digits.cumsum(axis=0)
    odd = ones % 2 == 1
    wrong = ~np.where(odd, output > 0, output < 0)  # written so that a nan is wrong
    if not wrong.any():
        return
    t, b = np.argwhere(wrong)[0]
    read = "".join(map(str, digits[: t + 1, b]))
    read = read if len(read) <= 12 else f"{t + 1} digits ending in {read[-6:]}"
    start = f"after {read} the output is {output[t, b]:.4g}, but the number of ones is " + (
        "odd: it should be above 0" if odd[t, b] else "even: it should be below 0"
    )
    if t == 0:
        why = "Look at the first step, from states of zero, and at the readout"
    elif not params.W_hh.any():
        why = (
            "W_hh is zero, so no gate knows what the cell holds. A 1 has to do different things to "
            "an odd and to an even cell"
        )
    elif not digits[t, b]:
        why = "A 0 must change nothing: f = 1, and i or g is 0"
    elif t > 8:
        why = "It was right up to here: the cell drifts. A larger weight makes gates of 0 and 1"
    else:
        moved = float(np.abs(cache.c[t + 1, b] - cache.c[t, b]).max())
        why = f"A 1 must turn the cell over; this one changed it by {moved:.3g}"
    fail(f"{start}. {why}")
