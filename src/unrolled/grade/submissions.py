"""Find what a class has handed in, and read it without following where it may lead."""

import os
import re
import stat
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from unrolled.grade.errors import GradeError, Status

LARGEST = 50 * 2**20  # bytes of a file
MOODLE = re.compile(r"(_\d+)_assignsubmission_.*$")  # and before it the student's name
REPORT = ".grade.json"  # what stands beside a submission for its report


class Submission(NamedTuple):
    """A file that was handed in: where it is, its name below the class's folder, and by whom."""

    path: Path
    file: str
    student: str


class Found(NamedTuple):
    """What a class's folder holds.

    ``submissions``, in order; ``empty``, who has a folder or a file but no notebook; ``others``,
    the files beside the notebooks.
    """

    submissions: list[Submission]
    empty: list[str]
    others: list[str]


def find_submissions(folder: Path, exercises: Iterable[str] = ()) -> Found:
    """Return every notebook below a folder, in the order of their names.

    Hidden folders and files, such as ``.ipynb_checkpoints``, are no submissions. Links are listed
    and not followed: ``read_submission`` refuses them.

    Parameters
    ----------
    folder : path
    exercises : iterable of str
        Names of exercises, which a student's name in a file name is told from.
    """
    failed: list[OSError] = []
    tree = list(walk(folder, failed))
    exercises, shared = list(exercises), shared_names(folder, tree)
    found = Found([], [], [])
    filled: set[str] = set()
    for at, _, links, files in tree:
        for name in sorted([*files, *links]):
            path = at / name
            relative = path.relative_to(folder)
            if name.endswith(REPORT):
                continue
            if name.lower().endswith(".ipynb") or name in links:
                filled.add(relative.parts[0])
                student = student_of(relative, exercises, shared)
                found.submissions.append(Submission(path, printable(str(relative)), student))
            elif len(relative.parts) == 1:  # a student's, who handed in something else
                found.empty.append(printable(name))
            else:
                found.others.append(printable(str(relative)))
    for error in failed:  # nobody knows what is in there
        path = Path(error.filename)
        relative = path.relative_to(folder)
        filled.add(relative.parts[0] if relative.parts else "")
        found.submissions.append(
            Submission(path, printable(str(relative)), student_of(relative / "x", [], shared))
        )
    top = next((folders for at, folders, _, _ in tree if at == folder), [])
    students = {name: student_of(Path(name, "x"), [], shared) for name in top}
    have = {students.get(name) for name in filled}
    # Each once: Moodle may give a student several folders, one a kind of answer.
    found.empty.extend(dict.fromkeys(name for name in students.values() if name not in have))
    found.submissions.sort(key=lambda submission: submission.file)
    found.others.sort()
    return found


class Level(NamedTuple):
    """A folder, and the names in it: of folders, of links to folders, and of all the rest."""

    at: Path
    folders: list[str]
    links: list[str]
    files: list[str]


def walk(folder: Path, failed: list[OSError]) -> Iterator[Level]:
    """Yield a folder and all below it, without what is hidden; collect what could not be read.

    ``os.walk`` of Python 3.11 calls itself, and fails in a tree of a thousand levels.
    """
    waiting = [folder]
    while waiting:
        level = Level(waiting.pop(), [], [], [])
        try:
            with os.scandir(level.at) as entries:
                for entry in entries:
                    if is_hidden(entry.name):
                        continue
                    try:
                        is_folder = entry.is_dir()
                    except OSError:  # a link that leads to itself, or to where nobody may look
                        is_folder = False
                    kind = level.links if entry.is_symlink() else level.folders
                    (kind if is_folder else level.files).append(entry.name)
        except OSError as error:
            failed.append(error)
            continue
        level.folders.sort()
        waiting += [level.at / name for name in level.folders]
        yield level


def is_link(path: Path) -> bool:
    """Tell whether a path is a link; a path that is too long to be opened is none."""
    try:
        return path.is_symlink()
    except OSError:
        return False


def is_hidden(name: str) -> bool:
    """Tell the files and folders that systems and editors leave behind; a notebook is none."""
    notebook = name.lower().endswith(".ipynb") and not name.startswith(("._", ".~"))
    return (name.startswith(".") and not notebook) or name == "__MACOSX"


def shared_names(folder: Path, tree: Iterable[Level]) -> set[str]:
    """Return the names below a folder that Moodle has given more than one number."""
    numbers: dict[str, set[str]] = defaultdict(set)
    for at, folders, _, files in tree:
        for name in [*folders, *files]:
            if found := MOODLE.search(name):
                numbers[without_moodle((at / name).relative_to(folder))].add(found[1])
    return {name for name, own in numbers.items() if len(own) > 1}


def without_moodle(folder: Path, shared: Container[str] = ()) -> str:
    """Return a folder's path without what Moodle adds, but for the number in a shared name."""
    bare: list[str] = []
    named: list[str] = []
    for part in folder.parts:
        bare.append(MOODLE.sub("", part))
        named.append(MOODLE.sub(r"\1", part) if "/".join(bare) in shared else bare[-1])
    return "/".join(named)


def student_of(relative: Path, exercises: Iterable[str], shared: Container[str] = ()) -> str:
    """Return a student's name: the folder's if there is one, else the file's without the exercise.

    Moodle's number stays in a name of ``shared``, which several students have.

    Examples
    --------
    >>> for file in ("wang/05_lstm.ipynb", "05_lstm_wang.ipynb", "wang_05_lstm (1).ipynb"):
    ...     print(student_of(Path(file), ["05_lstm"]))
    wang
    wang
    wang
    """
    if len(relative.parts) > 1:
        return printable(without_moodle(relative.parent, shared))
    if MOODLE.search(relative.name):
        return printable(without_moodle(relative, shared))
    name = relative.stem
    for exercise in sorted(exercises, key=len, reverse=True):  # 05_lstm_2026 before 05_lstm
        own = re.escape(exercise)
        for pattern in (rf"[\s_.-]*{own}(?:[\s_-]*\(?\d+\)?)?$", rf"^{own}[\s_.-]+"):
            if (shorter := re.sub(pattern, "", name)) not in ("", name):
                return printable(shorter)
    return printable(name)


def printable(name: str) -> str:
    """Return a file's name as text that can be written anywhere, whatever its bytes are."""
    name = name.replace("\\", r"\\")  # so that no other name is written alike
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def read_submission(path: Path) -> bytes:
    """Return the contents of a regular file.

    Raises
    ------
    GradeError
        If it is a link or anything else that is no file, too large, or cannot be read.
    """
    try:
        # Not to wait: a pipe under a notebook's name would never answer.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if is_link(path):
            raise GradeError("is a link; hand in the notebook itself", Status.LINK) from error
        raise GradeError(f"cannot be read ({error.strerror})", Status.NOT_READABLE) from error
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise GradeError("is not a file", Status.NOT_READABLE)
        try:
            data = file.read(LARGEST + 1)
        except OSError as error:
            raise GradeError(f"cannot be read ({error.strerror})", Status.NOT_READABLE) from error
    if len(data) > LARGEST:
        raise GradeError(
            f"is larger than {LARGEST // 2**20} MB; clear all outputs and save it again",
            Status.TOO_LARGE,
        )
    return data
