"""Decoding: from a network that says how likely each next symbol is to a whole sequence.

Every function here takes ``step(tokens, state) -> log_probs, state``: given the last symbol of each
of B sequences, (B,), and a state, it returns the logarithms of the probabilities of the next
symbol, (B, V), and the state after it. The state is any tree of arrays with the batch on axis 0.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from unrolled._validate import Array, check_positive, check_shape
from unrolled.params import tree_arrays, tree_map

Step = Callable[[Array, Any], tuple[Array, Any]]


class Hypothesis(NamedTuple):
    """A decoded sequence and how likely the network finds it."""

    tokens: tuple[int, ...]  # without bos; the last one is eos, unless max_length came first
    log_prob: float  # sum over the tokens
    score: float  # what hypotheses are sorted by: log_prob over the length penalty


def greedy(step: Step, state: Any, *, bos: int, eos: int, max_length: int) -> list[Hypothesis]:
    """Take the most likely symbol at each step, until it is ``eos``.

    Parameters
    ----------
    step : callable
        As the head of this module says.
    state : tree of arrays, with the batch on axis 0
    bos, eos : int
        The symbols that begin and end a sequence.
    max_length : int, the number of symbols at most

    Returns
    -------
    list of Hypothesis, one for each of the B sequences

    Raises
    ------
    ValueError
        If ``max_length`` is not positive, or ``step`` returns another shape than (B, V), NaN or
        what is no logarithm of a probability: a number above 0.

    Examples
    --------
    >>> table = np.log([[0.2, 0.8], [0.7, 0.3]])  # row: the symbol before
    >>> step = lambda tokens, state: (table[tokens], state)
    >>> greedy(step, np.zeros((1, 0)), bos=0, eos=0, max_length=5)[0].tokens
    (1, 0)

    Notes
    -----
    Chapter 8, "Greedy, at random, or with a beam". The sequence of the likeliest symbols
    need not be the likeliest sequence.
    """
    return _decode(lambda log_probs: log_probs.argmax(axis=-1), step, state, bos, eos, max_length)


def sample(
    step: Step,
    state: Any,
    *,
    bos: int,
    eos: int,
    max_length: int,
    temperature: float = 1.0,
    rng: np.random.Generator,
) -> list[Hypothesis]:
    """Draw each symbol with a probability proportional to ``p^(1 / temperature)``.

    Takes and returns what ``greedy`` does, which it is at temperature 0. ``log_prob`` is that of
    the network, whatever the temperature, which must be finite and not negative.

    Examples
    --------
    >>> step = lambda tokens, state: (np.log(np.full((len(tokens), 4), 0.25)), state)
    >>> rng = np.random.default_rng(0)
    >>> round(sample(step, np.zeros((1, 0)), bos=0, eos=0, max_length=1, rng=rng)[0].log_prob, 4)
    -1.3863

    Notes
    -----
    Chapter 8, "Greedy, at random, or with a beam"; Gumbel (1954) for the noise:
    ``argmax(log p / temperature + noise)`` is distributed like a draw from
    ``softmax(log p / temperature)``.
    """
    if not temperature >= 0:
        raise ValueError(f"temperature must be at least 0, got {temperature}")
    if math.isinf(temperature):
        raise ValueError(f"temperature must be finite, got {temperature}")

    def draw(log_probs: Array) -> Array:
        # Not divided by the temperature, but the noise multiplied: 0 needs no case of its own.
        return (log_probs + temperature * rng.gumbel(size=log_probs.shape)).argmax(axis=-1)

    return _decode(draw, step, state, bos, eos, max_length)


def beam_search(
    step: Step,
    state: Any,
    *,
    width: int,
    bos: int,
    eos: int,
    max_length: int,
    length_penalty: float = 0.0,
) -> list[list[Hypothesis]]:
    """Keep the ``width`` best beginnings at each step instead of one.

    All are compared by ``score = log_prob / ((5 + length) / 6)^length_penalty``, where the length
    counts ``eos``. A hypothesis that has come to ``eos`` keeps its place until better ones take it.

    Parameters
    ----------
    step, state, bos, eos, max_length
        As for ``greedy``. ``step`` is called with B * width sequences.
    width : int
        Number of hypotheses to keep of each sequence; with 1 this is ``greedy``.
    length_penalty : float, default 0
        At 0, short hypotheses have an advantage: each symbol more lowers ``log_prob``.

    Returns
    -------
    list of lists of Hypothesis
        For each of the B sequences at most ``width``, best score first; none of probability 0.

    Raises
    ------
    ValueError
        As ``greedy``, or if ``width`` is not positive or ``length_penalty`` negative.

    Examples
    --------
    >>> table = np.log([[1e-9, 0.6, 0.4], [0.5, 0.3, 0.2], [0.9, 0.05, 0.05]])
    >>> step = lambda tokens, state: (table[tokens], state)
    >>> greedy(step, np.zeros((1, 0)), bos=0, eos=0, max_length=2)[0].tokens
    (1, 0)
    >>> beam_search(step, np.zeros((1, 0)), width=2, bos=0, eos=0, max_length=2)[0][0].tokens
    (2, 0)

    Notes
    -----
    Chapter 8, "Greedy, at random, or with a beam"; Sutskever, Vinyals & Le (2014). The
    length penalty is that of Wu et al. (2016).
    """
    check_positive("width", width)
    check_positive("max_length", max_length)
    if not length_penalty >= 0:
        raise ValueError(f"length_penalty must be at least 0, got {length_penalty}")
    B = _batch(state)
    N = B * width  # hypothesis w of sequence b is row b * width + w
    state = tree_map(lambda array: np.repeat(array, width, axis=0), state)
    tokens, last = np.empty((N, 0), dtype=int), np.full(N, bos)
    lengths, ended = np.zeros(N, dtype=int), np.zeros(N, dtype=bool)
    # At the start each beam holds one hypothesis, the empty one; -inf marks a place without one.
    totals = np.where(np.arange(N) % width == 0, 0.0, -np.inf)
    for _ in range(max_length):
        log_probs, state = step(last, state)
        _check_log_probs(log_probs, N, eos, ~ended & (totals > -np.inf))
        V = log_probs.shape[1]
        # An ended hypothesis has one continuation, which costs nothing: itself.
        free = np.where(np.arange(V) == eos, 0.0, -np.inf)
        totals = totals[:, None] + np.where(ended[:, None], free, log_probs)  # (N, V)
        lengths = lengths + ~ended
        scores = totals / (((5 + lengths) / 6) ** length_penalty)[:, None]
        best = np.argsort(-scores.reshape(B, width * V), axis=1, kind="stable")[:, :width]
        rows, last = (width * np.arange(B)[:, None] + best // V).ravel(), (best % V).ravel()
        totals, scores = totals[rows, last], scores[rows, last]
        state, tokens, lengths, ended = tree_map(
            lambda array, rows=rows: array[rows], (state, tokens, lengths, ended)
        )
        tokens = np.column_stack([tokens, last])
        ended |= last == eos
        if (ended | (totals == -np.inf)).all():
            break
    found = _hypotheses(tokens, lengths, totals, scores)
    beams = [found[row : row + width] for row in range(0, N, width)]
    return [[h for h in beam if h.log_prob > -np.inf] for beam in beams]


def _decode(
    pick: Callable[[Array], Array], step: Step, state: Any, bos: int, eos: int, max_length: int
) -> list[Hypothesis]:
    """Go on with the one symbol that ``pick`` takes for each sequence, (B, V) -> (B,)."""
    check_positive("max_length", max_length)
    B = _batch(state)
    last, picked = np.full(B, bos), []
    lengths, totals, ended = np.zeros(B, dtype=int), np.zeros(B), np.zeros(B, dtype=bool)
    for _ in range(max_length):
        log_probs, state = step(last, state)
        _check_log_probs(log_probs, B, eos, ~ended)
        last = pick(log_probs)
        picked.append(last)
        totals += np.where(ended, 0.0, log_probs[np.arange(B), last])
        lengths += ~ended
        ended |= last == eos
        if ended.all():
            break
    return _hypotheses(np.column_stack(picked), lengths, totals, totals)


def _hypotheses(tokens: Array, lengths: Array, totals: Array, scores: Array) -> list[Hypothesis]:
    rows = zip(tokens.tolist(), lengths, totals.tolist(), scores.tolist(), strict=True)
    return [Hypothesis(tuple(row[:length]), total, score) for row, length, total, score in rows]


def _batch(state: Any) -> int:
    sizes = [np.shape(array)[:1] for array in tree_arrays(state)]
    if not sizes or () in sizes or len(set(sizes)) > 1:
        raise ValueError(f"state must hold arrays with one batch size on axis 0, got {sizes}")
    return sizes[0][0]


def _check_log_probs(log_probs: Array, B: int, eos: int, live: Array) -> None:
    """Check what a step returned; its numbers where a sequence goes on, as no others count."""
    check_shape("log_probs", log_probs, B=B, V=None)
    V = log_probs.shape[1]
    if not 0 <= eos < V:
        raise ValueError(f"eos must lie in 0..{V - 1}, got {eos}")
    largest = np.max(log_probs[live], initial=-np.inf)  # NaN, if there is one
    if not largest <= 1e-6:  # above 0 by rounding alone
        raise ValueError(f"log_probs, which step returns, must be at most 0, got {largest}")
