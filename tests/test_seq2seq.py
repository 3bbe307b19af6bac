"""Encoder-decoders: equal to torch with every score, blind to padding, and decoded step by step."""

import itertools
from functools import partial

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from tests.helpers import close, flat, leaves_untouched, same
from unrolled import attention as A
from unrolled import decoding as D
from unrolled import functional, optim, torch_twins
from unrolled import gradient_check as G
from unrolled import layers as L
from unrolled import params as P
from unrolled import seq2seq as S

CELLS = ["rnn", "gru", "lstm"]
SCORES = [None, "scaled", "dot", "general", "additive"]
# S, T, B, E, H and the two vocabularies all different, then B, S and T each 1.
SIZES = [(6, 5, 4, 3, 7, 9, 8), (6, 5, 1, 3, 7, 9, 8), (1, 5, 4, 3, 7, 9, 8), (6, 1, 4, 3, 7, 9, 8)]


def random_params(cell, size, score, dtype=np.float64, seed=0, bidirectional=False):
    """Parameters of which none is zero or like another."""
    _, _, _, E, H, V_source, V_target = size
    rng = np.random.default_rng(seed)
    params = S.init_seq2seq(
        *(cell, V_source, V_target, E, H),
        score=score, bidirectional=bidirectional, rng=rng, dtype=dtype,
    )  # fmt: skip
    return rebuild(
        params, [(a + 0.3 * rng.normal(size=a.shape)).astype(dtype) for a in flat(params)]
    )


def rebuild(params, arrays):
    """Put a flat list of arrays into the structure of the params."""
    arrays = iter(arrays)

    def fill(tree):
        if isinstance(tree, tuple):
            return type(tree)(*map(fill, tree))
        return None if tree is None else next(arrays)

    return fill(params)


def random_batch(size, seed=1):
    """Source, lengths, target in and out, lengths: with padding, and one of each of full length."""
    length, T, B, *_, V_source, V_target = size
    rng = np.random.default_rng(seed)
    source, target = (
        rng.integers(V_source, size=(length, B)),
        rng.integers(V_target, size=(T + 1, B)),
    )
    lengths = [np.append(rng.integers(1, n + 1, size=B - 1), n) for n in (length, T)]
    return source, lengths[0], target[:-1], target[1:], lengths[1]


def two_directions(cell, params):
    """torch's own bidirectional layer; its parameters come in the order of the two layers."""
    (_, D), H = params.forward.W_ih.shape, params.forward.W_hh.shape[1]
    layer = getattr(torch.nn, cell.upper())(D, H, bidirectional=True, dtype=torch.float64)
    with torch.no_grad():
        for p, array in zip(layer.parameters(), flat(params), strict=True):
            p.copy_(torch.tensor(array))
    return layer


class Twin:
    """The same network of torch's parts; ``parameters`` in the order of ``flat(params)``."""

    def __init__(self, cell, params, score):
        embed = partial(torch.nn.Embedding.from_pretrained, freeze=False)
        layer = getattr(torch_twins, f"{cell}_twin")
        self.source, self.target = (embed(torch.tensor(W)) for W in params[:2])
        self.decoder = layer(params.decoder)
        if isinstance(params.encoder, L.Bidirectional):
            self.encoder = two_directions(cell, params.encoder)
        else:
            self.encoder = layer(params.encoder)
        self.output = torch_twins.linear_twin(params.output)
        parts = [self.source, self.target, self.encoder, self.decoder]
        self.parameters = [p for part in parts for p in part.parameters()]
        self.score = score
        if score is not None:
            names = params.attention or ()
            self.attention = [torch_twins.tensor(a, requires_grad=True) for a in names]
            self.combine = torch_twins.linear_twin(params.combine)
            self.parameters += [*self.attention, *self.combine.parameters()]
        self.parameters += self.output.parameters()

    def logits_and_weights(self, source, source_lengths, target_in):
        source, lengths, target_in = map(torch.tensor, (source, source_lengths, target_in))
        packed = pack_padded_sequence(self.source(source), lengths, enforce_sorted=False)
        outputs, state = self.encoder(packed)
        outputs, _ = pad_packed_sequence(outputs, total_length=len(source))
        if self.encoder.bidirectional:  # (2, B, H/2) to (1, B, H)
            beside = [
                torch.cat([*part], dim=-1)[None]
                for part in (state if isinstance(state, tuple) else [state])
            ]
            state = beside[0] if len(beside) == 1 else tuple(beside)
        h, _ = self.decoder(self.target(target_in), state)
        if self.score is None:
            return self.output(h), None
        q, k = h.transpose(0, 1), outputs.transpose(0, 1)
        if self.score == "additive":
            W_q, W_k, v = self.attention
            scores = torch.tanh((q @ W_q.T)[:, :, None] + (k @ W_k.T)[:, None]) @ v
        else:
            scores = (q @ self.attention[0] if self.attention else q) @ k.transpose(1, 2)
            scores = scores / h.shape[-1] ** 0.5 if self.score == "scaled" else scores
        hidden = torch.arange(len(source)) >= lengths[:, None]
        weights = scores.masked_fill(hidden[:, None], -torch.inf).softmax(dim=-1)
        joined = torch.cat([(weights @ k).transpose(0, 1), h], dim=-1)
        return self.output(torch.tanh(self.combine(joined))), weights.transpose(0, 1)

    def loss(self, source, source_lengths, target_in, target_out, target_lengths):
        logits, _ = self.logits_and_weights(source, source_lengths, target_in)
        ended = np.arange(len(target_out))[:, None] >= target_lengths
        target = torch.tensor(np.where(ended, -100, target_out))
        return F.cross_entropy(logits.flatten(0, 1), target.flatten())


