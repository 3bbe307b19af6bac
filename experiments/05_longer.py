"""When do the forget gates open, and what does the network do on longer sequences? Chapter 5.

LSTMs learn the adding problem over 100 steps, with the gates as torch starts them and with chrono
biases. On the way, the most open forget gate is noted, and whether the network has learned the
second mark where that is near the end. Then each is tried on sequences of up to 1,000 steps.
"""

import numpy as np

from unrolled.data import adding
from unrolled.gradients import clip_by_norm
from unrolled.init import chrono
from unrolled.losses import mse
from unrolled.lstm import lstm_backward, lstm_forward
from unrolled.neurons import linear_backward, linear_forward
from unrolled.optim import adam, adam_init, cosine
from unrolled.params import init_linear, init_lstm
from unrolled.results import save_result

SETTINGS = {
    "T": 100,
    "hidden": 32,
    "batch": 32,
    "lr": 0.01,
    "clip": 1.0,
    "goal": 0.01,
    "steps": 2000,
    "every": 50,
    "finish": 300,  # more steps after the goal, where the learning rate falls to 0
    "near": 10,  # a second mark in the last steps counts as near
    "starts": ["default", "chrono"],
    "lengths": [100, 200, 400, 1000],
}
SEEDS = range(3)


def step(params: tuple, state, lr: float, rng: np.random.Generator) -> tuple:
    """Train on one fresh batch."""
    x, y = adding(SETTINGS["T"], SETTINGS["batch"], rng=rng)
    out, _, cache = lstm_forward(params[0], x)
    pred, read = linear_forward(params[1], out[-1])
    dh_n, dreadout = linear_backward(read, mse(pred, y)[1])
    _, _, dlayer = lstm_backward(cache, None, dh_n)
    grads, _ = clip_by_norm((dlayer, dreadout), SETTINGS["clip"])
    return adam(params, grads, state, lr=lr)


def test(params: tuple, T: int) -> tuple[float, float, float]:
    """Return the mean squared error, the mean of the most open forget gate, and what is near.

    The last is the correlation of the answer with the second number, over the sequences that bring
    it in their last ten steps.
    """
    x, y = adding(T, 512, rng=np.random.default_rng(99))
    out, _, cache = lstm_forward(params[0], x)
    pred, _ = linear_forward(params[1], out[-1])
    last = x[-SETTINGS["near"] :]
    near = last[:, :, 1].any(axis=0)
    second = (last[:, :, 0] * last[:, :, 1]).sum(axis=0)
    known = np.corrcoef(pred[near, 0], second[near])[0, 1]
    error = float(((pred - y) ** 2).mean())
    return error, float(cache.f.mean(axis=(0, 1)).max()), float(known)


def run(start: str, seed: int) -> dict:
    """Train one network, finish it, and try it on longer sequences."""
    rng, T = np.random.default_rng(seed), SETTINGS["T"]
    layer = init_lstm(2, SETTINGS["hidden"], rng=rng, dtype=np.float32)
    if start == "chrono":
        layer = chrono(layer, T, rng=rng)
    params = layer, init_linear(SETTINGS["hidden"], 1, rng=rng, dtype=np.float32)
    state, trace, solved = adam_init(params), [], None
    for k in range(1, SETTINGS["steps"] + 1):
        params, state = step(params, state, SETTINGS["lr"], rng)
        if k % SETTINGS["every"] == 0:
            trace.append([round(value, 4) for value in test(params, T)])
            if trace[-1][0] < SETTINGS["goal"]:
                solved = k
                break
    for k in range(SETTINGS["finish"]):
        lr = cosine(k, total=SETTINGS["finish"], lr=SETTINGS["lr"])
        params, state = step(params, state, lr, rng)
    errors, opened, near = zip(*trace)
    return {
        "start": start, "seed": seed, "steps": solved,
        "errors": list(errors), "open": list(opened), "near": list(near),
        "longer": [round(test(params, T)[0], 5) for T in SETTINGS["lengths"]],
    }  # fmt: skip


if __name__ == "__main__":
    runs = [run(start, seed) for start in SETTINGS["starts"] for seed in SEEDS]
    print(save_result(__file__, settings=SETTINGS, seeds=SEEDS, runs=runs))
