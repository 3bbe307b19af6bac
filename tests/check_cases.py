"""What is asked of the checks of every chapter's exercises.

A test file names the module of checks (CHECKS), the master (MASTER) and what its answer cells
use (SCOPE). Its tables WRONG and RIGHT hold rows for each check: a name, an answer and, if it is
wrong, the part of the message that tells the learner of this mistake. Checks that take more than
one answer stand in SEVERAL. It then takes over all that stands here, by an import of ``*``.
"""

import ast
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
import numpy as np
import pytest

from tools.notebooks import ROOT
from unrolled.grade.wire import decode, encode

Check = Callable[..., None]
SEEDS = range(1, 6)


def stops(*_: Any) -> Any:
    """An answer that raises."""
    raise IndexError("list index out of range")


def dots(*_: Any) -> Any:
    """An answer that was not written."""
    return ...


def one_buffer(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, which keeps an array for each size and writes all results into it."""
    kept: dict[Any, Any] = {}

    def into(place: tuple[Any, ...], value: Any) -> Any:
        if isinstance(value, np.ndarray):
            buffer = kept.setdefault((*place, value.shape), np.empty_like(value))
            buffer[...] = value
            return buffer
        if isinstance(value, tuple):
            parts = [into((*place, k), part) for k, part in enumerate(value)]
            return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
        return value

    return lambda *args: into((), function(*args))


def answers_of(check: Check) -> list[str]:
    """The names of the answers that a check takes."""
    return [name for name in inspect.signature(check).parameters if name != "seed"]


def seeded(check: Check) -> bool:
    return "seed" in inspect.signature(check).parameters


def rows(table: dict[Check, list[Any]]) -> list[Any]:
    return [
        pytest.param(check, *row, id=f"{check.__name__[6:]}: {name}")
        for check in table
        for name, *row in table[check]
    ]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test below on the tables of the file that took it over."""
    given, names = metafunc.module, metafunc.fixturenames
    if "reason" in names:
        metafunc.parametrize("check, answer, reason", rows(given.WRONG))
    elif "answer" in names:
        metafunc.parametrize("check, answer", rows(given.RIGHT))
    elif "check" in names:
        metafunc.parametrize("check", given.WRONG, ids=lambda check: check.__name__[6:])
    elif "drawing" in names:
        drawing = [check for check in given.WRONG if seeded(check)]
        metafunc.parametrize("drawing", drawing, ids=lambda check: check.__name__[6:])


@pytest.fixture
def tables(request: pytest.FixtureRequest) -> ModuleType:
    """The file whose answers are tried."""
    return request.module


def asked(tables: ModuleType, check: Check, answer: Any, **seed: int) -> None:
    several = check in getattr(tables, "SEVERAL", ())
    check(*answer, **seed) if several else check(answer, **seed)


def refusal(tables: ModuleType, check: Check, answer: Any, **seed: int) -> str:
    with pytest.raises(AssertionError) as refused:
        asked(tables, check, answer, **seed)
    return str(refused.value)


def across(answer: Any) -> Any:
    """The answer as the grading command has it: what it is, or returns, comes from elsewhere."""
    if not callable(answer):
        return decode(encode(answer))
    return lambda *args: decode(encode(answer(*args)))


def test_wrong_answer_is_refused_for_its_reason(tables, check: Check, answer: Any, reason: str):
    message = refusal(tables, check, answer)
    assert re.search(reason, message), message
    assert "Traceback" not in message
    assert "\n" not in message
    assert 20 <= len(message) <= 300
    sentences = re.split(r"[.?!] (?=[A-Z])", message)
    assert len(sentences) <= 3, message


def test_right_answer_is_accepted(tables, check: Check, answer: Any):
    asked(tables, check, answer)


def test_what_the_notebook_accepts_the_command_accepts(tables, check: Check, answer: Any):
    asked(tables, check, across(answer))


def test_nothing_depends_on_what_is_drawn(tables, drawing: Check):
    for seed in SEEDS:
        for name, answer, reason in tables.WRONG[drawing]:
            message = refusal(tables, drawing, answer, seed=seed)
            assert re.search(reason, message), f"{name}, seed {seed}: {message}"
            assert len(message) <= 300
        for _, answer in tables.RIGHT[drawing]:
            asked(tables, drawing, answer, seed=seed)


def solved(tables: ModuleType) -> dict[str, Any]:
    """What the answer cells of the master define."""
    cells = nbformat.read(ROOT / f"solutions/{tables.MASTER}.ipynb", as_version=4).cells
    scope: dict[str, Any] = dict(tables.SCOPE)
    inside = False
    for cell in cells:
        if cell.cell_type == "raw":
            inside = cell.source.startswith("# BEGIN SOLUTION")
        elif inside and cell.cell_type == "code":
            exec(cell.source, scope)
    return scope


@pytest.fixture(scope="module")
def solutions(request: pytest.FixtureRequest) -> dict[str, Any]:
    return solved(request.module)


def test_master_is_right(solutions, check: Check):
    answers = [solutions[name] for name in answers_of(check)]
    check(*answers)
    for seed in SEEDS if seeded(check) else []:
        check(*answers, seed=seed)


def test_every_check_has_its_answers(tables):
    public = {f for name, f in vars(tables.CHECKS).items() if name.startswith("check_")}
    assert public == tables.WRONG.keys() == tables.RIGHT.keys()
    assert min(map(len, tables.WRONG.values())) >= 10
    assert min(map(len, tables.RIGHT.values())) >= 3


def sources(file: str) -> dict[str, list[str]]:
    """What each table holds, as source: of a function defined above its body, without its name."""
    tree = ast.parse(Path(file).read_text(encoding="utf-8"))
    bodies = {
        f.name: ast.dump(f.args) + ast.dump(ast.Module(f.body, []))
        for f in tree.body
        if isinstance(f, ast.FunctionDef)
    }
    found: dict[str, list[str]] = {}
    for statement in tree.body:
        match statement:
            case ast.Assign(targets, ast.List(rows)):
                answers = []
                for row in rows:
                    match row:
                        case ast.Starred(table):
                            answers += found.get(ast.unparse(table), [])
                        case ast.Tuple([_, answer, *_]):
                            answers.append(bodies.get(ast.unparse(answer), ast.dump(answer)))
                found |= dict.fromkeys(map(ast.unparse, targets), answers)
    return found


def test_no_answer_is_there_twice(tables):
    found = sources(tables.__file__)
    for check in tables.WRONG:
        answers = found[f"WRONG[checks.{check.__name__}]"]
        assert answers
        assert [source for source in answers if answers.count(source) > 1] == []
