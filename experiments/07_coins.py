"""Words with coins for labels: what is learnt by heart, and the best of n on a test set. Chapter 7.

Each word gets the label 0 or 1 by the toss of a coin, so that no rule can be learnt and the true
accuracy of every network on new words is one half. Many small LSTMs are trained all the same, and
the best of them is chosen on a test set, for many test sets of several sizes.
"""

import numpy as np

from unrolled.data import Vocabulary, pad
from unrolled.data.pronunciations import load_pronunciations
from unrolled.embedding import embedding_backward, embedding_forward
from unrolled.losses import cross_entropy
from unrolled.lstm import lstm_backward, lstm_forward
from unrolled.neurons import linear_backward, linear_forward
from unrolled.optim import adam, adam_init
from unrolled.params import init_linear, init_lstm
from unrolled.results import save_result

SETTINGS = {
    "train": 100,
    "test": 4000,
    "embedding": 16,
    "hidden": 32,
    "lr": 0.01,
    "steps": 60,
    "sizes": [50, 100, 200, 500, 1000],
    "resamples": 5000,
}
SEEDS = range(50)


def forward(params: tuple, ids: np.ndarray, lengths: np.ndarray) -> tuple:
    """Read the words, answer from the last state of each."""
    embedded, embedding = embedding_forward(params[0], ids)
    _, (h_n, _), layer = lstm_forward(params[1], embedded, lengths=lengths)
    logits, read = linear_forward(params[2], h_n)
    return logits, (embedding, layer, read)


def train(seed: int, ids: np.ndarray, lengths: np.ndarray, y: np.ndarray) -> tuple:
    """Train one network on all words at once."""
    s, rng = SETTINGS, np.random.default_rng(seed)
    kind = {"rng": rng, "dtype": np.float32}
    params = (
        rng.normal(size=(len(vocabulary), s["embedding"])).astype(np.float32),
        init_lstm(s["embedding"], s["hidden"], **kind),
        init_linear(s["hidden"], 2, **kind),
    )
    state = adam_init(params)
    for _ in range(s["steps"]):
        logits, (embedding, layer, read) = forward(params, ids, lengths)
        dh_n, dread = linear_backward(read, cross_entropy(logits, y)[1])
        dembedded, _, dlayer = lstm_backward(layer, None, dh_n)
        grads = embedding_backward(embedding, dembedded), dlayer, dread
        params, state = adam(params, grads, state, lr=s["lr"])
    return params


def price(right: np.ndarray) -> list[dict]:
    """Choose the best of n networks on m words, many times; ``right`` is (networks, words)."""
    rng, runs = np.random.default_rng(0), []
    for m in SETTINGS["sizes"]:
        found = {n: [] for n in (1, 2, 5, 10, 20, len(right))}
        for _ in range(SETTINGS["resamples"]):
            score = right[:, rng.choice(right.shape[1], size=m, replace=False)].mean(axis=1)
            score = rng.permutation(score)
            for n, best in found.items():
                best.append(score[:n].max())
        for n, best in found.items():
            runs.append({"part": "price", "words": m, "networks": n,
                         "best": round(float(np.mean(best)), 4)})  # fmt: skip
    return runs


if __name__ == "__main__":
    parts = load_pronunciations()
    words = [[word for word, _ in part] for part in (parts.train, parts.test)]
    vocabulary = Vocabulary(words[0])
    coin = np.random.default_rng(0)
    data = []
    for some, size in zip(words, (SETTINGS["train"], SETTINGS["test"])):
        ids, lengths = pad([vocabulary.encode(word) for word in some[:size]])
        data.append((ids, lengths, coin.integers(2, size=size)))
    runs, tested = [], []
    for seed in SEEDS:
        params = train(seed, *data[0])
        seen, new = (forward(params, i, n)[0].argmax(axis=1) == y for i, n, y in data)
        tested.append(new)
        runs.append({
            "part": "networks", "seed": seed, "train": round(float(seen.mean()), 4),
            "first_100": round(float(new[:100].mean()), 4), "test": round(float(new.mean()), 4),
        })  # fmt: skip
    runs += price(np.array(tested))
    print(save_result(__file__, settings=SETTINGS, seeds=SEEDS, runs=runs))
