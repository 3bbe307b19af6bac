"""A layer of neurons, several layers in a row, and the way back through both."""

from collections.abc import Sequence
from typing import NamedTuple

from unrolled._validate import Array, check_float, check_shape
from unrolled.functional import get_activation
from unrolled.params import Linear


class LinearCache(NamedTuple):
    """What the backward pass of a layer needs: its parameters and its input."""

    params: Linear
    x: Array  # (B, D)


class MLPCache(NamedTuple):
    """What the backward pass of an MLP needs: each layer's cache and each hidden layer's output."""

    layers: tuple[LinearCache, ...]
    hidden: tuple[Array, ...]  # each (B, H_l)
    activation: str


def linear_forward(params: Linear, x: Array) -> tuple[Array, LinearCache]:
    """Compute a layer of neurons on a batch: ``out = x W^T + b``.

    Parameters
    ----------
    params : Linear
        ``W`` of shape (H, D), ``b`` of shape (H,).
    x : ndarray of shape (B, D)
        One example a row.

    Returns
    -------
    out : ndarray of shape (B, H)
    cache : LinearCache

    Raises
    ------
    ValueError
        If a shape does not fit.
    TypeError
        If ``x`` does not hold floating-point numbers.

    Examples
    --------
    >>> import numpy as np
    >>> params = Linear(W=np.array([[1.0, 2.0]]), b=np.array([-1.0]))
    >>> linear_forward(params, np.array([[3.0, 4.0]]))[0]
    array([[10.]])

    Notes
    -----
    Chapter 1, "A layer is a matrix product". Equal to ``torch.nn.Linear``.
    """
    W, b = params
    check_shape("W", W, H=None, D=None)
    H, D = W.shape
    check_shape("b", b, H=H)
    check_shape("x", x, B=None, D=D)
    check_float("x", x)
    return x @ W.T + b, LinearCache(params, x)


def linear_backward(cache: LinearCache, dout: Array) -> tuple[Array, Linear]:
    """Carry a gradient back through ``linear_forward``.

    ``dx = dout W``, ``dW = dout^T x``, ``db = sum over the batch of dout``.

    Parameters
    ----------
    cache : LinearCache
        As ``linear_forward`` returned it.
    dout : ndarray of shape (B, H)
        Gradient of the loss with respect to ``out``.

    Returns
    -------
    dx : ndarray of shape (B, D)
    grads : Linear
        Gradients with respect to ``W`` and ``b``.

    Raises
    ------
    ValueError
        If ``dout`` has not the shape of ``out``.

    Examples
    --------
    >>> import numpy as np
    >>> params = Linear(W=np.array([[1.0, 2.0]]), b=np.array([-1.0]))
    >>> out, cache = linear_forward(params, np.array([[3.0, 4.0]]))
    >>> dx, grads = linear_backward(cache, np.ones_like(out))
    >>> dx, grads.W, grads.b
    (array([[1., 2.]]), array([[3., 4.]]), array([1.]))

    Notes
    -----
    Chapter 1, "The way back through a layer".
    """
    (W, _), x = cache
    check_shape("dout", dout, B=len(x), H=len(W))
    return dout @ W, Linear(W=dout.T @ x, b=dout.sum(axis=0))


def mlp_forward(
    layers: Sequence[Linear], x: Array, activation: str = "tanh"
) -> tuple[Array, MLPCache]:
    """Run a multilayer perceptron: an activation after every layer but the last.

    Parameters
    ----------
    layers : sequence of Linear
        At least one; with one layer this is ``linear_forward``.
    x : ndarray of shape (B, D)
    activation : {"tanh", "sigmoid", "relu"}

    Returns
    -------
    out : ndarray of shape (B, V)
        Output of the last layer, with no activation: logits, or predicted values.
    cache : MLPCache

    Raises
    ------
    ValueError
        If there is no layer, no such activation, or a shape does not fit.
    TypeError
        If ``layers`` is a single Linear, or ``x`` does not hold floating-point numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from unrolled.params import init_mlp
    >>> layers = init_mlp([4, 3, 2], rng=np.random.default_rng(0))
    >>> mlp_forward(layers, np.ones((5, 4)))[0].shape
    (5, 2)

    Notes
    -----
    Chapter 1, "A hidden layer".
    """
    if isinstance(layers, Linear):
        raise TypeError("layers must be a sequence of Linear, got a single one")
    if not layers:
        raise ValueError("layers must hold at least one Linear, got none")
    H = None
    for i, params in enumerate(layers):
        check_shape(f"layers[{i}].W", params.W, H=None, D=H)
        H = len(params.W)
    function = get_activation(activation).function
    caches, hidden = [], []
    h = x
    for params in layers[:-1]:
        a, cache = linear_forward(params, h)
        h = function(a)
        caches.append(cache)
        hidden.append(h)
    out, cache = linear_forward(layers[-1], h)
    caches.append(cache)
    return out, MLPCache(tuple(caches), tuple(hidden), activation)


def mlp_backward(cache: MLPCache, dout: Array) -> tuple[Array, tuple[Linear, ...]]:
    """Carry a gradient back through ``mlp_forward``, from the last layer to the first.

    Parameters
    ----------
    cache : MLPCache
        As ``mlp_forward`` returned it.
    dout : ndarray of shape (B, V)
        Gradient of the loss with respect to ``out``.

    Returns
    -------
    dx : ndarray of shape (B, D)
    grads : tuple of Linear
        One for each layer, first layer first.

    Raises
    ------
    ValueError
        If ``dout`` has not the shape of ``out``.

    Examples
    --------
    >>> import numpy as np
    >>> from unrolled.params import init_mlp
    >>> layers = init_mlp([4, 3, 2], rng=np.random.default_rng(0))
    >>> out, cache = mlp_forward(layers, np.ones((5, 4)))
    >>> dx, grads = mlp_backward(cache, np.ones_like(out))
    >>> dx.shape, [g.W.shape for g in grads]
    ((5, 4), [(3, 4), (2, 3)])

    Notes
    -----
    Chapter 1, "The way back through a layer"; Rumelhart, Hinton & Williams (1986).
    """
    derivative = get_activation(cache.activation).derivative
    dh, last = linear_backward(cache.layers[-1], dout)
    grads = [last]
    for layer, h in zip(reversed(cache.layers[:-1]), reversed(cache.hidden), strict=True):
        da = dh * derivative(h)
        dh, grad = linear_backward(layer, da)
        grads.append(grad)
    return dh, tuple(reversed(grads))
