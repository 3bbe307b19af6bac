"""Make the learners' exercises and the book's solution pages from the solved masters.

python -m tools.exercises [--check | --private DIR] [MASTER...]

A master, solutions/NN_topic.ipynb, is written for `otter assign` (CONTRIBUTING.md shows how). From
it come exercises/NN_topic.ipynb, which otter strips of its solutions, its definition
src/unrolled/grade/definitions/NN_topic.json, by which the package grades it, and the page
book/solutions/NN_topic.ipynb, without otter's marks and tests and with its answers folded.

With --private nothing goes into the book or the package: DIR/handout has the exercise and the
definition that its learners get, DIR/definitions the one with hidden tests, for who grades.
"""

import argparse
import ast
import copy
import hashlib
import json
import posixpath
import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
import yaml

from tools.notebooks import METADATA, ROOT, code_hash, serialise
from unrolled.grade.exercises import OPENED, load_exercise
from unrolled.grade.run import grade_cells
from unrolled.grade.session import Session

BOUNDARY = re.compile(r"#\s*(BEGIN|END)\s+(QUESTION|SOLUTION|TESTS)\b", re.IGNORECASE)
TEST_CONFIG = re.compile(
    r'^""" *# BEGIN TEST CONFIG\n((?s:.*?))^""" *# END TEST CONFIG\n', re.MULTILINE
)
# What otter cuts at: lines of their own around a solution, or the end of a line that is one.
BRACKET = re.compile(r"^[ \t]*# (?:BEGIN|END) SOLUTION(?: NO PROMPT)?[ \t]*\n?", re.MULTILINE)
SUFFIX = re.compile(r"[ \t]*# ?SOLUTION(?: NO PROMPT)?[ \t]*$", re.MULTILINE)
# A link in Markdown or in the HTML inside it that leaves the folder of the notebook.
LINK = re.compile(r"""(\]\(|^\[[^\]]+\]: *|\b(?:href|src)=["'])(\.\./[^)\s"']+)""", re.MULTILINE)
GRADER = re.compile(r"\b(?:open_)?grader\b")
EXERCISE_ONLY = "exercise-only"  # the tag of a cell that is left out of the page


# --- Reading a master. ---


class Placed(NamedTuple):
    """A cell and where it stands: in which question, and in which block of it, if in any."""

    cell: Any
    question: str
    block: str  # "", "question", "solution" or "tests"


def config(cell: Any) -> dict[str, Any]:
    """Return the settings that a raw cell holds below its first line."""
    found = yaml.safe_load(cell.source)
    return found if isinstance(found, dict) else {}


def placed(nb: Any) -> list[Placed]:
    """Return the cells of a master in order, each with its place; raw cells only make places."""
    cells: list[Placed] = []
    blocks: list[str] = []
    question = ""
    for cell in nb.cells:
        if cell.cell_type != "raw":
            cells.append(Placed(cell, question, blocks[-1] if blocks else ""))
        elif found := BOUNDARY.match(cell.source):
            begins, block = found[1].upper() == "BEGIN", found[2].lower()
            expected = ["question"] if block != "question" else []
            if blocks != (expected if begins else [*expected, block]):
                raise ValueError(f"{found[0]!r} stands in a wrong place, after {question!r}")
            if not begins:
                blocks.pop()
            else:
                blocks.append(block)
            if block == "question":
                question = str(config(cell).get("name", "")) if begins else ""
                if begins and not question:
                    raise ValueError(f"a question has no name: {cell.source!r}")
    if blocks:
        raise ValueError(f"question {question!r}: its block {blocks[-1]} has no end")
    return cells


def is_code(cell: Any) -> bool:
    """Say whether a cell is a code cell."""
    return bool(cell.cell_type == "code")


def exercise_only(cell: Any) -> bool:
    """Say whether a cell is marked to be left out of the page."""
    return EXERCISE_ONLY in cell.metadata.get("tags", [])


