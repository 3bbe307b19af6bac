"""Other starts for recurrent weights: what each sets, and that it leaves the rest alone."""

import numpy as np
import pytest

from tests.helpers import flat, leaves_untouched, same
from unrolled import init as I
from unrolled import params as P
from unrolled.functional import sigmoid

D, H = 3, 50
INITS = {"rnn": (P.init_rnn, 1), "gru": (P.init_gru, 3), "lstm": (P.init_lstm, 4)}


def draw(kind, hidden=H, dtype=np.float64):
    return INITS[kind][0](D, hidden, rng=np.random.default_rng(0), dtype=dtype)


def block(array, k):
    return array[k * H : (k + 1) * H]


@pytest.mark.parametrize("kind", INITS)
@pytest.mark.parametrize("gain", [1.0, 0.5])
def test_each_block_is_orthogonal_and_another(kind, gain):
    params = draw(kind)
    found = I.orthogonal(params, rng=np.random.default_rng(1), gain=gain)
    blocks = found.W_hh.reshape(INITS[kind][1], H, H)
    for W in blocks:
        np.testing.assert_allclose(W @ W.T, gain**2 * np.eye(H), atol=1e-12)
        np.testing.assert_allclose(W.T @ W, gain**2 * np.eye(H), atol=1e-12)
    assert len({W[0, 0] for W in blocks}) == len(blocks)
    for name in ("W_ih", "b_ih", "b_hh"):
        same(getattr(found, name), getattr(params, name))


def test_no_orthogonal_matrix_is_drawn_more_often_than_another():
    # In 1-D they are +1 and -1; in 2-D the first entry is the cosine of an even angle. A QR
    # decomposition without the correction of signs gives -1 always.
    rng = np.random.default_rng(0)
    signs = [I.orthogonal(draw("rnn", 1), rng=rng).W_hh.item() for _ in range(400)]
    assert set(np.round(signs, 12)) == {-1.0, 1.0}
    assert abs(np.mean(signs)) < 0.15
    cosines = np.array([I.orthogonal(draw("rnn", 2), rng=rng).W_hh[0, 0] for _ in range(1000)])
    assert abs(cosines.mean()) < 0.1
    assert abs((cosines**2).mean() - 1 / 2) < 0.05


@pytest.mark.parametrize("kind", INITS)
def test_identity_in_every_block_and_no_bias(kind):
    params = draw(kind)
    found = I.identity(params, scale=0.7)
    for W in found.W_hh.reshape(-1, H, H):
        same(W, 0.7 * np.eye(H))
    assert not found.b_ih.any()
    assert not found.b_hh.any()
    same(found.W_ih, params.W_ih)
    same(I.identity(params).W_hh[:H], np.eye(H))


def test_the_forget_gate_starts_where_it_should():
    params = draw("lstm")
    found = I.forget_bias(params, 1.5)
    same(block(found.b_ih, 1), np.full(H, 1.5))
    same(block(found.b_hh, 1), np.zeros(H))
    for k in (0, 2, 3):
        same(block(found.b_ih, k), block(params.b_ih, k))
        same(block(found.b_hh, k), block(params.b_hh, k))
    same(found.W_ih, params.W_ih)
    same(found.W_hh, params.W_hh)


# The gate that keeps is f of i|f|g|o, and z of r|z|n.
@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_chrono_spreads_the_times_of_the_gate_that_keeps(kind):
    T_max, hidden = 1000, 4000
    params = draw(kind, hidden)
    found = I.chrono(params, T_max, rng=np.random.default_rng(1))
    keep = slice(hidden, 2 * hidden)
    u = np.exp(found.b_ih[keep] + found.b_hh[keep])
    assert u.min() >= 1
    assert u.max() <= T_max - 1
    assert abs(u.mean() / (T_max / 2) - 1) < 0.03  # even between 1 and T_max - 1
    assert abs(u.std() / ((T_max - 2) / np.sqrt(12)) - 1) < 0.03
    # So much of the state is left after u + 1 steps, with no input: about 1/e.
    left = sigmoid(np.log(u)) ** (u + 1)
    assert (left > 0.2).all()
    assert (left < 0.4).all()
    changed = {1, 0} if kind == "lstm" else {1}
    if kind == "lstm":
        same(found.b_ih[:hidden], -found.b_ih[keep])
    for gate in changed:
        assert not found.b_hh[gate * hidden : (gate + 1) * hidden].any()
    for gate in set(range(INITS[kind][1])) - changed:
        rows = slice(gate * hidden, (gate + 1) * hidden)
        same(found.b_ih[rows], params.b_ih[rows])
        same(found.b_hh[rows], params.b_hh[rows])
    same(found.W_ih, params.W_ih)
    same(found.W_hh, params.W_hh)


def test_chrono_of_the_shortest_time():
    found = I.chrono(draw("lstm"), 2, rng=np.random.default_rng(0))
    same(block(found.b_ih, 1), np.zeros(H))


CALLS = {
    "orthogonal": lambda params: I.orthogonal(params, rng=np.random.default_rng(0)),
    "identity": I.identity,
    "forget_bias": lambda params: I.forget_bias(params, 1.0),
    "chrono": lambda params: I.chrono(params, 20, rng=np.random.default_rng(0)),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CALLS)
def test_dtype_is_kept_and_the_parameters_are_untouched(name, dtype):
    params = draw("lstm", dtype=dtype)
    found = leaves_untouched(CALLS[name], params)
    assert isinstance(found, P.Recurrent)
    assert {a.dtype for a in flat(found)} == {np.dtype(dtype)}
    assert [a.shape for a in found] == [a.shape for a in params]


@pytest.mark.parametrize("name", ["orthogonal", "chrono"])
def test_the_seed_decides(name):
    first, again = (CALLS[name](draw("lstm")) for _ in range(2))
    for a, b in zip(first, again, strict=True):
        same(a, b)


@pytest.mark.parametrize("kind, k", [("rnn", 1), ("gru", 3)])
def test_only_an_lstm_has_a_forget_gate(kind, k):
    with pytest.raises(ValueError, match=f"^params must be .* LSTM, with 4 blocks, got {k}$"):
        I.forget_bias(draw(kind), 1.0)


def test_what_cannot_be():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"^params must be those of an LSTM or a GRU, .* got 1$"):
        I.chrono(draw("rnn"), 20, rng=rng)
    with pytest.raises(ValueError, match="^T_max must be at least 2, got 1$"):
        I.chrono(draw("lstm"), 1, rng=rng)
    with pytest.raises(ValueError, match="^gain must be greater than 0, got -1.0$"):
        I.orthogonal(draw("rnn"), rng=rng, gain=-1.0)
    with pytest.raises(TypeError, match="rng"):
        I.orthogonal(draw("rnn"))
    wrong = draw("rnn")._replace(W_hh=np.zeros((2 * H, H)))
    for call in CALLS.values():
        with pytest.raises(ValueError, match=r"^W_hh must have shape \(kH, H\) with k = 1, 3 or"):
            call(wrong)
