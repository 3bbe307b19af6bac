"""Checks of the exercises of chapter 2, Recurrent networks."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from unrolled._validate import Array
from unrolled.checks._tools import (
    alike,
    call,
    close,
    explained,
    fail,
    kind_of,
    number,
    numbers,
    prediction,
    results,
    rng_of,
    unanswered,
    unwritten,
)
from unrolled.data.sequences import one_hot, sliding_windows
from unrolled.params import Linear, Recurrent, init_rnn
from unrolled.rnn import rnn_cell, rnn_forward

# (T, B, D, H): a case in which wrong transposes fit, so that they can be named; then all different,
# one step, one sequence; one size again, for what an answer keeps from call to call.
SIZES = [(4, 4, 4, 4), (7, 3, 2, 5), (1, 2, 4, 3), (6, 1, 3, 2), (7, 3, 2, 5)]

# What the first question asks: 9 features, 32 hidden units, one output.
FEATURES, HIDDEN, HOURS = 9, 32, (24, 72)


def check_parameters(rnn_parameters: Any, mlp_parameters: Any) -> None:
    """Refuse wrong counts of the parameters of an RNN and an MLP for two lengths."""
    D, H = FEATURES, HIDDEN
    recurrent, readout = H * D + H * H + 2 * H, H + 1
    for hours in HOURS:
        right, mlp = recurrent + readout, H * hours * D + H + readout
        shared = "every hour uses the same weights: count them once"
        reasons = {
            recurrent: "the readout is missing: it has H weights and a bias",
            right - H: "an RNN has two biases for each unit, b_ih and b_hh",
            right - 2 * H: "the biases of the recurrent layer are missing",
            right - 2 * H - 1: "the biases are missing: b_ih, b_hh and the readout's b",
            right - H * H: "the recurrent weights W_hh are missing: H x H of them",
            right - 1: "the readout has a bias, too",
            hours * recurrent + readout: shared,
            hours * right: shared,
            recurrent + hours * readout: shared,
            hours * right // HOURS[0]: shared,
            mlp: "this is the MLP's count",
            mlp + H * H + H: "an RNN reads one hour at a time, so each x_t holds 9 numbers",
        }
        look = "count W_ih, W_hh, b_ih, b_hh and the readout's W and b"
        _check_count("rnn_parameters", rnn_parameters, hours, right, reasons, look)
    for hours in HOURS:
        hidden = H * hours * D + H
        right = hidden + readout
        reasons = {
            hidden: "the output layer's H weights and its bias are missing, or all the biases",
            right - H: "the biases of the hidden layer are missing",
            right + H: "a neuron of an MLP has one bias",
            right - 1: "the output layer has a bias, too",
            H * D + H + readout: "the MLP sees all hours at once: hours x features inputs",
            H * hours + H + readout: "every hour brings 9 features: hours x features inputs",
            recurrent + readout: "this is the RNN's count",
        }
        look = "every input of the window has a weight for each hidden neuron"
        _check_count("mlp_parameters", mlp_parameters, hours, right, reasons, look)


def _check_count(
    what: str, counts: Any, hours: int, right: int, reasons: dict[int, str], look: str
) -> None:
    """Compare the count for one length, and explain the wrong ones that are known."""
    if unwritten(counts):
        unanswered(f"{what} has no value yet: replace the dots, and run the cell")
    if not isinstance(counts, dict):
        fail(f"{what} must be a dict such as {{24: …, 72: …}}, got {kind_of(counts)}")
    if hours not in counts:
        fail(f"{what} has no entry for {hours} hours: its keys are the numbers 24 and 72")
    guess = number(f"{what}[{hours}]", counts[hours])
    if guess != right:
        # A float finds the int that it equals.
        reason = reasons.get(guess, look)  # type: ignore[call-overload]
        fail(f"{what}[{hours}] = {guess:.10g} is not right: {reason}")


def check_my_rnn(my_rnn: Any, seed: int = 0) -> None:
    """Refuse what is not the recurrent layer ``h_t = tanh(W_ih x_t + b_ih + W_hh h + b_hh)``."""
    rng = rng_of(seed)
    for T, B, D, H in SIZES:
        params, x = init_rnn(D, H, rng=rng), rng.normal(size=(T, B, D))
        h0 = rng.normal(size=(B, H))
        if B == 1:
            x[T // 2] *= 1e5  # there tanh is ±1, and an exp overflows
        result = call("my_rnn", my_rnn, params=params, x=x, h0=h0)
        out, h_n = results("my_rnn", result, "out", "h_n")
        look = "Time comes first, (T, B, H), one state a step; h0 is no output."
        out = numbers("out", out, look, T=T, B=B, H=H)
        right, right_n, _ = rnn_forward(params, x, h0)
        close(
            "out",
            out,
            right,
            suspects=_rnn_suspects(params, x, h0),
            look="Compute the first step by hand and compare; then the second.",
        )
        h_n = numbers("h_n", h_n, "It is the state after the last step.", B=B, H=H)
        suspects = {"the first state; the last one is wanted": right[0], "h0": h0}
        if T == B:
            suspects["out[:, -1], the last sequence; the last step is out[-1]"] = right[:, -1]
        close("h_n", h_n, right_n, suspects=suspects, look="It is the state after the last step.")


def _rnn_suspects(params: Recurrent, x: Array, h0: Array) -> dict[str, Array]:
    """Run the recurrent layers that are wrong in a known way."""
    W_ih, W_hh, b_ih, b_hh = params
    T, B, _ = x.shape

    def loop(step: Any, h: Array = h0) -> Array:
        states = []
        for t in range(T):
            h = step(x[t], h)
            states.append(h)
        return np.stack(states)

    def linear(x_t: Array, h: Array) -> Array:
        return x_t @ W_ih.T + b_ih + h @ W_hh.T + b_hh

    def right(x_t: Array, h: Array) -> Array:
        return np.tanh(linear(x_t, h))

    zeros = np.zeros_like(h0)
    suspects = {
        "what comes out if h0 is ignored and the state starts from zero": loop(right, zeros),
        "what comes out if every step starts from h0: the state is not carried on": loop(
            lambda x_t, _: right(x_t, h0)
        ),
        "what comes out without the recurrent weights": loop(lambda x_t, h: right(x_t, zeros)),
        "what comes out with W_hh transposed: it is h @ W_hh.T": loop(
            lambda x_t, h: np.tanh(x_t @ W_ih.T + b_ih + h @ W_hh + b_hh)
        ),
        "what comes out without b_hh": loop(lambda x_t, h: np.tanh(linear(x_t, h) - b_hh)),
        "what comes out without b_ih": loop(lambda x_t, h: np.tanh(linear(x_t, h) - b_ih)),
        "what comes out without the biases": loop(
            lambda x_t, h: np.tanh(linear(x_t, h) - b_ih - b_hh)
        ),
        "what comes out without tanh": loop(linear),
        "what comes out with a sigmoid instead of tanh": loop(
            lambda x_t, h: 0.5 * (1 + np.tanh(0.5 * linear(x_t, h)))
        ),
        "what comes out if the recurrent part is added after tanh": loop(
            lambda x_t, h: np.tanh(x_t @ W_ih.T + b_ih) + h @ W_hh.T + b_hh
        ),
        "what comes out if the old state is added to the new one": loop(
            lambda x_t, h: h + right(x_t, h)
        ),
        "what comes out if the sequence is read from its end": rnn_forward(
            params, x[::-1].copy(), h0
        )[0],
        "the last state at every step: store a copy, or a new array, at each": np.broadcast_to(
            loop(right)[-1], (T, *h0.shape)
        ),
        "the state before each step, from h0 on; store the new one": np.stack(
            [h0, *loop(right)[:-1]]
        ),
    }
    if x.shape[2] == len(W_ih):
        suspects["what comes out with W_ih transposed: it is x_t @ W_ih.T"] = loop(
            lambda x_t, h: np.tanh(x_t @ W_ih + b_ih + h @ W_hh.T + b_hh)
        )
        suspects["what comes out with both W_ih and W_hh transposed: each needs a .T"] = loop(
            lambda x_t, h: np.tanh(x_t @ W_ih + b_ih + h @ W_hh + b_hh)
        )
    if T == B:
        swapped = rnn_forward(params, x.transpose(1, 0, 2).copy(), h0)[0]
        look = "x[0] is the first step of all sequences"
        suspects[f"what comes out if time and batch are exchanged: {look}"] = swapped
        suspects[f"what comes out if time and batch are exchanged, and back: {look}"] = (
            swapped.transpose(1, 0, 2)
        )
        suspects["the right states with time and batch exchanged"] = loop(right).transpose(1, 0, 2)
    return suspects


def check_letter_inputs(letter_inputs: Any, seed: int = 0) -> None:
    """Refuse what is not ``one_hot(ids) W_ih^T + b_ih``, with zeros for padding."""
    rng = rng_of(seed)
    for T, B, V, H in [(4, 4, 4, 4), (6, 3, 7, 4), (1, 2, 5, 3), (5, 1, 6, 2)]:
        W_ih, b_ih = rng.normal(size=(H, V)), rng.normal(size=H)
        ids = rng.integers(1, V, (T, B))
        ids[0, B - 1] = V - 1
        ids[T // 2 :, 0] = 0  # several places are padding
        result = call("letter_inputs", letter_inputs, W_ih=W_ih, b_ih=b_ih, ids=ids)
        a = numbers("the result", result, "One vector of H numbers a letter.", T=T, B=B, H=H)
        x = one_hot(ids, V)
        padded = x.copy()
        x[..., 0] = 0.0
        right = x @ W_ih.T + b_ih
        real = (ids > 0)[..., None]
        suspects = {
            "what comes out if padding is given the column of id 0": padded @ W_ih.T + b_ih,
            "what comes out without b_ih": x @ W_ih.T,
            "what comes out with b_ih twice": right + b_ih,
            "zeros for padding; a vector of zeros times W_ih, plus b_ih, is b_ih": right * real,
            "what comes out if every id is taken one too low": np.where(
                real, W_ih.T[ids - 1] + b_ih, b_ih
            ),
            "the right numbers after tanh; only the inputs are wanted": np.tanh(right),
            "the ids as numbers: each letter needs a column of its own": ids[..., None]
            * W_ih.sum(axis=1)
            + b_ih,
        }
        if T == B == V == H:  # then wrong axes raise no error
            suspects["W_ih[:, ids], whose first axis is H; W_ih.T[ids] has it last"] = (
                np.where(ids > 0, W_ih[:, ids], 0.0) + b_ih
            )
            suspects["W_ih[:, ids] with the column of id 0 for padding; H must come last, too"] = (
                W_ih[:, ids] + b_ih
            )
            suspects["what comes out if the truth values lie along H; use (ids > 0)[..., None]"] = (
                np.where(ids > 0, W_ih.T[ids], 0.0) + b_ih
            )
        if V == H:
            suspects["a row of W_ih; the weights of a letter are a column"] = x @ W_ih + b_ih
        if T == B:
            suspects["the right numbers with time and batch exchanged"] = right.transpose(1, 0, 2)
            suspects["the right numbers with the units first; they come last, (T, B, H)"] = (
                right.transpose(2, 0, 1)
            )
        look = "For id v it is column v of W_ih, plus b_ih; for the padding, id 0, it is b_ih."
        close("the result", a, right, suspects=suspects, look=look)


# --- Sequences of unequal length. ---


def _padded(seed: int, T: int, B: int, D: int, H: int) -> tuple[Recurrent, Array, Array, Array]:
    """Draw sequences of different lengths, with rubbish in their padding."""
    rng = rng_of(seed)
    params, h0 = init_rnn(D, H, rng=rng), rng.normal(size=(B, H))
    x, lengths = rng.normal(size=(T, B, D)), rng.integers(1, T + 1, B)
    # The one sequence of a batch of one is shorter than its column, too.
    lengths[0] = 1 if B > 1 else T // 2 + 1
    if B > 1:
        lengths[-1] = T
    x[np.arange(T)[:, None] >= lengths] *= 10.0
    return params, x, lengths, h0


LENGTH_SIZES = [(4, 4, 4, 4), (7, 4, 2, 5), (5, 1, 3, 2), (1, 2, 3, 4), (7, 4, 2, 5)]


def _held(params: Recurrent, x: Array, lengths: Array, h0: Array) -> tuple[Array, dict[str, Array]]:
    """Return the states, each held after its sequence's end, and wrong ones by the mistake."""
    T, B, _ = x.shape
    columns, steps = np.arange(B), np.arange(1, T + 1)[:, None]
    real = (steps <= lengths)[..., None]

    def run(x: Array, h0: Array = h0, ends: Array = lengths, columns: Any = columns) -> Array:
        states = np.concatenate([h0[None], rnn_forward(params, x, h0)[0]])
        return states[np.minimum(steps, ends), columns]

    right, through = run(x), run(x, ends=np.full(B, T))
    wrong = {
        "what comes out if the network reads the padding": through,
        "the state one step too early: sequence b ends after lengths[b] steps": run(
            x, ends=lengths - 1
        ),
        "the state one step too late: counted from 0, step t is real if t < lengths[b]": run(
            x, ends=np.minimum(lengths + 1, T)
        ),
        "zero after the end; the last state is to be held": right * real,
        "the initial state after the end; the last one is to be held": np.where(real, right, h0),
        "what comes out if padding is read as zeros instead of being left out": run(
            x * real, ends=np.full(B, T)
        ),
        "what comes out if all end with the shortest": run(x, ends=np.full(B, lengths.min())),
        "what comes out if h0 is ignored": run(x, np.zeros_like(h0)),
        "what comes out of the first sequence, for all of them": run(x, columns=0),
        "the last state at every step: store a copy at each": np.broadcast_to(
            right[-1], right.shape
        ),
    }
    if T == B:
        wrong["the right states with time and batch exchanged"] = right.transpose(1, 0, 2)
    if h0.shape[1] == B:
        h, states = h0, []
        for t in range(T):
            h = np.where(t < lengths, rnn_cell(params, x[t], h), h)
            states.append(h)
        wrong["what comes out if the truth values lie along H; turn them: running[:, None]"] = (
            np.stack(states)
        )
    return right, wrong


