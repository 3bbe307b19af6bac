"""What the three recurrent layers check: parameters, input, and the gradients from above."""

from types import UnionType
from typing import Any

import numpy as np

from unrolled._validate import Array, check_float, check_same_dtype, check_shape
from unrolled.params import Recurrent

LAYERS = {1: "an RNN", 3: "a GRU", 4: "an LSTM"}  # by the number of gate blocks


def check_recurrent(params: Recurrent, k: int, name: str, x: Array) -> tuple[int, int]:
    """Check a layer of k gate blocks, and that it has the dtype of its input; return D and H.

    Examples
    --------
    >>> import numpy as np
    >>> from unrolled.params import init_gru
    >>> params = init_gru(2, 4, rng=np.random.default_rng(0))
    >>> check_recurrent(params, 3, "x", np.zeros((6, 3, 2)))
    (2, 4)
    >>> check_recurrent(params._replace(b_hh=np.zeros(4)), 3, "x", np.zeros((6, 3, 2)))
    Traceback (most recent call last):
    ValueError: b_hh must have shape (3H=12,), got (4,)
    >>> check_recurrent(params, 1, "x", np.zeros((6, 3, 2)))
    Traceback (most recent call last):
    ValueError: params must be those of an RNN, got those of a GRU
    """
    check_type("params", params, Recurrent, "a Recurrent")
    for field, array in params._asdict().items():
        check_type(field, array, np.ndarray, "a NumPy array")
    if params.W_hh.ndim == 2 and params.W_hh.size:  # which alone shows how many blocks there are
        blocks, rest = divmod(params.W_hh.shape[0], params.W_hh.shape[1])
        same_rows = params.W_ih.shape[:1] == params.W_hh.shape[:1]
        if rest == 0 and blocks != k and blocks in LAYERS and same_rows:
            raise ValueError(f"params must be those of {LAYERS[k]}, got those of {LAYERS[blocks]}")
    rows, columns = ("H", "H_") if k == 1 else (f"{k}H", "H")
    check_shape("W_ih", params.W_ih, **{rows: None, "D": None})
    H, D = params.W_ih.shape[0] // k, params.W_ih.shape[1]
    check_shape("W_ih", params.W_ih, **{rows: k * H, "D": D})  # rows may not be a multiple of k
    check_shape("W_hh", params.W_hh, **{rows: k * H, columns: H})
    check_shape("b_ih", params.b_ih, **{rows: k * H})
    check_shape("b_hh", params.b_hh, **{rows: k * H})
    check_float(name, x)
    for field, array in params._asdict().items():
        check_same_dtype(field, array, name, x)
    return D, H


def check_upstream(h: Array, dout: Array | None, **dstates: Array | None) -> None:
    """Check the gradients that a backward pass is given, of which some may be ``None``.

    Examples
    --------
    >>> import numpy as np
    >>> check_upstream(np.zeros((6, 3, 4)), None, dh_n=np.zeros((1, 4)))
    Traceback (most recent call last):
    ValueError: dh_n must have shape (B=3, H=4), got (1, 4)
    """
    T, B, H = len(h) - 1, h.shape[1], h.shape[2]
    if dout is None and all(dstate is None for dstate in dstates.values()):
        raise ValueError(f"one of dout, {', '.join(dstates)} must be given, got None for all")
    if dout is not None:
        check_shape("dout", dout, T=T, B=B, H=H)
        check_same_dtype("dout", dout, "out", h)
    for name, dstate in dstates.items():
        if dstate is not None:
            check_shape(name, dstate, B=B, H=H)
            check_same_dtype(name, dstate, "out", h)


def check_type(name: str, value: object, kind: type | UnionType, what: str) -> None:
    """Raise ``TypeError`` unless a value is of a kind.

    Examples
    --------
    >>> check_type("params", (), Recurrent, "a Recurrent")
    Traceback (most recent call last):
    TypeError: params must be a Recurrent, got tuple
    """
    if not isinstance(value, kind):
        raise TypeError(f"{name} must be {what}, got {type(value).__name__}")


def parts_of(name: str, value: Any, what: str, count: int = 2) -> tuple[Any, ...]:
    """Check how many parts there are, and of what was left out make as many None."""
    if value is None:
        return (None,) * count
    if not isinstance(value, tuple | list) or len(value) != count:
        many = f" of {len(value)}" if isinstance(value, tuple | list) else ""
        raise ValueError(f"{name} must be {what}, got {type(value).__name__}{many}")
    return tuple(value)
