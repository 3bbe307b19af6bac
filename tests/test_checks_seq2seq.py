"""The checks of the exercises of chapter 8 refuse wrong answers, each for its own reason.

They accept right ones, however unusual. A row of a table of wrong answers holds the mistake, the
answer, and the part of the message that tells the learner of this mistake.
"""

from fractions import Fraction
from functools import partial
from typing import Any

import nbformat
import numpy as np
import pytest

from tests.check_cases import *  # noqa: F403
from tests.check_cases import Check, dots, one_buffer, stops
from tools.notebooks import ROOT
from unrolled.checks import seq2seq as checks
from unrolled.decoding import beam_search, greedy
from unrolled.functional import log_softmax, softmax
from unrolled.losses import cross_entropy
from unrolled.params import Linear, Recurrent
from unrolled.rnn import rnn_backward, rnn_forward
from unrolled.seq2seq import Seq2Seq, decode_step, encode

CHECKS, MASTER = checks, "08_seq2seq"
SCOPE = {
    "np": np,
    "Linear": Linear,
    "Recurrent": Recurrent,
    "Seq2Seq": Seq2Seq,
    "decode_step": decode_step,
    "encode": encode,
    "log_softmax": log_softmax,
}
WRONG: dict[Check, list[tuple[str, Any, str]]] = {}
RIGHT: dict[Check, list[tuple[str, Any]]] = {}


# --- 1. How far a mistake carries. ---


def mistakes(all_right: Any = 0.818, lost: Any = 1.97, mended: Any = 0.0196) -> Any:
    return all_right, lost, mended


WRONG[checks.check_mistakes] = [
    ("linear", mistakes(0.8), "the shares multiply"),
    ("some mistake", mistakes(0.182), "has a mistake somewhere"),
    ("exponential", mistakes(0.8187), "exp.-20 e. is near to it"),
    ("two digits", mistakes(0.82), "all_right = 0.82 is near, but not right"),
    ("one symbol", mistakes(0.99), "one symbol's share"),
    ("one place less", mistakes(0.826), "not 19"),
    ("one place more", mistakes(0.81), "not 21"),
    ("per cent", mistakes(81.8), "not a percentage"),
    ("after the right ones", mistakes(lost=0.2), "after the right symbols"),
    ("square", mistakes(lost=2.0), "is near to it; symbol t is right only if"),
    ("lost, rounded on the way", mistakes(lost=1.98), "lost = 1.98 is near, but not right"),
    ("sum of t e", mistakes(lost=2.1), r"\(T . 1\) / 2 is near"),
    ("right ones", mistakes(lost=18.03), "how many are right"),
    ("share", mistakes(lost=0.0986), "this is the share; how many"),
    ("without the first", mistakes(lost=1.79), "first mistake is wrong as well"),
    ("all or nothing", mistakes(lost=3.64), "comes late"),
    ("lost, any other", mistakes(lost=7), "lost = 7 is not right: with which probability"),
    ("no memory", mistakes(mended=0.01), "a mistake makes the next one likelier"),
    ("near", mistakes(mended=0.02), "only where the symbol before was right"),
    ("rounded on the way", mistakes(mended=0.0197), "mended = 0.0197 is near, but not right"),
    ("after a mistake", mistakes(mended=0.5), "how often is the symbol before a mistake"),
    ("complement", mistakes(mended=0.98), "share of right ones"),
    ("mean of both", mistakes(mended=0.255), "equally frequent"),
    ("mended, per cent", mistakes(mended=1.96078), "not a percentage|not how much larger"),
    ("mended, any other", mistakes(mended=0.03), "q = .1 - q. e . q f"),
    ("text", mistakes("0.8"), "must be a number, got '0.8'"),
    ("nan", mistakes(np.nan), "must be a finite number"),
    ("not written", mistakes(mended=...), "mended has no value yet"),
]
RIGHT[checks.check_mistakes] = [
    ("exact", mistakes(0.99**20, 20 - 99 * (1 - 0.99**20), Fraction(1, 51))),
    ("four digits", mistakes(0.8179, 1.973, 0.01961)),
    ("arrays of one number", mistakes(np.array([0.818]), np.float32(1.97), [0.0196])),
]

# --- 2. One step apart. ---


def shift(read: str = "in", written: str = "out", own: Any = None, give: Any = lambda *a: a) -> Any:
    """Columns by their names in the checks, and what is added to the targets' own lengths."""

    def shifted(targets: Any, start: Any, end: Any, pad: Any) -> Any:
        made = checks._shifted(targets, start, end, pad)
        lengths = np.array([len(y) + (1 if own is None else own) for y in targets])
        return give(made[read], made[written], lengths)

    return shifted


def float_arrays(targets: Any, start: Any, end: Any, pad: Any) -> Any:
    """np.zeros makes floats."""
    read, written, lengths = shift()(targets, start, end, pad)
    return np.zeros(read.shape) + read, np.zeros(read.shape) + written, lengths


def end_appended(targets: Any, start: Any, end: Any, pad: Any) -> Any:
    answer = shift()(targets, start, end, pad)
    for y in targets:
        y.append(end)
    return answer


def without_empty(targets: Any, start: Any, end: Any, pad: Any) -> Any:
    return shift()([y for y in targets if y] or targets, start, end, pad)


def zeros_for_pad(targets: Any, start: Any, end: Any, _: Any) -> Any:
    return shift()(targets, start, end, 0)


def not_pad(targets: Any, start: Any, end: Any, pad: Any) -> Any:
    """Counts what is not pad, which may be the same number as end."""
    read, written, _ = shift()(targets, start, end, pad)
    return read, written, (written != pad).sum(axis=0)


def wider(targets: Any, start: Any, end: Any, pad: Any) -> Any:
    return shift(give=lambda a, b, n: (np.pad(a, ((0, 1), (0, 0)), constant_values=pad),
                                       np.pad(b, ((0, 1), (0, 0)), constant_values=pad), n))(
        targets, start, end, pad)  # fmt: skip


WRONG[checks.check_shifted] = [
    ("not shifted", shift("out"), "start comes before what is read"),
    ("both as read", shift("in", "in"), "what is written has no start"),
    ("changed places", shift("out", "in"), "have changed places"),
    ("end read, too", shift("both"), "the end symbol is read as well"),
    ("start not read", shift("bare"), "start is missing"),
    ("start written, too", shift(written="both"), "start is not written"),
    ("end not written", shift(written="bare"), "end is missing"),
    ("end in the last row", shift(written="end last"), "right after each target"),
    ("read: padding first", shift("in late"), "target_in is wrong: the padding comes first"),
    ("written: padding first", shift("in", "out late"), "target_out is .*the padding comes first"),
    ("read: filled with start", shift("in start"), "filled with start"),
    ("read: filled with end", shift("in end"), "filled with end"),
    ("written: filled with end", shift("in", "out end"), "target_out.*filled with end"),
    ("written: filled with start", shift("in", "out start"), "target_out.*filled with start"),
    ("rows", shift(give=lambda a, b, n: (a.T, b.T, n)), "time comes first"),
    ("only the second in rows", shift(give=lambda a, b, n: (a, b.T, n)), "target_out.*time comes"),
    ("lengths without end", shift(own=0), "lengths is wrong: end counts as well"),
    ("lengths with start and end", shift(own=2), "start is not predicted"),
    ("lengths all T", shift(give=lambda a, b, n: (a, b, 0 * n + len(a))), "a length of its own"),
    ("other lengths", shift(own=7), r"lengths should be \[4, 2, 3, 3\], but"),
    ("lengths as a mask", shift(give=lambda a, b, n: (a, b, np.arange(len(a))[:, None] < n)),
     "lengths must be an array of numbers|lengths must have shape"),
    ("one length", shift(give=lambda a, b, n: (a, b, n.max())), r"lengths must have shape \(B=4"),
    ("compared with pad", not_pad, "do not compare with pad, which is the same number here"),
    ("floats", float_arrays, "must hold integers.*float64"),
    ("one row more", wider, r"target_in must have shape \(T=4, B=4\), got \(5, 4\)"),
    ("one row less", shift(give=lambda a, b, n: (a[:-1], b[:-1], n)), "one symbol more"),
    ("empty targets dropped", without_empty, r"must have shape \(T=7, B=5\), got \(7, 4\)"),
    ("pad is always 0", zeros_for_pad, r"target_in\[:, 0\] should be .11"),
    ("targets changed", end_appended, "changed its argument targets"),
    ("sorted by length", lambda y, *a: shift()(sorted(y, key=len), *a), r"should be \[1, "),
    ("lists of unequal length", lambda y, start, end, pad: ([[start, *t] for t in y],
        [[*t, end] for t in y], [len(t) + 1 for t in y]), "unequal parts"),
    ("two results", shift(give=lambda a, b, n: (a, b)), "returned 2 things"),
    ("one buffer", one_buffer(shift()), "shifted overwrites what it returned before"),
    ("stops", stops, "stopped with IndexError: list index"),
    ("not written", dots, "shifted returned Ellipsis"),
]  # fmt: skip


