"""Which host names belong to this server, and which requests come from its own pages."""

import pytest

from mailpact.settings import SettingsError
from mailpact_capture.gate import bare_name, is_foreign, is_own_host, is_own_origin
from mailpact_cli.capture import host_name

ALLOWED = frozenset(map(bare_name, ("Capture", "mail.test.", "fd00::1")))


@pytest.mark.parametrize(
    "host",
    [
        "localhost", "LOCALHOST:8025", "localhost.", "localhost.:8025", "127.0.0.1", "127.0.0.1:1", "127.8.9.1",
        "[::1]", "[::1]:8025", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "capture", "CAPTURE:8025", "capture.",
        "mail.test:80", "mail.test.", "10.0.0.5", "10.0.0.5:8025", "[fd00::1]:8025",
    ],
)  # fmt: skip
def test_host_is_this_server(host: str) -> None:
    assert is_own_host(host, "10.0.0.5", ALLOWED)


@pytest.mark.parametrize(
    "host",
    [
        "", ".", "evil.test", "localhost.evil.test", "127.0.0.1.evil.test", "evil.test:127.0.0.1", "x@127.0.0.1",
        "localhost@evil.test", "127.0.0.1/x", "127.0.0.1#x", "127.0.0.1?x", "127.0.0.1\\x", "127.0.0.1:x",
        "localhost x", "localhost,evil.test", "*", "::1", "[::1", "[::1%25lo]", "[evil.test]", "[127.0.0.1", "127.1",
        "2130706433", "0x7f000001", "0.0.0.0", "[::]", "10.0.0.6", "capture.evil.test", "xcapture", "localhost..",
        "ⓛocalhost", "loc\u00adalhost", "localhost\x00", "１２７.0.0.1", "127.0.0.1:１",  # noqa: RUF001 (that is the point)
    ],
)  # fmt: skip
def test_host_is_not_this_server(host: str) -> None:
    assert not is_own_host(host, "10.0.0.5", ALLOWED)


@pytest.mark.parametrize(
    "origin", ["http://127.0.0.1:8025", "HTTP://127.0.0.1:8025", "https://127.0.0.1:8025"]
)
def test_origin_is_this_server(origin: str) -> None:
    assert is_own_origin(origin, "127.0.0.1:8025")


@pytest.mark.parametrize(
    "origin",
    [
        "", "null", "NULL", "http://evil.test", "http://evil.test:8025", "http://localhost:8025", "http://127.0.0.1",
        "http://127.0.0.1:8026", "http://127.0.0.1:8025.evil.test", "http://127.0.0.1:8025@evil.test",
        "http://evil.test@127.0.0.1:8025", "http://127.0.0.1:8025/", "ftp://127.0.0.1:8025", "file://", "http://[::1",
        "http://127.0.0.1:8025 http://evil.test", "http://127.0.0.1:8025,http://evil.test",
    ],
)  # fmt: skip
def test_origin_is_foreign(origin: str) -> None:
    assert not is_own_origin(origin, "127.0.0.1:8025")


@pytest.mark.parametrize(
    ("sites", "foreign"),
    [
        ([], False), (["none"], False), (["Same-Origin"], False), (["same-site"], True), (["Cross-Site"], True),
        (["unheard-of"], True), ([""], True), (["same-origin", "cross-site"], True),
    ],
)  # fmt: skip
def test_browser_says_where_a_page_is_from(sites: list[str], foreign: bool) -> None:
    assert is_foreign(sites) is foreign


@pytest.mark.parametrize("name", ["capture", "Capture_1", "mail.test.", "10.0.0.7", "fd00::1"])
def test_name_can_be_allowed(name: str) -> None:
    assert host_name(name) == name


@pytest.mark.parametrize("name", ["", "capture:8025", "http://capture", "a b", "*", "[::1]", "a/b", "a,b"])
def test_what_no_host_header_could_be_cannot_be_allowed(name: str) -> None:
    with pytest.raises(SettingsError, match="without a port"):
        host_name(name)
