"""What the checks share: to call a learner's function safely, and to say what is wrong with it."""

import math
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NoReturn

import numpy as np

from unrolled._validate import Array

# A wrong result that is known in advance, by the mistake that leads to it.
Suspects = Mapping[str, Any]

_own_seed: ContextVar[tuple[int, ...]] = ContextVar("own seed of who grades", default=())


class Explained(AssertionError):
    """What a check raises when it has recognised the mistake: its message needs no other hint."""


class NotAnswered(Explained):
    """What a check raises where there is no answer yet."""


def unwritten(value: Any) -> bool:
    """Tell whether a value is what a stub leaves: nothing, or the dots."""
    return value is None or value is ...


def call(name: str, function: Any, /, **arguments: Any) -> Any:
    """Call a learner's function with the arguments in their order, and return what it returns.

    Raises
    ------
    AssertionError
        If there is no such function, it raises, it returns nothing, or it changes an argument.

    Examples
    --------
    >>> call("double", lambda x: 2 * x, x=np.ones(2))
    array([2., 2.])
    >>> call("double", lambda x: 2 * y, x=np.ones(2))
    Traceback (most recent call last):
    unrolled.checks._tools.Explained: double stopped with NameError: name 'y' is not defined
    """
    if unwritten(function):
        unanswered(f"there is no function {name} yet: run the cell that defines it")
    if not callable(function):
        fail(f"{name} must be a function, got {kind_of(function)}")
    before = snapshot(arguments)
    # A learner's overflow may warn; what counts is the number that comes out.
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            result = function(*arguments.values())
        except (Exception, SystemExit) as error:
            raise Explained(f"{name} stopped with {described(error)}") from error
    if unwritten(result):
        unanswered(
            f"{name} returned {result}: write the function's body in place of the dots, and return "
            "the result"
        )
    for argument, value in arguments.items():
        if not unchanged(value, before[argument]):
            explained(
                f"{name} changed its argument {argument}: compute a new array, or copy it first"
            )
    return result


def described(error: BaseException) -> str:
    """Name an exception of a learner's function as a reader of Python knows it."""
    try:
        text = " ".join(str(error).split())
    except Exception:  # an exception class of the learner's own
        text = ""
    text = text if len(text) <= 200 else f"{text[:200]} …"
    # What comes from the child process of the grader already names its type and line.
    if any(cls.__name__ == "LearnerError" for cls in type(error).__mro__):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def snapshot(value: Any) -> Any:
    """Copy the arrays in nested tuples, lists and dicts; nothing else in them can be changed."""
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, tuple | list):
        return [snapshot(part) for part in value]
    if isinstance(value, dict):
        return {key: snapshot(part) for key, part in value.items()}
    return value


def unchanged(value: Any, before: Any) -> bool:
    """Tell whether a value still holds the numbers and the shapes of its snapshot."""
    if isinstance(value, np.ndarray):
        return np.array_equal(value, before, equal_nan=value.dtype.kind in "fc")
    if isinstance(value, tuple | list):
        return len(value) == len(before) and all(map(unchanged, value, before))
    if isinstance(value, dict):
        return list(value) == list(before) and all(map(unchanged, value.values(), before.values()))
    return value is before or bool(value == before) or (value != value and before != before)  # nan


def same_still(name: str, kept: Iterable[tuple[Any, Any]]) -> None:
    """Refuse results that a later call has overwritten; each comes with its snapshot."""
    for value, before in kept:
        if not unchanged(value, before):
            explained(
                f"{name} overwrites what it returned before: each call must return new arrays"
            )


def results(name: str, value: Any, *parts: str) -> Sequence[Any]:
    """Return the parts of a result that must have several, such as ``(out, h_n)``."""
    wanted = f"{name} must return {', '.join(parts)}"
    if not isinstance(value, tuple | list):
        explained(f"{wanted}; it returned {kind_of(value)}")
    if len(value) != len(parts):
        explained(f"{wanted}; it returned {len(value)} thing{'' if len(value) == 1 else 's'}")
    return value


