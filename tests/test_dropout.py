"""Dropout: its statistics, and masked layers equal to a plain loop of torch cells."""

import numpy as np
import pytest
import torch

from tests.helpers import close, flat, leaves_untouched, same
from unrolled import dropout as D
from unrolled import gradient_check as G
from unrolled import layers as L
from unrolled import params as P

CELLS = ["rnn", "gru", "lstm"]
# Which masks, and of which shape: one a sequence (B, H), or one a step (T, B, H).
MASKS = [("sequence", None), ("step", None), (None, None)]
CELL_MASKS = [(None, "sequence"), (None, "step"), ("step", "sequence"), ("sequence", "step")]
CASES = [(cell, *masks) for cell in CELLS for masks in MASKS + CELL_MASKS * (cell == "lstm")]


def setup(cell, h_per, c_per, T=5, B=3, width=2, H=4, dtype=np.float64):
    """A layer, an input, masks, and a state and upstream gradients that are not zero."""
    rng = np.random.default_rng(0)
    draw = lambda *shape: rng.normal(size=shape).astype(dtype)  # noqa: E731
    k = {"rnn": 1, "gru": 3, "lstm": 4}[cell]
    params = P.Recurrent(
        *(draw(*shape) / dtype(2) for shape in [(k * H, width), (k * H, H), (k * H,), (k * H,)])
    )
    shapes = {"sequence": (B, H), "step": (T, B, H)}
    masks = {
        name: D.dropout_mask(shapes[per], 0.4, rng=rng, dtype=dtype)
        for name, per in (("h_mask", h_per), ("c_mask", c_per))
        if per
    }
    state = lambda: (draw(B, H), draw(B, H)) if cell == "lstm" else draw(B, H)  # noqa: E731
    return params, draw(T, B, width), state(), masks, draw(T, B, H), state()


def torch_loop(cell, params, x, state, masks, dout, dstate_n):
    """The same by a loop over torch's cell, differentiated by torch."""
    kind = {"rnn": torch.nn.RNNCell, "gru": torch.nn.GRUCell, "lstm": torch.nn.LSTMCell}[cell]
    step = kind(x.shape[-1], dout.shape[-1], dtype=torch.float64)
    with torch.no_grad():
        for parameter, array in zip(step.parameters(), params, strict=True):
            parameter.copy_(torch.tensor(array))
    x = torch.tensor(x, requires_grad=True)
    initial = [torch.tensor(part, requires_grad=True) for part in flat([state])]
    masks = [masks.get("h_mask"), masks.get("c_mask")]
    parts, out = initial, []
    for t in range(len(x)):
        now = [1.0 if m is None else torch.tensor(m[t] if m.ndim == 3 else m) for m in masks]
        parts = [part * m for part, m in zip(parts, now)]
        new = step(x[t], parts[0] if len(parts) == 1 else tuple(parts))
        parts = [new] if len(parts) == 1 else list(new)
        out.append(parts[0])
    out = torch.stack(out)
    upstream = [torch.tensor(part) for part in flat([dstate_n])]
    torch.autograd.backward([out, *parts], [torch.tensor(dout), *upstream])
    return [out, *parts, x.grad, *(i.grad for i in initial), *(p.grad for p in step.parameters())]


@pytest.mark.parametrize("cell, h_per, c_per", CASES)
def test_masked_layers_equal_a_loop_in_torch(cell, h_per, c_per):
    params, x, state, masks, dout, dstate_n = setup(cell, h_per, c_per)
    out, state_n, cache = D.masked_layer_forward(cell, params, x, state, **masks)
    ours = flat((out, state_n, *D.masked_layer_backward(cache, dout, dstate_n)))
    theirs = torch_loop(cell, params, x, state, masks, dout, dstate_n)
    for a, b in zip(ours, theirs, strict=True):
        close(a, b)


@pytest.mark.parametrize("cell, h_per, c_per", CASES)
def test_masked_gradients_are_the_measured_ones(cell, h_per, c_per):
    params, x, state, masks, dout, dstate_n = setup(cell, h_per, c_per, T=3, B=2, H=2)

    def loss(args):
        out, state_n, _ = D.masked_layer_forward(cell, *args, **masks)
        pairs = zip(flat((out, state_n)), flat((dout, dstate_n)), strict=True)
        return float(sum((a * b).sum() for a, b in pairs))

    cache = D.masked_layer_forward(cell, params, x, state, **masks)[2]
    dx, dstate, grads = D.masked_layer_backward(cache, dout, dstate_n)
    args = (params, x, state)
    assert G.relative_error(G.numerical_grad(loss, args), (grads, dx, dstate)) < 1e-7


