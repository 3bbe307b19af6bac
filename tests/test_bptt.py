"""Truncated BPTT: equal to torch with detach between windows, in the memory of one window."""

import tracemalloc

import numpy as np
import pytest
import torch

from tests.helpers import close, flat, leaves_untouched, same
from unrolled import bptt as B
from unrolled import layers as L
from unrolled import torch_twins as twins

CELLS = ["rnn", "gru", "lstm"]


def setup(cell, T=11, batch=3, D=2, H=4, dtype=np.float64):
    """A layer, an input, an initial state that is not zero, and a target for a squared error."""
    rng = np.random.default_rng(0)
    draw = lambda *shape: rng.normal(size=shape).astype(dtype)  # noqa: E731
    params = L.get_layer(cell).init(D, H, rng=rng, dtype=dtype)
    state = (draw(batch, H), draw(batch, H)) if cell == "lstm" else draw(batch, H)
    return params, draw(T, batch, D), state, draw(T, batch, H)


def cut(array, sizes):
    return np.split(array, np.cumsum(sizes)[:-1])


def squared(targets):
    def loss(k, out):
        return float(((out - targets[k]) ** 2).sum()), 2.0 * (out - targets[k])

    return loss


@pytest.mark.parametrize("cell", CELLS)
def test_one_window_is_the_whole_of_bptt(cell):
    params, x, state, y = setup(cell)
    total, grads, state_n = B.truncated_bptt(cell, params, [x], squared([y]), state)
    out, last, cache = L.layer_forward(cell, params, x, state)
    value, dout = squared([y])(0, out)
    assert total == value
    expected = flat((L.layer_backward(cache, dout)[2], last))
    for ours, theirs in zip(flat((grads, state_n)), expected, strict=True):
        same(ours, theirs)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("sizes", [(11,), (4, 4, 3), (1,) * 11, (2, 9)])
def test_windows_equal_torch_with_detach_between_them(cell, sizes):
    params, x, state, y = setup(cell)
    pieces, targets = cut(x, sizes), cut(y, sizes)
    total, grads, state_n = leaves_untouched(
        B.truncated_bptt, cell, params, pieces, squared(targets), state
    )
    twin = getattr(twins, f"{cell}_twin")(params)
    carried = [torch.tensor(part)[None] for part in flat([state])]
    summed = 0.0
    for piece, target in zip(pieces, targets, strict=True):
        out, last = twin(torch.tensor(piece), tuple(carried) if cell == "lstm" else carried[0])
        loss = ((out - torch.tensor(target)) ** 2).sum()
        loss.backward()
        summed += float(loss.detach())
        carried = [part.detach() for part in (last if cell == "lstm" else [last])]
    assert abs(total - summed) < 1e-10 * summed
    assert type(grads) is type(params)
    for grad, parameter in zip(grads, twin.parameters(), strict=True):
        close(grad, parameter.grad)
    for part, expected in zip(flat([state_n]), carried, strict=True):
        close(part, expected[0])


def test_the_cut_is_felt():
    # Otherwise the test above would prove less than it says.
    params, x, state, y = setup("rnn")
    whole = B.truncated_bptt("rnn", params, [x], squared([y]), state)
    parts = B.truncated_bptt("rnn", params, cut(x, (4, 7)), squared(cut(y, (4, 7))), state)
    assert abs(whole[0] - parts[0]) < 1e-10 * whole[0]
    assert np.abs(whole[1].W_hh - parts[1].W_hh).max() > 1e-3


@pytest.mark.parametrize("cell", CELLS)
def test_dtype_is_kept_and_the_state_is_nobodys_view(cell):
    params, x, state, y = setup(cell, dtype=np.float32)
    loss = squared(cut(y, (5, 6)))
    _, grads, state_n = B.truncated_bptt(cell, params, iter(cut(x, (5, 6))), loss, state)
    assert {a.dtype for a in flat((grads, state_n))} == {np.dtype(np.float32)}
    for part in flat([state_n]):
        assert part.base is None  # a view would keep a whole cache alive
    B.truncated_bptt(cell, params, [x], squared([y]), state_n)


