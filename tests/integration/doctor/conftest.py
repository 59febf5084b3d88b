"""Fixtures: the command `mailpact doctor`, and checks of its findings."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest

from tests import command

Doctor = Callable[..., Awaitable[dict[str, dict[str, str]]]]


@pytest.fixture
def doctor(tmp_path: Path) -> Doctor:
    """Run `mailpact doctor --json …` and return the finding for each checked thing, and the exit code in `exit`."""

    async def examine(*words: str) -> dict[str, dict[str, str]]:
        job = partial(command.run, "doctor", "--json", *words, cwd=tmp_path, seconds=150)
        done = await asyncio.to_thread(job)
        assert done.stderr == ""
        findings = {finding["about"]: finding for finding in json.loads(done.stdout)["findings"]}
        return findings | {"exit": {"code": str(done.returncode)}}

    return examine


def is_wrong(findings: dict[str, dict[str, str]], about: str, found: str, advice: str) -> bool:
    """Return whether the finding exists with this advice, and the command's exit code is 1."""
    finding = findings[about]
    assert found in finding["found"], finding
    assert advice in finding["advice"], finding
    return (finding["verdict"], findings["exit"]["code"]) == ("wrong", "1")