def agree(grads, expected, rel=1e-10):
    """Assert the equality of every gradient with a list of tensors or arrays."""
    assert type(grads) is S.Seq2Seq
    for gradient, e in zip(flat(grads), expected, strict=True):
        close(gradient, e, rel)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("cell", CELLS)
def test_loss_and_gradients_equal_torch(cell, score, size):
    params, batch = random_params(cell, size, score), random_batch(size)
    loss, grads = S.seq2seq_loss(cell, params, *batch, score=score)
    twin = Twin(cell, params, score)
    expected = twin.loss(*batch)
    expected.backward()
    close(np.float64(loss), expected)
    agree(grads, [p.grad for p in twin.parameters])
    # The same structure, None for None.
    assert [type(part) for part in grads] == [type(part) for part in params]


@pytest.mark.parametrize("size", [(6, 5, 4, 3, 10, 9, 8), (1, 1, 1, 3, 2, 9, 8)])
@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("cell", CELLS)
def test_two_directions_equal_torch(cell, score, size):
    params, batch = random_params(cell, size, score, bidirectional=True), random_batch(size)
    assert type(params.encoder) is L.Bidirectional
    loss, grads = S.seq2seq_loss(cell, params, *batch, score=score)
    twin = Twin(cell, params, score)
    expected = twin.loss(*batch)
    expected.backward()
    close(np.float64(loss), expected)
    agree(grads, [p.grad for p in twin.parameters])
    # The same structure, None for None.
    assert [type(part) for part in grads] == [type(part) for part in params]


@pytest.mark.parametrize("score", [None, "dot"])
@pytest.mark.parametrize("cell", CELLS)
def test_two_directions_are_decoded_and_blind_to_padding(cell, score):
    size = (6, 5, 4, 3, 10, 9, 8)
    params = leaves_untouched(random_params, cell, size, score, np.float32, bidirectional=True)
    source, lengths, target_in, *_ = random_batch(size)
    logits, _, _ = S.seq2seq_forward(cell, params, source, lengths, target_in, score=score)
    assert logits.dtype == np.float32
    other = np.where(np.arange(6)[:, None] < lengths, source, 8 - source)
    same(S.seq2seq_forward(cell, params, other, lengths, target_in, score=score)[0], logits)
    memory = S.encode(cell, params, source, lengths)
    for tokens, expected in zip(target_in, functional.log_softmax(logits), strict=True):
        log_probs, memory = S.decode_step(cell, params, tokens, memory, score=score)
        close(log_probs, expected, rel=1e-5)