def _run_lengths(rnn_lengths: Any, case: tuple[Recurrent, Array, Array, Array]) -> Any:
    params, x, lengths, h0 = case
    args = {"params": params, "x": x, "lengths": lengths, "h0": h0}
    return results("rnn_lengths", call("rnn_lengths", rnn_lengths, **args), "out", "h_n")


def check_last_state(rnn_lengths: Any, seed: int = 0) -> None:
    """Refuse an ``h_n`` that is not the state of each sequence read alone."""
    for T, B, D, H in LENGTH_SIZES:
        case = _padded(seed, T, B, D, H)
        _, h_n = _run_lengths(rnn_lengths, case)
        h_n = numbers("h_n", h_n, "One state for each sequence.", B=B, H=H)
        right, wrong = _held(*case)
        suspects = {why: out[-1] for why, out in wrong.items()}
        look = "Sequence b ends after lengths[b] steps; read it alone and compare."
        close("h_n", h_n, right[-1], suspects=suspects, look=look)


def check_held_states(rnn_lengths: Any, seed: int = 0) -> None:
    """Refuse an ``out`` that does not hold each sequence's last state after its end."""
    for T, B, D, H in LENGTH_SIZES:
        case = _padded(seed, T, B, D, H)
        out, _ = _run_lengths(rnn_lengths, case)
        out = numbers("out", out, "Time comes first, and out[T - 1] comes last.", T=T, B=B, H=H)
        right, suspects = _held(*case)
        look = "Where a sequence has ended, the new state is the old one."
        close("out", out, right, suspects=suspects, look=look)


