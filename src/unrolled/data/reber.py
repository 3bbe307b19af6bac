"""Strings of the embedded Reber grammar: one letter to remember while a small grammar runs."""

from typing import NamedTuple

import numpy as np

from unrolled._validate import Array
from unrolled.data.sequences import Vocabulary, pad

# The Reber grammar: what each state may emit, and where that leads. State 7 is the end.
_INNER = (
    {"B": 1},
    {"T": 2, "P": 3},
    {"S": 2, "X": 4},
    {"T": 3, "V": 5},
    {"X": 3, "S": 6},
    {"P": 4, "V": 6},
    {"E": 7},
)
REBER = Vocabulary(symbol for row in _INNER for symbol in row)


class ReberBatch(NamedTuple):
    """Strings of the embedded Reber grammar: what comes in, what comes next, what might have."""

    x: Array  # (T, B) int64, ids of the vocabulary REBER; padded
    y: Array  # (T, B) int64, the symbol after each; padded
    legal: Array  # (T, B, V) bool: every id that might stand in y there; none beyond the end
    lengths: Array  # (B,) int64, one less than those of the strings
    strings: list[str]  # (B,)


def embedded_reber(B: int, *, rng: np.random.Generator, p: float = 0.5) -> ReberBatch:
    """Draw strings of the embedded Reber grammar: the last letter but one repeats the second.

    A string is ``B T <Reber string> T E`` or ``B P <Reber string> P E``, each half of the time.
    Wherever the grammar may go two ways it takes either half of the time, but where one way leads
    back to the same state, it takes that one with probability p. The nearer p is to 1, the longer
    the second letter must be remembered.

    Parameters
    ----------
    B : int
        Number of strings.
    rng : numpy.random.Generator
    p : float, default 0.5
        0 <= p < 1.

    Returns
    -------
    ReberBatch
        A prediction is right if the grammar allows it: ``legal[t, b, id]``.

    Raises
    ------
    ValueError
        If ``B`` is too small or p out of its range.

    Examples
    --------
    >>> batch = embedded_reber(2, rng=np.random.default_rng(0))
    >>> batch.strings, batch.lengths, batch.legal.shape
    (['BPBTSSXSEPE', 'BPBPVVEPE'], array([10,  8]), (10, 2, 9))

    Notes
    -----
    Chapter 5, "A grammar with a memory"; Reber (1967), Hochreiter & Schmidhuber (1997) with p =
    0.5. Baseline: a model that knows everything but the second letter pays log 2 = 0.693 nats a
    string more than it must, and gets every second string right.
    """
    if B < 1:
        raise ValueError(f"B must be at least 1, got {B}")
    if not 0 <= p < 1:
        raise ValueError(f"p must be at least 0 and below 1, got {p}")
    strings, legal = [], []
    for _ in range(B):
        string, state, rows = "", 0, []
        while ways := _EMBEDDED[state]:
            symbol, *other = ways
            if other:
                loops = state in ways.values()  # the way back to the state stands first
                symbol = symbol if rng.random() < (p if loops else 0.5) else other[0]
            string += symbol
            state = ways[symbol]
            rows.append(_LEGAL[state])
        strings.append(string)
        legal.append(np.array(rows[:-1]))
    ids = [REBER.encode(string) for string in strings]
    x, lengths = pad([i[:-1] for i in ids])
    y, _ = pad([i[1:] for i in ids])
    return ReberBatch(x, y, pad(legal)[0], lengths, strings)


def legal_next(prefix: str) -> str:
    """List the symbols that the embedded Reber grammar allows after a prefix.

    Raises
    ------
    ValueError
        If the prefix itself is not one that the grammar allows.

    Examples
    --------
    >>> legal_next("BTB"), legal_next("BTBPVVE"), legal_next("BTBPVVETE")
    ('PT', 'T', '')
    """
    state = _walk(prefix)
    if state is None:
        raise ValueError(f"prefix must be the beginning of a legal string, got {prefix!r}")
    return "".join(sorted(_EMBEDDED[state]))


def is_legal(string: str) -> bool:
    """Tell whether a whole string belongs to the embedded Reber grammar.

    Examples
    --------
    >>> is_legal("BTBPVVETE"), is_legal("BTBPVVEPE"), is_legal("BTBPVVE")
    (True, False, False)
    """
    state = _walk(string)
    return state is not None and not _EMBEDDED[state]


def _embed() -> list[dict[str, int]]:
    """Lay out the whole grammar: one copy of the inner one for each letter to remember."""
    outer: dict[str, int] = {}
    graph = [{"B": 1}, outer]
    last = 2 + 2 * (len(_INNER) + 1)
    for letter in "TP":
        outer[letter] = first = len(graph)
        graph += [{symbol: first + k for symbol, k in ways.items()} for ways in _INNER]
        graph.append({letter: last})
    return [*graph, {"E": last + 1}, {}]


def _walk(string: str) -> int | None:
    state: int | None = 0
    for symbol in string:
        state = None if state is None else _EMBEDDED[state].get(symbol)
    return state


_EMBEDDED = _embed()
_LEGAL = np.array([[symbol in ways for symbol in ["", "", *REBER.symbols]] for ways in _EMBEDDED])
