"""The real exercises, graded as a learner's are: full marks for the solutions, nothing before."""

import json
import os
import re
import secrets
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest

from tools.exercises import generated, is_code, worked_in
from tools.notebooks import ROOT
from unrolled.checks import drawn_with
from unrolled.grade import Report, grade_notebook, load_exercise
from unrolled.grade.exercises import run_question

NAMES = sorted(path.stem for path in ROOT.glob("exercises/*.ipynb"))


@cache
def untouched(name: str) -> str:
    """The stored exercise; where somebody has worked in it, what its master gives."""
    stored = ROOT / f"exercises/{name}.ipynb"
    if worked_in(stored):
        return generated(ROOT / f"solutions/{name}.ipynb")[stored]
    return stored.read_text(encoding="utf-8")


def exercise(name: str) -> Any:
    return nbformat.reads(untouched(name), as_version=4)


def solved_page(name: str) -> Any:
    return nbformat.read(ROOT / f"book/solutions/{name}.ipynb", as_version=4)


def solved(name: str) -> Any:
    """The exercise with the answers of the solution page in its answer cells."""
    answers = {cell.id: cell.source for cell in solved_page(name).cells}
    nb = exercise(name)
    for question in nb.metadata.unrolled.questions:
        for cell in nb.cells:
            if cell.id in question.cells:
                cell.source = answers[cell.id]
    return nb


def graded(nb: Any, folder: Path) -> Report:
    # A browser's name for a second download: the exercise is known by its metadata.
    path = folder / "homework (1).ipynb"
    nbformat.write(nb, path)
    return grade_notebook(path)


@pytest.mark.parametrize("name", NAMES)
def test_the_solutions_score_full_marks(name: str, tmp_path: Path):
    report = graded(solved(name), tmp_path)
    assert [o.message for o in report.outcomes] == [""] * len(report.outcomes)
    assert report.score == report.possible


@pytest.mark.parametrize("name", NAMES)
def test_an_untouched_exercise_scores_nothing_and_says_what_is_to_be_written(
    name: str, tmp_path: Path
):
    report = graded(exercise(name), tmp_path)
    assert [o.score for o in report.outcomes] == [0] * len(report.outcomes)
    for outcome in report.outcomes:
        assert re.search("in place of the dots|replace the dots", outcome.message), outcome.message
        assert "Hint" not in outcome.message  # it would give away what nobody has tried yet
        assert "its cell failed" not in outcome.message


def answers(nb: Any, question: Any, namespace: dict[str, Any]) -> dict[str, Any]:
    """The names that the answer cells of a question define, on top of a namespace."""
    namespace = dict(namespace)
    for cell in nb.cells:
        if cell.id in question.cells:
            exec(cell.source, namespace)
    return namespace


@pytest.mark.parametrize("name", NAMES)
def test_each_question_is_earned_by_its_own_answer_alone(name: str):
    """With the answer of one question taken out, that question is lost, and no other."""
    whole, bare = solved(name), exercise(name)
    imports = next(cell.source for cell in whole.cells if is_code(cell))
    namespace: dict[str, Any] = {}
    exec(imports, namespace)
    for question in whole.metadata.unrolled.questions:
        namespace = answers(whole, question, namespace)
    for question in whole.metadata.unrolled.questions:
        without = answers(bare, question, namespace)
        scores = {q.name: run_question(q, without) for q in load_exercise(name).questions}
        assert scores[question.name].score == 0
        assert [n for n, o in scores.items() if not o.passed] == [question.name]


@pytest.mark.parametrize("name", NAMES)
def test_a_teachers_own_numbers_change_no_grade(name: str):
    """Full marks for the solutions whatever the seed, and other numbers than the notebook's."""
    nb, namespace = solved(name), dict[str, Any]()
    exec(next(cell.source for cell in nb.cells if is_code(cell)), namespace)
    for question in nb.metadata.unrolled.questions:
        namespace = answers(nb, question, namespace)
    for seed in (1, 2**31 - 1, secrets.randbelow(2**31)):
        with drawn_with(seed):
            outcomes = [run_question(q, namespace) for q in load_exercise(name).questions]
        assert [(o.name, o.message) for o in outcomes if not o.passed] == [], seed


