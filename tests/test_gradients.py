"""Jacobians and gradient norms against autograd and finite differences; clipping against torch."""

import numpy as np
import pytest
import torch

from tests.helpers import close, flat, leaves_untouched, same
from unrolled import gradient_check as G
from unrolled import gradients as C
from unrolled import layers as L
from unrolled import params as P
from unrolled import torch_twins as twins

CELLS = ["rnn", "gru", "lstm"]
PAIRS = [("rnn", "h", "h"), ("gru", "h", "h"), *(("lstm", a, b) for a in "hc" for b in "hc")]


def setup(cell, T=5, B=3, D=2, H=4, lengths=None):
    """A layer with a cache, and a state and its upstream gradient that are not zero."""
    rng = np.random.default_rng(0)
    params = P.tree_map(lambda a: 2.0 * a, L.get_layer(cell).init(D, H, rng=rng))
    draw = lambda: rng.normal(size=(B, H))  # noqa: E731
    state = (draw(), draw()) if cell == "lstm" else draw()
    dstate_n = (draw(), draw()) if cell == "lstm" else draw()
    x = rng.normal(size=(T, B, D))
    cache = L.layer_forward(cell, params, x, state, lengths=lengths)[2]
    return params, x, state, dstate_n, cache


def parts(state):
    return flat([state])


@pytest.mark.parametrize("cell, of, wrt", PAIRS)
def test_state_jacobian_equals_autograd(cell, of, wrt):
    params, x, state, _, cache = setup(cell)
    twin = getattr(twins, f"{cell}_twin")(params)
    i, j = "hc".index(of), "hc".index(wrt)

    def last(moved):
        initial = [torch.tensor(part) for part in parts(state)]
        initial[j] = moved
        initial = [part[None] for part in initial]
        _, final = twin(torch.tensor(x), tuple(initial) if cell == "lstm" else initial[0])
        return (final[i] if cell == "lstm" else final)[0]

    expected = torch.autograd.functional.jacobian(last, torch.tensor(parts(state)[j]))
    ours = C.state_jacobian(cache, of=of, wrt=wrt)
    for b in range(3):
        close(ours[b], expected[b, :, b])


@pytest.mark.parametrize("cell, of, wrt", PAIRS)
def test_state_jacobian_is_the_measured_one(cell, of, wrt):
    lengths = np.array([3, 1, 2])
    params, x, state, _, cache = setup(cell, T=3, H=2, lengths=lengths)
    i, j = "hc".index(of), "hc".index(wrt)
    measured = np.empty((3, 2, 2))
    for row in range(2):

        def number(moved, row=row):
            initial = parts(state)
            initial[j] = moved
            initial = tuple(initial) if cell == "lstm" else initial[0]
            last = L.layer_forward(cell, params, x, initial, lengths=lengths)[1]
            return float(parts(last)[i][:, row].sum())  # examples do not see each other

        measured[:, row] = G.numerical_grad(number, parts(state)[j])
    assert G.relative_error(C.state_jacobian(cache, of=of, wrt=wrt), measured) < 1e-8


@pytest.mark.parametrize("cell, of, wrt", PAIRS)
def test_norms_by_lag_are_those_of_the_windows(cell, of, wrt):
    *_, cache = setup(cell)
    norms = C.jacobian_norms(cache, of=of, wrt=wrt)
    assert norms.shape == (6, 3)
    same(norms[0], np.full(3, float(of == wrt)))
    for k in range(1, 6):
        jacobian = C.state_jacobian(cache.steps(5 - k, 5), of=of, wrt=wrt)
        for b in range(3):
            close(norms[k, b], np.linalg.svd(jacobian[b])[1][0])


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("lengths", [None, np.array([5, 2, 1])])
def test_gradient_norms_are_those_of_backward_through_windows(cell, lengths):
    *_, dstate_n, cache = setup(cell, lengths=lengths)
    for wrt in "hc"[: 2 if cell == "lstm" else 1]:
        part = "hc".index(wrt)
        norms = C.gradient_norms(cache, dstate_n, wrt=wrt)
        assert norms.shape == (6, 3)
        close(norms[0], np.linalg.norm(parts(dstate_n)[part], axis=1))
        for k in range(1, 6):
            dstate = L.layer_backward(cache.steps(5 - k, 5), None, dstate_n)[1]
            close(norms[k], np.linalg.norm(parts(dstate)[part], axis=1))
    same(
        leaves_untouched(C.gradient_norms, cache, dstate_n)[0], C.gradient_norms(cache, dstate_n)[0]
    )


