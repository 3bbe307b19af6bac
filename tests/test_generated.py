"""Generated tasks: every target recomputed in another way, and what is drawn, how often."""

import math
import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers import PROPERTY, same
from unrolled import data
from unrolled import losses as L
from unrolled.data import generated as G
from unrolled.data import reber as R

sizes = st.tuples(st.integers(2, 40), st.integers(1, 5), st.integers(0, 2**32))


def rng(seed=0):
    return np.random.default_rng(seed)


def near(count, chance, draws):
    """Whether a count is what a chance gives: within four and a half standard deviations."""
    return abs(count - chance * draws) < 4.5 * math.sqrt(draws * chance * (1 - chance))


DRAWS = {
    "adding": lambda rng: G.adding(9, 3, rng=rng),
    "temporal_order": lambda rng: G.temporal_order(9, 3, rng=rng),
    "copy": lambda rng: G.copy(9, 3, rng=rng),
    "selective_copying": lambda rng: G.selective_copying(9, 3, rng=rng),
    "embedded_reber": lambda rng: G.embedded_reber(3, rng=rng)[:2],
}


@pytest.mark.parametrize("task", DRAWS)
def test_the_generator_alone_decides(task):
    one, again, other = (DRAWS[task](rng(seed)) for seed in (1, 1, 2))
    for a, b in zip(one, again, strict=True):
        same(a, b)
    assert not np.array_equal(one[0], other[0])
    # Drawn one after the other they differ, and so do the sequences of one batch.
    source = rng(1)
    assert not np.array_equal(DRAWS[task](source)[0], DRAWS[task](source)[0])
    assert not np.array_equal(one[0][:, 0], one[0][:, 1])


def test_all_of_them_can_be_had_from_the_data_package():
    for name in G.__all__:
        assert getattr(data, name) is getattr(G, name)
        assert name in data.__all__


# Adding


@PROPERTY
@given(sizes)
def test_adding_sums_what_is_marked(size):
    T, B, seed = size
    x, y = G.adding(T, B, rng=rng(seed), dtype=np.float64)
    assert x.shape == (T, B, 2)
    assert y.shape == (B, 1)
    for b in range(B):
        steps = [t for t in range(T) if x[t, b, 1] == 1]
        assert len(steps) == 2
        first, second = steps
        assert first < T // 2 <= second
        assert y[b, 0] == sum(x[t, b, 0] for t in steps)
    assert ((x[:, :, 1] == 0) | (x[:, :, 1] == 1)).all()
    assert x[:, :, 0].min() >= 0
    assert x[:, :, 0].max() <= 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_adding_has_the_dtype_that_is_asked_for(dtype):
    x, y = G.adding(5, 2, rng=rng(), dtype=dtype)
    assert x.dtype == y.dtype == dtype
    assert {a.dtype for a in G.adding(5, 2, rng=rng())} == {np.dtype(np.float32)}


def test_adding_has_the_baseline_of_its_docstring():
    x, y = G.adding(50, 20_000, rng=rng(), dtype=np.float64)
    loss, _ = L.mse(np.ones_like(y), y)
    assert loss == pytest.approx(1 / 6, rel=0.03)
    assert x[:, :, 0].mean() == pytest.approx(0.5, abs=0.002)
    assert x[:, :, 0].var() == pytest.approx(1 / 12, rel=0.01)
    # Each step of a half is marked equally often.
    marks = x[:, :, 1].sum(axis=1)
    assert all(near(count, 1 / 25, 20_000) for count in marks)


# Temporal order

CLASSES = {("X", "X"): 0, ("X", "Y"): 1, ("Y", "X"): 2, ("Y", "Y"): 3}


@PROPERTY
@given(sizes)
def test_temporal_order_names_the_two_in_their_order(size):
    T, B, seed = size
    x, y = G.temporal_order(T, B, rng=rng(seed))
    assert x.shape == (T, B)
    assert y.shape == (B,)
    assert x.dtype == y.dtype == np.int64
    for b in range(B):
        string = "".join("abcdXY"[i] for i in x[:, b])
        found = re.fullmatch("[abcd]*([XY])[abcd]*([XY])[abcd]*", string)
        assert found, string
        assert y[b] == CLASSES[found.groups()]
        assert math.floor(T / 10) <= found.start(1) <= T / 5
        assert math.floor(T / 2) <= found.start(2) <= 3 * T / 5
    assert G.TEMPORAL_ORDER == "abcdXY"


