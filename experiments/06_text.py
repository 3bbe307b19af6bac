"""Character models of Shakespeare: three cells of equal size, by steps and seconds. Chapter 6.

Each cell is trained with three learning rates on the first seed. The rate with the fewest bits per
character on the validation plays is then used on the others. The LSTM and the GRU are trained once
more with as many units as the tanh network has, which takes two or three times the parameters.
"""

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
)
from unrolled.losses import cross_entropy
from unrolled.optim import adam, adam_init, cosine
from unrolled.params import count_parameters
from unrolled.results import save_result

SETTINGS = {
    "batch": 32,
    "window": 64,
    "embedding": 64,
    "hidden": {"rnn": 128, "lstm": 60, "gru": 72},
    "clip": 1.0,
    "steps": 1000,
    "measured": [50, 100, 200, 400, 600, 800, 1000],
    "lr": [0.005, 0.01, 0.02],
}
SEEDS = range(3)


def bits(cell: str, params: LanguageModel, ids: np.ndarray) -> float:
    """Bits per character on a text, read in 50 columns, the state carried on."""
    state, nats, count = None, 0.0, 0
    for x, y in windows(stream(ids, 50), 100):
        logits, state, _ = language_model_forward(cell, params, x, state)
        nats += cross_entropy(logits, y)[0] * y.size
        count += y.size
    return nats / count / np.log(2)


def train(cell: str, hidden: int, lr: float, seed: int) -> dict:
    """Train one model by truncated BPTT, the learning rate falling to 0; measure it on the way."""
    s, V = SETTINGS, len(text.symbols)
    rng = np.random.default_rng(seed)
    params = init_language_model(cell, V, s["embedding"], hidden, rng=rng, dtype=np.float32)
    optimiser, state, seconds, curve = adam_init(params), None, 0.0, []
    reading = windows(columns, s["window"])  # longer than any run
    for step, (x, y) in zip(range(1, s["steps"] + 1), reading, strict=False):
        began = process_time()
        _, grads, state = language_model_loss(cell, params, x, y, state)
        grads, _ = clip_by_norm(grads, s["clip"])
        falling = cosine(step - 1, total=s["steps"], lr=lr)
        params, optimiser = adam(params, grads, optimiser, lr=falling)
        seconds += process_time() - began
        if step in s["measured"]:
            curve.append([step, round(seconds, 2), round(float(bits(cell, params, valid)), 4)])
    return {
        "cell": cell,
        "hidden": hidden,
        "parameters": count_parameters(params),
        "lr": lr,
        "seed": seed,
        "curve": curve,  # step, seconds of training, bits per character on the validation play
        "test": round(float(bits(cell, params, test)), 4),
        "seconds": round(seconds, 2),
    }


if __name__ == "__main__":
    text = load_shakespeare()
    columns = stream(text.encode(text.train), SETTINGS["batch"])
    valid, test = text.encode(text.valid), text.encode(text.test)
    runs = []
    units, (first, *others) = SETTINGS["hidden"]["rnn"], SEEDS
    for cell, hidden in SETTINGS["hidden"].items():
        tried = [train(cell, hidden, lr, first) for lr in SETTINGS["lr"]]
        best = min(tried, key=lambda r: r["curve"][-1][2])["lr"]
        runs += [{**r, "trial": r["lr"] != best} for r in tried]
        more = [(hidden, seed) for seed in others] + [(units, first)] * (hidden < units)
        runs += [{**train(cell, H, best, seed), "trial": False} for H, seed in more]
    print(save_result(__file__, settings=SETTINGS, seeds=SEEDS, runs=runs))
