"""Measure the package against PyTorch, and write RESULTS.md, results.json and the page of the book.

python -m benchmarks.run [--quick]

Each part runs in a process of its own, on one thread. NumPy's and torch's libraries choose their
instructions by themselves there: settings of the environment that would hold them to those of an
older CPU, for the sake of equal digits on every machine, are left out.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.measure import PARTS, ROUNDS
from benchmarks.report import FOLDER, render, source_hashes
from tools.notebooks import ROOT
from tools.notebooks import main as store_outputs
from tools.timings import THREADS, cpu_model, versions

# With these a library can be held to the instructions of an older CPU, or to a way to use memory.
CHOICES = ("OPENBLAS_", "ATEN_CPU_", "ONEDNN_", "DNNL_", "MKL_")


def caches() -> list[str]:
    """Return the sizes of the first core's caches, where the system tells them."""
    found = []
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = ((folder / f).read_text().strip() for f in ("level", "type", "size"))
        if kind != "Instruction":
            found.append(f"L{level} {size}")
    return found


def child(part: str, quick: bool) -> dict[str, Any]:
    """Measure one part in a process of its own."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(CHOICES)}
    environment |= dict.fromkeys(THREADS, "1")
    command = [sys.executable, "-m", "benchmarks.measure", part, *["--quick"] * quick]
    run = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, check=True)
    return json.loads(run.stdout)


def collect(quick: bool) -> dict[str, Any]:
    """Measure all parts."""
    results: dict[str, Any] = {"rounds": ROUNDS, "versions": versions()}
    results["machine"] = {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "caches": caches(),
        "system": f"{platform.system()} {platform.machine()}",
    }
    results["sources"] = source_hashes()
    for part in PARTS:
        start = time.perf_counter()
        answer = child(part, quick)
        print(f"{part}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
        results["machine"] |= answer["libraries"]
        results[part] = answer["found"]
    return results


def main(argv: list[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description="Measure the package against PyTorch.")
    parser.add_argument("--quick", action="store_true", help="tiny sizes; stores nothing")
    args = parser.parse_args(argv)
    results = collect(args.quick)
    text = render(results)
    print(text)
    if args.quick:
        return 0
    (FOLDER / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (FOLDER / "RESULTS.md").write_text(text, encoding="utf-8")
    return store_outputs([str(ROOT / "book/speed.ipynb")])  # the page that shows these numbers


if __name__ == "__main__":
    sys.exit(main())
