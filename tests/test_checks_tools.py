"""What the checks share: each helper lets what is right pass, and says what is wrong."""

import decimal
import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from unrolled.checks import _tools as tools
from unrolled.params import Linear


def refused(message: str) -> Any:
    """The context in which exactly this message, given as a pattern, is raised."""
    return pytest.raises(AssertionError, match=f"^(?:{message})$")


def raises(error: BaseException) -> Callable[..., Any]:
    def function(*arguments: Any) -> Any:
        raise error

    return function


# --- To call a function. ---


def test_call_passes_the_arguments_in_their_order_and_returns_the_result():
    x = np.ones(2)
    result = tools.call("f", lambda *arguments: [*arguments], b=x, a=2)
    assert result[0] is x
    assert result[1] == 2


@pytest.mark.parametrize(
    "function, message",
    [
        (None, "there is no function f yet: run the cell that defines it"),
        (..., "there is no function f yet: run the cell that defines it"),
        (3, "f must be a function, got an int"),
        (
            np.ones((2, 1)),
            r"f must be a function, got an array of shape \(2, 1\) and dtype float64",
        ),
        (
            lambda x: None,
            "f returned None: write the function's body in place of the dots, .*",
        ),
        (
            lambda x: ...,
            "f returned Ellipsis: write the function's body in place of the dots, .*",
        ),
        (lambda: 1, r"f stopped with TypeError: .* takes 0 positional arguments but 1 was given"),
        (lambda x: x @ np.ones(3), "f stopped with ValueError: matmul: .*"),
        (raises(KeyError("W")), "f stopped with KeyError: 'W'"),
        (raises(NotImplementedError()), "f stopped with NotImplementedError"),
        (raises(SystemExit(1)), "f stopped with SystemExit: 1"),
        (raises(RecursionError("too deep")), "f stopped with RecursionError: too deep"),
        (lambda x: x.sort() or 1, "f changed its argument x: compute a new array, or copy it .*"),
        (lambda x: x.resize(4, refcheck=False) or 1, "f changed its argument x: .*"),
    ],
)
def test_call_says_what_is_wrong_with_a_function(function: Any, message: str):
    with refused(message):
        tools.call("f", function, x=np.array([2.0, 1.0]))


@pytest.mark.parametrize(
    "ask",
    [
        lambda: tools.call("f", None),
        lambda: tools.call("f", lambda: ...),
        lambda: tools.number("loss", ...),
        lambda: tools.names_of("wrong", None, ["a"]),
        lambda: tools.unanswered("not yet"),
    ],
)
def test_what_has_not_been_written_is_told_from_what_is_wrong(ask: Callable[[], Any]):
    with pytest.raises(tools.NotAnswered):
        ask()
    with pytest.raises(AssertionError) as caught:
        tools.fail("wrong")
    assert type(caught.value) is AssertionError


def test_a_long_message_of_an_exception_is_cut():
    with pytest.raises(AssertionError) as caught:
        tools.call("f", raises(ValueError("too long " * 100)))
    assert len(str(caught.value)) < 250


def test_call_keeps_the_exception_as_the_cause():
    error = ValueError("no")
    with pytest.raises(AssertionError) as caught:
        tools.call("f", raises(error))
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), GeneratorExit()])
def test_call_lets_an_interrupt_through(error: BaseException):
    with pytest.raises(type(error)):
        tools.call("f", raises(error))


def test_call_is_silent_about_warnings_and_restores_what_the_function_sets():
    def loud(x: Any) -> Any:
        np.seterr(all="raise")
        np.seterr(all="warn")
        return np.log(-x) / 0.0 + np.exp(1000 * x)

    before = np.geterr()
    assert np.isnan(tools.call("f", loud, x=np.ones(2))).all()
    assert np.geterr() == before


