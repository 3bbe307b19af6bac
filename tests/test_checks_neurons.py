"""The checks of chapter 1's exercises refuse wrong answers, each for its own reason, and no others.

The name of an answer says its mistake, or what is unusual about it. Beside a wrong one stands the
part of the message that shows why it was refused.
"""

import ast
import copy
import inspect
import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
import numpy as np
import pytest

from unrolled.checks import neurons as checks
from unrolled.functional import log_softmax, sigmoid
from unrolled.grade.wire import decode, encode
from unrolled.gradient_check import numerical_grad
from unrolled.losses import mse
from unrolled.neurons import linear_backward, linear_forward, mlp_backward, mlp_forward
from unrolled.params import Linear

MASTER = Path(__file__).parents[1] / "solutions" / "01_neurons.ipynb"
Answers = dict[str, Any]


class Pair(NamedTuple):
    """The two functions of question 3."""

    forward: Any
    backward: Any


class Fresh(NamedTuple):
    """An answer with a state of its own, made anew for each run."""

    make: Callable[[], Any]


def fails(error: BaseException) -> Any:
    raise error


# --- 1. Two out of three. ---

MAJORITY_WRONG: Answers = {
    "or": (lambda: (np.ones(3), -0.5), r"x = \(0, 0, 1\).* 0\.5, so the neuron says 1"),
    "and": (lambda: (np.ones(3), -2.5), r"x = \(0, 1, 1\).* -0\.5, .*says 0, but 2 of"),
    "zero is not above zero": (lambda: (np.ones(3), -2.0), r"activation is 0, so.*says 0, but 2"),
    "bias turned round": (lambda: (np.ones(3), 1.5), r"x = \(0, 0, 0\).* 1\.5, .*says 1, but 0"),
    "weights turned round": (lambda: (-np.ones(3), 1.5), r"x = \(0, 0, 0\).*but 0 of the three"),
    "no bias": (lambda: (np.ones(3), 0.0), r"x = \(0, 0, 1\).*but 1 of the three inputs is 1"),
    "says 0 for two": (lambda: (-np.ones(3), -1.5), r"x = \(0, 1, 1\).* -3\.5, .*but 2 of"),
    "one input ignored": (lambda: (np.array([1, 1, 0]), -1.5), r"x = \(0, 1, 1\).*but 2 of"),
    "one input decides": (lambda: (np.array([3, 1, 1]), -1.5), r"x = \(1, 0, 0\).*but 1 of"),
    "two inputs": (lambda: (np.ones(2), -1.5), "three weights, one for each input, got 2"),
    "bias among the weights": (lambda: np.array([1, 1, 1, -1.5]), "must return w, b; .*array"),
    "four numbers": (lambda: (1, 1, 1, -1.5), "must return w, b; it returned 4 things"),
    "weights alone": (lambda: (np.ones(3),), "must return w, b; it returned 1 thing$"),
    "exchanged": (lambda: (-1.5, np.ones(3)), "w must hold three weights.* got 1"),
    "bias not written": (
        lambda: (np.ones(3), ...),
        "b has no value yet: replace the dots by a number",
    ),
    "a bias for each": (lambda: (np.ones(3), -0.5 * np.ones(3)), "b must be a single number"),
    "nan weight": (lambda: (np.array([1, np.nan, 1]), -1.5), "w holds nan"),
    "words": (lambda: (["1", "1", "1"], -1.5), "w must be an array of numbers"),
    "ragged": (lambda: ([1, [1, 1]], -1.5), "w must be an array of numbers.*unequal parts"),
    "reads the inputs": (lambda x: x.sum() > 1, "stopped with TypeError.*argument"),
    "a value": ((np.ones(3), -1.5), "majority must be a function, got a tuple"),
    "a set": (lambda: {1.0, -1.5}, "must return w, b; it returned a set"),
}
MAJORITY_RIGHT: Answers = {
    "lists and integers": lambda: ([2, 2, 2], -3),
    "unequal weights": lambda: ((0.9, 1.0, 1.1), -1.6),
    "a row and a column": lambda: Linear(np.ones((1, 3)), np.array([-1.5])),
    "on the edge": lambda: (np.ones(3), -1.0),
    "huge": lambda: (np.full(3, 1e308), -1.5e308),
    "a list of both": lambda: [np.ones((3, 1)), np.float32(-1.5)],
}

# --- 2. A logarithm that does not overflow. ---


def softplus(a: Any) -> Any:
    return np.log1p(np.exp(-np.abs(a)))


def changes_a(a):
    a *= -1.0
    return -np.log1p(np.exp(a))


def remembers_a():
    first = []

    def log_sigmoid(a):
        first.append(-np.log1p(np.exp(-a)))
        return first[0]

    return log_sigmoid


def by_rows(a):
    return np.array([[-np.log1p(np.exp(-x)) for x in row] for row in a])


def by_one_loop(a):
    return np.array([-np.log1p(np.exp(-x)) for x in a])


DIGITS = "right to a few digits only: compute in float64"
NUMBERS = r"log_sigmoid\(a\)\[.*should be .*Start from"
LOG_SIGMOID_WRONG: Answers = {
    "no logarithm": (sigmoid, "this is the sigmoid itself, without the logarithm"),
    "other answer": (lambda a: -np.log1p(np.exp(a)), r"this is log\(1 - sigmoid\(a\)\)"),
    "sign": (lambda a: np.log1p(np.exp(-a)), "the sign is turned round"),
    "base 2": (lambda a: -np.log2(1 + np.exp(-a)), "a logarithm to base 2"),
    "base 10": (lambda a: np.log10(sigmoid(a)), "a logarithm to base 10"),
    "plus": (lambda a: np.minimum(a, 0) + softplus(a), "plus the logarithm, which is to be sub"),
    "max for min": (lambda a: np.maximum(a, 0) - softplus(a), r"a form with max\(a, 0\)"),
    "a for min": (lambda a: a - softplus(a), r"a form with a, where min\(a, 0\)"),
    "-|a| for min": (lambda a: -np.abs(a) - softplus(a), r"a form with -\|a\|, where min"),
    "no linear part": (lambda a: -softplus(a), "below zero, a itself is missing"),
    "log1p of p": (lambda a: np.log1p(sigmoid(a)), NUMBERS),
    "exp of a": (lambda a: -np.log(1 + 1 / np.exp(np.abs(a))), "below zero, a itself is missing"),
    "tanh for sigmoid": (lambda a: np.log((1 + np.tanh(a)) / 2), NUMBERS),
    "float32": (lambda a: np.log(sigmoid(a.astype(np.float32))), DIGITS),
    "rounded": (lambda a: np.round(np.log(sigmoid(a)), 6), DIGITS),
    "eps in the log": (lambda a: np.log(sigmoid(a) + 1e-9), DIGITS),
    "clipped": (lambda a: np.log(sigmoid(np.clip(a, -2, 2))), NUMBERS),
    "no 0-d array": (
        lambda a: np.ascontiguousarray(np.log(sigmoid(a))),
        r"must have shape \(\), got \(1,\). It has the shape of a, which may be one number",
    ),
    "sum": (lambda a: np.sum(np.log(sigmoid(a))), r"must have shape \(L=4, M=3\), got \(\)"),
    "mean of rows": (lambda a: np.log(sigmoid(a)).mean(0), r"shape \(L=4, M=3\), got \(3,\)"),
    "flat": (lambda a: np.log(sigmoid(a)).ravel(), r"shape \(L=4, M=3\), got \(12,\)"),
    "transposed": (lambda a: np.log(sigmoid(a)).T, r"shape \(L=4, M=3\), got \(3, 4\)"),
    "two axes only": (by_rows, "stopped with TypeError: .*iterable"),
    "no single number": (by_one_loop, "stopped with TypeError: .*0-d"),
    "nan for large a": (lambda a: np.where(a > 2, np.nan, np.log(sigmoid(a))), "holds nan"),
    "changes a": (changes_a, "changed its argument a"),
    "remembers": (Fresh(remembers_a), r"must have shape \(L=3,\), got \(4, 3\)"),
    "softmax": (log_softmax, NUMBERS),
    "math.log": (lambda a: __import__("math").log(sigmoid(a)), "stopped with TypeError"),
    "list of dots": (lambda a: [...] * len(a), "must be an array of numbers"),
    "ragged": (lambda a: [[1.0], [1.0, 2.0]], "got a list of unequal parts"),
    "stub": (lambda a: ..., "returned Ellipsis: write the function's body"),
    "prints": (lambda a: None, "returned None"),
    "complex": (lambda a: np.log(sigmoid(a) + 0j), "array of numbers, got .* complex128"),
}
LOG_SIGMOID_RIGHT: Answers = {
    "overflows far out": lambda a: np.log(1.0 / (1.0 + np.exp(-a))),
    "logaddexp": lambda a: -np.logaddexp(0.0, -a),
    "half sum": lambda a: 0.5 * (a - np.abs(a)) - softplus(a),
    "the other form": lambda a: a - np.log1p(np.exp(a)),
    "by tanh": lambda a: np.log(0.5 + 0.5 * np.tanh(0.5 * a)),
    "a loop": np.vectorize(lambda x: -np.log1p(np.exp(-x)) if x > 0 else x - np.log1p(np.exp(x))),
    "lists": lambda a: (-np.logaddexp(0.0, -a)).tolist(),
    "columns stored first": lambda a: np.array(-np.logaddexp(0.0, -a), order="F"),
    "a copy changed": lambda a: np.negative(np.logaddexp(0.0, np.negative(a))),
}

BEYOND = "a limit hides the overflow, and is wrong beyond the limit"
OVERFLOW = r"got -?(inf|nan): an exp overflows, or the sigmoid is 0"
STILL = r"\(-?16\) should be .*so near to zero log\(1 \+ exp\(-\|a\|\)\) still counts"
FIRST = "not yet an extreme number, so mend the formula first"


def piece_by_sign_of_all(a):
    return a - np.log1p(np.exp(a)) if a.mean() < 0 else -np.log1p(np.exp(-a))


def shifted_by_the_largest(a):
    m = max(0.0, float(np.max(-a)))
    return -(m + np.log(np.exp(-m) + np.exp(-a - m)))


def changes_large_a(a):
    np.clip(a, -700, 700, out=a)
    return np.log(sigmoid(a))


