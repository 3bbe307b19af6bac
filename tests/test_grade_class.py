"""A class's submissions: each is found, graded once and alone, and none is lost."""

import csv
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

import unrolled
from tests.test_grade import GOOD, STUBS, answered, code, define, notebook, write
from unrolled.grade import GradeError, batch
from unrolled.grade.__main__ import main
from unrolled.grade.errors import Status
from unrolled.grade.gradebook import Journal, cell, summary, write_table, write_text
from unrolled.grade.sandbox import Sandbox, exposed_by
from unrolled.grade.submissions import LARGEST, find_submissions, read_submission, student_of
from unrolled.grade.worker import SOCKET, Settings, Workers

OPEN = Sandbox(None, None)  # these tests are about the class; test_grade_sandbox.py has the box
PARTLY = GOOD | {"relu": "def relu(x):\n    return 0.0 if x < 0 else x"}  # its second check fails


@pytest.fixture(scope="module")
def definitions(tmp_path_factory):
    folder = tmp_path_factory.mktemp("teacher")
    define(folder)
    define(folder, "02_next")
    return folder / "definitions"


@pytest.fixture
def hand_in(tmp_path):
    """Write a notebook of these answers, or contents as they are, into the class's folder."""

    def written(file: str, answers: Any = GOOD, name: str = "01_small") -> Path:
        path = tmp_path / "class" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(answers, bytes):
            path.write_bytes(answers)
            return path
        return write(path, notebook(answered(answers), name))

    return written


@pytest.fixture
def grade(tmp_path, definitions):
    """Grade the class; return the table's rows by their file."""

    def graded(**settings: Any) -> dict[str, dict[str, str]]:
        given = {"sandbox": lambda: OPEN, "definitions": definitions, "jobs": 2} | settings
        graded.code = batch.grade_class(tmp_path / "class", tmp_path / "grades.csv", **given)
        return rows(tmp_path / "grades.csv")

    return graded