@pytest.mark.parametrize(
    "change",
    [
        lambda v: v["list"].append(1),
        lambda v: v["list"][0].fill(1.0),
        lambda v: v["params"].b.fill(1.0),
        lambda v: v.pop("list"),
        lambda v: v.update(more=1),
        lambda v: v.update(size=3),
        lambda v: v["nan"].fill(0.0),
    ],
)
def test_call_sees_changes_deep_inside_an_argument(change: Callable[..., Any]):
    params = Linear(np.zeros((1, 1)), np.zeros(1))
    value = {"list": [np.zeros(2)], "params": params, "size": 2, "nan": np.array([np.nan])}
    assert tools.call("f", lambda v: 1, v=value) == 1
    with refused("f changed its argument v: .*"):
        tools.call("f", lambda v: change(v) or 1, v=value)


def test_to_draw_from_a_generator_is_no_change():
    assert tools.call("f", lambda rng: rng.random() < 2, rng=np.random.default_rng(0))


@pytest.mark.parametrize(
    "value, before, same",
    [
        (np.array([1.0, np.nan]), np.array([1.0, np.nan]), True),
        (np.array([1, 2]), np.array([1, 3]), False),
        (np.ones(2), np.ones((2, 1)), False),
        (np.array(["a"]), np.array(["a"]), True),
        ((1, [2]), (1, [2]), True),
        ((1, [2]), (1, [3]), False),
        ([1], [1, 2], False),
        ({"a": 1}, {"a": 1}, True),
        ({"a": 1}, {"b": 1}, False),
        ("a", "a", True),
        (None, None, True),
        (abs, abs, True),
        (1, 2, False),
    ],
)
def test_unchanged(value: Any, before: Any, same: bool):
    assert tools.unchanged(value, before) is same


# --- To take a result apart. ---


@pytest.mark.parametrize("value", [(1, 2), [..., None], Linear(np.ones((1, 1)), np.ones(1))])
def test_results_returns_the_parts(value: Any):
    first, second = tools.results("f", value, "W", "b")
    assert first is value[0]
    assert second is value[1]


@pytest.mark.parametrize(
    "value, message",
    [
        (3.0, "f must return h, cache; it returned a float"),
        (np.ones(2), r"f must return h, cache; it returned an array of shape \(2,\) and .*"),
        ({1: 2, 3: 4}, "f must return h, cache; it returned a dict"),
        ((), "f must return h, cache; it returned 0 things"),
        ((1,), "f must return h, cache; it returned 1 thing"),
        ((1, 2, 3), "f must return h, cache; it returned 3 things"),
    ],
)
def test_results_says_what_is_missing(value: Any, message: str):
    with refused(message):
        tools.results("f", value, "h", "cache")


@pytest.mark.parametrize(
    "value",
    [3, 3.0, np.float32(3), np.array(3), np.array([[3]]), [3.0], Fraction(3), decimal.Decimal(3)],
)
def test_number_takes_whatever_holds_just_one(value: Any):
    number = tools.number("loss", value)
    assert number == 3.0
    assert type(number) is float


@pytest.mark.parametrize(
    "value, message",
    [
        (None, "loss has no value yet: replace the dots by a number, and run the cell"),
        (..., "loss has no value yet: replace the dots by a number, and run the cell"),
        (True, "loss must be a number, got True"),
        (np.False_, "loss must be a number, got np.False_"),
        ("3", "loss must be a number, got '3'"),
        (b"3", "loss must be a number, got b'3'"),
        ([], "loss must be a single number, got a list"),
        ([1, [2, 3]], "loss must be a single number, got a list"),
        (np.ones((2, 1)), r"loss must be a single number, got an array of shape \(2, 1\) .*"),
        (3j, "loss must be a single number, got a complex"),
        (abs, "loss must be a single number, got a builtin_function_or_method"),
        (10**400, "loss must be a single number, got an int"),
        (np.nan, "loss must be a finite number, got nan"),
        (-np.inf, "loss must be a finite number, got -inf"),
        (np.array([np.inf]), "loss must be a finite number, got inf"),
    ],
)
def test_number_says_what_is_no_number(value: Any, message: str):
    with refused(message):
        tools.number("loss", value)