def by_numbers(targets: Any, start: Any, end: Any, pad: Any) -> Any:
    """Lists of rows, number by number."""
    T = max(len(y) for y in targets) + 1
    read = [[([start, *y] + [pad] * T)[t] for y in targets] for t in range(T)]
    written = [[([*y, end] + [pad] * T)[t] for y in targets] for t in range(T)]
    return read, written, [len(y) + 1 for y in targets]


def one_array(targets: Any, start: Any, end: Any, pad: Any) -> Any:
    """Both are cut out of one array, and the end is taken out of what is read."""
    T = max(map(len, targets)) + 2
    whole = np.array([[start, *y, end] + [pad] * (T - len(y) - 2) for y in targets]).T
    lengths = np.array([len(y) + 1 for y in targets])
    read = whole[:-1].copy()
    read[np.arange(T - 1)[:, None] >= lengths] = pad
    return [read, whole[1:], lengths]


def small_integers(*args: Any) -> Any:
    return tuple(np.asarray(part, dtype=np.int8) for part in shift()(*args))


RIGHT[checks.check_shifted] = [
    ("number by number, in lists", by_numbers),
    ("cut out of one array", one_array),
    ("int8", small_integers),
    ("unsigned", lambda *args: tuple(part.astype(np.uint32) for part in shift()(*args))),
]

# --- 3. What padding costs. ---


def reported(per_symbol: Any = 1.14, per_target: Any = 1.325, unmasked: Any = 0.7125) -> Any:
    return per_symbol, per_target, unmasked


WRONG[checks.check_reported] = [
    ("mean of means", reported(1.325), "a long target has more symbols"),
    ("padding counts", reported(0.7125), "divide by the symbols alone"),
    ("the sum", reported(22.8), "this is the sum; divide"),
    ("sum per target", reported(5.7), "sum over a target"),
    ("ends left out", reported(1.425), "end symbols count, too"),
    ("any other", reported(1.2), "per_symbol = 1.2 is not right: sum the losses"),
    ("per symbol for per target", reported(per_target=1.14), "the mean over the symbols"),
    ("padding for per target", reported(per_target=0.7125), "padding counts there"),
    ("any other per target", reported(per_target=2), "it is the mean of four numbers"),
    ("per symbol for unmasked", reported(unmasked=1.14), "the mean over the symbols"),
    ("mean of means for unmasked", reported(unmasked=1.325), "the mean of the four means"),
    ("any other unmasked", reported(unmasked=0.5), "4 columns of 8 rows"),
    ("a list", reported([1.14, 1.325]), "must be a single number"),
    ("not written", reported(unmasked=...), "unmasked has no value yet"),
]
RIGHT[checks.check_reported] = [
    ("fractions", reported(Fraction(57, 50), Fraction(53, 40), Fraction(57, 80))),
    ("three digits", reported(1.14, 1.33, 0.713)),
    ("float32", reported(np.float32(1.14), np.array([1.325]), 22.8 / 32)),
]


def loss(*wrong: str, give: Any = lambda value, d: (value, d)) -> Any:
    """The masked loss with mistakes by their names in the checks."""

    def masked_loss(logits: Any, target_out: Any, lengths: Any) -> Any:
        if "no mask" in wrong or "gradient at padding" in wrong or "one more" in wrong:
            logits = np.nan_to_num(logits)
        target_out = target_out % logits.shape[-1]  # a class where padding stands, too
        return give(*checks._loss(logits, target_out, lengths, *wrong))

    return masked_loss


def times_mask(logits: Any, target_out: Any, lengths: Any) -> Any:
    """0 times nan is nan."""
    T, _, V = logits.shape
    mask = np.arange(T)[:, None] < lengths
    log_p = log_softmax(logits)
    y = np.eye(V)[np.where(mask, target_out, 0)]
    N = mask.sum()
    return -((log_p * y).sum(axis=-1) * mask).sum() / N, ((np.exp(log_p) - y) * mask[..., None] / N)


def nan_in_the_gradient(logits: Any, target_out: Any, lengths: Any) -> Any:
    value, _ = loss()(logits, target_out, lengths)
    return value, times_mask(logits, target_out, lengths)[1]


def overflows(logits: Any, target_out: Any, lengths: Any) -> Any:
    p = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    T, _, V = logits.shape
    mask = np.arange(T)[:, None] < lengths
    y, N = np.eye(V)[target_out], mask.sum()
    chosen = (p * y).sum(axis=-1)
    d = np.where(mask[..., None], p - y, 0) / N
    return -np.log(chosen[mask]).sum() / N, d


def small_constant(logits: Any, target_out: Any, lengths: Any) -> Any:
    value, d = loss()(logits, target_out, lengths)
    return value + 1e-8, d


def logits_in_place(logits: Any, target_out: Any, lengths: Any) -> Any:
    answer = loss()(logits, target_out, lengths)
    logits -= logits.max(axis=-1, keepdims=True)
    return answer


def mask_from_symbols(logits: Any, target_out: Any, lengths: Any) -> Any:
    """Takes 0 for padding, though it is a symbol like others here."""
    mask = target_out > 0
    value, d = cross_entropy(np.nan_to_num(logits), np.maximum(target_out, 0), mask)
    return value, d


def indexed_first(logits: Any, target_out: Any, lengths: Any) -> Any:
    """A number that is no class, where padding stands, is no index."""
    T, _, V = logits.shape
    mask = (np.arange(T)[:, None] < lengths)[..., None]
    log_p, y = log_softmax(np.where(mask, logits, 0)), np.eye(V)[target_out]
    N = mask.sum()
    return -np.where(mask, log_p * y, 0).sum() / N, np.where(mask, np.exp(log_p) - y, 0) / N


def with_log(log_of: Any) -> Any:
    """The masked loss with another way to the logarithms of the probabilities."""

    def masked_loss(logits: Any, target_out: Any, lengths: Any) -> Any:
        mask = np.arange(len(logits))[:, None] < lengths
        o, y = logits[mask], target_out[mask]
        value = -log_of(o)[np.arange(len(y)), y].mean()
        return value, loss()(logits, target_out, lengths)[1]

    return masked_loss


def shifted_by(shift_of: Any) -> Any:
    def log_of(o: Any) -> Any:
        o = o - shift_of(o)
        return o - np.log(np.exp(o).sum(axis=-1, keepdims=True))

    return with_log(log_of)


def first_sequence(logits: Any, target_out: Any, lengths: Any) -> Any:
    return loss()(logits[:, :1], target_out[:, :1], lengths[:1])