def test_a_missing_half_counts_as_zero():
    *_, (dh, dc), cache = setup("lstm")
    for given, full in (((dh, None), (dh, 0 * dc)), ((None, dc), (0 * dh, dc))):
        for wrt in "hc":
            same(C.gradient_norms(cache, given, wrt=wrt), C.gradient_norms(cache, full, wrt=wrt))


@pytest.mark.parametrize("rho", [0.5, 0.9, 1.0, 1.1])
def test_an_orthogonal_matrix_in_the_linear_range_gives_powers(rho):
    H, T = 8, 30
    W = rho * np.linalg.qr(np.random.default_rng(0).normal(size=(H, H)))[0]
    params = P.Recurrent(np.zeros((H, 1)), W, np.zeros(H), np.zeros(H))
    # So small that tanh is the identity to the last digit.
    h0 = 1e-12 * np.ones((2, H))
    cache = L.layer_forward("rnn", params, np.zeros((T, 2, 1)), h0)[2]
    powers = rho ** np.arange(T + 1)
    norms = C.jacobian_norms(cache)
    upstream = np.random.default_rng(1).normal(size=(2, H))
    gradients = C.gradient_norms(cache, upstream) / np.linalg.norm(upstream, axis=1)
    for b in range(2):
        close(norms[:, b], powers)
        close(gradients[:, b], powers)
    close(C.state_jacobian(cache)[1], np.linalg.matrix_power(W, T))


def test_a_norm_above_one_need_not_explode():
    W = np.array([[0.0, 2.0], [0.0, 0.0]])
    params = P.Recurrent(np.zeros((2, 1)), W, np.zeros(2), np.zeros(2))
    norms = C.jacobian_norms(L.layer_forward("rnn", params, np.zeros((3, 1, 1)))[2])
    same(norms[:, 0], np.array([1.0, 2.0, 0.0, 0.0]))


def tree(dtype=np.float64, scale=1.0):
    rng = np.random.default_rng(0)
    shapes = [(4, 3), (4, 4), (4,), (4,)]
    layer = P.Recurrent(*((scale * rng.normal(size=shape)).astype(dtype) for shape in shapes))
    return (layer, P.Linear(np.full((2, 4), scale, dtype), np.zeros(2, dtype)))


@pytest.mark.parametrize("max_norm", [0.01, 1.0, 100.0])
def test_clipping_by_norm_equals_torch(max_norm):
    grads = tree()
    tensors = [torch.zeros(a.shape, dtype=torch.float64) for a in flat(grads)]
    for tensor, array in zip(tensors, flat(grads), strict=True):
        tensor.grad = torch.tensor(array)
    expected = torch.nn.utils.clip_grad_norm_(tensors, max_norm)
    clipped, norm = leaves_untouched(C.clip_by_norm, grads, max_norm)
    assert abs(norm - float(expected)) < 1e-12 * norm
    for array, tensor in zip(flat(clipped), tensors, strict=True):
        close(array, tensor.grad, rel=1.1e-6 / norm)  # torch divides by norm + 1e-6


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_the_norm_is_cut_and_the_direction_kept(dtype, scale):
    grads = tree(dtype, scale)
    long = np.concatenate([a.ravel().astype(float) for a in flat(grads)])
    norm = C.global_norm(grads)
    assert type(norm) is float
    assert abs(norm / (np.linalg.norm(long / scale) * scale) - 1) < 1e-12
    clipped, before = C.clip_by_norm(grads, 0.25 * norm)
    assert before == norm
    assert [type(part) for part in clipped] == [P.Recurrent, P.Linear]
    tolerance = 1e-12 if dtype == np.float64 else 1e-6
    assert abs(C.global_norm(clipped) / (0.25 * norm) - 1) < tolerance
    for a, b in zip(flat(clipped), flat(grads), strict=True):
        close(a, dtype(0.25) * b, rel=tolerance)