@pytest.mark.parametrize("cell", CELLS)
def test_without_a_mask_and_without_a_state_it_is_the_layer(cell):
    params, x, _, _, dout, dstate_n = setup(cell, None, None)
    out, state_n, cache = D.masked_layer_forward(cell, params, x)
    ours = flat((out, state_n, *D.masked_layer_backward(cache, dout, dstate_n)))
    out, state_n, cache = L.layer_forward(cell, params, x)
    theirs = flat((out, state_n, *L.layer_backward(cache, dout, dstate_n)))
    for a, b in zip(ours, theirs, strict=True):
        close(a, b, rel=1e-12)


def test_the_initial_state_is_masked_and_the_last_is_not():
    params, x, state, *_ = setup("rnn", None, None)
    dead = np.zeros((3, 4))
    out, h_n, _ = D.masked_layer_forward("rnn", params, x, state, h_mask=dead)
    for t in range(5):  # no step remembers anything
        close(out[t], L.layer_forward("rnn", params, x[t : t + 1])[1], rel=1e-12)
    same(h_n, out[-1])


@pytest.mark.parametrize("cell", CELLS)
def test_what_is_none_counts_as_zero(cell):
    params, x, state, masks, dout, dstate_n = setup(cell, "step", None)
    cache = D.masked_layer_forward(cell, params, x, state, **masks)[2]
    zero = P.tree_map(np.zeros_like, dstate_n)
    cases = [((dout, None), (dout, zero)), ((None, dstate_n), (0 * dout, dstate_n))]
    if cell == "lstm":
        dh, dc = dstate_n
        cases.append(((None, (None, dc)), (None, (0 * dh, dc))))
        cases.append(((None, (dh, None)), (None, (dh, 0 * dc))))
    for given, full in cases:
        for a, b in zip(
            flat(D.masked_layer_backward(cache, *given)),
            flat(D.masked_layer_backward(cache, *full)),
            strict=True,
        ):
            same(a, b)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("cell, h_per, c_per", CASES)
def test_dtype_is_kept_and_inputs_untouched(cell, h_per, c_per, dtype):
    params, x, state, masks, dout, dstate_n = setup(cell, h_per, c_per, dtype=dtype)
    out, state_n, cache = leaves_untouched(D.masked_layer_forward, cell, params, x, state, **masks)
    back = leaves_untouched(D.masked_layer_backward, cache, dout, dstate_n)
    assert {a.dtype for a in flat((out, state_n, back))} == {np.dtype(dtype)}
    assert type(back[2]) is P.Recurrent
    dropped, mask = leaves_untouched(D.dropout_forward, x, 0.5, rng=np.random.default_rng(0))
    assert {dropped.dtype, mask.dtype, D.dropout_backward(mask, x).dtype} == {np.dtype(dtype)}


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_the_mean_is_kept_and_the_variance_is_known(p):
    N = 200_000
    mask = D.dropout_mask((N,), p, rng=np.random.default_rng(0))
    assert set(np.unique(mask)) == {0.0, 1 / (1 - p)}
    # Five standard errors. The variance of the mask is p / (1 - p).
    assert abs(mask.mean() - 1) < 5 * np.sqrt(p / (1 - p) / N)
    assert abs((mask == 0).mean() - p) < 5 * np.sqrt(p * (1 - p) / N)
    assert abs(mask.var() / (p / (1 - p)) - 1) < 0.05


def test_nothing_is_dropped_at_zero():
    x = np.random.default_rng(1).normal(size=(5, 3, 4))
    for per in ("element", "sequence"):
        same(D.dropout_forward(x, 0.0, rng=np.random.default_rng(0), per=per)[0], x)


def test_one_mask_for_all_steps_or_one_for_each():
    x = np.ones((40, 30, 20))
    out, mask = D.dropout_forward(x, 0.5, rng=np.random.default_rng(0), per="sequence")
    assert mask.shape == (30, 20)
    assert (out == out[0]).all()
    same(out[0], mask)
    # A different one for each example: two of them agree in about half of the places.
    assert len(np.unique(mask, axis=0)) == 30
    agree = (mask[:, None] == mask).mean(axis=2)[~np.eye(30, dtype=bool)]
    assert abs(agree.mean() - 0.5) < 0.05
    out, mask = D.dropout_forward(x, 0.5, rng=np.random.default_rng(0))
    assert mask.shape == x.shape
    assert len(np.unique(out.reshape(40, -1), axis=0)) == 40
    # The default is one for each element, also of an array that is no sequence.
    assert D.dropout_forward(x[0], 0.5, rng=np.random.default_rng(0))[1].shape == (30, 20)


def test_the_same_generator_drops_the_same():
    masks = [D.dropout_mask((5, 4), 0.5, rng=np.random.default_rng(s)) for s in (0, 0, 1)]
    same(masks[0], masks[1])
    assert (masks[0] != masks[2]).any()


