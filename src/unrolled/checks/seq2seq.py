"""Checks of the exercises of chapter 8, Sequence to sequence."""

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from unrolled._validate import Array
from unrolled.checks._tools import (
    Explained,
    alike,
    call,
    close,
    explained,
    fail,
    holds_nan,
    judge_names,
    kind_of,
    names_of,
    number,
    numbers,
    results,
    rng_of,
    same_still,
    shape_of,
    snapshot,
    unanswered,
    unwritten,
)
from unrolled.decoding import beam_search
from unrolled.functional import log_softmax, softmax
from unrolled.params import Linear, Recurrent, tree_map
from unrolled.seq2seq import Seq2Seq, decode_step, encode, init_seq2seq, seq2seq_forward

# --- What several checks share. ---


def _guess(
    what: str, value: Any, right: float, reasons: Mapping[str, float], look: str, rel: float = 0.01
) -> None:
    """Refuse a wrong prediction; what leads to the known wrong ones is said."""
    guess = number(what, value)
    if abs(guess - right) <= rel * abs(right):
        return
    near = abs(guess - right) <= 0.01 * abs(right)
    nearest = sorted(reasons.items(), key=lambda reason: abs(guess - reason[1]))
    for why, wrong in nearest[:1]:
        if abs(guess - wrong) <= (rel if near else 0.01) * abs(wrong):
            fail(f"{what} = {guess:.4g} is not right: {why}")
    if near:
        fail(f"{what} = {guess:.4g} is near, but not right: compute exactly, and round at the end")
    fail(f"{what} = {guess:.4g} is not right: {look}")


def _ids(what: str, value: Any, look: str, **sizes: int) -> Array:
    """Return an array of whole numbers, such as an embedding takes."""
    numbers(what, value, look, **sizes)
    array = np.asarray(value)
    if array.dtype.kind not in "iu":
        explained(
            f"{what} must hold integers, as an embedding and an index ask; its dtype is "
            f"{array.dtype}"
        )
    return array.astype(int)


# --- How far a mistake carries. ---

ERROR, PLACES, AGAIN = 0.01, 20, 0.5


def check_mistakes(all_right: Any, lost: Any, mended: Any) -> None:
    """Refuse wrong predictions of what one mistake does to the rest of an answer."""
    e, T, f = ERROR, PLACES, AGAIN
    right = (1 - e) ** T
    _guess(
        "all_right",
        all_right,
        right,
        {
            "1 - 20 e is near to it, but the shares multiply": 1 - T * e,
            "exp(-20 e) is near to it, but a share is 1 - e, not exp(-e)": float(np.exp(-T * e)),
            "this is the share that has a mistake somewhere": 1 - right,
            "this is one symbol's share; there are 20": 1 - e,
            "there are 20 symbols, not 19": (1 - e) ** (T - 1),
            "there are 20 symbols, not 21": (1 - e) ** (T + 1),
            "a share, not a percentage": 100 * right,
        },
        "all symbols before the first mistake are right, so each is wrong with e alone",
        rel=0.0008,
    )
    wrong = sum(1 - (1 - e) ** t for t in range(1, T + 1))
    _guess(
        "lost",
        lost,
        wrong,
        {
            "this is the number after the right symbols; here all is wrong after a mistake": T * e,
            "e T^2 / 2 is near to it; symbol t is right only if all t up to it are": e * T * T / 2,
            "e T (T + 1) / 2 is near to it; symbol t is right only if all t up to it are": e
            * T
            * (T + 1)
            / 2,
            "this is how many are right": T - wrong,
            "this is the share; how many of the 20 symbols is it?": wrong / T,
            "the symbol with the first mistake is wrong as well": wrong - (1 - right),
            "all 20 are not lost if the first mistake comes late": T * (1 - right),
        },
        "with which probability is symbol t wrong, if one mistake before it is enough?",
        rel=0.002,
    )
    _guess(
        "mended",
        mended,
        e / (e + 1 - f),
        {
            "this is the share after the right symbols; a mistake makes the next one likelier": e,
            "e / (1 - f) is near to it, but e holds only where the symbol before was right": e
            / (1 - f),
            "this is after a mistake; how often is the symbol before a mistake?": f,
            "this is the share of right ones": 1 - e / (e + 1 - f),
            "the mean of e and f would hold if right and wrong were equally frequent": (e + f) / 2,
            "a share, not a percentage": 100 * e / (e + 1 - f),
            "the share itself, not how much larger than e it is": 1 / (e + 1 - f),
        },
        "in the long run the share q stays as it is: q = (1 - q) e + q f",
        rel=0.002,
    )


# --- One step apart. ---

# Lengths of the targets, and start, end, pad. The first case has as many steps as targets.
TARGETS: list[tuple[list[int], tuple[int, int, int]]] = [
    ([3, 1, 2, 2], (1, 2, 0)),
    ([2, 5, 1], (2, 1, 0)),
    ([4], (1, 2, 0)),
    ([3, 0, 2, 6, 6], (11, 12, 13)),
    ([0, 0], (1, 2, 0)),
    ([1, 4, 2], (1, 1, 0)),
    ([3, 1], (1, 2, 2)),
    ([2, 5, 1], (2, 1, 0)),
]


def _shifted(targets: list[list[int]], start: int, end: int, pad: int) -> dict[str, Array]:
    """Return arrays from which right and wrong answers are made, by what stands in a column."""
    T, B = 1 + max(map(len, targets)), len(targets)
    columns: dict[str, Callable[[list[int]], list[int]]] = {
        "in": lambda y: [start, *y],
        "out": lambda y: [*y, end],
        "both": lambda y: [start, *y, end],
        "bare": lambda y: y,
    }
    found = {}
    for name, column in columns.items():
        for fill, with_ in {"": pad, " start": start, " end": end}.items():
            array = np.full((T, B), with_)
            for b, y in enumerate(targets):
                rows = column(y)[:T]
                array[: len(rows), b] = rows
            found[name + fill] = array
        array = np.full((T, B), pad)
        for b, y in enumerate(targets):
            rows = column(y)[:T]
            array[T - len(rows) :, b] = rows
        found[f"{name} late"] = array
    last = found["bare"].copy()
    last[-1] = end
    return found | {"end last": last}


