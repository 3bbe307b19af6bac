"""Notebooks are graded whatever a learner has put into them, and no answer can harm the grader."""

import json
import linecache
import os
import sys
import textwrap
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace

import nbformat
import numpy as np
import psutil
import pytest

import unrolled
from tools.notebooks import client
from unrolled.grade import (
    GradeError,
    LearnerError,
    Outcome,
    exercises,
    grade_notebook,
    load_exercise,
    open_grader,
    text,
)
from unrolled.grade.errors import Stopped, own_line, tidy
from unrolled.grade.exercises import exercise_name, run_question
from unrolled.grade.run import grade_submission, read_notebook
from unrolled.grade.sandbox import Sandbox
from unrolled.grade.session import Session

HEAD = """
from otter.test_files import test_case

OK_FORMAT = False

name = {name!r}
points = None
"""
CHECKS = {
    "relu": """
        @test_case(points=1, hidden=False, failure_message="Look at the sign.")
        def test_relu(relu):
            got = relu(-2.0)
            assert got == 0.0, f"relu(-2.0) must be 0, got {got}"

        @test_case(points=1, hidden=False)
        def test_relu_of_array(relu):
            import numpy as np
            x = np.array([[-1.0, 2.0, 3.0]])
            before = x.copy()
            y = relu(x)
            assert np.shape(y) == (1, 3), f"relu(x) must have shape (1, 3), got {np.shape(y)}"
            assert np.isfinite(y).all(), "relu(x) holds nan"
            assert np.array_equal(x, before), "relu changed x"
            assert np.array_equal(y, [[0.0, 2.0, 3.0]]), "relu(x) is wrong"
        """,
    "draw": """
        @test_case(points=1, hidden=False, failure_message="Use rng.normal.")
        def test_draw(draw):
            import numpy as np
            rng, same = np.random.default_rng(5), np.random.default_rng(5)
            for _ in range(2):
                assert np.array_equal(draw(3, rng=rng), same.normal(size=3)), "not from rng"
        """,
    "answer": """
        @test_case(points=0.5, hidden=False)
        def test_answer(answer):
            assert answer == 42, f"answer must be 42, got {answer}"
        """,
}
POINTS = {"relu": 2, "draw": 1, "answer": 0.5}
GOOD = {
    "relu": "import numpy as np\n\ndef relu(x):\n    return np.maximum(x, 0.0)",
    "draw": "def draw(n, *, rng):\n    return rng.normal(size=n)",
    "answer": "answer = 42",
}
STUBS = {
    "relu": "def relu(x):\n    ...",
    "draw": "def draw(n, *, rng):\n    ...",
    "answer": "answer = ...",
}
FIRST = 'from unrolled.grade import open_grader\ngrader = open_grader("01_small")'


def code(source, id_="x"):
    return {
        "cell_type": "code", "id": id_, "source": source,
        "metadata": {}, "outputs": [], "execution_count": None,
    }  # fmt: skip


def notebook(cells, name="01_small"):
    """A notebook of the exercise, with the given code cells."""
    tests = {q: HEAD.format(name=q) + textwrap.dedent(c) for q, c in CHECKS.items()}
    questions = [
        {"name": q, "title": f"On {q}", "points": p, "minutes": 5, "cells": [f"answer-{q}"]}
        for q, p in POINTS.items()
    ]
    return {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {
            "otter": {"OK_FORMAT": False, "assignment_name": name, "tests": tests},
            "unrolled": {"exercise": name, "title": "Small", "questions": questions},
        },
        "cells": [
            {"cell_type": "markdown", "id": "m", "metadata": {}, "source": "Not code."},
            *(cell if isinstance(cell, dict) else code(cell) for cell in cells),
        ],
    }


def define(folder, name="01_small", **changes):
    """Write an exercise's definition, as the package has it, into a folder's definitions/."""
    metadata = notebook([], name)["metadata"]
    contents = {**metadata["unrolled"], "tests": metadata["otter"]["tests"], **changes}
    (folder / "definitions").mkdir(exist_ok=True)
    return write(folder / "definitions" / f"{name}.json", contents)


def answered(answers):
    """The cells of a notebook as it comes, with these answers."""
    cells = [code(FIRST)]
    for name, source in answers.items():
        cells += [code(source, f"answer-{name}"), code(f'grader.check("{name}")')]
    return [*cells, code("grader.total()")]


