"""Activation functions, their derivatives, and the softmax: the element-wise half of a network."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from unrolled._validate import Array, check_float


def sigmoid(a: Array) -> Array:
    """Squash each number into (0, 1): ``sigmoid(a) = 1 / (1 + exp(-a))``.

    Computed as ``0.5 * (1 + tanh(a / 2))``, which is the same function. The textbook form
    overflows for ``a`` below about -709; ``tanh`` does not overflow anywhere.

    Parameters
    ----------
    a : ndarray of any shape
        Pre-activations.

    Returns
    -------
    ndarray of the shape of ``a``

    Examples
    --------
    >>> sigmoid(np.array([-1000.0, 0.0, 1000.0]))
    array([0. , 0.5, 1. ])

    Notes
    -----
    Chapter 1, "Numbers that overflow".
    """
    return 0.5 * (1.0 + np.tanh(0.5 * a))


def relu(a: Array) -> Array:
    """Keep what is positive and set the rest to zero: ``relu(a) = max(a, 0)``.

    Parameters
    ----------
    a : ndarray of any shape

    Returns
    -------
    ndarray of the shape of ``a``

    Examples
    --------
    >>> relu(np.array([-2.0, 3.0]))
    array([0., 3.])

    Notes
    -----
    Chapter 1, "From a threshold to a slope"; Nair & Hinton (2010).
    """
    return np.maximum(a, 0.0)


class Activation(NamedTuple):
    """A function and its derivative, the latter written in terms of the function's *output*."""

    function: Callable[[Array], Array]
    derivative: Callable[[Array], Array]


# Each derivative takes y = function(a) and not a: backward then needs only what forward returned.
ACTIVATIONS: dict[str, Activation] = {
    "sigmoid": Activation(sigmoid, lambda y: y * (1.0 - y)),
    "tanh": Activation(np.tanh, lambda y: 1.0 - y * y),
    "relu": Activation(relu, lambda y: (y > 0).astype(y.dtype)),
}


def get_activation(name: str) -> Activation:
    """Look an activation up by name.

    Raises
    ------
    ValueError
        If there is no activation of that name.

    Examples
    --------
    >>> y = np.array([0.0, 0.6])
    >>> get_activation("tanh").derivative(y)
    array([1.  , 0.64])
    >>> get_activation("step")
    Traceback (most recent call last):
    ValueError: activation must be one of sigmoid, tanh, relu, got 'step'
    """
    if name not in ACTIVATIONS:
        raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, got {name!r}")
    return ACTIVATIONS[name]


def log_softmax(logits: Array) -> Array:
    """Logarithm of the softmax over the last axis, without overflow.

    ``log p_v = logits_v - log(sum_u exp(logits_u))``. The largest logit is subtracted first:
    this changes nothing in the result, and every ``exp`` is then at most 1.

    Parameters
    ----------
    logits : ndarray of shape (..., V)

    Returns
    -------
    ndarray of shape (..., V)

    Examples
    --------
    >>> log_softmax(np.array([1000.0, 1000.0])).round(3)
    array([-0.693, -0.693])

    Notes
    -----
    Chapter 1, "Many classes: softmax".
    """
    check_float("logits", logits)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def softmax(logits: Array) -> Array:
    """Turn scores into probabilities: ``p_v = exp(logits_v) / sum_u exp(logits_u)``, last axis.

    Parameters
    ----------
    logits : ndarray of shape (..., V)

    Returns
    -------
    ndarray of shape (..., V)
        Non-negative; sums to 1 over the last axis.

    Examples
    --------
    >>> softmax(np.array([0.0, np.log(3.0)]))
    array([0.25, 0.75])

    Notes
    -----
    Chapter 1, "Many classes: softmax"; Bridle (1990).
    """
    return np.exp(log_softmax(logits))
