"""What each idea in the LSTM is worth: the same code with one idea undone, timed beside it.

A variant is the source of ``unrolled.lstm`` with a few lines replaced. It computes the same: see
tests/test_benchmarks.py. What an edit replaces must stand there exactly once, so that no variant
can quietly become the original.
"""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

import unrolled.lstm
from benchmarks.paired import paired, summary
from unrolled.params import init_lstm

SIZES = [(1, 25, 65, 100), (32, 64, 64, 128), (64, 100, 128, 256)]  # B, T, D, H


class Ablation(NamedTuple):
    """An idea undone: what is done instead, and the edits that do it."""

    title: str
    edits: list[tuple[str, str]]
    dtype: Any = np.float32


def masked_sigmoid(a: np.ndarray) -> np.ndarray:
    """Never overflow by looking at the sign of every number first, as textbooks do."""
    result = np.empty_like(a)
    positive = a >= 0
    result[positive] = 1 / (1 + np.exp(-a[positive]))
    e = np.exp(a[~positive])
    result[~positive] = e / (1 + e)
    return result


def exp_sigmoid(a: np.ndarray) -> np.ndarray:
    """Apply the definition, which overflows for large negative numbers."""
    return 1 / (1 + np.exp(-a))


ONE_TANH = """        a *= s
        np.tanh(a, out=a)
        a *= s
        a += shift
"""
SIGMOIDS = """        for gate in (i, f, o):
            gate[:] = {}(gate)
        np.tanh(g, out=g)
"""
ADD_INPUTS = "        a += gates[:, t - 1]\n"
IN_PLACE = "        np.matmul(h[t - 1], W, out=a)\n" + ADD_INPUTS + ONE_TANH
INPUTS = (
    "    gates = np.matmul(x.reshape(T * B, D), W_ih.reshape(4, H, D).swapaxes(1, 2))\n"
    "    gates += (b_ih + b_hh).reshape(4, 1, H)\n"
    "    gates = gates.reshape(4, T, B, H)"
)
BACK = "    for t in range(T, 0, -1):\n"
GATE_BY_GATE = "        dh_i, dh_f, dh_g, dh_o = np.matmul(da_t, W)  # da @ W_hh, gate by gate\n"
STEP_BACK = "        dh_prev = dh_i + dh_f + dh_g + dh_o\n"
DERIVATIVES = """        ig, fc = i * g, f * c[t - 1]
        dc_t = dc + dh * (o - h[t] * tanh_c[t - 1])
        dc_prev = dc_t * f
        np.multiply(dc_t, ig - ig * i, out=da_i)
        np.multiply(dc_t, fc - fc * f, out=da_f)
        np.multiply(dc_t, i - ig * g, out=da_g)
        np.multiply(dh, h[t] - h[t] * o, out=da_o)
"""