EXTREMES_WRONG: Answers = {
    "as it stands": (lambda a: np.log(1 / (1 + np.exp(-a))), OVERFLOW),
    "log1p alone": (lambda a: -np.log1p(np.exp(-a)), r"log_sigmoid\(-10000\).*" + OVERFLOW),
    "the other form alone": (
        lambda a: a - np.log1p(np.exp(a)),
        r"\(1000\) should be 0, .*an exp overflows",
    ),
    "stable sigmoid": (lambda a: np.log(sigmoid(a)), OVERFLOW),
    "inf - inf": (lambda a: a - np.log(1 + np.exp(a)) + np.exp(a) - np.exp(a), OVERFLOW),
    "p clipped": (lambda a: np.log(np.clip(sigmoid(a), 1e-12, 1)), BEYOND),
    "tiny p clipped": (lambda a: np.log(np.maximum(sigmoid(a), 1e-300)), BEYOND),
    "eps in the log": (lambda a: np.log(sigmoid(a) + 1e-15), BEYOND),
    "a clipped": (lambda a: -np.log1p(np.exp(-np.clip(a, -500, 500))), BEYOND),
    "a clipped at 1000": (lambda a: -np.logaddexp(0, -np.clip(a, -1000, 1000)), BEYOND),
    "nan_to_num": (lambda a: np.nan_to_num(np.log(sigmoid(a))), BEYOND),
    "nan_to_num with 0": (lambda a: np.nan_to_num(np.log(sigmoid(a)), neginf=0), BEYOND),
    "exp clipped": (lambda a: -np.log1p(np.minimum(np.exp(-a), 1e300)), BEYOND),
    "limit too far out": (lambda a: np.where(a < -740, a, -np.log(1 + np.exp(-a))), OVERFLOW),
    "knows the answer": (lambda a: np.where(a == -1e3, a, np.log(sigmoid(a))), OVERFLOW),
    "a far left too early": (lambda a: np.where(a < -12, a, -np.logaddexp(0, -a)), STILL),
    "0 far right too early": (lambda a: np.where(a > 12, 0.0, -np.logaddexp(0, -a)), STILL),
    "by the mean's sign": (piece_by_sign_of_all, OVERFLOW),
    "shifted as a whole": (shifted_by_the_largest, "spoils the others"),
    "shifted by a": (
        lambda a: np.log(np.exp(a - a.max()) / (1 + np.exp(a - a.max()))),
        "spoils the others",
    ),
    "zero for a >= 0": (lambda a: np.where(a < 0, a - softplus(a), 0.0), FIRST),
    "a for a < 0": (lambda a: np.where(a < 0, a, -softplus(a)), FIRST),
    "sign": (lambda a: np.logaddexp(0, -a), FIRST),
    "sigmoid": (sigmoid, FIRST),
    "linear far right": (lambda a: np.where(a > 30, a, -np.logaddexp(0, -a)), "far to the right"),
    "float32": (lambda a: -np.logaddexp(0, -a.astype(np.float32)), FIRST),
    "sum": (lambda a: np.sum(-np.logaddexp(0, -a)), r"shape \(N=12,\), got \(\)"),
    "ragged": (lambda a: [[0.0], [1.0, 2.0]], "unequal parts"),
    "words": (lambda a: ["-1000"] * len(a), "must be an array of numbers"),
    "raises": (
        lambda a: fails(OverflowError("too large")),
        "stopped with OverflowError: too large",
    ),
    "changes a": (changes_large_a, "changed its argument a"),
    "exits": (lambda a: fails(SystemExit()), "stopped with SystemExit"),
}
EXTREMES_RIGHT: Answers = {
    "logaddexp": LOG_SIGMOID_RIGHT["logaddexp"],
    "half sum": LOG_SIGMOID_RIGHT["half sum"],
    "where, overflowing inside": lambda a: np.where(
        a < 0, a - np.log1p(np.exp(a)), -np.log1p(np.exp(-a))
    ),
    "a limit that is exact": lambda a: np.where(a < -500, a, -np.log(1 + np.exp(-a))),
    "a loop": LOG_SIGMOID_RIGHT["a loop"],
    "lists": LOG_SIGMOID_RIGHT["lists"],
    "as a softmax": lambda a: log_softmax(np.stack([a, 0 * a], axis=-1))[..., 0],
}

# --- 3. A layer, there and back. ---


def forward(h: Callable[..., Any]) -> Any:
    """A forward pass whose output is ``h(x, W, b)``."""
    return lambda params, x: (h(x, *params), (params.W, params.b, x))


def scales_x(params, x):
    x *= 2.0
    return np.tanh(x / 2.0 @ params.W.T + params.b), (x,)


def adds_to_b(params, x):
    b = params.b
    b += 1.0
    return np.tanh(x @ params.W.T + b - 1.0), (x,)


def one_buffer():
    kept: dict[Any, Any] = {}

    def tanh_layer_forward(params, x):
        h = kept.setdefault((len(x), len(params.b)), np.empty((len(x), len(params.b))))
        np.tanh(x @ params.W.T + params.b, out=h)
        return h, (params.W, x, h)

    return tanh_layer_forward


def one_list():
    kept: list[Any] = []

    def tanh_layer_forward(params, x):
        kept.append(x)
        return np.tanh(x @ params.W.T + params.b), kept

    return tanh_layer_forward


def first_weights():
    kept: list[Any] = []

    def tanh_layer_forward(params, x):
        kept.append(params)
        return np.tanh(x @ kept[0].W.T + kept[0].b), (x,)

    return tanh_layer_forward


H = r"h\[.*should be .*It is tanh\(x W\^T \+ b\)"
FORWARD_WRONG: Answers = {
    "no tanh": (forward(lambda x, W, b: x @ W.T + b), "the pre-activation, without tanh"),
    "no bias": (forward(lambda x, W, b: np.tanh(x @ W.T)), r"this is x W\^T without the bias"),
    "bias outside": (forward(lambda x, W, b: np.tanh(x @ W.T) + b), "the bias belongs inside"),
    "sigmoid": (forward(lambda x, W, b: sigmoid(x @ W.T + b)), "a sigmoid instead of tanh"),
    "relu": (forward(lambda x, W, b: np.maximum(x @ W.T + b, 0)), "a ReLU instead of tanh"),
    "negative": (forward(lambda x, W, b: np.tanh(-x @ W.T - b)), "the negative of the right"),
    "b subtracted": (forward(lambda x, W, b: np.tanh(x @ W.T - b)), "with b subtracted"),
    "x W": (forward(lambda x, W, b: np.tanh(x @ W + b)), "stopped with ValueError: matmul"),
    "x W where it is square": (
        forward(lambda x, W, b: np.tanh(x @ (W if W.shape[0] == W.shape[1] else W.T) + b)),
        "this is x W: the weights of a neuron are a row of W",
    ),
    "neurons in rows": (
        forward(lambda x, W, b: np.tanh(W @ x.T + b[:, None])),
        r"h must have shape \(B=5, H=4\), got \(4, 5\).*One example a row",
    ),
    "first example": (
        forward(lambda x, W, b: np.tanh(W @ x[0] + b)),
        r"h must have shape \(B=5, H=4\), got \(4,\)",
    ),
    "first example for all": (
        forward(lambda x, W, b: np.tanh(W @ x[0] + b) + np.zeros((len(x), 1))),
        H,
    ),
    "first bias for all": (forward(lambda x, W, b: np.tanh(x @ W.T + b[0])), H),
    "tanh twice": (forward(lambda x, W, b: np.tanh(np.tanh(x @ W.T + b))), H),
    "float32": (forward(lambda x, W, b: np.tanh((x @ W.T + b).astype(np.float32))), DIGITS),
    "tanh on x": (forward(lambda x, W, b: np.tanh(x) @ W.T + b), H),
    "nan where negative": (
        forward(lambda x, W, b: np.sqrt(np.tanh(x @ W.T + b)) ** 2),
        "h holds nan",
    ),
    "h alone": (lambda params, x: np.tanh(x @ params.W.T + params.b), "return h, cache; .*array"),
    "no cache": (
        lambda params, x: (np.tanh(x @ params.W.T + params.b), None),
        "the cache is None: put into it whatever arrays",
    ),
    "cache not bracketed": (
        lambda params, x: (np.tanh(x @ params.W.T + params.b), params.W, x),
        "must return h, cache; it returned 3 things",
    ),
    "cache first": (
        lambda params, x: ((params.W, x), np.tanh(x @ params.W.T + params.b)),
        "h must be an array of numbers",
    ),
    "W and b as arguments": (
        lambda W, b, x: (np.tanh(x @ W.T + b), (W, x)),
        "stopped with TypeError: .*missing 1 required",
    ),
    "params as a dict": (
        lambda params, x: (np.tanh(x @ params["W"].T + params["b"]), (x,)),
        "stopped with TypeError: tuple indices",
    ),
    "changes x": (scales_x, "changed its argument x"),
    "changes b": (adds_to_b, "changed its argument params"),
    "clipped": (forward(lambda x, W, b: np.tanh(np.clip(x @ W.T + b, -5, 5))), r"h(\[| is right)"),
    "a function for a cache": (
        lambda params, x: (np.tanh(x @ params.W.T + params.b), lambda dh: dh),
        "the cache must be a tuple of arrays, but it holds a function",
    ),
    "a module in the cache": (
        lambda params, x: (np.tanh(x @ params.W.T + params.b), (x, {"numpy": np})),
        "the cache must be a tuple of arrays, but it holds a module",
    ),
    "one buffer": (Fresh(one_buffer), "a second call .* changed what the first has returned"),
    "one list": (Fresh(one_list), "a second call .* changed what the first has returned"),
    "first weights for ever": (Fresh(first_weights), "stopped with ValueError|" + H),
}


def loops(params, x):
    h = [
        [np.tanh(sum(w * v for w, v in zip(row, example)) + bias) for row, bias in zip(*params)]
        for example in x
    ]
    return h, {"x": x, "h": h}


FORWARD_RIGHT: Answers = {
    "loops and lists": loops,
    "einsum": forward(lambda x, W, b: np.tanh(np.einsum("bd,hd->bh", x, W) + b)),
    "by exp": forward(lambda x, W, b: 1.0 - 2.0 / (np.exp(2.0 * (x @ W.T + b)) + 1.0)),
    "a network of two layers": lambda params, x: mlp_forward(
        [params, Linear(np.eye(len(params.b)), 0.0 * params.b)], x
    ),
    "a column of ones": forward(
        lambda x, W, b: np.tanh(np.c_[x, np.ones(len(x))] @ np.c_[W, b].T)
    ),
    "transposed twice": lambda params, x: [np.tanh(params.W @ x.T + params.b[:, None]).T, params],
    "a list": lambda params, x: [np.tanh(x @ params.W.T + params.b), []],
}  # fmt: skip


def backward(grads: Callable[..., Any]) -> Pair:
    """A backward pass that returns ``grads(da, dh, h, W, x)``, with a right forward pass."""

    def tanh_layer_forward(params, x):
        h = np.tanh(x @ params.W.T + params.b)
        return h, (params.W, x, h)

    def tanh_layer_backward(cache, dh):
        W, x, h = cache
        return grads(dh * (1.0 - h**2), dh, h, W, x)

    return Pair(tanh_layer_forward, tanh_layer_backward)


def sloped(slope: Callable[..., Any]) -> Pair:
    """A backward pass with another derivative, ``slope(h, W, x)``."""
    return backward(lambda da, dh, h, W, x: parts(dh * slope(h, W, x), W, x))


def parts(da: Any, W: Any, x: Any) -> Any:
    return da @ W, Linear(da.T @ x, da.sum(axis=0))


