"""What the RNN, the GRU and the LSTM must all hold to: the tests that their three files share.

A file imports all of this and names its own layer, ``LAYER``; pytest then runs every test on it.
Like helpers.py this imports nothing of the package, so that test_layer_bugs.py can swap it.
"""

import inspect
import re
from itertools import product
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from tests.helpers import PROPERTY, close, flat, leaves_untouched, same

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
LENGTHS = np.array([4, 6, 1])  # of three sequences in six steps: one is full, one has a single step
LENGTHS.flags.writeable = False


class Layer(NamedTuple):
    """The functions of one layer; its states, and their gradients, always stand in a tuple."""

    name: str
    blocks: int  # of H rows each, in the parameters
    states: tuple[str, ...]  # ("h",) or ("h", "c")
    module: ModuleType
    Recurrent: type

    def cell(self, params, x_t, state):
        return self._tuple(self._function("cell")(params, x_t, *state))

    def forward(self, params, x, state=(), **lengths):
        out, state_n, cache = self._function("forward")(params, x, *state, **lengths)
        return out, self._tuple(state_n), cache

    def backward(self, cache, dout=None, dstate_n=()):
        dx, dstate, grads = self._function("backward")(cache, dout, *dstate_n)
        return dx, self._tuple(dstate), grads

    def path(self, cache):
        """The states in a cache, from the initial one on, each of shape (T+1, B, H)."""
        return tuple(getattr(cache, s) for s in self.states)

    def _function(self, part):
        return getattr(self.module, f"{self.name}_{part}")

    def _tuple(self, state):
        # One array for one state, a tuple for two: what the layer itself returns.
        assert isinstance(state, np.ndarray if len(self.states) == 1 else tuple)
        return (state,) if len(self.states) == 1 else state


class Setting(NamedTuple):
    """All that a forward and a backward pass can be given."""

    params: Any
    x: np.ndarray
    state: tuple[np.ndarray, ...]
    dout: np.ndarray
    dstate_n: tuple[np.ndarray, ...]


def setup(layer: Layer, T=6, B=3, D=4, H=5, dtype=np.float64, seed=0) -> Setting:
    """Every array random: all four parameters, the initial states, each upstream gradient."""
    rng = np.random.default_rng(seed)
    make = lambda *shape: rng.normal(size=shape).astype(dtype)  # noqa: E731
    k = layer.blocks
    scale = dtype(1 / np.sqrt(D + H))  # keeps gates away from saturation, where bugs would hide
    params = layer.Recurrent(
        scale * make(k * H, D), scale * make(k * H, H), make(k * H), make(k * H)
    )
    states = lambda: tuple(make(B, H) for _ in layer.states)  # noqa: E731
    return Setting(params, make(T, B, D), states(), make(T, B, H), states())


@pytest.fixture(scope="module")
def layer(request) -> Layer:
    return request.module.LAYER


@st.composite
def sizes_and_lengths(draw):
    T, B, D, H = draw(sizes)
    return (T, B, D, H), np.array(draw(st.lists(st.integers(1, T), min_size=B, max_size=B)))


def torch_copy(kind: str, params) -> torch.nn.Module:
    """``torch.nn.LSTM``, ``torch.nn.GRUCell``, … with these weights."""
    D, H = params.W_ih.shape[1], params.W_hh.shape[1]
    module = getattr(torch.nn, kind)(D, H, dtype=torch.tensor(params.W_ih).dtype)
    with torch.no_grad():
        for parameter, array in zip(module.parameters(), params, strict=True):
            assert parameter.shape == array.shape
            parameter.copy_(torch.tensor(array))
    return module


def by_torch(layer: Layer, params, x, state, dout, dstate_n, lengths=None):
    """The same pass and its gradients by torch: out, state_n, dx, dstate, grads."""
    module = torch_copy(layer.name.upper(), params)
    x_, *state_ = (torch.tensor(a, requires_grad=True) for a in (x, *state))
    initial = tuple(s[None] for s in state_)
    fed = x_
    if lengths is not None:
        fed = pack_padded_sequence(x_, torch.tensor(lengths), enforce_sorted=False)
    out, state_n = module(fed, initial if len(initial) > 1 else initial[0])
    if lengths is not None:
        out, _ = pad_packed_sequence(out, total_length=len(x))
    state_n = tuple(s[0] for s in (state_n if len(initial) > 1 else (state_n,)))
    pairs = [
        (value, torch.tensor(gradient))
        for value, gradient in zip((out, *state_n), (dout, *dstate_n), strict=True)
        if gradient is not None
    ]
    torch.autograd.backward(*zip(*pairs, strict=True))
    grads = tuple(p.grad for p in module.parameters())
    return out, state_n, x_.grad, tuple(s.grad for s in state_), grads


