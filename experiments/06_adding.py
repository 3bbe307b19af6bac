"""How many steps, and seconds, does the adding problem take at equal size? Chapter 6.

A tanh network, an LSTM and a GRU of about 4,600 parameters are trained on fresh sequences until the
mean squared error on a test set falls below 0.01. The LSTM and the GRU, with each start, have the
same trials: one seed, three learning rates, T = 100. The rate that took the fewest steps is then
used at every T. (At 0.1 the GRU is quicker still at T = 100, and no longer learns at T = 200.) The
tanh network had its three rates in 05_adding.
"""

from time import process_time

import numpy as np

from unrolled.data import adding
from unrolled.gradients import clip_by_norm
from unrolled.init import chrono, orthogonal
from unrolled.layers import get_layer, layer_backward, layer_forward
from unrolled.losses import mse
from unrolled.neurons import linear_backward, linear_forward
from unrolled.optim import adam, adam_init
from unrolled.params import count_parameters, init_linear
from unrolled.results import save_result

SETTINGS = {
    "batch": 32,
    "clip": 1.0,
    "goal": 0.01,
    "steps": 2000,
    "every": 25,
    "test": 256,
    "hidden": {"rnn": 66, "lstm": 32, "gru": 37},
    "trials": {"T": 100, "seed": 100},
    "lr": {"gru": [0.003, 0.01, 0.03], "lstm": [0.003, 0.01, 0.03], "rnn": [0.003]},
    "lengths": [
        ["gru", "default", [10, 20, 50, 100, 200, 400]],
        ["gru", "chrono", [10, 20, 50, 100, 200, 400]],
        ["lstm", "chrono", [10, 20, 50, 100, 200, 400]],
        ["lstm", "default", [10, 20, 50, 100, 200]],
        ["rnn", "orthogonal", [100]],
    ],
}
SEEDS = range(3)


def begin(cell: str, start: str, T: int, rng: np.random.Generator) -> tuple:
    """Draw the layer and its readout."""
    H = SETTINGS["hidden"][cell]
    layer = get_layer(cell).init(2, H, rng=rng, dtype=np.float32)
    if start == "chrono":
        layer = chrono(layer, T, rng=rng)
    elif start == "orthogonal":
        layer = orthogonal(layer, rng=rng)
    return layer, init_linear(H, 1, rng=rng, dtype=np.float32)


def step(cell: str, params: tuple, state, T: int, rng: np.random.Generator, lr: float) -> tuple:
    """Train on one fresh batch."""
    layer, readout = params
    x, y = adding(T, SETTINGS["batch"], rng=rng)
    out, _, cache = layer_forward(cell, layer, x)
    pred, read = linear_forward(readout, out[-1])
    dh_n, dreadout = linear_backward(read, mse(pred, y)[1])
    _, _, dlayer = layer_backward(cache, None, (dh_n, None) if cell == "lstm" else dh_n)
    grads, _ = clip_by_norm((dlayer, dreadout), SETTINGS["clip"])
    return adam(params, grads, state, lr=lr)


def test_loss(cell: str, params: tuple, x: np.ndarray, y: np.ndarray) -> float:
    """Measure the mean squared error."""
    out, _, _ = layer_forward(cell, params[0], x)
    return float(((linear_forward(params[1], out[-1])[0] - y) ** 2).mean())


def run(cell: str, start: str, T: int, lr: float, seed: int) -> dict:
    """Train one network; count the steps to the goal, or None, and the seconds they took."""
    rng = np.random.default_rng(seed)
    x, y = adding(T, SETTINGS["test"], rng=np.random.default_rng(99))
    params = begin(cell, start, T, rng)
    state = adam_init(params)
    losses, solved, seconds = [], None, 0.0
    for k in range(1, SETTINGS["steps"] + 1):
        began = process_time()
        params, state = step(cell, params, state, T, rng, lr)
        seconds += process_time() - began
        if k % SETTINGS["every"] == 0:
            losses.append(round(test_loss(cell, params, x, y), 5))
            if losses[-1] < SETTINGS["goal"]:
                solved = k
                break
    return {
        "cell": cell, "start": start, "T": T, "lr": lr, "seed": seed, "steps": solved,
        "losses": losses, "parameters": count_parameters(params), "seconds": round(seconds, 2),
    }  # fmt: skip


if __name__ == "__main__":
    runs, trials = [], SETTINGS["trials"]
    for cell, start, lengths in SETTINGS["lengths"]:
        tried = [run(cell, start, trials["T"], lr, trials["seed"]) for lr in SETTINGS["lr"][cell]]
        best = min(tried, key=lambda r: r["steps"] or np.inf)["lr"]
        runs += [{**r, "trial": True} for r in tried]
        for T in lengths:
            found = [run(cell, start, T, best, seed) for seed in SEEDS]
            runs += [{**r, "trial": False} for r in found]
    print(save_result(__file__, settings=SETTINGS, seeds=SEEDS, runs=runs))
