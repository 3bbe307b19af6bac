"""Run every experiment whose stored result was not made by the script as it stands.

python -m tools.experiments

experiments/NN_name.py writes book/results/NN_name.json with the sha256 of its own text, and of
NN_name.npz if it stores arrays as well.
"""

import json
import subprocess
import sys
from pathlib import Path

from tools.notebooks import ROOT
from tools.notebooks import main as store_outputs
from unrolled.results import file_hash, script_hash


def is_stale(script: Path, result: Path) -> bool:
    """Tell whether the result is missing, lost its arrays, or was made by another version."""
    if not result.exists():
        return True
    stored = json.loads(result.read_text(encoding="utf-8"))
    beside = result.with_suffix(".npz")
    arrays = file_hash(beside) if beside.exists() else None
    return bool(
        stored.get("script_sha256") != script_hash(script) or stored.get("arrays_sha256") != arrays
    )


def main() -> int:
    """Run what is stale, in order; stop at the first script that fails."""
    scripts = sorted((ROOT / "experiments").glob("[0-9]*.py"))
    stale = [s for s in scripts if is_stale(s, ROOT / f"book/results/{s.stem}.json")]
    if not stale:
        print("Every result is up to date.")
    for script in stale:
        print(f"{script.relative_to(ROOT)} …", flush=True)
        if subprocess.run([sys.executable, str(script)], cwd=ROOT, check=False).returncode:
            print(f"{script.name} failed; mend it and run 'make experiments' again")
            return 1
    if stale:
        print("The chapters that show these results: make notebooks")
        return store_outputs([str(ROOT / "book/run_times.ipynb")])
    return 0


if __name__ == "__main__":
    sys.exit(main())
