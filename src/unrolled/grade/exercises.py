"""The exercises as the project has them: their questions, and the checks of each."""

import inspect
import json
import math
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import unrolled
from unrolled.checks import Explained
from unrolled.grade.errors import GradeError, LearnerError, Status, Stopped, own_line, text_of, tidy

NAME = re.compile(r"[\w-]{1,80}")
OPENED = re.compile(rf"""^[^#\n]*\bopen_grader\(\s*["']({NAME.pattern})["']\s*\)""", re.MULTILINE)

MISSING = "there is no "


class Question(NamedTuple):
    """A question: what a learner is told of it, the ids of its answer cells, otter's test cases."""

    name: str
    title: str
    points: float
    minutes: float
    cells: tuple[str, ...]
    cases: tuple[Any, ...]

    @property
    def needs(self) -> tuple[str, ...]:
        """The names of the notebook's globals that the checks look at, in order."""
        names = {name: None for case in self.cases for name in parameters(case)}
        return tuple(names)


class Exercise(NamedTuple):
    """An exercise notebook: its name, such as 01_neurons, its title and its questions, in order."""

    name: str
    title: str
    questions: tuple[Question, ...]


class Outcome(NamedTuple):
    """What a question has earned, and what is wrong: nothing, when all its checks passed."""

    name: str
    score: float
    possible: float
    message: str

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return not self.message

    @property
    def missing(self) -> bool:
        """Whether all that failed is that there are no answers."""
        lines = self.message.splitlines()
        return not self.passed and not self.score and all(l.startswith(MISSING) for l in lines)


def exercise_name(notebook: Mapping[str, Any]) -> str:
    """Return which exercise a notebook is, whatever its file is called.

    Its metadata says so; where an editor has dropped that, the cell that opens the grader does.

    Examples
    --------
    >>> exercise_name({"metadata": {"unrolled": {"exercise": "01_neurons"}}})
    '01_neurons'
    """
    metadata = notebook.get("metadata")
    for tool, key in [("unrolled", "exercise"), ("otter", "assignment_name")]:
        entry = metadata.get(tool) if isinstance(metadata, dict) else None
        name = entry.get(key) if isinstance(entry, dict) else None
        if isinstance(name, str) and name:
            return name
    for cell in notebook.get("cells") or []:
        if isinstance(cell, dict) and cell.get("cell_type") == "code":
            source = cell.get("source")
            lines = source if isinstance(source, list) else [source]
            code = "".join(line for line in lines if isinstance(line, str))
            if opened := OPENED.search(code):
                return opened[1]
    raise GradeError(
        "is no exercise, or does not say which; copy your answers into a notebook of exercises/",
        Status.NO_EXERCISE,
    )


def exercise_folders() -> Iterator[Path]:
    """Yield the folders where a learner's notebooks may be: the first is the one for --progress.

    They are called exercises/, at or above the current folder, and then in the checkout of the
    package.
    """
    places = [Path.cwd(), *Path.cwd().parents, *Path(unrolled.__file__).resolve().parents]
    for folder in dict.fromkeys(place / "exercises" for place in places):
        if folder.is_dir():
            yield folder


def definitions() -> Path:
    """Return the package's folder of definitions, which `make exercises` writes."""
    return Path(__file__).parent / "definitions"


def names_in(folder: Path) -> list[str]:
    """Return which exercises a folder defines; what a system hides beside them is none."""
    return sorted(file.stem for file in folder.glob("*.json") if not file.name.startswith("."))


def folder_of(name: str, beside: Path) -> Path:
    """Return where an exercise is defined: in the package, else in the folder of its notebook."""
    own = definitions()
    known = not NAME.fullmatch(name) or (own / f"{name}.json").exists()
    return beside if not known and (beside / f"{name}.json").is_file() else own


