"""Programs that tests run: browser, mail sink, proxy and others. Installed ones first, else from Debian's packages."""

from dataclasses import dataclass
from pathlib import Path

from tests.servers.packages import PackageSet, installed, library_folders

MAIL_TOOLS = PackageSet(
    "mail-tools", ("postfix", "swaks", "sasl2-bin", "libsasl2-2", "libsasl2-modules", "libsasl2-modules-db")
)
CHROMIUM = PackageSet("chromium", ("chromium", "chromium-common"))
NGINX = PackageSet("nginx", ("nginx", "nginx-common"))
PROMETHEUS = PackageSet("prometheus", ("prometheus",))
MARIADB_CLIENT = PackageSet("mariadb-client", ("mariadb-client",))
PROGRAMS = {
    "chromium": (CHROMIUM, "usr/lib/chromium/chromium"),
    "smtp_sink": (MAIL_TOOLS, "usr/sbin/smtp-sink"),
    "swaks": (MAIL_TOOLS, "usr/bin/swaks"),
    "postfix": (MAIL_TOOLS, "usr/lib/postfix/sbin/master"),  # not on a PATH: an installed Postfix is not ours
    "nginx": (NGINX, "usr/sbin/nginx"),
    "promtool": (PROMETHEUS, "usr/bin/promtool"),
    "mariadb_dump": (MARIADB_CLIENT, "usr/bin/mariadb-dump"),
}
"""For each fixture the packages, and the program's path below their root."""
LIBRARY_FOLDERS = ("", "pulseaudio", "nss")  # the last two are Chromium's


@dataclass(frozen=True, slots=True)
class Program:
    """A program's path, and what its environment needs beside the usual."""

    path: Path
    environment: dict[str, str]
    origin: str


def installed_program(name: str) -> Program | None:
    """Return a program that is installed on this machine."""
    path = installed(Path(PROGRAMS[name][1]).name)
    return Program(path, {}, "installed") if path else None


def unpacked_program(name: str, root: Path) -> Program:
    """Return a program of unpacked packages."""
    folders = [root / "usr/lib/postfix"]
    folders += [folder / child for folder in library_folders(root) for child in LIBRARY_FOLDERS]
    libraries = ":".join(str(folder) for folder in folders if folder.is_dir())
    environment = {"LD_LIBRARY_PATH": libraries} if libraries else {}
    return Program(root / PROGRAMS[name][1], environment, "Debian's packages")
