"""Decoding: against plain loops and against every sequence there is, on tables small enough."""

import itertools
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers import PROPERTY, close, leaves_untouched, same
from unrolled import decoding as D

EOS = 1  # not the first and, from V = 3 on, not the last symbol
BOS = 77  # never a row of a table


class Tables:
    """Log probabilities that depend on the whole history, one table for each of B sources.

    The histories are numbered like a heap: the empty one is 0, and symbol v after history k gives
    history k * V + v + 1. The state holds the source and the number, -1 before the first step.
    """

    def __init__(self, V, length, B=1, seed=0):
        self.V, self.length, self.B = V, length, B
        logits = 2.0 * np.random.default_rng(seed).normal(
            size=(B, sum(V**k for k in range(length)), V)
        )
        self.log_probs = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
        self.calls = 0

    def start(self, sources=None):
        sources = np.arange(self.B) if sources is None else np.array(sources)
        return sources, (np.full((len(sources), 1), -1),)

    def step(self, tokens, state):
        sources, (number,) = state
        begins = number[:, 0] < 0
        assert (tokens[begins] == BOS).all()
        number = np.where(begins, 0, number[:, 0] * self.V + tokens + 1)
        # After eos a history may be longer than the table; what comes out then must not matter.
        inside = number < self.log_probs.shape[1]
        log_probs = self.log_probs[sources, np.where(inside, number, 0)]
        self.calls += 1
        number = np.where(inside, number, self.log_probs.shape[1])
        return log_probs, (sources, (number[:, None],))

    def log_prob(self, b, tokens):
        total, number = 0.0, 0
        for token in tokens:
            total += self.log_probs[b, number, token]
            number = number * self.V + token + 1
        return total

    def everything(self, b, length_penalty=0.0):
        """Every hypothesis: those that end with eos, and those cut at the full length."""
        found = []
        for length in range(1, self.length + 1):
            for tokens in itertools.product(range(self.V), repeat=length):
                if EOS not in tokens[:-1] and (tokens[-1] == EOS or length == self.length):
                    log_prob = self.log_prob(b, tokens)
                    score = log_prob / ((5 + length) / 6) ** length_penalty
                    found.append(D.Hypothesis(tokens, log_prob, score))
        return sorted(found, key=lambda hypothesis: -hypothesis.score)

    def options(self, **more):
        return {"bos": BOS, "eos": EOS, "max_length": self.length, **more}


def assert_same(actual, expected):
    """The same sequences in the same order, with the same numbers but for rounding."""
    assert [h.tokens for h in actual] == [h.tokens for h in expected]
    for field in ("log_prob", "score"):
        a, e = (np.array([getattr(h, field) for h in hs]) for hs in (actual, expected))
        close(a, e, rel=1e-12)


def greedy_by_hand(tables, b):
    tokens = ()
    while len(tokens) < tables.length and EOS not in tokens:
        following = [tables.log_prob(b, (*tokens, v)) for v in range(tables.V)]
        tokens += (int(np.argmax(following)),)
    log_prob = tables.log_prob(b, tokens)
    return D.Hypothesis(tokens, log_prob, log_prob)


sizes = st.tuples(st.integers(2, 4), st.integers(1, 4), st.integers(1, 5), st.integers(0, 99))


@PROPERTY
@given(sizes)
def test_greedy_against_a_plain_loop(size):
    tables = Tables(*size)
    found = D.greedy(tables.step, tables.start(), **tables.options())
    assert_same(found, [greedy_by_hand(tables, b) for b in range(tables.B)])


LENGTHS = list(itertools.product([2, 3, 4], [1, 2, 3, 4]))


# With all beginnings of the last step but one in the beam, nothing can be lost.
@pytest.mark.parametrize("length_penalty", [0.0, 0.6, 1.0, 3.0])
@pytest.mark.parametrize("V, length", LENGTHS)
def test_a_beam_wide_enough_finds_the_best_of_all(V, length, length_penalty):
    for seed in range(3):
        tables = Tables(V, length, B=2, seed=seed)
        width = V ** (length - 1)
        options = tables.options(width=width, length_penalty=length_penalty)
        beams = D.beam_search(tables.step, tables.start(), **options)
        assert len(beams) == 2
        for b, beam in enumerate(beams):
            assert_same(beam, tables.everything(b, length_penalty)[:width])


@pytest.mark.parametrize("V, length", [(2, 4), (3, 3), (4, 3), (4, 2), (3, 1)])
def test_a_beam_for_all_of_them_lists_all_of_them(V, length):
    tables = Tables(V, length)
    options = tables.options(width=V**length + 3)
    (beam,) = D.beam_search(tables.step, tables.start(), **options)
    assert_same(beam, tables.everything(0))
    close(np.exp([h.log_prob for h in beam]).sum(), np.float64(1.0), rel=1e-12)


