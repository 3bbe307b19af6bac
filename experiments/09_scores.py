"""Which score? Four learn to copy, and then copy what is longer than all they learnt. Chapter 9."""

from time import process_time

import numpy as np

from unrolled.data import pad
from unrolled.data.pairs import PairBatch
from unrolled.decoding import greedy
from unrolled.params import count_parameters
from unrolled.results import save_result
from unrolled.scoring import error_rate
from unrolled.seq2seq import Seq2Seq, decode_step, encode, init_seq2seq
from unrolled.torch_seq2seq import TorchSeq2Seq, train_seq2seq

SETTINGS = {
    "symbols": 20,
    "shortest": 5,
    "longest": 15,  # in training
    "embedding": 32,
    "hidden": 64,
    "pairs": 20000,
    "training": {"steps": 600, "batch": 64, "lr": 0.005, "every": 20},
    "goal": 0.05,  # nats a symbol, on fresh sequences
    "scores": [None, "dot", "scaled", "general", "additive"],
    "lengths": [5, 10, 15, 16, 18, 20, 25, 30],
    "test": 100,  # of each length
}
SEEDS = range(3)
START, END, FIRST = 1, 2, 3  # ids; padding is 0


def draw(lengths: np.ndarray, rng: np.random.Generator) -> PairBatch:
    """Draw sequences of these lengths; each is to be copied."""
    symbols = [rng.integers(FIRST, FIRST + SETTINGS["symbols"], size=n) for n in lengths]
    source, lengths = pad(symbols)
    target_in, ends = pad([np.array([START, *s]) for s in symbols])
    target_out, _ = pad([np.array([*s, END]) for s in symbols])
    return PairBatch(source, lengths, target_in, target_out, ends)


def test(params: Seq2Seq, score: str | None, length: int) -> dict:
    """Copy sequences of one length; compare with them what was written before the end."""
    source = draw(np.full(SETTINGS["test"], length), np.random.default_rng(99)).source

    def step(tokens, memory):
        return decode_step("lstm", params, tokens, memory, score=score)

    sizes = {"bos": START, "eos": END, "max_length": 2 * length}
    found = [h.tokens for h in greedy(step, encode("lstm", params, source), **sizes)]
    written = [tokens[:-1] if tokens[-1] == END else tokens for tokens in found]
    right = [tuple(row) for row in source.T.tolist()]
    exact = np.mean([a == b for a, b in zip(written, right)])
    return {"length": length, "exact": float(exact), "error": error_rate(written, right)}


def run(score: str | None, seed: int) -> dict:
    """Train with one score; count the steps to the goal, or None."""
    rng = np.random.default_rng(seed)
    V = FIRST + SETTINGS["symbols"]
    params = init_seq2seq(
        *("lstm", V, V, SETTINGS["embedding"], SETTINGS["hidden"]),
        score=score, bidirectional=True, rng=rng, dtype=np.float32,
    )  # fmt: skip
    lengths = rng.integers(SETTINGS["shortest"], SETTINGS["longest"] + 1, SETTINGS["pairs"])
    train, valid = draw(lengths, rng), draw(lengths[:500], rng)
    network, start = TorchSeq2Seq("lstm", params, score=score), process_time()
    curve = train_seq2seq(network, train, valid, rng=rng, **SETTINGS["training"])
    seconds = round(process_time() - start, 1)
    params = network.params()
    return {
        "score": score, "seed": seed, "parameters": count_parameters(params), "curve": curve,
        "steps": next((step for step, loss in curve if loss < SETTINGS["goal"]), None),
        "seconds": seconds,  # CPU, of training with its measurements
        "tests": [test(params, score, length) for length in SETTINGS["lengths"]],
    }  # fmt: skip


if __name__ == "__main__":
    runs = []
    for seed in SEEDS:
        for score in SETTINGS["scores"]:
            runs.append(run(score, seed))
            print(*[runs[-1][k] for k in ("score", "seed", "steps", "seconds")], flush=True)
    print(save_result(__file__, settings=SETTINGS, seeds=SEEDS, runs=runs))
