"""A decoder that may copy words of its source, and may remember where it has looked."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

try:
    import torch
    from torch import Tensor, nn
except ModuleNotFoundError:
    raise ModuleNotFoundError("torch is not installed; run: pip install torch") from None

from unrolled._validate import Array
from unrolled.data import UNKNOWN, Vocabulary


class Reading(NamedTuple):
    """What was read, and how far the writing has come."""

    values: Tensor  # (S, B, H), the encoder's outputs
    keys: Tensor  # (S, B, H), made from them once
    ids: Tensor  # (S, B), those of ``extended_ids``
    mask: Tensor  # (S, B), False at padding
    state: tuple[Tensor, Tensor]  # of the decoder, (B, H) each
    coverage: Tensor  # (S, B), the sum of all attention weights so far


class PointerGenerator(nn.Module):
    """An encoder-decoder whose output is a mixture of writing a word and of copying one.

    ``p(w) = g p_vocabulary(w) + (1 - g) sum of weights_s over the places s where w stands``. With
    ``pointer=False``, g is 1. With ``coverage=True`` the attention's score sees how much each place
    has been looked at before: ``v tanh(W_q q + W_k k_s + w_c coverage_s)``.

    V, E and H are the sizes of the vocabulary, of an embedding and of the hidden state; the encoder
    is bidirectional with H/2 units a direction.

    Notes
    -----
    Chapter 9, "Copying what was never seen"; See, Liu & Manning (2017); Vinyals, Fortunato &
    Jaitly (2015) for the pointer.
    """

    def __init__(
        self, V: int, E: int, H: int, *, pointer: bool = True, coverage: bool = False
    ) -> None:
        super().__init__()
        self.V, self.pointer, self.coverage = V, pointer, coverage
        self.embedding = nn.Embedding(V, E)
        self.encoder = nn.LSTM(E, H // 2, bidirectional=True)
        self.decoder = nn.LSTMCell(E, H)
        self.W_q, self.W_k = nn.Linear(H, H), nn.Linear(H, H, bias=False)
        self.w_c, self.v = nn.Linear(1, H, bias=False), nn.Linear(H, 1, bias=False)
        self.combine, self.output = nn.Linear(2 * H, H), nn.Linear(H, V)
        self.gate = nn.Linear(2 * H + E, 1)

    def read(self, ids: Tensor, lengths: Tensor) -> Reading:
        """Read sources, (S, B), with ids of V and more for words that the vocabulary lacks."""
        x = self.embedding(torch.where(ids < self.V, ids, UNKNOWN))
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
        out, state = self.encoder(packed)
        values, _ = nn.utils.rnn.pad_packed_sequence(out, total_length=len(ids))
        h, c = (torch.cat([*s], dim=-1) for s in state)
        mask = torch.arange(len(ids))[:, None] < lengths
        return Reading(values, self.W_k(values), ids, mask, (h, c), torch.zeros(ids.shape))

    def step(self, tokens: Tensor, reading: Reading) -> tuple[Tensor, Tensor, Tensor, Reading]:
        """Write one word after ``tokens``, (B,).

        Returns the probabilities (B, V + S), the attention weights (S, B), g (B, 1) and the
        reading after this step.
        """
        values, keys, ids, mask, state, coverage = reading
        y = self.embedding(torch.where(tokens < self.V, tokens, UNKNOWN))
        h, c = self.decoder(y, state)
        a = self.W_q(h) + keys  # (S, B, H)
        if self.coverage:
            a = a + self.w_c(coverage[..., None])
        scores = self.v(torch.tanh(a))[..., 0]
        weights = scores.masked_fill(~mask, -torch.inf).softmax(dim=0)
        context = (weights[..., None] * values).sum(dim=0)
        h_tilde = torch.tanh(self.combine(torch.cat([context, h], dim=-1)))
        p = self.output(h_tilde).softmax(dim=-1)
        g = torch.ones(len(p), 1)
        if self.pointer:
            g = torch.sigmoid(self.gate(torch.cat([context, h, y], dim=-1)))
        p = torch.cat([g * p, torch.zeros(len(p), len(ids))], dim=-1)
        if self.pointer:
            p = p.scatter_add(1, ids.T, (1 - g) * weights.T)
        return p, weights, g, reading._replace(state=(h, c), coverage=coverage + weights)

    def forward(
        self, ids: Tensor, lengths: Tensor, target_in: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Write given targets, (T, B): probabilities (T, B, V + S), weights and coverage (T, S, B).

        The coverage is that *before* each step.
        """
        reading, steps = self.read(ids, lengths), []
        for tokens in target_in:
            before = reading.coverage
            p, weights, _, reading = self.step(tokens, reading)
            steps.append((p, weights, before))
        p, weights, coverage = (torch.stack(part) for part in zip(*steps, strict=True))
        return p, weights, coverage

    def write(
        self, ids: Tensor, lengths: Tensor, *, start: int, end: int, max_length: int
    ) -> tuple[list[list[int]], Array, Array]:
        """Write greedily: the ids of each sequence, the weights (T, S, B) and g (T, B)."""
        tokens, steps = torch.full(lengths.shape, start), []
        with torch.no_grad():
            reading = self.read(ids, lengths)
            for _ in range(max_length):
                p, weights, g, reading = self.step(tokens, reading)
                tokens = p.argmax(dim=-1)
                steps.append((tokens, weights, g[:, 0]))
        written, weights, g = (torch.stack(part).numpy() for part in zip(*steps, strict=True))
        found = [row[: row.index(end)] if end in row else row for row in written.T.tolist()]
        return found, weights, g


def pointer_loss(p: Tensor, target: Tensor, lengths: Tensor) -> Tensor:
    """Mean of ``-log p`` of the targets, (T, B), padding left out."""
    mask = torch.arange(len(target))[:, None] < lengths
    chosen = p.gather(-1, target[..., None])[..., 0]
    return -torch.log(chosen[mask] + 1e-9).mean()


def coverage_loss(weights: Tensor, coverage: Tensor, lengths: Tensor) -> Tensor:
    """Mean over steps of ``sum over s of min(weights_s, coverage_s)``: what is looked at twice."""
    mask = torch.arange(len(weights))[:, None] < lengths
    return torch.minimum(weights, coverage).sum(dim=1)[mask].mean()


def extended_ids(
    source: Sequence[str], words: Sequence[str], vocabulary: Vocabulary
) -> tuple[Array, list[str]]:
    """Give ids to ``words``; those of the source that the vocabulary lacks get V, V + 1, ...

    A word that neither has remains unknown.

    Returns
    -------
    ids : int64 ndarray of shape (len(words),)
    unseen : list of str
        The words whose ids are V, V + 1, ...

    Examples
    --------
    >>> vocabulary = Vocabulary([["saw", "was"]])
    >>> extended_ids(["Bo", "saw", "Al"], ["Al", "was", "Eve"], vocabulary)
    (array([5, 3, 1]), ['Bo', 'Al'])
    """
    ids = vocabulary.encode(words)
    known = vocabulary.encode(source)
    unseen = list(dict.fromkeys(w for w, i in zip(source, known) if i == UNKNOWN))
    V = len(vocabulary)
    extended = [V + unseen.index(w) if w in unseen else i for w, i in zip(words, ids)]
    return np.array(extended, dtype=np.int64), unseen
