"""What a class has earned: a journal that survives any interruption, a table and a summary."""

import csv
import fcntl
import hashlib
import io
import json
import os
import re
import secrets
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from unrolled.grade.errors import GradeError, Status
from unrolled.grade.submissions import REPORT

JOURNAL = ".journal.jsonl"
SHOWN = 20  # lines of what needs a look; the table has all
JsonReport = dict[str, Any]  # of a submission, as JSON has it
FIRST = ("student", "exercise", "total", "possible", "status", "seconds")
LAST = ("file", "message")
FORMULA = ("=", "+", "-", "@")  # a spreadsheet would compute what begins so


class Journal:
    """The reports so far, a line each, in a file beside the table; use it in a ``with`` statement.

    The journal of grades.csv also knows what stands in those of its parts, grades.part1.csv and
    so on.

    A report counts for the same file, with the same contents, under the same grader. What stands
    in the class's folder is never read back: a student may have written it.

    Parameters
    ----------
    table : path
        The table that is made of it.

    Raises
    ------
    GradeError
        If another run is writing to it.
    """

    def __init__(self, table: Path) -> None:
        self.path = table.with_name(f"{table.stem}{JOURNAL}")
        parts = re.compile(rf"{re.escape(table.stem)}\.part\d+{re.escape(JOURNAL)}")
        self._parts = [path for path in table.parent.iterdir() if parts.fullmatch(path.name)]
        self._reports: dict[tuple[str, str, str], JsonReport] = {}
        self._file: IO[str] | None = None
        self.seed: int | None = None  # drawn for this class, if one was

    def __enter__(self) -> "Journal":
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self._file = os.fdopen(handle, "r+", encoding="utf-8", errors="replace")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.close()
            raise GradeError(f"another run is writing to {self.path}; wait for its end") from error
        except OSError as error:
            self._file.close()
            raise GradeError(
                f"{self.path} cannot be locked ({error.strerror}); write the table to another disk"
            ) from error
        text = self._file.read()
        for part in sorted(self._parts):
            self._read(part.read_text(encoding="utf-8", errors="replace"))
        self._read(text)
        if text and not text.endswith("\n"):
            self._file.write("\n")
        return self

    def _read(self, text: str) -> None:
        for line in text.splitlines():
            try:
                entry = json.loads(line)
                if "seed" in entry:
                    self.seed = int(entry["seed"])
                    continue
                key = (entry["file"], entry["sha256"], entry["grader"])
                self._reports[key] = entry["report"]
            except (ValueError, KeyError, TypeError, RecursionError):
                continue  # half a line, where a run was interrupted

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._file is not None
        self._file.close()

    def find(self, file: str, sha256: str, grader: str, time_limit: float) -> JsonReport | None:
        """Return the report on a file, unless it ran out of a shorter time than it would have."""
        report = self._reports.get((file, sha256, grader))
        if report is None:
            return None
        # What has crashed may have run out of time as well, later.
        late = report["status"] in (Status.TIMEOUT, Status.CRASHED)
        return None if late and report["time_limit"] < time_limit else report

    def add(self, file: str, sha256: str, grader: str, report: JsonReport) -> None:
        """Keep a report, on the disk when this returns."""
        assert self._file is not None
        self._reports[file, sha256, grader] = report
        self._write({"file": file, "sha256": sha256, "grader": grader, "report": report})

    def draw_seed(self) -> int:
        """Return the seed that was drawn for this class, and draw it if there is none.

        Raises
        ------
        GradeError
            If there are parts, which were graded from a seed that is not known here.
        """
        if self.seed is None and self._parts:
            raise GradeError("the parts were graded from a seed; give the same one by --seed")
        if self.seed is None:
            self.seed = secrets.randbits(128) or 1
            self._write({"seed": self.seed})
        return self.seed

    def _write(self, entry: dict[str, Any]) -> None:
        assert self._file is not None
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())


def digest(*parts: bytes) -> str:
    """Return a hash of several parts, in their order."""
    total = hashlib.sha256()
    for part in parts:
        total.update(hashlib.sha256(part).digest())
    return total.hexdigest()


def write_text(path: Path, text: str, encoding: str = "utf-8") -> None:
    """Write a file whole or not at all, and never through a link that stands in its place."""
    # Several machines may write into one folder, and their processes have the same numbers.
    draft = path.with_name(f".grade-{secrets.token_hex(8)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with os.fdopen(
            handle, "w", encoding=encoding, errors="backslashreplace", newline=""
        ) as file:
            file.write(text)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def write_report(submission: Path, report: JsonReport) -> None:
    """Write a report beside a submission, where its student may read it.

    Raises
    ------
    GradeError
        If that cannot be done.
    """
    path = submission.with_name(submission.name + REPORT)
    try:
        write_text(path, json.dumps(report, ensure_ascii=False, indent=1) + "\n")
    except OSError as error:
        raise GradeError(
            f"the report {path} cannot be written ({error.strerror}); see who may write there"
        ) from error