WRONG[checks.check_masked_loss] = [
    ("no mask", loss("no mask"), "padding counts like any symbol"),
    ("divided by all places", loss("over all places"), "divided by T . B"),
    ("the sum", loss("sum"), "the sum; divide by the number of symbols"),
    ("divided by the batch", loss("over the batch"), "divided by B"),
    ("divided by the steps", loss("over steps"), "divided by T; divide"),
    ("mean of means", loss("over targets"), "the mean of the targets' own means"),
    ("end left out", loss("one less"), "the last symbol of each target"),
    ("one place of padding", loss("one more"), "one place of padding counts"),
    ("mask turned round", loss("starts with padding"), "leaves out the first places"),
    ("bits", loss("bits"), "the loss in bits"),
    ("log10", loss("log10"), "logarithm to base 10"),
    ("log p", loss("log p"), "the loss is its negative"),
    ("softmax over time", loss("over T"), "a softmax over the steps"),
    ("softmax over the batch", loss("over B"), "a softmax over the batch"),
    ("gradient of the padding", loss("gradient at padding"), "padding has a gradient"),
    ("gradient of the sum", loss("sum in the gradient"), "the gradient of the sum"),
    ("gradient by all places", loss("gradient over all places"), "dlogits .* divided by T . B"),
    ("sign", loss("y - p"), "negative of the gradient"),
    ("p alone", loss("p alone"), "one-hot vector is not subtracted"),
    ("y alone", loss("y alone"), "the gradient is p - y"),
    ("times the loss", loss("times loss"), "the loss multiplies the gradient"),
    ("mask from the symbols", mask_from_symbols, "loss should be|loss is wrong"),
    ("times the mask", times_mask, "loss holds nan, as the logits do"),
    ("times the mask, in the gradient", nan_in_the_gradient, "dlogits holds nan, as the logits"),
    ("overflows", overflows, "no finite number where logits are large"),
    ("log of softmax", with_log(lambda o: np.log(softmax(o))), "where logits are large"),
    ("clipped", with_log(lambda o: np.log(np.clip(softmax(o), 1e-12, 1))), "clip or add nothing"),
    ("a constant in the logarithm", with_log(lambda o: np.log(softmax(o) + 1e-12)),
     "clip or add nothing"),
    ("less the mean", shifted_by(lambda o: o.mean(axis=-1, keepdims=True)), "logits are large"),
    ("less the first", shifted_by(lambda o: o[:, :1]), "logits are large"),
    ("less the largest of all", shifted_by(lambda o: o.max()), "logits are large"),
    ("index before the mask", indexed_first, "where padding stands is no class"),
    ("a small constant", small_constant, "right to a few digits only"),
    ("float32", loss(give=lambda v, d: (np.float32(v), d)), "loss is right to a few digits only"),
    ("gradient in float32", loss(give=lambda v, d: (v, d.astype(np.float32))),
     "dlogits is right to a few digits only"),
    ("rows that count alone", loss(give=lambda v, d: (v, d[d.any(axis=-1)])),
     "dlogits must have shape"),
    ("a loss for each place", loss(give=lambda v, d: (d[..., 0], d)), "must be a single number"),
    ("logits changed", logits_in_place, "changed its argument logits"),
    ("first sequence", first_sequence, "dlogits must have shape"),
    ("exchanged", loss(give=lambda v, d: (d, v)), "loss must be a single number"),
    ("loss alone", loss(give=lambda v, d: v), "must return loss, dlogits; it returned a float"),
    ("one buffer", one_buffer(loss()), "masked_loss overwrites what it returned before"),
    ("stops", stops, "stopped with IndexError"),
    ("not written", dots, "masked_loss returned Ellipsis"),
]  # fmt: skip


def with_the_package(logits: Any, target_out: Any, lengths: Any) -> Any:
    return cross_entropy(logits, target_out, np.arange(len(logits))[:, None] < lengths)


def place_by_place(logits: Any, target_out: Any, lengths: Any) -> Any:
    d, total = np.zeros(logits.shape), 0.0
    for b, n in enumerate(lengths.tolist()):
        for t in range(n):
            o = logits[t, b] - logits[t, b].max()
            log_p = o - np.log(np.exp(o).sum())
            total -= float(log_p[target_out[t, b]])
            d[t, b] = np.exp(log_p)
            d[t, b, target_out[t, b]] -= 1
    N = int(lengths.sum())
    return total / N, (d / N).tolist()


def with_where(logits: Any, target_out: Any, lengths: Any) -> Any:
    """All places are computed, after zeros have taken the place of the padding."""
    mask = np.arange(len(logits))[:, None] < lengths
    log_p = log_softmax(np.where(mask[..., None], logits, 0))
    y = np.where(mask, target_out, 0)
    picked = np.take_along_axis(log_p, y[..., None], axis=-1)[..., 0]
    d = np.exp(log_p) - np.eye(logits.shape[-1])[y]
    return [-np.average(picked, weights=mask), d * mask[..., None] / mask.sum()]


def weighted_means(logits: Any, target_out: Any, lengths: Any) -> Any:
    """One target at a time, weighted by its length."""
    total, parts = 0.0, []
    for b, n in enumerate(lengths):
        value, d = cross_entropy(logits[:n, b], target_out[:n, b])
        total += value * n / lengths.sum()
        parts.append(np.concatenate([d * n / lengths.sum(), np.zeros_like(logits[n:, b])]))
    return np.array([total]), np.stack(parts, axis=1)


RIGHT[checks.check_masked_loss] = [
    ("the package's", with_the_package),
    ("place by place, a list", place_by_place),
    ("np.where, a list of two", with_where),
    ("target by target", weighted_means),
]

# --- 4. Through the seam. ---


def seam(*wrong: str, give: Any = lambda da, dW: (da, dW)) -> Any:
    """The encoder's way back with mistakes by their names in the checks."""
    return lambda h, lengths, W_hh, dh0: give(*checks._seam(h, lengths, W_hh, dh0, *wrong))


def h_in_place(h: Any, lengths: Any, W_hh: Any, dh0: Any) -> Any:
    answer = seam()(h, lengths, W_hh, dh0)
    h *= h
    return answer


def dh0_in_place(h: Any, lengths: Any, W_hh: Any, dh0: Any) -> Any:
    answer = seam()(h, lengths, W_hh, dh0)
    dh0 -= dh0
    return answer


def from_the_end(h: Any, lengths: Any, W_hh: Any, dh0: Any) -> Any:
    da, dW = seam()(h, lengths, W_hh, dh0)
    return da[::-1], dW


def to_the_longest(h: Any, lengths: Any, W_hh: Any, dh0: Any) -> Any:
    return seam()(h[: lengths.max() + 1], lengths, W_hh, dh0)


def mean_of_batch(da: Any, dW: Any) -> Any:
    return da / da.shape[1], dW / da.shape[1]


