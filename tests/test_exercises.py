"""What tools/exercises.py makes of a master: the learners' exercise and the book's page."""

import ast
import json
import os
import re
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output, new_raw_cell
from otter.test_files import ExceptionTestFile

from tools.exercises import (
    EXERCISE_ONLY,
    MASTER_GUARDS,
    broken_message,
    cells_hash,
    definition,
    exercise,
    generated,
    lost_points,
    main,
    moved,
    named_grader,
    open_answer,
    other_grader,
    page,
    placed,
    poor_card,
    questions,
    title,
    uncalled_test,
    without_grader,
    without_marks,
    worked_in,
)
from tools.notebooks import METADATA, ROOT, code_hash, serialise

NAME = "01_neurons"
DEFINITION = f"src/unrolled/grade/definitions/{NAME}.json"

CONFIG = """# ASSIGNMENT CONFIG
name: 01_neurons
init_cell: false
check_all_cell: false
export_cell: false
generate: false
tests:
  files: false
  ok_format: false"""

CARD = """## {i}. {title}

**Easy · {minutes} min · {points}.** Goal: [the section](../book/01_neurons.ipynb#one-neuron).

Write it.

<details><summary>Hint 1</summary>

Look at [the licence](../LICENSE).

</details>
<details><summary>Hint 2</summary>

Look again.

</details>"""

RELU = """def relu(a):
    \"\"\"Return the positive part.\"\"\"
    # BEGIN SOLUTION
    positive = np.maximum(a, 0)
    return positive
    # END SOLUTION"""

TEST = '''""" # BEGIN TEST CONFIG
points: {points}
failure_message: "Look at {name}: the sign."
"""  # END TEST CONFIG


def test_{name}({name}):
    assert {name}(2.0) == 2.0


test_{name}({name})'''

HIDDEN = TEST.replace("{points}", "0\nhidden: true").replace("== 2.0", "== 2.0, 'secret'")
HIDDEN = HIDDEN.replace("test_{name}", "test_{name}_again")


def card(i: int, heading: str, minutes: int, points: str) -> Any:
    return new_markdown_cell(CARD.format(i=i, title=heading, minutes=minutes, points=points))


def master() -> Any:
    """A small master with all that a master may have."""
    cells = [
        new_raw_cell(CONFIG),
        new_markdown_cell("# Exercises 1: Neurons (神经元)\n\nTwo small functions."),
        new_markdown_cell("Run `grader.check`.", metadata={"tags": [EXERCISE_ONLY]}),
        new_code_cell(
            "from unrolled.grade import open_grader\n\ngrader = open_grader('01_neurons')"
        ),
        new_code_cell("import numpy as np\nfrom unrolled.grade import open_grader\n\nx = 1"),
        new_raw_cell("# BEGIN QUESTION\nname: relu\npoints: 2"),
        card(1, "A rectifier (整流)", 10, "2 points"),
        new_code_cell("given = np.ones(3)"),
        new_raw_cell("# BEGIN SOLUTION"),
        new_markdown_cell("Because [it is](../book/notation.md) so.\n\n:::{note}\nYes.\n:::"),
        new_code_cell(RELU),
        new_raw_cell("# END SOLUTION"),
        new_raw_cell("# BEGIN TESTS"),
        new_code_cell(TEST.format(name="relu", points=2)),
        new_code_cell(HIDDEN.format(name="relu")),
        new_raw_cell("# END TESTS"),
        new_raw_cell("# END QUESTION"),
        new_code_cell("relu(3)"),
        new_raw_cell("# BEGIN QUESTION\nname: the_slope\npoints: 1"),
        card(2, "A slope", 5, "1 point"),
        new_raw_cell("# BEGIN SOLUTION"),
        new_code_cell("the_slope = lambda a: a  # SOLUTION"),
        new_raw_cell("# END SOLUTION"),
        new_raw_cell("# BEGIN TESTS"),
        new_code_cell(TEST.format(name="the_slope", points=1).split("TEST CONFIG\n")[-1].strip()),
        new_raw_cell("# END TESTS"),
        new_raw_cell("# END QUESTION"),
        new_markdown_cell("## Your score"),
        new_code_cell("grader.total()"),
    ]
    nb = new_notebook(cells=cells, metadata=deepcopy(METADATA))
    count = 0
    for i, cell in enumerate(cells):
        cell.id = f"cell-{i}"
        if cell.cell_type == "code":
            cell.execution_count = count = count + 1
    shown = next(c for c in cells if c.source == "relu(3)")
    shown.outputs = [new_output("execute_result", {"text/plain": "3"}, execution_count=7)]
    nb.metadata["executed_code"] = code_hash(nb)
    return nb


