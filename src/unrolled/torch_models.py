"""The torch models that chapters train when NumPy would be too slow: three ways to read a sequence.

All take a time-major ``x`` of shape (T, B, D) and return one row of V numbers an example, so one
training loop serves them all.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

try:
    import torch
    from torch import Tensor, nn
except ModuleNotFoundError:
    raise ModuleNotFoundError("torch is not installed; run: pip install torch") from None

from unrolled.data import PAD, Vocabulary, minibatches, one_hot, pad


class LastState(nn.Module):
    """An RNN read out at the last *real* step of each sequence."""

    def __init__(self, D: int, H: int, V: int) -> None:
        super().__init__()
        self.rnn = nn.RNN(D, H)
        self.readout = nn.Linear(H, V)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Read (T, B, D), each sequence up to its own length; return (B, V)."""
        out, h_n = self.rnn(x)
        if lengths is None:
            return self.readout(h_n[0])
        T, B, _ = x.shape
        if lengths.shape != (B,) or lengths.min() < 1 or lengths.max() > T:
            raise ValueError(f"lengths must have shape (B={B},) and lie in 1..{T}, got {lengths}")
        return self.readout(out[lengths - 1, torch.arange(B)])


class WindowMLP(nn.Module):
    """An MLP over all steps of a window of fixed length, each step with weights of its own."""

    def __init__(self, T: int, D: int, H: int, V: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(T * D, H), nn.Tanh(), nn.Linear(H, V))

    def forward(self, x: Tensor) -> Tensor:
        """Read a window (T, B, D); return (B, V)."""
        return self.layers(x.transpose(0, 1).flatten(start_dim=1))


class WindowCNN(nn.Module):
    """A convolution whose filters see ``width`` steps at a time, with the same weights everywhere.

    With ``pool`` only the strongest answer of each filter counts, wherever it stood; without, the
    readout has weights for every position.
    """

    def __init__(self, T: int, D: int, H: int, V: int, *, width: int, pool: bool) -> None:
        super().__init__()
        self.pool = pool
        self.conv = nn.Conv1d(D, H, width, padding=width - 1)
        self.readout = nn.Linear(H if pool else H * (T + width - 1), V)

    def forward(self, x: Tensor) -> Tensor:
        """Read a window (T, B, D); return (B, V)."""
        features = torch.relu(self.conv(x.permute(1, 2, 0)))  # (B, H, T + width - 1)
        return self.readout(features.amax(dim=-1) if self.pool else features.flatten(1))


def read_names(
    names: Sequence[str], vocabulary: Vocabulary, *, window: int | None = None
) -> tuple[Tensor, Tensor]:
    """Turn names into one-hot letters; padding becomes the zero vector.

    Parameters
    ----------
    names : sequence of str
        None of them empty.
    vocabulary : Vocabulary
    window : int, optional
        If given, T is exactly this, and only the last ``window`` letters are kept, the last
        letter first: what stands at one place of a name then always stands at one place of x.

    Returns
    -------
    x : float32 Tensor of shape (T, B, V)
    lengths : int64 Tensor of shape (B,)

    Examples
    --------
    >>> x, lengths = read_names(["Bo", "Anna"], Vocabulary(["Bo", "Anna"]))
    >>> x.shape, lengths
    (torch.Size([4, 2, 7]), tensor([2, 4]))
    """
    if window is not None:
        names = [name[::-1][:window] for name in names]
    ids, lengths = pad([vocabulary.encode(name) for name in names], length=window)
    x = one_hot(ids, len(vocabulary), dtype=np.float32)
    x[..., PAD] = 0.0
    return torch.from_numpy(x), torch.from_numpy(lengths)


def repeat_batches(size: int, *, batch: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield minibatches of indices for ever, in a new random order every epoch.

    Examples
    --------
    >>> batches = repeat_batches(3, batch=2, rng=np.random.default_rng(0))
    >>> [len(next(batches)) for _ in range(4)]
    [2, 1, 2, 1]
    """
    while True:
        yield from minibatches(size, batch=batch, rng=rng)


def fit(
    model: nn.Module,
    batches: Iterable[tuple[tuple[Tensor, ...], Tensor]],
    loss: Callable[[Tensor, Tensor], Tensor],
    *,
    steps: int,
    lr: float,
) -> list[float]:
    """Train a model by Adam, its learning rate falling to zero in a straight line.

    Parameters
    ----------
    model : nn.Module
        Changed in place.
    batches : iterable of ((input, ...), target)
        At least ``steps`` of them.
    loss : callable
        ``loss(model(*inputs), target)`` is one number.
    steps : int
    lr : float
        Learning rate at the start.

    Returns
    -------
    list of float
        The loss of every step.

    Raises
    ------
    ValueError
        If there are fewer batches than steps, or no step at all.

    Examples
    --------
    >>> model = nn.Linear(1, 1)
    >>> x = torch.ones(4, 1)
    >>> losses = fit(model, [((x,), 3 * x)] * 200, nn.functional.mse_loss, steps=200, lr=0.1)
    >>> losses[-1] < 1e-3 < losses[0]
    True
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    falling = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
    losses: list[float] = []
    for inputs, target in batches:
        value = loss(model(*inputs), target)
        optimizer.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        falling.step()
        losses.append(value.item())
        if len(losses) == steps:
            return losses
    raise ValueError(f"batches must hold at least steps={steps} batches, got {len(losses)}")


def count(model: nn.Module) -> int:
    """Count a model's parameters.

    Examples
    --------
    >>> count(nn.Linear(3, 2))
    8
    """
    return sum(p.numel() for p in model.parameters())
