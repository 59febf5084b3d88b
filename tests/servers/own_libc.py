"""Programs of another Debian release, run with that release's own C library, on a machine that has an older one.

A program names its loader by an absolute path, and so always gets the machine's libraries. Here each program moves into
a folder `own-libc` beside its old place. There a script of two lines calls the program through the loader of its own
release, with the folders of its libraries. A program of the machine that this program starts, such as `/bin/sh`, still
gets the machine's libraries, which LD_LIBRARY_PATH would prevent.
"""

import re
from pathlib import Path

PROGRAM_FOLDERS = ("usr/bin", "usr/sbin", "usr/lib/erlang")
# Below usr/lib. Packages keep libraries of their own in all but the first, and name some of these by an absolute path.
LIBRARY_FOLDERS = (
    *("*-linux-gnu*", "*-linux-gnu*/nss", "*-linux-gnu*/pulseaudio", "*-linux-gnu*/systemd"),
    *("mysql/private", "postfix"),
)
MARKER = "own-libc"
LOADER = re.compile(rb"(/lib\w*/ld-[^\0]+)\0")
HEAD_BYTES = 4096  # linkers write the loader's path behind the program headers, at the file's beginning


def use(root: Path) -> None:
    """Make each program below a root use the libraries of that root; raise FileNotFoundError if a loader is missing."""
    libraries = libraries_of(root)
    for program in [path for folder in PROGRAM_FOLDERS for path in (root / folder).rglob("*")]:
        if loader := loader_of(program):
            own = next(root.glob(f"usr/lib*/**/{Path(loader).name}"), None)
            if own is None:
                raise FileNotFoundError(f"{root} has no {Path(loader).name}")
            (program.parent / MARKER).mkdir(exist_ok=True)
            moved = program.rename(program.parent / MARKER / program.name)
            words = f'"{own}" --inhibit-cache --library-path "{libraries}" "{moved}" "$@"'
            program.write_text(f"#!/bin/sh\nexec {words}\n")
            program.chmod(0o755)
    (root / MARKER).touch()


def libraries_of(root: Path) -> str:
    """Return the folders of the libraries of an unpacked root, with colons between."""
    return ":".join(str(folder) for name in LIBRARY_FOLDERS for folder in (root / "usr/lib").glob(name))


def loader_of(file: Path) -> str | None:
    """Return the loader's path that an ELF program carries; None for a library, a script, a link or a folder."""
    if file.is_symlink() or not file.is_file():
        return None
    with file.open("rb") as content:
        head = content.read(HEAD_BYTES)
    found = LOADER.search(head) if head.startswith(b"\x7fELF") else None
    return found[1].decode() if found else None
