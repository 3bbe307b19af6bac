"""The most memory that backpropagation through time needs, whole and truncated."""

import tracemalloc
from collections.abc import Iterator
from typing import Any

import numpy as np

from unrolled.bptt import truncated_bptt
from unrolled.params import init_lstm

B, D, H, WINDOW = 16, 128, 256, 64
LENGTHS = [64, 128, 256, 512, 1024, 2048, 4096]


def measure(lengths: list[int]) -> dict[str, Any]:
    """Go over sequences of several lengths in one piece and in windows, in float32."""
    rows = [{"T": T, "whole": peak(T, T), "windows": peak(T, WINDOW)} for T in lengths]
    return {"size": [B, D, H], "window": WINDOW, "rows": rows}


def peak(T: int, window: int) -> float:
    """Return the peak in MiB, the parameters left out, the input arriving window by window."""
    params = init_lstm(D, H, rng=np.random.default_rng(0), dtype=np.float32)

    def pieces() -> Iterator[np.ndarray]:
        for start in range(0, T, window):
            yield np.ones((min(window, T - start), B, D), dtype=np.float32)

    def loss(k: int, out: np.ndarray) -> tuple[float, np.ndarray]:
        return float(np.vdot(out, out)) / 2, out  # out is its own gradient: not a byte more

    tracemalloc.start()
    try:
        truncated_bptt("lstm", params, pieces(), loss)
        return round(tracemalloc.get_traced_memory()[1] / 2**20, 1)
    finally:
        tracemalloc.stop()