def test_two_directions_need_an_even_size():
    with pytest.raises(ValueError, match="^H must be even for a bidirectional encoder, got 7$"):
        random_params("gru", SIZES[0], None, bidirectional=True)


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("cell", CELLS)
def test_any_upstream_gradient_equals_torch(cell, score):
    params, (source, lengths, target_in, *_) = (
        random_params(cell, SIZES[0], score),
        random_batch(SIZES[0]),
    )
    logits, weights, cache = S.seq2seq_forward(
        cell, params, source, lengths, target_in, score=score
    )
    twin = Twin(cell, params, score)
    expected, expected_weights = twin.logits_and_weights(source, lengths, target_in)
    close(logits, expected)
    rng = np.random.default_rng(2)
    upstream = [rng.normal(size=logits.shape)]
    if score is None:
        assert weights is expected_weights is None
        expected.backward(torch.tensor(upstream[0]))
    else:
        close(weights, expected_weights)
        upstream.append(rng.normal(size=weights.shape))
        torch.autograd.backward([expected, expected_weights], [torch.tensor(d) for d in upstream])
    agree(S.seq2seq_backward(cache, *upstream), [p.grad for p in twin.parameters])


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("cell", CELLS)
def test_twenty_steps_of_adam_give_the_losses_of_torch(cell, score):
    params, batch = random_params(cell, SIZES[0], score), random_batch(SIZES[0])
    twin, state = Twin(cell, params, score), optim.adam_init(params)
    adam = torch.optim.Adam(twin.parameters, lr=0.01)
    losses, expected = [], []
    for _ in range(20):
        loss, grads = S.seq2seq_loss(cell, params, *batch, score=score)
        params, state = optim.adam(params, grads, state, lr=0.01)
        losses.append(loss)
        adam.zero_grad()
        loss = twin.loss(*batch)
        loss.backward()
        adam.step()
        expected.append(loss.item())
    close(np.array(losses), np.array(expected))
    assert losses[-1] < 0.8 * losses[0]
    agree(params, twin.parameters, rel=1e-8)


@pytest.mark.parametrize("cell, score", [("rnn", "additive"), ("gru", None), ("lstm", "general")])
def test_gradients_are_the_measured_ones(cell, score):
    size = (3, 2, 2, 2, 3, 4, 5)
    params, batch = random_params(cell, size, score), random_batch(size)

    def loss(arrays):
        return S.seq2seq_loss(cell, rebuild(params, arrays), *batch, score=score)[0]

    _, grads = S.seq2seq_loss(cell, params, *batch, score=score)
    measured = G.numerical_grad(loss, tuple(flat(params)))
    assert G.relative_error(tuple(flat(grads)), measured) < 1e-6


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("cell", CELLS)
def test_padding_has_no_influence(cell, score):
    params, batch = random_params(cell, SIZES[0], score), random_batch(SIZES[0])
    source, source_lengths, target_in, target_out, target_lengths = batch
    loss, grads = S.seq2seq_loss(cell, params, *batch, score=score)
    own, own_out = (
        np.arange(len(ids))[:, None] < lengths
        for ids, lengths in [(source, source_lengths), (target_in, target_lengths)]
    )
    assert not own.all()
    assert not own_out.all()
    other = (
        np.where(own, source, 8 - source),
        source_lengths,
        np.where(own_out, target_in, 7 - target_in),
        np.where(own_out, target_out, -1),
        target_lengths,
    )
    loss_other, grads_other = S.seq2seq_loss(cell, params, *other, score=score)
    assert loss == loss_other
    for a, b in zip(flat(grads), flat(grads_other), strict=True):
        same(a, b)
    # More of it: two rows below the source, one below the target.
    longer = [
        np.vstack([ids, ids[:n]]) for ids, n in ((source, 2), (target_in, 1), (target_out, 1))
    ]
    longer = longer[0], source_lengths, longer[1], longer[2], target_lengths
    loss_longer, grads_longer = S.seq2seq_loss(cell, params, *longer, score=score)
    close(np.float64(loss_longer), np.float64(loss), rel=1e-12)
    agree(grads_longer, flat(grads), rel=1e-12)


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("cell", CELLS)
def test_the_loss_of_a_batch_is_the_mean_over_all_symbols(cell, score):
    params, batch = random_params(cell, SIZES[0], score), random_batch(SIZES[0])
    loss, grads = S.seq2seq_loss(cell, params, *batch, score=score)
    total, sums = 0.0, [np.zeros_like(a) for a in flat(params)]
    source, source_lengths, target_in, target_out, target_lengths = batch
    for b, (length, T) in enumerate(zip(source_lengths, target_lengths, strict=True)):
        alone = (
            source[:length, b : b + 1],
            None,
            target_in[:T, b : b + 1],
            target_out[:T, b : b + 1],
        )
        loss_b, grads_b = S.seq2seq_loss(cell, params, *alone, None, score=score)
        total += T * loss_b
        sums = [s + T * gradient for s, gradient in zip(sums, flat(grads_b), strict=True)]
    close(np.float64(loss), total / target_lengths.sum(), rel=1e-12)
    agree(grads, [s / target_lengths.sum() for s in sums], rel=1e-11)


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("cell", CELLS)
def test_decoding_the_target_gives_what_teacher_forcing_gave(cell, score, padded):
    params, (source, lengths, target_in, *_) = (
        random_params(cell, SIZES[0], score),
        random_batch(SIZES[0]),
    )
    lengths = lengths if padded else None
    logits, _, _ = S.seq2seq_forward(cell, params, source, lengths, target_in, score=score)
    memory = S.encode(cell, params, source, lengths)
    for tokens, expected in zip(target_in, functional.log_softmax(logits), strict=True):
        log_probs, memory = S.decode_step(cell, params, tokens, memory, score=score)
        close(log_probs, expected, rel=1e-12)


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("cell", CELLS)
def test_sources_decoded_together_give_what_each_gives_alone(cell, score):
    params, (source, lengths, *_) = random_params(cell, SIZES[0], score), random_batch(SIZES[0])
    step = partial(S.decode_step, cell, params, score=score)
    options = {"bos": 0, "eos": 1, "max_length": 6}
    beams = partial(D.beam_search, step, width=3, **options)
    together = beams(S.encode(cell, params, source, lengths))
    greedy = D.greedy(step, S.encode(cell, params, source, lengths), **options)
    for b, length in enumerate(lengths):
        memory = S.encode(cell, params, source[:length, b : b + 1])
        found = [*beams(memory)[0], *D.greedy(step, memory, **options)]
        expected = [*together[b], greedy[b]]
        assert [h.tokens for h in found] == [h.tokens for h in expected]
        numbers = (np.array([h.log_prob for h in hs]) for hs in (found, expected))
        close(*numbers, rel=1e-12)