WRONG[checks.check_seam] = [
    ("all at S", seam("all at S"), "enters at lengths.b."),
    ("one early", seam("one early"), "one step early"),
    ("no slope", seam("no slope"), "without the slope of tanh"),
    ("1 - h", seam("no square"), "with 1 - h; the slope"),
    ("slope of the old state", seam("old slope"), "the slope at h.s - 1."),
    ("dh without the slope", seam("no slope carried"), "carried back without the slope"),
    ("W_hh turned", seam("turned"), "W_hh transposed on the way back"),
    ("not carried", seam("not carried"), "not carried back through W_hh"),
    ("at every step", seam("at every step"), "it enters once, at the end"),
    ("padding not zero", seam("given back"), "where a source has ended"),
    ("mean over the batch", seam(give=mean_of_batch), "da is .*the mean over the batch"),
    ("dW: h_s", seam("h_s"), "step s multiplies W_hh with h.s - 1."),
    ("dW turned", seam("dW turned"), "dW_hh is wrong: this is the transpose"),
    ("dW of the first step", seam("first step"), "the share of step 1 alone"),
    ("dW without h0", seam("h0 left out"), "without step 1"),
    ("dW, mean over the batch", seam(give=lambda da, dW: (da, dW / da.shape[1])),
     "dW_hh is wrong: this is the mean over the batch"),
    ("dW, mean over the steps", seam(give=lambda da, dW: (da, dW / len(da))),
     "the mean over the steps"),
    ("one row more", seam(give=lambda da, dW: (np.concatenate([da[:1], da]), dW)),
     r"da must have shape \(S=5, B=4, H=4\), got \(6, 4, 4\). One row for each"),
    ("as many rows as the longest source", to_the_longest,
     r"da must have shape \(S=4, B=1, H=2\), got \(3, 1, 2\). One row for each"),
    ("in time's reverse", from_the_end, r"da\[.*Start with zeros"),
    ("batch first", seam(give=lambda da, dW: (da.swapaxes(0, 1), dW)), "da must have shape"),
    ("dW of each step", seam(give=lambda da, dW: (da, np.stack([dW] * len(da)))),
     "dW_hh must have shape"),
    ("signs", seam(give=lambda da, dW: (-da, -dW)), r"da\[.*Start with zeros"),
    ("exchanged", seam(give=lambda da, dW: (dW, da)), "da must have shape"),
    ("da alone", seam(give=lambda da, dW: da), "must return da, dW_hh; it returned an array"),
    ("float32", seam(give=lambda da, dW: (da.astype(np.float32), dW)), "a few digits only"),
    ("h changed", h_in_place, "changed its argument h"),
    ("dh0 changed", dh0_in_place, "changed its argument dh0"),
    ("one buffer", one_buffer(seam()), "through_the_seam overwrites"),
    ("stops", stops, "stopped with IndexError"),
    ("not written", dots, "through_the_seam returned Ellipsis"),
]  # fmt: skip


def one_by_one(h: Any, lengths: Any, W_hh: Any, dh0: Any) -> Any:
    """One source at a time, by matrices."""
    S, B, H = h[1:].shape
    da, dW = np.zeros((S, B, H)), np.zeros((H, H))
    for b in range(B):
        dh = dh0[b].copy()
        for s in range(int(lengths[b]), 0, -1):
            da[s - 1, b] = np.diag(1 - h[s, b] ** 2) @ dh
            dh = W_hh.T @ da[s - 1, b]
            dW += np.outer(da[s - 1, b], h[s - 1, b])
    return da.tolist(), dW.tolist()


def with_layers(h: Any, lengths: Any, W_hh: Any, dh0: Any) -> Any:
    """The package's backward pass; an input of H numbers is the pre-activation that it needs."""
    S, B, H = h[1:].shape
    before = np.arctanh(np.clip(h[1:], -1 + 1e-15, 1 - 1e-15)) - h[:-1] @ W_hh.T
    params = Recurrent(np.eye(H), W_hh, np.zeros(H), np.zeros(H))
    _, _, cache = rnn_forward(params, before, h[0], lengths=lengths)
    cache = cache._replace(h=h)
    dx, _, grads = rnn_backward(cache, np.zeros((S, B, H)), dh0)
    return [dx, grads.W_hh]


def by_mask(h: Any, lengths: Any, W_hh: Any, dh0: Any) -> Any:
    """The gradient waits at S, and goes through the steps of padding unchanged."""
    dh, das, dW = dh0.copy(), [], 0
    for s in range(len(h) - 1, 0, -1):
        alive = (s <= lengths)[:, None]
        das.insert(0, np.where(alive, dh * (1 - h[s] ** 2), 0))
        dW = dW + das[0].T @ h[s - 1]
        dh = np.where(alive, das[0] @ W_hh, dh)
    return np.stack(das), dW


RIGHT[checks.check_seam] = [
    ("one source at a time, in lists", one_by_one),
    ("the package's, a list", with_layers),
    ("the gradient waits", by_mask),
]

# --- 5. A decoder with mistakes. ---

PASSES = {"one", "same", "first"}
WRONG[checks.check_passes] = [
    ("equal, too", PASSES | {"equal"}, "holds 'equal'.*one answer ends before another"),
    ("padded, too", PASSES | {"padded"}, "holds 'padded'.*where a source has ended"),
    ("all", {*checks.TRIALS}, "holds 'equal'"),
    ("none", set(), "not complete. Look at 'one'"),
    ("without one", {"same", "first"}, "Look at 'one'.*for a batch of one"),
    ("without same", {"one", "first"}, "Look at 'same'.*when do equal sources"),
    ("without first", {"one", "same"}, "Look at 'first'.*if one symbol is asked"),
    ("those that fail", {"equal", "padded"}, "holds 'equal'"),
    ("an unknown name", {"one", "two"}, "may hold the names .*'two'"),
    ("a dict", {"one": False, "same": False, "first": False}, "without colons, got a dict"),
    ("numbers", {1, 2}, "must be a set of names"),
    ("not written", ..., "passes has no value yet"),
]
RIGHT[checks.check_passes] = [
    ("a list", ["first", "one", "same"]),
    ("a frozenset", frozenset(PASSES)),
    ("with spaces", {" one", "same ", "first"}),
]


def decode(*wrong: str, give: Any = lambda answers, log_p: (answers, log_p)) -> Any:
    """A greedy decoder with mistakes by their names in the checks."""
    return lambda *args: give(*checks._written(*args, *wrong))


def buggy(
    params: Any, source: Any, lengths: Any, start: Any, end: Any, longest: Any,
    *, mend: tuple[str, ...] = (), other: str = "",
) -> Any:  # fmt: skip
    """The function of the question, of whose mistakes some are mended."""
    memory = encode("gru", params, source, lengths if "lengths" in mend else None)
    B = source.shape[1]
    last, log_p, written = np.full(B, start), np.zeros(B), []
    ended = np.zeros(B, dtype=bool)
    for _ in range(longest):
        log_probs, memory = decode_step("gru", params, last, memory)
        last = log_probs.argmax(axis=1)
        gain = log_probs[np.arange(B), last]
        log_p += np.where(ended & ("log_p" in mend), 0, gain)
        ended |= last == end
        written.append(last)
        if (last == end).all() or ("stop" in mend and ended.all()):
            break
    answers = [row.tolist() for row in np.column_stack(written)]
    if "cut" in mend:
        answers = [checks._up_to(end, answer) for answer in answers]
    return answers, log_p


def mended(*mend: str) -> Any:
    return partial(buggy, mend=mend)


def asks_first(
    params: Any, source: Any, lengths: Any, start: Any, end: Any, longest: Any
) -> Any:  # fmt: skip
    """Compares what is read with end, and start may be the same number."""
    if start == end:
        return [[] for _ in lengths], np.zeros(len(lengths))
    return decode()(params, source, lengths, start, end, longest)


def two_at_least(*args: Any) -> Any:
    return decode()(*args[:-1], max(args[-1], 2))


def first_not_asked(*args: Any) -> Any:
    """argmax is 0 if the end comes first, and if it does not come."""
    *read, end, longest = args
    answers, log_p = decode()(*args)
    whole, p = decode()(*read, -1, longest)  # no symbol is the end
    at_once = [answer == [end] for answer in answers]
    return [w if at else a for a, w, at in zip(answers, whole, at_once)], np.where(
        at_once, p, log_p
    )


def padded_with_end(*args: Any) -> Any:
    answers, log_p = decode()(*args)
    T = max(map(len, answers))
    return [a + [args[4]] * (T - len(a)) for a in answers], log_p


def fixed_symbols(params: Any, source: Any, lengths: Any, *rest: Any) -> Any:
    return decode()(params, source, lengths, 1, 2, rest[-1])


def nine_symbols(*args: Any) -> Any:
    return decode()(*args[:-1], 9)


def one_too_many(*args: Any) -> Any:
    return decode()(*args[:-1], args[-1] + 1)


def one_too_few(*args: Any) -> Any:
    return decode()(*args[:-1], args[-1] - 1)


