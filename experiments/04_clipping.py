"""How far back can a tanh RNN learn, with clipped gradients and without? Chapter 4.

The temporal order problem: two symbols of X and Y, far apart among others that mean nothing, and
the order in which they came is the class. The networks start where a gradient can explode (an
orthogonal W_hh) or where it must vanish (half of that), and are trained by plain gradient descent.
"""

import numpy as np

from unrolled.data import one_hot
from unrolled.data.generated import temporal_order
from unrolled.gradients import clip_by_norm, global_norm, gradient_norms
from unrolled.losses import cross_entropy
from unrolled.neurons import linear_backward, linear_forward
from unrolled.optim import sgd
from unrolled.params import Linear, Recurrent
from unrolled.results import save_result
from unrolled.rnn import rnn_backward, rnn_forward

SETTINGS = {
    "lengths": [10, 20, 30, 40],
    "hidden": 50,
    "std_in": 0.3,
    "std_out": 0.1,
    "batch": 20,
    # W_hh is an orthogonal matrix times the radius; a clip of None leaves the gradients alone.
    "grid": [
        {"radius": 1.0, "clip": None, "lr": 0.1, "steps": 2000},
        {"radius": 1.0, "clip": 1.0, "lr": 0.1, "steps": 2000},
        {"radius": 0.5, "clip": 1.0, "lr": 0.1, "steps": 2000},
        {"radius": 1.0, "clip": None, "lr": 0.3, "steps": 800},
        {"radius": 1.0, "clip": 1.0, "lr": 0.3, "steps": 800},
    ],
}
SEEDS = range(8)


def init(radius: float, rng: np.random.Generator) -> tuple[Recurrent, Linear]:
    """Draw the layer, with an orthogonal matrix times the radius in it, and the readout."""
    H = SETTINGS["hidden"]
    Q, R = np.linalg.qr(rng.normal(size=(H, H)))
    layer = Recurrent(
        W_ih=SETTINGS["std_in"] * rng.normal(size=(H, 6)),
        W_hh=radius * Q * np.sign(np.diag(R)),
        b_ih=np.zeros(H),
        b_hh=np.zeros(H),
    )
    return layer, Linear(W=SETTINGS["std_out"] * rng.normal(size=(4, H)), b=np.zeros(4))


def classify(params: tuple, T: int, batch: int, rng: np.random.Generator) -> tuple:
    """Draw sequences and name the class of each."""
    ids, target = temporal_order(T, batch, rng=rng)
    _, h_n, cache = rnn_forward(params[0], one_hot(ids, 6))
    logits, readout_cache = linear_forward(params[1], h_n)
    return logits, target, cache, readout_cache


def gradients(params: tuple, T: int, rng: np.random.Generator) -> tuple:
    """Compute the gradients of one batch, and what share of dL/dh_T reaches the first signal."""
    logits, target, cache, readout_cache = classify(params, T, SETTINGS["batch"], rng)
    _, dlogits = cross_entropy(logits, target)
    dh_n, readout_grads = linear_backward(readout_cache, dlogits)
    _, _, layer_grads = rnn_backward(cache, dh_n=dh_n)

    def share() -> float:
        by_lag = gradient_norms(cache, dh_n).mean(axis=1)
        return float(by_lag[round(0.85 * T)] / by_lag[0])

    return (layer_grads, readout_grads), share


def run(T: int, seed: int, *, radius: float, clip: float | None, lr: float, steps: int) -> dict:
    """Train one network; test it on 1,000 fresh sequences."""
    rng = np.random.default_rng(seed)
    params = init(radius, rng)
    norms, shares = [], []
    for step in range(steps):
        grads, share = gradients(params, T, rng)
        norms.append(global_norm(grads))
        if step in (0, steps - 1):
            shares.append(share())
        if clip is not None:
            grads, _ = clip_by_norm(grads, clip)
        params = sgd(params, grads, lr=lr)
    logits, target, *_ = classify(params, T, 1000, rng)
    return {
        "T": T,
        "seed": seed,
        "radius": radius,
        "clip": clip,
        "lr": lr,
        "steps": steps,
        "accuracy": float((logits.argmax(axis=1) == target).mean()),
        "largest_norm": max(norms),
        "share_above_1": float(np.mean(np.array(norms) > 1.0)),
        "share_before": shares[0],
        "share_after": shares[1],
        "radius_after": float(np.abs(np.linalg.eigvals(params[0].W_hh)).max()),
    }


if __name__ == "__main__":
    runs = [
        run(T, seed, **row)
        for row in SETTINGS["grid"]
        for T in SETTINGS["lengths"]
        for seed in SEEDS
    ]
    print(save_result(__file__, settings=SETTINGS, seeds=SEEDS, runs=runs))