def write(path, contents):
    path.write_text(json.dumps(contents), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    (folder / "exercises").mkdir()
    write(folder / "exercises" / "01_small.ipynb", notebook(answered(STUBS)))
    define(folder)
    return folder


@pytest.fixture(autouse=True)
def inside(project, monkeypatch):
    monkeypatch.chdir(project)
    monkeypatch.setattr(exercises, "definitions", lambda: project / "definitions")


@pytest.fixture
def grade(tmp_path):
    """Grade a notebook with these cells or answers; return its outcomes by name."""

    def graded(cells=(), *, time_limit=60.0, file="01_small.ipynb", **answers):
        cells = cells or answered(GOOD | answers)
        path = write(tmp_path / file, notebook(cells))
        report = grade_notebook(path, time_limit=time_limit)
        assert [o.name for o in report.outcomes] == list(POINTS)
        assert [o.possible for o in report.outcomes] == list(POINTS.values())
        return {outcome.name: outcome for outcome in report.outcomes}

    return graded


def others_are_right(outcomes, *wrong):
    return all(outcomes[name].passed for name in POINTS if name not in wrong)


# --- What an answer earns. ---


def test_right_answers_earn_all_points_and_untouched_ones_none(project, tmp_path):
    path = write(tmp_path / "mine.ipynb", notebook(answered(GOOD)))
    report = grade_notebook(path)
    assert (report.score, report.possible) == (3.5, 3.5)
    assert report.outcomes[0] == Outcome("relu", 2, 2, "")
    assert (report.file, report.exercise.name) == (path, "01_small")
    untouched = grade_notebook(project / "exercises" / "01_small.ipynb")
    assert untouched.score == 0
    assert not any(outcome.passed for outcome in untouched.outcomes)


@pytest.mark.parametrize(
    "answer, score, message",
    [
        ("return x", 0, "relu(-2.0) must be 0, got -2.0\nHint: Look at the sign."),
        ("return np.maximum(x, 0.0).ravel()", 1, "must have shape (1, 3), got (3,)"),
        ("return np.maximum(x, 0.0) / (np.ndim(x) == 0)", 1, "relu(x) holds nan"),
        ("return float('nan')", 0, "relu(-2.0) must be 0, got nan"),
        ("return", 0, "got None"),
        ("y = np.asarray(x)\n    y[y < 0] = 0\n    return y", 1, "relu changed x"),
        ("return x @ np.ones((5, 2))", 0, "(in your line: return x @ np.ones((5, 2)))"),
        ("return undefined", 0, "NameError: name 'undefined' is not defined (in your line"),
        ("return relu(x)", 0, "RecursionError: maximum recursion depth exceeded"),
        ("import sys; sys.exit('done')", 0, "SystemExit: done (in your line"),
        ("return b''", 0, "TypeError: a bytes cannot be checked; use"),
        ("return input()", 0, "EOFError"),
        ("raise MyError('\\x1b[31mmine')", 0, "MyError: mine (in your line: raise MyError"),
        ("return np.zeros(10**7)", 0, "64 MB"),
    ],
)
def test_what_is_wrong_is_told(grade, answer, score, message):
    source = "import numpy as np\nclass MyError(Exception): pass\n"
    outcomes = grade(relu=f"{source}def relu(x):\n    {answer}")
    assert message in outcomes["relu"].message
    assert outcomes["relu"].score == score
    assert "Hint" in outcomes["relu"].message or score == 1
    assert others_are_right(outcomes, "relu")


def test_a_generator_is_the_callers_own(grade):
    outcomes = grade(
        draw="def draw(n, *, rng):\n    return np.random.default_rng(5).normal(size=n)"
    )
    assert outcomes["draw"].message == "not from rng\nHint: Use rng.normal."


def test_values_are_checked_too(grade):
    assert grade(answer="answer = 41")["answer"].message == "answer must be 42, got 41"
    outcomes = grade(answer="answer = b''")
    assert "a bytes cannot be checked" in outcomes["answer"].message
    assert others_are_right(outcomes, "answer")


# --- Cells that fail, hang or die. ---


@pytest.mark.parametrize(
    "cell, message",
    [
        ("def relu(x:\n    return x", "its cell failed: SyntaxError: '(' was never closed"),
        (
            "1 / 0\ndef relu(x):\n    return x",
            "ZeroDivisionError: division by zero (in your line: 1",
        ),
        ("import sys; sys.exit(3)", "its cell failed: SystemExit: 3"),
        ("raise KeyboardInterrupt", "its cell failed: KeyboardInterrupt"),
        ("%nomagic", "its cell failed: UsageError"),
        ("\ud800", "its cell failed: UnicodeEncodeError"),
        ("import os; os._exit(7)", "its cell ended Python, with exit code 7"),
        ("import os; os.kill(os.getpid(), 11)", "stopped by the system (SIGSEGV)"),
        ("import os; os.closerange(3, 100)", "its cell ended Python"),
    ],
)
def test_a_cell_that_fails_is_named_and_the_others_count(grade, cell, message):
    outcomes = grade(relu=cell, draw="import numpy as np\n" + GOOD["draw"])
    assert message in outcomes["relu"].message
    assert "there is no relu" not in outcomes["relu"].message  # it follows from the cell's failure
    assert "<ipython-input" not in outcomes["relu"].message
    assert outcomes["relu"].score == 0
    assert others_are_right(outcomes, "relu")


def test_a_cell_is_known_by_what_it_defines_where_its_id_is_lost(grade):
    outcomes = grade(["answer = 1 / 0", "def relu(x:", GOOD["draw"]])
    assert outcomes["relu"].message.startswith("its cell failed: SyntaxError")
    assert outcomes["answer"].message.startswith("its cell failed: ZeroDivisionError")
    assert others_are_right(outcomes, "relu", "answer")


LOOP = "did not finish within 2 s: is there a loop that never ends?"


def test_a_cell_that_never_ends_is_dropped(grade):
    answers = GOOD | {"draw": GOOD["draw"] + "\nwhile True:\n    pass"}
    outcomes = grade(answered(answers), time_limit=2)
    assert f"its cell {LOOP}" in outcomes["draw"].message
    assert others_are_right(outcomes, "draw")


@pytest.mark.parametrize(
    "body, message",
    [
        ("while True: pass", f"relu {LOOP}"),
        ("import os; os._exit(0)", "relu ended Python, with exit code 0"),
        (
            "import ctypes; ctypes.string_at(0)",
            "relu ended Python, stopped by the system (SIGSEGV)",
        ),
    ],
)
def test_a_function_that_never_returns_costs_its_question_only(grade, body, message):
    # What the cells before have made is there again afterwards, and the last cell needs it.
    cells = [*answered(GOOD | {"relu": f"secret = 42\ndef relu(x):\n    {body}"})]
    cells[-2:] = [code("answer = secret", "answer-answer"), code('grader.check("answer")')]
    outcomes = grade(cells, time_limit=2)
    assert outcomes["relu"] == Outcome("relu", 0, 2, message)
    assert others_are_right(outcomes, "relu")


def test_the_calls_of_one_check_share_its_time(tmp_path):
    with Session(tmp_path, time_limit=2) as session:
        assert session.run("import time\ndef slow(): time.sleep(0.7)\ndef quick(): pass") is None
        found = session.fetch(["slow", "quick"])
        with pytest.raises(Stopped, match="slow did not finish within 2 s"):
            [found["slow"]() for _ in range(40)]
        with pytest.raises(Stopped, match="slow did not finish"):
            found["quick"]()
        session.fetch(["quick"])["quick"]()


def test_the_last_word_on_a_question_counts(grade):
    cells = [*answered(GOOD), code("import os\ndef relu(x): os._exit(0)\nanswer = 0")]
    outcomes = grade(cells)
    assert others_are_right(outcomes, "relu", "answer")
    assert (outcomes["relu"].score, outcomes["answer"].score) == (0, 0)
    assert others_are_right(grade([*answered(GOOD), code("def other(relu): return 7")]))
    assert others_are_right(grade([*answered(GOOD | {"answer": "answer = 1"}), GOOD["answer"]]))


def test_a_list_of_guesses_is_one_guess(grade):
    guesses = [f'answer = {n}\ngrader.check("answer")' for n in range(36, 48)]
    assert grade([*answered(GOOD), *guesses])["answer"].score == 0
    hidden = ["globals()['answer'] = 41", 'grader.check("answer")', "globals()['answer'] = 42"]
    assert grade([FIRST, *hidden])["answer"].score == 0
    # A check that stands before the answer has seen none, and takes nothing away.
    late = [FIRST, 'grader.check("answer")', "globals()['answer'] = 42"]
    assert grade(late)["answer"].passed


def test_a_guess_beside_a_missing_name_is_one_guess_too(project, tmp_path):
    both = "@test_case(points=1, hidden=False)\ndef test_{0}({0}):\n    assert {0} == 42\n\n"
    contents = json.loads(define(tmp_path).read_text())
    contents["tests"]["answer"] = (
        HEAD.format(name="answer") + both.format("other") + both.format("answer")
    )
    contents["questions"][2]["points"] = 2
    write(tmp_path / "definitions/01_small.json", contents)
    cells = [code("answer = 41\ngrader.check('answer')"), code("globals()['answer'] = 42")]
    data = json.dumps(notebook(cells)).encode()
    folder = tmp_path / "definitions"
    report = grade_submission(data, sandbox=Sandbox(None, None), time_limit=20.0, folder=folder)
    assert report.outcomes[2].score == 0


def test_what_was_dropped_once_may_fail_when_it_is_run_again(grade, tmp_path):
    # The cell ends well the first time and kills the process the second.
    cell = "import pathlib, os\nmark = pathlib.Path('mark')\n"
    cell += "os._exit(1) if mark.exists() else mark.write_text('')"
    outcomes = grade([code(cell), code("import os; os._exit(1)"), *answered(GOOD)])
    assert others_are_right(outcomes)
    assert (tmp_path / "mark").exists()


# --- Where questions stand. ---


def test_check_cells_may_be_missing_or_in_any_order(grade):
    assert others_are_right(grade([GOOD["answer"], GOOD["relu"], GOOD["draw"]]))
    assert others_are_right(grade(['grader.check("answer")', *GOOD.values()]))


def test_a_missing_question_scores_nothing(grade):
    outcomes = grade([GOOD["relu"]])
    assert outcomes["relu"].passed
    assert outcomes["draw"].score == 0
    assert outcomes["draw"].message.startswith("there is no draw: the cell that defines it")


def test_a_question_counts_once_wherever_it_is_repeated(grade):
    again = {"relu": "def relu(x):\n    return x"}
    outcomes = grade([*answered(GOOD), *answered(again), *answered(again)])
    assert others_are_right(outcomes, "relu")
    assert outcomes["relu"].score == 0
    outcomes = grade([*answered(again), *answered(GOOD)])
    assert others_are_right(outcomes)


def test_the_file_may_have_any_name(grade):
    assert others_are_right(grade(file="01_small (1) – kopie.ipynb"))


def test_the_tests_that_a_submission_brings_are_not_used(tmp_path):
    mine = notebook(answered(STUBS))
    for name, source in mine["metadata"]["otter"]["tests"].items():
        mine["metadata"]["otter"]["tests"][name] = source.replace("assert", "assert True or")
    for question in mine["metadata"]["unrolled"]["questions"]:
        question["points"] = 100
    report = grade_notebook(write(tmp_path / "mine.ipynb", mine))
    assert (report.score, report.possible) == (0, 3.5)


# --- What notebooks do. ---


def test_cells_run_as_in_jupyter(grade, tmp_path):
    (tmp_path / "random.py").write_text("mine = 42\n")  # not to be imported by the grader's child
    (tmp_path / "own_module.py").write_text("mine = 42\n")
    cells = [
        "%matplotlib inline",
        "!echo shell",
        "lines = !echo 42",
        "%%bash\necho bash",
        "from IPython.display import display\ndisplay(get_ipython())",
        "%time sum([])",
        "await __import__('asyncio').sleep(0)",
        "exit()",
        "5\n_ + 1",
        "import otter\ngrader = otter.Notebook('x.ipynb')\ngrader.check_all()",
        FIRST,
        'assert grader.check("relu") is None',
        "import os\nassert not os.path.exists('/nowhere'), os.getcwd()",
        "from own_module import mine\nimport tempfile\ntemporary = tempfile.mkstemp()[1]",
        "assert __name__ == '__main__'\ndef f(): pass\nassert f.__module__ == '__main__'",
        "answer = mine if int(lines[0]) == 42 else 0",
    ]
    path = write(tmp_path / "n.ipynb", notebook(cells))
    with Session(tmp_path) as session:
        for cell in cells:
            assert session.run(cell) is None, cell
        temporary = Path(session.fetch(["temporary"])["temporary"])
        assert temporary.is_file()
    assert not temporary.exists()
    report = grade_notebook(path)
    assert report.outcomes[-1].passed, report.outcomes[-1]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["n.ipynb", "own_module.py", "random.py"]


def test_a_changed_folder_and_a_changed_numpy_stay_over_there(grade):
    before = Path.cwd()
    outcomes = grade(
        [
            "import os, numpy as np\nos.chdir('/')",
            "np.array_equal = np.testing.assert_array_equal = lambda *args: True",
            "def relu(x):\n    return x * 0.0 + 7.0",
        ]
    )
    assert "relu(x) is wrong" in outcomes["relu"].message
    assert outcomes["relu"].score == 0
    assert Path.cwd() == before
    assert not np.array_equal([1], [2])


def test_a_flood_of_output_is_thrown_away(grade):
    memory = psutil.Process().memory_info().rss
    flood = "for _ in range(100):\n    print('x' * 10**6)\n'y' * 10**7"
    outcomes = grade(relu=f"{GOOD['relu']}\n{flood}")
    assert others_are_right(outcomes)
    assert psutil.Process().memory_info().rss - memory < 5e7


def test_what_a_notebook_starts_ends_with_it(grade, tmp_path):
    start = "import subprocess, pathlib\np = subprocess.Popen(['sleep', '600'])\n"
    assert others_are_right(
        grade(relu=f"{start}pathlib.Path('pid').write_text(str(p.pid))\n{GOOD['relu']}")
    )
    assert ended(int((tmp_path / "pid").read_text()))


def ended(pid):
    """Wait until a process is gone, or waits for its parent to notice."""
    for _ in range(100):
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.1)
    return False


