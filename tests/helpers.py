"""What several test files share. Imports nothing of the package: test_planted_bugs.py swaps it."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis.configuration import set_hypothesis_home_dir

set_hypothesis_home_dir("_build/.hypothesis")

# Derandomised: a test that passes today passes tomorrow. No deadline: a busy machine fails nothing.
PROPERTY = settings(deadline=None, derandomize=True, max_examples=30, report_multiple_bugs=False)


def numbers(array: Any) -> np.ndarray:
    """An array, from an array or a tensor."""
    return np.asarray(array.detach() if hasattr(array, "detach") else array)


def close(actual: Any, expected: Any, rel: float = 1e-10) -> None:
    """Assert one shape, one dtype, and a difference below ``rel`` times the largest number."""
    actual, expected = numbers(actual), numbers(expected)
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype
    scale = np.abs(expected).max(initial=0.0)
    # Written so that a NaN fails.
    worst = np.abs(actual - expected).max(initial=0.0)
    assert worst <= rel * scale, f"differs by {worst:.3g} where the largest number is {scale:.3g}"


def same(actual: Any, expected: Any) -> None:
    """Assert the same numbers, bit for bit, in the same dtype."""
    assert actual.dtype == expected.dtype
    np.testing.assert_array_equal(actual, expected, strict=True)


def flat(tree: Any) -> list[np.ndarray]:
    """Every array of nested tuples; what is not an array is left out."""
    if isinstance(tree, Iterable) and not isinstance(tree, str | np.ndarray):
        return [array for part in tree for array in flat(part)]
    return [tree] if isinstance(tree, np.ndarray) else []


def leaves_untouched(function: Any, *args: Any, **kwargs: Any) -> Any:
    """Call, assert that no array among the arguments has changed, and return the result."""
    before = [array.copy() for array in flat(args)]
    result = function(*args, **kwargs)
    for array, copy in zip(flat(args), before, strict=True):
        same(array, copy)
    return result
