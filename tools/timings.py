"""Measure what each chapter takes on one thread, and write it where the book quotes it.

python -m tools.timings [NOTEBOOK...]

The numbers go to book/results/timings.json. The phrase "about N s" is rewritten from them in each
chapter's first cell (its line "**Run time.** About N s …") and in its row of book/index.md.
"""

import json
import os
import platform
import re
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import nbformat
import psutil

from tools.notebooks import ROOT, client, serialise
from tools.notebooks import main as store_outputs

RESULT = ROOT / "book/results/timings.json"
RUN_TIMES = ROOT / "book/run_times.ipynb"
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def rounded(seconds: float) -> int:
    """Round to what a reader can use: whole seconds below 5, above to multiples of 5.

    >>> [rounded(s) for s in (0.3, 3.6, 7.0, 8.0, 43.0)]
    [1, 4, 5, 10, 45]
    """
    return max(1, round(seconds)) if seconds < 5 else 5 * round(seconds / 5)


def with_phrase(text: str, seconds: float) -> str:
    """Put the rounded seconds into the first "about N s" of a text.

    >>> with_phrase("**Run time.** About 3 s on one core.", 21.0)
    '**Run time.** About 20 s on one core.'
    """
    return re.sub(r"\b([Aa]bout) \d+ s\b", rf"\1 {rounded(seconds)} s", text, count=1)


def update_phrases(seconds: dict[str, float]) -> None:
    """Rewrite the run-time phrases of the chapters and of the road map; `seconds` by name."""
    for name, value in seconds.items():
        path = ROOT / f"book/{name}.ipynb"
        nb = nbformat.read(path, as_version=4)
        first = next((c for c in nb.cells if c.cell_type == "markdown"), None)
        if first is not None and "**Run time.**" in first.source:
            head, mark, rest = first.source.partition("**Run time.**")
            first.source = head + mark + with_phrase(rest, value)
            path.write_text(serialise(nb), encoding="utf-8")
    index = ROOT / "book/index.md"
    lines = index.read_text(encoding="utf-8").splitlines(keepends=True)
    for i, line in enumerate(lines):
        for name, value in seconds.items():
            if line.startswith("|") and re.search(rf"\b{name}\b", line):
                lines[i] = with_phrase(line, value)
    index.write_text("".join(lines), encoding="utf-8")


def cpu_model() -> str:
    """Return the processor's own name where the system tells it."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()
    found = re.search(r"model name\s*:\s*(.+)", text)
    return found.group(1).strip() if found else platform.machine()


def peak_megabytes(process: psutil.Process) -> int:
    """Return the most memory the process ever held (on Linux; elsewhere what it holds now)."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
        return int(status.split("VmHWM:")[1].split()[0]) // 1024
    except (OSError, IndexError):
        return int(process.memory_info().rss) // 2**20


def measure(path: Path) -> dict[str, Any]:
    """Execute one notebook and return its wall seconds, CPU seconds and peak memory."""
    nb = nbformat.read(path, as_version=4)
    start = time.perf_counter()
    runner = client(path, nb)
    with runner.setup_kernel():
        for i, cell in enumerate(nb.cells):
            runner.execute_cell(cell, i)
        process = psutil.Process(runner.km.provisioner.pid)
        cpu = sum(process.cpu_times()[:4])
        peak = peak_megabytes(process)
    wall = time.perf_counter() - start
    return {"cpu_seconds": round(cpu, 1), "wall_seconds": round(wall, 1), "peak_mb": peak}


def versions() -> dict[str, str]:
    """Return the versions on which the times depend."""
    found = {"python": platform.python_version()}
    for name in ("numpy", "torch"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def main(names: list[str]) -> int:
    """Measure the named chapters, or all, and write the result and the phrases."""
    for name in THREADS:
        os.environ[name] = "1"
    paths = [Path(n).resolve() for n in names] or sorted((ROOT / "book").glob("[0-9]*.ipynb"))
    stored = json.loads(RESULT.read_text(encoding="utf-8")) if names and RESULT.exists() else {}
    notebooks = stored.get("notebooks", {})
    for path in paths:
        notebooks[path.stem] = measure(path)
        print(f"{path.stem}: {notebooks[path.stem]}", flush=True)
    result = {
        "machine": {"cpu": cpu_model(), "cores": os.cpu_count(), "threads": 1},
        "versions": versions(),
        "notebooks": notebooks,
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    update_phrases({name: row["cpu_seconds"] for name, row in notebooks.items()})
    return store_outputs([str(RUN_TIMES)])  # the page that shows these numbers


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
