"""A character model that learns 500 words by heart, and what keeps it from that. Chapter 7.

An LSTM predicts each letter of English words. Part "masks" trains it with dropout in several
places, part "remedies" with a smaller network, with weight decay and with more words, part "rates"
with several learning rates and schedules. Part "grid" chooses the sizes on validation words, and
counts what it costs to choose on the test words instead, and to report the score that was chosen.
"""

from collections.abc import Iterator

import numpy as np
from tqdm import tqdm

from unrolled.data import PAD, Vocabulary, minibatches, pad
from unrolled.data.pronunciations import load_pronunciations
from unrolled.dropout import dropout_mask, masked_layer_backward, masked_layer_forward
from unrolled.embedding import embedding_backward, embedding_forward
from unrolled.functional import log_softmax
from unrolled.gradients import clip_by_norm
from unrolled.language_model import LanguageModel, init_language_model, language_model_forward
from unrolled.layers import layer_backward, layer_forward
from unrolled.losses import cross_entropy
from unrolled.neurons import linear_backward, linear_forward
from unrolled.optim import adam, adam_init, cosine, step_decay
from unrolled.params import count_parameters
from unrolled.results import save_result

SETTINGS = {
    "words": 500,
    "valid": 500,
    "test": 1000,
    "embedding": 32,
    "hidden": 128,
    "batch": 32,
    "lr": 0.003,
    "clip": 1.0,
    "p": 0.5,
    "steps": 800,
    "every": 50,
    # Which numbers are masked, and how often a mask is drawn anew.
    "masks": {
        "none": {},
        "between layers": {"x": "step", "out": "step"},
        "locked": {"x": "sequence", "h": "sequence", "out": "sequence"},
        "each step": {"x": "step", "h": "step", "out": "step"},
        "h alone": {"h": "step"},
    },
    "remedies": {
        "16 units": {"hidden": 16, "steps": 1600},
        "weight decay 1": {"weight_decay": 1.0},
        "2,000 words": {"words": 2000, "steps": 1600},
        "8,000 words": {"words": 8000, "steps": 1600},
    },
    "rates": {
        "words": 8000,
        "hidden": 64,
        "steps": 500,
        "warmup": 50,
        "lr": [0.003, 0.01, 0.03, 0.1],
        "schedules": ["constant", "step", "cosine", "warm-up"],
    },
    "grid": {
        "mask": "between layers",
        "epochs": 32,
        "hidden": [16, 32, 64, 128],
        "lr": [0.001, 0.003, 0.01],
        "batch": [8, 32, 128],
    },
    "price": {"sizes": [50, 100, 200, 500, 1000], "resamples": 5000},
}
SEEDS = range(3)


def encode(words: list[str]) -> np.ndarray:
    """Turn words into columns of ids, with a line end before and after each: (16, N)."""
    return pad([vocabulary.encode(f"\n{word}\n") for word in words], length=16)[0]


def draw_masks(mode: str, T: int, B: int, H: int, rng: np.random.Generator) -> dict:
    """Draw the masks of one batch."""
    sizes, masks = {"x": SETTINGS["embedding"], "h": H, "out": H}, {}
    for place, per in SETTINGS["masks"][mode].items():
        shape = (B, sizes[place]) if per == "sequence" else (T, B, sizes[place])
        masks[place] = dropout_mask(shape, SETTINGS["p"], rng=rng, dtype=np.float32)
    return masks


