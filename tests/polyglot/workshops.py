"""A workshop for each language: it fetches the libraries once, and builds each program once.

All files lie in mailpact-polyglot/ below $XDG_CACHE_HOME or ~/.cache, one folder for each set of libraries, named after
the hash of the files that pin them. A folder is filled under a lock and gets a mark at the end; a folder without the
mark is filled again from the start. After the first run no network is used.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests import toolchains
from tests.polyglot.pages import html_program_on_page, program_on_page

HERE = Path(__file__).parent
FETCH_SECONDS, BUILD_SECONDS = 300, 900


class NotAvailable(Exception):
    """A language cannot be used on this machine; the message says what is missing and how to install it."""


class Workshop(ABC):
    """One language: its `title` for people, the `tools` it needs, and `pins`, the files that pin its libraries."""

    title: str
    suffix: str
    tools: tuple[str, ...]
    pins: tuple[str, ...]

    def __init__(self) -> None:
        """Find the tools and fetch the libraries; raises NotAvailable."""
        self._tools = {tool: self._found(tool) for tool in self.tools}
        self._sources = HERE / self.title.lower()
        self.folder = (
            _cache() / f"{self.title.lower()}-{_digest(*(self._sources / pin for pin in self.pins))}"
        )
        with _locked(self.folder):
            if not (self.folder / "complete").exists():
                self._begin()
                (self.folder / "complete").touch()

    @property
    def validator(self) -> list[str]:
        """Return the command of the program in this folder that validates instances against schemas."""
        (source,) = self._sources.glob("[vV]alidate.*")
        return self.program(source.stem, source.read_text(encoding="utf-8"))

    def program(self, name: str, source: str) -> list[str]:
        """Return the command that runs a program of one source file; build the program unless that was done before."""
        key = f"{name}-{hashlib.sha256(source.encode()).hexdigest()[:12]}"
        program, unfinished = self.folder / f"{key}{self.suffix}", self.folder / f"unfinished{self.suffix}"
        with _locked(self.folder):
            if not program.exists():
                shutil.rmtree(unfinished, ignore_errors=True)
                self._make(name, source, unfinished)
                unfinished.rename(program)
        return self._command(program, name)

    def on_page(self, heading: str) -> list[str]:
        """Return the command of the program under that heading of the language's page."""
        return self.program(heading, program_on_page(self.title.lower(), heading))

    def html_on_page(self) -> list[str]:
        """Return the command of the program that publishes HTML, from the language's page."""
        return self.program("Publish", html_program_on_page(self.title.lower()))

    @abstractmethod
    def _fetch(self) -> None:
        """Install the pinned libraries in the workshop's folder."""

    @abstractmethod
    def _command(self, program: Path, name: str) -> list[str]:
        """Return the command that runs a program."""

    def _make(self, name: str, source: str, target: Path) -> None:
        """Build the program at that place; a language without a compiler stores the source there."""
        del name
        target.write_text(source, encoding="utf-8")

    def _begin(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        for pin in self.pins:
            shutil.copy(self._sources / pin, self.folder)
        try:
            self._fetch()
        except (subprocess.SubprocessError, OSError) as error:
            raise NotAvailable(f"the libraries for {self.title} could not be fetched: {error}") from error

    def _found(self, tool: str) -> str:
        found = toolchains.installed(tool)
        if found is None:
            raise NotAvailable(toolchains.missing(tool, self.title))
        return found

    def _run(self, *words: str, seconds: int = FETCH_SECONDS, **variables: str) -> None:
        done = subprocess.run(
            [self._tools[words[0]], *words[1:]],
            cwd=self.folder,
            env=os.environ | variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
            check=False,
        )
        if done.returncode != 0:
            raise subprocess.SubprocessError(f"{' '.join(words)} says: {done.stdout.strip()[-2000:]}")


class Python(Workshop):
    """The Python that runs the tests, with their libraries."""

    title, suffix, tools, pins = "Python", ".py", (), ()

    def _fetch(self) -> None:
        """Do nothing: the libraries are installed already."""

    def _command(self, program: Path, name: str) -> list[str]:
        del name
        return [sys.executable, str(program)]


class Node(Workshop):
    """A folder of npm's packages, and programs beside them."""

    title, suffix, tools = "Node", ".mjs", ("node", "npm")
    pins = ("package.json", "package-lock.json", ".npmrc")

    def _fetch(self) -> None:
        self._run("npm", "ci", "--no-audit", "--no-fund", "--silent")

    def _command(self, program: Path, name: str) -> list[str]:
        del name
        return [self._tools["node"], str(program)]


class Go(Workshop):
    """A Go module, and programs that are compiled in it."""

    title, suffix, tools, pins = "Go", "", ("go",), ("go.mod", "go.sum")

    def _fetch(self) -> None:
        self._run("go", "mod", "download")

    def _make(self, name: str, source: str, target: Path) -> None:
        (self.folder / f"{name}.go").write_text(source, encoding="utf-8")
        options = {"GOFLAGS": "-mod=readonly -buildvcs=false", "GOPROXY": "off"}
        self._run("go", "build", "-o", target.name, f"{name}.go", seconds=BUILD_SECONDS, **options)

    def _command(self, program: Path, name: str) -> list[str]:
        del name
        return [str(program)]


class Java(Workshop):
    """A folder of libraries from Maven, and a folder of classes for each program."""

    title, suffix, tools, pins = "Java", "", ("java", "javac", "mvn"), ("pom.xml",)

    def _fetch(self) -> None:
        self._run("mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=libraries")

    def _make(self, name: str, source: str, target: Path) -> None:
        (self.folder / f"{name}.java").write_text(source, encoding="utf-8")
        self._run("javac", "-d", target.name, "-cp", "libraries/*", f"{name}.java", seconds=BUILD_SECONDS)

    def _command(self, program: Path, name: str) -> list[str]:
        return [self._tools["java"], "-cp", f"{program}{os.pathsep}{self.folder}/libraries/*", name]


class Rust(Workshop):
    """A package whose libraries are compiled once, and programs that are linked with the libraries."""

    title, suffix, tools, pins = "Rust", "", ("cargo",), ("Cargo.toml", "Cargo.lock.pinned")

    def _fetch(self) -> None:
        """Write the index's address, which cargo knows, into the lock; no file of the project names this address."""
        (self.folder / "src").mkdir()
        (self.folder / "src/main.rs").write_text("fn main() {}\n")
        self._run("cargo", "generate-lockfile", "--quiet")
        lock = self.folder / "Cargo.lock"
        source = next(line for line in lock.read_text().splitlines() if line.startswith("source = "))
        pinned = (self.folder / "Cargo.lock.pinned").read_text()
        lock.write_text(pinned.replace("\nchecksum", f"\n{source}\nchecksum"))
        self._run("cargo", "fetch", "--locked", "--quiet")

    def _make(self, name: str, source: str, target: Path) -> None:
        del name
        (self.folder / "src/main.rs").write_text(source, encoding="utf-8")
        self._run("cargo", "build", "--locked", "--offline", "--quiet", seconds=BUILD_SECONDS)
        shutil.copy(self.folder / "target/debug/polyglot", target)

    def _command(self, program: Path, name: str) -> list[str]:
        del name
        return [str(program)]


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mailpact-polyglot"


def _digest(*files: Path) -> str:
    found = hashlib.sha256()
    for file in files:
        found.update(file.read_bytes())
    return found.hexdigest()[:12]


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a lock on the folder against other runs; a process that dies releases the lock."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
