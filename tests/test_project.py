"""The files around the course agree with each other."""

import importlib.metadata
import json
import os
import re
import subprocess
import tomllib
from pathlib import Path

import nbformat
import pytest
from packaging.specifiers import SpecifierSet

from tools.newest import oldest
from tools.notebooks import ROOT
from tools.timings import rounded, with_phrase

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

# Put together here, as they may stand nowhere, this file included.
REGISTRIES = [r"pypi\." + "org", "python" + r"hosted\.org", "registry" + r"\.npmjs"]
MACHINE = r"(?<![\w.~-])/(?:home|root|work|Users|farm)/\w+"


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def pins(text: str) -> dict[str, str]:
    """The packages that a requirements file pins, by their normal name."""
    found = re.findall(r"^([\w.-]+)==([\w.+]+)", text, re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in found}


def numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def tracked() -> list[Path]:
    run = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    names = [n for n in run.stdout.split("\0") if n]
    # A downloaded archive has no git: then look at everything that could be tracked.
    paths = [ROOT / n for n in names] or [
        p for p in ROOT.rglob("*") if not re.search(r"/(\.venv|_build|\.git)/", str(p))
    ]
    return [p for p in paths if p.is_file()]


PIN = r"[\w.-]+==[\w.]+( \\)?"
HASH = r"    --hash=sha256:[0-9a-f]{64}"


def test_every_requirement_is_pinned_once():
    book, full, lab, data = (read(f"requirements{x}.txt") for x in ("-book", "", "-lab", "-data"))
    for line in (book + full + lab + data).splitlines():
        assert re.fullmatch(rf"(#.*)?|-r requirements(-book)?\.txt|{PIN}|{HASH}", line), line
    assert "-r requirements-book.txt" in full.splitlines()
    assert "-r requirements.txt" in lab.splitlines()
    for text in (book, full, lab, data):
        names = re.findall(rf"^({PIN})", text, re.MULTILINE)
        assert len(names) == len(pins(text)), "a package is pinned twice in one file"
    assert not pins(book).keys() & pins(full).keys()
    assert not (pins(book) | pins(full)).keys() & pins(lab).keys()
    both = (pins(book) | pins(full) | pins(lab)).keys() & pins(data).keys()
    assert both == {"babel"}
    assert pins(book)["babel"] == pins(data)["babel"]


def test_data_packages_are_hashed():
    text = read("requirements-data.txt")
    assert len(re.findall(r"--hash=sha256:[0-9a-f]{64}$", text, re.MULTILINE)) == len(pins(text))


def test_the_book_needs_no_arrays():
    assert not {"torch", "numpy", "scipy"} & pins(read("requirements-book.txt")).keys()


def test_requirements_agree_with_pyproject():
    pinned = pins(read("requirements-book.txt")) | pins(read("requirements.txt"))
    extras = PROJECT["project"]["optional-dependencies"]
    wanted = [*PROJECT["build-system"]["requires"], *PROJECT["project"]["dependencies"]]
    for want in wanted + [w for group in extras.values() for w in group]:
        name, sign, version = re.fullmatch(r"([\w-]+)([=>]=)([\w.]+)", want).groups()
        # The tests run with the pins; a floor is lower where the weekly run tries it as well.
        tried = want.replace(">=", "==") in oldest()
        lower = sign == ">=" and tried and numbers(version) <= numbers(pinned[name])
        assert lower or pinned[name] == version, want


def test_every_pin_runs_on_the_oldest_python_that_make_accepts():
    oldest_python = re.search(r"sys.version_info < \((\d+), (\d+)\)", read("Makefile"))
    version = "{}.{}.0".format(*oldest_python.groups())
    assert PROJECT["project"]["requires-python"] == f">={version.removesuffix('.0')}"
    for name in pins(read("requirements-book.txt")) | pins(read("requirements.txt")):
        wanted = importlib.metadata.metadata(name)["Requires-Python"] or ""
        assert SpecifierSet(wanted).contains(version), f"{name} needs Python {wanted}"


