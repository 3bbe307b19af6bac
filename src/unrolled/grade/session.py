"""A learner's notebook at work in a process of its own, which may loop for ever, or die."""

import contextlib
import json
import math
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from pathlib import Path
from types import TracebackType
from typing import Any

from unrolled.grade.errors import GradeError, LearnerError, Status, Stopped, learner_error
from unrolled.grade.sandbox import OWN, PACKAGE, Sandbox, Scratch, Start
from unrolled.grade.usage import Usage
from unrolled.grade.wire import LARGEST, copy_back, decode, encode, receive, send

START = 120.0  # seconds that Python may take to start, on a busy machine
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def defines(source: str, name: str) -> bool:
    """Tell whether a cell defines or assigns a name at its top level.

    Examples
    --------
    >>> [defines(cell, "relu") for cell in ("def relu(x):", "relu = abs", "relu(1)", "relu == 1")]
    [True, True, False, False]
    """
    name = re.escape(name)
    kinds = rf"(?:async\s+)?def\s+{name}\b|class\s+{name}\b|{name}\s*(?::[^=\n]+)?=(?!=)"
    return re.search(rf"^(?:{kinds})", source, re.MULTILINE) is not None


class Session:
    """Runs the cells of a notebook, and calls the functions that they define.

    A cell that takes too long or ends the process is dropped: a new process runs again all cells
    that had ended, and the notebook goes on. Use it in a ``with`` statement.

    Parameters
    ----------
    folder : path
        Where the cells run: that of the notebook. In a sandbox it is an empty folder instead.
    time_limit : float, default 60.0
        Seconds for each cell, and for all the calls of one check.
    total_limit : float, optional
        Seconds for all together.
    sandbox : Sandbox, optional
        How the process is confined. Without one it can do what its user can.
    """

    def __init__(
        self,
        folder: Path,
        *,
        time_limit: float = 60.0,
        total_limit: float = math.inf,
        sandbox: Sandbox | None = None,
    ) -> None:
        if os.name != "posix":
            raise GradeError(
                "grading needs Linux, macOS or WSL; grader.total() in the notebook works anywhere"
            )
        self.folder, self.time_limit, self.sandbox = folder, time_limit, sandbox
        self.trouble: Status | None = None  # how a cell or a function was first stopped
        self.reason = ""  # and why
        self.usage = Usage()
        self._total_limit, self._last = total_limit, time.monotonic() + total_limit
        self._ended: list[str] = []  # the cells that a new process has to run
        self._process: subprocess.Popen[bytes] | None = None
        self._link: socket.socket | None = None
        self._why = ""  # the last process was ended
        self._asked = 0  # requests so far: an answer says which it is of
        self._hung: dict[str, str] = {}  # functions that have been stopped, and why
        self._has_run = False
        # IPython makes folders, and a learner temporary files: here they leave nothing behind.
        self._own = Scratch()

    def __enter__(self) -> "Session":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._kill()
        self._own.cleanup()

    def run(self, source: str) -> LearnerError | Stopped | None:
        """Run a cell; return what went wrong, if anything."""
        self._hung = {n: why for n, why in self._hung.items() if not defines(source, n)}
        error = None
        try:
            self._start()
            self._ask("its cell", self._deadline(), "run", source)
        except Stopped as stopped:
            return stopped
        except LearnerError as raised:
            error = raised
        self._ended.append(source)
        return error

    def fetch(self, names: Iterable[str]) -> dict[str, Any]:
        """Return those of the named globals that exist: values, and functions that run over there.

        All calls of the functions share one time limit. Once one was stopped, so is every other,
        and it is not tried again until a cell defines it anew.

        Raises
        ------
        LearnerError
            If a value is of a type that cannot cross.
        Stopped
            If the process does not answer, or a function was stopped before.
        """
        for name in names:
            if name in self._hung:
                raise Stopped(self._hung[name])
        self._start()
        deadline, found = self._deadline(), {}
        for name in names:
            match self._ask(name, deadline, "fetch", name):
                case (str("value"), value):
                    found[name] = value
                case (str("function"), str(own_name)):
                    found[name] = self._proxy(name, own_name, deadline)
        return found

    def _deadline(self) -> float:
        return min(time.monotonic() + self.time_limit, self._last)

    def _proxy(self, name: str, own_name: str, deadline: float) -> Callable[..., Any]:
        """Return a function that calls the learner's, and changes its arguments as that does."""
        process = self._process

        def proxy(*args: Any, **kwargs: Any) -> Any:
            if self._process is not process:
                raise Stopped(self._why)
            try:
                reply = self._ask(name, deadline, "call", name, args, kwargs)
            except Stopped as stopped:
                self._hung[name] = str(stopped)
                raise
            match reply:
                case (result, tuple(new_args), dict(new_kwargs)):
                    copy_back((args, kwargs), (new_args, new_kwargs))
                    return result
            raise Stopped(self._disturbed(name))

        proxy.__name__ = proxy.__qualname__ = own_name
        return proxy

    def _ask(self, who: str, deadline: float, *request: Any) -> Any:
        """Send a request and return the answer; raise what the learner's code raised."""
        assert self._link is not None
        self._asked += 1
        message = encode((self._asked, *request))
        try:
            send(self._link, message, deadline)
            reply = decode(receive(self._link, deadline))
        except TimeoutError:
            self.trouble = self.trouble or Status.TIMEOUT
            if time.monotonic() >= self._last:
                raise Stopped(self._end(self._late())) from None
            raise Stopped(
                self._end(
                    f"{who} did not finish within {self.time_limit:g} s: "
                    f"is there a loop that never ends?"
                )
            ) from None
        except (OSError, EOFError):
            self.trouble = self.trouble or Status.CRASHED
            raise Stopped(self._end(f"{who} ended Python", say_how=True)) from None
        except ValueError:
            self.trouble = self.trouble or Status.CRASHED
            reason = f"sent what the grader cannot read, or more than {LARGEST // 2**20} MB"
            raise Stopped(self._end(f"{who} {reason}")) from None
        except BaseException:  # Ctrl-C: half a message may be under way
            self._kill()
            raise
        # Types before values: an array, compared with a string, has no truth value. A number that
        # is not this request's came from somebody else than the process's own answer.
        match reply:
            case (int(number), str("ok"), value) if number == self._asked:
                return value
            case (int(number), str("error"), str(kind), list(bases), str(text), str(line)) if (
                number == self._asked
            ):
                raise learner_error(kind, bases, text, line)
        raise Stopped(self._disturbed(who))

    def _disturbed(self, who: str) -> str:
        self.trouble = self.trouble or Status.CRASHED
        return self._end(f"{who} disturbed the grader's connection")

    def _end(self, reason: str, *, say_how: bool = False) -> str:
        """End the process; return the reason, with its exit code where it ended by itself."""
        if say_how and self._process is not None:
            # Bubblewrap lives a moment longer, to tell how.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(1)
        code = self._kill()
        if self.sandbox and self.sandbox.bwrap and code > 128:
            code = 128 - code  # what bubblewrap returns where a signal has ended the process
        if say_how and self.usage.excess:
            reason += f": {self.usage.excess}"
        elif say_how and code >= 0:
            reason += f", with exit code {code}"
        elif say_how:
            known = {each.value: each.name for each in signal.Signals}  # not the real-time ones
            reason += f", stopped by the system ({known.get(-code, f'signal {-code}')})"
        self._why = reason
        self.reason = self.reason or reason
        return reason

    def _start(self) -> None:
        """Have a process in which every cell that had ended has run."""
        while self._process is None:
            if time.monotonic() >= self._last:
                self.trouble = self.trouble or Status.TIMEOUT
                self.reason = self.reason or self._late()
                raise Stopped(self._late())
            self._launch()
            for place, source in enumerate(self._ended):
                try:
                    # Twice the time: it ended within the limit before, on a machine less busy.
                    self._ask("its cell", self._deadline() + self.time_limit, "run", source)
                except LearnerError:
                    continue
                except Stopped:  # it went well before; without it, this loop comes to an end
                    del self._ended[place]
                    break

    def _late(self) -> str:
        return f"the notebook did not finish within {self._total_limit:g} s in all"

    def _launch(self) -> None:
        fixed = dict.fromkeys(THREADS, "1") | {
            "MPLBACKEND": "Agg",
            "TQDM_DISABLE": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        limits = self.sandbox.limits if self.sandbox else OWN
        self._link, theirs = socket.socketpair()
        # -P and -s: no file of the learner's, called random.py or usercustomize.py, is to run now.
        python = [sys.executable, "-P", "-m", "unrolled.grade.child", str(theirs.fileno())]
        python.append(json.dumps(limits._asdict()))
        own = nullcontext(Start(python, str(self.folder), self._environment()))
        if self.sandbox:
            python.insert(1, "-s")
        try:
            with (
                theirs,
                self.sandbox.start(python, self._own.name) if self.sandbox else own as start,
            ):
                self._process = subprocess.Popen(
                    start.command,
                    pass_fds=[theirs.fileno(), *start.fds],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    cwd=start.cwd,
                    env=start.env | fixed,
                    start_new_session=True,  # with what it starts, it is a group to be killed
                    user=start.user,
                    group=start.user,
                    extra_groups=None if start.user is None else [],
                )
            if self.sandbox:
                self.usage.watch(self._process, self.sandbox.limits.memory, self.sandbox.others)
            decode(receive(self._link, time.monotonic() + START))
        except (OSError, EOFError, ValueError):
            self._kill()
            # What was earned before stays: only a notebook that never ran cannot be graded.
            reason = "Python does not start in the notebook's folder"
            if self._has_run:
                raise Stopped(f"{reason} any more") from None
            raise GradeError(f"{reason}; is IPython installed, and is the folder there?") from None
        self._has_run = True

    def _environment(self) -> dict[str, str]:
        """Return the environment of a process without a sandbox: the grader's own."""
        paths = [str(PACKAGE.parent), os.environ.get("PYTHONPATH")]
        return os.environ | {
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            "IPYTHONDIR": self._own.name,
            "TMPDIR": self._own.name,
        }

    def _kill(self) -> int:
        """End the process and all that it started; return its exit code."""
        if self._link is not None:
            self._link.close()
        process, self._process, self._link = self._process, None, None
        if process is None:
            return 0
        self.usage.stop()
        # Not waited for so far, so the number is still its own. macOS denies permission where the
        # process has ended by itself.
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        code = process.wait()
        if self.sandbox:
            self.sandbox.clear()
        return code
