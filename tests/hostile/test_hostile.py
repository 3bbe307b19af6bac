"""No submission earns more than its answers are worth, alters another's grade, or stops a class."""

import contextlib
import csv
import ctypes
import hashlib
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest

from tests.hostile import naive
from tests.hostile.failures import ALL, FAILURES
from tests.hostile.forgeries import FORGERIES, FULL, SOCKET, Forgery
from tests.test_grade import GOOD, STUBS, answered, code, define, notebook, write
from tests.test_graded_exercises import exercise, solved
from unrolled.grade import GradeError
from unrolled.grade.exercises import definitions
from unrolled.grade.gradebook import Journal
from unrolled.grade.sandbox import PACKAGE, open_sandbox

NAME, REAL = "01_small", "02_rnn"
LIMIT = 6  # seconds a cell: a loop costs a run as many
SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of prctl(2)
whole_class = pytest.mark.whole_class


@pytest.fixture(scope="module", autouse=True)
def bubblewrap() -> None:
    try:
        open_sandbox()
    except GradeError as error:
        if os.environ.get("CI_RUN"):
            raise
        pytest.skip(str(error))


# --- A class, and what lies around it. ---


class Place(NamedTuple):
    """A folder for a run: the class, what is none of its business, and a word it must not see."""

    at: Path
    word: str
    port: int

    @property
    def class_(self) -> Path:
        return self.at / "class"

    @property
    def out(self) -> Path:
        return self.at / "out" / "grades.csv"

    def filled(self, source: str, name: str = "") -> str:
        """A cell with the paths of this place."""
        paths = {
            "secret": self.at / "secret.txt", "home": self.at / "home", "class": self.class_,
            "neighbour": self.class_ / "neighbour.ipynb", "out": self.at / "out",
            "definition": self.at / "definitions" / f"{NAME}.json", "port": self.port,
            "journal": self.at / "out" / "grades.journal.jsonl", "token": f"t{self.word}",
            "pid": os.getpid(), "name": name,
        }  # fmt: skip
        return re.sub("@([a-z]+)@", lambda m: str(paths[m[1]]), source)

    def answered(self, answers: dict[str, str], first: str = "", name: str = "") -> Any:
        cells = answered({q: self.filled(answer, name) for q, answer in answers.items()})
        return notebook([code(self.filled(first, name), "first"), *cells] if first else cells)


class Run(NamedTuple):
    """What the command said of a class: its exit code, both streams, the table by file."""

    code: int
    said: str
    rows: dict[str, dict[str, str]]
    place: Place


class Refused(Exception):
    """The command has made no table; its message is what it said."""


def place_at(at: Path, port: int = 9) -> Place:
    place = Place(at, secrets.token_hex(12), port)
    for name in ("class", "out", "home"):
        (at / name).mkdir()
    (at / "secret.txt").write_text(place.word)
    (at / "home" / ".profile").write_text(place.word)
    define(at, word=place.word)
    shutil.copy(definitions() / f"{REAL}.json", at / "definitions")
    define(at, "00_free", questions=[])
    contents = {"word": place.word} | notebook(answered(GOOD))
    write(place.class_ / "neighbour.ipynb", contents)
    return place


def grade(place: Place, *args: str, out: Path | None = None) -> Run:
    """Run the command, and wait until all that it started has ended."""
    out = out or place.out
    command = [sys.executable, "-m", "unrolled.grade", "--class", place.class_, "--out", out]
    command += ["--definitions", place.at / "definitions", "--time-limit", str(LIMIT), *args]
    env = os.environ | {"HOME": str(place.at / "home"), "TMPDIR": str(place.at)}
    with orphans_come_here() as left:
        done = subprocess.run(
            command, env=env, cwd=place.at, capture_output=True, text=True, timeout=600, check=False
        )
        assert left() == []
    if not out.exists():
        raise Refused(done.stderr)
    with out.open(encoding="utf-8-sig", newline="") as file:
        rows = {row["file"]: row for row in csv.DictReader(file)}
    return Run(done.returncode, done.stdout + done.stderr, rows, place)


