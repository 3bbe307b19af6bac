"""A character model of Shakespeare, trained by hand-written BPTT, against counting. Chapter 3."""

import gzip
import lzma
import re
from time import process_time

import numpy as np

from unrolled.bptt import stream, windows
from unrolled.data import load_shakespeare
from unrolled.gradients import clip_by_norm
from unrolled.language_model import (
    LanguageModel,
    init_language_model,
    language_model_forward,
    language_model_loss,
    sample,
)
from unrolled.losses import cross_entropy
from unrolled.optim import adam, adam_init, cosine
from unrolled.params import count_parameters, tree_map
from unrolled.results import save_result

SETTINGS = {
    "batch": 32,
    "window": 64,
    "embedding": 64,
    "hidden": 128,
    "lr": 0.01,
    "clip": 1.0,
    "steps": 2000,
    "short_steps": 500,
    "reaches": [1, 4, 16, 64],
    "large_hidden": 256,
    "large_steps": 6000,
    "snapshots": [0, 20, 100, 400, 2000],
    "longest_ngram": 8,
    "temperatures": [0.0, 0.25, 0.5, 0.75, 1.0, 1.25],
    "top_k": 5,
    "start": "\n\n\n\n\nACT I.\n\n",
}
SEEDS = range(3)
WRITTEN = 6000  # symbols, to count words in


def bits(params: LanguageModel, ids: np.ndarray, reset: int | None = None) -> float:
    """Bits per character on a text, in 50 columns; the state is set to 0 every ``reset`` steps."""
    state, nats, count = None, 0.0, 0
    for x, y in windows(stream(ids, 50), reset or 100):
        state = None if reset else state
        logits, state, _ = language_model_forward("rnn", params, x, state)
        nats += cross_entropy(logits, y)[0] * y.size
        count += y.size
    return nats / count / np.log(2)


def train(seed: int, hidden: int, steps: int, *, reach: int, carry: bool = True) -> dict:
    """Train one model. Each update reads 64 steps; its gradient is cut every ``reach`` of them."""
    s, V = SETTINGS, len(text.symbols)
    rng = np.random.default_rng(seed)
    params = init_language_model("rnn", V, s["embedding"], hidden, rng=rng, dtype=np.float32)
    optimiser, state, clipped, written = adam_init(params), None, 0, {}
    began = process_time()
    reading = windows(columns, s["window"])
    for step in range(steps):
        if steps == s["steps"] and step in s["snapshots"]:
            written[step] = write(params, 300, temperature=1.0)
        x, y = next(reading, (None, None))
        if x is None:  # the end of the text: begin again
            reading, state = windows(columns, s["window"]), None
            x, y = next(reading)
        pieces = []
        for t in range(0, len(x), reach):
            state = state if carry else None
            cut = slice(t, t + reach)
            _, grads, state = language_model_loss("rnn", params, x[cut], y[cut], state)
            share = len(x[cut]) / len(x)
            pieces.append(tree_map(lambda g, share=share: np.float32(share) * g, grads))
        grads = pieces[0]
        for more in pieces[1:]:
            grads = tree_map(np.add, grads, more)
        grads, norm = clip_by_norm(grads, s["clip"])
        clipped += norm > s["clip"]
        lr = cosine(step, total=steps, lr=s["lr"])
        params, optimiser = adam(params, grads, optimiser, lr=lr)
    seconds = process_time() - began
    run = {
        "model": "RNN",
        "hidden": hidden,
        "parameters": count_parameters(params),
        "steps": steps,
        "reach": reach,
        "carry": carry,
        "seed": seed,
        "valid": bits(params, valid) if steps > s["short_steps"] else None,
        "test": bits(params, test),
        "test_reset": None if reach == 1 else bits(params, test, reset=reach),
        "clipped": int(clipped),
        "characters_per_second": round(steps * s["window"] * s["batch"] / seconds),
    }
    if written:
        written[steps] = write(params, 300, temperature=1.0)
        run |= {"written": written, "sampling": sampling(params, seed)}
    return run


