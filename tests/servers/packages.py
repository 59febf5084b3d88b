"""Debian's packages, downloaded by apt and unpacked into a cache folder: no root, nothing registered, nothing started.

Each set of packages has a folder of its own, `<cache>/<release>-<architecture>/<set>/root`. Erlang's start script
carries the folder's path in it, so a set is unpacked at its final place, under a lock, and a marker is written last:
a folder without the marker is what an interrupted download left, and is begun anew.

apt runs with package lists, archives and locks of its own. It is told `--reinstall` and every Erlang package by name,
so that the folder is complete on a machine where some of them are installed. Shared libraries are the machine's own
where they are installed, and downloaded where they are not.

Packages of another Debian release come from the mirror that this machine's apt uses already, with lists signed by
Debian's key. To apt nothing is installed then, so that the C library and all else comes along (`own_libc`).
"""

import fcntl
import os
import platform
import pwd
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.servers import own_libc
from tests.servers.run_folder import RunFolder

APT_SECONDS = 900
APT_OPTIONS = {
    "Debug::NoLocking": "1",
    "APT::Install-Recommends": "false",
    "APT::Update::Post-Invoke::": "",
    "APT::Update::Error-Mode": "any",
    "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
    "Acquire::Languages": "none",
    "Acquire::Retries": "2",
    "Acquire::http::Timeout": "30",
    "Acquire::https::Timeout": "30",
    "APT::Sandbox::User": pwd.getpwuid(os.getuid()).pw_name,  # root's apt would else write as another user
}
DEBIANS_KEY = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


@dataclass(frozen=True, slots=True)
class PackageSet:
    """Packages that are of use only together, of this machine's own release or of a Debian release by its name."""

    name: str
    packages: tuple[str, ...]
    release: str | None = None

    @property
    def folder(self) -> Path:
        """Return the folder of the set in the cache."""
        return cache_folder(self.release) / self.name

    @property
    def marker(self) -> str:
        """Return the text in a complete folder: its path, for a moved Erlang would not start, and all packages."""
        return "\n".join((str(self.folder), *self.packages))


class PackagesUnavailable(Exception):
    """A set of packages is not in the cache and could not be fetched; the message says why."""


def cache_folder(release: str | None = None) -> Path:
    """Return the folder of all downloads: $XDG_CACHE_HOME or ~/.cache, and in it one for a release and this machine."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    try:
        own = platform.freedesktop_os_release()
    except OSError:
        own = {}
    name = f"debian-{release}" if release else f"{own.get('ID', 'linux')}-{own.get('VERSION_ID', 'rolling')}"
    return Path(home) / "mailpact-test-servers" / f"{name}-{platform.machine()}"


def in_cache(packages: PackageSet) -> Path | None:
    """Return the unpacked set's root folder when it is complete."""
    marker = packages.folder / "complete"
    is_complete = marker.is_file() and marker.read_text() == packages.marker
    return packages.folder / "root" if is_complete else None