def all_close(actual, expected, rel=1e-10):
    """Compare nested tuples, array by array."""
    if isinstance(actual, tuple):
        for a, e in zip(actual, expected, strict=True):
            all_close(a, e, rel)
    else:
        close(actual, expected, rel)


def both_ways(layer: Layer, params, x, state, dout, dstate_n, lengths=None):
    """Forward, then backward: out, state_n, dx, dstate, grads."""
    out, state_n, cache = layer.forward(params, x, state, lengths=lengths)
    return out, state_n, *layer.backward(cache, dout, dstate_n)


def with_entry(arrays, k, array):
    """A tuple with its entry k exchanged."""
    return (*arrays[:k], array, *arrays[k + 1 :])


def added(*trees):
    """The sum of trees of one structure, as nested tuples."""
    if isinstance(trees[0], tuple):
        return tuple(added(*parts) for parts in zip(*trees, strict=True))
    return sum(trees)


# Equal to torch, and to finite differences


@pytest.mark.parametrize("T, B, D, H", [*SIZES, (40, 16, 9, 33)])
def test_forward_and_backward_equal_torch(layer, T, B, D, H):
    setting = setup(layer, T, B, D, H)
    all_close(both_ways(layer, *setting), by_torch(layer, *setting))


@pytest.mark.parametrize("T, B, D, H", SIZES)
def test_states_left_out_are_zero(layer, T, B, D, H):
    params, x, state, dout, dstate_n = setup(layer, T, B, D, H)
    zeros = tuple(np.zeros_like(s) for s in state)
    result = both_ways(layer, params, x, (), dout, dstate_n)
    all_close(result, by_torch(layer, params, x, zeros, dout, dstate_n))


@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_each_upstream_gradient_alone_equals_torch(layer, lengths):
    params, x, state, dout, dstate_n = setup(layer)
    if lengths is not None:
        dout[np.arange(6)[:, None] >= lengths] = 0.0  # where torch has no output
    _, _, cache = layer.forward(params, x, state, lengths=lengths)
    for kept in product([True, False], repeat=1 + len(layer.states)):
        some = [g if k else None for g, k in zip((dout, *dstate_n), kept, strict=True)]
        if any(kept):
            result = layer.backward(cache, some[0], some[1:])
            all_close(result, by_torch(layer, params, x, state, some[0], some[1:], lengths)[2:])
            # No gradient is a gradient of zero.
            zeros = [np.zeros_like(g) for g in (dout, *dstate_n)]
            filled = [z if g is None else g for g, z in zip(some, zeros, strict=True)]
            all_close(result, layer.backward(cache, filled[0], filled[1:]), rel=1e-14)


@pytest.mark.parametrize("T, B, D, H", SIZES)
def test_the_cell_equals_the_cell_of_torch(layer, T, B, D, H):
    params, x, state, *_ = setup(layer, T, B, D, H)
    cell = torch_copy(f"{layer.name.upper()}Cell", params)
    with torch.no_grad():
        x_, *state_ = (torch.tensor(a) for a in (x[0], *state))
        expected = cell(x_, tuple(state_) if len(state_) > 1 else state_[0])
    all_close(layer.cell(params, x[0], state), expected if len(state) > 1 else (expected,))


@pytest.mark.parametrize("T, B, D, H", SIZES[:3])
def test_the_twin_computes_the_same_with_weights_of_its_own(layer, T, B, D, H):
    from unrolled import torch_twins as twins  # here, where the package may have been swapped

    params, x, *_ = setup(layer, T, B, D, H)
    twin = getattr(twins, f"{layer.name}_twin")(params)
    with torch.no_grad():
        out, _ = twin(torch.tensor(x))
        twin.weight_hh_l0.mul_(2.0)
    close(layer.forward(params, x)[0], out)
    close(twin.weight_hh_l0, 2.0 * params.W_hh)