def gradients(params: LanguageModel, ids: np.ndarray, masks: dict) -> LanguageModel:
    """Forward and back through the masked model."""
    x, y = ids[:-1], ids[1:]
    x_mask, h_mask, out_mask = (masks.get(place, 1) for place in ("x", "h", "out"))
    embedded, embedding = embedding_forward(params.embedding, x)
    if "h" in masks:
        args = ("lstm", params.layer, embedded * x_mask)
        out, _, layer = masked_layer_forward(*args, h_mask=h_mask)
    else:
        out, _, layer = layer_forward("lstm", params.layer, embedded * x_mask)
    logits, output = linear_forward(params.output, (out * out_mask).reshape(-1, out.shape[-1]))
    _, dlogits = cross_entropy(logits, y.reshape(-1), (y != PAD).reshape(-1))
    dout, doutput = linear_backward(output, dlogits)
    back = masked_layer_backward if "h" in masks else layer_backward
    dembedded, _, dlayer = back(layer, dout.reshape(out.shape) * out_mask)
    return LanguageModel(embedding_backward(embedding, dembedded * x_mask), dlayer, doutput)


def word_bits(params: LanguageModel, ids: np.ndarray) -> np.ndarray:
    """What each word costs the model without masks, in bits: (N,)."""
    costs = []
    for start in range(0, ids.shape[1], 1000):
        x, y = ids[:-1, start : start + 1000], ids[1:, start : start + 1000]
        log_p = log_softmax(language_model_forward("lstm", params, x)[0])
        right = np.take_along_axis(log_p, y[..., None], axis=2)[..., 0]
        costs.append(-(right * (y != PAD)).sum(axis=0) / np.log(2))
    return np.concatenate(costs)


def bits(params: LanguageModel, ids: np.ndarray) -> float:
    """Bits per symbol, the line end after each word counted."""
    return float(word_bits(params, ids).sum() / (ids[1:] != PAD).sum())


