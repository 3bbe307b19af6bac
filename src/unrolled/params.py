"""Named parameters, how they start, and how to do one thing to all of them."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import DTypeLike

from unrolled._validate import Array

Tree = TypeVar("Tree")


class Linear(NamedTuple):
    """Parameters of a layer of H neurons that read D inputs, laid out as in ``torch.nn.Linear``."""

    W: Array  # (H, D), one row a neuron
    b: Array  # (H,)


class Recurrent(NamedTuple):
    """Parameters of one recurrent layer, laid out as in ``torch.nn.RNN``: k gate blocks of H rows.

    k is 1 for the plain RNN, 3 for the GRU and 4 for the LSTM.
    """

    W_ih: Array  # (kH, D)
    W_hh: Array  # (kH, H)
    b_ih: Array  # (kH,)
    b_hh: Array  # (kH,)


def init_linear(
    D: int, H: int, *, rng: np.random.Generator, dtype: DTypeLike = np.float64
) -> Linear:
    """Draw a layer's weights and biases uniformly from ±1/sqrt(D), as torch does.

    Parameters
    ----------
    D, H : int
        Number of inputs and of neurons, each at least 1.
    rng : numpy.random.Generator
        Source of randomness.
    dtype : dtype, default float64

    Returns
    -------
    Linear
        ``W`` of shape (H, D) and ``b`` of shape (H,).

    Examples
    --------
    >>> W, b = init_linear(4, 3, rng=np.random.default_rng(0))
    >>> W.shape, b.shape, bool(abs(W).max() <= 0.5)
    ((3, 4), (3,), True)
    """
    _check_sizes(D=D, H=H)
    bound = 1.0 / np.sqrt(D)
    return Linear(
        W=rng.uniform(-bound, bound, (H, D)).astype(dtype),
        b=rng.uniform(-bound, bound, H).astype(dtype),
    )


def init_mlp(
    sizes: Sequence[int], *, rng: np.random.Generator, dtype: DTypeLike = np.float64
) -> tuple[Linear, ...]:
    """Draw the layers of a multilayer perceptron: ``sizes`` lists inputs, hidden layers, outputs.

    Parameters
    ----------
    sizes : sequence of at least two int
    rng : numpy.random.Generator
    dtype : dtype, default float64

    Returns
    -------
    tuple of Linear
        One for each pair of neighbouring sizes.

    Examples
    --------
    >>> [layer.W.shape for layer in init_mlp([64, 32, 10], rng=np.random.default_rng(0))]
    [(32, 64), (10, 32)]
    """
    if len(sizes) < 2:
        raise ValueError(f"sizes must list at least the inputs and the outputs, got {list(sizes)}")
    return tuple(init_linear(D, H, rng=rng, dtype=dtype) for D, H in pairwise(sizes))


def init_rnn(
    D: int, H: int, *, rng: np.random.Generator, dtype: DTypeLike = np.float64
) -> Recurrent:
    """Draw the parameters of a plain RNN uniformly from ±1/sqrt(H), as torch does.

    Parameters
    ----------
    D, H : int
        Input size and hidden size, each at least 1.
    rng : numpy.random.Generator
    dtype : dtype, default float64

    Returns
    -------
    Recurrent
        ``W_ih`` (H, D), ``W_hh`` (H, H), ``b_ih`` (H,), ``b_hh`` (H,).

    Examples
    --------
    >>> init_rnn(2, 3, rng=np.random.default_rng(0)).W_hh.shape
    (3, 3)
    """
    return _init_recurrent(1, D, H, rng, dtype)


def init_gru(
    D: int, H: int, *, rng: np.random.Generator, dtype: DTypeLike = np.float64
) -> Recurrent:
    """Draw the parameters of a GRU uniformly from ±1/sqrt(H), as torch does: gate rows r|z|n.

    Parameters
    ----------
    D, H : int
        Input size and hidden size, each at least 1.
    rng : numpy.random.Generator
    dtype : dtype, default float64

    Returns
    -------
    Recurrent
        ``W_ih`` (3H, D), ``W_hh`` (3H, H), ``b_ih`` (3H,), ``b_hh`` (3H,).

    Examples
    --------
    >>> init_gru(2, 4, rng=np.random.default_rng(0)).W_hh.shape
    (12, 4)
    """
    return _init_recurrent(3, D, H, rng, dtype)


def init_lstm(
    D: int, H: int, *, rng: np.random.Generator, dtype: DTypeLike = np.float64
) -> Recurrent:
    """Draw the parameters of an LSTM uniformly from ±1/sqrt(H), as torch does: gate rows i|f|g|o.

    Parameters
    ----------
    D, H : int
        Input size and hidden size, each at least 1.
    rng : numpy.random.Generator
    dtype : dtype, default float64

    Returns
    -------
    Recurrent
        ``W_ih`` (4H, D), ``W_hh`` (4H, H), ``b_ih`` (4H,), ``b_hh`` (4H,).

    Examples
    --------
    >>> init_lstm(2, 3, rng=np.random.default_rng(0)).W_hh.shape
    (12, 3)
    """
    return _init_recurrent(4, D, H, rng, dtype)


def tree_map(function: Callable[..., Any], tree: Tree, *others: Tree) -> Tree:
    """Apply a function to every array of a (nested) tuple, keeping the tuple's own type.

    Parameters
    ----------
    function : callable
        Takes one array from each tree, in the same place.
    tree, *others : array, NamedTuple, or tuples or lists of them
        All of the same structure. ``None``, where a model leaves a part out, stays ``None``.

    Returns
    -------
    The structure of ``tree``, holding the function's results.

    Raises
    ------
    ValueError
        If the trees differ in structure.

    Examples
    --------
    >>> params = Linear(W=np.ones((1, 2)), b=np.ones(1))
    >>> tree_map(lambda p, q: p - q, params, params)
    Linear(W=array([[0., 0.]]), b=array([0.]))
    """
    if not isinstance(tree, tuple | list):
        for other in others:
            if isinstance(other, tuple | list) or (tree is None) != (other is None):
                raise ValueError(f"trees must have the same structure, got {tree!r} and {other!r}")
        return tree if tree is None else function(tree, *others)
    for other in others:
        if not isinstance(other, tuple | list) or len(other) != len(tree):
            raise ValueError(f"trees must have the same structure, got {tree!r} and {other!r}")
    mapped = (tree_map(function, *parts) for parts in zip(tree, *others, strict=True))
    # A NamedTuple takes its fields one by one, a plain tuple or list takes them all at once.
    return type(tree)(*mapped) if hasattr(tree, "_fields") else type(tree)(mapped)


def tree_arrays(tree: Any) -> list[Array]:
    """List every array of a (nested) tuple, in order; ``None`` counts for nothing.

    Examples
    --------
    >>> [a.shape for a in tree_arrays(init_mlp([2, 3, 1], rng=np.random.default_rng(0)))]
    [(3, 2), (3,), (1, 3), (1,)]
    """
    if isinstance(tree, tuple | list):
        return [array for part in tree for array in tree_arrays(part)]
    return [] if tree is None else [tree]


def name_arrays(tree: Any, prefix: str = "") -> dict[str, Array]:
    """Name every array of nested tuples, lists and dicts: by fields, places and keys, with dots.

    Examples
    --------
    >>> layers = init_mlp([2, 3, 1], rng=np.random.default_rng(0))
    >>> list(name_arrays(layers, "mlp"))
    ['mlp.0.W', 'mlp.0.b', 'mlp.1.W', 'mlp.1.b']
    """
    if not isinstance(tree, tuple | list | dict):
        return {} if tree is None else {prefix: tree}
    fields = tree if isinstance(tree, dict) else getattr(tree, "_fields", range(len(tree)))
    parts = tree.values() if isinstance(tree, dict) else tree
    named: dict[str, Array] = {}
    for field, part in zip(fields, parts, strict=True):
        named |= name_arrays(part, f"{prefix}.{field}" if prefix else str(field))
    return named


def count_parameters(params: Any) -> int:
    """Count the numbers that training may change.

    Examples
    --------
    >>> count_parameters(init_mlp([64, 32, 10], rng=np.random.default_rng(0)))
    2410
    """
    return sum(array.size for array in tree_arrays(params))


def _check_sizes(**sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} must be at least 1, got {size}")


def _init_recurrent(
    k: int, D: int, H: int, rng: np.random.Generator, dtype: DTypeLike
) -> Recurrent:
    _check_sizes(D=D, H=H)
    bound = 1.0 / np.sqrt(H)
    shapes: list[tuple[int, ...]] = [(k * H, D), (k * H, H), (k * H,), (k * H,)]
    return Recurrent(*(rng.uniform(-bound, bound, shape).astype(dtype) for shape in shapes))