@pytest.mark.parametrize("V", [2, 3, 4])
def test_two_steps_need_no_beam_wider_than_the_vocabulary(V):
    for seed in range(20):
        tables = Tables(V, 2, seed=seed)
        (beam,) = D.beam_search(tables.step, tables.start(), **tables.options(width=V))
        assert_same(beam, tables.everything(0)[:V])


@PROPERTY
@given(sizes, st.sampled_from([0.0, 1.0]))
def test_width_one_is_greedy(size, length_penalty):
    tables = Tables(*size)
    options = tables.options(width=1, length_penalty=length_penalty)
    beams = D.beam_search(tables.step, tables.start(), **options)
    found = [beam[0] for beam in beams]
    expected = D.greedy(tables.step, tables.start(), **tables.options())
    assert [h.tokens for h in found] == [h.tokens for h in expected]
    close(np.array([h.log_prob for h in found]), np.array([h.log_prob for h in expected]), 1e-12)


def beam_by_hand(tables, b, width, length_penalty):
    """The same search, one hypothesis at a time."""
    beam = [()]
    score = lambda tokens: tables.log_prob(b, tokens) / ((5 + len(tokens)) / 6) ** length_penalty  # noqa: E731
    for _ in range(tables.length):
        longer = []
        for tokens in beam:
            ends = tokens[-1:] == (EOS,)
            longer += [tokens] if ends else [(*tokens, v) for v in range(tables.V)]
        beam = sorted(longer, key=score, reverse=True)[:width]
    return [D.Hypothesis(tokens, tables.log_prob(b, tokens), score(tokens)) for tokens in beam]


@PROPERTY
@given(sizes, st.integers(1, 6), st.sampled_from([0.0, 0.7, 2.0]))
def test_a_narrow_beam_against_a_plain_search(size, width, length_penalty):
    tables = Tables(*size)
    options = tables.options(width=width, length_penalty=length_penalty)
    beams = D.beam_search(tables.step, tables.start(), **options)
    for b, beam in enumerate(beams):
        assert_same(beam, beam_by_hand(tables, b, width, length_penalty))
        scores = [h.score for h in beam]
        assert scores == sorted(scores, reverse=True)
        assert len({h.tokens for h in beam}) == len(beam) <= width


@PROPERTY
@given(sizes, st.integers(1, 5))
def test_sources_decoded_together_give_what_each_gives_alone(size, width):
    tables = Tables(*size)
    together = D.beam_search(tables.step, tables.start(), **tables.options(width=width))
    greedy = D.greedy(tables.step, tables.start(), **tables.options())
    for b in range(tables.B):
        start = tables.start([b])
        (alone,) = D.beam_search(tables.step, start, **tables.options(width=width))
        assert together[b] == alone
        assert greedy[b : b + 1] == D.greedy(tables.step, start, **tables.options())


def table_step(probabilities):
    """A step that knows the last symbol only: row, the last; column, the next."""
    with np.errstate(divide="ignore"):
        table = np.log(np.array(probabilities))
    return lambda tokens, state: (table[tokens], state)


def timed_step(probabilities):
    """A step that knows only how many came before it; the state counts them."""
    table = np.log(np.array(probabilities))
    return lambda tokens, state: (table[state], state + 1)


FIRST = np.zeros(1, dtype=int)


def test_an_ended_hypothesis_stays_in_the_race():
    # To end at once, .4, is better than each way on, .6 * .5; greedy goes on.
    step, options = timed_step([[0.6, 0.4], [0.5, 0.5]]), {"bos": 0, "eos": 1, "max_length": 2}
    assert D.greedy(step, FIRST, **options)[0].tokens == (0, 0)
    (beam,) = D.beam_search(step, FIRST, width=2, **options)
    assert [h.tokens for h in beam] == [(1,), (0, 0)]
    close(np.exp([h.log_prob for h in beam]), np.array([0.4, 0.3]), rel=1e-12)
    # Better ones take its place: .1 is less than .9 * .8 and .9 * .2.
    (beam,) = D.beam_search(timed_step([[0.9, 0.1], [0.8, 0.2]]), FIRST, width=2, **options)
    assert [h.tokens for h in beam] == [(0, 0), (0, 1)]