@pytest.mark.parametrize("cell, score", [("lstm", None), ("gru", "dot"), ("lstm", "additive")])
def test_a_wide_beam_finds_the_likeliest_target_there_is(cell, score):
    V, T, bos, eos = 3, 3, 0, 1
    params = random_params(cell, (4, T, 2, 3, 5, 6, V), score)
    source, lengths = np.array([[5, 2], [1, 4], [3, 0], [2, 0]]), np.array([4, 2])
    targets = np.array(list(itertools.product(range(V), repeat=T))).T  # all of them, side by side
    ends = np.where((targets == eos).any(axis=0), (targets == eos).argmax(axis=0) + 1, T)
    step = partial(S.decode_step, cell, params, score=score)
    memory = S.encode(cell, params, source, lengths)
    beams = D.beam_search(step, memory, width=V ** (T - 1), bos=bos, eos=eos, max_length=T)
    for b, beam in enumerate(beams):
        own = np.repeat(source[: lengths[b], b : b + 1], V**T, axis=1)
        target_in = np.vstack([np.full(V**T, bos), targets[:-1]])
        logits, _, _ = S.seq2seq_forward(cell, params, own, None, target_in, score=score)
        log_p = np.take_along_axis(functional.log_softmax(logits), targets[..., None], axis=-1)[
            ..., 0
        ]
        totals = np.where(np.arange(T)[:, None] < ends, log_p, 0.0).sum(axis=0)
        best = totals.argmax()
        assert beam[0].tokens == tuple(targets[: ends[best], best].tolist())
        close(np.float64(beam[0].log_prob), totals[best], rel=1e-12)


