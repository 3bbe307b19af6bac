"""The embedded Reber grammar, and gradients of an LSTM that explode on it. Chapter 5.

First, an LSTM and a tanh network of equal size learn to predict the next symbol, for three
probabilities p of a loop inside the grammar. A string counts as right if at every step the symbols
that the grammar allows are the most probable ones, as Hochreiter & Schmidhuber (1997) count.
Second, LSTMs with ordinary and with far too large recurrent weights, with and without clipping.
"""

import numpy as np

from unrolled.data import one_hot
from unrolled.data.reber import REBER, ReberBatch, embedded_reber
from unrolled.gradients import clip_by_norm, global_norm
from unrolled.init import forget_bias, orthogonal
from unrolled.layers import layer_backward, layer_forward
from unrolled.losses import cross_entropy
from unrolled.neurons import linear_backward, linear_forward
from unrolled.optim import adam, adam_init, sgd
from unrolled.params import init_linear, init_lstm, init_rnn
from unrolled.results import save_result

SETTINGS = {
    "grammar": {
        "batch": 32, "steps": 1200, "every": 50, "test": 512, "clip": 1.0, "p": [0.5, 0.85, 0.95],
        "lstm": {"hidden": 16, "lr": [0.01, 0.02], "forget_bias": 2.0},
        "rnn": {"hidden": 34, "lr": [0.003, 0.01]},
    },
    "explosion": {
        "batch": 16, "steps": 400, "lr": 3.0, "p": 0.85, "hidden": 32, "clip": [None, 1.0],
        "spread": [None, 1.4],  # of W_hh, drawn from a normal distribution; None: as torch draws
    },
}  # fmt: skip
SEEDS = range(3)
V = len(REBER)


def gradients(cell: str, params: tuple, batch: ReberBatch) -> tuple[float, tuple]:
    """Predict every next symbol; return the loss in nats a symbol, and its gradients."""
    x, y, _, lengths, _ = batch
    T, B = x.shape
    out, _, cache = layer_forward(cell, params[0], one_hot(x, V, dtype=np.float32), lengths=lengths)
    logits, read = linear_forward(params[1], out.reshape(T * B, -1))
    real = np.arange(T)[:, None] < lengths
    loss, dlogits = cross_entropy(logits, y.reshape(-1), real.reshape(-1))
    dout, dreadout = linear_backward(read, dlogits)
    _, _, dlayer = layer_backward(cache, dout.reshape(T, B, -1))
    return loss, (dlayer, dreadout)


def score(cell: str, params: tuple, batch: ReberBatch) -> float:
    """Count the share of strings that are right at every step."""
    x, _, legal, lengths, _ = batch
    T, B = x.shape
    out, _, _ = layer_forward(cell, params[0], one_hot(x, V, dtype=np.float32), lengths=lengths)
    logits = linear_forward(params[1], out.reshape(T * B, -1))[0].reshape(T, B, V)
    least_legal = np.where(legal, logits, np.inf).min(axis=2)
    most_illegal = np.where(legal, -np.inf, logits).max(axis=2)
    right = (least_legal > most_illegal) | (np.arange(T)[:, None] >= lengths)
    return float(right.all(axis=0).mean())


def learn(cell: str, p: float, lr: float, seed: int) -> dict:
    """Train until every test string is right, or the steps run out."""
    s = SETTINGS["grammar"]
    rng, H = np.random.default_rng(seed), s[cell]["hidden"]
    if cell == "lstm":
        layer = forget_bias(init_lstm(V, H, rng=rng, dtype=np.float32), s[cell]["forget_bias"])
    else:
        layer = orthogonal(init_rnn(V, H, rng=rng, dtype=np.float32), rng=rng)
    params = layer, init_linear(H, V, rng=rng, dtype=np.float32)
    state, scores, solved = adam_init(params), [], None
    test = embedded_reber(s["test"], rng=np.random.default_rng(99), p=p)
    for k in range(1, s["steps"] + 1):
        _, grads = gradients(cell, params, embedded_reber(s["batch"], rng=rng, p=p))
        grads, _ = clip_by_norm(grads, s["clip"])
        params, state = adam(params, grads, state, lr=lr)
        if k % s["every"] == 0:
            scores.append(round(score(cell, params, test), 4))
            if scores[-1] == 1:
                solved = k
                break
    return {"part": "grammar", "cell": cell, "p": p, "lr": lr, "seed": seed, "steps": solved,
            "scores": scores}  # fmt: skip


def explode(spread: float | None, clip: float | None, seed: int) -> dict:
    """Train an LSTM by plain gradient descent; note losses and gradient norms."""
    s = SETTINGS["explosion"]
    rng = np.random.default_rng(seed)
    layer = init_lstm(V, s["hidden"], rng=rng, dtype=np.float32)
    if spread:
        W_hh = rng.normal(scale=spread, size=layer.W_hh.shape).astype(np.float32)
        layer = layer._replace(W_hh=W_hh)
    params = layer, init_linear(s["hidden"], V, rng=rng, dtype=np.float32)
    losses, norms = [], []
    for _ in range(s["steps"]):
        batch = embedded_reber(s["batch"], rng=rng, p=s["p"])
        loss, grads = gradients("lstm", params, batch)
        losses.append(loss)
        norms.append(global_norm(grads))
        if clip:
            grads, _ = clip_by_norm(grads, clip)
        params = sgd(params, grads, lr=s["lr"])
    # Twenty numbers a run are enough for a figure.
    loss_means = np.mean(np.reshape(losses, (20, -1)), axis=1).round(4).tolist()
    norm_peaks = [float(f"{peak:.4g}") for peak in np.max(np.reshape(norms, (20, -1)), axis=1)]
    return {"part": "explosion", "spread": spread, "clip": clip, "seed": seed,
            "losses": loss_means, "norms": norm_peaks}  # fmt: skip


if __name__ == "__main__":
    g, e = SETTINGS["grammar"], SETTINGS["explosion"]
    runs = [
        learn(cell, p, lr, seed)
        for p in g["p"] for cell in ("lstm", "rnn") for lr in g[cell]["lr"] for seed in SEEDS
    ] + [
        explode(spread, clip, seed)
        for spread in e["spread"] for clip in e["clip"] for seed in SEEDS
    ]  # fmt: skip
    print(save_result(__file__, settings=SETTINGS, seeds=SEEDS, runs=runs))
