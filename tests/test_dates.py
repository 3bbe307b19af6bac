"""Dates in twenty languages: what is in each part, and that a text says which day it means."""

import re
import sys
import unicodedata
from collections import Counter
from datetime import date, timedelta

import numpy as np
import pytest

from unrolled.data import MissingDataError, Vocabulary, load_dates, write_date
from unrolled.data.dates import FIRST, LAST, LOCALES, STYLES


@pytest.fixture(scope="module")
def dates():
    return load_dates()


@pytest.fixture(scope="module")
def rows(dates):
    """Text, ISO and language of every date, the training part first."""
    k = [*dates.train_languages, *dates.test_languages]
    languages = [dates.languages[i] for i in k]
    return list(zip(dates.train + dates.test, dates.train_iso + dates.test_iso, languages))


def test_sizes_as_documented(dates):
    assert (len(dates.train), len(dates.train_iso)) == (10_000, 10_000)
    assert (len(dates.test), len(dates.test_iso)) == (2_000, 2_000)
    assert dates.languages == sorted(LOCALES)
    for labels, each in [(dates.train_languages, 500), (dates.test_languages, 100)]:
        assert labels.dtype == np.int64
        assert np.bincount(labels).tolist() == [each] * 20
        assert (np.diff(labels) != 0).mean() > 0.9  # in random order


def test_every_text_is_its_day_in_its_language_in_one_of_the_three_styles(rows):
    found = Counter()
    for text, iso, language in rows:
        day = date.fromisoformat(iso)
        assert day.isoformat() == iso
        assert FIRST <= day <= LAST
        styles = [s for s in STYLES if write_date(day, language, style=s) == text]
        assert styles, (text, iso, language)
        if len(styles) == 1:
            found[styles[0]] += 1
    assert min(found[style] for style in STYLES) > 2500


def test_no_language_has_a_day_twice(rows):
    assert len({(iso, language) for _, iso, language in rows}) == len(rows)


def test_days_are_spread_over_the_century(rows):
    ages = np.array([(date.fromisoformat(iso) - FIRST).days for _, iso, _ in rows])
    counts, _ = np.histogram(ages, bins=10, range=(0, (LAST - FIRST).days + 1))
    assert counts.min() > 0.9 * len(rows) / 10
    assert counts.max() < 1.1 * len(rows) / 10


def test_no_text_means_two_days(dates, rows):
    meaning = {}
    for text, iso, _ in rows:
        assert meaning.setdefault(text, iso) == iso
    # French and Swedish, or Spanish and Italian, may write a day alike.
    assert len(set(dates.train) & set(dates.test)) == 2


def test_a_reader_can_type_every_text(dates):
    symbols = Vocabulary(dates.train).symbols
    assert symbols == sorted(symbols)
    assert set("".join(dates.test)) <= set(symbols)
    for text in dates.train + dates.test:
        assert text == unicodedata.normalize("NFC", text) == text.strip()
        assert re.fullmatch(r"[^\s]+( [^\s]+)*", text)
        assert len(text) <= 37


def test_loading_twice_gives_the_same_and_fresh_arrays(dates):
    again = load_dates()
    assert again.train == dates.train
    assert again.test_iso == dates.test_iso
    assert again.train_languages is not dates.train_languages


@pytest.mark.parametrize("language", LOCALES)
def test_the_next_day_and_the_next_year_are_written_otherwise(language):
    day = date(2023, 11, 30)
    for style in STYLES:
        texts = {
            write_date(day + timedelta(days=n), language, style=style) for n in (0, 1, 31, 365)
        }
        assert len(texts) == 4
        assert all("202" in text for text in texts)


def test_what_is_no_language_or_style_is_refused():
    message = r"^language must be one of Chinese, .*, Vietnamese, got 'Klingon'$"
    with pytest.raises(ValueError, match=message):
        write_date(FIRST, "Klingon")
    message = "^style must be one of full, long, medium, got 'short'$"
    with pytest.raises(ValueError, match=message):
        write_date(FIRST, "Greek", style="short")


def test_without_babel_the_error_names_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "babel.dates", None)
    with pytest.raises(MissingDataError, match=r"^the data package 'Babel' is not installed; run"):
        load_dates()
