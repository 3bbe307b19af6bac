"""Attention: equal to torch forward and backward for every score, and blind where it must be."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from tests.helpers import PROPERTY, close, flat, leaves_untouched, same
from unrolled import attention as A
from unrolled import gradient_check as G
from unrolled import torch_twins as twins

NAMES = ["scaled", "dot", "general", "additive"]
# T, S, B, Dq, Dk, Dv all different, then each of them 1, then all alike.
SIZES = [
    (5, 4, 3, 6, 7, 2),
    (1, 4, 3, 6, 7, 2),
    (5, 1, 3, 6, 7, 2),
    (5, 4, 1, 6, 7, 2),
    (5, 4, 3, 1, 7, 2),
    (5, 4, 3, 6, 1, 2),
    (5, 4, 3, 6, 7, 1),
    (3, 3, 3, 3, 3, 3),
    (1, 1, 1, 1, 1, 1),
]
SIZE = SIZES[0]
# Which of T, B, S a mask has; a size of 1 is stretched.
MASKS = ["TBS", "BS", "1BS", "T1S", "1S", "11S", "S"]
sizes = st.tuples(*[st.integers(1, 5)] * 6)


def setup(score, size=SIZE, dtype=np.float64, seed=0):
    """Query, keys, values and parameters, then upstream gradients of context and weights."""
    T, S, B, Dq, Dk, Dv = size
    neurons = 8
    rng = np.random.default_rng(seed)
    make = lambda *shape: rng.normal(size=shape).astype(dtype)  # noqa: E731
    params = None
    if score == "general":
        params = A.General(make(Dq, Dk))
    elif score == "additive":
        params = A.Additive(make(neurons, Dq), make(neurons, Dk), make(neurons))
    else:
        Dk = Dq
    args = make(T, B, Dq), make(S, B, Dk), make(S, B, Dv), params
    return args, (make(T, B, Dv), make(T, B, S))


def random_mask(kind, size=SIZE, seed=1):
    """A mask of which every row of places has at least one True, and some have a False."""
    lengths = {"T": size[0], "S": size[1], "B": size[2], "1": 1}
    shape = [lengths[letter] for letter in kind]
    rng = np.random.default_rng(seed)
    mask = rng.random(shape) < 0.5
    np.put_along_axis(mask, rng.integers(shape[-1], size=[*shape[:-1], 1]), True, axis=-1)
    return mask


def run(args, upstream, score, mask=None):
    """Everything that comes out, forward and backward, in one tuple."""
    context, weights, cache = A.attention_forward(*args, score=score, mask=mask)
    return context, weights, *A.attention_backward(cache, *upstream)


def run_torch(args, upstream, score, mask=None):
    """The same by torch: the scores as their equations read, the gradients by autograd."""
    query, keys, values = (twins.tensor(array, requires_grad=True) for array in args[:3])
    params = [twins.tensor(array, requires_grad=True) for array in args[3] or ()]
    q, k, v = (x.transpose(0, 1) for x in (query, keys, values))
    if score == "additive":
        W_q, W_k, neurons = params
        scores = torch.tanh((q @ W_q.T)[:, :, None] + (k @ W_k.T)[:, None]) @ neurons
    else:
        scores = (q @ params[0] if params else q) @ k.transpose(1, 2)
        if score == "scaled":
            scores = scores / query.shape[-1] ** 0.5
    if mask is not None:
        mask = torch.tensor(np.broadcast_to(mask, (len(args[0]), *args[1].shape[1::-1])).copy())
        scores = scores.masked_fill(~mask.transpose(0, 1), -torch.inf)
    weights = torch.softmax(scores, dim=-1)
    context, weights = (weights @ v).transpose(0, 1), weights.transpose(0, 1)
    torch.autograd.backward([context, weights], [torch.tensor(d) for d in upstream])
    return context, weights, query.grad, keys.grad, values.grad, [p.grad for p in params]


def agree(actual, expected, rel=1e-10):
    """Assert the equality of what ``run`` returned, the parameters' gradients last."""
    for a, e in zip(actual[:-1], expected[:-1], strict=True):
        close(a, e, rel)
    for a, e in zip(actual[-1] or (), expected[-1] or (), strict=True):
        close(a, e, rel)