@pytest.mark.parametrize("name", NAMES)
def test_an_exercise_has_the_size_that_a_chapter_promises(name: str):
    questions = load_exercise(name).questions
    assert 5 <= len(questions) <= 8
    points, minutes = (sum(getattr(q, k) for q in questions) for k in ("points", "minutes"))
    assert 10 <= points <= 20
    chapter = nbformat.read(ROOT / f"book/{name}.ipynb", as_version=4)
    (section,) = (c.source for c in chapter.cells if c.source.startswith("## Exercises"))
    intro = next(c.source for c in exercise(name).cells if c.source.startswith("# Exercises"))
    for text in (section, intro):
        assert (
            re.search(r"\b(\w+) questions", text)[1]
            == ({5: "Five", 6: "Six", 7: "Seven", 8: "Eight"}[len(questions)])
        )
        assert f"{points:g} points" in text
        hours = {2: "one hour", 4: "two hours", 5: "two and a half hours", 6: "three hours"}
        assert f"about {hours[round(minutes / 30)]}" in text
    assert f"(solutions/{name}.ipynb)" in section


@pytest.mark.parametrize("name", NAMES)
def test_the_untouched_exercise_runs_in_jupyter_without_an_error(name: str):
    """Whoever runs all cells first sees checks that ask for an answer, and no traceback."""
    code = "\n\n".join(cell.source for cell in exercise(name).cells if is_code(cell))
    environment = {**os.environ, "MPLBACKEND": "Agg"}
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT / "exercises", env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr


