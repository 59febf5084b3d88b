"""Programs that tests run: browser, mail sink, proxy and others. Installed ones first, else from Debian's packages."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.servers.packages import PackageSet, fetch, library_path

MAIL_TOOLS = PackageSet(
    "mail-tools", ("postfix", "swaks", "sasl2-bin", "libsasl2-2", "libsasl2-modules", "libsasl2-modules-db")
)
CHROMIUM = PackageSet("chromium", ("chromium", "chromium-common"))
PROGRAMS = {
    "chromium": (CHROMIUM, "usr/lib/chromium/chromium"),
    "smtp_sink": (MAIL_TOOLS, "usr/sbin/smtp-sink"),
    "swaks": (MAIL_TOOLS, "usr/bin/swaks"),
    "postfix": (MAIL_TOOLS, "usr/lib/postfix/sbin/master"),  # not on a PATH: an installed Postfix is not ours
    "nginx": (PackageSet("nginx", ("nginx", "nginx-common")), "usr/sbin/nginx"),
    "promtool": (PackageSet("prometheus", ("prometheus",)), "usr/bin/promtool"),
    "mariadb_dump": (PackageSet("mariadb-client", ("mariadb-client",)), "usr/bin/mariadb-dump"),
}
"""For each fixture the packages, and the program's path below their root."""


@dataclass(frozen=True, slots=True)
class Program:
    """A program's path, and what its environment needs beside the usual."""

    path: Path
    environment: dict[str, str]


def find(name: str) -> Program:
    """Return a program, downloading its packages if it is not installed; raise NotAvailable."""
    packages, path = PROGRAMS[name]
    if installed := shutil.which(Path(path).name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"):
        return Program(Path(installed), {})
    root = fetch(packages)
    return Program(root / path, library_path(root))
