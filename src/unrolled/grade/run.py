"""Grade a finished notebook: its code in one process, the project's checks in this one."""

import json
import math
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from unrolled.checks import drawn_with
from unrolled.grade.errors import GradeError, LearnerError, Status, Stopped, tidy
from unrolled.grade.exercises import (
    Exercise,
    Failure,
    Outcome,
    Question,
    exercise_name,
    folder_of,
    load_exercise,
    parameters,
    run_case,
    tally,
)
from unrolled.grade.sandbox import Sandbox
from unrolled.grade.session import Session, defines

CHECK = re.compile(r"""\.check\(\s*["'](\w+)["']\s*\)""")
FRESH = "open it in Jupyter and save it again, or copy your answers into a fresh one"


class Report(NamedTuple):
    """A graded notebook: its file as it was named, the exercise, an outcome for each question.

    ``status`` is ok, or how a cell or a function was first stopped, timeout or crashed, and
    ``reason`` says why.
    ``cpu`` and ``memory`` are the seconds and the peak of bytes that its code used in a sandbox,
    ``greedy`` tells whether it was stopped for what it took from others, ``short`` whether the
    machine had no memory left.
    """

    file: Path
    exercise: Exercise
    outcomes: tuple[Outcome, ...]
    status: Status = Status.OK
    reason: str = ""
    cpu: float = 0.0
    memory: int = 0
    greedy: bool = False
    short: bool = False

    @property
    def score(self) -> float:
        """The points earned."""
        return sum(outcome.score for outcome in self.outcomes)

    @property
    def possible(self) -> float:
        """The points that could be earned."""
        return sum(outcome.possible for outcome in self.outcomes)


class Cell(NamedTuple):
    """A code cell."""

    id: str
    source: str


def grade_notebook(path: str | Path, *, time_limit: float = 60.0) -> Report:
    """Run a learner's notebook and grade its answers with the project's own checks.

    A question is checked once: after the last cell that checks it or defines one of its names, at
    the end if there is none. So the last word counts, and a list of guesses is one guess.

    Parameters
    ----------
    path : path
        The notebook, under any name.
    time_limit : float, default 60.0
        Seconds for each cell, and for each check of a question.

    Raises
    ------
    GradeError
        If the file is no notebook of an exercise.
    """
    path = Path(path)
    notebook = read_notebook(path)
    # A link's own folder, not its target's: that is where Jupyter would run it.
    folder = path.absolute().parent
    name = exercise_name(notebook)
    exercise = load_exercise(name, folder_of(name, folder))
    with Session(folder, time_limit=time_limit) as session:
        return grade_cells(path, notebook, exercise, session)


def grade_submission(
    data: bytes,
    *,
    sandbox: Sandbox,
    time_limit: float,
    total_limit: float = math.inf,
    exercise: str = "",
    folder: Path | None = None,
    seed: int = 0,
    told: Callable[[Exercise, Outcome], None] = lambda exercise, outcome: None,
) -> Report:
    """Grade what was handed in: its code in a sandbox, by a teacher's checks and numbers.

    Parameters
    ----------
    data : bytes
        The contents of the notebook file.
    sandbox : Sandbox
    time_limit, total_limit : float
        Seconds for each cell and for each check, and for all together.
    exercise : str, optional
        The exercise that it must be; any, if empty.
    folder : path, optional
        Where the exercises are defined; the package's own definitions if None.
    seed : int, default 0
        The teacher's own, from which the checks draw their numbers; 0 for those of the notebook.
    told : callable, optional
        Called with each outcome as soon as it is known.

    Raises
    ------
    GradeError
        If it is no notebook of an exercise, or of another one.
    """
    notebook = parse_notebook(data)
    name = exercise_name(notebook)
    if exercise and name != exercise:
        raise GradeError(
            f"is a notebook of {tidy(name[:80])}, not of {exercise}", Status.OTHER_EXERCISE
        )
    loaded = load_exercise(name, folder)
    with (
        drawn_with(seed),
        Session(
            Path.cwd(), time_limit=time_limit, total_limit=total_limit, sandbox=sandbox
        ) as session,
    ):
        return grade_cells(Path(), notebook, loaded, session, told)