@pytest.mark.parametrize(
    "value", [np.ones((2, 1)), [[1], [1]], ((1.0,), (1.0,)), np.ones((2, 1), "f")]
)
def test_numbers_returns_a_new_float64_array(value: Any):
    array = tools.numbers("h", value, B=2, H=1)
    assert array.dtype == np.float64
    assert array.tolist() == [[1.0], [1.0]]
    assert not np.shares_memory(array, np.asarray(value))


@pytest.mark.parametrize(
    "value, message",
    [
        ([[1.0], [1.0, 2.0]], "h must be an array of numbers, got a list of unequal parts"),
        ("12", "h must be an array of numbers, got a str"),
        ([..., ...], "h must be an array of numbers, got a list"),
        (None, "h is None: write the line that computes it"),
        (..., "h is Ellipsis: write the line that computes it"),
        (np.ones(2, bool), r"h must be an array of numbers, got .* dtype bool"),
        (np.ones(2, complex), "h must be an array of numbers, got .* dtype complex128"),
        (np.ones(2), r"h must have shape \(B=2, H=1\), got \(2,\)\. Look there\."),
        (np.ones((1, 2)), r"h must have shape \(B=2, H=1\), got \(1, 2\)\. Look there\."),
        ([[1.0], [np.nan]], "h holds nan: somewhere a number overflows, or is divided by zero"),
        ([[np.inf], [1.0]], "h holds inf: somewhere a number overflows, or is divided by zero"),
        ([[np.inf], [np.nan]], "h holds nan: .*"),
    ],
)
def test_numbers_says_what_is_no_array_of_that_shape(value: Any, message: str):
    with refused(message):
        tools.numbers("h", value, "Look there.", B=2, H=1)


def test_a_shape_of_one_axis_or_none_is_written_as_numpy_writes_it():
    with refused(r"b must have shape \(H=2,\), got \(3,\)"):
        tools.numbers("b", np.ones(3), H=2)
    with refused(r"L must have shape \(\), got \(3,\)"):
        tools.numbers("L", np.ones(3))


# --- To compare. ---


@pytest.mark.parametrize(
    "actual, expected, rel, same",
    [
        (1.0, 1.0, 1e-9, True),
        (1.0 + 1e-10, 1.0, 1e-9, True),
        (1.0 + 1e-8, 1.0, 1e-9, False),
        (1.0 + 1e-8, 1.0, 1e-6, True),
        (np.array([1e-10, 1.0]), np.array([0.0, 1.0]), 1e-9, True),
        (0.0, 0.0, 1e-9, True),
        (1e-20, 0.0, 1e-9, False),
        (np.zeros(0), np.zeros(0), 1e-9, True),
        (np.nan, 1.0, 1e-9, False),
        (1.0, np.nan, 1e-9, False),
        (np.nan, np.nan, 1e-9, False),
        (np.inf, 1.0, 1e-9, False),
    ],
)
def test_alike(actual: Any, expected: Any, rel: float, same: bool):
    assert tools.alike(actual, expected, rel) is same


def test_close_accepts_what_is_right_whatever_the_suspects():
    tools.close("h", np.ones(2), np.ones(2) + 1e-12, look="", suspects={"a 1": np.ones(2)})


@pytest.mark.parametrize(
    "actual, message",
    [
        (np.array([2.0, 4.0]), "h is wrong: this is twice the right one"),
        (np.array([3.0, 6.0]), "h is wrong: this is thrice the right one"),
        (np.array([1.0, 2.000001]), "h is right to a few digits only: compute in float64, .*"),
        (np.array([1.0, 5.0]), r"h\[1\] should be 2, but it is 5\. Look there\."),
        (np.array([np.nan, 2.0]), r"h\[0\] should be 1, but it is nan\. Look there\."),
    ],
)
def test_close_names_the_suspect_or_the_worst_place(actual: Any, message: str):
    right = np.array([1.0, 2.0])
    suspects = {
        "of another shape": np.ones((2, 2)),
        "right by chance": right.copy(),
        "not finite": np.array([np.nan, np.inf]),
        "twice the right one": 2 * right,
        "thrice the right one": 3 * right,
        "thrice the right one, said too late": 3 * right,
    }
    with refused(message):
        tools.close("h", actual, right, look="Look there.", suspects=suspects)


