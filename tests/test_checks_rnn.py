"""The checks of the exercises of chapter 2 refuse wrong answers, each for its own reason.

They accept right ones, however unusual. A row of a table of wrong answers holds the mistake, the
answer, and the part of the message that tells the learner of this mistake.
"""

import math
from collections import defaultdict
from typing import Any

import numpy as np

from tests.check_cases import *  # noqa: F403
from tests.check_cases import Check
from unrolled.checks import rnn as checks
from unrolled.data import one_hot, sliding_windows
from unrolled.params import Linear, Recurrent, init_linear, init_rnn
from unrolled.rnn import rnn_forward


def stops(*_: Any) -> Any:
    raise IndexError("list index out of range")


def dots(*_: Any) -> Any:
    return ...


# --- 1. The numbers of parameters. ---


def counts(rnn: Any = None, mlp: Any = None) -> Any:
    """Both answers, from a function of the number of hours each."""
    rnn, mlp = rnn or (lambda T: 1409), mlp or (lambda T: 288 * T + 65)
    return {T: rnn(T) for T in (24, 72)}, {T: mlp(T) for T in (24, 72)}


CHECKS, MASTER = checks, "02_rnn"
SCOPE = {"np": np, "Linear": Linear, "Recurrent": Recurrent}
SEVERAL = {checks.check_parameters}
WRONG: dict[Check, list[tuple[str, Any, str]]] = {}
RIGHT: dict[Check, list[tuple[str, Any]]] = {}

