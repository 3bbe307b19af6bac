"""Losses: value and gradient equal to torch, finite where the textbook formula is not."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.helpers import PROPERTY, close, leaves_untouched
from unrolled import gradient_check as G
from unrolled import losses as L

F = torch.nn.functional
PAIRS = {
    "mse": F.mse_loss,
    "binary_cross_entropy": F.binary_cross_entropy_with_logits,
    "cross_entropy": lambda a, y: F.cross_entropy(a.reshape(-1, a.shape[-1]), y.reshape(-1)),
}
SHAPES = [(5,), (1, 4), (3, 4), (4, 1), (2, 3, 4)]


def example(name, shape, seed=0):
    rng = np.random.default_rng(seed)
    first = 3.0 * rng.normal(size=shape)
    if name == "cross_entropy":
        return first, rng.integers(shape[-1], size=shape[:-1])
    target = rng.normal(size=shape) if name == "mse" else rng.uniform(size=shape)
    return first, target


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", PAIRS)
def test_value_and_gradient_equal_torch(name, shape):
    first, target = example(name, shape)
    loss, grad = getattr(L, name)(first, target)
    tensor = torch.tensor(first, requires_grad=True)
    expected = PAIRS[name](tensor, torch.as_tensor(target))
    expected.backward()
    assert type(loss) is float
    assert loss == pytest.approx(expected.item(), rel=1e-10, abs=1e-300)
    close(grad, tensor.grad)


@pytest.mark.parametrize("name", PAIRS)
def test_gradient_is_the_measured_one(name):
    first, target = example(name, (3, 4))
    function = getattr(L, name)
    measured = G.numerical_grad(lambda p: function(p, target)[0], first)
    assert G.relative_error(function(first, target)[1], measured) < 1e-8


@pytest.mark.parametrize("target", [np.zeros(3), np.ones(3), np.array([0, 1, 0])])
def test_hard_targets_equal_torch(target):
    logits = np.array([-1.5, 0.0, 2.5])
    loss, grad = L.binary_cross_entropy(logits, target)
    tensor = torch.tensor(logits, requires_grad=True)
    expected = F.binary_cross_entropy_with_logits(tensor, torch.tensor(target).double())
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-12)
    close(grad, tensor.grad)


@pytest.mark.parametrize("a", [1e3, 1e4])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extreme_logits(a, dtype):
    # Certain and right costs nothing, certain and wrong costs the distance; both stay finite.
    logits = np.array([a, -a], dtype=dtype)
    right, wrong = np.array([1, 0], dtype=dtype), np.array([0, 1], dtype=dtype)
    assert L.binary_cross_entropy(logits, right)[0] == 0.0
    loss, grad = L.binary_cross_entropy(logits, wrong)
    assert loss == a
    close(grad, np.array([0.5, -0.5], dtype=dtype))
    loss, grad = L.cross_entropy(logits[None], np.array([1]))
    assert loss == 2 * a
    close(grad, np.array([[1, -1]], dtype=dtype))


@pytest.mark.parametrize("V", [1, 2, 27])
def test_knowing_nothing_costs_log_V(V):
    loss, _ = L.cross_entropy(np.full((3, V), 7.0), np.arange(3) % V)
    assert loss == pytest.approx(math.log(V), abs=1e-15)
    assert L.binary_cross_entropy(np.zeros(3), np.ones(3))[0] == pytest.approx(math.log(2))


@PROPERTY
@given(arrays(np.float64, (3, 4), elements=st.floats(-50, 50)), st.integers(0, 3))
def test_two_faces_of_cross_entropy(logits, k):
    target = np.array([k, 0, 3])
    loss, grad = L.cross_entropy(logits, target)
    # Probability is moved from class to class, never made: each row of the gradient sums to 0.
    np.testing.assert_allclose(grad.sum(axis=-1), 0.0, atol=1e-15)
    assert (np.take_along_axis(grad, target[:, None], axis=-1) <= 0).all()
    assert loss >= 0
    # With two classes it is the binary loss of the difference of the logits.
    two, _ = L.cross_entropy(logits[:, :2], target % 2)
    binary, _ = L.binary_cross_entropy(logits[:, 1] - logits[:, 0], target % 2)
    assert two == pytest.approx(binary, rel=1e-10, abs=1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", PAIRS)
def test_dtype_is_kept_and_inputs_untouched(name, dtype):
    first, target = example(name, (3, 4))
    if name != "cross_entropy":
        target = target.astype(dtype)
    loss, grad = leaves_untouched(getattr(L, name), first.astype(dtype), target)
    assert type(loss) is float
    assert grad.dtype == dtype


@pytest.mark.parametrize(
    "name, target",
    [("mse", np.ones(3)), ("mse", np.ones(3, int)), ("binary_cross_entropy", np.ones(3, int))],
    ids=["mse-float64", "mse-int", "bce-int"],
)
def test_the_gradient_has_the_dtype_of_what_it_is_of(name, target):
    # One float64 gradient, and SGD makes all of a float32 network float64.
    assert getattr(L, name)(np.zeros(3, np.float32), target)[1].dtype == np.float32


@pytest.mark.parametrize("name", ["mse", "binary_cross_entropy"])
def test_a_mean_over_nothing_is_refused(name):
    with pytest.raises(ValueError, match="at least one"):
        getattr(L, name)(np.zeros((0, 3)), np.zeros((0, 3)))


def test_a_target_that_is_no_probability_is_shown():
    with pytest.raises(ValueError, match=r"^target must lie in \[0, 1\], got .*-0\.5.*2"):
        L.binary_cross_entropy(np.zeros(2), np.array([2.0, -0.5]))


@pytest.mark.parametrize("name, first", [("mse", "pred"), ("binary_cross_entropy", "logits")])
@pytest.mark.parametrize("shape", [(3, 1), (1, 3), (4,), ()])
def test_shapes_that_would_broadcast_are_refused(name, first, shape):
    with pytest.raises(ValueError, match=rf"^target must have the shape of {first}, \(3,\), got "):
        getattr(L, name)(np.zeros(3), np.zeros(shape))


@pytest.mark.parametrize("value", [-0.01, 1.01, np.nan])
def test_a_target_that_is_no_probability(value):
    with pytest.raises(ValueError, match=r"^target must lie in \[0, 1\]"):
        L.binary_cross_entropy(np.zeros(2), np.array([0.5, value]))


@pytest.mark.parametrize("name", PAIRS)
def test_whole_numbers_are_refused(name):
    first = "pred" if name == "mse" else "logits"
    with pytest.raises(TypeError, match=f"^{first} must hold floating-point numbers, got dtype in"):
        getattr(L, name)(np.array([1, 2]), np.array(1))


@pytest.mark.parametrize(
    "logits, target, error, message",
    [
        ((2, 3), [0.0, 1.0], TypeError, "hold integers, got dtype float64"),
        ((2, 3), [True, False], TypeError, "hold integers, got dtype bool"),
        ((2, 3), [0, 3], ValueError, r"lie in 0\.\.2, got values from 0 to 3"),
        ((2, 3), [-1, 0], ValueError, r"lie in 0\.\.2, got values from -1 to 0"),
        ((2, 3), [0], ValueError, r"have shape \(N1=2,\), got \(1,\)"),
        ((2, 3), [[0], [1]], ValueError, r"have shape \(N1=2,\), got \(2, 1\)"),
        ((2, 4, 3), [0, 1], ValueError, r"have shape \(N1=2, N2=4\), got \(2,\)"),
        ((0, 3), np.zeros(0, int), ValueError, "hold at least one number"),
    ],
)
def test_classes_that_cannot_be(logits, target, error, message):
    with pytest.raises(error, match=f"^target must {message}"):
        L.cross_entropy(np.zeros(logits), np.array(target))


def masked_example(name, seed=0):
    """Both arguments in (T, B, …), and a mask of (T, B) that leaves some and not all."""
    first, target = example(name, (4, 3, 5), seed)
    mask = np.array([[1, 1, 1], [1, 1, 0], [1, 0, 0], [1, 0, 0]], dtype=bool)
    return first, target, mask


def torch_masked(name, first, target, mask):
    tensor = torch.tensor(first, requires_grad=True)
    if name == "cross_entropy":
        marked = torch.tensor(np.where(mask, target, -100)).reshape(-1)
        loss = F.cross_entropy(tensor.reshape(-1, first.shape[-1]), marked, ignore_index=-100)
    else:
        chosen = torch.tensor(mask)
        loss = F.mse_loss(tensor[chosen], torch.tensor(target)[chosen])
    loss.backward()
    return loss.item(), tensor.grad


MASKED = pytest.mark.parametrize("name", ["mse", "cross_entropy"])


@MASKED
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_with_a_mask_equal_to_torch_over_the_selected(name, seed):
    first, target, mask = masked_example(name, seed)
    if seed:  # not only the shape that padding has
        mask = np.random.default_rng(seed).uniform(size=mask.shape) < 0.4
    loss, grad = getattr(L, name)(first, target, mask)
    expected, expected_grad = torch_masked(name, first, target, mask)
    assert type(loss) is float
    assert loss == pytest.approx(expected, rel=1e-10)
    close(grad, expected_grad)
    assert not grad[~mask].any()


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_a_mask_of_the_first_axes_stands_for_all_that_follow(axes):
    first, target, _ = masked_example("mse")
    mask = np.random.default_rng(1).uniform(size=first.shape[:axes]) < 0.6
    whole = np.broadcast_to(mask.reshape(mask.shape + (1,) * (3 - axes)), first.shape)
    loss, grad = L.mse(first, target, mask)
    expected, expected_grad = torch_masked("mse", first, target, whole)
    assert loss == pytest.approx(expected, rel=1e-10)
    close(grad, expected_grad)


@MASKED
def test_masked_gradient_is_the_measured_one(name):
    first, target, mask = masked_example(name)
    function = getattr(L, name)
    measured = G.numerical_grad(lambda p: function(p, target, mask)[0], first)
    assert G.relative_error(function(first, target, mask)[1], measured) < 1e-8


@MASKED
@pytest.mark.parametrize("junk", [np.nan, np.inf, 1e300])
def test_what_is_masked_has_no_influence(name, junk):
    first, target, mask = masked_example(name)
    loss, grad = getattr(L, name)(first, target, mask)
    first[~mask] = junk
    target[~mask] = -(2**40) if name == "cross_entropy" else junk
    other_loss, other_grad = getattr(L, name)(first, target, mask)
    assert other_loss == loss
    close(other_grad, grad, rel=0.0)
    assert not other_grad[~mask].any()


@MASKED
def test_a_mask_that_lets_all_through_changes_nothing(name):
    first, target, mask = masked_example(name)
    plain, plain_grad = getattr(L, name)(first, target)
    loss, grad = getattr(L, name)(first, target, np.ones_like(mask))
    assert loss == pytest.approx(plain, rel=1e-14)
    close(grad, plain_grad, rel=1e-14)


@MASKED
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_mask_keeps_the_dtype_and_leaves_inputs_untouched(name, dtype):
    first, target, mask = masked_example(name)
    loss, grad = leaves_untouched(getattr(L, name), first.astype(dtype), target, mask)
    assert type(loss) is float
    assert grad.dtype == dtype


@MASKED
@pytest.mark.parametrize(
    "mask, error, message",
    [
        (np.ones((4, 3), int), TypeError, "mask must hold truth values, got dtype int64"),
        (np.ones((4, 3)), TypeError, "mask must hold truth values, got dtype float64"),
        (np.ones((3, 4), bool), ValueError, r"mask must have shape \(4, 3\), got \(3, 4\)"),
        (np.ones((1, 3), bool), ValueError, r"mask must have shape \(4, 3\), got \(1, 3\)"),
        (np.zeros((4, 3), bool), ValueError,
         r"mask must hold at least one True, got none in shape \(4, 3\)"),
    ],
)  # fmt: skip
def test_masks_that_cannot_be(name, mask, error, message):
    first, target, _ = masked_example(name)
    with pytest.raises(error, match=f"^{message}$"):
        getattr(L, name)(first, target, mask)


def test_masks_of_another_depth():
    first, target, _ = masked_example("cross_entropy")
    for shape in [(4,), (4, 3, 5)]:
        with pytest.raises(ValueError, match=r"^mask must have shape \(4, 3\), got \(4,"):
            L.cross_entropy(first, target, np.ones(shape, bool))
    with pytest.raises(ValueError, match=r"^mask must have shape \(4, 3, 5\), got \(4, 3, 5, 1\)"):
        L.mse(first, first, np.ones((4, 3, 5, 1), bool))


@MASKED
def test_what_is_not_masked_is_still_checked(name):
    first, target, mask = masked_example(name)
    if name == "cross_entropy":
        target[0, 0] = 5
        with pytest.raises(ValueError, match=r"^target must lie in 0\.\.4, got values from 0 to 5"):
            L.cross_entropy(first, target, mask)
    with pytest.raises(ValueError, match="^target must have"):
        getattr(L, name)(first, target[:, :2], mask)
