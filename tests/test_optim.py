"""Optimisers and schedules: equal to torch.optim, and no argument is changed."""

import numpy as np
import pytest
import torch

from tests.helpers import close, flat, leaves_untouched, same
from unrolled import optim as O
from unrolled import params as P


def trees(dtype=np.float64):
    rng = np.random.default_rng(0)
    shapes = [(3, 2), (3,)]
    make = lambda: tuple(  # noqa: E731
        P.Linear(*(rng.normal(size=s).astype(dtype) for s in shapes)) for _ in range(2)
    )
    return make(), [make() for _ in range(4)]


def test_steps_equal_torch():
    params, steps = trees()
    tensors = [torch.tensor(array, requires_grad=True) for array in flat(params)]
    optimiser = torch.optim.SGD(tensors, lr=0.3)
    for grads in steps:
        params = O.sgd(params, grads, lr=0.3)
        for tensor, grad in zip(tensors, flat(grads), strict=True):
            tensor.grad = torch.tensor(grad)
        optimiser.step()
    for array, tensor in zip(flat(params), tensors, strict=True):
        close(array, tensor)


def test_a_parabola_shrinks_as_the_formula_says():
    p = np.array([4.0, -2.0])
    for _ in range(10):
        p = O.sgd(p, p, lr=0.25)  # the gradient of p^2 / 2 is p
    close(p, np.array([4.0, -2.0]) * 0.75**10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_structure_and_dtype_are_kept_and_arguments_untouched(dtype):
    params, (grads, *_) = trees(dtype)
    new = leaves_untouched(O.sgd, params, grads, lr=0.1)
    assert [type(layer) for layer in new] == [P.Linear, P.Linear]
    for array, old in zip(flat(new), flat(params), strict=True):
        assert array.dtype == dtype
        assert not np.shares_memory(array, old)
        assert (array != old).any()


def test_a_numpy_learning_rate_keeps_float32():
    p = np.ones(2, np.float32)
    same(O.sgd(p, p, lr=np.float64(0.5)), np.full(2, 0.5, np.float32))


def test_parameters_keep_their_dtype_whatever_the_gradient():
    p = np.ones(2, np.float32)
    same(O.sgd(p, np.ones(2), lr=0.5), np.full(2, 0.5, np.float32))


def test_whole_numbers_cannot_descend():
    with pytest.raises(TypeError, match="^params must hold floating-point numbers, got dtype int"):
        O.sgd(np.array([1, 2]), np.array([1, 1]), lr=0.1)


@pytest.mark.parametrize("lr", [0, 0.0, -0.1, float("nan")])
def test_learning_rate_must_be_positive(lr):
    with pytest.raises(ValueError, match=f"^lr must be greater than 0, got {lr}$"):
        O.sgd(np.ones(2), np.ones(2), lr=lr)


@pytest.mark.parametrize("shape", [(3,), (1,), (), (1, 2)])
def test_gradients_must_have_the_shapes_of_parameters(shape):
    with pytest.raises(ValueError, match=r"^grads must have the shapes of params, got \("):
        O.sgd(np.ones(2), np.ones(shape), lr=0.1)


def test_gradients_must_have_the_structure_of_parameters():
    params, (grads, *_) = trees()
    with pytest.raises(ValueError, match="^trees must have the same structure"):
        O.sgd(params, grads[:1], lr=0.1)


def random_tree(rng, shapes, dtype=np.float64):
    """Nested as a model's parameters are: a NamedTuple, a tuple of them, an array alone."""
    make = lambda *shape: rng.normal(size=shape).astype(dtype)  # noqa: E731
    H, D = shapes
    layers = tuple(P.Linear(make(H, D), make(H)) for _ in range(2))
    return layers, P.Recurrent(make(4 * H, D), make(4 * H, H), make(4 * H), make(4 * H)), make(D)


STEPS = 50


def against_torch(ours, theirs, seed):
    """Take the same steps with both, on gradients of very different sizes."""
    rng = np.random.default_rng(seed)
    sizes = tuple(rng.integers(1, 5, size=2))
    params = random_tree(rng, sizes)
    tensors = [torch.tensor(array, requires_grad=True) for array in flat(params)]
    optimiser = theirs(tensors)
    for k in range(STEPS):
        grads = P.tree_map(lambda g, k=k: 10.0 ** (k % 5 - 2) * g, random_tree(rng, sizes))
        params = ours(params, grads)
        for tensor, grad in zip(tensors, flat(grads), strict=True):
            tensor.grad = torch.tensor(grad)
        optimiser.step()
    for array, tensor in zip(flat(params), tensors, strict=True):
        close(array, tensor)


def stateful(function, init, **settings):
    """An optimiser that keeps its state to itself, as torch's do."""
    state = None

    def step(params, grads):
        nonlocal state
        params, state = function(
            params, grads, init(params) if state is None else state, **settings
        )
        return params

    return step


@pytest.mark.parametrize("weight_decay", [0.0, 0.03])
def test_sgd_equals_torch(weight_decay):
    settings = {"lr": 0.02, "weight_decay": weight_decay}
    against_torch(
        lambda params, grads: O.sgd(params, grads, **settings),
        lambda tensors: torch.optim.SGD(tensors, **settings),
        seed=1,
    )


@pytest.mark.parametrize("weight_decay", [0.0, 0.03])
@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("mu", [0.5, 0.9])
def test_momentum_equals_torch(mu, nesterov, weight_decay):
    settings = {"lr": 0.02, "nesterov": nesterov, "weight_decay": weight_decay}
    against_torch(
        stateful(O.momentum, O.momentum_init, mu=mu, **settings),
        lambda tensors: torch.optim.SGD(tensors, momentum=mu, **settings),
        seed=2,
    )


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
@pytest.mark.parametrize("lr, beta1, beta2, eps", [(1e-3, 0.9, 0.999, 1e-8), (0.1, 0.5, 0.8, 0.1)])
def test_adam_equals_torch(lr, beta1, beta2, eps, weight_decay):
    settings = {"lr": lr, "eps": eps, "weight_decay": weight_decay}
    against_torch(
        stateful(O.adam, O.adam_init, beta1=beta1, beta2=beta2, **settings),
        lambda tensors: torch.optim.AdamW(tensors, betas=(beta1, beta2), **settings),
        seed=3,
    )


def test_adam_alone_equals_torchs_adam_with_the_settings_of_both_left_out():
    against_torch(stateful(O.adam, O.adam_init), torch.optim.Adam, seed=4)


def test_momentum_without_momentum_is_gradient_descent():
    params, steps = trees()
    descended, state = params, O.momentum_init(params)
    for grads in steps:
        descended = O.sgd(descended, grads, lr=0.3)
        params, state = O.momentum(params, grads, state, lr=0.3, mu=0.0)
    for array, expected in zip(flat(params), flat(descended), strict=True):
        close(array, expected)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_adam_ignores_the_size_of_a_gradient(scale):
    p, g = np.zeros(4), np.array([1.0, -2.0, 3.0, -4.0])
    state = O.adam_init(p)
    for k in range(1, 4):
        p, state = O.adam(p, scale * g, state, lr=0.1)
        assert state.step == k
        np.testing.assert_allclose(p, -0.1 * k * np.sign(g), rtol=1e-4)


def test_decay_alone_shrinks_every_parameter_alike():
    p, zero = np.array([4.0, -2.0]), np.zeros(2)
    close(O.sgd(p, zero, lr=0.1, weight_decay=0.5), 0.95 * p)
    close(O.adam(p, zero, O.adam_init(p), lr=0.1, weight_decay=0.5)[0], 0.95 * p)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum_keeps_dtype_and_structure_and_its_arguments(dtype, nesterov):
    params, (grads, more, *_) = trees(dtype)
    settings = {"lr": np.float64(0.1), "mu": np.float64(0.9), "weight_decay": np.float64(0.1)}
    state = leaves_untouched(O.momentum_init, params)
    for g in (grads, more):
        new, new_state = leaves_untouched(
            O.momentum, params, g, state, nesterov=nesterov, **settings
        )
        check_step(params, new, new_state, dtype)
        params, state = new, new_state


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weight_decay", [0.0, np.float64(0.1)])
def test_adam_keeps_dtype_and_structure_and_its_arguments(dtype, weight_decay):
    params, (grads, more, *_) = trees(dtype)
    settings = dict.fromkeys(["beta1", "beta2", "lr"], np.float64(0.5)) | {"eps": np.float64(1e-8)}
    state = leaves_untouched(O.adam_init, params)
    for g in (grads, more):
        new, new_state = leaves_untouched(
            O.adam, params, g, state, weight_decay=weight_decay, **settings
        )
        check_step(params, new, new_state, dtype)
        params, state = new, new_state


def check_step(params, new, state, dtype):
    assert [type(layer) for layer in new] == [P.Linear, P.Linear]
    for array, old in zip(flat(new), flat(params), strict=True):
        assert array.dtype == dtype
        assert not np.shares_memory(array, old)
        assert (array != old).any()
    assert {array.dtype for array in flat(state)} == {np.dtype(dtype)}
    assert [a.shape for a in flat(state)][: len(flat(params))] == [a.shape for a in flat(params)]


def test_a_gradient_of_another_dtype_does_not_widen_the_state():
    p = np.ones(2, np.float32)
    for function, init in [(O.momentum, O.momentum_init), (O.adam, O.adam_init)]:
        new, state = function(p, np.ones(2), init(p), lr=0.5)
        assert {a.dtype for a in flat((new, state))} == {np.dtype(np.float32)}


ONE = np.ones(2)
BAD_SETTINGS = [
    *[("lr", v, f"lr must be greater than 0, got {v}") for v in (0, -0.1, np.nan)],
    ("weight_decay", -1, "weight_decay must be at least 0, got -1"),
    ("weight_decay", np.nan, "weight_decay must be at least 0, got nan"),
]
BAD_SHARES = [(v, f"must be at least 0 and below 1, got {v}") for v in (-0.1, 1, 1.5, np.nan)]
WITH_STATE = {"momentum": (O.momentum, O.momentum_init), "adam": (O.adam, O.adam_init)}


@pytest.mark.parametrize("name, value, message", BAD_SETTINGS)
def test_settings_out_of_range(name, value, message):
    settings = {"lr": 0.1} | {name: value}
    with pytest.raises(ValueError, match=f"^{message}$"):
        O.sgd(ONE, ONE, **settings)
    for function, init in WITH_STATE.values():
        with pytest.raises(ValueError, match=f"^{message}$"):
            function(ONE, ONE, init(ONE), **settings)


@pytest.mark.parametrize("value, message", BAD_SHARES)
def test_shares_out_of_range(value, message):
    with pytest.raises(ValueError, match=f"^mu {message}$"):
        O.momentum(ONE, ONE, O.momentum_init(ONE), lr=0.1, mu=value)
    for name in ("beta1", "beta2"):
        with pytest.raises(ValueError, match=f"^{name} {message}$"):
            O.adam(ONE, ONE, O.adam_init(ONE), **{name: value})
    with pytest.raises(ValueError, match="^eps must be greater than 0, got 0$"):
        O.adam(ONE, ONE, O.adam_init(ONE), eps=0)


@pytest.mark.parametrize("name", WITH_STATE)
def test_gradients_and_states_that_do_not_fit(name):
    function, init = WITH_STATE[name]
    field = {"momentum": "state.velocity", "adam": "state.m"}[name]
    message = r"grads must have the shapes of params, got \(1,\) for \(2,\)"
    with pytest.raises(ValueError, match=f"^{message}$"):
        function(ONE, np.ones(1), init(ONE), lr=0.1)
    message = rf"{field} must have the shapes of params, got \(1,\) for \(2,\)"
    with pytest.raises(ValueError, match=f"^{message}$"):
        function(ONE, ONE, init(np.ones(1)), lr=0.1)
    message = f"{field} must have the dtype of params, float32, got float64"
    with pytest.raises(TypeError, match=f"^{message}$"):
        function(ONE.astype(np.float32), ONE, init(ONE), lr=0.1)
    with pytest.raises(ValueError, match="^trees must have the same structure"):
        function((ONE, ONE), (ONE, ONE), init((ONE,)), lr=0.1)
    with pytest.raises(TypeError, match="^params must hold floating-point numbers, got dtype int"):
        function(np.array([1, 2]), ONE, init(ONE), lr=0.1)
    other = {"momentum": O.adam_init, "adam": O.momentum_init}[name](ONE)
    message = f"state must be of {type(init(ONE)).__name__}, got {type(other).__name__}"
    with pytest.raises(TypeError, match=f"^{message}$"):
        function(ONE, ONE, other, lr=0.1)
    if name == "adam":
        wrong = O.AdamState(0, ONE, np.ones(3))
        message = r"state\.v must have the shapes of params, got \(3,\) for \(2,\)"
        with pytest.raises(ValueError, match=f"^{message}$"):
            O.adam(ONE, ONE, wrong)


def torch_rates(make, steps, lr):
    """The learning rate that torch would use at each step."""
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    scheduler, rates = make(optimiser), []
    for _ in range(steps):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize("total, warmup, final", [(40, 0, 0.0), (40, 7, 0.01), (9, 8, 0.0)])
def test_cosine_equals_torch(total, warmup, final):
    # Written out for the line up, which torch would need a second scheduler for.
    fall = torch_rates(
        lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, total - warmup, eta_min=final),
        total - warmup + 1, lr=0.3,
    )  # fmt: skip
    expected = [0.3 * (k + 1) / (warmup + 1) for k in range(warmup)] + fall
    ours = [O.cosine(k, total=total, lr=0.3, warmup=warmup, final=final) for k in range(total + 1)]
    np.testing.assert_allclose(ours, expected, rtol=1e-10, atol=1e-15)
    assert max(ours) == ours[warmup] == 0.3
    # torch's would rise again.
    assert O.cosine(2 * total, total=total, lr=0.3, warmup=warmup, final=final) == final