def rows(path: Path) -> dict[str, dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return {row["file"]: row for row in csv.DictReader(file)}


def report(path: Path) -> dict[str, Any]:
    return json.loads(path.with_name(f"{path.name}.grade.json").read_text(encoding="utf-8"))


# --- The table. ---


def test_a_row_and_a_report_for_each_submission(hand_in, grade, capsys):
    hand_in("wang/homework.ipynb")
    partly = hand_in("李/homework.ipynb", PARTLY)
    hand_in("01_small_chen.ipynb", STUBS, "01_small")
    hand_in("zhao/next.ipynb", GOOD, "02_next")
    found = grade(seed=3)
    assert grade.code == 0
    assert list(found) == ["01_small_chen.ipynb", "wang/homework.ipynb", "zhao/next.ipynb",
                           "李/homework.ipynb"]  # fmt: skip
    row = found["李/homework.ipynb"]
    assert {key: row[key] for key in row if not key.startswith("02_next")} == {
        "student": "李", "exercise": "01_small", "total": "2.5", "possible": "3.5",
        "status": "ok", "seconds": row["seconds"], "01_small.relu": "1", "01_small.draw": "1",
        "01_small.answer": "0.5", "file": "李/homework.ipynb", "message": "",
    }  # fmt: skip
    assert 0 < float(row["seconds"]) < 60
    assert row["02_next.relu"] == ""
    assert found["zhao/next.ipynb"]["02_next.relu"] == "2"
    assert [found[f]["total"] for f in found] == ["0", "3.5", "3.5", "2.5"]
    written = report(partly)
    assert (written["score"], written["possible"], written["status"]) == (2.5, 3.5, "ok")
    assert written["questions"][0]["message"] == "ValueError: The truth value of an array with " \
        "more than one element is ambiguous. Use a.any() or a.all() " \
        "(in your line: return 0.0 if x < 0 else x)"  # fmt: skip
    assert written["cpu"] > 0
    assert "seed" not in written
    told = capsys.readouterr().out
    assert "4 submissions, 0 of them graded before" in told
    assert "status: 4 ok" in told
    assert "01_small: 3 graded, of 3.5 points: mean 2.0, median 2.5, from 0 to 3.5" in told
    assert re.search(r"hardest questions.*\n  01_small relu +50%\n", told)


def test_files_that_are_no_notebooks_get_a_status_and_stop_nobody(hand_in, grade, capsys):
    hand_in("ann.ipynb")
    hand_in("half.ipynb", json.dumps(notebook(answered(GOOD))).encode()[:500])
    hand_in("latin.ipynb", json.dumps(notebook(answered(GOOD))).encode() + b"\xe9")
    hand_in("empty.ipynb", b"")
    hand_in("large.ipynb", b" " * (LARGEST + 1))
    hand_in("what.ipynb", GOOD, "99_unknown")
    hand_in("none.ipynb", json.dumps({"nbformat": 4, "metadata": {}, "cells": []}).encode())
    hand_in("next.ipynb", GOOD, "02_next")
    hand_in("link.ipynb").unlink()
    folder = hand_in("dir.ipynb/ben.ipynb").parent
    (folder.parent / "link.ipynb").symlink_to(folder.parent / "ann.ipynb")
    os.mkfifo(folder.parent / "pipe.ipynb")
    (folder.parent / "carl").mkdir()
    hand_in("carl/homework.pdf", b"%PDF")
    start = time.monotonic()
    found = grade(exercise="01_small")
    assert time.monotonic() - start < 60
    assert {file: row["status"] for file, row in found.items()} == {
        "ann.ipynb": "ok", "half.ipynb": "not a notebook", "latin.ipynb": "not a notebook",
        "empty.ipynb": "not a notebook", "large.ipynb": "too large", "what.ipynb":
        "other exercise", "none.ipynb": "no exercise", "next.ipynb": "other exercise",
        "link.ipynb": "a link", "dir.ipynb/ben.ipynb": "ok", "pipe.ipynb": "not readable",
        "carl": "no notebook",
    }  # fmt: skip
    assert grade.code == 1
    assert [row["total"] for row in found.values() if row["status"] == "ok"] == ["3.5", "3.5"]
    assert {row["total"] for row in found.values() if row["status"] != "ok"} == {""}
    told = capsys.readouterr().out
    assert "link.ipynb: a link: is a link; hand in the notebook itself" in told
    assert "Left out, as no notebooks: carl/homework.pdf" in told


def test_what_is_stopped_keeps_what_it_has_earned(hand_in, grade):
    hand_in("loop.ipynb", GOOD | {"draw": "def draw(n, *, rng):\n    while True:\n        pass"})
    hand_in("ends.ipynb", GOOD | {"relu": "import os\n\ndef relu(x):\n    os._exit(3)"})
    hand_in("right.ipynb")
    found = grade(time_limit=3.0)
    assert [(row["file"], row["total"], row["status"]) for row in found.values()] == [
        ("ends.ipynb", "1.5", "crashed"),
        ("loop.ipynb", "2.5", "timeout"),
        ("right.ipynb", "3.5", "ok"),
    ]


def test_a_whole_notebook_has_a_limit_too(hand_in, grade):
    slow = {name: f"{source}\nimport time\ntime.sleep(1.4)" for name, source in GOOD.items()}
    many = [code("import time\ntime.sleep(1.4)")] * 9
    path = hand_in("slow.ipynb", slow)
    write(path, notebook([*answered(GOOD), *many]))
    row = grade(time_limit=2.0)["slow.ipynb"]
    assert (row["total"], row["status"]) == ("3.5", "timeout")
    assert float(row["seconds"]) < 30


def test_a_grader_that_dies_or_hangs_costs_one_grade(definitions, tmp_path, monkeypatch):
    """What no submission should be able to do: the table is there all the same."""
    folder = tmp_path / "definitions"
    folder.mkdir()
    contents = json.loads((definitions / "01_small.json").read_text(encoding="utf-8"))
    dies = "    import os; os._exit(1)\n    got = relu(-2.0)"
    contents["tests"]["relu"] = contents["tests"]["relu"].replace("    got = relu(-2.0)", dies)
    assert "os._exit" in contents["tests"]["relu"]
    write(folder / "01_small.json", contents)
    data = json.dumps(notebook(answered(GOOD))).encode()
    workers = Workers(Settings(OPEN, 5.0, "", folder, 1), 1)
    found = workers.grade(data)
    assert found["status"] == "not graded"
    contents["tests"]["answer"] = contents["tests"]["answer"].replace(
        "    assert answer == 42", "    import time; time.sleep(100)\n    assert answer == 42"
    )
    contents["tests"]["relu"] = contents["tests"]["relu"].replace("import os; os._exit(1)", "pass")
    write(folder / "01_small.json", contents)
    monkeypatch.setattr("unrolled.grade.worker.GRACE", -20.0)
    found = workers.grade(data)
    assert found["status"] == "timeout"
    assert [(q["name"], q["score"]) for q in found["questions"]] == [
        ("relu", 2.0), ("draw", 1.0), ("answer", 0.0),
    ]  # fmt: skip
    assert found["questions"][2]["message"] == "was not reached"


@pytest.mark.parametrize("greedy", [True, False])
def test_who_ran_out_of_time_beside_a_greedy_one_is_graded_again_alone(
    hand_in, grade, monkeypatch, greedy
):
    for name in ("ann", "hog", "zoe"):  # spaces tell them apart
        path = hand_in(f"{name}.ipynb")
        path.write_text(path.read_text() + " " * ord(name[0]))
    order: list[bytes] = []

    def graded(self: Workers, data: bytes) -> dict[str, Any]:
        first = data not in order
        order.append(data)
        points = 0 if first else 3.5
        question = {"name": "relu", "score": points, "possible": 3.5, "message": ""}
        hog = data.endswith(b" " * ord("h")) and not data.endswith(b" " * ord("z"))
        taken = {"greedy": hog and greedy, "short": False}
        status = "timeout" if first else "ok"
        return {"exercise": "01_small", "status": status, "questions": [question]} | taken

    monkeypatch.setattr(Workers, "grade", graded)
    monkeypatch.setattr(batch, "as_completed", list)  # in their order
    found = grade(jobs=2)
    statuses = {file: (row["status"], row["total"]) for file, row in found.items()}
    again = ("ok", "3.5") if greedy else ("timeout", "0")
    assert statuses == {
        "ann.ipynb": again, "hog.ipynb": ("timeout", "0"), "zoe.ipynb": again
    }  # fmt: skip
    assert len(order) == (5 if greedy else 3)
    assert grade(jobs=2) == found
    assert len(order) == (5 if greedy else 3)


def test_what_a_submission_leaves_behind_costs_nobody_a_point(
    hand_in, grade, tmp_path, monkeypatch
):
    deep = "import os\nfor _ in range(1500):\n    os.mkdir('d')\n    os.chdir('d')\n"
    hand_in("ann.ipynb", {"deep": deep} | GOOD)
    hand_in("ben.ipynb", {"shut": "import os\nos.mkdir('d', 0)\nos.chmod('.', 0)"} | GOOD)
    hand_in("carl.ipynb")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(Sandbox, "clear", lambda self: 1 / 0)  # whatever happens there
    assert [row["total"] for row in grade(jobs=1).values()] == ["3.5"] * 3
    assert not list(tmp_path.glob("unrolled-*"))


def test_what_says_nothing_of_a_submission_is_not_kept(hand_in, grade, monkeypatch):
    hand_in("ann.ipynb")
    with monkeypatch.context() as patch:
        patch.setattr(Workers, "grade", lambda *_: 1 / 0)
        row = grade()["ann.ipynb"]
        assert row["status"] == "not graded"
        assert row["message"] == "ZeroDivisionError: division by zero"
    assert grade()["ann.ipynb"]["total"] == "3.5"


def test_what_submissions_could_read_is_refused(hand_in, definitions, tmp_path, monkeypatch):
    hand_in("ann.ipynb")
    package = Path(unrolled.__file__).parent
    inside = package / "grade/definitions/own"
    assert exposed_by(inside) == str(package)
    assert exposed_by(package / "grade/definitions") == ""
    assert exposed_by(tmp_path) == ""
    monkeypatch.setattr("unrolled.grade.sandbox.visible", lambda: [str(package), str(tmp_path)])
    with pytest.raises(GradeError, match="which submissions can read; move it"):
        batch.grade_class(
            tmp_path / "class", tmp_path / "g.csv", definitions=definitions,
            sandbox=lambda: Sandbox("bwrap", None),
        )  # fmt: skip


# --- Again. ---


def test_only_what_is_new_or_changed_is_graded_again(hand_in, grade, capsys):
    hand_in("ann.ipynb")
    hand_in("ben.ipynb")
    first = grade()
    assert "2 submissions, 0 of them graded before" in capsys.readouterr().out
    hand_in("ben.ipynb", PARTLY)
    hand_in("carl.ipynb")
    again = grade()
    assert "3 submissions, 1 of them graded before" in capsys.readouterr().out
    assert again["ann.ipynb"] == first["ann.ipynb"]
    assert (first["ben.ipynb"]["total"], again["ben.ipynb"]["total"]) == ("3.5", "2.5")
    assert list(again) == ["ann.ipynb", "ben.ipynb", "carl.ipynb"]


def test_another_grader_grades_all_again(hand_in, grade, tmp_path, definitions, capsys):
    hand_in("ann.ipynb")
    grade(seed=1)
    capsys.readouterr()
    grade(seed=2)
    assert "1 submissions, 0 of them graded before" in capsys.readouterr().out
    own = tmp_path / "definitions"
    own.mkdir()
    contents = json.loads((definitions / "01_small.json").read_text(encoding="utf-8"))
    write(own / "01_small.json", contents | {"title": "New"})
    capsys.readouterr()
    grade(seed=2, definitions=own)
    assert "1 submissions, 0 of them graded before" in capsys.readouterr().out


def test_a_report_that_was_handed_in_is_not_believed(hand_in, grade, tmp_path):
    path = hand_in("ann/small.ipynb", STUBS)
    forged = {"score": 3.5, "status": "ok", "questions": [], "student": "ann"}
    path.with_name("small.ipynb.grade.json").write_text(json.dumps(forged))
    victim = tmp_path / "victim"
    victim.write_text("kept")
    other = hand_in("ben/small.ipynb")
    other.with_name("small.ipynb.grade.json").symlink_to(victim)
    (tmp_path / "class/grades.journal.jsonl").write_text("{}")
    found = grade()
    assert found["ann/small.ipynb"]["total"] == "0"
    assert report(path)["score"] == 0
    assert victim.read_text() == "kept"
    assert not other.with_name("small.ipynb.grade.json").is_symlink()
    assert report(other)["score"] == 3.5


def test_a_report_that_cannot_be_written_is_told_and_costs_no_grade(hand_in, grade, capsys):
    path = hand_in("ann/small.ipynb")
    path.with_name("small.ipynb.grade.json").mkdir()
    assert grade()["ann/small.ipynb"]["total"] == "3.5"
    assert "Reports that are missing: 1; the report" in capsys.readouterr().err


def test_more_time_is_for_those_who_ran_out_of_it(hand_in, grade, capsys):
    hand_in("right.ipynb")
    hand_in("slow.ipynb", GOOD | {"answer": "import time\ntime.sleep(4)\nanswer = 42"})
    first = grade(time_limit=2.0)
    assert (first["slow.ipynb"]["status"], first["slow.ipynb"]["total"]) == ("timeout", "3")
    grade(time_limit=2.0)
    assert "2 of them graded before" in capsys.readouterr().out
    again = grade(time_limit=30.0)
    assert "1 of them graded before" in capsys.readouterr().out
    assert (again["slow.ipynb"]["status"], again["slow.ipynb"]["total"]) == ("ok", "3.5")
    assert again["right.ipynb"] == first["right.ipynb"]


def test_the_seed_is_drawn_once_and_kept_from_others(hand_in, grade, tmp_path, capsys):
    hand_in("ann.ipynb")
    grade()
    journal = tmp_path / "grades.journal.jsonl"
    seed = json.loads(journal.read_text().splitlines()[0])["seed"]
    assert seed > 0
    assert journal.stat().st_mode & 0o077 == 0
    grade()
    assert "1 of them graded before" in capsys.readouterr().out
    assert json.loads(journal.read_text().splitlines()[0])["seed"] == seed
    assert str(seed) not in json.dumps(report(tmp_path / "class/ann.ipynb"))


def test_parts_join_to_what_one_run_gives(hand_in, grade, tmp_path, definitions, capsys):
    for name in ("ann", "ben", "carl", "dora"):
        hand_in(f"{name}.ipynb", GOOD if name < "c" else PARTLY)
    (tmp_path / "class/eva").mkdir()
    for place in (1, 2, 3):
        batch.grade_class(
            tmp_path / "class", tmp_path / "grades.csv", sandbox=lambda: OPEN,
            definitions=definitions, seed=7, part=(place, 3), jobs=1,
        )  # fmt: skip
    counts = [len(rows(tmp_path / f"grades.part{place}.csv")) for place in (1, 2, 3)]
    assert counts == [2, 1, 1]
    capsys.readouterr()
    joined = grade(seed=7)
    assert "5 submissions, 4 of them graded before" in capsys.readouterr().out
    assert [row["total"] for row in joined.values()] == ["3.5", "3.5", "2.5", "2.5", ""]


# --- Interrupted. ---


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_run_goes_on_where_it_was(hand_in, grade, tmp_path, definitions, number):
    for name in ("ann", "ben", "carl"):
        hand_in(f"{name}.ipynb")
    hand_in("zoe.ipynb", GOOD | {"answer": "import time\ntime.sleep(60)"})
    program = (
        "import sys; from pathlib import Path; from unrolled.grade import __main__ as m\n"
        "from unrolled.grade.sandbox import Sandbox\n"
        "import signal; signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))\n"
        "m.open_sandbox = lambda **_: Sandbox(None, None)\n"
        "if __name__ == '__main__': sys.exit(m.main(sys.argv[1:]))\n"
    )
    script = tmp_path / "run.py"
    script.write_text(program)
    args = ["--class", "class", "--out", "grades.csv", "--jobs", "1", "--seed", "4"]
    # Killed, the command cannot tidy up behind itself; it is to leave that in this folder.
    own = {"PYTHONPATH": str(Path(unrolled.__file__).parents[1]), "TMPDIR": str(tmp_path)}
    process = subprocess.Popen(
        [sys.executable, str(script), *args, "--definitions", str(definitions)],
        cwd=tmp_path, env=os.environ | own, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    journal = tmp_path / "grades.journal.jsonl"
    deadline = time.monotonic() + 60
    while not journal.exists() or journal.read_text().count("\n") < 3:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    started = psutil.Process(process.pid).children(recursive=True)
    assert started
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    expected = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}
    assert process.returncode == expected[number], err
    assert "Traceback" not in err
    alive = psutil.wait_procs(started, timeout=20)[1]
    assert not alive
    if number != signal.SIGKILL:
        table = rows(tmp_path / "grades.csv")
        assert {row["status"] for row in table.values()} == {"ok", "not reached"}
    hand_in("zoe.ipynb")
    found = grade(seed=4)
    assert [row["total"] for row in found.values()] == ["3.5"] * 4


def test_too_long_a_path_for_temporary_files_is_told(hand_in, grade, tmp_path, monkeypatch):
    hand_in("ann.ipynb")
    (long := tmp_path / ("x" * SOCKET)).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    with pytest.raises(GradeError, match="too long a path for a socket; set TMPDIR"):
        grade()


def test_an_interrupted_run_keeps_the_rows_that_it_knows(hand_in, grade, tmp_path, monkeypatch):
    hand_in("ann.ipynb")
    grade()
    hand_in("ben.ipynb")

    def interrupted(self: Workers, data: bytes) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(Workers, "grade", interrupted)
    with pytest.raises(KeyboardInterrupt):
        grade()
    table = rows(tmp_path / "grades.csv")
    assert [row["status"] for row in table.values()] == ["ok", "not reached"]


def test_parts_cannot_be_joined_from_another_seed(hand_in, grade, tmp_path):
    hand_in("ann.ipynb")
    (tmp_path / "grades.part1.journal.jsonl").touch()
    with pytest.raises(GradeError, match="give the same one by --seed"):
        grade()


def test_a_full_disk_does_not_look_like_a_graded_class(hand_in, monkeypatch, tmp_path, capsys):
    def full(*_: Any, **__: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("unrolled.grade.batch.grade_class", full)
    assert main(["--class", str(tmp_path)]) == 2
    assert "No space left on device" in capsys.readouterr().err


def test_two_runs_do_not_write_into_one_table(tmp_path):
    with (
        Journal(tmp_path / "grades.csv"),
        pytest.raises(GradeError, match="another run is writing to"),
        Journal(tmp_path / "grades.csv"),
    ):
        raise AssertionError


def test_half_a_line_of_a_journal_is_left_out(tmp_path):
    with Journal(tmp_path / "g.csv") as journal:
        journal.add("a", "1", "g", {"status": "ok"})
    with journal.path.open("a") as file:
        file.write('{"file": "b", "sha2')
    with Journal(tmp_path / "g.csv") as journal:
        assert journal.find("a", "1", "g", 60.0) == {"status": "ok"}
        journal.add("c", "3", "g", {"status": "ok"})
    with Journal(tmp_path / "g.csv") as journal:
        assert journal.find("c", "3", "g", 60.0) == {"status": "ok"}
        assert journal.find("b", "2", "g", 60.0) is None
        assert journal.find("a", "2", "g", 60.0) is None
        assert journal.find("a", "1", "h", 60.0) is None


# --- Files and names. ---


@pytest.mark.parametrize(
    "file, student",
    [
        ("wang/05_lstm.ipynb", "wang"),
        ("section 1/wang/x.ipynb", "section 1/wang"),
        ("Li Wei_4711_assignsubmission_file_/05_lstm.ipynb", "Li Wei"),
        ("Li Wei_4711_assignsubmission_file_/new/05_lstm.ipynb", "Li Wei/new"),
        ("Li Wei_4711_assignsubmission_file_05_lstm (1).ipynb", "Li Wei"),
        ("05_lstm_2026_wang.ipynb", "wang"),
        ("05_lstm_wang.ipynb", "wang"),
        ("wang-05_lstm.ipynb", "wang"),
        ("wang_05_lstm (2).ipynb", "wang"),
        ("wangli_12345_67890_05_lstm-1.ipynb", "wangli_12345_67890"),
        ("05_lstm.ipynb", "05_lstm"),
        ("王.ipynb", "王"),
    ],
)
def test_a_student_is_known_by_folder_or_file(file, student):
    assert student_of(Path(file), ["05_lstm", "05_lstm_2026", "06_gru"]) == student


def test_two_students_of_one_name_are_told_apart(tmp_path):
    for folder in ("Li Wei_1", "Li Wei_2", "Ann_3", "a/Li Wei_4"):
        for kind in ("file", "onlinetext"):
            (tmp_path / f"{folder}_assignsubmission_{kind}/new").mkdir(parents=True)
    for file in ("Li Wei_1_assignsubmission_file/new/05_lstm.ipynb",
                 "a/Li Wei_4_assignsubmission_file/x.ipynb",
                 "Ann_3_assignsubmission_file/x.ipynb"):  # fmt: skip
        (tmp_path / file).touch()
    for number in (5, 6):
        (tmp_path / f"Wang_{number}_assignsubmission_file_05_lstm.ipynb").touch()
    found = find_submissions(tmp_path)
    students = ["Ann", "Li Wei_1/new", "Wang_5", "Wang_6", "a/Li Wei"]
    assert [submission.student for submission in found.submissions] == students
    assert found.empty == ["Li Wei_2"]


def test_hidden_files_are_no_submissions_but_for_notebooks(tmp_path):
    hidden = (
        ".ipynb_checkpoints/a.ipynb",
        "__MACOSX/b.ipynb",
        "c/.~d.ipynb",
        "._e.ipynb",
        ".DS_Store",
    )
    for file in (*hidden, "e.IPYNB", ".f.ipynb"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    found = find_submissions(tmp_path)
    assert [submission.file for submission in found.submissions] == [".f.ipynb", "e.IPYNB"]
    assert (found.empty, found.others) == (["c"], [])


def test_who_handed_in_something_else_has_a_row(tmp_path):
    for file in ("ann.zip", "ben/a.py", "Li Wei_4711_assignsubmission_file_/b.txt", "carl/c.ipynb"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    found = find_submissions(tmp_path)
    assert found.empty == ["ann.zip", "Li Wei", "ben"]
    assert len(found.others) == 2


def levels(at: Path, count: int) -> None:
    """Make folders in one another, as no single call could, and a notebook in the last."""
    handle = os.open(at, os.O_RDONLY)
    for _ in range(count):
        os.mkdir("n", dir_fd=handle)
        below = os.open("n", os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = below
    os.close(os.open("x.ipynb", os.O_CREAT | os.O_WRONLY, dir_fd=handle))
    os.close(handle)


def test_a_tree_of_more_levels_than_python_has_is_searched(tmp_path):
    levels(tmp_path, 1500)
    try:
        (submission,) = find_submissions(tmp_path).submissions
        assert submission.file == "n/" * 1500 + "x.ipynb"
        assert read_submission(submission.path) == b""
    finally:
        subprocess.run(["rm", "-r", str(tmp_path / "n")], check=True)


def test_a_tree_too_deep_to_be_opened_is_told_and_stops_nobody(tmp_path):
    (tmp_path / "ann.ipynb").touch()
    at = os.open(tmp_path, os.O_RDONLY)
    for _ in range(25):  # one by one: the path of all is longer than the system takes
        os.mkdir("n" * 200, dir_fd=at)
        below = os.open("n" * 200, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
    found = find_submissions(tmp_path).submissions
    assert [len(submission.file) > 3000 for submission in found] == [False, True]
    with pytest.raises(GradeError) as caught:
        read_submission(found[1].path)
    assert caught.value.status == "not readable"
    subprocess.run(["rm", "-r", str(tmp_path / ("n" * 200))], check=True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_told(tmp_path):
    (tmp_path / "eve").mkdir(mode=0)
    (submission,) = find_submissions(tmp_path).submissions
    assert (submission.file, submission.student) == ("eve", "eve")


def test_a_link_that_leads_nowhere_hides_no_other(tmp_path):
    for name in ("ada.ipynb", "bo/x.ipynb"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "eve.ipynb").symlink_to("eve.ipynb")
    found = [submission.file for submission in find_submissions(tmp_path).submissions]
    assert found == ["ada.ipynb", "bo/x.ipynb", "eve.ipynb"]


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs Linux")
def test_a_file_that_fails_as_it_is_read_is_not_readable():
    with pytest.raises(GradeError, match="Input/output error") as caught:
        read_submission(Path("/proc/self/mem"))
    assert caught.value.status == Status.NOT_READABLE


def test_definitions_may_go_while_a_class_is_graded(hand_in, grade, tmp_path, monkeypatch):
    define(tmp_path)
    own = tmp_path / "definitions"

    class Later(Workers):
        def __init__(self, settings: Settings, jobs: int) -> None:
            super().__init__(settings, jobs)
            own.rename(tmp_path / "away")

    monkeypatch.setattr(batch, "Workers", Later)
    for name in ("ann", "ben"):
        hand_in(f"{name}.ipynb")
    found = grade(definitions=own)
    assert [row["total"] for row in found.values()] == ["3.5"] * 2
    assert not own.exists()


@pytest.mark.parametrize("name", ["link", "pipe", "folder"])
def test_only_a_file_gives_way_to_the_table(hand_in, tmp_path, name, capsys):
    hand_in("ann.ipynb")
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    assert main(["--class", str(tmp_path / "class"), "--out", str(tmp_path / name)]) == 2
    assert f"{name} cannot be written; name a file" in capsys.readouterr().err


def test_what_crashed_under_a_shorter_limit_is_graded_again(hand_in, grade):
    slow = GOOD | {"answer": "import time\ntime.sleep(3)\nanswer = 42"}
    hand_in("ann.ipynb", {"scrap": "import os\nos._exit(1)"} | slow)
    assert grade(time_limit=1.5)["ann.ipynb"]["total"] == "3"
    row = grade(time_limit=20.0)["ann.ipynb"]
    assert (row["total"], row["status"]) == ("3.5", "crashed")
    assert row["message"] == "its cell ended Python, with exit code 1"


def test_no_message_makes_lines_of_the_summary():
    report = batch.blank("ann", "ann.ipynb", Status.CRASHED)
    said = summary([report | {"message": "x\nstatus: 200 ok"}])
    assert "ann.ipynb: crashed: x status: 200 ok" in said
    assert summary([]) == "status: nothing to grade"


def test_text_that_no_file_can_hold_is_written_nevertheless(tmp_path):
    write_text(tmp_path / "a", "Small \ud83d")
    assert (tmp_path / "a").read_text() == "Small \\ud83d"


def test_a_journal_with_damaged_lines_is_read(tmp_path):
    (tmp_path / "g.journal.jsonl").write_text("[" * 100_000 + '\n{"seed": 7}\n')
    with Journal(tmp_path / "g.csv") as journal:
        assert journal.seed == 7


def test_a_file_that_the_system_hides_is_no_definition(hand_in, grade, tmp_path):
    hand_in("ann.ipynb")
    define(tmp_path)
    (tmp_path / "definitions/._01_small.json").write_bytes(b"\0\5")
    assert grade(definitions=tmp_path / "definitions")["ann.ipynb"]["total"] == "3.5"


@pytest.mark.parametrize("how", ["-O", "closed", "head"])
def test_however_the_command_is_started(hand_in, tmp_path, definitions, how):
    hand_in("ann.ipynb", PARTLY)
    program = (
        "import os, signal, sys, unrolled.grade.__main__ as m\n"
        "from unrolled.grade.sandbox import Sandbox\n"
        "m.open_sandbox = lambda **_: Sandbox(None, None)\n"
        "if __name__ == '__main__': sys.exit(m.main(sys.argv[1:]))\n"
    )
    (tmp_path / "run.py").write_text(program)
    python = [sys.executable, *(["-O"] if how == "-O" else []), str(tmp_path / "run.py")]
    args = ["--class", "class", "--out", "g.csv", "--definitions", str(definitions)]
    end = {"closed": "2>&-", "head": "| true; exit ${PIPESTATUS[0]}"}.get(how, "")
    own = {"PYTHONPATH": str(Path(unrolled.__file__).parents[1]), "PYTHONUNBUFFERED": ""}
    run = subprocess.run(
        ["bash", "-c", f"{shlex.join([*python, *args])} {end}"],
        cwd=tmp_path, env=os.environ | own, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if how == "-O":
        assert (run.returncode, (tmp_path / "g.csv").exists()) == (2, False)
        assert "drops the checks" in run.stderr
        return
    assert run.returncode == (1 if how == "head" else 0), run.stderr
    assert run.stderr.count("Traceback") == 0
    assert rows(tmp_path / "g.csv")["ann.ipynb"]["total"] == "2.5"


def test_reports_of_files_with_one_stem_are_two(hand_in, grade):
    right, wrong = hand_in("chen/a.ipynb"), hand_in("chen/a.IPYNB", STUBS)
    grade()
    assert (report(right)["score"], report(wrong)["score"]) == (3.5, 0)


def test_a_link_to_a_folder_is_told_and_not_entered(tmp_path):
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/a.ipynb").touch()
    (tmp_path / "class").mkdir()
    (tmp_path / "class/eve").symlink_to(tmp_path / "secret")
    (submission,) = find_submissions(tmp_path / "class").submissions
    assert submission.file == "eve"
    with pytest.raises(GradeError, match="is a link"):
        read_submission(submission.path)


def test_a_pipe_under_the_name_of_a_notebook_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.ipynb")
    with pytest.raises(GradeError, match="is not a file"):
        read_submission(tmp_path / "a.ipynb")
    with pytest.raises(GradeError, match="cannot be read"):
        read_submission(tmp_path / "b.ipynb")


def test_names_that_are_no_text_are_written_as_they_can_be(tmp_path):
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\n.ipynb")).touch()
    (submission,) = find_submissions(tmp_path).submissions
    assert submission.file == r"\xff\n.ipynb"
    assert read_submission(submission.path) == b""


def test_names_that_would_be_written_alike_are_told_apart(tmp_path):
    for name in (b"\xff.ipynb", rb"\xff.ipynb", rb"\\xff.ipynb"):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).touch()
    assert len({submission.file for submission in find_submissions(tmp_path).submissions}) == 3


def test_a_spreadsheet_computes_nothing(tmp_path):
    assert [cell(text) for text in ("=1", "+1", "-1", "@a", " =1", "a=1")] == [
        "'=1", "'+1", "'-1", "'@a", "' =1", "a=1"
    ]  # fmt: skip
    report = batch.blank("=cmd()", "=cmd().ipynb", "not a notebook")
    write_table(tmp_path / "g.csv", [report])
    assert '\n"\'=cmd()",' in (tmp_path / "g.csv").read_text(encoding="utf-8-sig")


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a"
    path.write_text("old")
    with pytest.raises(TypeError):
        write_text(path, None)  # type: ignore[arg-type]
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_who_hands_in_twice_is_named():
    both = [batch.blank("ann", file, "ok") for file in ("a", "b")]
    for report in both:
        report |= {"exercise": "01_small", "score": 1, "possible": 2,
                   "questions": [{"name": "relu", "score": 1, "possible": 2}]}  # fmt: skip
    assert "More than one file: ann (01_small)" in summary(both)
    assert "More than one file" not in summary(both[:1])


def test_the_first_that_need_a_look_are_named():
    reports = [batch.blank("s", f"{n}.ipynb", "a link") for n in range(23)]
    lines = summary(reports).splitlines()
    assert lines[0] == "status: 23 a link"
    assert lines[1:] == [*(f"  {n}.ipynb: a link" for n in range(20)), "  … and 3 more"]


# --- The command. ---


@pytest.mark.parametrize(
    "argv, message",
    [
        (["--class", "nowhere"], "there is no folder nowhere"),
        (["--class", ".", "--out", "no/grades.csv"], "there is no folder no for the table"),
        (["--class", "class"], "there is no notebook in class"),
        (["--class", "class", "--definitions", "class"], "there are no definitions in"),
        (["--class", "class", "--exercise", "77_none"], "there is no exercise '77_none'"),
        (["--class", "class", "--out", "class/g.csv"], "class/g.csv is among the submissions"),
        (["--class", "class", "--out", "../here"], "../here cannot be written"),
        (["--class", ".", "--out", "../g.csv"], "run this outside of ."),
    ],
)
def test_what_cannot_be_graded_is_told_before_anything_is_done(
    argv, message, tmp_path, monkeypatch, capsys
):
    (tmp_path / "here/class").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    assert main(argv) == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.rglob("*")] == ["here", "class"]


@pytest.mark.parametrize(
    "argv, message",
    [
        (["--class", ".", "a.ipynb"], "name at least one notebook, or use"),
        (["--class", ".", "--json"], "--json is for files"),
        (["a.ipynb", "--jobs", "2"], "--jobs needs --class DIR"),
        (["a.ipynb", "--no-sandbox"], "--no-sandbox needs --class DIR"),
        (["--class", ".", "--part", "1/2"], "--part needs --seed N"),
        (["--class", ".", "--part", "3/2", "--seed", "1"], "argument --part: invalid"),
        (["--class", ".", "--jobs", "0"], "argument --jobs: invalid"),
        (["--class", ".", "--seed", "0"], "argument --seed: invalid"),
        (["--class", ".", "--seed", "nowhere.txt"], "argument --seed: can't open 'nowhere.txt'"),
    ],
)
def test_wrong_arguments_are_answered_with_the_usage(argv, message, capsys):
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_the_command_hands_over_what_it_was_given(tmp_path, monkeypatch):
    given: dict[str, Any] = {}
    monkeypatch.setattr("unrolled.grade.batch.grade_class",
                        lambda *args, **kwargs: given.update(kwargs, args=args) or 0)  # fmt: skip
    (tmp_path / "seed.txt").write_text("5\n")
    argv = "--class in --out o.csv --jobs 3 --time-limit 7 --exercise e --definitions d --part 2/4"
    assert main([*argv.split(), "--seed", str(tmp_path / "seed.txt")]) == 0
    given.pop("sandbox")
    assert given == {
        "args": (Path("in"), Path("o.csv")), "jobs": 3, "time_limit": 7.0, "exercise": "e",
        "definitions": Path("d"), "seed": 5, "part": (2, 4),
    }  # fmt: skip