def find(nb: Any, start: str) -> Any:
    """The cell that begins so."""
    return next(cell for cell in nb.cells if cell.source.startswith(start))


def store(folder: Path, nb: Any) -> Path:
    (folder / "solutions").mkdir(parents=True)
    (folder / "book").mkdir()
    chapter = new_notebook(cells=[new_markdown_cell("Some text.\n\n## One neuron")])
    nbformat.write(chapter, folder / f"book/{NAME}.ipynb")
    path = folder / f"solutions/{NAME}.ipynb"
    path.write_text(serialise(nb), encoding="utf-8")
    return path


def stored_tests(nb: Any) -> dict[str, ExceptionTestFile]:
    """The tests that an exercise carries, as otter reads them."""
    stored = nb.metadata["otter"]["tests"]
    return {name: ExceptionTestFile.from_metadata(text, name) for name, text in stored.items()}


# --- The exercise. ---


def test_the_exercise_says_what_it_asks():
    told = exercise(master(), NAME, ROOT / "solutions").metadata["unrolled"]
    assert told == {
        "exercise": NAME,
        "title": "Neurons",
        "sha256": cells_hash(exercise(master(), NAME, ROOT / "solutions")),
        "questions": [
            {
                "name": "relu",
                "title": "A rectifier (整流)",
                "points": 2,
                "minutes": 10,
                "cells": ["cell-10"],
            },
            {
                "name": "the_slope",
                "title": "A slope",
                "points": 1,
                "minutes": 5,
                "cells": ["cell-21"],
            },
        ],
    }


def test_the_exercise_is_one_that_otter_reads():
    made = exercise(master(), NAME, ROOT / "solutions")
    nbformat.validate(made)
    assert made.metadata["otter"]["assignment_name"] == NAME
    assert made.metadata["otter"]["OK_FORMAT"] is False
    assert set(made.metadata) == {*METADATA, "otter", "unrolled"}
    read = stored_tests(made)
    assert {name: [c.points for c in t.test_cases] for name, t in read.items()} == {
        "relu": [2],
        "the_slope": [1],
    }
    assert read["relu"].test_cases[0].failure_message == "Look at relu: the sign."
    test = read["relu"]
    test.run({"relu": lambda a: a})
    assert test.passed_all
    test.run({"relu": lambda a: -a})
    assert not test.passed_all


def test_the_exercise_holds_no_solution_no_hidden_test_and_no_output():
    made = exercise(master(), NAME, ROOT / "solutions")
    text = serialise(made)
    assert not re.search(r"np\.maximum|positive\b(?! part)|lambda|SOLUTION|Because|secret", text)
    assert not re.search(r"BEGIN|CONFIG", text)
    assert all(c.outputs == [] and c.execution_count is None for c in made.cells if "outputs" in c)
    assert {c.cell_type for c in made.cells} == {"code", "markdown"}


def test_the_answer_cells_are_stubs_that_run():
    made = {cell.id: cell.source for cell in exercise(master(), NAME, ROOT / "solutions").cells}
    assert made["cell-10"].endswith('part."""\n    ...')
    assert made["cell-21"] == "the_slope = ..."
    for source in (made["cell-10"], made["cell-21"]):
        exec(compile(source, "stub", "exec"), {})


def test_each_question_ends_in_its_check_and_its_solution_is_linked_after_the_hints():
    made = exercise(master(), NAME, ROOT / "solutions")
    ids = [cell.id for cell in made.cells]
    assert ids == [
        "cell-1", "cell-2", "cell-3", "cell-4", "cell-6", "cell-7", "cell-10", "check-relu",
        "cell-17", "cell-19", "cell-21", "check-the_slope", "cell-27", "cell-28",
    ]  # fmt: skip
    assert made.cells[ids.index("check-relu")].source == 'grader.check("relu")'
    ends = [c.source.split("</details>")[-1] for c in made.cells if "<details>" in c.source]
    assert ends == [
        f"\n\n[Solution](../book/solutions/{NAME}.ipynb#cell-id=cell-6)",
        f"\n\n[Solution](../book/solutions/{NAME}.ipynb#cell-id=cell-19)",
    ]