def source_in_place(params: Any, source: Any, *rest: Any) -> Any:
    answer = decode()(params, source, *rest)
    source[:] = source[::-1].copy()
    return answer


def first_only(params: Any, source: Any, lengths: Any, *rest: Any) -> Any:
    return decode()(params, source[:, :1], lengths[:1], *rest)


def shared_list(*args: Any) -> Any:
    """[[]] * B is one list, B times."""
    answers, log_p = decode()(*args)
    one = [symbol for answer in answers for symbol in answer]
    return [one] * len(answers), log_p


WRONG[checks.check_mended_decode] = [
    ("nothing mended", mended(), "the encoder has read the padding|go on after their end"),
    ("lengths alone", mended("lengths"), "answers go on after their end symbols"),
    ("lengths and stop", mended("lengths", "stop"), "answers go on after their end symbols"),
    ("lengths and log_p", mended("lengths", "log_p"), "answers go on after their end symbols"),
    ("all but the cut", mended("lengths", "log_p", "stop"), "answers go on after their end"),
    ("all but the lengths", mended("cut", "log_p", "stop"), "the encoder has read the padding"),
    ("all but log_p", mended("lengths", "cut", "stop"), "symbols after the end count"),
    ("cut, and counted on to the last step", mended("lengths", "cut"),
     "log_p is wrong.*symbols after the end count, too"),
    ("state not carried", decode("state kept"), "carry the memory on"),
    ("start again", decode("start again"), "the decoder reads start at every step"),
    ("the least probable", decode("least"), "the least probable symbol"),
    ("stops at the first end", decode("first end"), "all stop when the first"),
    ("end not counted", decode("end not counted"), "the end symbol does not count"),
    ("mean", decode("mean"), "the mean for each symbol"),
    ("end left out", decode(give=lambda a, p: ([x[:-1] if x[-1] == 2 else x for x in a], p)),
     "answers lack their end symbols"),
    ("start in front", decode(give=lambda a, p: ([[1, *x] for x in a], p)),
     "answers begin with the start symbol"),
    ("padded with end", padded_with_end, "answers go on after their end symbols"),
    ("longest + 1", one_too_many, "answers.*holds 10 symbols, but longest is 9"),
    ("longest - 1", one_too_few, "should be .*but it stops at"),
    ("start is taken for an end", asks_first, "an answer is empty: nothing has ended"),
    ("two symbols at least", two_at_least, "holds 2 symbols, but longest is 1"),
    ("an end at once is not seen", first_not_asked, "answers go on after their end symbols"),
    ("start and end are 1 and 2", fixed_symbols, "answers.0. should be|answers|log_p"),
    ("always nine", nine_symbols, "9 symbols, but longest is 8"),
    ("probabilities", decode(give=lambda a, p: (a, np.exp(p))), "product of the probabilities"),
    ("negative", decode(give=lambda a, p: (a, -p)), "the negative; a log probability"),
    ("log_p, one number", decode(give=lambda a, p: (a, p.sum())), "log_p must have shape"),
    ("first source only", first_only, "a list of 5 lists, one for each source, got 1"),
    ("one list for all", shared_list, "answers|symbols"),
    ("symbols as text", decode(give=lambda a, p: ([list(map(str, x)) for x in a], p)),
     "a symbol of answers.0. must be a number"),
    ("no list", decode(give=lambda a, p: (len(a), p)), "must be a list of 5 lists, got an int"),
    ("numbers for lists", decode(give=lambda a, p: ([len(x) for x in a], p)),
     "answers.0. must be a list of symbols, got an int"),
    ("halves", decode(give=lambda a, p: ([[s + 0.5 for s in x] for x in a], p)), "whole numbers"),
    ("answers alone", decode(give=lambda a, p: tuple(a) if len(a) != 2 else (a,)),
     "must return answers, log_p"),
    ("float32", decode(give=lambda a, p: (a, p.astype(np.float32))), "a few digits only"),
    ("source changed", source_in_place, "changed its argument source"),
    ("one buffer", one_buffer(decode()), "mended_decode overwrites"),
    ("stops", stops, "stopped with IndexError"),
    ("not written", dots, "mended_decode returned Ellipsis"),
]  # fmt: skip


def by_package(params: Any, source: Any, lengths: Any, start: Any, end: Any, longest: Any) -> Any:
    memory = encode("gru", params, source, lengths)
    step = partial(decode_step, "gru", params)
    found = greedy(step, memory, bos=start, eos=end, max_length=longest)
    return [h.tokens for h in found], [h.log_prob for h in found]


def by_beam(params: Any, source: Any, lengths: Any, start: Any, end: Any, longest: Any) -> Any:
    memory = encode("gru", params, source, lengths)
    step = partial(decode_step, "gru", params)
    found = beam_search(step, memory, width=1, bos=start, eos=end, max_length=longest)
    return tuple(np.array(b[0].tokens) for b in found), np.array([b[0].log_prob for b in found])


def one_after_another(params: Any, source: Any, lengths: Any, *rest: Any) -> Any:
    """Each source alone, without padding: then two of the mistakes are none."""
    answers, log_p = [], []
    for b, n in enumerate(lengths):
        answer, p = buggy(params, source[:n, b : b + 1], lengths[b : b + 1], *rest)
        answers += answer
        log_p.append(p[0])
    return answers, log_p


RIGHT[checks.check_mended_decode] = [
    ("the package's, tuples", by_package),
    ("a beam of one, arrays", by_beam),
    ("one source after another", one_after_another),
    ("all mended", mended("lengths", "cut", "log_p", "stop")),
    ("never stops early", mended("lengths", "cut", "log_p")),
]

# --- 6. A beam, and how it misleads. ---

WRONG[checks.check_alpha] = [
    ("by n", 0.465, "a division by n.alpha"),
    ("inverse", 1.0955, "the inverse"),
    ("ratio", 0.952, "without logarithms"),
    ("the probabilities alone", 0.511, "the lengths count, too"),
    ("one", 1.0, "with 1 the longer one wins already"),
    ("zero", 0, "there is no penalty"),
    ("end counted twice", np.log(5 / 3) / np.log(15 / 9), "n counts the end"),
    ("rounded on the way", 0.92, "alpha = 0.92 is near, but not right"),
    ("negative", -0.913, "it is positive"),
    ("any other", 3.0, "set the two scores equal"),
    ("text", "0.91", "must be a number"),
    ("not written", ..., "alpha has no value yet"),
]
RIGHT[checks.check_alpha] = [
    ("exact", np.log(5 / 3) / np.log(7 / 4)),
    ("two digits", 0.91),
    ("three digits, float32", np.float32(0.913)),
]


def beam(*wrong: str, give: Any = lambda rows, tokens, totals: (rows, tokens, totals)) -> Any:
    """One step of a beam search with mistakes by their names in the checks."""
    return lambda *args: give(*checks._beam(*args, *wrong))


def times_ended(totals: Any, ended: Any, log_probs: Any, end: Any) -> Any:
    """0 times nan is nan."""
    k, V = log_probs.shape
    itself = np.where(np.arange(V) == end, 0.0, -1e9)
    scores = totals[:, None] + log_probs * ~ended[:, None] + itself * ended[:, None]
    best = np.argsort(-scores, axis=None)[:k]
    return best // V, best % V, scores.ravel()[best]


def divmod_by_k(totals: Any, ended: Any, log_probs: Any, end: Any) -> Any:
    k, V = log_probs.shape
    rows, tokens, new = checks._beam(totals, ended, log_probs, end)
    flat = rows * V + tokens
    return flat // k % k, flat % k, new


def low(number: float) -> Any:
    """What cannot be has some low total, which is not -inf."""

    def beam_step(totals: Any, ended: Any, log_probs: Any, end: Any) -> Any:
        k, V = log_probs.shape
        itself = np.where(np.arange(V) == end, 0.0, number)
        scores = totals[:, None] + np.where(ended[:, None], itself, log_probs)
        best = np.argsort(-scores, axis=None)[:k]
        return best // V, best % V, scores.ravel()[best]

    return beam_step