def test_temporal_order_is_as_in_the_paper_at_a_hundred_steps():
    B = 20_000
    x, y = G.temporal_order(100, B, rng=rng())
    steps = np.argsort(x < 4, axis=0, kind="stable")[:2]
    first, second = np.sort(steps, axis=0)
    assert set(first) == set(range(10, 21))
    assert set(second) == set(range(50, 61))
    for places in (first, second):
        assert all(near(count, 1 / 11, B) for count in Counter(places).values())
    assert all(near(count, 1 / 4, B) for count in Counter(y).values())
    rest = Counter(x[x < 4])
    assert sorted(rest) == [0, 1, 2, 3]
    assert all(near(count, 1 / 4, 98 * B) for count in rest.values())
    assert L.cross_entropy(np.zeros((B, 4)), y)[0] == pytest.approx(math.log(4))


# Copying

copies = st.tuples(*[st.integers(1, 6)] * 4, st.integers(0, 2**32))


def parts(x, T, M):
    """The strings of a batch, cut where the sign should be."""
    assert x.shape[0] == T + 2 * M
    return [
        (list(x[: T + M - 1, b]), x[T + M - 1, b], list(x[T + M :, b])) for b in range(x.shape[1])
    ]


@PROPERTY
@given(copies)
def test_copy_repeats_what_came_first(size):
    T, B, K, M, seed = size
    x, y = G.copy(T, B, symbols=K, length=M, rng=rng(seed))
    assert x.shape == y.shape == (T + 2 * M, B)
    assert x.dtype == y.dtype == np.int64
    for (before, sign, after), (silence, blank, said) in zip(parts(x, T, M), parts(y, T, M)):
        assert (sign, blank) == (K + 1, K)
        assert all(0 <= symbol < K for symbol in before[:M])
        assert before[M:] == [K] * (T - 1)
        assert after == [K] * M
        assert silence == [K] * (T + M - 1)
        assert said == before[:M]


@PROPERTY
@given(copies)
def test_selective_copying_repeats_what_is_no_blank(size):
    T, B, K, M, seed = size
    x, y = G.selective_copying(T, B, symbols=K, length=M, rng=rng(seed))
    assert x.shape == y.shape == (T + 2 * M, B)
    assert x.dtype == y.dtype == np.int64
    for (before, sign, after), (silence, blank, said) in zip(parts(x, T, M), parts(y, T, M)):
        assert (sign, blank) == (K + 1, K)
        assert [symbol for symbol in before if symbol != K] == said
        assert len(said) == M
        assert all(0 <= symbol < K for symbol in said)
        assert after == [K] * M
        assert silence == [K] * (T + M - 1)


@pytest.mark.parametrize("task", ["copy", "selective_copying"])
def test_copying_has_the_baseline_of_its_docstring(task):
    T, B, K, M = 30, 5_000, 8, 10
    _, y = getattr(G, task)(T, B, rng=rng())
    # Sure of the blank as long as it is silent, and of nothing but that it is to speak afterwards.
    logits = np.full((T + 2 * M, B, K + 2), -1e3)
    logits[: T + M, :, K] = 0.0
    logits[T + M :, :, :K] = 0.0
    assert L.cross_entropy(logits, y)[0] == pytest.approx(M * math.log(K) / (T + 2 * M))
    assert L.cross_entropy(logits[-M:], y[-M:])[0] == pytest.approx(math.log(K))
    assert all(near(count, 1 / K, M * B) for count in Counter(y[-M:].ravel()).values())
    assert len(np.unique(y[-M:])) == K