def load_exercise(name: str, folder: Path | None = None) -> Exercise:
    """Read an exercise as the package defines it, whatever a learner's notebook holds.

    Parameters
    ----------
    name : str
        As the file in exercises/ comes to a learner, without its ending: ``"01_neurons"``.
    folder : path, optional
        Another folder of definitions than the package's.

    Raises
    ------
    GradeError
        If there is none of this name, its definition is damaged, or no check would be made.
    """
    if not __debug__:
        raise GradeError("Python's -O (PYTHONOPTIMIZE) drops the checks; start it without")
    folder = folder or definitions()
    known = names_in(folder)
    if not NAME.fullmatch(name) or name not in known:
        there = f"there are: {', '.join(known)}" if known else "get the package again, it has none"
        if NAME.fullmatch(name):
            there += f". A teacher's own comes with {name}.json, beside the notebook"
        raise GradeError(f"there is no exercise {tidy(name[:80])!r}; {there}", Status.NO_EXERCISE)
    try:
        contents = json.loads((folder / f"{name}.json").read_text(encoding="utf-8-sig"))
        with warnings.catch_warnings():  # to import otter gives some
            warnings.simplefilter("ignore")
            questions = tuple(
                _question(entry, contents["tests"]) for entry in contents["questions"]
            )
        return Exercise(name, contents["title"], questions)
    except Exception as error:  # a file that was edited may raise anything
        raise GradeError(
            f"the definition of {name} is damaged ({type(error).__name__}: {tidy(str(error))}); "
            f"get the package again"
        ) from error


def _question(entry: dict[str, Any], sources: dict[str, str]) -> Question:
    from otter.test_files import ExceptionTestFile

    name, points = entry["name"], entry["points"]
    cases = tuple(ExceptionTestFile.from_string(sources[name]).test_cases)
    if not math.isclose(sum(case.points for case in cases), points):
        raise ValueError(f"the points of {name}'s checks do not add up to {points}")
    return Question(name, entry["title"], points, entry["minutes"], tuple(entry["cells"]), cases)


def parameters(case: Any) -> list[str]:
    """Return the names of the globals that a test case must be given."""
    signature = inspect.signature(case.body.test_func)
    return [name for name, p in signature.parameters.items() if p.default is p.empty]


def run_question(question: Question, env: Mapping[str, Any]) -> Outcome:
    """Run the checks of a question on a notebook's globals, and add the points of those passed.

    Parameters
    ----------
    question : Question
    env : mapping of str to object
        The notebook's globals, or as many of them as the question needs.

    Returns
    -------
    Outcome
        Its message joins what the failed checks say, each with its hint.
    """
    return tally(question, [run_case(case, env) for case in question.cases])


class Failure(NamedTuple):
    """Why a check failed, and where to look, unless the reason says that already."""

    reason: str
    hint: str = ""


def run_case(case: Any, env: Mapping[str, Any]) -> Failure | None:
    """Run one check of a question; None when it passed."""
    missing = [name for name in parameters(case) if name not in env]
    if missing:
        return Failure(
            f"{MISSING}{missing[0]}: the cell that defines it is missing, or has not run"
        )
    try:
        # A notebook may have told NumPy to raise; the checks' own numbers are none of its business.
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            case.body.call_func(env)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a learner's function may raise SystemExit too
        # A hint is for a mistake that the check has not recognised, in a function that ends.
        known = isinstance(error, Explained | Stopped)
        return Failure(_explained(error, env), "" if known else case.failure_message or "")
    return None


def tally(question: Question, failures: Sequence[Failure | None]) -> Outcome:
    """Add the points of the cases that did not fail, and tell each reason once.

    A hidden case gives no points: where it fails, the question earns none.
    """
    messages: dict[str, str] = {}
    for failure in filter(None, failures):
        hint = f"\nHint: {failure.hint}" if failure.hint else ""
        messages.setdefault(failure.reason, failure.reason + hint)
    if not messages:
        return Outcome(question.name, question.points, question.points, "")
    results = list(zip(question.cases, failures, strict=True))
    score = sum((case.points for case, failure in results if failure is None), 0.0)
    if any(case.hidden and failure is not None for case, failure in results):
        score = 0.0
    return Outcome(question.name, score, question.points, tidy("\n".join(messages.values())))


def _explained(error: BaseException, env: Mapping[str, Any]) -> str:
    """Say what a check, or the learner's code under it, has raised."""
    if isinstance(error, LearnerError | Stopped):
        return str(error)
    line = own_line(error, env)
    if not isinstance(error, AssertionError) or line:
        return str(LearnerError(type(error).__name__, text_of(error), line))
    # A check that turns a learner's exception into a message keeps it as the cause.
    line = own_line(error.__cause__, env)
    return (text_of(error) or "the check failed") + (f" (in your line: {line})" if line else "")