# --- A child that does harm. ---

NOISE = """
import os, stat
def noisy(data):
    for fd in range(3, 100):
        try:
            if stat.S_ISSOCK(os.fstat(fd).st_mode):
                os.write(fd, data)
        except OSError:
            pass
"""


@pytest.mark.parametrize(
    "data",
    [
        "b'\\xff' * 8",  # a message of 2**64 bytes
        "bytes(7) + b'\\x05' + b'hello'",  # no npz
        "bytes(7) + b'\\x50'",  # the start of one that never comes
        *(
            f"(lambda m: len(m).to_bytes(8, 'big') + m)(encode({answer}))"
            for answer in (
                "(2, 'ok', 1)",  # of another request
                "(4, 'ok', 1)",  # of this one, but no answer to it
                "(4, 'who', 1)",
                "(4, 'error', 1, 2, 3, 4)",
                "(__import__('numpy').ones(2), 'ok', 1)",
                "(4, __import__('numpy').ones(2), 1)",
                "(4, 'ok', (__import__('numpy').ones(2), 1))",
                "('ok', 1)",
                "'ok'",
            )
        ),
    ],
)
def test_noise_on_the_line_is_noticed(tmp_path, data):
    with Session(tmp_path, time_limit=2) as session:
        assert session.run(NOISE + "from unrolled.grade.wire import encode") is None
        assert session.run(f"def f():\n    noisy({data})\nx = 5") is None
        f = session.fetch(["f"])["f"]
        with pytest.raises(Stopped, match="cannot read|disturbed|did not finish"):
            f()
        assert session.fetch(["x"]) == {"x": 5}


