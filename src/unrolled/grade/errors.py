"""What can go wrong with a notebook, and how a learner is told."""

import linecache
import re
import unicodedata
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

# Every check may say `except ValueError` of a learner's function, wherever the function runs.
CATCHABLE = {
    cls.__name__: cls
    for cls in (
        ArithmeticError, FloatingPointError, OverflowError, ZeroDivisionError, LookupError,
        IndexError, KeyError, RuntimeError, NotImplementedError, RecursionError, TypeError,
        ValueError,
    )
}  # fmt: skip
HIDDEN = {"Cc", "Cf", "Cs"}  # Unicode's categories of what steers a terminal or the order of text
LONGEST = 2000  # characters of a message: enough for any check, too few for an array of a million


class Status(StrEnum):
    """How the grading of a submission ended, in a word or two for the table of a class."""

    OK = "ok"
    TIMEOUT = "timeout"  # some code was stopped; what was earned elsewhere counts
    CRASHED = "crashed"  # some code ended Python, likewise
    NOT_A_NOTEBOOK = "not a notebook"
    NO_EXERCISE = "no exercise"
    OTHER_EXERCISE = "other exercise"
    TOO_LARGE = "too large"
    LINK = "a link"
    NOT_READABLE = "not readable"
    NO_NOTEBOOK = "no notebook"  # a student's folder without one
    NOT_REACHED = "not reached"  # the run was interrupted
    NOT_GRADED = "not graded"  # the grader failed, which says nothing of the submission


class GradeError(ValueError):
    """A notebook that cannot be graded at all, in one sentence that says what to do.

    ``status`` says what kind of file it is.
    """

    def __init__(self, message: str, status: Status = Status.NOT_GRADED) -> None:
        super().__init__(message)
        self.status = status


class LearnerError(Exception):
    """An exception in a learner's code.

    Parameters
    ----------
    kind : str
        Name of the exception's type.
    message : str
    line : str, optional
        The line of the learner's own code where it was raised.

    Examples
    --------
    >>> print(LearnerError("ValueError", "shapes differ", "return x @ W"))
    ValueError: shapes differ (in your line: return x @ W)
    """

    def __init__(self, kind: str, message: str, line: str = "") -> None:
        super().__init__(kind, message, line)
        self.kind, self.message, self.line = kind, message, line

    def __str__(self) -> str:
        text = f"{self.kind}: {self.message}" if self.message else self.kind
        return f"{text} (in your line: {self.line})" if self.line else text


class Stopped(BaseException):
    """A learner's code took too long, or ended its process.

    It is no ``Exception``: a check that catches whatever a function raises, and then calls it
    again, must not wait another minute.
    """


def learner_error(kind: str, bases: Iterable[Any], message: str, line: str) -> LearnerError:
    """Return a ``LearnerError`` that is also of the first of the named built-in types, if any.

    Examples
    --------
    >>> error = learner_error("LinAlgError", ["LinAlgError", "ValueError"], "singular matrix", "")
    >>> isinstance(error, ValueError), isinstance(error, LearnerError)
    (True, True)
    """
    names = (name for name in bases if isinstance(name, str))  # a list would have no hash
    base = next((CATCHABLE[name] for name in names if name in CATCHABLE), None)
    cls = type("LearnerError", (LearnerError, base), {}) if base else LearnerError
    error: LearnerError = cls(kind, message, line)
    return error


def text_of(error: BaseException) -> str:
    """Return an exception's message, even if that is what fails."""
    try:
        # Without the place: IPython's name for a cell tells a learner nothing.
        return error.msg if isinstance(error, SyntaxError) else str(error)
    except Exception:
        return ""


def own_line(error: BaseException | None, namespace: Mapping[str, Any]) -> str:
    """Return the last line of the learner's own code that an exception came through, if any.

    The learner's code is what has the notebook's namespace as its globals; frames of NumPy, of
    the checks and of the grader have their own.
    """
    if isinstance(error, SyntaxError):
        return (error.text or "").strip()
    found, trace = "", error.__traceback__ if error else None
    while trace is not None:
        frame = trace.tb_frame
        if frame.f_globals is namespace:
            found = linecache.getline(frame.f_code.co_filename, trace.tb_lineno).strip()
        trace = trace.tb_next
    return found


def tidy(text: str) -> str:
    r"""Return a message fit for a terminal: no control characters, no addresses, not endless.

    It is never empty: an outcome without a message is one that passed.

    Examples
    --------
    >>> tidy("got \x1b[31m<function relu at 0x7f3c992ae450>")
    'got <function relu>'
    """
    text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]| at 0x[0-9a-fA-F]+", "", text.expandtabs(4))
    text = "".join(c for c in text if c == "\n" or unicodedata.category(c) not in HIDDEN)
    text = text if text.strip() else "failed without a word"
    return text if len(text) <= LONGEST else text[:LONGEST] + " …"