# --- A forecast without leakage. ---

# What the prediction asks for.
SPLIT, LENGTH, HORIZON = 800, 24, 6


def check_leaking_windows(leaking_windows: Any) -> None:
    """Refuse a wrong count of the training windows whose target lies in the test part."""
    guess = number("leaking_windows", leaking_windows)
    right = LENGTH + HORIZON - 1
    reasons = {
        LENGTH - 1: "these are the windows that themselves reach into the test part; some others "
        "only have their target there",
        HORIZON: "count also the windows that themselves reach into the test part",
        HORIZON - 1: "count also the windows that themselves reach into the test part",
        LENGTH: "this is the length; a target lies horizon hours after the end of its window",
        right + 1: "window i has its target at hour i + length + horizon - 1",
        right - 1: "hour 800 is the first of the test part, so a target at 800 leaks, too",
        0: "the last training window begins at hour 799: where is its target?",
        SPLIT: "these are all training windows; most of their targets lie before hour 800",
        SPLIT - right: "this is the first that leaks; how many are there, up to window 799?",
    }
    if guess in reasons:
        fail(f"leaking_windows = {guess:g} is not right: {reasons[int(guess)]}")
    look = "Which is the first window i whose target, hour i + length + horizon - 1, is 800?"
    prediction("leaking_windows", guess, right, look=look)