def check_shifted(shifted: Any, seed: int = 0) -> None:
    """Refuse what is not the decoder's input and output, one step apart and padded."""
    rng, name, kept = rng_of(seed), "shifted", []
    for sizes, (start, end, pad) in TARGETS:
        targets = [rng.integers(3, 10, size=size).tolist() for size in sizes]
        value = call(name, shifted, targets=targets, start=start, end=end, pad=pad)
        parts = results(name, value, "target_in", "target_out", "lengths")
        T, B = 1 + max(sizes), len(sizes)
        look = "Time comes first, and the longest target has one symbol more than its own."
        read, written = (
            _ids(what, part, look, T=T, B=B)
            for what, part in zip(("target_in", "target_out"), parts, strict=False)
        )
        lengths = _ids("lengths", parts[2], "One length for each target.", B=B)
        made = _shifted(targets, start, end, pad)
        pairs = np.array_equal(read, made["out"]) and np.array_equal(written, made["in"])
        if pairs and T > 1:
            explained("target_in and target_out have changed places: start is read, end is written")
        _same_ids(
            "target_in",
            read,
            made["in"],
            {
                "this is what is to be written; start comes before what is read": made["out"],
                "the end symbol is read as well; after it nothing is written": made["both"],
                "start is missing: the decoder reads it before the first symbol": made["bare"],
                "the padding comes first; it must follow the target": made["in late"],
                "the padding is filled with start; it is pad": made["in start"],
                "the padding is filled with end; it is pad": made["in end"],
                "the targets stand in the rows; time comes first": _turned(made["in"]),
            },
            "The decoder reads start, and then the target.",
        )
        _same_ids(
            "target_out",
            written,
            made["out"],
            {
                "this is what is read; what is written has no start, and ends in end": made["in"],
                "start is not written; the decoder writes the target and then end": made["both"],
                "end is missing: to stop is to be learned, too": made["bare"],
                "end stands in the last row; it comes right after each target": made["end last"],
                "the padding comes first; it must follow the target": made["out late"],
                "the padding is filled with end; it is pad": made["out end"],
                "the padding is filled with start; it is pad": made["out start"],
                "the targets stand in the rows; time comes first": _turned(made["out"]),
            },
            "The decoder writes the target, and then end.",
        )
        own = np.array(sizes)
        short = "end counts as well, since it is to be predicted"
        if pad == end:
            short = "end counts as well; do not compare with pad, which is the same number here"
        _same_ids(
            "lengths",
            lengths,
            own + 1,
            {
                short: own,
                "start is not predicted; a target has its own symbols and end": own + 2,
                "each target has a length of its own": np.full(B, T),
            },
            "How many symbols are to be predicted?",
        )
        kept.append((value, snapshot(value)))
    same_still(name, kept)


def _turned(array: Array) -> Array:
    return array.T


def _same_ids(what: str, got: Array, right: Array, wrong: Mapping[str, Array], look: str) -> None:
    """Compare whole numbers, and show the first sequence that differs."""
    if np.array_equal(got, right):
        return
    for why, other in wrong.items():
        if not np.array_equal(other, right) and np.array_equal(got, other):
            explained(f"{what} is wrong: {why}")
    if got.ndim == 1:
        fail(f"{what} should be {right.tolist()}, but it is {got.tolist()}. {look}")
    b = int(np.flatnonzero((got != right).any(axis=0))[0])
    fail(f"{what}[:, {b}] should be {right[:, b].tolist()}, but it is {got[:, b].tolist()}. {look}")


# --- What padding costs. ---

COUNTS, MEANS = np.array([3, 5, 4, 8]), np.array([2.0, 1.2, 1.5, 0.6])


def check_reported(per_symbol: Any, per_target: Any, unmasked: Any) -> None:
    """Refuse wrong predictions of three means."""
    total, N = float(COUNTS @ MEANS), int(COUNTS.sum())
    places = len(COUNTS) * int(COUNTS.max())
    values = {
        "this is the mean of the four means; a long target has more symbols": float(MEANS.mean()),
        "padding counts there; divide by the symbols alone": total / places,
        "this is the mean over the symbols": total / N,
        "this is the sum; divide it by the number of symbols": total,
        "this is the sum over a target, on average": total / len(COUNTS),
        "the end symbols count, too; they are in the numbers": total / (N - len(COUNTS)),
    }
    look = {
        "per_symbol": "sum the losses of all symbols, and divide by how many there are",
        "per_target": "it is the mean of four numbers",
        "unmasked": "the padding costs nothing there, but it is counted: 4 columns of 8 rows",
    }
    answers = {
        "per_symbol": (per_symbol, total / N),
        "per_target": (per_target, float(MEANS.mean())),
        "unmasked": (unmasked, total / places),
    }
    for what, (answer, right) in answers.items():
        reasons = {why: wrong for why, wrong in values.items() if wrong != right}
        _guess(what, answer, right, reasons, look[what], rel=0.004)


# (T, B, V): all different, so that T and B are told apart; all the same; one step, one target.
LOSSES = [(5, 3, 6), (4, 4, 4), (1, 4, 3), (6, 1, 2), (3, 5, 2), (5, 3, 6)]
LARGE = 4  # the case whose logits are so large that p is 0


def _loss(logits: Array, target: Array, lengths: Array, *wrong: str) -> tuple[float, Array]:
    """Return the masked loss and its gradient, right or with mistakes by their names below."""
    T, B, V = logits.shape
    ends = lengths + ("one more" in wrong) - ("one less" in wrong)
    mask = np.arange(T)[:, None] < (T if "no mask" in wrong else ends)
    if "starts with padding" in wrong:
        mask = np.arange(T)[:, None] >= T - ends
    mask = np.broadcast_to(mask, (T, B))
    safe = np.where(np.isfinite(logits), logits, 0.0)
    axis = 0 if "over T" in wrong else 1 if "over B" in wrong else -1
    log_p = safe - np.logaddexp.reduce(safe, axis=axis, keepdims=True)
    y = np.eye(V)[target]
    losses = -(log_p * y).sum(axis=-1) * mask
    N: Any = max(mask.sum(), 1)
    if "over all places" in wrong:
        N = T * B
    if "over the batch" in wrong:
        N = B
    if "sum" in wrong:
        N = 1
    if "over targets" in wrong:
        N = B * np.maximum(mask.sum(axis=0), 1)
    if "over steps" in wrong:
        N = T
    unit = np.log(2) if "bits" in wrong else np.log(10) if "log10" in wrong else 1.0
    sign = -1.0 if "log p" in wrong else 1.0
    p = np.exp(log_p)
    d = (p - y) if "p alone" not in wrong else p
    d = -y if "y alone" in wrong else -d if "y - p" in wrong else d
    counted = np.ones_like(mask) if "gradient at padding" in wrong else mask
    if "times loss" in wrong:
        d = d * losses[..., None]
    share = N
    if "sum in the gradient" in wrong:
        share = 1
    if "gradient over all places" in wrong:
        share = T * B
    return sign * float((losses / N).sum()) / unit, d * (counted / share)[..., None] / unit