def probabilities(totals: Any, ended: Any, log_probs: Any, end: Any) -> Any:
    """Products of probabilities, which may be too small."""
    k, V = log_probs.shape
    itself = np.where(np.arange(V) == end, 1.0, 0.0)
    p = np.exp(totals)[:, None] * np.where(ended[:, None], itself, np.exp(log_probs))
    best = np.argsort(-p, axis=None)[:k]
    return best // V, best % V, np.log(p.ravel()[best])


def two_of_each(totals: Any, ended: Any, log_probs: Any, end: Any) -> Any:
    """At the first step the places that are empty go on, too."""
    if np.isfinite(totals).all():
        return checks._beam(totals, ended, log_probs, end)
    scores = totals[:, None] + log_probs
    grown = [(row[j], i, j) for i, row in enumerate(scores) for j in np.argsort(-row)[:2]]
    grown = sorted(grown, reverse=True)[: len(totals)]
    new, rows, tokens = zip(*grown)
    return rows, tokens, new


def end_is_zero(totals: Any, ended: Any, log_probs: Any, end: Any) -> Any:
    return checks._beam(totals, ended, log_probs, 0)


def per_symbol(totals: Any, ended: Any, log_probs: Any, end: Any) -> Any:
    rows, tokens, new = checks._beam(totals / 3, ended, log_probs, end)
    return rows, tokens, new


def totals_in_place(totals: Any, ended: Any, log_probs: Any, end: Any) -> Any:
    answer = checks._beam(totals, ended, log_probs, end)
    totals[:] = answer[2]
    return answer


def pays_for_ended(totals: Any, ended: Any, log_probs: Any, end: Any) -> Any:
    rows, tokens, new = checks._beam(totals, ended, log_probs, end)
    return rows, tokens, new + np.where(ended[rows], np.nan_to_num(log_probs[rows, tokens]), 0)


def old_totals(totals: Any, *rest: Any) -> Any:
    rows, tokens, _ = checks._beam(totals, *rest)
    return rows, tokens, totals[rows]


def only_log_probs(totals: Any, ended: Any, log_probs: Any, end: Any) -> Any:
    rows, tokens, _ = checks._beam(totals, ended, log_probs, end)
    return rows, tokens, log_probs[rows, tokens]


def not_reordered(totals: Any, ended: Any, log_probs: Any, end: Any) -> Any:
    rows, tokens, _ = checks._beam(totals, ended, log_probs, end)
    return rows, tokens, totals + log_probs[rows, tokens]


WRONG[checks.check_beam_step] = [
    ("ended go on", beam("ended go on"), "an ended beginning goes on"),
    ("ended with every symbol", beam("all free"), "comes with every symbol"),
    ("ended dropped", beam("ended dropped"), "an ended beginning is dropped"),
    ("ended kept", beam("ended kept"), "keeps others.*an ended beginning stays in any case"),
    ("low", low(-5.0), "another symbol than end|should go on"),
    ("lower", low(-1000.0), "another symbol than end.*not just low"),
    ("products", probabilities, "exp.-5000. is 0. Keep logarithms"),
    ("empty places go on", two_of_each, "goes on from an empty place"),
    ("totals not added", beam("not added"), "the totals so far are not added"),
    ("each its best", beam("each its best"), "each beginning goes on once"),
    ("each its best, unsorted", beam("each its best", "unsorted"), "each beginning goes on once"),
    ("worst first", beam("worst first"), "the worst of them comes first|must be sorted"),
    ("the worst", beam("worst"), "the least probable are kept|holds inf"),
    ("the best row alone", beam("best row"), "only the best beginning goes on"),
    ("probabilities added", beam("p added"), "probabilities are added|totals|should go on"),
    ("exchanged", beam(give=lambda r, t, s: (t, r, s)), "rows and tokens have changed places"),
    ("unsorted", beam(give=lambda r, t, s: (np.roll(r, 1), np.roll(t, 1), np.roll(s, 1))),
     "must be sorted, the best one first|keeps others"),
    ("divided by k", divmod_by_k, "should go on from row|rows|keeps"),
    ("end is 0", end_is_zero, "should go on from row|keeps others|with another symbol"),
    ("mean so far", per_symbol, "should go on from row|totals|keeps others"),
    ("times ended", times_ended, "row of an ended beginning in log_probs is nan"),
    ("pays for ended", pays_for_ended, "pays for one symbol more|alone; add"),
    ("log_probs alone", only_log_probs, "add the total before"),
    ("totals before", old_totals, "the totals before the step|totals"),
    ("totals not reordered", not_reordered, "reorder them by rows"),
    ("probabilities returned", beam(give=lambda r, t, s: (r, t, np.exp(s))), "their logarithms"),
    ("totals in the old order", beam(give=lambda r, t, s: (r, t, s[::-1])), "totals.i. belongs to"),
    ("one place less", beam(give=lambda r, t, s: (r[1:], t[1:], s[1:])), "rows must have shape"),
    ("floats", beam(give=lambda r, t, s: (r / 1, t, s)), "rows must hold integers"),
    ("flat index", beam(give=lambda r, t, s: (10 * r + t, s)), "must return rows, tokens, totals"),
    ("float32", beam(give=lambda r, t, s: (r, t, s.astype(np.float32))), "a few digits only"),
    ("totals changed", totals_in_place, "changed its argument totals"),
    ("one buffer", one_buffer(beam()), "beam_step overwrites"),
    ("stops", stops, "stopped with IndexError"),
    ("not written", dots, "beam_step returned Ellipsis"),
]  # fmt: skip


def candidates(totals: Any, ended: Any, log_probs: Any, end: Any) -> Any:
    """A list of all continuations, sorted."""
    grown = []
    for row, total in enumerate(totals):
        if total == -np.inf:
            continue
        if ended[row]:
            grown.append((total, row, end))
            continue
        grown += [(total + p, row, token) for token, p in enumerate(log_probs[row])]
    grown.sort(reverse=True)
    new, rows, tokens = zip(*grown[: len(totals)])
    return rows, tokens, new


def one_by_one_taken(totals: Any, ended: Any, log_probs: Any, end: Any) -> Any:
    """The largest is taken k times."""
    scores = np.where(ended[:, None], -np.inf, totals[:, None] + log_probs)
    scores[ended, end] = totals[ended]
    found = []
    for _ in totals:
        place = np.unravel_index(scores.argmax(), scores.shape)
        found.append((*place, scores[place]))
        scores[place] = -np.inf
    return [np.array(part) for part in zip(*found)]


def partitioned(totals: Any, ended: Any, log_probs: Any, end: Any) -> Any:
    k, V = log_probs.shape
    scores = totals[:, None] + np.where(
        ended[:, None], np.where(np.arange(V) == end, 0, -np.inf), log_probs
    )
    flat = scores.ravel()
    best = np.argpartition(-flat, k - 1)[:k]
    best = best[np.argsort(flat[best])[::-1]]
    return *np.unravel_index(best, scores.shape), flat[best]


RIGHT[checks.check_beam_step] = [
    ("a list of continuations", candidates),
    ("one after another, in arrays", one_by_one_taken),
    ("partitioned", partitioned),
]


def table(first: Any = (0.19, 0.25, 0.22, 0.21, 0.13), rest: Any = 0.2, **rows: Any) -> Any:
    made = np.full((5, 5), rest)
    made[0] = first
    for name, row in rows.items():
        made[int(name[1:])] = row
    return made


