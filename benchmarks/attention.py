"""Attention, forward and backward, against PyTorch."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn.functional import scaled_dot_product_attention

from benchmarks.layers import agree
from benchmarks.paired import paired, summary
from unrolled.attention import (
    Additive,
    General,
    attention_backward,
    attention_forward,
    lengths_mask,
)

SIZES = [(20, 32, 25, 128), (50, 64, 50, 256)]  # T, B, S, D
Steps = dict[str, Callable[[], list[np.ndarray]]]


def measure(sizes: list[tuple[int, int, int, int]], *, rounds: int) -> list[dict[str, Any]]:
    """Time the scores scaled, general and additive, with a mask, in float32."""
    rows = []
    for score in ("scaled", "general", "additive"):
        for T, B, S, D in sizes:
            steps = make_steps(score, T, B, S, D)
            results = {name: step() for name, step in steps.items()}
            for result in results.values():
                agree(results["numpy"], result)
            seconds = paired(steps, rounds=rounds)
            rows.append({"score": score, "size": [T, B, S, D], **summary(seconds, of="numpy")})
    return rows


def make_steps(score: str, T: int, B: int, S: int, D: int) -> Steps:
    """Make the steps to be compared; each returns context, dquery, dkeys, dvalues and gradients."""
    rng = np.random.default_rng(0)

    def draw(*shape: int, scale: float = 1.0) -> np.ndarray:
        return (scale * rng.normal(size=shape)).astype(np.float32)

    small = 1 / math.sqrt(D)
    params: General | Additive | None = None
    if score == "general":
        params = General(draw(D, D, scale=small))
    elif score == "additive":
        params = Additive(draw(D, D, scale=small), draw(D, D, scale=small), draw(D))
    arrays = [draw(T, B, D), draw(S, B, D), draw(S, B, D)]
    dcontext, mask = draw(T, B, D), lengths_mask(rng.integers(1, S + 1, size=B), S)

    def step() -> list[np.ndarray]:
        context, _, cache = attention_forward(*arrays, params, score=score, mask=mask)
        *dinputs, grads = attention_backward(cache, dcontext)
        return [context, *dinputs, *(grads or ())]

    steps = {"numpy": step, "torch": torch_step(score, arrays, params, dcontext, mask)}
    if score == "scaled":
        steps["fused"] = fused_step(arrays, dcontext, mask)
    return steps


def torch_step(
    score: str,
    arrays: list[np.ndarray],
    params: General | Additive | None,
    dcontext: np.ndarray,
    mask: np.ndarray,
) -> Callable[[], list[np.ndarray]]:
    """Make a step written in plain PyTorch, on the same time-major arrays."""
    leaves = [torch.tensor(a, requires_grad=True) for a in (*arrays, *(params or ()))]
    upstream, hidden = torch.tensor(dcontext), torch.tensor(~mask)[:, None]

    def scores(q: Any, k: Any, weights: Any) -> Any:
        if score == "additive":
            W_q, W_k, v = weights
            return torch.tanh((q @ W_q.T)[:, :, None] + (k @ W_k.T)[:, None]) @ v
        q = q @ weights[0] if weights else q / math.sqrt(q.shape[-1])
        return q @ k.transpose(1, 2)

    def step() -> list[np.ndarray]:
        for leaf in leaves:
            leaf.grad = None
        q, k, values = (leaf.transpose(0, 1) for leaf in leaves[:3])
        weights = scores(q, k, leaves[3:]).masked_fill(hidden, -math.inf).softmax(dim=-1)
        context = (weights @ values).transpose(0, 1)
        context.backward(upstream)
        return [context.detach().numpy(), *(leaf.grad.numpy() for leaf in leaves)]

    return step


def fused_step(
    arrays: list[np.ndarray], dcontext: np.ndarray, mask: np.ndarray
) -> Callable[[], list[np.ndarray]]:
    """Make a step of torch's fused attention, on arrays in the order that it likes best.

    It does not return the weights.
    """

    def batch_first(array: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(array.swapaxes(0, 1))[:, None]  # (B, 1 head, T, D)

    leaves = [torch.tensor(batch_first(a), requires_grad=True) for a in arrays]
    upstream, seen = torch.tensor(batch_first(dcontext)), torch.tensor(mask)[:, None, None]

    def step() -> list[np.ndarray]:
        for leaf in leaves:
            leaf.grad = None
        context = scaled_dot_product_attention(*leaves, attn_mask=seen)
        context.backward(upstream)
        results = [context.detach(), *(leaf.grad for leaf in leaves)]
        return [result.squeeze(1).transpose(0, 1).numpy() for result in results]

    return step
