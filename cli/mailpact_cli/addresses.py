"""Reads the addresses and database URLs that a person writes as option values."""

import ipaddress
import re
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl

from mailpact.settings import DatabaseUrl, HostPort, SettingsError, redacted, split_url, url_port

_HOST: Final = re.compile(r"\[[0-9A-Fa-f:.]+\]|[^\s:/@\[\]]+")
_PORT: Final = re.compile(r"[0-9]{1,5}")
_MYSQL: Final = "mysql+pymysql"
_MYSQL_FORM: Final = "mysql+pymysql://USER:PASSWORD@HOST:PORT/DATABASE"
_MYSQL_OPTIONS: Final = ("ssl_ca", "ssl_verify_identity")
_MYSQL_NAME: Final = re.compile(r"/[0-9A-Za-z_$-]{1,64}")


def parse_host_port(text: str) -> HostPort:
    """Return the address that `HOST:PORT` names, an IPv6 address in brackets. Raises SettingsError."""
    host, _, port = text.rpartition(":")
    if not _HOST.fullmatch(host) or not _PORT.fullmatch(port) or int(port) > 65535:
        raise SettingsError(f"{redacted(text)!r} is not HOST:PORT, for example 127.0.0.1:8025 or [::1]:8025")
    return HostPort(host.strip("[]"), int(port))


def is_loopback(host: str) -> bool:
    """Return whether only programs of this machine can connect to the host."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def parse_database_url(text: str) -> DatabaseUrl:
    """Return the database that a URL names. Raises SettingsError for a kind that this release cannot use."""
    if text.startswith(f"{_MYSQL}://"):
        _check_mysql(text)
        return DatabaseUrl(text)
    path = text.removeprefix("sqlite:///")
    if path in ("", text, ":memory:") or "?" in path or not path.isprintable():
        raise SettingsError(
            f"{redacted(text)!r} is not sqlite:///FILE, for example sqlite:///mail.db, nor {_MYSQL_FORM}"
        )
    return DatabaseUrl(text)


def _check_mysql(text: str) -> None:
    url = split_url(text, {_MYSQL}, _MYSQL_FORM)
    url_port(url, text, 3306)
    # Of two @ one is the password's, and not every reader would take the same for the host's.
    if url.netloc.count("@") != 1 or not url.username or "@" in url.path + url.query + url.fragment:
        raise SettingsError(
            f"{redacted(text)!r} is not {_MYSQL_FORM}; in a password / is written %2F, ? %3F, # %23, @ %40"
        )
    if url.fragment or not _MYSQL_NAME.fullmatch(url.path):
        raise SettingsError(f"{redacted(text)!r}: after the port, give a plain database name")
    for name, value in parse_qsl(url.query, keep_blank_values=True):
        if name not in _MYSQL_OPTIONS or (name == "ssl_verify_identity" and value != "1"):
            raise SettingsError(f"{redacted(text)!r}: its options are ssl_ca=FILE and ssl_verify_identity=1")
        if name == "ssl_ca" and not (value and Path(value).exists()):
            raise SettingsError(f"{redacted(text)!r}: ssl_ca={value!r} does not exist")
