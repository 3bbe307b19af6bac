"""Copying a sequence through one vector, read forward or reversed. Chapter 8."""

from functools import partial

import numpy as np

from unrolled.decoding import greedy
from unrolled.gradients import clip_by_norm
from unrolled.optim import adam, adam_init
from unrolled.params import count_parameters
from unrolled.results import save_result
from unrolled.schedules import cosine
from unrolled.seq2seq import Seq2Seq, decode_step, encode, init_seq2seq, seq2seq_loss

SETTINGS = {
    "symbols": 20,
    "trained": 15,  # lengths 1 to 15 in training
    "tested": 20,
    "embedding": 32,
    "hidden": 128,
    "batch": 64,
    "lr": 0.003,
    "clip": 1.0,
    "steps": 3000,
    "every": 100,
    "test": 500,  # sequences of each length
}
SEEDS = range(3)
START, END, FIRST = 0, 1, 2  # ids


def draw(length: int, B: int, rng: np.random.Generator) -> np.ndarray:
    """Draw B sequences of one length."""
    return rng.integers(FIRST, FIRST + SETTINGS["symbols"], size=(length, B))


def read(sequences: np.ndarray, order: str) -> np.ndarray:
    """Give the sequences in the order in which the encoder reads them."""
    return sequences[::-1] if order == "reversed" else sequences


def train(order: str, seed: int) -> tuple[Seq2Seq, list]:
    """Train on fresh sequences; each batch has one length, so nothing is padded."""
    s, rng = SETTINGS, np.random.default_rng(seed)
    V = FIRST + s["symbols"]
    params = init_seq2seq("lstm", V, V, s["embedding"], s["hidden"], rng=rng, dtype=np.float32)
    state, recent, curve = adam_init(params), [], []
    for step in range(1, s["steps"] + 1):
        x = draw(rng.integers(1, s["trained"] + 1), s["batch"], rng)
        edge = np.full((1, s["batch"]), START), np.full((1, s["batch"]), END)
        target_in, target_out = np.concatenate([edge[0], x]), np.concatenate([x, edge[1]])
        loss, grads = seq2seq_loss(
            "lstm", params, read(x, order), None, target_in, target_out, None
        )
        grads, _ = clip_by_norm(grads, s["clip"])
        lr = cosine(step - 1, total=s["steps"], lr=s["lr"])
        params, state = adam(params, grads, state, lr=lr)
        recent.append(loss)
        if step % s["every"] == 0:
            curve.append((step, float(np.mean(recent))))
            recent = []
    return params, curve


def test(params: Seq2Seq, order: str) -> dict:
    """Decode sequences of every length: share copied exactly, and wrong symbols by their place."""
    exact, wrong, rng = [], [], np.random.default_rng(99)
    for length in range(1, SETTINGS["tested"] + 1):
        x = draw(length, SETTINGS["test"], rng)
        found = greedy(
            partial(decode_step, "lstm", params), encode("lstm", params, read(x, order)),
            bos=START, eos=END, max_length=length + 5,
        )  # fmt: skip
        written = np.full((length + 5, SETTINGS["test"]), END)
        for b, h in enumerate(found):
            written[: len(h.tokens), b] = h.tokens
        wrong.append((written[:length] != x).mean(axis=1).tolist())
        exact.append(float(((written[:length] == x).all(axis=0) & (written[length] == END)).mean()))
    return {"exact": exact, "wrong": wrong}


if __name__ == "__main__":
    runs = []
    for order in ("forward", "reversed"):
        for seed in SEEDS:
            params, curve = train(order, seed)
            run = {"order": order, "seed": seed, "parameters": count_parameters(params)}
            runs.append(run | {"curve": curve} | test(params, order))
            print(order, seed, runs[-1]["exact"][::4], flush=True)
    print(save_result(__file__, settings=SETTINGS, seeds=SEEDS, runs=runs))