def card_of(question: str, cells: list[Placed]) -> Any:
    """Return the Markdown cell that opens a question."""
    for cell, name, block in cells:
        if name == question and block == "question":
            if cell.cell_type != "markdown":
                break
            return cell
    raise ValueError(f"question {question!r} does not open with a Markdown cell, its card")


def number(pattern: str, card: Any, question: str, example: str) -> float:
    """Return the first number that a card gives of something, such as its minutes."""
    found = re.search(pattern, card.source)
    if found is None:
        raise ValueError(f"question {question!r}: its card does not say {example!r} or the like")
    return float(found[1]) if "." in found[1] else int(found[1])


def questions(nb: Any) -> list[dict[str, Any]]:
    """Return what a learner is told of each question: its title, points, minutes and cells.

    Raises
    ------
    ValueError
        If a card does not say it, or says other points than the question's settings.
    """
    cells = placed(nb)
    settings = [config(c) for c in nb.cells if re.match(r"#\s*BEGIN QUESTION", c.source)]
    if len({s["name"] for s in settings}) < len(settings):
        raise ValueError("two questions have the same name")
    found = []
    for i, (name, points) in enumerate(((str(s["name"]), s.get("points")) for s in settings), 1):
        card = card_of(name, cells)
        heading = re.match(rf"## {i}\. (.+)", card.source)
        if heading is None:
            raise ValueError(f"question {name!r}: its card does not open with '## {i}. A title'")
        minutes = number(r"\b(\d+) min(?:utes)?\b", card, name, "10 min")
        stated = number(r"\b(\d+(?:\.\d+)?) points?\b", card, name, "2 points")
        if stated != points:
            raise ValueError(
                f"question {name!r} has {points} points, and {stated:g} points on its card"
            )
        answers = [c.id for c, q, b in cells if (q, b) == (name, "solution") and is_code(c)]
        found.append(
            {"name": name, "title": heading[1].strip(), "points": points, "minutes": minutes}
            | {"cells": answers}
        )
    return found


def title(nb: Any) -> str:
    """Return the topic from the heading of a master, in English only."""
    first = nb.cells[1].source if len(nb.cells) > 1 else ""
    found = re.match(r"# Exercises \d+: (.+)", first)
    if found is None or nb.cells[0].cell_type != "raw":
        raise ValueError(
            "the first cell is not '# ASSIGNMENT CONFIG', or the second not '# Exercises 1: Topic'"
        )
    return re.sub(r" \([^)]*[^\x00-\x7f][^)]*\)$", "", found[1].strip())


# --- The guards of a master: each yields what is wrong. ---


def poor_card(nb: Any) -> Iterator[str]:
    """Ask of a card what a learner needs in order to begin."""
    cells = placed(nb)
    for question in questions(nb):
        name = question["name"]
        prompt = "\n".join(
            c.source for c, q, b in cells if (q, b) == (name, "question") and not is_code(c)
        )
        if (hints := prompt.count("<details>")) != 2 or prompt.count("</details>") != 2:
            yield f"question {name!r} has {hints} hints in <details>, not 2"
        if not re.search(r"\]\(\.\./book/\w+\.ipynb#[^)]+\)", card_of(name, cells).source):
            yield f"the card of {name!r} has no link to a section, ../book/01_topic.ipynb#heading"
        if "book/solutions" in prompt:
            yield f"question {name!r} links to its solution: the tool adds that link"
        if not question["cells"]:
            yield f"question {name!r} has no code cell between its solution marks"


def open_answer(nb: Any) -> Iterator[str]:
    """Otter leaves a code cell whole unless a mark in it says what the solution is."""
    for cell, question, block in placed(nb):
        marked = BRACKET.search(cell.source) or SUFFIX.search(cell.source)
        if block == "solution" and is_code(cell) and not marked:
            yield f"question {question!r} would give its answer away: no '# BEGIN SOLUTION' in it"
        if block != "solution" and marked:
            yield f"a solution mark stands outside a solution block: {marked[0].strip()!r}"


