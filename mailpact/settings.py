"""Types of settings that several components use: addresses and URLs, and what is wrong with an invalid one.

The settings of one component are a frozen dataclass in the component's own `settings.py`.
"""

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

_HOST = re.compile(r"\[[0-9A-Fa-f:.]+\]|[^\s:/@\[\]]+")
_PORT = re.compile(r"[0-9]{1,5}")
_AMQP_OPTIONS = ("heartbeat", "name", "auth")
_TLS_FILES = ("cafile", "capath", "certfile", "keyfile")
_TLS_OPTIONS = (*_TLS_FILES, "cadata", "no_verify_ssl")
_AMQP_AUTHENTICATION = ("plain", "external")
_MYSQL = "mysql+pymysql"
_MYSQL_FORM = "mysql+pymysql://USER:PASSWORD@HOST:PORT/DATABASE"
_MYSQL_NAME = re.compile(r"/[0-9A-Za-z_$-]{1,64}")


class SettingsError(Exception):
    """A setting has an invalid value; the message names the setting and gives an example of a valid value."""


@dataclass(frozen=True, slots=True)
class HostPort:
    """An address to listen on or to connect to. Port 0 means any free port."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "HostPort":
        """Read `HOST:PORT`, an IPv6 address in brackets; raise SettingsError otherwise."""
        host, _, port = text.rpartition(":")
        if not _HOST.fullmatch(host) or not _PORT.fullmatch(port) or int(port) > 65535:
            raise SettingsError(
                f"{redacted(text)!r} is not HOST:PORT, for example 127.0.0.1:8025 or [::1]:8025"
            )
        return cls(host.strip("[]"), int(port))

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


@dataclass(frozen=True, slots=True, repr=False)
class SmtpUrl:
    """The mail server: `smtp://HOST:PORT`, or `smtps://` for TLS from the first byte; `USER:PASSWORD@` for a login.

    Its text forms hide the password. Default ports: 25, and 465 for `smtps://`.
    """

    host: str
    port: int
    is_tls: bool = False
    user: str | None = None
    password: str | None = None

    @classmethod
    def parse(cls, text: str) -> "SmtpUrl":
        """Read an SMTP URL; raise SettingsError for anything that would have to be ignored."""
        url = _split_url(text, {"smtp", "smtps"}, "smtp://127.0.0.1:1025")
        if url.netloc.count("@") > 1 or url.query or url.fragment or url.path not in ("", "/"):
            raise SettingsError(
                f"{redacted(text)!r} is not smtp[s]://USER:PASSWORD@HOST:PORT;"
                " in a password / is written %2F, ? %3F, # %23, @ %40, % %25"
            )
        is_tls = url.scheme == "smtps"
        user, password = _login(url, text) if "@" in url.netloc else (None, None)
        return cls(str(url.hostname), _port(url, text, 465 if is_tls else 25), is_tls, user, password)

    def __str__(self) -> str:
        login = "" if self.user is None else f"{quote(self.user, safe='')}:***@"
        return f"{'smtps' if self.is_tls else 'smtp'}://{login}{HostPort(self.host, self.port)}"

    def __repr__(self) -> str:
        return f"SmtpUrl({str(self)!r})"


@dataclass(frozen=True, slots=True, repr=False)
class AmqpUrl:
    """A broker, and the login for it: `amqp(s)://USER:PASSWORD@HOST:PORT/VHOST`. Its text forms hide the password.

    `amqps` is AMQP over TLS, where the broker's certificate and host name are checked. Options may follow:
    `?heartbeat=SECONDS`, `?name=`, `?auth=`, and for TLS `?cafile=`, `?capath=`, `?cadata=`, `?certfile=`, `?keyfile=`
    and `?no_verify_ssl=1`. Other options are refused, because aiormq would ignore them.
    """

    host: str
    port: int
    user: str = "guest"
    password: str = "guest"  # noqa: S105  # what every AMQP library takes if a URL names no login
    vhost: str = "/"
    is_tls: bool = False
    options: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, text: str) -> "AmqpUrl":
        """Read an AMQP URL; raise SettingsError if the URL is invalid, or if a file that it names does not exist."""
        url = _split_url(text, {"amqp", "amqps"}, "amqp://guest:guest@127.0.0.1:5672/")
        is_tls = url.scheme == "amqps"
        port = _port(url, text, 5671 if is_tls else 5672)
        if url.fragment or "@" in url.path + url.query:
            # A password with a slash in it would be taken for a port and a path, and the connection go elsewhere.
            raise SettingsError(f"{redacted(text)!r}: in a password / is written %2F, ? %3F, # %23, @ %40")
        options = tuple(parse_qsl(url.query, keep_blank_values=True))
        for name, value in options:
            _check_amqp_option(text, name, value, is_tls=is_tls)
        login = {"user": unquote(url.username or ""), "password": unquote(url.password or "")}
        given = {name: value for name, value in login.items() if value}
        vhost = unquote(url.path[1:]) or "/"
        return cls(str(url.hostname), port, **given, vhost=vhost, is_tls=is_tls, options=options)

    @property
    def url(self) -> str:
        """The whole URL, password included: for programs that are started with it, never for a log.

        The vhost `/` is left out, because clients in Java and Rust take a slash at the end for a vhost without a name.
        """
        login = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}"
        path = "" if self.vhost == "/" else f"/{quote(self.vhost, safe='')}"
        query = f"?{urlencode(self.options)}" if self.options else ""
        scheme = "amqps" if self.is_tls else "amqp"
        return f"{scheme}://{login}@{HostPort(self.host, self.port)}{path}{query}"

    def __str__(self) -> str:
        return redacted(self.url)

    def __repr__(self) -> str:
        return f"AmqpUrl({str(self)!r})"


@dataclass(frozen=True, slots=True, repr=False)
class DatabaseUrl:
    """Which database: `sqlite:///FILE`, or `mysql+pymysql://USER:PASSWORD@HOST:PORT/DATABASE` for MySQL or MariaDB.

    Its text forms hide the password.
    """

    url: str

    @classmethod
    def parse(cls, text: str) -> "DatabaseUrl":
        """Read a database URL; raise SettingsError for a kind that this release cannot use."""
        if text.startswith(f"{_MYSQL}://"):
            _check_mysql(text)
            return cls(text)
        path = text.removeprefix("sqlite:///")
        if path in ("", text, ":memory:") or "?" in path or not path.isprintable():
            raise SettingsError(
                f"{redacted(text)!r} is not sqlite:///FILE, for example sqlite:///mail.db, nor {_MYSQL_FORM}"
            )
        return cls(text)

    @classmethod
    def of_file(cls, path: Path) -> "DatabaseUrl":
        """Return the URL of an SQLite file."""
        return cls(f"sqlite:///{path}")

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a file of this machine, not a database on a server."""
        return not self.url.startswith(f"{_MYSQL}://")

    @property
    def path(self) -> Path:
        """The SQLite file; a server's database has none."""
        return Path(self.url.removeprefix("sqlite:///"))

    def __str__(self) -> str:
        return redacted(self.url)

    def __repr__(self) -> str:
        return f"DatabaseUrl({str(self)!r})"


