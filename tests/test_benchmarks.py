"""The benchmarks: the harness runs, what is timed is right, and the stored numbers are current.

Nothing is timed here: a busy machine fails no test. What `make bench` has stored is looked at.
"""

import json
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import unrolled.lstm
from benchmarks import ablations, layers, measure, report, run
from benchmarks.paired import paired, summary
from tests.helpers import close

RESULTS = json.loads((report.FOLDER / "results.json").read_text(encoding="utf-8"))
SIZE = (3, 6, 4, 5)  # B, T, D, H
# As a multiple of torch's time, on the worst of the sizes.
TARGETS = {"rnn": 1.0, "gru": 1.1, "lstm": 1.3}


# --- What is timed. ---


@pytest.mark.parametrize("name", ablations.ABLATIONS)
def test_an_ablation_computes_what_the_lstm_computes(name: str):
    ablation = ablations.ABLATIONS[name]
    original = ablations.make_step(unrolled.lstm, *SIZE)()
    changed = ablations.make_step(ablations.variant(ablation.edits), *SIZE, ablation.dtype)()
    for actual, expected in zip(changed, original, strict=True):
        assert actual.dtype == ablation.dtype
        close(actual.astype(np.float32), expected, rel=1e-5)


def test_every_ablation_changes_something():
    assert [n for n, a in ablations.ABLATIONS.items() if not a.edits] == ["float64"]
    with pytest.raises(ValueError, match=r"must stand once in unrolled/lstm\.py, not 0: no such"):
        ablations.variant([("no such line", "")])
    with pytest.raises(ValueError, match="must stand once"):
        ablations.variant([("import", "")])


def test_a_wrong_result_is_not_timed(monkeypatch: pytest.MonkeyPatch):
    right = layers.numpy_step

    def wrong(*args: Any) -> Any:
        step = right(*args)
        return lambda: [1.01 * array for array in step()]

    monkeypatch.setattr(layers, "numpy_step", wrong)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        layers.measure([SIZE], rounds=1)


# --- The harness. ---


def test_functions_are_called_in_turn():
    called: list[str] = []
    functions = {name: lambda name=name: called.append(name) for name in "ab"}
    seconds = paired(functions, rounds=3, least=0.0)
    assert called == list("aabb" + "ab" * 3)  # each twice before the rounds: to warm up, to count
    assert [v.shape for v in seconds.values()] == [(3,), (3,)]
    assert all((v > 0).all() for v in seconds.values())


def test_a_multiple_is_taken_within_the_rounds():
    """On a machine that becomes ten times slower meanwhile, twice the time is twice the time."""
    slowing = np.array([1.0, 2.0, 10.0])
    found = summary({"a": 2 * slowing, "b": slowing, "c": slowing[::-1]}, of="a")
    assert found["ms"] == {"a": 4000.0, "b": 2000.0, "c": 2000.0}
    assert found["times"] == {"b": 2.0, "c": 2.0}
    assert found["quartiles"]["b"] == [2.0, 2.0]
    assert found["quartiles"]["c"] == [1.1, 11.0]


def test_every_part_runs_at_a_small_size(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(run, "child", in_this_process)
    results = run.collect(quick=True)
    assert results.keys() == RESULTS.keys()
    text = report.render(results)
    assert "| lstm | 2, 5, 3, 4 |" in text
    assert "| sigmoid by masks |" in text


def in_this_process(part: str, quick: bool) -> dict[str, Any]:
    return {"libraries": measure.libraries(), "found": measure.QUICK[part](1)}


def test_a_part_in_a_process_of_its_own_chooses_its_instructions(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Nehalem")
    answer = run.child("memory", quick=True)
    assert answer["libraries"]["numpy_blas"]
    assert "Nehalem" not in answer["libraries"]["numpy_blas"]
    whole = [row["whole"] for row in answer["found"]["rows"]]
    assert whole[1] > 1.8 * whole[0]


# --- What is stored. ---


def test_the_page_is_that_of_the_stored_numbers():
    stored = (report.FOLDER / "RESULTS.md").read_text(encoding="utf-8")
    assert stored == report.render(RESULTS)


def test_the_stored_numbers_are_those_of_the_code():
    assert RESULTS["sources"] == report.source_hashes(), "the code has changed: run 'make bench'"


def test_a_comment_makes_nothing_stale_and_a_change_does():
    code = 'def f(x):\n    """Add."""\n    return x + 1  # one more\n'
    assert report.code_hash(code) == report.code_hash("def f( x ):\n\n    return (x + 1)\n")
    for other in ("x + 2", "x - 1", "x + 1.0", "x + True", "None"):
        assert report.code_hash(code) != report.code_hash(code.replace("x + 1", other))


def test_the_stored_numbers_are_of_the_full_size():
    assert RESULTS["rounds"] >= 11
    for part, sizes in [
        ("layers", [[1, 25, 65, 100], [32, 64, 64, 128], [64, 100, 128, 256], [128, 50, 256, 512]]),
        ("attention", [[20, 32, 25, 128], [50, 64, 50, 256]]),
    ]:
        of = {"layers": "cell", "attention": "score"}[part]
        for kind in {row[of] for row in RESULTS[part]}:
            assert [row["size"] for row in RESULTS[part] if row[of] == kind] == sizes
    assert {row["ablation"] for row in RESULTS["ablations"]} == set(ablations.ABLATIONS)


@pytest.mark.parametrize("cell", TARGETS)
def test_a_layer_is_as_fast_as_promised(cell: str):
    times = [row["times"]["torch"] for row in RESULTS["layers"] if row["cell"] == cell]
    assert len(times) == 4
    assert max(times) <= TARGETS[cell]


def test_attention_is_as_fast_as_promised():
    times = [max(row["times"].values()) for row in RESULTS["attention"]]
    assert len(times) == 6
    assert max(times) <= 1.4


def test_memory_grows_with_the_length_only_without_windows():
    rows = RESULTS["memory"]["rows"]
    assert [row["T"] for row in rows] == [64 * 2**k for k in range(7)]
    for before, after in pairwise(rows):
        assert 1.8 < after["whole"] / before["whole"] < 2.1
    assert max(row["windows"] for row in rows) < 1.5 * rows[0]["windows"]


def test_no_name_of_a_machine_is_stored():
    assert RESULTS["machine"].keys() == {
        "cpu", "cores", "caches", "system", "numpy_blas", "torch_instructions",
    }  # fmt: skip
