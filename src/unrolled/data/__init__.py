"""Real data that loads offline, and what turns it into arrays."""

from unrolled.data._packages import MissingDataError
from unrolled.data.digits import Digits, load_digits
from unrolled.data.names import Names, load_names
from unrolled.data.sequences import (
    PAD,
    UNKNOWN,
    Vocabulary,
    minibatches,
    one_hot,
    pad,
    sliding_windows,
)
from unrolled.data.tasks import ForecastTask, accuracy, forecast_task, weather_features
from unrolled.data.weather import Weather, load_weather

__all__ = [
    "PAD",
    "UNKNOWN",
    "Digits",
    "ForecastTask",
    "MissingDataError",
    "Names",
    "Vocabulary",
    "Weather",
    "accuracy",
    "forecast_task",
    "load_digits",
    "load_names",
    "load_weather",
    "minibatches",
    "one_hot",
    "pad",
    "sliding_windows",
    "weather_features",
]