def way_back(**wrong: Callable[..., Any]) -> Pair:
    """A backward pass of which ``dx``, ``dW`` or ``db`` is ``wrong[…](da, W, x)``."""

    def grads(da, dh, h, W, x):
        dx, (dW, db) = parts(da, W, x)
        given = {"dx": dx, "dW": dW, "db": db}
        dx, dW, db = (wrong[k](da, W, x) if k in wrong else right for k, right in given.items())
        return dx, Linear(dW, db)

    return backward(grads)


def square(W: Any) -> bool:
    return bool(W.shape[0] == W.shape[1])


def changes_dh(da, dh, h, W, x):
    dh *= 1.0 - h**2
    return parts(dh, W, x)


def changes_cache(da, dh, h, W, x):
    h **= 2
    return parts(dh * (1.0 - h), W, x)


def last_forward_pass(*kept_names: str) -> Fresh:
    """A backward pass that takes some arrays from the last forward pass, not from its cache."""

    def make() -> Pair:
        kept: dict[str, Any] = {}

        def tanh_layer_forward(params, x):
            kept.update(W=params.W, x=x, h=np.tanh(x @ params.W.T + params.b))
            return kept["h"], (kept["W"], x, kept["h"])

        def tanh_layer_backward(cache, dh):
            W, x, h = (
                kept[name] if name in kept_names else array
                for name, array in zip("Wxh", cache, strict=True)
            )
            return parts(dh * (1.0 - h**2), W, x)

        return Pair(tanh_layer_forward, tanh_layer_backward)

    return Fresh(make)


def summed_over_calls() -> Pair:
    calls: list[Any] = []

    def grads(da, dh, h, W, x):
        calls.append(da.sum())
        return da @ W, Linear(da.T @ x, da.sum(axis=0) + sum(calls[:-1]))

    return backward(grads)


def measured() -> Pair:
    def tanh_layer_backward(cache, dh):
        def loss(tree):
            (W, b), x = tree
            return float((dh * np.tanh(x @ W.T + b)).sum())

        grads, dx = numerical_grad(loss, cache)
        return dx, grads

    return Pair(
        lambda params, x: (np.tanh(x @ params.W.T + params.b), (params, x)), tanh_layer_backward
    )


DB, DW, DX = r"db\[.*should be .*Sum da over", r"dW\[.*da\^T x", r"dx\[.*da W"
BACKWARD_WRONG: Answers = {
    "no slope": (sloped(lambda h, W, x: 1.0), "dh is not multiplied by the slope of tanh"),
    "1 - h": (sloped(lambda h, W, x: 1 - h), r"with the slope 1 - h; that of tanh is 1 - h\*\*2"),
    "slope of sigmoid": (sloped(lambda h, W, x: h * (1 - h)), "with the sigmoid's slope"),
    "tanh twice": (sloped(lambda h, W, x: 1 - np.tanh(h) ** 2), "tanh is applied to h once more"),
    "slope without b": (sloped(lambda h, W, x: 1 - np.tanh(x @ W.T) ** 2), "x W\\^T, without b"),
    "slope of a": (sloped(lambda h, W, x: 1 - np.arctanh(h) ** 2), r"slope 1 - a\*\*2"),
    "slope with plus": (
        sloped(lambda h, W, x: 1 + h**2),
        r"with the slope 1 \+ h\*\*2; that of tanh",
    ),
    "sign": (sloped(lambda h, W, x: h**2 - 1), DB),
    "all averaged": (sloped(lambda h, W, x: (1 - h**2) / len(x)), "db is wrong: this is the mean"),
    "db averaged": (way_back(db=lambda da, W, x: da.mean(axis=0)), "db is .* the mean over the ex"),
    "dW averaged": (way_back(dW=lambda da, W, x: da.T @ x / len(x)), "dW is .* the mean over the"),
    "dx averaged": (way_back(dx=lambda da, W, x: da @ W / len(x)), "dx is .* the mean over the"),
    "dW of dh": (
        backward(lambda da, dh, h, W, x: (da @ W, Linear(dh.T @ x, da.sum(axis=0)))),
        "dW is wrong: .*not multiplied by the slope",
    ),
    "dx of dh": (
        backward(lambda da, dh, h, W, x: (dh @ W, parts(da, W, x)[1])),
        "dx is wrong: .*not multiplied by the slope",
    ),
    "db over the neurons": (
        way_back(db=lambda da, W, x: da.sum(axis=1)),
        r"db must have shape \(H=4,\), got \(5,\). Each bias acts on every example",
    ),
    "db over the neurons where it is square": (
        way_back(db=lambda da, W, x: da.sum(axis=int(square(da)))),
        DB,
    ),
    "db not summed": (
        way_back(db=lambda da, W, x: da),
        r"db must have shape \(H=4,\), got \(5, 4\). Each bias acts on every example: sum",
    ),
    "db of the first example": (way_back(db=lambda da, W, x: da[0]), DB),
    "db one number": (way_back(db=lambda da, W, x: da.sum()), r"shape \(H=4,\), got \(\)"),
    "dW transposed": (
        way_back(dW=lambda da, W, x: x.T @ da),
        r"dW must have shape \(H=4, D=3\), got \(3, 4\). A gradient has the shape",
    ),
    "dW transposed where it is square": (
        way_back(dW=lambda da, W, x: x.T @ da if square(W) else da.T @ x),
        r"dW transposed: x\^T da instead of da\^T x",
    ),
    "dx with W^T where it is square": (
        way_back(dx=lambda da, W, x: da @ (W.T if square(W) else W)),
        r"da W\^T: the transpose is one too many",
    ),
    "dx with W^T": (way_back(dx=lambda da, W, x: da @ W.T), "stopped with ValueError: matmul"),
    "dx of the weights' shape": (
        way_back(dx=lambda da, W, x: da.T @ x),
        r"dx must have shape \(B=5, D=3\), got \(4, 3\)",
    ),
    "float32": (backward(lambda da, dh, h, W, x: parts(da.astype(np.float32), W, x)), DIGITS),
    "by differences": (measured(), DIGITS),
    "three results": (
        backward(lambda da, dh, h, W, x: (da @ W, da.T @ x, da.sum(axis=0))),
        r"must return dx, Linear\(dW, db\); it returned 3 things",
    ),
    "gradients exchanged": (
        backward(lambda da, dh, h, W, x: parts(da, W, x)[::-1]),
        r"must return dx, Linear\(dW, db\); the second is an array",
    ),
    "dW and db exchanged": (
        backward(lambda da, dh, h, W, x: (da @ W, Linear(da.sum(axis=0), da.T @ x))),
        r"dW must have shape \(H=4, D=3\), got \(4,\)",
    ),
    "db missing": (
        way_back(db=lambda da, W, x: ...),
        "db is Ellipsis: write the line that computes it",
    ),
    "dx missing": (
        way_back(dx=lambda da, W, x: None),
        "dx is None: write the line that computes it",
    ),
    "changes dh": (backward(changes_dh), "changed its argument dh"),
    "changes the cache": (backward(changes_cache), "changed its argument cache"),
    "all of the last forward pass": (
        last_forward_pass(*"Wxh"),
        "arrays of a later forward pass; take",
    ),
    "h of the last forward pass": (last_forward_pass("h"), "arrays of a later forward pass; take"),
    "x of the last forward pass": (last_forward_pass("x"), "dW .* from the cache, here x"),
    "W of the last forward pass": (last_forward_pass("W"), "dx .* from the cache, here W"),
    "summed over all calls": (Fresh(summed_over_calls), DB),
    "forward without the bias": (
        Pair(forward(lambda x, W, b: np.tanh(x @ W.T)), backward(parts).backward),
        r"h is wrong: this is x W\^T without the bias",
    ),
    "no such function": (Pair(backward(parts).forward, None), "no function tanh_layer_backward"),
}


def by_complex_step() -> Pair:
    """Derivatives without a backward pass: exact to rounding, with a step of 1e-30 along i."""

    def tanh_layer_backward(cache, dh):
        (W, b), x = cache
        grads = [np.zeros_like(array) for array in (x, W, b)]
        for k, grad in enumerate(grads):
            for index in np.ndindex(grad.shape):
                moved = [array.astype(complex) for array in (x, W, b)]
                moved[k][index] += 1e-30j
                h = np.tanh(moved[0] @ moved[1].T + moved[2])
                grad[index] = (dh * h.imag).sum() / 1e-30
        return grads[0], Linear(grads[1], grads[2])

    return Pair(
        lambda params, x: (np.tanh(x @ params.W.T + params.b), (params, x)), tanh_layer_backward
    )


def loops_back(da, dh, h, W, x):
    dx, dW, db = np.zeros_like(x), np.zeros_like(W), np.zeros(len(W))
    for b, k in np.ndindex(dh.shape):
        slope = dh[b, k] * (1 - h[b, k]) * (1 + h[b, k])
        dx[b] += slope * W[k]
        dW[k] += slope * x[b]
        db[k] += slope
    return [dx.tolist(), [dW.tolist(), db.tolist()]]


def from_one_array(cache, dh):
    R, D = cache[-2:].astype(int)
    W, b, x = np.split(cache[:-2], [R * D, R * D + R])
    W, x = W.reshape(R, D), x.reshape(-1, D)
    return parts(dh * (1 - np.tanh(x @ W.T + b) ** 2), W, x)


BACKWARD_RIGHT: Answers = {
    "loops and lists": backward(loops_back),
    "einsum": backward(
        lambda da, dh, h, W, x: (
            np.einsum("bh,hd->bd", da, W),
            (np.einsum("bh,bd->hd", da, x), np.einsum("bh->h", da)),
        )
    ),
    "slope by cosh": sloped(lambda h, W, x: 1.0 / np.cosh(np.arctanh(h)) ** 2),
    "complex step": by_complex_step(),
    "by the package": Pair(
        lambda params, x: (lambda out, cache: (np.tanh(out), (cache, out)))(
            *linear_forward(params, x)
        ),
        lambda cache, dh: linear_backward(cache[0], dh * (1.0 - np.tanh(cache[1]) ** 2)),
    ),
    "products in the cache": Pair(
        lambda params, x: (
            np.tanh(x @ params.W.T + params.b),
            {"slope": 1 - np.tanh(x @ params.W.T + params.b) ** 2, "W": params.W, "x": x},
        ),
        lambda cache, dh: parts(dh * cache["slope"], cache["W"], cache["x"]),
    ),
    "an array as a cache": Pair(
        lambda params, x: (
            np.tanh(x @ params.W.T + params.b),
            np.concatenate([params.W.ravel(), params.b, x.ravel(), params.W.shape]),
        ),
        from_one_array,
    ),
}


# --- 4. Several right answers. ---


def soft(loss: Callable[..., Any] | None = None, grad: Callable[..., Any] | None = None) -> Any:
    """A loss ``loss(o, y, log_p)`` and a gradient ``grad(o, y, p)``; what is not given is right."""

    def soft_cross_entropy(logits, target):
        log_p = log_softmax(logits)
        right = (np.exp(log_p) - target) / len(logits)
        return (
            loss(logits, target, log_p) if loss else -(target * log_p).sum(axis=1).mean(),
            grad(logits, target, np.exp(log_p)) if grad else right,
        )

    return soft_cross_entropy


