"""Grading: in a learner's notebook, and of finished notebooks from the command line.

A notebook says ``grader = open_grader("01_neurons")``, then ``grader.check("relu")`` below each
question and ``grader.total()`` at its end. ``python -m unrolled.grade FILE...`` grades notebooks
that are done; there the learner's code runs in a process of its own, and the checks in another.
"""

from unrolled.grade.errors import GradeError, LearnerError
from unrolled.grade.exercises import Exercise, Outcome, Question, load_exercise
from unrolled.grade.notebook import Grader, open_grader
from unrolled.grade.run import Report, grade_notebook

__all__ = [
    "Exercise",
    "GradeError",
    "Grader",
    "LearnerError",
    "Outcome",
    "Question",
    "Report",
    "grade_notebook",
    "load_exercise",
    "open_grader",
]