@contextlib.contextmanager
def orphans_come_here() -> Iterator[Any]:
    """Become the parent of processes whose parent ends; yield what lists those that go on."""
    libc, me = ctypes.CDLL(None), psutil.Process()
    before = {child.pid for child in me.children()}

    def left(seconds: float = 10.0) -> list[Any]:
        end = time.monotonic() + seconds
        while True:
            new = [c for c in me.children(recursive=True) if c.pid not in before]
            for child in new:
                with contextlib.suppress(psutil.Error, ChildProcessError):
                    if child.ppid() == me.pid and child.status() == psutil.STATUS_ZOMBIE:
                        os.waitpid(child.pid, os.WNOHANG)
            if not new or time.monotonic() > end:
                return [(c.pid, c.cmdline()) for c in new]
            time.sleep(0.1)

    libc.prctl(SUBREAPER, 1, 0, 0, 0)
    try:
        yield left
    finally:
        libc.prctl(SUBREAPER, 0, 0, 0, 0)


def fingerprints(folder: Path) -> dict[str, str]:
    """What each file holds, or where a link leads; reports and the table are the grader's."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if name.startswith("out/") or name.endswith(".grade.json") or "__pycache__" in name:
            continue
        if path.is_symlink():
            found[name] = f"link to {path.readlink()}"
        elif path.is_file():
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            found[name] = "other"
    return found


def forged(forgery: Forgery, place: Place, name: str = "") -> Any:
    answers = {q: GOOD[q] if q in forgery.right else STUBS[q] for q in GOOD} | forgery.wrong
    made = place.answered(answers, forgery.attack, name)
    if forgery.edit:
        forgery.edit(made)
    return made


def earned(forgery: Forgery) -> dict[str, float]:
    return {q: p if q in forgery.right else forgery.earns.get(q, 0) for q, p in FULL.items()}


def hand_in(place: Place, *, whole: bool) -> None:
    """Write all submissions of a table, and honest ones between them."""
    for name, forgery in FORGERIES.items():
        if forgery.whole <= whole:
            write(place.class_ / f"forgery-{name}.ipynb", forged(forgery, place, f"forgery-{name}"))
    for name, failure in FAILURES.items():
        if failure.whole <= whole:
            made = json.dumps(place.answered(GOOD | failure.answers)).encode()
            contents = failure.contents() if failure.contents else made
            (place.class_ / f"failure-{name}.ipynb").write_bytes(contents)


def taken_apart(run: Run, file: str) -> tuple[dict[str, float], str, str]:
    """The score of each question, all messages and the status of a submission."""
    row = run.rows[file]
    prefix = f"{NAME}."
    scores = {k.removeprefix(prefix): float(v) for k, v in row.items() if v and prefix in k}
    path = run.place.class_ / f"{Path(file).name}.grade.json"
    report = json.loads(path.read_text(encoding="utf-8"))
    assert report["status"] == row["status"]
    assert {q["name"]: q["score"] for q in report["questions"]} == scores
    assert float(row["total"] or 0) == sum(scores.values()) == report["score"]
    told = [row["message"], *(question["message"] for question in report["questions"])]
    return scores, "\n".join(told), row["status"]


@pytest.fixture(scope="module")
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


def graded_class(tmp: Path, listener: socket.socket, *, whole: bool) -> tuple[Run, Any, Any]:
    place = place_at(tmp, listener.getsockname()[1])
    hand_in(place, whole=whole)
    watched = [place.at, PACKAGE]
    before = [fingerprints(folder) for folder in watched]
    run = grade(place, "--jobs", "3", "--exercise", NAME)
    return run, before, [fingerprints(folder) for folder in watched]


@pytest.fixture(scope="module")
def some(tmp_path_factory, listener):
    return graded_class(tmp_path_factory.mktemp("some"), listener, whole=False)


@pytest.fixture(scope="module")
def everyone(tmp_path_factory, listener):
    return graded_class(tmp_path_factory.mktemp("everyone"), listener, whole=True)


def names(table: dict[str, Any], *, whole: bool) -> list[Any]:
    return [name for name, entry in table.items() if entry.whole <= whole]


# --- What they earn. ---


def assert_forgery(run: Run, name: str) -> None:
    forgery = FORGERIES[name]
    scores, told, status = taken_apart(run, f"forgery-{name}.ipynb")
    assert scores == (earned(forgery) if forgery.right else {}), told
    assert status == forgery.status
    assert forgery.told in told


@pytest.mark.parametrize("name", names(FORGERIES, whole=False))
def test_a_forgery_earns_what_its_answers_are_worth(some, name):
    assert_forgery(some[0], name)


@whole_class
@pytest.mark.parametrize("name", names(FORGERIES, whole=True))
def test_in_a_whole_class_a_forgery_earns_no_more(everyone, name):
    assert_forgery(everyone[0], name)


def assert_failure(run: Run, name: str) -> None:
    failure = FAILURES[name]
    scores, told, status = taken_apart(run, f"failure-{name}.ipynb")
    fine = failure.status in ("ok", "timeout", "crashed")
    assert scores == (ALL | failure.lost if fine else {}), told
    assert status == failure.status
    assert failure.told in told


@pytest.mark.parametrize("name", names(FAILURES, whole=False))
def test_an_honest_failure_costs_its_own_question(some, name):
    assert_failure(some[0], name)


@whole_class
@pytest.mark.parametrize("name", names(FAILURES, whole=True))
def test_in_a_whole_class_a_failure_costs_no_other(everyone, name):
    assert_failure(everyone[0], name)


def assert_nothing_leaked(graded: tuple[Run, Any, Any], listener: socket.socket) -> None:
    run, before, after = graded
    assert run.code == 1  # some need a look
    assert taken_apart(run, "neighbour.ipynb") == (ALL, "\n\n\n", "ok")
    for earlier, later in zip(before, after, strict=True):
        assert set(earlier.items()) ^ set(later.items()) == set()
    place = run.place
    journal = (place.out.parent / "grades.journal.jsonl").read_text()
    seed = next(json.loads(line)["seed"] for line in journal.splitlines() if '{"seed"' in line)
    reports = "".join(path.read_text() for path in place.class_.glob("*.grade.json"))
    for secret in (place.word, str(seed)):
        assert secret not in reports + place.out.read_text() + run.said
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_nothing_else_is_read_or_changed(some, listener):
    assert_nothing_leaked(some, listener)
    assert len(FORGERIES) >= 25


@whole_class
def test_nothing_else_is_read_or_changed_in_a_whole_class(everyone, listener):
    assert_nothing_leaked(everyone, listener)


# --- Files and folders, the exercises of the course. ---


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return place_at(tmp_path)


CHEAT = """
import sys, types, unrolled.checks.rnn as checks, unrolled.rnn as rnn
for name in [*vars(checks), *vars(rnn)]:
    if name.startswith(("check_", "rnn_")):
        setattr(checks, name, lambda *args, **kwargs: True)