LOSS_BUGS = {
    "no mask": "what comes out if padding counts like any symbol",
    "over all places": "divided by T * B; divide by the number of symbols that count",
    "sum": "the sum; divide by the number of symbols that count",
    "over the batch": "divided by B; divide by the number of symbols that count",
    "over steps": "divided by T; divide by the number of symbols that count",
    "over targets": "the mean of the targets' own means; each symbol has the same weight",
    "one less": "what comes out if the last symbol of each target, its end, is left out",
    "one more": "what comes out if one place of padding counts in each target",
    "starts with padding": "what comes out if the mask leaves out the first places",
    "bits": "the loss in bits; take the natural logarithm",
    "log10": "the logarithm to base 10; take the natural one",
    "log p": "the mean of log p; the loss is its negative",
    "over T": "what comes out with a softmax over the steps; the classes are on the last axis",
    "over B": "what comes out with a softmax over the batch; the classes are on the last axis",
}
GRADIENT_BUGS = {
    "gradient at padding": "what comes out if padding has a gradient; it must be 0 there",
    "sum in the gradient": "the gradient of the sum; it is divided by N like the loss",
    "gradient over all places": "divided by T * B; divide by the N of the loss",
    "y - p": "the negative of the gradient: p - y",
    "p alone": "what comes out if the one-hot vector is not subtracted",
    "y alone": "what comes out without p: the gradient is p - y",
    "times loss": "what comes out if the loss multiplies the gradient",
}


def check_masked_loss(masked_loss: Any, seed: int = 0) -> None:
    """Refuse what is not the mean cross-entropy over what is no padding, and its gradient."""
    rng, name, kept = rng_of(seed), "masked_loss", []
    for case, (T, B, V) in enumerate(LOSSES):
        lengths = rng.permutation(np.linspace(1, T, B).round().astype(int)) if B > 1 else [T - 2]
        lengths = np.array(lengths)
        logits, target = 2 * rng.normal(size=(T, B, V)), rng.integers(V, size=(T, B))
        padding = np.arange(T)[:, None] >= lengths
        if case == LARGE:
            logits *= 1000.0
            target[0] = logits[0].argmin(axis=-1)
        right, dright = _loss(logits, target, lengths)
        wrong = {why: _loss(logits, target, lengths, bug) for bug, why in LOSS_BUGS.items()}
        only = {why: _loss(logits, target, lengths, bug) for bug, why in GRADIENT_BUGS.items()}
        if case == 1:
            logits[0] += 1000.0 * rng.choice([-1, 1], size=(B, 1))  # the same for all classes
        if case in (3, 5):
            logits[padding], target[padding] = np.nan, V if case == 3 else -1
        try:
            value = call(name, masked_loss, logits=logits, target_out=target, lengths=lengths)
        except Explained as error:
            if case == 3 and f"index {V} is out of bounds" in str(error):
                explained(
                    "a target where padding stands is no class, and cannot be an index: pick out "
                    "what counts by the mask first"
                )
            raise
        loss, dlogits = results(name, value, "loss", "dlogits")
        if case in (3, 5):
            _no_nan(loss, dlogits)
        if case in (1, LARGE) and (holds_nan(loss) or _holds_inf(loss)):
            explained(
                "loss is no finite number where logits are large: exp overflows there, or a "
                "probability is 0. Take log_softmax of the logits"
            )
        loss = number("loss", loss)
        dlogits = numbers("dlogits", dlogits, "It has the shape of logits.", T=T, B=B, V=V)
        look = "Sum -log p of the right symbols where no padding stands, and divide by how many."
        if case == LARGE:
            look = "Where logits are large, p may be 0: take log_softmax, and clip or add nothing."
        close("loss", loss, right, suspects={w: a for w, (a, _) in wrong.items()}, look=look)
        look = "It is (p - y) / N at the symbols and 0 at the padding."
        suspects = {why: both[1] for why, both in (only | wrong).items()}
        close("dlogits", dlogits, dright, suspects=suspects, look=look)
        kept.append((value, snapshot(value)))
    same_still(name, kept)


def _holds_inf(value: Any) -> bool:
    """Tell whether an answer is, or can be made, an array of numbers with an inf in it."""
    try:
        return bool(np.isinf(np.asarray(value, dtype=float)).any())
    except Exception:  # what is no number is refused elsewhere
        return False


def _no_nan(loss: Any, dlogits: Any) -> None:
    """Say where the NaN comes from if the padding holds some."""
    for what, part in {"loss": loss, "dlogits": dlogits}.items():
        try:
            hit = bool(np.isnan(np.asarray(part, dtype=float)).any())
        except Exception:  # what is no number is refused later
            continue
        if hit:
            explained(
                f"{what} holds nan, as the logits do where padding stands. 0 times nan is nan: "
                "pick out what counts, by np.where or by logits[mask], and leave out the rest"
            )


# --- Through the seam. ---

# (S, B, H): a case in which a wrong transpose fits, then all different, one step, one sequence.
SEAMS = [(5, 4, 4), (6, 3, 5), (1, 2, 3), (4, 1, 2), (5, 2, 1), (6, 3, 5)]


