import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import make_url

from mailpact.settings import (
    AmqpUrl,
    DatabaseUrl,
    HostPort,
    SettingsError,
    redacted,
)
from mailpact_cli.addresses import is_loopback, parse_database_url, parse_host_port
from mailpact_cli.options import _parse_base_url
from mailpact_consumer.smtp_url import SmtpUrl


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:8025", "127.0.0.1", 8025),
        ("localhost:0", "localhost", 0),
        ("[::1]:1025", "::1", 1025),
        ("[::ffff:127.0.0.1]:1", "::ffff:127.0.0.1", 1),
        ("mail.example:65535", "mail.example", 65535),
    ],
)
def test_an_address_is_read_and_written_the_same(text: str, host: str, port: int) -> None:
    address = parse_host_port(text)

    assert address == HostPort(host, port)
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            ":",
            "8025",
            ":8025",
            "localhost",
            "localhost:",
            "localhost:smtp",
            "localhost:65536",
            "localhost:-1",
        ),
        *("localhost:+1", "localhost: 1", " localhost:1", "local host:1", "localhost:1\n", "localhost:१"),
        *(
            "::1:8025",
            "[::1]",
            "[]:1",
            "[localhost]:1",
            "http://localhost:1",
            "a/b:1",
            "u@h:1",
            "h:" + "9" * 5000,
        ),
    ],
)
def test_what_is_no_address_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(SettingsError, match=r"is not HOST:PORT, for example 127\.0\.0\.1:8025"):
        parse_host_port(text)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.0.2.1", False),
        ("localhost.example", False),
    ],
)
def test_loopback_is_told_from_what_others_can_reach(host: str, *, expected: bool) -> None:
    assert is_loopback(host) is expected


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("smtp://127.0.0.1:1025", "127.0.0.1", 1025),
        ("smtp://mail.example", "mail.example", 25),
        ("smtp://[::1]:1025/", "::1", 1025),
    ],
)
def test_an_smtp_url_is_read(text: str, host: str, port: int) -> None:
    assert SmtpUrl.parse(text) == SmtpUrl(host, port)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("smtps://mail.example", SmtpUrl("mail.example", 465, is_tls=True)),
        ("smtps://mail.example:1465", SmtpUrl("mail.example", 1465, is_tls=True)),
        ("smtp://ada:s3cret@mail.example:587", SmtpUrl("mail.example", 587, user="ada", password="s3cret")),
        ("smtp://a%40b:p%2F%C3%BC%25@h", SmtpUrl("h", 25, user="a@b", password="p/ü%")),
    ],
)
def test_an_smtp_url_has_a_login_and_tls(text: str, expected: SmtpUrl) -> None:
    assert SmtpUrl.parse(text) == expected


def test_an_smtp_url_never_shows_its_password() -> None:
    url = SmtpUrl.parse("smtps://ada:s3cret@mail.example")

    assert str(url) == "smtps://ada:***@mail.example:465"
    assert "s3cret" not in repr(url)