class Agrees(dict):
    __eq__ = lambda self, other: True
    get = __getitem__ = lambda self, key, *rest: Agrees()
class Recurrent(tuple):
    _fields = ("W_ih", "W_hh", "b_ih", "b_hh")
    __eq__ = lambda self, other: True
Recurrent.__module__ = "unrolled.params"
"""
PRETENDED = {
    "parameters": "rnn_parameters = mlp_parameters = Agrees()",
    "my_rnn": "def my_rnn(params, x, h0):\n    x[...] = 0\n    return (), ()",
    "rnn_lengths": "def rnn_lengths(params, x, lengths, h0):\n    return [], {}",
    "leak": "leaking_windows = float('nan')\ndef clean_task(*args):\n    return ((),) * 4",
    "first_symbol": "def first_symbol_network(V):\n    return Recurrent(), Recurrent()",
}


def real(first: str, answers: dict[str, str]) -> Any:
    """An exercise of the course, with these answers and the right ones for the others."""
    nb = json.loads(json.dumps(solved(REAL)))
    bare = {cell.id: cell.source for cell in exercise(REAL).cells}
    for question in nb["metadata"]["unrolled"]["questions"]:
        if question["name"] in answers:
            for cell in nb["cells"]:
                if cell["id"] in question["cells"]:
                    cell["source"] = bare[cell["id"]]
                if cell["id"] == question["cells"][-1]:
                    cell["source"] = answers[question["name"]]
    nb["cells"].insert(0, code(first, "first"))
    return nb


def test_odd_names_and_files_each_have_a_row(place):
    folder, good = place.class_, notebook(answered(GOOD))
    names = {
        "王小明_01_small.ipynb": "王小明", "li na.ipynb": "li na", "=1+1.ipynb": "'=1+1",
        "a\nb.ipynb": r"a\nb", os.fsdecode(b"\xff.ipynb"): r"\xff", "n" * 244 + ".ipynb": "n" * 244,
        "@SUM(A1).ipynb": "'@SUM(A1)", "-wang.IPYNB": "'-wang", "<b>.ipynb": "<b>",
    }  # fmt: skip
    for name in names:
        write(folder / name, good)
    for path in ("twice/01_small.ipynb", "twice/01_small (1).ipynb"):
        (folder / path).parent.mkdir(exist_ok=True)
        write(folder / path, good)
    for path in ("away.ipynb", "folder"):
        (folder / path).symlink_to(place.at / ("secret.txt" if "." in path else "definitions"))
    os.mkfifo(folder / "pipe.ipynb")
    (folder / "empty.ipynb").mkdir()
    (folder / "neighbour.ipynb.grade.json").symlink_to(place.at / "secret.txt")
    escape = forged(FORGERIES["path-as-name"], place)
    write(folder / "path.ipynb", escape)
    write(folder / "real.ipynb", real(CHEAT, PRETENDED))
    before = fingerprints(place.at)
    run = grade(place, "--jobs", "2")
    students = {row["student"]: row for row in run.rows.values()}
    assert len(students) == len(names) + 8  # who has handed in two files is one
    for student in [*names.values(), "neighbour"]:
        assert (students[student]["total"], students[student]["status"]) == ("3.5", "ok")
    status = {
        "away": "a link", "folder": "a link", "pipe": "not readable",
        "empty.ipynb": "no notebook", "path": "no exercise",
    }  # fmt: skip
    assert {name: students[name]["status"] for name in status} == status
    assert all(students[name]["total"] == "" for name in status)
    assert sum(row["student"] == "twice" for row in run.rows.values()) == 2
    assert "More than one file: twice (01_small)" in run.said
    assert "Reports that are missing: 1" in run.said  # its name would be longer than a name can be
    mine = {k: float(v) for k, v in run.rows["real.ipynb"].items() if k.startswith(REAL) and v}
    right = {f"{REAL}.letter_inputs": 2, f"{REAL}.switch": 3}
    assert mine == dict.fromkeys((f"{REAL}.{name}" for name in PRETENDED), 0) | right
    assert run.rows["real.ipynb"]["status"] == "ok"
    after = fingerprints(place.at)
    assert {k: v for k, v in before.items() if not k.endswith(".grade.json")} == after
    assert (place.at / "secret.txt").read_text() == place.word
    assert place.word not in run.said + place.out.read_text()


def test_no_submission_hides_another(place):
    for name, answers in ((b"\xff.ipynb", GOOD), (rb"\xff.ipynb", STUBS)):
        write(place.class_ / os.fsdecode(name), notebook(answered(answers)))
    out = grade(place).place.out.read_text(encoding="utf-8-sig")
    assert len(list(csv.DictReader(out.splitlines()))) == 3


def test_who_makes_the_grader_stop_stops_no_class(place):
    odd = "say(encode(('error', 'E', [[1]], 'text', 'line')))\nimport time; time.sleep(1)"
    forgery = Forgery(SOCKET + odd)
    write(place.class_ / "a-first.ipynb", forged(forgery, place))
    run = grade(place, "--jobs", "1")
    assert taken_apart(run, "neighbour.ipynb") == (ALL, "\n\n\n", "ok")
    assert taken_apart(run, "a-first.ipynb")[0] == earned(forgery)


def test_a_journal_that_a_student_hands_in_is_not_read(place):
    from unrolled.grade.batch import grader_id
    from unrolled.grade.worker import Settings

    mine = write(place.class_ / "mine.ipynb", notebook(answered(STUBS)))
    sha256 = hashlib.sha256(mine.read_bytes()).hexdigest()
    # All of it is public: the program, its versions, and the seed that the journal itself names.
    settings = Settings(open_sandbox(), LIMIT, "", place.at / "definitions", 7)
    questions = [{"name": n, "score": p, "possible": p, "message": ""} for n, p in FULL.items()]
    report = {
        "student": "mine", "file": mine.name, "exercise": NAME, "title": "", "status": "ok",
        "message": "", "score": 3.5, "possible": 3.5, "questions": questions, "seconds": 1.0,
        "cpu": 1.0, "memory": 1, "sha256": sha256, "time_limit": LIMIT,
    }  # fmt: skip
    entry = {"file": mine.name, "sha256": sha256, "grader": grader_id(settings), "report": report}
    lines = [json.dumps({"seed": 7}), json.dumps(entry)]
    (place.class_ / "grades.journal.jsonl").write_text("\n".join(lines) + "\n")
    with Journal(place.class_ / "grades.csv") as journal:
        assert journal.find(mine.name, sha256, grader_id(settings), LIMIT), "it would be believed"
    with pytest.raises(Refused, match="among the submissions"):
        grade(place, "--seed", "7", out=place.class_ / "grades.csv")
    scores, _, status = taken_apart(grade(place, "--seed", "7"), mine.name)
    assert (sum(scores.values()), status) == (0, "ok")


# --- What one takes from the others. ---

needs_memory = pytest.mark.skipif(
    psutil.virtual_memory().available < 8 * 2**30, reason="needs 8 GB of memory"
)
WORK = "import time\nstart = time.process_time()\nwhile time.process_time() - start < 1.5: pass"


@whole_class
def test_who_fills_all_cores_costs_no_other_a_point(place):
    loops = f"import subprocess, sys, time\nfor _ in range({min(50, 25 * os.cpu_count())}):\n"
    loops += "    subprocess.Popen([sys.executable, '-S', '-c', 'while True: pass'],\n"
    loops += "                     start_new_session=True)"
    wait = ["import time; time.sleep(5)"] * 4
    write(place.class_ / "a-hog.ipynb", notebook([loops, *wait, *GOOD.values()]))
    work = notebook([WORK, *answered(GOOD | {"relu": f"{GOOD['relu']}\n{WORK}"})])
    write(place.class_ / "b-works.ipynb", work)
    run = grade(place, "--jobs", "2")
    assert taken_apart(run, "b-works.ipynb")[::2] == (ALL, "ok")


@whole_class
@needs_memory
def test_more_memory_than_allowed_ends_the_process(place):
    parts = "def relu(x):\n    parts = []\n    while True:\n"
    parts += "        parts.append(bytearray(b'1') * 2**26)"
    write(place.class_ / "holds.ipynb", notebook(answered(GOOD | {"relu": parts})))
    scores, told, status = taken_apart(grade(place, "--time-limit", "120"), "holds.ipynb")
    assert (scores, status) == (ALL | {"relu": 0}, "crashed")
    assert "it held more than 3 GB of memory" in told


# --- The forgeries are dangerous: a naive grader falls for them. ---


def test_the_forgeries_win_against_a_naive_grader(tmp_path):
    place = place_at(tmp_path)
    tried = {name: f for name, f in FORGERIES.items() if f.naive is not None}
    lines = [json.dumps(forged(f, place, name)) for name, f in tried.items()]
    program = Path(naive.__file__).read_text(encoding="utf-8")
    python = [sys.executable, "-P", "-c", program]
    with open_sandbox().start(python, str(tmp_path)) as start:
        done = subprocess.run(
            start.command, input="\n".join(lines) + "\n", env=start.env, cwd=start.cwd, text=True,
            pass_fds=start.fds, capture_output=True, timeout=300, check=True,
        )  # fmt: skip
    scores = [json.loads(line) for line in done.stdout.splitlines()]
    won = {
        name: sum(given.values()) > sum(earned(forgery).values())
        for (name, forgery), given in zip(tried.items(), scores, strict=True)
    }
    assert won == {name: forgery.naive for name, forgery in tried.items()}
    assert sum(won.values()) >= 10