def _seam(h: Array, lengths: Array, W_hh: Array, dh0: Array, *wrong: str) -> tuple[Array, Array]:
    """Carry the gradient of the last state back, right or with mistakes by their names below."""
    S, B, _ = h[1:].shape
    ends = np.full(B, S) if "all at S" in wrong else lengths
    ends = ends - 1 if "one early" in wrong else ends
    da, dh = np.zeros_like(h[1:]), np.zeros_like(dh0)
    W = W_hh.T if "turned" in wrong else W_hh
    for s in range(S, 0, -1):
        dh = np.where((ends == s)[:, None], dh0, dh)
        if "at every step" in wrong:
            dh = np.where((s < ends)[:, None], dh + dh0, dh)
        old = h[s - 1] if "old slope" in wrong else h[s]
        slope = 1 - old if "no square" in wrong else 1 - old**2
        slope = np.ones_like(slope) if "no slope" in wrong else slope
        da[s - 1] = dh * slope
        dh = (dh if "no slope carried" in wrong else da[s - 1]) @ W
        if "not carried" in wrong:
            dh = np.zeros_like(dh)
    read = h[1:] if "h_s" in wrong else h[:-1]
    if "given back" in wrong:
        da = np.where((np.arange(S)[:, None] < lengths)[..., None], da, dh0)
    dW = np.einsum("sbh,sbk->hk", da, read)
    dW = dW.T if "dW turned" in wrong else dW
    dW = da[0].T @ read[0] if "first step" in wrong else dW
    dW = dW - da[0].T @ read[0] if "h0 left out" in wrong else dW
    return da, dW


SEAM_BUGS = {
    "all at S": "what comes out if every gradient enters at step S; it enters at lengths[b]",
    "one early": "what comes out if the gradient enters one step early: h[s] is after step s",
    "no slope": "what comes out without the slope of tanh, 1 - h**2",
    "no square": "what comes out with 1 - h; the slope of tanh is 1 - h**2",
    "old slope": "what comes out with the slope at h[s - 1]; step s has made h[s]",
    "no slope carried": "what comes out if dh is carried back without the slope of tanh",
    "turned": "what comes out with W_hh transposed on the way back",
    "not carried": "what comes out if the gradient is not carried back through W_hh",
    "at every step": "what comes out if dh0 enters at every step; it enters once, at the end",
    "given back": "what comes out if dh0 stands where a source has ended; there da is 0",
}
WEIGHT_BUGS = {
    "h_s": "what comes out with h[s]; step s multiplies W_hh with h[s - 1]",
    "dW turned": "the transpose: row i belongs to unit i, which is da's",
    "first step": "the share of step 1 alone; sum over the steps",
    "h0 left out": "what comes out without step 1, which reads h[0]",
}


def check_seam(through_the_seam: Any, seed: int = 0) -> None:
    """Refuse a backward pass of an encoder whose last state alone has a gradient."""
    rng, name, kept = rng_of(seed), "through_the_seam", []
    for S, B, H in SEAMS:
        lengths = rng.permutation(np.linspace(1, S, B).round().astype(int)) if B > 1 else [S - 1]
        lengths = np.array(lengths)
        W_hh, dh0 = rng.normal(size=(H, H)), rng.normal(size=(B, H))
        h = [0.5 * rng.normal(size=(B, H))]
        for s in range(S):
            new = np.tanh(h[-1] @ W_hh.T + rng.normal(size=(B, H)))
            h.append(np.where((s < lengths)[:, None], new, h[-1]))
        case: dict[str, Any] = {"h": np.stack(h), "lengths": lengths, "W_hh": W_hh, "dh0": dh0}
        value = call(name, through_the_seam, **case)
        da, dW = results(name, value, "da", "dW_hh")
        look = "One row for each step of the encoder; h has one more."
        da = numbers("da", da, look, S=S, B=B, H=H)
        dW = numbers("dW_hh", dW, "It has the shape of W_hh.", rows=H, columns=H)
        right, dW_right = _seam(**case)
        wrong = {why: _seam(*case.values(), bug) for bug, why in SEAM_BUGS.items()}
        wrong["the mean over the batch; the gradients are sums"] = right / B, dW_right / B
        look = "Start with zeros, and let dh0[b] enter at step lengths[b] of sequence b."
        close("da", da, right, suspects={w: a for w, (a, _) in wrong.items()}, look=look)
        wrong |= {why: _seam(*case.values(), bug) for bug, why in WEIGHT_BUGS.items()}
        suspects = {why: both[1] for why, both in wrong.items()}
        suspects["the mean over the steps; the gradients are sums"] = dW_right / S
        look = "Sum da[s - 1].T @ h[s - 1] over the steps s."
        close("dW_hh", dW, dW_right, suspects=suspects, look=look)
        kept.append((value, snapshot(value)))
    same_still(name, kept)


# --- A decoder with mistakes. ---

TRIALS = ("one", "same", "equal", "first", "padded")


def check_passes(passes: Any) -> None:
    """Refuse a wrong prediction of which tests let three mistakes pass."""
    chosen = names_of("passes", passes, TRIALS)
    wrong = {
        "equal": "one answer ends before another; what is written and counted after its end?",
        "padded": "what does the encoder read where a source has ended?",
    }
    right = {
        "one": "there is no padding. And what does `all` mean for a batch of one?",
        "same": "there is no padding. And when do equal sources come to their ends?",
        "first": "there is no padding. And can anything come after an end if one symbol is asked?",
    }
    judge_names(
        "passes",
        chosen,
        wrong,
        right,
        where="where the mistakes can be seen:",
        look=". Look at {name}:",
    )


# (S, B, source and target symbols, E, H), and start, end and the most symbols
NETWORKS = [
    ((5, 5, 5, 5, 5, 5), (1, 2, 9)),
    ((6, 5, 7, 5, 3, 6), (4, 0, 8)),
    ((4, 1, 5, 6, 2, 5), (0, 3, 9)),
    ((4, 1, 5, 6, 2, 5), (2, 1, 10)),
    ((4, 1, 5, 6, 2, 5), (0, 0, 9)),
    ((5, 4, 5, 5, 4, 5), (1, 2, 1)),
]