def test_a_text_after_the_hints_stays_there():
    nb = master()
    find(nb, "## 2.").source += "\n\nNow write it."
    text = find(exercise(nb, NAME, ROOT / "solutions"), "## 2.").source
    link = f"[Solution](../book/solutions/{NAME}.ipynb#cell-id=cell-19)"
    assert text.endswith(f"{link}\n\nNow write it.")


def test_the_definition_holds_what_grading_needs():
    made = exercise(master(), NAME, ROOT / "solutions")
    text = definition(made)
    assert text.endswith("\n}\n")
    assert "(整流)" in text
    read = json.loads(text)
    assert list(read) == ["exercise", "questions", "tests", "title"]
    assert read["tests"] == made.metadata["otter"]["tests"]
    assert (read["exercise"], read["title"]) == (NAME, "Neurons")
    assert read["questions"] == made.metadata["unrolled"]["questions"]
    assert not re.search(r"np\.maximum|secret", text)


# --- The page. ---


def test_the_page_has_no_trace_of_the_grading():
    text = serialise(page(master(), NAME))
    assert not re.search(r"SOLUTION|TEST|CONFIG|grader|test_|secret|points: ", text)
    assert '"raw"' not in text


def test_the_page_keeps_code_outputs_and_order():
    made = page(master(), NAME)
    nbformat.validate(made)
    assert [c.id for c in made.cells] == [
        "cell-1", "cell-4", "cell-6", "cell-7", "cell-9", "cell-10", "cell-17", "cell-19",
        "cell-21",
    ]  # fmt: skip
    code = [c for c in made.cells if c.cell_type == "code"]
    assert [c.execution_count for c in code] == [1, 2, 3, 4, 5]
    shown = find(made, "relu(3)")
    assert shown.outputs[0].data["text/plain"] == "3"
    assert shown.outputs[0].execution_count == 4
    assert made.metadata == {**METADATA, "executed_code": code_hash(made)}


def test_the_page_folds_the_answers_and_nothing_else():
    made = page(master(), NAME)
    hidden = [c.id for c in made.cells if "hide-input" in c.metadata.get("tags", [])]
    assert hidden == ["cell-10", "cell-21"]
    clicked = [c.metadata["mystnb"] for c in made.cells if c.id in hidden]
    assert [c["code_prompt_show"] for c in clicked] == ["Show the solution"] * 2
    boxed = [c.source for c in made.cells if "<summary>Explanation" in c.source]
    assert boxed == [
        "<details><summary>Explanation</summary>\n\n"
        "Because [it is](../notation.md) so.\n\n:::{note}\nYes.\n:::\n\n</details>"
    ]
    assert find(made, "def relu").source.endswith("(a, 0)\n    return positive")


def test_the_page_keeps_what_stands_beside_the_grader():
    assert page(master(), NAME).cells[1].source == "import numpy as np\n\nx = 1"
    source = "grader = f(\n    1\n)\nx = 1  # stays\ngrader.total()"
    assert without_grader(source) == "x = 1  # stays"


def test_the_page_opens_with_a_note_that_leads_to_the_chapter_and_the_exercise():
    first = page(master(), NAME).cells[0].source
    assert first.startswith("# Exercises 1: Neurons (神经元)\n\n> ")
    assert first.endswith("as you go.\n\nTwo small functions.")
    assert "[Neurons](../01_neurons.ipynb)" in first
    assert '<a href="../../exercises/01_neurons.ipynb">' in first


def test_the_links_of_a_card_are_right_in_both_places():
    on_page = find(page(master(), NAME), "## 1.").source
    assert "](../01_neurons.ipynb#one-neuron)" in on_page
    assert "](../../LICENSE)" in on_page
    assert "[Solution]" not in on_page
    in_exercise = find(exercise(master(), NAME, ROOT / "solutions"), "## 1.").source
    chapter = read(ROOT / "book/01_neurons.ipynb")
    assert f"](../book/01_neurons.ipynb#cell-id={find(chapter, '## One neuron').id})" in in_exercise
    assert "](../LICENSE)" in in_exercise


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[a](../book/01_a.ipynb#b)", "[a](../01_a.ipynb#b)"),
        ("[a](../book/assets/a.png) [b](../book/b.md)", "[a](../assets/a.png) [b](../b.md)"),
        ("[a](../src/a.py)", "[a](../../src/a.py)"),
        ("[a]: ../book/a.md\n[a]", "[a]: ../a.md\n[a]"),
        ('<img src="../book/a.png">', '<img src="../a.png">'),
        ("[a](02_rnn.ipynb)", "[a](02_rnn.ipynb)"),
        ("[a](https://a.example/../book/b)", "[a](https://a.example/../book/b)"),
        ("See ../book/c.", "See ../book/c."),
    ],
)  # fmt: skip
def test_links_are_moved(text: str, expected: str):
    assert moved(text) == expected


