"""Does a better start let an RNN add two numbers over 100 steps? Chapter 4.

The adding problem: 100 steps bring a number and a mark each, two are marked, and their sum is
asked for at the end. To answer 1 always costs 1/6 = 0.167, the baseline.
"""

import numpy as np
import torch
from torch import nn

from unrolled.data.generated import adding
from unrolled.results import save_result

SETTINGS = {
    "T": 100,
    "hidden": 68,
    "batch": 32,
    "lr": 0.002,
    "clip": 1.0,
    "grid": [
        {"start": "tanh, torch's start", "steps": 1000},
        {"start": "tanh, orthogonal", "steps": 1000},
        {"start": "ReLU, identity", "steps": 1000},
        {"start": "ReLU, identity", "steps": 2000},
    ],
    "log_every": 50,
}
SEEDS = range(3)


class Adder(nn.Module):
    """An RNN with one number as its answer, read from the last state."""

    def __init__(self, start: str) -> None:
        super().__init__()
        H = SETTINGS["hidden"]
        self.rnn = nn.RNN(2, H, nonlinearity="relu" if start == "ReLU, identity" else "tanh")
        self.readout = nn.Linear(H, 1)
        if start == "tanh, orthogonal":
            nn.init.orthogonal_(self.rnn.weight_hh_l0)
        if start == "ReLU, identity":  # as Le, Jaitly & Hinton (2015) do
            nn.init.eye_(self.rnn.weight_hh_l0)
            nn.init.normal_(self.rnn.weight_ih_l0, std=0.001)
            nn.init.zeros_(self.rnn.bias_ih_l0)
            nn.init.zeros_(self.rnn.bias_hh_l0)

    def forward(self, x: torch.Tensor, h_0: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        h_n = self.rnn(x, h_0)[1]
        return self.readout(h_n[0]), h_n


def run(start: str, steps: int, seed: int) -> dict:
    """Train one network; record its loss, and what share of dL/dh_T reaches h_0 at the start."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    model = Adder(start)
    optimizer = torch.optim.Adam(model.parameters(), lr=SETTINGS["lr"])
    losses, norms, share = [], [], None
    for _ in range(steps):
        x, y = (torch.from_numpy(a) for a in adding(SETTINGS["T"], SETTINGS["batch"], rng=rng))
        h_0 = torch.zeros(1, SETTINGS["batch"], SETTINGS["hidden"], requires_grad=share is None)
        prediction, h_n = model(x, h_0)
        loss = nn.functional.mse_loss(prediction, y)
        if share is None:
            far, near = torch.autograd.grad(loss, [h_0, h_n], retain_graph=True)
            share = (far.double().norm() / near.double().norm()).item()
        optimizer.zero_grad()
        loss.backward()
        norms.append(nn.utils.clip_grad_norm_(model.parameters(), SETTINGS["clip"]).item())
        optimizer.step()
        losses.append(loss.item())
    every = SETTINGS["log_every"]
    means = np.array(losses).reshape(-1, every).mean(axis=1)
    return {
        "start": start,
        "steps": steps,
        "seed": seed,
        "losses": [round(float(loss), 4) for loss in means],
        "share_before": share,
        "share_above_1": float(np.mean(np.array(norms) > SETTINGS["clip"])),
        "largest_norm": max(norms),
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    runs = [run(**row, seed=seed) for row in SETTINGS["grid"] for seed in SEEDS]
    print(save_result(__file__, settings=SETTINGS, seeds=SEEDS, runs=runs))
