"""The embedding: equal to torch, and to the product of one-hot vectors and a matrix."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers import PROPERTY, close, leaves_untouched, same
from unrolled import embedding as E
from unrolled import gradient_check as G
from unrolled.data import sequences as S

# The shape of the ids, V and E: all different, then each of them 1, then V = E.
SIZES = [((5, 3), 4, 2), ((7,), 4, 3), ((2, 3, 4), 5, 6), ((1,), 4, 3), ((5, 3), 1, 2),
         ((5, 3), 4, 1), ((5, 3), 4, 4), ((), 4, 3), ((60,), 3, 2)]  # fmt: skip


def setup(shape, V, E, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    W = rng.normal(size=(V, E)).astype(dtype)
    return W, rng.integers(V, size=shape), rng.normal(size=(*shape, E)).astype(dtype)


@pytest.mark.parametrize("shape, V, size", SIZES)
def test_embedding_equals_torch(shape, V, size):
    W, ids, dout = setup(shape, V, size)
    out, cache = E.embedding_forward(W, ids)
    layer = torch.nn.Embedding.from_pretrained(torch.tensor(W), freeze=False)
    expected = layer(torch.as_tensor(ids))
    expected.backward(torch.tensor(dout))
    close(out, expected)
    close(E.embedding_backward(cache, dout), layer.weight.grad)


def test_gradient_is_the_measured_one():
    W, ids, dout = setup((6, 2), 4, 3)
    _, cache = E.embedding_forward(W, ids)
    measured = G.numerical_grad(lambda W: float((E.embedding_forward(W, ids)[0] * dout).sum()), W)
    assert G.relative_error(E.embedding_backward(cache, dout), measured) < 1e-8


@PROPERTY
@given(st.lists(st.integers(0, 4), min_size=1, max_size=12), st.integers(1, 4))
def test_it_is_a_product_with_one_hot_vectors(ids, size):
    W, ids, dout = setup((len(ids),), 5, size)[0], np.array(ids), setup((len(ids),), 5, size)[2]
    out, cache = E.embedding_forward(W, ids)
    same(out, S.one_hot(ids, 5) @ W)
    dW = E.embedding_backward(cache, dout)
    close(dW, S.one_hot(ids, 5).T @ dout)
    assert (dW[np.setdiff1d(np.arange(5), ids)] == 0).all()


def test_an_id_that_comes_many_times_gets_all_its_gradients():
    _, cache = E.embedding_forward(np.zeros((3, 2)), np.array([[1, 1], [2, 1]]))
    dout = np.array([[[1.0, 10], [2, 20]], [[4, 40], [8, 80]]])
    same(E.embedding_backward(cache, dout), np.array([[0.0, 0], [11, 110], [4, 40]]))


@pytest.mark.parametrize("integers", [np.int64, np.int32, np.uint8, np.uint64])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_is_kept_and_inputs_untouched(dtype, integers):
    # With 100 columns, the place of a number is beyond what uint8 can hold.
    W, ids, dout = setup((5, 3), 4, 100, dtype)
    out, cache = leaves_untouched(E.embedding_forward, W, ids.astype(integers))
    dW = leaves_untouched(E.embedding_backward, cache, dout)
    assert out.dtype == dW.dtype == dtype
    close(dW, E.embedding_backward(E.EmbeddingCache(W, ids), dout))
    assert not np.shares_memory(out, W)


def test_a_second_pass_leaves_the_first_cache_alone():
    W, ids, dout = setup((5, 3), 4, 2)
    _, cache = E.embedding_forward(W, ids)
    before = E.embedding_backward(cache, dout)
    E.embedding_backward(E.embedding_forward(W, (ids + 1) % 4)[1], 2 * dout)
    same(E.embedding_backward(cache, dout), before)


def test_no_ids_get_no_gradient():
    out, cache = E.embedding_forward(np.ones((3, 2)), np.zeros((0, 4), dtype=int))
    assert out.shape == (0, 4, 2)
    same(E.embedding_backward(cache, out), np.zeros((3, 2)))


@pytest.mark.parametrize(
    "W, ids, error, message",
    [
        ((3,), [0], ValueError, r"W must have shape \(V, E\), got \(3,\)"),
        ((3, 2), [0, 3], ValueError, r"ids must lie in 0\.\.2, got values from 0 to 3"),
        ((3, 2), [[2], [-1]], ValueError, r"ids must lie in 0\.\.2, got values from -1 to 2"),
        ((3, 2), [0.0], TypeError, "ids must hold integers, got dtype float64"),
        ((3, 2), [True], TypeError, "ids must hold integers, got dtype bool"),
    ],
)
def test_ids_that_cannot_be(W, ids, error, message):
    with pytest.raises(error, match=f"^{message}$"):
        E.embedding_forward(np.zeros(W), np.array(ids))


def test_whole_numbers_cannot_be_learned():
    with pytest.raises(TypeError, match="^W must hold floating-point numbers, got dtype int64$"):
        E.embedding_forward(np.zeros((3, 2), dtype=np.int64), np.array([0]))


@pytest.mark.parametrize("shape", [(5, 3), (5, 3, 1), (3, 5, 2), (15, 2), (1, 5, 3, 2)])
def test_a_gradient_that_does_not_fit(shape):
    W, ids, _ = setup((5, 3), 4, 2)
    _, cache = E.embedding_forward(W, ids)
    got = str(shape).replace("(", r"\(").replace(")", r"\)")
    with pytest.raises(ValueError, match=rf"^dout must have shape \(N1=5, N2=3, E=2\), got {got}$"):
        E.embedding_backward(cache, np.zeros(shape))


def test_a_gradient_of_another_dtype():
    W, ids, dout = setup((5, 3), 4, 2, np.float32)
    _, cache = E.embedding_forward(W, ids)
    with pytest.raises(TypeError, match="^dout must have the dtype of W, float32, got float64$"):
        E.embedding_backward(cache, dout.astype(np.float64))