def _written(
    params: Seq2Seq,
    source: Array,
    lengths: Array,
    start: int,
    end: int,
    longest: int,
    *wrong: str,
) -> tuple[list[list[int]], Array]:
    """Write greedily, right or with mistakes by their names below."""
    memory = encode("gru", params, source, None if "no lengths" in wrong else lengths)
    B = source.shape[1]
    last = np.full(B, start)
    answers: list[list[int]] = [[] for _ in range(B)]
    total, count, ended = np.zeros(B), np.zeros(B), np.zeros(B, dtype=bool)
    for _ in range(longest):
        read = np.full(B, start) if "start again" in wrong else last
        log_probs, after = decode_step("gru", params, read, memory)
        memory = memory if "state kept" in wrong else after
        pick = log_probs.argmin(axis=1) if "least" in wrong else log_probs.argmax(axis=1)
        gain = log_probs[np.arange(B), pick]
        counts = np.ones(B, dtype=bool) if "counted on" in wrong else ~ended
        if "counted to the end" in wrong and (pick == end).all():
            counts = np.ones(B, dtype=bool)
        if "end not counted" in wrong:
            counts = counts & (pick != end)
        total += np.where(counts, gain, 0.0)
        count += counts
        for b in np.flatnonzero(~ended):
            answers[b].append(int(pick[b]))
        ended |= pick == end
        last = pick
        stop = (pick == end).all() if "all at once" in wrong else ended.all()
        if stop or ("first end" in wrong and ended.any()):
            break
    if "mean" in wrong:
        total = total / np.maximum(count, 1)
    return answers, total


WRITTEN_BUGS = {
    "no lengths": "the encoder has read the padding: give it the lengths",
    "state kept": "the decoder begins at the encoder's state at every step; carry the memory on",
    "start again": "the decoder reads start at every step; it must read what it has written",
    "least": "the least probable symbol is taken",
    "first end": "all stop when the first of them ends",
}
TOTAL_BUGS = {
    ("counted on", "all at once"): "what comes out if symbols after the end count, too",
    ("counted on",): "what comes out if symbols after the end count, until all have ended",
    ("end not counted",): "what comes out if the end symbol does not count; it is predicted, too",
    ("mean",): "the mean for each symbol; it is the sum",
}


def _case(
    rng: np.random.Generator, sizes: tuple[int, ...], ends_at: tuple[int, int, int]
) -> dict[str, Any]:
    """Draw a network whose answers end at several steps, the first too, and one not at all."""
    S, B, V, V_target, E, H = sizes
    start, end, longest = ends_at
    while True:
        params = init_seq2seq("gru", V, V_target, E, H, rng=rng)
        params = tree_map(lambda array: 4 * array, params)
        params.output.b[end] += 2.0
        source = rng.integers(1, V, size=(S, B))
        lengths = rng.permutation(np.linspace(2, S, B).round().astype(int)) if B > 1 else [S]
        lengths = np.array(lengths)
        source[np.arange(S)[:, None] >= lengths] = 0
        case: dict[str, Any] = {"params": params, "source": source, "lengths": lengths}
        case |= {"start": start, "end": end, "longest": longest}
        answers, _ = _written(*case.values())
        ends = {len(answer) for answer in answers if answer[-1] == end}
        unended = sum(answer[-1] != end for answer in answers)
        if B == 1:
            if ends and min(ends) > 2:
                return case
        elif longest == 1:
            if ends and unended:
                return case
        elif len(ends) > 1 and min(ends) == 1 and unended and max(ends) < longest - 1:
            others = [_written(*case.values(), bug)[0] for bug in WRITTEN_BUGS]
            if all(a != b for a, b in itertools.combinations([answers, *others], 2)):
                return case


def check_mended_decode(mended_decode: Any, seed: int = 0) -> None:
    """Refuse a greedy decoder of a batch that is not right."""
    rng, name, kept = rng_of(seed), "mended_decode", []
    for sizes, ends_at in NETWORKS:
        case = _case(rng, sizes, ends_at)
        value = call(name, mended_decode, **case)
        answers, log_p = results(name, value, "answers", "log_p")
        right, total = _written(*case.values())
        _check_answers(case, _lists(answers, len(right)), right)
        log_p = numbers("log_p", log_p, "One number for each source.", B=len(right))
        suspects = {}
        for bugs, why in TOTAL_BUGS.items():
            suspects[why] = _written(*case.values(), *bugs)[1]
        suspects["what comes out if the encoder has read the padding"] = _written(
            *case.values(), "no lengths"
        )[1]
        suspects["the product of the probabilities; sum their logarithms"] = np.exp(total)
        suspects["the negative; a log probability is not positive"] = -total
        look = "It is the sum of the symbols' log probabilities, end included, and no more."
        close("log_p", log_p, total, suspects=suspects, look=look)
        kept.append((value, snapshot(value)))
    same_still(name, kept)


def _lists(answers: Any, B: int) -> list[list[int]]:
    """Return the answers as lists of whole numbers, from whatever holds them."""
    if not isinstance(answers, list | tuple | np.ndarray):
        explained(f"answers must be a list of {B} lists, got {kind_of(answers)}")
    if len(answers) != B:
        explained(f"answers must be a list of {B} lists, one for each source, got {len(answers)}")
    found = []
    for b, answer in enumerate(answers):
        if not isinstance(answer, list | tuple | np.ndarray):
            explained(f"answers[{b}] must be a list of symbols, got {kind_of(answer)}")
        symbols = [number(f"a symbol of answers[{b}]", symbol) for symbol in answer]
        if any(symbol != int(symbol) for symbol in symbols):
            fail(f"answers[{b}] must hold whole numbers, got {symbols}")
        found.append([int(symbol) for symbol in symbols])
    return found


def _up_to(end: int, answer: list[int]) -> list[int]:
    return answer[: answer.index(end) + 1] if end in answer else answer


