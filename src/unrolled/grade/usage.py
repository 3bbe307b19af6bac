"""What a sandbox's processes use, while they run."""

import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PAUSE = 0.2  # seconds between two looks: time enough to fill a gigabyte, not a machine
LEAST = 2**29  # bytes that a machine must have free, whoever holds the rest
SHARED = "/dev/zero (deleted)"  # what memory is called that processes share and no file names
BURST = 2.0  # seconds of CPU that processes may use beyond one core's: others want to be graded


class Usage:
    """Adds up the CPU time and finds the peak memory of processes and all that they start.

    Both are samples: what a process did after the last look is not in them.

    Attributes
    ----------
    cpu : float
        Seconds, of all processes that were watched.
    memory : int
        Bytes that they held together at the worst look; shared pages count for each.
    excess : str
        Why the last process was ended, if it was; empty otherwise.
    greedy : bool
        Whether any process was, for what it took: others may have had too little meanwhile.
    short : bool
        Whether any process was because the machine had no memory left, whoever had taken it.
    """

    def __init__(self) -> None:
        self.cpu, self.memory, self.excess = 0.0, 0, ""
        self.greedy = self.short = False
        self._start = time.monotonic()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def watch(
        self, process: "subprocess.Popen[bytes]", most: int, others: Callable[[], list[Any]]
    ) -> None:
        """Watch a process until ``stop``, and end it when it holds more than ``most`` bytes.

        ``others`` returns processes that count as well, though they are not below that one.
        """
        self.excess, self._stopped = "", threading.Event()
        args = (process.pid, most, others, self._stopped)
        self._thread = threading.Thread(target=self._look, args=args, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look for the last time, and stop."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _look(
        self, pid: int, most: int, others: Callable[[], list[Any]], stopped: threading.Event
    ) -> None:
        import psutil

        before, seconds = self.cpu, dict[int, float]()
        try:
            first = psutil.Process(pid)
        except psutil.Error:
            return
        while True:
            last = stopped.wait(PAUSE)
            held = 0
            try:
                family = {first, *first.children(recursive=True), *others()}
            except psutil.Error:
                return
            for process in family:
                try:
                    with process.oneshot():
                        times = process.cpu_times()
                        seconds[process.pid] = times.user + times.system
                        held += process.memory_info().rss + shared(process.pid)
                except psutil.Error:
                    continue
            self.cpu = before + sum(seconds.values())
            self.memory = max(self.memory, held)
            if not self.excess and held > most:
                self.excess, self.greedy = f"it held more than {most / 2**30:g} GB of memory", True
            # Buffers of sockets, for one, are in no process's account.
            if not self.excess and psutil.virtual_memory().available < LEAST:
                self.excess, self.short = "the machine had no memory left", True
            if not self.excess and self.cpu > time.monotonic() - self._start + BURST:
                self.excess, self.greedy = "its processes kept more than one core busy", True
            if self.excess:
                for process in family:
                    try:
                        process.kill()
                    except psutil.Error:
                        continue
            if last:
                return


def shared(pid: int) -> int:
    """Return the bytes that a process has mapped to share: it may hold them unseen, as files.

    Examples
    --------
    >>> import mmap, os
    >>> before = shared(os.getpid())
    >>> with mmap.mmap(-1, 2**20):
    ...     shared(os.getpid()) - before in (2**20, 0)  # 0 where the system does not tell
    True
    """
    size = 0
    try:
        with Path(f"/proc/{pid}/maps").open(encoding="utf-8", errors="replace") as maps:
            for line in maps:
                if line.rstrip().endswith(SHARED):
                    first, _, last = line.partition(" ")[0].partition("-")
                    size += int(last, 16) - int(first, 16)
    except OSError:
        return 0
    return size
