"""From spelling to phonemes: one vector or attention, forward or reversed. Chapters 8 and 9.

Six encoder-decoders are trained in torch and decoded by unrolled's own functions. Two of the first
seed are decoded in several ways, and their weights are stored for the chapters.
"""

from functools import partial

import numpy as np

from unrolled.data.pairs import PairBatch, pair_vocabularies
from unrolled.data.pronunciations import load_pronunciations
from unrolled.decoding import beam_search, greedy, sample
from unrolled.layers import reverse_sequences
from unrolled.params import count_parameters
from unrolled.results import save_result
from unrolled.scoring import decode_pairs, edit_distance, error_rate, teacher_forced
from unrolled.seq2seq import Seq2Seq, decode_step, encode, init_seq2seq
from unrolled.torch_seq2seq import TorchSeq2Seq, train_seq2seq

SETTINGS = {
    "embedding": 48,
    "hidden": 128,
    "training": {"steps": 1500, "batch": 64, "lr": 0.003, "every": 100},
    "models": {
        "forward": {},
        "reversed": {"reverse": True},
        "bidirectional": {"bidirectional": True},
        "large": {"hidden": 256},
        "attention": {"score": "dot"},
        "attention+bidirectional": {"score": "dot", "bidirectional": True},
    },
    "lengths": [[3, 5], [6, 8], [9, 11], [12, 14]],  # letters of a word
    "positions": 12,
    "max_length": 20,
    "decoded": ["forward", "attention+bidirectional"],
    "decoded_words": 2000,
    "ways": [{"width": w, "length_penalty": a} for a in (0.0, 1.0) for w in (1, 2, 4, 8, 16)]
    + [{"width": 64, "length_penalty": 0.0}, {"temperature": 0.5}, {"temperature": 1.0}],
}
SEEDS = range(3)


def train(seed: int, *, reverse=False, hidden=None, **how) -> tuple[dict, Seq2Seq, PairBatch]:
    """Train one model; return its curve, its parameters, and the test words as it reads them."""
    rng, sizes = np.random.default_rng(seed), (len(ids.source), len(ids.target))
    params = init_seq2seq(
        *("lstm", *sizes, SETTINGS["embedding"], hidden or SETTINGS["hidden"]),
        **how, rng=rng, dtype=np.float32,
    )  # fmt: skip
    train, valid, test = parts
    if reverse:
        train, valid, test = (
            part._replace(source=reverse_sequences(part.source, part.source_lengths))
            for part in parts
        )
    network = TorchSeq2Seq("lstm", params, score=how.get("score"))
    curve = train_seq2seq(network, train, valid, rng=rng, **SETTINGS["training"])
    return {"parameters": count_parameters(params), "curve": curve}, network.params(), test


def write_with_one_mended(params: Seq2Seq, score: str | None, pairs: PairBatch) -> list:
    """Decode greedily, but put the right symbol where the first wrong one would be."""
    B, target = len(pairs.source_lengths), pairs.target_out.T

    def step(tokens, state):
        memory, fine, t = state
        log_probs, memory = decode_step("lstm", params, tokens, memory, score=score)
        right = target[np.arange(B), np.minimum(t, target.shape[1] - 1)]
        first = fine & (log_probs.argmax(axis=1) != right)
        only = np.where(np.arange(log_probs.shape[1]) == right[:, None], 0.0, -np.inf)
        return np.where(first[:, None], only, log_probs), (memory, fine & ~first, t + 1)

    state = encode("lstm", params, *pairs[:2]), np.ones(B, bool), np.zeros(B, int)
    ends = {"bos": ids.start, "eos": ids.end, "max_length": SETTINGS["max_length"]}
    return [ids.decode(h.tokens) for h in greedy(step, state, **ends)]


def measure(params: Seq2Seq, score: str | None, test: PairBatch) -> dict:
    """Measure a model on the test words, written freely and with the right symbols given."""
    right, how = [p for _, p in data.test], {"score": score, "max_length": SETTINGS["max_length"]}
    found = decode_pairs(greedy, "lstm", params, test, ids, **how)
    said = [ids.decode(h.tokens) for h in found]
    result = {"error": error_rate(said, right), "by_length": []}
    for low, high in SETTINGS["lengths"]:
        k = np.flatnonzero((low <= test.source_lengths) & (test.source_lengths <= high))
        result["by_length"].append(error_rate([said[i] for i in k], [right[i] for i in k]))
    # Place by place, END included: the symbol written after the right ones, and after its own.
    free = np.full(test.target_out.shape, -1)
    for b, h in enumerate(found):
        free[: len(h.tokens), b] = h.tokens[: len(free)]
    forced, _ = teacher_forced("lstm", params, test, score=score)
    for name, written in ("forced", forced), ("free", free):
        wrong, places = written != test.target_out, range(SETTINGS["positions"])
        result[name] = [float(wrong[t, t < test.target_lengths].mean()) for t in places]
        alive = np.arange(len(wrong))[:, None] < test.target_lengths
        result[f"{name}_all"] = float(wrong[alive].mean())
    # Words with an error: all their errors, and those that are left if the first is mended.
    k = np.flatnonzero([a != b for a, b in zip(said, right, strict=True)])
    mended = write_with_one_mended(params, score, test.take(k))
    result["exact"] = 1 - len(k) / len(right)
    result["own"] = float(np.mean([edit_distance(said[i], right[i]) for i in k]))
    pairs = zip(mended, k, strict=True)
    return result | {"mended": float(np.mean([edit_distance(m, right[i]) for m, i in pairs]))}


def compare(params: Seq2Seq, score: str | None, test: PairBatch) -> list[dict]:
    """Decode some words in several ways; "lost": the right word was likelier than the one found."""
    n = SETTINGS["decoded_words"]
    rows, some, right = [], test.take(np.arange(n)), [p for _, p in data.test[:n]]
    truth = teacher_forced("lstm", params, some, score=score)[1].sum(axis=0)
    for how in SETTINGS["ways"]:
        way = beam_search if "width" in how else partial(sample, rng=np.random.default_rng(0))
        more = how | {"score": score, "max_length": SETTINGS["max_length"]}
        found = decode_pairs(way, "lstm", params, some, ids, **more)
        best = [beam[0] for beam in found] if "width" in how else found
        said = [ids.decode(h.tokens) for h in best]
        log_probs = np.array([h.log_prob for h in best])
        rows.append(how | {
            "error": error_rate(said, right),
            "exact": float(np.mean([a == b for a, b in zip(said, right, strict=True)])),
            "log_prob": float(log_probs.mean()),
            "length": float(np.mean([len(word) for word in said])),
            "lost": float((truth > log_probs + 1e-4).mean()),
        })  # fmt: skip
    return rows


if __name__ == "__main__":
    data = load_pronunciations()
    ids = pair_vocabularies(data.train)
    parts, runs, weights = [ids.encode(pairs) for pairs in data[:3]], [], {}
    for seed in SEEDS:
        for model, how in SETTINGS["models"].items():
            run, params, test = train(seed, **how)
            run = {"model": model, "seed": seed} | run | measure(params, how.get("score"), test)
            if seed == SEEDS[0] and model in SETTINGS["decoded"]:
                run["decoding"], weights[model] = compare(params, how.get("score"), test), params
            runs.append(run)
            print(model, seed, round(run["error"], 3), flush=True)
    print(save_result(__file__, settings=SETTINGS, seeds=SEEDS, runs=runs, arrays=weights))