@pytest.mark.parametrize("lengths", [None, np.array([3, 1])])
def test_gradients_are_the_measured_ones(layer, lengths):
    from unrolled import gradient_check as G

    params, x, state, dout, dstate_n = setup(layer, 3, 2, 3, 4)

    def loss(args):
        out, state_n, _ = layer.forward(*args, lengths=lengths)
        upstream = zip((out, *state_n), (dout, *dstate_n), strict=True)
        return float(sum((value * gradient).sum() for value, gradient in upstream))

    _, _, dx, dstate, grads = both_ways(layer, params, x, state, dout, dstate_n, lengths)
    measured = G.numerical_grad(loss, (params, x, state))
    assert G.relative_error((grads, dx, dstate), measured) < 1e-8


# Properties


@PROPERTY
@given(sizes)
def test_the_fast_pass_equals_a_loop_over_the_cell(layer, size):
    params, x, state, *_ = setup(layer, *size)
    out, state_n, cache = layer.forward(params, x, state)
    for t, x_t in enumerate(x):
        state = layer.cell(params, x_t, state)
        close(out[t], state[0], rel=1e-12)
        all_close(tuple(path[t + 1] for path in layer.path(cache)), state, rel=1e-12)
    all_close(state_n, state, rel=1e-12)


@PROPERTY
@given(sizes, st.data())
def test_two_windows_give_what_the_whole_gives(layer, size, data):
    params, x, state, dout, dstate_n = setup(layer, 1 + size[0], *size[1:])
    cut = data.draw(st.integers(1, size[0]))
    whole = both_ways(layer, params, x, state, dout, dstate_n)
    first, middle, cache_1 = layer.forward(params, x[:cut], state)
    second, state_n, cache_2 = layer.forward(params, x[cut:], middle)
    dx_2, dmiddle, grads_2 = layer.backward(cache_2, dout[cut:], dstate_n)
    dx_1, dstate, grads_1 = layer.backward(cache_1, dout[:cut], dmiddle)
    out, dx = np.concatenate([first, second]), np.concatenate([dx_1, dx_2])
    all_close((out, state_n, dx, dstate, added(grads_1, grads_2)), whole, rel=1e-12)


@PROPERTY
@given(sizes_and_lengths(), st.booleans(), st.data())
def test_steps_of_a_cache_are_a_cache(layer, size, padded, data):
    (T, *_), lengths = size
    params, x, state, dout, dstate_n = setup(layer, *size[0])
    if padded:
        x[np.arange(T)[:, None] >= lengths] = np.nan
    _, _, cache = layer.forward(params, x, state, lengths=lengths if padded else None)
    start = data.draw(st.integers(0, T - 1))
    stop = data.draw(st.integers(start + 1, T))
    window = cache.steps(start, stop)
    assert type(window) is type(cache)
    if padded:
        same(window.lengths, np.clip(lengths - start, 0, stop - start))
    for part, whole in zip(layer.path(window), layer.path(cache), strict=True):
        same(part, whole[start : stop + 1])
    for part, whole in zip(flat(window), flat(cache), strict=True):
        assert np.shares_memory(part, whole) or part is window.lengths  # no memory of its own
    # Back through the three parts, each handing its gradient to the one before, as through all.
    parts = [(a, b) for a, b in [(0, start), (start, stop), (stop, T)] if a < b]
    dxs, all_grads, dstate = [], [], dstate_n
    for a, b in reversed(parts):
        dx, dstate, grads = layer.backward(cache.steps(a, b), dout[a:b], dstate)
        dxs.insert(0, dx)
        all_grads.append(grads)
    result = np.concatenate(dxs), dstate, added(*all_grads)
    all_close(result, layer.backward(cache, dout, dstate_n), rel=1e-12)


@PROPERTY
@given(sizes, st.data())
def test_no_step_sees_the_future_and_no_gradient_goes_there(layer, size, data):
    params, x, state, dout, _ = setup(layer, *size)
    t = data.draw(st.integers(0, size[0] - 1))
    changed = x.copy()
    changed[t] += 1.0
    before, after = (layer.forward(params, series, state)[0] for series in (x, changed))
    same(after[:t], before[:t])
    assert (np.abs(after[t:] - before[t:]).max(axis=(1, 2)) > 0).all()
    # The mirror: the output of one step sends a gradient to each earlier input and to no later one.
    only = np.zeros_like(dout)
    only[t] = dout[t]
    _, _, cache = layer.forward(params, x, state)
    dx, *_ = layer.backward(cache, only)
    assert (np.abs(dx[: t + 1]).max(axis=(1, 2)) > 0).all()
    assert (dx[t + 1 :] == 0).all()


