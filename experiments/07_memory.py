"""Does dropout inside the loop destroy the memory? Masks on h and on c, adding problem. Chapter 7.

A layer is trained with masks on the state that enters each step, drawn once a sequence or anew at
each step, and tested without any. The plain RNN gets short sequences: more it cannot learn at all.
"""

import numpy as np

from unrolled.data import adding
from unrolled.dropout import dropout_mask, masked_layer_backward, masked_layer_forward
from unrolled.gradients import clip_by_norm
from unrolled.init import chrono, orthogonal
from unrolled.layers import get_layer, layer_forward
from unrolled.losses import mse
from unrolled.neurons import linear_backward, linear_forward
from unrolled.optim import adam, adam_init, cosine
from unrolled.params import init_linear
from unrolled.results import save_result

SETTINGS = {
    "batch": 32,
    "lr": 0.01,
    "clip": 1.0,
    "test": 1024,
    "every": 100,
    "T": {"lstm": 50, "gru": 50, "rnn": 10},
    "hidden": {"lstm": 32, "gru": 37, "rnn": 66},
    "steps": {"lstm": 1000, "gru": 600, "rnn": 1800},
    # Cell, where the mask is, how often it is drawn anew, and the share that is dropped.
    "masks": [
        ["lstm", None, None, 0.0],
        ["lstm", "h", "step", 0.5],
        ["lstm", "h", "sequence", 0.5],
        ["lstm", "c", "step", 0.1],
        ["lstm", "c", "step", 0.5],
        ["lstm", "c", "sequence", 0.5],
        ["gru", None, None, 0.0],
        ["gru", "h", "step", 0.1],
        ["gru", "h", "step", 0.5],
        ["rnn", None, None, 0.0],
        ["rnn", "h", "step", 0.5],
    ],
}
SEEDS = range(3)


def forward(cell: str, params: tuple, x: np.ndarray, masks: dict) -> tuple:
    """Read a batch, with masks or without; answer from the last output."""
    if masks:
        out, _, cache = masked_layer_forward(cell, params[0], x, **masks)
    else:
        out, _, cache = layer_forward(cell, params[0], x)
    pred, read = linear_forward(params[1], out[-1])
    return pred, cache, read


def draw(place: str | None, per: str, p: float, B: int, cell: str, rng) -> dict:
    """Draw the mask of one batch."""
    if place is None:
        return {}
    T, H = SETTINGS["T"][cell], SETTINGS["hidden"][cell]
    shape = (B, H) if per == "sequence" else (T, B, H)
    return {f"{place}_mask": dropout_mask(shape, p, rng=rng, dtype=np.float32)}


def run(cell: str, place: str | None, per: str, p: float, seed: int) -> dict:
    """Train one layer; return its test error with and without masks."""
    s, rng = SETTINGS, np.random.default_rng(seed)
    T, H, steps = (s[key][cell] for key in ("T", "hidden", "steps"))
    layer = get_layer(cell).init(2, H, rng=rng, dtype=np.float32)
    layer = orthogonal(layer, rng=rng) if cell == "rnn" else chrono(layer, T, rng=rng)
    params = layer, init_linear(H, 1, rng=rng, dtype=np.float32)
    state, tests = adam_init(params), []
    x_test, y_test = adding(T, s["test"], rng=np.random.default_rng(99))
    for k in range(steps):
        x, y = adding(T, s["batch"], rng=rng)
        masks = draw(place, per, p, s["batch"], cell, rng)
        pred, cache, read = forward(cell, params, x, masks)
        dh_n, dreadout = linear_backward(read, mse(pred, y)[1])
        dstate = (dh_n, None) if cell == "lstm" else dh_n
        if masks:
            _, _, dlayer = masked_layer_backward(cache, None, dstate)
        else:
            _, _, dlayer = get_layer(cell).backward(cache, None, dh_n)
        grads, _ = clip_by_norm((dlayer, dreadout), s["clip"])
        params, state = adam(params, grads, state, lr=cosine(k, total=steps, lr=s["lr"]))
        if (k + 1) % s["every"] == 0:
            tests.append(round(mse(forward(cell, params, x_test, {})[0], y_test)[0], 5))
    masks = draw(place, per, p, s["test"], cell, rng)
    masked = mse(forward(cell, params, x_test, masks)[0], y_test)[0]
    return {
        "cell": cell, "place": place, "per": per, "p": p, "seed": seed, "T": T,
        "test": tests[-1], "masked": round(masked, 5), "curve": tests,
    }  # fmt: skip


if __name__ == "__main__":
    runs = [run(*mask, seed) for mask in SETTINGS["masks"] for seed in SEEDS]
    print(save_result(__file__, settings=SETTINGS, seeds=SEEDS, runs=runs))
