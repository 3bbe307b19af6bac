"""From pairs of sequences, a source and its target, to the arrays that an encoder-decoder reads."""

from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import NamedTuple

from unrolled._validate import Array
from unrolled.data.sequences import Vocabulary, pad

START, END = "<s>", "</s>"


class PairBatch(NamedTuple):
    """B pairs as ids, padded with 0: what ``seq2seq_loss`` takes after its params, in order."""

    source: Array  # (S, B)
    source_lengths: Array  # (B,)
    target_in: Array  # (T, B), START and then the target
    target_out: Array  # (T, B), the target and then END
    target_lengths: Array  # (B,), END included

    def take(self, index: Array) -> "PairBatch":
        """Pick some of the pairs, with no more padding than they need."""
        lengths, ends = self.source_lengths[index], self.target_lengths[index]
        S, T = lengths.max(), ends.max()
        return PairBatch(
            self.source[:S, index],
            lengths,
            self.target_in[:T, index],
            self.target_out[:T, index],
            ends,
        )


class PairVocabularies(NamedTuple):
    """The symbols of the sources, and those of the targets with START and END among them."""

    source: Vocabulary
    target: Vocabulary

    @property
    def start(self) -> int:
        """The id that begins every target."""
        return 2 + self.target.symbols.index(START)

    @property
    def end(self) -> int:
        """The id that ends every target."""
        return 2 + self.target.symbols.index(END)

    def encode(self, pairs: Sequence[tuple[Sequence[str], Sequence[str]]]) -> PairBatch:
        """Turn pairs of sequences of symbols into padded arrays of ids."""
        source, lengths = pad([self.source.encode(source) for source, _ in pairs])
        whole = [self.target.encode([START, *target, END]) for _, target in pairs]
        target_in, ends = pad([ids[:-1] for ids in whole])
        return PairBatch(source, lengths, target_in, pad([ids[1:] for ids in whole])[0], ends)

    def decode(self, tokens: Iterable[int]) -> tuple[str, ...]:
        """Turn ids into symbols, up to END if it is there; an id without a symbol becomes "?"."""
        symbols = ["?", "?", *self.target.symbols]
        written = takewhile(lambda token: token != self.end, tokens)
        return tuple(symbols[token] for token in written)


def pair_vocabularies(pairs: Iterable[tuple[Sequence[str], Sequence[str]]]) -> PairVocabularies:
    """List the symbols of the training pairs.

    Examples
    --------
    >>> pairs = [("cat", ("K", "AE", "T")), ("at", ("AE", "T"))]
    >>> vocabularies = pair_vocabularies(pairs)
    >>> vocabularies.source.symbols, vocabularies.target.symbols
    (['a', 'c', 't'], ['</s>', '<s>', 'AE', 'K', 'T'])
    >>> batch = vocabularies.encode(pairs)
    >>> batch.target_out
    array([[5, 4],
           [4, 6],
           [6, 2],
           [2, 0]])
    >>> vocabularies.decode(batch.target_out[:, 0])
    ('K', 'AE', 'T')
    """
    pairs = list(pairs)
    targets = [[START, END], *(target for _, target in pairs)]
    return PairVocabularies(Vocabulary(source for source, _ in pairs), Vocabulary(targets))
