"""The scripts behind `make`: what they change, and what they leave alone."""

import json
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tools import experiments, notebooks, timings

CHAPTER = "# A\n\n**You need.** About 9 s of patience.\n\n**Run time.** About 10 s on one core."
INDEX = (
    "About 10 s\n| [1 A](01_a.ipynb) | what | about 10 s |\n| [2 B](02_b.ipynb) | | about 10 s |\n"
)


@pytest.fixture
def book(tmp_path: Path, monkeypatch) -> Path:
    (tmp_path / "book/results").mkdir(parents=True)
    (tmp_path / "experiments").mkdir()
    for module in (experiments, notebooks, timings):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    return tmp_path / "book"


def test_measured_seconds_are_written_where_the_book_states_them(book):
    nb = new_notebook(cells=[new_markdown_cell(CHAPTER)])
    nbformat.write(nb, book / "01_a.ipynb")
    (book / "index.md").write_text(INDEX)
    timings.update_phrases({"01_a": 43.0})
    text = nbformat.read(book / "01_a.ipynb", as_version=4).cells[0].source
    assert text == CHAPTER.replace("About 10 s on", "About 45 s on")
    changed = INDEX.replace("what | about 10 s", "what | about 45 s")
    assert (book / "index.md").read_text() == changed


def test_a_notebook_is_executed_in_its_folder_and_marked_with_its_code(book, capsys):
    path = book / "01_a.ipynb"
    code = new_code_cell("import pathlib\nprint(pathlib.Path.cwd().name)")
    nbformat.write(new_notebook(cells=[code]), path)
    assert notebooks.main([str(path)]) == 0
    nb = nbformat.read(path, as_version=4)
    assert nb.cells[0].outputs[0].text == "book\n"
    assert nb.metadata["executed_code"] == notebooks.code_hash(nb)
    stored = path.read_text()
    assert notebooks.main([str(path)]) == 0
    assert path.read_text() == stored
    assert capsys.readouterr().out.split()[1::2] == ["changed", "same"]


def test_a_notebook_that_fails_is_not_stored(book, capsys):
    path = book / "01_a.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell("1 / 0")]), path)
    before = path.read_text()
    assert notebooks.main([str(path)]) == 1
    assert path.read_text() == before
    assert "ZeroDivisionError" in capsys.readouterr().err


SCRIPT = """
import hashlib, json, pathlib
me = pathlib.Path(__file__)
result = {"script_sha256": hashlib.sha256(me.read_bytes()).hexdigest()}
(me.parents[1] / "book/results" / (me.stem + ".json")).write_text(json.dumps(result))
"""


def test_only_stale_experiments_run(book, monkeypatch, capsys):
    shown = []
    monkeypatch.setattr(experiments, "store_outputs", lambda paths: shown.append(paths) or 0)
    script = book.parent / "experiments/01_a.py"
    script.write_text(SCRIPT)
    assert experiments.main() == 0
    first = (book / "results/01_a.json").read_text()
    assert "01_a.py" in capsys.readouterr().out
    assert experiments.main() == 0
    assert capsys.readouterr().out == "Every result is up to date.\n"
    script.write_text(SCRIPT + "# changed\n")
    assert experiments.main() == 0
    assert json.loads((book / "results/01_a.json").read_text()) != json.loads(first)
    assert len(shown) == 2


def test_an_experiment_that_fails_stops_the_rest(book, capsys):
    for name, text in (("01_a", "raise SystemExit(3)"), ("02_b", SCRIPT)):
        (book.parent / f"experiments/{name}.py").write_text(text)
    assert experiments.main() == 1
    assert not (book / "results/02_b.json").exists()
    assert "01_a.py failed" in capsys.readouterr().out