def test_the_command_that_the_course_names_prints_the_json_that_it_promises(tmp_path: Path):
    path = tmp_path / "mine.ipynb"
    nb = solved(NAMES[0])
    first = nb.metadata.unrolled.questions[0]
    for cell in nb.cells:
        if cell.id in first.cells:
            cell.source = "syntax error here"
    nbformat.write(nb, path)
    run = subprocess.run(
        [sys.executable, "-m", "unrolled.grade", str(path), "--json"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    report = json.loads(run.stdout)
    assert list(report) == ["file", "score", "possible", "questions"]
    assert report["file"] == str(path)
    assert report["possible"] - report["score"] == first.points
    assert [list(q) for q in report["questions"]] == [
        ["name", "score", "possible", "message"] for _ in nb.metadata.unrolled.questions
    ]
    assert "SyntaxError" in report["questions"][0]["message"]
    assert report["score"] == sum(q["score"] for q in report["questions"])


def test_the_numbers_in_the_explanations_are_those_of_the_solutions():
    two, ten = (float(w * h - np.arctanh(h)) for w in (2, 10) for h in [np.sqrt(1 - 1 / w)])
    assert (round(two, 2), round(ten, 1), round(ten / two)) == (0.53, 7.7, 14)
    assert (9 * 32 + 32 * 32 + 2 * 32, 32 + 1, 9 * 32) == (1376, 33, 288)
    assert round(np.tanh(3.0), 3) == 0.995
    rest = 1.0
    for _ in range(100):
        rest = np.tanh(10 * rest)
    assert 0.5e-7 < 10 * (1 - rest**2) < 2e-7
    text = "".join(cell.source for cell in solved_page("02_rnn").cells)
    for said in ("0.53", "7.7", "fourteen", "1376", "= 288$", "= 0.995$", "$10^{-7}$"):
        assert said in text


# --- What learners do, and what must not cost them what they have earned. ---


def lines(*sources: str) -> list[str]:
    return list(sources)


def changed(name: str, question: str = "", answer: list[str] | None = None, extra: str = "") -> Any:
    """The solved exercise with other answers to a question, or with a cell more at its start."""
    nb = solved(name)
    asked = {q.name: q.cells for q in nb.metadata.unrolled.questions}
    for key, source in zip(asked.get(question, []), answer or [], strict=False):
        (cell,) = (c for c in nb.cells if c.id == key)
        cell.source = source
    if extra:
        nb.cells.insert(3, nbformat.v4.new_code_cell(extra))
    return nb


NAMEDTUPLE = """
from collections import namedtuple

Cache = namedtuple("Cache", "W x h")


def tanh_layer_forward(params, x):
    h = np.tanh(x @ params.W.T + params.b)
    return h, Cache(params.W, x, h)
"""
BY_NAME = """
def tanh_layer_backward(cache, dh):
    da = dh * (1.0 - cache.h**2)
    return da @ cache.W, Linear(da.T @ cache.x, da.sum(axis=0))
"""


@pytest.mark.parametrize(
    ("name", "question", "answer", "extra"),
    [
        ("01_neurons", "training_step", lines("wrong_after_step = frozenset({'W1', 'b1'})"), ""),
        ("01_neurons", "training_step", lines("wrong_after_step = np.array(['W1', 'b1'])"), ""),
        ("01_neurons", "learning_rate",
         lines("from fractions import Fraction\nrate_factor = Fraction(1, 100)"), ""),
        ("01_neurons", "tanh_layer", lines(NAMEDTUPLE, BY_NAME), ""),
        ("01_neurons", "", None, "np.seterr(all='raise')"),
        ("01_neurons", "", None, "import warnings; warnings.simplefilter('error')"),
        ("01_neurons", "", None, "import os\nif os.fork() == 0:\n    me = 'the child'"),
        ("01_neurons", "", None, "import os; os.kill(os.getpid(), 40)"),  # a real-time signal
        ("01_neurons", "", None, "def log_sigmoid(a):\nreturn a"),  # a scrap before the answer
        ("01_neurons", "", None, "interpolate(1)"),
    ],
)  # fmt: skip
def test_what_does_not_matter_costs_nothing(name, question, answer, extra, tmp_path: Path):
    report = graded(changed(name, question, answer, extra), tmp_path)
    assert [o.message for o in report.outcomes if o.message] == []
    assert report.score == report.possible


HANGS = "def resting_state(w):\n    while True:\n        pass"


def test_a_function_that_hangs_costs_its_own_points_alone(tmp_path: Path):
    nb = changed("02_rnn", "switch", lines(HANGS))
    # The cell that measures would hang as well, and is not asked.
    for cell in nb.cells:
        if "def pushed" in cell.source:
            cell.source = ""
    path = tmp_path / "mine.ipynb"
    nbformat.write(nb, path)
    report = grade_notebook(path, time_limit=2)
    scores = {o.name: (o.score, o.possible) for o in report.outcomes}
    assert scores.pop("switch") == (2, 3)
    assert all(score == possible for score, possible in scores.values())


def test_what_was_earned_stays_when_python_cannot_start_again(tmp_path: Path):
    folder = tmp_path / "gone"
    folder.mkdir()
    nb = solved("01_neurons")
    removes = "import os, shutil\nshutil.rmtree(os.getcwd())"
    nb.cells += [nbformat.v4.new_code_cell(removes), nbformat.v4.new_code_cell("os._exit(3)")]
    last = nb.metadata.unrolled.questions[-1]
    nb.cells = [c for c in nb.cells if c.id not in last.cells]
    report = graded(nb, folder)
    assert report.score == report.possible - last.points
    assert not next(o for o in report.outcomes if o.name == last.name).passed


@pytest.mark.parametrize(
    ("name", "question", "answer"),
    [
        ("02_rnn", "first_symbol",
         "def first_symbol_network(V):\n    W, b = np.zeros((1000, V)), np.zeros(1000)\n    return "
         "(Recurrent(W, np.zeros((1000, 1000)), b, b), Linear(W.T, np.zeros(V)))"),
        ("01_neurons", "interpolate",
         "def interpolate(xs, ys):\n    H = 50_000\n    return ("
         "Linear(np.ones((H, 1)), np.zeros(H)), Linear(np.zeros((1, H)), ys[:1]))"),
    ],
)  # fmt: skip
def test_a_network_of_any_size_takes_no_time_of_the_grader(name, question, answer, tmp_path: Path):
    outcomes = graded(changed(name, question, lines(answer)), tmp_path).outcomes
    (outcome,) = (o for o in outcomes if o.name == question)
    assert re.search(r"at most \d+ are allowed", outcome.message)
    assert all(o.passed for o in outcomes if o.name != question)
