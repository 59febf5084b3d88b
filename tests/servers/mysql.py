"""MySQL: 3 s to install, 0.6 s to start. It comes with a lane (`lanes`); one that is installed is not looked for."""

from tests.servers.database_server import USER, DatabaseServer

LOG_CAPACITY = "--innodb-redo-log-capacity=8M"


class MySQL(DatabaseServer):
    """A MySQL server of our own."""

    title = "MySQL"
    program = "usr/sbin/mysqld"

    def _users(self) -> str:
        account = f"'{USER}'@'127.0.0.1'"
        return (
            "DROP USER IF EXISTS 'root'@'localhost';\n"
            f"CREATE USER IF NOT EXISTS {account} IDENTIFIED BY '{self._password}';\n"
            f"GRANT ALL PRIVILEGES ON *.* TO {account} WITH GRANT OPTION;\n"
        )

    def _installation(self) -> list[str]:
        return [str(self._root / self.program), *self._options(), "--initialize-insecure", LOG_CAPACITY]

    def _own_options(self) -> list[str]:
        # The X protocol would listen on a port of its own; Debian's default folder for files is not there.
        return [LOG_CAPACITY, "--mysqlx=OFF", "--secure-file-priv=NULL", "--disable-log-bin"]
