"""The tests find bugs: each of these edits of the package is caught by the test named beside it.

An edited copy of the package takes the place of the real one while the test's file is loaded again,
and the test is called as pytest would call it. The same tests pass on a copy without an edit.
"""

import importlib
import importlib.util
import itertools
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import hypothesis
import pytest

import unrolled
from tests import helpers

PACKAGE = Path(unrolled.__file__).parent
TESTS = Path(__file__).parent
# A failed assert, pytest.raises that saw nothing, or a warning that is an error in our settings.
CAUGHT = (AssertionError, pytest.fail.Exception, RuntimeWarning)

# module: {test: [(text, what it is replaced by), …]}
LAYERS = {
    "functional": {
        "test_activation_and_its_derivative_equal_torch": [
            ("np.tanh(0.5 * a)", "np.tanh(a)"),
            ("y * (1.0 - y)", "y * (1.0 + y)"),
            ("1.0 - y * y", "1.0 - y"),
            ("(y > 0)", "(y >= 0)"),
        ],
        "test_sigmoid_of_extreme_numbers": [
            ("0.5 * (1.0 + np.tanh(0.5 * a))", "1.0 / (1.0 + np.exp(-a))"),
        ],
        "test_softmax_and_log_softmax_equal_torch": [
            ("np.exp(shifted).sum(axis=-1,", "np.exp(shifted).sum(axis=0,"),
        ],
        "test_softmax_is_a_distribution_over_the_last_axis": [
            ("return np.exp(log_softmax(logits))", "return np.exp(logits - logits.max())"),
        ],
        "test_softmax_of_extreme_logits_is_exact": [
            ("logits - logits.max(axis=-1, keepdims=True)", "logits"),
            ("logits.max(axis=-1, keepdims=True)", "logits.max()"),
        ],
        "test_dtype_is_kept_and_the_input_untouched": [
            (".astype(y.dtype)", ".astype(float)"),
            ("np.maximum(a, 0.0)", "np.maximum(a, 0.0, out=a)"),
        ],
        "test_whole_numbers_are_not_logits": [('check_float("logits", logits)', "")],
    },
    "neurons": {
        "test_linear_equals_torch": [
            ("x @ W.T + b,", "x @ W.T,"),
            ("return dout @ W,", "return dout @ W / len(x),"),
            ("W=dout.T @ x", "W=dout.T @ x / len(x)"),
            ("dout.sum(axis=0)", "dout.mean(axis=0)"),
            ("return dout @ W,", "return dout @ (W + 1e-8),"),
        ],
        "test_mlp_equals_torch": [
            ("    return out, MLPCache", "    return function(out), MLPCache"),
            ("da = dh * derivative(h)", "da = dh"),
            ("tuple(reversed(grads))", "tuple(grads)"),
            ("        h = function(a)", "        h = a"),
        ],
        "test_mlp_gradients_are_the_measured_ones": [
            ("da = dh * derivative(h)", "da = dh * derivative(h) ** 2"),
        ],
        "test_one_layer_is_linear_and_tanh_is_the_default": [
            ('activation: str = "tanh"\n', 'activation: str = "relu"\n'),
        ],
        "test_dtype_is_kept_and_inputs_untouched": [
            ("        h = function(a)", "        h = function(a).astype(float)"),
            ("    dh, last", "    dout *= 2.0\n    dh, last"),
        ],
        "test_forward_names_what_does_not_fit": [
            ('    check_shape("b", b, H=H)\n', ""),
            ('    check_shape("x", x, B=None, D=D)\n', ""),
        ],
        "test_backward_names_what_does_not_fit": [
            ("B=len(x), H=len(W)", "B=None, H=len(W)"),
            ("B=len(x), H=len(W)", "B=len(x), H=None"),
        ],
    },
    "losses": {
        "test_value_and_gradient_equal_torch": [
            ("2.0 * difference / difference.size", "difference / difference.size"),
            ("/ difference.size", "/ len(difference)"),
            ("- logits * target", "- logits * (1 - target)"),
            ("/ logits.size", "/ len(logits)"),
            ("-float(np.take_along_axis(log_p, y, axis=-1).mean())", "-float(log_p.mean())"),
            ("return loss, dlogits / target.size", "return loss, dlogits / logits.size"),
        ],
        "test_gradient_is_the_measured_one": [
            ("(sigmoid(logits) - target)", "(target - sigmoid(logits))"),
            ("p_right - 1.0", "p_right + 1.0"),
        ],
        "test_extreme_logits": [
            ("np.log1p(np.exp(-np.abs(logits)))",
             "np.log1p(np.exp(-logits)) - np.maximum(-logits, 0)"),
            ("log_p = log_softmax(logits)", "log_p = np.log(np.exp(log_softmax(logits)))"),
        ],
        "test_two_faces_of_cross_entropy": [
            ("dlogits = np.exp(log_p)", "dlogits = np.exp(logits)"),
        ],
        "test_dtype_is_kept_and_inputs_untouched": [
            ("dlogits = np.exp(log_p)", "dlogits = np.exp(log_p).astype(float)"),
            ("difference = pred - target", "difference = np.subtract(pred, target, out=pred)"),
        ],
        "test_shapes_that_would_broadcast_are_refused": [
            ('    _check_same_shape("target", target, "pred", pred)\n', ""),
        ],
        "test_classes_that_cannot_be": [("target.min() < 0 or ", "")],
    },
}  # fmt: skip
SEQUENCES = {
    "gradient_check": {
        "test_gradient_of_a_known_function": [("/ (2.0 * eps)", "/ eps")],
        "test_error_is_eps_squared": [
            ("= value - eps", "= value - 0.5 * eps"),
            ("value - eps\n            down = loss(moved)\n            array[index] = value\n"
             "            grad[index] = (up - down) / (2.0 * eps)",
             "value\n            down = loss(moved)\n            grad[index] = (up - down) / eps"),
        ],
        "test_one_number_moves_at_a_time_and_the_caller_sees_none_of_it": [
            ("            array[index] = value\n", ""),
            ("tree_map(np.array, params)", "tree_map(np.asarray, params)"),
        ],
        "test_only_float64_can_be_measured": [("!= np.float64", "== np.int8")],
        "test_relative_error_of_known_pairs": [
            ("np.abs(a - e)", "(a - e)"),
            ("np.max(np.abs(a - e))", "np.mean(np.abs(a - e))"),
            (" if scale != 0 else 0.0", ""),
        ],
        "test_relative_error_has_no_direction_and_no_unit": [
            ("np.maximum(np.max(np.abs(a)), np.max(np.abs(e)))", "np.max(np.abs(e))"),
            ("/ scale)", "/ (1.0 + scale))"),
        ],
        "test_the_worst_array_counts_on_its_own_scale": [
            ("np.max(tree_arrays", "np.mean(tree_arrays"),
        ],
        "test_nan_never_passes": [
            ("float(np.max(tree_arrays", "float(max(tree_arrays"),
            ('return float("nan")', "return 0.0"),
        ],
        "test_shapes_that_would_broadcast_are_refused": [("np.shape(a) != np.shape(e)", "False")],
    },
    "data.sequences": {
        "test_windows_against_a_naive_loop": [
            ("len(series) - length - horizon + 1", "len(series) - length - horizon + 2"),
            ("series[length + horizon - 1 :]", "series[length:][:M]"),
            ("length + horizon - 1 :]", "length + horizon :]"),
            ("np.moveaxis(windows, -1, 0)", "np.moveaxis(windows, -1, 0)[::-1]"),
        ],
        "test_windows_never_read_past_the_cut": [
            ("series[: M + length - 1]", "np.roll(series, -horizon, axis=0)[: M + length - 1]"),
        ],
        "test_windows_are_copies": [
            ("- 1 :].copy()", "- 1 :]"),
            ("np.moveaxis(windows, -1, 0).copy()", "np.moveaxis(windows, -1, 0)"),
        ],
        "test_pad_round_trip": [
            ("padded[: lengths[b], b]", "padded[-lengths[b] :, b]"),
            ("value, dtype=first.dtype", "0, dtype=first.dtype"),
            ("lengths.max()) if length is None else length", "lengths.max())"),
        ],
        "test_pad_of_nothing": [(" or lengths.min() == 0", "")],
        "test_pad_to_fewer_steps_than_there_are": [("lengths.max() > T", "False")],
        "test_vocabulary_against_a_plain_count": [
            ("start=2", "start=1"),
            ("symbol, UNKNOWN)", "symbol, PAD)"),
        ],
        "test_vocabulary_does_not_follow_the_order_of_the_texts": [
            ("sorted({symbol for text in texts for symbol in text})",
             "list(dict.fromkeys(symbol for text in texts for symbol in text))"),
        ],
        "test_ids_that_cannot_be": [("ids.min() < 0 or ", "")],
        "test_minibatches_visit_each_index_once": [
            ("rng.permutation(size)", "rng.integers(size, size=size)"),
            ("range(0, size, batch)", "range(0, size - batch + 1, batch)"),
        ],
        "test_minibatches_are_shuffled_anew_by_their_generator": [
            ("rng.permutation(size)", "np.arange(size)"),
        ],
    },
}  # fmt: skip
TEST_FILES = {"data.sequences": "test_data"}