def _series(seed: int, N: int, split: int, *, alike_parts: bool) -> Array:
    """Draw a series; with alike_parts, both parts have mean 0 and spread 1 already."""
    series = rng_of(seed + N).normal(size=N)
    if alike_parts:
        for part in (slice(None, split), slice(split, None)):
            series[part] = (series[part] - series[part].mean()) / series[part].std()
        return series
    series[split:] = 3.0 * series[split:] + 5.0
    return 10.0 + 2.0 * series


def _clean(series: Array, split: int, length: int, horizon: int) -> tuple[Array, ...]:
    """Cut both parts of a series into windows, each by itself."""
    sizes = {"length": length, "horizon": horizon}
    parts = [sliding_windows(p[:, None], **sizes) for p in (series[:split], series[split:])]
    return tuple(array[..., 0] for pair in parts for array in pair)


PARTS = ("x_train", "y_train", "x_test", "y_test")
TASKS = [(60, 40, 5, 3), (30, 20, 1, 1), (25, 15, 4, 2)]  # (N, split, length, horizon)


def _run_task(
    clean_task: Any, series: Array, split: int, length: int, horizon: int
) -> Sequence[Any]:
    args = {"series": series, "split": split, "length": length, "horizon": horizon}
    return results("clean_task", call("clean_task", clean_task, **args), *PARTS)