@pytest.mark.parametrize("score", NAMES)
@pytest.mark.parametrize("size", SIZES)
def test_attention_equals_torch(score, size):
    args, upstream = setup(score, size)
    actual = run(args, upstream, score)
    agree(actual, run_torch(args, upstream, score))
    assert type(actual[-1]) is type(args[3])


@pytest.mark.parametrize("score", NAMES)
@pytest.mark.parametrize("kind", MASKS)
def test_masked_attention_equals_torch(score, kind):
    args, upstream = setup(score)
    mask = random_mask(kind)
    assert not mask.all()
    actual = run(args, upstream, score, mask)
    agree(actual, run_torch(args, upstream, score, mask))
    weights = actual[1]
    assert (weights[~np.broadcast_to(mask, weights.shape)] == 0).all()
    close(weights.sum(axis=-1), np.ones(weights.shape[:2]), rel=1e-14)


@pytest.mark.parametrize("masked", ["no", "BS", "TBS", "causal"])
def test_scaled_equals_torch_sdpa(masked):
    size = (5, 5, 3, 4, 4, 2) if masked == "causal" else SIZE
    args, (dcontext, _) = setup("scaled", size)
    query, keys, values = (twins.tensor(array, requires_grad=True) for array in args[:3])
    q, k, v = (x.transpose(0, 1) for x in (query, keys, values))
    mask, choice = None, {"is_causal": True}
    if masked == "causal":
        mask = A.causal_mask(5)
    else:
        whole = (size[0], size[2], size[1])
        mask = None if masked == "no" else random_mask(masked)
        full = np.broadcast_to(True if mask is None else mask, whole).swapaxes(0, 1)
        choice = {"attn_mask": torch.tensor(full.copy())}
    expected = F.scaled_dot_product_attention(q, k, v, **choice).transpose(0, 1)
    expected.backward(torch.tensor(dcontext))
    # "scaled" is what you get if you name no score.
    context, _, cache = A.attention_forward(*args[:3], mask=mask)
    close(context, expected)
    gradients = A.attention_backward(cache, dcontext)[:3]
    for gradient, tensor in zip(gradients, (query, keys, values), strict=True):
        close(gradient, tensor.grad)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("score", NAMES)
def test_gradients_are_the_measured_ones(score, masked):
    args, upstream = setup(score, (3, 4, 2, 3, 5, 2))
    mask = random_mask("TBS", (3, 4, 2)) if masked else None

    def loss(numbers):
        args = (*numbers[:3], numbers[3] if len(numbers) > 3 else None)
        out = A.attention_forward(*args, score=score, mask=mask)
        return sum(float((o * d).sum()) for o, d in zip(out, upstream, strict=False))

    numbers = args if args[3] else args[:3]
    actual = run(args, upstream, score, mask)[2 : 2 + len(numbers)]
    assert G.relative_error(actual, G.numerical_grad(loss, numbers)) < 1e-8


@pytest.mark.parametrize("score", NAMES)
def test_a_gradient_left_out_counts_as_zero(score):
    args, (dcontext, dweights) = setup(score)
    nothing = np.zeros_like
    agree(run(args, (dcontext, None), score), run(args, (dcontext, nothing(dweights)), score))
    agree(run(args, (None, dweights), score), run(args, (nothing(dcontext), dweights), score))