def by_columns(o: Any) -> Any:
    return log_softmax(o.T).T


def naive_p(o: Any) -> Any:
    return np.exp(o) / np.exp(o).sum(axis=1, keepdims=True)


def centres_logits(logits, target):
    logits -= logits.max(axis=1, keepdims=True)
    return soft()(logits, target)


def makes_targets_sum_to_one(logits, target):
    target /= target.sum(axis=1, keepdims=True) + 1e-12
    return soft()(logits, target)


LOSS = "the loss should be .*minus the sum over the classes"
SOFT_WRONG: Answers = {
    "sum over the examples": (soft(lambda o, y, lp: -(y * lp).sum()), "the sum over the examples"),
    "mean over all": (soft(lambda o, y, lp: -(y * lp).mean()), "the mean over all B x V numbers"),
    "sign": (soft(lambda o, y, lp: (y * lp).sum(axis=1).mean()), "its sign turned round"),
    "softmax by columns": (
        soft(lambda o, y, lp: -(y * by_columns(o)).sum(axis=1).mean()),
        "a softmax over the examples; each row is one example",
    ),
    "softmax over all": (
        soft(lambda o, y, lp: -(y * np.log(np.exp(o) / np.exp(o).sum())).sum(axis=1).mean()),
        LOSS,
    ),
    "bits": (soft(lambda o, y, lp: -(y * lp).sum(axis=1).mean() / np.log(2)), "in bits"),
    "likeliest class": (
        soft(lambda o, y, lp: -lp[np.arange(len(y)), y.argmax(axis=1)].mean()),
        "the price of the likeliest class alone",
    ),
    "likeliest by the network": (soft(lambda o, y, lp: -lp.max(axis=1).mean()), LOSS),
    "p and y exchanged": (
        soft(lambda o, y, lp: -(np.exp(lp) * np.log(y)).sum(axis=1).mean()),
        "the loss holds inf.*A target may be 0, so only p may stand in the logarithm",
    ),
    "p and y exchanged, with a limit": (
        soft(lambda o, y, lp: -(np.exp(lp) * np.log(np.maximum(y, 1e-300))).sum(axis=1).mean()),
        "with target and p exchanged",
    ),
    "no softmax": (
        soft(lambda o, y, lp: -(y * o).sum(axis=1).mean()),
        "a loss of the logits themselves, without the softmax",
    ),
    "log of the logits": (
        soft(lambda o, y, lp: -(y * np.log(o)).sum(axis=1).mean()),
        "the loss holds nan",
    ),
    "p for log p": (
        soft(lambda o, y, lp: -(y * np.exp(lp)).sum(axis=1).mean()),
        r"this is p in the place of log p",
    ),
    "V sigmoids": (
        soft(lambda o, y, lp: (np.logaddexp(0, o) - y * o).sum(axis=1).mean()),
        "the loss of V sigmoids, one for each class",
    ),
    "other answers counted": (
        soft(lambda o, y, lp: -(y * lp + (1 - y) * np.log(1 - np.exp(lp))).sum(axis=1).mean()),
        r"with \(1 - y\) log\(1 - p\) added",
    ),
    "squared error": (soft(lambda o, y, lp: ((np.exp(lp) - y) ** 2).sum(axis=1).mean()), LOSS),
    "divergence": (
        soft(lambda o, y, lp: (y * (np.log(np.maximum(y, 1e-300)) - lp)).sum(axis=1).mean()),
        LOSS,
    ),
    "mean over classes, sum over examples": (
        soft(lambda o, y, lp: -(y * lp).sum(axis=0).mean()),
        LOSS,
    ),
    "B = 1 only": (soft(lambda o, y, lp: -(y[0] * lp[0]).sum()), LOSS),
    "a limit on p": (
        soft(lambda o, y, lp: -(y * np.log(np.exp(lp) + 1e-8)).sum(axis=1).mean()),
        DIGITS,
    ),
    "float32": (soft(lambda o, y, lp: -(y * lp).sum(axis=1).mean().astype(np.float32)), DIGITS),
    "one loss an example": (
        soft(lambda o, y, lp: -(y * lp).sum(axis=1)),
        r"the loss must be one number, the mean over the examples; got shape \(5,\)",
    ),
    "gradient first": (
        lambda logits, target: soft()(logits, target)[::-1],
        r"the loss must be one number.*got shape \(5, 3\)",
    ),
    "loss alone": (
        lambda logits, target: soft()(logits, target)[0],
        "must return loss, dlogits; it returned a float64",
    ),
    "not written": (soft(lambda o, y, lp: ...), "the loss has no value yet: replace the dots"),
    "classes for targets": (
        soft(lambda o, y, lp: -lp[np.arange(len(y)), y].mean()),
        "stopped with IndexError: arrays used as indices must be of integer",
    ),
    "arguments exchanged": (
        lambda target, logits: (
            -(target * log_softmax(logits)).sum(axis=1).mean(),
            (np.exp(log_softmax(logits)) - target) / len(logits),
        ),
        LOSS,
    ),
    "a word": (soft(lambda o, y, lp: f"{-(y * lp).sum(axis=1).mean():.6f}"), "must be a number"),
    "ragged": (soft(lambda o, y, lp: [1.0, [2.0, 3.0]]), "the loss must be .*unequal parts"),
    "changes logits": (centres_logits, "changed its argument logits"),
    "changes target": (makes_targets_sum_to_one, "changed its argument target"),
}


def loop_over_examples(logits, target):
    losses, grads = [], []
    for o, y in zip(logits, target):
        total = sum(np.exp(v) for v in o)
        losses.append(-sum(y_v * np.log(np.exp(v) / total) for v, y_v in zip(o, y)))
        grads.append([(np.exp(v) / total - y_v) / len(logits) for v, y_v in zip(o, y)])
    return sum(losses) / len(losses), grads


def over_logaddexp(logits, target):
    total = np.logaddexp.reduce(logits, axis=1)
    loss = (total - np.einsum("bv,bv->b", target, logits)).mean()
    return np.array([loss]), (np.exp(logits - total[:, None]) - target) / len(logits)


def by_the_chain_rule(logits, target):
    p = np.exp(log_softmax(logits))
    jacobian = np.einsum("bv,vw->bvw", p, np.eye(p.shape[1])) - np.einsum("bv,bw->bvw", p, p)
    dp = -target / p / len(p)
    return soft()(logits, target)[0], np.einsum("bv,bvw->bw", dp, jacobian)


SOFT_RIGHT: Answers = {
    "loops and lists": loop_over_examples,
    "logaddexp": over_logaddexp,
    "targets weighed": soft(
        grad=lambda o, y, p: (p * y.sum(axis=1, keepdims=True) - y) / y.shape[0]
    ),
    "the Jacobian": by_the_chain_rule,
    "shape (1, 1)": soft(lambda o, y, lp: -(y * lp).sum(axis=1, keepdims=True).mean()[None, None]),
    "overflows far out": soft(lambda o, y, lp: -(y * np.log(naive_p(o))).sum() / len(o)),
    "as a trace": soft(lambda o, y, lp: -np.trace(y @ lp.T) / len(o)),
    "a list of both": lambda logits, target: list(soft()(logits, target)),
}

GRADIENT = r"dlogits\[.*should be .*It has the form \(p - y\) / B"
GRADIENT_WRONG: Answers = {
    "not divided": (soft(grad=lambda o, y, p: p - y), "p - y, not yet divided by B"),
    "sign": (soft(grad=lambda o, y, p: (y - p) / len(y)), "y - p: the sign is turned round"),
    "sign, not divided": (soft(grad=lambda o, y, p: y - p), "y - p, and not divided by B"),
    "divided by B V": (soft(grad=lambda o, y, p: (p - y) / y.size), "divided by B V"),
    "divided by V": (soft(grad=lambda o, y, p: (p - y) / y.shape[1]), "divided by V; the loss"),
    "p alone": (soft(grad=lambda o, y, p: p / len(y)), "p alone: y is missing"),
    "slope of p": (
        soft(grad=lambda o, y, p: (p - y) * p * (1 - p) / len(y)),
        r"multiplied by the slope p \(1 - p\), which has cancelled",
    ),
    "likeliest class": (
        soft(grad=lambda o, y, p: (p - np.eye(y.shape[1])[y.argmax(axis=1)]) / len(y)),
        "the gradient for the likeliest class as the only right one",
    ),
    "with respect to p": (
        soft(grad=lambda o, y, p: -y / p / len(y)),
        "the gradient with respect to p, not to the logits",
    ),
    "with respect to log p": (soft(grad=lambda o, y, p: -y / len(y)), "with respect to log p, not"),
    "diagonal of the Jacobian": (
        soft(grad=lambda o, y, p: -y * (1 - p) / len(y)),
        "it moves every p",
    ),
    "softmax by columns": (
        soft(grad=lambda o, y, p: (np.exp(by_columns(o)) - y) / len(y)),
        "a softmax over the examples",
    ),
    "V sigmoids": (
        soft(grad=lambda o, y, p: (sigmoid(o) - y) / len(y)),
        "the gradient of V sigmoids",
    ),
    "log p for p": (soft(grad=lambda o, y, p: (np.log(p) - y) / len(y)), GRADIENT),
    "logits for p": (soft(grad=lambda o, y, p: (o - y) / len(y)), "the logits in the place of p"),
    "times y": (soft(grad=lambda o, y, p: y * (p - y) / len(y)), GRADIENT),
    "squared error": (soft(grad=lambda o, y, p: 2 * (p - y) / len(y)), GRADIENT),
    "float32": (soft(grad=lambda o, y, p: ((p - y) / len(y)).astype(np.float32)), DIGITS),
    "B = 1 only": (soft(grad=lambda o, y, p: (p[:1] - y) / len(y)), GRADIENT),
    "by differences": (
        soft(grad=lambda o, y, p: numerical_grad(lambda z: soft()(z, y)[0], o)),
        DIGITS,
    ),
    "one class only": (soft(grad=lambda o, y, p: np.where(y == 1, p - y, p) / len(y)), GRADIENT),
    "mean over the examples": (
        soft(grad=lambda o, y, p: (p - y).mean(axis=0)),
        r"dlogits must have shape \(B=5, V=3\), got \(3,\). A gradient has the shape",
    ),
    "transposed": (
        soft(grad=lambda o, y, p: (p - y).T / len(y)),
        r"dlogits must have shape \(B=5, V=3\), got \(3, 5\)",
    ),
    "one number": (soft(grad=lambda o, y, p: float((p - y).mean())), r"V=3\), got \(\)"),
    "nan for y = 0": (soft(grad=lambda o, y, p: (p - y) / len(y) * y / y), "dlogits holds nan"),
    "ragged": (soft(grad=lambda o, y, p: [[1.0], [2.0, 3.0]]), "dlogits must be .*unequal parts"),
    "not written": (
        soft(grad=lambda o, y, p: ...),
        "dlogits is Ellipsis: write the line that computes it",
    ),
    "changes target": (
        soft(grad=lambda o, y, p: np.subtract(p, y, out=y) / len(y)),
        "changed its argument target",
    ),
}

