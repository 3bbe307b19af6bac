"""Gradient descent: equal to torch.optim.SGD, and no argument is changed."""

import numpy as np
import pytest
import torch

from tests.helpers import close, flat, leaves_untouched, same
from unrolled import optim as O
from unrolled import params as P


def trees(dtype=np.float64):
    rng = np.random.default_rng(0)
    shapes = [(3, 2), (3,)]
    make = lambda: tuple(  # noqa: E731
        P.Linear(*(rng.normal(size=s).astype(dtype) for s in shapes)) for _ in range(2)
    )
    return make(), [make() for _ in range(4)]


def test_steps_equal_torch():
    params, steps = trees()
    tensors = [torch.tensor(array, requires_grad=True) for array in flat(params)]
    optimiser = torch.optim.SGD(tensors, lr=0.3)
    for grads in steps:
        params = O.sgd(params, grads, lr=0.3)
        for tensor, grad in zip(tensors, flat(grads), strict=True):
            tensor.grad = torch.tensor(grad)
        optimiser.step()
    for array, tensor in zip(flat(params), tensors, strict=True):
        close(array, tensor)


def test_a_parabola_shrinks_as_the_formula_says():
    p = np.array([4.0, -2.0])
    for _ in range(10):
        p = O.sgd(p, p, lr=0.25)  # the gradient of p^2 / 2 is p
    close(p, np.array([4.0, -2.0]) * 0.75**10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_structure_and_dtype_are_kept_and_arguments_untouched(dtype):
    params, (grads, *_) = trees(dtype)
    new = leaves_untouched(O.sgd, params, grads, lr=0.1)
    assert [type(layer) for layer in new] == [P.Linear, P.Linear]
    for array, old in zip(flat(new), flat(params), strict=True):
        assert array.dtype == dtype
        assert not np.shares_memory(array, old)
        assert (array != old).any()


def test_a_numpy_learning_rate_keeps_float32():
    p = np.ones(2, np.float32)
    same(O.sgd(p, p, lr=np.float64(0.5)), np.full(2, 0.5, np.float32))


def test_parameters_keep_their_dtype_whatever_the_gradient():
    p = np.ones(2, np.float32)
    same(O.sgd(p, np.ones(2), lr=0.5), np.full(2, 0.5, np.float32))


def test_whole_numbers_cannot_descend():
    with pytest.raises(TypeError, match="^params must hold floating-point numbers, got dtype int"):
        O.sgd(np.array([1, 2]), np.array([1, 1]), lr=0.1)


@pytest.mark.parametrize("lr", [0, 0.0, -0.1, float("nan")])
def test_learning_rate_must_be_positive(lr):
    with pytest.raises(ValueError, match=f"^lr must be greater than 0, got {lr}$"):
        O.sgd(np.ones(2), np.ones(2), lr=lr)


@pytest.mark.parametrize("shape", [(3,), (1,), (), (1, 2)])
def test_gradients_must_have_the_shapes_of_parameters(shape):
    with pytest.raises(ValueError, match=r"^grads must have the shapes of params, got \("):
        O.sgd(np.ones(2), np.ones(shape), lr=0.1)


def test_gradients_must_have_the_structure_of_parameters():
    params, (grads, *_) = trees()
    with pytest.raises(ValueError, match="^trees must have the same structure"):
        O.sgd(params, grads[:1], lr=0.1)