@PROPERTY
@given(sizes_and_lengths(), st.booleans(), st.randoms(use_true_random=False))
def test_a_batch_is_its_examples_in_any_order(layer, size, padded, random):
    (_, B, *_), lengths = size
    lengths = lengths if padded else None
    params, x, state, dout, dstate_n = setup(layer, *size[0])
    order = random.sample(range(B), B)
    take = lambda arrays, b: tuple(a[b] for a in arrays)  # noqa: E731
    out, state_n, dx, dstate, grads = both_ways(layer, params, x, state, dout, dstate_n, lengths)
    permuted = both_ways(
        layer,
        params,
        x[:, order],
        take(state, order),
        dout[:, order],
        take(dstate_n, order),
        None if lengths is None else lengths[order],
    )
    expected = out[:, order], take(state_n, order), dx[:, order], take(dstate, order), grads
    all_close(permuted, expected, rel=1e-12)


@PROPERTY
@given(sizes_and_lengths(), st.floats(-3, 3))
def test_backward_is_linear(layer, size, factor):
    size, lengths = size
    params, x, state, *one = setup(layer, *size)
    *_, dout, dstate_n = setup(layer, *size, seed=1)
    _, _, cache = layer.forward(params, x, state, lengths=lengths)
    scaled = factor * dout, tuple(factor * d for d in dstate_n)
    sum_of_both = added(tuple(one), scaled)
    expected = added(layer.backward(cache, *one), layer.backward(cache, *scaled))
    all_close(layer.backward(cache, *sum_of_both), expected, rel=1e-11)
    assert all((a == 0).all() for a in flat(layer.backward(cache, 0.0 * dout)))


# Sequences of different lengths


@PROPERTY
@given(sizes_and_lengths(), st.sampled_from([0.0, 7.0, np.nan, np.inf]))
def test_with_lengths_each_sequence_is_as_if_alone(layer, size, beyond):
    (T, *_), lengths = size
    params, x, state, dout, dstate_n = setup(layer, *size[0])
    x[np.arange(T)[:, None] >= lengths] = beyond
    out, state_n, dx, dstate, grads = both_ways(layer, params, x, state, dout, dstate_n, lengths)
    sums = []
    for b, n in enumerate(lengths):
        one = slice(b, b + 1)
        dh_n, *rest = (d[one] for d in dstate_n)
        # The last state stands in every later output, so it takes all their gradients.
        upstream = dout[:n, one], (dh_n + dout[n:, one].sum(axis=0), *rest)
        alone = both_ways(layer, params, x[:n, one], tuple(s[one] for s in state), *upstream)
        all_close(alone[0], out[:n, one], rel=1e-12)
        all_close(alone[1], tuple(s[one] for s in state_n), rel=1e-12)
        all_close(alone[2], dx[:n, one], rel=1e-12)
        all_close(alone[3], tuple(d[one] for d in dstate), rel=1e-12)
        same(out[n:, b], np.repeat(out[n - 1 : n, b], T - n, axis=0))
        assert (dx[n:, b] == 0).all()
        sums.append(tuple(alone[4]))
    all_close(added(*sums), grads, rel=1e-12)


@pytest.mark.parametrize("T, B, D, H", SIZES)
def test_lengths_equal_a_packed_sequence_of_torch(layer, T, B, D, H):
    params, x, state, dout, dstate_n = setup(layer, T, B, D, H)
    lengths = np.random.default_rng(1).integers(1, T + 1, B)
    is_step = (np.arange(T)[:, None] < lengths)[:, :, None]
    dout = dout * is_step  # torch pads its output with zeros, which send no gradient back
    out, *rest = both_ways(layer, params, x, state, dout, dstate_n, lengths)
    expected, *expected_rest = by_torch(layer, params, x, state, dout, dstate_n, lengths)
    close(out * is_step, expected)
    all_close(tuple(rest), expected_rest)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.uint64, np.int64])
def test_lengths_of_any_whole_number_type(layer, dtype):
    params, x, state, dout, dstate_n = setup(layer)
    _, _, cache = layer.forward(params, x, state, lengths=LENGTHS.astype(dtype))
    _, _, expected = layer.forward(params, x, state, lengths=LENGTHS)
    for a, b in [(0, 6), (5, 6), (2, 5)]:
        upstream = dout[a:b], dstate_n
        all_close(
            layer.backward(cache.steps(a, b), *upstream),
            layer.backward(expected.steps(a, b), *upstream),
        )