@pytest.mark.parametrize("per", ["element", "sequence"])
def test_backward_is_the_measured_gradient(per):
    rng = np.random.default_rng(0)
    x, dout = rng.normal(size=(4, 3, 2)), rng.normal(size=(4, 3, 2))
    _, mask = D.dropout_forward(x, 0.5, rng=np.random.default_rng(1), per=per)

    def loss(x):
        return float(
            (D.dropout_forward(x, 0.5, rng=np.random.default_rng(1), per=per)[0] * dout).sum()
        )

    assert G.relative_error(G.numerical_grad(loss, x), D.dropout_backward(mask, dout)) < 1e-9


@pytest.mark.parametrize("p", [-0.1, 1, 1.0, 1.5, float("nan")])
def test_shares_that_cannot_be(p):
    message = f"^p must be at least 0 and less than 1, got {p}$"
    with pytest.raises(ValueError, match=message):
        D.dropout_mask((2,), p, rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match=message):
        D.dropout_forward(np.ones((2, 2, 2)), p, rng=np.random.default_rng(0))


R = np.random.default_rng(0)
RNN, GRU, LSTM = (L.get_layer(cell).init(2, 4, rng=R) for cell in CELLS)
X, MASK = np.ones((5, 3, 2)), np.ones((3, 4))
CACHE = D.masked_layer_forward("rnn", RNN, X, h_mask=MASK)[2]
ERRORS = [
    (lambda: D.dropout_forward(X, 0.5, rng=R, per="batch"),
     ValueError, "per must be one of element, sequence, got 'batch'"),
    (lambda: D.dropout_forward(X[0], 0.5, rng=R, per="sequence"),
     ValueError, "x must have shape (T, B, H), got (3, 2)"),
    (lambda: D.dropout_forward(X.astype(int), 0.5, rng=R),
     TypeError, "x must hold floating-point numbers, got dtype int64"),
    (lambda: D.dropout_backward(MASK, np.ones((5, 3, 3))),
     ValueError, "dout must have shape (3, 4) or (T, *(3, 4)), got (5, 3, 3)"),
    (lambda: D.dropout_backward(MASK, np.ones((1, 4))),
     ValueError, "dout must have shape (3, 4) or (T, *(3, 4)), got (1, 4)"),
    (lambda: D.masked_layer_forward("elman", RNN, X),
     ValueError, "cell must be one of rnn, gru, lstm, got 'elman'"),
    (lambda: D.masked_layer_forward("rnn", RNN, X, h_mask=MASK[:1]),
     ValueError, "h_mask must have shape (B=3, H=4), got (1, 4)"),
    (lambda: D.masked_layer_forward("rnn", RNN, X, h_mask=np.ones((1, 3, 4))),
     ValueError, "h_mask must have shape (T=5, B=3, H=4), got (1, 3, 4)"),
    (lambda: D.masked_layer_forward("lstm", LSTM, X, c_mask=np.ones((5, 3, 1))),
     ValueError, "c_mask must have shape (T=5, B=3, H=4), got (5, 3, 1)"),
    (lambda: D.masked_layer_forward("rnn", RNN, X, h_mask=MASK.astype(np.float32)),
     TypeError, "h_mask must have the dtype of x, float64, got float32"),
    (lambda: D.masked_layer_forward("gru", GRU, X, c_mask=MASK),
     ValueError, "c_mask must be left out for a gru, which has no cell"),
    (lambda: D.masked_layer_forward("rnn", RNN, X, MASK[:1], h_mask=MASK),
     ValueError, "h0 must have shape (B=3, H=4), got (1, 4)"),
    (lambda: D.masked_layer_forward("lstm", LSTM, X, (MASK, MASK[:1]), c_mask=MASK),
     ValueError, "c0 must have shape (B=3, H=4), got (1, 4)"),
    (lambda: D.masked_layer_forward("lstm", LSTM, X, (MASK, MASK, MASK), h_mask=MASK),
     ValueError, "state must be a pair (h, c), got tuple of 3"),
    (lambda: D.masked_layer_forward("rnn", RNN, X[0]),
     ValueError, "x must have shape (T, B, D), got (3, 2)"),
    (lambda: D.masked_layer_forward("rnn", RNN, X[:0]),
     ValueError, "x must have at least one time step, got T=0"),
    (lambda: D.masked_layer_forward("rnn", RNN, X.tolist()),
     TypeError, "x must be a NumPy array, got list"),
    (lambda: D.masked_layer_backward(CACHE),
     ValueError, "one of dout, dh_n must be given, got None for all"),
    (lambda: D.masked_layer_backward(CACHE, np.ones((4, 3, 4))),
     ValueError, "dout must have shape (T=5, B=3, H=4), got (4, 3, 4)"),
    (lambda: D.masked_layer_backward(CACHE, None, MASK[:1]),
     ValueError, "dh_n must have shape (B=3, H=4), got (1, 4)"),
]  # fmt: skip


@pytest.mark.parametrize("call, error, message", ERRORS)
def test_arguments_that_do_not_fit(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == message
