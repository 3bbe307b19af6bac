"""Measure what it costs to grade a class, and write CLASS.md.

python -m benchmarks.class_grading [--submissions N] [--jobs N]

The class is made of the masters: of each exercise some notebooks answer every question, most only
some of them, some none, and one in twenty has a loop without an end. It is graded twice, the
second time in another order and from other numbers of the checks, and must get the same grades.
"""

import argparse
import csv
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import nbformat
import psutil

from tools.notebooks import ROOT
from tools.timings import THREADS, cpu_model, versions

TIME_LIMIT = 10  # seconds for a cell: what a loop without an end costs
STUCK = "\n\nwhile True:\n    pass"


def handed_in(name: str, answered: set[str], stuck: bool) -> Any:
    """Return an exercise with some of its questions answered; one more never ends if stuck."""
    nb = nbformat.read(ROOT / f"exercises/{name}.ipynb", as_version=4)
    solved = nbformat.read(ROOT / f"book/solutions/{name}.ipynb", as_version=4)
    answers = {cell.id: cell.source for cell in solved.cells}
    questions = nb.metadata.unrolled.questions
    cells = {cell_id: q.name for q in questions for cell_id in q.cells}
    for cell in nb.cells:
        if cells.get(cell.id) in answered:
            cell.source = answers[cell.id]
    if stuck:
        last = next(cell for cell in nb.cells if cell.id == questions[-1].cells[-1])
        last.source += STUCK
    return nb


def make_class(folder: Path, submissions: int, seed: int) -> None:
    """Write the notebooks of a class, a folder a student."""
    rng = random.Random(seed)
    names = sorted(path.stem for path in ROOT.glob("exercises/*.ipynb"))
    for number in range(submissions):
        name = names[number % len(names)]
        definition = json.loads(
            (ROOT / f"src/unrolled/grade/definitions/{name}.json").read_text(encoding="utf-8")
        )
        known = [question["name"] for question in definition["questions"]]
        share = rng.choice([0, 0.5, 0.5, 0.8, 0.8, 1, 1])
        answered = {question for question in known if rng.random() < share}
        nb = handed_in(name, answered, stuck=number % 20 == 19)
        (folder / f"student_{number:03}").mkdir(parents=True)
        nbformat.write(nb, folder / f"student_{number:03}" / f"{name}.ipynb")


def rows(table: Path) -> dict[str, dict[str, str]]:
    """Return the rows of a table without what a clock has measured, by their file."""
    with table.open(encoding="utf-8-sig", newline="") as file:
        return {row["file"]: row | {"seconds": ""} for row in csv.DictReader(file)}


def grade(folder: Path, table: Path, jobs: int) -> dict[str, float]:
    """Grade a class by the command; return its seconds and the peak memory of all it starts."""
    command = [sys.executable, "-m", "unrolled.grade", "--class", folder, "--out", table]
    command += ["--jobs", str(jobs), "--time-limit", str(TIME_LIMIT)]
    environment = os.environ | dict.fromkeys(THREADS, "1")
    start, peak = time.monotonic(), 0
    process = subprocess.Popen([str(part) for part in command], env=environment)
    family = psutil.Process(process.pid)
    while process.poll() is None:
        held = 0
        for each in [family, *family.children(recursive=True)]:
            try:
                held += each.memory_info().rss
            except psutil.Error:
                continue
        peak = max(peak, held)
        time.sleep(0.5)
    if process.returncode not in (0, 1):  # 1: some are stuck, as they should be
        raise RuntimeError(f"the command ended with {process.returncode}")
    return {"seconds": time.monotonic() - start, "memory": peak}


def measure(submissions: int, jobs: int) -> str:
    """Grade a class twice, and return what to write into CLASS.md."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_class(folder / "class", submissions, seed=1)
        # Other names, so another order: student_000 comes last.
        for path in (folder / "class").iterdir():
            number = submissions - 1 - int(path.name[-3:])
            shutil.copytree(path, folder / "again" / f"student_{number:03}")
        first = grade(folder / "class", folder / "first.csv", jobs)
        second = grade(folder / "again", folder / "second.csv", jobs)
        found, again = rows(folder / "first.csv"), rows(folder / "second.csv")
        for file, row in found.items():
            student, name = file.split("/")
            other = again[f"student_{submissions - 1 - int(student[-3:]):03}/{name}"]
            if row != other | {key: row[key] for key in ("student", "file")}:
                raise RuntimeError(f"two grades for the same notebook: {row}, {other}")
        if len(found) != submissions:
            raise RuntimeError(f"{len(found)} rows for {submissions} submissions")
        reports = [
            json.loads(path.read_text(encoding="utf-8"))
            for path in (folder / "class").rglob("*.grade.json")
        ]
    return render(reports, first, second, jobs)


def render(
    reports: list[dict[str, Any]], first: dict[str, float], second: dict[str, float], jobs: int
) -> str:
    """Return the page."""
    quiet = [report for report in reports if report["status"] == "ok"]
    stuck = [report for report in reports if report["status"] != "ok"]
    lines = [
        f"Measured by `make bench-class`: {len(reports)} submissions for "
        f"{len({report['exercise'] for report in reports})} exercises, {jobs} at a time, "
        f"{len(stuck)} of them with an endless loop, at {TIME_LIMIT} seconds a cell. "
        f"{cpu_model()}, {os.cpu_count()} cores, {platform.system()}; "
        + ", ".join(f"{name} {version}" for name, version in versions().items())
        + ".",
        "",
        "| | median | mean | maximum |",
        "|---|---|---|---|",
    ]
    for what, unit, of in [
        ("seconds of CPU", "cpu", quiet),
        ("seconds", "seconds", quiet),
        ("seconds, with a loop", "seconds", stuck),
        ("memory, MB", "memory", quiet),
    ]:
        scale = 1e6 if unit == "memory" else 1
        values = [report[unit] / scale for report in of]
        if not values:
            continue
        form = ".0f" if unit == "memory" else ".1f"
        row = (statistics.median(values), statistics.fmean(values), max(values))
        lines.append(f"| {what} | " + " | ".join(f"{value:{form}}" for value in row) + " |")
    mean = statistics.fmean(report["cpu"] for report in reports)
    lines += [
        "",
        f"The whole class took {first['seconds'] / 60:.1f} minutes, and "
        f"{second['seconds'] / 60:.1f} when it was graded again in another order and with another "
        f"seed: the grades were the same. A submission cost {mean:.1f} seconds "
        f"of CPU on average, and all processes together held at most "
        f"{max(first['memory'], second['memory']) / 1e9:.1f} GB.",
        "",
    ]
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--submissions", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/CLASS.md")
    args = parser.parse_args(argv)
    args.out.write_text(measure(args.submissions, args.jobs), encoding="utf-8")
    print(args.out.read_text(encoding="utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
