"""A training step of each recurrent layer: this package, torch.nn, and the bare products."""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.paired import paired, summary
from unrolled import torch_twins
from unrolled.layers import LAYERS, layer_backward, layer_forward
from unrolled.params import Recurrent

SIZES = [
    (1, 25, 65, 100),
    (32, 64, 64, 128),
    (64, 100, 128, 256),
    (128, 50, 256, 512),
]  # B, T, D, H


def measure(sizes: list[tuple[int, int, int, int]], *, rounds: int) -> list[dict[str, Any]]:
    """Time every layer on every size, forward and backward with dx, in float32."""
    rows = []
    for cell in LAYERS:
        for B, T, D, H in sizes:
            rng = np.random.default_rng(0)
            params = LAYERS[cell].init(D, H, rng=rng, dtype=np.float32)
            x = rng.normal(size=(T, B, D)).astype(np.float32)
            dout = rng.normal(size=(T, B, H)).astype(np.float32)
            steps = {
                "numpy": numpy_step(cell, params, x, dout),
                "torch": torch_step(cell, params, x, dout),
                "products": products(params, x),
            }
            agree(steps["numpy"](), steps["torch"]())
            seconds = paired(steps, rounds=rounds)
            rows.append({"cell": cell, "size": [B, T, D, H], **summary(seconds, of="numpy")})
    return rows


def agree(actual: list[np.ndarray], expected: list[np.ndarray]) -> None:
    """Refuse to time what computes something else."""
    for a, e in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, e, rtol=0, atol=1e-4 * np.abs(e).max())


def numpy_step(
    cell: str, params: Recurrent, x: np.ndarray, dout: np.ndarray
) -> Callable[[], list[np.ndarray]]:
    """Make a training step of this package: it returns out, dx and the gradients."""

    def step() -> list[np.ndarray]:
        out, _, cache = layer_forward(cell, params, x)
        dx, _, grads = layer_backward(cache, dout)
        return [out, dx, *grads]

    return step


def torch_step(
    cell: str, params: Recurrent, x: np.ndarray, dout: np.ndarray
) -> Callable[[], list[np.ndarray]]:
    """Make the same step of ``torch.nn``."""
    module = getattr(torch_twins, f"{cell}_twin")(params)
    leaf, upstream = torch_twins.tensor(x, requires_grad=True), torch_twins.tensor(dout)

    def step() -> list[np.ndarray]:
        module.zero_grad()
        leaf.grad = None
        out, _ = module(leaf)
        out.backward(upstream)
        return [out.detach().numpy(), *(p.grad.numpy() for p in (leaf, *module.parameters()))]

    return step


def products(params: Recurrent, x: np.ndarray) -> Callable[[], None]:
    """Make the matrix products of a step and nothing else: what no code can do without."""
    W_ih, W_hh = params.W_ih, params.W_hh
    (T, B, D), (K, H) = x.shape, W_hh.shape
    x = x.reshape(T * B, D)
    h, da = np.ones((T, B, H), np.float32), np.ones((T, B, K), np.float32)
    a, dh = np.empty((B, K), np.float32), np.empty((B, H), np.float32)
    a_x, dx = np.empty((T * B, K), np.float32), np.empty_like(x)
    dW_ih, dW_hh = np.empty_like(W_ih), np.empty_like(W_hh)
    all_h, all_da = h.reshape(T * B, H), da.reshape(T * B, K)

    def step() -> None:
        np.matmul(x, W_ih.T, out=a_x)
        for t in range(T):
            np.matmul(h[t], W_hh.T, out=a)
        for t in range(T):
            np.matmul(da[t], W_hh, out=dh)
        np.matmul(all_da.T, x, out=dW_ih)
        np.matmul(all_da.T, all_h, out=dW_hh)
        np.matmul(all_da, W_ih, out=dx)

    return step
