"""What a learner's code can see and use where a sandbox holds it, and what is said without one."""

import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from unrolled.grade import GradeError, LearnerError, sandbox, usage
from unrolled.grade.errors import Stopped
from unrolled.grade.sandbox import (
    USERS,
    Limits,
    Sandbox,
    claim_user,
    environment,
    open_sandbox,
    visible,
)
from unrolled.grade.seccomp import filter_program
from unrolled.grade.session import Session


@pytest.fixture(scope="module")
def box() -> Sandbox:
    try:
        return open_sandbox()
    except GradeError as error:
        if os.environ.get("CI_RUN"):
            raise
        pytest.skip(str(error))


@pytest.fixture
def run(box, tmp_path):
    """Run a cell in the sandbox, and return what it has set ``x`` to, or what went wrong."""

    def ran(source, *, time_limit=20.0, **limits):
        own = box._replace(limits=box.limits._replace(**limits))
        with Session(tmp_path, time_limit=time_limit, sandbox=own) as session:
            error = session.run(source)
            ran.usage = session.usage
            return error if error is not None else session.fetch(["x"]).get("x")

    return ran


def test_the_files_of_others_are_not_there(run, tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("42")
    home, root = Path.home(), Path(__file__).parents[1]
    source = "from pathlib import Path\nx = [str(p) for p in map(Path, {}) if p.exists()]"
    hidden = [secret, tmp_path, home / ".ssh", home / ".bashrc", root / "solutions", root / ".git"]
    hidden += ["/etc/passwd", "/etc/shadow", "/var", "/run", "/sys", "/home", root / "book"]
    assert run(source.format([str(path) for path in hidden])) == []
    assert len(run(source.format(["/usr/bin", "/tmp/home"]))) == 2


def test_what_is_shown_cannot_be_written(run):
    source = """
    import os, sys, unrolled
    x = []
    for path in [unrolled.__file__, sys.executable, "/usr/bin/new", "/new", "/dev/new", "/etc/new"]:
        try:
            open(path, "a").close()
        except OSError:
            continue
        x.append(path)
    """
    assert run(source) == []
    assert run("open('mine', 'w').write('a')\nx = open('mine').read()") == "a"


def test_there_is_no_network_and_no_other_process(run):
    source = "import socket\nx = [name for _, name in socket.if_nameindex()]"
    assert run(source) == ["lo"]
    listener = __import__("socket").create_server(("127.0.0.1", 0))
    with listener:
        port = listener.getsockname()[1]
        error = run(f"import socket\nsocket.create_connection(('127.0.0.1', {port}), 2)")
    assert isinstance(error, LearnerError)
    assert error.kind == "ConnectionRefusedError"
    seen = run("import os\nx = [int(p) for p in os.listdir('/proc') if p.isdigit()]")
    assert 1 in seen
    assert len(seen) < 10
    assert os.getpid() not in seen


def test_nothing_of_the_graders_environment_comes_in(run, monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "42")
    monkeypatch.setenv("PYTHONSTARTUP", "/tmp/x.py")
    x = run("import os\nx = dict(os.environ)")
    assert "SECRET_TOKEN" not in x
    assert "PYTHONSTARTUP" not in x
    assert x["HOME"] == x["TMPDIR"] == "/tmp/home"
    assert x["OMP_NUM_THREADS"] == "1"


def test_it_has_no_rights_and_gets_none(run, box):
    x = run(
        "import os\nx = dict(line.split(':\\t', 1) for line in open('/proc/self/status')"
        " if ':\\t' in line) | {'uid': str(os.getuid())}"
    )
    assert {x[key].strip() for key in ("CapEff", "CapPrm", "CapBnd")} == {"0" * 16}
    assert x["NoNewPrivs"].strip() == "1"
    assert int(x["uid"]) == (os.getuid() or box.user)
    error = run("import subprocess\nsubprocess.run(['unshare', '-U', 'true'], check=True)")
    assert isinstance(error, LearnerError)


def test_memory_is_limited_for_one_and_for_all(run):
    assert run("import numpy as np\nnp.ones(50 * 2**30 // 8)").kind == "MemoryError"
    many = """
    import os, time
    for _ in range(8):
        if os.fork() == 0:
            held = b"a" * (80 * 2**20)
            time.sleep(60)
    time.sleep(60)
    """
    error = run(many, memory=500 * 2**20)
    assert isinstance(error, Stopped)
    assert "it held more than 0.488281 GB of memory" in str(error)
    assert run.usage.memory > 500 * 2**20


@pytest.mark.skipif(not filter_program(), reason="the calls of this machine are not known")
def test_there_is_no_memory_that_no_limit_counts(run):
    error = run("import os\nx = os.memfd_create('a')")
    assert "Operation not permitted" in str(error)
    keys = "import ctypes\nx = ctypes.CDLL(None).syscall(250, 0, -3, 0)"
    if platform.machine() == "x86_64":
        assert run(keys) == -1
    segment = "import ctypes\nx = ctypes.CDLL(None, use_errno=True).shmget(0, 4096, 0o1600)"
    assert run(segment) == -1


def test_shared_memory_counts_that_a_process_has_let_go(run):
    hold = """
    import mmap, time
    held = mmap.mmap(-1, 400 * 2**20)
    for start in range(0, len(held), 2**20):
        held[start : start + 2**20] = bytes(2**20)
    held.madvise(mmap.MADV_DONTNEED)
    time.sleep(60)
    """
    error = run(hold, memory=300 * 2**20)
    assert "it held more than 0.292969 GB of memory" in str(error)


def test_what_nobody_counts_must_leave_the_machine_some_memory(box, tmp_path, monkeypatch):
    with Session(tmp_path, sandbox=box) as session:
        assert session.run("x = 1") is None
        monkeypatch.setattr(usage, "LEAST", 2**60)
        error = session.run("import time\ntime.sleep(5)")
    assert "the machine had no memory left" in str(error)
    assert (session.usage.greedy, session.usage.short) == (False, True)


def test_open_files_are_limited(run):
    error = run("import os\nx = [os.pipe() for _ in range(200)]")
    assert "Too many open files" in str(error)


def test_more_than_one_busy_core_is_too_much(box, tmp_path, monkeypatch):
    busy = "import time\nend = time.monotonic() + 3\nwhile time.monotonic() < end:\n    x = 1"
    with Session(tmp_path, sandbox=box) as session:
        assert session.run(busy) is None
        # As if an hour's work had been done at once: how many cores are free here is not known.
        monkeypatch.setattr(usage, "BURST", -3600.0)
        error = session.run(busy)
    assert "its processes kept more than one core busy" in str(error)
    assert session.usage.greedy


def test_processes_and_threads_are_limited(run):
    source = """
    import os, time
    x = 0
    try:
        while x < 500:
            if os.fork() == 0:
                time.sleep(60)
            x += 1
    except BlockingIOError:
        pass
    """
    assert 0 < run(source, processes=20) < 20
    assert run("import threading, time\nfor _ in range(99):\n"
               "    threading.Thread(target=time.sleep, args=(9,)).start()",
               processes=20).kind == "RuntimeError"  # fmt: skip


def test_processor_time_is_limited_for_each_process(run):
    error = run("while True:\n    pass", cpu=1)
    assert "stopped by the system (SIGXCPU)" in str(error) or "(SIGKILL)" in str(error)


def test_definitions_are_hidden(run):
    source = """
    import unrolled
    from pathlib import Path
    x = [p.name for p in Path(unrolled.__file__).parent.joinpath("grade/definitions").iterdir()]
    """
    assert run(source) == []


def test_files_are_limited_one_by_one_and_together(run):
    one = "open('a', 'wb').write(bytes(9 * 2**20))"
    assert "File too large" in str(run(one, file_size=8 * 2**20))
    many = "for i in range(9):\n    open(f'{i}', 'wb').write(bytes(7 * 2**20))"
    assert "No space left" in str(run(many, file_size=8 * 2**20, files=30 * 2**20))
    assert "Read-only file system" in str(run("open('/dev/shm/a', 'wb')"))


def test_what_a_cell_starts_ends_with_it(box, tmp_path):
    daemon = """
    import os, time
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            name = "/proc/self/comm"
            open(name, "w").write("outlives")
            time.sleep(600)
        os._exit(0)
    time.sleep(0.5)
    """
    with Session(tmp_path, sandbox=box) as session:
        assert session.run(daemon) is None
        assert [p for p in psutil.process_iter(["name"]) if p.info["name"] == "outlives"]
    deadline = time.monotonic() + 5
    while [p for p in psutil.process_iter(["name"]) if p.info["name"] == "outlives"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_how_a_process_ended_is_told(run):
    assert "stopped by the system (SIGSEGV)" in str(run("import os\nos.kill(os.getpid(), 11)"))
    assert "with exit code 7" in str(run("import os\nos._exit(7)"))


def test_workers_have_users_of_their_own():
    as_root = Sandbox("bwrap", claim_user())
    users = {as_root.user, *(as_root.for_worker().user for _ in range(3))}
    assert len(users) == 4
    assert users <= set(USERS)
    program = "from unrolled.grade.sandbox import claim_user; print(claim_user())"
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert int(other.stdout) not in users
    assert Sandbox("bwrap", None).for_worker().user is None


def test_no_more_graders_than_there_are_users(monkeypatch):
    monkeypatch.setattr(sandbox, "USERS", range(USERS.stop, USERS.stop + 1))
    claim_user()
    with pytest.raises(GradeError, match="too many graders"):
        claim_user()


def test_only_python_and_the_package_are_visible():
    shown = list(visible())
    assert len(set(shown)) == len(shown)
    root = Path(__file__).parents[1]
    assert not any(Path(path) == root or root.is_relative_to(path) for path in shown)
    assert environment("/tmp/x")["HOME"] == "/tmp/x"


def test_without_bubblewrap_the_command_names_the_package_and_the_flag(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(GradeError, match="apt install bubblewrap") as caught:
        open_sandbox()
    assert "--no-sandbox grades without it" in str(caught.value)


def test_where_the_system_forbids_it_that_is_told(monkeypatch, tmp_path):
    forbidden = tmp_path / "bwrap"
    forbidden.write_text(
        "#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2; exit 1"
    )
    forbidden.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda name: str(forbidden))
    with pytest.raises(GradeError, match="No permissions to create new namespace") as caught:
        open_sandbox()
    assert "bubblewrap does not work here" in str(caught.value)
    assert "--no-sandbox" in str(caught.value)


def test_without_a_sandbox_root_must_let_others_read_python(monkeypatch):
    monkeypatch.setattr(Sandbox, "problem", lambda self: "Permission denied")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(GradeError, match="cannot start this Python .Permission denied.: let every"):
        open_sandbox(allow_none=True)


def test_without_a_sandbox_an_ordinary_user_gets_a_process_without_secrets(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "42")
    with Session(tmp_path, sandbox=Sandbox(None, None, Limits(processes=0))) as session:
        assert session.run("import os\nx = os.environ.get('SECRET_TOKEN')\ny = os.getcwd()") is None
        found = session.fetch(["x", "y"])
    assert found["x"] is None
    assert "unrolled-" in found["y"]
    assert not Path(found["y"]).exists()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can change the user")
def test_what_is_left_of_a_user_is_cleared(box):
    user = claim_user()
    # One that sleeps, and one that ends whatever of its user's would end it.
    fights = "import os\nwhile True:\n    try: os.kill(-1, 9)\n    except OSError: pass"
    program = ["/usr/bin/env", "python3", "-S", "-c", fights]
    commands = [
        ["/bin/sleep", "60"],
        program if os.access("/usr/bin/python3", os.X_OK) else ["/bin/sleep", "60"],
    ]
    left = [
        subprocess.Popen(c, user=user, cwd="/", env={"PATH": "/usr/bin:/bin"}) for c in commands
    ]
    own = Sandbox(None, user)
    assert own.others()
    assert own.clear()
    assert [process.wait(5) for process in left] == [-9, -9]
    assert own.others() == []


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can change the user")
def test_files_that_a_user_has_left_are_deleted(tmp_path, monkeypatch):
    monkeypatch.setattr(sandbox, "PUBLIC", (str(tmp_path), str(tmp_path / "missing")))
    user, other = claim_user(), claim_user()
    left = ["file", "folder/deep/file", "open/file", "open/open/folder/file", "link", "pipe"]
    kept = ["others/file", "open/others", "mine/file"]  # the last two belong to others
    for name in ("open", "open/open"):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(0o1777)
    for name in [*left, *kept]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name == "link":
            path.symlink_to(tmp_path / "others")
        elif name == "pipe":
            os.mkfifo(path)
        else:
            path.write_text("answers")
    for name in ("file", "folder", "open/file", "open/open/folder", "link", "pipe"):
        os.chown(tmp_path / name, user, user, follow_symlinks=False)
    os.chown(tmp_path / "open/others", other, other)
    assert Sandbox(None, user).clear()
    assert not [name for name in left if os.path.lexists(tmp_path / name)]
    assert [name for name in kept if (tmp_path / name).is_file()] == kept


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can change the user")
def test_one_submission_leaves_nothing_for_the_next(tmp_path):
    try:
        own = open_sandbox(allow_none=True)
    except GradeError as error:
        pytest.skip(str(error))
    for name in ("/tmp/unrolled-answers", "/dev/shm/unrolled-answers"):
        with Session(tmp_path, sandbox=own) as session:
            assert session.run(f"open({name!r}, 'w').write('42')") is None
        with Session(tmp_path, sandbox=own) as session:
            assert "FileNotFoundError" in str(session.run(f"open({name!r})"))
