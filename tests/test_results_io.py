"""unrolled.results: what an experiment stores is what its chapter reads."""

import hashlib
import json
import platform

import numpy as np
import pytest

from tests.helpers import flat, same
from unrolled import results
from unrolled.seq2seq import init_seq2seq

RUNS = [{"loss": [0.1, 1 / 3], "name": "é", "best": None}, {"loss": [1e-300], "done": True}]


@pytest.fixture
def script(tmp_path):
    (tmp_path / "experiments").mkdir()
    (tmp_path / "book" / "results").mkdir(parents=True)
    script = tmp_path / "experiments" / "01_xor.py"
    script.write_text("print('é')\n", encoding="utf-8")
    return script


def save(script, seeds=range(2)):
    return results.save_result(script, settings={"lr": 0.1}, seeds=seeds, runs=RUNS)


def test_round_trip_from_anywhere_in_the_project(script, tmp_path, monkeypatch):
    assert save(str(script)) == tmp_path / "book" / "results" / "01_xor.json"
    for folder in (tmp_path, tmp_path / "book", tmp_path / "experiments"):
        monkeypatch.chdir(folder)
        result = results.load_result("01_xor")
        assert result["runs"] == RUNS  # to the last digit
        assert result["settings"] == {"lr": 0.1}
        assert result["seeds"] == [0, 1]
        assert result["versions"]["python"] == platform.python_version()
        assert result["versions"]["numpy"] == np.__version__
        assert result["cpu_seconds"] > 0
        assert set(result) == {
            "settings", "seeds", "runs", "versions", "cpu_seconds", "script_sha256"
        }  # fmt: skip


def test_a_path_from_the_folder_of_the_script(script, tmp_path, monkeypatch):
    monkeypatch.chdir(script.parent)
    assert save("01_xor.py") == tmp_path / "book" / "results" / "01_xor.json"


def test_the_file_is_text_that_git_can_compare(script):
    text = save(script).read_text(encoding="utf-8")
    assert text.endswith("}\n")
    assert text.count("\n") > 10
    assert json.loads(text)["runs"] == RUNS


def test_saving_again_replaces(script, monkeypatch):
    save(script)
    save(script, seeds=[7])
    monkeypatch.chdir(script.parent)
    assert results.load_result("01_xor")["seeds"] == [7]


def test_the_hash_is_of_the_text_and_not_of_its_line_ends(script):
    text = "a = 1\nb = 'é'\n"
    script.write_bytes(text.encode())
    expected = hashlib.sha256(text.encode()).hexdigest()
    assert results.script_hash(script) == expected
    assert json.loads(save(script).read_text())["script_sha256"] == expected
    script.write_bytes(text.replace("\n", "\r\n").encode())
    assert results.script_hash(script) == expected
    script.write_bytes(text.replace("1", "2").encode())
    assert results.script_hash(script) != expected


def some_params(dtype, seed=0):
    rng = np.random.default_rng(seed)
    return init_seq2seq("gru", 5, 4, 2, 6, bidirectional=True, rng=rng, dtype=dtype)


def test_arrays_come_back_as_they_went_but_for_their_precision(script, monkeypatch):
    first, second = some_params(np.float32, 0), some_params(np.float32, 1)
    settings = {"settings": {}, "seeds": [0], "runs": RUNS}
    file = results.save_result(script, **settings, arrays={"first": first, "second": second})
    arrays = file.with_suffix(".npz")
    assert json.loads(file.read_text())["arrays_sha256"] == results.file_hash(arrays)
    monkeypatch.chdir(script.parent)
    for dtype in (np.float32, np.float64):
        loaded = results.load_arrays("01_xor", "second", like=some_params(dtype, 2))
        assert type(loaded) is type(second)
        assert type(loaded.encoder) is type(second.encoder)
        assert loaded.combine is None
        for a, b in zip(flat(loaded), flat(second), strict=True):
            same(a, b.astype(np.float16).astype(dtype))
    # The same bytes for the same numbers, and none for a result without arrays.
    before = arrays.read_bytes()
    results.save_result(script, **settings, arrays={"first": first, "second": second})
    assert arrays.read_bytes() == before
    assert "arrays_sha256" not in json.loads(results.save_result(script, **settings).read_text())
    assert not arrays.exists()
    with pytest.raises(FileNotFoundError, match="^no stored result '01_xor' in "):
        results.load_arrays("01_xor", "second", like=first)


def test_arrays_that_do_not_fit_are_refused(script, monkeypatch):
    params = some_params(np.float32)
    results.save_result(script, settings={}, seeds=[0], runs=[], arrays={"a": params})
    monkeypatch.chdir(script.parent)
    with pytest.raises(ValueError, match="^like must have the structure of 'b' in 01_xor, differs"):
        results.load_arrays("01_xor", "b", like=params)
    with pytest.raises(ValueError, match=r"differs in a\.output\.W, a\.output\.b$"):
        results.load_arrays("01_xor", "a", like=params._replace(output=None))
    wrong = params._replace(source_embedding=np.zeros((5, 3), np.float32))
    with pytest.raises(ValueError, match=r"^a\.source_embedding must have shape"):
        results.load_arrays("01_xor", "a", like=wrong)


def test_a_package_that_is_not_installed_has_no_version(script, monkeypatch):
    monkeypatch.setattr(results, "PACKAGES", ("numpy", "no-such-package"))
    assert set(json.loads(save(script).read_text())["versions"]) == {"python", "numpy"}


def test_a_result_that_is_not_there_names_the_command(script, monkeypatch):
    monkeypatch.chdir(script.parent)
    message = r"^no stored result '02_rnn' in .*; run experiments/02_rnn\.py, or: make experiments$"
    with pytest.raises(FileNotFoundError, match=message):
        results.load_result("02_rnn")


def test_numbers_that_json_cannot_hold_are_refused(script):
    with pytest.raises(TypeError, match="not JSON serializable"):
        results.save_result(script, settings={}, seeds=[0], runs=[{"loss": np.float32(0.5)}])
    assert not (script.parents[1] / "book" / "results" / "01_xor.json").exists()
