"""The temperature six hours ahead: RNN, MLP and CNN against honest baselines. Chapter 2."""

import numpy as np
import torch
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import KNeighborsRegressor
from torch.nn.functional import mse_loss

from unrolled.data import forecast_task, load_weather
from unrolled.results import save_result
from unrolled.torch_models import LastState, WindowCNN, WindowMLP, count, fit, repeat_batches

SETTINGS = {
    "window": 24,
    "horizon": 6,
    "steps": 1500,
    "batch": 64,
    "lr": 0.003,
    "hidden": 32,
    "cnn_width": 6,
    "other_windows": [3, 6, 12, 24, 48, 72],
}
SEEDS = range(5)


def build(model: str, window: int, F: int) -> torch.nn.Module:
    """Build an untrained model by name."""
    H = SETTINGS["hidden"]
    if model == "RNN":
        return LastState(F, H, 1)
    if model == "MLP":
        return WindowMLP(window, F, H, 1)
    return WindowCNN(window, F, H, 1, width=SETTINGS["cnn_width"], pool=False)


def run(model: str, seed: int, task) -> tuple[dict, torch.nn.Module]:
    """Train one model; measure its mean absolute error in the test months."""
    x, y = torch.from_numpy(task.x_train), torch.from_numpy(task.y_train)
    torch.manual_seed(seed)
    net = build(model, *task.x_train.shape[::2])
    indices = repeat_batches(len(y), batch=SETTINGS["batch"], rng=np.random.default_rng(seed))
    batches = (((x[:, b],), y[b, None]) for b in indices)
    fit(net, batches, mse_loss, steps=SETTINGS["steps"], lr=SETTINGS["lr"])
    row = {"model": model, "seed": seed, "parameters": count(net), "mae": error(net, task)}
    return row, net


def error(net: torch.nn.Module, task) -> float:
    """Return the mean absolute error on the test part, in °C."""
    with torch.no_grad():
        pred = net(torch.from_numpy(task.x_test))[:, 0].numpy()
    return float(np.abs(pred - task.y_test).mean())


def flat(x: np.ndarray) -> np.ndarray:
    """Lay a window's steps side by side: (T, B, F) to (B, T F)."""
    return x.transpose(1, 0, 2).reshape(x.shape[1], -1)


def usual_change(task) -> float:
    """Return the error of always forecasting the mean change at this hour of the day."""

    def hour(x: np.ndarray) -> np.ndarray:
        sine, cosine = x[-1, :, -2], x[-1, :, -1]
        return np.round(np.arctan2(sine, cosine) * 24 / (2 * np.pi)).astype(int) % 24

    train, test = hour(task.x_train), hour(task.x_test)
    means = np.array([task.y_train[train == h].mean() for h in range(24)])
    return float(np.abs(means[test] - task.y_test).mean())


def leak(task) -> list[dict]:
    """Judge a memoriser and a linear model by the time split and by a random split of windows."""
    x = flat(np.concatenate([task.x_train, task.x_test], axis=1))
    y = np.concatenate([task.y_train, task.y_test])
    in_time = np.arange(len(y))
    at_random = np.random.default_rng(0).permutation(len(y))
    rows = []
    for split, order in (("in time", in_time), ("at random", at_random)):
        train, test = np.split(order, [len(task.y_train)])
        for name, model in (
            ("nearest window", KNeighborsRegressor(n_neighbors=1)),
            ("linear regression", LinearRegression()),
        ):
            pred = model.fit(x[train], y[train]).predict(x[test])
            mae = float(np.abs(pred - y[test]).mean())
            rows.append({"model": name, "split": split, "mae": mae})
    return rows


if __name__ == "__main__":
    torch.set_num_threads(1)
    weather = load_weather()
    window, horizon = SETTINGS["window"], SETTINGS["horizon"]
    task = forecast_task(weather, window=window, horizon=horizon)
    runs = [{"model": "no change", "parameters": 0, "mae": float(np.abs(task.y_test).mean())}]
    runs.append({"model": "usual change at this hour", "parameters": 24, "mae": usual_change(task)})
    runs += leak(task)
    # The same hours are forecast whatever the length: each window is the end of the longest one.
    longest = forecast_task(weather, window=max(SETTINGS["other_windows"]), horizon=horizon)
    others = [
        longest._replace(x_test=longest.x_test[-hours:]) for hours in SETTINGS["other_windows"]
    ]
    for seed in SEEDS:
        for model in ("RNN", "MLP", "CNN"):
            row, net = run(model, seed, task)
            if model == "RNN":
                row["mae_by_window"] = [error(net, other) for other in others]
            runs.append(row)
    print(save_result(__file__, settings=SETTINGS, seeds=SEEDS, runs=runs))
