"""MNIST-1D, 40 steps of one number, by networks of about 5,100 parameters. Chapter 6.

The published GRU reads in both directions with 6 units each, and its readout sees the outputs of
all 40 steps. The others read once, and their readout sees the last output alone. The last 500
training sequences choose the learning rate: for each one seed, three rates, a fifth of the steps.
"""

from time import process_time

import numpy as np

from unrolled.data import load_mnist1d, minibatches
from unrolled.gradients import clip_by_norm
from unrolled.init import chrono, orthogonal
from unrolled.layers import (
    Bidirectional,
    bidirectional_backward,
    bidirectional_forward,
    get_layer,
    layer_backward,
    layer_forward,
)
from unrolled.losses import cross_entropy
from unrolled.neurons import linear_backward, linear_forward
from unrolled.optim import adam, adam_init, cosine
from unrolled.params import count_parameters, init_linear
from unrolled.results import save_result

SETTINGS = {
    "models": {  # cell, hidden, readout of all steps
        "GRU, both directions, all steps": ["gru", 6, True],
        "GRU, last step": ["gru", 38, False],
        "LSTM, last step": ["lstm", 33, False],
        "tanh, last step": ["rnn", 65, False],
    },
    "published": {"logistic regression": 32, "MLP": 68, "CNN": 94, "GRU": 91, "human": 96},
    "published_shuffled": {"logistic regression": 32, "MLP": 68, "CNN": 56, "GRU": 57, "human": 30},
    "valid": 500,
    "batch": 100,
    "clip": 1.0,
    "steps": 1500,
    "every": 150,
    "trials": {"seed": 100, "steps": 300, "lr": [0.003, 0.01, 0.03]},
}
SEEDS = range(3)


def begin(cell: str, H: int, both: bool, rng: np.random.Generator) -> tuple:
    """Draw the layer and its readout."""
    if both:
        layer = Bidirectional(
            *(get_layer(cell).init(1, H, rng=rng, dtype=np.float32) for _ in range(2))
        )
        return layer, init_linear(40 * 2 * H, 10, rng=rng, dtype=np.float32)
    layer = get_layer(cell).init(1, H, rng=rng, dtype=np.float32)
    layer = orthogonal(layer, rng=rng) if cell == "rnn" else chrono(layer, 40, rng=rng)
    return layer, init_linear(H, 10, rng=rng, dtype=np.float32)


def forward(cell: str, both: bool, params: tuple, x: np.ndarray) -> tuple:
    """Score the ten labels of sequences (B, 40)."""
    run = bidirectional_forward if both else layer_forward
    out, _, cache = run(cell, params[0], x.T[:, :, None])
    seen = out.swapaxes(0, 1).reshape(len(x), -1) if both else out[-1]
    return *linear_forward(params[1], seen), cache


def accuracy(cell: str, both: bool, params: tuple, x: np.ndarray, y: np.ndarray) -> float:
    """Share of sequences whose label scores highest."""
    return round(float((forward(cell, both, params, x)[0].argmax(axis=1) == y).mean()), 4)


def train(model: str, lr: float, seed: int, steps: int) -> dict:
    """Train one network, the learning rate falling to 0."""
    cell, H, both = SETTINGS["models"][model]
    rng = np.random.default_rng(seed)
    params = begin(cell, H, both, rng)
    state, seconds, curve, batches = adam_init(params), 0.0, [], iter(())
    for k in range(1, steps + 1):
        began = process_time()
        b = next(batches, None)
        if b is None:  # every sequence has been seen: shuffle again
            batches = iter(minibatches(len(x), batch=SETTINGS["batch"], rng=rng))
            b = next(batches)
        logits, read, cache = forward(cell, both, params, x[b])
        dseen, dread = linear_backward(read, cross_entropy(logits, y[b])[1])
        if both:
            dout = dseen.reshape(len(b), 40, -1).swapaxes(0, 1)
            _, _, dlayer = bidirectional_backward(cache, dout)
        else:
            _, _, dlayer = layer_backward(cache, None, (dseen, None) if cell == "lstm" else dseen)
        grads, _ = clip_by_norm((dlayer, dread), SETTINGS["clip"])
        params, state = adam(params, grads, state, lr=cosine(k - 1, total=steps, lr=lr))
        seconds += process_time() - began
        if k % SETTINGS["every"] == 0:
            curve.append([k, round(seconds, 2), accuracy(cell, both, params, x_valid, y_valid)])
    return {
        "model": model, "cell": cell, "hidden": H, "parameters": count_parameters(params),
        "lr": lr, "seed": seed, "curve": curve,
        "train": accuracy(cell, both, params, x, y),
        "test": accuracy(cell, both, params, x_test, y_test),
    }  # fmt: skip


if __name__ == "__main__":
    data, trials, cut = load_mnist1d(), SETTINGS["trials"], -SETTINGS["valid"]
    x_train, x_test = data.x_train.astype(np.float32), data.x_test.astype(np.float32)
    x, y, x_valid, y_valid = x_train[:cut], data.y_train[:cut], x_train[cut:], data.y_train[cut:]
    y_test, runs = data.y_test, []
    for model in SETTINGS["models"]:
        tried = [train(model, lr, trials["seed"], trials["steps"]) for lr in trials["lr"]]
        best = max(tried, key=lambda r: r["curve"][-1][2])["lr"]
        runs += [{**r, "trial": True} for r in tried]
        for seed in SEEDS:
            runs.append({**train(model, best, seed, SETTINGS["steps"]), "trial": False})
    print(save_result(__file__, settings=SETTINGS, seeds=SEEDS, runs=runs))
