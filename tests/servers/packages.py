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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.servers import own_libc
from tests.servers.run_folder import RunFolder, installed

APT_SECONDS = 900
ERLANG = (
    *("asn1", "base", "crypto", "eldap", "ftp", "inets", "mnesia", "os-mon", "parsetools", "public-key"),
    *("runtime-tools", "snmp", "ssl", "syntax-tools", "tftp", "tools", "xmerl"),
)
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
}
DEBIANS_KEY = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


@dataclass(frozen=True, slots=True)
class PackageSet:
    """Packages that are of use only together, of this machine's own release or of a Debian release by its name."""

    name: str
    packages: tuple[str, ...]
    release: str | None = None


MAIL_TOOLS = PackageSet(
    "mail-tools", ("postfix", "swaks", "sasl2-bin", "libsasl2-2", "libsasl2-modules", "libsasl2-modules-db")
)
NGINX = PackageSet("nginx", ("nginx", "nginx-common"))
MARIADB_CLIENT = PackageSet("mariadb-client", ("mariadb-client",))
PROMETHEUS = PackageSet("prometheus", ("prometheus",))
CHROMIUM = PackageSet("chromium", ("chromium", "chromium-common"))


class PackagesUnavailable(Exception):
    """A set of packages is not in the cache and could not be fetched; the message says why."""


def cache_folder(release: str | None = None) -> Path:
    """Return the folder of all downloads: $XDG_CACHE_HOME or ~/.cache, and in it one for a release and this machine."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    name = f"debian-{release}" if release else _own_release()
    return Path(home) / "mailpact-test-servers" / f"{name}-{platform.machine()}"


def _own_release() -> str:
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    return f"{release.get('ID', 'linux')}-{release.get('VERSION_ID', 'rolling')}"


def in_cache(packages: PackageSet) -> Path | None:
    """Return the unpacked set's root folder when it is complete."""
    folder = _folder(packages)
    return folder / "root" if _is_complete(folder, packages) else None


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
        with _locked(_folder(packages)) as lock:
            return in_cache(packages) or _download(packages, run, report, lock)
    except own_libc.NoLoader as error:
        raise PackagesUnavailable(str(error)) from error
    except OSError as error:
        raise PackagesUnavailable(f"the cache folder cannot be used: {error}") from error


def library_folders(root: Path) -> list[Path]:
    """Return the folders of shared libraries in an unpacked root; none where programs find them by themselves."""
    if root == Path("/") or own_libc.is_used(root):
        return []
    return sorted((root / "usr/lib").glob("*-linux-gnu*"))


def _folder(packages: PackageSet) -> Path:
    return cache_folder(packages.release) / packages.name


def _is_complete(folder: Path, packages: PackageSet) -> bool:
    marker = folder / "complete"
    return marker.is_file() and marker.read_text() == _marker(folder, packages)


def _marker(folder: Path, packages: PackageSet) -> str:
    # The path, because a moved cache's Erlang would not start; the names, because the set may grow.
    return "\n".join((str(folder), *packages.packages))


@contextmanager
def _locked(folder: Path) -> Iterator[int]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


def _download(packages: PackageSet, run: RunFolder, report: Callable[[str], None], lock: int) -> Path:
    folder = _folder(packages)
    title = " of ".join((packages.name, *([f"Debian {packages.release}"] if packages.release else [])))
    root, archives = folder / "root", folder / "apt/archives"
    for leftover in (root, folder / "apt", folder / "lists"):
        shutil.rmtree(leftover, ignore_errors=True)
    (archives / "partial").mkdir(parents=True)
    (folder / "lists/partial").mkdir(parents=True)
    root.mkdir()
    apt = _apt(folder, _sources(folder, packages.release, run, lock) if packages.release else {})
    report(f"fetching {title}: package lists")
    _run([*apt, "update"], run, lock)
    report(f"fetching {title}: {len(packages.packages)} packages and what they need")
    _run([*apt, "--yes", "--download-only", "--reinstall", "install", *packages.packages], run, lock)
    report(
        f"unpacking {title}: {sum(archive.stat().st_size for archive in archives.glob('*.deb')) >> 20} MiB"
    )
    for archive in sorted(archives.glob("*.deb")):
        _run(["dpkg-deb", "--extract", str(archive), str(root)], run, lock)
    _move_erlang(root)
    if packages.release:
        own_libc.use(root)
    shutil.rmtree(folder / "apt")
    shutil.rmtree(folder / "lists")
    (folder / "complete").write_text(_marker(folder, packages))
    return root


def _sources(folder: Path, release: str, run: RunFolder, lock: int) -> dict[str, str]:
    """Return the options by which apt sees one Debian release alone, and nothing as installed."""
    places = _run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Component: main"], run, lock
    ).split()
    mirrors = [place for place in places if "debian" in place and "security" not in place]
    if not mirrors:
        raise PackagesUnavailable("apt on this machine knows no mirror of Debian")
    (folder / "apt/sources.list").write_text(f"deb [signed-by={DEBIANS_KEY}] {mirrors[0]} {release} main\n")
    (folder / "apt/status").touch()
    return {
        "Dir::Etc::sourcelist": str(folder / "apt/sources.list"),
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::Etc::preferences": "/dev/null",
        "Dir::Etc::preferencesparts": "/dev/null",
        "Dir::State::status": str(folder / "apt/status"),
    }


def _apt(folder: Path, sources: dict[str, str]) -> list[str]:
    own = sources | {
        "Dir::Cache": str(folder / "apt"),
        "Dir::State::lists": str(folder / "lists"),
        "APT::Sandbox::User": pwd.getpwuid(
            os.getuid()
        ).pw_name,  # root's apt would else write as another user
    }
    options = [word for name, value in (APT_OPTIONS | own).items() for word in ("-o", f"{name}={value}")]
    return ["apt-get", *options, "-qq"]


def _run(words: Sequence[str], run: RunFolder, lock: int) -> str:
    """Run to the end and give what was said. The child holds the lock too: a killed run's apt runs beside no other."""
    done = subprocess.run(
        words,
        env=run.environment(os.environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=APT_SECONDS,
        pass_fds=(lock,),
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith(("E:", "dpkg"))]
        because = next(iter(lines or done.stderr.splitlines()), f"exit code {done.returncode}")
        raise PackagesUnavailable(f"{words[0]} says: {' '.join(because.split())}")
    return done.stdout


def _move_erlang(root: Path) -> None:
    """Tell Erlang's start scripts where they are now."""
    erlang = root / "usr/lib/erlang"
    for pattern in ("bin/erl", "bin/start", "erts-*/bin/erl", "erts-*/bin/start"):
        for script in erlang.glob(pattern):
            text = script.read_text()
            script.write_text(text.replace("ROOTDIR=/usr/lib/erlang\n", f"ROOTDIR={erlang}\n"))