def rate(schedule: str, step: int, steps: int, lr: float) -> float:
    """Give the learning rate of a step."""
    if schedule == "constant":
        return lr
    if schedule == "step":
        return step_decay(step, every=max(1, steps // 4), factor=0.3, lr=lr)
    warmup = SETTINGS["rates"]["warmup"] if schedule == "warm-up" else 0
    return cosine(step, total=steps, lr=lr, warmup=warmup)


def train(seed: int, **options) -> Iterator[tuple[int, LanguageModel]]:
    """Train one model; hand it out every so many steps."""
    s = SETTINGS | {"mask": "none", "schedule": "constant", "weight_decay": 0.0} | options
    rng = np.random.default_rng(seed)
    start = {"rng": rng, "dtype": np.float32}
    params = init_language_model("lstm", len(vocabulary), s["embedding"], s["hidden"], **start)
    state, left = adam_init(params), iter(())
    words = encode(pool[: s["words"]])
    for step in range(s["steps"]):
        pick = next(left, None)
        if pick is None:  # the next epoch
            left = minibatches(words.shape[1], batch=s["batch"], rng=rng)
            pick = next(left)
        ids = words[:, pick]
        ids = ids[: (ids != PAD).sum(axis=0).max()]
        masks = draw_masks(s["mask"], len(ids) - 1, len(pick), s["hidden"], rng)
        grads, _ = clip_by_norm(gradients(params, ids, masks), s["clip"])
        lr = rate(s["schedule"], step, s["steps"], s["lr"])
        params, state = adam(params, grads, state, lr=lr, weight_decay=s["weight_decay"])
        if (step + 1) % s["every"] == 0 or step + 1 == s["steps"]:
            yield step + 1, params


def curve(part: str, name: str, seed: int, **options) -> dict:
    """Train one model; keep its bits on all three parts of the data as it learns."""
    seen = encode(pool[: min(options.get("words", SETTINGS["words"]), 500)])
    steps, scores = [], []
    for step, params in train(seed, **options):
        steps.append(step)
        scores.append([bits(params, ids) for ids in (seen, valid, test)])
    best = int(np.argmin([score[1] for score in scores]))
    columns = {
        key: [round(v, 4) for v in values]
        for key, values in zip(("train", "valid", "test"), zip(*scores))
    }
    return {
        "part": part, "name": name, "seed": seed, "parameters": count_parameters(params),
        "steps": steps, **columns, "best_step": steps[best],
        "test_at_best": columns["test"][best], "test_at_end": columns["test"][-1],
    }  # fmt: skip


def rates(seed: int) -> list[dict]:
    """Learning rates and schedules, where there are words enough not to be learnt by heart."""
    s, runs = SETTINGS["rates"], []
    options = {"words": s["words"], "hidden": s["hidden"], "steps": s["steps"]}
    for lr in s["lr"]:
        for schedule in s["schedules"]:
            for _, params in train(seed, schedule=schedule, lr=lr, every=s["steps"], **options):
                score = round(bits(params, valid), 4)
            runs.append({"part": "rates", "lr": lr, "schedule": schedule, "seed": seed,
                         "valid": score})  # fmt: skip
    return runs


def grid() -> list[dict]:
    """Train every combination, stop each early on the validation words; then count the price."""
    s, runs, costs = SETTINGS["grid"], [], []
    choices = [(H, lr, B) for H in s["hidden"] for lr in s["lr"] for B in s["batch"]]
    for seed, (H, lr, B) in enumerate(tqdm(choices, desc="grid")):
        epoch = -(-SETTINGS["words"] // B)
        options = {"hidden": H, "lr": lr, "batch": B, "every": 2 * epoch}
        best = np.inf
        for step, params in train(seed, mask=s["mask"], steps=s["epochs"] * epoch, **options):
            score = bits(params, valid)
            if score < best:
                best, best_step, kept = score, step, params
        costs.append(word_bits(kept, world))
        runs.append({
            "part": "grid", "hidden": H, "lr": lr, "batch": B, "seed": seed,
            "best_step": best_step, "valid": round(best, 4), "test": round(bits(kept, test), 4),
            "world": round(float(costs[-1].sum() / letters.sum()), 4),
        })  # fmt: skip
    return runs + price(np.array(costs))


def price(costs: np.ndarray) -> list[dict]:
    """Choose the best of n models on m words, many times over: what was seen, what is true.

    ``costs`` (models, N) has the bits of every word of the language that was held back, so the
    truth about each model is known.
    """
    s, runs = SETTINGS["price"], []
    rng = np.random.default_rng(0)
    true = costs.sum(axis=1) / letters.sum()
    for m in s["sizes"]:
        found = {n: [] for n in (1, 3, 9, len(costs))}
        for _ in range(s["resamples"]):
            words = rng.choice(len(letters), size=2 * m, replace=False)
            seen, fresh = words[:m], words[m:]
            score = costs[:, seen].sum(axis=1) / letters[seen].sum()
            again = costs[:, fresh].sum(axis=1) / letters[fresh].sum()
            order = rng.permutation(len(costs))
            for n, rows in found.items():
                chosen = order[:n][score[order[:n]].argmin()]
                rows.append((score[chosen], again[chosen], true[chosen], true[order[:n]].min()))
        for n, rows in found.items():
            seen_, fresh_, true_, best = np.array(rows).T
            runs.append({
                "part": "price", "words": m, "models": n,
                "seen": round(float(seen_.mean()), 4), "fresh": round(float(fresh_.mean()), 4),
                "true": round(float(true_.mean()), 4), "best": round(float(best.mean()), 4),
                "too_good": round(float((seen_ < true_).mean()), 3),
            })  # fmt: skip
    return runs


if __name__ == "__main__":
    s = SETTINGS
    parts = load_pronunciations()
    pool, held_out, others = ([w for w, _ in part] for part in parts[:3])
    vocabulary = Vocabulary([f"\n{word}\n" for word in pool])
    valid, test = encode(held_out[: s["valid"]]), encode(others[: s["test"]])
    world = encode(others[s["test"] :])
    letters = (world[1:] != PAD).sum(axis=0)
    runs = [curve("masks", mode, seed, mask=mode) for seed in SEEDS for mode in s["masks"]]
    for seed in SEEDS:
        for name, options in s["remedies"].items():
            runs.append(curve("remedies", name, seed, **options))
        runs += rates(seed)
    runs += grid()
    print(save_result(__file__, settings=SETTINGS, seeds=SEEDS, runs=runs))
