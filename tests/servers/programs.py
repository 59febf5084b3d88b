"""Programs that tests run: browser, mail sink, proxy and others. Installed ones first, else from Debian's packages."""

from dataclasses import dataclass
from pathlib import Path

from tests.servers import packages
from tests.servers.packages import PackageSet
from tests.servers.run_folder import installed


@dataclass(frozen=True, slots=True)
class ProgramName:
    """What a program is called where it is installed, and the packages that hold it."""

    title: str
    names: tuple[str, ...]
    packages: PackageSet
    unpacked: str
    library_folders: tuple[str, ...] = ()


CHROMIUM = ProgramName(
    "Chromium",
    ("chromium", "chromium-browser", "google-chrome"),
    packages.CHROMIUM,
    "usr/lib/chromium/chromium",
    ("pulseaudio", "nss"),
)
SMTP_SINK = ProgramName("smtp-sink", ("smtp-sink",), packages.MAIL_TOOLS, "usr/sbin/smtp-sink")
SWAKS = ProgramName("swaks", ("swaks",), packages.MAIL_TOOLS, "usr/bin/swaks")
POSTFIX = ProgramName(
    "Postfix", (), packages.MAIL_TOOLS, "usr/lib/postfix/sbin/master"
)  # an installed one is not ours
NGINX = ProgramName("nginx", ("nginx",), packages.NGINX, "usr/sbin/nginx")
PROMTOOL = ProgramName("promtool", ("promtool",), packages.PROMETHEUS, "usr/bin/promtool")
MARIADB_DUMP = ProgramName("mariadb-dump", ("mariadb-dump",), packages.MARIADB_CLIENT, "usr/bin/mariadb-dump")
ALL_PROGRAMS = (CHROMIUM, SMTP_SINK, SWAKS, POSTFIX, NGINX, PROMTOOL, MARIADB_DUMP)


@dataclass(frozen=True, slots=True)
class Program:
    """A program's path, and what its environment needs beside the usual."""

    path: Path
    environment: dict[str, str]
    origin: str


def installed_program(name: ProgramName) -> Program | None:
    """Return a program that is installed on this machine."""
    paths = (installed(word) for word in name.names)
    return next((Program(path, {}, "installed") for path in paths if path), None)


def unpacked_program(name: ProgramName, root: Path) -> Program:
    """Return a program of unpacked packages."""
    folders = [root / "usr/lib/postfix"]
    for folder in packages.library_folders(root):
        folders += [folder, *(folder / child for child in name.library_folders)]
    libraries = ":".join(str(folder) for folder in folders if folder.is_dir())
    environment = {"LD_LIBRARY_PATH": libraries} if libraries else {}
    return Program(root / name.unpacked, environment, "Debian's packages")