WRONG[checks.check_parameters] = [
    ("times the hours", counts(lambda T: T * 1376 + 33), "every hour uses the same weights"),
    ("all times the hours", counts(lambda T: T * 1409), "every hour uses the same weights"),
    ("scaled from 24 to 72", counts(lambda T: T // 24 * 1409), "72.*every hour uses the same"),
    ("no readout", counts(lambda T: 1376), "the readout is missing"),
    ("one bias a unit", counts(lambda T: 1377), "two biases for each unit"),
    ("no recurrent biases", counts(lambda T: 1345), "biases of the recurrent layer are missing"),
    ("no bias at all", counts(lambda T: 1344), "the biases are missing: b_ih, b_hh and"),
    ("no W_hh", counts(lambda T: 385), "recurrent weights W_hh are missing"),
    ("readout without bias", counts(lambda T: 1408), "the readout has a bias"),
    ("window at every step", counts(lambda T: 288 * T + 1121), "each x_t holds 9"),
    ("W_hh for each pair of inputs", counts(lambda T: 466), "count W_ih, W_hh, b_ih"),
    ("a little more than right", counts(lambda T: 1408.5), "1408.5 is not right: count W_ih"),
    ("exchanged", counts()[::-1], "this is the MLP's count"),
    ("MLP of one hour", counts(None, lambda T: 353), "sees all hours at once"),
    ("MLP of one feature", counts(None, lambda T: 32 * T + 65), "every hour brings 9 features"),
    ("MLP without output", counts(None, lambda T: 288 * T + 32), "output layer's H weights"),
    ("MLP without hidden biases", counts(None, lambda T: 288 * T + 33), "biases of the hidden"),
    ("MLP with two biases", counts(None, lambda T: 288 * T + 97), "has one bias"),
    ("MLP without output bias", counts(None, lambda T: 288 * T + 64), "output layer has a bias"),
    ("MLP is the RNN", counts(None, lambda T: 1409), "this is the RNN's count"),
    ("MLP right for 24 only", counts(None, lambda T: 6977), r"\[72\].*every input of the window"),
    ("one length only", ({24: 1409}, {24: 6977}), "no entry for 72 hours"),
    ("keys are text", ({"24": 1409, "72": 1409}, {}),
     "no entry for 24 hours: its keys are the num"),
    ("a number", (1409, 6977), "must be a dict"),
    ("numbers as text", counts(lambda T: "1409"), "must be a number, got '1409'"),
    ("nan", counts(lambda T: np.nan), "must be a finite number"),
    ("only the first", (counts()[0], ...), "mlp_parameters has no value yet"),
    ("dots in the dict", counts(lambda T: ...), r"rnn_parameters\[24\] has no value yet"),
]  # fmt: skip
RIGHT[checks.check_parameters] = [
    ("NumPy's integers", counts(lambda T: np.int64(1409), lambda T: np.int32(288 * T + 65))),
    ("floats", counts(lambda T: 1409.0, lambda T: 288.0 * T + 65)),
    ("arrays of one number", counts(lambda T: np.array([1409]))),
    ("another order and more lengths", ({72: 1409, 24: 1409, 1: 1409}, counts()[1])),
    ("any length", (defaultdict(lambda: 1409, {24: 1409, 72: 1409}), counts()[1])),
]

# --- 2. The loop. ---


def linear(p: Recurrent, x: Any, h: Any) -> Any:
    return x @ p[0].T + p[2] + h @ p[1].T + p[3]


def cell(p: Recurrent, x: Any, h: Any, h0: Any) -> Any:
    return np.tanh(linear(p, x, h))


def loop(
    step: Any = cell,
    *,
    start: Any = lambda h0: h0,
    read: Any = lambda x: x,
    give: Any = lambda states, h0: (np.stack(states[1:]), states[-1]),
) -> Any:
    """A recurrent layer whose step, first state, input and result may be wrong."""

    def my_rnn(params: Any, x: Any, h0: Any) -> Any:
        states = [start(h0)]
        for x_t in read(x):
            states.append(step(params, x_t, states[-1], h0))
        return give(states, h0)

    return my_rnn


def one_buffer(params: Any, x: Any, h0: Any) -> Any:
    h, states = h0.copy(), []
    for x_t in x:
        np.tanh(linear(params, x_t, h), out=h)
        states.append(h)
    return np.stack(states), h


def writes_into_h0(params: Any, x: Any, h0: Any) -> Any:
    out = np.empty((len(x), *h0.shape))
    for t, x_t in enumerate(x):
        h0[:] = np.tanh(linear(params, x_t, h0))
        out[t] = h0
    return out, h0.copy()


def doubles_x(params: Any, x: Any, h0: Any) -> Any:
    x *= 2.0
    return loop()(params, 0.5 * x, h0)


def never_starts_again() -> Any:
    kept: dict[Any, Any] = {}

    def my_rnn(params: Any, x: Any, h0: Any) -> Any:
        out, kept[h0.shape] = loop()(params, x, kept.get(h0.shape, h0))
        return out, kept[h0.shape]

    return my_rnn


def by_exp(p: Any, x: Any, h: Any, h0: Any) -> Any:
    a = linear(p, x, h)
    return (np.exp(a) - np.exp(-a)) / (np.exp(a) + np.exp(-a))


def in_float32(params: Any, x: Any, h0: Any) -> Any:
    single = Recurrent(*(p.astype(np.float32) for p in params))
    return loop()(single, x.astype(np.float32), h0.astype(np.float32))


def stops_at_seven(params: Any, x: Any, h0: Any) -> Any:
    out, h = loop()(params, x[:6], h0)
    return np.concatenate([out, np.zeros((len(x) - len(out), *h0.shape))]), h


WRONG[checks.check_my_rnn] = [
    ("h0 ignored", loop(start=np.zeros_like), "h0 is ignored and the state starts"),
    ("state not carried", loop(lambda p, x, h, h0: cell(p, x, h0, h0)), "is not carried on"),
    ("no recurrence", loop(lambda p, x, h, h0: cell(p, x, 0 * h, h0)), "without the recurrent"),
    ("W_hh transposed", loop(lambda p, x, h, h0: np.tanh(x @ p[0].T + p[2] + h @ p[1] + p[3])),
     "W_hh transposed"),
    ("W_ih not transposed", loop(lambda p, x, h, h0: np.tanh(x @ p[0] + p[2] + h @ p[1].T + p[3])),
     "W_ih transposed"),
    ("both not transposed", loop(lambda p, x, h, h0: np.tanh(x @ p[0] + p[2] + h @ p[1] + p[3])),
     "both W_ih and W_hh transposed"),
    (
        "W_ih turned where it fits",
        loop(
            lambda p, x, h, h0: np.tanh(
                x @ (p[0] if x.shape[1] == len(p[0]) else p[0].T) + p[2] + h @ p[1].T + p[3]
            )
        ),
        "W_ih transposed",
    ),
    ("no b_hh", loop(lambda p, x, h, h0: np.tanh(linear(p, x, h) - p[3])), "without b_hh"),
    ("no b_ih", loop(lambda p, x, h, h0: np.tanh(linear(p, x, h) - p[2])), "without b_ih"),
    ("no bias", loop(lambda p, x, h, h0: np.tanh(x @ p[0].T + h @ p[1].T)), "without the biases"),
    ("no tanh", loop(lambda p, x, h, h0: linear(p, x, h)), "without tanh"),
    ("sigmoid", loop(lambda p, x, h, h0: 1 / (1 + np.exp(-linear(p, x, h)))),
     "a sigmoid instead of tanh"),
    ("memory added after tanh",
     loop(lambda p, x, h, h0: np.tanh(x @ p[0].T + p[2]) + h @ p[1].T + p[3]),
     "recurrent part is added after tanh"),
    ("old state added", loop(lambda p, x, h, h0: h + cell(p, x, h, h0)),
     "old state is added to the new"),
    ("from the end", loop(read=lambda x: x[::-1]), "read from its end"),
    ("batch first", loop(read=lambda x: x.transpose(1, 0, 2)), "time and batch are exchanged"),
    ("result batch first", loop(give=lambda s, h0: (np.stack(s[1:], axis=1), s[-1])),
     "this is the right states with time and batch exchanged"),
    ("one buffer", one_buffer, "store a copy"),
    ("last state only", loop(give=lambda s, h0: (s[-1], s[-1])), r"must have shape \(T=4"),
    ("h0 put out, too", loop(give=lambda s, h0: (np.stack(s), s[-1])), "h0 is no output"),
    ("before the step", loop(give=lambda s, h0: (np.stack(s[:-1]), s[-1])), "before each step"),
    ("last step left out", loop(read=lambda x: x[:-1]), r"must have shape \(T=4"),
    ("h_n is the first", loop(give=lambda s, h0: (np.stack(s[1:]), s[1])), "h_n.*the first state"),
    ("h_n is h0", loop(give=lambda s, h0: (np.stack(s[1:]), h0)), "h_n is wrong: this is h0"),
    ("h_n of the last sequence", loop(give=lambda s, h0: (np.stack(s[1:]), np.stack(s[1:])[:, -1])),
     r"out\[:, -1\], the last sequence"),
    ("h_n with an axis too many", loop(give=lambda s, h0: (np.stack(s[1:]), s[-1][None])),
     "h_n must have shape"),
    ("h_n left out", loop(give=lambda s, h0: np.stack(s[1:])), "must return out, h_n; it returned"),
    ("h_n not written", loop(give=lambda s, h0: (np.stack(s[1:]), ...)), "h_n is Ellipsis: write"),
    ("a cache as well", loop(give=lambda s, h0: (*s[:2], s[-1])), "out, h_n; it returned 3 things"),
    ("h0 changed", writes_into_h0, "changed its argument h0"),
    ("x changed", doubles_x, "changed its argument x"),
    ("mean of the batch removed", loop(read=lambda x: x - x.mean(axis=1, keepdims=True)),
     r"out\[.*Compute the first step by hand"),
    ("mean of all steps removed", loop(read=lambda x: x - x.mean(axis=0)),
     r"out\[.*Compute the first step by hand"),
    ("first sequence only", loop(lambda p, x, h, h0: cell(p, x[:1], h[:1], h0)),
     r"must have shape \(T=4, B=4, H=4\), got \(4, 1, 4\)"),
    ("tanh by exp", loop(by_exp), "out holds nan: somewhere a number overflows"),
    ("no more than six steps", stops_at_seven, r"out\[6, .* but it is 0"),
    ("state of the call before", never_starts_again(), r"out\[.*Compute the first step"),
    ("float32", in_float32, "out is right to a few digits only: compute in float64"),
    ("unequal parts", loop(give=lambda s, h0: ([s[0][:1], *s[2:]], s[-1])),
     "out must be an array of numbers, got a list of unequal parts"),
    ("stops", stops, "stopped with IndexError: list index"),
    ("not written", dots, "my_rnn returned Ellipsis"),
]  # fmt: skip


def recursion(params: Any, x: Any, h0: Any) -> Any:
    if len(x) == 1:
        h = cell(params, x[0], h0, h0)
        return h[None], h
    before, h = recursion(params, x[:-1], h0)
    h = cell(params, x[-1], h, h0)
    return np.concatenate([before, h[None]]), h


def one_number_at_a_time(params: Any, x: Any, h0: Any) -> Any:
    W_ih, W_hh, b_ih, b_hh = (p.tolist() for p in params)
    h, out = h0.tolist(), []
    for x_t in x.tolist():
        h = [
            [
                math.tanh(
                    sum(w * v for w, v in zip(W_ih[j], x_b))
                    + sum(w * v for w, v in zip(W_hh[j], h_b))
                    + b_ih[j]
                    + b_hh[j]
                )
                for j in range(len(b_ih))
            ]
            for x_b, h_b in zip(x_t, h)
        ]
        out.append(h)
    return out, h


def one_matrix(params: Any, x: Any, h0: Any) -> Any:
    W, b = np.hstack(params[:2]), params[2] + params[3]
    out = np.empty((len(x), *h0.shape))
    for t in range(len(x)):
        np.tanh(np.hstack([x[t], out[t - 1] if t else h0]) @ W.T + b, out=out[t])
    return [out, out[-1]]


def einsum(params: Any, x: Any, h0: Any) -> Any:
    a, h, out = np.einsum("tbd,hd->tbh", x, params.W_ih), h0, []
    for a_t in a:
        h = np.tanh(a_t + np.einsum("bk,hk->bh", h, params.W_hh) + params.b_ih + params.b_hh)
        out += [h]
    return np.array(out), h


def tanh_by_expm1(p: Any, x: Any, h: Any, h0: Any) -> Any:
    a = linear(p, x, h)
    e = np.expm1(-2 * np.abs(a))
    return np.copysign(-e / (2 + e), a)


RIGHT[checks.check_my_rnn] = [
    ("the package's own", lambda params, x, h0: rnn_forward(params, x, h0)[:2]),
    ("recursion", recursion),
    ("one number at a time, in lists", one_number_at_a_time),
    ("one matrix of both", one_matrix),
    ("einsum", einsum),
    ("tanh by a stable exp", loop(tanh_by_expm1)),
    ("h_n is a part of out", lambda *a: (loop()(*a)[0], loop()(*a)[0][-1])),
]

# --- 3. Letters. ---


def table(W: Any) -> Any:
    rows = W.T.copy()
    rows[0] = 0.0
    return rows


def zeroes_the_weights(W_ih: Any, b_ih: Any, ids: Any) -> Any:
    W_ih[:, 0] = 0.0
    return W_ih.T[ids] + b_ih


def moves_the_ids(W_ih: Any, b_ih: Any, ids: Any) -> Any:
    right = table(W_ih)[ids] + b_ih
    ids[ids > 0] -= 1
    return right


def first_padding_only(W_ih: Any, b_ih: Any, ids: Any) -> Any:
    out = W_ih.T[ids] + b_ih
    for b, column in enumerate(ids.T):
        if (column == 0).any():
            out[np.argmin(column), b] = b_ih
    return out


def last_row_is_padding(W_ih: Any, b_ih: Any, ids: Any) -> Any:
    out = table(W_ih)[ids] + b_ih
    out[-1] = b_ih
    return out


def rows_of_columns(W_ih: Any, b_ih: Any, ids: Any) -> Any:
    return [[(W_ih[:, i] + b_ih).tolist() for i in row if i] for row in ids]


WRONG[checks.check_letter_inputs] = [
    ("padding is a letter", lambda W, b, ids: W.T[ids] + b, "padding is given the column of id 0"),
    ("no bias", lambda W, b, ids: table(W)[ids], "without b_ih"),
    ("no bias for padding", lambda W, b, ids: (W.T[ids] + b) * (ids > 0)[..., None], "is b_ih"),
    ("one too low", lambda W, b, ids: np.where(ids[..., None] == 0, 0, W.T[ids - 1]) + b,
     "one too low"),
    ("ids as numbers", lambda W, b, ids: ids[..., None] * W.sum(axis=1) + b, "ids as numbers"),
    ("a row of W", lambda W, b, ids: np.where(ids[..., None] == 0, 0, W[ids]) + b,
     "a row of W_ih; the weights of a letter are a column"),
    ("batch first", lambda W, b, ids: (table(W)[ids] + b).transpose(1, 0, 2),
     "time and batch exchanged"),
    ("tanh", lambda W, b, ids: np.tanh(table(W)[ids] + b), "after tanh; only the inputs"),
    ("weights changed", zeroes_the_weights, "changed its argument W_ih"),
    ("ids changed", moves_the_ids, "changed its argument ids"),
    ("one-hot vectors", lambda W, b, ids: one_hot(ids, W.shape[1]), r"result\[.*it is column v"),
    ("letters last", lambda W, b, ids: np.moveaxis(table(W)[ids] + b, 2, 0),
     "the units first; they come last"),
    ("flat", lambda W, b, ids: table(W)[ids.ravel()] + b, r"must have shape \(T=4, B=4, H=4\)"),
    ("padding cut out", rows_of_columns, "got a list of unequal parts"),
    ("first padding only", first_padding_only, "the result.*it is column v"),
    ("last row is padding", last_row_is_padding, "the result.*it is column v"),
    ("last id is padding, too",
     lambda W, b, ids: np.where(ids[..., None] % (W.shape[1] - 1) == 0, 0, W.T[ids]) + b,
     "the result.*it is column v"),
    ("bias twice", lambda W, b, ids: table(W)[ids] + 2 * b, "with b_ih twice"),
    ("mean of the letters removed",
     lambda W, b, ids: table(W - W.mean(axis=1, keepdims=True))[ids] + b,
     "the result.*it is column v"),
    ("nan for padding", lambda W, b, ids: np.where(ids[..., None] == 0, np.nan, W.T[ids]) + b,
     "holds nan"),
    ("float32", lambda W, b, ids: (table(W)[ids] + b).astype(np.float32), "few digits only"),
    ("as text", lambda W, b, ids: (table(W)[ids] + b).astype(str), "must be an array of numbers"),
    ("stops", stops, "letter_inputs stopped with IndexError"),
    ("not written", None, "no function letter_inputs yet"),
]  # fmt: skip


def letter_by_letter(W_ih: Any, b_ih: Any, ids: Any) -> Any:
    padding = np.zeros(len(W_ih))
    return [[b_ih + (W_ih[:, i] if i else padding) for i in row] for row in ids]


def only_real_places(W_ih: Any, b_ih: Any, ids: Any) -> Any:
    out = np.tile(b_ih, (*ids.shape, 1))
    out[ids != 0] += W_ih.T[ids[ids != 0]]
    return out


RIGHT[checks.check_letter_inputs] = [
    ("the product itself",
     lambda W, b, ids: (one_hot(ids, W.shape[1]) * (ids > 0)[..., None]) @ W.T + b),
    ("letter by letter, in lists", letter_by_letter),
    ("only the real places", only_real_places),
    ("a table with the bias in it", lambda W, b, ids: np.take(table(W) + b, ids, axis=0)),
    ("no row 0", lambda W, b, ids: np.insert(W.T[1:], 0, 0, axis=0)[ids] + b),
    ("einsum without the first letter",
     lambda W, b, ids: np.einsum("tbv,hv->tbh", one_hot(ids, W.shape[1])[..., 1:], W[:, 1:]) + b),
]  # fmt: skip

# --- 4. Sequences of unequal length. ---


def ends(
    *,
    ends: Any = lambda lengths, T: lengths,
    stands: Any = lambda new, h, h0: h,
    read: Any = lambda x, lengths: x,
    start: Any = lambda h0: h0,
    give: Any = lambda states, lengths: (np.stack(states[1:]), states[-1]),
) -> Any:
    """A recurrent layer over sequences that end, whose parts may be wrong."""

    def rnn_lengths(params: Any, x: Any, lengths: Any, h0: Any) -> Any:
        states = [start(h0)]
        for t, x_t in enumerate(read(x, lengths)):
            h = states[-1]
            new = cell(params, x_t, h, h0)
            running = (t < ends(lengths, len(x)))[:, None]
            states.append(np.where(running, new, stands(new, h, h0)))
        return give(states, lengths)

    return rnn_lengths


def packed(params: Any, x: Any, lengths: Any, h0: Any) -> Any:
    """As if the sequences were sorted, the longest first."""
    h, states = h0.copy(), []
    for t, x_t in enumerate(x):
        n = (lengths > t).sum()
        h = np.concatenate([cell(params, x_t[:n], h[:n], h0), h[n:]])
        states.append(h)
    return np.stack(states), h


def detects_zeros(params: Any, x: Any, lengths: Any, h0: Any) -> Any:
    return ends(ends=lambda _, T: (x != 0).any(axis=2).sum(axis=0))(params, x, lengths, h0)


def picks(params: Any, x: Any, lengths: Any, h0: Any) -> Any:
    """The chapter's way: the right h_n, and an out that has read on."""
    out, _ = loop()(params, x, h0)
    return out, out[lengths - 1, np.arange(len(lengths))]


def to_the_longest(params: Any, x: Any, lengths: Any, h0: Any) -> Any:
    return ends()(params, x[: lengths.max()], lengths, h0)


def clears_padding(params: Any, x: Any, lengths: Any, h0: Any) -> Any:
    x[np.arange(len(x))[:, None] >= lengths] = 0.0
    return ends()(params, x, lengths, h0)


def counts_down(params: Any, x: Any, lengths: Any, h0: Any) -> Any:
    h, states = h0, []
    for x_t in x:
        h = np.where((lengths > 0)[:, None], cell(params, x_t, h, h0), h)
        states.append(h)
        lengths -= 1
    return np.stack(states), h


def alone(params: Any, x: Any, lengths: Any, h0: Any) -> Any:
    """Each sequence by itself, none longer than it is."""
    runs = [loop()(params, x[:n, b : b + 1], h0[b : b + 1])[0][:, 0] for b, n in enumerate(lengths)]
    return runs, np.stack([run[-1] for run in runs])


def held_in_place(params: Any, x: Any, lengths: Any, h0: Any) -> Any:
    """One buffer that is appended again and again."""
    h, states = h0.copy(), []
    for t, x_t in enumerate(x):
        h[:] = np.where((t < lengths)[:, None], cell(params, x_t, h, h0), h)
        states.append(h)
    return np.stack(states), h


def goes_on() -> Any:
    run, kept = ends(), {}

    def rnn_lengths(params: Any, x: Any, lengths: Any, h0: Any) -> Any:
        out, h_n = run(params, x, lengths, kept.get(h0.shape, h0))
        kept[h0.shape] = h_n
        return out, h_n

    return rnn_lengths


def until_the_first_end(lengths: Any, T: int) -> Any:
    return np.full(len(lengths), lengths.min())


BOTH = [
    ("padding read", ends(ends=lambda n, T: n + T), "if the network reads the padding"),
    ("one too early", ends(ends=lambda n, T: n - 1), "one step too early: sequence b ends after"),
    ("one too late", ends(ends=lambda n, T: n + 1), r"one step too late.*t < lengths\[b\]"),
    ("zero after the end", ends(stands=lambda new, h, h0: 0 * h),
     "zero after the end; the last state is to be held"),
    ("h0 after the end", ends(stands=lambda new, h, h0: h0), "the initial state after the end"),
    (
        "padding set to zero",
        ends(
            read=lambda x, n: x * (np.arange(len(x))[:, None] < n)[..., None],
            ends=lambda n, T: n + T,
        ),
        "padding is read as zeros",
    ),
    ("padding found by its zeros", detects_zeros, "if the network reads the padding"),
    ("all end with the shortest", ends(ends=until_the_first_end), "all end with the shortest"),
    ("h0 ignored", ends(start=np.zeros_like), "h0 is ignored"),
    ("sorted by length", packed, "read it alone|the new state is the old one"),
    ("half the new state", ends(stands=lambda new, h, h0: (h + new) / 2),
     "read it alone|the new state is the old one"),
    ("state of the call before", goes_on(), r"read it alone|the new state is the old one"),
    ("x changed", clears_padding, "changed its argument x"),
    ("lengths changed", counts_down, "changed its argument lengths"),
    ("a state only", lambda *a: ends()(*a)[1], "must return out, h_n; it returned an array"),
    ("stops", stops, "rnn_lengths stopped with IndexError"),
    ("not written", dots, "rnn_lengths returned Ellipsis"),
]  # fmt: skip
WRONG[checks.check_last_state] = [
    *BOTH,
    ("of the first sequence", lambda p, x, n, h0: (x, loop()(p, x, h0)[0][n - 1, 0]),
     "of the first sequence, for all"),
    ("every sequence at every end", ends(give=lambda s, n: (np.stack(s[1:]), np.stack(s)[n])),
     r"h_n must have shape \(B=4, H=4\), got \(4, 4, 4\)"),
    ("of the last sequence",
     ends(give=lambda s, n: (np.stack(s[1:]), np.stack(s[1:])[:, -1][: len(n)])),
     "h_n is wrong.* time and batch exchanged"),
    ("nan where a sequence has one step",
     ends(give=lambda s, n: (np.stack(s[1:]), np.where(n[:, None] == 1, np.nan, s[-1]))),
     "h_n holds nan"),
    ("not written", ends(give=lambda s, n: (np.stack(s[1:]), None)),
     "h_n is None: write the line"),
    ("float32", ends(give=lambda s, n: (np.stack(s[1:]), s[-1].astype(np.float32))), "few digits"),
]  # fmt: skip
WRONG[checks.check_held_states] = [
    *BOTH,
    ("picked afterwards", picks, "if the network reads the padding"),
    ("one buffer", held_in_place, "the last state at every step: store a copy"),
    ("to the longest only", to_the_longest, r"T=5, B=1, H=2\), got \(3, 1, 2\)"),
    ("each as long as it is", alone, "out must be an array of numbers, got a list of unequal"),
    ("batch first", ends(give=lambda s, n: (np.stack(s[1:], axis=1), s[-1])),
     "the right states with time and batch exchanged"),
    ("h0 put out, too", ends(give=lambda s, n: (np.stack(s), s[-1])),
     r"out must have shape \(T=4, B=4, H=4\), got \(5"),
]  # fmt: skip


def mixed_by_a_mask(params: Any, x: Any, lengths: Any, h0: Any) -> Any:
    h, states = h0, []
    for t, x_t in enumerate(x):
        m = (t < lengths).astype(float)[:, None]
        h = m * cell(params, x_t, h, h0) + (1 - m) * h
        states.append(h)
    return states, h


def picked_all(params: Any, x: Any, lengths: Any, h0: Any) -> Any:
    out, _ = rnn_forward(params, x, h0)[:2]
    steps = np.minimum(np.arange(len(x))[:, None], lengths - 1)
    out = np.take_along_axis(out, steps[..., None], axis=0)
    return out, out[-1]


def alone_and_repeated(params: Any, x: Any, lengths: Any, h0: Any) -> Any:
    runs, h_n = alone(params, x, lengths, h0)
    runs = [np.concatenate([r, np.repeat(r[-1:], len(x) - len(r), axis=0)]) for r in runs]
    return np.stack(runs, axis=1), h_n


def only_the_running(params: Any, x: Any, lengths: Any, h0: Any) -> Any:
    out = np.empty((len(x), *h0.shape))
    for t in range(len(x)):
        out[t] = out[t - 1] if t else h0
        on = np.flatnonzero(lengths > t)
        if len(on):
            out[t, on] = cell(params, x[t, on], out[t, on], h0)
    return out, out[-1]


RIGHT[checks.check_last_state] = RIGHT[checks.check_held_states] = [
    ("mixed by a mask", mixed_by_a_mask),
    ("picked for every step", picked_all),
    ("alone, then repeated", alone_and_repeated),
    ("only those that run", only_the_running),
]

# --- 5. A forecast without leakage. ---

WRONG[checks.check_leaking_windows] = [
    ("windows that reach over", 23, "some others only have their target there"),
    ("the length", 24, "this is the length; a target"),
    ("horizon only", 6, "windows that themselves reach into the test part"),
    ("horizon only, off by one", 5, "windows that themselves reach into the test part"),
    ("one too many", 30, "window i has its target at hour i"),
    ("one too few", 28, "hour 800 is the first of the test part"),
    ("none", 0, "begins at hour 799"),
    ("test windows", 171, "not what the measurement says.*first window i"),
    ("training windows", 800, "all training windows"),
    ("all windows", 971, "not what the measurement says.*first window i"),
    ("the first of them", 771, "the first that leaks.*799"),
    ("negative", -29, "not what the measurement says"),
    ("almost", 29.5, "not what the measurement says"),
    ("a share", 29 / 800, "not what the measurement says"),
    ("text", "29", "must be a number, got '29'"),
    ("list of them", list(range(771, 800)), "must be a single number"),
    ("nan", float("nan"), "must be a finite number"),
    ("not written", ..., "leaking_windows has no value yet"),
]
RIGHT[checks.check_leaking_windows] = [
    ("a float", 29.0),
    ("NumPy's integer", np.int64(29)),
    ("an array", np.array([29])),
    ("counted", sum(i + 29 >= 800 for i in range(800))),
]


def cut(part: Any, length: int, horizon: int, M: int | None = None, late: int = 0) -> Any:
    """Windows and targets of a part; M windows, and targets later than wanted."""
    M = len(part) - length - horizon + 1 if M is None else M
    i = np.arange(M)
    return part[np.arange(length)[:, None] + i], part[i + length + horizon - 1 + late]


def split_first(
    scale: Any = None, windows: Any = cut, give: Any = lambda *four: four, at: int = 0
) -> Any:
    """A clean task whose scale (mean and spread), windows, cut and result may be wrong."""
    scale = scale or (lambda train, test, n, m: (train.mean(), train.std()))

    def clean_task(series: Any, split: int, length: int, horizon: int) -> Any:
        train, test = series[: split + at], series[split + at :]
        mean, std = scale(train, test, length, horizon)
        four = [windows((part - mean) / std, length, horizon) for part in (train, test)]
        return give(*four[0], *four[1])

    return clean_task


def split_last(crosses: Any, whole: bool = False) -> Any:
    """Windows of the whole series; `crosses` tells which are left to the training part."""

    def clean_task(series: Any, split: int, length: int, horizon: int) -> Any:
        known = series if whole else series[:split]
        x, y = cut((series - known.mean()) / known.std(), length, horizon)
        train = crosses(np.arange(len(y)), split, length, horizon)
        test = np.arange(len(y)) >= split
        return x[:, train], y[train], x[:, test], y[test]

    return clean_task


def standardise(train: Any, test: Any) -> Any:
    return (train - train.mean()) / train.std(), (test - train.mean()) / train.std()


def in_place(series: Any, split: int, length: int, horizon: int) -> Any:
    series -= series[:split].mean()
    series /= series[:split].std()
    return *cut(series[:split], length, horizon), *cut(series[split:], length, horizon)


def leaky(series: Any, split: int, length: int, horizon: int) -> Any:
    return split_last(lambda i, s, n, m: i < s, whole=True)(series, split, length, horizon)


def shuffled(series: Any, split: int, length: int, horizon: int) -> Any:
    x, y, *test = split_first()(series, split, length, horizon)
    order = np.random.default_rng(0).permutation(len(y))
    return x[:, order], y[order], *test


def reaches_back(series: Any, split: int, length: int, horizon: int) -> Any:
    """The first test windows begin in the training part."""
    train, test = standardise(series[:split], series[split - length :])
    return *cut(train, length, horizon), *cut(test, length, horizon)


def four_fifths(series: Any, split: int, length: int, horizon: int) -> Any:
    return split_first()(series, len(series) * 4 // 5, length, horizon)


def raw_targets(series: Any, split: int, length: int, horizon: int) -> Any:
    x, _, x_test, _ = split_first()(series, split, length, horizon)
    raw = split_first(lambda *_: (0, 1))(series, split, length, horizon)
    return x, raw[1], x_test, raw[3]


def raw_test(series: Any, split: int, length: int, horizon: int) -> Any:
    x, y, *_ = split_first()(series, split, length, horizon)
    return x, y, *cut(series[split:], length, horizon)


def each_by_itself(series: Any, split: int, length: int, horizon: int) -> Any:
    parts = [(part - part.mean()) / part.std() for part in (series[:split], series[split:])]
    return *cut(parts[0], length, horizon), *cut(parts[1], length, horizon)


def each_window(series: Any, split: int, length: int, horizon: int) -> Any:
    x, y, x_test, y_test = split_first()(series, split, length, horizon)
    return x - x.mean(axis=0), y - x.mean(axis=0), x_test - x_test.mean(axis=0), y_test


def whole_series(series: Any, split: int, length: int, horizon: int) -> Any:
    train, test = np.split((series - series.mean()) / series.std(), [split])
    return *cut(train, length, horizon), *cut(test, length, horizon)


def spread_of_all(series: Any, split: int, length: int, horizon: int) -> Any:
    scale = (series[:split].mean(), series.std())
    return split_first(lambda *_: scale)(series, split, length, horizon)


def after_the_split_only(series: Any, split: int, length: int, horizon: int) -> Any:
    train, test = np.split((series - series[split:].mean()) / series[split:].std(), [split])
    return *cut(train, length, horizon), *cut(test, length, horizon)


WRONG[checks.check_clean_split] = [
    ("as it was", leaky, r"x_train.*M=33\), got \(5, 40\). Cut the series"),
    ("target across the split", split_last(lambda i, s, n, m: i + n <= s),
     r"x_train.*M=33\), got \(5, 36\). Cut the series"),
    ("one target across the split", split_last(lambda i, s, n, m: i + n + m - 1 <= s),
     r"x_train.*M=33\), got \(5, 34\). Cut the series"),
    ("horizon left out", split_first(windows=lambda p, n, m: cut(p, n, 1)),
     r"got \(5, 35\). Cut the series"),
    ("window too few", split_first(windows=lambda p, n, m: cut(p, n, m, len(p) - n - m)), "32"),
    ("target one hour early", split_first(windows=lambda p, n, m: cut(p, n, m, late=-1)),
     "y_train is wrong: this is the value one hour too early"),
    ("target is the last of the window", split_first(windows=lambda p, n, m: cut(p, n, m, late=-m)),
     "y_train is wrong: this is the last hour of the window itself"),
    ("target is the first after the window",
     split_first(windows=lambda p, n, m: cut(p, n, m, late=1 - m)),
     "y_train is wrong: this is the first hour after the window"),
    ("window first", split_first(give=lambda x, y, u, v: (x.T, y, u.T, v)),
     r"\(33, 5\).*Time comes"),
    ("x, x, y, y", split_first(give=lambda x, y, u, v: (x, u, y, v)),
     "y_train must.*the order is x_train, y_train, x_test"),
    ("test first", split_first(give=lambda x, y, u, v: (u, v, x, y)),
     "x_train must.*the order is x_train, y_train, x_test"),
    ("split one late", split_first(at=1), "in 40 hours lie"),
    ("split one early", split_first(at=-1), "in 40 hours lie"),
    ("test reaches back", reaches_back, r"x_test.*M=13\), got \(5, 18\). Cut the series"),
    ("split ignored", four_fifths, "in 40 hours lie"),
    ("no overlap", lambda *a: [p[..., :: a[2]] for p in split_first()(*a)],
     "33 windows with their targets"),
    ("backwards", lambda *a: [p[..., ::-1] for p in split_first()(*a)], "the wrong order in time"),
    ("shuffled", shuffled, r"x_train\[.*Window i is part\[i : i \+ length\]"),
    ("features, too", lambda *a: [p[..., None] for p in split_first()(*a)], r"got \(5, 33, 1\)"),
    ("y a column", split_first(give=lambda x, y, u, v: (x, y[:, None], u, v)), r"got \(33, 1\)"),
    ("windows only", split_first(give=lambda x, y, u, v: (x, u)),
     "must return x_train, y_train, x"),
    ("y left open", split_first(give=lambda x, y, u, v: (x, ..., u, v)), "y_train is Ellipsis"),
    ("series changed", in_place, "changed its argument series"),
    ("spread 0 at one hour ahead",
     split_first(lambda train, test, n, m: (train.mean(), train.std() * (m > 1))),
     "x_train holds (nan|inf)"),
    ("float32", lambda *a: [p.astype(np.float32) for p in split_first()(*a)], "few digits only"),
    ("unequal windows", lambda *a: ([[1.0], [2.0, 3.0]],) * 4, "got a list of unequal parts"),
    ("not written", dots, "clean_task returned Ellipsis"),
]  # fmt: skip
WRONG[checks.check_clean_standard] = [
    ("as it was", leaky, "x_train is wrong: this is standardised by the whole series"),
    ("whole series, then split", whole_series, "standardised by the whole series"),
    ("each part by itself", each_by_itself, "x_test is wrong.* each part by itself"),
    ("not at all", split_first(lambda *_: (0, 1)), "this is not standardised"),
    ("mean only", split_first(lambda train, *_: (train.mean(), 1)), "shifted but not divided"),
    ("spread only", split_first(lambda train, *_: (0, train.std())), "divided.*but not shifted"),
    ("variance", split_first(lambda train, *_: (train.mean(), train.var())), "by the variance"),
    ("wrong order", split_first(lambda train, *_: (train.mean() * train.std(), train.std())),
     "divided by the spread before the mean"),
    ("n - 1", split_first(lambda train, *_: (train.mean(), train.std(ddof=1))),
     "standardised with n - 1"),
    ("raw targets", raw_targets, "y_train is wrong: this is not standardised"),
    ("raw test part", raw_test, "x_test is wrong: this is not standardised"),
    ("by the test part", after_the_split_only, "x_train is wrong.*by the test part"),
    ("spread of the whole", spread_of_all,
     r"x_train\[.*mean and the spread .* of series\[:split\]"),
    ("mean over the windows",
     split_first(lambda t, _, n, m: (cut(t, n, m)[0].mean(), cut(t, n, m)[0].std())),
     r"x_train\[.*of series\[:split\] for both"),
    ("smallest and largest",
     split_first(lambda train, *_: (train.min(), train.max() - train.min())),
     r"x_train\[.*mean and the spread"),
    ("median", split_first(lambda train, *_: (np.median(train), train.std())),
     r"x_train\[.*mean and the spread"),
    ("each window by itself", each_window, r"x_train\[.*mean and the spread"),
    ("last training hour left out",
     split_first(lambda train, *_: (train[:-1].mean(), train[:-1].std())),
     r"x_train\[.*of series\[:split\] for both"),
    ("numbers of another series", split_first(lambda *_: (10.0, 2.0)), r"x_train\[.*np.std"),
    ("divided by 0", split_first(lambda train, *_: (train.mean(), train.std() * 0)),
     "x_train holds (nan|inf): somewhere a number overflows, or is divided by zero"),
    ("series changed", in_place, "changed its argument series"),
    ("windows only", split_first(give=lambda x, y, u, v: (x, u)), "it returned 2 things"),
    ("stops", stops, "clean_task stopped with IndexError"),
]  # fmt: skip


def by_lists(series: Any, split: int, length: int, horizon: int) -> Any:
    train = [float(v) for v in series[:split]]
    mean = math.fsum(train) / split
    std = math.sqrt(math.fsum((v - mean) ** 2 for v in train) / split)
    four = []
    for part in (train, series[split:].tolist()):
        z = [(v - mean) / std for v in part]
        M = len(z) - length - horizon + 1
        four += [[z[i : i + M] for i in range(length)], z[length + horizon - 1 :]]
    return four


def by_the_package(series: Any, split: int, length: int, horizon: int) -> Any:
    z, sizes = (series - series[:split].mean()) / series[:split].std(), {"length": length}
    train = sliding_windows(z[:split, None], horizon=horizon, **sizes)
    test = sliding_windows(z[split:, None], horizon=horizon, **sizes)
    return train[0][..., 0], train[1][:, 0], test[0][..., 0], test[1][:, 0]


def by_view(series: Any, split: int, length: int, horizon: int) -> Any:
    both = []
    for part in standardise(series[:split], series[split:]):
        view = np.lib.stride_tricks.sliding_window_view(part, length + horizon).T
        both += [view[:length], view[-1]]
    return both


def scaled_last(series: Any, split: int, length: int, horizon: int) -> Any:
    four = split_first(lambda *_: (0, 1))(series, split, length, horizon)
    return tuple((part - series[:split].mean()) / series[:split].std() for part in four)


RIGHT[checks.check_clean_split] = RIGHT[checks.check_clean_standard] = [
    ("lists", by_lists),
    ("the package's windows", by_the_package),
    ("a view", by_view),
    ("scaled last", scaled_last),
    ("windows first, chosen by their target", split_last(lambda i, s, n, m: i + n + m - 1 < s)),
]
RIGHT[checks.check_clean_standard] = [
    *RIGHT[checks.check_clean_standard],
    ("but windows that cross the split", split_last(lambda i, s, n, m: i < s)),
]

# --- 6. A switch. ---


def settle(w: float, h: float = 1.0, steps: int = 1000, push: float = 0.0) -> float:
    for _ in range(steps):
        h = math.tanh(w * h - push)
    return h


def by_the_inverse(w: float) -> Any:
    h = 0.5
    for _ in range(1000):
        h = np.arctanh(h) / w
    return h


WRONG[checks.check_resting_state] = [
    ("from 0", lambda w: settle(w, 0.0), "zero is a resting state too"),
    ("from below", lambda w: settle(w, -1.0), "lower position of the switch"),
    ("one step", math.tanh, "not at rest, .*take more steps"),
    ("ten steps", lambda w: settle(w, steps=10), "not at rest, .*take more steps"),
    ("always 0", lambda w: 0, "zero is a resting state too"),
    ("always 1", lambda w: 1.0, r"resting_state\(0.5\) should be 0.0.*not at rest"),
    ("from 1, downwards", lambda w: -settle(w), "lower position"),
    ("state at the edge", lambda w: math.sqrt(max(0, 1 - 1 / w)), "not at rest"),
    ("series of tanh", lambda w: math.sqrt(max(0, 3 * (w - 1) / w**3)), "not at rest"),
    ("no tanh", lambda w: w**1000, "not at rest, .*look at the equation again"),
    ("no w", lambda w: settle(1.0), "not at rest"),
    ("the inverse", by_the_inverse, "must be a finite number, got nan"),
    ("three digits", lambda w: round(settle(w), 3), "not at rest"),
    ("right for 2 only", lambda w: 0.9575040240772687 * (w > 1), "not at rest"),
    ("0 up to 2", lambda w: settle(w) * (w > 2), "zero is a resting state too"),
    ("all states", lambda w: [settle(w, steps=n) for n in range(9)], "must be a single number"),
    ("both positions", lambda w: (settle(w), -settle(w)), "must be a single number"),
    ("nan below 1", lambda w: settle(w) if w > 1 else math.nan, "must be a finite number, got nan"),
    ("stops", stops, "resting_state stopped with IndexError"),
    ("not written", dots, "resting_state returned Ellipsis"),
]


def bisection(w: float) -> float:
    if w <= 1:
        return 0
    low, high = math.sqrt(1 - 1 / w), 1.0
    for _ in range(60):
        h = (low + high) / 2
        low, high = (h, high) if math.tanh(w * h) > h else (low, h)
    return low


def newton(w: float) -> Any:
    h = np.array([1.0])
    for _ in range(100):
        h = h - (h - np.tanh(w * h)) / (1 - w * (1 - np.tanh(w * h) ** 2))
    return h


def until_it_stands(w: float, h: float = 1.0) -> float:
    while abs(h - (h := math.tanh(w * h))) > 1e-12:
        pass
    return h


RIGHT[checks.check_resting_state] = [
    ("bisection", bisection),
    ("Newton's method", newton),
    ("until it stands", until_it_stands),
    ("from far above", lambda w: settle(w, 1e6)),
    ("a signal of many steps", lambda w: np.float64(settle(w, steps=5000))),
]


def touch(w: float) -> float:
    return math.sqrt(1 - 1 / w)


def turned(w: float, push: float, steps: int) -> bool:
    return settle(w, settle(w), steps, push) < 0


def search(turns: Any, low: float, high: float, times: int = 40) -> float:
    for _ in range(times):
        push = (low + high) / 2
        low, high = (low, push) if turns(push) else (push, high)
    return high


WRONG[checks.check_smallest_push] = [
    ("negative", lambda w: math.atanh(touch(w)) - w * touch(w), "so it is positive"),
    ("a single push", lambda w: w * settle(w), "a single push of that size does flip"),
    ("resting state", settle, "this is the resting state, not the push"),
    ("state at the edge", touch, "the state at the edge, not the push"),
    ("no w", lambda w: touch(w) - math.atanh(touch(w)), "w h is missing its w"),
    ("no arctanh", lambda w: w * touch(w), r"arctanh\(h\), is missing"),
    ("w - 1", lambda w: w - 1, "this is w - 1"),
    ("no root", lambda w: w - 1 - math.atanh(1 - 1 / w), "not 1 - 1/w but its square root"),
    ("arctan", lambda w: w * touch(w) - math.atan(touch(w)), "arctanh, not arctan"),
    ("tanh", lambda w: w * touch(w) - math.tanh(touch(w)), "arctanh, not tanh"),
    ("sum", lambda w: w * touch(w) + math.atanh(touch(w)), "the signs"),
    ("arctanh of w h", lambda w: touch(w) - np.arctanh(w * touch(w)), "would not flip"),
    ("at rest", lambda w: w * settle(w) - math.atanh(settle(w, steps=99)), "at rest the push is 0"),
    ("nothing", lambda w: 0.0, "at rest the push is 0"),
    ("half", lambda w: (w * touch(w) - math.atanh(touch(w))) / 2, "would not flip the switch yet"),
    ("turns in 10 steps", lambda w: search(lambda p: turned(w, p, 10), 0, w),
     "more than is needed"),
    ("on a coarse grid", lambda w: next(p / 10 for p in range(99) if turned(w, p / 10, 999)),
     "more"),
    ("from 0 on", lambda w: search(lambda p: settle(w, 0.0, 99, p) < 0, 0, w),
     "at rest the push is 0"),
    ("table of two", lambda w: {2.0: 0.5328, 10.0: 7.668}.get(w, 0), "at rest the push is 0"),
    ("one constant", lambda w: 0.5328, r"push\(1.2\) should be 0.05.*more than is needed"),
    ("straight line", lambda w: 0.89 * w - 1.25, r"would not flip the switch yet"),
    ("state and push", lambda w: (touch(w), w * touch(w)), "must be a single number"),
    ("stops", stops, "smallest_push stopped with IndexError"),
    ("not written", dots, "smallest_push returned Ellipsis"),
]  # fmt: skip


def by_calculus(w: float) -> float:
    h = np.linspace(0, 1, 20001)[:-1]
    return (w * h - np.arctanh(h)).max()


def golden_section(w: float) -> list[float]:
    low, high, ratio = 0.0, 1.0, (math.sqrt(5) - 1) / 2
    for _ in range(60):
        a, b = high - ratio * (high - low), low + ratio * (high - low)
        if w * a - math.atanh(a) < w * b - math.atanh(b):
            low = a
        else:
            high = b
    return [w * low - math.atanh(low)]


RIGHT[checks.check_smallest_push] = [
    ("bisection on a simulation", lambda w: search(lambda p: turned(w, p, 2000), 0, w, 20)),
    ("the largest w h - arctanh(h)", by_calculus),
    ("golden section", golden_section),
    ("logarithms", lambda w: math.sqrt(w * w - w) - math.log(math.sqrt(w) + math.sqrt(w - 1))),
    ("an array", lambda w: np.array(w * touch(w) - np.arctanh(touch(w)))),
]  # fmt: skip

# --- 7. The first symbol. ---


def switches(
    push: Any = 3.0,
    w: Any = 10.0,
    *,
    W_ih: Any = lambda V: 2 * np.eye(V) - 1,
    W_hh: Any = np.eye,
    W: Any = np.eye,
    b: float = 0.0,
) -> Any:
    """A network of one unit a symbol, whose parts may be wrong."""

    def first_symbol_network(V: int) -> Any:
        params = Recurrent(push * W_ih(V), w * W_hh(V), np.full(V, b), np.zeros(V))
        return params, Linear(W(V), np.zeros(V))

    return first_symbol_network


def drawn(V: int) -> Any:
    rng = np.random.default_rng(0)
    return init_rnn(V, V + 4, rng=rng), init_linear(V + 4, V, rng=rng)


def with_parts(change: Any, **others: Any) -> Any:
    return lambda V: change(*switches(**others)(V))


def fixed(V: int) -> Any:
    return switches()(8)


def one_unit(V: int) -> Any:
    """One switch holds one of two symbols, not more."""
    ids = np.linspace(-1, 1, V)
    params = Recurrent(3 * ids[None], np.array([[10.0]]), np.zeros(1), np.zeros(1))
    return params, Linear(ids[:, None], np.zeros(V))


def counts_symbols(V: int) -> Any:
    """The unit that was pushed most often wins."""
    params = Recurrent(1e-6 * np.eye(V), np.eye(V), np.zeros(V), np.zeros(V))
    return params, Linear(np.eye(V), np.zeros(V))


def few_symbols(V: int) -> Any:
    return switches()(V) if V < 9 else drawn(V)


def turning(V: int) -> Any:
    return np.roll(np.eye(V), 1, axis=0)


EDGE = 10 * touch(10) - math.atanh(touch(10))
ALWAYS = [
    ("zeros", switches(0, 0), "symbol 0 alone has several largest outputs: look at W_ih"),
    ("drawn at random", drawn, "symbol 0 alone is answered 1: look at W_ih"),
    ("no memory", switches(w=0), "W_hh is zero, so nothing is remembered"),
    ("push too strong", switches(20.0), "later symbols flip"),
    ("w below 1", switches(w=0.9), "later symbols flip the switches"),
    ("w is 1", switches(w=1.0), "later symbols flip the switches"),
    ("w a little above 1", switches(w=1.5), "later symbols flip"),
    ("own unit only", switches(W_ih=np.eye), "must set every switch, its own unit up"),
    ("pushed down", switches(-3.0), "symbol 0 alone is answered 1: look at W_ih and the"),
    ("all up", switches(W_ih=lambda V: np.ones((V, V))),
     "symbol 0 alone has several largest outputs"),
    ("negative w", switches(w=-10.0), "sequence of 2 .*the memory is lost: is each unit"),
    ("every unit feeds every unit", switches(W_hh=lambda V: np.ones((V, V))),
     "the units act on each other"),
    ("unit feeds the next", switches(W_hh=turning), "the units act on each other"),
    ("readout in another order", switches(W=lambda V: np.eye(V)[::-1]), "W_ih and the readout"),
    ("readout of zeros", switches(W=lambda V: np.zeros((V, V))),
     "alone has several largest outputs"),
    ("bias above the push", switches(b=9.0), "must set every switch, its own unit up"),
    ("one unit for all", one_unit, "symbol 1 alone .*look at W_ih and the readout"),
    ("counts the symbols", counts_symbols, "must set every switch"),
    ("V ignored", fixed, r"W_ih must have shape \(H=8, V=2\)"),
    ("W_ih turned", with_parts(lambda p, r: (p._replace(W_ih=np.ones((9, 2)).T), r)), "must have"),
    ("network only", with_parts(lambda p, r: p), "must return params, readout; it returned 4"),
    ("exchanged", with_parts(lambda p, r: (r, p)), "the first result must be Recurrent"),
    ("no biases", with_parts(lambda p, r: (p[:2], r)), "the first result must be Recurrent"),
    ("six arrays", with_parts(lambda p, r: (*p, *r)), "must return params, readout; it returned 6"),
    ("no readout", with_parts(lambda p, r: (p, ...)), r"readout, must be Linear"),
    ("readout is a matrix", with_parts(lambda p, r: (p, r.W[:, :1])), "readout, must be Linear"),
    ("nan", with_parts(lambda p, r: (p._replace(b_hh=p.b_hh * np.nan), r)), "b_hh holds nan"),
    ("W_ih a number", with_parts(lambda p, r: (p._replace(W_ih=3.0), r)), "W_ih must be an array"),
    ("unequal rows", with_parts(lambda p, r: (p._replace(W_ih=[[1.0], [1.0, 2.0]]), r)),
     "W_ih must be an array of numbers, got a list of unequal parts"),
    ("stops", stops, "first_symbol_network stopped with IndexError"),
    ("not written", dots, "first_symbol_network returned Ellipsis"),
]  # fmt: skip
WRONG[checks.check_first_symbol] = [
    *ALWAYS,
    ("few symbols only", few_symbols, "with V=20 symbols"),
    ("push just too strong", switches(EDGE + 0.1), "sequence of 10 .*later symbols flip"),
    ("push too weak at the start", switches(0.45, 1.9), "is that still large"),
]
WRONG[checks.check_first_symbol_long] = [
    *ALWAYS,
    ("a hair too strong", switches(EDGE + 1e-3), "a sequence of [0-9]{2,} .*later symbols flip"),
    ("lasts 500 steps", switches(EDGE + 2e-5), "a sequence of [0-9]{3} .*later symbols flip"),
]


def binary_code(V: int) -> Any:
    """One switch for each binary digit of the symbol's number."""
    digits = max(1, math.ceil(math.log2(V)))
    code = 2.0 * ((np.arange(V)[:, None] >> np.arange(digits)) & 1) - 1
    params = (3 * code.T, 10 * np.eye(digits), np.zeros(digits), np.zeros(digits))
    return params, (code, np.zeros(V))


def in_lists(V: int) -> Any:
    params, readout = switches()(V)
    return [p.tolist() for p in params], [p.tolist() for p in readout]


def idle_units(V: int) -> Any:
    (W_ih, W_hh, b_ih, b_hh), (W, b) = switches()(V)
    wide = np.zeros((V + 3, V + 3))
    wide[:V, :V] = W_hh
    bias = np.pad(b_ih, (0, 3), constant_values=0.3)
    return Recurrent(np.pad(W_ih, ((0, 3), (0, 0))), wide, bias, np.pad(b_hh, (0, 3))), Linear(
        np.pad(W, ((0, 0), (0, 3))), b
    )


def no_unit_for_the_last(V: int) -> Any:
    code = 2 * np.eye(V)[:, : V - 1] - 1
    H = V - 1
    return Recurrent(3 * code.T, 10 * np.eye(H), np.zeros(H), np.zeros(H)), Linear(
        code, np.zeros(V)
    )


def upside_down(V: int) -> Any:
    return switches(-3.0, W=lambda V: -np.eye(V))(V)


def random_code(V: int) -> Any:
    """Switches in a pattern drawn for each symbol, all different."""
    rng = np.random.default_rng(1)
    code = rng.choice([-1.0, 1.0], size=(V, 16))
    return Recurrent(4 * code.T, 12 * np.eye(16), np.zeros(16), np.zeros(16)), Linear(
        code, np.full(V, 5.0)
    )


RIGHT[checks.check_first_symbol] = [
    ("binary code", binary_code),
    ("lists", in_lists),
    ("three idle units", idle_units),
    ("much larger weights", switches(3e5, 1e6, W=lambda V: 1e9 * np.eye(V))),
    ("tiny pushes", switches(1e-9, 3.0)),
    ("no unit for the last symbol", no_unit_for_the_last),
    ("upside down", upside_down),
    ("a code drawn at random", random_code),
]
RIGHT[checks.check_first_symbol_long] = RIGHT[checks.check_first_symbol]

# --- The tests. ---
