"""What is left out and what comes twice: coverage on long runs of one symbol. Chapter 9.

To copy aaaabb the attention must count, as every a looks alike. It learns runs of up to three.
"""

from collections import Counter
from copy import deepcopy

import numpy as np
import torch

from unrolled.data import pad
from unrolled.results import save_result
from unrolled.torch_models import count
from unrolled.torch_pointer import PointerGenerator, coverage_loss, pointer_loss

SETTINGS = {
    "symbols": 10,
    "lengths": [9, 18],
    "runs": [1, 3],  # how often a symbol may follow itself in training
    "sizes": {"E": 32, "H": 64},
    "training": {"steps": 400, "batch": 32, "lr": 0.004},
    "more": 80,  # further steps, in some models with the coverage loss
    "tests": [2, 3, 6, 9, 18],  # runs of one size each, of 18 symbols together
    "test": 100,  # sequences of each size
}
SEEDS = range(3)
START, END, FIRST = 1, 2, 3  # ids; PAD is 0


def batch(sizes: list[np.ndarray], rng: np.random.Generator) -> tuple:
    """Draw sequences to copy, made of runs of these sizes: aaabbc has the sizes 3, 2, 1."""
    symbols = []
    for size in sizes:
        # A step of 1 to K - 1 modulo K: no run has the symbol of the run before.
        steps = rng.integers(1, SETTINGS["symbols"], size=len(size))
        symbols.append(FIRST + np.repeat(steps.cumsum() % SETTINGS["symbols"], size))
    source, lengths = pad(symbols)
    target_in, ends = pad([np.array([START, *s]) for s in symbols])
    target, _ = pad([np.array([*s, END]) for s in symbols])
    return tuple(torch.from_numpy(a) for a in (source, lengths, target_in, target, ends))


def draw_sizes(rng: np.random.Generator) -> np.ndarray:
    """Cut a length into runs for training."""
    (short, long), (least, most) = SETTINGS["lengths"], SETTINGS["runs"]
    length = rng.integers(short, long + 1)
    ends = rng.integers(least, most + 1, size=length).cumsum()
    return np.diff([0, *ends[ends < length], length])


def test(net: PointerGenerator, run: int) -> dict:
    """Copy sequences of equal runs; count, a sequence, what is missing and what is too much."""
    n, N = SETTINGS["lengths"][1], SETTINGS["test"]
    source, lengths, *_ = batch([np.full(n // run, run)] * N, np.random.default_rng(99))
    written, weights, _ = net.write(source, lengths, start=START, end=END, max_length=2 * n)
    pairs = list(zip(source.T.tolist(), written))
    looked = [weights[: len(y), :, b].sum(axis=0) for b, y in enumerate(written)]
    return {
        "run": run,
        "exact": sum(x == y for x, y in pairs) / N,
        "missing": sum((Counter(x) - Counter(y)).total() for x, y in pairs) / N,
        "repeated": sum((Counter(y) - Counter(x)).total() for x, y in pairs) / N,
        "unseen": float(np.sum(np.array(looked) < 0.5)) / N,  # places that got less than half
        "seen_twice": float(np.sum(np.array(looked) > 1.5)) / N,
    }


def train(net: PointerGenerator, steps: int, weight: float, rng: np.random.Generator) -> list:
    """Train on fresh sequences, with ``weight`` times the coverage loss added."""
    s, losses = SETTINGS["training"], []
    optimizer = torch.optim.Adam(net.parameters(), lr=s["lr"])
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        sizes = [draw_sizes(rng) for _ in range(s["batch"])]
        source, lengths, target_in, target, ends = batch(sizes, rng)
        p, weights, coverage = net(source, lengths, target_in)
        loss = pointer_loss(p, target, ends)
        losses.append(loss.item())
        if weight:
            loss = loss + weight * coverage_loss(weights, coverage, ends)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        falling.step()
    return losses


def run(seed: int) -> list[dict]:
    """Train the models of one seed; test each on every size of run."""
    found, V = [], FIRST + SETTINGS["symbols"]
    # With coverage or not; the weight of its loss at first, and in the further steps of each model.
    for coverage, at_first, models in [
        (False, 0, {"attention": 0}),
        (True, 0, {"coverage": 0, "coverage, loss at the end": 1}),
        (True, 1, {"coverage, loss from the start": 1}),
    ]:
        rng = np.random.default_rng(seed)
        torch.manual_seed(seed)
        start = PointerGenerator(V, **SETTINGS["sizes"], pointer=False, coverage=coverage)
        before = train(start, SETTINGS["training"]["steps"], at_first, rng)
        for model, weight in models.items():
            net, fresh = deepcopy(start), np.random.default_rng(seed + 50)
            losses = np.array(before + train(net, SETTINGS["more"], weight, fresh))
            found.append({
                "model": model, "seed": seed, "parameters": count(net),
                "losses": losses.reshape(-1, 20).mean(axis=1).round(4).tolist(),
                "tests": [test(net, size) for size in SETTINGS["tests"]],
            })  # fmt: skip
            print(model, seed, found[-1]["tests"], flush=True)
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    runs = [found for seed in SEEDS for found in run(seed)]
    print(save_result(__file__, settings=SETTINGS, seeds=SEEDS, runs=runs))
