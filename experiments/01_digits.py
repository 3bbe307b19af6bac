"""Which matters more on the digits: the model, or how the data are split? Chapter 1.

Every image is tested once. There are six folds, either of two whole blocks of handwriting each (the
test images very probably come from other writers than the training images) or of the same sizes
at random (the same writers are on both sides).
"""

import numpy as np
from sklearn.neighbors import KNeighborsClassifier

from unrolled.data import load_digits, minibatches
from unrolled.losses import cross_entropy
from unrolled.neurons import mlp_backward, mlp_forward
from unrolled.optim import sgd
from unrolled.params import init_mlp
from unrolled.results import save_result

SETTINGS = {
    "models": {"logistic regression": [64, 10], "MLP, 32 hidden": [64, 32, 10]},
    "epochs": 40,
    "batch": 32,
    "lr": 0.5,
    "blocks_in_a_fold": 2,
}
SEEDS = range(5)


def fold_indices(split: str, starts: np.ndarray, size: int) -> list[np.ndarray]:
    """Cut 0…size - 1 at every second block start, in file order or after shuffling."""
    order = np.arange(size) if split == "by writer" else np.random.default_rng(0).permutation(size)
    step = SETTINGS["blocks_in_a_fold"]
    return np.split(order, starts[step::step])


def correct(x, y, test, seed: int, sizes: list[int]) -> int:
    """Train on all but the test fold; count the test images that come out right."""
    rng = np.random.default_rng(seed)
    layers = init_mlp(sizes, rng=rng)
    train = np.setdiff1d(np.arange(len(x)), test)
    for _ in range(SETTINGS["epochs"]):
        for b in minibatches(len(train), batch=SETTINGS["batch"], rng=rng):
            logits, cache = mlp_forward(layers, x[train[b]])
            _, dlogits = cross_entropy(logits, y[train[b]])
            _, grads = mlp_backward(cache, dlogits)
            layers = sgd(layers, grads, lr=SETTINGS["lr"])
    logits, _ = mlp_forward(layers, x[test])
    return int((logits.argmax(axis=1) == y[test]).sum())


def nearest(x, y, test) -> int:
    """Count the test images whose nearest training image has the right label."""
    train = np.setdiff1d(np.arange(len(x)), test)
    neighbour = KNeighborsClassifier(n_neighbors=1).fit(x[train], y[train])
    return int((neighbour.predict(x[test]) == y[test]).sum())


if __name__ == "__main__":
    digits = load_digits()
    x = np.concatenate([digits.x_train, digits.x_test]).reshape(-1, 64)
    y = np.concatenate([digits.y_train, digits.y_test])
    runs = []
    for split in ("by writer", "at random"):
        folds = fold_indices(split, digits.block_starts, len(x))
        hits = [nearest(x, y, test) for test in folds]
        row = {"model": "nearest image", "split": split, "hits": hits}
        runs.append({**row, "accuracy": sum(hits) / len(x)})
        for model, sizes in SETTINGS["models"].items():
            for seed in SEEDS:
                hits = [correct(x, y, test, seed, sizes) for test in folds]
                row = {"model": model, "split": split, "seed": seed, "hits": hits}
                runs.append({**row, "accuracy": sum(hits) / len(x)})
    print(save_result(__file__, settings=SETTINGS, seeds=SEEDS, runs=runs))
