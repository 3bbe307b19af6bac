"""Schedules: the learning rate of each step. Steps are counted from 0."""

import math

from unrolled._validate import check_positive


def cosine(step: int, *, total: int, lr: float, warmup: int = 0, final: float = 0.0) -> float:
    """Give the learning rate of a step: up along a line, then down along half a cosine.

    ``lr (k + 1) / (warmup + 1)`` for step k below ``warmup``, and from there on
    ``final + (lr - final) (1 + cos(pi s)) / 2``, where s runs from 0 to 1 at step ``total``.

    Parameters
    ----------
    step : int
        How many steps were taken before this one, so the first is 0.
    total : int
        How many there will be; after them the rate stays at ``final``.
    lr : float
        The highest rate, that of step ``warmup``.
    warmup : int, default 0
        How many steps come before it, fewer than ``total``.
    final : float, default 0

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If ``step`` is negative, ``lr`` not positive, or another number out of its range.

    Examples
    --------
    >>> [round(cosine(k, total=6, lr=0.3, warmup=2), 3) for k in range(7)]
    [0.1, 0.2, 0.3, 0.256, 0.15, 0.044, 0.0]

    Notes
    -----
    Chapter 7, "How fast, how large"; Loshchilov & Hutter (2017). Equal to
    ``torch.optim.lr_scheduler.LinearLR`` followed by ``CosineAnnealingLR``.
    """
    _check_step(step)
    check_positive("lr", lr)
    if not 0 <= warmup < total:
        raise ValueError(f"warmup must lie in 0..total - 1 = {total - 1}, got {warmup}")
    if not 0 <= final <= lr:
        raise ValueError(f"final must lie in 0..lr = {lr}, got {final}")
    if step < warmup:
        return lr * (step + 1) / (warmup + 1)
    s = min((step - warmup) / (total - warmup), 1.0)
    return final + (lr - final) * 0.5 * (1.0 + math.cos(math.pi * s))


def step_decay(step: int, *, every: int, factor: float, lr: float) -> float:
    """Give the learning rate of a step that falls as stairs do: ``lr * factor^(step // every)``.

    Equal to ``torch.optim.lr_scheduler.StepLR``.

    Raises
    ------
    ValueError
        If ``step`` is negative, or another number not positive.

    Examples
    --------
    >>> [step_decay(k, every=2, factor=0.5, lr=0.4) for k in range(5)]
    [0.4, 0.4, 0.2, 0.2, 0.1]
    """
    _check_step(step)
    check_positive("every", every)
    check_positive("factor", factor)
    check_positive("lr", lr)
    return lr * factor ** (step // every)


def exponential(step: int, *, rate: float, lr: float) -> float:
    """Give the learning rate of a step that falls by one factor each time: ``lr * rate^step``.

    Equal to ``torch.optim.lr_scheduler.ExponentialLR``.

    Raises
    ------
    ValueError
        If ``step`` is negative, or another number not positive.

    Examples
    --------
    >>> [exponential(k, rate=0.5, lr=0.4) for k in range(3)]
    [0.4, 0.2, 0.1]
    """
    _check_step(step)
    check_positive("rate", rate)
    check_positive("lr", lr)
    return lr * rate**step


def _check_step(step: int) -> None:
    if step < 0:
        raise ValueError(f"step must be at least 0, got {step}")
