"""Training a language model of characters: how many of them a second."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.paired import paired, summary
from unrolled import torch_twins
from unrolled.gradients import clip_by_norm
from unrolled.language_model import LanguageModel, init_language_model, language_model_loss
from unrolled.optim import adam, adam_init

V, E, H, WINDOW = 65, 32, 128, 64
BATCHES = [1, 32]
Ids = np.ndarray


def measure(batches: list[int], *, rounds: int, window: int = WINDOW) -> list[dict[str, Any]]:
    """Time training steps of an LSTM: forward, backward, clipping and Adam, in float32."""
    rows = []
    for B in batches:
        rng = np.random.default_rng(0)
        params = init_language_model("lstm", V, E, H, rng=rng, dtype=np.float32)
        x, y = rng.integers(V, size=(2, window, B))
        steps = {"numpy": numpy_step(params, x, y), "torch": torch_step(params, x, y)}
        for _ in range(3):  # the same losses: the same model, gradients and steps
            losses = [step() for step in steps.values()]
            np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)
        found = summary(paired(steps, rounds=rounds), of="numpy")
        rates = {name: round(1000 * window * B / ms) for name, ms in found["ms"].items()}
        rows.append({"batch": B, "characters_per_second": rates, **found})
    return rows


def numpy_step(params: LanguageModel, x: Ids, y: Ids) -> Callable[[], float]:
    """Make a training step that goes on where the last one stopped."""
    memory, state = adam_init(params), None

    def step() -> float:
        nonlocal params, memory, state
        loss, grads, state = language_model_loss("lstm", params, x, y, state)
        grads, _ = clip_by_norm(grads, 1.0)
        params, memory = adam(params, grads, memory)
        return loss

    return step


def torch_step(params: LanguageModel, x: Ids, y: Ids) -> Callable[[], float]:
    """Make the same training step in PyTorch."""
    embedding = nn.Embedding.from_pretrained(torch_twins.tensor(params.embedding), freeze=False)
    layer, output = torch_twins.lstm_twin(params.layer), torch_twins.linear_twin(params.output)
    model = nn.ModuleList([embedding, layer, output])
    optimizer = torch.optim.Adam(model.parameters())
    ids, target, state = torch.tensor(x), torch.tensor(y).flatten(), None

    def step() -> float:
        nonlocal state
        optimizer.zero_grad()
        out, state = layer(embedding(ids), state)
        loss = nn.functional.cross_entropy(output(out).flatten(0, 1), target)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        state = tuple(part.detach() for part in state)
        return loss.item()

    return step