@pytest.mark.parametrize("text", ["smtp://ada:s3cret/x@h", "smtp://ada:s3cret@h?x", "smtp://ada:s3cret@@h"])
def test_a_bad_smtp_url_is_refused_without_its_password(text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        SmtpUrl.parse(text)

    assert "s3cret" not in str(caught.value)


def test_an_smtp_url_is_written_with_its_port() -> None:
    assert str(SmtpUrl.parse("smtp://[::1]")) == "smtp://[::1]:25"


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "smtp:",
            "smtp://",
            "smtp://:25",
            "mail.example:25",
            "smtps://",
            "http://mail.example",
        ),
        *(
            "smtp://u@mail.example",
            "smtp://u:@mail.example",
            "smtp://:p@mail.example",
            "smtp://u:p@@mail.example",
            "smtp://u:p/q@mail.example",
            "smtp://u:p?q@mail.example",
            "smtp://u:%0D%0A@mail.example",
            "smtp://u:%ff@mail.example",
            "smtp://@mail.example",
            "smtp://mail.example/x",
            "smtp://mail.example?tls=1",
        ),
        *(
            "smtp://mail.example#x",
            "smtp://mail.example:0",
            "smtp://mail.example:65536",
            "smtp://mail.example:x",
        ),
        *("smtp://mail.example\n", "smtp://mail example", "smtp://[::1", "smtp://mail.\x00example"),
    ],
)
def test_an_smtp_url_that_would_be_ignored_in_part_is_refused(text: str) -> None:
    with pytest.raises(SettingsError):
        SmtpUrl.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "amqp://guest:guest@127.0.0.1:5672",
        "amqp://guest:guest@127.0.0.1:5672?heartbeat=5",
        "amqps://u:p@mq.example:5671/orders?heartbeat=30&name=a+b&cafile=%2Fdev%2Fnull",
        "amqp://u:p%40%2F%25@[::1]:5672/%2Fvhost",
        "amqp://u:p@mq-1.example:5672/v,amqps://u:q%2Famqp@mq-2.example:5671/v?heartbeat=5,amqp://u:p@[::1]:1/v",
    ],
)
def test_an_amqp_url_is_written_as_it_was_read(text: str) -> None:
    assert AmqpUrl.parse(text).url == text


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("amqp://localhost", AmqpUrl("localhost", 5672)),
        ("amqp://localhost/", AmqpUrl("localhost", 5672, "guest", "guest", "/")),
        ("amqp://localhost/%2F", AmqpUrl("localhost", 5672)),
        ("amqps://mq.example", AmqpUrl("mq.example", 5671, is_tls=True)),
        ("amqp://a%40b:c%2Fd@mq.example:1/a%2Fb%25", AmqpUrl("mq.example", 1, "a@b", "c/d", "a/b%")),
        ("amqp://[::1]/v?heartbeat=5", AmqpUrl("::1", 5672, vhost="v", options=(("heartbeat", "5"),))),
    ],
)
def test_an_amqp_url_is_read_with_its_defaults(text: str, url: AmqpUrl) -> None:
    assert AmqpUrl.parse(text) == url


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is not a URL such as"),
        ("localhost:5672", "is not a URL such as"),
        ("http://localhost", "is not a URL such as"),
        ("amqp://", "is not a URL such as"),
        ("amqp://[::1/", "is not a URL"),
        ("amqp://h:0/", "a port that is not a number"),
        ("amqp://h:65536/", "a port that is not a number"),
        ("amqp://u:se/cret@h/", "/ is written %2F"),
        ("amqp://u:12/3@h/", "/ is written %2F"),
        ("amqp://u:s,e/cret@h/", "/ is written %2F"),
        ("amqp://u:12?3@h/", "/ is written %2F"),
        ("amqp://u:12#3@h/", "/ is written %2F"),
        ("amqp://h/#x", "# %23"),
        ("amqp://h/ ", "a space or control character"),
        ("amqp://h/\n", "a space or control character"),
        ("amqp://h/?hartbeat=5", "'hartbeat' is none of heartbeat, name"),
        ("amqp://h/?heartbeat=0", "a heartbeat is a whole number"),
        ("amqp://h/?heartbeat=ten", "a heartbeat is a whole number"),
        ("amqp://h/?heartbeat=", "a heartbeat is a whole number"),
        ("amqp://h/?cafile=/dev/null", "the URL begins with amqps://"),
        ("amqp://h/?no_verify_ssl=1", "the URL begins with amqps://"),
        ("amqps://h/?no_verify_ssl=false", "no_verify_ssl is 0 or 1"),
        ("amqps://h/?cafile=/no/such/file.pem", "cafile='/no/such/file.pem' does not exist"),
        ("amqp://h/?auth=anonymous", "auth is one of plain, external"),
        ("amqp://h,", "several brokers are whole URLs"),
        ("amqp://h:1,i:2/v", "several brokers are whole URLs"),
        ("amqp://h:1;amqp://i:2", "several brokers are whole URLs"),
        ("amqp://h;amqp://i/v", "several brokers are whole URLs"),
        ("amqp://u:p@h,i/v", "several brokers are whole URLs"),
        ("amqp://h/v,", "several brokers are whole URLs"),
        ("amqp://h/?heartbeat=5,", "several brokers are whole URLs"),
        ("amqp://h, amqp://i", "a space or control character"),
        (",amqp://h", "is not a URL such as"),
        ("amqp://h,,amqp://i", "several brokers are whole URLs"),
        ("amqp://h,http://i", "several brokers are whole URLs"),
        ("amqp://h,amqp://i:0", "a port that is not a number"),
        ("amqp://h,amqps://i?cafile=/no/such/file.pem", "does not exist"),
    ],
)
def test_an_amqp_url_that_cannot_be_meant_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(complaint)):
        AmqpUrl.parse(text)


