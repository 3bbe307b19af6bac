"""Stored results of the experiments: written by experiments/NN_name.py, read by the chapters.

The numbers are in NN_name.json; weights that a chapter needs at once are beside it, in NN_name.npz.
"""

import hashlib
import json
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import process_time
from typing import Any, TypeVar

import numpy as np

from unrolled._validate import check_shape
from unrolled.params import name_arrays, tree_map

Tree = TypeVar("Tree")

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
    arrays: dict[str, Any] | None = None,
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
    arrays : dict, optional
        Parameters, or other trees of arrays, each with a name, for ``load_arrays``. They are
        rounded to float16; the result holds the hash of their file.

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
    beside = file.with_suffix(".npz")
    json.dumps(result)  # what it refuses, it refuses before anything is written
    beside.unlink(missing_ok=True)
    if arrays is not None:
        half = {name: a.astype(np.float16) for name, a in name_arrays(arrays).items()}
        np.savez_compressed(beside, allow_pickle=False, **half)
        result["arrays_sha256"] = file_hash(beside)
    file.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return file


def file_hash(file: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def load_arrays(name: str, key: str, *, like: Tree) -> Tree:
    """Read parameters that an experiment stored.

    Parameters
    ----------
    name : str
        The script's name without its ending.
    key : str
        The name that the script gave to these parameters.
    like : tree of arrays
        Of the same structure, shapes and the dtype wanted: such as freshly drawn ones.

    Returns
    -------
    The structure of ``like``, holding the stored numbers in its dtype.

    Raises
    ------
    FileNotFoundError
        If there is no such file; the message names the command that makes it.
    ValueError
        If the stored parameters have another structure or other shapes.
    """
    with np.load(_stored(name, ".npz")) as file:
        stored = {k: file[k] for k in file.files if k == key or k.startswith(f"{key}.")}
    wanted = name_arrays(like, key)
    if stored.keys() != wanted.keys():
        other = ", ".join(sorted(stored.keys() ^ wanted.keys()))
        raise ValueError(f"like must have the structure of {key!r} in {name}, differs in {other}")
    for k, array in wanted.items():
        check_shape(k, array, **{f"n{i}": n for i, n in enumerate(stored[k].shape)})
    arrays = iter(stored[k].astype(array.dtype) for k, array in wanted.items())
    return tree_map(lambda _: next(arrays), like)


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
    result: dict[str, Any] = json.loads(_stored(name, ".json").read_text(encoding="utf-8"))
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


def _stored(name: str, ending: str) -> Path:
    try:
        return project_file(RESULTS / f"{name}{ending}")
    except FileNotFoundError:
        raise FileNotFoundError(
            f"no stored result {name!r} in {RESULTS}; "
            f"run experiments/{name}.py, or: make experiments"
        ) from None


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