def installed(name: str) -> Path | None:
    """Return the path of an installed program, those for administrators included."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin")
    return Path(found) if found else None


def library_folders(root: Path) -> list[Path]:
    """Return the folders of shared libraries in an unpacked root; none where programs find them by themselves."""
    if root == Path("/") or (root / own_libc.MARKER).exists():
        return []
    return sorted((root / "usr/lib").glob("*-linux-gnu*"))


def fetch(packages: PackageSet, run: RunFolder, report: Callable[[str], None]) -> Path:
    """Return the root folder of the unpacked set, downloading it first if need be (about 2 s; Chromium 7 s).

    Raises PackagesUnavailable when apt or dpkg-deb is missing or fails. Other processes wait for the first one's lock.
    """
    if root := in_cache(packages):
        return root
    for program in ("apt-get", "dpkg-deb"):
        if installed(program) is None:
            raise PackagesUnavailable(f"{program} is not on this machine")
    try:
        packages.folder.mkdir(parents=True, exist_ok=True)
        with (packages.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return in_cache(packages) or _Download(packages, run, report, lock.fileno()).unpacked()
    except own_libc.NoLoader as error:
        raise PackagesUnavailable(str(error)) from error
    except OSError as error:
        raise PackagesUnavailable(f"the cache folder cannot be used: {error}") from error


class _Download:
    """Fetches one set. Its child processes hold the lock too: a killed run's apt runs beside no other."""

    def __init__(
        self, packages: PackageSet, run: RunFolder, report: Callable[[str], None], lock: int
    ) -> None:
        self._packages, self._run, self._report, self._lock = packages, run, report, lock
        self._folder, self._apt = packages.folder, packages.folder / "apt"

    def unpacked(self) -> Path:
        """Download and unpack, and return the root folder."""
        root, packages = self._folder / "root", self._packages
        for leftover in (root, self._apt):
            shutil.rmtree(leftover, ignore_errors=True)
        for folder in (root, self._apt / "archives/partial", self._apt / "lists/partial"):
            folder.mkdir(parents=True)
        options = APT_OPTIONS | {"Dir::Cache": str(self._apt), "Dir::State::lists": str(self._apt / "lists")}
        if packages.release:
            options |= self._only(packages.release)
        title = packages.name + (f" of Debian {packages.release}" if packages.release else "")
        self._report(f"fetching {title}: {len(packages.packages)} packages and what they need")
        self._apt_get(options, "update")
        self._apt_get(options, "--yes", "--download-only", "--reinstall", "install", *packages.packages)
        archives = sorted((self._apt / "archives").glob("*.deb"))
        self._report(f"unpacking {title}: {sum(each.stat().st_size for each in archives) >> 20} MiB")
        for archive in archives:
            self._said("dpkg-deb", "--extract", str(archive), str(root))
        _move_erlang(root / "usr/lib/erlang")
        if packages.release:
            own_libc.use(root)
        shutil.rmtree(self._apt)
        (self._folder / "complete").write_text(packages.marker)
        return root

    def _only(self, release: str) -> dict[str, str]:
        """Return the options by which apt sees one Debian release alone, and nothing as installed."""
        places = self._said("apt-get", "indextargets", "--format", "$(REPO_URI)", "Component: main").split()
        mirrors = [place for place in places if "debian" in place and "security" not in place]
        if not mirrors:
            raise PackagesUnavailable("apt on this machine knows no mirror of Debian")
        source = f"deb [signed-by={DEBIANS_KEY}] {mirrors[0]} {release} main\n"
        (self._apt / "sources.list").write_text(source)
        (self._apt / "status").touch()
        nothing = ("Dir::Etc::sourceparts", "Dir::Etc::preferences", "Dir::Etc::preferencesparts")
        return {
            "Dir::Etc::sourcelist": str(self._apt / "sources.list"),
            "Dir::State::status": str(self._apt / "status"),
            **dict.fromkeys(nothing, "/dev/null"),
        }

    def _apt_get(self, options: Mapping[str, str], *words: str) -> None:
        given = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        self._said("apt-get", *given, "-qq", *words)

    def _said(self, *words: str) -> str:
        """Run to the end and return what was said; raise PackagesUnavailable."""
        done = subprocess.run(
            words,
            env=self._run.environment(os.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=APT_SECONDS,
            pass_fds=(self._lock,),
        )
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.startswith(("E:", "dpkg"))]
            because = next(iter(lines or done.stderr.splitlines()), f"exit code {done.returncode}")
            raise PackagesUnavailable(f"{words[0]} says: {' '.join(because.split())}")
        return done.stdout


def _move_erlang(erlang: Path) -> None:
    """Tell Erlang's start scripts where they are now."""
    for pattern in ("bin/erl", "bin/start", "erts-*/bin/erl", "erts-*/bin/start"):
        for script in erlang.glob(pattern):
            moved = script.read_text().replace("ROOTDIR=/usr/lib/erlang\n", f"ROOTDIR={erlang}\n")
            script.write_text(moved)