def write(params: LanguageModel, length: int, seed: int = 0, **how) -> str:
    """Let the model write on from the same few lines."""
    rng = np.random.default_rng(seed)
    ids = sample("rnn", params, text.encode(SETTINGS["start"]), length, rng=rng, **how)
    return text.decode(ids)


def words(written: str) -> list[str]:
    """The words of a text, in lower case."""
    return re.findall(r"[a-z]+(?:'[a-z]+)*", written.lower())


def sampling(params: LanguageModel, seed: int) -> list[dict]:
    """Write in several ways; count the real words, and the different ones, among 800."""
    known = set(words(text.train))
    ways = [{"temperature": t} for t in SETTINGS["temperatures"]]
    ways.append({"temperature": 1.0, "top_k": SETTINGS["top_k"]})
    found = []
    for way in ways:
        long = write(params, WRITTEN, seed, **way)
        some = words(long)[:800]
        real = float(np.mean([word in known for word in some]))
        found.append({**way, "real": real, "distinct": len(set(some)), "written": long[:300]})
    return found


def ngrams(ids: np.ndarray, n: int, V: int) -> np.ndarray:
    """Turn every run of n symbols into one number."""
    code = np.zeros(len(ids) - n + 1, dtype=np.int64)
    for i in range(n):
        code = code * V + ids[i : len(ids) - n + 1 + i]
    return code


def look_up(code: np.ndarray, keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Find the value of each code; 0 for one that is not among the keys."""
    i = np.minimum(np.searchsorted(keys, code), len(keys) - 1)
    return np.where(keys[i] == code, values[i], 0)


def count_ngrams(train: np.ndarray, test: np.ndarray, V: int) -> list[dict]:
    """Predict each symbol of a text from counts, by the rule of Witten & Bell.

    The counts of n-1 symbols and the next one are mixed with the prediction from n-2 symbols. The
    weight of the latter is the number of different symbols that have followed these n-1.
    """
    p, runs = np.full(len(test), 1 / V), []
    for n in range(1, SETTINGS["longest_ngram"] + 1):
        keys, counts = np.unique(ngrams(train, n, V), return_counts=True)
        contexts, first, kinds = np.unique(keys // V, return_index=True, return_counts=True)
        totals = np.add.reduceat(counts, first)
        code = ngrams(test, n, V)
        count = look_up(code, keys, counts)
        total, kind = (look_up(code // V, contexts, v) for v in (totals, kinds))
        shorter = p[n - 1 :]
        mixed = (count + kind * shorter) / np.maximum(total + kind, 1)
        p[n - 1 :] = np.where(total > 0, mixed, shorter)
        bits_per = float(-np.log2(p).mean())
        runs.append({"model": f"{n}-gram", "n": n, "test": bits_per, "counts": len(keys)})
    return runs


def compress() -> list[dict]:
    """Bits per character that a compressor adds when the test text follows the training text."""
    before, after = (part.encode() for part in (text.train, text.train + text.test))
    ways = {"gzip": lambda b: gzip.compress(b, 9), "lzma": lambda b: lzma.compress(b, preset=9)}
    return [
        {"model": name, "test": 8 * (len(way(after)) - len(way(before))) / len(text.test)}
        for name, way in ways.items()
    ]


if __name__ == "__main__":
    s = SETTINGS
    text = load_shakespeare()
    columns = stream(text.encode(text.train), s["batch"])
    valid, test = text.encode(text.valid), text.encode(text.test)
    runs = compress() + count_ngrams(text.encode(text.train), test, len(text.symbols))
    for seed in SEEDS:
        runs.append(train(seed, s["hidden"], s["steps"], reach=s["window"]))
        for reach in s["reaches"]:
            runs.append(train(seed, s["hidden"], s["short_steps"], reach=reach))
            if reach > 1:
                runs.append(train(seed, s["hidden"], s["short_steps"], reach=reach, carry=False))
    runs.append(train(0, s["large_hidden"], s["large_steps"], reach=s["window"]))
    print(save_result(__file__, settings=SETTINGS, seeds=SEEDS, runs=runs))
