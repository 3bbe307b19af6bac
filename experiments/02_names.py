"""Whose name is it? An RNN against windows, a convolution and counts of letters. Chapter 2."""

import string

import numpy as np
import torch
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from torch.nn.functional import cross_entropy

from unrolled.data import Vocabulary, accuracy, load_names
from unrolled.results import save_result
from unrolled.torch_models import (
    LastState,
    WindowCNN,
    WindowMLP,
    count,
    fit,
    read_names,
    repeat_batches,
)

SETTINGS = {
    "steps": 2000,
    "many_steps": 8000,
    "batch": 64,
    "lr": 0.003,
    "rnn_hidden": 128,
    "mlp_hidden": 64,
    "cnn_filters": 128,
    "cnn_width": 4,
    "window": 20,
    "windows": [1, 2, 3, 5, 8, 12, 20],
}
SEEDS = range(5)
LANGUAGES = 12


def build(model: str, V: int, window: int | None) -> torch.nn.Module:
    """Build an untrained model by name."""
    s = SETTINGS
    if model == "MLP":
        return WindowMLP(window, V, s["mlp_hidden"], LANGUAGES)
    if model == "CNN":
        filters, width = s["cnn_filters"], s["cnn_width"]
        return WindowCNN(window, V, filters, LANGUAGES, width=width, pool=True)
    D = 1 if model == "RNN, ids as numbers" else V
    return LastState(D, s["rnn_hidden"], LANGUAGES)


def prepare(model: str, names: list[str], vocabulary: Vocabulary, window: int | None) -> tuple:
    """Turn names into what a model reads."""
    x, lengths = read_names(names, vocabulary, window=window)
    if model in ("MLP", "CNN"):
        return (x,)
    if model == "RNN, padding counted":
        return (x,)
    if model == "RNN, ids as numbers":
        return x.argmax(dim=-1, keepdim=True) / len(vocabulary), lengths
    return x, lengths


def run(
    model: str, seed: int, names, window: int | None = None, steps: int = SETTINGS["steps"]
) -> dict:
    """Train one model and score it on the test names, read in random batches."""
    vocabulary = Vocabulary(names.train)
    shares = torch.tensor(names.train_languages, dtype=torch.float32)
    shares /= shares.sum(dim=1, keepdim=True)
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    net = build(model, len(vocabulary), window)
    batches = (
        (prepare(model, [names.train[i] for i in b], vocabulary, window), shares[b])
        for b in repeat_batches(len(names.train), batch=SETTINGS["batch"], rng=rng)
    )
    fit(net, batches, cross_entropy, steps=steps, lr=SETTINGS["lr"])

    @torch.no_grad()
    def guess(part: list[str], groups: list[np.ndarray]) -> np.ndarray:
        answer = np.empty(len(part), dtype=int)
        for b in groups:
            inputs = prepare(model, [part[i] for i in b], vocabulary, window)
            answer[b] = net(*inputs).argmax(dim=1).numpy()
        return answer

    def in_batches(part: list[str]) -> np.ndarray:
        """Guess in random batches of the size of the training: each is padded to its longest."""
        order = rng.permutation(len(part))
        return guess(part, np.array_split(order, len(part) // SETTINGS["batch"]))

    def alone(part: list[str]) -> np.ndarray:
        """Guess every name as if it were read alone: names of one length need no padding."""
        length = np.array([len(name) for name in part])
        return guess(part, [np.flatnonzero(length == T) for T in np.unique(length)])

    first, second = in_batches(names.test), in_batches(names.test)
    return {
        "model": model,
        "seed": seed,
        "window": window,
        "steps": steps,
        "parameters": count(net),
        "accuracy": accuracy(first, names.test_languages),
        "accuracy_alone": accuracy(alone(names.test), names.test_languages),
        "train_accuracy": accuracy(in_batches(names.train), names.train_languages),
        "changed_by_neighbours": float((first != second).mean()),
        "influence": influence(alone, names.test) if model in ("RNN", "CNN") else None,
    }


def influence(guess, test: list[str], length: int = 8) -> list[float]:
    """Replace the letter at each place by a random one; return how many answers change."""
    some = [name for name in test if len(name) == length]
    before = guess(some)
    rng = np.random.default_rng(0)
    changed = []
    for place in range(length):
        letters = list(string.ascii_uppercase if place == 0 else string.ascii_lowercase)
        replaced = [n[:place] + rng.choice(letters) + n[place + 1 :] for n in some]
        changed.append(float((guess(replaced) != before).mean()))
    return changed


def letter_counts(names, longest: int) -> dict:
    """Fit logistic regression on which runs of 1…longest letters occur in a name."""
    pairs = [(i, k) for i, row in enumerate(names.train_languages) for k in np.flatnonzero(row)]
    texts = [names.train[i] for i, _ in pairs]
    weights = [1 / names.train_languages[i].sum() for i, _ in pairs]
    counter = CountVectorizer(
        analyzer="char_wb", ngram_range=(1, longest), lowercase=False, binary=True
    )
    x = counter.fit_transform(texts)
    model = LogisticRegression(max_iter=500).fit(x, [k for _, k in pairs], sample_weight=weights)
    guess = model.predict(counter.transform(names.test))
    name = "counts of letters" if longest == 1 else f"counts of 1–{longest} letters"
    return {
        "model": name,
        "parameters": int(model.coef_.size + model.intercept_.size),
        "accuracy": accuracy(guess, names.test_languages),
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    names = load_names()
    majority = int(names.train_languages.sum(axis=0).argmax())
    always = accuracy(np.full(len(names.test), majority), names.test_languages)
    runs = [{"model": "most frequent language", "parameters": 0, "accuracy": always}]
    runs += [letter_counts(names, longest) for longest in (1, 3)]
    for seed in SEEDS:
        for model in ("RNN", "RNN, padding counted", "RNN, ids as numbers"):
            runs.append(run(model, seed, names))
        runs.append(run("CNN", seed, names, SETTINGS["window"]))
        for window in SETTINGS["windows"]:
            runs.append(run("MLP", seed, names, window))
    for seed in SEEDS[:3]:
        for model, window in (("RNN", None), ("CNN", SETTINGS["window"])):
            runs.append(run(model, seed, names, window, steps=SETTINGS["many_steps"]))
    print(save_result(__file__, settings=SETTINGS, seeds=SEEDS, runs=runs))
