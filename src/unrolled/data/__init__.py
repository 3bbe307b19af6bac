"""Data that is there offline, real or generated, and what turns it into arrays."""

from unrolled.data._packages import MissingDataError
from unrolled.data.dates import Dates, load_dates, write_date
from unrolled.data.digits import Digits, load_digits
from unrolled.data.generated import TEMPORAL_ORDER, adding, copy, selective_copying, temporal_order
from unrolled.data.mnist1d import MNIST1D, load_mnist1d
from unrolled.data.names import Names, load_names
from unrolled.data.pairs import END, START, PairBatch, PairVocabularies, pair_vocabularies
from unrolled.data.pronunciations import Pronunciations, load_pronunciations
from unrolled.data.reber import REBER, ReberBatch, embedded_reber, is_legal, legal_next
from unrolled.data.sequences import (
    PAD,
    UNKNOWN,
    Vocabulary,
    minibatches,
    one_hot,
    pad,
    sliding_windows,
)
from unrolled.data.shakespeare import Shakespeare, load_shakespeare
from unrolled.data.tasks import ForecastTask, accuracy, forecast_task, weather_features
from unrolled.data.weather import Weather, load_weather

__all__ = [
    "END",
    "MNIST1D",
    "PAD",
    "REBER",
    "START",
    "TEMPORAL_ORDER",
    "UNKNOWN",
    "Dates",
    "Digits",
    "ForecastTask",
    "MissingDataError",
    "Names",
    "PairBatch",
    "PairVocabularies",
    "Pronunciations",
    "ReberBatch",
    "Shakespeare",
    "Vocabulary",
    "Weather",
    "accuracy",
    "adding",
    "copy",
    "embedded_reber",
    "forecast_task",
    "is_legal",
    "legal_next",
    "load_dates",
    "load_digits",
    "load_mnist1d",
    "load_names",
    "load_pronunciations",
    "load_shakespeare",
    "load_weather",
    "minibatches",
    "one_hot",
    "pad",
    "pair_vocabularies",
    "selective_copying",
    "sliding_windows",
    "temporal_order",
    "weather_features",
    "write_date",
]