def test_parts(cell: Any) -> tuple[dict[str, Any], ast.Module]:
    """Return the settings of a test cell and the syntax tree of the rest."""
    found = TEST_CONFIG.match(cell.source)
    settings = yaml.safe_load(found[1]) if found else {}
    return settings or {}, ast.parse(TEST_CONFIG.sub("", cell.source))


def uncalled_test(nb: Any) -> Iterator[str]:
    """Without a call, executing a master would test nothing; of two tests of a name, one counts."""
    known: set[tuple[str, str]] = set()
    for cell, question, block in placed(nb):
        if block != "tests":
            continue
        if not is_code(cell):
            yield f"question {question!r} has a cell among its tests that is no code"
            continue
        match test_parts(cell)[1].body:
            case [ast.FunctionDef(name=defined), ast.Expr(ast.Call(func=ast.Name(id=called)))]:
                if defined != called:
                    yield f"question {question!r} defines {defined} and calls {called}"
                if (question, defined) in known:
                    yield f"question {question!r} has two tests with the name {defined}"
                known.add((question, defined))
            case _:
                yield f"a test cell of {question!r} is not one function and a call of it"


def broken_message(nb: Any) -> Iterator[str]:
    """Otter copies a message between double quotes as it is."""
    for cell, question, block in placed(nb):
        if block == "tests" and is_code(cell):
            for key in ("failure_message", "success_message"):
                if found := re.search(r'["\\\n]', str(test_parts(cell)[0].get(key, ""))):
                    yield f"question {question!r} has {found[0]!r} in a {key}"


def lost_points(nb: Any) -> Iterator[str]:
    """Let the tests that an exercise carries be worth what its question is."""
    cells = placed(nb)
    for question in questions(nb):
        name = question["name"]
        tests = [
            test_parts(c)[0] for c, q, b in cells if (q, b) == (name, "tests") and is_code(c)
        ]  # fmt: skip
        points = [test.get("points") for test in tests if not test.get("hidden")]
        stated = sum(p for p in points if p is not None)
        if not points:
            yield f"question {name!r} has no test"
        elif stated > question["points"] or (None not in points and stated != question["points"]):
            yield f"the tests of {name!r} are worth {stated} points, not {question['points']}"
        if any(test.get("hidden") and test.get("points") != 0 for test in tests):
            yield f"a hidden test of {name!r} is worth points, which no exercise could give"


def named_grader(nb: Any) -> Iterator[str]:
    """Keep the grader out of the texts and answers that stay on the page."""
    for cell, _, block in placed(nb):
        stays = block == "solution" or not (is_code(cell) or exercise_only(cell))
        if stays and GRADER.search(cell.source):
            yield f"the page would name the grader; is the tag {EXERCISE_ONLY} missing?"


def other_grader(nb: Any) -> Iterator[str]:
    """Let a notebook open its own grader: one that was copied may still open the first one's."""
    own = config(nb.cells[0]).get("name")
    for cell in filter(is_code, nb.cells):
        for name in OPENED.findall(cell.source):
            if name != own:
                yield f"it opens the grader of {name}, and its name is {own}"


MASTER_GUARDS: tuple[Callable[[Any], Iterator[str]], ...] = (
    poor_card, open_answer, uncalled_test, broken_message, lost_points, named_grader, other_grader,
)  # fmt: skip


# --- What is made of a master. ---


def stripped(nb: Any, *, hidden: bool = False) -> Any:
    """Return what `otter assign` makes of a master: no solutions, and the tests as metadata.

    Hidden tests are among them only where ``hidden`` says so.
    """
    # Loading otter takes a second, which those who only read masters need not wait.
    from otter.assign.assignment import Assignment
    from otter.assign.notebook_transformer import NotebookTransformer
    from otter.assign.tests_manager import AssignmentTestsManager

    assignment = Assignment(require_valid_keys=True)
    assignment.lang = "python"
    assignment.master = Path("master.ipynb")
    transformer = NotebookTransformer(assignment, AssignmentTestsManager(assignment))
    # The pieces below otter's own command, which also leaves a folder and a zip behind.
    made = transformer.transform_notebook(copy.deepcopy(nb))
    made.write_tests("", include_hidden=hidden, force_files=False)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "exercise.ipynb"
        made.write_transformed_nb(target, sanitize=True)
        return nbformat.read(target, as_version=4)


