"""A MariaDB server of our own, which tests may stop, kill and freeze.

It keeps its truthful defaults: every commit is on disk before it is answered. Its one user comes over TCP with a
random password; the users that the installation makes are removed at every start.
"""

import os
import secrets
import socket
from pathlib import Path

from tests.servers.databases import Databases
from tests.servers.packages import library_folders
from tests.servers.private_process import PrivateProcess
from tests.servers.run_folder import RunFolder

USER = "mailpact"


def is_installed(root: Path) -> bool:
    """Whether a root folder, `/` for what is installed, holds a MariaDB server."""
    return all((root / program).exists() for program in ("usr/sbin/mariadbd", "usr/bin/mariadb-install-db"))


class MariaDB:
    """A server, started on construction (0.7 s); `databases` makes and drops databases on it."""

    def __init__(self, run: RunFolder, root: Path) -> None:
        self.port = run.reserve_port()
        self._password = secrets.token_hex(12)
        self._run, self._root, self._folder = run, root, run.folder("mariadb")
        (self._folder / "tmp").mkdir()
        self._install()
        self.start()
        self.databases = Databases(f"mysql+pymysql://{USER}:{self._password}@127.0.0.1:{self.port}/")

    @property
    def pid(self) -> int:
        """The server's process id, a new one after each start."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the server's process has not ended."""
        return self._process.is_running

    def start(self) -> None:
        """Start the server, again if it ran before: same port, same data. Returns when it answers (0.1 s)."""
        words = [
            *(str(self._root / "usr/sbin/mariadbd"), *self._options(), f"--port={self.port}"),
            *("--bind-address=127.0.0.1", "--socket=socket", "--pid-file=pid", "--skip-name-resolve"),
            *("--innodb-buffer-pool-size=32M", "--innodb-log-file-size=16M", "--performance-schema=OFF"),
            *("--character-set-server=utf8mb4", f"--init-file={self._folder / 'users.sql'}"),
            f"--plugin-dir={self._root / 'usr/lib/mysql/plugin'}",
        ]
        self._process = PrivateProcess(self._run, self._folder, words, self._environment(), "mariadb.log")
        self._process.wait_until("MariaDB answers", self._answers)

    def stop(self) -> None:
        """Shut the server down in order."""
        self._process.stop()

    def kill(self) -> None:
        """Kill the server as a power cut would."""
        self._process.kill()

    def freeze(self) -> None:
        """Hold the server: connections stay half-open until `thaw`."""
        self._process.freeze()

    def thaw(self) -> None:
        """Let a frozen server go on."""
        self._process.thaw()

    def recover(self) -> None:
        """Bring the server back from whatever a test did to it."""
        if not self.is_running:
            self.start()
        self.thaw()

    def _install(self) -> None:
        """Make the system's own tables (0.6 s)."""
        (self._folder / "users.sql").write_text(
            "DELETE FROM mysql.global_priv WHERE User IN ('', 'root');\nFLUSH PRIVILEGES;\n"
            f"CREATE OR REPLACE USER '{USER}'@'127.0.0.1' IDENTIFIED BY '{self._password}';\n"
            f"GRANT ALL PRIVILEGES ON *.* TO '{USER}'@'127.0.0.1';\n"
        )
        words = [
            *(str(self._root / "usr/bin/mariadb-install-db"), *self._options(), "--skip-test-db"),
            *("--auth-root-authentication-method=normal", "--innodb-log-file-size=16M"),
        ]
        installation = PrivateProcess(self._run, self._folder, words, self._environment(), "install.log")
        if code := installation.wait():
            raise ChildProcessError(f"mariadb-install-db ended with {code}:\n{installation.log()[-2000:]}")

    def _options(self) -> list[str]:
        user = ["--user=root"] if os.geteuid() == 0 else []  # root's server would else look for a system user
        return [
            *("--no-defaults", f"--basedir={self._root / 'usr'}", f"--datadir={self._folder / 'data'}"),
            *(
                f"--tmpdir={self._folder / 'tmp'}",
                f"--lc-messages-dir={self._root / 'usr/share/mysql'}",
                *user,
            ),
        ]

    def _environment(self) -> dict[str, str]:
        libraries = ":".join(str(folder) for folder in library_folders(self._root))
        return {"HOME": str(self._folder)} | ({"LD_LIBRARY_PATH": libraries} if libraries else {})

    def _answers(self) -> bool:
        """A server that is ready greets whoever connects."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
                return len(connection.recv(5)) == 5
        except OSError:
            return False