def test_the_nodes_of_a_cluster_are_urls_with_commas_between() -> None:
    url = AmqpUrl.parse("amqp://u:p,q@mq-1.example/v,amqp://mq-2.example/w,amqps://mq-3.example")

    assert url.each == (
        AmqpUrl("mq-1.example", 5672, "u", "p,q", "v"),
        AmqpUrl("mq-2.example", 5672, vhost="w"),
        AmqpUrl("mq-3.example", 5671, is_tls=True),
    )
    assert [one.host for one in url.rotated().each] == ["mq-2.example", "mq-3.example", "mq-1.example"]
    assert url.rotated().rotated().rotated() == url
    assert AmqpUrl.parse("amqp://h").rotated() == AmqpUrl.parse("amqp://h")


def test_no_password_of_several_nodes_is_shown() -> None:
    url = AmqpUrl.parse("amqp://u:s3cret@mq-1.example/v,amqp://u:s3cret@mq-2.example/v")

    assert str(url) == "amqp://u:***@mq-1.example:5672/v,amqp://u:***@mq-2.example:5672/v"
    assert "s3cret" not in repr(url)
    with pytest.raises(SettingsError) as caught:
        AmqpUrl.parse("amqp://u:s3cret@mq-1.example/v,amqp://u:s3cret@mq-2.example:0/v")
    assert "s3cret" not in str(caught.value)


def test_a_database_url_names_a_file() -> None:
    assert parse_database_url("sqlite:///mail.db").path == Path("mail.db")
    assert parse_database_url("sqlite:////var/a b/ü%41.db").path == Path("/var/a b/ü%41.db")


@pytest.mark.parametrize("name", ["a b.db", "100%.db", "%41.db", "ü☃.db", "what?.db", "a#b.db", "a@b:c.db"])
def test_any_file_has_a_url(name: str, tmp_path: Path) -> None:
    assert DatabaseUrl(f"sqlite:///{tmp_path / name}").path == tmp_path / name


@pytest.mark.parametrize(
    "text",
    [
        *("", "mail.db", "sqlite:", "sqlite://", "sqlite:///", "sqlite://mail.db", "sqlite:///:memory:"),
        *(
            "sqlite:///mail.db?mode=ro",
            "sqlite:///mail\n.db",
            "sqlite:///mail\x00.db",
            "mysql://u:secret@h/db",
        ),
    ],
)
def test_a_database_url_of_another_kind_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="is not sqlite:///FILE") as caught:
        parse_database_url(text)

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "mysql+pymysql://u:secret@db.example:3306/mail",
        "mysql+pymysql://u:p%40%2F%3F%23%3A@[::1]/mail_2",
        "mysql+pymysql://u@h/m",
        "mysql+pymysql://u:secret@h/m?ssl_ca=/dev/null",
        "mysql+pymysql://u:secret@h/m?ssl_verify_identity=1",
    ],
)
def test_a_database_url_may_name_a_server(text: str) -> None:
    url = parse_database_url(text)

    assert (url.url, url.is_sqlite) == (text, False)
    assert "secret" not in f"{url} {url!r}"


