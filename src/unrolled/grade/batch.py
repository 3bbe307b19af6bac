"""Grade all that a class has handed in: several at a time, and each only once."""

import hashlib
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import cache
from pathlib import Path

import numpy as np

from unrolled.grade import exercises
from unrolled.grade.errors import GradeError, Status
from unrolled.grade.exercises import Outcome, load_exercise
from unrolled.grade.gradebook import Journal, JsonReport, digest, summary, write_report, write_table
from unrolled.grade.sandbox import PACKAGE, Sandbox, Scratch, exposed_by
from unrolled.grade.submissions import Found, Submission, find_submissions, read_submission
from unrolled.grade.text import as_dict
from unrolled.grade.worker import Settings, Workers

STOPPED = (Status.TIMEOUT, Status.CRASHED, Status.NOT_GRADED)


def grade_class(
    folder: Path,
    out: Path,
    *,
    sandbox: Callable[[], Sandbox],
    jobs: int | None = None,
    time_limit: float = 60.0,
    exercise: str = "",
    definitions: Path | None = None,
    seed: int | None = None,
    part: tuple[int, int] = (1, 1),
) -> int:
    """Grade every notebook below a folder, and write a table, a report beside each, a summary.

    Parameters
    ----------
    folder : path
        What was handed in: a notebook a student, or a folder a student.
    out : path
        The table. Beside it stays a journal of the reports, by which the next run grades only what
        is new or has changed.
    sandbox : callable
        Returns the sandbox, or raises.
    jobs : int, optional
        Submissions at a time; one a core if None.
    time_limit : float, default 60.0
        Seconds for each cell and for each check; a whole notebook has five times that.
    exercise : str, optional
        The exercise that all must be.
    definitions : path, optional
        Where the exercises are defined; the package's own definitions if None.
    seed : int, optional
        From which the checks draw; one that is drawn for this class and kept if None.
    part : tuple of int, default (1, 1)
        Which part of how many is graded here; a run with the default joins all parts.

    Returns
    -------
    int
        0 when every submission has status ok, 1 when some need a look.

    Raises
    ------
    GradeError
        If nothing can be graded; the message says what to do.
    """
    check_places(folder, out)
    definitions = (definitions or exercises.definitions()).absolute()
    known = exercises.names_in(definitions)
    for name in [exercise] if exercise else known:
        load_exercise(name, definitions)  # damaged or unknown, it is told before all submissions
    if not known:
        raise GradeError(f"there are no definitions in {definitions}")
    found = find_submissions(folder, known)
    if not found.submissions:
        raise GradeError(f"there is no notebook in {folder}; unpack what was handed in there")
    opened = sandbox()
    for path in (folder, out.parent, definitions) if opened.bwrap else ():
        if place_seen := exposed_by(path):
            raise GradeError(f"{path} lies in {place_seen}, which submissions can read; move it")
    if jobs is None:
        known_cores = hasattr(os, "sched_getaffinity")
        jobs = len(os.sched_getaffinity(0)) if known_cores else os.cpu_count() or 1
    place, count = part
    if count > 1:
        found = Found(found.submissions[place - 1 :: count], [], [])
        out = out.with_name(f"{out.stem}.part{place}{out.suffix}")
    with Journal(out) as journal, Scratch() as own:
        for file in definitions.glob("*.json"):  # they may change, or go, before all are graded
            shutil.copy(file, own)
        seed = seed or journal.draw_seed()
        settings = Settings(opened, time_limit, exercise, Path(own), seed)
        reports = {s.path: blank(s.student, s.file, Status.NOT_REACHED) for s in found.submissions}
        before, start, unwritten = 0, time.monotonic(), set[str]()
        try:
            for submission, report, is_new in grade_all(found.submissions, journal, settings, jobs):
                reports[submission.path] = report
                before += not is_new
                try:
                    write_report(submission.path, report)
                except GradeError as error:
                    unwritten.add(str(error))
        finally:
            rows = [*reports.values(), *(blank(n, n, Status.NO_NOTEBOOK) for n in found.empty)]
            write_table(out, rows)
    seconds = time.monotonic() - start
    print(f"{len(rows)} submissions, {before} of them graded before, in {seconds:.0f} s: {out}")
    print(summary(rows))
    if found.others:
        more = " …" if len(found.others) > 5 else ""
        print(f"Left out, as no notebooks: {', '.join(found.others[:5])}{more}")
    if unwritten:
        print(f"Reports that are missing: {len(unwritten)}; {min(unwritten)}", file=sys.stderr)
    return 1 if unwritten or any(row["status"] != Status.OK for row in rows) else 0