def test_close_says_a_single_number_without_a_place_and_a_matrix_with_two():
    with refused(r"L should be 2, but it is 1\.5\. Look\."):
        tools.close("L", 1.5, 2.0, look="Look.")
    with refused(r"W\[1, 0\] should be 0, but it is -7\. Look\."):
        tools.close("W", np.array([[1.0, 0.0], [-7.0, 1.0]]), np.eye(2), look="Look.")


def test_prediction_does_not_give_the_answer_away():
    tools.prediction("guess", 0.5 + 1e-9, 0.5, look="")
    tools.prediction("guess", 0.4, 0.5, look="", rel=0.3)
    with pytest.raises(AssertionError) as caught:
        tools.prediction("guess", 0.25, 0.5, look="Look.")
    assert str(caught.value) == "guess = 0.25 is not what the measurement says. Look."
    with refused("guess has no value yet: .*"):
        tools.prediction("guess", ..., 0.5, look="")


@pytest.mark.parametrize(
    "value, names",
    [
        ({"a", "b"}, {"a", "b"}),
        ([" b", "b "], {"b"}),
        ("a", {"a"}),
        (np.array(["a"]), {"a"}),
        ({}, set()),
        ((), set()),
    ],
)
def test_names_of(value: Any, names: set[str]):
    assert tools.names_of("wrong", value, iter("abc")) == names


@pytest.mark.parametrize(
    "value, message",
    [
        (..., "wrong has no value yet: replace the dots by a set of names, and run the cell"),
        (None, "wrong has no value yet: replace the dots by a set of names, and run the cell"),
        (3, 'wrong must be a set of names such as {"a"}, got an int'),
        ([1, "a"], 'wrong must be a set of names such as {"a"}, got a list'),
        (abs, 'wrong must be a set of names such as {"a"}, got a builtin_function_or_method'),
        ({"a": 1}, "wrong must be a set of names, {...} without colons, got a dict"),
        ({"z", "a", "y"}, "wrong may hold the names a, b; it holds 'y'"),
        ("a, b", "wrong may hold the names a, b; it holds 'a, b'"),
    ],
)
def test_names_of_says_what_is_no_set_of_known_names(value: Any, message: str):
    with refused(message):
        tools.names_of("wrong", value, ["a", "b"])


# --- Small ones. ---


def test_a_teachers_seed_changes_all_draws_and_none_after():
    def draws() -> list[float]:
        return [tools.rng_of(seed, *more).random() for seed, *more in ((0,), (1,), (0, 1))]

    before = draws()
    with tools.drawn_with(7):
        own = draws()
        with tools.drawn_with(0):
            assert draws() == before
        assert draws() == own
    with tools.drawn_with(8):
        other = draws()
    assert draws() == before
    assert len({*before, *own, *other}) == 9


def test_rng_of_is_the_same_for_a_seed_and_differs_between_seeds():
    draws = [tools.rng_of(seed).random() for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]


@pytest.mark.parametrize(
    "value, kind",
    [
        (None, "None"),
        (..., "Ellipsis"),
        (np.ones((2, 1), np.int8), "an array of shape (2, 1) and dtype int8"),
        (np.float64(1), "a float64"),
        (1, "an int"),
        ("", "a str"),
        (Linear(np.ones(1), np.ones(1)), "a Linear"),
    ],
)
def test_kind_of(value: Any, kind: str):
    assert tools.kind_of(value) == kind


def test_what_the_grader_s_child_raised_is_told_in_its_own_words():
    class LearnerError(Exception):
        pass

    assert tools.described(LearnerError("ValueError: no (in your line: x)")) == (
        "ValueError: no (in your line: x)"
    )
    assert tools.described(ValueError("no")) == "ValueError: no"
    assert tools.described(ValueError()) == "ValueError"


def test_fail_raises_whether_or_not_asserts_are_run():
    with refused(re.escape("Look (there).")):
        tools.fail("Look (there).")
    assert tools.unwritten(None)
    assert tools.unwritten(...)
    assert not any(map(tools.unwritten, (0, "", False, [], NotImplemented)))