def _part(what: str, value: Any, wanted: Array, hours: int) -> Array:
    """Return windows or targets as an array of the right shape."""
    look = (
        f"Cut the series at the split first: in {hours} hours lie {hours} - length - horizon + 1 = "
        f"{wanted.shape[-1]} windows with their targets. Time comes first, and the order is "
        f"{', '.join(PARTS)}."
    )
    names = ("length", "M")[-wanted.ndim :]
    return numbers(what, value, look, **dict(zip(names, wanted.shape, strict=True)))


def _rescaled(array: Array, wanted: Array) -> Array:
    """Forgive another mean and spread, which are another check's business."""
    a, w = array - array.mean(), wanted - wanted.mean()
    scale = (a * w).sum() / max((a * a).sum(), 1e-300)
    mapped = scale * a + wanted.mean()
    return mapped if scale > 0 and alike(mapped, wanted) else array


def check_clean_split(clean_task: Any, seed: int = 0) -> None:
    """Refuse windows that cross the split, whatever the series is standardised by."""
    for N, split, length, horizon in TASKS:
        series = _series(seed, N, split, alike_parts=True)
        parts = _run_task(clean_task, series, split, length, horizon)
        right = _clean(series, split, length, horizon)
        for what, value, wanted in zip(PARTS, parts, right, strict=True):
            part = series[:split] if what.endswith("train") else series[split:]
            array = _rescaled(_part(what, value, wanted, len(part)), wanted)
            suspects = {"in the wrong order in time": wanted[..., ::-1]}
            if what.startswith("y") and horizon > 1:
                start = length + horizon - 1
                suspects["the value one hour too early"] = part[start - 1 : -1]
                suspects["the last hour of the window itself, not the one to predict"] = part[
                    length - 1 : -horizon
                ]
                suspects["the first hour after the window; the target is horizon hours after"] = (
                    part[length : len(part) - horizon + 1]
                )
            look = "Window i is part[i : i + length], its target part[i + length + horizon - 1]."
            close(what, array, wanted, suspects=suspects, look=look)


def check_clean_standard(clean_task: Any, seed: int = 0) -> None:
    """Refuse a standardisation that knows anything of the test part."""
    for N, split, length, horizon in TASKS:
        series = _series(seed, N, split, alike_parts=False)
        parts = _run_task(clean_task, series, split, length, horizon)
        train, test = series[:split], series[split:]
        mean, std = train.mean(), train.std()

        def cut(values: Array, s: int = split, n: int = length, m: int = horizon) -> Any:
            return _clean(values, s, n, m)

        right = cut((series - mean) / std)
        whole = cut((series - series.mean()) / series.std())
        each = cut(np.concatenate([(p - p.mean()) / p.std() for p in (train, test)]))
        wrong = {
            "standardised by the whole series, whose test part nobody knows in training": whole,
            "standardised for each part by itself; the test part must use the training numbers": (
                each
            ),
            "standardised by the test part": cut((series - test.mean()) / test.std()),
            "not standardised": cut(series),
            "shifted but not divided by the spread": cut(series - mean),
            "divided by the spread but not shifted by the mean": cut(series / std),
            "divided by the variance; the spread is its square root": cut((series - mean) / std**2),
            "divided by the spread before the mean is subtracted": cut(series / std - mean),
            "standardised with n - 1; np.std divides by n": cut(
                (series - mean) / train.std(ddof=1)
            ),
        }
        for i, (what, value, wanted) in enumerate(zip(PARTS, parts, right, strict=True)):
            # Windows too many at the end are the other check's business.
            if isinstance(value, np.ndarray) and value.ndim == wanted.ndim:
                value = value[..., : wanted.shape[-1]]
            hours = split if what.endswith("train") else N - split
            array = _part(what, value, wanted, hours)
            suspects = {why: tuple_[i] for why, tuple_ in wrong.items()}
            look = "Use the mean and the spread (np.std) of series[:split] for both parts."
            close(what, array, wanted, suspects=suspects, look=look)


