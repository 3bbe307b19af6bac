"""Checks of the exercises of chapter 1, Neurons."""

import copy
from itertools import product
from typing import Any

import numpy as np

from unrolled._validate import Array
from unrolled.checks._tools import (
    alike,
    call,
    close,
    explained,
    fail,
    kind_of,
    names_of,
    number,
    numbers,
    prediction,
    results,
    rng_of,
    shape_of,
    unchanged,
    unwritten,
)
from unrolled.functional import log_softmax, sigmoid
from unrolled.losses import mse
from unrolled.neurons import linear_backward, linear_forward, mlp_backward, mlp_forward
from unrolled.params import Linear, init_linear

# (B, D, H): all different, one example alone, and a case in which every wrong transpose fits.
SIZES = [(5, 3, 4), (1, 2, 3), (3, 3, 3)]
EXACT = 1e-12  # of a gradient: a difference quotient, which needs no backward pass, is not so near


def check_majority(majority: Any) -> None:
    """Refuse weights and a bias that do not tell whether two of three inputs are 1."""
    w, b = results("majority", call("majority", majority), "w", "b")
    size = int(np.prod(shape_of("w", w)))
    if size != 3:
        fail(f"w must hold three weights, one for each input, got {size}")
    w = numbers("w", np.reshape(w, -1), D=3)
    b = number("b", b)
    for x in product([0, 1], repeat=3):
        with np.errstate(over="ignore", invalid="ignore"):
            a = float(np.dot(w, x) + b)
        y, right = int(a > 0), int(sum(x) >= 2)
        if y != right:
            ones = (
                "1 of the three inputs is" if sum(x) == 1 else f"{sum(x)} of the three inputs are"
            )
            fail(
                f"for x = {x} the pre-activation is {a:.4g}, so the neuron says {y}, "
                f"but {ones} 1 and it should say {right}"
            )


def check_log_sigmoid(log_sigmoid: Any, seed: int = 0) -> None:
    """Refuse what is not the logarithm of the sigmoid, for numbers of ordinary size."""
    rng = rng_of(seed)
    for shape in [(4, 3), (3,), (2, 3, 1), ()]:
        a = np.asarray(3.0 * rng.normal(size=shape))
        sizes = dict(zip("LMN", shape, strict=False))
        out = call("log_sigmoid", log_sigmoid, a=a)
        look = "It has the shape of a, which may be one number, too."
        out = numbers("log_sigmoid(a)", out, look, **sizes)
        right = -np.logaddexp(0.0, -a)
        suspects = {
            "the sigmoid itself, without the logarithm": sigmoid(a),
            "log(1 - sigmoid(a)), the price of the other answer": -np.logaddexp(0.0, a),
            "-log(sigmoid(a)): the sign is turned round": -right,
            "a logarithm to base 2; np.log is the natural one": right / np.log(2),
            "a logarithm to base 10; np.log is the natural one": right / np.log(10),
            "min(a, 0) plus the logarithm, which is to be subtracted": 2.0 * np.minimum(a, 0.0)
            - right,
            "a form with max(a, 0), where min(a, 0) is right": right + np.abs(a),
            "a form with a, where min(a, 0) is right": right + np.maximum(a, 0.0),
            "a form with -|a|, where min(a, 0) is right": right - np.maximum(a, 0.0),
            "right for a > 0 only; below zero, a itself is missing": right - np.minimum(a, 0.0),
        }
        close(
            "log_sigmoid(a)", out, right, suspects=suspects, look="Start from log(1 / (1 + e^-a))."
        )


