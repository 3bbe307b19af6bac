"""Grade one submission in a process of its own, which nothing in it can prevent from ending."""

import json
import multiprocessing
import os
import queue
import resource
import select
import signal
import tempfile
import threading
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from unrolled.grade.child import limit
from unrolled.grade.errors import GradeError, Status, tidy
from unrolled.grade.exercises import Exercise, Outcome
from unrolled.grade.run import grade_submission
from unrolled.grade.sandbox import Sandbox, Scratch

TOTAL = 5  # time limits that a whole notebook may take
GRACE = 60.0  # seconds after that, in which the grader itself must come to an end
SOCKET = 74  # bytes of a folder's path that leave room for the name of the server's socket in it
MEMORY = 3 * 2**30  # bytes of address space for the checks, whatever answers they are given


class Settings(NamedTuple):
    """How a class is graded: see ``grade_submission``."""

    sandbox: Sandbox
    time_limit: float
    exercise: str
    definitions: Path
    seed: int


class Workers:
    """Starts a process for each submission, and can end all of them.

    The processes come from a server that has imported what grading needs: each starts at once.

    Raises
    ------
    GradeError
        If the path of the folder for temporary files is too long.
    """

    def __init__(self, settings: Settings, jobs: int) -> None:
        if len(os.fsencode(folder := tempfile.gettempdir())) > SOCKET:
            raise GradeError(
                f"{folder} is too long a path for a socket; set TMPDIR to a shorter one"
            )
        self._settings = settings
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([__name__, "otter.test_files"])
        self._lock = threading.Lock()
        self._running: set[Any] = set()
        self._stopped = False
        self._free: queue.SimpleQueue[Sandbox] = queue.SimpleQueue()
        for _ in range(jobs):
            self._free.put(settings.sandbox.for_worker())

    def stop(self) -> None:
        """End every process that runs, and start no other."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                process.kill()

    def grade(self, data: bytes) -> dict[str, Any]:
        """Return the report on a submission's bytes, whatever happens to the process.

        Raises
        ------
        InterruptedError
            After ``stop``.
        """
        own = self._free.get()
        try:
            return self._graded(data, self._settings._replace(sandbox=own))
        finally:
            with suppress(Exception):  # whatever happens, another may go on here
                own = own if own.clear() else own.for_worker()
            self._free.put(own)

    def _graded(self, data: bytes, settings: Settings) -> dict[str, Any]:
        deadline = time.monotonic() + TOTAL * settings.time_limit + GRACE
        message = "the grader stopped; please report it, with the notebook"
        report: dict[str, Any] = {"status": Status.NOT_GRADED, "message": message, "questions": []}
        with Scratch() as folder:
            Path(folder).chmod(0o711)  # without bubblewrap the learner's own folder is in it
            link, theirs = self._context.Pipe(duplex=False)
            process = self._context.Process(target=work, args=(theirs, data, settings, folder))
            with self._lock:
                if self._stopped:
                    raise InterruptedError
                process.start()
                self._running.add(process)
            theirs.close()
            try:
                while True:
                    if not link.poll(max(deadline - time.monotonic(), 0)):
                        report |= {
                            "status": Status.TIMEOUT,
                            "message": "a check did not come to an end",
                        }
                        break
                    report |= json.loads(link.recv_bytes())
            except (EOFError, OSError):
                pass  # it has ended, with or without its last word
            finally:
                process.join(1)  # else its number might be another's by now
                process.kill()
                process.join()
                link.close()
                with self._lock:
                    self._running.discard(process)
        if self._stopped:
            raise InterruptedError
        return report


def work(link: Connection, data: bytes, settings: Settings, folder: str) -> None:
    """Grade a submission, and send what is known of it: the outcomes so far, then the rest."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the class's own process ends this one
    threading.Thread(target=end_with, args=(link.fileno(),), daemon=True).start()
    limit(resource.RLIMIT_CORE, 0)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
    os.chdir(folder)
    tempfile.tempdir = folder
    known: dict[str, Outcome] = {}

    def send(**report: Any) -> None:
        link.send_bytes(json.dumps(report).encode())

    def told(exercise: Exercise, outcome: Outcome) -> None:
        known[outcome.name] = outcome
        late = (Outcome(q.name, 0.0, q.points, "was not reached") for q in exercise.questions)
        questions = [known.get(other.name, other)._asdict() for other in late]
        send(exercise=exercise.name, title=exercise.title, questions=questions)

    try:
        report = grade_submission(
            data,
            sandbox=settings.sandbox,
            time_limit=settings.time_limit,
            total_limit=TOTAL * settings.time_limit,
            exercise=settings.exercise,
            folder=settings.definitions,
            seed=settings.seed,
            told=told,
        )
    except GradeError as error:
        send(status=error.status, message=str(error), questions=[])
        return
    send(
        exercise=report.exercise.name,
        title=report.exercise.title,
        status=report.status,
        message="",
        reason=tidy(report.reason) if report.reason else "",
        questions=[outcome._asdict() for outcome in report.outcomes],
        cpu=round(report.cpu + time.process_time(), 2),
        memory=report.memory,
        greedy=report.greedy,
        short=report.short,
    )


def end_with(pipe: int) -> None:
    """End this process when nobody reads from a pipe any more: the class's own has been killed."""
    waiting = select.poll()
    waiting.register(pipe, 0)  # for no event; that of the other end's closing comes unasked
    waiting.poll()
    os._exit(1)