# --- A switch, and a memory that lasts. ---

RESTING = 1e-4  # how far from rest a search may stop


def check_resting_state(resting_state: Any) -> None:
    """Refuse what is not the largest solution of ``h = tanh(w h)``."""
    for w in (0.5, 0.9, 1.5, 2.0, 3.0, 6.0):
        h = number(f"resting_state({w})", call("resting_state", resting_state, w=w))
        right = _resting(w)
        if abs(h - right) > RESTING:
            why = (
                "zero is a resting state too, but the smallest push leads away from it"
                if abs(h) <= RESTING
                else "this is the lower position of the switch; the upper one is wanted"
                if abs(h + right) <= RESTING
                else f"it is not at rest, as the next state is {np.tanh(w * h):.6f}; take more "
                "steps from h = 1, or look at the equation again"
            )
            fail(f"resting_state({w}) should be {right:.6f}, but it is {h:.8g}: {why}")


def _resting(w: float) -> float:
    h = 1.0
    for _ in range(2000):
        h = float(np.tanh(w * h))
    return h


def check_smallest_push(smallest_push: Any) -> None:
    """Refuse what is not the steady push at which the switch loses its upper position."""
    for w in (1.2, 1.5, 2.0, 3.0, 6.0, 10.0):
        push = number(f"smallest_push({w})", call("smallest_push", smallest_push, w=w))
        edge = np.sqrt(1.0 - 1.0 / w)  # where the slope w (1 - h^2) is 1
        right = float(w * edge - np.arctanh(edge))
        if abs(push - right) <= 2e-3 * right:
            continue
        rest = _resting(w)
        suspects = {
            "the push is counted from zero downwards, so it is positive": -right,
            "a single push of that size does flip the switch, but a steady one needs less": w
            * rest,
            "this is the resting state, not the push": rest,
            "this is the state at the edge, not the push that leads there": float(edge),
            "w h is missing its w": float(edge - np.arctanh(edge)),
            "the edge is not 1 - 1/w but its square root": w - 1 - float(np.arctanh(1 - 1 / w)),
            "what undoes tanh is arctanh, not arctan": float(w * edge - np.arctan(edge)),
            "what undoes tanh is arctanh, not tanh": float(w * edge - np.tanh(edge)),
            "the signs: h = tanh(w h - p) leads to p = w h - arctanh(h)": float(
                w * edge + np.arctanh(edge)
            ),
            "at rest the push is 0; at the edge h is smaller than at rest": 0.0,
            "this is w h at the edge; what tanh must undo, arctanh(h), is missing": float(w * edge),
            "this is w - 1": w - 1.0,
        }
        for why, wrong in suspects.items():
            if abs(push - wrong) <= max(2e-3 * abs(wrong), 1e-6):
                fail(f"smallest_push({w}) should be {right:.4f}, but it is {push:.4f}: {why}")
        if abs(push - right) <= 3e-2 * right:
            explained(
                f"smallest_push({w}) is {push:.4g}, which is right to fewer than three significant "
                "digits: compute it more exactly"
            )
        side = "would not flip the switch yet" if push < right else "is more than is needed"
        fail(
            f"smallest_push({w}) should be {right:.4f}, but it is {push:.4f}: a steady push of "
            f"this size {side}. At the edge h = tanh(w h - p), and its slope w (1 - h**2) is 1"
        )


MOST_UNITS = 256  # a network of any size could take any time to check


