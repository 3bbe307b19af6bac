"""One entry for three layers, both directions and stacks: equal to torch, state by state."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers import PROPERTY, close, flat, leaves_untouched, same
from unrolled import gradient_check as G
from unrolled import gru, lstm, rnn
from unrolled import layers as L
from unrolled import params as P

CELLS = ["rnn", "gru", "lstm"]
BLOCKS = {"rnn": 1, "gru": 3, "lstm": 4}
# T, B, D, H all different, then with ones among them, then all alike.
SIZES = [(5, 3, 2, 4), (1, 1, 3, 2), (3, 2, 1, 1), (3, 3, 3, 3)]
DEPTHS = [(1, False), (3, False), (1, True), (2, True)]


def draw_layer(rng, cell, D, H, dtype=np.float64):
    k, scale = BLOCKS[cell], 1 / np.sqrt(D + H)
    shapes = [(k * H, D), (k * H, H), (k * H,), (k * H,)]
    return P.Recurrent(*((scale * rng.normal(size=shape)).astype(dtype) for shape in shapes))


def draw_stack(rng, cell, D, H, depth, both, dtype=np.float64):
    widths = [D] + [2 * H if both else H] * (depth - 1)
    make = lambda width: draw_layer(rng, cell, width, H, dtype)  # noqa: E731
    return tuple(L.Bidirectional(make(w), make(w)) if both else make(w) for w in widths)


def like(rng, tree):
    """Random numbers in the shapes of a tree."""
    return P.tree_map(lambda a: rng.normal(size=a.shape).astype(a.dtype), tree)


def setup(cell, T, B, D, H, depth=1, both=False, dtype=np.float64):
    """A stack, an input, and states and upstream gradients that are not zero."""
    rng = np.random.default_rng(0)
    params = draw_stack(rng, cell, D, H, depth, both, dtype)
    x = rng.normal(size=(T, B, D)).astype(dtype)
    out, zeros, _ = L.stacked_forward(cell, params, x)
    return params, x, like(rng, zeros), like(rng, out), like(rng, zeros)


def run(cell, params, x, states, dout, dstates, lengths=None):
    """Everything that goes out of a stack, as one flat list."""
    out, states_n, caches = L.stacked_forward(cell, params, x, states, lengths=lengths)
    return flat((out, states_n, *L.stacked_backward(caches, dout, dstates)))


def run_torch(cell, params, x, states, dout, dstates, lengths=None):
    """The same list from one torch.nn module; padding of its output is zero."""
    H, depth, both = dout.shape[-1], len(params), isinstance(params[0], L.Bidirectional)
    H = H // 2 if both else H
    kind = getattr(torch.nn, cell.upper())
    module = kind(x.shape[-1], H, depth, bidirectional=both, dtype=torch.float64)
    with torch.no_grad():
        for parameter, array in zip(module.parameters(), flat(params), strict=True):
            parameter.copy_(torch.tensor(array))
    n = 2 if cell == "lstm" else 1
    split = lambda tree: [torch.tensor(np.stack(flat(tree)[i::n])) for i in range(n)]  # noqa: E731
    x = torch.tensor(x, requires_grad=True)
    initial = [part.requires_grad_() for part in split(states)]
    read = x
    if lengths is not None:
        read = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
    out, last = module(read, initial[0] if n == 1 else tuple(initial))
    if lengths is not None:
        out, _ = torch.nn.utils.rnn.pad_packed_sequence(out, total_length=len(x))
    last = [last] if n == 1 else list(last)
    torch.autograd.backward([out, *last], [torch.tensor(dout), *split(dstates)])
    # Back to our order: layer, direction, then h and c.
    order = lambda parts: [p for group in zip(*parts) for p in group]  # noqa: E731
    grads = [parameter.grad for parameter in module.parameters()]
    return [out, *order(last), x.grad, *order([i.grad for i in initial]), *grads]


def ends(rng, T, B):
    lengths = rng.integers(1, T + 1, size=B)
    lengths[0] = T
    return lengths


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("depth, both", DEPTHS)
@pytest.mark.parametrize("T, B, D, H", SIZES)
def test_stacks_and_directions_equal_torch(cell, depth, both, T, B, D, H):
    arguments = cell, *setup(cell, T, B, D, H, depth, both)
    for ours, theirs in zip(run(*arguments), run_torch(*arguments), strict=True):
        close(ours, theirs)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("depth, both", DEPTHS)
def test_sequences_of_different_lengths_equal_packed_ones(cell, depth, both):
    T, B = 5, 4
    params, x, states, dout, dstates = setup(cell, T, B, 2, 3, depth, both)
    lengths = ends(np.random.default_rng(2), T, B)
    past = np.arange(T)[:, None] >= lengths
    dout[past] = 0.0  # torch gives zeros there, we give the last state
    x[past] = np.nan  # nothing beyond the end may matter
    ours = run(cell, params, x, states, dout, dstates, lengths)
    theirs = run_torch(cell, params, np.nan_to_num(x), states, dout, dstates, lengths)
    ours[0] = np.where(past[..., None], 0.0, ours[0])
    for a, b in zip(ours, theirs, strict=True):
        close(a, b)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("depth, both", DEPTHS)
def test_each_sequence_is_what_it_is_alone(cell, depth, both):
    T, B = 5, 4
    params, x, states, dout, dstates = setup(cell, T, B, 2, 3, depth, both)
    lengths = ends(np.random.default_rng(3), T, B)
    dout[np.arange(T)[:, None] >= lengths] = 0.0
    out, states_n, caches = L.stacked_forward(cell, params, x, states, lengths=lengths)
    dx, dstates_0, grads = L.stacked_backward(caches, dout, dstates)
    total = P.tree_map(np.zeros_like, params)
    for b, n in enumerate(lengths):
        one = lambda tree, b=b: P.tree_map(lambda a: a[b : b + 1], tree)  # noqa: E731
        alone = cell, params, x[:n, b : b + 1], one(states)
        out_b, states_b, caches_b = L.stacked_forward(*alone)
        dx_b, dstates_b, grads_b = L.stacked_backward(caches_b, dout[:n, b : b + 1], one(dstates))
        close(out[:n, b : b + 1], out_b)
        close(dx[:n, b : b + 1], dx_b)
        assert not dx[n:, b].any()
        for among, by_itself in zip(
            flat((one(states_n), one(dstates_0))), flat((states_b, dstates_b)), strict=True
        ):
            close(among, by_itself)
        total = P.tree_map(np.add, total, grads_b)
    for among, summed in zip(flat(grads), flat(total), strict=True):
        close(among, summed)


@pytest.mark.parametrize("cell", CELLS)
def test_gradients_are_the_measured_ones_with_padding_too(cell):
    # Here dout is random beyond the ends as well: there it belongs to the last state.
    params, x, states, dout, dstates = setup(cell, 3, 2, 2, 2, 2, True)
    lengths = np.array([3, 2])

    def loss(args):
        out, states_n, _ = L.stacked_forward(cell, *args, lengths=lengths)
        pairs = zip(flat((out, states_n)), flat((dout, dstates)), strict=True)
        return float(sum((a * b).sum() for a, b in pairs))

    caches = L.stacked_forward(cell, params, x, states, lengths=lengths)[2]
    dx, dstates_0, grads = L.stacked_backward(caches, dout, dstates)
    args = (params, x, states)
    assert G.relative_error(G.numerical_grad(loss, args), (grads, dx, dstates_0)) < 1e-7


@pytest.mark.parametrize("cell", CELLS)
def test_one_layer_is_the_layer_itself(cell):
    (params,), x, (state,), dout, (dstate_n,) = setup(cell, 5, 3, 2, 4)
    module = {"rnn": rnn, "gru": gru, "lstm": lstm}[cell]
    forward, backward = (getattr(module, f"{cell}_{way}") for way in ("forward", "backward"))
    parts, dparts = (state, dstate_n) if cell == "lstm" else ([state], [dstate_n])
    lengths = np.array([5, 1, 3])
    out, last, cache = forward(params, x, *parts, lengths=lengths)
    expected = flat((out, last, backward(cache, dout, *dparts)))
    out, last, cache = L.layer_forward(cell, params, x, state, lengths=lengths)
    for ours, theirs in zip(
        flat((out, last, L.layer_backward(cache, dout, dstate_n))), expected, strict=True
    ):
        same(ours, theirs)
    # And the state goes in as it came out.
    L.layer_forward(cell, params, x, last)


@pytest.mark.parametrize("cell", CELLS)
def test_the_table_of_layers(cell):
    layer, rng = L.get_layer(cell), np.random.default_rng(0)
    params = layer.init(2, 4, rng=rng, dtype=np.float32)
    assert params.W_ih.shape == (BLOCKS[cell] * 4, 2)
    assert params.W_ih.dtype == np.float32
    assert layer.states == (2 if cell == "lstm" else 1)
    x, h = rng.normal(size=(3, 2)).astype(np.float32), np.zeros((3, 4), np.float32)
    state = (h, h) if cell == "lstm" else h
    step = layer.cell(params, x, *(state if cell == "lstm" else [state]))
    for a, b in zip(flat([step]), flat([L.layer_forward(cell, params, x[None], state)[1]])):
        close(a, b, rel=1e-6)
    assert L.layer_of(L.layer_forward(cell, params, x[None])[2]) is layer


@pytest.mark.parametrize("cell", CELLS)
def test_two_directions_are_two_layers(cell):
    (params,), x, (state,), dout, (dstate_n,) = setup(cell, 5, 3, 2, 4, both=True)
    lengths = np.array([5, 1, 3])
    out, state_n, cache = L.bidirectional_forward(cell, params, x, state, lengths=lengths)
    dx, dstate, grads = L.bidirectional_backward(cache, dout, dstate_n)
    assert type(grads) is L.Bidirectional
    turned = L.reverse_sequences(x, lengths)
    out_b, last_b, cache_b = L.layer_forward(
        cell, params.backward, turned, state[1], lengths=lengths
    )
    same(out[..., 4:], L.reverse_sequences(out_b, lengths))
    dout_b = L.reverse_sequences(dout[..., 4:], lengths)
    dx_b, dstate_b, grads_b = L.layer_backward(cache_b, dout_b, dstate_n[1])
    _, _, cache_f = L.layer_forward(cell, params.forward, x, state[0], lengths=lengths)
    dx_f, _, _ = L.layer_backward(cache_f, dout[..., :4], dstate_n[0])
    same(dx, dx_f + L.reverse_sequences(dx_b, lengths))
    for ours, theirs in zip(
        flat((state_n[1], dstate[1], grads.backward)),
        flat((last_b, dstate_b, grads_b)),
        strict=True,
    ):
        same(ours, theirs)


@PROPERTY
@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.booleans())
def test_to_reverse_twice_changes_nothing(lengths, equal):
    ids = np.arange(5 * len(lengths) * 2).reshape(5, len(lengths), 2)
    lengths = None if equal else np.array(lengths)
    turned = leaves_untouched(L.reverse_sequences, ids, lengths)
    same(L.reverse_sequences(turned, lengths), ids)
    assert not np.shares_memory(turned, ids)
    for b in range(ids.shape[1]):
        n = 5 if lengths is None else lengths[b]
        same(turned[:n, b], ids[:n, b][::-1])
        same(turned[n:, b], ids[n:, b])
    if lengths is not None:  # unsigned numbers would wrap around in a difference
        same(L.reverse_sequences(ids, lengths.astype(np.uint64)), turned)


@pytest.mark.parametrize("cell", CELLS)
def test_what_is_none_counts_as_zero(cell):
    params, x, states, dout, dstates = setup(cell, 4, 3, 2, 4, 2, both=True)
    caches = L.stacked_forward(cell, params, x, states)[2]
    none, zero = (P.tree_map(f, dstates) for f in (lambda a: None, np.zeros_like))
    cases = [((dout, None), (dout, zero)), ((dout, none), (dout, zero))]
    for one in flat(dstates):  # each part of each direction of each layer alone
        given, full = (
            P.tree_map(lambda a, one=one, f=f: a if a is one else f(a), dstates)
            for f in (lambda a: None, np.zeros_like)
        )
        cases.append(((None, given), (0 * dout, full)))
    for given, full in cases:
        for ours, theirs in zip(
            flat(L.stacked_backward(caches, *given)), flat(L.stacked_backward(caches, *full))
        ):
            same(ours, theirs)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("cell", CELLS)
def test_dtype_is_kept_and_inputs_untouched(cell, dtype):
    params, x, states, dout, dstates = setup(cell, 4, 3, 2, 4, 2, both=True, dtype=dtype)
    lengths = np.array([4, 1, 3])
    out, states_n, caches = leaves_untouched(
        L.stacked_forward, cell, params, x, states, lengths=lengths
    )
    back = leaves_untouched(L.stacked_backward, caches, dout, dstates)
    assert {a.dtype for a in flat((out, states_n, back))} == {np.dtype(dtype)}
    assert L.stacked_backward(caches, None, dstates)[0].dtype == dtype
    dx, _, grads = back
    assert dx.shape == x.shape
    assert [type(g) for g in grads] == [L.Bidirectional] * 2
    for grad, parameter in zip(flat(grads), flat(params), strict=True):
        assert grad.shape == parameter.shape


# (what is called, its error and the whole message); a, b, c are made in the test below.
ERRORS = [
    (lambda s: L.get_layer("LSTM"),
     ValueError, "cell must be one of rnn, gru, lstm, got 'LSTM'"),
    (lambda s: L.layer_forward("lstm", s.lstm, s.x, s.h),
     ValueError, "state must be a pair (h, c), got ndarray"),
    (lambda s: L.layer_forward("lstm", s.lstm, s.x, (s.h,)),
     ValueError, "state must be a pair (h, c), got tuple of 1"),
    (lambda s: L.layer_forward("rnn", s.rnn, s.x, (s.h, s.h)),
     ValueError, "h0 must have shape (B=3, H=4), got (2, 3, 4)"),
    (lambda s: L.layer_backward(L.layer_forward("lstm", s.lstm, s.x)[2], s.dout, s.h),
     ValueError, "dstate_n must be a pair (h, c), got ndarray"),
    (lambda s: L.layer_backward((s.lstm, s.x), s.dout),
     TypeError, "cache must come from layer_forward, got tuple"),
    (lambda s: L.reverse_sequences(s.x, np.array([1, 2])),
     ValueError, "lengths must have shape (B=3,), got (2,)"),
    (lambda s: L.bidirectional_forward("rnn", s.both, s.x, s.h),
     ValueError, "state must be a pair (forward, backward), got ndarray"),
    (lambda s: L.bidirectional_backward(s.both_cache, s.dout),
     ValueError, "dout must have shape (T=5, B=3, 2H=8), got (5, 3, 4)"),
    (lambda s: L.bidirectional_backward(s.both_cache, None, s.h),
     ValueError, "dstate_n must be a pair (forward, backward), got ndarray"),
    (lambda s: L.bidirectional_backward(s.both_cache, None, (None, None)),
     ValueError, "one of dout, dstate_n must be given, got None for all"),
    (lambda s: L.bidirectional_backward(s.both_cache),
     ValueError, "one of dout, dstate_n must be given, got None for all"),
    (lambda s: L.stacked_forward("rnn", s.rnn, s.x),
     TypeError, "params must be a sequence of layers, got a single one"),
    (lambda s: L.stacked_forward("rnn", s.both, s.x),
     TypeError, "params must be a sequence of layers, got a single one"),
    (lambda s: L.stacked_forward("rnn", [], s.x),
     ValueError, "params must hold at least one layer, got none"),
    (lambda s: L.stacked_forward("rnn", [s.rnn, s.rnn], s.x),
     ValueError, "params[1].W_ih must have shape (kH, D=4), got (4, 2)"),
    (lambda s: L.stacked_forward("rnn", [s.both, s.rnn], s.x),
     ValueError, "params[1].W_ih must have shape (kH, D=8), got (4, 2)"),
    (lambda s: L.stacked_forward("rnn", [s.rnn], s.x[..., :1]),
     ValueError, "x must have shape (T, B, D=2), got (5, 3, 1)"),
    (lambda s: L.stacked_forward("rnn", [s.rnn], s.x, s.h),
     ValueError, "states must be one state a layer, got ndarray"),
    (lambda s: L.stacked_forward("rnn", [s.rnn], s.x, [s.h, s.h]),
     ValueError, "states must be one state a layer, got list of 2"),
    (lambda s: L.stacked_backward(s.caches, s.dout[1:]),
     ValueError, "dout must have shape (T=5, B=3, H=4), got (4, 3, 4)"),
    (lambda s: L.stacked_backward(s.caches, s.dout.astype(np.float32)),
     TypeError, "dout must have the dtype of out, float64, got float32"),
    (lambda s: L.stacked_backward(s.caches, None, s.h),
     ValueError, "dstates_n must be one state a layer, got ndarray"),
    (lambda s: L.stacked_backward(s.caches, None, [None]),
     ValueError, "one of dout, dstates_n must be given, got None for all"),
    (lambda s: L.bidirectional_forward("rnn", s.rnn, s.x),
     TypeError, "params must be a Bidirectional, got Recurrent"),
    (lambda s: L.bidirectional_backward(s.caches[0], s.dout),
     TypeError, "cache must be a BidirectionalCache, got RNNCache"),
    (lambda s: L.bidirectional_backward((), s.dout),
     TypeError, "cache must be a BidirectionalCache, got tuple"),
    (lambda s: L.stacked_backward(s.caches[0], s.dout),
     TypeError, "caches must be a sequence of caches, got a single one"),
    (lambda s: L.stacked_backward(s.both_cache, s.dout),
     TypeError, "caches must be a sequence of caches, got a single one"),
    (lambda s: L.stacked_backward(None, s.dout),
     TypeError, "caches must be a sequence of caches, got NoneType"),
    (lambda s: L.stacked_backward((), s.dout),
     ValueError, "caches must hold at least one cache, got none"),
    (lambda s: L.stacked_backward((s.caches, s.caches[0]), s.dout),
     TypeError, "caches[0] must be the cache of a layer, got tuple"),
]  # fmt: skip


class Scene:
    def __init__(self):
        rng = np.random.default_rng(0)
        self.rnn, self.lstm = draw_layer(rng, "rnn", 2, 4), draw_layer(rng, "lstm", 2, 4)
        self.both = L.Bidirectional(self.rnn, self.rnn)
        self.x, self.h, self.dout = np.ones((5, 3, 2)), np.ones((3, 4)), np.ones((5, 3, 4))
        self.both_cache = L.bidirectional_forward("rnn", self.both, self.x)[2]
        self.caches = L.stacked_forward("rnn", [self.rnn], self.x)[2]


@pytest.mark.parametrize("call, error, message", ERRORS)
def test_arguments_that_do_not_fit(call, error, message):
    with pytest.raises(error) as caught:
        call(Scene())
    assert str(caught.value) == message
