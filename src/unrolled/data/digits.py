"""Handwritten digits: 1,797 images of 8×8 pixels, from scikit-learn."""

from typing import NamedTuple

import numpy as np

from unrolled._validate import Array
from unrolled.data._packages import MissingDataError

TEST_BLOCKS = 2


class Digits(NamedTuple):
    """Images and labels, split into a training and a test part."""

    x_train: Array  # (1415, 8, 8) float64 in 0..1
    y_train: Array  # (1415,) int64 in 0..9
    x_test: Array  # (382, 8, 8)
    y_test: Array  # (382,)
    block_starts: Array  # (12,) where each block of handwriting begins, training images first


def load_digits() -> Digits:
    """Load the digits, the last two blocks of handwriting held out.

    The digits come from 13 writers, whom the file does not name. But where its labels run from 0
    to 9 three times in a row, a new hand seems to begin. Whole blocks are held out, so that the
    test very probably asks for hands never seen. A random split would put every hand on both sides
    and flatter every model.

    Origin: E. Alpaydin & C. Kaynak (1998), *Optical Recognition of Handwritten Digits*, UCI;
    the copy that scikit-learn ships. Licence: BSD-3 (scikit-learn), CC BY 4.0 (UCI).

    Returns
    -------
    Digits
        Images of shape (N, 8, 8), scaled from 0..16 to 0..1; labels 0..9; N = 1,415 and 382.

    Raises
    ------
    MissingDataError
        If scikit-learn is not installed.

    Examples
    --------
    >>> digits = load_digits()
    >>> digits.x_train.shape, digits.y_test.shape, len(digits.block_starts)
    ((1415, 8, 8), (382,), 12)
    """
    try:
        from sklearn.datasets import load_digits as sklearn_digits
    except ModuleNotFoundError as error:
        raise MissingDataError("scikit-learn", "pip install -r requirements.txt") from error
    data = sklearn_digits()
    x, y = data.images / 16.0, data.target.astype(np.int64)
    three_runs = np.tile(np.arange(10), 3)
    runs = np.lib.stride_tricks.sliding_window_view(y, len(three_runs))
    starts = np.flatnonzero((runs == three_runs).all(axis=1))
    cut = starts[-TEST_BLOCKS]
    return Digits(x[:cut], y[:cut], x[cut:], y[cut:], starts)
