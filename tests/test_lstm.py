"""The LSTM: true to its equations, and all that layer_cases.py asks of a recurrent layer."""

import numpy as np
import pytest

from tests.helpers import close, flat, same
from tests.layer_cases import *  # noqa: F403  the tests that the three layers share
from tests.layer_cases import LENGTHS, Layer, refuses, setup
from unrolled import lstm as L
from unrolled import params as P

LAYER = Layer("lstm", 4, ("h", "c"), L, P.Recurrent)


def with_gates(params, **values):
    """The same layer with gates that do not look: ``f=1`` is a forget gate open at every step."""
    H = params.W_hh.shape[1]
    changed = P.Recurrent(*(a.copy() for a in params))
    for name, value in values.items():
        rows = slice("ifgo".index(name) * H, ("ifgo".index(name) + 1) * H)
        for array in changed:
            array[rows] = 0.0
        changed.b_ih[rows] = 1000.0 if value else -1000.0  # where a sigmoid is exactly 1 or 0
    return changed


@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_the_gates_are_those_of_the_equations(lengths):
    (W_ih, W_hh, b_ih, b_hh), x, (h0, c0), *_ = setup(LAYER)
    params = P.Recurrent(W_ih, W_hh, b_ih, b_hh)
    _, _, cache = L.lstm_forward(params, x, h0, c0, lengths=lengths)
    a_i, a_f, a_g, a_o = (
        x @ W_ih[rows].T + b_ih[rows] + cache.h[:-1] @ W_hh[rows].T + b_hh[rows]
        for rows in (slice(0, 5), slice(5, 10), slice(10, 15), slice(15, 20))
    )
    wanted = {
        "i": 1 / (1 + np.exp(-a_i)),
        "f": 1 / (1 + np.exp(-a_f)),
        "g": np.tanh(a_g),
        "o": 1 / (1 + np.exp(-a_o)),
    }
    steps = np.ones((6, 3), bool) if lengths is None else np.arange(6)[:, None] < lengths
    for name, gate in wanted.items():
        assert getattr(cache, name).shape == (6, 3, 5)
        close(getattr(cache, name)[steps], gate[steps], rel=1e-14)
    same(np.stack([cache.i, cache.f, cache.g, cache.o]), cache.gates)
    c = cache.f * cache.c[:-1] + cache.i * cache.g
    close(cache.c[1:][steps], c[steps], rel=1e-14)
    close(cache.h[1:][steps], (cache.o * np.tanh(c))[steps], rel=1e-14)


def test_one_step_by_hand():
    # No weights and no biases: every sigmoid is 1/2 and the candidate 0, whatever the input.
    params = P.Recurrent(np.zeros((4, 1)), np.zeros((4, 1)), np.zeros(4), np.zeros(4))
    one = np.ones((1, 1))
    h, c = L.lstm_cell(params, 7 * one, -3 * one, 4 * one)
    same(c, 2 * one)
    close(h, 0.5 * np.tanh(2 * one), rel=1e-15)


def test_a_window_has_the_gates_of_its_steps():
    params, x, state, *_ = setup(LAYER)
    _, _, cache = L.lstm_forward(params, x, *state)
    for name in ("i", "f", "g", "o"):
        same(getattr(cache.steps(2, 5), name), getattr(cache, name)[2:5])


def test_the_gates_cannot_be_written_into():
    params, x, state, *_ = setup(LAYER)
    _, _, cache = L.lstm_forward(params, x, *state)
    for array in (cache.gates, cache.i, cache.f, cache.g, cache.o):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0.0


def test_a_cell_that_forgets_nothing_and_reads_nothing_never_changes():
    params, x, state, _, (_, dc_n) = setup(LAYER, T=200)
    params = with_gates(params, f=1, i=0)
    _, (_, c_n), cache = L.lstm_forward(params, 10.0 * x, *state)
    same(c_n, state[1])
    same(cache.c, np.repeat(state[1][None], 201, axis=0))
    # The mirror: 200 steps take nothing from the gradient and add nothing to it.
    dx, (dh0, dc0), grads = L.lstm_backward(cache, dc_n=dc_n)
    same(dc0, dc_n)
    assert all((a == 0).all() for a in flat((dx, dh0, grads)))


def test_without_recurrent_weights_the_gradient_shrinks_by_the_forget_gates_alone():
    params, x, (h0, c0), _, (_, dc_n) = setup(LAYER)
    params = params._replace(W_hh=np.zeros((20, 5)))
    _, _, cache = L.lstm_forward(params, x, h0, c0)
    _, (dh0, dc0), _ = L.lstm_backward(cache, dc_n=dc_n)
    close(dc0, dc_n * cache.f.prod(axis=0), rel=1e-13)
    assert (dh0 == 0).all()


def test_a_cell_that_forgets_everything_starts_anew_at_each_step():
    params, x, state, dout, dstate_n = setup(LAYER)
    params = with_gates(params, f=0)
    _, _, cache = L.lstm_forward(params, x, *state)
    same(cache.c[1:], cache.i * cache.g)
    same(L.lstm_backward(cache, dout, *dstate_n)[1][1], np.zeros((3, 5)))


def test_a_closed_output_gate_hides_the_cell_and_changes_it_not():
    params, x, state, dout, (dh_n, dc_n) = setup(LAYER)
    params = with_gates(params, o=0)
    out, (h_n, _), cache = L.lstm_forward(params, x, *state)
    assert (out == 0).all()
    assert (h_n == 0).all()
    close(cache.c[1:], cache.f * cache.c[:-1] + cache.i * cache.g, rel=1e-14)
    # What is hidden gets no gradient from the output; from the last cell it does.
    assert all((a == 0).all() for a in flat(L.lstm_backward(cache, dout, dh_n)))
    assert np.abs(L.lstm_backward(cache, dc_n=dc_n)[0]).min() > 0


def test_one_initial_state_may_be_given_without_the_other():
    params, x, (h0, c0), *_ = setup(LAYER)
    zeros = np.zeros((3, 5))
    same(L.lstm_forward(params, x, h0)[0], L.lstm_forward(params, x, h0, zeros)[0])
    same(L.lstm_forward(params, x, c0=c0)[0], L.lstm_forward(params, x, zeros, c0)[0])


def test_weights_that_hold_no_whole_number_of_gates():
    params, x, state, *_ = setup(LAYER)
    bad = params._replace(W_ih=np.ones((21, 4)))
    with refuses(ValueError, "W_ih must have shape (4H=20, D=4), got (21, 4)"):
        L.lstm_forward(bad, x, *state)
    with refuses(ValueError, "W_ih must have shape (4H=20, D=4), got (21, 4)"):
        L.lstm_cell(bad, x[0], *state)
