"""Every stored result was made by the script beside it, as it stands now."""

import hashlib
import json
import runpy
from pathlib import Path

import pytest

from tools.experiments import is_stale
from tools.notebooks import ROOT

KEYS = {"settings", "seeds", "runs", "versions", "cpu_seconds", "script_sha256"}


def problems(root: Path) -> list[str]:
    """What is wrong between experiments/ and book/results/ of a checkout."""
    found = []
    scripts = {p.stem: p for p in (root / "experiments").glob("[0-9]*.py")}
    results = {p.stem: p for p in (root / "book/results").glob("*.json") if p.stem != "timings"}
    found += [f"{name}: no stored result" for name in sorted(scripts.keys() - results.keys())]
    found += [f"{name}: no script" for name in sorted(results.keys() - scripts.keys())]
    arrays = {p.stem for p in (root / "book/results").glob("*.npz")}
    found += [f"{name}: arrays without a result" for name in sorted(arrays - results.keys())]
    for name in sorted(scripts.keys() & results.keys()):
        missing = KEYS - json.loads(results[name].read_text(encoding="utf-8")).keys()
        if missing:
            found.append(f"{name}: the result lacks {sorted(missing)}")
        elif is_stale(scripts[name], results[name]):
            found.append(f"{name}: the script or the arrays have changed; run 'make experiments'")
    return found


def test_results_and_scripts_agree():
    assert problems(ROOT) == []


@pytest.mark.parametrize("script", sorted(ROOT.glob("experiments/[0-9]*.py")), ids=lambda p: p.stem)
def test_the_stored_settings_are_those_of_the_script(script: Path):
    stored = json.loads((ROOT / f"book/results/{script.stem}.json").read_text(encoding="utf-8"))
    module = runpy.run_path(str(script))
    assert stored["settings"] == json.loads(json.dumps(module["SETTINGS"]))
    assert stored["seeds"] == list(module["SEEDS"])


def test_line_ends_do_not_make_a_result_stale(planted):
    script, result = planted
    script.write_bytes(script.read_bytes().replace(b"\n", b"\r\n"))
    assert not is_stale(script, result)


@pytest.fixture
def planted(tmp_path: Path) -> tuple[Path, Path]:
    script = tmp_path / "experiments/01_a.py"
    result = tmp_path / "book/results/01_a.json"
    for path in (script, result):
        path.parent.mkdir(parents=True)
    script.write_text("print(1)\n")
    stored = dict.fromkeys(KEYS, 0)
    stored["script_sha256"] = hashlib.sha256(script.read_bytes()).hexdigest()
    result.write_text(json.dumps(stored))
    assert problems(tmp_path) == []
    return script, result


CHANGED = ["01_a: the script or the arrays have changed; run 'make experiments'"]


def test_a_changed_script_is_refused(planted, tmp_path: Path):
    planted[0].write_text("print(2)\n")
    assert problems(tmp_path) == CHANGED


def test_arrays_that_are_not_those_of_the_result_are_refused(planted, tmp_path: Path):
    _, result = planted
    arrays = result.with_suffix(".npz")
    arrays.write_bytes(b"1")
    assert problems(tmp_path) == CHANGED  # the result knows of none
    stored = json.loads(result.read_text())
    stored["arrays_sha256"] = hashlib.sha256(b"1").hexdigest()
    result.write_text(json.dumps(stored))
    assert problems(tmp_path) == []
    arrays.write_bytes(b"2")
    assert problems(tmp_path) == CHANGED
    arrays.unlink()
    assert problems(tmp_path) == CHANGED
    arrays.with_stem("02_b").write_bytes(b"1")
    assert problems(tmp_path) == ["02_b: arrays without a result", *CHANGED]


def test_a_missing_result_is_refused(planted, tmp_path: Path):
    planted[1].unlink()
    assert problems(tmp_path) == ["01_a: no stored result"]


def test_a_result_without_its_script_is_refused(planted, tmp_path: Path):
    planted[0].unlink()
    assert problems(tmp_path) == ["01_a: no script"]


def test_an_incomplete_result_is_refused(planted, tmp_path: Path):
    stored = json.loads(planted[1].read_text())
    del stored["seeds"]
    planted[1].write_text(json.dumps(stored))
    assert problems(tmp_path) == ["01_a: the result lacks ['seeds']"]