def test_by_hand():
    # One query, two keys; the score of the second is log 3 above that of the first.
    query, keys = np.array([[[2.0]]]), np.array([[[0.0]], [[np.log(3.0) / 2.0]]])
    values = np.array([[[1.0, 0.0]], [[0.0, 10.0]]])
    context, weights, _ = A.attention_forward(query, keys, values, score="dot")
    close(weights, np.array([[[0.25, 0.75]]]), rel=1e-15)
    close(context, np.array([[[0.25, 7.5]]]), rel=1e-15)
    # Who asks nothing gets the mean.
    context, _, _ = A.attention_forward(0.0 * query, keys, values)
    close(context, np.array([[[0.5, 5.0]]]), rel=1e-15)


@pytest.mark.parametrize("score", NAMES)
@pytest.mark.parametrize("dirt", [np.nan, np.inf, -np.inf, 1e300])
def test_what_is_hidden_from_every_query_has_no_influence(score, dirt):
    args, upstream = setup(score)
    lengths = np.array([2, 4, 3])
    mask = A.lengths_mask(lengths, 4)
    clean = run(args, upstream, score, mask)
    query, keys, values, params = args
    soiled = [np.where(mask.T[:, :, None], array, dirt) for array in (keys, values)]
    dirty = run((query, *soiled, params), upstream, score, mask)
    agree(dirty, clean, rel=1e-15)
    _, weights, _, dkeys, dvalues, _ = dirty
    assert (weights[:, ~mask] == 0).all()
    assert (weights[:, mask] > 0).all()
    for gradient in (dkeys, dvalues):
        assert (gradient[~mask.T] == 0).all()
        assert np.abs(gradient[mask.T]).min() > 0
    # Each example gives what it gives alone, cut to its length.
    for b, length in enumerate(lengths):
        own = query[:, b : b + 1], keys[:length, b : b + 1], values[:length, b : b + 1], params
        above = upstream[0][:, b : b + 1], upstream[1][:, b : b + 1, :length]
        alone = run(own, above, score)
        for a, whole in zip(alone[:3], dirty[:3], strict=True):
            close(a, whole[:, b : b + 1, : a.shape[-1]])
        for a, whole in zip(alone[3:5], dirty[3:5], strict=True):
            close(a, whole[:length, b : b + 1])


@PROPERTY
@given(st.integers(2, 6), st.data(), st.sampled_from(NAMES))
def test_a_causal_mask_leaks_nothing(T, data, score):
    t = data.draw(st.integers(0, T - 2))
    args, upstream = setup(score, (T, T, 2, 3, 3, 4))
    mask = A.causal_mask(T)
    context, weights, cache = A.attention_forward(*args, score=score, mask=mask)
    changed = [array.copy() for array in args[:3]]
    for array in changed:
        array[t + 1 :] += 1.0
    after, weights_after, _ = A.attention_forward(*changed, args[3], score=score, mask=mask)
    same(after[: t + 1], context[: t + 1])
    same(weights_after[: t + 1], weights[: t + 1])
    # Backward: a loss of the steps up to t gives the later ones no gradient.
    dcontext, dweights = (np.where(np.arange(T)[:, None, None] <= t, d, 0.0) for d in upstream)
    *gradients, _ = A.attention_backward(cache, dcontext, dweights)
    assert all((gradient[t + 1 :] == 0).all() for gradient in gradients)
    assert (gradients[2][: t + 1] != 0).all()


@PROPERTY
@given(sizes, st.sampled_from(NAMES), st.sampled_from(MASKS), st.randoms(use_true_random=False))
def test_the_order_of_the_source_is_only_an_order(size, score, kind, random):
    args, upstream = setup(score, size)
    mask = random_mask(kind, size)
    order = random.sample(range(size[1]), size[1])
    query, keys, values, params = args
    expected = run(args, upstream, score, mask)
    shuffled = query, keys[order], values[order], params
    actual = run(shuffled, (upstream[0], upstream[1][..., order]), score, mask[..., order])
    for number, (a, e) in enumerate(zip(actual[:5], expected[:5], strict=True)):
        if number in (1, 3, 4):  # the weights, and the gradients of keys and values
            e = e[..., order] if number == 1 else e[order]
        np.testing.assert_allclose(a, e, rtol=1e-9, atol=1e-12)


