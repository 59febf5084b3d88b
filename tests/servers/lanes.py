"""Which generation of servers the tests run on: the machine's own, or that of another Debian release.

| lane | MAILPACT_TEST_DEBIAN | servers |
|---|---|---|
| the usual | not set | what is installed, or this release's packages: on Debian 12 RabbitMQ 3.10, MariaDB 10.11 |
| newer | `trixie` | RabbitMQ 4.0 and MariaDB 11.8 |
| newest | `sid` | RabbitMQ 4.3 and MySQL 9.7 when this was written; sid moves and cannot be pinned |

The fixtures keep their names: on the newest lane `mariadb_url` leads to a MySQL. The packages of another release come
with their own C library (`own_libc`). A URL in the environment goes before any lane.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from tests.servers.packages import ERLANG, PackageSet

VARIABLE = "MAILPACT_TEST_DEBIAN"


class UnknownLane(ValueError):
    """MAILPACT_TEST_DEBIAN names a release that no lane is for; the message lists those there are."""


@dataclass(frozen=True, slots=True)
class Lane:
    """The packages of one generation; a lane of another release never uses what is installed or in containers."""

    release: str | None
    rabbitmq: PackageSet
    database: PackageSet
    database_title: str

    @property
    def of_release(self) -> str:
        """Return the words to add to a server's title: none for the machine's own."""
        return f" of Debian {self.release}" if self.release else ""

    @property
    def origin(self) -> str:
        """Say where the lane's servers come from when they are fetched."""
        return f"packages{self.of_release}" if self.release else "Debian's packages"


def _rabbitmq(release: str | None) -> PackageSet:
    return PackageSet("rabbitmq", ("rabbitmq-server", *(f"erlang-{part}" for part in ERLANG)), release)


def _mariadb(release: str | None) -> PackageSet:
    # The -core packages hold the programs; the packages above them hold only what makes a system service.
    return PackageSet("mariadb", ("mariadb-server-core", "mariadb-client-core"), release)


USUAL = Lane(None, _rabbitmq(None), _mariadb(None), "MariaDB")
NEWER = Lane("trixie", _rabbitmq("trixie"), _mariadb("trixie"), "MariaDB")
NEWEST = Lane("sid", _rabbitmq("sid"), PackageSet("mysql", ("mysql-server-core",), "sid"), "MySQL")


def chosen(variables: Mapping[str, str]) -> Lane:
    """Return the lane that the environment asks for; raise UnknownLane."""
    name = variables.get(VARIABLE)
    if not name:
        return USUAL
    lanes = {lane.release: lane for lane in (NEWER, NEWEST)}
    if name not in lanes:
        raise UnknownLane(f"{VARIABLE}={name}: there are {' and '.join(sorted(str(each) for each in lanes))}")
    return lanes[name]