def test_full_lengths_change_nothing(layer):
    setting = setup(layer)
    plain, full = (both_ways(layer, *setting, lengths) for lengths in (None, np.full(3, 6)))
    all_close(full, plain, rel=1e-14)


def test_after_its_end_a_sequence_keeps_its_last_states(layer):
    params, x, state, *_ = setup(layer)
    out, state_n, cache = layer.forward(params, x, state, lengths=LENGTHS)
    same(cache.lengths, LENGTHS)
    assert layer.forward(params, x, state)[2].lengths is None
    same(out, cache.h[1:])
    for path, last in zip(layer.path(cache), state_n, strict=True):
        same(last, path[LENGTHS, np.arange(3)])
        for b, n in enumerate(LENGTHS):
            same(path[n:, b], np.repeat(path[n : n + 1, b], 7 - n, axis=0))


def test_lengths_changed_later_change_no_gradient(layer):
    params, x, state, dout, dstate_n = setup(layer)
    lengths = LENGTHS.copy()
    _, _, cache = layer.forward(params, x, state, lengths=lengths)
    expected = layer.backward(cache, dout, dstate_n)
    lengths[:] = 6
    all_close(layer.backward(cache, dout, dstate_n), expected, rel=0)


@pytest.mark.parametrize(
    "lengths, error, message",
    [
        ([4, 6, 1], TypeError, "must be a NumPy array, got list"),
        (LENGTHS.astype(float), TypeError, "must hold whole numbers, got dtype float64"),
        (LENGTHS > 1, TypeError, "must hold whole numbers, got dtype bool"),
        (LENGTHS[:2], ValueError, r"must have shape \(B=3,\), got \(2,\)"),
        (LENGTHS[:1], ValueError, r"must have shape \(B=3,\), got \(1,\)"),
        (LENGTHS[:, None], ValueError, r"must have shape \(B=3,\), got \(3, 1\)"),
        (np.array(6), ValueError, r"must have shape \(B=3,\), got \(\)"),
        (np.array([4, 0, 6]), ValueError, "must lie between 1 and T=6, got 0"),
        (np.array([4, 6, 7]), ValueError, "must lie between 1 and T=6, got 7"),
        (np.array([4, -1, 6]), ValueError, "must lie between 1 and T=6, got -1"),
    ],
)
def test_lengths_that_cannot_be(layer, lengths, error, message):
    params, x, state, *_ = setup(layer)
    with pytest.raises(error, match=f"^lengths {message}$"):
        layer.forward(params, x, state, lengths=lengths)


# Contracts


def test_the_signatures(layer):
    def names(part):
        function = getattr(layer.module, f"{layer.name}_{part}")
        parameters = inspect.signature(function).parameters.values()
        return [f"*{p.name}" if p.kind is p.KEYWORD_ONLY else p.name for p in parameters]

    s = layer.states
    assert names("cell") == ["params", "x_t", *(f"{k}_prev" for k in s)]
    assert names("forward") == ["params", "x", *(f"{k}0" for k in s), "*lengths"]
    assert names("backward") == ["cache", "dout", *(f"d{k}_n" for k in s)]
    cache_type = getattr(layer.module, f"{layer.name.upper()}Cache")
    assert {"params", "x", "lengths", *s} <= set(cache_type._fields)
    assert type(layer.forward(*setup(layer)[:3])[2]) is cache_type


