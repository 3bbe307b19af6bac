"""A wide beam on a network that has learnt little: what the likeliest sequence is. Chapter 8.

The forward model of 08_pronunciation is stopped early, and the same words are decoded with wider
and wider beams.
"""

import numpy as np

from unrolled.data import load_pronunciations, pair_vocabularies
from unrolled.decoding import beam_search
from unrolled.results import save_result
from unrolled.scoring import decode_pairs, error_rate, teacher_forced
from unrolled.seq2seq import init_seq2seq
from unrolled.torch_seq2seq import TorchSeq2Seq, train_seq2seq

SETTINGS = {
    "embedding": 48,
    "hidden": 128,
    "batch": 64,
    "lr": 0.003,
    "steps": [50, 100, 200, 400],  # each a training of its own
    "widths": [1, 4, 16, 64],
    "penalties": [0.0, 1.0],
    "words": 300,
    "max_length": 20,
}
SEEDS = range(3)


def run(steps: int, seed: int) -> list[dict]:
    """Train one model and decode with every width and penalty."""
    s, rng = SETTINGS, np.random.default_rng(seed)
    sizes = len(ids.source), len(ids.target), s["embedding"], s["hidden"]
    params = init_seq2seq("lstm", *sizes, rng=rng, dtype=np.float32)
    network = TorchSeq2Seq("lstm", params)
    train_seq2seq(network, train, steps=steps, batch=s["batch"], lr=s["lr"], rng=rng)
    params, rows = network.params(), []
    truth = teacher_forced("lstm", params, test)[1].sum(axis=0)
    for width in s["widths"]:
        for penalty in s["penalties"]:
            beams = decode_pairs(
                *(beam_search, "lstm", params, test, ids),
                max_length=s["max_length"], width=width, length_penalty=penalty,
            )  # fmt: skip
            said = [ids.decode(beam[0].tokens) for beam in beams]
            log_probs = np.array([beam[0].log_prob for beam in beams])
            rows.append({
                "steps": steps, "seed": seed, "width": width, "length_penalty": penalty,
                "error": error_rate(said, right),
                "log_prob": float(log_probs.mean()),
                "length": float(np.mean([len(word) for word in said])),
                "empty": float(np.mean([not word for word in said])),
                "lost": float((truth > log_probs + 1e-4).mean()),
            })  # fmt: skip
    return rows


if __name__ == "__main__":
    data = load_pronunciations()
    ids = pair_vocabularies(data.train)
    train, test = ids.encode(data.train), ids.encode(data.test[: SETTINGS["words"]])
    right = [phonemes for _, phonemes in data.test[: SETTINGS["words"]]]
    runs = [row for seed in SEEDS for steps in SETTINGS["steps"] for row in run(steps, seed)]
    print(save_result(__file__, settings=SETTINGS, seeds=SEEDS, runs=runs))