def test_a_length_penalty_favours_the_long():
    # Wu et al. (2016): divide by ((5 + length) / 6)^a. Here (1,) has .4 and (0, 1) has .36.
    step, options = timed_step([[0.6, 0.4], [0.4, 0.6]]), {"bos": 0, "eos": 1, "max_length": 2}
    for length_penalty, best in [(0.0, (1,)), (0.5, (1,)), (1.0, (0, 1)), (2.0, (0, 1))]:
        options["length_penalty"] = length_penalty
        (beam,) = D.beam_search(step, FIRST, width=4, **options)
        assert beam[0].tokens == best
        assert {h.tokens for h in beam} == {(1,), (0, 0), (0, 1)}
        for h in beam:
            p = {(1,): 0.4, (0, 0): 0.24, (0, 1): 0.36}[h.tokens]
            close(np.float64(h.log_prob), np.log(p), rel=1e-12)
            penalty = ((5 + len(h.tokens)) / (5 + 1)) ** length_penalty
            close(np.float64(h.score), np.log(p) / penalty, rel=1e-12)


def test_what_cannot_be_is_no_hypothesis():
    step = table_step([[0.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0]])
    start = np.zeros((2, 1))
    beams = D.beam_search(step, start, width=4, bos=0, eos=1, max_length=3)
    assert beams == [[D.Hypothesis((1,), 0.0, 0.0)]] * 2


def test_decoding_stops_when_all_have_ended():
    table, calls = np.log([[0.2, 0.8], [0.7, 0.3]]), []

    def step(tokens, state):
        calls.append(tokens.tolist())
        return table[tokens], state

    for decode in (D.greedy, partial(D.beam_search, width=1)):
        calls.clear()
        decode(step, np.zeros((1, 1)), bos=0, eos=0, max_length=50)
        assert calls == [[0], [1]]


def test_a_sequence_that_never_ends_is_cut():
    step = table_step([[0.9, 0.1], [0.9, 0.1]])
    found = D.greedy(step, np.zeros((2, 1)), bos=0, eos=1, max_length=7)
    assert [h.tokens for h in found] == [(0,) * 7] * 2
    close(np.array([h.log_prob for h in found]), 7 * np.log([0.9, 0.9]), rel=1e-12)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_samples_come_as_often_as_they_should(temperature):
    N = 20_000
    tables = Tables(3, 2)
    options = tables.options(temperature=temperature, rng=np.random.default_rng(0))
    found = D.sample(tables.step, tables.start([0] * N), **options)
    sharpened = Tables(3, 2)
    p = np.exp(tables.log_probs / temperature)
    sharpened.log_probs = np.log(p / p.sum(axis=-1, keepdims=True))
    everything = sharpened.everything(0)
    counts = {h.tokens: 0 for h in everything}
    for h in found:
        counts[h.tokens] += 1
    for h in everything:
        p = np.exp(h.log_prob)
        # Five standard deviations of a count.
        assert abs(counts[h.tokens] - N * p) < 5 * np.sqrt(N * p * (1 - p))
    # What is reported is the network's own log probability.
    for h in found[:100]:
        close(np.float64(h.log_prob), tables.log_prob(0, h.tokens), rel=1e-12)
        assert h.score == h.log_prob


@PROPERTY
@given(sizes)
def test_sampling_at_temperature_zero_is_greedy(size):
    tables = Tables(*size)
    options = tables.options(temperature=0, rng=np.random.default_rng(0))
    expected = D.greedy(tables.step, tables.start(), **tables.options())
    assert D.sample(tables.step, tables.start(), **options) == expected


def test_samples_follow_their_generator():
    tables = Tables(4, 4, B=20)
    first, again, other = (
        D.sample(tables.step, tables.start(), **tables.options(rng=np.random.default_rng(seed)))
        for seed in (0, 0, 1)
    )
    assert first == again != other
    assert len({h.tokens for h in first}) > 5
    for b, h in enumerate(first):
        assert (h.tokens[-1] == EOS) == (len(h.tokens) < 4) or len(h.tokens) == 4
        assert EOS not in h.tokens[:-1]
        close(np.float64(h.log_prob), tables.log_prob(b, h.tokens), rel=1e-12)


def test_inputs_are_untouched_and_results_are_plain_numbers():
    tables = Tables(3, 3, B=2)
    kept = tables.log_probs.copy()
    step, start = tables.step, tables.start()
    leaves_untouched(D.greedy, step, start, **tables.options())
    options = tables.options(rng=np.random.default_rng(0))
    leaves_untouched(D.sample, step, start, **options)
    beams = leaves_untouched(D.beam_search, step, start, **tables.options(width=3))
    same(tables.log_probs, kept)
    for h in beams[0]:
        assert {type(token) for token in h.tokens} == {int}
        assert type(h.log_prob) is type(h.score) is float


