"""A database server of our own, which tests may stop, kill and freeze; MariaDB and MySQL each say how they are started.

It keeps its truthful defaults: every commit is on disk before it is answered. Its one user comes over TCP with a
random password; the users that the installation makes are removed.
"""

import os
import secrets
import socket
from abc import ABC, abstractmethod
from pathlib import Path

from tests.servers.databases import Databases
from tests.servers.packages import library_folders
from tests.servers.private_process import PrivateProcess, PrivateServer
from tests.servers.run_folder import RunFolder

USER = "mailpact"


class DatabaseServer(PrivateServer, ABC):
    """A server, started on construction; `databases` makes and drops databases on it."""

    title: str
    program: str  # below the root folder

    def __init__(self, run: RunFolder, root: Path) -> None:
        self.port = run.reserve_port()
        self._password = secrets.token_hex(12)
        self._run, self._root, self._folder = run, root, run.folder(self.title.lower())
        (self._folder / "tmp").mkdir()
        (self._folder / "users.sql").write_text(self._users())
        self._install()
        self.start()
        self.databases = Databases(f"mysql+pymysql://{USER}:{self._password}@127.0.0.1:{self.port}/")

    @abstractmethod
    def _users(self) -> str:
        """Return the statements, run at every start, that leave our user alone; each stands on a line of its own."""

    @abstractmethod
    def _installation(self) -> list[str]:
        """Return the words that make the system's own tables."""

    @abstractmethod
    def _own_options(self) -> list[str]:
        """Return what only this product knows or needs to start."""

    def start(self) -> None:
        """Start the server, again if it ran before: same port, same data. Returns when it answers (0.1-0.6 s)."""
        words = [
            *(str(self._root / self.program), *self._options(), *self._own_options(), f"--port={self.port}"),
            *("--bind-address=127.0.0.1", "--socket=socket", "--pid-file=pid", "--skip-name-resolve"),
            *("--innodb-buffer-pool-size=32M", "--performance-schema=OFF", "--character-set-server=utf8mb4"),
            f"--init-file={self._folder / 'users.sql'}",
            f"--plugin-dir={self._root / 'usr/lib/mysql/plugin'}",
        ]
        self._process = self._begin(words, f"{self.title.lower()}.log")
        self._process.wait_until(f"{self.title} answers", self._answers)

    def recover(self) -> None:
        """Bring the server back from whatever a test did to it."""
        if not self.is_running:
            self.start()
        self.thaw()

    def _install(self) -> None:
        words = self._installation()
        installation = self._begin(words, "install.log")
        if code := installation.wait():
            raise ChildProcessError(f"{Path(words[0]).name} ended with {code}:\n{installation.log()[-2000:]}")

    def _begin(self, words: list[str], log: str) -> PrivateProcess:
        libraries = ":".join(str(folder) for folder in library_folders(self._root))
        variables = {"HOME": str(self._folder)} | ({"LD_LIBRARY_PATH": libraries} if libraries else {})
        return PrivateProcess(self._run, self._folder, words, variables, log)

    def _options(self) -> list[str]:
        user = ["--user=root"] if os.geteuid() == 0 else []  # root's server would else look for a system user
        return [
            *("--no-defaults", f"--basedir={self._root / 'usr'}", f"--datadir={self._folder / 'data'}"),
            *(f"--tmpdir={self._folder / 'tmp'}", f"--lc-messages-dir={self._root / 'usr/share/mysql'}"),
            *user,
        ]

    def _answers(self) -> bool:
        """A server that is ready greets whoever connects."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
                return len(connection.recv(5)) == 5
        except OSError:
            return False