def grads_of(grads: Any) -> Sequence[Any]:
    """Return the four parts of the gradients of a recurrent layer's parameters."""
    if not isinstance(grads, tuple | list) or len(grads) != 4:
        explained("grads must be Recurrent(W_ih, W_hh, b_ih, b_hh), four arrays")
    return grads


def number(what: str, value: Any) -> float:
    """Return a single finite number, from whatever holds just one."""
    if unwritten(value):
        unanswered(f"{what} has no value yet: replace the dots by a number, and run the cell")
    if isinstance(value, bool | np.bool_ | str | bytes):
        fail(f"{what} must be a number, got {value!r:.40}")
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "fiuO":
            raise TypeError(array.dtype)
        single = float(array.item() if array.size == 1 else value)
    except Exception:  # a tensor, or lists of unequal length: anything may come, and be raised
        fail(f"{what} must be a single number, got {kind_of(value)}")
    if not math.isfinite(single):
        fail(f"{what} must be a finite number, got {single}")
    return single


def numbers(what: str, value: Any, look: str = "", /, **sizes: int) -> Array:
    """Return an array of finite numbers of the named sizes, from whatever holds one."""
    if unwritten(value):
        fail(f"{what} is {value}: write the line that computes it")
    shape_of(what, value)
    array = np.asarray(value)
    if array.dtype.kind not in "fiu":
        fail(f"{what} must be an array of numbers, got {kind_of(value)}")
    shape = tuple(sizes.values())
    if array.shape != shape:
        named = ", ".join(f"{key}={size}" for key, size in sizes.items())
        comma = "," if len(sizes) == 1 else ""
        hint = f". {look}" if look else ""
        explained(f"{what} must have shape ({named}{comma}), got {array.shape}{hint}")
    if not np.isfinite(array).all():
        worst = "nan" if np.isnan(array).any() else "inf"
        fail(f"{what} holds {worst}: somewhere a number overflows, or is divided by zero")
    return array.astype(np.float64)


def holds_nan(value: Any) -> bool:
    """Tell whether an answer is, or can be made, an array of numbers with a nan in it."""
    try:
        return bool(np.isnan(np.asarray(value, dtype=float)).any())
    except Exception:  # what is no number is refused elsewhere
        return False


def shape_of(what: str, value: Any) -> tuple[int, ...]:
    """Return the shape of an array or of nested lists, whose parts must be of equal length."""
    try:
        return np.asarray(value).shape
    except ValueError:
        fail(f"{what} must be an array of numbers, got {kind_of(value)} of unequal parts")
    except Exception:  # a tensor that is part of a graph, or a class of the learner's own
        fail(f"{what} must be an array of numbers, got {kind_of(value)}")


def close(
    what: str,
    actual: Array | float,
    expected: Array | float,
    *,
    look: str,
    suspects: Suspects | None = None,
    rel: float = 1e-9,
) -> None:
    """Compare a result with the right one, to ``rel`` of its largest number.

    Parameters
    ----------
    what : str
        Name of the result, as the learner knows it.
    actual, expected : arrays of one shape, or numbers
    look : str
        Where to look when the mistake is not a known one.
    suspects : mapping of str to array, optional
        Wrong results that are known in advance, by what leads to them. A result that equals one
        gets this explanation. They are tried in order.
    rel : float, default 1e-9

    Raises
    ------
    AssertionError
        If the two differ.

    Examples
    --------
    >>> close("loss", 6.0, 3.0, look="Read it again.", suspects={"the sum, not the mean": 6.0})
    Traceback (most recent call last):
    unrolled.checks._tools.Explained: loss is wrong: this is the sum, not the mean
    >>> close("loss", 5.0, 3.0, look="Is it a mean?")
    Traceback (most recent call last):
    AssertionError: loss should be 3, but it is 5. Is it a mean?
    """
    if alike(actual, expected, rel):
        return
    for mistake, wrong in (suspects or {}).items():
        # A suspect that is right by chance in this case explains nothing.
        if np.shape(wrong) == np.shape(actual) and not alike(wrong, expected, rel):
            with np.errstate(all="ignore"):
                if alike(actual, wrong, rel):
                    explained(f"{what} is wrong: this is {mistake}")
    if alike(actual, expected, 1e-5):
        explained(
            f"{what} is right to a few digits only: compute in float64, do not round, and leave "
            "out small constants and finite differences"
        )
    actual, expected = np.asarray(actual), np.asarray(expected)
    if expected.ndim == 0:
        fail(f"{what} should be {expected:.6g}, but it is {actual:.6g}. {look}")
    worst = np.unravel_index(np.argmax(np.abs(actual - expected)), expected.shape)
    place = ", ".join(str(int(i)) for i in worst)
    fail(f"{what}[{place}] should be {expected[worst]:.6g}, but it is {actual[worst]:.6g}. {look}")


