"""The plain RNN: equal to torch, and what every recurrent network must hold to."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers import PROPERTY, close, flat, leaves_untouched, same
from unrolled import gradient_check as G
from unrolled import params as P
from unrolled import rnn as R
from unrolled import torch_twins as twins
from unrolled.data import sequences as S

# T, B, D, H all different, then each of them 1, then D = H, then all alike.
SIZES = [
    (6, 3, 4, 5),
    (3, 5, 2, 4),
    (1, 3, 4, 5),
    (6, 1, 4, 5),
    (6, 3, 1, 5),
    (6, 3, 4, 1),
    (6, 2, 4, 4),
    (3, 3, 3, 3),
]
sizes = st.tuples(*[st.integers(1, 6)] * 4)


def setup(T, B, D, H, dtype=np.float64, seed=0):
    """Parameters (all four of them random), an input and an initial state that is not zero."""
    rng = np.random.default_rng(seed)
    make = lambda *shape: rng.normal(size=shape).astype(dtype)  # noqa: E731
    scale = dtype(1 / np.sqrt(D + H))  # keeps tanh away from saturation, where bugs would hide
    params = P.Recurrent(scale * make(H, D), scale * make(H, H), make(H), make(H))
    return params, make(T, B, D), make(B, H)


@pytest.mark.parametrize("initial", [True, False])
@pytest.mark.parametrize("T, B, D, H", SIZES)
def test_rnn_equals_torch(T, B, D, H, initial):
    params, x, h0 = setup(T, B, D, H)
    out, h_n, _ = R.rnn_forward(params, x, h0) if initial else R.rnn_forward(params, x)
    with torch.no_grad():
        expected, last = twins.rnn_twin(params)(
            torch.tensor(x), torch.tensor(h0)[None] if initial else None
        )
    close(out, expected)
    close(h_n, last[0])


@pytest.mark.parametrize("T, B, D, H", SIZES)
def test_cell_equals_torch(T, B, D, H):
    params, x, h0 = setup(T, B, D, H)
    cell = torch.nn.RNNCell(D, H, dtype=torch.float64)
    with torch.no_grad():
        for parameter, array in zip(cell.parameters(), params, strict=True):
            parameter.copy_(torch.tensor(array))
        expected = cell(torch.tensor(x[0]), torch.tensor(h0))
    close(R.rnn_cell(params, x[0], h0), expected)


def test_measured_gradient_equals_autograd():
    params, x, h0 = setup(4, 2, 3, 5)
    rng = np.random.default_rng(1)
    dout, dh_n = rng.normal(size=(4, 2, 5)), rng.normal(size=(2, 5))

    def loss(args):
        out, h_n, _ = R.rnn_forward(*args)
        return float((out * dout).sum() + (h_n * dh_n).sum())

    twin = twins.rnn_twin(params)
    x_torch, h0_torch = (twins.tensor(a, requires_grad=True) for a in (x, h0))
    out, h_n = twin(x_torch, h0_torch[None])
    torch.autograd.backward([out, h_n[0]], [torch.tensor(dout), torch.tensor(dh_n)])
    grads = P.Recurrent(*(p.grad.numpy() for p in twin.parameters()))
    expected = (grads, x_torch.grad.numpy(), h0_torch.grad.numpy())
    assert G.relative_error(G.numerical_grad(loss, (params, x, h0)), expected) < 1e-8


@PROPERTY
@given(sizes)
def test_a_loop_over_the_cell_gives_the_same(size):
    params, x, h0 = setup(*size)
    out, h_n, _ = R.rnn_forward(params, x, h0)
    h = h0
    for x_t, out_t in zip(x, out, strict=True):
        h = R.rnn_cell(params, x_t, h)
        close(out_t, h, rel=1e-12)
    close(h_n, h, rel=1e-12)


@PROPERTY
@given(sizes, st.data())
def test_splitting_anywhere_and_carrying_the_state_gives_the_same(size, data):
    params, x, h0 = setup(1 + size[0], *size[1:])
    cut = data.draw(st.integers(1, size[0]))
    out, h_n, _ = R.rnn_forward(params, x, h0)
    first, h, _ = R.rnn_forward(params, x[:cut], h0)
    second, last, _ = R.rnn_forward(params, x[cut:], h)
    close(np.concatenate([first, second]), out, rel=1e-12)
    close(last, h_n, rel=1e-12)


@PROPERTY
@given(sizes, st.data())
def test_no_step_sees_the_future_and_every_later_one_the_past(size, data):
    params, x, h0 = setup(*size)
    t = data.draw(st.integers(0, size[0] - 1))
    changed = x.copy()
    changed[t] += 1.0
    before, after = (R.rnn_forward(params, series, h0)[0] for series in (x, changed))
    same(after[:t], before[:t])
    assert (np.abs(after[t:] - before[t:]).max(axis=(1, 2)) > 0).all()


@PROPERTY
@given(sizes, st.randoms(use_true_random=False))
def test_examples_do_not_see_each_other(size, random):
    params, x, h0 = setup(*size)
    order = random.sample(range(size[1]), size[1])
    out, h_n, _ = R.rnn_forward(params, x, h0)
    out_p, h_n_p, _ = R.rnn_forward(params, x[:, order], h0[order])
    close(out_p, out[:, order], rel=1e-12)
    close(h_n_p, h_n[order], rel=1e-12)
    # Alone, each gives what it gave among the others.
    alone, _, _ = R.rnn_forward(params, x[:, :1], h0[:1])
    close(alone, out[:, :1], rel=1e-12)


@PROPERTY
@given(st.lists(st.integers(1, 6), min_size=1, max_size=5), st.floats(-10, 10))
def test_padding_after_the_end_changes_no_state_up_to_the_end(lengths, value):
    D, H = 3, 4
    params, x, h0 = setup(6, len(lengths), D, H)
    sequences = [x[:length, b] for b, length in enumerate(lengths)]
    padded, found = S.pad(sequences, value=value)
    out, _, _ = R.rnn_forward(params, padded, h0)
    ends = out[found - 1, np.arange(len(lengths))]
    for b, sequence in enumerate(sequences):
        alone, last, _ = R.rnn_forward(params, sequence[:, None], h0[b : b + 1])
        close(out[: lengths[b], b], alone[:, 0], rel=1e-12)
        close(ends[b], last[0], rel=1e-12)


def test_the_cache_is_named_and_starts_with_the_initial_state():
    params, x, h0 = setup(6, 3, 4, 5)
    out, h_n, cache = R.rnn_forward(params, x, h0)
    assert cache.params is params
    same(cache.x, x)
    assert cache.h.shape == (7, 3, 5)
    same(cache.h[0], h0)
    same(cache.h[1:], out)
    same(h_n, out[-1])
    same(R.rnn_forward(params, x)[2].h[0], np.zeros((3, 5)))
    kept = cache.h.copy()
    R.rnn_forward(params, 2.0 * x, h0)  # another pass
    same(cache.h, kept)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("initial", [True, False])
def test_dtype_is_kept_and_inputs_untouched(dtype, initial):
    params, x, h0 = setup(6, 3, 4, 5, dtype)
    args = (params, x, h0) if initial else (params, x)
    out, h_n, cache = leaves_untouched(R.rnn_forward, *args)
    step = leaves_untouched(R.rnn_cell, params, x[0], h0)
    assert {a.dtype for a in (out, h_n, step, *flat(cache))} == {np.dtype(dtype)}
    assert not np.shares_memory(cache.h, h0)


@pytest.mark.parametrize("scale", [1e3, 1e4])
def test_extreme_inputs_saturate(scale):
    params, x, h0 = setup(6, 3, 4, 5)
    out, _, _ = R.rnn_forward(params, scale * x, scale * h0)
    np.testing.assert_allclose(np.abs(out), 1.0, atol=1e-12)


def test_time_comes_first():
    # A sum of the inputs so far, in (almost) linear tanh: batch-first code would add up examples.
    one = np.ones((1, 1))
    params = P.Recurrent(one, one, np.zeros(1), np.zeros(1))
    x = 1e-6 * np.array([[[1.0], [10.0]], [[2.0], [20.0]], [[3.0], [30.0]]])
    out, _, _ = R.rnn_forward(params, x)
    np.testing.assert_allclose(1e6 * out[:, :, 0], [[1, 10], [3, 30], [6, 60]], rtol=1e-8)


BAD_PARAMS = [
    ("W_ih", (5,), r"\(H, D\), got \(5,\)"),
    ("W_hh", (5, 4), r"\(H=5, H_=5\), got \(5, 4\)"),
    ("W_hh", (4, 4), r"\(H=5, H_=5\), got \(4, 4\)"),
    ("b_ih", (4,), r"\(H=5,\), got \(4,\)"),
    ("b_ih", (1,), r"\(H=5,\), got \(1,\)"),
    ("b_hh", (5, 1), r"\(H=5,\), got \(5, 1\)"),
]


@pytest.mark.parametrize("name, shape, message", BAD_PARAMS)
def test_parameters_that_do_not_fit(name, shape, message):
    params, x, h0 = setup(6, 3, 4, 5)
    params = params._replace(**{name: np.ones(shape)})
    for call in (lambda: R.rnn_forward(params, x, h0), lambda: R.rnn_cell(params, x[0], h0)):
        with pytest.raises(ValueError, match=f"^{name} must have shape {message}$"):
            call()


# Shapes with a 1 would broadcast without a word.
@pytest.mark.parametrize("shape", [(3, 4), (2, 5), (1, 5), (3, 1), (5,), (1, 3, 5)])
def test_states_that_do_not_fit(shape):
    params, x, _ = setup(6, 3, 4, 5)
    with pytest.raises(ValueError, match=r"^h0 must have shape \(B=3, H=5\), got \("):
        R.rnn_forward(params, x, np.zeros(shape))
    with pytest.raises(ValueError, match=r"^h_prev must have shape \(B=3, H=5\), got \("):
        R.rnn_cell(params, x[0], np.zeros(shape))


@pytest.mark.parametrize("shape", [(6, 3, 5), (6, 4), (4,), (1, 6, 3, 4)])
def test_inputs_that_do_not_fit(shape):
    params, x, h0 = setup(6, 3, 4, 5)
    with pytest.raises(ValueError, match=r"^x must have shape \(T, B, D=4\), got \("):
        R.rnn_forward(params, np.zeros(shape), h0)
    with pytest.raises(ValueError, match=r"^x_t must have shape \(B, D=4\), got \(6, 3, 4\)$"):
        R.rnn_cell(params, x, h0)


def test_inputs_that_are_no_sequence_of_floats():
    params, x, h0 = setup(6, 3, 4, 5)
    with pytest.raises(TypeError, match="^x must hold floating-point numbers, got dtype int64$"):
        R.rnn_forward(params, x.astype(np.int64), h0)
    with pytest.raises(ValueError, match="^x must have at least one time step, got T=0$"):
        R.rnn_forward(params, x[:0], h0)


def test_the_results_cannot_be_written_into():
    out, h_n, cache = R.rnn_forward(
        P.init_rnn(2, 3, rng=np.random.default_rng(0)), np.ones((4, 1, 2))
    )
    for array in (out, h_n, cache.h):
        with pytest.raises(ValueError, match="read-only"):
            array += 1


def test_a_state_of_another_dtype_is_refused():
    params = P.init_rnn(2, 3, rng=np.random.default_rng(0), dtype=np.float32)
    x, h0 = np.ones((4, 1, 2), np.float32), np.zeros((1, 3))
    with pytest.raises(TypeError, match="^h0 must have the dtype of x, float32, got float64$"):
        R.rnn_forward(params, x, h0)
    with pytest.raises(
        TypeError, match="^h_prev must have the dtype of x_t, float32, got float64$"
    ):
        R.rnn_cell(params, x[0], h0)
    with pytest.raises(TypeError, match="^x_t must hold floating-point numbers, got dtype int64$"):
        R.rnn_cell(params, x[0].astype(int), h0)
    with pytest.raises(TypeError, match="^x must be a NumPy array, got list$"):
        R.rnn_forward(params, x.tolist())
