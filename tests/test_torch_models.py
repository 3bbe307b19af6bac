"""The torch models of the chapters: what each reads, and what it cannot see."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers import PROPERTY
from unrolled import torch_models as M
from unrolled.data import PAD, UNKNOWN, Vocabulary

VOCABULARY = Vocabulary(["abcde"])


def test_last_state_is_read_where_each_sequence_ends():
    torch.manual_seed(0)
    model = M.LastState(4, 5, 3).double()
    x, lengths = torch.randn(6, 3, 4).double(), torch.tensor([2, 6, 1])
    out = model(x, lengths)
    assert out.shape == (3, 3)
    for b, n in enumerate(lengths):
        torch.testing.assert_close(out[b], model(x[:n, b : b + 1])[0])
    # Without lengths every sequence is as long as x.
    torch.testing.assert_close(model(x), model(x, torch.tensor([6, 6, 6])))
    changed = x.clone()
    changed[2:, 0] = 9.0  # padding of the first
    torch.testing.assert_close(model(changed, lengths), out)


def test_mlp_has_weights_for_every_step_and_mixes_no_examples():
    torch.manual_seed(0)
    model = M.WindowMLP(6, 4, 5, 2).double()
    assert M.count(model) == (6 * 4 + 1) * 5 + (5 + 1) * 2
    x = torch.randn(6, 3, 4).double()
    out = model(x)
    assert out.shape == (3, 2)
    for b in range(3):
        torch.testing.assert_close(model(x[:, b : b + 1])[0], out[b])
    assert not torch.allclose(model(x.flip(0)), out)


@pytest.mark.parametrize("pool", [True, False])
def test_only_pooling_forgets_where_a_pattern_stood(pool):
    torch.manual_seed(0)
    model = M.WindowCNN(9, 4, 5, 2, width=3, pool=pool).double()
    assert M.count(model) == (4 * 3 + 1) * 5 + (5 * (1 if pool else 11) + 1) * 2
    pattern = torch.randn(3, 1, 4).double()
    early, late = torch.zeros(2, 9, 1, 4).double()
    early[:3], late[6:] = pattern, pattern  # at the very edges: padding shows all of it
    assert model(early).shape == (1, 2)
    assert torch.allclose(model(early), model(late)) is pool


@PROPERTY
@given(st.lists(st.text("abcdeZ", min_size=1, max_size=7), min_size=1, max_size=4))
def test_names_are_read_letter_by_letter(names):
    x, lengths = M.read_names(names, VOCABULARY)
    assert x.shape == (max(map(len, names)), len(names), len(VOCABULARY))
    assert x.dtype == torch.float32
    assert lengths.tolist() == [len(name) for name in names]
    for b, name in enumerate(names):
        assert x[: len(name), b].argmax(dim=-1).tolist() == VOCABULARY.encode(name).tolist()
        assert x[: len(name), b].sum(dim=-1).tolist() == [1.0] * len(name)
        assert not x[len(name) :, b].any()
    assert not x[..., PAD].any()
    assert x[..., UNKNOWN].sum() == sum(name.count("Z") for name in names)


def test_a_window_keeps_the_last_letters_last_letter_first():
    x, lengths = M.read_names(["abcde", "ba"], VOCABULARY, window=3)
    assert x.shape == (3, 2, 7)
    assert lengths.tolist() == [3, 2]
    assert x[:, 0].argmax(dim=-1).tolist() == VOCABULARY.encode("edc").tolist()
    assert x[:2, 1].argmax(dim=-1).tolist() == VOCABULARY.encode("ab").tolist()


def test_batches_repeat_in_another_order():
    batches = M.repeat_batches(10, batch=4, rng=np.random.default_rng(0))
    epochs = [np.concatenate([next(batches) for _ in range(3)]).tolist() for _ in range(3)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(10))] * 3
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_fit_is_adam_with_a_rate_that_falls_in_a_line():
    weight = torch.nn.Linear(1, 1, bias=False)
    start = weight.weight.item()
    x = torch.ones(1, 1)
    # The slope of this loss is 1 everywhere, so that each of Adam's steps is as long as its rate.
    losses = M.fit(weight, [((x,), x)] * 9, lambda y, _: y.sum(), steps=4, lr=0.1)
    expected = [start - sum(0.1 * (1 - k / 4) for k in range(n)) for n in range(5)]
    assert losses == pytest.approx(expected[:4], abs=1e-6)
    assert weight.weight.item() == pytest.approx(expected[4], abs=1e-6)


def test_fit_clips_a_gradient_that_explodes():
    # Adam forgives the size of a gradient but not its change: unclipped, the first step's 1e6
    # would keep its mean square so large that the second step moves almost nothing.
    weight = torch.nn.Linear(1, 1, bias=False)
    start, x = weight.weight.item(), torch.ones(1, 1)
    scales = [torch.full((1, 1), s) for s in (1e6, -1.0)]
    M.fit(weight, [((x,), s) for s in scales], lambda y, s: (s * y).sum(), steps=2, lr=0.1)
    m = (0.9 * 0.1 - 0.1) / (1 - 0.9**2)  # Adam's mean of the gradients 1 and -1, as clipped
    assert weight.weight.item() == pytest.approx(start - 0.1 - 0.05 * m / math.sqrt(1), abs=1e-5)


def test_fit_needs_a_batch_a_step():
    x = torch.ones(1, 1)
    with pytest.raises(ValueError, match="^batches must hold at least steps=3 batches, got 2$"):
        M.fit(torch.nn.Linear(1, 1), [((x,), x)] * 2, torch.nn.functional.mse_loss, steps=3, lr=0.1)


def by_hand(name, x):
    """The window models in plain NumPy, from their own weights."""
    T, B, D = x.shape
    if name == "mlp":
        model = M.WindowMLP(T, D, 5, 4).double()
        W1, b1, W2, b2 = (p.detach().numpy() for p in model.parameters())
        return model, np.tanh(x.transpose(1, 0, 2).reshape(B, -1) @ W1.T + b1) @ W2.T + b2
    width, pool = 3, name == "cnn, pooled"
    model = M.WindowCNN(T, D, 5, 4, width=width, pool=pool).double()
    W, b, W2, b2 = (p.detach().numpy() for p in model.parameters())
    padded = np.concatenate([np.zeros((width - 1, B, D)), x, np.zeros((width - 1, B, D))])
    places = T + width - 1
    features = np.empty((B, 5, places))
    for t in range(places):
        features[:, :, t] = np.einsum("kbd,hdk->bh", padded[t : t + width], W) + b
    features = np.maximum(features, 0)
    flat = features.max(axis=-1) if pool else features.reshape(B, -1)
    return model, flat @ W2.T + b2


@pytest.mark.parametrize("name", ["mlp", "cnn, pooled", "cnn, flat"])
def test_window_models_compute_what_they_say(name):
    torch.manual_seed(0)
    x = np.random.default_rng(0).normal(size=(6, 3, 2))
    model, expected = by_hand(name, x)
    assert np.allclose(model(torch.tensor(x)).detach().numpy(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("lengths", [[0, 1, 2], [1, 2], [1, 2, 7]])
def test_impossible_lengths_are_refused(lengths):
    model = M.LastState(2, 3, 4)
    with pytest.raises(ValueError, match=r"^lengths must have shape \(B=3,\) and lie in 1\.\.6"):
        model(torch.zeros(6, 3, 2), torch.tensor(lengths))


def test_no_step_is_no_training():
    with pytest.raises(ValueError, match="^steps must be at least 1, got 0$"):
        M.fit(torch.nn.Linear(1, 1), [], torch.nn.functional.mse_loss, steps=0, lr=0.1)
