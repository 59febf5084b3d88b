"""The contracts' documentation, made once in a run because it takes four seconds of processor time."""

import fcntl
import os
from pathlib import Path

import pytest

from tests.command import run

SITE_SECONDS = 200


def documentation(factory: pytest.TempPathFactory) -> Path:
    """Return a folder written by `mailpact contracts docs`, the same one in all workers of a run."""
    folder = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    out = folder / "documentation"
    with (folder / "documentation.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not out.exists():
            unfinished = folder / "documentation.unfinished"
            done = run("contracts", "docs", "--out", str(unfinished), seconds=SITE_SECONDS)
            assert done.returncode == 0, done.stderr
            unfinished.rename(out)
    return out
