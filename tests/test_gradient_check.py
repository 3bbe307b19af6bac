"""The judge itself: exact where the formula is exact, and never fooled by NaN, shape or dtype."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.helpers import PROPERTY, close, leaves_untouched
from unrolled import gradient_check as G
from unrolled import params as P

rng = np.random.default_rng(0)
TREE = (P.Linear(rng.normal(size=(2, 3)), rng.normal(size=2)), [rng.normal(size=(2, 1, 2))])
vectors = arrays(np.float64, 5, elements=st.floats(-100, 100, allow_subnormal=False))


def wavy(tree):
    (W, b), (c,) = tree
    return float(np.sin(W).sum() + (b**3).sum() * c.prod() + np.exp(W[0, 1] * b[1]))


def test_gradient_of_a_known_function():
    (W, b), (c,) = TREE
    # Written out by hand; every number of every array matters, some of them together.
    dW, e = np.cos(W), np.exp(W[0, 1] * b[1])
    dW[0, 1] += b[1] * e
    db = 3 * b**2 * c.prod()
    db[1] += W[0, 1] * e
    grad = G.numerical_grad(wavy, TREE)
    assert type(grad) is tuple
    assert type(grad[0]) is P.Linear
    assert type(grad[1]) is list
    close(grad[0].W, dW, rel=1e-9)
    close(grad[0].b, db, rel=1e-9)
    close(grad[1][0], (b**3).sum() * c.prod() / c, rel=1e-9)


@pytest.mark.parametrize("eps", [1e-1, 1e-2, 1e-3])
def test_error_is_eps_squared(eps):
    # For p^3 the two-sided formula gives exactly 3 p^2 + eps^2; a one-sided one, 3 p eps more.
    p = np.array([[0.5, -2.0, 3.0]])
    close(G.numerical_grad(lambda q: float((q**3).sum()), p, eps=eps), 3 * p**2 + eps**2)


def test_default_step_is_good_in_float64():
    p = np.linspace(-2, 2, 7)
    assert G.relative_error(G.numerical_grad(lambda q: float(np.sin(q).sum()), p), np.cos(p)) < 1e-9


def test_one_number_moves_at_a_time_and_the_caller_sees_none_of_it():
    seen = []

    def loss(tree):
        assert not any(np.shares_memory(a, b) for a, b in zip(arrays_of(tree), arrays_of(TREE)))
        seen.append([a.copy() for a in arrays_of(tree)])
        return wavy(tree)

    arrays_of = P.tree_arrays
    leaves_untouched(G.numerical_grad, loss, TREE, eps=0.25)
    moves = [[s - a for s, a in zip(step, arrays_of(TREE))] for step in seen]
    moved = np.array([np.concatenate([m.ravel() for m in move]) for move in moves])
    size = P.count_parameters(TREE)
    expected = 0.25 * np.repeat(np.eye(size), 2, axis=0)
    expected[1::2] *= -1
    np.testing.assert_allclose(moved, expected, atol=1e-15)


def test_a_number_without_axes():
    close(G.numerical_grad(lambda p: float(p**2), np.array(3.0)), np.array(6.0), rel=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_only_float64_can_be_measured(dtype):
    params = P.Linear(np.ones((2, 2)), np.ones(2, dtype=dtype))
    with pytest.raises(TypeError, match=f"^params must be float64, got {np.dtype(dtype)}$"):
        G.numerical_grad(lambda p: 0.0, params)


@pytest.mark.parametrize("eps", [0, -1e-5, float("nan")])
def test_eps_must_be_positive(eps):
    with pytest.raises(ValueError, match=f"^eps must be greater than 0, got {eps}$"):
        G.numerical_grad(lambda p: 0.0, np.ones(1), eps=eps)


@pytest.mark.parametrize(
    "actual, expected, error",
    [
        ([1.0, 2.0], [1.0, 2.5], 0.2),
        ([1.0, -4.0], [1.0, -3.0], 0.25),
        ([0.0, 0.0], [0.0, 0.0], 0.0),
        ([0.0, 0.0], [0.0, 1e-30], 1.0),
        ([3.0, 1.0], [-3.0, 1.0], 2.0),
        ([1e-9, 100.0], [2e-9, 100.0], 1e-11),
    ],
)
def test_relative_error_of_known_pairs(actual, expected, error):
    assert G.relative_error(np.array(actual), np.array(expected)) == pytest.approx(error, rel=1e-6)


@PROPERTY
@given(vectors, vectors, st.floats(1e-3, 1e3))
def test_relative_error_has_no_direction_and_no_unit(a, b, scale):
    assume(np.abs(a - b).max() > 1e-9)
    error = G.relative_error(a, b)
    assert 0 < error <= 2
    assert G.relative_error(b, a) == error
    assert G.relative_error(scale * a, scale * b) == pytest.approx(error, rel=1e-6)
    assert G.relative_error(a, a) == 0


def test_the_worst_array_counts_on_its_own_scale():
    # A small array that is wrong all over must not hide behind a large one that is right.
    right, wrong = (np.array([1e6, 2e6]), np.array([1e-3])), (np.array([1e6, 2e6]), np.zeros(1))
    assert G.relative_error(wrong, right) == 1.0
    assert G.relative_error(wrong[::-1], right[::-1]) == 1.0


@pytest.mark.parametrize("place", [0, 1])
def test_nan_never_passes(place):
    pair = [(np.ones(2), np.ones(2)), (np.ones(2), np.ones(2))]
    pair[place][1][0] = np.nan
    error = G.relative_error(*pair)
    assert np.isnan(error)
    assert not error < 1e9


@pytest.mark.parametrize("shape", [(3, 1), (1,), (4,), ()])
def test_shapes_that_would_broadcast_are_refused(shape):
    with pytest.raises(ValueError, match=r"^actual must have the shape of expected, .*, got \("):
        G.relative_error(np.ones(3), np.ones(shape))


def test_structures_that_differ_are_refused():
    with pytest.raises(ValueError, match="^trees must have the same structure"):
        G.relative_error((np.ones(2),), (np.ones(2), np.ones(2)))


def test_a_wrong_gradient_is_found():
    grad = G.numerical_grad(wavy, TREE)
    for k, array in enumerate(P.tree_arrays(grad)):
        wrong = P.tree_map(np.copy, grad)
        P.tree_arrays(wrong)[k].flat[-1] += 1e-4 * np.abs(array).max()
        assert G.relative_error(grad, wrong) > 5e-5
        assert G.relative_error(grad, P.tree_map(np.copy, grad)) == 0
