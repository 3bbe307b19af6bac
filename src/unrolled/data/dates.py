"""Dates as twenty languages write them, and as ISO 8601 does, from Babel."""

import importlib
import unicodedata
from datetime import date
from typing import NamedTuple

import numpy as np

from unrolled._validate import Array
from unrolled.data._packages import MissingDataError

LOCALES = {
    "Chinese": "zh",
    "Czech": "cs",
    "Dutch": "nl",
    "English": "en",
    "Finnish": "fi",
    "French": "fr",
    "German": "de",
    "Greek": "el",
    "Hungarian": "hu",
    "Indonesian": "id",
    "Italian": "it",
    "Japanese": "ja",
    "Korean": "ko",
    "Polish": "pl",
    "Portuguese": "pt",
    "Russian": "ru",
    "Spanish": "es",
    "Swedish": "sv",
    "Turkish": "tr",
    "Vietnamese": "vi",
}
STYLES = ("full", "long", "medium")
FIRST, LAST = date(1950, 1, 1), date(2049, 12, 31)
TRAIN_SIZE, TEST_SIZE = 500, 100  # of each language


class Dates(NamedTuple):
    """Dates in words, what they mean, and in which language each is written."""

    train: list[str]  # 10,000 dates, such as 'March 5, 2021'
    test: list[str]  # 2,000 dates
    train_iso: list[str]  # 10,000, such as '2021-03-05'
    test_iso: list[str]  # 2,000
    train_languages: Array  # (10000,) int64, indices into ``languages``
    test_languages: Array  # (2000,) int64
    languages: list[str]  # (20,) the English names of the languages, sorted


def load_dates() -> Dates:
    """Load 12,000 dates between 1950 and 2049, 600 in each of twenty languages.

    Each is written in one of three ways, drawn at random: full (with the day of the week), long or
    medium. Babel's short way is left out, as 5/3/21 is another day in another country.

    Origin: the Unicode Common Locale Data Repository, through Babel. Licence: BSD-3 (Babel),
    Unicode-3.0 (CLDR). Split: drawn once with a fixed seed, 500 of each language for training and
    100 for testing; no language has a day in both. Two texts of the test are in the training part
    as well, as a date of another language that writes it alike. Both parts are in random order.

    Returns
    -------
    Dates

    Raises
    ------
    MissingDataError
        If Babel is not installed.

    Examples
    --------
    >>> dates = load_dates()
    >>> len(dates.train), len(dates.test), len(dates.languages)
    (10000, 2000, 20)
    >>> dates.test[2], dates.test_iso[2], dates.languages[dates.test_languages[2]]
    ('dimanche 15 août 1999', '1999-08-15', 'French')
    """
    rng = np.random.default_rng(0)
    days = np.arange(FIRST.toordinal(), LAST.toordinal() + 1)
    parts: tuple[list[tuple[str, str, int]], ...] = ([], [])
    for k, language in enumerate(LOCALES):
        drawn = rng.choice(days, size=TRAIN_SIZE + TEST_SIZE, replace=False)
        styles = rng.choice(STYLES, size=len(drawn))
        for i, (ordinal, style) in enumerate(zip(drawn, styles)):
            day = date.fromordinal(int(ordinal))
            text = write_date(day, language, style=str(style))
            parts[i >= TRAIN_SIZE].append((text, day.isoformat(), k))
    (train, train_iso, train_k), (test, test_iso, test_k) = (
        zip(*(part[i] for i in rng.permutation(len(part)))) for part in parts
    )
    return Dates(
        train=list(train),
        test=list(test),
        train_iso=list(train_iso),
        test_iso=list(test_iso),
        train_languages=np.array(train_k),
        test_languages=np.array(test_k),
        languages=list(LOCALES),
    )


def write_date(day: date, language: str, *, style: str = "long") -> str:
    """Write a day as a language does.

    All white space becomes a plain space, so that it is what a reader types; letters with accents
    are one character each.

    Parameters
    ----------
    day : datetime.date
    language : str
        One of the twenty ``languages`` of ``load_dates``.
    style : {"full", "long", "medium"}

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If there is no such language or style.
    MissingDataError
        If Babel is not installed.

    Examples
    --------
    >>> day = date(2021, 3, 5)
    >>> [write_date(day, language) for language in ("Chinese", "English", "Hungarian")]
    ['2021年3月5日', 'March 5, 2021', '2021. március 5.']
    >>> write_date(day, "Turkish", style="full")
    '5 Mart 2021 Cuma'
    """
    for name, value, known in (("language", language, LOCALES), ("style", style, STYLES)):
        if value not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}")
    try:
        format_date = importlib.import_module("babel.dates").format_date
    except ModuleNotFoundError as error:
        raise MissingDataError("Babel") from error
    text = unicodedata.normalize("NFC", format_date(day, style, locale=LOCALES[language]))
    return " ".join(text.split())
