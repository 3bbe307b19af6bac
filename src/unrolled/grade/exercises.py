"""The exercises as the project has them: their questions, and the checks of each."""

import inspect
import json
import math
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import unrolled
from unrolled.checks import Explained
from unrolled.grade.errors import GradeError, LearnerError, Stopped, own_line, text_of, tidy


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


def exercise_name(notebook: Mapping[str, Any]) -> str:
    """Return which exercise a notebook is, by its metadata: its file may have any name.

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
    raise GradeError(
        "is no exercise, or does not say which; copy your answers into a notebook of exercises/"
    )


def exercise_folders() -> Iterator[Path]:
    """Yield the project's folders of exercises: above the current folder, then the package's."""
    places = [Path.cwd(), *Path.cwd().parents, *Path(unrolled.__file__).resolve().parents]
    for folder in dict.fromkeys(place / "exercises" for place in places):
        if folder.is_dir():
            yield folder


def load_exercise(name: str) -> Exercise:
    """Read an exercise from the project.

    Parameters
    ----------
    name : str
        As the file in exercises/ is called, without its ending.

    Raises
    ------
    GradeError
        If there is none of this name, or its file is damaged.
    """
    folders = list(exercise_folders())
    files = [folder / f"{name}.ipynb" for folder in folders if re.fullmatch(r"[\w-]+", name)]
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        known = sorted({path.stem for folder in folders for path in folder.glob("*.ipynb")})
        there = f"there are: {', '.join(known)}" if known else "there is no folder exercises/ here"
        raise GradeError(f"there is no exercise {tidy(name)!r}; {there}")
    try:
        metadata = json.loads(file.read_text(encoding="utf-8"))["metadata"]
        with warnings.catch_warnings():  # to import otter gives some
            warnings.simplefilter("ignore")
            questions = tuple(
                _question(entry, metadata["otter"]["tests"])
                for entry in metadata["unrolled"]["questions"]
            )
        return Exercise(name, metadata["unrolled"]["title"], questions)
    except Exception as error:  # a file that was edited may raise anything
        raise GradeError(
            f"exercises/{file.name} is damaged ({type(error).__name__}: {tidy(str(error))}); "
            f"get it again from the project"
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
    score, messages = 0.0, dict[str, str]()
    for case in question.cases:
        missing = [name for name in parameters(case) if name not in env]
        try:
            if missing:
                raise AssertionError(
                    f"there is no {missing[0]}: the cell that defines it is missing, or has not run"
                )
            case.body.call_func(env)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a learner's function may raise SystemExit too
            # A hint is for a mistake that the check has not recognised, in a function that ends.
            helpless = missing or isinstance(error, Explained | Stopped)
            helps = case.failure_message and not helpless
            hint = f"\nHint: {case.failure_message}" if helps else ""
            told = _explained(error, env)
            # One cause may fail several checks: it is told once, with the first hint.
            messages.setdefault(told, told + hint)
        else:
            score += case.points
    if not messages:
        return Outcome(question.name, question.points, question.points, "")
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
