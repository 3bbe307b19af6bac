"""Activations and softmax: equal to torch, finite everywhere, and what they promise."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from tests.helpers import PROPERTY, close, leaves_untouched
from unrolled import functional as F

TORCH = {"sigmoid": torch.sigmoid, "tanh": torch.tanh, "relu": torch.relu}
logits_arrays = arrays(
    np.float64,
    array_shapes(min_dims=1, max_dims=3, max_side=6),
    elements=st.floats(-1e4, 1e4, allow_subnormal=False),
)


def names_functions():
    return {name: F.get_activation(name).function for name in TORCH} | {
        "softmax": F.softmax,
        "log_softmax": F.log_softmax,
    }


@pytest.mark.parametrize("name", TORCH)
def test_activation_and_its_derivative_equal_torch(name):
    rng = np.random.default_rng(0)
    a, dy = 3.0 * rng.normal(size=(2, 3, 4, 5))
    a[0, 0, 0] = 0.0  # where the slope of relu is a convention: torch's is 0
    y = F.get_activation(name).function(a)
    a_torch = torch.tensor(a, requires_grad=True)
    y_torch = TORCH[name](a_torch)
    y_torch.backward(torch.tensor(dy))
    close(y, y_torch)
    close(dy * F.get_activation(name).derivative(y), a_torch.grad)


@pytest.mark.parametrize("name", TORCH)
def test_derivative_is_the_slope(name):
    a, eps = np.array([-3.0, -0.7, 0.2, 1.0, 2.5]), 1e-6
    function, derivative = F.get_activation(name)
    slope = (function(a + eps) - function(a - eps)) / (2 * eps)
    close(derivative(function(a)), slope, rel=1e-8)


def test_each_name_is_the_function_itself():
    assert F.get_activation("sigmoid").function is F.sigmoid
    assert F.get_activation("relu").function is F.relu
    assert set(F.ACTIVATIONS) == set(TORCH)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sigmoid_of_extreme_numbers(dtype):
    a = np.array([-1e4, -1e3, -700.0, 0.0, 700.0, 1e3, 1e4], dtype=dtype)
    np.testing.assert_array_equal(F.sigmoid(a), np.array([0, 0, 0, 0.5, 1, 1, 1], dtype=dtype))


@PROPERTY
@given(logits_arrays)
def test_sigmoid_is_symmetric_and_a_probability(a):
    p = F.sigmoid(a)
    assert ((p >= 0) & (p <= 1)).all()
    np.testing.assert_allclose(p + F.sigmoid(-a), 1.0, rtol=1e-15)


def test_softmax_and_log_softmax_equal_torch():
    logits = 4.0 * np.random.default_rng(1).normal(size=(3, 4, 5))
    close(F.softmax(logits), torch.softmax(torch.tensor(logits), dim=-1))
    close(F.log_softmax(logits), torch.log_softmax(torch.tensor(logits), dim=-1))


@PROPERTY
@given(logits_arrays)
def test_softmax_is_a_distribution_over_the_last_axis(logits):
    p = F.softmax(logits)
    assert p.shape == logits.shape
    assert (p >= 0).all()
    np.testing.assert_allclose(p.sum(axis=-1), 1.0, rtol=1e-12)
    # The largest logit is the likeliest class, and no class is more than certain.
    np.testing.assert_array_equal(p.max(axis=-1), np.take_along_axis(
        p, logits.argmax(axis=-1)[..., None], axis=-1)[..., 0])  # fmt: skip
    assert (F.log_softmax(logits) <= 0).all()


@PROPERTY
@given(logits_arrays, st.floats(-1e3, 1e3))
def test_softmax_does_not_see_a_shift(logits, shift):
    # logits + shift is itself rounded, to about 1e-12 here; a shift by row would show as well.
    np.testing.assert_allclose(F.softmax(logits + shift), F.softmax(logits), rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("scale", [1e3, 1e4, -1e4])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softmax_of_extreme_logits_is_exact(scale, dtype):
    logits = np.array([[0.0, 1.0, 1.0], [-2.0, 0.0, -1.0]], dtype=dtype) * dtype(scale)
    expected = [[[0, 0.5, 0.5], [0, 1, 0]], [[1, 0, 0], [1, 0, 0]]][scale < 0]
    close(F.softmax(logits), np.array(expected, dtype=dtype), rel=1e-6)
    log_p = F.log_softmax(logits)
    assert np.isfinite(log_p).all()
    # Where p underflows to 0, its logarithm is still known.
    close(log_p[1].min(), dtype(-2 * abs(scale)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", [*TORCH, "softmax", "log_softmax"])
def test_dtype_is_kept_and_the_input_untouched(name, dtype):
    a = np.random.default_rng(2).normal(size=(3, 4)).astype(dtype)
    y = leaves_untouched(names_functions()[name], a)
    assert y.dtype == dtype
    assert y is not a
    assert not np.shares_memory(y, a)
    if name in TORCH:
        dy = leaves_untouched(F.get_activation(name).derivative, y)
        assert dy.dtype == dtype


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_whole_numbers_are_not_logits(name):
    with pytest.raises(TypeError, match="^logits must hold floating-point numbers, got dtype int"):
        names_functions()[name](np.array([1, 2]))


@pytest.mark.parametrize("name", ["step", "Tanh", ""])
def test_unknown_activation(name):
    message = f"^activation must be one of sigmoid, tanh, relu, got '{name}'$"
    with pytest.raises(ValueError, match=message):
        F.get_activation(name)
