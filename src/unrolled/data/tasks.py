"""Tasks made from the data: a forecast without leakage, and the score of a guessed language."""

from typing import NamedTuple

import numpy as np

from unrolled._validate import Array, check_shape
from unrolled.data.sequences import sliding_windows
from unrolled.data.weather import Weather


class ForecastTask(NamedTuple):
    """Windows of standardised weather and the change of temperature that follows each."""

    x_train: Array  # (window, M, F)
    y_train: Array  # (M,) change of temperature over the horizon, °C
    x_test: Array  # (window, N, F)
    y_test: Array  # (N,)


def weather_features(weather: Weather, *, split: int | None = None) -> Array:
    """Standardise the weather by its training part, and add the hour of the day.

    The hour is a point on a circle, because 23 h and 0 h are neighbours.

    Parameters
    ----------
    weather : Weather
    split : int, optional
        First hour of the test part; 1 October if left out. The mean and the spread come from the
        hours before it alone.

    Returns
    -------
    ndarray of shape (3, 8730, 9)
        Airport, hour, feature; float64.

    Examples
    --------
    >>> from unrolled.data import load_weather
    >>> weather_features(load_weather()).shape
    (3, 8730, 9)
    """
    split = weather.test_start if split is None else split
    if not 1 < split <= len(weather.hours):
        raise ValueError(f"split must lie in 2..{len(weather.hours)}, got {split}")
    mean = weather.values[:, :split].mean(axis=(0, 1))
    std = weather.values[:, :split].std(axis=(0, 1))
    angle = 2 * np.pi * np.array([hour.hour for hour in weather.hours]) / 24
    clock = np.stack([np.sin(angle), np.cos(angle)], axis=1)
    clocks = np.broadcast_to(clock, (len(weather.values), *clock.shape))
    return np.concatenate([(weather.values - mean) / std, clocks], axis=2)


def forecast_task(
    weather: Weather, *, window: int, horizon: int, split: int | None = None
) -> ForecastTask:
    """Cut the weather into windows, so that training knows nothing of the test months.

    The series is cut at the split *before* it is cut into windows, and the features are those of
    ``weather_features``. Windows whose last hour or whose target was filled in are left out: their
    answer is not a measurement.

    Parameters
    ----------
    weather : Weather
    window : int
        Hours that a model may look at.
    horizon : int
        Hours ahead that it is to predict.
    split : int, optional
        First hour of the test part; 1 October if left out.

    Returns
    -------
    ForecastTask
        float32 arrays; F = 9 features.

    Examples
    --------
    >>> from unrolled.data import load_weather
    >>> task = forecast_task(load_weather(), window=24, horizon=6)
    >>> task.x_train.shape[0], task.x_train.shape[2], task.x_train.dtype
    (24, 9, dtype('float32'))

    Notes
    -----
    Chapter 2, "Sliding windows without leakage".
    """
    split = weather.test_start if split is None else split
    features = weather_features(weather, split=split)

    def cut(part: slice) -> tuple[Array, Array]:
        inputs, changes = [], []
        for airport in range(len(weather.airports)):
            temperature = weather.values[airport, part, :1]
            filled = weather.missing[airport, part, :1]
            sizes = {"length": window, "horizon": horizon}
            x, _ = sliding_windows(features[airport, part], **sizes)
            now, later = sliding_windows(temperature, **sizes)
            filled_now, filled_later = sliding_windows(filled, **sizes)
            measured = ~(filled_now[-1] | filled_later)[:, 0]
            inputs.append(x[:, measured])
            changes.append((later - now[-1])[measured, 0])
        x, y = np.concatenate(inputs, axis=1), np.concatenate(changes)
        return x.astype(np.float32), y.astype(np.float32)

    return ForecastTask(*cut(slice(None, split)), *cut(slice(split, None)))


def accuracy(guess: Array, languages: Array) -> float:
    """Return the fraction of names whose guessed language is one of the name's languages.

    Parameters
    ----------
    guess : integer ndarray of shape (N,)
    languages : bool ndarray of shape (N, L)

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If the shapes do not fit, there is no guess, or one is not in the range 0 to L - 1.
    TypeError
        If ``languages`` does not hold truth values.

    Examples
    --------
    >>> accuracy(np.array([0, 1]), np.array([[True, True], [True, False]]))
    0.5
    """
    check_shape("guess", guess, N=None)
    check_shape("languages", languages, N=len(guess), L=None)
    if languages.dtype != bool:
        raise TypeError(f"languages must hold truth values, got dtype {languages.dtype}")
    L = languages.shape[1]
    if guess.size == 0 or guess.min() < 0 or guess.max() >= L:
        raise ValueError(f"guess must hold at least one language, all in 0..{L - 1}, got {guess}")
    return float(languages[np.arange(len(guess)), guess].mean())