def test_marks_go_and_the_solution_stays():
    source = "a = 1  # SOLUTION\nb = 2 # SOLUTION NO PROMPT\n# BEGIN SOLUTION NO PROMPT\nc = 3\n"
    assert without_marks(source + "# END SOLUTION\nd = 4") == "a = 1\nb = 2\nc = 3\nd = 4"
    assert without_marks("# the solution\nx = 1") == "# the solution\nx = 1"


# --- What is wrong with a master is said. ---


def changed(start: str, old: str, new: str) -> Callable[[], Any]:
    """A master in whose cell, which begins so, something is replaced."""

    def make() -> Any:
        nb = master()
        cell = find(nb, start)
        assert old in cell.source
        cell.source = cell.source.replace(old, new)
        return nb

    make.__name__ = f"{start[:12]}-{new[:12]}"
    return make


def without(start: str) -> Callable[[], Any]:
    """A master that lacks a cell."""

    def make() -> Any:
        nb = master()
        nb.cells.remove(find(nb, start))
        return nb

    make.__name__ = f"without {start[:20]}"
    return make


def untagged() -> Any:
    nb = master()
    del find(nb, "Run `grader").metadata["tags"]
    return nb


def worthy_secret() -> Any:
    nb = master()
    cell = next(c for c in nb.cells if "hidden: true" in c.source)
    cell.source = cell.source.replace("points: 0", "points: 1")
    return nb


def text_among_tests() -> Any:
    nb = master()
    nb.cells.insert(nb.cells.index(find(nb, "# BEGIN TESTS")) + 1, new_markdown_cell("Now:"))
    return nb


