"""Handwritten digits read pixel by pixel: five ways to start three cells of equal size. Chapter 6.

An image of 8×8 pixels is a sequence of 64 steps, row after row, and its label is asked for at the
end. Two blocks of handwriting, cut from the training part, choose the learning rate: each cell and
start has one seed and three rates, around the best of its cell. Some then read the same pixels in
an order drawn once. The baseline, logistic regression, sees all pixels at once.
"""

from time import process_time

import numpy as np

from unrolled.data import load_digits, minibatches
from unrolled.gradients import clip_by_norm
from unrolled.init import chrono, orthogonal
from unrolled.layers import get_layer, layer_backward, layer_forward
from unrolled.losses import cross_entropy
from unrolled.neurons import linear_backward, linear_forward
from unrolled.optim import adam, adam_init, cosine
from unrolled.params import count_parameters, init_linear
from unrolled.results import save_result

SETTINGS = {
    "hidden": {"rnn": 96, "lstm": 48, "gru": 56},
    "starts": [["pixels", "default"], ["rnn", "orthogonal"], ["lstm", "default"],
               ["lstm", "chrono"], ["gru", "default"], ["gru", "chrono"]],
    "permuted": [["rnn", "orthogonal"], ["lstm", "chrono"], ["gru", "chrono"]],
    "valid_blocks": 2,
    "batch": 32,
    "clip": 1.0,
    "steps": 1200,
    "every": 100,
    "seed": 100,  # of the trials
    "lr": {"pixels": [0.01, 0.03, 0.1], "rnn": [0.001, 0.003, 0.01],
           "lstm": [0.003, 0.01, 0.03], "gru": [0.003, 0.01, 0.03]},
}  # fmt: skip
SEEDS = range(3)


def load(order: np.ndarray) -> tuple:
    """Training, validation and test part: the pixels (N, 64) in this order, and the labels."""
    digits = load_digits()
    starts = digits.block_starts[digits.block_starts < len(digits.x_train)]
    cut = starts[-SETTINGS["valid_blocks"]]
    x = digits.x_train.reshape(-1, 64).astype(np.float32)[:, order]
    test = digits.x_test.reshape(-1, 64).astype(np.float32)[:, order], digits.y_test
    return (x[:cut], digits.y_train[:cut]), (x[cut:], digits.y_train[cut:]), test


def begin(cell: str, start: str, rng: np.random.Generator) -> tuple:
    """Draw the layer and its readout; the baseline is a readout alone."""
    if cell == "pixels":
        return (init_linear(64, 10, rng=rng, dtype=np.float32),)
    H = SETTINGS["hidden"][cell]
    layer = get_layer(cell).init(1, H, rng=rng, dtype=np.float32)
    if start == "chrono":
        layer = chrono(layer, 64, rng=rng)
    elif start == "orthogonal":
        layer = orthogonal(layer, rng=rng)
    return layer, init_linear(H, 10, rng=rng, dtype=np.float32)


def forward(cell: str, params: tuple, x: np.ndarray) -> tuple:
    """Score the ten labels of images (B, 64), one pixel a step."""
    if cell == "pixels":
        return *linear_forward(params[0], x), None
    out, _, cache = layer_forward(cell, params[0], x.T[:, :, None])
    return *linear_forward(params[1], out[-1]), cache


def accuracy(cell: str, params: tuple, part: tuple) -> float:
    """Share of images whose label scores highest."""
    return round(float((forward(cell, params, part[0])[0].argmax(axis=1) == part[1]).mean()), 4)


def train(cell: str, start: str, lr: float, seed: int, steps: int, parts: tuple) -> dict:
    """Train one network, the learning rate falling to 0."""
    (x, y), valid, test = parts
    rng = np.random.default_rng(seed)
    params = begin(cell, start, rng)
    state, seconds, curve, batches = adam_init(params), 0.0, [], iter(())
    for k in range(1, steps + 1):
        began = process_time()
        b = next(batches, None)
        if b is None:  # every image has been seen: shuffle again
            batches = iter(minibatches(len(x), batch=SETTINGS["batch"], rng=rng))
            b = next(batches)
        logits, read, cache = forward(cell, params, x[b])
        dh_n, dread = linear_backward(read, cross_entropy(logits, y[b])[1])
        grads = (dread,)
        if cache is not None:
            dstate = (dh_n, None) if cell == "lstm" else dh_n
            grads = (layer_backward(cache, None, dstate)[2], dread)
        grads, _ = clip_by_norm(grads, SETTINGS["clip"])
        params, state = adam(params, grads, state, lr=cosine(k - 1, total=steps, lr=lr))
        seconds += process_time() - began
        if k % SETTINGS["every"] == 0:
            curve.append([k, round(seconds, 2), accuracy(cell, params, valid)])
    return {
        "cell": cell, "start": start, "lr": lr, "seed": seed,
        "parameters": count_parameters(params), "curve": curve,
        "test": accuracy(cell, params, test),
    }  # fmt: skip


if __name__ == "__main__":
    runs, rates, steps = [], {}, SETTINGS["steps"]
    rows, drawn = load(np.arange(64)), load(np.random.default_rng(0).permutation(64))
    for cell, start in SETTINGS["starts"]:
        tried = [
            train(cell, start, lr, SETTINGS["seed"], steps, rows) for lr in SETTINGS["lr"][cell]
        ]
        runs += [{**r, "order": "rows", "trial": True} for r in tried]
        rates[cell, start] = max(tried, key=lambda r: r["curve"][-1][2])["lr"]
    plan = [("rows", rows, *kind) for kind in SETTINGS["starts"]]
    plan += [("drawn", drawn, *kind) for kind in SETTINGS["permuted"]]
    for order, parts, cell, start in plan:
        for seed in SEEDS:
            r = train(cell, start, rates[cell, start], seed, steps, parts)
            runs.append({**r, "order": order, "trial": False})
    print(save_result(__file__, settings=SETTINGS, seeds=SEEDS, runs=runs))