def grade_cells(
    path: Path,
    notebook: Mapping[str, Any],
    exercise: Exercise,
    session: Session,
    told: Callable[[Exercise, Outcome], None] = lambda exercise, outcome: None,
) -> Report:
    """Run the cells of a notebook in a session, and check its questions."""
    questions = {question.name: question for question in exercise.questions}
    cells = list(code_cells(notebook))
    last = dict.fromkeys(questions, -1)
    for place, cell in enumerate(cells):
        asked = set(CHECK.findall(cell.source))
        for name, question in questions.items():
            if name in asked or any(defines(cell.source, need) for need in question.needs):
                last[name] = place
    known: dict[str, Outcome] = {}
    ran: list[tuple[Cell, LearnerError | Stopped | None]] = []

    def check(question: Question) -> None:
        known[question.name] = check_question(question, session)
        told(exercise, known[question.name])

    for place, cell in enumerate(cells):
        ran.append((cell, session.run(cell.source)))
        for name, question in questions.items():
            if last[name] == place:
                check(question)
    for name, question in questions.items():
        if name not in known or known[name].missing:
            check(question)
    session.usage.stop()
    outcomes = tuple(blamed(known[q.name], q, ran) for q in exercise.questions)
    usage = session.usage
    return Report(
        path,
        exercise,
        outcomes,
        session.trouble or Status.OK,
        session.reason,
        usage.cpu,
        usage.memory,
        usage.greedy,
        usage.short,
    )


def check_question(question: Question, session: Session) -> Outcome:
    """Check a question against the notebook that runs in a session, case by case.

    What one function has done, or a value that cannot cross, costs the cases that need it alone.
    """
    failures: list[Failure | None] = []
    for case in question.cases:
        try:
            env = session.fetch(parameters(case))
        except (LearnerError, Stopped) as error:
            failures.append(Failure(tidy(str(error))))
        else:
            failures.append(run_case(case, env))
    return tally(question, failures)


def blamed(
    outcome: Outcome, question: Question, ran: list[tuple[Cell, LearnerError | Stopped | None]]
) -> Outcome:
    """Say of a question that failed if its own cell did: the rest may follow from that."""
    if outcome.passed:
        return outcome
    # The last word on each name counts: a scrap that failed before a good definition does not.
    last = {name: error for cell, error in ran for name in question.needs
            if cell.id in question.cells or defines(cell.source, name)}  # fmt: skip
    error = next((error for error in last.values() if error is not None), None)
    if error is None:
        return outcome
    first = f"its cell failed: {error}" if isinstance(error, LearnerError) else f"{error}"
    rest = "" if outcome.missing else f"\n{outcome.message}"
    return outcome._replace(message=tidy(f"{first}{rest}"))


def read_notebook(path: Path) -> dict[str, Any]:
    """Read a notebook file of any version, as version 4.

    Raises
    ------
    GradeError
        If it cannot be read, or holds no notebook.
    """
    try:
        return parse_notebook(path.read_bytes())
    except FileNotFoundError as error:
        raise GradeError("there is no such file; check its name") from error
    except IsADirectoryError as error:
        raise GradeError("is not a file; name the notebook in it") from error
    except OSError as error:
        raise GradeError(f"cannot be read ({error.strerror}); check who may read it") from error


def parse_notebook(data: bytes) -> dict[str, Any]:
    """Return the notebook that a file's contents are, of any version, as version 4.

    Raises
    ------
    GradeError
        If they are none.
    """
    try:
        text = data.decode("utf-8-sig")
        notebook = json.loads(text)
    except UnicodeDecodeError as error:
        raise no_notebook("is not text in UTF-8, so no notebook") from error
    except (ValueError, RecursionError) as error:
        raise no_notebook("is not JSON, so no notebook or a damaged one") from error
    version = notebook.get("nbformat") if isinstance(notebook, dict) else None
    if type(version) is not int:
        raise no_notebook("is JSON but no notebook")
    if version < 4:
        notebook = upgraded(text)
    elif version > 4:
        raise no_notebook(f"has notebook format {version}, which is not known here", "save it as 4")
    if not isinstance(notebook.get("cells"), list):
        raise no_notebook("is a notebook without cells")
    return dict(notebook)


def no_notebook(why: str, what_to_do: str = FRESH) -> GradeError:
    """Return the error of a file that is no notebook."""
    return GradeError(f"{why}; {what_to_do}", Status.NOT_A_NOTEBOOK)


def upgraded(text: str) -> Mapping[str, Any]:
    """Return a notebook of an older format in format 4."""
    import nbformat

    try:
        with warnings.catch_warnings():  # of ids that older formats do not have
            warnings.simplefilter("ignore")
            upgraded: Mapping[str, Any] = nbformat.reads(text, as_version=4)
            return upgraded
    except Exception as error:  # what a damaged file raises here is hard to list
        raise no_notebook("has an old notebook format that cannot be read") from error


def code_cells(notebook: Mapping[str, Any]) -> Iterator[Cell]:
    """Yield the cells that hold code, and leave out what is none."""
    for cell in notebook["cells"]:
        if isinstance(cell, dict) and cell.get("cell_type") == "code":
            source = cell.get("source")
            if isinstance(source, list):
                source = "".join(line for line in source if isinstance(line, str))
            if isinstance(source, str) and source.strip():
                yield Cell(str(cell.get("id", "")), source)