def cell_of(notebook: Path, section: str) -> str:
    """Return the id of the cell with the heading that the book calls `section` in its links."""
    for cell in nbformat.read(notebook, as_version=4).cells:
        if cell.cell_type == "markdown":
            for heading in re.findall(r"^#+ (.+)$", cell.source, re.MULTILINE):
                if re.sub(r"[^\w-]", "", heading.lower().replace(" ", "-")) == section:
                    return str(cell.id)
    raise ValueError(f"{notebook.name} has no section #{section}")


def by_cell(source: str, folder: Path) -> str:
    """Make links to a section of a notebook lead to its cell: JupyterLab scrolls only to that."""

    def link(found: re.Match[str]) -> str:
        path, _, section = found[2].partition("#")
        if not (section and path.endswith(".ipynb")):
            return found[0]
        return f"{found[1]}{path}#cell-id={cell_of(folder / path, section)}"

    return LINK.sub(link, source)


def exercise(
    nb: Any, name: str, folder: Path, *, has_page: bool = True, hidden: bool = False
) -> Any:
    """Return the exercise of a master in this folder: what learners open.

    It links to the page of its solutions if it has one.
    """
    made = stripped(nb, hidden=hidden)
    told = questions(nb)
    known = {cell.id for cell in nb.cells}
    for cell in made.cells:
        if cell.id not in known:  # otter's own cells have random ids
            found = re.fullmatch(r'grader\.check\("(\w+)"\)', cell.source)
            if found is None:
                raise ValueError(f"otter adds {cell.source!r}: switch that off in the first cell")
            cell.id = f"check-{found[1]}"
        if not is_code(cell):
            cell.source = by_cell(cell.source, folder)
        else:
            try:
                ast.parse(cell.source)
            except SyntaxError as error:
                raise ValueError(
                    f"cell {cell.id} is no Python without its solution: {cell.source!r}"
                ) from error
    # The link to the answers comes after the hints: first think, then look.
    cells = placed(nb)
    by_id = {cell.id: cell for cell in made.cells}
    for question in told:
        hints = [
            c.id for c, q, b in cells
            if (q, b) == (question["name"], "question") and "</details>" in c.source
        ]  # fmt: skip
        card = by_id[hints[-1]]
        head, mark, rest = card.source.rpartition("</details>")
        link = f"../book/solutions/{name}.ipynb#cell-id={card_of(question['name'], cells).id}"
        if has_page:
            card.source = f"{head}{mark}\n\n[Solution]({link}){rest}"
    made.metadata = nbformat.from_dict(
        {
            **METADATA,
            "otter": made.metadata["otter"],
            "unrolled": {
                "exercise": name,
                "title": title(nb),
                "questions": told,
                "sha256": cells_hash(made),  # worked_in compares it with the cells as they are
            },
        }
    )
    return made


