"""Optimisers: the only functions that change parameters. They return new ones.

The schedules of the learning rate stand in ``unrolled.schedules``, and can be had from here too.
"""

import math
from typing import Any, NamedTuple, TypeVar

import numpy as np

from unrolled._validate import Array, check_float, check_positive, check_same_dtype
from unrolled.params import tree_map
from unrolled.schedules import cosine, exponential, step_decay

__all__ = [
    "AdamState",
    "MomentumState",
    "adam",
    "adam_init",
    "cosine",
    "exponential",
    "momentum",
    "momentum_init",
    "sgd",
    "step_decay",
]

Params = TypeVar("Params")


class MomentumState(NamedTuple):
    """What gradient descent with momentum remembers from step to step."""

    velocity: Any  # the structure of the parameters


class AdamState(NamedTuple):
    """What Adam remembers from step to step."""

    step: int  # how many were taken
    m: Any  # running mean of the gradient, the structure of the parameters
    v: Any  # running mean of its square


def sgd(params: Params, grads: Params, *, lr: float, weight_decay: float = 0.0) -> Params:
    """Take one step of gradient descent: ``p - lr * dp`` for every parameter.

    Parameters
    ----------
    params : NamedTuple of ndarrays, or tuples of them
    grads : the same structure
    lr : float
        Learning rate, greater than 0.
    weight_decay : float, default 0
        How strongly to pull the parameters towards 0: ``weight_decay * p`` is added to ``dp``.

    Returns
    -------
    The structure of ``params``; the arguments stay as they were.

    Raises
    ------
    ValueError
        If ``lr`` is not positive, ``weight_decay`` is negative, or the structures or shapes
        differ.
    TypeError
        If a parameter does not hold floating-point numbers.

    Examples
    --------
    >>> from unrolled.params import Linear
    >>> params = Linear(W=np.array([[1.0]]), b=np.array([0.0]))
    >>> grads = Linear(W=np.array([[0.5]]), b=np.array([-1.0]))
    >>> sgd(params, grads, lr=0.1)
    Linear(W=array([[0.95]]), b=array([0.1]))

    Notes
    -----
    Chapter 1, "Downhill". Equal to ``torch.optim.SGD``.
    """
    check_positive("lr", lr)
    grads = _with_decay(params, grads, weight_decay)
    return tree_map(lambda p, dp: p - p.dtype.type(lr) * dp, params, grads)


def momentum_init(params: Any) -> MomentumState:
    """Start without velocity.

    Examples
    --------
    >>> momentum_init((np.ones(2), np.ones(1)))
    MomentumState(velocity=(array([0., 0.]), array([0.])))
    """
    return MomentumState(tree_map(np.zeros_like, params))


def momentum(
    params: Params,
    grads: Params,
    state: MomentumState,
    *,
    lr: float,
    mu: float = 0.9,
    nesterov: bool = False,
    weight_decay: float = 0.0,
) -> tuple[Params, MomentumState]:
    """Take one step of gradient descent with momentum, as a ball that rolls with friction.

    ``u' = mu u + dp`` and ``p - lr u'``; with Nesterov's look ahead ``p - lr (mu u' + dp)``. Where
    the gradient stays the same the steps grow to ``1 / (1 - mu)`` times their size, and where it
    changes its sign they cancel.

    Parameters
    ----------
    params, grads : as for ``sgd``
    state : MomentumState
        From ``momentum_init`` or from the step before.
    lr : float
    mu : float, default 0.9
        The share of the velocity that is kept, 0 <= mu < 1.
    nesterov : bool, default False
    weight_decay : as for ``sgd``

    Returns
    -------
    params, state : the structures of the arguments, which stay as they were

    Raises
    ------
    ValueError
        If a setting is out of its range, or structures or shapes differ.
    TypeError
        If a parameter does not hold floating-point numbers, or the state has another
        class or dtype.

    Examples
    --------
    >>> p, state = np.array([1.0]), momentum_init(np.array([1.0]))
    >>> for _ in range(2):
    ...     p, state = momentum(p, np.array([1.0]), state, lr=0.1)
    >>> p, state
    (array([0.71]), MomentumState(velocity=array([1.9])))

    Notes
    -----
    Chapter 4, "What went wrong in chapter 2"; Polyak (1964), Nesterov (1983). Equal to
    ``torch.optim.SGD`` with ``momentum``.
    """
    check_positive("lr", lr)
    _check_share("mu", mu)
    grads = _with_decay(params, grads, weight_decay)
    _check_class(state, MomentumState)
    _check_state("state.velocity", state.velocity, params)
    # Python's numbers leave float32 alone; one np.float64 among them would widen everything.
    lr, mu = float(lr), float(mu)
    velocity = tree_map(lambda u, dp: mu * u + dp, state.velocity, grads)
    ahead = tree_map(lambda u, dp: mu * u + dp, velocity, grads) if nesterov else velocity
    return tree_map(lambda p, u: p - lr * u, params, ahead), MomentumState(velocity)


