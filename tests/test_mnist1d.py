"""MNIST-1D: the arrays of the package that publishes it, made without importing that package."""

import importlib
import subprocess
import sys

import numpy as np
import pytest

from unrolled.data import MissingDataError, _packages, load_mnist1d


@pytest.fixture(scope="module")
def data():
    return load_mnist1d()


def test_it_is_what_the_package_makes(data):
    for name in ("requests", "scipy", "matplotlib"):  # which only the package itself asks for
        pytest.importorskip(name)
    package = importlib.import_module("mnist1d.data")
    state = np.random.get_state()  # noqa: NPY002  the package seeds the global generator
    try:
        theirs = package.make_dataset()
    finally:
        np.random.set_state(state)  # noqa: NPY002
    np.testing.assert_array_equal(data.y_train, theirs["y"])
    np.testing.assert_array_equal(data.y_test, theirs["y_test"])
    np.testing.assert_array_equal(data.templates, theirs["templates"]["x"])
    np.testing.assert_allclose(data.x_train, theirs["x"], rtol=0, atol=1e-13)
    np.testing.assert_allclose(data.x_test, theirs["x_test"], rtol=0, atol=1e-13)


def test_sizes_types_and_scale(data):
    assert data.x_train.shape == (4000, 40)
    assert data.x_test.shape == (1000, 40)
    assert data.x_train.dtype == np.float64
    assert data.y_train.dtype == data.y_test.dtype == np.int64
    x = np.concatenate([data.x_train, data.x_test])
    assert abs(x.mean()) < 1e-12
    assert abs(x.std() - 1) < 1e-12
    y = np.concatenate([data.y_train, data.y_test])
    np.testing.assert_array_equal(np.bincount(y), np.full(10, 500))


def test_it_is_the_same_each_time_and_leaves_the_global_generator_alone(data):
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    again = load_mnist1d()
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002
    for ours, theirs in zip(again, data, strict=True):
        assert ours is not theirs
        np.testing.assert_array_equal(ours, theirs)


def test_the_package_is_not_imported():
    code = "import sys; from unrolled.data import load_mnist1d; load_mnist1d(); \
print(sorted({'mnist1d', 'requests', 'scipy', 'matplotlib'} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_a_package_that_is_not_there_names_the_command(monkeypatch):
    def nothing(name):
        raise _packages.PackageNotFoundError(name)

    monkeypatch.setattr(_packages, "distribution", nothing)
    with pytest.raises(MissingDataError, match=r"'mnist1d' is not installed; run: pip install"):
        load_mnist1d()
