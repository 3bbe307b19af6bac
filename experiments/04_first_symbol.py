"""Why did chapter 2's networks not learn to remember? Their gradients, measured. Chapter 4.

The task, the network and the training are those of experiments/02_first_symbol.py, with the same
seeds. What is new: how much of the gradient is left at each lag, before the training and after it,
other starts for the recurrent weights, and longer training.
"""

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from unrolled.data import one_hot
from unrolled.gradients import gradient_norms
from unrolled.losses import cross_entropy as loss_and_gradient
from unrolled.params import Recurrent
from unrolled.results import save_result
from unrolled.rnn import rnn_forward
from unrolled.torch_models import LastState, fit

SETTINGS = {
    "symbols": 8,
    "hidden": 32,
    "batch": 64,
    "lr": 0.003,
    "grid": [
        {"start": "torch", "lengths": [10, 20, 30, 40], "steps": 1000},
        {"start": "torch", "lengths": [20, 30], "steps": 4000},
        {"start": "orthogonal", "lengths": [20, 30, 40], "steps": 1000},
        {"start": "0.01 randn", "lengths": [2, 5, 10], "steps": 1000},
    ],
}
SEEDS = range(5)


def draw(T: int, rng: np.random.Generator, batch: int) -> tuple:
    """Draw a batch of random sequences; the first symbol of each is its target."""
    ids = rng.integers(SETTINGS["symbols"], size=(T, batch))
    x = torch.from_numpy(one_hot(ids, SETTINGS["symbols"], dtype=np.float32))
    return (x,), torch.from_numpy(ids[0])


def restart(net: LastState, start: str, rng: np.random.Generator) -> None:
    """Replace the recurrent weights that torch has drawn."""
    H = SETTINGS["hidden"]
    G = rng.normal(size=(H, H))
    if start == "orthogonal":
        Q, R = np.linalg.qr(G)
        G = Q * np.sign(np.diag(R))
    elif start == "0.01 randn":
        G = 0.01 * G
    with torch.no_grad():
        net.rnn.weight_hh_l0.copy_(torch.from_numpy(G))


def norms_by_lag(net: LastState, inputs: tuple, target: torch.Tensor) -> list[float]:
    """Measure the mean norm of dL/dh_{T-k} over a batch, for k = 0…T-1, in float64."""
    arrays = [p.detach().double().numpy() for p in net.parameters()]
    W, b = arrays[4:]
    _, h_n, cache = rnn_forward(Recurrent(*arrays[:4]), inputs[0].double().numpy())
    _, dlogits = loss_and_gradient(h_n @ W.T + b, target.numpy())
    norms = gradient_norms(cache, dlogits @ W).mean(axis=1)[:-1]
    return [float(f"{norm:.4g}") for norm in norms * len(target)]


def run(start: str, T: int, steps: int, seed: int) -> dict:
    """Train one network on fresh sequences of length T; test it on 2,000 more."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    V = SETTINGS["symbols"]
    net = LastState(V, SETTINGS["hidden"], V)
    if start != "torch":
        restart(net, start, np.random.default_rng(100 + seed))
    probe = draw(T, np.random.default_rng(200 + seed), 200)
    before = norms_by_lag(net, *probe)
    batches = (draw(T, rng, SETTINGS["batch"]) for _ in range(steps))
    losses = fit(net, batches, cross_entropy, steps=steps, lr=SETTINGS["lr"])
    inputs, target = draw(T, rng, 2000)
    with torch.no_grad():
        accuracy = (net(*inputs).argmax(dim=1) == target).float().mean().item()
    return {
        "start": start,
        "T": T,
        "steps": steps,
        "seed": seed,
        "accuracy": accuracy,
        "loss": float(np.mean(losses[-50:])),
        "before": before,
        "after": norms_by_lag(net, *probe),
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    runs = [
        run(row["start"], T, row["steps"], seed)
        for row in SETTINGS["grid"]
        for T in row["lengths"]
        for seed in SEEDS
    ]
    print(save_result(__file__, settings=SETTINGS, seeds=SEEDS, runs=runs))