def check_log_sigmoid_extremes(log_sigmoid: Any) -> None:
    """Refuse a logarithm of the sigmoid that overflows, or that is cut off."""
    a = np.array([-1e4, -1e3, -720.0, -40.0, -16.0, -2.0, 0.0, 2.0, 16.0, 40.0, 1e3, 1e4])
    right = -np.logaddexp(0.0, -a)
    out = call("log_sigmoid", log_sigmoid, a=a)
    shape_of("log_sigmoid(a)", out)
    out = np.asarray(out)
    if out.shape != a.shape or out.dtype.kind not in "fiu":
        numbers("log_sigmoid(a)", out, N=len(a))
    # Written so that a nan is wrong.
    wrong = ~(np.abs(out - right) <= 1e-9 * np.maximum(1.0, np.abs(right)))
    small = np.abs(a) <= 2.0
    # What is wrong everywhere does not fail for the size of the numbers.
    for i in np.flatnonzero(wrong & small if (wrong & small).any() else wrong):
        why = (
            "this is not yet an extreme number, so mend the formula first"
            if small[i] and np.isfinite(out[i])
            else "a large number in the same array spoils the others, so treat each by itself"
            if small[i]
            else "an exp overflows, or the sigmoid is 0 before its logarithm is taken. Find a form "
            "that only takes exp of -|a|"
            if not np.isfinite(out[i])
            else "so near to zero log(1 + exp(-|a|)) still counts"
            if np.abs(a[i]) < 40.0
            else "a limit hides the overflow, and is wrong beyond the limit"
            if a[i] < 0.0
            else "far to the right the sigmoid is 1, and its logarithm is 0"
        )
        fail(f"log_sigmoid({a[i]:.0f}) should be {right[i] + 0.0:.10g}, got {out[i]:.10g}: {why}")


def check_tanh_layer_forward(tanh_layer_forward: Any, seed: int = 0) -> None:
    """Refuse a forward pass that is not ``tanh(x W^T + b)``."""
    rng = rng_of(seed)
    for B, D, H in SIZES:
        # Large enough to saturate some of the neurons.
        params, x = init_linear(D, H, rng=rng), 10.0 * rng.normal(size=(B, D))
        _tanh_layer(tanh_layer_forward, params, x)


def _tanh_layer(tanh_layer_forward: Any, params: Linear, x: Array) -> tuple[Array, Any]:
    """Run a learner's forward pass and return its checked output and its cache."""
    (B, D), (H, _) = x.shape, params.W.shape
    name = "tanh_layer_forward"
    result = call(name, tanh_layer_forward, params=params, x=x)
    h, cache = results(name, result, "h", "cache")
    if unwritten(cache):
        fail(f"the cache is {cache}: put into it whatever arrays the backward pass will need")
    _only_arrays(cache)
    h = numbers("h", h, "One example a row, one neuron a column: x @ W.T.", B=B, H=H)
    a, _ = linear_forward(params, x)
    suspects = {
        "the pre-activation, without tanh": a,
        "x W^T without the bias": np.tanh(x @ params.W.T),
        "tanh(x W^T) + b: the bias belongs inside": np.tanh(x @ params.W.T) + params.b,
        "a sigmoid instead of tanh": sigmoid(a),
        "a ReLU instead of tanh": np.maximum(a, 0.0),
        "the negative of the right one": -np.tanh(a),
        "the output with b subtracted": np.tanh(a - 2 * params.b),
    }
    if D == H:
        suspects["x W: the weights of a neuron are a row of W"] = np.tanh(x @ params.W + params.b)
    close("h", h, np.tanh(a), suspects=suspects, look="It is tanh(x W^T + b).")
    # Another batch runs through before the way back, as it may when a network has two such layers.
    before = copy.deepcopy(result)
    call(name, tanh_layer_forward, params=_another(params), x=1.0 - x)
    if not unchanged(result, before):
        fail(f"a second call of {name} changed what the first has returned: make new arrays")
    return h, cache


def _only_arrays(cache: Any) -> None:
    """Refuse what cannot be copied and compared; numbers, lists and dicts do no harm."""
    if isinstance(cache, tuple | list | dict):
        for part in cache.values() if isinstance(cache, dict) else cache:
            _only_arrays(part)
    elif not isinstance(cache, np.ndarray | np.generic | int | float | str | None):
        fail(f"the cache must be a tuple of arrays, but it holds {kind_of(cache)}")


def _another(params: Linear) -> Linear:
    return Linear(0.5 - params.W, 0.5 - params.b)