LARGE = "Subtract the largest logit of each row first, and never take the logarithm of p"
SOFT_EXTREMES_WRONG: Answers = {
    "softmax as it stands": (
        soft(lambda o, y, lp: -(y * np.log(naive_p(o))).sum() / len(o)),
        "the loss holds nan. " + LARGE,
    ),
    "stable p, then its logarithm": (
        soft(lambda o, y, lp: -(y * np.log(np.exp(lp))).sum() / len(o)),
        "the loss holds (inf|nan).*never take the logarithm of p",
    ),
    "0 log 0 left out": (
        soft(lambda o, y, lp: -np.nansum(y * np.log(naive_p(o))) / len(o)),
        "the loss .*" + LARGE,
    ),
    "a limit on p": (
        soft(lambda o, y, lp: -(y * np.log(np.exp(lp) + 1e-16)).sum() / len(o)),
        "the loss of large logits should be 625.431, but it is 18.*" + LARGE,
    ),
    "clipped after the shift": (
        soft(lambda o, y, lp: -(y * np.maximum(lp, -1000)).sum() / len(o)),
        "the loss of large logits should be 625.431, but it is 500.431",
    ),
    "p clipped": (
        soft(lambda o, y, lp: -(y * np.log(np.clip(np.exp(lp), 1e-300, 1))).sum() / len(o)),
        "the loss of large logits should be 625.431",
    ),
    "logits clipped": (
        soft(lambda o, y, lp: -(y * log_softmax(np.clip(o, -500, 500))).sum() / len(o)),
        "the loss of large logits should be 625.431",
    ),
    "largest of all": (
        soft(lambda o, y, lp: -(y * np.log(naive_p(o - o.max()))).sum() / len(o)),
        "the loss holds nan.*largest logit of each row",
    ),
    "largest of each column": (
        soft(lambda o, y, lp: -(y * np.log(naive_p(o - o.max(axis=0)))).sum() / len(o)),
        LOSS,
    ),
    "mean subtracted": (
        soft(
            lambda o, y, lp: (
                -(y * np.log(naive_p(o - o.mean(axis=1, keepdims=True)))).sum() / len(o)
            )
        ),
        "the loss holds (nan|inf)",
    ),
    "smallest subtracted": (
        soft(
            lambda o, y, lp: -(y * np.log(naive_p(o - o.min(axis=1, keepdims=True)))).sum() / len(o)
        ),
        "the loss holds (nan|inf)",
    ),
    "largest subtracted once only": (
        soft(
            lambda o, y, lp: (
                -(
                    y * (o - o.max(axis=1, keepdims=True) - np.log(np.exp(o).sum(1, keepdims=True)))
                ).sum()
                / len(o)
            )
        ),
        "with the largest logit subtracted from o alone",
    ),
    "largest for the sum": (
        soft(lambda o, y, lp: (o.max(axis=1) - (y * o).sum(axis=1)).mean()),
        LOSS,
    ),
    "loss made finite": (
        soft(lambda o, y, lp: np.nan_to_num(-(y * np.log(naive_p(o))).sum() / len(o))),
        "the loss of large logits should be 625.431, but it is 0",
    ),
    "gradient as it stands": (
        soft(grad=lambda o, y, p: (naive_p(o) - y) / len(y)),
        "dlogits holds nan. " + LARGE,
    ),
    "gradient made finite": (
        soft(grad=lambda o, y, p: (np.nan_to_num(naive_p(o)) - y) / len(y)),
        r"dlogits of large logits\[.*" + LARGE,
    ),
    "gradient not written": (soft(grad=lambda o, y, p: ...), "dlogits is Ellipsis: write the line"),
    "loss not written": (soft(lambda o, y, lp: None), "the loss has no value yet"),
    "gradient of clipped logits": (
        soft(grad=lambda o, y, p: (naive_p(np.clip(o, -500, 500)) - y) / len(y)),
        r"dlogits of large logits\[",
    ),
    "gradient of the largest class": (
        soft(grad=lambda o, y, p: ((o == o.max(axis=1, keepdims=True)) - y) / len(y)),
        GRADIENT,
    ),
    "sum over the examples": (
        soft(lambda o, y, lp: -(y * lp).sum()),
        "the sum over the examples, not their mean",
    ),
    "not divided": (soft(grad=lambda o, y, p: p - y), "p - y, not yet divided by B"),
    "gives up": (lambda o, y: fails(OverflowError("too large")), "stopped with OverflowError"),
    "changes logits": (centres_logits, "changed its argument logits"),
}
SOFT_EXTREMES_RIGHT: Answers = {
    "logaddexp": over_logaddexp,
    "where, for certain targets": soft(
        lambda o, y, lp: -np.where(y > 0, y * lp, 0.0).sum(axis=1).mean()
    ),
    "larger than needed subtracted": soft(
        lambda o, y, lp: -(y * log_softmax(o - o.max(axis=1, keepdims=True) - 3.0)).sum() / len(o)
    ),
    "lists": lambda o, y: [float(soft()(o, y)[0]), soft()(o, y)[1].tolist()],
}

# --- 5. A step that goes wrong. ---

SET_OF_NAMES = "must be a set of names such as"
STRANGE = "may hold the names W1, b1, W2, b2; it holds "
FAULTY_WRONG: Answers = {
    "none": (set(), "is empty, but the step does have a mistake"),
    "W1 alone": ({"W1"}, "W1 is wrong indeed, but not alone: what else is computed from da"),
    "b1 alone": ({"b1"}, "b1 is wrong indeed, but not alone"),
    "the one changed first": ({"W2"}, "W2 is right: its gradient is computed before anything"),
    "the last layer": ({"W2", "b2"}, "W2 is right"),
    "after the first change": ({"W1", "b1", "b2"}, "b2 is right"),
    "the weights": ({"W1", "W2"}, "W2 is right"),
    "the biases": ({"b1", "b2"}, "b2 is right"),
    "W2 too": (["W1", "b1", "W2"], "W2 is right"),
    "all": (("W1", "b1", "W2", "b2"), "W2 is right"),
    "one word": ("W1, b1", STRANGE + "'W1, b1'"),
    "a name": ("W1", "W1 is wrong indeed, but not alone"),
    "small letters": ({"w1", "b1"}, STRANGE + "'w1'"),
    "a temporary": ({"W1", "b1", "da"}, STRANGE + "'da'"),
    "arrays": ([np.ones(3)], SET_OF_NAMES),
    "a number": (2, SET_OF_NAMES + ".*got an int"),
    "a dict": ({"W1": "da", "b1": "da"}, "without colons, got a dict"),
    "numbers": ({1, 2}, SET_OF_NAMES + ".*got a set"),
    "dots": (..., "no value yet: replace the dots by a set of names"),
    "nothing": (None, "no value yet"),
    "a function": (lambda: {"W1", "b1"}, SET_OF_NAMES + ".*got a function"),
}
FAULTY_RIGHT: Answers = {
    "a list": ["b1", "W1"],
    "a tuple": ("W1", "b1"),
    "twice, with spaces": [" W1", "b1", "W1 "],
    "an array": np.array(["W1", "b1"]),
    "frozen": frozenset({"W1", "b1"}),
}


def step(
    late: bool = False,
    loss_size: Callable[..., Any] = lambda out, B: 2 / out.size,
    slope: Callable[..., Any] = lambda h: 1 - h**2,
    rate: Callable[..., Any] = lambda lr: lr,
    change: Callable[..., Any] = lambda p, lr, dp: p - lr * dp,
) -> Any:
    """A training step that differs from a right one where it is told to."""

    def training_step(W1, b1, W2, b2, x, target, lr):
        h = np.tanh(x @ W1.T + b1)
        out = h @ W2.T + b2
        dout = (out - target) * loss_size(out, len(x))
        new_W2, new_b2 = change(W2, rate(lr), dout.T @ h), change(b2, rate(lr), dout.sum(axis=0))
        da = dout @ (new_W2 if late else W2) * slope(h)
        new_W1, new_b1 = change(W1, rate(lr), da.T @ x), change(b1, rate(lr), da.sum(axis=0))
        return new_W1, new_b1, new_W2, new_b2

    return training_step


def faulty_step(W1, b1, W2, b2, x, target, lr):
    h = np.tanh(x @ W1.T + b1)
    out = h @ W2.T + b2
    dout = 2 * (out - target) / out.size
    W2 -= lr * dout.T @ h
    b2 -= lr * dout.sum(axis=0)
    da = (dout @ W2) * (1 - h**2)
    W1 -= lr * da.T @ x
    b1 -= lr * da.sum(axis=0)
    return W1, b1, W2, b2


def in_place_but_in_order(W1, b1, W2, b2, x, target, lr):
    new = step()(W1, b1, W2, b2, x, target, lr)
    for old, value in zip((W1, b1, W2, b2), new):
        old[...] = value
    return new


def faulty_on_copies(*args):
    return faulty_step(*(np.copy(a) for a in args[:4]), *args[4:])


def faulty_on_some_copies(W1, b1, W2, b2, x, target, lr):
    return faulty_step(W1, b1, W2.copy(), b2.copy(), x, target, lr)


def overwrites_the_error(W1, b1, W2, b2, x, target, lr):
    new = step()(W1, b1, W2, b2, x, target, lr)
    target -= x.mean()
    return new


def of_parts(pick: Callable[..., Any], make: Callable[..., Any] | None = None) -> Any:
    """A step whose four results are picked from old and new ones."""
    return lambda *args: pick(args[:4], (make or step())(*args))


