"""The grader in a learner's notebook: it runs the checks on what the notebook has defined."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unrolled.grade import text
from unrolled.grade.exercises import Exercise, Outcome, folder_of, load_exercise, run_question


class Shown(str):
    """A text that a notebook and a terminal show as it is, without quotes."""

    __slots__ = ()
    __repr__ = str.__str__


class Grader:
    """Checks the answers of one exercise; ``open_grader`` makes it."""

    def __init__(self, exercise: Exercise) -> None:
        self._exercise = exercise
        self._questions = {question.name: question for question in exercise.questions}

    def __repr__(self) -> str:
        return f"Grader of {self._exercise.name}: {', '.join(self._questions)}"

    def check(self, name: str) -> Shown:
        """Run the checks of a question, and return what they say.

        Parameters
        ----------
        name : str
            The question's name.

        Raises
        ------
        ValueError
            If the exercise has no such question.
        """
        if name not in self._questions:
            known = ", ".join(self._questions)
            raise ValueError(f"there is no question {name!r}; the questions are: {known}")
        return Shown(text.verdict(run_question(self._questions[name], _globals())))

    def total(self) -> Shown:
        """Run the checks of all questions; return the points of each, the sum, and what is next."""
        outcomes: list[Outcome] = [
            run_question(question, _globals()) for question in self._exercise.questions
        ]
        next_step = text.next_step(self._exercise, outcomes) or "All questions are done."
        rows = text.table(outcomes, brief=True)
        return Shown(f"{rows}\n\nTotal: {text.total(outcomes)}\n{next_step}")


def open_grader(name: str) -> Grader:
    """Return the grader of an exercise, for the notebook that calls this.

    Parameters
    ----------
    name : str
        The exercise, such as ``"01_neurons"``. A teacher's own comes with its definition, such as
        ``mine.json``, in the notebook's folder.

    Raises
    ------
    GradeError
        If there is no such exercise; the message names those that there are.
    """
    return Grader(load_exercise(name, folder_of(name, Path.cwd())))


def _globals() -> Mapping[str, Any]:
    """Return the notebook's globals, or those of the script where there is no notebook."""
    # Where IPython runs the code it is imported already; where it is not, there is no shell.
    get_ipython = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)
    shell = get_ipython()
    namespace: Mapping[str, Any] = shell.user_ns if shell else sys.modules["__main__"].__dict__
    return namespace
