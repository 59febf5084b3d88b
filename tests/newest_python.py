"""Run tests on the newest CPython of Debian's packages: `python -m tests.newest_python [pytest's arguments]`.

The interpreter is that of Debian sid, unpacked without root and run with its own C library (`tests/servers`). The
libraries are those of the locks, as wheels for that Python; nothing is compiled. No virtual environment is made: its
interpreter would be a link to a program that needs another loader.

Not every tool of the developers has wheels for the newest Python, so only the tools that the chosen tests need are
installed. Deprecation warnings from libraries do not fail a test, because this project cannot mend them.
"""

import os
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Final

from tests.servers.packages import NotAvailable, cache_folder, fetch

VERSION: Final = "3.15"
ROOT: Final = Path(__file__).parents[1]
TOOLS: Final = frozenset(
    ("pytest", "pytest-asyncio", "pytest-timeout", "pytest-xdist", "hypothesis", "iniconfig", "packaging", "pluggy",
     "execnet", "sortedcontainers")
)  # fmt: skip
CHOSEN: Final = ("tests/unit/capture", "tests/integration/capture")
EXIT_UNAVAILABLE: Final = 3


def main(words: list[str]) -> int:
    """Run the tests and return pytest's exit status; 3 if the interpreter cannot be installed."""
    try:
        root = fetch(f"python{VERSION}", "sid")
    except NotAvailable as error:
        _say(str(error))
        return EXIT_UNAVAILABLE
    python = root / f"usr/bin/python{VERSION}"
    libraries = _libraries(python)
    components = sorted({path.parent.parent for path in ROOT.glob("*/mailpact_*/__init__.py")})
    path = os.pathsep.join(map(str, [libraries, ROOT, *components]))
    command = [python, "-m", "pytest", "-q", "-W", "default::DeprecationWarning", *(words or CHOSEN)]
    return subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": path}, check=False).returncode


def _libraries(python: Path) -> Path:
    """Install the locked libraries into a folder of their own, and return the folder."""
    locks = (ROOT / "requirements/runtime.lock").read_text() + _tools(
        (ROOT / "requirements/dev.lock").read_text()
    )
    folder = cache_folder("sid") / f"libraries-{VERSION}"
    stamp = folder / "requirements.lock"
    if not stamp.exists() or stamp.read_text() != locks:
        _say(f"installing the libraries for CPython {VERSION}")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "wanted.lock").write_text(locks)
        uv = Path(sys.executable).with_name("uv")
        subprocess.run(
            [uv, "pip", "install", "--quiet", "--python", python, "--only-binary", ":all:", "--require-hashes",
             "--no-deps", "--target", folder, "-r", folder / "wanted.lock"],
            check=True,
        )  # fmt: skip
        stamp.write_text(locks)
    # Python takes sys.executable from its program's name, but this program runs only with its own loader.
    (folder / "sitecustomize.py").write_text(f"import sys\n\nsys.executable = {str(python)!r}\n")
    own = Path(str(metadata.distribution("mailpact").locate_file("")))
    for about in own.glob("mailpact-*.dist-info"):  # the package's version, and its plugin for pytest
        shutil.copytree(about, folder / about.name, dirs_exist_ok=True)
    return folder


def _tools(lock: str) -> str:
    """Return the lines of a lock for the tools that the tests use."""
    entries = re.split(r"^(?=[a-z0-9])", lock, flags=re.MULTILINE)
    return "".join(entry for entry in entries if re.split(r"[=\[; ]", entry, maxsplit=1)[0] in TOOLS)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201  # the progress


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
