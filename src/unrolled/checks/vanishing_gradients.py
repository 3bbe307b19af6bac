"""Checks of the exercises of chapter 4, Vanishing gradients."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from unrolled._validate import Array
from unrolled.checks._tools import (
    call,
    close,
    explained,
    fail,
    kind_of,
    number,
    numbers,
    results,
    rng_of,
    unanswered,
    unwritten,
)
from unrolled.gradients import clip_by_norm, global_norm, state_jacobian
from unrolled.params import init_rnn
from unrolled.rnn import RNNCache, rnn_backward, rnn_forward

# --- How many steps. ---

PERCENTS = (50, 90, 99, 110)  # what a step keeps, of a norm


def check_lags(lags: Any) -> None:
    """Refuse wrong numbers of steps after which a gradient is a thousandth, or a thousandfold."""
    if unwritten(lags):
        unanswered("lags has no value yet: replace the dots by a dict, and run the cell")
    if not isinstance(lags, dict):
        fail(f"lags must be a dict such as {{50: 7, 90: 7, …}}, got {kind_of(lags)}")
    for percent in PERCENTS:
        what = f"lags[{percent}]"
        if percent not in lags:
            fail(f"lags has no entry for {percent} percent: its keys are the numbers {PERCENTS}")
        guess, rate = number(what, lags[percent]), abs(math.log(percent / 100))
        exact = math.log(1000) / rate
        right, half = math.ceil(exact), math.log(2) / rate
        reasons: dict[float, str] = {
            right - 1: "one step too few: there it has not reached the mark yet",
            right + 1: "one step too many: it reached the mark a step before",
            -right: "a lag counts backwards already; it is positive",
            math.ceil(half): "this is the half-life, or the time to double; a factor of 1000 is "
            "asked for",
            math.ceil(3 / rate): "3 is the logarithm of 1000 to base 10; take both logarithms to "
            "one base",
            math.ceil(math.log(1000) / rate * math.log(10)): "take both logarithms to one base",
            math.ceil(exact / 2): "the norm is rho to the power k; it is not squared",
            2 * right: "the norm is rho to the power k; no square root is taken",
            math.ceil(1000 / percent): "each step multiplies; 1000 is reached by multiplying, too",
        }
        reasons |= dict.fromkeys(
            (round(100 / abs(100 - percent)), round(99.9 / abs(100 - percent), 2)),
            "each step takes a share of what is left, not of what was there at first",
        )
        if guess == right:
            continue
        if abs(guess - exact) < 1e-2 * exact and guess != round(guess):
            explained(f"{what} = {guess:g} is no whole number: which is the first step that does?")
        other = reasons.get(guess, "solve rho**k = 1/1000 (or 1000) for k, by a logarithm")
        fail(f"{what} = {guess:g} is not right: {other}")


# --- The product of Jacobians. ---

# (T, B, D, H): a case in which wrong axes fit, so that they can be named; then all different, one
# sequence, one step.
SIZES = [(4, 3, 3, 3), (6, 2, 3, 4), (5, 1, 2, 3), (1, 2, 4, 3)]


def _network(seed: int, T: int, B: int, D: int, H: int) -> RNNCache:
    """Run a network from a state that is not zero, with states that are neither 0 nor ±1."""
    rng = rng_of(seed)
    params = init_rnn(D, H, rng=rng)
    W_hh = params.W_hh + 0.3 * rng.normal(size=(H, H))
    x, h0 = rng.normal(size=(T, B, D)), np.tanh(rng.normal(size=(B, H)))
    return rnn_forward(params._replace(W_hh=W_hh), x, h0)[2]


def check_one_step(lag_jacobian: Any, seed: int = 0) -> None:
    """Refuse a wrong Jacobian of the last step."""
    for sizes in SIZES:
        _check_jacobian(lag_jacobian, _network(seed, *sizes), 1)


def check_lag_jacobian(lag_jacobian: Any, seed: int = 0) -> None:
    """Refuse a wrong Jacobian of the last state by the one k steps before, k = 2…T and 0."""
    for sizes in SIZES:
        cache = _network(seed, *sizes)
        for k in [*range(2, sizes[0] + 1), 0]:
            _check_jacobian(lag_jacobian, cache, k)


def _chain(factors: list[Array], H: int) -> Array:
    """Multiply matrices (B, H, H), the first from the left."""
    product = np.eye(H)
    for factor in factors:
        product = product @ factor
    return product


def _check_jacobian(lag_jacobian: Any, cache: RNNCache, k: int) -> None:
    W, h = cache.params.W_hh, cache.h.copy()
    T, (B, H) = len(h) - 1, h.shape[1:]
    right = state_jacobian(cache.steps(T - k, T)) if k else np.tile(np.eye(H), (B, 1, 1))
    result = call("lag_jacobian", lag_jacobian, W_hh=W.copy(), h=h, k=k)
    look = "One (H, H) matrix for each sequence of the batch."
    J = numbers(f"for T={T} and k={k}, the result", result, look, B=B, rows=H, columns=H)

    def chain(factor: Callable[[Array], Array], last: int = T, k: int = k) -> Array:
        """Multiply the factors made of k states, the one at ``last`` first."""
        steps = [np.broadcast_to(factor(h[t]), (B, H, H)) for t in range(last, last - k, -1)]
        return np.broadcast_to(_chain(steps, H), (B, H, H))

    def rows(h_t: Array) -> Array:
        return (1 - h_t**2)[:, :, None] * W

    forward = [rows(h[t]) for t in range(T - k + 1, T + 1)]
    suspects = {
        "what comes out if the slopes scale the columns of W_hh; row i belongs to unit i": chain(
            lambda h_t: (1 - h_t**2)[:, None, :] * W
        ),
        "what comes out with the slopes 1 - h; that of tanh is 1 - h**2": chain(
            lambda h_t: (1 - h_t)[:, :, None] * W
        ),
        "what comes out if tanh is taken again: h is tanh(a) already, so the slope is 1 - h**2": (
            chain(lambda h_t: (1 - np.tanh(h_t) ** 2)[:, :, None] * W)
        ),
        "what comes out without the slopes of tanh": chain(lambda h_t: W),
        "what comes out without W_hh": chain(lambda h_t: (1 - h_t**2)[:, :, None] * np.eye(H)),
        "what comes out with W_hh transposed": chain(lambda h_t: (1 - h_t**2)[:, :, None] * W.T),
        "what comes out with 1 + h**2; the slope is 1 - h**2": chain(
            lambda h_t: (1 + h_t**2)[:, :, None] * W
        ),
        "the right numbers transposed: entry (i, j) is unit i of the last state by unit j of the "
        "earlier one": right.transpose(0, 2, 1),
        "what comes out with all sequences' slopes averaged; each has its own Jacobian": chain(
            lambda h_t: (1 - h_t**2).mean(axis=0)[:, None] * W
        ),
        "the Jacobian of the first sequence, for all of them": np.tile(right[:1], (B, 1, 1)),
        "the sum over the batch; each sequence has its own Jacobian": np.tile(
            right.sum(axis=0), (B, 1, 1)
        ),
        "zero; after no step at all a state depends on itself, as I says": np.zeros_like(right),
    }
    if k:
        early = "what comes out if step t takes its slopes from h[t - 1], the state before it"
        suspects[early] = chain(rows, T - 1)
        suspects["what comes out of one step fewer: from T - k to T there are k"] = chain(
            rows, k=k - 1
        )
    if T > k > 0:
        suspects["what comes out of one step more: from T - k to T there are k"] = chain(
            rows, k=k + 1
        )
        suspects["the product of the first k steps; the last k are wanted"] = chain(rows, k)
    if k > 1:
        order = "J_T stands on the left, J_{T-k+1} on the right"
        suspects[f"what comes out if the factors stand in the wrong order: {order}"] = _chain(
            forward, H
        )
        suspects["the last step's Jacobian to the power k; every step has slopes of its own"] = (
            chain(lambda _: rows(h[T]))
        )
        product = np.prod(forward, axis=0)
        suspects["the product of the entries; a chain rule needs the matrix product, @"] = product
        suspects["the sum of the Jacobians; along a chain they are multiplied"] = np.sum(
            forward, axis=0
        )
    close(
        f"for T={T} and k={k}, the Jacobian",
        J,
        right,
        suspects=suspects,
        look="J_t is diag(1 - h_t**2) W_hh, and h[T] is the last state.",
    )


# --- Clipping. ---

ARRAYS = 6  # of a recurrent layer and its readout


def check_norm_after(norm_after: Any) -> None:
    """Refuse a wrong prediction of what clipping each array by itself leaves."""
    guess, right = number("norm_after", norm_after), math.sqrt(ARRAYS)
    reasons = {
        1.0: "that is each array's own norm; what is the norm of all six together?",
        float(ARRAYS): "norms do not add up; their squares do",
        2.0: "a network has six arrays: four of the recurrent layer, two of the readout",
        math.sqrt(5): "count the arrays: W_ih, W_hh, b_ih, b_hh, and the readout's W and b",
        math.sqrt(2): "there are more than two arrays: count them",
        4.0: "norms do not add up, and there are six arrays",
        1 / right: "more arrays make a longer gradient, not a shorter one",
    }
    if abs(guess - right) <= 5e-3:
        return
    for wrong, why in reasons.items():
        if abs(guess - wrong) <= 5e-3:
            fail(f"norm_after = {guess:g} is not right: {why}")
    look = "After the function each of six arrays has norm 1. What is the sum of all squares?"
    fail(f"norm_after = {guess:.6g} is not what the measurement says. {look}")


def _gradients(seed: int) -> list[tuple[str, list[Array], float]]:
    """List lists of gradients and limits, by what is special about them."""
    rng = rng_of(seed)

    def draw(*shapes: tuple[int, ...], norm: float) -> list[Array]:
        arrays = [rng.normal(size=shape) for shape in shapes]
        length = global_norm(tuple(arrays))
        return [norm / length * array for array in arrays]

    layer = (4, 3), (4, 4), (4,), (4,), (2, 4), (2,)
    # One array is short, in a gradient that is long.
    long = [*draw(*layer[:-1], norm=40.0), *draw(layer[-1], norm=0.4)]
    part = draw((3, 2), (3,), norm=6.0)
    # All arrays are shorter than the limit, and together they are longer.
    four = draw((2, 2), norm=0.9) + draw((3, 1), norm=0.8) + draw((2,), norm=0.7)
    return [
        ("that is far too long", long, 2.5),
        ("that is too long", draw(*layer, norm=7.0), 2.5),
        ("whose arrays are short, each by itself", four, 1.0),
        ("that is short", draw(*layer, norm=0.7), 2.5),
        ("that is as long as the limit", [np.array([3.0, 0.0]), np.array([[4.0]])], 5.0),
        ("in which one array is zero", [np.zeros((2, 3)), *part], 1.5),
        ("that is zero", [np.zeros((2, 3)), np.zeros(2)], 1.0),
        ("of a single array", draw((5,), norm=30.0), 0.5),
        ("that is huge", draw((3, 2), (2,), norm=1e100), 1.0),
        ("that is tiny", draw((3, 2), (2,), norm=1e-100), 1.0),
    ]


def check_clip(clip_gradients: Any, seed: int = 0) -> None:
    """Refuse what is not clipping by the norm of all arrays together."""
    for kind, grads, max_norm in _gradients(seed):
        args = {"grads": [grad.copy() for grad in grads], "max_norm": max_norm}
        result = call("clip_gradients", clip_gradients, **args)
        clipped, norm = results("clip_gradients", result, "clipped", "norm")
        case = f"of a gradient {kind}"
        if not isinstance(clipped, tuple | list):
            explained(f"clipped must be a list of arrays like grads; it is {kind_of(clipped)}")
        if len(clipped) != len(grads):
            explained(f"clipped must have {len(grads)} arrays, as grads has; it has {len(clipped)}")
        right, right_norm = clip_by_norm(tuple(grads), max_norm)
        arrays = [
            numbers(f"clipped[{i}] {case}", value, **_sizes(grad.shape))
            for i, (value, grad) in enumerate(zip(clipped, grads, strict=True))
        ]
        suspects = _clip_suspects(grads, max_norm, right_norm)
        close(
            f"clipped, {case},",
            _flat(arrays),
            _flat(list(right)),
            suspects={why: _flat(wrong) for why, wrong in suspects.items()},
            look="All arrays are multiplied by one factor, max_norm / norm, if norm > max_norm.",
        )
        wrong = {
            "the norm after clipping; the one before is asked for": min(right_norm, max_norm),
            "the square of the norm": right_norm**2,
            "the sum of the arrays' norms; add their squares": sum(map(_length, grads)),
            "the norm of the last array; all arrays together have one": _length(grads[-1]),
            "the norm of the first array; all arrays together have one": _length(grads[0]),
            "the factor, not the norm": min(1.0, max_norm / max(right_norm, 1e-300)),
            "the largest number of all; the norm is the root of the sum of squares": max(
                np.abs(grad).max() for grad in grads
            ),
        }
        look = "It is the root of the sum of all squares, before clipping."
        close(
            f"norm, {case},",
            number(f"norm {case}", norm),
            right_norm,
            suspects={why: np.float64(value) for why, value in wrong.items()},
            look=look,
        )


def _length(array: Array) -> float:
    return float(np.sqrt((array**2).sum()))


def _flat(arrays: list[Array]) -> Array:
    return np.concatenate([array.ravel() for array in arrays])


def _sizes(shape: tuple[int, ...]) -> dict[str, int]:
    return dict(zip(("rows", "columns") if len(shape) == 2 else ("numbers",), shape, strict=True))


def _clip_suspects(grads: list[Array], limit: float, norm: float) -> dict[str, list[Array]]:
    """Clip in the ways that are wrong and known."""

    def scaled(by: float) -> list[Array]:
        factor = min(1.0, limit / max(by, 1e-300))
        return [factor * grad for grad in grads]

    own = [max(_length(grad), 1e-300) for grad in grads]
    spectral = math.sqrt(sum(np.linalg.norm(grad, 2) ** 2 for grad in grads))
    whole = "the norm of all arrays together decides"
    return {
        "not clipped at all": grads,
        f"each array clipped by its own norm: {whole}": [
            min(1.0, limit / n) * grad for n, grad in zip(own, grads, strict=True)
        ],
        f"each array rescaled to the limit by its own norm: {whole}": [
            limit / n * grad for n, grad in zip(own, grads, strict=True)
        ],
        f"each array whose own norm is too long, clipped by the norm of all: {whole}": [
            limit / norm * grad if n > limit else grad for n, grad in zip(own, grads, strict=True)
        ],
        "rescaled to the limit although it is short enough": [
            limit / max(norm, 1e-300) * grad for grad in grads
        ],
        "divided by the norm, but not multiplied by max_norm": [
            grad / max(norm, 1e-300) if norm > limit else grad for grad in grads
        ],
        "each element clipped, which turns the direction": [
            np.clip(grad, -limit, limit) for grad in grads
        ],
        "clipped by the largest element; the norm of all decides": scaled(
            max(float(np.abs(grad).max()) for grad in grads)
        ),
        "clipped by the sum of the arrays' norms; add their squares, and take the root": scaled(
            sum(own)
        ),
        "clipped by the longest array's norm; all together decide": scaled(max(own)),
        "clipped by the sum of squares; its root is missing": scaled(norm**2),
        "clipped by the sum of absolute values; square them": scaled(
            float(sum(np.abs(grad).sum() for grad in grads))
        ),
        "clipped by the root of the mean square; take the sum": scaled(
            norm / math.sqrt(sum(grad.size for grad in grads))
        ),
        "clipped by the mean of the arrays' norms": scaled(float(np.mean(own))),
        "clipped by spectral norms, np.linalg.norm(grad, 2); the root of the sum of squares is "
        "wanted": scaled(float(spectral)),
        "each array clipped to its share of the limit: the norm of all decides": [
            min(1.0, limit / math.sqrt(len(grads)) / n) * grad
            for n, grad in zip(own, grads, strict=True)
        ],
        "zero: a gradient that is too long is shortened, not thrown away": [
            0.0 * grad for grad in grads
        ],
        "multiplied by norm / max_norm, which is the wrong way round": [
            max(1.0, norm / limit) * grad for grad in grads
        ],
    }


# --- What each lag says. ---


def check_lag_parts(lag_parts: Any, seed: int = 0) -> None:
    """Refuse what is not the part of each lag in ``dL/dW_hh``."""
    for T, B, D, H in SIZES:
        cache = _network(seed, T, B, D, H)
        W, h = cache.params.W_hh, cache.h.copy()
        dh_n = rng_of(seed + T).normal(size=(B, H))
        result = call("lag_parts", lag_parts, W_hh=W.copy(), h=h, dh_n=dh_n)
        look = "One (H, H) matrix a lag, lag 0 first; a sum over the batch."
        parts = numbers("the result", result, look, T=T, rows=H, columns=H)
        right = _parts(cache, dh_n)
        close(
            "the result",
            parts,
            right,
            suspects=_parts_suspects(W, h, dh_n, right),
            look="Part k belongs to step t = T - k: da_t = dh_t * (1 - h_t**2), then its product "
            "with h_{t-1}, and dh_{t-1} = da_t @ W_hh.",
        )


def _parts(cache: RNNCache, dh_n: Array) -> Array:
    """Send the gradient back step by step, and collect what each says on ``W_hh``."""
    parts, dh = [], dh_n
    for t in range(len(cache.x), 0, -1):
        _, dh, grads = rnn_backward(cache.steps(t - 1, t), dh_n=dh)
        parts.append(grads.W_hh)
    return np.stack(parts)


def _parts_suspects(W: Array, h: Array, dh_n: Array, right: Array) -> dict[str, Array]:
    T, B = len(h) - 1, h.shape[1]

    def run(
        slope: Any = lambda t: 1 - h[t] ** 2,
        back: Any = lambda da, dh: da @ W,
        pair: Any = lambda da, dh, t: da.T @ h[t - 1],
    ) -> Array:
        parts, dh = [], dh_n
        for t in range(T, 0, -1):
            da = dh * slope(t)
            parts.append(pair(da, dh, t))
            dh = back(da, dh)
        return np.stack(parts)

    without_h0 = right.copy()
    without_h0[-1] = 0.0
    return {
        "the parts in the order of time; lag 0, the last step, comes first": right[::-1],
        "the sums up to each lag; each part by itself is wanted": np.cumsum(right, axis=0),
        "the sums from each lag on; each part by itself is wanted": np.cumsum(right[::-1], axis=0)[
            ::-1
        ],
        "the mean over the batch; W_hh is shared, so its gradients add up": right / B,
        "each part transposed: rows belong to da_t, columns to h_{t-1}": right.transpose(0, 2, 1),
        "what comes out with h_t in place of h_{t-1}: step t multiplies W_hh by h[t - 1]": run(
            pair=lambda da, dh, t: da.T @ h[t]
        ),
        "what comes out without the slopes of tanh": run(lambda t: 1.0),
        "what comes out with the slopes 1 - h; that of tanh is 1 - h**2": run(lambda t: 1 - h[t]),
        "what comes out if tanh is taken again: h is tanh(a) already, so the slope is 1 - h**2": (
            run(lambda t: 1 - np.tanh(h[t]) ** 2)
        ),
        "what comes out with the slopes of the step before: step t has 1 - h[t]**2": run(
            lambda t: 1 - h[t - 1] ** 2
        ),
        "what comes out with W_hh transposed on the way back: it is da @ W_hh": run(
            back=lambda da, dh: da @ W.T
        ),
        "what comes out if the gradient goes back without the slope: carry da on, not dh": run(
            back=lambda da, dh: dh @ W
        ),
        "what comes out if the slope is used on the way back only, and not in the part itself": run(
            pair=lambda da, dh, t: dh.T @ h[t - 1]
        ),
        "what comes out if the gradient goes back without W_hh": run(back=lambda da, dh: da),
        "what comes out if every step is given dh_n: carry the gradient back": run(
            back=lambda da, dh: dh_n
        ),
        "what comes out if dh_n is added at every step; the loss reads the last state alone": run(
            back=lambda da, dh: da @ W + dh_n
        ),
        "what comes out if the initial state is taken as zero": without_h0,
        "the sum of all parts at every lag": np.broadcast_to(right.sum(axis=0), right.shape),
        "the part of lag 0 at every lag: carry the gradient back": np.broadcast_to(
            right[0], right.shape
        ),
    }


# --- Counter-examples. ---

MOST_UNITS = 256  # a matrix of any size could take any time to check
LATE = 10  # times k + 1 steps, after which a gradient has to be gone


def _matrix(what: str, value: Any) -> Array:
    """Return a square matrix of a permitted size."""
    if unwritten(value):
        unanswered(f"{what} is {value}: write the line that computes it, in place of the dots")
    shape = np.shape(value) if isinstance(value, list | tuple | np.ndarray) else None
    if shape is None or len(shape) != 2 or shape[0] != shape[1] or not shape[0]:
        got = kind_of(value) if shape is None else f"shape {shape}"
        explained(f"{what} must be a square matrix (H, H), got {got}")
    if shape[0] > MOST_UNITS:
        explained(f"{what} has {shape[0]} rows; at most {MOST_UNITS} are allowed")
    return numbers(what, value, rows=shape[0], columns=shape[0])


def _spectral(W: Array) -> float:
    return float(np.linalg.norm(W, 2))


def _radius(W: Array) -> float:
    return float(np.abs(np.linalg.eigvals(W)).max())


def _check_stretch(what: str, W: Array) -> None:
    """Refuse a matrix that stretches a vector by more than 2."""
    if (norm := _spectral(W)) > 2 * (1 + 1e-9):
        fail(
            f"the spectral norm of {what} is {norm:.4g}, which is more than 2: no single step may "
            "stretch a vector by more than that"
        )


def check_grows_first(grows_first: Any) -> None:
    """Refuse a matrix whose powers do not grow for k steps, or do not vanish then."""
    for k in (1, 2, 5, 20):
        what = f"grows_first({k})"
        W = _matrix(what, call("grows_first", grows_first, k=k))
        _check_stretch(what, W)
        grown, wanted = _spectral(np.linalg.matrix_power(W, k)), 1.5**k
        if not grown >= wanted * (1 - 1e-9):
            if len(W) <= k and _radius(W) < 1e-2:
                why = f"all its eigenvalues are 0, so with H = {len(W)} it is 0 after {len(W)}"
                why += f" {'step' if len(W) == 1 else 'steps'}: take more units"
            elif _spectral(W) < 1.5:
                why = f"its spectral norm is {_spectral(W):.3g}, and no step stretches more"
            else:
                why = "each step must stretch the vector that the step before has turned out"
            fail(f"for {what} the norm at lag {k} is {grown:.3g}, not {wanted:.3g} or more: {why}")
        late = LATE * (k + 1)
        with np.errstate(all="ignore"):
            left = _spectral(np.linalg.matrix_power(W, late))
        if not left <= 1e-3:
            why = f"the eigenvalues must lie well below 1, and the largest is {_radius(W):.3g}"
            if _radius(W) < 1e-2:
                why = f"it grows for longer than {k} step{'' if k == 1 else 's'}; take fewer units"
            fail(f"for {what} the norm at lag {late} is still {left:.3g}: {why}")


FACTORS = 100


def check_two_jacobians(two_jacobians: Any) -> None:
    """Refuse two matrices that do not vanish each alone and explode in turn."""
    pair = results("two_jacobians", call("two_jacobians", two_jacobians), "A", "B")
    A, B = (_matrix(name, value) for name, value in zip("AB", pair, strict=True))
    if A.shape != B.shape:
        explained(f"A and B must have one shape, got {A.shape} and {B.shape}")
    for name, M in (("A", A), ("B", B)):
        _check_stretch(name, M)
        # The eigenvalues of a matrix of this kind are computed to a few digits only.
        if (radius := _radius(M)) > 0.55:
            fail(
                f"the spectral radius of {name} is {radius:.3g}, which is more than 0.5: by itself "
                "each matrix has to vanish. Which matrices have no eigenvalue but 0?"
            )
    product = np.linalg.matrix_power(A @ B, FACTORS // 2)
    if (norm := _spectral(product)) >= 1e6:
        return
    if np.allclose(A, B):
        why = "A and B are equal, so it is a power of one matrix, and the radius decides"
    elif _radius(A @ B) < 1e-6:
        why = "A B has no eigenvalue but 0, too: what A stretches, B must give it back"
    elif np.allclose(A @ B, B @ A):
        why = "A B = B A, and then the radius of A B is at most that of A times that of B"
    else:
        why = f"it is the spectral radius of A B that counts, and that is {_radius(A @ B):.3g}"
    fail(f"after {FACTORS} factors A B A B … the norm is {norm:.3g}, not a million: {why}")


# --- A latch, and its price. ---


def _rest(w: float) -> float:
    """Return ``u = w h*``, where ``h* = tanh(w h*)`` is the upper state of rest; w > 1."""
    # Newton on u - w tanh(u), from above, where it is convex.
    u = w
    for _ in range(100):
        u -= (u - w * math.tanh(u)) / (1 - w / math.cosh(u) ** 2)
    return u


def _slope(w: float) -> float:
    return w if w <= 1 else w / math.cosh(_rest(w)) ** 2


def check_latch_slope(latch_slope: Any) -> None:
    """Refuse what is not the derivative of one step at the state of rest."""
    for w in (2.0, 1.1, 1.5, 3.0, 5.0, 0.9, 0.5):
        slope = number(f"latch_slope({w})", call("latch_slope", latch_slope, w=w))
        right = _slope(w)
        if abs(slope - right) <= 1e-3 * right:
            continue
        u = _rest(w) if w > 1 else 0.0
        h = math.tanh(u)
        suspects = {
            "w is missing: a step multiplies by w first": 1 - h**2,
            "this is the slope at h = 0, where a latch does not stay": w,
            "this is w (1 - h), and the slope of tanh is 1 - h**2": w * (1 - h),
            "this is the slope at h = 1, not at rest": 0.0,
            "this is the state at rest, not the slope there": h,
            "tanh is taken twice: the state at rest is tanh(w h) already": w
            * (1 - math.tanh(h) ** 2),
            "the slope belongs to tanh(w h), so it is 1 - tanh(w h)**2, not 1 - (w h)**2": w
            * (1 - u**2),
            "one w only: the step is tanh(w h), whose derivative has a single factor w": w**2
            * (1 - h**2),
            "the slope is 1 - h**2; you square that once more": w * (1 - h**2) ** 2,
            "divided by w; a step multiplies by w": (1 - h**2) / w,
            "this is the slope after the first step from 1, not at rest": w
            * (1 - math.tanh(w) ** 2),
            "the sign: tanh rises everywhere, so its slope is not negative": -right,
            "this is the slope at the edge; at rest the state is farther out": 1.0,
        }
        for why, wrong in suspects.items():
            if abs(slope - wrong) <= 1e-3 * abs(wrong) and abs(wrong - right) > 1e-3 * right:
                fail(f"latch_slope({w}) should be {right:.4g}, but it is {slope:.4g}: {why}")
        if abs(slope - right) <= 0.1 * right:
            explained(
                f"latch_slope({w}) should be {right:.5g}, but it is {slope:.5g}: the state is not "
                "at rest yet; near w = 1 it takes many steps to get there"
            )
        fail(
            f"latch_slope({w}) should be {right:.4g}, but it is {slope:.4g}: go to the state at "
            "rest, h = tanh(w h), and take the derivative of tanh(w h) by h there"
        )


def _weight(slope: float) -> float:
    """Return the w > 1 whose slope at rest is this, by bisection on ``2u / sinh(2u)``."""
    low, high = 0.0, 20.0
    for _ in range(100):
        u = 0.5 * (low + high)
        low, high = (u, high) if 2 * u / math.sinh(2 * u) > slope else (low, u)
    return u / math.tanh(u)


def check_firmest_latch(firmest_latch: Any) -> None:
    """Refuse what is not the largest w > 1 that lets a given share through."""
    for share, T in ((1e-3, 100), (0.5, 20), (0.01, 10), (0.1, 200), (0.2, 1)):
        what = f"firmest_latch({share}, {T})"
        w = number(what, call("firmest_latch", firmest_latch, share=share, T=T))
        right = _weight(share ** (1 / T))
        if abs(w - right) <= 2e-3 * (right - 1):
            continue
        slope = share ** (1 / T)
        suspects = {
            "that unit lets the share through at h = 0, and is no latch: w must be above 1": slope,
            "one step may not take all of the share: a step's slope to the power T is the share": (
                _weight(share)
            ),
            "slopes multiply, they do not add up: the share is a power": _weight(
                min(share / T, 0.999)
            )
            if share / T > 1e-12
            else math.nan,
            "the losses multiply: 1 - slope is not (1 - share) / T": _weight(1 - (1 - share) / T),
            "T steps have T factors, not T + 1": _weight(share ** (1 / (T + 1))),
            "T steps have T factors, not T - 1": _weight(share ** (1 / (T - 1))) if T > 1 else 0.0,
            "this is w h at rest; divide it by tanh(w h)": _rest(right),
            "this is the state at rest, not the weight": math.tanh(_rest(right)),
            "this is the slope that one step must have, turned over": 1 / slope,
            "w is missing in the slope: it is w (1 - h**2)": _no_weight(slope),
        }
        for why, wrong in suspects.items():
            near = abs(w - wrong) <= 2e-3 * abs(wrong - 1)
            if near and not abs(wrong - right) <= 2e-3 * (right - 1):
                fail(f"{what} should be {right:.5f}, but it is {w:.5f}: {why}")
        if w <= 1:
            fail(f"{what} is {w:.5g}: a unit with w of 1 or less rests at 0 and keeps no bit")
        arrives = _slope(w) ** T
        if abs(w - right) <= 5e-2 * (right - 1):
            explained(f"{what} should be {right:.6g}, but it is {w:.6g}: compute it more exactly")
        side = "more" if arrives > share else "less"
        fail(
            f"{what} should be {right:.5f}, but it is {w:.5f}: with this weight {arrives:.3g} of a "
            f"gradient is left after {T} {'step' if T == 1 else 'steps'}, which is {side}"
        )


def _no_weight(slope: float) -> float:
    """Return the w > 1 for which ``1 - h*^2`` is the slope."""
    h = math.sqrt(1 - slope)
    return math.atanh(h) / h


# --- A radius for noise. ---

Z = np.linspace(-8, 8, 641)
WEIGHTS = np.exp(-(Z**2) / 2) / np.exp(-(Z**2) / 2).sum()


def _mean(values: Array) -> float:
    """Average a function of a standard normal number, given at ``Z``."""
    return float(WEIGHTS @ values)


def _spread(
    rho: float, noise: float, step: Callable[[float, float], float] = lambda fed, s: fed + s * s
) -> float:
    """Iterate the variance of a to rest, by a rule that may be wrong."""
    q = 1.0
    for _ in range(500):
        before, q = q, step(rho**2 * _mean(np.tanh(math.sqrt(q) * Z) ** 2), noise)
        if abs(q - before) <= 1e-10:
            break
    return q


def _slopes(q: float) -> Array:
    return 1 - np.tanh(math.sqrt(q) * Z) ** 2


def _factor(rho: float, q: float) -> float:
    return rho * math.sqrt(_mean(_slopes(q) ** 2))


def check_gradient_factor(gradient_factor: Any) -> None:
    """Refuse what is not the factor by which a gradient's length changes in a noisy step."""
    for rho, s in ((1.2, 0.8), (1.5, 0.3), (0.5, 0.3), (2.0, 0.5), (1.0, 0.3), (0.8, 0.0)):
        what = f"gradient_factor({rho}, {s})"
        factor = number(what, call("gradient_factor", gradient_factor, rho=rho, noise=s))
        q = _spread(rho, s)
        right = _factor(rho, q)
        if abs(factor - right) <= 1e-2 * right:
            continue
        fed = q - s * s
        suspects = {
            "this is the variance q, not the factor": q,
            "this is the square; a length is its root": right**2,
            "this is rho: in noise the slopes are below 1": rho,
            "rho is missing: a step multiplies by W_hh, too": right / rho,
            "rho is not squared inside the root": right / math.sqrt(rho),
            "square the slopes before the mean; lengths add up by their squares": rho
            * _mean(_slopes(q)),
            "the slopes are squared twice; or the root of the mean is missing": rho
            * _mean(_slopes(q) ** 2),
            "the root of the mean slope; the slopes are to be squared": rho
            * math.sqrt(_mean(_slopes(q))),
            "this is the slope at a = sqrt(q); take the mean over all a": rho
            * float(1 - math.tanh(math.sqrt(q)) ** 2),
            "q is the noise alone; the states feed it, too": _factor(rho, s * s),
            "q leaves the noise out": _factor(rho, fed) if fed > 0 else math.nan,
            "q takes noise for its square": _factor(rho, _spread(rho, s, lambda fed, n: fed + n)),
            "q is missing rho**2 in front of the mean": _factor(
                rho, _spread(1.0, s, lambda fed, n: fed + n * n)
            ),
            "q has rho in front of the mean, where rho**2 belongs": _factor(
                rho, _spread(math.sqrt(rho), s)
            ),
            "tanh takes a = sqrt(q) z, not q z": _factor(rho, q * q),
            "tanh takes a = sqrt(q) z, not z": _factor(rho, 1.0),
        }
        for why, wrong in suspects.items():
            if abs(factor - wrong) <= 1e-3 * abs(wrong) and abs(wrong - right) > 1e-2 * right:
                fail(f"{what} should be {right:.4f}, but it is {factor:.4f}: {why}")
        if abs(factor - right) <= 5e-2 * right:
            explained(
                f"{what} should be {right:.4f}, but it is {factor:.4f}: nearly, but one percent is "
                "asked for. Let q come to rest, and take enough points for the mean"
            )
        fail(
            f"{what} should be {right:.4f}, but it is {factor:.4f}: first let q come to rest, then "
            "take rho times the root of the mean of (1 - tanh(sqrt(q) z)**2)**2"
        )


