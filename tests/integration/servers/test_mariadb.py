"""The operations of the private MariaDB server that tests of outages use."""

from urllib.parse import urlsplit

import pymysql
import pytest
from pymysql.cursors import Cursor

from tests.servers.database import DatabaseServer


def connect(url: str) -> "pymysql.Connection[Cursor]":
    """Connect to the database of a URL."""
    place = urlsplit(url)
    return pymysql.connect(
        host=str(place.hostname),
        port=int(place.port or 0),
        user=str(place.username),
        password=str(place.password),
        database=place.path[1:],
    )


def rows(url: str, query: str) -> list[tuple[object, ...]]:
    """Return the rows of a query."""
    with connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        return list(cursor.fetchall())


@pytest.mark.parametrize("turn", ["first", "second"])
def test_each_test_has_an_empty_database(mariadb_url: str, turn: str) -> None:
    before = rows(mariadb_url, "SHOW TABLES")
    rows(mariadb_url, "CREATE TABLE readers (name TEXT)")

    assert (before, rows(mariadb_url, "SHOW TABLES")) == ([], [("readers",)])


def test_killed_server_keeps_what_was_committed(mariadb_server: DatabaseServer, mariadb_url: str) -> None:
    with connect(mariadb_url) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE readers (name TEXT)")
        cursor.execute("INSERT INTO readers VALUES ('Ada')")
        connection.commit()

    mariadb_server.kill()
    mariadb_server.recover()

    assert rows(mariadb_url, "SELECT name FROM readers") == [("Ada",)]


def test_frozen_server_is_mended_for_the_next_test(mariadb_server: DatabaseServer, mariadb_url: str) -> None:
    mariadb_server.freeze()

    mariadb_server.recover()

    assert rows(mariadb_url, "SELECT 1") == [(1,)]


def test_connections_to_one_database_are_ended_from_the_server(
    mariadb_server: DatabaseServer, mariadb_url: str
) -> None:
    connection = connect(mariadb_url)

    ended = mariadb_server.kill_connections(urlsplit(mariadb_url).path[1:])

    with pytest.raises(pymysql.OperationalError):
        connection.query("SELECT 1")
    assert ended == 1


def test_no_user_comes_without_a_password(mariadb_server: DatabaseServer) -> None:
    with pytest.raises(pymysql.OperationalError) as refused:
        pymysql.connect(host="127.0.0.1", port=mariadb_server.port, user="root")

    assert refused.value.args[0] == 1045


def test_server_is_stopped_and_started_again(mariadb_server: DatabaseServer, mariadb_url: str) -> None:
    mariadb_server.stop()
    was_running = mariadb_server.is_running
    mariadb_server.start()

    assert (was_running, rows(mariadb_url, "SELECT 1")) == (False, [(1,)])
