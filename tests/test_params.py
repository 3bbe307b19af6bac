"""Parameters: drawn as torch draws them, and trees of them."""

import numpy as np
import pytest
import torch

from tests.helpers import same
from unrolled import params as P

D, H = 25, 400


def draws(seed=0):
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    return {
        "linear": (P.init_linear(D, H, rng=rng), torch.nn.Linear(D, H).parameters(), D),
        "rnn": (P.init_rnn(D, H, rng=rng), torch.nn.RNN(D, H).parameters(), H),
        "gru": (P.init_gru(D, H, rng=rng), torch.nn.GRU(D, H).parameters(), H),
        "lstm": (P.init_lstm(D, H, rng=rng), torch.nn.LSTM(D, H).parameters(), H),
    }


@pytest.mark.parametrize("kind", ["linear", "rnn", "gru", "lstm"])
def test_weights_are_drawn_as_torch_draws_them(kind):
    ours, torchs, fan = draws()[kind]
    arrays = [*ours, *(p.detach().numpy() for p in torchs)]
    for array in arrays:  # torch's own are held to the same, so the claim is about both
        u = array * np.sqrt(fan)  # uniform in ±1: mean 0, mean of |u| 1/2, of u^2 1/3
        assert 0.98 < abs(u).max() <= 1 + 1e-6
        assert abs(u.mean()) < 0.1
        assert abs(abs(u).mean() - 1 / 2) < 0.05
        assert abs((u**2).mean() - 1 / 3) < 0.05
    half = len(arrays) // 2
    assert [a.shape for a in arrays[:half]] == [a.shape for a in arrays[half:]]
    # No two arrays, and no two rows, from the same draws.
    firsts = [array.flat[0] for array in arrays[:half]] + [ours[0][1, 0]]
    assert len(set(firsts)) == half + 1


INITS = {
    "linear": lambda rng, **kw: P.init_linear(2, 3, rng=rng, **kw),
    "mlp": lambda rng, **kw: P.init_mlp([2, 3, 4], rng=rng, **kw),
    "rnn": lambda rng, **kw: P.init_rnn(2, 3, rng=rng, **kw),
    "gru": lambda rng, **kw: P.init_gru(2, 3, rng=rng, **kw),
    "lstm": lambda rng, **kw: P.init_lstm(2, 3, rng=rng, **kw),
}


@pytest.mark.parametrize("kind", INITS)
def test_the_seed_decides(kind):
    first, again, other = (
        P.tree_arrays(INITS[kind](np.random.default_rng(seed))) for seed in (3, 3, 4)
    )
    for a, b, c in zip(first, again, other, strict=True):
        same(a, b)
        assert (a != c).all()


@pytest.mark.parametrize("kind", INITS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_of_the_draw(kind, dtype):
    arrays = P.tree_arrays(INITS[kind](np.random.default_rng(0), dtype=dtype))
    assert {a.dtype for a in arrays} == {np.dtype(dtype)}
    default = P.tree_arrays(INITS[kind](np.random.default_rng(0)))
    assert {a.dtype for a in default} == {np.dtype(np.float64)}


@pytest.mark.parametrize("init", [P.init_linear, P.init_rnn, P.init_gru, P.init_lstm])
def test_randomness_is_explicit_and_sizes_are_named(init):
    with pytest.raises(TypeError, match="rng"):
        init(2, 3)
    with pytest.raises(ValueError, match="^D must be at least 1, got 0$"):
        init(0, 3, rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match="^H must be at least 1, got -1$"):
        init(2, -1, rng=np.random.default_rng(0))


@pytest.mark.parametrize("sizes", [[], [3]])
def test_mlp_needs_two_sizes(sizes):
    with pytest.raises(ValueError, match=r"^sizes must list at least the inputs .*, got \["):
        P.init_mlp(sizes, rng=np.random.default_rng(0))


def test_mlp_layers_fit_each_other_and_count_as_in_torch():
    layers = P.init_mlp([5, 4, 3, 2], rng=np.random.default_rng(0))
    assert all(isinstance(layer, P.Linear) for layer in layers)
    assert [layer.W.shape for layer in layers] == [(4, 5), (3, 4), (2, 3)]
    torchs = torch.nn.Sequential(*(torch.nn.Linear(*layer.W.shape[::-1]) for layer in layers))
    assert P.count_parameters(layers) == sum(p.numel() for p in torchs.parameters())
    rnn = P.init_rnn(5, 4, rng=np.random.default_rng(0))
    assert P.count_parameters(rnn) == sum(p.numel() for p in torch.nn.RNN(5, 4).parameters())


def nested(offset):
    one = P.Linear(np.full((2, 3), 1.0 + offset), np.full(2, 2.0 + offset))
    return (one, [np.full(4, 3.0 + offset), (P.Recurrent(*np.arange(4.0) + offset),)])


def test_tree_map_keeps_types_places_and_arguments_in_order():
    mapped = P.tree_map(lambda a, b, c: a - 2 * b + 7 * c, nested(0), nested(10), nested(100))
    assert type(mapped) is tuple
    assert type(mapped[0]) is P.Linear
    assert type(mapped[1]) is list
    assert type(mapped[1][1][0]) is P.Recurrent
    # a - 2 (a + 10) + 7 (a + 100) = 6 a + 680
    assert [float(np.max(a)) for a in P.tree_arrays(mapped)] == [
        6 * value + 680 for value in (1, 2, 3, 0, 1, 2, 3)
    ]
    same(mapped[0].W, np.full((2, 3), 686.0))


def test_names_are_in_the_order_of_the_arrays():
    tree = nested(0)
    named = P.name_arrays(tree)
    assert [*map(id, named.values())] == [*map(id, P.tree_arrays(tree))]
    assert list(named)[:3] == ["0.W", "0.b", "1.0"]
    assert list(P.name_arrays({"a": tree[0], "b": [None, np.ones(1)]}, "x")) == [
        *("x.a.W", "x.a.b", "x.b.1"),
    ]
    assert P.name_arrays((None, ())) == {}
    assert list(P.name_arrays(np.ones(2), "alone")) == ["alone"]


def test_tree_arrays_lists_the_very_arrays_in_order():
    tree = nested(0)
    arrays = P.tree_arrays(tree)
    assert arrays[0] is tree[0].W
    assert arrays[1] is tree[0].b
    assert arrays[2] is tree[1][0]
    assert [float(np.max(a)) for a in arrays[3:]] == [0, 1, 2, 3]


@pytest.mark.parametrize("other", [np.ones(2), (np.ones(2),), (1.0, 2.0, 3.0)])
def test_trees_of_different_structure(other):
    with pytest.raises(ValueError, match="^trees must have the same structure, got Linear"):
        P.tree_map(lambda a, b: a, P.Linear(np.ones((2, 2)), np.ones(2)), other)


def test_an_array_is_no_tuple_of_rows():
    with pytest.raises(ValueError, match="^trees must have the same structure"):
        P.tree_map(np.subtract, np.ones((2, 3)), (np.ones(3), np.ones(3)))


def test_a_part_that_is_left_out_stays_left_out():
    tree = (P.Linear(np.ones((2, 2)), np.ones(2)), None)
    mapped = P.tree_map(np.add, tree, tree)
    assert mapped[1] is None
    same(mapped[0].b, np.full(2, 2.0))
    assert len(P.tree_arrays(tree)) == 2
    assert P.count_parameters(tree) == 6
    for first, second in [(tree, (tree[0], np.ones(2))), ((tree[0], np.ones(2)), tree)]:
        with pytest.raises(ValueError, match="^trees must have the same structure, got "):
            P.tree_map(np.add, first, second)