def test_a_file_is_no_server_whatever_its_name() -> None:
    assert parse_database_url("sqlite:///mysql+pymysql://u:p@h/m").is_sqlite


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("mysql+pymysql://", "is not a URL such as"),
        ("mysql+pymysql://h/mail", "USER:PASSWORD@HOST"),
        ("mysql+pymysql://:secret@h/mail", "USER:PASSWORD@HOST"),
        ("mysql+pymysql://u:secret@h", "a plain database name"),
        ("mysql+pymysql://u:secret@h/", "a plain database name"),
        ("mysql+pymysql://u:secret@h/a/b", "a plain database name"),
        ("mysql+pymysql://u:secret@h/a%20b", "a plain database name"),
        (
            "mysql+pymysql://u:secret@h/mail?ssl_ca=/no/such/file.pem",
            "ssl_ca='/no/such/file.pem' does not exist",
        ),
        ("mysql+pymysql://u:secret@h/mail?ssl_ca=", "ssl_ca='' does not exist"),
        ("mysql+pymysql://u:secret@h/mail?ssl_verify_identity=0", "ssl_verify_identity=1"),
        ("mysql+pymysql://u:secret@h/mail?ssl_mode=required", "its options are ssl_ca=FILE"),
        ("mysql+pymysql://u:secret@h/mail?charset", "its options are ssl_ca=FILE"),
        ("mysql+pymysql://u:secret@h/mail#x", "a plain database name"),
        ("mysql+pymysql://u:secret@h:0/mail", "a port that is not a number"),
        ("mysql+pymysql://u:secret@h:99999/mail", "a port that is not a number"),
        ("mysql+pymysql://u:se@secret@h/mail", "@ %40"),
        ("mysql+pymysql://u:1/secret@h/mail", "/ is written %2F"),
        ("mysql+pymysql://u:se/secret@h/mail", "/ is written %2F"),
        ("mysql+pymysql://u:1?secret@h/mail", "? %3F"),
        ("mysql+pymysql://u:1#secret@h/mail", "# %23"),
        ("mysql+pymysql://u:secret @h/mail", "a space or control character"),
        ("mysql+pymysql://u:secret@h/mail\n", "a space or control character"),
        ("mariadb+pymysql://u:secret@h/mail", "mysql+pymysql://USER:PASSWORD@HOST"),
    ],
)
def test_an_invalid_database_url_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(complaint)) as caught:
        parse_database_url(text)

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("amqp://guest:guest@h:5672/", "amqp://guest:***@h:5672/"),
        ("amqp://u:p%40%2F@h/", "amqp://u:***@h/"),
        ("amqp://u:@h/", "amqp://u:***@h/"),
        ("amqp://h:5672/v", "amqp://h:5672/v"),
        ("amqp://u@h/", "amqp://u@h/"),
        ("u:secret@h", "u:***@h"),
        ("sqlite:////tmp/a:b@c.db", "sqlite:////tmp/a:b@c.db"),
        ("", ""),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, expected: str) -> None:
    assert redacted(url) == expected


# Letters that stand nowhere else in the URL or the messages, so that finding one means a leak.
secrets = st.text("ÄÖß%/?#@:[]& \t\n\\'\"", min_size=1, max_size=12).map(lambda text: f"Q{text}Z")


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (AmqpUrl.parse, "amqp://user:{}@mq.example:5672/"),
        (parse_database_url, "mysql+pymysql://user:{}@db.example:3306/mail"),
    ],
)
@given(secret=secrets)
def test_no_form_of_a_refused_or_accepted_url_shows_the_password(
    parse: Callable[[str], AmqpUrl | DatabaseUrl], text: str, secret: str
) -> None:
    for written in (secret, quote(secret, safe="")):
        try:
            url = parse(text.format(written))
        except SettingsError as error:
            shown = str(error)
        else:
            shown = f"{url} {url!r}"

        assert "user" in shown
        assert "Q" not in shown
        assert "Z" not in shown


@given(secrets)
def test_an_escaped_password_is_always_accepted(secret: str) -> None:
    text = f"amqp://user:{quote(secret, safe='')}@mq.example:5672"

    assert AmqpUrl.parse(text).password == secret
    assert AmqpUrl.parse(text).url == text


@given(secrets)
def test_the_password_of_a_database_url_is_what_was_meant(secret: str) -> None:
    url = parse_database_url(f"mysql+pymysql://user:{quote(secret, safe='')}@db.example/mail")

    read = make_url(url.url)
    assert (read.username, read.password, read.host, read.database) == ("user", secret, "db.example", "mail")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("https://cms.example/", "https://cms.example"),
    ],
)
def test_a_base_url_has_no_trailing_slash(text: str, expected: str) -> None:
    assert _parse_base_url(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "cms.example",
            "ftp://cms.example",
            "http://",
            "http://cms.example/?a",
            "http://cms.example/#a",
            "https://example.org/cms/",
        ),
        *(
            "http://u@cms.example",
            "http://u:p@cms.example",
            "http://cms.example:99999",
            "http://cms.example\r\nA: b",
        ),
    ],
)
def test_what_is_no_base_url_is_refused(text: str) -> None:
    with pytest.raises(SettingsError):
        _parse_base_url(text)
