"""``python -m unrolled.grade``: what it prints, what it returns, and how it ends."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import unrolled
from tests.test_grade import FIRST, GOOD, STUBS, answered, code, define, ended, notebook, write
from unrolled.grade import exercises
from unrolled.grade.__main__ import bar, main

WRONG = GOOD | {"relu": "import numpy as np\n\ndef relu(x):\n    return np.abs(x) * (x > -2)"}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    (folder / "exercises").mkdir()
    write(folder / "exercises" / "01_small.ipynb", notebook(answered(GOOD)))
    write(folder / "exercises" / "02_next.ipynb", notebook(answered(WRONG), "02_next"))
    write(folder / "exercises" / "03_last.ipynb", notebook(answered(STUBS), "03_last"))
    write(folder / "wrong.ipynb", notebook(answered(WRONG)))
    write(folder / "number.ipynb", 3)
    for name in ("01_small", "02_next", "03_last"):
        define(folder, name)
    return folder


@pytest.fixture(autouse=True)
def inside(project, monkeypatch):
    monkeypatch.chdir(project)
    monkeypatch.setattr(exercises, "definitions", lambda: project / "definitions")
    monkeypatch.setenv("COLUMNS", "60")


def test_a_table_a_file(capsys):
    assert main(["exercises/01_small.ipynb", "wrong.ipynb"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out == (
        "exercises/01_small.ipynb: Small, 3.5 of 3.5 points\n"
        "✓ relu    2 of 2\n"
        "✓ draw    1 of 1\n"
        "✓ answer  0.5 of 0.5\n"
        "\n"
        "wrong.ipynb: Small, 2.5 of 3.5 points\n"
        "~ relu    1 of 2      relu(x) is wrong\n"
        "✓ draw    1 of 1\n"
        "✓ answer  0.5 of 0.5\n"
    )


def test_a_terminal_without_the_marks_shows_others(monkeypatch):
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", out)
    assert main(["wrong.ipynb"]) == 0
    out.seek(0)
    assert out.readlines()[1:3] == [
        "~ relu    1 of 2      relu(x) is wrong\n",
        "? draw    1 of 1\n",
    ]


def test_one_json_object_a_line_a_file(capsys):
    assert main(["wrong.ipynb", "number.ipynb", "./exercises/01_small.ipynb", "--json"]) == 2
    out, err = capsys.readouterr()
    wrong, right = map(json.loads, out.splitlines())
    assert wrong == {
        "file": "wrong.ipynb",
        "score": 2.5,
        "possible": 3.5,
        "questions": [
            {"name": "relu", "score": 1, "possible": 2, "message": "relu(x) is wrong"},
            {"name": "draw", "score": 1, "possible": 1, "message": ""},
            {"name": "answer", "score": 0.5, "possible": 0.5, "message": ""},
        ],
    }
    assert '"score": 1, "possible": 2' in out  # not 1.0
    assert right["score"] == 3.5
    assert err.count("\n") == 1
    assert err.startswith("number.ipynb: is JSON but no notebook; ")


@pytest.mark.parametrize(
    "argv, message",
    [
        ([], "name at least one notebook"),
        (["--json"], "name at least one notebook"),
        (["--progress", "wrong.ipynb"], "or use --progress or --class DIR alone"),
        (["--progress", "--json"], "--json is for files"),
        (["wrong.ipynb", "--time-limit", "0"], "--time-limit"),
        (["wrong.ipynb", "--time-limit", "nan"], "--time-limit"),
        (["wrong.ipynb", "--time-limit", "long"], "--time-limit"),
    ],
)
def test_wrong_arguments_are_answered_with_the_usage(capsys, argv, message):
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("usage: python -m unrolled.grade")
    assert message in err


def test_the_time_limit_is_the_one_given(capsys, tmp_path):
    loops = write(tmp_path / "loops.ipynb", notebook([FIRST, "answer = 42\nwhile True: pass"]))
    assert main([str(loops), "--time-limit", "1.5", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)["questions"][2]
    assert answer["score"] == 0
    assert answer["message"].startswith("its cell did not finish within 1.5 s")


def test_progress_over_all_exercises(capsys, project):
    assert main(["--progress"]) == 0
    assert capsys.readouterr() == (
        "01_small  [####################]  3.5 of 3.5 points     Small\n"
        "02_next   [##############......]  2.5 of 3.5 points     Small\n"
        "03_last   [....................]  0 of 3.5 points       Small\n"
        "\n"
        "Total: 6 of 10.5 points\n"
        "Next: relu, 'On relu': 2 points, about 5 min, in 02_next.ipynb\n",
        "",
    )


def test_progress_counts_a_copy_once_and_takes_the_better_one(capsys, tmp_path, monkeypatch):
    for name, answers in [("01_small", WRONG), ("01_small-Copy1", GOOD)]:
        (tmp_path / "exercises").mkdir(exist_ok=True)
        write(tmp_path / f"exercises/{name}.ipynb", notebook(answered(answers)))
    monkeypatch.chdir(tmp_path)
    assert main(["--progress"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert [row.split()[0] for row in rows if "[" in row] == ["01_small-Copy1"]
    assert "Total: 3.5 of 3.5 points" in rows


def test_progress_leaves_out_what_cannot_be_graded(capsys, tmp_path, monkeypatch):
    (tmp_path / "exercises").mkdir()
    write(tmp_path / "exercises" / "01_small.ipynb", notebook(answered(GOOD)))
    write(tmp_path / "exercises" / "02_broken.ipynb", 3)
    monkeypatch.chdir(tmp_path)
    assert main(["--progress"]) == 2
    out, err = capsys.readouterr()
    assert out.splitlines()[0].startswith("01_small ")
    assert out.splitlines()[-2:] == ["Total: 3.5 of 3.5 points", "All exercises are done."]
    assert "02_broken.ipynb: is JSON but no notebook" in err


def test_progress_needs_exercises(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(unrolled, "__file__", str(tmp_path / "unrolled" / "__init__.py"))
    assert main(["--progress"]) == 2
    assert "no folder exercises/" in capsys.readouterr().err


def test_a_bar_is_full_only_when_nothing_is_left():
    assert bar(0, 3) == f"[{'.' * 20}]"
    assert bar(2.99, 3) == f"[{'#' * 19}.]"
    assert bar(3, 3) == f"[{'#' * 20}]"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_the_learners_process_ends_with_the_command(tmp_path, number):
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip("the tests were started by nohup, and so is the command")
    # The cell says who it is and then never ends.
    source = "import os, pathlib\npathlib.Path('new').write_text(str(os.getpid()))\n"
    source += "os.rename('new', 'pid')\nwhile True: pass"
    write(tmp_path / "loops.ipynb", notebook([code(source)], "01_neurons"))
    # Killed, the command cannot tidy up behind itself; it is to leave that in this folder.
    own = {"PYTHONPATH": str(Path(unrolled.__file__).parents[1]), "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-m", "unrolled.grade", str(tmp_path / "loops.ipynb")]
    with subprocess.Popen(
        command, env=os.environ | own, stderr=subprocess.PIPE, text=True
    ) as process:
        while not (tmp_path / "pid").exists():
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    learners = int((tmp_path / "pid").read_text())
    try:
        assert ended(learners)
    finally:  # a failure must not leave a loop behind that never ends
        with contextlib.suppress(ProcessLookupError):
            os.kill(learners, signal.SIGKILL)
    ends = [(130, "stopped\n"), (143, ""), (129, ""), (-signal.SIGKILL, "")]
    assert (process.returncode, err) in ends
