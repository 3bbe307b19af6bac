"""Grade on Gradescope and in otter's containers; `make autograders` makes the zips for both.

Otter runs a learner's notebook and its tests in one interpreter, as root. Here it gets neither the
notebook nor the folder that it came in: ``run`` grades what was handed in as a class is graded, and
writes the results in otter's forms. Where otter's own program runs the zip instead (``otter run``),
``Plugin`` puts a notebook in the place of the learner's that holds nothing but the outcomes. The
tests in the zip read the outcomes in both cases.
"""

import contextlib
import io
import json
import os
import shutil
import sys
import traceback
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from unrolled.grade import text
from unrolled.grade.errors import GradeError
from unrolled.grade.exercises import Exercise, Outcome, exercise_name, load_exercise
from unrolled.grade.gradebook import JsonReport
from unrolled.grade.run import parse_notebook
from unrolled.grade.sandbox import Limits, Sandbox, open_sandbox
from unrolled.grade.submissions import (
    LARGEST,
    find_submissions,
    is_hidden,
    printable,
    read_submission,
)
from unrolled.grade.worker import Settings, Workers

PLUGIN = f"{__name__}.Plugin"
CONFIG = "otter_config.json"
MOST = 20  # notebooks of one submission that are looked at
MEMORY_FILES = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
BROKEN = "the autograder failed; tell your teacher"
ENDED = "the autograder was ended before it was done; tell your teacher if that happens again"


class Plugin:
    """Grades in a process of its own what otter would execute in the grader's.

    Otter calls each method at the time that its name says.

    Parameters
    ----------
    submission_path : str
        The learner's notebook.
    submission_metadata : dict
    plugin_config : dict
        That of ``settings``.
    """

    def __init__(
        self,
        submission_path: str,
        submission_metadata: dict[str, Any],
        plugin_config: dict[str, Any],
    ) -> None:
        self._path, self._config = Path(submission_path), plugin_config
        self._contained = False
        self._outcomes: list[Outcome] = []

    def before_grading(self, config: Any) -> None:
        """Leave nothing of the learner's beside the notebook.

        Otter would unpickle the log of a learner's Jupyter, and a module found there would be
        imported in the place of Python's own.
        """
        self._contained = not config.otter_run
        config.grade_from_log = False
        path = self._path
        if self._contained:
            protect(path.parents[1])
        for other in path.parent.iterdir():
            if other.name in (path.name, "tests"):  # the tests are those of the zip
                continue
            if other.is_dir() and not other.is_symlink():
                shutil.rmtree(other)
            else:
                other.unlink()

    def before_execution(self, submission: Any) -> Any:
        """Grade the learner's notebook, and return the one to be executed in its place."""
        path = self._path
        how = settings(self._config, path.parents[1] / "source", contained=self._contained)
        report = graded(how, lambda: (path.name, read_submission(path)))
        exercise = load_exercise(how.exercise, how.definitions)
        self._outcomes = outcomes_of(exercise, report)
        return notebook_of(self._outcomes)

    def after_grading(self, results: Any) -> None:
        """Give each question its points, in part too, and its message."""
        settle(results, self._outcomes)


def run(folder: Path) -> None:
    """Grade what was handed in, and leave a result whatever happens.

    Parameters
    ----------
    folder : path
        Called /autograder by Gradescope and by otter: ``source`` in it holds the contents of the
        zip, ``submission`` what was handed in, and into ``results`` go results.json and
        results.pkl.
    """
    from otter.run import AutograderConfig

    protect(folder)
    source = folder / "source"
    config = AutograderConfig(json.loads((source / CONFIG).read_text("utf-8")))
    own = next(entry[PLUGIN] for entry in config.plugins if PLUGIN in entry)
    exercise = load_exercise(own["exercise"], source / "files")

    # Stands there in case the machine ends this process.
    leave(failed(ENDED), exercise, folder, config)
    try:
        how = settings(own, source, contained=True)
        report = graded(how, lambda: chosen(folder / "submission", exercise.name))
    except Exception:
        traceback.print_exc()  # where the teacher alone sees it
        report = failed(BROKEN)
    try:
        leave(report, exercise, folder, config)
    except OSError:  # the disk is full: what stands there stays
        traceback.print_exc()
    for stream in (sys.stdout, sys.stderr):  # a container without a ✓ shows a ?
        getattr(stream, "reconfigure", lambda **_: None)(errors="replace")
    print(text.table(outcomes_of(exercise, report)))