@PROPERTY
@given(sizes, st.sampled_from(NAMES), st.data())
def test_examples_and_queries_do_not_see_each_other(size, score, data):
    args, _ = setup(score, size)
    T, _, B, *_ = size
    t, b = data.draw(st.integers(0, T - 1)), data.draw(st.integers(0, B - 1))
    context, weights, _ = A.attention_forward(*args, score=score)
    query, keys, values, params = args
    own = query[t : t + 1, b : b + 1], keys[:, b : b + 1], values[:, b : b + 1], params
    alone, alone_weights, _ = A.attention_forward(*own, score=score)
    close(alone, context[t : t + 1, b : b + 1], rel=1e-12)
    close(alone_weights, weights[t : t + 1, b : b + 1], rel=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("score", NAMES)
@pytest.mark.parametrize("kind", [None, *MASKS])
def test_dtype_is_kept_and_inputs_untouched(dtype, score, kind):
    args, upstream = setup(score, dtype=dtype)
    mask = None if kind is None else random_mask(kind)
    kept = None if mask is None else mask.copy()
    context, weights, cache = leaves_untouched(A.attention_forward, *args, score=score, mask=mask)
    assert context.dtype == weights.dtype == dtype
    first = leaves_untouched(A.attention_backward, cache, *upstream)
    leaves_untouched(A.attention_backward, cache, upstream[0])
    leaves_untouched(A.attention_backward, cache, None, upstream[1])
    if mask is not None:
        same(mask, kept)
    arrays = [context, weights, *flat(cache), *flat(first)]
    assert {array.dtype for array in arrays} == {np.dtype(dtype)}
    for array, argument in zip(first[:3], args[:3], strict=True):
        assert array.shape == argument.shape
    # Backward again, and after another forward pass, gives the same.
    A.attention_forward(*(2 * array for array in args[:3]), args[3], score=score)
    for array, again in zip(flat(first), flat(A.attention_backward(cache, *upstream)), strict=True):
        same(array, again)


@pytest.mark.parametrize("score", NAMES)
def test_views_of_other_arrays_serve_as_well(score):
    # Batch-major arrays seen time-major, or every second step: any memory layout will do.
    args, upstream = setup(score)
    turned = [np.ascontiguousarray(a.swapaxes(0, 1)).swapaxes(0, 1) for a in args[:3]]
    strided = [np.repeat(a, 2, axis=0)[::2] for a in args[:3]]
    above = [np.asfortranarray(d) for d in upstream]
    expected = run(args, upstream, score)
    for arrays in (turned, strided):
        agree(run((*arrays, args[3]), above, score), expected, rel=1e-13)


def test_the_weights_cannot_be_written_into():
    args, _ = setup("dot")
    _, weights, cache = A.attention_forward(*args, score="dot")
    for array in (weights, cache.weights):
        with pytest.raises(ValueError, match="read-only"):
            array += 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("score", NAMES)
def test_extreme_scores(score, dtype):
    (query, keys, values, params), upstream = setup(score, dtype=dtype)
    if score == "additive":
        params = params._replace(v=1e4 * params.v)
    args = (1e4 * query, keys, values, params)
    mask = random_mask("TBS")
    actual = run(args, upstream, score, mask)
    assert all(np.isfinite(array).all() for array in flat(actual))
    close(actual[1].sum(axis=-1), np.ones((5, 3), dtype), rel=1e-6)
    if dtype is np.float64:
        expected = run_torch(args, upstream, score, mask)
        for a, e in zip(actual[:2], expected[:2], strict=True):
            close(a, e)


def test_the_two_masks():
    same(A.causal_mask(1), np.array([[[True]]]))
    same(A.causal_mask(3)[:, 0], np.array([[1, 0, 0], [1, 1, 0], [1, 1, 1]], dtype=bool))
    assert A.causal_mask(3).shape == (3, 1, 3)
    same(A.lengths_mask(np.array([1, 3]), 3), np.array([[1, 0, 0], [1, 1, 1]], dtype=bool))
    same(A.lengths_mask(np.array([1, 2]), 3), np.array([[1, 0, 0], [1, 1, 0]], dtype=bool))
    with pytest.raises(ValueError, match=r"^lengths must lie between 1 and T=3, got 4$"):
        A.lengths_mask(np.array([4]), 3)


BAD_SHAPES = [
    ("query", (5, 3), "query must have shape (T, B, Dq), got (5, 3)"),
    ("keys", (4, 2, 7), "keys must have shape (S, B=3, Dk), got (4, 2, 7)"),
    ("keys", (4, 1, 7), "keys must have shape (S, B=3, Dk), got (4, 1, 7)"),
    ("keys", (4, 3), "keys must have shape (S, B=3, Dk), got (4, 3)"),
    ("keys", (0, 3, 7), "keys must have at least one place, got S=0"),
    ("values", (3, 3, 2), "values must have shape (S=4, B=3, Dv), got (3, 3, 2)"),
    ("values", (1, 3, 2), "values must have shape (S=4, B=3, Dv), got (1, 3, 2)"),
    ("values", (4, 1, 2), "values must have shape (S=4, B=3, Dv), got (4, 1, 2)"),
]
BAD_PARAMS = [
    ("general", "W", (7, 6), "W must have shape (Dq=6, Dk=7), got (7, 6)"),
    ("additive", "v", (8, 1), "v must have shape (A=8,), got (8, 1)"),
    ("additive", "W_q", (1, 6), "W_q must have shape (A=8, Dq=6), got (1, 6)"),
    ("additive", "W_q", (8, 7), "W_q must have shape (A=8, Dq=6), got (8, 7)"),
    ("additive", "W_k", (1, 7), "W_k must have shape (A=8, Dk=7), got (1, 7)"),
    ("additive", "W_k", (8, 6), "W_k must have shape (A=8, Dk=7), got (8, 6)"),
]
BAD_MASKS = [
    (np.ones((3, 5), bool), ValueError, "mask must broadcast to (T=5, B=3, S=4), got (3, 5)"),
    (np.ones((5, 4), bool), ValueError, "mask must broadcast to (T=5, B=3, S=4), got (5, 4)"),
    (
        np.ones((1, 5, 3, 4), bool),
        ValueError,
        "mask must broadcast to (T=5, B=3, S=4), got (1, 5, 3, 4)",
    ),
    (np.ones((3, 4), int), TypeError, "mask must hold truth values, got dtype int64"),
    (np.zeros((3, 4)), TypeError, "mask must hold truth values, got dtype float64"),
]


def refused(error, message, function, *args, **kwargs):
    """Assert that a call raises this error, with this message and no other."""
    with pytest.raises(error) as caught:
        function(*args, **kwargs)
    assert str(caught.value) == message


@pytest.mark.parametrize("name, shape, message", BAD_SHAPES)
def test_shapes_that_do_not_fit(name, shape, message):
    args, _ = setup("general")
    arguments = dict(zip(["query", "keys", "values", "params"], args, strict=True))
    arguments[name] = np.ones(shape)
    refused(ValueError, message, A.attention_forward, **arguments, score="general")


@pytest.mark.parametrize("score, name, shape, message", BAD_PARAMS)
def test_parameters_that_do_not_fit(score, name, shape, message):
    (*args, params), _ = setup(score)
    params = params._replace(**{name: np.ones(shape)})
    refused(ValueError, message, A.attention_forward, *args, params, score=score)


@pytest.mark.parametrize("mask, error, message", BAD_MASKS)
def test_masks_that_do_not_fit(mask, error, message):
    args, _ = setup("dot")
    refused(error, message, A.attention_forward, *args, score="dot", mask=mask)


@pytest.mark.parametrize("score", ["dot", "scaled"])
def test_a_product_needs_keys_of_the_size_of_the_query(score):
    (query, keys, values, _), _ = setup(score)
    message = "keys must have shape (S, B=3, Dk=6), got (4, 3, 5)"
    refused(ValueError, message, A.attention_forward, query, keys[..., :5], values, score=score)


def test_a_query_that_may_look_nowhere():
    args, _ = setup("dot")
    mask = np.ones((5, 3, 4), dtype=bool)
    mask[3, 1] = False
    mask[4, 2] = False
    message = "mask must leave each query a place to look at, got none at [3, 1]"
    refused(ValueError, message, A.attention_forward, *args, score="dot", mask=mask)
    message = "mask must leave each query a place to look at, got none at [0, 2]"
    mask = np.arange(4) < np.array([[2], [1], [0]])
    refused(ValueError, message, A.attention_forward, *args, score="dot", mask=mask)


def test_scores_and_their_parameters():
    for score, params, needed in [
        ("dot", A.General(np.ones((6, 6))), "NoneType for the score dot, got General"),
        ("scaled", (), "NoneType for the score scaled, got tuple"),
        ("general", None, "General for the score general, got NoneType"),
        ("additive", A.General(np.ones((6, 6))), "Additive for the score additive, got General"),
    ]:
        (*args, _), _ = setup("dot")
        message = f"params must be {needed}"
        refused(TypeError, message, A.attention_forward, *args, params, score=score)
    message = "score must be one of scaled, dot, general, additive, got 'concat'"
    refused(ValueError, message, A.attention_forward, *args, score="concat")


@pytest.mark.parametrize(
    "score, name", [("dot", "keys"), ("dot", "values"), ("general", "W"), ("additive", "W_q"),
                    ("additive", "W_k"), ("additive", "v")]
)  # fmt: skip
def test_everything_has_the_dtype_of_the_query(score, name):
    (query, keys, values, params), _ = setup(score, dtype=np.float32)
    if name == "keys":
        keys = keys.astype(np.float64)
    elif name == "values":
        values = values.astype(np.float64)
    else:
        params = params._replace(**{name: getattr(params, name).astype(np.float64)})
    message = f"{name} must have the dtype of query, float32, got float64"
    refused(TypeError, message, A.attention_forward, query, keys, values, params, score=score)


def test_arguments_that_hold_no_floats():
    (query, keys, values, _), _ = setup("dot")
    message = "query must hold floating-point numbers, got dtype int64"
    refused(TypeError, message, A.attention_forward, query.astype(int), keys, values, score="dot")
    message = "values must hold floating-point numbers, got dtype int64"
    refused(TypeError, message, A.attention_forward, query, keys, values.astype(int), score="dot")
    message = "query must be a NumPy array, got list"
    refused(TypeError, message, A.attention_forward, query.tolist(), keys, values, score="dot")
    message = "keys must be a NumPy array, got list"
    refused(TypeError, message, A.attention_forward, query, keys.tolist(), values, score="dot")


def test_gradients_that_do_not_fit():
    args, (dcontext, dweights) = setup("dot")
    _, _, cache = A.attention_forward(*args, score="dot")
    back = A.attention_backward
    message = "one of dcontext, dweights must be given, got None for all"
    refused(ValueError, message, back, cache)
    message = "dcontext must have shape (T=5, B=3, Dv=2), got (1, 3, 2)"
    refused(ValueError, message, back, cache, dcontext[:1])
    message = "dweights must have shape (T=5, B=3, S=4), got (5, 3, 1)"
    refused(ValueError, message, back, cache, dcontext, dweights[..., :1])
    message = "dcontext must have the dtype of context, float64, got float32"
    refused(TypeError, message, back, cache, dcontext.astype(np.float32))
    message = "dweights must have the dtype of weights, float64, got float32"
    refused(TypeError, message, back, cache, None, dweights.astype(np.float32))
