"""The text of Shakespeare: what is in each part, and that nothing else is."""

import re

import numpy as np
import pytest

from unrolled.data import load_shakespeare
from unrolled.data import shakespeare as module
from unrolled.data._packages import package_file


@pytest.fixture(scope="module")
def text():
    return load_shakespeare()


@pytest.fixture(scope="module")
def files():
    folder = package_file("shakespeare", "shksprdata/texts/hamlet_gut.txt").parent
    return {path.stem: path.read_bytes().decode("latin-1") for path in folder.glob("*_gut.txt")}


def test_sizes_as_documented(text):
    assert [len(part) for part in text[:3]] == [4_294_753, 423_239, 339_400]
    assert len(text.symbols) == 84


def test_every_work_is_in_one_part_and_whole(text, files):
    assert len(files) == module.WORKS
    for name, work in files.items():
        parts = [part for part in text[:3] if work.strip() in part]
        assert len(parts) == 1, name
    kept = sum(len(work.strip()) for work in files.values())
    between = len(module.BETWEEN) * (35 + 2 + 2)
    assert sum(len(part) for part in text[:3]) == kept + between


def test_whole_plays_are_held_out(text):
    for part, titles in [
        (text.valid, ["AS YOU LIKE IT", "THE LIFE OF HENRY THE EIGHTH", "OTHELLO, THE MOOR"]),
        (text.test, ["KING JOHN", "MACBETH", "TWELFTH NIGHT"]),
    ]:
        found = [part.index(title) for title in titles]
        assert found == sorted(found)
        assert found[0] == 0
        for title in titles:
            assert f"\n{title}\n\nby William" not in text.train
    lines = {line for line in text.train.splitlines() if len(line) > 30}
    held_out = [line for line in text.test.splitlines() if len(line) > 30]
    assert np.mean([line in lines for line in held_out]) < 0.001


def test_no_licence_is_part_of_the_text(text):
    assert not re.search(r"(?i)gutenberg|copyright|\betext|public domain|http", "".join(text[:3]))


def test_symbols_are_sorted_and_those_of_the_training_text(text):
    assert list(text.symbols) == sorted(set(text.train))
    assert set(text.valid) | set(text.test) <= set(text.symbols)
    assert "\r" not in text.symbols
    assert "\t" not in text.symbols


def test_ids_go_there_and_back(text):
    ids = text.encode(text.test)
    assert ids.dtype == np.int64
    assert ids.shape == (len(text.test),)
    assert (ids.min(), ids.max()) >= (0, 1)
    assert ids.max() < len(text.symbols)
    assert text.decode(ids) == text.test
    assert text.encode("").shape == (0,)
    assert text.decode(ids[:0]) == ""


def test_what_is_no_symbol_is_refused(text):
    with pytest.raises(ValueError, match=r"^text must be made of the 84 symbols, got 'é'$"):
        text.encode("Café")
    with pytest.raises(ValueError, match=r"^ids must lie in 0\.\.83, got 3 to 84$"):
        text.decode(np.array([3, 84]))
    with pytest.raises(ValueError, match=r"^ids must lie in 0\.\.83, got -1 to 0$"):
        text.decode(np.array([0, -1]))


def test_loading_twice_gives_the_same(text):
    assert load_shakespeare() == text


def test_another_number_of_files_is_refused(monkeypatch):
    monkeypatch.setattr(module, "WORKS", 41)
    with pytest.raises(FileNotFoundError, match=r"must hold 41 works, got 42$"):
        load_shakespeare()
