"""The process in which a learner's code runs; ``unrolled.grade.session`` is its other end.

python -m unrolled.grade.child FD LIMITS
"""

import json
import os
import resource
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

import unrolled.grade
from unrolled.grade import notebook
from unrolled.grade.errors import own_line, text_of
from unrolled.grade.sandbox import Limits
from unrolled.grade.wire import LARGEST, decode, encode, receive, send


class Silent:
    """Stands in a notebook for its grader, and for otter's: whatever is called does nothing."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kwargs: None


def main(fd: int, limits: Limits) -> None:
    """Answer requests until the other end closes."""
    threading.Thread(target=end_with_parent, args=(os.getppid(),), daemon=True).start()
    limit(resource.RLIMIT_CORE, 0)
    limit(resource.RLIMIT_AS, limits.address_space)
    if limits.cpu:
        limit(resource.RLIMIT_CPU, limits.cpu)
    if limits.file_size:
        limit(resource.RLIMIT_FSIZE, limits.file_size)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # to write more is an error, not the end
    if limits.open_files:
        limit(resource.RLIMIT_NOFILE, limits.open_files)
    if limits.processes:
        limit(resource.RLIMIT_NPROC, limits.processes)
    unrolled.grade.open_grader = notebook.open_grader = Silent  # type: ignore[assignment]
    otter: Any = ModuleType("otter")
    otter.Notebook = Silent
    sys.modules["otter"] = otter
    sys.path.insert(0, "")  # as in a notebook; -P kept it out while this module was imported
    link = socket.socket(fileno=fd)
    link.set_inheritable(False)
    os.register_at_fork(after_in_child=link.close)  # only one process may answer
    try:
        shell = start_shell()
        send(link, encode(("ok", None)))
        while True:
            send(link, answer(shell, *decode(receive(link))))
    finally:
        # When the other end closes, or the learner's code has damaged this one: nothing of the
        # learner's runs at exit, and the line is open for as long as the process lives.
        os._exit(1)


def end_with_parent(parent: int) -> None:
    """End this process when the grader has ended, even if it could not say so."""
    while os.getppid() == parent:
        time.sleep(1)
    os.killpg(0, signal.SIGKILL)  # and what the notebook has started


def limit(what: int, size: int) -> None:
    """Lower a limit of this process for good, where the system has it; raise none."""
    hard = resource.getrlimit(what)[1]
    if hard != resource.RLIM_INFINITY:
        size = min(size, hard)
    try:
        resource.setrlimit(what, (size, size))
    except (OSError, ValueError):  # macOS knows RLIMIT_AS, and refuses to set it
        return


def start_shell() -> Any:
    """Return a shell that runs cells as Jupyter does: with magics, ``!`` and ``display``."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    class Shell(InteractiveShell):
        """A shell that nobody looks at."""

        def enable_gui(self, gui: Any = None) -> None:  # what %matplotlib ends with
            pass

        def ask_exit(self) -> None:  # exit and quit
            pass

        def showtraceback(self, *args: Any, **kwargs: Any) -> None:
            pass

        def showsyntaxerror(self, *args: Any, **kwargs: Any) -> None:
            pass

    config = Config()
    config.HistoryManager.enabled = False
    return Shell.instance(config=config)


def answer(shell: Any, number: int, what: str, *details: Any) -> bytes:
    """Do what is asked, and return the message that says how it went."""
    try:
        message = encode((number, "ok", REQUESTS[what](shell, *details)))
        if len(message) <= LARGEST:
            return message
        raise ValueError(f"more than {LARGEST // 2**20} MB of numbers are too many to check")
    except BaseException as error:  # SystemExit and KeyboardInterrupt of the learner's too
        bases = [cls.__name__ for cls in type(error).__mro__ if cls.__module__ == "builtins"]
        line = own_line(error, shell.user_ns)
        told = (type(error).__name__, bases, text_of(error)[:10_000], line[:1000])
        return encode((number, "error", *told))


def run(shell: Any, source: str) -> None:
    """Run a cell."""
    result = shell.run_cell(source, store_history=False)
    error = result.error_before_exec or result.error_in_exec
    if error is not None:
        raise error


def fetch(shell: Any, name: str) -> tuple[Any, ...]:
    """Return what kind of thing a global is, and its value unless it is to be called."""
    if name not in shell.user_ns:
        return ("missing",)
    value = shell.user_ns[name]
    if callable(value):
        return ("function", str(getattr(value, "__name__", name)))
    return ("value", value)


def call(shell: Any, name: str, args: Any, kwargs: Any) -> tuple[Any, Any, Any]:
    """Call a global function; return its result, and its arguments as they are now."""
    # An overflow is judged by the number that comes out, whatever the notebook told NumPy.
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return shell.user_ns[name](*args, **kwargs), args, kwargs


REQUESTS: dict[str, Callable[..., Any]] = {"run": run, "fetch": fetch, "call": call}

if __name__ == "__main__":
    main(int(sys.argv[1]), Limits(**json.loads(sys.argv[2])))