def _check_answers(
    case: Mapping[str, Any], answers: list[list[int]], right: list[list[int]]
) -> None:
    """Explain the first answer that is wrong."""
    if answers == right:
        return
    start, end, longest = (case[name] for name in ("start", "end", "longest"))
    cut = [_up_to(end, answer) for answer in answers]
    if cut == right:
        explained("answers go on after their end symbols: cut each one behind its first end")
    if answers == [answer[: -(answer[-1] == end) or None] for answer in right]:
        explained("answers lack their end symbols, which belong to them")
    if start == end and [] in answers:
        explained(
            "an answer is empty: nothing has ended before its first symbol is written, though "
            "start and end may be the same number"
        )
    if cut == [[start, *answer] for answer in right]:
        explained("answers begin with the start symbol; it is read, not written")
    for bug, why in WRITTEN_BUGS.items():
        if cut == _written(*case.values(), bug)[0]:
            explained(f"answers are wrong: {why}")
    b = next(b for b, pair in enumerate(zip(answers, right, strict=True)) if pair[0] != pair[1])
    if len(answers[b]) > longest:
        fail(f"answers[{b}] holds {len(answers[b])} symbols, but longest is {longest}")
    if answers[b] == right[b][: len(answers[b])]:
        fail(f"answers[{b}] should be {right[b]}, but it stops at {answers[b]}. Who has ended?")
    fail(
        f"answers[{b}] should be {right[b]}, but it is {answers[b]}. Go through one step: what "
        "is read, what is kept, what is written?"
    )


# --- A beam, and its trap. ---

SHORT, LONG = (-3.0, 3), (-5.0, 9)  # log probabilities and lengths of two answers


def check_alpha(alpha: Any) -> None:
    """Refuse a wrong exponent at which a longer answer begins to win."""
    (p, n), (q, m) = SHORT, LONG
    ratio, size = float(np.log(q / p)), float(np.log((5 + m) / (5 + n)))
    _guess(
        "alpha",
        alpha,
        ratio / size,
        {
            "this is for a division by n^alpha; the penalty has 5 + n": ratio / np.log(m / n),
            "the inverse: which logarithm is divided by which?": size / ratio,
            "the ratio of the log probabilities, without logarithms": q / p / ((5 + m) / (5 + n)),
            "log(5/3) alone; the lengths count, too": ratio,
            "with 1 the longer one wins already (and n counts the end); where does it begin?": 1.0,
            "with 0 there is no penalty, and the shorter one wins": 0.0,
            "it is positive: the longer one needs help": -ratio / size,
        },
        "set the two scores equal, and take the logarithm of the equation",
        rel=0.004,
    )


# (k, V), and how many of the k have ended; -1 for the first step, with one beginning alone.
BEAMS = [(3, 5, 1), (3, 3, 1), (2, 6, 0), (4, 5, 2), (1, 4, 0), (3, 5, -1), (3, 4, 3), (3, 5, 1)]
BEHIND, AHEAD = 1, 3  # the cases in which what has ended is far less or far more probable


def _beam(
    totals: Array, ended: Array, log_probs: Array, end: int, *wrong: str
) -> tuple[Array, Array, Array]:
    """Go on with the best continuations, right or with mistakes by their names below."""
    k, V = log_probs.shape
    free = np.where(np.arange(V) == end, 0.0, -np.inf)
    if "all free" in wrong:
        free = np.zeros(V)
    if "ended dropped" in wrong:
        free = np.full(V, -np.inf)
    gain = np.where(ended[:, None], free, np.where(ended[:, None], 0.0, log_probs))
    if "ended go on" in wrong:
        gain = log_probs
    before = np.zeros(k) if "not added" in wrong else totals
    scores = before[:, None] + (np.exp(gain) if "p added" in wrong else gain)
    if "each its best" in wrong:
        tokens = scores.argmax(axis=1)
        rows = np.argsort(-scores.max(axis=1), kind="stable")
        if "unsorted" in wrong:
            rows = np.arange(k)
        return rows, tokens[rows], scores[rows, tokens[rows]]
    order = np.argsort(-scores.ravel(), kind="stable")
    if "worst" in wrong:
        order = np.argsort(scores.ravel(), kind="stable")
    if "best row" in wrong:
        row = int(totals.argmax())
        order = row * V + np.argsort(-scores[row], kind="stable")
    if "ended kept" in wrong:
        kept = np.argsort(-(scores + 1e6 * ended[:, None]).ravel(), kind="stable")[:k]
        order = kept[np.argsort(-scores.ravel()[kept], kind="stable")]
    order = order[:k]
    if "worst first" in wrong:
        order = order[::-1]
    return order // V, order % V, scores[order // V, order % V]


BEAM_BUGS: dict[tuple[str, ...], str] = {
    ("ended go on",): "an ended beginning goes on; it has one continuation, itself",
    ("all free",): "an ended beginning comes with every symbol; it has one continuation, with end",
    ("ended dropped",): "an ended beginning is dropped; it keeps its place until better ones come",
    ("not added",): "the totals so far are not added",
    ("ended kept",): "an ended beginning stays in any case; it competes with its total like others",
    ("each its best",): "each beginning goes on once; all continuations of all compete",
    ("each its best", "unsorted"): "each beginning goes on once; all continuations of all compete",
    ("worst first",): "the worst of them comes first; the best one must",
    ("worst",): "the least probable are kept",
    ("best row",): "only the best beginning goes on; all continuations of all compete",
    ("p added",): "probabilities are added to logarithms",
}