def peak(T, length):
    """The largest memory in use at a time, in bytes, over a stream of T steps."""
    params, *_ = setup("rnn", D=4, H=16)
    rng = np.random.default_rng(0)
    pieces = (rng.normal(size=(length, 16, 4)) for _ in range(T // length))
    loss = lambda k, out: (float(out.sum()), np.ones_like(out))  # noqa: E731
    tracemalloc.start()
    try:
        B.truncated_bptt("rnn", params, pieces, loss)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_is_that_of_one_window():
    peak(128, 64)  # what is only made once
    short, long = peak(512, 64), peak(4096, 64)
    assert abs(long - short) < 0.05 * short
    # No more than one window is kept while the next is worked on.
    assert abs(short - peak(64, 64)) < 0.1 * short
    # In one piece, 8 times the length costs about 8 times the memory.
    assert 7 < peak(4096, 4096) / peak(512, 512) < 9


@pytest.mark.parametrize("N, batch", [(12, 3), (13, 3), (5, 5), (7, 1), (9, 5)])
def test_a_stream_is_contiguous_in_each_column(N, batch):
    ids = np.arange(N)
    laid = leaves_untouched(B.stream, ids, batch)
    assert laid.shape == (N // batch, batch)
    assert laid.flags.c_contiguous
    assert not np.shares_memory(laid, ids)
    same(laid.T.ravel(), ids[: N // batch * batch])


@pytest.mark.parametrize("T, length", [(9, 3), (9, 4), (9, 8), (9, 100), (9, 1), (2, 1)])
def test_windows_predict_each_symbol_once(T, length):
    laid = B.stream(np.arange(3 * T), 3)
    pairs = list(B.windows(laid, length))
    same(np.concatenate([x for x, _ in pairs]), laid[:-1])
    same(np.concatenate([y for _, y in pairs]), laid[1:])
    assert [len(x) for x, _ in pairs[:-1]] == [length] * (len(pairs) - 1)
    for x, y in pairs:
        assert x.shape == y.shape
        assert not np.shares_memory(x, laid)
        assert not np.shares_memory(y, laid)
        same(y, x + 1)


@pytest.mark.parametrize("cell", CELLS)
def test_the_state_that_is_carried_is_that_of_the_whole(cell):
    params, x, state, _ = setup(cell)
    outs = []

    def loss(k, out):
        assert k == len(outs)
        outs.append(out)
        return 0.0, np.zeros_like(out)

    _, _, last = B.truncated_bptt(cell, params, cut(x, (4, 4, 3)), loss, state)
    out, expected, _ = L.layer_forward(cell, params, x, state)
    close(np.concatenate(outs), out, rel=1e-12)
    for a, b in zip(flat([last]), flat([expected]), strict=True):
        close(a, b, rel=1e-12)


PARAMS, X, STATE, Y = setup("rnn")
LOSS = squared([Y, Y])
ERRORS = [
    (lambda: B.stream(np.ones((2, 2), int), 2), "ids must have shape (N,), got (2, 2)"),
    (lambda: B.stream(np.arange(4), 5), "batch must lie between 1 and N=4, got 5"),
    (lambda: B.stream(np.arange(4), 0), "batch must lie between 1 and N=4, got 0"),
    # At the call, not at the first window.
    (lambda: B.windows(np.arange(4), 2), "stream must have shape (T, B), got (4,)"),
    (lambda: B.windows(np.zeros((1, 3), int), 2),
     "stream must have at least two time steps, got T=1"),
    (lambda: B.windows(np.zeros((4, 3), int), 0), "length must be at least 1, got 0"),
    (lambda: B.truncated_bptt("rnn", PARAMS, [], LOSS),
     "pieces must hold at least one window, got none"),
    (lambda: B.truncated_bptt("tanh", PARAMS, [X], LOSS),
     "cell must be one of rnn, gru, lstm, got 'tanh'"),
    (lambda: B.truncated_bptt("rnn", PARAMS, [X, X[:, :1]], LOSS, STATE),
     "h0 must have shape (B=1, H=4), got (3, 4)"),
    (lambda: B.truncated_bptt("rnn", PARAMS, [X], lambda k, out: (0.0, out[1:])),
     "dout must have shape (T=11, B=3, H=4), got (10, 3, 4)"),
]  # fmt: skip


@pytest.mark.parametrize("call, message", ERRORS)
def test_arguments_that_do_not_fit(call, message):
    with pytest.raises(ValueError) as caught:
        call()
    assert str(caught.value) == message
