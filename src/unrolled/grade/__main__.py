"""Grade notebooks: their code runs in a process of its own, and the project's checks judge it."""

import argparse
import json
import math
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

from unrolled.grade import text
from unrolled.grade.errors import GradeError
from unrolled.grade.exercises import exercise_folders
from unrolled.grade.run import Report, grade_notebook
from unrolled.grade.sandbox import open_sandbox

BAR = 20  # characters


def main(argv: list[str] | None = None) -> int:
    """Run the command.

    Return 0 when every file was graded, whatever its score, and 2 when one was not. Of a class, 0
    when all is ok, 1 when some submissions need a look, 2 when nothing could be graded.
    """
    parser = argparse.ArgumentParser(prog="python -m unrolled.grade", description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="a notebook")
    parser.add_argument("--json", action="store_true", help="print one JSON object a line a file")
    parser.add_argument(
        "--time-limit",
        type=seconds,
        default=60.0,
        metavar="S",
        help="seconds for each cell and for each check (default: 60)",
    )
    parser.add_argument(
        "--progress", action="store_true", help="show where all exercises of the project stand"
    )
    teacher = parser.add_argument_group("a class")
    teacher.add_argument(
        "--class", dest="folder", type=Path, metavar="DIR", help="grade all notebooks below DIR"
    )
    teacher.add_argument(
        "--out", type=Path, metavar="FILE", help="the table of grades (default: grades.csv)"
    )
    teacher.add_argument(
        "--jobs", type=number, metavar="N", help="submissions at a time (default: one a core)"
    )
    teacher.add_argument("--exercise", metavar="NAME", help="refuse notebooks of any other")
    teacher.add_argument(
        "--definitions", type=Path, metavar="DIR", help="your own, as tools.exercises writes them"
    )
    teacher.add_argument(
        "--seed", type=seed, metavar="N",
        help="of the numbers that the checks draw, or a file that holds it, which other users "
        "cannot read from the command line (default: a random one, kept beside FILE)",
    )  # fmt: skip
    teacher.add_argument(
        "--part", type=part, metavar="K/N",
        help="grade the K-th of N parts, beside other machines; then run once without --part",
    )  # fmt: skip
    teacher.add_argument(
        "--no-sandbox", action="store_true", help="do without bubblewrap, and accept the risk"
    )
    args = parser.parse_args(argv)
    if [bool(args.files), args.progress, args.folder is not None].count(True) != 1:
        parser.error("name at least one notebook, or use --progress or --class DIR alone")
    if args.json and not args.files:
        parser.error("--json is for files; --class writes a JSON report beside each submission")
    if args.folder is None:
        given = [action.option_strings[0] for action in teacher._group_actions
                 if getattr(args, action.dest) not in (None, False)]  # fmt: skip
        if given:
            parser.error(f"{given[0]} needs --class DIR")
    if args.part and not args.seed:
        parser.error("--part needs --seed N, the same for all parts")
    for name in ("stdout", "stderr"):  # None, where a shell has closed it
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))
    for stream in (sys.stdout, sys.stderr):  # a terminal without a ✓ shows a ?
        getattr(stream, "reconfigure", lambda **_: None)(errors="replace")
    try:
        if args.folder is not None:
            if os.name != "posix":
                raise GradeError("grading a class needs Linux; on Windows use WSL")
            # Not before: what it imports exists nowhere else, and one file is graded without.
            from unrolled.grade import batch

            code = batch.grade_class(
                args.folder,
                args.out or Path("grades.csv"),
                sandbox=lambda: open_sandbox(allow_none=args.no_sandbox),
                jobs=args.jobs,
                time_limit=args.time_limit,
                exercise=args.exercise or "",
                definitions=args.definitions,
                seed=args.seed,
                part=args.part or (1, 1),
            )
            sys.stdout.flush()  # here, where a reader that has gone is no error
            return code
        if args.progress:
            return progress(args.time_limit)
        return grade(args.files, args.time_limit, as_json=args.json)
    except BrokenPipeError:  # … | head: whoever was reading has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0 if args.folder is None else 1
    except (GradeError, OSError) as error:  # a full disk must not look like 1, graded
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        go_on = "; the same command goes on from here" if args.folder is not None else ""
        print(f"stopped{go_on}", file=sys.stderr)
        return 130