def check_beam_step(beam_step: Any, seed: int = 0) -> None:
    """Refuse what is not one step of a beam search."""
    rng, name, kept = rng_of(seed), "beam_step", []
    for case, (k, V, n) in enumerate(BEAMS):
        arguments = _drawn_beam(rng, k, V, n)
        ended = arguments["ended"]
        if case == BEHIND:
            arguments["totals"][ended] -= 20.0
        if case == AHEAD:
            arguments["totals"][~ended] -= 5000.0
        if case == len(BEAMS) - 1:
            arguments["log_probs"][ended] = np.nan
        value = call(name, beam_step, **arguments)
        parts = results(name, value, "rows", "tokens", "totals")
        look = "One for each of the k places."
        rows = _ids("rows", parts[0], look, k=k)
        tokens = _ids("tokens", parts[1], look, k=k)
        right = _beam(*arguments.values())
        same = np.array_equal(rows, right[0]) and np.array_equal(tokens, right[1])
        if case == len(BEAMS) - 1 and (holds_nan(parts[2]) or not same):
            explained(
                f"{name} goes wrong where the row of an ended beginning in log_probs is nan: it "
                "means nothing, and 0 times nan is nan. Put np.where in place of a product"
            )
        if n == -1 and _holds_inf(parts[2]):
            explained(f"{name} goes on from an empty place, of total -inf; all others are better")
        if case == AHEAD and _holds_inf(parts[2]):
            explained("totals holds the logarithm of 0: exp(-5000) is 0. Keep logarithms")
        goes_on = np.isin(rows, np.flatnonzero(ended)) & (tokens != arguments["end"])
        if case == AHEAD and goes_on.any():
            explained(
                f"{name} lets an ended beginning go on with another symbol than end. This cannot "
                "be: its total is -inf, not just low, as all others may be lower still"
            )
        if not same:
            if np.array_equal(rows, right[1]) and np.array_equal(tokens, right[0]):
                explained("rows and tokens have changed places: rows[i] is the old place of new i")
            for bugs, why in BEAM_BUGS.items():
                with np.errstate(all="ignore"):
                    wrong = _beam(*arguments.values(), *bugs)
                if np.array_equal(rows, wrong[0]) and np.array_equal(tokens, wrong[1]):
                    explained(f"{name} keeps others than the best: {why}")
        totals = numbers("totals", parts[2], look, k=k)
        if same and alike(totals, right[2]):
            kept.append((value, snapshot(value)))
            continue
        if same:
            picked = arguments["log_probs"][right[0], right[1]]
            suspects = {
                "the last symbol's log probability alone; add the total before": picked,
                "the totals before the step": arguments["totals"][right[0]],
                "the totals of other rows; reorder them by rows": arguments["totals"] + picked,
                "the probabilities; keep their logarithms": np.exp(right[2]),
                "what comes out if an ended beginning pays for one symbol more": arguments[
                    "totals"
                ][right[0]]
                + picked,
            }
            look = "totals[i] belongs to rows[i] and tokens[i]."
            close("totals", totals, right[2], suspects=suspects, look=look)
        if sorted(zip(rows, tokens, strict=True)) == sorted(zip(*right[:2], strict=True)):
            explained(f"{name} keeps the right ones, but they must be sorted, the best one first")
        i = int(np.flatnonzero((rows != right[0]) | (tokens != right[1]))[0])
        fail(
            f"place {i} should go on from row {right[0][i]} with token {right[1][i]}, total "
            f"{right[2][i]:.4g}, not from row {rows[i]} with token {tokens[i]}. All k V "
            "continuations compete"
        )
    same_still(name, kept)


def _drawn_beam(rng: np.random.Generator, k: int, V: int, n: int) -> dict[str, Any]:
    """Draw beginnings of which n have ended, so that the known mistakes can be seen."""
    end = int(rng.integers(V))
    while True:
        totals = -rng.uniform(1.0, 3.0, size=k)
        ended = rng.permutation(np.arange(k) < n)
        log_probs = log_softmax(1.5 * rng.normal(size=(k, V)))
        if n == -1:
            totals[:] = np.where(np.arange(k) == 0, 0.0, -np.inf)
        arguments: dict[str, Any] = {
            "totals": totals,
            "ended": ended,
            "log_probs": log_probs,
            "end": end,
        }
        rows, tokens, _ = _beam(**arguments)
        if (V, n) != (5, 1):
            return arguments
        places = {(*rows, *tokens), (*tokens, *rows)}
        if len(places) < 2 or not ended[rows].any():
            continue
        for bugs in BEAM_BUGS:
            rows, tokens, _ = _beam(*arguments.values(), *bugs)
            if (*rows, *tokens) in places and bugs != ("ended kept",):  # no mistake here
                break
            places.add((*rows, *tokens))
        else:
            return arguments


SYMBOLS, FINDS = 5, 4


def _most_probable(table: Array) -> tuple[tuple[int, ...], float]:
    """Return the most probable answer of all; one that repeats a symbol is never better."""
    best = float(table[0, 0])
    answer: tuple[int, ...] = (0,)
    inner = range(1, len(table))
    for size in range(1, len(table)):
        for way in itertools.permutations(inner, size):
            p = float(np.prod(table[(0, *way), (*way, 0)]))
            if p > best:
                best, answer = p, (*way, 0)
    return answer, best


def check_trap(trap: Any) -> None:
    """Refuse a table in which narrow beams find the empty answer, or it is not the best."""
    if unwritten(trap):
        unanswered("trap has no value yet: replace the dots by an array, and run the cell")
    table = numbers("trap", trap, "One row for each symbol before.", rows=SYMBOLS, columns=SYMBOLS)
    if (table < 0).any():
        i, j = np.argwhere(table < 0)[0]
        fail(f"trap[{i}, {j}] is {table[i, j]:.4g}: a probability is not negative")
    sums = table.sum(axis=1)
    if not np.allclose(sums, 1, rtol=0, atol=1e-6):
        i = int(np.abs(sums - 1).argmax())
        turned = " (its columns do)" if np.allclose(table.sum(axis=0), 1) else ""
        fail(f"row {i} of trap sums to {sums[i]:.10g}, not to 1{turned}")
    answer, p = _most_probable(table)
    if answer != (0,):
        fail(
            f"the most probable answer is {list(answer)} with {p:.4g}; the empty one, [0], has "
            f"{table[0, 0]:.4g}. Where does an answer lose its probability after the first symbol?"
        )
    with np.errstate(divide="ignore"):
        logs = np.log(table)

    def step(tokens: Array, state: Any) -> tuple[Array, Any]:
        return logs[tokens], state

    for width in (*range(1, FINDS), FINDS):
        beams = beam_search(step, np.zeros((1, 0)), width=width, bos=0, eos=0, max_length=20)
        best = beams[0][0]
        if width < FINDS and best.tokens == (0,):
            fail(
                f"a beam of width {width} finds the empty answer. It keeps the {width} best first "
                "symbols: how many must be more probable than the end?"
            )
        if width == FINDS and best.tokens != (0,):
            above = int(np.sum(table[0] > table[0, 0]))
            why = f"{above} first symbols are more probable than the end, and it keeps four"
            if above < FINDS:
                why = "it is pushed out at a later step, by what follows the first symbols"
            if best.tokens[-1] != 0:
                why = "its best answer has not ended after 20 symbols. Each needs a way to the end"
            fail(f"a beam of width 4 does not find the empty answer: {why}")


