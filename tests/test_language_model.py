"""The language model: equal to torch in every gradient and over a whole training run; sampling."""

import numpy as np
import pytest
import torch

from tests.helpers import close, flat, leaves_untouched, same
from unrolled import bptt, optim
from unrolled import functional as F
from unrolled import gradient_check as G
from unrolled import gradients as C
from unrolled import language_model as M
from unrolled import params as P

CELLS = ["rnn", "gru", "lstm"]
V, E, H = 7, 3, 4


def setup(cell, T=5, B=2, dtype=np.float64):
    """A model, a window of a text, and a carried state that is not zero."""
    rng = np.random.default_rng(0)
    params = M.init_language_model(cell, V, E, H, rng=rng, dtype=dtype)
    text = rng.integers(V, size=(T + 1, B))
    draw = lambda: rng.normal(size=(B, H)).astype(dtype)  # noqa: E731
    return params, text[:-1], text[1:], (draw(), draw()) if cell == "lstm" else draw()


class Twin(torch.nn.Module):
    """The same model in torch."""

    def __init__(self, cell, params):
        super().__init__()
        options = {"dtype": torch.float64}
        self.embedding = torch.nn.Embedding(V, E, **options)
        self.layer = getattr(torch.nn, cell.upper())(E, H, **options)
        self.output = torch.nn.Linear(H, V, **options)
        with torch.no_grad():
            for parameter, array in zip(self.parameters(), flat(params), strict=True):
                parameter.copy_(torch.tensor(array))

    def forward(self, x, state=None):
        out, state = self.layer(self.embedding(torch.tensor(x)), state)
        return self.output(out), state


def torch_state(state, requires_grad=False):
    parts = [torch.tensor(part[None], requires_grad=requires_grad) for part in flat([state])]
    return (tuple(parts) if len(parts) == 2 else parts[0]), parts


def torch_loss(logits, y):
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), torch.tensor(y).flatten())


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("T, B", [(5, 2), (1, 3), (4, 1)])
def test_loss_and_gradients_equal_torch(cell, T, B):
    params, x, y, state = setup(cell, T, B)
    loss, grads, state_n = M.language_model_loss(cell, params, x, y, state)
    twin = Twin(cell, params)
    logits, last = twin(x, torch_state(state)[0])
    expected = torch_loss(logits, y)
    expected.backward()
    assert abs(loss - float(expected.detach())) < 1e-12
    assert type(grads) is M.LanguageModel
    for grad, parameter in zip(flat(grads), twin.parameters(), strict=True):
        close(grad, parameter.grad)
    for part, theirs in zip(flat([state_n]), last if cell == "lstm" else [last], strict=True):
        close(part, theirs[0])


@pytest.mark.parametrize("cell", CELLS)
def test_forward_and_backward_equal_torch_with_a_gradient_on_everything(cell):
    params, x, _, state = setup(cell)
    rng = np.random.default_rng(1)
    logits, state_n, cache = M.language_model_forward(cell, params, x, state)
    dlogits = rng.normal(size=logits.shape)
    dstate_n = P.tree_map(lambda a: rng.normal(size=a.shape), state_n)
    dstate, grads = M.language_model_backward(cache, dlogits, dstate_n)
    twin = Twin(cell, params)
    initial, leaves = torch_state(state, requires_grad=True)
    theirs, last = twin(x, initial)
    last = list(last) if cell == "lstm" else [last]
    upstream = [torch.tensor(part[None]) for part in flat([dstate_n])]
    torch.autograd.backward([theirs, *last], [torch.tensor(dlogits), *upstream])
    close(logits, theirs)
    for grad, parameter in zip(flat(grads), twin.parameters(), strict=True):
        close(grad, parameter.grad)
    for part, leaf in zip(flat([dstate]), leaves, strict=True):
        close(part, leaf.grad[0])


@pytest.mark.parametrize("cell", CELLS)
def test_gradients_are_the_measured_ones(cell):
    params, x, y, state = setup(cell, T=3)
    mask = np.array([[True, True], [True, True], [True, False]])
    _, grads, _ = M.language_model_loss(cell, params, x, y, state, mask=mask)
    loss = lambda params: M.language_model_loss(cell, params, x, y, state, mask=mask)[0]  # noqa: E731
    assert G.relative_error(G.numerical_grad(loss, params), grads) < 1e-7


@pytest.mark.parametrize("cell", CELLS)
def test_twenty_steps_of_adam_give_the_losses_of_torch(cell):
    params, *_ = setup(cell)
    text = bptt.stream(np.random.default_rng(3).integers(V, size=4 * 101), 4)
    twin = Twin(cell, params)
    optimiser = torch.optim.Adam(twin.parameters(), lr=0.01)
    adam, state, carried, ours, theirs = optim.adam_init(params), None, None, [], []
    for x, y in bptt.windows(text, 5):
        loss, grads, state = M.language_model_loss(cell, params, x, y, state)
        params, adam = optim.adam(params, grads, adam, lr=0.01)
        ours.append(loss)
        optimiser.zero_grad()
        logits, last = twin(x, carried)
        expected = torch_loss(logits, y)
        expected.backward()
        optimiser.step()
        carried = tuple(p.detach() for p in last) if cell == "lstm" else last.detach()
        theirs.append(float(expected.detach()))
    assert len(ours) == 20
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)