STEP = r"the new \w\w\[.*Compute all four gradients from the old parameters"
STEP_WRONG: Answers = {
    "as it stands": (faulty_step, "changed its argument W1: compute a new array, or copy"),
    "right but in place": (in_place_but_in_order, "changed its argument W1"),
    "some copied": (faulty_on_some_copies, "changed its argument W1"),
    "all copied": (faulty_on_copies, "the new b1 is wrong: .*W2 that has already been changed"),
    "new arrays, old order": (step(late=True), "da is computed with the W2 that has already been"),
    "uphill": (step(change=lambda p, lr, dp: p + lr * dp), "uphill: subtract the gradient"),
    "no rate": (step(rate=lambda lr: 1.0), "a step without the learning rate"),
    "another rate": (step(rate=lambda lr: 0.3), STEP),
    "rate squared": (step(rate=lambda lr: lr * lr), STEP),
    "no 2": (step(loss_size=lambda out, B: 1 / out.size), "the 2 of the derivative is missing"),
    "sum": (step(loss_size=lambda out, B: 2), "a step with the sum over the outputs"),
    "mean over the examples": (step(loss_size=lambda out, B: 2 / B), "the examples alone"),
    "mean twice": (step(loss_size=lambda out, B: 2 / out.size / B), "examples taken twice"),
    "no slope": (step(slope=lambda h: 1.0), "the new b1 is wrong: .*without the slope 1 - h"),
    "slope 1 - h": (step(slope=lambda h: 1 - h), r"the new b1\["),
    "gradients": (step(change=lambda p, lr, dp: dp), "the gradient, not the new parameter"),
    "changes": (step(change=lambda p, lr, dp: -lr * dp), "the change, not the new param"),
    "nothing new": (lambda *args: args[:4], "the old one: nothing has been subtracted"),
    "copies": (lambda *args: [a.copy() for a in args[:4]], "the old one: nothing has been sub"),
    "biases old": (of_parts(lambda o, n: (n[0], o[1], n[2], o[3])), "the new b2 is .* old one"),
    "first layer old": (of_parts(lambda o, n: (*o[:2], *n[2:])), "the new b1 is .*the old one"),
    "last layer old": (of_parts(lambda o, n: (*n[:2], *o[2:])), "the new b2 is .*the old one"),
    "last layer first": (of_parts(lambda o, n: n[2:] + n[:2]), r"the new b2 must have shape"),
    "float32": (of_parts(lambda o, n: [a.astype(np.float32) for a in n]), DIGITS),
    "two steps": (lambda *a: step()(*step()(*a), *a[4:]), STEP),
    "in one tuple": (of_parts(lambda o, n: (n[:2], n[2:])), "must return W1, b1, .* 2 things"),
    "with the loss": (of_parts(lambda o, n: (*n, 0.5)), "must return .*it returned 5 things"),
    "a dict": (of_parts(lambda o, n: dict(zip("abcd", n))), "must return .* returned a dict"),
    "nothing": (lambda *args: faulty_on_copies(*args) and None, "returned None"),
    "nan": (of_parts(lambda o, n: (*n[:3], n[3] * np.nan)), "the new b2 holds nan"),
    "changes the target": (overwrites_the_error, "changed its argument target"),
    "no target": (lambda W1, b1, W2, b2, x, lr: (W1, b1, W2, b2), "stopped with TypeError"),
    "bias averaged": (
        of_parts(lambda o, n: (n[0], n[1], n[2], o[3] + (n[3] - o[3]) / 5)),
        "the new b2 is wrong: this is .*examples taken twice",
    ),
}


def by_the_package(W1, b1, W2, b2, x, target, lr):
    out, cache = mlp_forward([Linear(W1, b1), Linear(W2, b2)], x)
    _, grads = mlp_backward(cache, mse(out, target)[1])
    return [p - lr * dp for p, dp in zip((W1, b1, W2, b2), (*grads[0], *grads[1]))]


def on_copies(*args):
    new = step()(*args)
    W1, b1, W2, b2 = copy.deepcopy(args[:4])
    for old, value in zip((W1, b1, W2, b2), new):
        old -= old - value
    return W1, b1, W2, b2


def example_by_example(W1, b1, W2, b2, x, target, lr):
    steps = [step()(W1, b1, W2, b2, x[i : i + 1], target[i : i + 1], lr) for i in range(len(x))]
    return tuple(sum(parts) / len(x) for parts in zip(*steps))


STEP_RIGHT: Answers = {
    "by the package": by_the_package,
    "in place on copies": on_copies,
    "example by example": example_by_example,
    "lists": lambda *args: [new.tolist() for new in step()(*args)],
    "slope by factors": step(slope=lambda h: (1 - h) * (1 + h)),
    "gradient scaled first": step(change=lambda p, lr, dp: p + (-lr) * dp),
}

# --- 6. How large a step? ---

LOOK = "is not what the measurement says. The curvature is an eigenvalue of"
FACTOR_WRONG: Answers = {
    "no change": (1.0, "larger inputs make the bowl steeper$"),
    "grows": (10, "a steeper bowl needs smaller steps"),
    "the curvature's": (100, r"by this the curvature grows; what does the limit 2 / lambda do"),
    "X once": (1 / 10, "X stands more than once in the curvature"),
    "X four times": (1e-4, LOOK),
    "X three times": (1e-3, LOOK),
    "a root": (10**-0.5, LOOK),
    "nearly": (0.0101, LOOK),
    "sign": (-0.01, LOOK),
    "no steps": (0, LOOK),
    "twice": (2 / 100, LOOK),
    "a word": ("1/100", "must be a number, got '1/100'"),
    "a number as a word": ("0.01", "must be a number, got '0.01'"),
    "dots": (..., "no value yet: replace the dots by a number"),
    "nothing": (None, "no value yet"),
    "yes": (True, "must be a number, got True"),
    "nan": (np.nan, "must be a finite number, got nan"),
    "infinity": (np.inf, "must be a finite number"),
    "two": ([0.01, 0.01], "must be a single number, got a list"),
    "complex": (0.01 + 0j, "must be a single number"),
    "a function": (lambda: 0.01, "must be a single number, got a function"),
}
FACTOR_RIGHT: Answers = {
    "a power": 10**-2,
    "rounded": 1.0 - 0.99,
    "NumPy's": np.float32(0.01),
    "an array": np.array([0.01]),
    "a fraction": Fraction(1, 100),
    "measured": np.float64(0.010000000001),
}


def hessian(X: Any) -> Any:
    return 2 / len(X) * X.T @ X


def eigenvalues(X: Any) -> Any:
    return np.linalg.eigvalsh(hessian(X))


def scales_X(X):
    X *= np.sqrt(2 / len(X))
    return 2 / np.linalg.eigvalsh(X.T @ X).max()


def remembers_X():
    kept: list[Any] = []

    def largest_learning_rate(X):
        kept.append(eigenvalues(X))
        return 2 / kept[0].max()

    return largest_learning_rate


def one_power_step(X):
    v = hessian(X) @ np.ones(X.shape[1])
    return 2 * np.linalg.norm(v) / np.linalg.norm(hessian(X) @ v)


def tried_on_a_grid(X):
    return max(lr for lr in np.geomspace(1e-4, 10, 500) if lr * eigenvalues(X).max() < 2)


RATE = "the learning rate should be .*It is 2 / lambda, with the largest eigenvalue"
LIMIT_WRONG: Answers = {
    "1 / lambda": (lambda X: 1 / eigenvalues(X).max(), "1 / lambda: the fastest rate for one axis"),
    "lambda": (lambda X: eigenvalues(X).max(), "the curvature lambda itself; the limit is 2 /"),
    "no 2 / N": (lambda X: 2 / np.linalg.eigvalsh(X.T @ X).max(), "the 2 / N of the mean is miss"),
    "no N": (lambda X: 2 / np.linalg.eigvalsh(2 * X.T @ X).max(), "without the division by N"),
    "no 2": (lambda X: 2 / np.linalg.eigvalsh(X.T @ X / len(X)).max(), "without the 2 that the d"),
    "smallest": (lambda X: 2 / eigenvalues(X).min(), "from a smaller eigenvalue"),
    "trace": (lambda X: 2 / np.trace(hessian(X)), "the sum of the eigenvalues, not the largest"),
    "mean": (lambda X: 2 / eigenvalues(X).mean(), "the mean of the eigenvalues, not the largest"),
    "Frobenius": (lambda X: 2 / np.linalg.norm(hessian(X)), "from the Frobenius norm, which adds"),
    "covariance": (
        lambda X: 1 / np.linalg.eigvalsh(np.atleast_2d(np.cov(X.T, bias=True))).max(),
        "from the covariance of X",
    ),
    "singular value": (
        lambda X: len(X) / np.linalg.svd(X, compute_uv=False).max(),
        "from a singular value of X; its square is what is wanted",
    ),
    "the corner": (lambda X: 2 / hessian(X)[-1, -1], "the learning rate (should|is wrong)"),
    "largest of the diagonal": (
        lambda X: 2 / np.diag(hessian(X)).max(),
        "largest number on the diagonal",
    ),
    "largest sum of a row": (lambda X: 2 / np.abs(hessian(X)).sum(axis=1).max(), RATE),
    "D for N": (lambda X: 2 / np.linalg.eigvalsh(2 / X.shape[1] * X.T @ X).max(), RATE),
    "X X^T, divided by D": (lambda X: 2 / np.linalg.eigvalsh(2 / X.shape[1] * X @ X.T).max(), RATE),
    "the first": (lambda X: 2 / eigenvalues(X)[0], "from a smaller eigenvalue"),
    "the first, unsorted": (lambda X: 2 / np.linalg.eig(hessian(X))[0][0], "the learning rate"),
    "the second": (lambda X: 2 / eigenvalues(X)[1], RATE + "|IndexError"),
    "X without X": (lambda X: 2 / np.linalg.eigvals(X).max(), "stopped with LinAlgError.*square"),
    "ones added": (lambda X: 2 / eigenvalues(np.c_[X, np.ones(len(X))]).max(), RATE),
    "standardised": (lambda X: 2 / eigenvalues((X - X.mean()) / X.std()).max(), RATE),
    "the chapter's": (lambda X: 0.509, RATE),
    "for the examples shown": (Fresh(remembers_X), RATE),
    "one step of a power iteration": (one_power_step, RATE),
    "on a grid": (tried_on_a_grid, RATE),
    "rounded": (lambda X: round(2 / eigenvalues(X).max(), 3), RATE),
    "all of them": (lambda X: 2 / eigenvalues(X), "must be a single number, got an array"),
    "eigh": (lambda X: 2 / np.linalg.eigh(hessian(X)), "stopped with TypeError"),
    "sign": (lambda X: -2 / eigenvalues(X).max(), RATE),
    "infinite": (lambda X: 2 / (eigenvalues(X).max() - eigenvalues(X)[-1]), "finite number"),
    "changes X": (scales_X, "changed its argument X"),
}


def by_power_iteration(X):
    v = np.ones(X.shape[1])
    for _ in range(1000):
        v = X.T @ (X @ v)
        v /= np.linalg.norm(v)
    return len(X) / (v @ X.T @ X @ v)


def by_bisection(X):
    low, high = 0.0, 1e4
    for _ in range(100):
        lr = (low + high) / 2
        steps = np.abs(1 - lr * eigenvalues(X)).max()
        low, high = (lr, high) if steps <= 1 + 1e-12 else (low, lr)
    return low


LIMIT_RIGHT: Answers = {
    "svd": lambda X: len(X) / np.linalg.svd(X, compute_uv=False)[0] ** 2,
    "norm": lambda X: [len(X) / np.linalg.norm(X, 2) ** 2],
    "X X^T": lambda X: len(X) / np.linalg.eigvalsh(X @ X.T).max(),
    "power iteration": by_power_iteration,
    "not symmetric": lambda X: np.float64(2 / np.abs(np.linalg.eigvals(hessian(X))).max()),
    "bisection": by_bisection,
}

# --- 7. Through every point, without training. ---


