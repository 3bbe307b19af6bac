"""What a gradient costs in memory and in time, against the length of the text. Chapter 3.

The whole text at once, or in windows of 64 with the state carried on. Memory is the peak of what
NumPy holds (tracemalloc), without the parameters and the text itself; time is CPU time.
"""

import tracemalloc
from time import process_time

import numpy as np

from unrolled.bptt import stream, windows
from unrolled.language_model import init_language_model, language_model_loss
from unrolled.params import tree_map
from unrolled.results import save_result

SETTINGS = {
    "batch": 32,
    "window": 64,
    "symbols": 84,
    "embedding": 64,
    "hidden": 128,
    "lengths": [64, 128, 256, 512, 1024, 2048, 4096],
    "rounds": 3,
}
SEEDS = [0]


def gradient(params, columns: np.ndarray, window: int):
    """Sum the gradients of all windows, holding one window's cache at a time."""
    total, state = None, None
    for x, y in windows(columns, window):
        _, grads, state = language_model_loss("rnn", params, x, y, state)
        state = state.copy()  # a view would keep its whole window alive
        total = grads if total is None else tree_map(np.add, total, grads)
    return total


def measure(T: int, window: int) -> dict:
    """Measure one length: the peak of one pass, and the CPU time of the fastest of several."""
    s = SETTINGS
    rng = np.random.default_rng(0)
    sizes = (s["symbols"], s["embedding"], s["hidden"])
    params = init_language_model("rnn", *sizes, rng=rng, dtype=np.float32)
    columns = stream(rng.integers(s["symbols"], size=(T + 1) * s["batch"]), s["batch"])
    seconds = []
    for _ in range(s["rounds"]):
        began = process_time()
        gradient(params, columns, window)
        seconds.append(process_time() - began)
    tracemalloc.start()
    gradient(params, columns, window)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return {"T": T, "window": window, "mebibytes": peak / 2**20, "seconds": min(seconds)}


if __name__ == "__main__":
    runs = [measure(T, window) for T in SETTINGS["lengths"] for window in (T, SETTINGS["window"])]
    print(save_result(__file__, settings=SETTINGS, seeds=SEEDS, runs=runs))