def test_the_line_up_equals_torchs():
    rise = torch_rates(
        lambda o: torch.optim.lr_scheduler.LinearLR(o, start_factor=1 / 8, total_iters=7), 8, lr=0.3
    )
    ours = [O.cosine(k, total=40, lr=0.3, warmup=7) for k in range(8)]
    np.testing.assert_allclose(ours, rise, rtol=1e-10)


def test_stairs_and_exponential_equal_torch():
    expected = torch_rates(lambda o: torch.optim.lr_scheduler.StepLR(o, 3, gamma=0.7), 20, lr=0.3)
    ours = [O.step_decay(k, every=3, factor=0.7, lr=0.3) for k in range(20)]
    np.testing.assert_allclose(ours, expected, rtol=1e-10)
    expected = torch_rates(lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.9), 20, lr=0.3)
    ours = [O.exponential(k, rate=0.9, lr=0.3) for k in range(20)]
    np.testing.assert_allclose(ours, expected, rtol=1e-10)


@pytest.mark.parametrize(
    "schedule, settings, message",
    [
        ("cosine", {"step": -1}, "step must be at least 0, got -1"),
        ("cosine", {"lr": 0}, "lr must be greater than 0, got 0"),
        ("cosine", {"warmup": 9}, r"warmup must lie in 0\.\.total - 1 = 8, got 9"),
        ("cosine", {"warmup": -1}, r"warmup must lie in 0\.\.total - 1 = 8, got -1"),
        ("cosine", {"final": 0.5}, r"final must lie in 0\.\.lr = 0\.3, got 0\.5"),
        ("cosine", {"final": -0.1}, r"final must lie in 0\.\.lr = 0\.3, got -0\.1"),
        ("step_decay", {"step": -1}, "step must be at least 0, got -1"),
        ("step_decay", {"lr": -1}, "lr must be greater than 0, got -1"),
        ("step_decay", {"every": 0}, "every must be greater than 0, got 0"),
        ("step_decay", {"factor": 0}, "factor must be greater than 0, got 0"),
        ("exponential", {"step": -1}, "step must be at least 0, got -1"),
        ("exponential", {"lr": -1}, "lr must be greater than 0, got -1"),
        ("exponential", {"rate": -2}, "rate must be greater than 0, got -2"),
    ],
)
def test_schedules_that_cannot_be(schedule, settings, message):
    good = {
        "cosine": {"total": 9},
        "step_decay": {"every": 2, "factor": 0.5},
        "exponential": {"rate": 0.5},
    }[schedule]
    with pytest.raises(ValueError, match=f"^{message}$"):
        getattr(O, schedule)(**({"step": 1, "lr": 0.3} | good | settings))