BUGS = [
    (module, test, old, new)
    for half in (LAYERS, SEQUENCES)
    for module, tests in half.items()
    for test, edits in tests.items()
    for old, new in edits
]


@contextmanager
def instead_of_the_package(folder: Path) -> Iterator[None]:
    """While this is open, ``import unrolled`` finds the package in a folder."""

    def loaded() -> list[str]:
        return [name for name in sys.modules if name.partition(".")[0] == "unrolled"]

    saved = {name: sys.modules.pop(name) for name in loaded()}
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in loaded():
            del sys.modules[name]
        sys.modules.update(saved)


def load(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"planted_{file.stem}", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def calls(test: Callable[..., None]) -> Iterator[dict[str, object]]:
    """The arguments of every call that pytest would make: its parametrize marks multiplied out."""
    choices = []
    for mark in getattr(test, "pytestmark", []):
        assert mark.name == "parametrize"
        names, values = mark.args[0].split(", "), mark.args[1]
        choices.append(
            [dict(zip(names, v if len(names) > 1 else (v,), strict=True)) for v in values]
        )
    for picks in itertools.product(*choices):
        yield {name: value for pick in picks for name, value in pick.items()}


def call(test: Callable[..., None]) -> None:
    for arguments in calls(test):
        test(**arguments)


@pytest.fixture
def planted(tmp_path, monkeypatch):
    # The first counterexample will do: to shrink it takes most of the time.
    phases = [hypothesis.Phase.explicit, hypothesis.Phase.generate]
    monkeypatch.setattr(helpers, "PROPERTY", hypothesis.settings(helpers.PROPERTY, phases=phases))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    @contextmanager
    def _planted(module: str, old: str = "", new: str = "") -> Iterator[ModuleType]:
        copy = shutil.copytree(
            PACKAGE, tmp_path / "unrolled", ignore=shutil.ignore_patterns("__pycache__")
        )
        file = copy.joinpath(*module.split(".")).with_suffix(".py")
        if old:
            source = file.read_text(encoding="utf-8")
            assert source.count(old) == 1, f"{old!r} must stand once in {module}"
            file.write_text(source.replace(old, new), encoding="utf-8")
        with instead_of_the_package(tmp_path):
            tested = load(TESTS / f"{TEST_FILES.get(module, f'test_{module}')}.py")
            assert Path(sys.modules[f"unrolled.{module}"].__file__) == file
            yield tested

    return _planted


@pytest.mark.parametrize("module", sorted({module for module, *_ in BUGS}))
def test_without_an_edit_all_of_them_pass(planted, module):
    with planted(module) as tested:
        for test in {test for name, test, *_ in BUGS if name == module}:
            call(getattr(tested, test))


@pytest.mark.parametrize(
    "module, test, old, new", BUGS, ids=[f"{m}-{k}" for k, (m, *_) in enumerate(BUGS)]
)
def test_the_bug_is_caught(planted, module, test, old, new):
    with planted(module, old, new) as tested, pytest.raises(CAUGHT):
        call(getattr(tested, test))


@pytest.mark.parametrize("half", [LAYERS, SEQUENCES], ids=["layers", "sequences"])
def test_there_are_enough_of_them(half):
    assert all(sum(map(len, tests.values())) >= 10 for tests in half.values())
