"""Losses. Each returns its value and its gradient with respect to the first argument."""

from collections.abc import Callable

import numpy as np

from unrolled._validate import Array, check_float, check_shape
from unrolled.functional import log_softmax, sigmoid


def mse(pred: Array, target: Array, mask: Array | None = None) -> tuple[float, Array]:
    """Mean squared error over every element: ``mean((pred - target)^2)``.

    Parameters
    ----------
    pred, target : ndarray of the same shape
    mask : bool ndarray of the shape of ``pred``, or of its first axes, optional
        True where an element counts; the mean is over these alone. Whatever stands elsewhere
        has no influence, not even NaN, and its gradient is 0.

    Returns
    -------
    loss : float
        In the square of the target's unit.
    dpred : ndarray of the shape of ``pred``

    Raises
    ------
    ValueError
        If there is nothing to compare, the mask does not fit, or the shapes differ: NumPy would
        broadcast (B,) against (B, 1) to (B, B) without a word.
    TypeError
        If ``pred`` does not hold floating-point numbers, or ``mask`` no truth values.

    Examples
    --------
    >>> mse(np.array([1.0, 3.0]), np.array([1.0, 1.0]))
    (2.0, array([0., 2.]))

    Notes
    -----
    Chapter 1, "How wrong is it?". Equal to ``torch.nn.functional.mse_loss``.
    """
    check_float("pred", pred)
    _check_same_shape("target", target, "pred", pred)
    _check_not_empty("pred", pred)
    if mask is not None:
        return _where_true(mse, pred, target, mask)
    # A gradient has the dtype of what it belongs to, whatever the target's is.
    target = np.asarray(target, dtype=pred.dtype)
    difference = pred - target
    return float(np.mean(difference**2)), 2.0 * difference / difference.size


def binary_cross_entropy(logits: Array, target: Array) -> tuple[float, Array]:
    """Mean of ``-target log p - (1 - target) log(1 - p)``, where ``p = sigmoid(logits)``.

    Computed from the logits as ``max(a, 0) - a target + log(1 + exp(-|a|))``, so that no
    logarithm of zero can occur. The gradient is ``(p - target) / size``.

    Parameters
    ----------
    logits : ndarray of any shape
        Pre-activations of a sigmoid.
    target : ndarray of the same shape
        Probabilities in [0, 1]; usually 0 or 1.

    Returns
    -------
    loss : float
        In nats.
    dlogits : ndarray of the shape of ``logits``

    Raises
    ------
    ValueError
        If there is nothing to compare, the shapes differ or a target lies outside [0, 1].
    TypeError
        If ``logits`` does not hold floating-point numbers.

    Examples
    --------
    >>> loss, dlogits = binary_cross_entropy(np.array([0.0]), np.array([1.0]))
    >>> round(loss, 4), dlogits
    (0.6931, array([-0.5]))

    Notes
    -----
    Chapter 1, "How wrong is it?". Equal to
    ``torch.nn.functional.binary_cross_entropy_with_logits``.
    """
    check_float("logits", logits)
    _check_same_shape("target", target, "logits", logits)
    _check_not_empty("logits", logits)
    target = np.asarray(target)
    if not np.all((target >= 0) & (target <= 1)):
        raise ValueError(
            f"target must lie in [0, 1], got values from {np.min(target)} to {np.max(target)}"
        )
    target = target.astype(logits.dtype)
    losses = np.maximum(logits, 0.0) - logits * target + np.log1p(np.exp(-np.abs(logits)))
    return float(losses.mean()), (sigmoid(logits) - target) / logits.size


def cross_entropy(logits: Array, target: Array, mask: Array | None = None) -> tuple[float, Array]:
    """Mean of ``-log p[target]``, where ``p = softmax(logits)``; its gradient is ``(p - y) / N``.

    y is the one-hot vector of the target and N the number of predictions.

    Parameters
    ----------
    logits : ndarray of shape (..., V)
    target : integer ndarray of shape (...)
        The right class of each prediction, from 0 to V - 1.
    mask : bool ndarray of the shape of ``target``, optional
        True where a prediction counts; the mean is over these alone. Whatever stands elsewhere
        has no influence, not even NaN or a class that does not exist, and its gradient is 0.

    Returns
    -------
    loss : float
        In nats; divide by log 2 for bits.
    dlogits : ndarray of shape (..., V)

    Raises
    ------
    ValueError
        If ``target`` has not the shape of ``logits`` without its last axis, a class is not in
        the range 0 to V - 1, or the mask does not fit or leaves nothing.
    TypeError
        If ``target`` does not hold integers, or ``mask`` no truth values.

    Examples
    --------
    >>> loss, dlogits = cross_entropy(np.zeros((1, 4)), np.array([2]))
    >>> round(loss, 4), dlogits
    (1.3863, array([[ 0.25,  0.25, -0.75,  0.25]]))

    Notes
    -----
    Chapter 1, "Many classes: softmax". Equal to ``torch.nn.functional.cross_entropy``.
    """
    check_float("logits", logits)
    target = np.asarray(target)
    if not np.issubdtype(target.dtype, np.integer):
        raise TypeError(f"target must hold integers, got dtype {target.dtype}")
    sizes = {f"N{i}": size for i, size in enumerate(logits.shape[:-1], start=1)}
    check_shape("target", target, **sizes)
    V = logits.shape[-1]
    _check_not_empty("target", target)
    if mask is not None:
        return _where_true(cross_entropy, logits, target, mask)
    if target.min() < 0 or target.max() >= V:
        raise ValueError(
            f"target must lie in 0..{V - 1}, got values from {target.min()} to {target.max()}"
        )
    log_p = log_softmax(logits)
    y = target[..., None]
    loss = -float(np.take_along_axis(log_p, y, axis=-1).mean())
    dlogits = np.exp(log_p)
    p_right = np.take_along_axis(dlogits, y, axis=-1)
    np.put_along_axis(dlogits, y, p_right - 1.0, axis=-1)
    return loss, dlogits / target.size


def _where_true(
    loss: Callable[[Array, Array], tuple[float, Array]], first: Array, target: Array, mask: Array
) -> tuple[float, Array]:
    """Apply a loss to the places where a mask is True; elsewhere its gradient is 0."""
    mask = np.asarray(mask)
    if mask.dtype != bool:
        raise TypeError(f"mask must hold truth values, got dtype {mask.dtype}")
    places = first.shape[:-1] if loss is cross_entropy else first.shape[: mask.ndim]
    if mask.shape != places:
        raise ValueError(f"mask must have shape {places}, got {mask.shape}")
    if not mask.any():
        raise ValueError(f"mask must hold at least one True, got none in shape {mask.shape}")
    # Picked out, and not multiplied by 0: 0 times NaN is NaN.
    value, gradient = loss(first[mask], np.asarray(target)[mask])
    spread = np.zeros_like(first)
    spread[mask] = gradient
    return value, spread


def _check_same_shape(name: str, array: Array, other: str, reference: Array) -> None:
    if np.shape(array) != np.shape(reference):
        raise ValueError(
            f"{name} must have the shape of {other}, {np.shape(reference)}, got {np.shape(array)}"
        )


def _check_not_empty(name: str, array: Array) -> None:
    if np.size(array) == 0:
        raise ValueError(f"{name} must hold at least one number, got shape {np.shape(array)}")
