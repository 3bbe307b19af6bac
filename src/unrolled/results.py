"""Stored results of the experiments: written by experiments/NN_name.py, read by the chapters."""

import hashlib
import json
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import process_time
from typing import Any

RESULTS = Path("book", "results")
PACKAGES = ("numpy", "torch", "scikit-learn")


def script_hash(script: Path) -> str:
    """Return the SHA-256 of a script's text, with line ends as Unix writes them."""
    text = script.read_text(encoding="utf-8")
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def save_result(
    script: str | Path,
    *,
    settings: dict[str, Any],
    seeds: Sequence[int],
    runs: list[dict[str, Any]],
) -> Path:
    """Write an experiment's result to book/results, under the script's own name.

    Stored are the settings, the seeds, every run's numbers, the versions of Python and of the
    packages that matter, the CPU seconds of this process, and the hash of the script: a test
    refuses a result whose script has changed since.

    Parameters
    ----------
    script : path
        The script's ``__file__``, in experiments/.
    settings : dict
        What every run has in common; the chapter's live run uses the same.
    seeds : sequence of int
    runs : list of dict
        One for each run, with whatever it measured.

    Returns
    -------
    Path
        The file written.
    """
    script = Path(script).resolve()
    result = {
        "script_sha256": script_hash(script),
        "settings": settings,
        "seeds": list(seeds),
        "runs": runs,
        "versions": {"python": platform.python_version(), **_versions()},
        "cpu_seconds": round(process_time(), 1),
    }
    file = script.parents[1] / RESULTS / f"{script.stem}.json"
    file.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return file


def load_result(name: str) -> dict[str, Any]:
    """Read the stored result of an experiment, from a notebook or from anywhere in the project.

    Parameters
    ----------
    name : str
        The script's name without its ending, such as ``"01_xor"``.

    Returns
    -------
    dict
        With keys settings, seeds, runs, versions, cpu_seconds and script_sha256.

    Raises
    ------
    FileNotFoundError
        If there is no such result; the message names the command that makes it.
    """
    try:
        file = project_file(RESULTS / f"{name}.json")
    except FileNotFoundError:
        raise FileNotFoundError(
            f"no stored result {name!r} in {RESULTS}; "
            f"run experiments/{name}.py, or: make experiments"
        ) from None
    result: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return result


def project_file(path: str | Path) -> Path:
    """Find a file of the project, given from its top, from wherever in it Python was started.

    Raises
    ------
    FileNotFoundError
        If neither the current folder nor one above it holds such a file.
    """
    for folder in (Path.cwd(), *Path.cwd().parents):
        if (folder / path).is_file():
            return folder / path
    raise FileNotFoundError(f"no {path} in this folder or above; start Python inside the project")


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
