"""Compilers for the few tests that need one. Without it they are skipped, and the last lines of the run say so."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

from tests.servers.plugin import SERVERS

BUILD_SECONDS = 240


def toolchain(config: pytest.Config, program: str, title: str) -> str:
    """Find a compiler, or skip the test that asks."""
    # Go's own installer leaves the PATH to its user.
    found = shutil.which(program) or shutil.which(program, path="/usr/local/go/bin")
    if found is None:
        _absent(
            config,
            f"{title} is not available, because there is no {program} on the PATH",
            f"installing {title}",
        )
    return found


def build(command: list[str], folder: Path, **environment: str) -> None:
    """Run a compiler in a folder."""
    subprocess.run(command, cwd=folder, env=os.environ | environment, check=True, timeout=BUILD_SECONDS)


def go_build(config: pytest.Config, source: Path, program: Path) -> Path:
    """Build a Go program; its libraries and what is built stay in Go's own caches."""
    go = toolchain(config, "go", "Go")
    try:
        build([go, "mod", "download"], source)
    except subprocess.CalledProcessError:
        _absent(config, "Go's libraries are not available, because `go mod download` failed", "a network")
    build([go, "build", "-o", str(program), "."], source, GOFLAGS="-mod=readonly -buildvcs=false")
    return program


def _absent(config: pytest.Config, what: str, remedy: str) -> NoReturn:
    missing = f"{what}. Get it by: {remedy}."
    config.stash[SERVERS].missing.add(missing)
    pytest.skip(missing)
