"""Who can count? Strings of n times a, then n times b, read by tanh, GRU and LSTM networks.

The network reads one symbol at a time and predicts the next: from the first b on there is one right
answer, b until there are as many as there were a, and then the end. It is trained on n = 1…50, one
string of each in every step, and tested on longer ones. Weiss, Goldberg & Yahav (2018); chapter 6.
"""

from time import process_time

import numpy as np

from unrolled.data import one_hot
from unrolled.gradients import clip_by_norm
from unrolled.layers import get_layer, layer_backward, layer_forward
from unrolled.losses import cross_entropy
from unrolled.neurons import linear_backward, linear_forward
from unrolled.optim import adam, adam_init, cosine
from unrolled.params import count_parameters, init_linear
from unrolled.results import save_result

A, B, END = 0, 1, 2  # END also begins a string
SETTINGS = {
    "hidden": {"rnn": 18, "gru": 10, "lstm": 9},
    "trained": 50,
    "tested": 1000,
    "clip": 1.0,
    "steps": 2000,
    "trials": {"seed": 100, "steps": 1000, "lr": [0.01, 0.03, 0.1]},
    "traced": 100,
}
SEEDS = range(5)


def strings(ns: list[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Write one string for each n: what is read (T, B, 3), what comes next, what is no padding."""
    ids = np.full((2 * max(ns) + 2, len(ns)), END)
    for column, n in enumerate(ns):
        ids[1 : n + 1, column] = A
        ids[n + 1 : 2 * n + 1, column] = B
    lengths = 2 * np.array(ns) + 1
    mask = np.arange(len(ids) - 1)[:, None] < lengths
    return one_hot(ids[:-1], 3, dtype=np.float32), ids[1:], mask


def right(cell: str, params: tuple) -> np.ndarray:
    """Tell for each n whether every prediction in its string is right.

    Among the a, where both a and b may follow, only the end is wrong.
    """
    found = []
    for first in range(1, SETTINGS["tested"] + 1, SETTINGS["trained"]):
        ns = list(range(first, first + SETTINGS["trained"]))
        x, y, mask = strings(ns)
        out, _, _ = layer_forward(cell, params[0], x)
        best = linear_forward(params[1], out.reshape(-1, out.shape[2]))[0].argmax(axis=1)
        early = np.arange(len(y))[:, None] <= ns  # before the first b has been read
        wrong = np.where(early, best.reshape(y.shape) == END, best.reshape(y.shape) != y) & mask
        found.append(~wrong.any(axis=0))
    return np.concatenate(found)


def trace(cell: str, params: tuple, n: int) -> dict:
    """Follow the unit that best tells how many b are still to come: c of the LSTM, else h."""
    x, _, _ = strings([n])
    _, _, cache = layer_forward(cell, params[0], x)
    state = (cache.c if cell == "lstm" else cache.h)[1:, 0]
    due = np.minimum(np.arange(2 * n + 1), 2 * n - np.arange(2 * n + 1))
    with np.errstate(invalid="ignore"):  # a unit that never moves
        fit = [abs(np.corrcoef(unit, due)[0, 1]) for unit in state.T]
    best = int(np.nanargmax(fit))
    return {"unit": best, "correlation": round(float(fit[best]), 3),
            "trace": state[:, best].astype(float).round(3).tolist()}  # fmt: skip


def train(cell: str, lr: float, seed: int, steps: int) -> dict:
    """Train one network; the learning rate falls to 0."""
    rng, H = np.random.default_rng(seed), SETTINGS["hidden"][cell]
    params = (
        get_layer(cell).init(3, H, rng=rng, dtype=np.float32),
        init_linear(H, 3, rng=rng, dtype=np.float32),
    )
    x, y, mask = strings(list(range(1, SETTINGS["trained"] + 1)))
    state, began = adam_init(params), process_time()
    for k in range(steps):
        out, _, cache = layer_forward(cell, params[0], x)
        logits, read = linear_forward(params[1], out.reshape(-1, H))
        loss, dlogits = cross_entropy(logits, y.ravel(), mask.ravel())
        dout, dreadout = linear_backward(read, dlogits)
        _, _, dlayer = layer_backward(cache, dout.reshape(out.shape), None)
        grads, _ = clip_by_norm((dlayer, dreadout), SETTINGS["clip"])
        params, state = adam(params, grads, state, lr=cosine(k, total=steps, lr=lr))
    seconds = process_time() - began
    ok = right(cell, params)
    row = {
        "cell": cell, "hidden": H, "parameters": count_parameters(params), "lr": lr, "seed": seed,
        "loss": round(loss, 5), "seconds": round(seconds, 1),
        "right": int(ok[: SETTINGS["trained"]].sum()),  # of the trained n
        "reach": int(np.append(~ok, True).argmax()),  # all strings up to this n are right
        "longest": int(np.flatnonzero(ok).max(initial=-1)) + 1,  # the longest that is right at all
    }  # fmt: skip
    trial = steps < SETTINGS["steps"]
    return row | {"trial": trial} | ({} if trial else trace(cell, params, SETTINGS["traced"]))


if __name__ == "__main__":
    runs, trials = [], SETTINGS["trials"]
    for cell in SETTINGS["hidden"]:
        tried = [train(cell, lr, trials["seed"], trials["steps"]) for lr in trials["lr"]]
        best = min(tried, key=lambda r: r["loss"])["lr"]
        runs += tried + [train(cell, best, seed, SETTINGS["steps"]) for seed in SEEDS]
    print(save_result(__file__, settings=SETTINGS, seeds=SEEDS, runs=runs))
