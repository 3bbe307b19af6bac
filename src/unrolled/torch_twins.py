"""The same layers as ``torch.nn`` modules with the same weights.

A twin answers two questions: is the NumPy layer right, and how fast is it? Only the modules named
``torch_…`` import torch; everything else runs without it.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from unrolled._validate import Array, check_shape
from unrolled.functional import get_activation
from unrolled.params import Linear, Recurrent


def _torch() -> Any:
    # Imported when first needed, so that the module can be looked at without torch.
    try:
        import torch
    except ModuleNotFoundError:
        raise ModuleNotFoundError("torch is not installed; run: pip install torch") from None
    return torch


def tensor(array: Array, *, requires_grad: bool = False) -> Any:
    """Copy an array into a tensor of the same dtype.

    Examples
    --------
    >>> tensor(np.array([1.0, 2.0]))
    tensor([1., 2.], dtype=torch.float64)
    """
    return _torch().tensor(np.array(array, order="C"), requires_grad=requires_grad)


def _copy_into(module: Any, **arrays: Array) -> Any:
    torch = _torch()
    with torch.no_grad():
        for name, array in arrays.items():
            # copy_ would broadcast a bias of shape (1,) without a word.
            check_shape(
                name, array, **{f"n{i}": n for i, n in enumerate(getattr(module, name).shape)}
            )
            getattr(module, name).copy_(tensor(array))
    return module


def linear_twin(params: Linear) -> Any:
    """Build the ``torch.nn.Linear`` with these weights, in their dtype.

    Examples
    --------
    >>> linear_twin(Linear(W=np.ones((3, 2)), b=np.zeros(3)))
    Linear(in_features=2, out_features=3, bias=True)
    """
    H, D = params.W.shape
    module = _torch().nn.Linear(D, H, dtype=tensor(params.W).dtype)
    return _copy_into(module, weight=params.W, bias=params.b)


def mlp_twin(layers: Sequence[Linear], activation: str = "tanh") -> Any:
    """Build the ``torch.nn.Sequential`` that computes what ``mlp_forward`` computes.

    Examples
    --------
    >>> layers = (Linear(np.ones((3, 2)), np.zeros(3)), Linear(np.ones((1, 3)), np.zeros(1)))
    >>> len(mlp_twin(layers))
    3
    """
    nn = _torch().nn
    activations = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU}
    get_activation(activation)  # its error names the choices
    modules = [linear_twin(layers[0])]
    for params in layers[1:]:
        modules += [activations[activation](), linear_twin(params)]
    return nn.Sequential(*modules)


def rnn_twin(params: Recurrent) -> Any:
    """Build the ``torch.nn.RNN`` with these weights, time-major, in their dtype.

    Examples
    --------
    >>> from unrolled.params import init_rnn
    >>> rnn_twin(init_rnn(2, 3, rng=np.random.default_rng(0)))
    RNN(2, 3)
    """
    return _recurrent_twin("RNN", params)


def gru_twin(params: Recurrent) -> Any:
    """Build the ``torch.nn.GRU`` with these weights, time-major, in their dtype.

    Examples
    --------
    >>> from unrolled.params import init_gru
    >>> gru_twin(init_gru(2, 3, rng=np.random.default_rng(0)))
    GRU(2, 3)
    """
    return _recurrent_twin("GRU", params)


def lstm_twin(params: Recurrent) -> Any:
    """Build the ``torch.nn.LSTM`` with these weights, time-major, in their dtype.

    Examples
    --------
    >>> from unrolled.params import init_lstm
    >>> lstm_twin(init_lstm(2, 3, rng=np.random.default_rng(0)))
    LSTM(2, 3)
    """
    return _recurrent_twin("LSTM", params)


def _recurrent_twin(kind: str, params: Recurrent) -> Any:
    D, H = params.W_ih.shape[1], params.W_hh.shape[1]
    module = getattr(_torch().nn, kind)(D, H, dtype=tensor(params.W_ih).dtype)
    return _copy_into(
        module,
        weight_ih_l0=params.W_ih,
        weight_hh_l0=params.W_hh,
        bias_ih_l0=params.b_ih,
        bias_hh_l0=params.b_hh,
    )
