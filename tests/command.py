"""Run the command in a process of its own, without Mailpact's settings from the environment."""

import os
import subprocess
import sys
from pathlib import Path

MAILPACT = (sys.executable, "-m", "mailpact_cli")


def environment(**variables: str) -> dict[str, str]:
    """Return this environment without Mailpact's settings, and with the given variables."""
    return {name: text for name, text in os.environ.items() if not name.startswith("MAILPACT_")} | variables


def run(
    *arguments: str, cwd: Path | None = None, seconds: float = 50, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run `mailpact …` to its end."""
    return subprocess.run(
        [*MAILPACT, *arguments],
        cwd=cwd,
        env=environment(**variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
