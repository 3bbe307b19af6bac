"""The GRU: true to its equations, and all that layer_cases.py asks of a recurrent layer."""

import numpy as np
import pytest

from tests.helpers import close, flat, same
from tests.layer_cases import *  # noqa: F403  the tests that the three layers share
from tests.layer_cases import LENGTHS, Layer, refuses, setup
from unrolled import gru as U
from unrolled import params as P

LAYER = Layer("gru", 3, ("h",), U, P.Recurrent)


def with_gates(params, **values):
    """The same layer with gates that do not look: ``z=1`` is an update gate shut at every step."""
    H = params.W_hh.shape[1]
    changed = P.Recurrent(*(a.copy() for a in params))
    for name, value in values.items():
        rows = slice("rzn".index(name) * H, ("rzn".index(name) + 1) * H)
        for array in changed:
            array[rows] = 0.0
        changed.b_ih[rows] = 1000.0 if value else -1000.0  # where a sigmoid is exactly 1 or 0
    return changed


@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_the_gates_are_those_of_the_equations(lengths):
    (W_ih, W_hh, b_ih, b_hh), x, (h0,), *_ = setup(LAYER)
    params = P.Recurrent(W_ih, W_hh, b_ih, b_hh)
    _, _, cache = U.gru_forward(params, x, h0, lengths=lengths)
    rows = slice(0, 5), slice(5, 10), slice(10, 15)
    x_r, x_z, x_n = (x @ W_ih[k].T + b_ih[k] for k in rows)
    h_r, h_z, h_n = (cache.h[:-1] @ W_hh[k].T + b_hh[k] for k in rows)
    r, z = 1 / (1 + np.exp(-x_r - h_r)), 1 / (1 + np.exp(-x_z - h_z))
    n = np.tanh(x_n + r * h_n)
    steps = np.ones((6, 3), bool) if lengths is None else np.arange(6)[:, None] < lengths
    for name, gate in {"r": r, "z": z, "n": n}.items():
        assert getattr(cache, name).shape == (6, 3, 5)
        close(getattr(cache, name)[steps], gate[steps], rel=1e-14)
    same(np.concatenate([cache.r, cache.z, cache.n], axis=2), cache.gates)
    close(cache.h[1:][steps], ((1 - z) * n + z * cache.h[:-1])[steps], rel=1e-14)


def test_one_step_by_hand():
    # No weights and no biases: both gates are 1/2 and the candidate 0, whatever the input.
    params = P.Recurrent(np.zeros((3, 1)), np.zeros((3, 1)), np.zeros(3), np.zeros(3))
    one = np.ones((1, 1))
    same(U.gru_cell(params, 7 * one, -3 * one), -1.5 * one)
    # The candidate alone: half of tanh(1) comes in, half of the old state stays.
    params = params._replace(b_ih=np.array([0.0, 0.0, 1.0]))
    close(U.gru_cell(params, 7 * one, -3 * one), -1.5 + 0.5 * np.tanh(one), rel=1e-15)


def test_a_window_has_the_gates_of_its_steps():
    params, x, (h0,), *_ = setup(LAYER)
    _, _, cache = U.gru_forward(params, x, h0)
    for name in ("r", "z", "n"):
        same(getattr(cache.steps(2, 5), name), getattr(cache, name)[2:5])


def test_the_gates_cannot_be_written_into():
    params, x, (h0,), *_ = setup(LAYER)
    _, _, cache = U.gru_forward(params, x, h0)
    for array in (cache.gates, cache.r, cache.z, cache.n):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0.0


def test_a_state_that_is_kept_whole_never_changes():
    params, x, (h0,), _, (dh_n,) = setup(LAYER, T=200)
    _, h_n, cache = U.gru_forward(with_gates(params, z=1), 10.0 * x, h0)
    close(h_n, h0, rel=1e-14)
    # The mirror: 200 steps take nothing from the gradient and add nothing to it.
    dx, dh0, grads = U.gru_backward(cache, dh_n=dh_n)
    close(dh0, dh_n, rel=1e-14)
    assert all((a == 0).all() for a in flat((dx, grads)))