# --- Last in, first out. ---

SURE = 0.9  # the least probability of a right symbol
SMALL = (2, 3)
SIZES = [(3, 2), (1, 1), (1, 5), (4, 1), (2, 7), (5, 6), (30, 2), (2, 40)]


def _units(V: int, n: int) -> int:
    """How many units are allowed."""
    return 4 * (V + 1) * (n + 1)


def _reader(name: str, value: Any, V: int, n: int) -> Seq2Seq:
    """Return the parameters of an encoder-decoder, if they are such as seq2seq_forward takes."""
    wanted = f"{name} must return Seq2Seq({', '.join(Seq2Seq._fields)})"
    if not isinstance(value, tuple | list) or isinstance(value, Recurrent | Linear):
        explained(f"{wanted}; it returned {kind_of(value)}")
    if len(value) != len(Seq2Seq._fields):
        explained(f"{wanted}; it returned {len(value)} thing{'' if len(value) == 1 else 's'}")
    parts = dict(zip(Seq2Seq._fields, value, strict=True))
    for field in ("attention", "combine"):
        if parts[field] is not None:
            explained(f"{field} of {name} must be None: this network has no attention")
    for field, kind in {"encoder": Recurrent, "decoder": Recurrent, "output": Linear}.items():
        if not isinstance(parts[field], kind):
            explained(f"{field} of {name} must be a {kind.__name__}, got {kind_of(parts[field])}")
    E = (*shape_of(f"source_embedding of {name}", parts["source_embedding"]), 0, 0)[1]
    H = (*shape_of(f"W_hh of {name}", parts["encoder"].W_hh), 0)[0]
    if max(E, H) > _units(V, n):
        fail(f"{name} has E = {E} and H = {H}; at most {_units(V, n)} are allowed")
    layer = {
        "W_ih": {"H": H, "E": E},
        "W_hh": {"rows": H, "columns": H},
        "b_ih": {"H": H},
        "b_hh": {"H": H},
    }
    sizes: dict[str, Any] = {
        "source_embedding": {"V": V + 1, "E": E},
        "target_embedding": {"V": V + 1, "E": E},
        "encoder": layer,
        "decoder": layer,
        "output": {"W": {"V": V + 1, "H": H}, "b": {"V": V + 1}},
    }
    for field, wanted_sizes in sizes.items():
        inner = parts[field]._asdict() if field not in Seq2Seq._fields[:2] else {"": parts[field]}
        outer = wanted_sizes if field not in Seq2Seq._fields[:2] else {"": wanted_sizes}
        for part, array in inner.items():
            what = f"{field}{'.' if part else ''}{part} of {name}"
            numbers(what, array, "", **outer[part])
            if not isinstance(array, np.ndarray) or array.dtype != np.float64:
                got = array.dtype if isinstance(array, np.ndarray) else kind_of(array)
                explained(f"{what} must be an array of float64, got {got}")
    if not isinstance(value, Seq2Seq):
        explained(f"{wanted}; it returned them in {kind_of(value)}")
    return value


def check_reverser(reverser: Any) -> None:
    """Refuse a network that does not reverse all sequences of up to three of two symbols."""
    V, n = SMALL
    all_of_them = [
        list(symbols)
        for size in range(1, n + 1)
        for symbols in itertools.product(range(1, V + 1), repeat=size)
    ]
    _check_reversed(reverser, V, n, all_of_them)


def check_reverser_large(reverser: Any, seed: int = 0) -> None:
    """Refuse networks of other sizes that do not reverse what they read."""
    rng = rng_of(seed)
    for V, n in SIZES:
        sizes = [n, *rng.integers(1, n + 1, size=30)]
        drawn = [rng.integers(1, V + 1, size=size).tolist() for size in sizes]
        _check_reversed(reverser, V, n, [[V] * n, *drawn])


def _check_reversed(reverser: Any, V: int, n: int, sources: list[list[int]]) -> None:
    """Let the network read sources side by side, and look at each symbol of the right answers."""
    name = f"reverser({V}, {n})" if callable(reverser) else "reverser"
    params = _reader(name, call(name, reverser, V=V, n=n), V, n)
    B, S = len(sources), max(map(len, sources))
    source = np.zeros((S, B), dtype=int)
    read, written = np.zeros((2, S + 1, B), dtype=int)
    for b, symbols in enumerate(sources):
        source[: len(symbols), b] = symbols
        read[1 : len(symbols) + 1, b] = written[: len(symbols), b] = symbols[::-1]
    lengths = np.array([len(symbols) for symbols in sources])
    with np.errstate(all="ignore"):
        logits, _, _ = seq2seq_forward("rnn", params, source, lengths, read)
        p = softmax(logits)
    right = np.take_along_axis(p, written[..., None], axis=-1)[..., 0]
    bad = ~(right >= SURE) & (np.arange(S + 1)[:, None] <= lengths)
    if not bad.any():
        return
    likeliest = p.argmax(axis=-1)
    # The shortest source that goes wrong, at the first place where another symbol is likelier.
    other = bad & (likeliest != written)
    shown = other if other.any() else bad
    b = min(map(int, np.flatnonzero(shown.any(axis=0))), key=lambda b: lengths[b])
    t = int(np.flatnonzero(shown[:, b])[0])
    start = f"{name}: for the source {sources[b]}, symbol {t + 1} of the answer should be "
    start += f"{written[t, b] or '0, the end'}"
    if not other.any():
        fail(f"{start}, and has a probability of {right[t, b]:.3g} only: take larger weights")
    found = int(likeliest[t, b])
    if found == 0:
        steps = f"{t + 1} step{'s' * (t > 0)}"
        fail(f"{start}, but the end is likelier. What is left in the state after {steps}?")
    if t == lengths[b]:
        fail(f"{start}, but {found} is likelier. The state holds nothing any more: who wins then?")
    copied = np.array_equal(likeliest[: lengths[b], b], sources[b])
    order = "This is the order of the source; it is to be reversed"
    fail(
        f"{start}, but {found} is likelier. "
        f"{order if copied and lengths[b] > 1 else 'Print the state after each step'}"
    )