def check_tanh_layer_backward(
    tanh_layer_forward: Any, tanh_layer_backward: Any, seed: int = 0
) -> None:
    """Refuse a backward pass that is not the gradient of ``tanh(x W^T + b)``."""
    rng = rng_of(seed)
    for B, D, H in SIZES:
        params, x = init_linear(D, H, rng=rng), rng.normal(size=(B, D))
        dh = rng.normal(size=(B, H))
        h, cache = _tanh_layer(tanh_layer_forward, params, x)
        result = call("tanh_layer_backward", tanh_layer_backward, cache=cache, dh=dh)
        dx, grads = results("tanh_layer_backward", result, "dx", "Linear(dW, db)")
        if not isinstance(grads, tuple | list):
            got = kind_of(grads)
            fail(f"tanh_layer_backward must return dx, Linear(dW, db); the second is {got}")
        dW, db = results("tanh_layer_backward", grads, "dW", "db")
        dx = numbers("dx", dx, "A gradient has the shape of what it belongs to.", B=B, D=D)
        dW = numbers("dW", dW, "A gradient has the shape of what it belongs to.", H=H, D=D)
        db = numbers("db", db, "Each bias acts on every example: sum over them.", H=H)
        _, linear = linear_forward(params, x)
        right_x, right = linear_backward(linear, dh * (1.0 - h * h))
        slopes = {
            "what comes out if dh is not multiplied by the slope of tanh": np.ones_like(h),
            "what comes out with the slope 1 - h; that of tanh is 1 - h**2": 1.0 - h,
            "what comes out with the sigmoid's slope h (1 - h)": h * (1.0 - h),
            "what comes out with the slope 1 + h**2; that of tanh is 1 - h**2": 1.0 + h * h,
            "what comes out if tanh is applied to h once more": 1.0 - np.tanh(h) ** 2,
            "what comes out with the slope taken at x W^T, without b": 1.0
            - np.tanh(x @ params.W.T) ** 2,
            "what comes out with the slope 1 - a**2; the square is that of h = tanh(a)": 1.0
            - linear_forward(params, x)[0] ** 2,
        }
        guesses = {why: linear_backward(linear, dh * slope) for why, slope in slopes.items()}
        other_x, (other_W, other_b) = 1.0 - x, _another(params)
        other = dh * (1.0 - np.tanh(other_x @ other_W.T + other_b) ** 2)
        why = "what comes out with arrays of a later forward pass; take all of them from the cache"
        guesses[why] = linear_backward(linear_forward(_another(params), other_x)[1], other)
        # db first: it shows the slope alone, before any product with x or W.
        suspects = {why: g.b for why, (_, g) in guesses.items()}
        suspects["the mean over the examples, not the sum"] = right.b / B
        close("db", db, right.b, suspects=suspects, look="Sum da over the examples.", rel=EXACT)
        suspects = {why: g.W for why, (_, g) in guesses.items()}
        da = dh * (1.0 - h * h)
        suspects[f"{why}, here x"] = da.T @ other_x
        suspects["the mean over the examples, not the sum"] = right.W / B
        if D == H:
            suspects["dW transposed: x^T da instead of da^T x"] = right.W.T
        look = "It is da^T x, with da = dh * (1 - h**2)."
        close("dW", dW, right.W, suspects=suspects, look=look, rel=EXACT)
        suspects = {why: d for why, (d, _) in guesses.items()}
        suspects[f"{why}, here W"] = da @ other_W
        suspects["the mean over the examples"] = right_x / B
        if D == H:
            suspects["da W^T: the transpose is one too many"] = da @ params.W.T
        look = "It is da W, with da = dh * (1 - h**2)."
        close("dx", dx, right_x, suspects=suspects, look=look, rel=EXACT)