def alike(actual: Array | float, expected: Array | float, rel: float = 1e-9) -> bool:
    """Tell whether two results agree; nothing agrees with a NaN."""
    difference = np.abs(np.subtract(actual, expected))
    scale = np.max(np.abs(expected), initial=0.0)
    return bool(np.max(difference, initial=0.0) <= rel * max(scale, 1e-300))


def prediction(what: str, value: Any, right: float, *, look: str, rel: float = 1e-6) -> None:
    """Compare a predicted number with the measured one, without giving it away."""
    guess = number(what, value)
    if abs(guess - right) > rel * max(abs(right), 1e-300):
        fail(f"{what} = {guess:.6g} is not what the measurement says. {look}")


def names_of(what: str, value: Any, known: Iterable[str]) -> set[str]:
    """Return a set of names that the learner chose out of the known ones."""
    if isinstance(value, Mapping) and value:  # are its keys meant, or those that say True?
        fail(f"{what} must be a set of names, {{...}} without colons, got {kind_of(value)}")
    known = list(known)
    if unwritten(value):
        unanswered(f"{what} has no value yet: replace the dots by a set of names, and run the cell")
    names = [value] if isinstance(value, str) else value
    names = list(names) if isinstance(names, Iterable) else [names]
    if not all(isinstance(name, str) for name in names):
        fail(f'{what} must be a set of names such as {{"{known[0]}"}}, got {kind_of(value)}')
    chosen = {name.strip() for name in names}
    if strange := sorted(chosen - set(known)):
        fail(f"{what} may hold the names {', '.join(known)}; it holds {strange[0]!r}")
    return chosen


def judge_names(
    what: str,
    chosen: Iterable[str],
    wrong: Mapping[str, str],
    right: Mapping[str, str],
    *,
    where: str,
    look: str,
) -> None:
    """Compare a choice of names with the right one; each name comes with the reason why.

    ``where`` says what is so of the wrong ones, ``look`` how to find a right one that is missing;
    {name} in it is that one's.
    """
    for name, why in wrong.items():
        if name in chosen:
            fail(f"{what} holds {name!r}, {where} {why}")
    for name, why in right.items():
        if name not in chosen:
            fail(f"{what} is not complete{look.format(name=repr(name))} {why}")


def rng_of(seed: int, *more: int) -> np.random.Generator:
    """Return the generator that a check draws its numbers from; with ``more``, one of several."""
    return np.random.default_rng([2024, seed, *more, *_own_seed.get()])


@contextmanager
def drawn_with(own_seed: int) -> Iterator[None]:
    """Let all checks draw other numbers: those of a teacher's own seed; 0 for the usual ones."""
    token = _own_seed.set((own_seed,) if own_seed else ())
    try:
        yield
    finally:
        _own_seed.reset(token)


def kind_of(value: Any) -> str:
    """Name what a value is, for somebody who expected something else."""
    if unwritten(value):
        return str(value)
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} and dtype {value.dtype}"
    article = "an" if type(value).__name__[0] in "aeiou" else "a"
    return f"{article} {type(value).__name__}"


def unanswered(message: str) -> NoReturn:
    """Raise the error that refuses what has not been written yet."""
    raise NotAnswered(message)


def explained(message: str) -> NoReturn:
    """Raise the error that refuses an answer whose mistake is known."""
    raise Explained(message)


def fail(message: str) -> NoReturn:
    """Raise the AssertionError that refuses an answer.

    Not ``assert``, which ``python -O`` leaves out.
    """
    raise AssertionError(message)