def test_what_is_masked_has_no_influence():
    params, x, y, state = setup("gru")
    mask = np.ones(x.shape, bool)
    mask[3:, 1] = False
    loss, grads, _ = M.language_model_loss("gru", params, x, y, state, mask=mask)
    wild = np.where(mask, y, -100)
    again, grads_again, _ = M.language_model_loss("gru", params, x, wild, state, mask=mask)
    assert loss == again
    for a, b in zip(flat(grads), flat(grads_again), strict=True):
        same(a, b)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("cell", CELLS)
def test_dtype_is_kept_and_inputs_untouched(cell, dtype):
    params, x, y, state = setup(cell, dtype=dtype)
    assert {a.dtype for a in flat(params)} == {np.dtype(dtype)}
    loss, grads, state_n = leaves_untouched(M.language_model_loss, cell, params, x, y, state)
    assert type(loss) is float
    assert {a.dtype for a in flat((grads, state_n))} == {np.dtype(dtype)}
    for grad, parameter in zip(flat(grads), flat(params), strict=True):
        assert grad.shape == parameter.shape
    assert M.sample(cell, params, np.array([1, 2]), 3, rng=np.random.default_rng(0)).dtype == int


def test_the_embedding_is_normal_and_the_rest_uniform():
    params = M.init_language_model("lstm", 50, 40, 64, rng=np.random.default_rng(0))
    assert abs(params.embedding.mean()) < 0.1
    assert abs(params.embedding.std() - 1) < 0.1
    for array in flat((params.layer, params.output)):
        assert 0.11 < np.abs(array).max() <= 1 / 8
    same(
        params.embedding,
        M.init_language_model("lstm", 50, 40, 64, rng=np.random.default_rng(0)).embedding,
    )


@pytest.mark.parametrize("cell", CELLS)
def test_it_learns_a_text_by_heart_and_says_it(cell):
    text = np.array([0, 1, 2, 3, 1, 4, 2, 5, 3, 6] * 30)
    params = M.init_language_model(cell, V, 8, 24, rng=np.random.default_rng(0), dtype=np.float32)
    adam, laid = optim.adam_init(params), bptt.stream(text, 5)
    for _ in range(30):
        state = None
        for x, y in bptt.windows(laid, 20):
            loss, grads, state = M.language_model_loss(cell, params, x, y, state)
            grads, _ = C.clip_by_norm(grads, 1.0)
            params, adam = optim.adam(params, grads, adam, lr=0.02)
    assert loss < 0.05
    said = M.sample(cell, params, text[:10], 20, temperature=0, rng=np.random.default_rng(0))
    same(said, text[:20])


def test_greedy_is_the_most_likely_symbol_each_time():
    # Large weights, so that what was read matters: else it would say one symbol again and again.
    params = P.tree_map(lambda a: 6.0 * a, setup("gru")[0])
    rng, expected = np.random.default_rng(0), []
    for start in [(3, 1), (0, 4), (1, 2), (0,)]:
        text = [*start]
        for _ in range(10):  # from the beginning each time: no state is carried here
            logits = M.language_model_forward("gru", params, np.array(text)[:, None])[0]
            text.append(int(logits[-1, 0].argmax()))
        expected.append(text[len(start) :])
        for options in ({"temperature": 0}, {"top_k": 1}, {"temperature": 9.0, "top_k": 1}):
            said = leaves_untouched(
                M.sample, "gru", params, np.array(start), 10, rng=rng, **options
            )
            assert said.tolist() == expected[-1]
    assert all(len(set(said)) > 2 for said in expected)
    assert len({said[0] for said in expected}) > 1


def uniform():
    """A model that finds all symbols equally likely, whatever it has read."""
    return P.tree_map(np.zeros_like, setup("rnn")[0])


def test_of_equal_symbols_greedy_takes_the_first():
    for options in ({"temperature": 0}, {"top_k": 1}):
        said = M.sample("rnn", uniform(), np.array([4]), 3, rng=np.random.default_rng(0), **options)
        assert said.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    "temperature, top_k", [(1.0, None), (1.0, 3), (2.0, 3), (0.5, None), (2.0, 100)]
)
def test_the_first_symbol_follows_the_softmax(temperature, top_k):
    # The logits are the bias of the output, so that each symbol is drawn like the first.
    b = np.array([0.5, -1.0, 2.0, 0.0, 1.0, -0.5, 1.5])
    params = uniform()._replace(output=P.Linear(np.zeros((V, H)), b))
    N = 1000
    said = M.sample(
        "rnn", params, np.array([0]), N, temperature=temperature, top_k=top_k,
        rng=np.random.default_rng(0),
    )  # fmt: skip
    p = F.softmax(b / temperature)
    if top_k == 3:
        p[np.argsort(b)[:-3]] = 0.0
        p /= p.sum()
    counts = np.bincount(said, minlength=V)
    assert not counts[p == 0].any()
    chi_square = ((counts - N * p)[p > 0] ** 2 / (N * p[p > 0])).sum()
    # With 6 degrees of freedom 0.1 % lie above 22.5.
    assert chi_square < 22.5


