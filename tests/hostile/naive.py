"""A grader as they are often made: it runs the checks where the notebook ran.

Run in a sandbox of its own, with notebooks on the standard input, a line each; it prints the scores
of each. The forgeries that win here are known to be dangerous.
"""

import contextlib
import json
import os
import pickle
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy  # noqa: F401 - imported once, before all forks
import otter.test_files  # noqa: F401
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

import unrolled.grade  # noqa: F401

CHECK = """
from otter.test_files import ExceptionTestFile
scores = {}
for _name, _source in tests.items():
    try:
        _file = ExceptionTestFile.from_string(_source)
        _file.run(globals())
        scores[_name] = _file.score
    except Exception:
        scores[_name] = 0
"""


def grade(notebook: dict[str, Any]) -> None:
    config = Config()
    config.HistoryManager.enabled = False  # a file that all of them would wait for
    shell = InteractiveShell.instance(config=config)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            shell.run_cell(cell["source"])
    shell.user_ns["tests"] = notebook["metadata"]["otter"]["tests"]
    shell.run_cell(CHECK)
    with Path("results.pkl").open("wb") as file:
        pickle.dump(shell.user_ns["scores"], file)


def main(seconds: float = 10.0) -> None:
    out = os.fdopen(os.dup(1), "w")
    quiet = os.open(os.devnull, os.O_RDWR)
    for fd in (1, 2):
        os.dup2(quiet, fd)
    for number, line in enumerate(sys.stdin):
        folder = Path(f"{number}").absolute()
        folder.mkdir()
        os.chdir(folder)
        pid = os.fork()
        if not pid:
            os.setpgid(0, 0)
            out.close()
            grade(json.loads(line))
            sys.exit()
        end = time.monotonic() + seconds
        while time.monotonic() < end and os.waitpid(pid, os.WNOHANG) == (0, 0):
            time.sleep(0.02)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        try:
            scores = pickle.loads(Path("results.pkl").read_bytes())
        except Exception:
            scores = {}
        os.chdir("..")
        print(json.dumps(scores), file=out, flush=True)


if __name__ == "__main__":
    main()