def definition(made: Any) -> str:
    """Return what the grader needs of an exercise: learners may change all that they open."""
    told = made.metadata["unrolled"]
    kept = {key: told[key] for key in ("exercise", "title", "questions")}
    kept["tests"] = made.metadata["otter"]["tests"]
    return json.dumps(kept, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def without_marks(source: str) -> str:
    r"""Drop the marks of a solution from code, and keep the solution.

    >>> without_marks("def f(x):\n    # BEGIN SOLUTION\n    return x\n    # END SOLUTION")
    'def f(x):\n    return x'
    >>> without_marks("y = f(x)  # SOLUTION")
    'y = f(x)'
    """
    return SUFFIX.sub("", BRACKET.sub("", source)).rstrip("\n")


def without_grader(source: str) -> str:
    r"""Drop the statements that name the grader.

    >>> without_grader("import numpy as np\nfrom unrolled.grade import open_grader\nx = 1  # one")
    'import numpy as np\nx = 1  # one'
    """
    if not GRADER.search(source):
        return source
    lines = source.split("\n")
    for statement in reversed(ast.parse(source).body):
        if GRADER.search(ast.unparse(statement)):
            del lines[statement.lineno - 1 : statement.end_lineno]
    return "\n".join(lines).strip("\n")


def moved(source: str) -> str:
    """Rewrite the links of a text that moves from solutions/ to book/solutions/.

    >>> moved("[a](../book/01_a.ipynb#what), [b](../LICENSE), [c](02_c.ipynb)")
    '[a](../01_a.ipynb#what), [b](../../LICENSE), [c](02_c.ipynb)'
    """

    def link(found: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join("solutions", found[2]))
        return found[1] + posixpath.relpath(target, "book/solutions")

    return LINK.sub(link, source)


def folded(text: str) -> str:
    """Return a text that opens at a click, on the page and in Jupyter alike."""
    return f"<details><summary>Explanation</summary>\n\n{text}\n\n</details>"


# What a reader clicks on; elsewhere in the book it is "Show the code".
PROMPTS = {"code_prompt_show": "Show the solution", "code_prompt_hide": "Hide the solution"}

# In plain Markdown and HTML, which Jupyter shows as the site does.
NOTE = """> These are the exercises of the chapter [{title}](../{name}.ipynb), with their solutions.
> Try each question before you look:
> <a href="../../exercises/{name}.ipynb">the exercise notebook</a> has the same questions, and
> checks your answers as you go."""


def page(nb: Any, name: str) -> Any:
    """Return the solution page of a master: no marks and no tests, the answers folded."""
    made = nbformat.v4.new_notebook(nbformat_minor=nb.nbformat_minor)
    for cell, _, block in placed(nb):
        cell = copy.deepcopy(cell)
        if is_code(cell):
            cell.source = without_grader(cell.source)
        if block == "tests" or exercise_only(cell) or not cell.source:
            continue
        if not is_code(cell):
            cell.source = moved(cell.source)
            if block == "solution":
                cell.source = folded(cell.source)
        elif block == "solution":
            cell.source = without_marks(cell.source)
            cell.metadata["tags"] = sorted({*cell.metadata.get("tags", []), "hide-input"})
            cell.metadata["mystnb"] = {**cell.metadata.get("mystnb", {}), **PROMPTS}
        made.cells.append(cell)
    if re.fullmatch(r"#+ .+", made.cells[-1].source):
        made.cells.pop()  # the heading over the total, which the page does not have
    heading, _, intro = made.cells[0].source.partition("\n")
    note = NOTE.format(title=title(nb), name=name)
    made.cells[0].source = f"{heading}\n\n{note}\n{intro}".rstrip()
    executed = [c for c in made.cells if is_code(c) and c.execution_count is not None]
    for count, cell in enumerate(executed, 1):
        cell.execution_count = count
        for output in cell.outputs:
            if "execution_count" in output:
                output.execution_count = count
    made.metadata = nbformat.from_dict({**METADATA, "executed_code": code_hash(made)})
    return made


def read_master(master: Path) -> Any:
    """Return a master.

    Raises
    ------
    ValueError
        If it is not as it should be, with the question.
    """
    nb = nbformat.read(master, as_version=4)
    title(nb)  # raises before the rest trusts the first two cells
    if config(nb.cells[0]).get("name") != master.stem:
        raise ValueError(f"the name in its first cell is not {master.stem}")
    if problems := [problem for guard in MASTER_GUARDS for problem in guard(nb)]:
        raise ValueError("; ".join(problems))
    return nb


def unsolved(nb: Any, name: str, text: str) -> Iterator[str]:
    """Yield which questions a master's own answers do not solve, by a definition of its exercise.

    The book's masters are executed with its notebooks; nothing else runs a private one.
    """
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / f"{name}.json").write_text(text, encoding="utf-8")
        defined = load_exercise(name, Path(folder))
        with Session(Path(folder)) as session:
            report = grade_cells(Path(), nb, defined, session)
    for outcome in report.outcomes:
        if not outcome.passed:
            yield f"its own answer to {outcome.name!r} fails: {outcome.message}"


