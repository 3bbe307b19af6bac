"""Submissions that went wrong without any bad will, as data.

Each is the small exercise of test_grade.py with one thing wrong, or a file that is no notebook.
"""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import nbformat

from tests.test_grade import GOOD, answered, code, notebook

ALL = {"relu": 2, "draw": 1, "answer": 0.5}
LARGE = 60 * 2**20


class Failure(NamedTuple):
    """A notebook's answers where they are not the right ones, and what it must get.

    ``lost`` is what its questions earn, where that is not all. ``contents`` is the file instead.
    """

    lost: dict[str, float]
    told: str = ""
    status: str = "ok"
    answers: dict[str, str] = {}  # noqa: RUF012 - never changed
    contents: Callable[[], bytes] | None = None
    whole: bool = False


def nothing(status: str, contents: Callable[[], bytes], told: str = "") -> Failure:
    """A file that earns nothing, as it cannot be graded."""
    return Failure({}, told, status, contents=contents)


def edited(**changes: Any) -> bytes:
    return json.dumps(notebook(answered(GOOD)) | changes).encode()


def old() -> bytes:
    cells = [code(cell["source"], f"c{n}") for n, cell in enumerate(answered(GOOD))]
    text = nbformat.writes(nbformat.convert(nbformat.from_dict(notebook(cells)), 3), version=3)
    assert json.loads(text)["nbformat"] == 3
    return text.encode()


def without(name: str) -> bytes:
    return json.dumps(notebook(answered({q: a for q, a in GOOD.items() if q != name}))).encode()


def relu(body: str) -> dict[str, str]:
    return {"relu": f"import numpy as np\ndef relu(x):\n    {body}"}


NO_RELU = {"relu": 0.0}
HALF = {"relu": 1.0}
TOO_LONG = "did not finish within"

FAILURES = {
    # --- Code that is wrong, or never ends. ---
    "syntax-error": Failure(NO_RELU, "SyntaxError", answers={"relu": "def relu(x:\n    return x"}),
    "missing-question": Failure(
        NO_RELU, "there is no relu: the cell that defines it", contents=lambda: without("relu")
    ),
    "nan": Failure(
        HALF, "holds nan", answers=relu("return np.full(x.shape, np.nan) if np.ndim(x) else 0.0")
    ),
    "wrong-shape": Failure(
        HALF, "must have shape (1, 3), got (3,)", answers=relu("return np.maximum(x, 0.0).ravel()")
    ),
    "loop-in-cell": Failure(
        NO_RELU, f"its cell {TOO_LONG}", "timeout", {"relu": "while True:\n    pass"}
    ),
    "loop-in-function": Failure(
        NO_RELU, f"relu {TOO_LONG}", "timeout", relu("while True:\n        pass")
    ),
    "loop-in-c": Failure(
        NO_RELU, f"its cell {TOO_LONG}", "timeout",
        {"relu": "x = (10**10) ** (10**8)\ndef relu(x):\n    return x"}, whole=True,
    ),
    "loop-that-catches": Failure(
        NO_RELU, f"relu {TOO_LONG}", "timeout",
        relu("while True:\n        try:\n            input()\n        except BaseException:\n"
             "            pass"), whole=True,
    ),
    "much-output": Failure(
        {}, answers={"relu": GOOD["relu"] + "\nfor _ in range(100):\n    print('x' * 10**6)"}
    ),
    "large-allocation": Failure(
        NO_RELU, "MemoryError", answers=relu("return np.ones(50 * 2**30 // 8)")
    ),
    "large-cell": Failure(
        NO_RELU, "MemoryError", answers={"relu": "import numpy as np\nx = np.ones(50 * 2**27)"}
    ),
    "exit": Failure(
        NO_RELU, "SystemExit", answers={"relu": "import sys; sys.exit(1)"}
    ),
    "quit": Failure({}, answers={"relu": GOOD["relu"] + "\nexit()"}),
    "os-exit": Failure(
        NO_RELU, "relu ended Python, with exit code 3", "crashed", relu("import os; os._exit(3)")
    ),
    "segmentation-fault": Failure(
        NO_RELU, "SIGSEGV", "crashed", {"relu": "import ctypes; ctypes.string_at(0)"}
    ),
    "deleted-checks": Failure(
        {}, contents=lambda: json.dumps(notebook(list(GOOD.values()))).encode()
    ),
    "deleted-metadata": Failure({}, contents=lambda: edited(metadata={})),
    "old-format": Failure({}, contents=old),
    "byte-order-mark": Failure({}, contents=lambda: b"\xef\xbb\xbf" + edited()),
    # --- Files that are no notebooks of this exercise. ---
    "other-exercise": nothing(
        "other exercise", lambda: json.dumps(notebook(answered(GOOD), "00_free")).encode()
    ),
    "unknown-exercise": nothing(
        "other exercise", lambda: json.dumps(notebook(answered(GOOD), "99_none")).encode()
    ),
    "no-exercise": nothing("no exercise", lambda: edited(metadata={}, cells=[])),
    "truncated": nothing("not a notebook", lambda: edited()[:-100], "is not JSON"),
    "not-utf8": nothing("not a notebook", lambda: b"\xff\xfe" + edited(), "is not text in UTF-8"),
    "empty": nothing("not a notebook", lambda: b""),
    "deep": nothing("not a notebook", lambda: b"[" * 10**6),
    "list": nothing("not a notebook", lambda: b"[]"),
    "format-5": nothing("not a notebook", lambda: edited(nbformat=5)),
    "large": nothing("too large", lambda: edited() + b" " * LARGE, "larger than 50 MB"),
}  # fmt: skip