def network(
    weights: Callable[..., Any],
    knots: Callable[..., Any] = lambda xs: xs[:-1],
    bias: Callable[..., Any] = lambda ys: ys[:1],
    layers: Callable[..., Any] = lambda W, b, V, c: (Linear(W, b), Linear(V, c)),
) -> Any:
    """One neuron for each of ``knots(xs)``, with the output's ``weights(xs, ys)``."""

    def interpolate(xs, ys):
        at = knots(xs)
        V = np.asarray(weights(xs, ys))[None, :]
        return layers(np.ones((len(at), 1)), -at, V, bias(ys))

    return interpolate


def slopes(xs: Any, ys: Any) -> Any:
    return np.diff(ys) / np.diff(xs)


def changes(xs: Any, ys: Any) -> Any:
    return np.diff(slopes(xs, ys), prepend=0.0)


def shaped(layers: Callable[..., Any]) -> Any:
    """A right network, laid out in another way."""
    return network(changes, layers=layers)


def changes_ys(xs, ys):
    ys -= ys[0]
    return network(changes)(xs, ys)


def for_a_sine(xs, ys):
    return network(changes)(xs, np.sin(xs))


def on_an_even_grid(xs, ys):
    return network(changes)(np.linspace(xs[0], xs[-1], len(xs)), ys)


def with_extra_bend(xs, ys):
    """A tent between the first two points, zero at all of them."""
    (_, b), (V, c) = network(changes)(xs, ys)
    at = np.linspace(xs[0], xs[1], 5)[1:4]
    return Linear(np.ones((len(b) + 3, 1)), np.r_[b, -at]), Linear(np.c_[V, [[1, -2, 1]]], c)


def needle(xs, ys):
    """A tent too narrow for an even grid of points to meet."""
    (_, b), (V, c) = network(changes)(xs, ys)
    at = xs[0] + np.array([0.00101, 0.00102, 0.00103])
    return Linear(np.ones((len(b) + 3, 1)), np.r_[b, -at]), Linear(np.c_[V, [[9, -18, 9]]], c)


def bends_between(xs, ys):
    """Meets every point, but with bends of its own: the knots lie halfway."""
    at = np.r_[xs[0] - 1.0, (xs[:-1] + xs[1:]) / 2]
    V = np.linalg.solve(np.maximum(xs[:, None] - at, 0.0), ys)
    return Linear(np.ones((len(at), 1)), -at), Linear(V[None, :], [0.0])


def steps(xs, ys):
    """A staircase, almost: each step rises on a stretch of its own."""
    width = np.diff(xs) / 10
    W = np.ones((2 * len(width), 1))
    b = -np.r_[xs[1:] - width, xs[1:]]
    rise = np.diff(ys) / width
    return Linear(W, b), Linear(np.r_[rise, -rise][None, :], ys[:1])


def nan_on_level_stretches(xs, ys):
    s = slopes(xs, ys)
    return network(lambda xs, ys: s * (changes(xs, ys) / s))(xs, ys)


def positive_only(xs, ys):
    hidden, output = network(changes)(xs, ys)
    return hidden, Linear(np.abs(output.W), output.b)


MISS = r"with \d+ points the network misses point "
NEW = r"each new one has to bring the change of slope"
INTERPOLATE_WRONG: Answers = {
    "slopes, not their changes": (network(slopes), MISS + "2: .*" + NEW),
    "ys for weights": (network(lambda xs, ys: ys[:-1]), MISS + "1: .*From point 0 the slope"),
    "differences, not slopes": (
        network(lambda xs, ys: np.diff(np.diff(ys), prepend=0.0)),
        MISS + "1: .*the difference of the ys, divided by that of the xs",
    ),
    "slopes upside down": (
        network(lambda xs, ys: np.diff(np.diff(xs) / np.diff(ys), prepend=0.0)),
        MISS + "1: .*the difference of the ys, divided by that of the xs|holds",
    ),
    "changes, the first left out": (
        network(lambda xs, ys: np.r_[0.0, np.diff(slopes(xs, ys))]),
        MISS + "1: .*From point 0",
    ),
    "changes turned round": (
        network(lambda xs, ys: np.r_[slopes(xs, ys)[:1], -np.diff(slopes(xs, ys))]),
        MISS + "2: .*" + NEW,
    ),
    "changes summed": (network(lambda xs, ys: np.cumsum(slopes(xs, ys))), MISS + "2: .*" + NEW),
    "no output bias": (
        network(changes, bias=lambda ys: 0 * ys[:1]),
        MISS + "0: .*the output's bias alone gives it",
    ),
    "last y as bias": (network(changes, bias=lambda ys: ys[-1:]), MISS + "0: .*bias alone"),
    "mean as bias": (network(changes, bias=lambda ys: ys.mean(keepdims=True)), MISS + "0"),
    "knots turned round": (
        network(changes, knots=lambda xs: -xs[:-1]),
        MISS + r"1: .*Neuron 0 bends at x = .*, where no point is: .*bends at -b / w",
    ),
    "knots one late": (network(changes, knots=lambda xs: xs[1:]), MISS + "1"),
    "knots halfway": (
        network(changes, knots=lambda xs: (xs[1:] + xs[:-1]) / 2),
        MISS + "1: .*Neuron 0 bends at x = .*, where no point is",
    ),
    "no knots": (network(changes, knots=lambda xs: 0 * xs[:-1]), MISS + r"\d: .*bends at x = -?0,"),
    "absolute weights": (positive_only, MISS),
    "as if evenly spaced": (on_an_even_grid, MISS),
    "one function only": (for_a_sine, MISS),
    "K = 2 only": (
        lambda xs, ys: network(changes)(xs[[0, -1]], ys[[0, -1]]),
        MISS + "1: .*From point 0 the slope",
    ),
    "the first three points": (lambda xs, ys: network(changes)(xs[:3], ys[:3]), MISS + "3"),
    "last stretch missing": (lambda xs, ys: network(changes)(xs[:-1], ys[:-1]), MISS + "1"),
    "no more than 8 points": (lambda xs, ys: network(changes)(xs[:8], ys[:8]), MISS + "8"),
    "bends between": (bends_between, "meets every point but is not straight between them"),
    "a tent": (with_extra_bend, "meets every point but is not straight .*Every bend must stand"),
    "a needle": (needle, "meets every point but is not straight .*Every bend must stand"),
    "stairs": (steps, "meets every point but is not straight"),
    "nan on level stretches": (nan_on_level_stretches, "the output layer's W holds nan"),
    "float32": (
        shaped(lambda W, b, V, c: (Linear(W, b), Linear(V.astype(np.float32), c))),
        MISS + r".*That is right to a few digits only: compute in float64",
    ),
    "neurons in a row": (
        shaped(lambda W, b, V, c: (Linear(W.T, b), Linear(V, c))),
        r"the hidden layer's W is \(1, 2\): turn it, one row for each neuron",
    ),
    "weights flat": (
        shaped(lambda W, b, V, c: (Linear(W[:, 0], b), Linear(V, c))),
        r"the hidden layer's W must have shape \(H, 1\), got \(1,\)",
    ),
    "output in a column": (
        shaped(lambda W, b, V, c: (Linear(W, b), Linear(V.T, c))),
        r"the output layer's W must have shape \(V=1, H=2\), got \(2, 1\). It reads H",
    ),
    "output flat": (
        shaped(lambda W, b, V, c: (Linear(W, b), Linear(V[0], c))),
        r"the output layer's W must have shape \(V=1, H=1\), got \(1,\)",
    ),
    "bias a number": (
        shaped(lambda W, b, V, c: (Linear(W, b), Linear(V, c[0]))),
        r"the output layer's b must have shape \(V=1,\), got \(\). One bias for the one output",
    ),
    "a bias for each weight": (
        shaped(lambda W, b, V, c: (Linear(W, b[:, None]), Linear(V, c))),
        r"the hidden layer's b must have shape \(H=1,\), got \(1, 1\)",
    ),
    "four arrays": (
        shaped(lambda W, b, V, c: (W, b, V, c)),
        "must return hidden, output; it returned 4 things",
    ),
    "weights only": (
        shaped(lambda W, b, V, c: (W, V)),
        r"hidden must be Linear\(W, b\), got an array",
    ),
    "output an array": (
        shaped(lambda W, b, V, c: (Linear(W, b), V)),
        r"output must be Linear\(W, b\), got an array",
    ),
    "layers exchanged": (
        lambda xs, ys: network(changes)(xs, ys)[::-1],
        r"misses point 0|the hidden layer's W is \(1, 2\)",
    ),
    "ragged": (
        shaped(lambda W, b, V, c: (([[1.0], [1.0, 2.0]], b), Linear(V, c))),
        "the hidden layer's W must be an array of numbers.*unequal parts",
    ),
    "the line itself": (
        lambda xs, ys: lambda x: np.interp(x, xs, ys),
        "must return hidden, output; it returned a function",
    ),
    "values": (lambda xs, ys: np.interp(xs, xs, ys), "must return hidden, output; .*an array"),
    "changes ys": (changes_ys, "changed its argument ys"),
}


def from_the_right(xs, ys):
    s = slopes(xs, ys)[::-1]
    V = -np.diff(s, prepend=0.0)
    return Linear(-np.ones((len(s), 1)), xs[:0:-1]), Linear(V[None, :], ys[-1:])


def solved(xs, ys):
    hidden = Linear(np.ones((len(xs), 1)), np.r_[1.0 - xs[0], -xs[:-1]])
    A = np.maximum(xs[:, None] * hidden.W[:, 0] + hidden.b, 0.0)
    return hidden, Linear(np.linalg.solve(A, ys)[None, :], np.zeros(1))


def scaled(xs, ys):
    """Weights of any positive size: what the hidden layer gains, the output layer loses."""
    scale = np.linspace(0.5, 40.0, len(xs) - 1)
    (W, b), (V, c) = network(changes)(xs, ys)
    return Linear(W * scale[:, None], b * scale), Linear(V / scale, c)


def line_and_bends(xs, ys):
    """The line as relu(x) - relu(-x), moved so that both bend at the first point."""
    s = slopes(xs, ys)
    W = np.r_[1.0, -1.0, np.ones(len(s) - 1)][:, None]
    b = np.r_[-xs[0], xs[0], -xs[1:-1]]
    return Linear(W, b), Linear(np.r_[s[0], -s[0], np.diff(s)][None, :], ys[:1])


def two_for_each(xs, ys):
    (W, b), (V, c) = network(changes)(xs, ys)
    return Linear(np.r_[W, W], np.r_[b, b]), Linear(np.c_[V, V] / 2, c)


def in_lists(xs, ys):
    (W, b), (V, c) = network(changes)(xs, ys)
    return [[W.tolist(), b.tolist()], [V.tolist(), c.tolist()]]


def padded(xs: Any, ys: Any, size: int) -> Any:
    """A right network with neurons that do nothing."""
    (W, b), (V, c) = network(changes)(xs, ys)
    more = max(size - len(b), 0)
    return (
        Linear(np.r_[W, np.zeros((more, 1))], np.r_[b, np.zeros(more)]),
        Linear(np.c_[V, np.zeros((1, more))], c),
    )