def test_gradients_that_explode_can_still_be_clipped():
    # Their squares are beyond float64, and the factor is below what float32 can hold.
    grads = (np.array([3e200, -4e200]), np.zeros(3))
    clipped, norm = C.clip_by_norm(grads, 1.0)
    assert norm == pytest.approx(5e200)
    np.testing.assert_allclose(clipped[0], [0.6, -0.8])
    clipped, norm = C.clip_by_norm(np.array([3e38, 0.0], np.float32), 1e-3)
    close(clipped, np.array([1e-3, 0.0], np.float32), rel=1e-6)


def test_below_the_limit_nothing_changes_and_zero_stays_zero():
    grads = tree()
    norm = C.global_norm(grads)
    for limit in (norm, 2 * norm, np.inf):
        clipped, found = C.clip_by_norm(grads, limit)
        assert found == norm
        for a, b in zip(flat(clipped), flat(grads), strict=True):
            same(a, b)
    zero = P.tree_map(np.zeros_like, grads)
    clipped, norm = C.clip_by_norm(zero, 1.0)
    assert norm == 0.0
    assert not any(a.any() for a in flat(clipped))
    assert C.global_norm(()) == 0.0


def test_a_part_that_a_model_leaves_out_stays_out():
    (clipped, none), norm = C.clip_by_norm((np.array([3.0, 4.0]), None), 1.0)
    assert (none, norm) == (None, 5.0)
    close(clipped, np.array([0.6, 0.8]), rel=1e-15)
    assert C.clip_by_value((np.array([2.0]), None), 1.0) == (1.0, None)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_clipping_by_value_equals_torch(dtype):
    grads = tree(dtype)
    clipped = leaves_untouched(C.clip_by_value, grads, 0.3)
    for array, clip in zip(flat(grads), flat(clipped), strict=True):
        tensor = torch.zeros(array.shape, dtype=torch.tensor(array).dtype)
        tensor.grad = torch.tensor(array)
        torch.nn.utils.clip_grad_value_([tensor], 0.3)
        same(clip, tensor.grad.numpy())


def test_a_numpy_limit_keeps_float32():
    same(C.clip_by_value(np.full(2, 3, np.float32), np.float64(0.5)), np.full(2, 0.5, np.float32))


@pytest.mark.parametrize("bad, shown", [(np.nan, "nan"), (np.inf, "inf"), (-np.inf, "inf")])
@pytest.mark.parametrize("clip", [C.clip_by_norm, C.clip_by_value])
def test_a_gradient_that_is_no_number_is_not_rescaled(clip, bad, shown):
    grads = tree()
    grads[0].b_hh[2] = bad
    with pytest.raises(ValueError, match=f"^grads must be finite, got {shown}$"):
        clip(grads, 1.0)


RNN, LSTM = setup("rnn")[-1], setup("lstm")[-1]
ONE = np.ones(2)
ERRORS = [
    (lambda: C.clip_by_norm(ONE, 0.0), ValueError, "max_norm must be greater than 0, got 0.0"),
    (lambda: C.clip_by_norm(ONE, np.nan), ValueError, "max_norm must be greater than 0, got nan"),
    (lambda: C.clip_by_value(ONE, -1), ValueError, "limit must be greater than 0, got -1"),
    (lambda: C.state_jacobian(RNN, of="c"), ValueError, "of must be one of h, got 'c'"),
    (lambda: C.state_jacobian(LSTM, wrt="x"), ValueError, "wrt must be one of h, c, got 'x'"),
    (lambda: C.jacobian_norms(RNN, wrt="c"), ValueError, "wrt must be one of h, got 'c'"),
    (lambda: C.gradient_norms(RNN, ONE), ValueError,
     "dh_n must have shape (B=3, H=4), got (2,)"),
    (lambda: C.gradient_norms(LSTM, (None, ONE)), ValueError,
     "dc_n must have shape (B=3, H=4), got (2,)"),
    (lambda: C.gradient_norms(LSTM, ONE), ValueError,
     "dstate_n must be a pair (h, c), got ndarray"),
    (lambda: C.gradient_norms(RNN, None), ValueError, "dstate_n must be given, got None"),
    (lambda: C.gradient_norms(RNN, np.ones((3, 4)), wrt="c"), ValueError,
     "wrt must be one of h, got 'c'"),
    (lambda: C.state_jacobian((ONE,)), TypeError, "cache must come from layer_forward, got tuple"),
]  # fmt: skip


@pytest.mark.parametrize("call, error, message", ERRORS)
def test_arguments_that_do_not_fit(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == message
