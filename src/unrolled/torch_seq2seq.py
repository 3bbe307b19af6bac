"""The encoder-decoder of ``unrolled.seq2seq`` in torch, for the larger trainings; and how to train.

The parameters are drawn by ``init_seq2seq`` and copied, so both start, and go on, as one.
"""

from collections.abc import Callable, Iterator
from math import sqrt
from typing import Any

import numpy as np

try:
    import torch
    from torch import Tensor, nn
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
except ModuleNotFoundError:
    raise ModuleNotFoundError("torch is not installed; run: pip install torch") from None

from unrolled._recurrent import check_type
from unrolled._validate import Array
from unrolled.attention import SCORES
from unrolled.data.pairs import PairBatch
from unrolled.layers import Bidirectional, get_layer
from unrolled.params import tree_arrays, tree_map
from unrolled.schedules import cosine
from unrolled.seq2seq import Seq2Seq


class TorchSeq2Seq(nn.Module):
    """An encoder-decoder that computes what ``seq2seq_forward`` computes, with the same weights.

    Parameters
    ----------
    cell : {"rnn", "gru", "lstm"}
    params : Seq2Seq
        As ``init_seq2seq`` draws them; copied, in their dtype.
    score : {"scaled", "dot", "general", "additive"}, optional

    Raises
    ------
    ValueError
        If there is no such cell or score, or the params have no attention for it.
    TypeError
        If ``params.attention`` is not what the score needs.

    Examples
    --------
    >>> from unrolled.seq2seq import init_seq2seq
    >>> params = init_seq2seq("lstm", 9, 7, 4, 6, score="dot", rng=np.random.default_rng(0))
    >>> model = TorchSeq2Seq("lstm", params, score="dot")
    >>> source, target = torch.tensor([[3, 4], [5, 0]]), torch.tensor([[2, 6]])
    >>> logits, weights = model(source, torch.tensor([2, 1]), target)
    >>> logits.shape, weights.shape
    (torch.Size([1, 2, 7]), torch.Size([1, 2, 2]))

    Notes
    -----
    Chapters 8 and 9.
    """

    def __init__(self, cell: str, params: Seq2Seq, *, score: str | None = None) -> None:
        super().__init__()
        if score not in (None, *SCORES):
            raise ValueError(f"score must be None or one of {', '.join(SCORES)}, got {score!r}")
        if (score is None) != (params.combine is None):
            raise ValueError(f"score must fit these params, got {score!r}")
        kind = SCORES[score or "dot"]
        what = f"{kind.__name__} for the score {score}"
        check_type("params.attention", params.attention, kind, what)
        get_layer(cell)  # its error names the choices
        self.score, self.structure = score, params
        V_source, E = params.source_embedding.shape
        V_target, H = params.output.W.shape
        two = isinstance(params.encoder, Bidirectional)
        layer = getattr(nn, cell.upper())
        self.source_embedding = nn.Embedding(V_source, E)
        self.target_embedding = nn.Embedding(V_target, E)
        self.encoder = layer(E, H // 2 if two else H, bidirectional=two)
        self.decoder = layer(E, H)
        self.attention = nn.ParameterList(map(torch.tensor, params.attention or ()))
        self.combine = nn.Linear(2 * H, H) if score else None
        self.output = nn.Linear(H, V_target)
        # torch lists the parameters in the order in which the parts were made: that of Seq2Seq.
        self.to(torch.tensor(params.output.W).dtype)
        with torch.no_grad():
            for parameter, array in zip(self.parameters(), tree_arrays(params), strict=True):
                parameter.copy_(torch.tensor(array))

    def params(self) -> Seq2Seq:
        """Copy the parameters, as they are now, back into arrays."""
        arrays = iter([p.detach().numpy().copy() for p in self.parameters()])
        return tree_map(lambda _: next(arrays), self.structure)

    def forward(
        self, source: Tensor, lengths: Tensor, target_in: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Read (S, B) and (T, B); return logits (T, B, V) and weights (T, B, S), or None."""
        x, equal = self.source_embedding(source), bool((lengths == len(source)).all())
        # Without padding torch has a faster way, which a packed sequence cannot take.
        outputs, state = self.encoder(
            x if equal else pack_padded_sequence(x, lengths, False, False)
        )
        if not equal:
            outputs, _ = pad_packed_sequence(outputs, total_length=len(source))
        if self.encoder.bidirectional:
            state = _map_state(lambda part: torch.cat([part[0], part[1]], dim=-1)[None], state)
        h, _ = self.decoder(self.target_embedding(target_in), state)
        if self.combine is None:
            return self.output(h), None
        hidden = None if equal else torch.arange(len(source)) >= lengths[:, None]
        context, weights = self._attend(h, outputs, hidden)
        return self.output(torch.tanh(self.combine(torch.cat([context, h], dim=-1)))), weights

    def _attend(self, h: Tensor, outputs: Tensor, hidden: Tensor | None) -> tuple[Tensor, Tensor]:
        query, keys = h.transpose(0, 1), outputs.transpose(0, 1)  # (B, T, H), (B, S, H)
        if self.score == "additive":
            W_q, W_k, v = self.attention
            scores = torch.tanh((query @ W_q.T)[:, :, None] + (keys @ W_k.T)[:, None]) @ v
        else:
            if self.score == "general":
                query = query @ self.attention[0]
            if self.score == "scaled":
                query = query / sqrt(query.shape[-1])
            scores = query @ keys.transpose(1, 2)
        if hidden is not None:
            scores = scores.masked_fill(hidden[:, None], -torch.inf)
        weights = scores.softmax(dim=-1)  # (B, T, S)
        return (weights @ keys).transpose(0, 1), weights.transpose(0, 1)


def seq2seq_loss_torch(model: TorchSeq2Seq, batch: PairBatch) -> Tensor:
    """Mean cross-entropy over the symbols of the targets, padding left out."""
    source, lengths, target_in, target_out, ends = map(torch.from_numpy, batch)
    logits, _ = model(source, lengths, target_in)
    alive = torch.arange(len(target_out))[:, None] < ends
    return nn.functional.cross_entropy(logits[alive], target_out[alive])


def equal_length_batches(
    lengths: Array, *, batch: int, rng: np.random.Generator
) -> Iterator[Array]:
    """Yield minibatches of indices for ever, each of sequences of one length: no padding to read.

    An epoch takes every index once, in a new random order; some batches are smaller.

    Examples
    --------
    >>> lengths = np.array([2, 5, 2, 2])
    >>> batches = equal_length_batches(lengths, batch=2, rng=np.random.default_rng(0))
    >>> sorted(lengths[next(batches)].tolist() for _ in range(3))
    [[2], [2, 2], [5]]
    """
    while True:
        order = rng.permutation(len(lengths))
        groups = [order[lengths[order] == length] for length in np.unique(lengths)]
        found = [g[i : i + batch] for g in groups for i in range(0, len(g), batch)]
        for k in rng.permutation(len(found)):
            yield found[k]


def train_seq2seq(
    model: TorchSeq2Seq,
    pairs: PairBatch,
    valid: PairBatch | None = None,
    *,
    steps: int,
    batch: int,
    lr: float,
    rng: np.random.Generator,
    every: int = 100,
    clip: float = 1.0,
) -> list[tuple[int, float]]:
    """Train by Adam; the gradient's norm is clipped, the learning rate falls along a cosine.

    Parameters
    ----------
    model : TorchSeq2Seq
        Changed in place.
    pairs, valid : PairBatch
        All training pairs, and those to measure the loss on.
    steps, batch : int
    lr : float
        Learning rate at the start.
    rng : numpy.random.Generator
    every : int
        Steps between two measurements.
    clip : float

    Returns
    -------
    list of (step, loss)
        After each ``every`` steps and at the end: the loss on ``valid``, in nats a symbol; without
        ``valid``, the mean training loss since the last measurement.
    """
    batches = equal_length_batches(pairs.source_lengths, batch=batch, rng=rng)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    curve: list[tuple[int, float]] = []
    recent: list[float] = []
    for step in range(1, steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = cosine(step - 1, total=steps, lr=lr)
        loss = seq2seq_loss_torch(model, pairs.take(next(batches)))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        recent.append(loss.item())
        if step % every == 0 or step == steps:
            measured = float(np.mean(recent)) if valid is None else evaluate_loss(model, valid)
            curve.append((step, measured))
            recent = []
    return curve


def evaluate_loss(model: TorchSeq2Seq, pairs: PairBatch, *, batch: int = 500) -> float:
    """Mean cross-entropy over all symbols of all targets, in nats."""
    total, B = 0.0, len(pairs.source_lengths)
    with torch.no_grad():
        for first in range(0, B, batch):
            part = pairs.take(np.arange(first, min(first + batch, B)))
            total += seq2seq_loss_torch(model, part).item() * int(part.target_lengths.sum())
    return total / int(pairs.target_lengths.sum())


def _map_state(function: Callable[[Tensor], Tensor], state: Any) -> Any:
    return tuple(map(function, state)) if isinstance(state, tuple) else function(state)
