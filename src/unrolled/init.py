"""Other starts for recurrent weights: each function takes parameters and returns new ones."""

import numpy as np

from unrolled._validate import Array, check_positive
from unrolled.params import Recurrent


def orthogonal(params: Recurrent, *, rng: np.random.Generator, gain: float = 1.0) -> Recurrent:
    """Make each H×H block of ``W_hh`` a random orthogonal matrix times ``gain``.

    An orthogonal matrix keeps the length of every vector, so a product of many neither grows nor
    shrinks. Drawn evenly over all of them: the Q of the QR decomposition of normal numbers, with
    the signs that make the diagonal of R positive.

    Parameters
    ----------
    params : Recurrent
        Of 1, 3 or 4 blocks. The other parameters are kept.
    rng : numpy.random.Generator
    gain : float, default 1.0
        Greater than 0.

    Returns
    -------
    Recurrent

    Raises
    ------
    ValueError
        If ``W_hh`` is not of whole blocks, or ``gain`` is not greater than 0.

    Examples
    --------
    >>> from unrolled.params import init_rnn
    >>> rng = np.random.default_rng(0)
    >>> W_hh = orthogonal(init_rnn(2, 3, rng=rng), rng=rng).W_hh
    >>> bool(np.allclose(W_hh @ W_hh.T, np.eye(3)))
    True

    Notes
    -----
    Chapter 4, "Better starts"; Saxe, McClelland & Ganguli (2014). As ``torch.nn.init.orthogonal_``
    on each block.
    """
    check_positive("gain", gain)
    k, H = _blocks(params)
    W_hh = np.empty_like(params.W_hh)
    for block in W_hh.reshape(k, H, H):
        Q, R = np.linalg.qr(rng.normal(size=(H, H)))
        block[:] = gain * Q * np.sign(np.diag(R))
    return params._replace(W_hh=W_hh)


def identity(params: Recurrent, *, scale: float = 1.0) -> Recurrent:
    """Make each H×H block of ``W_hh`` the identity times ``scale``, and the biases 0.

    With it a plain RNN starts as one that hands its state on.

    Parameters
    ----------
    params : Recurrent
        Of 1, 3 or 4 blocks. ``W_ih`` is kept.
    scale : float, default 1.0

    Returns
    -------
    Recurrent

    Raises
    ------
    ValueError
        If ``W_hh`` is not of whole blocks.

    Examples
    --------
    >>> from unrolled.params import init_rnn
    >>> identity(init_rnn(2, 2, rng=np.random.default_rng(0)), scale=0.5).W_hh
    array([[0.5, 0. ],
           [0. , 0.5]])

    Notes
    -----
    Chapter 4, "Better starts"; Le, Jaitly & Hinton (2015), who use it with ReLU in place of tanh.
    """
    k, H = _blocks(params)
    W_hh = np.tile(scale * np.eye(H), (k, 1)).astype(params.W_hh.dtype)
    return Recurrent(params.W_ih, W_hh, np.zeros_like(params.b_ih), np.zeros_like(params.b_hh))


def forget_bias(params: Recurrent, value: float) -> Recurrent:
    """Set the bias of an LSTM's forget gate: all of it in ``b_ih``, and 0 in ``b_hh``.

    With 1 the gate starts at ``sigmoid(1) = 0.73``, with 0 at one half.

    Parameters
    ----------
    params : Recurrent
        Of an LSTM. All else is kept.
    value : float

    Returns
    -------
    Recurrent

    Raises
    ------
    ValueError
        If the parameters are not those of an LSTM.

    Examples
    --------
    >>> from unrolled.params import init_lstm
    >>> params = forget_bias(init_lstm(2, 1, rng=np.random.default_rng(0)), 1.0)
    >>> params.b_ih[1], params.b_hh[1]
    (np.float64(1.0), np.float64(0.0))

    Notes
    -----
    Chapter 5, "The bias of the forget gate"; Gers, Schmidhuber & Cummins (2000); Jozefowicz,
    Zaremba & Sutskever (2015).
    """
    k, _ = _blocks(params)
    if k != 4:
        raise ValueError(f"params must be those of an LSTM, with 4 blocks, got {k}")
    return _with_gate_bias(params, 1, value)


def chrono(params: Recurrent, T_max: int, *, rng: np.random.Generator) -> Recurrent:
    """Set the gate biases so that the units remember for 1 to ``T_max`` steps or so.

    A gate that keeps the share s of the state forgets in about 1 / (1 - s) steps. So the gate that
    keeps has the bias ``log u``, with u drawn evenly from 1 to ``T_max - 1`` for each unit: f in an
    LSTM, whose i has ``-log u``; and z in a GRU, where as in torch z is the share that is kept.

    Parameters
    ----------
    params : Recurrent
        Of an LSTM or a GRU. All other biases and the weights are kept.
    T_max : int
        The longest time to remember, at least 2.
    rng : numpy.random.Generator

    Returns
    -------
    Recurrent

    Raises
    ------
    ValueError
        If the parameters are not those of an LSTM or a GRU, or ``T_max`` is below 2.

    Examples
    --------
    >>> from unrolled.params import init_lstm
    >>> rng = np.random.default_rng(0)
    >>> params = chrono(init_lstm(2, 100, rng=rng), 50, rng=rng)
    >>> keep = 1 / (1 + np.exp(-params.b_ih[100:200]))
    >>> steps = 1 / (1 - keep)
    >>> bool(2 <= steps.min()), bool(steps.max() <= 50)
    (True, True)

    Notes
    -----
    Chapter 5, "The bias of the forget gate"; Tallec & Ollivier (2018).
    """
    k, H = _blocks(params)
    if k == 1:
        raise ValueError("params must be those of an LSTM or a GRU, with 4 or 3 blocks, got 1")
    if T_max < 2:
        raise ValueError(f"T_max must be at least 2, got {T_max}")
    bias = np.log(rng.uniform(1, T_max - 1, H))
    params = _with_gate_bias(params, 1, bias)  # f of i|f|g|o, and z of r|z|n
    return _with_gate_bias(params, 0, -bias) if k == 4 else params


def _blocks(params: Recurrent) -> tuple[int, int]:
    """Tell the number of blocks and the hidden size from the shape of ``W_hh``."""
    rows, H = params.W_hh.shape
    if rows not in (H, 3 * H, 4 * H):
        raise ValueError(f"W_hh must have shape (kH, H) with k = 1, 3 or 4, got {(rows, H)}")
    return rows // H, H


def _with_gate_bias(params: Recurrent, gate: int, value: float | Array) -> Recurrent:
    b_ih, b_hh = params.b_ih.copy(), params.b_hh.copy()
    H = params.W_hh.shape[1]
    b_ih[gate * H : (gate + 1) * H] = value
    b_hh[gate * H : (gate + 1) * H] = 0
    return params._replace(b_ih=b_ih, b_hh=b_hh)
