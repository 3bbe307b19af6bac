"""What a learner's process may see and use when somebody else's machine runs it.

Bubblewrap gives it a file system of its own, with read-only views of the system's programs, of this
Python with its packages and of this package, no network and no other processes. The kernel's
limits, set by the process itself before any code of the learner's, bound its time, memory, files
and processes.
"""

import os
import shutil
import site
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import unrolled
from unrolled.grade.errors import GradeError
from unrolled.grade.seccomp import filter_program

USERS = range(60_600, 61_180)  # ids that no system gives to a person or a service
PACKAGE = Path(unrolled.__file__).parent
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/alternatives", "/etc/fonts",
          "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime")  # fmt: skip
PUBLIC = ("/tmp", "/var/tmp", "/dev/shm", "/run/lock")  # where every user may write
HOME = "/tmp/home"  # inside: empty, and gone with the sandbox
INSTALL = "install bubblewrap 0.8 or newer (Debian, Ubuntu: apt install bubblewrap)"
RISK = (
    "--no-sandbox grades without it: then a submission can read what you can read, use the network "
    "and write where you can write"
)


class Limits(NamedTuple):
    """What one submission may use; sizes are in bytes.

    ``cpu``, in seconds, ``address_space`` and ``file_size`` bound each of its processes,
    ``open_files`` too, ``memory`` what all of them hold together, and ``files`` all that they
    write. Threads count as processes. 0 is no limit.
    """

    cpu: int = 600
    address_space: int = 8 * 2**30
    memory: int = 3 * 2**30
    file_size: int = 64 * 2**20
    files: int = 256 * 2**20
    processes: int = 32
    open_files: int = 256


OWN = Limits(cpu=0, file_size=0, processes=0, open_files=0)  # of what a learner grades at home


class Start(NamedTuple):
    """What ``subprocess.Popen`` is given to start a process.

    ``user`` None leaves the user as it is; ``fds`` are open files that the process needs.
    """

    command: list[str]
    cwd: str
    env: dict[str, str]
    user: int | None = None
    fds: tuple[int, ...] = ()


class Sandbox(NamedTuple):
    """How the learner's process is started; ``open_sandbox`` makes one.

    ``bwrap`` is bubblewrap's path, None without it. ``user`` is the user id that the process
    changes to, None where the grader is an ordinary user and the process has its id.
    """

    bwrap: str | None
    user: int | None
    limits: Limits = Limits()

    def for_worker(self) -> "Sandbox":
        """Return the sandbox of one of several workers: no two share a user, nor its limits."""
        return self if self.user is None else self._replace(user=claim_user())

    @contextmanager
    def start(self, python: list[str], folder: str) -> Iterator[Start]:
        """Give how a command of Python's is started, in a folder of its own if there is no other.

        Without bubblewrap ``folder`` is the process's home, and becomes its user's.
        """
        if self.bwrap is None:
            if self.user is not None:
                os.chown(folder, self.user, self.user)
            yield Start(python, folder, environment(folder), self.user)
            return
        with tempfile.TemporaryFile() as rules:
            program = filter_program()
            rules.write(program)
            rules.seek(0)
            fds = (rules.fileno(),) if program else ()
            command = self._boxed(self.bwrap, python, fds)
            yield Start(command, "/", environment(HOME), fds=fds)

    def others(self) -> list[Any]:
        """Return processes that may have left the one that was started, and still count."""
        return processes_of(self.user) if self.bwrap is None and self.user is not None else []

    def clear(self) -> bool:
        """End and delete what a process has left behind; tell whether no process is left.

        In bubblewrap all is gone with its first process.
        """
        if self.bwrap is not None or self.user is None:
            return True
        import psutil

        deadline = time.monotonic() + 5
        while left := processes_of(self.user):
            if time.monotonic() > deadline:
                return False
            for process in left:
                with suppress(psutil.Error):
                    process.kill()
        for place in PUBLIC:
            delete_files_of(self.user, place)
        return True

    def _boxed(self, bwrap: str, python: list[str], rules: tuple[int, ...]) -> list[str]:
        box = [bwrap, "--die-with-parent", "--unshare-pid", "--unshare-net", "--unshare-ipc",
               "--unshare-uts"]  # fmt: skip
        box += ["--dev", "/dev", "--proc", "/proc"]
        box += ["--perms", "1777", "--size", str(self.limits.files), "--tmpfs", "/tmp"]
        paths = list(visible())
        folders = {folder for path in paths for folder in Path(path).parents}
        for folder in sorted(folders - {Path("/"), Path("/tmp")}):
            box += ["--perms", "0755", "--dir", str(folder)]  # else root's alone
        for path in paths:
            box += ["--ro-bind", path, path]
        # A learner's process needs no definitions, and a teacher's may hold hidden tests.
        if (definitions := PACKAGE / "grade/definitions").is_dir():
            box += ["--tmpfs", str(definitions)]
        box += ["--perms", "0777", "--dir", HOME, "--chdir", HOME]
        box += ["--remount-ro", "/dev", "--remount-ro", "/"]
        # No namespace of its own in the inner one: root in it could mount memory without a limit.
        inner = ["--unshare-user", "--disable-userns"]
        for fd in rules:
            inner += ["--seccomp", str(fd)]
        if self.user is None:
            return [*box, *inner, "--cap-drop", "ALL", "--", *python]
        # Root prepares what an ordinary user may not see, and leaves; the kernel then counts this
        # user's processes, which it does not do for root.
        user = str(self.user)
        box += ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", "--"]
        box += ["setpriv", "--reuid", user, "--regid", user, "--clear-groups", "--"]
        box += [bwrap, "--die-with-parent", "--dev-bind", "/", "/", "--chdir", HOME]
        return [*box, *inner, "--", *python]

    def problem(self) -> str:
        """Say why no Python starts in this sandbox; nothing when one does."""
        # To start one is the only test that counts: versions, modules of the kernel, settings of
        # the system and of a container all have their say.
        program = [sys.executable, "-P", "-s", "-c", "import IPython, numpy, unrolled"]
        try:
            with tempfile.TemporaryDirectory() as folder, self.start(program, folder) as start:
                run = subprocess.run(
                    start.command,
                    env=start.env,
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    text=True,
                    errors="replace",
                    timeout=120,
                    cwd=start.cwd,
                    user=start.user,
                    pass_fds=start.fds,
                    check=False,
                )
        except (OSError, subprocess.SubprocessError) as error:
            return str(error)
        if not run.returncode:
            return ""
        return (run.stderr.strip().splitlines() or [f"exit code {run.returncode}"])[-1]


