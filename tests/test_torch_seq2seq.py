"""The torch encoder-decoder is that of unrolled.seq2seq: weights go both ways, training agrees."""

from collections import Counter

import numpy as np
import pytest
import torch

from tests.helpers import close, flat, same
from unrolled import torch_seq2seq as M
from unrolled.data.pairs import PairBatch
from unrolled.gradients import clip_by_norm
from unrolled.optim import adam, adam_init
from unrolled.schedules import cosine
from unrolled.seq2seq import init_seq2seq, seq2seq_forward, seq2seq_loss

CELLS = ["rnn", "gru", "lstm"]
SCORES = [None, "scaled", "dot", "general", "additive"]
V_SOURCE, V_TARGET, E, H = 9, 8, 3, 10


def random_params(cell, score, bidirectional, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    how = {"score": score, "bidirectional": bidirectional, "rng": rng, "dtype": dtype}
    return init_seq2seq(cell, V_SOURCE, V_TARGET, E, H, **how)


def random_pairs(B=6, S=5, T=4, *, equal=False, seed=1):
    rng = np.random.default_rng(seed)
    lengths = np.full(B, S) if equal else np.append(rng.integers(1, S + 1, size=B - 1), S)
    ends = np.append(rng.integers(1, T + 1, size=B - 1), T)
    target = rng.integers(V_TARGET, size=(T + 1, B))
    source = rng.integers(V_SOURCE, size=(S, B))
    return PairBatch(source, lengths, target[:-1].copy(), target[1:].copy(), ends)


@pytest.mark.parametrize("equal", [True, False])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("cell", CELLS)
def test_logits_weights_and_gradients_are_those_of_numpy(cell, score, bidirectional, equal):
    params, batch = random_params(cell, score, bidirectional), random_pairs(equal=equal)
    model = M.TorchSeq2Seq(cell, params, score=score)
    logits, weights = model(*map(torch.from_numpy, batch[:3]))
    expected, expected_weights, _ = seq2seq_forward(cell, params, *batch[:3], score=score)
    close(logits, expected)
    if score is None:
        assert weights is expected_weights is None
    else:
        close(weights, expected_weights)
    loss, grads = seq2seq_loss(cell, params, *batch, score=score)
    found = M.seq2seq_loss_torch(model, batch)
    close(found, np.float64(loss))
    found.backward()
    for p, gradient in zip(model.parameters(), flat(grads), strict=True):
        close(p.grad, gradient)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("cell", CELLS)
def test_weights_go_there_and_back(cell, score, bidirectional, dtype):
    params = random_params(cell, score, bidirectional, dtype)
    back = M.TorchSeq2Seq(cell, params, score=score).params()
    assert type(back) is type(params)
    assert [type(part) for part in back] == [type(part) for part in params]
    for a, b in zip(flat(back), flat(params), strict=True):
        same(a, b)
        assert a is not b


def test_the_copies_share_no_memory_with_the_model():
    params = random_params("gru", "additive", True)
    before = [a.copy() for a in flat(params)]
    model = M.TorchSeq2Seq("gru", params, score="additive")
    taken = model.params()
    M.train_seq2seq(model, random_pairs(), steps=2, batch=3, lr=0.1, rng=np.random.default_rng(0))
    for a, b, c, d in zip(before, flat(params), flat(taken), flat(model.params()), strict=True):
        same(a, b)
        same(a, c)
        assert (a != d).any()


@pytest.mark.parametrize("score, bidirectional", [(None, False), ("general", True)])
def test_training_is_that_of_numpy(score, bidirectional):
    params, pairs = random_params("lstm", score, bidirectional), random_pairs(B=12)
    steps, lr, clip = 20, 0.05, 0.3
    model = M.TorchSeq2Seq("lstm", params, score=score)
    how = {"steps": steps, "batch": 4, "lr": lr, "clip": clip, "every": 8}
    curve = M.train_seq2seq(model, pairs, rng=np.random.default_rng(5), **how)
    state, losses, clipped = adam_init(params), [], 0
    rng = np.random.default_rng(5)
    batches = M.equal_length_batches(pairs.source_lengths, batch=4, rng=rng)
    for step in range(steps):
        loss, grads = seq2seq_loss("lstm", params, *pairs.take(next(batches)), score=score)
        grads, norm = clip_by_norm(grads, clip)
        clipped += norm > clip
        params, state = adam(params, grads, state, lr=cosine(step, total=steps, lr=lr))
        losses.append(loss)
    assert 0 < clipped < steps
    assert [step for step, _ in curve] == [8, 16, 20]
    means = [np.mean(part) for part in np.split(np.array(losses), [8, 16])]
    np.testing.assert_allclose(
        [loss for _, loss in curve], means, rtol=1e-5
    )  # torch clips at + 1e-6
    for a, b in zip(flat(model.params()), flat(params), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-4)


def test_the_loss_is_measured_over_all_symbols_in_any_number_of_parts():
    params, pairs = random_params("gru", "dot", False), random_pairs(B=11)
    model = M.TorchSeq2Seq("gru", params, score="dot")
    expected, _ = seq2seq_loss("gru", params, *pairs, score="dot")
    for batch in (1, 4, 11, 500):
        assert M.evaluate_loss(model, pairs, batch=batch) == pytest.approx(expected, rel=1e-12)
    curve = M.train_seq2seq(
        model, pairs, pairs, steps=1, batch=2, lr=1e-12, rng=np.random.default_rng(0)
    )
    assert curve == [(1, pytest.approx(expected, rel=1e-6))]


def test_an_epoch_has_every_index_once_and_one_length_a_batch():
    lengths = np.random.default_rng(0).integers(1, 5, size=50)
    batches = M.equal_length_batches(lengths, batch=4, rng=np.random.default_rng(1))
    count = sum(-(-n // 4) for n in Counter(lengths.tolist()).values())
    epochs = [[next(batches) for _ in range(count)] for _ in range(2)]
    for epoch in epochs:
        assert sorted(np.concatenate(epoch)) == list(range(50))
        assert all(len(set(lengths[b])) == 1 and 1 <= len(b) <= 4 for b in epoch)
    assert [b.tolist() for b in epochs[0]] != [b.tolist() for b in epochs[1]]


def test_what_does_not_fit():
    params = random_params("gru", "dot", False)
    with pytest.raises(ValueError, match="^score must be None or one of scaled, dot, .*'concat'$"):
        M.TorchSeq2Seq("gru", params, score="concat")
    with pytest.raises(ValueError, match="^score must fit these params, got None$"):
        M.TorchSeq2Seq("gru", params)
    with pytest.raises(ValueError, match="^cell must be one of rnn, gru, lstm, got 'ltsm'$"):
        M.TorchSeq2Seq("ltsm", params, score="dot")
    for wrong in "additive", "general":  # which need parameters of their own
        with pytest.raises(
            TypeError, match=rf"^params.attention must be \w+ for the score {wrong}, got None"
        ):
            M.TorchSeq2Seq("gru", params, score=wrong)
