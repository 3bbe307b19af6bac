"""Outcomes as plain text, for a notebook and for a terminal."""

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from unrolled.grade.exercises import Exercise, Outcome

WIDTH = 88  # what fits in a notebook's output without a scroll bar


def points(score: float, possible: float) -> str:
    """Return a score as it is read.

    Examples
    --------
    >>> points(1.5, 2.0), points(0, 1)
    ('1.5 of 2 points', '0 of 1 point')
    """
    return f"{round(score, 2):g} of {round(possible, 2):g} point{'' if possible == 1 else 's'}"


def whole(number: float) -> float:
    """Return a number of points, as an int if it is one.

    Examples
    --------
    >>> whole(2.0), whole(1 / 3)
    (2, 0.333333)
    """
    number = round(number, 6)
    return int(number) if number == int(number) else number


def as_dict(outcomes: Iterable[Outcome]) -> dict[str, Any]:
    """Return outcomes as JSON has them: the sums, and each question."""
    questions = [
        outcome._asdict() | {"score": whole(outcome.score), "possible": whole(outcome.possible)}
        for outcome in outcomes
    ]
    return {
        "score": whole(sum(question["score"] for question in questions)),
        "possible": whole(sum(question["possible"] for question in questions)),
        "questions": questions,
    }


def total(outcomes: Sequence[Outcome]) -> str:
    """Return the sum of the points as it is read."""
    return points(sum(o.score for o in outcomes), sum(o.possible for o in outcomes))


def wrapped(text: str, indent: str, width: int = WIDTH) -> list[str]:
    """Break a text into lines with an indent; lines that fit, such as rows of an array, stay."""
    lines = []
    for line in text.splitlines():
        fits = len(indent) + len(line) <= width
        parts = [line] if fits else textwrap.wrap(line, max(width - len(indent), 20))
        lines += [indent + part for part in parts]
    return lines


def verdict(outcome: Outcome) -> str:
    """Return what ``grader.check`` shows.

    Examples
    --------
    >>> print(verdict(Outcome("relu", 1, 2, "relu(-2.0) must be 0, got -2.0")))
    ✗ relu: 1 of 2 points
      relu(-2.0) must be 0, got -2.0
    """
    head = f"{'✓' if outcome.passed else '✗'} {outcome.name}: "
    return "\n".join(
        [head + points(outcome.score, outcome.possible), *wrapped(outcome.message, "  ")]
    )


def table(outcomes: Sequence[Outcome], *, width: int = WIDTH, brief: bool = False) -> str:
    r"""Return a row a question: its mark, name and points, and what failed (its first line).

    Examples
    --------
    >>> print(table([Outcome("relu", 2, 2, ""), Outcome("mse", 1, 2, "b is 3\nHint: Divide.")]))
    ✓ relu  2 of 2
    ~ mse   1 of 2  b is 3
                    Hint: Divide.
    """
    scores = [points(o.score, o.possible).rpartition(" ")[0] for o in outcomes]
    name_width = max((len(o.name) for o in outcomes), default=0)
    score_width = max(map(len, scores), default=0)
    rows = []
    for outcome, score in zip(outcomes, scores, strict=True):
        mark = "✓" if outcome.passed else "~" if outcome.score else "✗"
        head = f"{mark} {outcome.name:<{name_width}}  {score:<{score_width}}  "
        message = outcome.message.partition("\n")[0] if brief else outcome.message
        lines = wrapped(message, " " * len(head), width) or [head]
        lines[0] = head + lines[0][len(head) :]
        rows += [line.rstrip() for line in lines]
    return "\n".join(rows)


def next_step(exercise: Exercise, outcomes: Sequence[Outcome]) -> str:
    """Return which question to do next: the first that is not complete; nothing after the last."""
    for question, outcome in zip(exercise.questions, outcomes, strict=True):
        if not outcome.passed:
            plural = "" if question.points == 1 else "s"
            return (
                f"Next: {question.name}, {question.title!r}: "
                f"{question.points:g} point{plural}, about {question.minutes:g} min"
            )
    return ""