def test_the_cache_is_named_and_starts_with_the_initial_states(layer):
    params, x, state, *_ = setup(layer)
    out, state_n, cache = layer.forward(params, x, state)
    assert cache.params is params
    same(cache.x, x)
    same(cache.h[1:], out)
    for path, first, last in zip(layer.path(cache), state, state_n, strict=True):
        assert path.shape == (7, 3, 5)
        same(path[0], first)
        same(path[6], last)
        assert not np.shares_memory(path, first)
    for path in layer.path(layer.forward(params, x)[2]):
        same(path[0], np.zeros((3, 5)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_dtype_is_kept_and_arguments_are_untouched(layer, dtype, lengths):
    params, x, state, dout, dstate_n = setup(layer, dtype=dtype)
    for initial in (state, ()):
        out, state_n, cache = leaves_untouched(layer.forward, params, x, initial, lengths=lengths)
        floats = [a for a in flat(cache) if a.dtype.kind == "f"]
        assert {a.dtype for a in flat((out, state_n, floats))} == {np.dtype(dtype)}
        for upstream in [(dout, dstate_n), (dout,), (None, dstate_n)]:
            result = leaves_untouched(layer.backward, cache, *upstream)
            assert {a.dtype for a in flat(result)} == {np.dtype(dtype)}
    step = leaves_untouched(layer.cell, params, x[0], state)
    assert {a.dtype for a in step} == {np.dtype(dtype)}


@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_float32_is_float64_with_fewer_digits(layer, lengths):
    single = both_ways(layer, *setup(layer, dtype=np.float32), lengths)
    wide = [a.astype(np.float64) for a in flat(setup(layer, dtype=np.float32))]
    k = len(layer.states)
    params, x, state = layer.Recurrent(*wide[:4]), wide[4], tuple(wide[5 : 5 + k])
    double = both_ways(layer, params, x, state, wide[5 + k], tuple(wide[6 + k :]), lengths)
    for a, b in zip(flat(single), flat(double), strict=True):
        close(a.astype(np.float64), b, rel=1e-5)


def test_passes_do_not_disturb_each_other(layer):
    params, x, state, dout, dstate_n = setup(layer)
    out, state_n, cache = layer.forward(params, x, state)
    before = [a.copy() for a in flat((out, state_n, cache))]
    expected = layer.backward(cache, dout, dstate_n)
    layer.forward(params, 2.0 * x, state)  # a validation pass in between
    all_close(layer.backward(cache, dout, dstate_n), expected, rel=0)  # not added up
    for array, copy in zip(flat((out, state_n, cache)), before, strict=True):
        same(array, copy)


@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_results_cannot_be_written_into(layer, lengths):
    params, x, state, *_ = setup(layer)
    out, state_n, cache = layer.forward(params, x, state, lengths=lengths)
    window = cache.steps(1, 3)
    for array in flat((out, state_n, layer.path(cache), layer.path(window))):
        with pytest.raises(ValueError, match="read-only"):
            array += 1


@pytest.mark.parametrize("T", [1, 6])
@pytest.mark.parametrize("full", [True, False])
def test_gradients_are_arrays_of_their_own(layer, T, full):
    params, x, state, dout, dstate_n = setup(layer, T)
    lengths = None if full else np.ones(3, int)
    _, _, cache = layer.forward(params, x, state, lengths=lengths)
    for upstream in [(dout, dstate_n), (dout,), (None, dstate_n)]:
        result = layer.backward(cache, *upstream)
        assert type(result[2]) is layer.Recurrent
        for k, array in enumerate(flat(result)):
            others = flat((cache, state, upstream)) + flat(result)[:k]
            assert not any(np.shares_memory(array, other) for other in others)
            assert array.flags.writeable


def test_arrays_may_lie_in_memory_as_they_like(layer):
    setting = setup(layer)
    expected = both_ways(layer, *setting)
    spread = lambda a: np.repeat(a, 2, axis=-1)[..., ::2]  # noqa: E731
    for change in (np.asfortranarray, spread):
        params, x, state, dout, dstate_n = setting
        changed = both_ways(
            layer,
            layer.Recurrent(*map(change, params)),
            change(x),
            tuple(map(change, state)),
            change(dout),
            tuple(map(change, dstate_n)),
        )
        all_close(changed, expected, rel=1e-13)
    # A gradient that is the same at every step, without memory of its own.
    _, _, cache = layer.forward(*setting[:3])
    one = np.broadcast_to(np.float64(0.5), (6, 3, 5))
    all_close(layer.backward(cache, one), layer.backward(cache, one.copy()))


@pytest.mark.parametrize("scale", [1e3, 1e4])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extreme_numbers_stay_finite(layer, scale, dtype):
    params, x, state, dout, dstate_n = setup(layer, dtype=dtype)
    *far, far_x = (dtype(scale) * a for a in flat((params, x)))
    far_state = tuple(dtype(scale) * s for s in state)
    for start in [(params, far_x, state), (layer.Recurrent(*far), x, far_state)]:
        result = both_ways(layer, *start, dout, dstate_n)
        assert all(np.isfinite(a).all() for a in flat(result))
        assert np.abs(result[0]).max() <= max(1.0, np.abs(start[2][0]).max())  # no state grows


# Errors: the whole message, which names the argument, what it must be and what came


def refuses(error, message):
    return pytest.raises(error, match=f"^{re.escape(message)}$")


# Shapes with a 1 would broadcast without a word. K stands for the kH rows of the parameters.
@pytest.mark.parametrize(
    "name, shape",
    [
        ("W_ih", ("K",)),
        ("W_ih", ("K", 4, 1)),
        ("W_hh", ("K", 4)),
        ("W_hh", ("K", 6)),
        ("W_hh", (1, 5)),
        ("W_hh", ("K", 1)),
        ("W_hh", (4, 5)),
        ("W_hh", ("K",)),
        ("b_ih", (4,)),
        ("b_ih", (1,)),
        ("b_ih", ("K", 1)),
        ("b_ih", (1, "K")),
        ("b_hh", (4,)),
        ("b_hh", (1,)),
        ("b_hh", ("K", 1)),
        ("b_hh", ()),
    ],
)
def test_parameters_that_do_not_fit(layer, name, shape):
    params, x, state, *_ = setup(layer)
    k = layer.blocks
    shape = tuple(5 * k if size == "K" else size for size in shape)
    rows, columns = ("H", "H_") if k == 1 else (f"{k}H", "H")
    wanted = {
        "W_ih": f"({rows}, D)",
        "W_hh": f"({rows}={5 * k}, {columns}=5)",
        "b_ih": f"({rows}={5 * k},)",
        "b_hh": f"({rows}={5 * k},)",
    }
    params = params._replace(**{name: np.ones(shape)})
    message = f"{name} must have shape {wanted[name]}, got {shape}"
    with refuses(ValueError, message):
        layer.forward(params, x, state)
    with refuses(ValueError, message):
        layer.cell(params, x[0], state)


@pytest.mark.parametrize("name", ["W_ih", "W_hh", "b_ih", "b_hh"])
@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_parameters_of_another_dtype(layer, name, dtype):
    params, x, state, *_ = setup(layer)
    params = params._replace(**{name: getattr(params, name).astype(dtype)})
    came = np.dtype(dtype).name
    with refuses(TypeError, f"{name} must have the dtype of x, float64, got {came}"):
        layer.forward(params, x, state)
    with refuses(TypeError, f"{name} must have the dtype of x_t, float64, got {came}"):
        layer.cell(params, x[0], state)


@pytest.mark.parametrize("shape", [(3, 4), (2, 5), (1, 5), (3, 1), (5,), (1, 3, 5)])
def test_states_that_do_not_fit(layer, shape):
    params, x, state, *_ = setup(layer)
    for k, s in enumerate(layer.states):
        bad = with_entry(state, k, np.zeros(shape))
        with refuses(ValueError, f"{s}0 must have shape (B=3, H=5), got {shape}"):
            layer.forward(params, x, bad)
        with refuses(ValueError, f"{s}_prev must have shape (B=3, H=5), got {shape}"):
            layer.cell(params, x[0], bad)


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_states_of_another_dtype(layer, dtype):
    params, x, state, *_ = setup(layer)
    came = np.dtype(dtype).name
    for k, s in enumerate(layer.states):
        bad = with_entry(state, k, state[k].astype(dtype))
        with refuses(TypeError, f"{s}0 must have the dtype of x, float64, got {came}"):
            layer.forward(params, x, bad)
        with refuses(TypeError, f"{s}_prev must have the dtype of x_t, float64, got {came}"):
            layer.cell(params, x[0], bad)


@pytest.mark.parametrize("shape", [(6, 3, 5), (6, 4), (4,), (1, 6, 3, 4)])
def test_inputs_that_do_not_fit(layer, shape):
    params, x, state, *_ = setup(layer)
    with refuses(ValueError, f"x must have shape (T, B, D=4), got {shape}"):
        layer.forward(params, np.zeros(shape), state)
    with refuses(ValueError, "x_t must have shape (B, D=4), got (6, 3, 4)"):
        layer.cell(params, x, state)


def test_inputs_that_are_no_sequence_of_floats(layer):
    params, x, state, *_ = setup(layer)
    for bad, message in [
        (x.astype(np.int64), "must hold floating-point numbers, got dtype int64"),
        (x.astype(complex), "must hold floating-point numbers, got dtype complex128"),
        (x.tolist(), "must be a NumPy array, got list"),
        (torch.tensor(x), "must be a NumPy array, got Tensor"),
    ]:
        with refuses(TypeError, f"x {message}"):
            layer.forward(params, bad, state)
        if not isinstance(bad, list):
            with refuses(TypeError, f"x_t {message}"):
                layer.cell(params, bad[0], state)
    with refuses(ValueError, "x must have at least one time step, got T=0"):
        layer.forward(params, x[:0], state)


@pytest.mark.parametrize("shape", [(6, 3, 4), (5, 3, 5), (6, 1, 5), (1, 3, 5), (6, 3, 1), (3, 5)])
def test_output_gradients_that_do_not_fit(layer, shape):
    params, x, state, _, dstate_n = setup(layer)
    _, _, cache = layer.forward(params, x, state)
    with refuses(ValueError, f"dout must have shape (T=6, B=3, H=5), got {shape}"):
        layer.backward(cache, np.zeros(shape), dstate_n)


@pytest.mark.parametrize("shape", [(3, 4), (2, 5), (1, 5), (3, 1), (5,), (1, 3, 5), ()])
def test_state_gradients_that_do_not_fit(layer, shape):
    params, x, state, dout, dstate_n = setup(layer)
    _, _, cache = layer.forward(params, x, state)
    for k, s in enumerate(layer.states):
        bad = with_entry(dstate_n, k, np.zeros(shape))
        with refuses(ValueError, f"d{s}_n must have shape (B=3, H=5), got {shape}"):
            layer.backward(cache, dout, bad)


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_gradients_of_another_dtype(layer, dtype):
    params, x, state, dout, dstate_n = setup(layer)
    _, _, cache = layer.forward(params, x, state)
    came = np.dtype(dtype).name
    with refuses(TypeError, f"dout must have the dtype of out, float64, got {came}"):
        layer.backward(cache, dout.astype(dtype), dstate_n)
    for k, s in enumerate(layer.states):
        bad = with_entry(dstate_n, k, dstate_n[k].astype(dtype))
        with refuses(TypeError, f"d{s}_n must have the dtype of out, float64, got {came}"):
            layer.backward(cache, dout, bad)


@pytest.mark.parametrize("start, stop", [(-1, 3), (3, 3), (4, 2), (4, 7), (6, 7)])
def test_steps_that_are_not_there(layer, start, stop):
    _, _, cache = layer.forward(*setup(layer)[:3])
    message = "steps must lie within 0 <= start < stop <= T=6, got start={}, stop={}"
    with refuses(ValueError, message.format(start, stop)):
        cache.steps(start, stop)


def test_lists_are_refused(layer):
    params, x, state, dout, dstate_n = setup(layer)
    _, _, cache = layer.forward(params, x, state)
    with refuses(TypeError, "dout must be a NumPy array, got list"):
        layer.backward(cache, dout.tolist(), dstate_n)
    for k, s in enumerate(layer.states):
        bad = with_entry(state, k, state[k].tolist())
        with refuses(TypeError, f"{s}0 must be a NumPy array, got list"):
            layer.forward(params, x, bad)
        with refuses(TypeError, f"{s}_prev must be a NumPy array, got list"):
            layer.cell(params, x[0], bad)
        with refuses(TypeError, f"d{s}_n must be a NumPy array, got list"):
            layer.backward(cache, dout, with_entry(dstate_n, k, dstate_n[k].tolist()))


def test_no_gradient_at_all(layer):
    params, x, state, *_ = setup(layer)
    _, _, cache = layer.forward(params, x, state)
    names = ", ".join(["dout", *(f"d{s}_n" for s in layer.states)])
    with refuses(ValueError, f"one of {names} must be given, got None for all"):
        layer.backward(cache)


def test_parameters_that_are_no_arrays_of_a_layer(layer):
    params, x, *_ = setup(layer)
    with refuses(TypeError, "params must be a Recurrent, got tuple"):
        layer.forward(tuple(params), x)
    for name in params._fields:
        with refuses(TypeError, f"{name} must be a NumPy array, got list"):
            layer.forward(params._replace(**{name: getattr(params, name).tolist()}), x)


def test_parameters_of_another_layer(layer):
    params, x, *_ = setup(layer)
    names = {1: "an RNN", 3: "a GRU", 4: "an LSTM"}
    for k in names.keys() - {layer.blocks}:
        rows = np.arange(5 * k) % len(params.W_ih)
        other = type(params)(*(array[rows] for array in params))
        message = f"params must be those of {names[layer.blocks]}, got those of {names[k]}"
        with refuses(ValueError, message):
            layer.forward(other, x)
