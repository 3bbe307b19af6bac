"""What a network writes, and how far it is from what is right."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from unrolled._validate import Array
from unrolled.data.pairs import PairBatch, PairVocabularies
from unrolled.functional import log_softmax
from unrolled.seq2seq import Seq2Seq, decode_step, encode, seq2seq_forward


def edit_distance(a: Sequence[Any], b: Sequence[Any]) -> int:
    """Count the symbols to insert, to delete and to replace, at least, to make b of a.

    Row i of the table holds the distances of ``a[:i]`` to every beginning of b; each of them is
    one more than the smallest of three neighbours, or equal to one where the symbols agree.

    Examples
    --------
    >>> edit_distance(("N", "AY", "T"), ("K", "N", "AY", "T"))
    1
    >>> edit_distance("kitten", "sitting")
    3

    Notes
    -----
    Chapter 8, "Two lengths"; Levenshtein (1966).
    """
    above = list(range(len(b) + 1))
    for i, symbol in enumerate(a, start=1):
        row = [i]
        for j, other in enumerate(b, start=1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (symbol != other)))
        above = row
    return above[-1]


def error_rate(found: Sequence[Sequence[Any]], right: Sequence[Sequence[Any]]) -> float:
    """Sum the edit distances of pairs of sequences, for each symbol of the right ones.

    It is 0 if all are right, and may exceed 1.

    Raises
    ------
    ValueError
        If there are not as many of both, or the right ones hold no symbol.

    Examples
    --------
    >>> error_rate(["ab", "c"], ["ab", "de"])
    0.5

    Notes
    -----
    Chapter 8, "Two lengths": of phonemes, the phoneme error.
    """
    if len(found) != len(right) or not any(map(len, right)):
        sizes = f"{len(found)} and {len(right)}"
        raise ValueError(f"found and right must be as many, with symbols in right, got {sizes}")
    distance = sum(edit_distance(a, b) for a, b in zip(found, right, strict=True))
    return distance / sum(map(len, right))


def decode_pairs(
    way: Callable[..., list[Any]],
    cell: str,
    params: Seq2Seq,
    pairs: PairBatch,
    vocabularies: PairVocabularies,
    *,
    score: str | None = None,
    max_length: int,
    batch: int = 250,
    **how: Any,
) -> list[Any]:
    """Decode the sources of many pairs with ``greedy``, ``sample`` or ``beam_search``.

    Parameters
    ----------
    way : callable
        One of the three functions of ``unrolled.decoding``; ``how`` is what it takes besides.
    cell, params, score
        As for ``seq2seq_forward``.
    pairs : PairBatch
    vocabularies : PairVocabularies
    max_length : int
    batch : int
        How many sources are decoded side by side.

    Returns
    -------
    list
        What ``way`` returns, one for each source.

    Examples
    --------
    >>> from unrolled.data.pairs import pair_vocabularies
    >>> from unrolled.decoding import greedy
    >>> from unrolled.seq2seq import init_seq2seq
    >>> pairs = [("cat", ("K", "AE", "T")), ("at", ("AE", "T"))]
    >>> ids = pair_vocabularies(pairs)
    >>> params = init_seq2seq("gru", 5, 7, 2, 4, rng=np.random.default_rng(0))
    >>> len(decode_pairs(greedy, "gru", params, ids.encode(pairs), ids, max_length=9))
    2
    """
    step, found = partial(decode_step, cell, params, score=score), []
    ends = {"bos": vocabularies.start, "eos": vocabularies.end, "max_length": max_length}
    B = len(pairs.source_lengths)
    for first in range(0, B, batch):
        part = pairs.take(np.arange(first, min(first + batch, B)))
        memory = encode(cell, params, part.source, part.source_lengths)
        found += way(step, memory, **ends, **how)
    return found


def teacher_forced(
    cell: str, params: Seq2Seq, pairs: PairBatch, *, score: str | None = None, batch: int = 250
) -> tuple[Array, Array]:
    """Let a network predict each symbol of the targets with the right ones before it given.

    Returns
    -------
    likeliest : integer ndarray of shape (T, B)
        The symbol that it would write.
    log_probs : ndarray of shape (T, B)
        The log probability of the right symbol; 0 where a target has ended, so that the sum over
        T is that of the whole target.

    Examples
    --------
    >>> from unrolled.data.pairs import pair_vocabularies
    >>> from unrolled.seq2seq import init_seq2seq
    >>> pairs = [("cat", ("K", "AE", "T")), ("at", ("AE", "T"))]
    >>> ids = pair_vocabularies(pairs)
    >>> params = init_seq2seq("gru", 5, 7, 2, 4, rng=np.random.default_rng(0))
    >>> likeliest, log_probs = teacher_forced("gru", params, ids.encode(pairs))
    >>> log_probs.shape, bool(log_probs[3, 1] == 0)
    ((4, 2), True)
    """
    likeliest = np.zeros_like(pairs.target_out)
    log_probs = np.zeros(pairs.target_out.shape, dtype=params.output.W.dtype)
    B = len(pairs.source_lengths)
    for first in range(0, B, batch):
        index = np.arange(first, min(first + batch, B))
        source, lengths, target_in, target_out, ends = pairs.take(index)
        logits, _, _ = seq2seq_forward(cell, params, source, lengths, target_in, score=score)
        log_p = np.take_along_axis(log_softmax(logits), target_out[..., None], axis=-1)[..., 0]
        likeliest[: len(target_out), index] = logits.argmax(axis=-1)
        alive = np.arange(len(target_out))[:, None] < ends
        log_probs[: len(target_out), index] = np.where(alive, log_p, 0)
    return likeliest, log_probs
