"""Runs one command in several processes: starts them, forwards signals, and restarts processes that were killed.

The processes are forked before anything is connected. If a process ends by itself with an error code, all processes
end; otherwise a wrong setting would be tried for ever. A process that was killed is started again after a second.
"""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType

import structlog

RESTART_SECONDS = 1.0
WORKER_KILLED = 3
PR_SET_PDEATHSIG = 1  # prctl(2)

log = structlog.get_logger()


def run_workers(count: int, work: Callable[[int], int]) -> int:
    """Run `work` with the numbers from 0 in as many processes until all have ended; return the exit code."""
    return _Workers(work).run(count)


class _Workers:
    def __init__(self, work: Callable[[int], int]) -> None:
        self._work = work
        self._numbers: dict[int, int] = {}
        self._is_stopping = False

    def run(self, count: int) -> int:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        for worker in range(count):
            self._start(worker)
        code = 0
        while self._numbers:
            pid, status = os.wait()  # a signal does not end the wait (PEP 475); its handler runs first
            worker = self._numbers.pop(pid)
            ended = os.waitstatus_to_exitcode(status)
            if ended < 0 and not self._is_stopping:
                log.error("a worker was killed and is started again", worker=worker, signal=-ended)
                time.sleep(RESTART_SECONDS)
                self._start(worker)
            elif ended:
                code = code or (ended if ended > 0 else WORKER_KILLED)
                self._stop(signal.SIGTERM, None)
        return code

    def _start(self, worker: int) -> None:
        pid = os.fork()
        if pid == 0:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            code = 1
            try:
                _end_with_parent()
                code = self._work(worker)
            finally:
                os._exit(code)
        self._numbers[pid] = worker
        if self._is_stopping:
            os.kill(pid, signal.SIGTERM)

    def _stop(self, number: int, _: FrameType | None) -> None:
        self._is_stopping = True
        for pid in self._numbers:
            os.kill(pid, number)


def _end_with_parent() -> None:
    """Make the kernel stop this process when its parent is killed (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
