"""Time functions against each other: in turn, in one process, by the CPU's clock."""

import gc
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np


def paired(
    functions: dict[str, Callable[[], Any]], *, rounds: int, least: float = 0.02
) -> dict[str, np.ndarray]:
    """Call each function in every round; return the CPU seconds of one call, by round.

    A machine is now faster and now slower, for all functions alike: so they are compared within a
    round. In a round each is called until ``least`` seconds are over, far above what the clock
    can resolve.
    """
    calls = {}
    for name, function in functions.items():
        function()  # the first call is slower: memory has to be fetched from the system
        calls[name] = max(1, math.ceil(least / _seconds(function, 1)))
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            for name, function in functions.items():
                seconds[name].append(_seconds(function, calls[name]))
    finally:
        gc.enable()
    return {name: np.array(values) for name, values in seconds.items()}


def _seconds(function: Callable[[], Any], calls: int) -> float:
    start = time.process_time()
    for _ in range(calls):
        function()
    return max(time.process_time() - start, 1e-9) / calls


def summary(seconds: dict[str, np.ndarray], of: str) -> dict[str, Any]:
    """Give the milliseconds of each, and those of one as a multiple of each other's.

    Both are medians over the rounds; ``quartiles`` tells how far the multiples scatter.

    >>> s = summary({"a": np.array([2.0, 4.0, 9.0]), "b": np.array([1.0, 2.0, 3.0])}, of="a")
    >>> s["ms"], s["times"]
    ({'a': 4000.0, 'b': 2000.0}, {'b': 2.0})
    """
    others = [name for name in seconds if name != of]
    ratios = {name: seconds[of] / seconds[name] for name in others}
    return {
        "ms": {name: _round(1000 * np.median(values)) for name, values in seconds.items()},
        "times": {name: _round(np.median(values)) for name, values in ratios.items()},
        "quartiles": {
            name: [_round(q) for q in np.quantile(values, [0.25, 0.75])]
            for name, values in ratios.items()
        },
    }


def _round(value: float) -> float:
    """Keep four digits, more than a repetition would confirm."""
    return float(f"{value:.4g}")