def test_an_error_with_odd_bases_is_an_error(tmp_path):
    with Session(tmp_path, time_limit=5) as session:
        session.run(NOISE + "from unrolled.grade.wire import encode\ndef f():\n"
                    "    m = encode((3, 'error', 'E', [[1], 'ValueError'], 'text', 'line'))\n"
                    "    noisy(len(m).to_bytes(8, 'big') + m)")  # fmt: skip
        f = session.fetch(["f"])["f"]
        with pytest.raises(ValueError, match="text .in your line: line."):
            f()


def test_limits_are_set_and_none_is_raised(tmp_path):
    with Session(tmp_path) as session:
        session.run("import os, resource as r\ncore = r.getrlimit(r.RLIMIT_CORE)[1]")
        session.run("memory = r.getrlimit(r.RLIMIT_AS)[1]\nthreads = os.environ['OMP_NUM_THREADS']")
        found = session.fetch(["core", "memory", "threads"])
        assert found["core"] == 0
        assert found["threads"] == "1"
        if sys.platform == "linux":
            assert 0 < found["memory"] <= 8 * 2**30


def test_a_learners_exception_is_of_its_built_in_type(tmp_path):
    with Session(tmp_path) as session:
        session.run("class Odd(ValueError): pass\ndef f(x): raise Odd(f'not {x}')")
        session.run("class Bad(Exception):\n    __str__ = None\ndef g(): raise Bad")
        found = session.fetch(["f", "g", "missing"])
        assert list(found) == ["f", "g"]
        with pytest.raises(ValueError) as caught:
            found["f"](3)
        error = caught.value
        assert isinstance(error, LearnerError)
        assert type(error).__name__ == "LearnerError"  # the checks know it by this name
        assert (error.kind, error.message) == ("Odd", "not 3")
        assert error.line == "def f(x): raise Odd(f'not {x}')"
        with pytest.raises(LearnerError, match="^Bad \\(in your line"):
            found["g"]()
        assert found["f"].__name__ == "f"
        with pytest.raises(TypeError, match="a bytes cannot"):
            found["f"](b"")
        with pytest.raises(ValueError, match="not 4"):
            found["f"](x=4)