def generated(master: Path, private: Path | None = None) -> dict[Path, str]:
    """Return the files that come from a master, and their texts.

    Raises
    ------
    ValueError
        If the master is not as it should be, with the file and the question.
    """
    name, root, folder = master.stem, master.resolve().parent.parent, master.parent
    try:
        nb = read_master(master)
        if private is not None:
            made = exercise(nb, name, folder, has_page=False)
            checked = definition(exercise(nb, name, folder, has_page=False, hidden=True))
            if problems := list(unsolved(nb, name, checked)):
                raise ValueError("; ".join(problems))
            return {
                private / f"handout/{name}.ipynb": serialise(made),
                private / f"handout/{name}.json": definition(made),
                private / f"definitions/{name}.json": checked,
            }
        made = exercise(nb, name, folder)
        return {
            root / f"exercises/{name}.ipynb": serialise(made),
            root / f"src/unrolled/grade/definitions/{name}.json": definition(made),
            root / f"book/solutions/{name}.ipynb": serialise(page(nb, name)),
        }
    except Exception as error:  # otter raises anything, AssertionError too
        raise ValueError(f"{master.name}: {error}") from error


def cells_hash(nb: Any) -> str:
    """Return the SHA-256 of all that stands in a notebook's cells."""
    return hashlib.sha256("\0".join(cell.source for cell in nb.cells).encode()).hexdigest()


def worked_in(notebook: Path) -> str:
    """Say why an exercise must not be written over: nothing, when it is as it was made.

    Its metadata holds the hash of the cells that it was made with, so that an older exercise is
    told from one with answers or notes, also those that were typed and never run.
    """
    if not notebook.exists():
        return ""
    try:
        with warnings.catch_warnings():  # of ids that some editors do not keep
            warnings.simplefilter("ignore")
            nb = nbformat.reads(notebook.read_text(encoding="utf-8-sig"), as_version=4)
        made_with = nb.metadata.get("unrolled", {}).get("sha256")
        ran = any(c.get("execution_count") or c.get("outputs") for c in nb.cells)
        same = cells_hash(nb) == made_with
    except Exception:  # what a damaged file raises is hard to list
        return "cannot be read as a notebook, so it is not written over; mend it or move it away"
    return "" if same and not ran else "not written over somebody's work; move it away"


def main(argv: list[str] | None = None) -> int:
    """Write what has changed; 1 when a master is wrong or, with --check, something has changed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("masters", nargs="*", type=Path)
    parser.add_argument("--check", action="store_true", help="compare without writing")
    parser.add_argument(
        "--private", type=Path, metavar="DIR", help="write for a class, and nothing for the book"
    )
    args = parser.parse_args(argv)
    if args.private is not None and (args.check or not args.masters):
        parser.error("--private needs masters, and no --check")
    status = 0
    for master in args.masters or sorted(ROOT.glob("solutions/*.ipynb")):
        try:
            files = generated(master, args.private)
        except ValueError as error:
            print(error, file=sys.stderr)
            status = 1
            continue
        for target, text in files.items():
            same = target.exists() and target.read_bytes() == text.encode()
            name = target
            if args.private is None:
                name = target.relative_to(master.resolve().parent.parent)
            learners = target.suffix == ".ipynb" and name.parts[0] != "book"
            if not (same or args.check) and learners and (reason := worked_in(target)):
                print(f"{name}: {reason}", file=sys.stderr)
                status = 1
                continue
            print(f"{name}: {'same' if same else 'changed'}", flush=True)
            if args.check:
                status = status or int(not same)
            elif not same:
                hidden = target.parent.name == "definitions" and args.private is not None
                target.parent.mkdir(0o700 if hidden else 0o777, parents=True, exist_ok=True)
                target.write_bytes(text.encode())
    return status


if __name__ == "__main__":
    sys.exit(main())
