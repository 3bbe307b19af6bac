"""First and last names in twelve languages of Latin script, from Faker."""

import importlib
import unicodedata
from typing import NamedTuple

import numpy as np

from unrolled._validate import Array
from unrolled.data._packages import MissingDataError

LANGUAGES = {
    "cs_CZ": "Czech",
    "de_DE": "German",
    "en_IE": "Irish",
    "es_ES": "Spanish",
    "fi_FI": "Finnish",
    "fr_BE": "French",
    "is_IS": "Icelandic",
    "it_IT": "Italian",
    "nl_NL": "Dutch",
    "sk_SK": "Slovak",
    "sv_SE": "Swedish",
    "tr_TR": "Turkish",
}
TRAIN_SIZE = 15206


class Names(NamedTuple):
    """Names and the languages that use each, split into a training and a test part."""

    train: list[str]  # 15,206 names
    test: list[str]  # 3,801 names
    train_languages: Array  # (15206, 12) bool; a name may belong to several languages
    test_languages: Array  # (3801, 12) bool
    languages: list[str]  # (12,) the English names of the languages


def load_names() -> Names:
    """Load 19,007 distinct names, each with every language that has it.

    1,620 names belong to more than one language, so a guess is right if it is *one of* them. Names
    that hold anything but letters, spaces, hyphens and apostrophes are left out (ten of them).

    Origin: the name lists of Faker (D. Faraglia and others). Licence: MIT. Split: drawn once with a
    fixed seed from the sorted names, 15,206 for training and 3,801 for testing; no name is in both.

    Returns
    -------
    Names

    Raises
    ------
    MissingDataError
        If Faker is not installed.

    Examples
    --------
    >>> names = load_names()
    >>> len(names.train), len(names.test), len(names.languages)
    (15206, 3801, 12)
    >>> languages = names.train_languages[names.train.index("Eriksson")]
    >>> [names.languages[k] for k in np.flatnonzero(languages)]
    ['Finnish', 'Swedish']
    """
    languages_of: dict[str, set[int]] = {}
    for k, locale in enumerate(LANGUAGES):
        try:
            provider = importlib.import_module(f"faker.providers.person.{locale}").Provider
        except ModuleNotFoundError as error:
            raise MissingDataError("Faker") from error
        for name in [*provider.first_names, *provider.last_names]:
            # One letter, one code point: otherwise é may also come as e and an accent.
            name = unicodedata.normalize("NFC", name)
            if all(c.isalpha() or c in " -'" for c in name):
                languages_of.setdefault(name, set()).add(k)

    names = sorted(languages_of)
    labels = np.zeros((len(names), len(LANGUAGES)), dtype=bool)
    for i, name in enumerate(names):
        labels[i, list(languages_of[name])] = True
    order = np.random.default_rng(0).permutation(len(names))
    train, test = order[:TRAIN_SIZE], order[TRAIN_SIZE:]
    return Names(
        train=[names[i] for i in train],
        test=[names[i] for i in test],
        train_languages=labels[train],
        test_languages=labels[test],
        languages=list(LANGUAGES.values()),
    )
