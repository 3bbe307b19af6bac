"""The plain RNN: what chapter 2 claims of it, and all that layer_cases.py asks of a layer."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers import PROPERTY, close, flat
from tests.layer_cases import *  # noqa: F403  the tests that the three layers share
from tests.layer_cases import Layer, setup
from unrolled import params as P
from unrolled import rnn as R
from unrolled.data import sequences as S

LAYER = Layer("rnn", 1, ("h",), R, P.Recurrent)


def forward_setup(*size, **kwargs):
    """What forward needs: parameters, an input and an initial state that is not zero."""
    params, x, (h0,), *_ = setup(LAYER, *size, **kwargs)
    return params, x, h0


@PROPERTY
@given(st.lists(st.integers(1, 6), min_size=1, max_size=5), st.floats(-10, 10))
def test_padding_after_the_end_changes_no_state_up_to_the_end(lengths, value):
    D, H = 3, 4
    params, x, h0 = forward_setup(6, len(lengths), D, H)
    sequences = [x[:length, b] for b, length in enumerate(lengths)]
    padded, found = S.pad(sequences, value=value)
    out, _, _ = R.rnn_forward(params, padded, h0)
    ends = out[found - 1, np.arange(len(lengths))]
    for b, sequence in enumerate(sequences):
        alone, last, _ = R.rnn_forward(params, sequence[:, None], h0[b : b + 1])
        close(out[: lengths[b], b], alone[:, 0], rel=1e-12)
        close(ends[b], last[0], rel=1e-12)


@pytest.mark.parametrize("scale", [1e3, 1e4])
def test_extreme_inputs_saturate(scale):
    params, x, h0 = forward_setup()
    out, _, _ = R.rnn_forward(params, scale * x, scale * h0)
    np.testing.assert_allclose(np.abs(out), 1.0, atol=1e-12)


def test_saturated_units_pass_no_gradient_back():
    params, x, h0 = forward_setup()
    _, _, cache = R.rnn_forward(params, 1e4 * x, h0)
    assert (np.abs(cache.h[1:]) == 1).all()
    assert all((a == 0).all() for a in flat(R.rnn_backward(cache, np.ones((6, 3, 5)))))


def test_the_gradient_through_time_is_a_product_of_jacobians():
    params, x, (h0,), _, (dh_n,) = setup(LAYER)
    _, _, cache = R.rnn_forward(params, x, h0)
    _, dh0, _ = R.rnn_backward(cache, dh_n=dh_n)
    for b in range(3):
        dh = dh_n[b]
        for h_t in reversed(cache.h[1:, b]):
            dh = dh @ (np.diag(1 - h_t**2) @ params.W_hh)  # dh_t/dh_{t-1}
        close(dh0[b], dh, rel=1e-13)


def test_time_comes_first():
    # A sum of the inputs so far, in (almost) linear tanh: batch-first code would add up examples.
    one = np.ones((1, 1))
    params = P.Recurrent(one, one, np.zeros(1), np.zeros(1))
    x = 1e-6 * np.array([[[1.0], [10.0]], [[2.0], [20.0]], [[3.0], [30.0]]])
    out, _, _ = R.rnn_forward(params, x)
    np.testing.assert_allclose(1e6 * out[:, :, 0], [[1, 10], [3, 30], [6, 60]], rtol=1e-8)