def write_table(path: Path, reports: Iterable[JsonReport]) -> None:
    """Write a row for each report: first the sums, then each question of every exercise."""
    reports = list(reports)
    questions: dict[str, None] = {}
    for report in sorted(reports, key=lambda report: report["exercise"]):
        questions |= dict.fromkeys(f"{report['exercise']}.{q['name']}" for q in report["questions"])
    with_names = [
        {f"{report['exercise']}.{q['name']}": q["score"] for q in report["questions"]}
        | {
            "student": report["student"],
            "exercise": report["exercise"],
            "total": report["score"] if report["questions"] else "",
            "possible": report["possible"] if report["questions"] else "",
            "status": report["status"],
            "seconds": report["seconds"],
            "file": report["file"],
            "message": report["message"],
        }
        for report in reports
    ]
    text = io.StringIO()
    table = csv.DictWriter(
        text, [*FIRST, *questions, *LAST], restval="", quoting=csv.QUOTE_NONNUMERIC
    )
    table.writeheader()
    table.writerows({key: cell(value) for key, value in row.items()} for row in with_names)
    write_text(path, text.getvalue(), "utf-8-sig")  # with its mark, by which Excel knows UTF-8


def cell(value: Any) -> Any:
    """Return what a spreadsheet shows as it is.

    Examples
    --------
    >>> cell("=1+1"), cell("wang"), cell(-1)
    ("'=1+1", 'wang', -1)
    """
    return f"'{value}" if isinstance(value, str) and value.lstrip().startswith(FORMULA) else value


def summary(reports: Sequence[JsonReport]) -> str:
    """Return what a teacher wants to know first, in a few lines."""
    counts = Counter(report["status"] for report in reports)
    told = ", ".join(f"{n} {status}" for status, n in counts.most_common())
    lines = [f"status: {told or 'nothing to grade'}"]
    by_exercise: dict[str, list[JsonReport]] = {}
    for report in reports:
        if report["questions"]:
            by_exercise.setdefault(report["exercise"], []).append(report)
    shares: dict[str, list[float]] = {}
    for exercise, graded in sorted(by_exercise.items()):
        totals = [report["score"] for report in graded]
        lines.append(
            f"{exercise}: {len(graded)} graded, of {graded[0]['possible']:g} points: "
            f"mean {statistics.fmean(totals):.1f}, median {statistics.median(totals):g}, "
            f"from {min(totals):g} to {max(totals):g}"
        )
        for question in (question for report in graded for question in report["questions"]):
            if question["possible"]:
                share = question["score"] / question["possible"]
                shares.setdefault(f"{exercise} {question['name']}", []).append(share)
    if shares:
        # Of a question that one or two have seen, no more is known than of them.
        most = max(map(len, shares.values()))
        asked = [name for name, values in shares.items() if 2 * len(values) >= most]
        hardest = sorted(asked, key=lambda name: statistics.fmean(shares[name]))[:5]
        width = max(map(len, hardest))
        lines.append("The hardest questions, by the mean share of their points:")
        lines += [f"  {n:<{width}}  {statistics.fmean(shares[n]):4.0%}" for n in hardest]
    return "\n".join([*lines, *repeated(reports), *odd(reports)])


def odd(reports: Iterable[JsonReport]) -> list[str]:
    """Name those that need a look, and why."""
    lines = [
        f"  {report['file']}: {report['status']}{': ' * bool(report['message'])}"
        + " ".join(report["message"].split())  # lines of its own would look like the grader's
        for report in reports
        if report["status"] != Status.OK
    ]
    return lines[:SHOWN] + [f"  … and {len(lines) - SHOWN} more"] * (len(lines) > SHOWN)


def repeated(reports: Iterable[JsonReport]) -> list[str]:
    """Name those who have handed in an exercise more than once: which counts is not for us to say.

    Examples
    --------
    >>> repeated([{"student": "wang", "exercise": "05_lstm", "questions": [1]}] * 2)
    ['More than one file: wang (05_lstm)']
    """
    counts = Counter(
        (report["student"], report["exercise"]) for report in reports if report["questions"]
    )
    twice = [f"{who} ({what})" for (who, what), n in counts.items() if n > 1]
    return [f"More than one file: {', '.join(twice)}"] if twice else []