def _first_symbol(first_symbol_network: Any, V: int) -> tuple[Recurrent, Linear]:
    """Run a learner's construction and return its parameters, checked."""
    name = "first_symbol_network"
    params, readout = results(name, call(name, first_symbol_network, V=V), "params", "readout")
    parts = "Recurrent(W_ih, W_hh, b_ih, b_hh)"
    if not isinstance(params, tuple | list) or len(params) != 4:
        turned = isinstance(readout, tuple | list) and len(readout) == 4
        also = "; you returned the two the other way round" if turned else ""
        explained(f"the first result must be {parts}, four arrays{also}")
    try:
        H = len(params[0])
    except TypeError:
        fail(f"W_ih must be an array of shape (H, V), got {kind_of(params[0])}")
    if H > MOST_UNITS:
        explained(f"the network has {H} hidden units; at most {MOST_UNITS} are allowed")
    W_ih = numbers("W_ih", params[0], "One column a symbol.", H=H, V=V)
    W_hh = numbers("W_hh", params[1], "It leads from each unit to each.", rows=H, columns=H)
    b_ih, b_hh = numbers("b_ih", params[2], H=H), numbers("b_hh", params[3], H=H)
    if not isinstance(readout, tuple | list) or len(readout) != 2:
        explained("the second result, the readout, must be Linear(W, b), two arrays")
    W = numbers("the readout's W", readout[0], "One row a symbol.", V=V, H=H)
    b = numbers("the readout's b", readout[1], "One bias a symbol.", V=V)
    return Recurrent(W_ih, W_hh, b_ih, b_hh), Linear(W, b)


def _sequences(V: int, T: int, seed: int) -> Array:
    """Every first symbol, followed by each symbol without end, and by random ones."""
    first, later = (grid.ravel() for grid in np.meshgrid(np.arange(V), np.arange(V)))
    steady = np.broadcast_to(later, (T, V * V)).copy()
    steady[0] = first
    random = rng_of(seed).integers(V, size=(T, 4 * V))
    random[0] = np.tile(np.arange(V), 4)
    return np.concatenate([steady, random], axis=1)


def check_first_symbol(first_symbol_network: Any, seed: int = 0) -> None:
    """Refuse a network that does not name the first of up to 20 symbols."""
    for V in (2, 3, 8, 20):
        _check_first_symbol(first_symbol_network, V, 20, seed)


def check_first_symbol_long(first_symbol_network: Any, seed: int = 0) -> None:
    """Refuse a network that forgets the first symbol within a thousand steps."""
    for V in (2, 5):
        _check_first_symbol(first_symbol_network, V, 1000, seed)


def _check_first_symbol(first_symbol_network: Any, V: int, steps: int, seed: int) -> None:
    """Ask the network after every step."""
    params, readout = _first_symbol(first_symbol_network, V)
    ids = _sequences(V, steps, seed)
    is_first = np.eye(V, dtype=bool)[ids[0]]
    with np.errstate(all="ignore"):
        states, _, _ = rnn_forward(params, one_hot(ids, V))
        logits = states @ readout.W.T + readout.b
    # A tie is no answer. Written so that a nan is wrong.
    wrong = ~(logits[:, is_first] > np.where(is_first, -np.inf, logits).max(axis=-1))
    if not wrong.any():
        return
    t, b = np.argwhere(wrong)[0]  # the shortest sequence
    first, last, shown = ids[0, b], ids[t, b], logits[t, b]
    best = np.flatnonzero(shown == shown.max())
    if t == 0:
        why = "look at W_ih and the readout"
    elif alike(params.W_hh, np.zeros_like(params.W_hh)):
        why = "W_hh is zero, so nothing is remembered"
    elif not states[0].all() or len(np.unique(states[0] > 0, axis=0)) < V:
        why = "the first symbol must set every switch, its own unit up and all others down"
    elif not alike(params.W_hh, np.diag(np.diag(params.W_hh))):
        why = "the units act on each other; a switch needs only itself, the diagonal of W_hh"
    elif last in best:
        why = (
            "later symbols flip the switches. After the first push p a unit is only at tanh(p), "
            "and the next may take it to tanh(w tanh(p) - p): is that still large? Try a larger w"
        )
    else:
        why = "the memory is lost: is each unit a switch, as in the question before?"
    what = f"a sequence of {t + 1} from symbol {first} to {last}" if t else f"symbol {first} alone"
    says = f"is answered {best[0]}" if len(best) == 1 else "has several largest outputs"
    fail(f"with V={V} symbols, {what} {says}: {why}")