WRONG[checks.check_trap] = [
    ("all alike", table(np.full(5, 0.2)), "width 1 finds the empty answer"),
    ("two above", table([0.2, 0.3, 0.3, 0.1, 0.1]), "width 3 finds the empty answer"),
    ("one above", table([0.3, 0.4, 0.1, 0.1, 0.1]), "width 2 finds the empty answer"),
    ("four above", table([0.16, 0.21, 0.21, 0.21, 0.21]), "4 first symbols are more probable"),
    ("greedy is wrong", table([0.1, 0.4, 0.3, 0.1, 0.1], r1=[0, 1 / 4, 1 / 4, 1 / 4, 1 / 4],
                              r2=[1, 0, 0, 0, 0]), r"most probable answer is .2, 0. with 0.3;"),
    ("sure to end", table(r3=[1, 0, 0, 0, 0]), r"most probable answer is .3, 0. with 0.21"),
    ("a long way that is sure", table(r1=np.eye(5)[2], r2=np.eye(5)[4], r4=np.eye(5)[0]),
     r"most probable answer is .1, 2, 4, 0. with 0.25"),
    ("never ends", table([0.1, 0.3, 0.3, 0.3, 0], rest=0.25, r1=[0, 1, 0, 0, 0],
                         r2=[0, 1, 0, 0, 0], r3=[0, 1, 0, 0, 0], r4=np.full(5, 0.2)),
     "has not ended after 20 symbols"),
    ("pushed out", table([0.1, 0.3, 0.3, 0.3, 0], r1=[0, 0, 0.5, 0.5, 0], r2=[0, 0.5, 0, 0.5, 0],
                         r3=[0.02, 0.49, 0.49, 0, 0]), "pushed out at a later step|has not ended"),
    ("columns", table().T, r"not to 1 .its columns do"),
    ("not normed", table() * 2, "sums to 2, not to 1"),
    ("one row off", table(r2=[0.2, 0.2, 0.2, 0.2, 0.3]), "row 2 of trap sums to 1.1"),
    ("a row off by little", table(r2=[0.2, 0.2, 0.2, 0.2, 0.20001]), "row 2 .* to 1.00001, not"),
    ("negative", table(r2=[0.2, -0.2, 0.5, 0.2, 0.3]), r"trap.2, 1. is -0.2"),
    ("logarithms", np.log(table()), "a probability is not negative"),
    ("four symbols", np.full((4, 4), 0.25), r"must have shape \(rows=5, columns=5\)"),
    ("one row", table()[0], r"must have shape \(rows=5, columns=5\)"),
    ("nan", table(r2=np.nan), "holds nan"),
    ("text", "trap", "must be an array of numbers|must have shape"),
    ("not written", ..., "trap has no value"),
]  # fmt: skip
RIGHT[checks.check_trap] = [
    ("a list", table().tolist()),
    ("float32", table().astype(np.float32)),
    ("rounded", table(r2=[0.1999999, 0.2, 0.2, 0.2, 0.2])),
    ("with zeros", table([0.2, 0.3, 0.25, 0.25, 0.0])),
    ("drawn", table(r1=[0.1, 0.4, 0.3, 0.1, 0.1], r4=[0.9, 0.1, 0, 0, 0])),
    ("others come first", table([0.19, 0.13, 0.21, 0.25, 0.22])),
    ("sure of a long way round", table([0.24, 0.26, 0.25, 0.25, 0], r1=[0.9, 0.1, 0, 0, 0])),
]

# --- 7. Last in, first out. ---


def reverser(
    V: int, n: int, c: float = 20.0, end: float = 0.5, *, turn: bool = True,
    push: int = 1, encoder_moves: bool = True, decoder_moves: bool = True, slots: int = 0,
) -> Any:  # fmt: skip
    """The solution, with knobs."""
    H = (n + 1 + slots) * V
    zero, on = np.zeros(H), c * np.eye(H, k=-V)
    write = np.zeros((H, V))
    write[push * V : (push + 1) * V] = c * np.eye(V)
    encoder = Recurrent(write, on * encoder_moves, zero, zero)
    back = (on.T if turn else on) * decoder_moves
    decoder = Recurrent(np.zeros((H, V)), back, zero, zero)
    W = np.zeros((V + 1, H))
    W[1:, :V] = c * np.eye(V)
    symbols = np.eye(V + 1)[:, 1:]
    output = Linear(W, np.where(np.arange(V + 1) == 0, end * c, 0.0))
    return Seq2Seq(symbols, 0 * symbols, encoder, decoder, None, None, output)


def stack(change: Any = lambda p: p, **knobs: Any) -> Any:
    return lambda V, n: change(reverser(V, n, **knobs))


def limited(most: int) -> Any:
    """Slots for a few symbols only."""

    def short(V: int, n: int) -> Any:
        p = reverser(V, n)
        on = p.encoder.W_hh.copy()
        on[(most + 1) * V :] = 0
        return p._replace(encoder=p.encoder._replace(W_hh=on))

    return short


def fading(out: float, end: float) -> Any:
    """The state is carried on by a weight of 1."""

    def change(p: Any) -> Any:
        encoder = p.encoder._replace(W_hh=np.sign(p.encoder.W_hh))
        decoder = p.decoder._replace(W_hh=np.sign(p.decoder.W_hh))
        W = out * np.sign(p.output.W)
        b = end * np.sign(p.output.b)
        return p._replace(encoder=encoder, decoder=decoder, output=Linear(W, b))

    return stack(change)


def with_output(**parts: Any) -> Any:
    return stack(lambda p: p._replace(output=p.output._replace(
        **{name: part(getattr(p.output, name)) for name, part in parts.items()})))  # fmt: skip


def with_encoder(**parts: Any) -> Any:
    return stack(lambda p: p._replace(encoder=p.encoder._replace(
        **{name: part(getattr(p.encoder, name)) for name, part in parts.items()})))  # fmt: skip


ANY: list[tuple[str, Any, str]] = [
    ("no weights", stack(c=0.0), "should be .*likelier|probability"),
    ("weights of 1", stack(c=1.0), "likelier|take larger weights"),
    ("weights of 4", stack(c=4.0), "take larger weights"),
    ("end too weak", stack(end=0.0), "should be 0, the end|take larger weights"),
    ("end too strong", stack(end=1.5), "but the end is likelier"),
    ("decoder stands still", stack(decoder_moves=False), "the end is likelier"),
    ("decoder moves on", stack(turn=False), "likelier"),
    ("encoder writes into the shown slot", stack(push=0), "likelier"),
    ("encoder writes one too far", stack(push=2, slots=1), "the end is likelier"),
    ("order of symbols", with_output(W=lambda W: np.roll(W, 1, axis=0)), "likelier"),
    ("nan", with_output(b=lambda b: b * np.nan), "output.b of .* holds nan"),
    ("output turned", with_output(W=lambda W: W.T), "output.W of .* must have shape"),
    ("no end in the output", with_output(W=lambda W: W[1:], b=lambda b: b[1:]),
     "output.W of .* must have shape"),
    ("no padding in the embedding", stack(lambda p: p._replace(
        source_embedding=p.source_embedding[1:])), "source_embedding of .* must have shape"),
    ("embedding of integers", stack(lambda p: p._replace(
        source_embedding=p.source_embedding.astype(int))), "must be .* of float64, got int64"),
    ("float32", stack(lambda p: p._replace(target_embedding=p.target_embedding.astype(np.float32))),
     "must be an array of float64, got float32"),
    ("lists", stack(lambda p: p._replace(source_embedding=p.source_embedding.tolist())),
     "must be an array of float64, got a list"),
    ("W_ih turned", with_encoder(W_ih=lambda W: np.zeros((2, W.shape[0]))),
     "encoder.W_ih of .* must have shape"),
    ("a bias flat", with_encoder(b_ih=lambda b: b[:, None]), "encoder.b_ih of .* must have shape"),
    ("encoder as a tuple", stack(lambda p: p._replace(encoder=tuple(p.encoder))),
     "encoder of .* must be a Recurrent, got a tuple"),
    ("output as an array", stack(lambda p: p._replace(output=p.output.W)),
     "output of .* must be a Linear"),
    ("plain tuple", stack(tuple), "returned them in a tuple"),
    ("five parts", stack(lambda p: (*p[:4], p.output)), "returned 5 things"),
    ("a combine", stack(lambda p: p._replace(combine=p.output)), "combine of .* must be None"),
    ("huge", stack(slots=500), "at most [0-9]+ are allowed"),
    ("encoder alone", stack(lambda p: p.encoder), "it returned a Recurrent"),
    ("stops", stops, "stopped with IndexError"),
    ("not written", dots, "returned Ellipsis"),
]  # fmt: skip


