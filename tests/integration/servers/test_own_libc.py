"""A program of another release uses that release's libraries; programs that it starts use the machine's libraries."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import own_libc, packages

MACHINES_LIBRARIES = "/lib/*-linux-gnu*"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a root folder as packages would be unpacked: two programs and the C library, copied from this machine."""
    loader = own_libc.loader_of(Path("/bin/cat").resolve())
    assert loader is not None, "this machine's programs are not 64-bit ELF"
    root = tmp_path / "a root"
    libraries, programs = root / "usr/lib/some-linux-gnu", root / "usr/bin"
    libraries.mkdir(parents=True)
    programs.mkdir()
    shutil.copy(loader, libraries)
    for folder in Path("/").glob(MACHINES_LIBRARIES[1:]):
        for library in folder.glob("libc.so.6"):
            shutil.copy(library, libraries)
    for program in ("cat", "echo", "env"):
        shutil.copy(f"/bin/{program}", programs)
    return root


def said(*words: str | Path) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=10).stdout


def c_libraries(maps: str) -> set[str]:
    return {line.partition("/")[2] for line in maps.splitlines() if "/libc" in line and ".so" in line}


def test_program_runs_with_the_libraries_of_its_root_alone(root: Path) -> None:
    own_libc.use(root)

    used = c_libraries(said(root / "usr/bin/cat", "/proc/self/maps"))

    assert used == {str(root / "usr/lib/some-linux-gnu/libc.so.6")[1:]}


def test_what_it_starts_in_turn_has_the_machines_libraries(root: Path) -> None:
    own_libc.use(root)

    used = c_libraries(said(root / "usr/bin/env", "/bin/cat", "/proc/self/maps"))

    assert used
    assert not [path for path in used if str(root)[1:] in path]


def test_arguments_arrive_as_they_are(root: Path) -> None:
    own_libc.use(root)

    assert said(root / "usr/bin/echo", "two  words", "*", "") == "two  words * \n"


def test_its_libraries_are_not_offered_to_anybody_else(root: Path) -> None:
    before = packages.library_path(root)
    own_libc.use(root)

    assert before == {"LD_LIBRARY_PATH": str(root / "usr/lib/some-linux-gnu")}
    assert packages.library_path(root) == {}


def test_root_without_the_loader_is_said(root: Path) -> None:
    shutil.rmtree(root / "usr/lib")

    with pytest.raises(FileNotFoundError, match="has no ld"):
        own_libc.use(root)


def test_scripts_and_libraries_are_no_programs(root: Path) -> None:
    (root / "usr/bin/script").write_text("#!/bin/sh\n")
    extension = next(Path(sys.prefix).glob("lib/python*/site-packages/**/*.so"))

    assert [own_libc.loader_of(file) for file in (root / "usr/bin/script", extension)] == [None, None]


def test_loader_is_found_right_behind_other_bytes(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF" + bytes(100) + b"6/lib64/ld-linux-x86-64.so.2\0")

    assert own_libc.loader_of(program) == "/lib64/ld-linux-x86-64.so.2"
