"""What the three recurrent layers check: parameters, input, and the gradients from above."""

from unrolled._validate import Array, check_float, check_same_dtype, check_shape
from unrolled.params import Recurrent


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
    """
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
