"""How often does gradient descent find XOR, for each width of the hidden layer? Chapter 1."""

import numpy as np

from unrolled.losses import binary_cross_entropy
from unrolled.neurons import mlp_backward, mlp_forward
from unrolled.optim import sgd
from unrolled.params import init_mlp
from unrolled.results import save_result

SETTINGS = {"widths": [0, 1, 2, 3, 4, 8, 16], "steps": 2000, "lr": 1.0, "activation": "tanh"}
SEEDS = range(100)

X = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]])
Y = np.array([[0.0], [1], [1], [0]])


def run(seed: int, width: int) -> dict[str, float]:
    """Train one network on the four points; width 0 is a single neuron."""
    sizes = [2, width, 1] if width else [2, 1]
    layers = init_mlp(sizes, rng=np.random.default_rng(seed))
    for _ in range(SETTINGS["steps"]):
        logits, cache = mlp_forward(layers, X, SETTINGS["activation"])
        _, dlogits = binary_cross_entropy(logits, Y)
        _, grads = mlp_backward(cache, dlogits)
        layers = sgd(layers, grads, lr=SETTINGS["lr"])
    logits, _ = mlp_forward(layers, X, SETTINGS["activation"])
    loss, _ = binary_cross_entropy(logits, Y)
    return {"seed": seed, "width": width, "loss": loss, "correct": int(((logits > 0) == Y).sum())}


if __name__ == "__main__":
    runs = [run(seed, width) for width in SETTINGS["widths"] for seed in SEEDS]
    print(save_result(__file__, settings=SETTINGS, seeds=SEEDS, runs=runs))
