"""What an operator may set: the values, how they are written, and what is wrong with a bad one.

Each room has one frozen dataclass of its own in its `settings.py`; here are the kinds of value that several of
them are made of, and the only place that reads the environment.
"""

import ipaddress
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from mailpact.telemetry import Point

ENVIRONMENT_PREFIX = "MAILPACT_"
FAULT_POINT_VARIABLE = "MAILPACT_FAULT_POINT"
TEST_VARIABLE_PREFIX = "MAILPACT_TEST_"


class SettingsError(Exception):
    """A setting has a value that cannot be meant; the message names it and says what would be right."""


@dataclass(frozen=True, slots=True)
class HostPort:
    """An address to listen on or to connect to. Port 0 means: whichever is free."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "HostPort":
        """Read `HOST:PORT`, an IPv6 address in brackets; raise SettingsError otherwise."""
        host, separator, port = text.rpartition(":")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            raise SettingsError(f"{text!r}: an IPv6 address stands in brackets, as in [::1]:8025")
        if not separator or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
            raise SettingsError(f"{text!r} is not HOST:PORT, for example 127.0.0.1:8025")
        return cls(host, int(port))

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class SmtpUrl:
    """Where mail is handed over: `smtp://HOST:PORT`."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "SmtpUrl":
        """Read an SMTP URL; raise SettingsError for anything that this release would have to ignore."""
        url = _split_url(text, {"smtp"}, "smtp://127.0.0.1:1025")
        if url.username or url.password or url.query or url.path not in ("", "/"):
            raise SettingsError(f"{redacted(text)!r}: only smtp://HOST:PORT is understood so far")
        return cls(str(url.hostname), _port(url, text, 25))

    def __str__(self) -> str:
        return f"smtp://{HostPort(self.host, self.port)}"


@dataclass(frozen=True, slots=True)
class AmqpUrl:
    """Which broker, as whom: `amqp(s)://USER:PASSWORD@HOST:PORT/VHOST`. Its text form hides the password."""

    url: str

    @classmethod
    def parse(cls, text: str) -> "AmqpUrl":
        """Read an AMQP URL; raise SettingsError when it is none."""
        url = _split_url(text, {"amqp", "amqps"}, "amqp://guest:guest@127.0.0.1:5672/")
        _port(url, text, 5672)
        return cls(text)

    def __str__(self) -> str:
        return redacted(self.url)


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """Which database: `sqlite:///FILE`. Its text form hides the password that a server's would have."""

    url: str

    @classmethod
    def parse(cls, text: str) -> "DatabaseUrl":
        """Read a database URL; raise SettingsError for a kind that this release cannot use."""
        if not text.startswith("sqlite:///") or text == "sqlite:///":
            raise SettingsError(f"{redacted(text)!r} is not a database URL, for example sqlite:///mail.db")
        return cls(text)

    @classmethod
    def of_file(cls, path: Path) -> "DatabaseUrl":
        """Give the URL of an SQLite file."""
        return cls(f"sqlite:///{path}")

    @property
    def path(self) -> Path:
        """The SQLite file."""
        return Path(self.url.removeprefix("sqlite:///"))

    def __str__(self) -> str:
        return redacted(self.url)


def redacted(url: str) -> str:
    """Give the URL without its password, fit for logs and error messages."""
    try:
        password = urlsplit(url).password
    except ValueError:
        return "(an unreadable URL)"
    return url.replace(f":{password}@", ":***@", 1) if password else url


def parse_base_url(text: str) -> str:
    """Give the site's public URL without a trailing slash; raise SettingsError when it is not http(s)."""
    url = _split_url(text, {"http", "https"}, "http://127.0.0.1:8080")
    if url.query or url.fragment or url.username:
        raise SettingsError(f"{redacted(text)!r}: a base URL has no user, query or fragment")
    return text.rstrip("/")


def parse_fault_point(text: str | None) -> Point | None:
    """Give the point at which a crash test wants this process to die; None without a value."""
    if not text:
        return None
    try:
        return Point(text)
    except ValueError:
        known = ", ".join(Point)
        raise SettingsError(f"{FAULT_POINT_VARIABLE}={text!r} is no point of the journey: {known}") from None


def fault_point() -> Point | None:
    """Read the crash tests' variable from the environment; raise SettingsError for an unknown point."""
    return parse_fault_point(os.environ.get(FAULT_POINT_VARIABLE))


def refuse_unknown_variables(known: Collection[str]) -> None:
    """Raise SettingsError if the environment has a MAILPACT_ variable that no command reads.

    A misspelt name would otherwise be a setting that silently is not in force.
    """
    for name in sorted(os.environ):
        is_ours = name.startswith(ENVIRONMENT_PREFIX) and not name.startswith(TEST_VARIABLE_PREFIX)
        if is_ours and name != FAULT_POINT_VARIABLE and name not in known:
            raise SettingsError(f"the environment variable {name} is not one that Mailpact knows; unset it")


def _split_url(text: str, schemes: set[str], example: str) -> SplitResult:
    try:
        url = urlsplit(text)
        has_host = bool(url.hostname)
    except ValueError:
        raise SettingsError(f"{redacted(text)!r} is not a URL, for example {example}") from None
    if url.scheme not in schemes or not has_host:
        raise SettingsError(f"{redacted(text)!r} is not a URL of this kind: {example}")
    return url


def _port(url: SplitResult, text: str, default: int) -> int:
    try:
        return url.port or default
    except ValueError:
        raise SettingsError(f"{redacted(text)!r} has a port that is not a number up to 65535") from None
