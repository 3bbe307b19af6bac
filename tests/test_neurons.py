"""Layers and networks of them: equal to torch forward and backward, and to finite differences."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers import PROPERTY, close, flat, leaves_untouched, same
from unrolled import gradient_check as G
from unrolled import neurons as N
from unrolled import params as P
from unrolled import torch_twins as twins

ACTIVATIONS = ["tanh", "sigmoid", "relu"]
# B, D, H all different, then each of them 1, then all alike.
SHAPES = [(3, 4, 5), (5, 3, 2), (1, 4, 3), (3, 1, 2), (3, 2, 1), (3, 3, 3)]
DEPTHS = [(4, 5), (4, 5, 3), (4, 6, 5, 3), (2, 3, 4, 5, 1)]


def setup(sizes, B=7, dtype=np.float64, seed=0):
    """Layers with weights of normal size, an input, and an upstream gradient."""
    rng = np.random.default_rng(seed)
    layers = tuple(
        P.Linear(rng.normal(size=(H, D)).astype(dtype), rng.normal(size=H).astype(dtype))
        for D, H in pairwise(sizes)
    )
    x, dout = rng.normal(size=(B, sizes[0])), rng.normal(size=(B, sizes[-1]))
    return layers, x.astype(dtype), dout.astype(dtype)


@pytest.mark.parametrize("B, D, H", SHAPES)
def test_linear_equals_torch(B, D, H):
    (params,), x, dout = setup((D, H), B)
    out, cache = N.linear_forward(params, x)
    dx, grads = N.linear_backward(cache, dout)
    twin, x_torch = twins.linear_twin(params), twins.tensor(x, requires_grad=True)
    out_torch = twin(x_torch)
    out_torch.backward(torch.tensor(dout))
    close(out, out_torch)
    close(dx, x_torch.grad)
    assert type(grads) is P.Linear
    close(grads.W, twin.weight.grad)
    close(grads.b, twin.bias.grad)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("sizes", DEPTHS)
def test_mlp_equals_torch(sizes, activation):
    layers, x, dout = setup(sizes)
    out, cache = N.mlp_forward(layers, x, activation)
    dx, grads = N.mlp_backward(cache, dout)
    twin, x_torch = twins.mlp_twin(layers, activation), twins.tensor(x, requires_grad=True)
    out_torch = twin(x_torch)
    out_torch.backward(torch.tensor(dout))
    close(out, out_torch)
    close(dx, x_torch.grad)
    assert type(grads) is tuple
    expected = list(twin.parameters())
    assert len(flat(grads)) == len(expected)
    for grad, parameter in zip(flat(grads), expected, strict=True):
        close(grad, parameter.grad)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_mlp_gradients_are_the_measured_ones(activation):
    layers, x, dout = setup((4, 6, 5, 3), B=2)

    def loss(args):
        return float((N.mlp_forward(args[0], args[1], activation)[0] * dout).sum())

    dx, grads = N.mlp_backward(N.mlp_forward(layers, x, activation)[1], dout)
    assert G.relative_error((grads, dx), G.numerical_grad(loss, (layers, x))) < 1e-8


def test_one_layer_is_linear_and_tanh_is_the_default():
    layers, x, dout = setup((4, 5))
    one, cache = N.linear_forward(layers[0], x)
    many, caches = N.mlp_forward(layers, x, "relu")
    same(many, one)
    same(N.mlp_backward(caches, dout)[0], N.linear_backward(cache, dout)[0])
    layers, x, _ = setup((4, 5, 3))
    same(N.mlp_forward(layers, x)[0], N.mlp_forward(layers, x, "tanh")[0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_dtype_is_kept_and_inputs_untouched(activation, dtype):
    layers, x, dout = setup((4, 6, 5, 3), dtype=dtype)
    out, cache = leaves_untouched(N.mlp_forward, layers, x, activation)
    dx, grads = leaves_untouched(N.mlp_backward, cache, dout)
    assert {a.dtype for a in (out, dx, *flat(grads), *flat(cache))} == {np.dtype(dtype)}


def test_passes_do_not_disturb_each_other():
    layers, x, dout = setup((4, 6, 3))
    _, cache = N.mlp_forward(layers, x)
    expected = flat(N.mlp_backward(cache, dout))
    N.mlp_forward(layers, 2.0 * x)  # a validation pass in between
    for actual, first in zip(flat(N.mlp_backward(cache, dout)), expected, strict=True):
        same(actual, first)  # and gradients are returned, never added up


@PROPERTY
@given(st.permutations(range(7)), st.sampled_from(ACTIVATIONS))
def test_examples_do_not_see_each_other(order, activation):
    layers, x, dout = setup((4, 6, 3))
    out, cache = N.mlp_forward(layers, x, activation)
    dx, grads = N.mlp_backward(cache, dout)
    out_p, cache_p = N.mlp_forward(layers, x[order], activation)
    dx_p, grads_p = N.mlp_backward(cache_p, dout[order])
    close(out_p, out[order])
    close(dx_p, dx[order])
    for a, b in zip(flat(grads_p), flat(grads), strict=True):
        close(a, b)


def test_a_twin_has_weights_of_its_own():
    (params,), _, _ = setup((4, 5), dtype=np.float32)
    twin = twins.linear_twin(params)
    assert twin.weight.dtype == torch.float32
    with torch.no_grad():
        twin.weight.mul_(2.0)
    close(twin.weight, 2.0 * params.W)


W, b, x = np.ones((5, 4)), np.ones(5), np.ones((3, 4))


@pytest.mark.parametrize(
    "params, x, error, message",
    [
        ((W[0], b), x, ValueError, r"W must have shape \(H, D\), got \(4,\)"),
        ((W, b[:4]), x, ValueError, r"b must have shape \(H=5,\), got \(4,\)"),
        ((W, b[:, None]), x, ValueError, r"b must have shape \(H=5,\), got \(5, 1\)"),
        ((W, b), x[:, :3], ValueError, r"x must have shape \(B, D=4\), got \(3, 3\)"),
        ((W, b), x[0], ValueError, r"x must have shape \(B, D=4\), got \(4,\)"),
        ((W, b), x[None], ValueError, r"x must have shape \(B, D=4\), got \(1, 3, 4\)"),
        ((W, b), x.astype(int), TypeError, "x must hold floating-point numbers, got dtype int"),
    ],
)
def test_forward_names_what_does_not_fit(params, x, error, message):
    with pytest.raises(error, match=f"^{message}"):
        N.linear_forward(P.Linear(*params), x)
    with pytest.raises(error, match=rf"^(layers\[0\]\.)?{message}"):
        N.mlp_forward((P.Linear(*params), P.Linear(np.ones((2, 5)), np.ones(2))), x)


# (1, 5) and (3, 1) would broadcast without a word.
@pytest.mark.parametrize("shape", [(4, 5), (3, 4), (1, 5), (3, 1), (5,), (1, 3, 5)])
def test_backward_names_what_does_not_fit(shape):
    message = r"^dout must have shape \(B=3, H=5\), got \("
    with pytest.raises(ValueError, match=message):
        N.linear_backward(N.linear_forward(P.Linear(W, b), x)[1], np.ones(shape))
    with pytest.raises(ValueError, match=message):
        N.mlp_backward(N.mlp_forward([P.Linear(W, b)], x)[1], np.ones(shape))


def test_layers_that_do_not_fit_each_other_are_named():
    message = r"^layers\[1\]\.W must have shape \(H, D=5\), got \(2, 4\)$"
    with pytest.raises(ValueError, match=message):
        N.mlp_forward([P.Linear(W, b), P.Linear(np.ones((2, 4)), np.ones(2))], x)


def test_a_network_needs_layers_that_exist():
    with pytest.raises(ValueError, match="^layers must hold at least one Linear, got none$"):
        N.mlp_forward((), x)
    with pytest.raises(ValueError, match="^activation must be one of .*, got 'step'$"):
        N.mlp_forward([P.Linear(W, b)], x, "step")
