"""Fixtures: the published contracts, as the command writes them, and tools from npm with which others read them."""

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.command import run
from tests.documentation import documentation
from tests.toolchains import skip_without, toolchain

NODE = Path(__file__).with_name("node")
INSTALL_SECONDS = 240
SITE_SECONDS = 200  # publishing takes 4 s of processor time


@pytest.fixture(scope="session")
def edition(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder as `mailpact contracts publish` makes it."""
    out = tmp_path_factory.mktemp("published") / "out"
    done = run("contracts", "publish", "--out", str(out), seconds=SITE_SECONDS)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="session")
def node_tools(pytestconfig: pytest.Config) -> Path:
    """Return a folder with the locked packages of `node/`, fetched once (10 s) and kept beside other caches (85 MB)."""
    for program in ("node", "npm"):
        toolchain(pytestconfig, program, "Node.js")
    lock = (NODE / "package-lock.json").read_bytes()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mailpact-test-node"
    try:
        return _installed(cache, hashlib.sha256(lock).hexdigest()[:12])
    except (subprocess.SubprocessError, OSError) as error:
        skip_without(pytestconfig, f"@asyncapi/parser and TypeScript could not be fetched by npm: {error}")


def _installed(cache: Path, version: str) -> Path:
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / version
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            unfinished = cache / "unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)
            shutil.copytree(NODE, unfinished)
            command = ["npm", "ci", "--no-audit", "--no-fund", "--silent"]
            subprocess.run(command, cwd=unfinished, check=True, timeout=INSTALL_SECONDS)
            unfinished.rename(folder)
    return folder


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder as `mailpact contracts docs` makes it (4 s)."""
    return documentation(tmp_path_factory)