INTERPOLATE_RIGHT: Answers = {
    "from the right": from_the_right,
    "a system solved": solved,
    "scaled": scaled,
    "a line and its bends": line_and_bends,
    "two for each": two_for_each,
    "lists": in_lists,
    "a neuron at the last point": network(
        lambda xs, ys: np.r_[changes(xs, ys), 5.0], knots=lambda xs: xs
    ),
    "silent neurons": lambda xs, ys: padded(xs, ys, 30),
}


def both_ways(xs, ys):
    """Each bend as half of |x - x_k|, which takes a neuron to either side."""
    s = slopes(xs, ys)
    at, half = xs[1:-1], np.diff(s) / 2
    line = (s[0] + s[-1]) / 2
    W = np.r_[1.0, -1.0, np.ones(len(at)), -np.ones(len(at))][:, None]
    b = np.r_[-xs[0], xs[0], -at, at]
    V = np.r_[line, -line, half, half]
    c = ys[0] - np.sum(half * (at - xs[0]))
    return Linear(W, b), Linear(V[None, :], [c])


def resampled(xs, ys):
    """Points added halfway, which change nothing about the line."""
    x = np.sort(np.r_[xs, (xs[1:] + xs[:-1]) / 2])
    return x, np.interp(x, xs, ys)


ENOUGH = r"for \d+ points the network has \d+ hidden neurons; at most \d+ are allowed"
SIZE_WRONG: Answers = {
    "two for each": (two_for_each, "for 3 points the network has 4 hidden neurons"),
    "one too many": (lambda xs, ys: padded(xs, ys, len(xs) + 1), "for 2 points the .* has 3 hid"),
    "one for each place": (lambda xs, ys: padded(xs, ys, 100), "for 2 points the .* has 100"),
    "as many as the largest": (lambda xs, ys: padded(xs, ys, 20), "for 2 points the .* has 20"),
    "enough up to 8": (
        lambda xs, ys: padded(xs, ys, len(xs) + 5 * (len(xs) > 8)),
        "for 20 points the network has 25 hidden neurons; at most 20 are allowed",
    ),
    "small where it is odd": (lambda xs, ys: padded(xs, ys, len(xs) + 1 - len(xs) % 2), ENOUGH),
    "one for each direction": (both_ways, ENOUGH),
    "silent beyond": (lambda xs, ys: padded(xs, ys, len(xs) ** 2), ENOUGH),
    "a fine grid": (lambda xs, ys: network(changes)(*resampled(xs, ys)), ENOUGH),
    "points twice": (lambda xs, ys: padded(xs, ys, 2 * len(xs)), ENOUGH),
    "few, and wrong": (network(slopes), MISS + "2: .*" + NEW),
    "one neuron": (lambda xs, ys: network(changes)(xs[[0, -1]], ys[[0, -1]]), MISS + "1"),
    "wrong only where it is large": (
        lambda xs, ys: network(changes)(xs[:9], ys[:9]),
        "with 20 points the network misses point 9",
    ),
    "none": (
        lambda xs, ys: (Linear(np.ones((0, 1)), np.ones(0)), Linear(np.ones((1, 0)), ys[:1])),
        MISS + "1",
    ),
}


SIZE_RIGHT: Answers = {
    "from the right": from_the_right,
    "a system solved, with K neurons": solved,
    "a line and its bends, K neurons": line_and_bends,
    "one silent": lambda xs, ys: padded(xs, ys, len(xs)),
    "lists": in_lists,
}

WRONG: dict[Callable[..., None], Answers] = {
    checks.check_majority: MAJORITY_WRONG,
    checks.check_log_sigmoid: LOG_SIGMOID_WRONG,
    checks.check_log_sigmoid_extremes: EXTREMES_WRONG,
    checks.check_tanh_layer_forward: FORWARD_WRONG,
    checks.check_tanh_layer_backward: BACKWARD_WRONG,
    checks.check_soft_cross_entropy: SOFT_WRONG,
    checks.check_soft_cross_entropy_gradient: GRADIENT_WRONG,
    checks.check_soft_cross_entropy_extremes: SOFT_EXTREMES_WRONG,
    checks.check_wrong_after_step: FAULTY_WRONG,
    checks.check_training_step: STEP_WRONG,
    checks.check_rate_factor: FACTOR_WRONG,
    checks.check_largest_learning_rate: LIMIT_WRONG,
    checks.check_interpolate: INTERPOLATE_WRONG,
    checks.check_interpolate_size: SIZE_WRONG,
}
RIGHT: dict[Callable[..., None], Answers] = {
    checks.check_majority: MAJORITY_RIGHT,
    checks.check_log_sigmoid: LOG_SIGMOID_RIGHT,
    checks.check_log_sigmoid_extremes: EXTREMES_RIGHT,
    checks.check_tanh_layer_forward: FORWARD_RIGHT,
    checks.check_tanh_layer_backward: BACKWARD_RIGHT,
    checks.check_soft_cross_entropy: {
        **SOFT_RIGHT,
        "no gradient yet": soft(grad=lambda o, y, p: ...),
    },
    checks.check_soft_cross_entropy_gradient: {
        **SOFT_RIGHT,
        "no loss yet": soft(lambda o, y, lp: None),
    },
    checks.check_soft_cross_entropy_extremes: SOFT_EXTREMES_RIGHT,
    checks.check_wrong_after_step: FAULTY_RIGHT,
    checks.check_training_step: STEP_RIGHT,
    checks.check_rate_factor: FACTOR_RIGHT,
    checks.check_largest_learning_rate: LIMIT_RIGHT,
    checks.check_interpolate: INTERPOLATE_RIGHT,
    checks.check_interpolate_size: SIZE_RIGHT,
}
# What every function refuses alike, and what its message says.
NO_ANSWER: Answers = {
    "not defined": (None, "there is no function .* yet: run the cell that defines it"),
    "dots": (..., "there is no function .* yet"),
    "a number": (3.0, "must be a function, got a float"),
    "stub": (
        lambda *args: ...,
        "returned Ellipsis: write the function's body in place of the dots, and return",
    ),
    "no return": (lambda *args: None, "returned None: write the function's body"),
    "not written": (
        lambda *args: fails(NotImplementedError("to do")),
        "stopped with NotImplementedError: to do",
    ),
    "too many arguments": (lambda a, b, c, d, e, f, g, h, i: 0, "stopped with TypeError: .*miss"),
}


def cases(table: dict[Callable[..., None], Answers]) -> list[Any]:
    return [
        pytest.param(check, answer, id=f"{check.__name__[6:]}-{name}")
        for check, answers in table.items()
        for name, answer in answers.items()
    ]


def seeds(check: Callable[..., None]) -> list[dict[str, int]]:
    """The keyword arguments to run a check with: none, and other seeds if it takes one."""
    seeded = "seed" in inspect.signature(check).parameters
    return [{}, *({"seed": seed} for seed in range(1, 6) if seeded)]


def run(check: Callable[..., None], answer: Any, **kwargs: Any) -> None:
    answer = answer.make() if isinstance(answer, Fresh) else answer
    check(*(answer if isinstance(answer, Pair) else (answer,)), **kwargs)


def across(answer: Any) -> Any:
    """The answer as the grading command has it: what it is, or returns, comes from elsewhere."""
    if isinstance(answer, Fresh):
        answer = answer.make()
    if isinstance(answer, Pair):
        return Pair(*map(across, answer))
    if not callable(answer):
        return decode(encode(answer))
    return lambda *args: decode(encode(answer(*args)))


def refusal(check: Callable[..., None], answer: Any, **kwargs: Any) -> str:
    with pytest.raises(AssertionError) as caught:
        run(check, answer, **kwargs)
    return str(caught.value)


def master() -> dict[str, Any]:
    """What the answer cells of the solved notebook define."""
    names: dict[str, Any] = {"np": np, "Linear": Linear}
    inside = False
    for cell in nbformat.read(MASTER, as_version=4).cells:
        if cell.cell_type == "raw":
            inside = cell.source.startswith("# BEGIN SOLUTION")
        elif inside and cell.cell_type == "code":
            exec(compile(cell.source, str(MASTER), "exec"), names)
    return names


@pytest.mark.parametrize("check, answer", cases(WRONG))
def test_wrong_answers_are_refused_for_their_own_reason_in_short(
    check: Callable[..., None], answer: Any
):
    wrong, reason = answer
    for kwargs in seeds(check):
        message = refusal(check, wrong, **kwargs)
        assert re.search(reason, message), (kwargs, message)
        assert len(message) <= 300, message
        assert len(re.split(r"[.?!](?:\s|$)", message.rstrip(".?!"))) <= 3, message
        assert not re.search(r"Traceback|nan nan|object at 0x|\n", message), message


@pytest.mark.parametrize("check, answer", cases(RIGHT))
def test_right_answers_are_accepted(check: Callable[..., None], answer: Any):
    for kwargs in seeds(check):
        run(check, answer, **kwargs)


@pytest.mark.parametrize("check, answer", cases(RIGHT))
def test_what_the_notebook_accepts_the_command_accepts(check: Callable[..., None], answer: Any):
    run(check, across(answer))


@pytest.mark.parametrize("check", WRONG, ids=lambda check: check.__name__)
def test_the_solutions_pass(check: Callable[..., None]):
    names = master()
    for kwargs in seeds(check):
        answers = [names[p] for p in inspect.signature(check).parameters if p != "seed"]
        check(*answers, **kwargs)


VALUES = (checks.check_wrong_after_step, checks.check_rate_factor)


@pytest.mark.parametrize("answer, reason", NO_ANSWER.values(), ids=NO_ANSWER)
@pytest.mark.parametrize("check", [c for c in WRONG if c not in VALUES], ids=lambda c: c.__name__)
def test_what_is_no_answer_is_refused(check: Callable[..., None], answer: Any, reason: str):
    two = check is checks.check_tanh_layer_backward
    assert re.search(reason, refusal(check, Pair(answer, answer) if two else answer))


def test_every_check_has_enough_answers():
    public = {f for name, f in vars(checks).items() if name.startswith("check_")}
    assert public == set(WRONG) == set(RIGHT)
    assert all(len(answers) >= 10 for answers in WRONG.values())
    assert all(len(answers) >= 3 for answers in RIGHT.values())


def test_no_two_wrong_answers_of_a_check_are_the_same():
    tables = {
        node.target.id: node.value
        for node in ast.parse(Path(__file__).read_text(encoding="utf-8")).body
        if isinstance(node, ast.AnnAssign) and isinstance(node.value, ast.Dict)
    }
    names = [name for name in tables if name.endswith("_WRONG")]
    assert len(names) == len(WRONG)
    for name in names:
        keys = [ast.literal_eval(key) for key in tables[name].keys]
        answers = [ast.dump(value.elts[0]) for value in tables[name].values]
        assert len(set(keys)) == len(keys), name
        assert len(set(answers)) == len(answers), name
