"""Why does a GRU learn the adding problem sooner than an LSTM? Chapter 6.

Five cells of about 4,600 parameters, all with torch's start and one learning rate, T = 100: the
LSTM; the LSTM with i = 1 - f, which has one gate less; the GRU; and the GRU with its reset gate
held at 1 or at 0. Counted are the steps until the mean squared error on a test set falls below
0.01. While they train, the gradient that is left over 50 time steps is measured: the spectral norm
of the Jacobian of c, or in the GRU of h.
"""

import numpy as np

from unrolled.data import adding
from unrolled.gradients import clip_by_norm, jacobian_norms
from unrolled.layers import layer_backward, layer_forward
from unrolled.losses import mse
from unrolled.neurons import linear_backward, linear_forward
from unrolled.optim import adam, adam_init
from unrolled.params import Recurrent, count_parameters, init_gru, init_linear, init_lstm
from unrolled.results import save_result

SETTINGS = {
    "T": 100,
    "batch": 32,
    "lr": 0.01,
    "clip": 1.0,
    "goal": 0.01,
    "steps": 600,
    "every": 50,
    "watched": 400,
    "hidden": {"lstm": 32, "coupled": 37, "gru": 37, "gru, r = 1": 37, "gru, r = 0": 37},
}
SEEDS = range(3)


def couple(params: Recurrent) -> Recurrent:
    """Make an LSTM with i = 1 - f of the three blocks f|g|o: sigmoid(-a) is 1 - sigmoid(a)."""
    H = params.W_hh.shape[1]
    return Recurrent(*(np.concatenate([-array[:H], array]) for array in params))


def uncouple(grads: Recurrent) -> Recurrent:
    """Sum the gradient of the f block over the two places where it is read."""
    H = grads.W_hh.shape[1]
    i, f, rest = (slice(0, H), slice(H, 2 * H), slice(2 * H, None))
    return Recurrent(*(np.concatenate([array[f] - array[i], array[rest]]) for array in grads))


def hold_reset(params: Recurrent, value: int) -> Recurrent:
    """Hold the reset gate at 0 or 1."""
    H = params.W_hh.shape[1]
    arrays = [array.copy() for array in params]
    for array in arrays:
        array[:H] = 0
    arrays[2][:H] = 40 if value else -40
    return Recurrent(*arrays)


def forward(name: str, params: tuple, x: np.ndarray) -> tuple:
    """Predict; also give what the way back needs."""
    layer = couple(params[0]) if name == "coupled" else params[0]
    out, _, cache = layer_forward("gru" if "gru" in name else "lstm", layer, x)
    pred, read = linear_forward(params[1], out[-1])
    return pred, read, cache


def gradients(name: str, params: tuple, x: np.ndarray, y: np.ndarray) -> tuple:
    """Go there and back."""
    pred, read, cache = forward(name, params, x)
    dh_n, dreadout = linear_backward(read, mse(pred, y)[1])
    _, _, dlayer = layer_backward(cache, None, dh_n if "gru" in name else (dh_n, None))
    if name == "coupled":
        dlayer = uncouple(dlayer)
    if "r =" in name:  # what is held learns nothing
        for array in dlayer:
            array[: array.shape[0] // 3] = 0
    return dlayer, dreadout


def reach(name: str, params: tuple, x: np.ndarray) -> float:
    """Measure the gradient that is left over the last 50 steps, as a power of 10."""
    part = "h" if "gru" in name else "c"
    last = forward(name, params, x[:, :8])[2].steps(len(x) - 50, len(x))
    return round(float(np.log10(jacobian_norms(last, of=part, wrt=part)[-1].mean())), 2)


def run(name: str, seed: int) -> dict:
    """Train one network until it has arrived and has been watched."""
    rng, H, T = np.random.default_rng(seed), SETTINGS["hidden"][name], SETTINGS["T"]
    x, y = adding(T, 256, rng=np.random.default_rng(99))
    init = init_lstm if name == "lstm" else init_gru  # three blocks for all others
    layer = init(2, H, rng=rng, dtype=np.float32)
    if "r =" in name:
        layer = hold_reset(layer, int(name[-1]))
    params = (layer, init_linear(H, 1, rng=rng, dtype=np.float32))
    state, solved, history = adam_init(params), None, []
    for k in range(SETTINGS["steps"] + 1):
        if k % SETTINGS["every"] == 0:
            loss = round(float(((forward(name, params, x)[0] - y) ** 2).mean()), 5)
            if k <= SETTINGS["watched"]:
                history.append([k, loss, reach(name, params, x)])
            if loss < SETTINGS["goal"]:
                solved = solved or k
            if solved and k >= SETTINGS["watched"]:
                break
        batch = adding(T, SETTINGS["batch"], rng=rng)
        grads, _ = clip_by_norm(gradients(name, params, *batch), SETTINGS["clip"])
        params, state = adam(params, grads, state, lr=SETTINGS["lr"])
    size = count_parameters(params)
    return {"cell": name, "seed": seed, "steps": solved, "parameters": size, "history": history}


if __name__ == "__main__":
    runs = [run(name, seed) for name in SETTINGS["hidden"] for seed in SEEDS]
    print(save_result(__file__, settings=SETTINGS, seeds=SEEDS, runs=runs))
