"""Handwritten digits: 1,797 images of 8×8 pixels, from scikit-learn."""

from typing import NamedTuple

import numpy as np

from unrolled._validate import Array
from unrolled.data._packages import MissingDataError

TRAIN_SIZE = 1438


class Digits(NamedTuple):
    """Images and labels, split into a training and a test part."""

    x_train: Array  # (1438, 8, 8) float64 in 0..1
    y_train: Array  # (1438,) int64 in 0..9
    x_test: Array  # (359, 8, 8)
    y_test: Array  # (359,)


def load_digits() -> Digits:
    """Load the digits, the last fifth of the file held out.

    The file keeps each writer's digits together, so a split in file order tests on other writers
    than it trains on. A random split would mix them and flatter every model.

    Origin: E. Alpaydin & C. Kaynak (1998), *Optical Recognition of Handwritten Digits*, UCI;
    the copy that scikit-learn ships. Licence: BSD-3 (scikit-learn), CC BY 4.0 (UCI).

    Returns
    -------
    Digits
        Images of shape (N, 8, 8), scaled from 0..16 to 0..1; labels 0..9; N = 1,438 and 359.

    Raises
    ------
    MissingDataError
        If scikit-learn is not installed.

    Examples
    --------
    >>> digits = load_digits()
    >>> digits.x_train.shape, digits.y_test.shape
    ((1438, 8, 8), (359,))
    """
    try:
        from sklearn.datasets import load_digits as sklearn_digits
    except ModuleNotFoundError as error:
        raise MissingDataError("scikit-learn", "pip install -r requirements.txt") from error
    data = sklearn_digits()
    x, y = data.images / 16.0, data.target.astype(np.int64)
    return Digits(x[:TRAIN_SIZE], y[:TRAIN_SIZE], x[TRAIN_SIZE:], y[TRAIN_SIZE:])
