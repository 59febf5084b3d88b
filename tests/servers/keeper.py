"""Outlives a test run to clean up after it: `python keeper.py FOLDER`, with its standard input a pipe from the run.

The pipe ends when the run's process does, in whatever way, SIGKILL included. Then the keeper does, for FOLDER:

1. it runs the commands in `farewell/*.json` (each file one list of words; `docker compose down` is one);
2. it kills every process whose environment has TEST_RUN_FOLDER=FOLDER, until there is none, and waits for their end;
3. it removes FOLDER.

The environment is inherited, so grandchildren and daemons are found too, and no process of anybody else's can be meant.
This file is run as a program by itself and imports nothing of ours.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

VARIABLE = "TEST_RUN_FOLDER"  # not MAILPACT_…: tests of the command keep those from it
FAREWELL_SECONDS = 60
SWEEP_SECONDS = 30


def processes_of(folder: Path) -> list[int]:
    """Return the processes that were started in a run's folder. Reads /proc, where another user's are unreadable."""
    entry = f"{VARIABLE}={folder}".encode()
    found = []
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        try:
            variables = (process / "environ").read_bytes().split(b"\0")
        except OSError:  # ended meanwhile, or not ours
            continue
        if entry in variables:
            found.append(int(process.name))
    return found


def has_ended(process: int) -> bool:
    """Return whether every thread is over. One that dies gives up its environment first and its ports last."""
    try:
        threads = list(Path(f"/proc/{process}/task").iterdir())
    except OSError:
        return True
    for thread in threads:
        try:
            state = (thread / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:  # ended meanwhile
            continue
        if state not in {"Z", "X"}:
            return False
    return True


def say_farewell(folder: Path) -> None:
    """Run the commands that end what lives outside of this machine's process table."""
    for file in sorted((folder / "farewell").glob("*.json")):
        words = json.loads(file.read_text())
        try:
            subprocess.run(
                words, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=FAREWELL_SECONDS
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            sys.stderr.write(f"{words[0]}: {error}\n")


def sweep(folder: Path) -> None:
    """Kill what was started in the folder, and remove it."""
    say_farewell(folder)
    deadline = time.monotonic() + SWEEP_SECONDS
    dying: set[int] = set()
    while time.monotonic() < deadline:
        living = processes_of(folder)
        dying = {process for process in (*dying, *living) if not has_ended(process)}
        if not dying:
            break
        for process in living:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.01)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.stdin.buffer.read()
    sweep(Path(sys.argv[1]))