def test_float32_log_probabilities_are_summed_in_float64():
    step = lambda tokens, state: (np.full((len(tokens), 2), np.log(0.5), np.float32), state)  # noqa: E731
    options = {"bos": 0, "eos": 1, "max_length": 1000}
    exact = 1000 * float(np.float32(np.log(0.5)))
    (greedy,) = D.greedy(step, np.zeros((1, 1)), **options)
    assert abs(greedy.log_prob - exact) < 1e-9
    (beam,) = D.beam_search(step, np.zeros((1, 1)), width=1, **options)
    assert abs(beam[0].log_prob - exact) < 1e-9


def beams(**changes):
    options = {"width": 2, "bos": 0, "eos": 1, "max_length": 3, **changes}
    step = options.pop("step", lambda tokens, state: (np.zeros((len(tokens), 4)), state))
    return D.beam_search(step, options.pop("state", np.zeros((3, 2))), **options)


def greedy(**changes):
    options = {"bos": 0, "eos": 1, "max_length": 3, **changes}
    step = options.pop("step", lambda tokens, state: (np.zeros((len(tokens), 4)), state))
    return D.greedy(step, options.pop("state", np.zeros((3, 2))), **options)


def sampled(**changes):
    options = {"bos": 0, "eos": 1, "max_length": 3, **changes}
    rng = np.random.default_rng(0)
    return D.sample(options.pop("step"), options.pop("state"), **options, temperature=0, rng=rng)


STATE = "state must hold arrays with one batch size on axis 0, got "
BAD = [
    ({"max_length": 0}, "max_length must be greater than 0, got 0"),
    ({"eos": 4}, "eos must lie in 0..3, got 4"),
    ({"eos": -1}, "eos must lie in 0..3, got -1"),
    ({"state": ()}, STATE + "[]"),
    ({"state": np.float64(1.0)}, STATE + "[()]"),
    ({"state": (np.zeros((3, 2)), np.zeros((5, 3)))}, STATE + "[(3,), (5,)]"),
]


@pytest.mark.parametrize("changes, message", BAD)
def test_what_cannot_be_decoded(changes, message):
    for decode in (greedy, beams):
        with pytest.raises(ValueError) as caught:
            decode(**changes)
        assert str(caught.value) == message


def test_options_that_cannot_be():
    for decode, changes, message in [
        (beams, {"width": 0}, "width must be greater than 0, got 0"),
        (beams, {"length_penalty": -1.0}, "length_penalty must be at least 0, got -1.0"),
        (beams, {"step": lambda tokens, state: (np.zeros((3, 4)), state)},
         "log_probs must have shape (B=6, V), got (3, 4)"),
        (greedy, {"step": lambda tokens, state: (np.zeros(3), state)},
         "log_probs must have shape (B=3, V), got (3,)"),
    ]:  # fmt: skip
        with pytest.raises(ValueError) as caught:
            decode(**changes)
        assert str(caught.value) == message
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="^temperature must be at least 0, got -1$"):
        D.sample(
            table_step([[1.0]]), np.zeros(1), bos=0, eos=0, max_length=1, temperature=-1, rng=rng
        )
    with pytest.raises(ValueError, match="^temperature must be finite, got inf$"):
        D.sample(
            table_step([[1.0]]),
            np.zeros(1),
            bos=0,
            eos=0,
            max_length=1,
            temperature=np.inf,
            rng=rng,
        )


@pytest.mark.parametrize("late", [0, 2])
@pytest.mark.parametrize("number, shown", [(np.nan, "nan"), (0.25, "0.25"), (np.inf, "inf")])
def test_what_is_no_logarithm_of_a_probability(late, number, shown):
    def step(tokens, state):
        log_probs = np.full((len(tokens), 4), np.log(0.25))
        log_probs[state[:, 0] == late, 3] = number
        return log_probs, state + 1

    message = f"^log_probs, which step returns, must be at most 0, got {shown}$"
    for decode in (greedy, beams, sampled):
        with pytest.raises(ValueError, match=message):
            decode(step=step, state=np.zeros((3, 1)), eos=2)


def test_what_comes_after_the_end_is_not_looked_at():
    def step(tokens, state):
        return np.where(state == 0, np.log([0.25, 0.75]), np.nan), state + (tokens == 1)[:, None]

    state = np.array([[0.0], [0.0]])
    found = D.greedy(step, state, bos=0, eos=1, max_length=3)
    assert [h.tokens for h in found] == [(1,), (1,)]