def processes_of(user: int) -> list[Any]:
    """Return the processes of a user, without those that have ended and wait for their parent."""
    import psutil

    found = psutil.process_iter(["uids", "status"])
    return [
        process
        for process in found
        if process.info["uids"]
        and process.info["uids"].real == user
        and process.info["status"] != psutil.STATUS_ZOMBIE
    ]


class Scratch(tempfile.TemporaryDirectory[str]):
    """A folder that is deleted in the end, whatever a learner has put into it."""

    def __init__(self) -> None:
        super().__init__(prefix="unrolled-", ignore_cleanup_errors=True)

    def cleanup(self) -> None:
        """Delete the folder."""
        try:
            super().cleanup()
        except RecursionError:
            delete(self.name)


def delete(folder: str) -> None:
    """Delete a folder, also one with folders in it that lie deeper than Python can follow."""
    subprocess.run(["rm", "-rf", "--", folder], capture_output=True, check=False)


def delete_files_of(user: int, folder: str) -> None:
    """Delete a user's files from a folder where every user may leave some, and from such below it.

    Else they would fill the disk for the next submission, or tell it the answers.
    """
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):
                status = entry.stat(follow_symlinks=False)
                own, is_folder = status.st_uid == user, stat.S_ISDIR(status.st_mode)
                if own and is_folder:
                    delete(entry.path)
                elif own:
                    Path(entry.path).unlink()
                elif is_folder and status.st_mode & stat.S_IWOTH:
                    delete_files_of(user, entry.path)


def claim_user() -> int:
    """Return a user id that no other grader on this machine has while this process lives.

    Raises
    ------
    GradeError
        If all are taken.
    """
    for user in USERS:
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0unrolled.grade.{user}")  # a name without a file; one process can have it
        except OSError:
            claim.close()
        else:
            claim.detach()  # it stays open for as long as this process lives
            return user
    raise GradeError("too many graders run on this machine as root; end some")


def open_sandbox(*, allow_none: bool = False, limits: Limits | None = None) -> Sandbox:
    """Return the sandbox that works on this machine.

    Parameters
    ----------
    allow_none : bool, default False
        Do without bubblewrap. As root, the learner's process still changes to a user of its own,
        who can neither stop the grader nor write into its files; that is what a container needs.
    limits : Limits, optional

    Raises
    ------
    GradeError
        If bubblewrap is missing or forbidden, or without it the other user cannot run Python.
    """
    root = os.name == "posix" and os.geteuid() == 0
    bwrap = None if allow_none else shutil.which("bwrap")
    if not allow_none and bwrap is None:
        raise GradeError(f"there is no bubblewrap here, which keeps submissions apart: {INSTALL}. "
                         f"{RISK}")  # fmt: skip
    sandbox = Sandbox(bwrap, claim_user() if root else None, limits or Limits())
    if problem := sandbox.problem():
        if bwrap is None and not root:
            raise GradeError(f"this Python does not start for a submission: {problem}")
        if bwrap is None:
            raise GradeError(
                f"as root, submissions run as user {sandbox.user}, who cannot start this Python "
                f"({problem}): let everybody read {sys.prefix}, {sys.base_prefix} and {PACKAGE}"
            )
        raise GradeError(
            f"bubblewrap does not work here ({problem}): {INSTALL}, and let users make namespaces, "
            f"which containers and some systems forbid. {RISK}"
        )
    return sandbox


def exposed_by(path: Path) -> str:
    """Return the visible path that a path lies in, and with which submissions could read it.

    The package's own definitions are covered in the sandbox, so they lie in none.
    """
    place = path.resolve()
    if place == PACKAGE.resolve() / "grade/definitions":
        return ""
    inside = (other for other in visible() if place.is_relative_to(Path(other).resolve()))
    return next(inside, "")


def visible() -> Iterator[str]:
    """Yield what a sandbox shows: the system's programs, this Python, its packages and this one."""
    paths = [*SYSTEM, sys.base_prefix, sys.prefix, *site.getsitepackages(), str(PACKAGE)]
    if site.ENABLE_USER_SITE:
        paths.append(site.getusersitepackages())
    shown: list[str] = []
    for path in dict.fromkeys(paths):
        inside = any(Path(path).is_relative_to(other) for other in shown)
        if Path(path).exists() and not inside:
            shown.append(path)
            yield path


def environment(home: str) -> dict[str, str]:
    """Return all the environment that a sandboxed process gets, with its home folder."""
    return {
        "HOME": home,
        "TMPDIR": home,
        "IPYTHONDIR": f"{home}/.ipython",
        "MPLCONFIGDIR": f"{home}/.matplotlib",
        "USER": "learner",  # Python asks for a name, and there is no list of users inside
        "LANG": "C.UTF-8",
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), "/usr/bin", "/bin"]),
        "PYTHONPATH": str(PACKAGE.parent),
    }
