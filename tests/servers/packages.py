"""Debian's packages, which apt downloads and which are unpacked, but not installed, in a cache folder without root.

Each set of packages has a folder of its own, `<cache>/<release>-<architecture>/<first package>/root`. Scripts in
it contain the folder's path, so a set is unpacked at its final place, under a lock. A marker file is written last: a
folder without the marker, or with the path of another folder in it, is downloaded again.

apt runs with its own package lists and archives. apt gets `--reinstall` and every Erlang package by name, so that
the folder is complete on a machine where some of them are installed. Installed shared libraries are not downloaded.

Packages of another Debian release come from the mirror that this machine's apt uses, with lists signed by Debian's key.
apt then treats no package as installed, so that apt downloads the C library and all other libraries too (`own_libc`).
"""

import fcntl
import os
import platform
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

from tests.servers import own_libc

APT_SECONDS = 900
APT_OPTIONS = {
    "Debug::NoLocking": "1",
    "APT::Install-Recommends": "false",
    "APT::Update::Error-Mode": "any",
    "Acquire::Languages": "none",
    # By default, root's apt downloads as another user.
    "APT::Sandbox::User": pwd.getpwuid(os.getuid()).pw_name,
}
DEBIANS_KEY = "/usr/share/keyrings/debian-archive-keyring.gpg"


class NotAvailable(Exception):
    """A server or program is not available; the message says why, and how to make it available."""


def cache_folder(release: str | None = None) -> Path:
    """Return the folder of a release's downloads for this machine, in $XDG_CACHE_HOME or ~/.cache.

    Raises OSError if no release is given and the machine does not state its own release.
    """
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    own = {"ID": "debian", "VERSION_ID": release} if release else platform.freedesktop_os_release()
    name = f"{own['ID']}-{own.get('VERSION_ID', 'rolling')}-{platform.machine()}"
    return Path(home) / "mailpact-test-servers" / name


def library_path(root: Path) -> dict[str, str]:
    """Return the variable by which the programs of an unpacked root find its libraries; empty if they need none."""
    if root == Path("/") or (root / own_libc.MARKER).exists():
        return {}
    return {"LD_LIBRARY_PATH": own_libc.libraries_of(root)}


def fetch(packages: str, release: str | None = None) -> Path:
    """Return the root folder of unpacked packages, and download them first if they are missing (2 s; Chromium 7 s).

    The names of the packages are separated by blanks. The packages are of this machine's own release, or of the named
    Debian release. Raises NotAvailable. Other processes wait for the lock. The child processes hold the lock too, so
    the apt of a killed run never runs at the same time as another apt.
    """
    first, *_ = packages.split()
    try:
        folder = cache_folder(release) / first
        root, complete, marker = folder / "root", folder / "complete", f"{folder} {packages}"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            os.set_inheritable(lock.fileno(), True)
            if not complete.is_file() or complete.read_text() != marker:
                _download(packages, release, folder)
                complete.write_text(marker)
    except (OSError, subprocess.TimeoutExpired) as error:
        name, remedy = (
            (f"{first} of Debian {release}", "") if release else (first, f", or apt install {first}")
        )
        told = f"{name} is not available: {error}. Get it by a network for apt{remedy}."
        raise NotAvailable(told) from error
    return root


def _download(packages: str, release: str | None, folder: Path) -> None:
    root, own_apt = folder / "root", folder / "apt"
    for leftover in (root, own_apt):
        shutil.rmtree(leftover, ignore_errors=True)
    for place in (root, own_apt / "archives/partial", own_apt / "lists/partial"):
        place.mkdir(parents=True)
    sys.stderr.write(f"fetching {folder.name} and what it needs into {folder}\n")
    options = APT_OPTIONS | {"Dir::Cache": str(own_apt), "Dir::State::lists": f"{own_apt}/lists"}
    if release:
        options |= _only(release, own_apt)
    apt = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in options.items())]
    _run(*apt, "update")
    _run(*apt, "--yes", "--download-only", "--reinstall", "install", *packages.split())
    for archive in (own_apt / "archives").glob("*.deb"):
        _run("dpkg-deb", "--extract", str(archive), str(root))
    for script in root.glob("usr/lib/erlang/**/bin/erl"):
        script.write_text(script.read_text().replace("=/usr/lib/erlang\n", f"={root}/usr/lib/erlang\n"))
    if release:
        own_libc.use(root)
    shutil.rmtree(own_apt)


def _only(release: str, folder: Path) -> dict[str, str]:
    """Return the options that show apt only one Debian release and no installed package."""
    places = _run("apt-get", "indextargets", "--format", "$(REPO_URI)", "Component: main").split()
    mirrors = [place for place in places if "debian" in place and "security" not in place]
    if not mirrors:
        raise FileNotFoundError("apt on this machine has no mirror of Debian")
    (folder / "sources.list").write_text(f"deb [signed-by={DEBIANS_KEY}] {mirrors[0]} {release} main\n")
    (folder / "status").touch()
    nothing = {
        f"Dir::Etc::{name}": "/dev/null" for name in ("sourceparts", "preferences", "preferencesparts")
    }
    return nothing | {
        "Dir::Etc::sourcelist": f"{folder}/sources.list",
        "Dir::State::status": f"{folder}/status",
    }


def _run(*words: str) -> str:
    """Run a program, which also holds the lock; return its output. Raise OSError, or TimeoutExpired after 15 min."""
    done = subprocess.run(
        words, input="", capture_output=True, text=True, check=False, timeout=APT_SECONDS, close_fds=False
    )
    if done.returncode:
        lines = done.stderr.splitlines() or [f"exit code {done.returncode}"]
        first = next((line for line in lines if line.startswith("E:")), lines[0])
        raise ChildProcessError(f"{words[0]} says: {first}")
    return done.stdout