def _critical(noise: float, mean_slope: Callable[[Array], float]) -> float:
    """Return the radius at which rho times a mean slope is 1, by bisection on the variance q."""
    low, high = 0.0, 20.0
    for _ in range(60):
        q = 0.5 * (low + high)
        rho = 1 / mean_slope(_slopes(q))
        fits = q - rho**2 * _mean(np.tanh(math.sqrt(q) * Z) ** 2)
        low, high = (q, high) if fits < noise**2 else (low, q)
    return rho


def check_critical_radius(critical_radius: Any) -> None:
    """Refuse what is not the radius at which a gradient keeps its length in noise."""
    for s in (0.1, 0.3, 0.6, 1.0):
        what = f"critical_radius({s})"
        rho = number(what, call("critical_radius", critical_radius, noise=s))
        right = _critical(s, lambda slopes: math.sqrt(_mean(slopes**2)))
        if abs(rho - right) <= 1e-2 * right:
            continue
        suspects = {
            "that is the radius for silence; noise lowers the slopes": 1.0,
            "this is the square of the radius": right**2,
            "this is the root of the radius": math.sqrt(right),
            "this is one over the radius": 1 / right,
            "the slopes are not squared: rho**2 E[slope] is 1": _critical(
                s, lambda slopes: math.sqrt(_mean(slopes))
            ),
            "q is taken from the noise alone; the states feed it, too": 1 / _factor(1.0, s * s),
            "q belongs to rho = 1; it grows with rho, so solve for both together": 1
            / _factor(1.0, _spread(1.0, s)),
            "this is the noise that you were given, plus 1": 1 + s,
        }
        for why, wrong in suspects.items():
            if abs(rho - wrong) <= 1e-3 * abs(wrong) and abs(wrong - right) > 1e-2 * right:
                fail(f"{what} should be {right:.3f}, but it is {rho:.3f}: {why}")
        if not 0 < rho < 3:
            fail(
                f"{what} should be {right:.3f}, but it is {rho:.4g}: look between 1 and 4, and "
                "mind which half of the interval is kept. A factor below 1 asks for a larger radius"
            )
        factor = _factor(rho, _spread(rho, s))
        side = "shrinks" if factor < 1 else "grows"
        fail(
            f"{what} should be {right:.3f}, but it is {rho:.4g}: there a gradient {side}, by a "
            f"factor of {factor:.3f} a step. Search for the radius whose factor is 1"
        )