@pytest.mark.parametrize("score", [None, "general"])
def test_the_memory_is_selectable_by_its_first_axis(score):
    params, (source, lengths, *_) = random_params("lstm", SIZES[0], score), random_batch(SIZES[0])
    memory = S.encode("lstm", params, source, lengths)
    assert [len(a) for a in flat(memory)] == [4, 4, 4, 4]
    same(memory.mask, A.lengths_mask(lengths, 6))
    same(S.encode("lstm", params, source).mask, np.ones((4, 6), dtype=bool))
    chosen = P.tree_map(lambda a: a[[2, 0]], memory)
    tokens = np.array([3, 5])
    log_probs, _ = S.decode_step("lstm", params, tokens, chosen, score=score)
    whole, _ = S.decode_step("lstm", params, np.array([5, 0, 3, 0]), memory, score=score)
    close(log_probs, whole[[2, 0]], rel=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("cell", CELLS)
def test_dtype_is_kept_and_inputs_untouched(cell, score, dtype):
    params, batch = random_params(cell, SIZES[0], score, dtype), random_batch(SIZES[0])
    _, grads = leaves_untouched(S.seq2seq_loss, cell, params, *batch, score=score)
    memory = leaves_untouched(S.encode, cell, params, *batch[:2])
    log_probs, after = leaves_untouched(
        S.decode_step, cell, params, batch[2][0], memory, score=score
    )
    floats = [a for a in [*flat(grads), log_probs, *flat(memory), *flat(after)] if a.dtype != bool]
    assert {a.dtype for a in floats} == {np.dtype(dtype)}
    logits, weights, cache = S.seq2seq_forward(cell, params, *batch[:3], score=score)
    assert logits.dtype == dtype
    upstream = (logits,) if weights is None else (logits, weights)
    first = leaves_untouched(S.seq2seq_backward, cache, *upstream)
    for a, b in zip(flat(first), flat(S.seq2seq_backward(cache, *upstream)), strict=True):
        same(a, b)


def test_initial_parameters():
    make = partial(S.init_seq2seq, "gru", 9, 8, 3, 100)
    for score, attention in [
        (None, type(None)),
        ("dot", type(None)),
        ("scaled", type(None)),
        ("general", A.General),
        ("additive", A.Additive),
    ]:
        params = make(score=score, rng=np.random.default_rng(0), dtype=np.float32)
        assert type(params.attention) is attention
        assert (params.combine is None) == (score is None)
        assert {a.dtype for a in flat(params)} == {np.dtype(np.float32)}
        again = make(score=score, rng=np.random.default_rng(0), dtype=np.float32)
        for a, b in zip(flat(params), flat(again), strict=True):
            same(a, b)
        for array in flat(params.attention or ()):
            assert 0.08 < np.abs(array).max() <= 0.1
    with pytest.raises(
        ValueError,
        match="^score must be None or one of scaled, dot, general, additive, got 'concat'$",
    ):
        make(score="concat", rng=np.random.default_rng(0))


BAD = [
    ({"cell": "ltsm"}, ValueError, "cell must be one of rnn, gru, lstm, got 'ltsm'"),
    ({"score": None}, ValueError, "score must be a name for these params, got None"),
    ({"score": "concat"}, ValueError,
     "score must be one of scaled, dot, general, additive, got 'concat'"),
    ({"score": "dot"}, TypeError, "params must be NoneType for the score dot, got General"),
    ({"source": np.zeros(6, int)}, ValueError, "source must have shape (S, B), got (6,)"),
    ({"target_in": np.zeros((5, 1), int)}, ValueError,
     "target_in must have shape (T, B=4), got (5, 1)"),
    ({"target_out": np.zeros((5, 1), int)}, ValueError,
     "target_out must have shape (T=5, B=4), got (5, 1)"),
    ({"source_lengths": np.ones(3, int)}, ValueError, "lengths must have shape (B=4,), got (3,)"),
    ({"target_lengths": np.ones(3, int)}, ValueError, "lengths must have shape (B=4,), got (3,)"),
    ({"target_lengths": np.array([1, 2, 6, 1])}, ValueError,
     "lengths must lie between 1 and T=5, got 6"),
    ({"source": np.full((6, 4), 9)}, ValueError, "ids must lie in 0..8, got values from 9 to 9"),
    ({"target_in": np.zeros((5, 4))}, TypeError, "ids must hold integers, got dtype float64"),
]  # fmt: skip


@pytest.mark.parametrize("changes, error, message", BAD)
def test_what_does_not_fit(changes, error, message):
    names = ["source", "source_lengths", "target_in", "target_out", "target_lengths"]
    arguments = dict(zip(names, random_batch(SIZES[0]), strict=True))
    arguments |= {"cell": "gru", "score": "general"}
    params = random_params("gru", SIZES[0], "general")
    with pytest.raises(error) as caught:
        S.seq2seq_loss(params=params, **arguments | changes)
    assert str(caught.value) == message


def test_attention_that_params_do_not_have():
    params, batch = random_params("gru", SIZES[0], None), random_batch(SIZES[0])
    with pytest.raises(ValueError, match="^score must be None for these params, got 'dot'$"):
        S.seq2seq_loss("gru", params, *batch, score="dot")
    logits, _, cache = S.seq2seq_forward("gru", params, *batch[:3])
    with pytest.raises(
        ValueError, match=r"^dweights must be None without attention, got \(5, 4\)$"
    ):
        S.seq2seq_backward(cache, logits, np.zeros((5, 4)))
    with pytest.raises(
        ValueError, match=r"^dlogits must have shape \(T=5, B=4, V=8\), got \(5, 4\)$"
    ):
        S.seq2seq_backward(cache, np.zeros((5, 4)))
