"""How many steps of training does the adding problem take, against its length T? Chapter 5.

An LSTM and a tanh network of equal size are trained on fresh sequences until the mean squared error
on a test set falls below 0.01. The tanh network gets three learning rates; each counts as a run.
"""

import numpy as np

from unrolled.data import adding
from unrolled.gradients import clip_by_norm
from unrolled.init import chrono, orthogonal
from unrolled.layers import layer_backward, layer_forward
from unrolled.losses import mse
from unrolled.neurons import linear_backward, linear_forward
from unrolled.optim import adam, adam_init, cosine
from unrolled.params import init_linear, init_lstm, init_rnn
from unrolled.results import save_result

SETTINGS = {
    "batch": 32,
    "clip": 1.0,
    "goal": 0.01,
    "steps": 2000,
    "every": 50,
    "finish": 300,  # more steps after the goal, where the learning rate falls to 0
    "wrong": 0.08,  # an error of 0.04 in the units of Hochreiter & Schmidhuber
    "lstm": {"hidden": 32, "lr": [0.01], "lengths": [10, 20, 50, 100, 200, 400, 1000]},
    "rnn": {"hidden": 66, "lr": [0.001, 0.003, 0.01], "lengths": [10, 20, 50, 100]},
    "finished": [100, 1000],
}
SEEDS = range(3)


def start(cell: str, T: int, rng: np.random.Generator) -> tuple:
    """Draw the layer and its readout: the LSTM with gate biases for T, tanh orthogonal."""
    H = SETTINGS[cell]["hidden"]
    if cell == "lstm":
        layer = chrono(init_lstm(2, H, rng=rng, dtype=np.float32), T, rng=rng)
    else:
        layer = orthogonal(init_rnn(2, H, rng=rng, dtype=np.float32), rng=rng)
    return layer, init_linear(H, 1, rng=rng, dtype=np.float32)


def step(cell: str, params: tuple, state, T: int, rng: np.random.Generator, lr: float) -> tuple:
    """Train on one fresh batch."""
    layer, readout = params
    x, y = adding(T, SETTINGS["batch"], rng=rng)
    out, _, cache = layer_forward(cell, layer, x)
    pred, read = linear_forward(readout, out[-1])
    dh_n, dreadout = linear_backward(read, mse(pred, y)[1])
    dstate = (dh_n, None) if cell == "lstm" else dh_n
    _, _, dlayer = layer_backward(cache, None, dstate)
    grads, _ = clip_by_norm((dlayer, dreadout), SETTINGS["clip"])
    return adam(params, grads, state, lr=lr)


def errors(cell: str, params: tuple, T: int, n: int) -> np.ndarray:
    """Predict n test sequences, the same for every run; return the errors."""
    rng, found = np.random.default_rng(99), []
    for _ in range(n // 256):
        x, y = adding(T, 256, rng=rng)
        out, _, _ = layer_forward(cell, params[0], x)
        found.append(linear_forward(params[1], out[-1])[0] - y)
    return np.concatenate(found)


def run(cell: str, T: int, lr: float, seed: int) -> dict:
    """Train one network; count the steps to the goal, or None."""
    rng = np.random.default_rng(seed)
    params = start(cell, T, rng)
    state = adam_init(params)
    losses, solved, wrong = [], None, None
    for k in range(1, SETTINGS["steps"] + 1):
        params, state = step(cell, params, state, T, rng, lr)
        if k % SETTINGS["every"] == 0:
            losses.append(round(float((errors(cell, params, T, 256) ** 2).mean()), 5))
            if losses[-1] < SETTINGS["goal"]:
                solved = k
                break
    if solved and cell == "lstm" and T in SETTINGS["finished"]:
        for k in range(SETTINGS["finish"]):
            falling = cosine(k, total=SETTINGS["finish"], lr=lr)
            params, state = step(cell, params, state, T, rng, falling)
        wrong = int((np.abs(errors(cell, params, T, 2560)) > SETTINGS["wrong"]).sum())
    return {
        "cell": cell, "T": T, "lr": lr, "seed": seed, "steps": solved, "wrong": wrong,
        "losses": losses,
    }  # fmt: skip


if __name__ == "__main__":
    runs = [
        run(cell, T, lr, seed)
        for cell in ("lstm", "rnn")
        for T in SETTINGS[cell]["lengths"]
        for lr in SETTINGS[cell]["lr"]
        for seed in SEEDS
    ]
    print(save_result(__file__, settings=SETTINGS, seeds=SEEDS, runs=runs))