@pytest.mark.parametrize("pattern", [*REGISTRIES, MACHINE])
def test_no_registry_and_no_path_of_one_machine(pattern: str):
    found = []
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        if path != Path(__file__) and (hit := re.search(pattern, text)):
            found.append(f"{path.relative_to(ROOT)}: {hit.group(0)}")
    assert found == []


def test_the_patterns_find_what_they_look_for():
    hosts = [
        "pypi." + "org/simple",
        "files.python" + "hosted.org",
        "registry" + ".npmjs.org",
    ]
    for pattern, text in zip([*REGISTRIES, MACHINE], [*hosts, "open('/home" + "/ada/x')"]):
        assert re.search(pattern, text)


def test_make_help_lists_every_target():
    phony = re.search(r"^\.PHONY: (.+)$", read("Makefile"), re.MULTILINE).group(1).split()
    run = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    listed = dict(re.findall(r"^  make ([\w-]+) +(\S.*)$", run.stdout, re.MULTILINE))
    assert sorted(listed) == sorted(phony)


def test_what_a_package_brings_along_is_listed_in_order():
    for name in ("-book", "", "-lab"):
        text = read(f"requirements{name}.txt")
        brought = list(pins(text.split(" along.\n")[-1]))
        assert brought == sorted(brought)


def make(*args: str) -> subprocess.CompletedProcess[str]:
    # As from a shell, also when make itself runs the tests: it passes its own settings on.
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", *args], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


def test_make_grade_without_a_file_says_what_it_needs():
    run = make("grade", "NB=")
    assert run.returncode == 2
    assert run.stdout == "make grade: name the file: make grade NB=exercises/01_neurons.ipynb\n"


def test_make_grade_takes_several_files_and_a_name_with_spaces(tmp_path: Path):
    """With a stand-in for .venv whose Python prints what it is given."""
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin/python"
    python.write_text('#!/bin/sh\nprintf "%s|" "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    for stamp in (".book", ".test"):
        (tmp_path / stamp).touch()
    spaced = tmp_path / "a (1).ipynb"
    spaced.touch()
    for named, files in [("a.ipynb b.ipynb", ["a.ipynb", "b.ipynb"]), (str(spaced), [str(spaced)])]:
        run = make("grade", f"VENV={tmp_path}", f"NB={named}", "ARGS=--json")
        assert run.stdout.split("|") == ["-m", "unrolled.grade", "--json", *files, ""]


def test_make_lab_opens_on_the_exercises_and_takes_a_port():
    assert "--LabApp.default_url=/lab/tree/exercises" in make("-n", "lab").stdout
    assert "--ServerApp.port=9001" in make("-n", "lab", "PORT=9001").stdout


def test_versions_agree():
    version = PROJECT["project"]["version"]
    assert f"\nversion: {version}\n" in read("CITATION.cff")
    assert re.search(r"^## \[([\d.]+)\]", read("CHANGELOG.md"), re.MULTILINE).group(1) == version


TIMINGS = ROOT / "book/results/timings.json"
CHAPTERS = sorted(p.stem for p in (ROOT / "book").glob("[0-9]*.ipynb"))


def stored_seconds() -> dict[str, float]:
    stored = json.loads(TIMINGS.read_text(encoding="utf-8"))["notebooks"]
    return {name: row["cpu_seconds"] for name, row in stored.items()}


def test_every_chapter_was_timed():
    assert sorted(stored_seconds()) == CHAPTERS, "run 'make timings'"


@pytest.mark.parametrize("name", CHAPTERS)
def test_the_run_time_that_the_book_states_was_measured(name: str):
    seconds = stored_seconds()[name]
    nb = nbformat.read(ROOT / f"book/{name}.ipynb", as_version=4)
    first = next(c.source for c in nb.cells if c.cell_type == "markdown")
    assert f"**Run time.** About {rounded(seconds)} s" in first
    row = next(
        line
        for line in read("book/index.md").splitlines()
        if line.startswith("|") and re.search(rf"\b{name}\b", line)
    )
    assert f"about {rounded(seconds)} s" in row


def test_the_phrase_follows_the_measurement():
    assert with_phrase("| [x](x.ipynb) | about 90 s |", 12.4) == "| [x](x.ipynb) | about 10 s |"