def test_without_recurrent_weights_the_gradient_shrinks_by_the_update_gates_alone():
    params, x, (h0,), _, (dh_n,) = setup(LAYER)
    _, _, cache = U.gru_forward(params._replace(W_hh=np.zeros((15, 5))), x, h0)
    _, dh0, _ = U.gru_backward(cache, dh_n=dh_n)
    close(dh0, dh_n * cache.z.prod(axis=0), rel=1e-13)


def test_a_state_of_which_nothing_is_kept_is_the_candidate():
    params, x, (h0,), dout, (dh_n,) = setup(LAYER)
    out, _, cache = U.gru_forward(with_gates(params, z=0), x, h0)
    close(out, cache.n, rel=1e-15)
    # Reset as well, it has no memory at all.
    without = with_gates(params, z=0, r=0)
    out, _, cache = U.gru_forward(without, x, h0)
    close(out, np.tanh(x @ params.W_ih[10:].T + params.b_ih[10:]), rel=1e-14)
    same(U.gru_backward(cache, dout, dh_n)[1], np.zeros((3, 5)))


# Which GRU is it? torch resets the product W_hn h + b_hn; the paper resets h, and then multiplies.


def test_the_reset_gate_comes_after_the_product():
    # The first unit reads the second, and only the second is reset: torch's first unit still sees
    # it, the paper's sees 0.
    one_reads_two = np.array([[0.0, 1.0], [0.0, 0.0]])
    W_hh = np.concatenate([np.zeros((4, 2)), one_reads_two])
    b_ih = np.array([1000.0, -1000.0, -1000.0, -1000.0, 0.0, 0.0])  # r = (1, 0), z = (0, 0), n
    params = P.Recurrent(np.zeros((6, 1)), W_hh, b_ih, np.zeros(6))
    x, h = np.zeros((1, 1, 1)), np.array([[0.0, 1.0]])
    expected = np.array([[np.tanh(1.0), 0.0]])
    close(U.gru_cell(params, x[0], h), expected, rel=1e-15)
    close(U.gru_forward(params, x, h)[1], expected, rel=1e-15)
    paper = np.tanh(([1.0, 0.0] * h) @ one_reads_two.T)
    same(paper, np.zeros((1, 2)))


def test_the_second_bias_of_the_candidate_is_inside_the_reset():
    params, x, (h0,), dout, (dh_n,) = setup(LAYER)
    shut, open_ = with_gates(params, r=0), with_gates(params, r=1)
    for layer, seen in [(shut, False), (open_, True)]:
        moved = layer._replace(b_hh=layer.b_hh + np.repeat([0.0, 0.0, 1.0], 5))
        out, _, cache = U.gru_forward(layer, x, h0)
        assert (not np.array_equal(U.gru_forward(moved, x, h0)[0], out)) == seen
        _, _, grads = U.gru_backward(cache, dout, dh_n)
        assert (grads.b_hh[10:] != 0).all() == seen
        assert (grads.b_hh[10:] != 0).any() == seen
        # The first bias stands outside: its gradient is there in both.
        assert (grads.b_ih[10:] != 0).all()
        if seen:
            close(grads.b_hh[10:], grads.b_ih[10:], rel=1e-13)


def test_weights_that_hold_no_whole_number_of_gates():
    params, x, (h0,), *_ = setup(LAYER)
    bad = params._replace(W_ih=np.ones((16, 4)))
    with refuses(ValueError, "W_ih must have shape (3H=15, D=4), got (16, 4)"):
        U.gru_forward(bad, x, h0)
    with refuses(ValueError, "W_ih must have shape (3H=15, D=4), got (16, 4)"):
        U.gru_cell(bad, x[0], h0)