def test_the_same_generator_writes_the_same():
    params, *_ = setup("gru")
    said = [
        M.sample("gru", params, np.array([1]), 30, rng=np.random.default_rng(seed)).tolist()
        for seed in (0, 0, 1)
    ]
    assert said[0] == said[1] != said[2]
    assert M.sample("gru", params, [1], 0, rng=np.random.default_rng(0)).tolist() == []


def test_the_smallest_temperature_takes_the_most_likely_symbol():
    params, x, _, _ = setup("rnn")
    for temperature in (1e-300, 5e-324):
        cold = M.sample(
            "rnn", params, x[:, 0], 20, temperature=temperature, rng=np.random.default_rng(0)
        )
        same(
            cold, M.sample("rnn", params, x[:, 0], 20, temperature=0, rng=np.random.default_rng(1))
        )


R = np.random.default_rng(0)
PARAMS, X, Y, STATE = setup("rnn")
CACHE = M.language_model_forward("rnn", PARAMS, X)[2]
START = np.array([0])
ERRORS = [
    (lambda: M.init_language_model("mlp", 5, 4, 3, rng=R),
     ValueError, "cell must be one of rnn, gru, lstm, got 'mlp'"),
    (lambda: M.init_language_model("rnn", 0, 4, 3, rng=R),
     ValueError, "V must be at least 1, got 0"),
    (lambda: M.init_language_model("rnn", 5, 0, 3, rng=R),
     ValueError, "E must be at least 1, got 0"),
    (lambda: M.init_language_model("rnn", 5, 4, 0, rng=R),
     ValueError, "H must be at least 1, got 0"),
    (lambda: M.language_model_loss("rnn", PARAMS, X[0], Y[0]),
     ValueError, "x must have shape (T, B), got (2,)"),
    (lambda: M.language_model_loss("rnn", PARAMS, X, Y[1:]),
     ValueError, "target must have shape (N1=5, N2=2), got (4, 2)"),
    (lambda: M.language_model_loss("rnn", PARAMS, X, Y + 7),
     ValueError, f"target must lie in 0..6, got values from {Y.min() + 7} to {Y.max() + 7}"),
    (lambda: M.language_model_loss("rnn", PARAMS, X - 9, Y),
     ValueError, f"ids must lie in 0..6, got values from {X.min() - 9} to {X.max() - 9}"),
    (lambda: M.language_model_loss("rnn", PARAMS, 1.0 * X, Y),
     TypeError, "ids must hold integers, got dtype float64"),
    (lambda: M.language_model_loss("rnn", PARAMS, X, Y, STATE[:1]),
     ValueError, "h0 must have shape (B=2, H=4), got (1, 4)"),
    (lambda: M.language_model_backward(CACHE, np.ones((5, 2, 6))),
     ValueError, "dlogits must have shape (T=5, B=2, V=7), got (5, 2, 6)"),
    (lambda: M.sample("rnn", PARAMS, np.array([[0]]), 3, rng=R),
     ValueError, "start must have shape (T,), got (1, 1)"),
    (lambda: M.sample("rnn", PARAMS, START[:0], 3, rng=R),
     ValueError, "start must hold at least one symbol, got none"),
    (lambda: M.sample("rnn", PARAMS, START, -1, rng=R),
     ValueError, "length must be at least 0, got -1"),
    (lambda: M.sample("rnn", PARAMS, START, 3, temperature=-0.5, rng=R),
     ValueError, "temperature must be at least 0, got -0.5"),
    (lambda: M.sample("rnn", PARAMS, START, 3, temperature=float("nan"), rng=R),
     ValueError, "temperature must be at least 0, got nan"),
    (lambda: M.sample("rnn", PARAMS, START, 3, temperature=float("inf"), rng=R),
     ValueError, "temperature must be finite, got inf"),
    (lambda: M.sample("rnn", PARAMS, START, 3, top_k=0, rng=R),
     ValueError, "top_k must be at least 1, got 0"),
    (lambda: M.sample("rnn", PARAMS, np.array([7]), 3, rng=R),
     ValueError, "ids must lie in 0..6, got values from 7 to 7"),
]  # fmt: skip


@pytest.mark.parametrize("call, error, message", ERRORS)
def test_arguments_that_do_not_fit(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == message