ABLATIONS = {
    "float64": Ablation("float64 instead of float32", [], np.float64),
    "masked": Ablation(
        "sigmoid by masks",
        [(ONE_TANH, SIGMOIDS.format("masked_sigmoid"))],
    ),
    "weights_in_loop": Ablation(
        "weight gradients inside the loop",
        [
            (BACK, "    dW_ih, dW_hh = np.zeros_like(W_ih), np.zeros_like(W_hh)\n" + BACK),
            (
                STEP_BACK,
                STEP_BACK + "        dW_ih += da[t - 1].T @ x[t - 1]\n"
                "        dW_hh += da[t - 1].T @ h[t - 1]\n",
            ),
            ("W_ih=da.T @ x.reshape(T * B, D)", "W_ih=dW_ih"),
            ("W_hh=da.T @ h[:-1].reshape(T * B, H)", "W_hh=dW_hh"),
        ],
    ),
    "inputs_in_loop": Ablation(
        "input products inside the loop",
        [
            (INPUTS, "    gates = np.empty((4, T, B, H), dtype=x.dtype)"),
            (
                ADD_INPUTS,
                "        a_t = x[t - 1] @ W_ih.T + (b_ih + b_hh)\n"
                "        a += a_t.reshape(B, 4, H).swapaxes(0, 1)\n",
            ),
            (BACK, "    dx = np.empty_like(x)\n" + BACK),
            (
                STEP_BACK,
                STEP_BACK + "        dx[t - 1] = da[t - 1] @ W_ih\n",
            ),
            ("(da @ W_ih).reshape(T, B, D)", "dx"),
        ],
    ),
    "exp": Ablation(
        "sigmoid by exp, gate by gate",
        [(ONE_TANH, SIGMOIDS.format("exp_sigmoid"))],
    ),
    "three_axes": Ablation(
        "products of 3-D arrays",
        [
            (
                INPUTS,
                "    gates = np.matmul(x, W_ih.reshape(4, 1, H, D).swapaxes(2, 3))\n"
                "    gates += (b_ih + b_hh).reshape(4, 1, 1, H)",
            ),
            (
                "    da = da.reshape(T * B, 4 * H)\n    db = da.sum(axis=0)\n",
                "    db = da.sum(axis=(0, 1))\n",
            ),
            ("W_ih=da.T @ x.reshape(T * B, D)", "W_ih=(da.swapaxes(1, 2) @ x).sum(axis=0)"),
            (
                "W_hh=da.T @ h[:-1].reshape(T * B, H)",
                "W_hh=(da.swapaxes(1, 2) @ h[:-1]).sum(axis=0)",
            ),
            ("(da @ W_ih).reshape(T, B, D)", "da @ W_ih"),
        ],
    ),
    "view": Ablation(
        "W_hh transposed by a view",
        [
            (
                "np.ascontiguousarray(W_hh.reshape(4, H, H).swapaxes(1, 2))",
                "W_hh.reshape(4, H, H).swapaxes(1, 2)",
            ),
        ],
    ),
    "no_buffers": Ablation(
        "new arrays at every step",
        [
            (
                IN_PLACE,
                "        a = s * np.tanh(s * (h[t - 1] @ W + gates[:, t - 1])) + shift\n"
                "        i, f, g, o = a\n",
            ),
            ("        gates[:, t - 1] = a\n", "        steps.append(a)\n"),
            ("    h[0], c[0] = h0, c0\n", "    h, c, steps = [h0], [c0], []\n"),
            ("np.add(f * c[t - 1], i * g, out=c[t])", "c.append(f * c[t - 1] + i * g)"),
            ("np.multiply(o, np.tanh(c[t]), out=h[t])", "h.append(o * np.tanh(c[t]))"),
            (
                "    for array in (h, c, gates):\n",
                "    h, c, gates = np.stack(h), np.stack(c), np.stack(steps, axis=1)\n"
                "    for array in (h, c, gates):\n",
            ),
        ],
    ),
    "gates_in_rows": Ablation(
        "the four gates side by side in a row",
        [
            (
                "    i, f, g, o = a = np.empty((4, B, H), dtype=x.dtype)\n",
                "    a = np.empty((B, 4 * H), dtype=x.dtype)\n"
                "    i, f, g, o = a.reshape(B, 4, H).swapaxes(0, 1)\n",
            ),
            ("    s[2] = 1.0\n", "    s[:, 2 * H : 3 * H] = 1.0\n"),
            (
                "        np.matmul(h[t - 1], W, out=a)\n",
                "        np.matmul(h[t - 1], W_hh.T, out=a)\n",
            ),
            (
                INPUTS,
                "    gates = (x.reshape(T * B, D) @ W_ih.T).reshape(T, B, 4 * H)\n"
                "    gates += b_ih + b_hh",
            ),
            (ADD_INPUTS, "        a += gates[t - 1]\n"),
            ("        gates[:, t - 1] = a\n", "        gates[t - 1] = a\n"),
            (
                "        i, f, g, o = gates[:, t - 1]\n",
                "        i, f, g, o = gates[t - 1].reshape(B, 4, H).swapaxes(0, 1)\n"
                "        da_i, da_f, da_g, da_o = da[t - 1].reshape(B, 4, H).swapaxes(0, 1)\n",
            ),
            ("        da[t - 1].reshape(B, 4, H).swapaxes(0, 1)[:] = da_t\n", ""),
            (GATE_BY_GATE, ""),
            (STEP_BACK, "        dh_prev = da[t - 1] @ W_hh\n"),
        ],
    ),
    "gate_by_gate": Ablation(
        "a product and a function for each gate",
        [
            (
                IN_PLACE,
                "        for k, row in enumerate(range(0, 4 * H, H)):\n"
                "            a[k] = h[t - 1] @ W_hh[row : row + H].T + gates[k, t - 1]\n"
                + SIGMOIDS.format("exp_sigmoid"),
            ),
        ],
    ),
    "derivatives": Ablation(
        "derivatives as the book writes them",
        [
            (
                DERIVATIVES,
                "        dc_t = dc + dh * o * (1 - tanh_c[t - 1] ** 2)\n"
                "        dc_prev = dc_t * f\n"
                "        da_i[:] = dc_t * g * i * (1 - i)\n"
                "        da_f[:] = dc_t * c[t - 1] * f * (1 - f)\n"
                "        da_g[:] = dc_t * i * (1 - g**2)\n"
                "        da_o[:] = dh * tanh_c[t - 1] * o * (1 - o)\n",
            ),
        ],
    ),
}

