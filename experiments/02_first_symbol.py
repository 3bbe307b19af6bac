"""How long can a plain RNN learn to remember one symbol? Chapter 2.

A sequence of T symbols is drawn at random, and the network must name the first one at the end.
There are no local clues: memory is all that can help, and guessing is right one time in eight.
"""

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from unrolled.data import one_hot
from unrolled.results import save_result
from unrolled.torch_models import LastState, fit

SETTINGS = {
    "symbols": 8,
    "hidden": 32,
    "lengths": [2, 5, 10, 15, 20, 30, 40],
    "steps": 1000,
    "batch": 64,
    "lr": 0.003,
}
SEEDS = range(5)


def draw(T: int, rng: np.random.Generator, batch: int) -> tuple:
    """Draw a batch of random sequences; the first symbol of each is its target."""
    ids = rng.integers(SETTINGS["symbols"], size=(T, batch))
    x = torch.from_numpy(one_hot(ids, SETTINGS["symbols"], dtype=np.float32))
    return (x,), torch.from_numpy(ids[0])


def run(T: int, seed: int) -> dict:
    """Train one network on fresh sequences of length T; test it on 2,000 more."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    V = SETTINGS["symbols"]
    net = LastState(V, SETTINGS["hidden"], V)
    batches = (draw(T, rng, SETTINGS["batch"]) for _ in range(SETTINGS["steps"]))
    fit(net, batches, cross_entropy, steps=SETTINGS["steps"], lr=SETTINGS["lr"])
    inputs, target = draw(T, rng, 2000)
    with torch.no_grad():
        accuracy = (net(*inputs).argmax(dim=1) == target).float().mean().item()
    return {"T": T, "seed": seed, "accuracy": accuracy}


if __name__ == "__main__":
    torch.set_num_threads(1)
    runs = [run(T, seed) for T in SETTINGS["lengths"] for seed in SEEDS]
    print(save_result(__file__, settings=SETTINGS, seeds=SEEDS, runs=runs))
