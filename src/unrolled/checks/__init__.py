"""The checks of the exercises, one module a chapter: ordinary functions that raise AssertionError.

``check_log_sigmoid(log_sigmoid)`` takes the learner's own function, compares it with the package's
reference and returns nothing. What is wrong, and what to look at, is the message of the error. The
same functions serve ``grader.check`` in a notebook, ``python -m unrolled.grade`` and the tests.
"""

from unrolled.checks._tools import Explained, NotAnswered, drawn_with

__all__ = ["Explained", "NotAnswered", "drawn_with"]
