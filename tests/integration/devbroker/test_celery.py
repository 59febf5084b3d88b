"""Celery as in its documentation: a worker in a process of its own, tasks with results, retries, remote control."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.command import environment

WAIT_SECONDS = 120
TASKS = """
import json, os
from celery import Celery

app = Celery("tasks", broker=os.environ["BROKER_URL"], backend="rpc://")

@app.task
def add(a, b):
    return a + b

@app.task(bind=True, default_retry_delay=0, max_retries=3)
def at_the_third_try(self):
    if self.request.retries < 2:
        raise self.retry()
    return self.request.retries

if __name__ == "__main__":
    results = [add.delay(number, number) for number in range(20)]
    sums = [result.get(timeout=60) for result in results]
    tries = at_the_third_try.delay().get(timeout=60)
    print(json.dumps([sums, tries, app.control.ping(timeout=20, limit=1)]))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a module of tasks; run as a program, the module sends the tasks and prints their results."""
    (tmp_path / "tasks.py").write_text(TASKS)
    return tmp_path


@pytest.fixture
def worker_log(folder: Path, devbroker: Any) -> Iterator[Callable[[], str]]:
    """Start `celery worker` on the development broker; return a function that reads its log."""
    log = folder / "worker.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "tasks", "worker", "--pool", "solo", "--loglevel", "info"],
            cwd=folder,
            env=environment(BROKER_URL=devbroker.url),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    yield log.read_text
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.timeout(2 * WAIT_SECONDS)
async def test_a_worker_runs_tasks_and_answers_remote_control(
    devbroker: Any, worker_log: Callable[[], str], folder: Path
) -> None:
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "tasks.py"),
        cwd=folder,
        env=environment(BROKER_URL=devbroker.url),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await asyncio.wait_for(program.communicate(), WAIT_SECONDS)

    assert program.returncode == 0, printed.decode() + worker_log()
    sums, tries, pong = json.loads(printed)
    assert (sums, tries) == ([2 * number for number in range(20)], 2)
    assert [list(answer.values()) for answer in pong] == [[{"ok": "pong"}]]
    log = worker_log()
    assert "ready." in log
    assert "Traceback" not in log