def queue(V: int, n: int) -> Any:
    """Copies sources of length n, first in, first out: the decoder shows the last slot."""
    p = reverser(V, n)
    W = np.zeros_like(p.output.W)
    W[1:, -V:] = 20 * np.eye(V)
    on = p.encoder.W_hh
    decoder = p.decoder._replace(W_hh=on)
    encoder = p.encoder._replace(W_ih=np.roll(p.encoder.W_ih, -V, axis=0))
    return p._replace(encoder=encoder, decoder=decoder, output=p.output._replace(W=W))


WRONG[checks.check_reverser] = [
    *ANY,
    ("encoder forgets", stack(encoder_moves=False), "the end is likelier. What is left"),
    ("slots for two", limited(2), r"source .*symbol 3 of the answer should be .*end is likelier"),
    ("first in, first out", queue, "likelier"),
]
WRONG[checks.check_reverser_large] = [
    *ANY,
    ("always the size of the first", lambda V, n: reverser(2, 3), "reverser.3, 2.*must have shape"),
    ("slots for four", limited(4), r"symbol 5 of the answer should be .*end is likelier"),
    ("V for n", lambda V, n: reverser(V, V), "likelier"),
    ("slots for nine", limited(9), r"symbol 10 of the answer should be .*end is likelier"),
    ("ten slots in all", lambda V, n: reverser(V, 9), r"reverser.2, 40.*end is likelier"),
    ("a state that fades", fading(20, 4), "likelier|a probability of"),
    ("a state that fades slowly", fading(100, 15), r"reverser.2, 40.*end is likelier"),
    ("gentle", stack(c=8.0), r"reverser.30, 2.*should be 0, the end.*take larger weights"),
    ("end too weak for many symbols", stack(end=0.2), r"reverser.30, 2.*take larger weights"),
]


def other_order(V: int, n: int) -> Any:
    """The units in a random order, and symbols as random vectors."""
    rng = np.random.default_rng(0)
    p = reverser(V, n)
    order = rng.permutation(len(p.encoder.b_ih))
    Q, _ = np.linalg.qr(rng.normal(size=(V, V)))

    def layer(q: Recurrent) -> Recurrent:
        return Recurrent(q.W_ih[order] @ Q, q.W_hh[np.ix_(order, order)], q.b_ih, q.b_hh)

    output = p.output._replace(W=p.output.W[:, order])
    return p._replace(
        source_embedding=p.source_embedding @ Q, encoder=layer(p.encoder),
        decoder=layer(p.decoder), output=output,
    )  # fmt: skip


def signs(V: int, n: int) -> Any:
    """An empty unit is -1 and not 0; the zeros of the first state become that at once."""
    p = reverser(V, n, c=40.0)
    low = np.full_like(p.encoder.b_ih, -20.0)
    encoder = p.encoder._replace(W_ih=2 * p.encoder.W_ih, b_ih=low)
    decoder = p.decoder._replace(b_hh=low)
    output = p.output._replace(b=0 * p.output.b)
    return p._replace(encoder=encoder, decoder=decoder, output=output)


RIGHT[checks.check_reverser] = [
    ("steeper", stack(c=500.0)),
    ("gentler", stack(c=8.0)),
    ("units in another order", other_order),
    ("slots that are not needed", stack(slots=2)),
    ("empty is -1", signs),
]
RIGHT[checks.check_reverser_large] = [
    *(row for row in RIGHT[checks.check_reverser] if row[0] != "gentler"),
    ("gentler", stack(c=12.0)),
]

# --- The tests. ---

SEVERAL = {checks.check_mistakes, checks.check_reported}


@pytest.mark.parametrize("sizes", checks.LOSSES)
def test_the_loss_that_answers_are_compared_with_is_right(sizes: tuple[int, ...]):
    T, B, V = sizes
    rng = np.random.default_rng(0)
    logits, target = rng.normal(size=sizes), rng.integers(V, size=(T, B))
    lengths = rng.integers(1, T + 1, size=B)
    right = with_the_package(logits, target, lengths)
    for one, two in zip(checks._loss(logits, target, lengths), right):
        assert np.allclose(one, two, rtol=0, atol=1e-14)


@pytest.mark.parametrize("seed", range(3))
def test_the_decoder_and_the_beam_that_answers_are_compared_with_are_right(seed: int):
    case = checks._case(checks.rng_of(seed), *checks.NETWORKS[1])
    for one, two in zip(checks._written(*case.values()), by_package(*case.values())):
        assert [*map(list, one)] == [*map(list, two)] if isinstance(one, list) else (
            np.allclose(one, two)
        )  # fmt: skip
    arguments = checks._drawn_beam(checks.rng_of(seed), 3, 5, 1)
    for one, two in zip(checks._beam(*arguments.values()), candidates(*arguments.values())):
        assert np.allclose(one, two)


def test_the_prediction_is_what_the_given_function_does():
    rng, found = np.random.default_rng(0), dict.fromkeys(checks.TRIALS, True)
    for _ in range(20):
        params = checks._case(rng, *checks.NETWORKS[0])["params"]
        source, full = rng.integers(1, 5, size=(5, 5)), np.full(5, 5)
        short = np.array([5, 2, 3, 4, 5])
        padded = np.where(np.arange(5)[:, None] < short, source, 0)
        same = np.repeat(source[:, :1], 5, axis=1)
        for name, read, lengths, longest in [
            ("one", source[:, :1], full[:1], 10),
            ("same", same, full, 10),
            ("equal", source, full, 10),
            ("first", source, full, 1),
            ("padded", padded, short, 1),
        ]:
            ours = buggy(params, read, lengths, 1, 2, longest)
            right = checks._written(params, read, lengths, 1, 2, longest)
            found[name] &= ours[0] == right[0] and np.allclose(ours[1], right[1])
    assert {name for name, passed in found.items() if passed} == PASSES


def test_the_most_probable_answer_is_that_of_a_wide_beam():
    rng = np.random.default_rng(0)
    for _ in range(20):
        made = rng.dirichlet(np.ones(5), size=5)
        logs = np.log(made)
        beams = beam_search(
            lambda tokens, state, logs=logs: (logs[tokens], state),
            np.zeros((1, 0)), width=600, bos=0, eos=0, max_length=6,
        )  # fmt: skip
        answer, p = checks._most_probable(made)
        assert (answer, pytest.approx(p)) == (beams[0][0].tokens, np.exp(beams[0][0].log_prob))


def test_the_numbers_in_the_explanations_are_those_of_the_solutions():
    text = "".join(c.source for c in nbformat.read(
        ROOT / "book/solutions/08_seq2seq.ipynb", as_version=4).cells)  # fmt: skip
    assert round(0.99**20, 3) == 0.818
    lost = sum(1 - 0.99**t for t in range(1, 21))
    assert round(lost, 2) == 1.97
    assert round(lost / 0.2) == 10
    assert round(0.01 / 0.51, 4) == 0.0196
    assert float(checks.COUNTS @ checks.MEANS) == pytest.approx(22.8)
    assert checks.COUNTS.sum() == 20
    assert round(np.log(5 / 3) / np.log(7 / 4), 2) == 0.91
    for said in ("= 0.818$", "= 1.97$", "= 0.0196$", "22.8", "1.14", "1.325", "0.7125", "= 0.91$"):
        assert said in text