ABLATIONS["together"] = Ablation(
    "float64, masks, both products in the loop",
    [
        edit
        for name in ("masked", "weights_in_loop", "inputs_in_loop")
        for edit in ABLATIONS[name].edits
    ],
    np.float64,
)


def variant(edits: list[tuple[str, str]]) -> ModuleType:
    """Build the module ``unrolled.lstm`` anew from its source after these edits.

    Raises
    ------
    ValueError
        If what an edit replaces does not stand in the source exactly once.
    """
    source = Path(unrolled.lstm.__file__).read_text(encoding="utf-8")
    for old, new in edits:
        if source.count(old) != 1:
            raise ValueError(f"must stand once in unrolled/lstm.py, not {source.count(old)}: {old}")
        source = source.replace(old, new)
    module = ModuleType("lstm_variant")
    module.__dict__.update(masked_sigmoid=masked_sigmoid, exp_sigmoid=exp_sigmoid)
    exec(compile(source, "lstm_variant.py", "exec"), module.__dict__)
    return module


def make_step(
    module: ModuleType, B: int, T: int, D: int, H: int, dtype: Any = np.float32
) -> Callable[[], list[np.ndarray]]:
    """Make a training step of an LSTM; it returns out, dx and the gradients."""
    rng = np.random.default_rng(0)
    params = init_lstm(D, H, rng=rng, dtype=dtype)
    x, dout = rng.normal(size=(T, B, D)).astype(dtype), rng.normal(size=(T, B, H)).astype(dtype)

    def step() -> list[np.ndarray]:
        out, _, cache = module.lstm_forward(params, x)
        dx, _, grads = module.lstm_backward(cache, dout)
        return [out, dx, *grads]

    return step


def measure(sizes: list[tuple[int, int, int, int]], *, rounds: int) -> list[dict[str, Any]]:
    """Time every variant on every size, as a multiple of the original."""
    rows = []
    for size in sizes:
        steps = {"original": make_step(unrolled.lstm, *size)}
        for name, ablation in ABLATIONS.items():
            steps[name] = make_step(variant(ablation.edits), *size, ablation.dtype)
        seconds = paired(steps, rounds=rounds)
        for name, ablation in ABLATIONS.items():
            pair = {key: seconds[key] for key in (name, "original")}
            row = {"ablation": name, "title": ablation.title, "size": list(size)}
            rows.append({**row, **summary(pair, of=name)})
    return rows