def adam_init(params: Any) -> AdamState:
    """Start with nothing remembered.

    Examples
    --------
    >>> adam_init((np.ones(2),))
    AdamState(step=0, m=(array([0., 0.]),), v=(array([0., 0.]),))
    """
    return AdamState(0, tree_map(np.zeros_like, params), tree_map(np.zeros_like, params))


def adam(
    params: Params,
    grads: Params,
    state: AdamState,
    *,
    lr: float = 1e-3,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> tuple[Params, AdamState]:
    """Take one step of Adam: every parameter moves by about ``lr``, however large its gradient.

    ``m' = beta1 m + (1 - beta1) dp`` and ``v' = beta2 v + (1 - beta2) dp^2`` are running means that
    start at 0. After k steps they are too small by the factors ``1 - beta1^k`` and ``1 - beta2^k``;
    divided by these they are ``m^`` and ``v^``, and the step is ``p - lr m^ / (sqrt(v^) + eps)``.

    Parameters
    ----------
    params, grads : as for ``sgd``
    state : AdamState
        From ``adam_init`` or from the step before.
    lr : float, default 0.001
    beta1, beta2 : float, default 0.9 and 0.999
        The shares of the means that are kept, each from 0 to below 1.
    eps : float, default 1e-8
        Keeps the division finite; greater than 0.
    weight_decay : float, default 0
        Before the step every parameter is multiplied by ``1 - lr * weight_decay``. Unlike in
        ``sgd`` this does not enter the gradient, whose size Adam ignores.

    Returns
    -------
    params, state : the structures of the arguments, which stay as they were

    Raises
    ------
    ValueError, TypeError
        As for ``momentum``.

    Examples
    --------
    >>> p = np.array([1.0, 1.0])
    >>> p, state = adam(p, np.array([1000.0, -0.001]), adam_init(p), lr=0.1)
    >>> p.round(4), state.step
    (array([0.9, 1.1]), 1)

    Notes
    -----
    Chapter 4, "What went wrong in chapter 2"; Kingma & Ba (2015), the decay after Loshchilov &
    Hutter (2019). Equal to ``torch.optim.AdamW``, and without decay to ``torch.optim.Adam``.
    """
    check_positive("lr", lr)
    check_positive("eps", eps)
    _check_share("beta1", beta1)
    _check_share("beta2", beta2)
    _check_not_negative("weight_decay", weight_decay)
    grads = _with_decay(params, grads)
    _check_class(state, AdamState)
    _check_state("state.m", state.m, params)
    _check_state("state.v", state.v, params)
    lr, beta1, beta2, eps = float(lr), float(beta1), float(beta2), float(eps)
    k = state.step + 1
    rate, root = lr / (1.0 - beta1**k), 1.0 / math.sqrt(1.0 - beta2**k)
    keep = 1.0 - lr * float(weight_decay)

    def step(p: Array, m: Array, v: Array) -> Array:
        return keep * p - rate * m / (root * np.sqrt(v) + eps)

    m = tree_map(lambda m, dp: beta1 * m + (1.0 - beta1) * dp, state.m, grads)
    v = tree_map(lambda v, dp: beta2 * v + (1.0 - beta2) * dp * dp, state.v, grads)
    return tree_map(step, params, m, v), AdamState(k, m, v)


def _with_decay(params: Any, grads: Any, weight_decay: float = 0.0) -> Any:
    """Check the gradients, give them the parameters' dtype and add the decay."""
    _check_not_negative("weight_decay", weight_decay)

    def gradient(p: Array, dp: Array) -> Array:
        if p.shape != dp.shape:
            raise ValueError(f"grads must have the shapes of params, got {dp.shape} for {p.shape}")
        check_float("params", p)
        dp = dp.astype(p.dtype, copy=False)
        return dp + p.dtype.type(weight_decay) * p if weight_decay else dp

    return tree_map(gradient, params, grads)


def _check_class(state: Any, wanted: type) -> None:
    if not isinstance(state, wanted):
        raise TypeError(f"state must be of {wanted.__name__}, got {type(state).__name__}")


def _check_state(name: str, state: Any, params: Any) -> None:
    def check(p: Array, s: Array) -> None:
        if p.shape != s.shape:
            raise ValueError(f"{name} must have the shapes of params, got {s.shape} for {p.shape}")
        check_same_dtype(name, s, "params", p)

    tree_map(check, params, state)


def _check_share(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise ValueError(f"{name} must be at least 0 and below 1, got {value}")


def _check_not_negative(name: str, value: float) -> None:
    if not value >= 0:
        raise ValueError(f"{name} must be at least 0, got {value}")
