"""TLS to the database: with `?ssl_ca=` or `?ssl_verify_identity=1` certificate and host name are checked."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from mailpact.database.transactions import Database, DatabaseRefused, DatabaseUnavailable
from tests import command
from tests.certificates import Authority

run = partial(command.run, seconds=60)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Return the authority that signs the certificates of the test's server."""
    return Authority(tmp_path)


@pytest.fixture
def serve(mariadb_server: Any, mariadb_url: str) -> Iterator[Callable[[Path | None], str]]:
    """Yield a function that restarts the server with a certificate and returns the URL of the test's database."""

    def serving(certificate: Path | None) -> str:
        mariadb_server.stop()
        mariadb_server.start(
            *([f"--ssl-cert={certificate}", f"--ssl-key={certificate}"] if certificate else [])
        )
        return mariadb_url

    yield serving
    serving(None)


async def cipher(database: Database) -> str:
    """Return the cipher of the connection; the text is empty without TLS."""
    row = await database.transact(
        lambda connection: connection.execute(text("SHOW STATUS LIKE 'Ssl_cipher'")).one()
    )
    return str(row[1])


async def test_a_certificate_of_the_named_authority_is_accepted(
    serve: Any, authority: Authority, opened: Any
) -> None:
    url = serve(authority.certificate("127.0.0.1"))
    async with opened(f"{url}?ssl_ca={authority.ca_file}") as database:
        assert await cipher(database) != ""


async def test_the_systems_authorities_may_be_replaced_by_ssl_cert_file(
    serve: Any, authority: Authority, opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = serve(authority.certificate("127.0.0.1"))
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_file))
    async with opened(f"{url}?ssl_verify_identity=1") as database:
        assert await cipher(database) != ""


@pytest.mark.parametrize(
    ("certified", "ended", "options", "words"),
    [
        ("127.0.0.1", False, "ssl_verify_identity=1", "unable to get local issuer certificate"),
        ("db.example", False, "ssl_ca={authority}", "IP address mismatch"),
        ("127.0.0.1", True, "ssl_ca={authority}", "certificate has expired"),
    ],
    ids=["unknown authority", "another host", "expired"],
)
async def test_a_certificate_that_cannot_be_verified_is_refused_and_named(
    certified: str, ended: bool, options: str, words: str, serve: Any, authority: Authority, opened: Any
) -> None:
    url = serve(authority.certificate(certified, ended=ended))
    async with opened(f"{url}?{options.format(authority=authority.ca_file)}") as database:
        with pytest.raises(DatabaseRefused, match=f"refuses access: .*certificate verify failed: .*{words}"):
            await cipher(database)


async def test_a_server_without_tls_is_not_used_if_tls_is_asked_for(
    mariadb_url: str, authority: Authority, opened: Any
) -> None:
    async with opened(f"{mariadb_url}?ssl_ca={authority.ca_file}") as database:
        with pytest.raises(DatabaseUnavailable, match="SSL"):
            await cipher(database)


@pytest.mark.parametrize(
    ("certified", "ended", "words"),
    [("127.0.0.1", True, "certificate has expired"), ("db.example", False, "IP address mismatch")],
    ids=["expired", "another host"],
)
def test_a_command_says_in_one_line_what_is_wrong_with_the_certificate(
    certified: str, ended: bool, words: str, serve: Any, authority: Authority, tmp_path: Path
) -> None:
    url = serve(authority.certificate(certified, ended=ended))
    done = run(
        "create-admin", "a@example.org", "--database-url", f"{url}?ssl_ca={authority.ca_file}", cwd=tmp_path
    )

    assert (done.returncode, done.stdout) == (3, "")
    (line,) = done.stderr.splitlines()
    assert words in line
    assert url.split("@")[0].rpartition(":")[2] not in line  # the password must not be logged


def test_a_file_that_holds_no_certificate_is_refused_with_the_options_name(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    url = "mysql+pymysql://u:s3cret@127.0.0.1:1/mail?ssl_ca=ca.pem"
    done = run("create-admin", "a@example.org", "--database-url", url, cwd=tmp_path)

    assert done.returncode == 2
    assert "--database-url" in done.stderr
    assert "not a file with certificates" in " ".join(done.stderr.split())
    assert "s3cret" not in done.stderr
