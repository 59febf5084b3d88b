"""Compilers for the few tests that need one. A test without its compiler is skipped and named at the end of the run."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

from tests.servers.plugin import SERVERS

BUILD_SECONDS = 240


def installed(program: str) -> str | None:
    """Return the path of a program: on the PATH, or in a folder where installers put it without changing the PATH."""
    usual = os.pathsep.join(("/usr/local/go/bin", str(Path.home() / ".cargo/bin")))
    return shutil.which(program) or shutil.which(program, path=usual)


def missing(program: str, title: str) -> str:
    """Return the sentence that a language cannot be used, and how to install it."""
    return (
        f"{title} is not available, because there is no {program} on the PATH. Get it by: installing {title}."
    )


def skip_without(config: pytest.Config, what: str) -> NoReturn:
    """Skip the test; the last lines of the run say what is missing, and with CI=true the test fails."""
    config.stash[SERVERS].missing.add(what)
    pytest.skip(what)


def toolchain(config: pytest.Config, program: str, title: str) -> str:
    """Return the path of a compiler, or skip the test."""
    return installed(program) or skip_without(config, missing(program, title))


def build(command: list[str], folder: Path, **environment: str) -> None:
    """Run a compiler in a folder."""
    subprocess.run(command, cwd=folder, env=os.environ | environment, check=True, timeout=BUILD_SECONDS)


def go_build(config: pytest.Config, source: Path, program: Path) -> Path:
    """Build a Go program; its libraries and the compiler's results stay in Go's own caches."""
    go = toolchain(config, "go", "Go")
    try:
        build([go, "mod", "download"], source)
    except subprocess.CalledProcessError:
        skip_without(
            config,
            "Go's libraries are not available, because `go mod download` failed. Get it by: a network.",
        )
    build([go, "build", "-o", str(program), "."], source, GOFLAGS="-mod=readonly -buildvcs=false")
    return program