# --- Grading. ---


def settings(config: dict[str, Any], source: Path, *, contained: bool) -> Settings:
    """Return how a submission is graded.

    Parameters
    ----------
    config : dict
        ``exercise``, its name; ``time_limit``, the seconds for each cell and for each check;
        ``seed``, the teacher's own, or 0.
    source : path
        The contents of the zip.
    contained : bool
        Whether this is a container, which may do without bubblewrap.

    Raises
    ------
    GradeError
        If submissions cannot be kept apart from the grader on this machine.
    """
    return Settings(
        sandbox=sandbox(contained=contained),
        time_limit=float(config["time_limit"]),
        exercise=config["exercise"],
        definitions=source / "files",
        seed=config["seed"],
    )


def sandbox(*, contained: bool) -> Sandbox:
    """Return bubblewrap's sandbox, or in a container that forbids it another user."""
    limits = Limits()
    limits = limits._replace(memory=min(limits.memory, memory() // 2))
    try:
        return open_sandbox(limits=limits)
    except GradeError:
        if not contained or os.geteuid():
            raise
        return open_sandbox(allow_none=True, limits=limits)


def memory() -> int:
    """Return the bytes of memory that this container may use, or that the machine has."""
    import psutil

    sizes = [int(psutil.virtual_memory().total)]
    for file in MEMORY_FILES:
        with contextlib.suppress(OSError, ValueError):  # not there, or "max"
            sizes.append(int(Path(file).read_text()))
    return min(sizes)


def graded(settings: Settings, read: Callable[[], tuple[str, bytes]]) -> JsonReport:
    """Return the report on what ``read`` returns: the notebook's file name and its contents."""
    try:
        file, data = read()
    except GradeError as error:
        return failed(f"{error}")
    report = Workers(settings, 1).grade(data)
    if report["message"]:
        report["message"] = f"{file}: {report['message']}"
    return report


def failed(message: str) -> JsonReport:
    """Return the report on what could not be graded."""
    return {"message": message, "questions": []}


def outcomes_of(exercise: Exercise, report: JsonReport) -> list[Outcome]:
    """Return an outcome for each question: that of the report, or why there is none."""
    known = {question["name"]: Outcome(**question) for question in report["questions"]}
    missing = report["message"] or report.get("status", "was not reached")
    return [
        known.get(question.name, Outcome(question.name, 0.0, question.points, missing))
        for question in exercise.questions
    ]


# --- What was handed in. ---


def protect(folder: Path) -> None:
    """Keep the folder and what stands in it from every user but root."""
    for path in (folder, *folder.iterdir()):
        if not path.is_symlink():
            path.chmod(0o700 if path.is_dir() or os.access(path, os.X_OK) else 0o600)


def chosen(folder: Path, exercise: str) -> tuple[str, bytes]:
    """Return the name and the contents of the notebook that is to be graded.

    Raises
    ------
    GradeError
        If there is none, or it cannot be told which.
    """
    notebooks = list(handed_in(folder))
    if not notebooks:
        raise GradeError(f"there is no notebook in what was handed in; hand in {exercise}.ipynb")
    if len(notebooks) == 1:
        return notebooks[0]
    own = {data: name for name, data in notebooks if is_of(data, exercise)}
    if not own:
        names = ", ".join(name for name, _ in notebooks)
        raise GradeError(f"none of these is a notebook of {exercise}: {names}")
    if len(own) > 1:
        names = ", ".join(own.values())
        raise GradeError(f"hand in one notebook of {exercise}; these are {len(own)}: {names}")
    [(data, name)] = own.items()
    return name, data


def handed_in(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the notebooks below a folder, and those in the zips in it, as `otter export` makes."""
    for submission in find_submissions(folder).submissions[:MOST]:
        yield submission.file, read_submission(submission.path)
    for path in sorted(folder.glob("*.zip")):
        yield from unpacked(read_submission(path))


def unpacked(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the notebooks in a zip."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            files = [
                file
                for file in archive.infolist()
                if file.filename.lower().endswith(".ipynb")
                and not any(is_hidden(part) for part in Path(file.filename).parts)
            ]
            for file in files[:MOST]:
                with archive.open(file) as opened:
                    # A byte too many is told by the size, whatever the zip says of it.
                    contents = opened.read(LARGEST + 1)
                if len(contents) > LARGEST:
                    raise GradeError(f"a notebook in the zip is larger than {LARGEST // 2**20} MB")
                yield printable(file.filename), contents
    except GradeError:
        raise
    except Exception as error:  # what a damaged zip raises is hard to list
        raise GradeError("the zip cannot be unpacked; hand in the notebook itself") from error


def is_of(data: bytes, exercise: str) -> bool:
    """Tell whether this is a notebook of the exercise."""
    try:
        return exercise_name(parse_notebook(data)) == exercise
    except GradeError:
        return False


# --- Otter's forms. ---


def otter_test(name: str, title: str, points: float) -> str:
    """Return otter's test of a question: it passes if the outcome says so."""
    return f"""\
from otter.test_files import test_case

OK_FORMAT = False

name = {name!r}
points = {text.whole(points)!r}


@test_case(name={title!r})
def test_outcome(outcomes):
    assert not outcomes[{name!r}], outcomes[{name!r}]
"""


def notebook_of(outcomes: Sequence[Outcome]) -> Any:
    """Return a notebook that defines ``outcomes``, as the test files read it."""
    from nbformat import v4

    data = json.dumps(messages(outcomes))  # in ASCII
    return v4.new_notebook(
        cells=[v4.new_code_cell(f"import json\noutcomes = json.loads({data!r})")],
        metadata={"kernelspec": {"display_name": "Python 3", "name": "python3"}},
    )


def messages(outcomes: Sequence[Outcome]) -> dict[str, str]:
    """Return what is wrong with each question: nothing, where all is right."""
    return {outcome.name: outcome.message for outcome in outcomes}


def results_of(tests: Path, outcomes: Sequence[Outcome]) -> Any:
    """Return outcomes as otter's results."""
    from otter.test_files import ExceptionTestFile, GradingResults

    files = [ExceptionTestFile.from_file(str(path)) for path in sorted(tests.glob("*.py"))]
    for file in files:
        file.run({"outcomes": messages(outcomes)})
    results = GradingResults(files)
    settle(results, outcomes)
    return results


def settle(results: Any, outcomes: Sequence[Outcome]) -> None:
    """Give each question of otter's results its points, in part too, and its message."""
    for outcome in outcomes:
        file = results.get_result(outcome.name)
        file.update_score(text.whole(outcome.score))
        if outcome.message:
            file.test_case_results[0].message = outcome.message


def leave(report: JsonReport, exercise: Exercise, folder: Path, config: Any) -> None:
    """Write a report into ``folder / "results"``, as Gradescope reads it and as otter does."""
    import dill  # type: ignore[import-untyped]

    results = results_of(folder / "source/tests", outcomes_of(exercise, report))
    if report["message"]:
        results.set_output(report["message"])
    as_json = json.dumps(results.to_gradescope_dict(config), indent=1)
    for name, data in [("results.json", as_json.encode()), ("results.pkl", dill.dumps(results))]:
        new = folder / "results" / f"{name}.new"
        new.write_bytes(data)
        new.replace(folder / "results" / name)