def redacted(url: str) -> str:
    """Return the URL without its password, fit for logs and error messages.

    It is also asked about text that is no URL, for instance because the password has a slash in it. So nothing is
    parsed: what stands between the user's name and the last @ is hidden, and perhaps a little too much.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        scheme, rest = "", url
    login, at, place = rest.rpartition("@")
    user, colon, _ = login.partition(":")
    if not colon or user.startswith("/"):  # a file has no login
        return url
    return f"{scheme}{separator}{user}:***{at}{place}"


def parse_base_url(text: str) -> str:
    """Return the site's public URL without a trailing slash; raise SettingsError when it is not http(s)."""
    url = _split_url(text, {"http", "https"}, "http://127.0.0.1:8080")
    _port(url, text, 80)
    if url.query or url.fragment or "@" in url.netloc:
        raise SettingsError(f"{redacted(text)!r}: a base URL has no user, query or fragment")
    if url.path.strip("/"):
        raise SettingsError(f"{redacted(text)!r}: a base URL has no path; the site needs a host of its own")
    return f"{url.scheme}://{url.netloc.lower()}"


def _split_url(text: str, schemes: set[str], example: str) -> SplitResult:
    # urlsplit drops line ends and tabs without a word, and what is used later would be another URL than was read.
    if not text.isprintable() or " " in text:
        raise SettingsError(f"{redacted(text)!r} has a space or control character; write it as %XX")
    try:
        url = urlsplit(text)
        has_host = bool(url.hostname)
    except ValueError:
        raise SettingsError(f"{redacted(text)!r} is not a URL, for example {example}") from None
    if url.scheme not in schemes or not has_host:
        raise SettingsError(f"{redacted(text)!r} is not a URL of this kind: {example}")
    return url


def _login(url: SplitResult, text: str) -> tuple[str, str]:
    try:
        user, password = (unquote(part or "", errors="strict") for part in (url.username, url.password))
    except UnicodeDecodeError:
        user = password = ""
    if not user or not password or not (user + password).isprintable():
        raise SettingsError(f"{redacted(text)!r}: a login is USER:PASSWORD@, in UTF-8 with %XX where needed")
    return user, password


def _check_amqp_option(text: str, name: str, value: str, *, is_tls: bool) -> None:
    wrong = ""
    if name not in _AMQP_OPTIONS + _TLS_OPTIONS:
        wrong = f"{name!r} is none of {', '.join(_AMQP_OPTIONS + _TLS_OPTIONS)}"
    elif name in _TLS_OPTIONS and not is_tls:
        wrong = f"{name!r} is an option of TLS, so the URL begins with amqps://"
    elif name in _TLS_FILES and not Path(value).exists():
        wrong = f"{name}={value!r} does not exist"
    elif name == "heartbeat" and not (_PORT.fullmatch(value) and 0 < int(value) < 65535):
        wrong = "a heartbeat is a whole number of seconds from 1"
    elif name == "no_verify_ssl" and value not in ("0", "1"):
        wrong = "no_verify_ssl is 0 or 1"
    elif name == "auth" and value.lower() not in _AMQP_AUTHENTICATION:
        wrong = f"auth is one of {', '.join(_AMQP_AUTHENTICATION)}"
    if wrong:
        raise SettingsError(f"{redacted(text)!r}: {wrong}")


def _check_mysql(text: str) -> None:
    url = _split_url(text, {_MYSQL}, _MYSQL_FORM)
    _port(url, text, 3306)
    # Of two @ one is the password's, and not every reader would take the same for the host's.
    if url.netloc.count("@") != 1 or not url.username or "@" in url.path + url.query + url.fragment:
        raise SettingsError(
            f"{redacted(text)!r} is not {_MYSQL_FORM}; in a password / is written %2F, ? %3F, # %23, @ %40"
        )
    if url.query or url.fragment or not _MYSQL_NAME.fullmatch(url.path):
        raise SettingsError(f"{redacted(text)!r}: after the port comes a plain database name, and no options")


def _port(url: SplitResult, text: str, default: int) -> int:
    try:
        port = default if url.port is None else url.port
    except ValueError:
        port = 0
    if port == 0:
        raise SettingsError(
            f"{redacted(text)!r} has a port that is not a number from 1 to 65535"
            " (in a password / is written %2F, ? %3F, # %23, @ %40)"
        )
    return port
