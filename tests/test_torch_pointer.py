"""The pointer-generator: its probabilities, its copies, its coverage, and what padding changes."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from unrolled.attention import Additive, attention_forward, lengths_mask
from unrolled.data import UNKNOWN, Vocabulary
from unrolled.torch_pointer import (
    PointerGenerator,
    coverage_loss,
    extended_ids,
    pointer_loss,
)

V, E, H, S, B, T = 9, 3, 6, 5, 4, 7
LENGTHS = torch.tensor([5, 2, 4, 1])


def model(**how) -> PointerGenerator:
    torch.manual_seed(0)
    return PointerGenerator(V, E, H, **how)


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    ids = torch.from_numpy(rng.integers(2, V + S, size=(S, B)))
    return ids, LENGTHS, torch.from_numpy(rng.integers(2, V + 1, size=(T, B)))


@pytest.mark.parametrize("coverage", [False, True])
def test_probabilities_sum_to_one_and_so_do_weights(batch, coverage):
    p, weights, before = model(coverage=coverage)(*batch)
    assert p.shape == (T, B, V + S)
    assert weights.shape == before.shape == (T, S, B)
    assert (p >= 0).all()
    assert_close(p.sum(dim=-1), torch.ones(T, B))
    assert_close(weights.sum(dim=1), torch.ones(T, B))
    # Coverage is the sum of the weights before.
    assert not before[0].any()
    assert_close(before[1:], weights.cumsum(dim=0)[:-1])


def test_an_unseen_word_is_as_likely_as_it_is_looked_at(batch):
    net = model()
    ids, lengths, target_in = batch
    p, weights, _ = net(*batch)
    reading = net.read(ids, lengths)
    for t, tokens in enumerate(target_in):
        _, _, g, reading = net.step(tokens, reading)
        for b in range(B):
            for word in range(V, V + S):
                looked = weights[t, : lengths[b], b][ids[: lengths[b], b] == word].sum()
                assert_close(p[t, b, word], (1 - g[b, 0]) * looked)


def test_without_the_pointer_no_unseen_word_is_written(batch):
    p, *_ = model(pointer=False)(*batch)
    assert not p[..., V:].any()
    assert_close(p[..., :V].sum(dim=-1), torch.ones(T, B))


def test_the_weights_are_those_of_additive_attention(batch):
    net, (ids, lengths, target_in) = model(), batch
    reading = net.read(ids, lengths)
    _, weights, _, after = net.step(target_in[0], reading)
    # W_q has a bias here: an input more, which is always 1.
    query = np.ones((1, B, H + 1), dtype=np.float32)
    query[0, :, :H] = after.state[0].detach()
    W_q = np.column_stack([net.W_q.weight.detach(), net.W_q.bias.detach()])
    params = Additive(W_q, net.W_k.weight.detach().numpy(), net.v.weight[0].detach().numpy())
    values = reading.values.detach().numpy()
    mask = lengths_mask(lengths.numpy(), S)
    how = {"score": "additive", "mask": mask}
    _, expected, _ = attention_forward(query, values, values, params, **how)
    assert_close(weights.T.detach(), torch.tensor(expected[0]))


@pytest.mark.parametrize("coverage", [False, True])
def test_padding_and_neighbours_change_nothing(batch, coverage):
    net, (ids, lengths, target_in) = model(coverage=coverage), batch
    p, weights, _ = net(*batch)
    changed = ids.clone()
    for b, length in enumerate(lengths):
        assert not weights[:, length:, b].any()
        changed[length:, b] = 2
        one = slice(b, b + 1)
        alone, _, _ = net(ids[:, one], lengths[one], target_in[:, one])
        assert_close(p[:, b], alone[:, 0])
    assert_close(net(changed, lengths, target_in)[0], p)


def test_a_word_that_the_vocabulary_lacks_is_read_as_unknown(batch):
    net, (ids, lengths, target_in) = model(), batch
    unknown = torch.where(ids < V, ids, UNKNOWN)
    assert_close(net.read(ids, lengths).values, net.read(unknown, lengths).values)
    written = torch.where(target_in < V, target_in, UNKNOWN)
    assert_close(net(ids, lengths, target_in)[0], net(ids, lengths, written)[0])


def test_only_coverage_looks_at_coverage(batch):
    ids, lengths, target_in = batch
    for coverage in (False, True):
        net = model(coverage=coverage)
        reading = net.read(ids, lengths)
        once = reading._replace(coverage=torch.rand(S, B))
        same = torch.equal(net.step(target_in[0], reading)[1], net.step(target_in[0], once)[1])
        assert same is not coverage


def test_writing_is_greedy_and_stops_at_the_end(batch):
    net, (ids, lengths, _) = model(), batch
    written, weights, g = net.write(ids, lengths, start=2, end=3, max_length=T)
    assert weights.shape == (T, S, B)
    assert g.shape == (T, B)
    for b, found in enumerate(written):
        assert 3 not in found
        y = torch.tensor([2, *found])[:, None]
        one = slice(b, b + 1)
        p, alone, _ = net(ids[:, one], lengths[one], y)
        likeliest = p[:, 0].argmax(dim=-1).tolist()
        assert likeliest[: len(found)] == found
        assert len(found) == T or likeliest[len(found)] == 3
        seen = torch.from_numpy(weights[: len(found), :, b])
        assert_close(seen, alone[: len(found), :, 0].detach())


def test_losses_leave_padding_out():
    p = torch.tensor([[[0.5, 0.5], [0.25, 0.75]], [[0.125, 0.875], [torch.nan, torch.nan]]])
    target, lengths = torch.tensor([[0, 0], [0, 1]]), torch.tensor([2, 1])
    expected = -torch.tensor([0.5, 0.25, 0.125]).log().mean()
    assert_close(pointer_loss(p, target, lengths), expected)

    weights = torch.tensor([[[1.0, 0.5], [0.0, 0.5]], [[0.75, torch.nan], [0.25, torch.nan]]])
    coverage = torch.cat([torch.zeros(1, 2, 2), weights[:1]])
    assert_close(coverage_loss(weights, coverage, lengths), torch.tensor(0.75 / 3))


def test_the_gradient_reaches_every_parameter(batch):
    net = model(coverage=True)
    target = torch.from_numpy(np.random.default_rng(1).integers(0, V, size=(T, B)))
    pointer_loss(net(*batch)[0], target, torch.tensor([7, 3, 1, 5])).backward()
    assert all(p.grad.any() for p in net.parameters())


def test_unseen_words_are_counted_from_v():
    vocabulary = Vocabulary([["saw", "was"]])
    source = ["Bo", "Vik", "saw", "Bo"]
    assert extended_ids(source, source, vocabulary)[0].tolist() == [4, 5, 3 - 1, 4]
    ids, unseen = extended_ids(source, ["Vik", "was", "Eve"], vocabulary)
    assert (ids.tolist(), unseen) == ([5, 3, UNKNOWN], ["Bo", "Vik"])
    assert ids.dtype == np.int64