PLANTED = [
    (poor_card, changed("## 1.", "<details><summary>Hint 2", "<p><summary>Hint 2")),
    (poor_card, changed("## 1.", "../book/01_neurons.ipynb#one-neuron", "../LICENSE")),
    (poor_card, changed("## 1.", "Write it.", "[s](../book/solutions/01_neurons.ipynb)")),
    (poor_card, without("the_slope = ")),
    (open_answer, changed("the_slope = ", "  # SOLUTION", "")),
    (open_answer, changed("given", "np.ones(3)", "np.ones(3)  # SOLUTION")),
    (uncalled_test, changed('"""', "\n\n\ntest_relu(relu)", "")),
    (uncalled_test, changed('"""', "\n\n\ntest_relu(relu)", "\n\n\ntest_relu")),
    (uncalled_test, changed('"""', "\n\n\ntest_relu(relu)", "\n\ntest_other(relu)")),
    (uncalled_test, changed('"""', "\n\n\ntest_relu", "\n\nx = 1\ntest_relu")),
    (uncalled_test, text_among_tests),
    (uncalled_test, changed("\"\"\" # BEGIN TEST CONFIG\npoints: 0", "relu_again", "relu")),
    (broken_message, changed('"""', '"Look at relu: the sign."', "Look at \"relu\".")),
    (broken_message, changed('"""', '"Look at relu: the sign."', r"Look at \sigma.")),
    (lost_points, changed('"""', "points: 2", "points: 1")),
    (lost_points, changed('"""', "points: 2", "points: 3")),
    (lost_points, changed('"""', "points: 2", "points: 2\nhidden: true")),
    (lost_points, worthy_secret),
    (lost_points, without("def test_the_slope")),
    (named_grader, changed("Because", "Because", "`grader`: because")),
    (named_grader, untagged),
    (other_grader, changed("from unrolled.grade", "'01_neurons'", "'02_rnn'")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("guard", "make"), PLANTED, ids=[f"{g.__name__}-{i}" for i, (g, _) in enumerate(PLANTED)]
)
def test_guard_finds_the_planted_fault(guard, make: Callable[[], Any]):
    nb = make()
    assert list(guard(nb))
    assert [p for g in MASTER_GUARDS if g is not guard for p in g(nb)] == []


def test_every_guard_has_a_planted_fault():
    assert {g for g, _ in PLANTED} == set(MASTER_GUARDS)


def test_a_good_master_passes_every_guard():
    assert [p for g in MASTER_GUARDS for p in g(master())] == []


REFUSED = [
    (changed("## 1.", "10 min", "long"), r"'relu'.* card .*'10 min'"),
    (changed("## 1.", "2 points", "much"), r"'relu'.* card .*'2 points'"),
    (changed("## 1.", "2 points", "3 points"), r"'relu' has 2 points, and 3 points on its card"),
    (changed("## 1.", "## 1. ", "## "), r"'relu'.*'## 1\. A title'"),
    (changed("## 2.", "## 2. ", "## 3. "), r"'the_slope'.*'## 2\. A title'"),
    (without("## 2."), r"'the_slope' does not open with a Markdown cell"),
    (changed("# Exercises", "# Exercises 1: ", "# "), r"# Exercises 1: Topic"),
    (without("# ASSIGNMENT"), r"# ASSIGNMENT CONFIG"),
    (changed("# ASSIGNMENT", "01_neurons", "02_rnn"), r"name .* is not 01_neurons"),
    (changed("# ASSIGNMENT", "check_all_cell: false", "check_all_cell: true"), r"otter adds"),
    (changed("# ASSIGNMENT", "init_cell", "no_such_key"), r"no_such_key"),
    (changed("# BEGIN QUESTION\nname: the_slope", "the_slope", "relu"), r"same name"),
    (changed("# BEGIN QUESTION\nname: the_slope", "name", "nom"), r"question has no name"),
    (changed("## 2.", "#one-neuron", "#two-neurons"), r"01_neurons.ipynb has no section #two-"),
    (without("# BEGIN SOLUTION"), r"END SOLUTION.* wrong place, after 'relu'"),
    (without("# END QUESTION"), r"BEGIN QUESTION.* wrong place, after 'relu'"),
    (
        changed('def relu', '    """Return the positive part."""\n    # BEGIN SOLUTION',
                "    # BEGIN SOLUTION NO PROMPT"),
        r"cell-10 is no Python without its solution",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("make", "message"), REFUSED, ids=[m.__name__ for m, _ in REFUSED])
def test_a_wrong_master_is_refused_with_its_name_and_its_fault(tmp_path: Path, make, message):
    path = store(tmp_path, make())
    with pytest.raises(ValueError, match=f"^01_neurons.ipynb: (?s:.*){message}"):
        generated(path)


def test_a_docstring_alone_is_a_stub():
    nb = changed("def relu", "# BEGIN SOLUTION", "# BEGIN SOLUTION NO PROMPT")()
    assert "..." not in find(exercise(nb, NAME, ROOT / "solutions"), "def relu").source


def test_a_block_without_an_end_is_refused(tmp_path: Path):
    nb = master()
    del nb.cells[-4:]
    with pytest.raises(ValueError, match="'the_slope': its block tests has no end"):
        generated(store(tmp_path, nb))


# --- The command. ---


def test_the_command_writes_once_and_leaves_nothing_else(tmp_path: Path, capfd, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    path = store(tmp_path / "project", master())
    assert main(["--check", str(path)]) == 1
    assert main([str(path)]) == 0
    first = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert sorted(str(p.relative_to(tmp_path)) for p in first) == [
        f"project/book/{NAME}.ipynb",
        f"project/book/solutions/{NAME}.ipynb",
        f"project/exercises/{NAME}.ipynb",
        f"project/solutions/{NAME}.ipynb",
        f"project/{DEFINITION}",
    ]
    assert capfd.readouterr().out.split("\n")[3:6] == [
        f"exercises/{NAME}.ipynb: changed",
        f"{DEFINITION}: changed",
        f"book/solutions/{NAME}.ipynb: changed",
    ]
    assert main([str(path)]) == main(["--check", str(path)]) == 0
    out, err = capfd.readouterr()
    assert out.count(": same") == 6
    assert err == ""
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == first


def test_a_private_master_goes_into_no_book(tmp_path: Path, capsys):
    path = store(tmp_path / "project", master())
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    out = tmp_path / "private"
    assert main(["--private", str(out), str(path)]) == 0
    made = {p for p in tmp_path.rglob("*") if p.is_file()} - before.keys()
    assert sorted(str(p.relative_to(out)) for p in made) == [
        f"definitions/{NAME}.json",
        f"handout/{NAME}.ipynb",
        f"handout/{NAME}.json",
    ]
    assert {p: p.read_bytes() for p in before} == before
    handed, checked = (
        (out / folder / f"{NAME}.json").read_text(encoding="utf-8")
        for folder in ("handout", "definitions")
    )
    assert "secret" in checked
    assert "hidden=True" in checked
    for text in (handed, (out / f"handout/{NAME}.ipynb").read_text(encoding="utf-8")):
        assert "secret" not in text
        assert "[Solution]" not in text
    assert main(["--private", str(out), str(path)]) == 0
    assert capsys.readouterr().out.count(": same") == 3


def test_a_private_master_whose_answer_fails_a_hidden_test_is_refused(tmp_path: Path, capsys):
    nb = master()
    cell = next(cell for cell in nb.cells if "secret" in cell.source)
    cell.source = cell.source.replace("(2.0) == 2.0", "(-2.0) == 2.0")
    path = store(tmp_path / "project", nb)
    assert main(["--private", str(tmp_path / "private"), str(path)]) == 1
    assert "its own answer to 'relu' fails: secret" in capsys.readouterr().err
    assert not (tmp_path / "private").exists()


def test_private_work_is_not_written_over(tmp_path: Path, capsys):
    path = store(tmp_path / "project", master())
    out = tmp_path / "private"
    main(["--private", str(out), str(path)])
    handout = out / f"handout/{NAME}.ipynb"
    handout.write_text(handout.read_text(encoding="utf-8").replace("...", "pass"), encoding="utf-8")
    assert main(["--private", str(out), str(path)]) == 1
    assert "not written over somebody's work" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [["--private", "x"], ["--private", "x", "--check", "y.ipynb"]])
def test_private_needs_masters(argv: list[str], capsys):
    with pytest.raises(SystemExit):
        main(argv)
    assert "--private needs masters, and no --check" in capsys.readouterr().err


def test_the_command_names_a_wrong_master_and_writes_the_others(tmp_path: Path, capsys):
    good = store(tmp_path / "a", master())
    wrong = store(tmp_path / "b", without("## 2.")())
    assert main([str(wrong), str(good)]) == 1
    assert "01_neurons.ipynb: question 'the_slope' does not open" in capsys.readouterr().err
    assert (tmp_path / f"a/exercises/{NAME}.ipynb").exists()
    assert not (tmp_path / "b/exercises").exists()


def typed(nb: Any) -> None:
    find(nb, "the_slope").source = "the_slope = my_own"


def added(nb: Any) -> None:
    nb.cells.append(new_code_cell("my_own = 1"))


def ran(nb: Any) -> None:
    find(nb, "the_slope").execution_count = 1


def printed(nb: Any) -> None:
    find(nb, "the_slope").outputs = [new_output("stream", text="1")]


def lost(nb: Any) -> None:
    del nb.metadata["unrolled"]


def stored_exercise(tmp_path: Path) -> tuple[Path, Path]:
    """A master and its exercise, as the command has made it."""
    path = store(tmp_path, master())
    assert main([str(path)]) == 0
    return path, tmp_path / f"exercises/{NAME}.ipynb"


@pytest.mark.parametrize("work", [typed, added, ran, printed, lost])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_the_command_writes_over_nobodys_work(tmp_path: Path, capsys, work, encoding: str):
    path, target = stored_exercise(tmp_path)
    nb = read(target)
    work(nb)
    target.write_text(serialise(nb), encoding=encoding)
    before = target.read_bytes()
    assert main([str(path)]) == 1
    assert capsys.readouterr().err == (
        f"exercises/{NAME}.ipynb: not written over somebody's work; move it away\n"
    )
    assert target.read_bytes() == before
    target.unlink()
    assert main([str(path)]) == 0


@pytest.mark.parametrize(
    "contents",
    [b"", b"3", b'{"cells": [', b"\xff", b'{"nbformat": 4, "nbformat_minor": 5}', b"<<<<<<< HEAD"],
)
def test_the_command_writes_over_nothing_that_it_cannot_read(tmp_path: Path, capsys, contents):
    path, target = stored_exercise(tmp_path)
    target.write_bytes(contents)
    assert main([str(path)]) == 1
    err = capsys.readouterr().err.splitlines()
    assert err[-1].startswith(f"exercises/{NAME}.ipynb: cannot be read as a notebook, so it is not")
    assert target.read_bytes() == contents


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_an_untouched_exercise_follows_its_master(tmp_path: Path, encoding: str):
    path, target = stored_exercise(tmp_path)
    target.write_text(target.read_text(encoding="utf-8"), encoding=encoding)
    path.write_text(serialise(changed("given", "np.ones(3)", "np.ones(4)")()), encoding="utf-8")
    assert main([str(path)]) == 0
    assert "np.ones(4)" in target.read_text(encoding="utf-8")
    assert main(["--check", str(path)]) == 0


# --- The exercises of the course. ---

MASTERS = sorted(ROOT.glob("solutions/*.ipynb"))
each_master = pytest.mark.parametrize("path", MASTERS, ids=lambda p: p.stem)


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


@pytest.mark.parametrize(
    "files",
    ["exercises/*.ipynb", "book/solutions/*.ipynb", "src/unrolled/grade/definitions/*.json"],
)
def test_every_exercise_page_and_definition_has_its_master(files: str):
    names = {p.stem for p in ROOT.glob(files)}
    assert names == {p.stem for p in MASTERS}, "run 'make exercises', or delete what has no master"


@each_master
def test_what_is_stored_is_what_the_master_gives(path: Path):
    ours = []
    for target, text in generated(path).items():
        # A learner works in the clone, and `make test` is theirs as well.
        if "CI_RUN" not in os.environ and "exercises" in target.parts and worked_in(target):
            ours.append(target.name)
            continue
        assert target.read_bytes() == text.encode(), f"run 'make exercises': {target.name}"
    if ours:
        pytest.skip(f"somebody has worked in exercises/{ours[0]}")


@each_master
def test_the_exercise_has_the_tests_of_its_master(path: Path):
    nb, made = read(path), read(ROOT / f"exercises/{path.name}")
    read_tests = stored_tests(made)
    assert made.metadata["unrolled"]["title"] == title(nb)
    assert sorted(read_tests) == sorted(q["name"] for q in questions(nb))
    for question in questions(nb):
        cells = [c for c, q, b in placed(nb) if (q, b) == (question["name"], "tests")]
        open_cells = [c for c in cells if not re.search(r"^hidden: *true", c.source, re.MULTILINE)]
        cases = read_tests[question["name"]].test_cases
        assert len(cases) == len(open_cells) > 0
        assert sum(case.points for case in cases) == pytest.approx(question["points"])


@each_master
def test_no_line_of_a_solution_is_left_in_its_answer_cell(path: Path):
    nb, made = read(path), read(ROOT / f"exercises/{path.name}")
    stubs = {c.id: c.source for c in made.cells}
    assert "SOLUTION" not in json.dumps(made.cells)
    for question in questions(nb):
        for cell in (c for c in nb.cells if c.id in question["cells"]):
            assert stubs[cell.id] != without_marks(cell.source)
            for block in re.findall(
                r"# BEGIN SOLUTION\n(.*?)# END SOLUTION", cell.source, re.DOTALL
            ):
                left = set(stubs[cell.id].split("\n")) & set(block.rstrip(" ").split("\n"))
                assert {line for line in left if line.strip()} == set()


@each_master
def test_the_links_of_an_exercise_lead_somewhere(path: Path):
    made = read(ROOT / f"exercises/{path.name}")
    texts = [cell.source for cell in made.cells if cell.cell_type == "markdown"]
    links = [found for text in texts for found in re.findall(r"\]\(([^):\s#]+)#?([^)\s]*)\)", text)]
    assert links
    for target, section in links:
        path = ROOT / "exercises" / target
        assert path.exists(), target
        if section:
            assert section in {f"cell-id={cell.id}" for cell in read(path).cells}


@each_master
def test_the_page_runs_the_code_of_its_master(path: Path):
    """Its outputs are the master's, so it need not be executed again."""

    def statements(source: str) -> list[str]:
        return [d for s in ast.parse(source).body if "grader" not in (d := ast.dump(s))]

    by_id = {cell.id: cell for cell in read(path).cells}
    code = [c for c in read(ROOT / f"book/solutions/{path.name}").cells if c.cell_type == "code"]
    assert code
    for cell in code:
        source = by_id[cell.id].source
        assert statements(cell.source) == statements(source) != []
        for ours, theirs in zip(cell.outputs, by_id[cell.id].outputs, strict=True):
            assert {**ours, "execution_count": 0} == {**theirs, "execution_count": 0}