def _soft_case(seed: int, B: int, V: int) -> tuple[Array, Array]:
    """Draw logits and targets that are probabilities: some spread, one of them certain."""
    rng = rng_of(seed)
    target = rng.random((B, V))
    target[0] = 0.0
    target[0, V // 2] = 1.0
    return 2.0 * rng.normal(size=(B, V)), target / target.sum(axis=1, keepdims=True)


SOFT_SIZES = [(5, 3), (1, 4), (3, 3)]


def check_soft_cross_entropy(soft_cross_entropy: Any, seed: int = 0) -> None:
    """Refuse what is not the mean of ``-sum_v y_v log p_v``."""
    for B, V in SOFT_SIZES:
        logits, target = _soft_case(seed, B, V)
        loss = _loss(_soft(soft_cross_entropy, logits, target)[0])
        log_p = log_softmax(logits)
        right = -float((target * log_p).sum(axis=1).mean())
        by_column = log_softmax(logits.T).T
        suspects = {
            "the sum over the examples, not their mean": right * B,
            "the mean over all B x V numbers; a loss is a mean over examples": right / V,
            "the loss with its sign turned round": -right,
            "a softmax over the examples; each row is one example": -float(
                (target * by_column).sum(axis=1).mean()
            ),
            "in bits, from a logarithm to base 2": right / np.log(2),
            "the price of the likeliest class alone": -float(
                np.take_along_axis(log_p, target.argmax(axis=1)[:, None], axis=1).mean()
            ),
            "with target and p exchanged: the target weighs, log p is weighed": -float(
                (np.exp(log_p) * np.log(np.maximum(target, 1e-300))).sum(axis=1).mean()
            ),
            "a loss of the logits themselves, without the softmax": -float(
                (target * logits).sum(axis=1).mean()
            ),
            "with the largest logit subtracted from o alone, and not in the sum of exp": right
            + float(logits.max(axis=1).mean()),
            "p in the place of log p": -float((target * np.exp(log_p)).sum(axis=1).mean()),
            "the loss of V sigmoids, one for each class; a softmax shares 1 among them": float(
                (np.logaddexp(0.0, logits) - target * logits).sum(axis=1).mean()
            ),
            "with (1 - y) log(1 - p) added, which belongs to a single sigmoid": right
            - float(((1.0 - target) * np.log1p(-np.exp(log_p))).sum(axis=1).mean()),
        }
        look = "For one example it is minus the sum over the classes of target * log p."
        close("the loss", loss, right, suspects=suspects, look=look)


def check_soft_cross_entropy_gradient(soft_cross_entropy: Any, seed: int = 0) -> None:
    """Refuse a gradient that is not ``(p - y) / B``."""
    for B, V in SOFT_SIZES:
        logits, target = _soft_case(seed, B, V)
        dlogits = _dlogits(_soft(soft_cross_entropy, logits, target)[1], logits)
        p = np.exp(log_softmax(logits))
        right = (p - target) / B
        certain = np.eye(V)[target.argmax(axis=1)]
        suspects = {
            "p - y, not yet divided by B; the loss is a mean over B examples": p - target,
            "y - p: the sign is turned round": -right,
            "y - p, and not divided by B": target - p,
            "divided by B V; the loss is a mean over B examples": right / V,
            "p alone: y is missing": p / B,
            "multiplied by the slope p (1 - p), which has cancelled": right * p * (1 - p),
            "the gradient for the likeliest class as the only right one": (p - certain) / B,
            "the gradient with respect to p, not to the logits": -target / p / B,
            "a softmax over the examples; each row is one example": (
                np.exp(log_softmax(logits.T).T) - target
            )
            / B,
            "divided by V; the loss is a mean over B examples": (p - target) / V,
            "the gradient with respect to log p, not to the logits": -target / B,
            "-y (1 - p): what o_v does to p_v alone, but it moves every p": -target * (1 - p) / B,
            "the logits in the place of p": (logits - target) / B,
            "the gradient of V sigmoids, one for each class, not of a softmax": (
                sigmoid(logits) - target
            )
            / B,
        }
        look = "It has the form (p - y) / B."
        close("dlogits", dlogits, right, suspects=suspects, look=look, rel=EXACT)


def check_soft_cross_entropy_extremes(soft_cross_entropy: Any) -> None:
    """Refuse a loss or a gradient that overflows for large logits."""
    # What is wrong everywhere does not fail for the size of the logits.
    check_soft_cross_entropy(soft_cross_entropy)
    check_soft_cross_entropy_gradient(soft_cross_entropy)
    logits = np.array([[1000.0, 0.0, -1000.0], [-1000.0, -1001.0, -1000.0]])
    target = np.array([[0.0, 0.75, 0.25], [0.5, 0.0, 0.5]])
    look = "Subtract the largest logit of each row first, and never take the logarithm of p."
    both = _soft(soft_cross_entropy, logits, target)
    loss, dlogits = _loss(both[0], look), _dlogits(both[1], logits, look)
    log_p = log_softmax(logits)
    close("the loss of large logits", loss, -float((target * log_p).sum(axis=1).mean()), look=look)
    close("dlogits of large logits", dlogits, (np.exp(log_p) - target) / 2, look=look)


def _soft(soft_cross_entropy: Any, logits: Array, target: Array) -> tuple[Any, Any]:
    """Run a learner's loss. Each check looks at its own part of the result."""
    result = call("soft_cross_entropy", soft_cross_entropy, logits=logits, target=target)
    loss, dlogits = results("soft_cross_entropy", result, "loss", "dlogits")
    return loss, dlogits


ZERO = "A target may be 0, so only p may stand in the logarithm."


def _loss(loss: Any, look: str = ZERO) -> float:
    """Return a learner's loss as a number."""
    if (shape := shape_of("the loss", loss)) and np.size(loss) != 1:
        fail(f"the loss must be one number, the mean over the examples; got shape {shape}")
    _finite("the loss", loss, look)
    return number("the loss", loss)


def _dlogits(dlogits: Any, logits: Array, look: str = ZERO) -> Array:
    """Return a learner's gradient as an array."""
    _finite("dlogits", dlogits, look)
    B, V = logits.shape
    return numbers("dlogits", dlogits, "A gradient has the shape of its logits.", B=B, V=V)


def _finite(what: str, value: Any, look: str) -> None:
    shape_of(what, value)
    array = np.asarray(value)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        fail(f"{what} holds {'nan' if np.isnan(array).any() else 'inf'}. {look}")


# --- The mistake in a training step. ---

STEP_PARAMETERS = ("W1", "b1", "W2", "b2")


def check_wrong_after_step(wrong_after_step: Any) -> None:
    """Refuse a prediction other than the parameters that the faulty step gets wrong."""
    chosen = names_of("wrong_after_step", wrong_after_step, STEP_PARAMETERS)
    if not chosen:
        fail(
            "wrong_after_step is empty, but the step does have a mistake: "
            "which line reads an array that an earlier line has changed?"
        )
    if chosen & {"W2", "b2"}:
        name = min(chosen & {"W2", "b2"})
        fail(
            f"{name} is right: its gradient is computed before anything has been changed. "
            "Which lines come after the first change?"
        )
    if chosen != {"W1", "b1"}:
        fail(f"{min(chosen)} is wrong indeed, but not alone: what else is computed from da?")


def check_training_step(training_step: Any, seed: int = 0) -> None:
    """Refuse a step that is not one step of gradient descent on the squared error."""
    rng = rng_of(seed)
    for B, D, H, V, lr in [(5, 3, 4, 2, 0.3), (1, 2, 3, 4, 0.05), (3, 3, 3, 3, 0.7)]:
        first, last = init_linear(D, H, rng=rng), init_linear(H, V, rng=rng)
        x, target = rng.normal(size=(B, D)), rng.normal(size=(B, V))
        args = {"W1": first.W, "b1": first.b, "W2": last.W, "b2": last.b}
        result = call("training_step", training_step, **args, x=x, target=target, lr=lr)
        new = results("training_step", result, *STEP_PARAMETERS)
        out, cache = mlp_forward([first, last], x)
        dout = mse(out, target)[1]
        _, (d_first, d_last) = mlp_backward(cache, dout)
        grads = dict(zip(STEP_PARAMETERS, (*d_first, *d_last), strict=True))
        h = cache.hidden[0]
        late = (dout @ (last.W - lr * d_last.W)) * (1 - h * h)  # W2 was changed first
        late_grads = {"W1": late.T @ x, "b1": late.sum(axis=0)}
        # From the last layer to the first: a mistake shows where it enters.
        for name in reversed(STEP_PARAMETERS):
            p, dp = args[name], grads[name]
            value = numbers(
                f"the new {name}",
                new[STEP_PARAMETERS.index(name)],
                "Return W1, b1, W2, b2, in this order.",
                **dict(zip("HD" if name in late_grads else "VH", p.shape, strict=False)),
            )
            suspects = {
                "the old one: nothing has been subtracted": p,
                "uphill: subtract the gradient": p + lr * dp,
                "the gradient, not the new parameter": dp,
                "the change, not the new parameter": -lr * dp,
                "a step without the learning rate": p - dp,
                "a step with the sum over the outputs; the loss is a mean": p - lr * dp * out.size,
                "a step with the mean over the examples alone": p - lr * dp * V,
                "a step with the mean over the examples taken twice": p - lr * dp / B,
                "a step of half the length: the 2 of the derivative is missing": p - lr * dp / 2,
            }
            if name in late_grads:
                why = "what comes out if da is computed with the W2 that has already been changed"
                suspects[why] = p - lr * late_grads[name]
                no_slope = dout @ last.W
                flat = {"W1": no_slope.T @ x, "b1": no_slope.sum(axis=0)}
                suspects["what comes out without the slope 1 - h**2"] = p - lr * flat[name]
            close(f"the new {name}", value, p - lr * dp, suspects=suspects, look=_LOOK_STEP)


_LOOK_STEP = "Compute all four gradients from the old parameters, and only then all four new ones."


# --- The learning rate. ---


def check_rate_factor(rate_factor: Any) -> None:
    """Refuse a prediction of how the limit changes with inputs ten times as large."""
    guess = number("rate_factor", rate_factor)
    # By the mistake, and without the answer.
    reasons = {
        1.0: "larger inputs make the bowl steeper",
        10.0: "larger inputs make the bowl steeper, and a steeper bowl needs smaller steps",
        100.0: "by this the curvature grows; what does the limit 2 / lambda do?",
        0.1: "the direction is right, but X stands more than once in the curvature",
    }
    if guess in reasons:
        fail(f"rate_factor = {guess:g} is not right: {reasons[guess]}")
    look = "The curvature is an eigenvalue of X^T X: how often does X stand in it?"
    prediction("rate_factor", rate_factor, 0.01, look=look)


def check_largest_learning_rate(largest_learning_rate: Any, seed: int = 0) -> None:
    """Refuse what is not ``2 / lambda`` with the largest eigenvalue of ``2/N X^T X``."""
    rng = rng_of(seed)
    sizes = [(7, 3), (1, 2), (3, 3), (2, 5), (40, 1)]
    cases = [rng.normal(size=(N, D)) * rng.uniform(0.5, 3.0, D) for N, D in sizes]
    # In the last, eigenvalues that are not sorted have the largest between the two others.
    for X in [*cases, np.diag([2.0, 3.0, 1.0])]:
        N = len(X)
        name = "largest_learning_rate"
        limit = number("the learning rate", call(name, largest_learning_rate, X=X))
        squares = np.linalg.eigvalsh(X.T @ X)
        steepest = 2.0 / N * squares.max()
        right = 2.0 / steepest
        largest = squares.max()
        suspects = {
            "1 / lambda: the fastest rate for one axis, not the limit": right / 2.0,
            "the curvature lambda itself; the limit is 2 / lambda": steepest,
            "2 / lambda for X^T X alone: the 2 / N of the mean is missing": 2.0 / largest,
            "2 / lambda without the division by N": 1.0 / largest,
            "2 / lambda without the 2 that the derivative of a square brings": 2.0 * right,
            "from a smaller eigenvalue; the steepest axis sets the limit": N
            / max(squares.min(), 1e-300),
            "from the sum of the eigenvalues, not the largest": N / squares.sum(),
            "from the mean of the eigenvalues, not the largest": N / squares.mean(),
            "from the largest number on the diagonal of X^T X, which is no eigenvalue": N
            / np.diag(X.T @ X).max(),
            "from the Frobenius norm, which adds the squares of all eigenvalues": N
            / np.linalg.norm(squares),
            "from the covariance of X, which subtracts the mean; X^T X does not": 1.0
            / max(np.linalg.eigvalsh(np.atleast_2d(np.cov(X.T, bias=True))).max(), 1e-300),
            "from a singular value of X; its square is what is wanted": N / np.sqrt(largest),
        }
        look = "It is 2 / lambda, with the largest eigenvalue of 2/N X^T X."
        close("the learning rate", limit, right, suspects=suspects, look=look, rel=1e-6)


# --- A network through given points. ---


def _knots(seed: int, K: int) -> tuple[Array, Array]:
    """Draw points at unequal distances; with four or more of them, one stretch is level."""
    rng = rng_of(seed + K)
    xs = np.cumsum(rng.uniform(0.3, 2.0, K)) - 3.0
    ys = rng.normal(size=K)
    if K > 3:
        ys[2] = ys[1]
    return xs, ys


MOST_NEURONS = 1000  # a network of any size could take any time to check


def _network(interpolate: Any, xs: Array, ys: Array) -> tuple[Linear, Linear]:
    """Run a learner's construction and return its two layers, checked."""
    layers = results(
        "interpolate", call("interpolate", interpolate, xs=xs, ys=ys), "hidden", "output"
    )
    for what, layer in zip(("hidden", "output"), layers, strict=True):
        if not isinstance(layer, tuple | list) or len(layer) != 2:
            fail(f"{what} must be Linear(W, b), got {kind_of(layer)}")
    (W, b), (V, c) = layers
    shape = shape_of("the hidden layer's W", W)
    if len(shape) != 2:
        fail(f"the hidden layer's W must have shape (H, 1), got {shape}")
    H = len(W)
    if H > MOST_NEURONS:
        explained(f"the network has {H} hidden neurons; at most {MOST_NEURONS} are allowed")
    if shape[0] == 1 < shape[1]:
        fail(f"the hidden layer's W is {shape}: turn it, one row for each neuron, as in (H, 1)")
    first = Linear(
        numbers("the hidden layer's W", W, "It reads one number.", H=H, D=1),
        numbers("the hidden layer's b", b, "One bias a neuron.", H=H),
    )
    last = Linear(
        numbers("the output layer's W", V, "It reads H numbers and gives one.", V=1, H=H),
        numbers("the output layer's b", c, "One bias for the one output.", V=1),
    )
    return first, last


def _outputs(layers: tuple[Linear, Linear], x: Array) -> Array:
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(mlp_forward(layers, x[:, None], "relu")[0][:, 0])


def _bends(hidden: Linear) -> Array:
    """Return where each hidden neuron bends: not a finite number for one that never does."""
    with np.errstate(all="ignore"):
        return np.asarray(-hidden.b / hidden.W[:, 0])


def check_interpolate(interpolate: Any, seed: int = 0) -> None:
    """Refuse a network that does not run straight from each point to the next."""
    for K in (2, 3, 4, 8, 20):
        xs, ys = _knots(seed, K)
        layers = _network(interpolate, xs, ys)
        out = _outputs(layers, xs)
        # Written so that a nan is wrong.
        missed = ~(np.abs(out - ys) <= 1e-7 * np.abs(ys).max())
        if missed.any():
            k = int(np.argmax(missed))
            fail(
                f"with {K} points the network misses point {k}: at x = {xs[k]:.4g} it gives "
                f"{out[k]:.4g}, and y is {ys[k]:.4g}. {_why_missed(layers, xs, ys, out, k)}"
            )
        # Straight from bend to bend, the two agree everywhere if they agree at all the bends.
        bends = _bends(layers[0])
        x = np.sort(np.concatenate([xs, bends[(bends > xs[0]) & (bends < xs[-1])]]))
        out, right = _outputs(layers, x), np.interp(x, xs, ys)
        if not alike(out, right, 1e-7):
            worst = int(np.argmax(np.abs(out - right)))
            fail(
                f"with {K} points the network meets every point but is not straight between "
                f"them: at x = {x[worst]:.4g} it gives {out[worst]:.4g} and not "
                f"{right[worst]:.4g}. Every bend must stand at a given x."
            )


def _why_missed(layers: tuple[Linear, Linear], xs: Array, ys: Array, out: Array, k: int) -> str:
    """Say why a network misses point ``k``, the first that it misses."""
    if alike(out, ys, 1e-5):
        return "That is right to a few digits only: compute in float64."
    bends = _bends(layers[0])
    strange = np.isfinite(bends) & (np.abs(bends[:, None] - xs).min(axis=1) > 1e-9)
    if strange.any():
        i = int(np.argmax(strange))
        return (
            f"Neuron {i} bends at x = {bends[i] + 0.0:.4g}, where no point is: "
            "max(w x + b, 0) bends at -b / w."
        )
    if k == 0:
        return "If no neuron is active there yet, the output's bias alone gives it."
    slope = (ys[k] - ys[k - 1]) / (xs[k] - xs[k - 1])
    return f"From point {k - 1} the slope should be {slope:.4g}: " + (
        "the difference of the ys, divided by that of the xs."
        if k == 1
        else "divide by each stretch's own length. A neuron that has started goes on, so each new "
        "one has to bring the change of slope."
    )


def check_interpolate_size(interpolate: Any, seed: int = 0) -> None:
    """Refuse a right network that needs more hidden neurons than there are points."""
    check_interpolate(interpolate, seed)
    for K in (2, 3, 4, 8, 20):
        hidden, _ = _network(interpolate, *_knots(seed, K))
        if len(hidden.W) > K:
            fail(
                f"for {K} points the network has {len(hidden.W)} hidden neurons; at most {K} are "
                f"allowed, and one for each stretch between neighbours, {K - 1}, is enough"
            )


# --- What several checks need. ---
