"""Dates in twenty languages to ISO 8601: one vector against attention. Chapter 9.

The weights of the first seed are stored: with them the chapter reads the reader's own dates.
"""

from datetime import date

import numpy as np

from unrolled.data import load_dates, write_date
from unrolled.data.pairs import PairBatch, pair_vocabularies
from unrolled.decoding import greedy
from unrolled.params import count_parameters
from unrolled.results import save_result
from unrolled.scoring import decode_pairs
from unrolled.seq2seq import Seq2Seq, init_seq2seq, seq2seq_forward
from unrolled.torch_seq2seq import TorchSeq2Seq, train_seq2seq

SETTINGS = {
    "embedding": 32,
    "hidden": 96,
    "training": {"steps": 800, "batch": 64, "lr": 0.005, "every": 50},
    "valid": 1000,  # of the training dates
    "models": {
        "attention": {"score": "dot"},
        "fixed": {},
        "fixed, larger and longer": {"hidden": 160, "steps": 2000},
    },
    "once": "fixed, larger and longer",  # with one seed: it takes the most time
    "max_length": 14,
    "other_years": [[1950, 2049], [1900, 1949], [2050, 2099], [1800, 1899], [2100, 2199]],
    "other": 10,  # dates of each language
}
SEEDS = range(3)


def exact(params: Seq2Seq, score: str | None, pairs: PairBatch, right: list[str]) -> np.ndarray:
    """Write the dates greedily; say which are right."""
    how = {"score": score, "max_length": SETTINGS["max_length"]}
    found = decode_pairs(greedy, "lstm", params, pairs, ids, **how)
    return np.array(["".join(ids.decode(h.tokens)) == r for h, r in zip(found, right)])


def looked_at_year(params: Seq2Seq, score: str) -> list[float]:
    """For each of the year's digits: how often the place most looked at is that very digit."""
    hits = []
    for first in range(0, len(dates.test), 250):
        part = slice(first, first + 250)
        batch = test.take(np.arange(part.start, part.stop))
        _, weights, _ = seq2seq_forward("lstm", params, *batch[:3], score=score)
        places = weights[:4].argmax(axis=-1).T  # (B, 4)
        starts = [t.index(i[:4]) for t, i in zip(dates.test[part], dates.test_iso[part])]
        hits.append(places == np.array(starts)[:, None] + np.arange(4))
    return np.concatenate(hits).mean(axis=0).round(3).tolist()


def other_years(params: Seq2Seq, score: str | None, first: int, last: int) -> float:
    """Measure on years of another time."""
    rng = np.random.default_rng(99)
    span = date(first, 1, 1).toordinal(), date(last, 12, 31).toordinal() + 1
    languages = dates.languages * SETTINGS["other"]
    days = [date.fromordinal(int(d)) for d in rng.integers(*span, size=len(languages))]
    pairs = [(write_date(d, language), d.isoformat()) for d, language in zip(days, languages)]
    return float(exact(params, score, ids.encode(pairs), [iso for _, iso in pairs]).mean())


def run(model: str, seed: int) -> tuple[dict, Seq2Seq]:
    """Train one model and test it."""
    how = SETTINGS["models"][model]
    rng, score = np.random.default_rng(seed), how.get("score")
    params = init_seq2seq(
        *("lstm", len(ids.source), len(ids.target), SETTINGS["embedding"]),
        how.get("hidden", SETTINGS["hidden"]),
        score=score, bidirectional=True, rng=rng, dtype=np.float32,
    )  # fmt: skip
    network = TorchSeq2Seq("lstm", params, score=score)
    training = SETTINGS["training"] | {k: v for k, v in how.items() if k == "steps"}
    curve = train_seq2seq(network, train, valid, rng=rng, **training)
    params = network.params()
    right = exact(params, score, test, dates.test_iso)
    return {
        "model": model, "seed": seed, "parameters": count_parameters(params), "curve": curve,
        "exact": float(right.mean()),
        "by_language": [float(right[dates.test_languages == k].mean()) for k in range(20)],
        "other_years": [other_years(params, score, *years) for years in SETTINGS["other_years"]],
        "looked_at_year": looked_at_year(params, score) if score else None,
    }, params  # fmt: skip


if __name__ == "__main__":
    dates = load_dates()
    pairs = list(zip(dates.train, dates.train_iso))
    ids, cut = pair_vocabularies(pairs), len(pairs) - SETTINGS["valid"]
    train, valid = ids.encode(pairs[:cut]), ids.encode(pairs[cut:])
    test = ids.encode(list(zip(dates.test, dates.test_iso)))
    runs, weights = [], {}
    for seed in SEEDS:
        for model in SETTINGS["models"]:
            if model == SETTINGS["once"] and seed != SEEDS[0]:
                continue
            found, params = run(model, seed)
            runs.append(found)
            if model == "attention" and seed == SEEDS[0]:
                weights[model] = params
            print(model, seed, found["exact"], flush=True)
    print(save_result(__file__, settings=SETTINGS, seeds=SEEDS, runs=runs, arrays=weights))