def seconds(value: str) -> float:
    """Return a time limit: a number above 0, and no more than a day."""
    number = float(value)
    if not 0 < number <= 86_400:
        raise ValueError(value)
    return number


def number(value: str) -> int:
    """Return a whole number above 0."""
    if int(value) < 1:
        raise ValueError(value)
    return int(value)


def seed(value: str) -> int:
    """Return a seed, which is given as a number or stands in a file."""
    if value.isdecimal():
        return number(value)
    try:
        return number(Path(value).read_text(encoding="utf-8"))
    except OSError as error:
        raise argparse.ArgumentTypeError(f"can't open {value!r} ({error.strerror})") from error


def part(value: str) -> tuple[int, int]:
    """Return which part of how many: ``"2/8"`` is the second of eight."""
    place, _, count = value.partition("/")
    if not 1 <= int(place) <= int(count):
        raise ValueError(value)
    return int(place), int(count)


def grade(files: list[Path], time_limit: float, *, as_json: bool) -> int:
    """Grade files one by one, and print each as soon as it is done."""
    status = 0
    for place, file in enumerate(files):
        report = graded(file, time_limit)
        if report is None:
            status = 2
        elif as_json:
            print(json.dumps(as_dict(report)), flush=True)
        else:
            gap = "\n" if place else ""
            print(f"{gap}{file}: {report.exercise.title}, {text.total(report.outcomes)}")
            width = shutil.get_terminal_size().columns
            print(text.table(report.outcomes, width=width), flush=True)
    return status


def graded(file: Path, time_limit: float) -> Report | None:
    """Grade a file; None, and a sentence on stderr, when that cannot be done."""
    try:
        return grade_notebook(file, time_limit=time_limit)
    except GradeError as error:
        print(f"{file}: {error}", file=sys.stderr, flush=True)
        return None


def as_dict(report: Report) -> dict[str, Any]:
    """Return a report as JSON has it."""
    return {"file": str(report.file), **text.as_dict(report.outcomes)}


def progress(time_limit: float) -> int:
    """Grade all exercises of the project, print a row each, the sum and what to do next."""
    folder = next(exercise_folders(), None)
    files = sorted(folder.glob("*.ipynb")) if folder else []
    if not files:
        print("there is no folder exercises/ with notebooks here", file=sys.stderr)
        return 2
    status = 0
    best: dict[str, Report] = {}  # a copy beside its original counts once
    for file in files:
        report = graded(file, time_limit)
        if report is None:
            status = 2
        elif report.score >= best.get(report.exercise.name, report).score:
            best[report.exercise.name] = report
    width = max((len(report.file.stem) for report in best.values()), default=0)
    for report in best.values():
        print(
            f"{report.file.stem:<{width}}  {bar(report.score, report.possible)}  "
            f"{text.total(report.outcomes):<20}  {report.exercise.title}"
        )
    if best:
        outcomes = [outcome for report in best.values() for outcome in report.outcomes]
        steps = ((text.next_step(r.exercise, r.outcomes), r.file.name) for r in best.values())
        todo = next((f"{step}, in {name}" for step, name in steps if step), None)
        print(f"\nTotal: {text.total(outcomes)}\n{todo or 'All exercises are done.'}")
    return status


def bar(score: float, possible: float) -> str:
    """Draw a part of a whole; the bar is full only when nothing is left.

    Examples
    --------
    >>> bar(13, 18)
    '[##############......]'
    """
    filled = math.floor(BAR * score / possible) if possible else BAR
    return f"[{'#' * filled}{'.' * (BAR - filled)}]"


if __name__ == "__main__":
    # As after Ctrl-C, the learner's process and its folder go first.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    hang_up = getattr(signal, "SIGHUP", None)
    if hang_up and signal.getsignal(hang_up) is not signal.SIG_IGN:  # as nohup would have it
        signal.signal(hang_up, lambda *_: sys.exit(129))
    sys.exit(main())