def test_arguments_by_name_are_copied_back_too(tmp_path):
    with Session(tmp_path) as session:
        session.run("def f(x, *, log):\n    x += 1\n    log.append(x)")
        x, log = np.zeros(2), []
        session.fetch(["f"])["f"](x, log=log)
        assert x.tolist() == [1, 1]
        assert np.array_equal(log, [[1, 1]])


def test_a_python_that_does_not_start_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with (
        Session(tmp_path) as session,
        pytest.raises(GradeError, match="Python does not start in the notebook's folder"),
    ):
        session.run("1")


# --- Files that are no notebooks. ---


def spoiled(**changes):
    return json.dumps(notebook(answered(GOOD)) | changes)


BAD_FILES = {
    "number": ("3", "is JSON but no notebook"),
    "list": ("[]", "is JSON but no notebook"),
    "no version": ("{}", "is JSON but no notebook"),
    "version in words": (spoiled(nbformat="4"), "is JSON but no notebook"),
    "version 5": (spoiled(nbformat=5), "has notebook format 5"),
    "version -1": (spoiled(nbformat=-1), "old notebook format that cannot be read"),
    "version 3 without cells": (json.dumps({"nbformat": 3}), "cannot be read|names? no exercise"),
    "no cells": (spoiled(cells=None), "is a notebook without cells"),
    "broken": (spoiled()[:-40], "is not JSON"),
    "empty": ("", "is not JSON"),
    "deep": ("[" * 100_000, "is not JSON"),
    "latin": ("é".encode("latin-1"), "is not text in UTF-8"),
    "no metadata": (spoiled(metadata=None, cells=[]), "is no exercise, or does not say which"),
    "no exercise": (
        spoiled(metadata={"otter": {}, "unrolled": 3}, cells=[3, code(STUBS["relu"]), code(7)]),
        "is no exercise, or does not say which",
    ),
    "unknown": (
        spoiled(metadata={"unrolled": {"exercise": "99_none"}}),
        "no exercise '99_none'; there are: .*01_small",
    ),
    "outside": (
        spoiled(metadata={"otter": {"assignment_name": "../exercises/01_small"}}),
        "no exercise '../exercises/01_small'",
    ),
    "long": (
        spoiled(metadata={"unrolled": {"exercise": "1" * 81}}),
        r"no exercise '1{80}'; there are: 01_small",
    ),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_told_in_one_sentence(tmp_path, name):
    contents, message = BAD_FILES[name]
    path = tmp_path / "bad.ipynb"
    path.write_bytes(contents if isinstance(contents, bytes) else contents.encode())
    with pytest.raises(GradeError, match=message) as caught:
        grade_notebook(path)
    assert "\n" not in str(caught.value)


def test_what_is_no_file_is_told(tmp_path, monkeypatch):
    with pytest.raises(GradeError, match="there is no such file"):
        grade_notebook(tmp_path / "none.ipynb")
    with pytest.raises(GradeError, match="is not a file"):
        grade_notebook(tmp_path)
    path = write(tmp_path / "mine.ipynb", {})
    monkeypatch.setattr(Path, "read_bytes", lambda *_: os.open("/proc/1/mem/x", os.O_RDONLY))
    with pytest.raises(GradeError, match="cannot be read"):
        grade_notebook(path)


def test_cells_that_are_none_are_left_out(grade):
    junk = [3, {}, {"cell_type": "code"}, {"cell_type": "code", "source": 5}, code("   ")]
    split = code(["answer = 4\n", "answer = 42", 7])
    contents = notebook([split])
    contents["cells"] += junk
    path = write(Path("junk.ipynb"), contents)
    assert grade_notebook(path).outcomes[-1].passed
    path.unlink()


def test_an_older_notebook_is_read_as_a_new_one(tmp_path):
    cells = [code(cell["source"], f"c{n}") for n, cell in enumerate(answered(GOOD))]
    old = nbformat.convert(nbformat.from_dict(notebook(cells)), 3)
    path = tmp_path / "old.ipynb"
    path.write_text(nbformat.writes(old, version=3), encoding="utf-8")
    assert json.loads(path.read_text(encoding="utf-8"))["nbformat"] == 3
    assert read_notebook(path)["nbformat"] == 4
    assert grade_notebook(path).score == 3.5


def test_the_exercise_is_named_by_otter_where_there_is_no_other():
    assert exercise_name({"metadata": {"otter": {"assignment_name": "a"}}}) == "a"
    both = {"otter": {"assignment_name": "a"}, "unrolled": {"exercise": "b"}}
    assert exercise_name({"metadata": both}) == "b"


@pytest.mark.parametrize(
    "source, name",
    [
        (FIRST, "01_small"),
        (["import x\n", "g = open_grader( '02_b-c' )"], "02_b-c"),
        ("# open_grader('01_a')\ngrade.open_grader('02_b')", "02_b"),
        ("reopen_grader('01_a')", None),
        ("open_grader('../a')", None),
        ("open_grader(name)", None),
    ],
)
def test_an_exercise_that_lost_its_metadata_is_known_by_its_grader(source, name):
    text = {"cell_type": "markdown", "source": "open_grader('01_text')"}
    lost = {"metadata": {"kernelspec": {}}, "cells": [3, text, code("x = 1"), code(source)]}
    if name:
        assert exercise_name(lost) == name
    else:
        with pytest.raises(GradeError, match="does not say which"):
            exercise_name(lost)


def test_an_exercise_that_lost_its_metadata_is_graded(tmp_path):
    lost = notebook(answered(GOOD)) | {"metadata": {}}
    assert grade_notebook(write(tmp_path / "lost.ipynb", lost)).score == 3.5


# --- The exercises of the project. ---


def test_an_exercise_has_its_questions_in_order():
    exercise = load_exercise("01_small")
    assert (exercise.name, exercise.title) == ("01_small", "Small")
    assert [q.name for q in exercise.questions] == ["relu", "draw", "answer"]
    relu = exercise.questions[0]
    assert relu[:5] == ("relu", "On relu", 2, 5, ("answer-relu",))
    assert relu.needs == ("relu",)
    assert [case.points for case in relu.cases] == [1, 1]


def test_an_exercise_is_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_exercise("01_small").title == "Small"
    assert repr(open_grader("01_small")).startswith("Grader of 01_small")


def test_the_tests_and_points_in_a_notebook_change_no_score(tmp_path):
    mine = notebook(answered(GOOD | {"relu": STUBS["relu"]}))
    told = mine["metadata"]["unrolled"]["questions"]
    mine["metadata"]["otter"]["tests"] = {}
    told[0]["points"], told[1]["name"] = 100, "anything"
    (tmp_path / "exercises").mkdir()
    path = write(tmp_path / "exercises" / "01_small.ipynb", mine)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        report = grade_notebook(path)
    assert (report.score, report.possible) == (1.5, 3.5)


def test_an_exercise_renamed_in_place_is_graded(tmp_path, monkeypatch):
    (tmp_path / "exercises").mkdir()
    monkeypatch.chdir(tmp_path)
    path = write(Path("exercises") / "mine, at last.ipynb", notebook(answered(GOOD)))
    assert grade_notebook(path).score == 3.5


def test_a_teachers_own_exercise_comes_with_its_definition(tmp_path, monkeypatch):
    path = write(tmp_path / "mine.ipynb", notebook(answered(GOOD), "77_mine"))
    with pytest.raises(GradeError, match="there is no exercise '77_mine'"):
        grade_notebook(path)
    write(tmp_path / "77_mine.json", json.loads(define(tmp_path, "77_mine").read_text()))
    assert grade_notebook(path).score == 3.5
    monkeypatch.chdir(tmp_path)
    assert "77_mine" in repr(open_grader("77_mine"))


def test_a_definition_beside_a_notebook_replaces_none_of_the_packages(project, tmp_path):
    forged = json.loads((project / "definitions/01_small.json").read_text())
    forged["tests"]["relu"] = forged["tests"]["relu"].replace("assert ", "assert True or ")
    write(tmp_path / "01_small.json", forged)
    path = write(tmp_path / "mine.ipynb", notebook(answered(STUBS)))
    assert grade_notebook(path).score == 0


@pytest.mark.parametrize("answer, score", [(42, 0.5), (43, 0.0), (40, 0.0)])
def test_a_hidden_test_gives_no_points_and_takes_all(tmp_path, answer, score):
    case = "\n\n@test_case(points=0, hidden=True)\ndef test_{0}(answer):\n    assert {1}\n"
    contents = json.loads(define(tmp_path).read_text())
    contents["tests"]["answer"] = (
        HEAD.format(name="answer")
        + "@test_case(points=0.5, hidden=False)\ndef test_range(answer):\n    assert answer > 40\n"
        + case.format("even", "answer % 2 == 0, 'odd'")
    )
    write(tmp_path / "definitions/01_small.json", contents)
    question = load_exercise("01_small", tmp_path / "definitions").questions[2]
    outcome = run_question(question, {"answer": answer})
    assert (outcome.score, outcome.passed) == (score, score == 0.5)


def test_files_with_a_byte_order_mark_are_read(project, tmp_path, monkeypatch):
    path = define(tmp_path)
    path.write_text(path.read_text(encoding="utf-8"), encoding="utf-8-sig")
    monkeypatch.setattr(exercises, "definitions", lambda: path.parent)
    assert load_exercise("01_small").title == "Small"


def test_a_package_without_definitions_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(exercises, "definitions", lambda: tmp_path)
    with pytest.raises(GradeError, match="no exercise '01_small'; get the package again"):
        load_exercise("01_small")


@pytest.mark.parametrize(
    "damage",
    [
        lambda contents: contents.clear(),
        lambda contents: contents.pop("title"),
        lambda contents: contents["tests"].pop("relu"),
        lambda contents: contents["tests"].update(relu="syntax error"),
        lambda contents: contents["questions"][0].update(points=3),
        lambda contents: contents["questions"][0].update(points=float("nan")),
    ],
)
def test_a_damaged_definition_is_told(tmp_path, monkeypatch, damage):
    path = define(tmp_path)
    contents = json.loads(path.read_text(encoding="utf-8"))
    damage(contents)
    write(path, contents)
    monkeypatch.setattr(exercises, "definitions", lambda: path.parent)
    with pytest.raises(GradeError, match=r"the definition of 01_small is damaged \("):
        load_exercise("01_small")


def test_progress_looks_at_the_exercises_above_and_then_at_the_checkout(
    project, tmp_path, monkeypatch
):
    monkeypatch.chdir(project / "exercises")
    assert next(exercises.exercise_folders()) == project / "exercises"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(unrolled, "__file__", str(project / "src" / "unrolled" / "__init__.py"))
    assert next(exercises.exercise_folders()) == project / "exercises"
    monkeypatch.setattr(unrolled, "__file__", str(tmp_path / "unrolled" / "__init__.py"))
    assert list(exercises.exercise_folders()) == []


# --- In the learner's notebook. ---


@pytest.fixture
def cells(monkeypatch):
    """Run code as the notebook's own, and have it graded."""
    module = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", module)
    monkeypatch.setattr("IPython.get_ipython", lambda: None)

    def run(source):
        path = f"<cell {len(module.__dict__)}>"
        linecache.cache[path] = (len(source), None, source.splitlines(keepends=True), path)
        exec(compile(source, path, "exec"), module.__dict__)
        return module.__dict__

    return run


def test_a_check_shows_what_is_wrong(cells):
    grader = open_grader("01_small")
    assert repr(grader) == "Grader of 01_small: relu, draw, answer"
    assert repr(grader.check("relu")) == (
        "✗ relu: 0 of 2 points\n"
        "  there is no relu: the cell that defines it is missing, or has not run"
    )
    cells("def relu(x):\n    return x")
    assert repr(grader.check("relu")) == (
        "✗ relu: 0 of 2 points\n"
        "  relu(-2.0) must be 0, got -2.0\n"
        "  Hint: Look at the sign.\n"
        "  relu(x) is wrong"
    )
    cells(GOOD["relu"])
    assert repr(grader.check("relu")) == "✓ relu: 2 of 2 points"
    assert str(grader.check("relu")) == "✓ relu: 2 of 2 points"


@pytest.mark.parametrize(
    "body, message",
    [
        ("return x @ np.ones((5, 2))", "ValueError: matmul: .* (in your line: return x @ np"),
        ("assert x > 0, 'mine'", "AssertionError: mine (in your line: assert x > 0, 'mine')"),
        ("return relu", "got <function relu>"),
        ("raise SystemExit", "SystemExit (in your line: raise SystemExit)"),
    ],
)
def test_the_learners_own_line_is_shown(cells, body, message):
    cells(f"import numpy as np\ndef relu(x):\n    {body}")
    shown = " ".join(repr(open_grader("01_small").check("relu")).split())
    start, _, end = message.partition(".*")
    assert start in shown
    assert end in shown


def test_a_line_is_found_under_a_check_that_caught_the_exception(cells):
    namespace = cells("def f():\n    return 1 / 0")
    case = SimpleNamespace(points=1, hidden=False, failure_message=None)

    def check(f):
        try:
            f()
        except ZeroDivisionError as error:
            raise AssertionError("f stopped") from error

    case.body = SimpleNamespace(test_func=check, call_func=lambda env: check(env["f"]))
    question = exercises.Question("f", "F", 1, 5, (), (case,))
    outcome = exercises.run_question(question, namespace)
    assert outcome == Outcome("f", 0, 1, "f stopped (in your line: return 1 / 0)")
    assert own_line(None, namespace) == ""


def test_an_exception_without_a_word_is_no_pass():
    def call_func(env):
        raise LearnerError("\x01", "")

    body = SimpleNamespace(test_func=lambda: None, call_func=call_func)
    case = SimpleNamespace(points=1, hidden=False, failure_message=None, body=body)
    question = exercises.Question("f", "F", 1, 5, (), (case,))
    outcome = exercises.run_question(question, {})
    assert (outcome.score, outcome.passed) == (0, False)


def test_one_cause_is_told_once(cells):
    cells("def relu(x):\n    return 1 / 0")
    shown = repr(open_grader("01_small").check("relu"))
    assert shown.count("ZeroDivisionError") == shown.count("Hint") == 1


def test_an_interrupt_ends_a_check(cells):
    cells("def relu(x):\n    raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        open_grader("01_small").check("relu")


def test_the_total_says_what_is_next(cells):
    grader = open_grader("01_small")
    cells(f"{GOOD['relu']}\nanswer = 42\ndef draw(n, *, rng): return 1 + {{}}")
    assert repr(grader.total()) == (
        "✓ relu    2 of 2\n"
        "✗ draw    0 of 1      TypeError: unsupported operand type(s) for +: 'int' and 'dict' (in\n"
        "                      your line: def draw(n, *, rng): return 1 + {})\n"
        "✓ answer  0.5 of 0.5\n"
        "\n"
        "Total: 2.5 of 3.5 points\n"
        "Next: draw, 'On draw': 1 point, about 5 min"
    )
    cells(GOOD["draw"])
    assert repr(grader.total()).endswith("3.5 of 3.5 points\nAll questions are done.")


def test_unknown_names_are_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="no question 'tanh'; the questions are: relu, draw, ans"):
        open_grader("01_small").check("tanh")
    with pytest.raises(GradeError, match="there is no exercise '02_none'; there are: .*01_small"):
        open_grader("02_none")


def test_in_ipython_its_globals_are_used(monkeypatch):
    shell = SimpleNamespace(user_ns={"answer": 42})
    monkeypatch.setattr("IPython.get_ipython", lambda: shell)
    assert str(open_grader("01_small").check("answer")) == "✓ answer: 0.5 of 0.5 points"


def test_jupyter_shows_the_text_as_it_is(project):
    # The kernel is another process, which needs to be told of the exercise.
    told = "import pathlib\nfrom unrolled.grade import exercises\n"
    told += f"exercises.definitions = lambda: pathlib.Path({str(project / 'definitions')!r})\n"
    cells = [told + FIRST, GOOD["relu"], 'grader.check("relu")', "grader.total()"]
    nb = nbformat.from_dict(notebook(cells))
    client(Path("any name.ipynb").resolve(), nb).execute()
    assert [o.data["text/plain"] for o in nb.cells[3].outputs] == ["✓ relu: 2 of 2 points"]
    assert nb.cells[4].outputs[0].data["text/plain"].startswith("✓ relu    2 of 2\n✗ draw")


# --- The text. ---


def test_a_message_is_fit_for_a_terminal():
    assert tidy("a\x07\x1b]0;b\x00\r\n\tc\ud800é（") == "a]0;b\n    cé（"
    assert tidy("\x01") == "failed without a word"
    assert len(tidy("x" * 10**6)) < 3000


def test_long_lines_are_broken_and_others_stay():
    message = "a matrix\n  [[1 2]\n   [3 4]]\n" + "word " * 40
    shown = text.verdict(Outcome("f", 0, 1, message))
    assert "\n    [[1 2]\n     [3 4]]\n" in shown
    assert max(map(len, shown.splitlines())) <= text.WIDTH
    narrow = text.table([Outcome("f", 0.5, 1, message), Outcome("g", 1, 1, "")], width=40)
    assert max(map(len, narrow.splitlines())) <= 40
    assert narrow.splitlines()[0] == "~ f  0.5 of 1  a matrix"
    assert narrow.splitlines()[-1] == "✓ g  1 of 1"
    assert text.table([Outcome("f", 0, 1, "one\ntwo")], brief=True) == "✗ f  0 of 1  one"
