"""Optimisers: the only functions that change parameters. They return new ones."""

from typing import TypeVar

from unrolled._validate import Array, check_float, check_positive
from unrolled.params import tree_map

Params = TypeVar("Params")


def sgd(params: Params, grads: Params, *, lr: float) -> Params:
    """Take one step of gradient descent: ``p - lr * dp`` for every parameter.

    Parameters
    ----------
    params : NamedTuple of ndarrays, or tuples of them
    grads : the same structure
    lr : float
        Learning rate, greater than 0.

    Returns
    -------
    The structure of ``params``; the arguments stay as they were.

    Raises
    ------
    ValueError
        If ``lr`` is not positive, or the structures or shapes differ.
    TypeError
        If a parameter does not hold floating-point numbers.

    Examples
    --------
    >>> import numpy as np
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

    def step(p: Array, dp: Array) -> Array:
        if p.shape != dp.shape:
            raise ValueError(f"grads must have the shapes of params, got {dp.shape} for {p.shape}")
        check_float("params", p)
        return p - p.dtype.type(lr) * dp.astype(p.dtype, copy=False)

    return tree_map(step, params, grads)