def test_every_set_of_places_is_equally_likely():
    x, _ = G.selective_copying(3, 20_000, symbols=1, length=2, rng=rng())
    found = Counter(tuple(np.flatnonzero(column == 0)) for column in x.T)
    assert sorted(found) == [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    assert all(near(count, 1 / 6, 20_000) for count in found.values())


# The embedded Reber grammar, by a regular expression that was read off its graph: from T, S may
# repeat and X comes; from P, T may repeat and V comes; VPX leads back to the latter.

UPPER = "TS*X(?:S|XT*V(?:PXT*V)*(?:V|PS))"
LOWER = "PT*V(?:PXT*V)*(?:V|PS)"
INNER = f"B(?:{UPPER}|{LOWER})E"
LEGAL = re.compile(f"B(?:T{INNER}T|P{INNER}P)E")


@pytest.mark.parametrize("p", [0.0, 0.5, 0.85])
def test_reber_strings_are_legal_and_the_batch_says_the_same(p):
    batch = G.embedded_reber(200, rng=rng(), p=p)
    T = max(map(len, batch.strings)) - 1
    assert batch.x.shape == batch.y.shape == (T, 200)
    assert batch.x.dtype == batch.y.dtype == batch.lengths.dtype == np.int64
    assert batch.legal.shape == (T, 200, len(R.REBER))
    assert batch.legal.dtype == bool
    letters = ["", "?", *"BEPSTVX"]
    for b, string in enumerate(batch.strings):
        assert LEGAL.fullmatch(string)
        assert G.is_legal(string)
        assert batch.lengths[b] == len(string) - 1
        assert "".join(letters[i] for i in batch.x[:, b]) == string[:-1]
        assert "".join(letters[i] for i in batch.y[:, b]) == string[1:]
        for t in range(T):
            allowed = "".join(letters[i] for i in np.flatnonzero(batch.legal[t, b]))
            assert allowed == (G.legal_next(string[: t + 1]) if t < len(string) - 1 else "")
        # The second letter and the last but one, with all that lies between.
        assert allowed_at(batch, b, -2) == string[1]
    # What came is always among what might have come.
    inside = batch.y != data.PAD
    same(inside, np.arange(T)[:, None] < batch.lengths)
    assert np.take_along_axis(batch.legal, batch.y[..., None], axis=-1)[..., 0][inside].all()


def allowed_at(batch, b, place):
    """What the grammar allows at a place of the string, counted from its end."""
    t = batch.lengths[b] + place
    return "".join(R.REBER.symbols[i - 2] for i in np.flatnonzero(batch.legal[t, b]))


LEGAL_EXAMPLES = ["BTBTXSETE", "BPBPVVEPE", "BTBTSSXXTVVETE", "BPBTXXVPXVPSEPE", "BTBPTTVPXTVVETE"]


def test_legality_agrees_with_the_expression_on_strings_with_one_error():
    strings = LEGAL_EXAMPLES + G.embedded_reber(30, rng=rng(3)).strings
    both = Counter()
    for string in strings:
        assert LEGAL.fullmatch(string)
        assert G.is_legal(string)
        for i in range(len(string)):
            for s in "BTPSXVE":
                for wrong in (string[:i] + s + string[i + 1 :], string[:i] + s + string[i:],
                              string[:i] + string[i + 1 :], string[:i]):  # fmt: skip
                    legal = bool(LEGAL.fullmatch(wrong))
                    assert G.is_legal(wrong) == legal, wrong
                    both[legal] += 1
    assert min(both[True], both[False]) > 500


def test_the_symbols_that_may_come_next():
    # One string through each state of the graph; the inner grammar has seven.
    expected = {"": "B", "B": "PT", "BT": "B", "BTB": "PT", "BTBT": "SX", "BTBTS": "SX",
                "BTBP": "TV", "BTBTX": "SX", "BTBTXX": "TV", "BTBPV": "PV", "BTBPVP": "SX",
                "BTBPVV": "E", "BTBPVVE": "T", "BPBPVVE": "P", "BTBPVVET": "E",
                "BTBPVVETE": ""}  # fmt: skip
    for prefix, symbols in expected.items():
        assert G.legal_next(prefix) == symbols
    for wrong in ["T", "BB", "BTBTT", "BTBPVVEP", "BTBPVVETEB", "b"]:
        message = f"prefix must be the beginning of a legal string, got '{wrong}'"
        with pytest.raises(ValueError, match=f"^{message}$"):
            G.legal_next(wrong)


@pytest.mark.parametrize("p", [0.3, 0.5, 0.85])
def test_how_often_the_grammar_goes_which_way(p):
    batch = G.embedded_reber(3000, rng=rng(), p=p)
    ways = {}
    for string in batch.strings:
        for i in range(len(string)):
            ways.setdefault(place(string[:i]), Counter())[string[i]] += 1
    chances = {
        "outer": "T",
        "inner": "T",
        "S or X": "S",
        "T or V": "T",
        "X or S": "X",
        "P or V": "P",
    }
    assert set(ways) == {*chances, "one"}
    for name, symbol in chances.items():
        draws = ways[name].total()
        chance = p if name in ("S or X", "T or V") else 0.5
        assert len(ways[name]) == 2
        assert near(ways[name][symbol], chance, draws)


def place(prefix):
    """Which choice comes next, told from the last symbols alone."""
    for name, pattern in {
        "outer": "B",
        "inner": "B[TP]B",
        "S or X": "B[TP]BTS*",
        "T or V": "B[TP]B(PT*|.*XT*)",
        "X or S": "B[TP]B(TS*X|.*VP)",
        "P or V": "B[TP]B.*[^V]V",
    }.items():
        if re.fullmatch(pattern, prefix) and (name != "T or V" or not re.search("BTS*X$", prefix)):
            return name
    return "one"


def test_longer_loops_make_longer_strings():
    # Both loops repeat p / (1 - p) times on average.
    means = [G.embedded_reber(2000, rng=rng(), p=p).lengths.mean() for p in (0.0, 0.5, 0.85)]
    assert means[0] < means[1] - 1 < means[2] - 6
    no_loop = "".join(G.embedded_reber(500, rng=rng(), p=0.0).strings)
    assert "SS" not in no_loop
    assert "TT" not in no_loop


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: G.adding(1, 3, rng=rng()), "T must be at least 2, got 1"),
        (lambda: G.adding(9, 0, rng=rng()), "B must be at least 1, got 0"),
        (lambda: G.temporal_order(1, 3, rng=rng()), "T must be at least 2, got 1"),
        (lambda: G.temporal_order(9, -1, rng=rng()), "B must be at least 1, got -1"),
        (lambda: G.copy(0, 3, rng=rng()), "T must be at least 1, got 0"),
        (lambda: G.copy(9, 0, rng=rng()), "B must be at least 1, got 0"),
        (lambda: G.copy(9, 3, symbols=0, rng=rng()), "symbols must be at least 1, got 0"),
        (lambda: G.copy(9, 3, length=0, rng=rng()), "length must be at least 1, got 0"),
        (lambda: G.selective_copying(9, 0, rng=rng()), "B must be at least 1, got 0"),
        (lambda: G.embedded_reber(0, rng=rng()), "B must be at least 1, got 0"),
        (lambda: G.embedded_reber(1, rng=rng(), p=1), "p must be at least 0 and below 1, got 1"),
        (lambda: G.embedded_reber(1, rng=rng(), p=-0.1),
         "p must be at least 0 and below 1, got -0.1"),
        (lambda: G.embedded_reber(1, rng=rng(), p=np.nan),
         "p must be at least 0 and below 1, got nan"),
    ],
)  # fmt: skip
def test_sizes_that_cannot_be(call, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        call()


@pytest.mark.parametrize("task", [G.copy, G.selective_copying])
@pytest.mark.parametrize("symbols", [3, np.int32(3), np.uint8(3)])
def test_ids_are_int64_whatever_the_type_of_a_size(task, symbols):
    x, y = task(4, 2, symbols=symbols, length=2, rng=rng())
    assert x.dtype == y.dtype == np.int64


def test_randomness_must_be_given():
    for task in (G.adding, G.temporal_order, G.copy, G.selective_copying):
        with pytest.raises(TypeError, match="'rng'"):
            task(9, 3)
    with pytest.raises(TypeError, match="'rng'"):
        G.embedded_reber(3)
