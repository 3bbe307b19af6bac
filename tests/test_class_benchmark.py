"""`make bench-class`: a class made of the masters, graded twice, and what is written of it."""

import csv
import re
from pathlib import Path

import pytest

from benchmarks import class_grading
from tests.test_grade_sandbox import box  # noqa: F401, a fixture
from tools.notebooks import ROOT


def test_a_class_has_every_exercise_and_is_the_same_for_a_seed(tmp_path: Path):
    for folder in ("a", "b"):
        class_grading.make_class(tmp_path / folder, 20, seed=3)
    first, second = (
        {str(p.relative_to(tmp_path / f)): p.read_bytes() for p in (tmp_path / f).rglob("*.ipynb")}
        for f in ("a", "b")
    )
    assert first == second
    assert len(first) == 20
    names = {path.stem for path in ROOT.glob("exercises/*.ipynb")}
    assert {Path(file).stem for file in first} == names
    stuck = [file for file, data in first.items() if b'"while True:\\n' in data]
    assert [Path(file).parent.name for file in stuck] == ["student_019"]


def test_the_same_submissions_get_the_same_grades_twice(tmp_path: Path, box):  # noqa: F811
    class_grading.main(["--submissions", "3", "--out", str(tmp_path / "CLASS.md")])
    text = (tmp_path / "CLASS.md").read_text(encoding="utf-8")
    assert "3 submissions for 3 exercises, 2 at a time, 0 of them with an endless loop" in text
    assert re.search(r"^\| seconds of CPU \| \d+\.\d \| \d+\.\d \| \d+\.\d \|$", text, re.MULTILINE)
    assert "the grades were the same" in text


def test_two_grades_for_one_notebook_are_noticed(tmp_path: Path, monkeypatch):
    totals = iter(["18", "17"])

    def grade(folder: Path, table: Path, jobs: int) -> dict[str, float]:
        with table.open("w", encoding="utf-8-sig", newline="") as file:
            rows = csv.DictWriter(file, ["student", "file", "total", "seconds"])
            rows.writeheader()
            rows.writerow({"student": "student_000", "file": "student_000/01_neurons.ipynb",
                           "total": next(totals), "seconds": "1"})  # fmt: skip
        return {"seconds": 1.0, "memory": 1}

    monkeypatch.setattr(class_grading, "grade", grade)
    with pytest.raises(RuntimeError, match="two grades for the same notebook"):
        class_grading.measure(1, 1)


def test_the_stored_numbers_are_of_a_whole_class():
    text = (ROOT / "benchmarks/CLASS.md").read_text(encoding="utf-8")
    exercises = len(list(ROOT.glob("exercises/*.ipynb")))
    assert f"200 submissions for {exercises} exercises" in text
    cost = float(re.search(r"A submission cost (\d+\.\d) seconds of CPU", text)[1])
    assert cost <= 5