def check_places(folder: Path, out: Path) -> None:
    """Refuse a folder of submissions and a table that are not there, or too near to each other."""
    if not folder.is_dir():
        raise GradeError(f"there is no folder {folder}; name the one that holds the submissions")
    if not os.access(folder, os.R_OK | os.X_OK):
        raise GradeError(f"{folder} cannot be read; see who may read it")
    if not out.parent.is_dir():
        raise GradeError(f"there is no folder {out.parent} for the table; make it first")
    other = out.is_symlink() or (out.exists() and not out.is_file())  # a table would replace it
    if other or not os.access(out.parent, os.W_OK):
        raise GradeError(f"{out} cannot be written; name a file where you may write")
    inside = folder.resolve()
    if out.resolve().is_relative_to(inside):
        raise GradeError(f"{out} is among the submissions, where a student may have put a journal")
    if Path.cwd().resolve().is_relative_to(inside):  # where Python looks for modules first
        raise GradeError(f"run this outside of {folder}: Python would import what was handed in")


def grade_all(
    submissions: list[Submission], journal: Journal, settings: Settings, jobs: int
) -> Iterator[tuple[Submission, JsonReport, bool]]:
    """Yield the report of each submission, and whether it is new; a second one replaces the first.

    Where one took more than its share, those beside it may have run out of time or memory. They
    are graded again, one by one.
    """
    new, stopped, disturbed = [], [], False
    for submission in submissions:
        if known := known_report(submission, journal, settings):
            disturbed |= known["greedy"] or known["short"]
            if needs_peace(known):
                stopped.append(submission)
            yield submission, known, False
        else:
            new.append(submission)
    for submission, report in reports_of(new, journal, settings, jobs):
        disturbed |= report["greedy"] or report["short"]
        if needs_peace(report):
            stopped.append(submission)
        yield submission, report, True
    if disturbed:
        for submission, report in reports_of(stopped, journal, settings, 1):
            yield submission, report, True


def needs_peace(report: JsonReport) -> bool:
    """Tell whether a submission was stopped while others ran, and not for what itself took."""
    return report["status"] in STOPPED and not report["greedy"] and not report["alone"]


def known_report(submission: Submission, journal: Journal, settings: Settings) -> JsonReport | None:
    """Return what the journal knows of a submission as it is now."""
    try:
        sha256 = hashlib.sha256(read_submission(submission.path)).hexdigest()
    except GradeError:
        return None
    return journal.find(submission.file, sha256, grader_id(settings), settings.time_limit)


def reports_of(
    submissions: list[Submission],
    journal: Journal,
    settings: Settings,
    jobs: int,
) -> Iterator[tuple[Submission, JsonReport]]:
    """Yield the report of each submission as it is done."""
    from tqdm import tqdm

    jobs = max(min(jobs, len(submissions)), 1)
    workers = Workers(settings, jobs)
    grader = grader_id(settings)

    def grade(submission: Submission) -> tuple[Submission, JsonReport, str]:
        start, sha256, reason = time.monotonic(), "", ""
        report = blank(submission.student, submission.file, Status.NOT_GRADED)
        try:
            data = read_submission(submission.path)
            sha256 = hashlib.sha256(data).hexdigest()
            found = workers.grade(data)
            reason = found.pop("reason", "")
            report |= found | as_dict(Outcome(**question) for question in found["questions"])
        except GradeError as error:
            report |= {"status": error.status, "message": str(error)}
        except InterruptedError:
            raise
        except Exception as error:  # whatever it is, the others are graded
            report |= {"status": Status.NOT_GRADED, "message": f"{type(error).__name__}: {error}"}
        seconds = round(time.monotonic() - start, 2)
        report |= {"seconds": seconds, "sha256": sha256, "time_limit": settings.time_limit}
        if report["status"] != Status.OK and not report["message"]:  # say which was the first
            wrong = (q for q in report["questions"] if q["score"] < q["possible"])
            report["message"] = next((f"{q['name']}: {q['message']}" for q in wrong), reason)
        return submission, report | {"alone": jobs == 1}, sha256

    pool = ThreadPoolExecutor(jobs)
    futures = [pool.submit(grade, submission) for submission in submissions]
    try:
        for future in tqdm(as_completed(futures), total=len(futures), disable=None, unit="file"):
            submission, report, sha256 = future.result()
            if sha256 and report["status"] != Status.NOT_GRADED:
                journal.add(submission.file, sha256, grader, report)
            yield submission, report
    finally:  # after Ctrl-C too
        workers.stop()
        pool.shutdown(cancel_futures=True)


def blank(student: str, file: str, status: Status) -> JsonReport:
    """Return the report on a submission of which nothing is known yet."""
    return {
        "student": student, "file": file, "exercise": "", "title": "", "status": status,
        "message": "", "score": 0, "possible": 0, "questions": [], "seconds": 0.0, "cpu": 0.0,
        "memory": 0, "greedy": False, "short": False, "alone": False,
    }  # fmt: skip


@cache
def grader_id(settings: Settings) -> str:
    """Return a hash of all that a score may depend on beside the submission."""
    code = [path.read_bytes() for path in sorted(PACKAGE.rglob("*.py"))]
    tests = [path.read_bytes() for path in sorted(settings.definitions.glob("*.json"))]
    versions = f"{platform.python_version()} {np.__version__}"
    rest = f"{settings.seed} {settings.exercise} {versions} {settings.sandbox.limits}"
    return digest(*code, *tests, rest.encode())
