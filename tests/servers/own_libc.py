"""Programs of another Debian release, run with that release's own C library, on a machine that has an older one.

A program names its loader by an absolute path, and so always gets the machine's libraries. Here each program steps
aside (`beam.smp` becomes `beam.smp.program`), and a two-line script of its old name calls it through the loader of its
own release, which is told the folders of its libraries. Nothing is handed down: what the program starts in turn, such
as the machine's `/bin/sh`, finds the machine's libraries as ever. LD_LIBRARY_PATH would break exactly that.
"""

import struct
from pathlib import Path

PROGRAM_FOLDERS = ("usr/bin", "usr/sbin", "usr/lib/erlang")
# Beside the usual folder: what packages keep for themselves and name by an absolute path.
PRIVATE_LIBRARIES = ("usr/lib/*-linux-gnu/systemd", "usr/lib/mysql/private")
MARKER = "own-libc"
PT_INTERP = 3  # elf.h: the program header that names the loader
PROGRAM_HEADERS = struct.Struct("<32xQ14xHH")  # Elf64_Ehdr, little-endian: e_phoff, e_phentsize, e_phnum
PROGRAM_HEADER = struct.Struct("<I4xQ16xQ")  # Elf64_Phdr: p_type, p_offset, p_filesz


class NoLoader(Exception):
    """An unpacked root has no loader of the name that one of its programs asks for; the message names both."""


def is_used(root: Path) -> bool:
    """Return whether the programs of a root bring their own C library."""
    return (root / MARKER).exists()


def use(root: Path) -> None:
    """Let every program below a root run with the libraries of that root; raise NoLoader."""
    folders = [folder for place in ("usr/lib/*-linux-gnu", *PRIVATE_LIBRARIES) for folder in root.glob(place)]
    libraries = ":".join(str(folder) for folder in sorted(folders))
    for program in _files(root):
        if loader := loader_of(program):
            _wrap(program, _own_loader(root, loader), libraries)
    (root / MARKER).touch()


def loader_of(file: Path) -> str | None:
    """Return the loader's path that a 64-bit ELF program carries; None for a library, a script or anything else."""
    with file.open("rb") as content:
        if content.read(6) != b"\x7fELF\x02\x01":
            return None
        content.seek(0)
        offset, size, number = PROGRAM_HEADERS.unpack(content.read(PROGRAM_HEADERS.size))
        for index in range(number):
            content.seek(offset + index * size)
            kind, place, length = PROGRAM_HEADER.unpack(content.read(PROGRAM_HEADER.size))
            if kind == PT_INTERP:
                content.seek(place)
                return content.read(length).rstrip(b"\0").decode()
    return None


def _files(root: Path) -> list[Path]:
    places = (path for folder in PROGRAM_FOLDERS for path in (root / folder).rglob("*"))
    return [path for path in places if path.is_file() and not path.is_symlink()]


def _own_loader(root: Path, loader: str) -> Path:
    found = sorted(root.glob(f"usr/lib*/**/{Path(loader).name}"))
    if not found:
        raise NoLoader(f"{root} has no {Path(loader).name}")
    return found[0]


def _wrap(program: Path, loader: Path, libraries: str) -> None:
    moved = program.rename(program.with_name(f"{program.name}.program"))
    program.write_text(
        f'#!/bin/sh\nexec "{loader}" --inhibit-cache --library-path "{libraries}" "{moved}" "$@"\n'
    )
    program.chmod(0o755)
