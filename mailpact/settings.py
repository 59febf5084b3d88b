"""Types of settings that several components use: addresses and URLs.

The settings of one component are a frozen dataclass in the component's own `settings.py`.
"""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

_AMQP_OPTIONS = ("heartbeat", "name", "auth")
_TLS_FILES = ("cafile", "capath", "certfile", "keyfile")
_TLS_OPTIONS = (*_TLS_FILES, "cadata", "no_verify_ssl")
_GUEST = "guest"  # what every AMQP library takes if a URL names no login
_BETWEEN_URLS = re.compile(r",(?=amqps?://)")


class SettingsError(Exception):
    """A setting has an invalid value; the message names the setting and gives an example of a valid value."""


@dataclass(frozen=True, slots=True)
class HostPort:
    """An address to listen on or to connect to. Port 0 means any free port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, repr=False)
class AmqpUrl:
    """A broker, and the login for it: `amqp(s)://USER:PASSWORD@HOST:PORT/VHOST?OPTIONS`. `str` hides the password.

    `amqps` is AMQP over TLS, where the broker's certificate and host name are checked. The options are `heartbeat`
    (seconds), `name` and `auth`, and for TLS `cafile`, `capath`, `cadata`, `certfile`, `keyfile` and `no_verify_ssl=1`.
    Other options are refused, because aiormq would ignore them. `others` are the further nodes of a cluster; their URLs
    follow after commas.
    """

    host: str
    port: int
    user: str = _GUEST
    password: str = _GUEST
    vhost: str = "/"
    is_tls: bool = False
    options: tuple[tuple[str, str], ...] = ()
    others: tuple["AmqpUrl", ...] = ()

    @classmethod
    def parse(cls, text: str) -> "AmqpUrl":
        """Return the broker that one or several URLs name. Raises SettingsError for a bad URL or a missing file."""
        first, *others = map(cls._parse_one, _BETWEEN_URLS.split(text))
        return replace(first, others=tuple(others))

    @classmethod
    def _parse_one(cls, text: str) -> "AmqpUrl":
        url = split_url(text, {"amqp", "amqps"}, "amqp://guest:guest@127.0.0.1:5672/")
        is_tls = url.scheme == "amqps"
        if url.fragment or "@" in url.path + url.query:
            # A password with a slash would be read as a port and a path, and the connection would go elsewhere.
            raise SettingsError(f"{redacted(text)!r}: in a password / is written %2F, ? %3F, # %23, @ %40")
        if re.search("[,;]", url.netloc.rpartition("@")[2] + url.path + url.query):
            raise SettingsError(
                f"{redacted(text)!r}: several brokers are whole URLs, with a comma between two"
            )
        port = url_port(url, text, 5671 if is_tls else 5672)
        options = tuple(parse_qsl(url.query, keep_blank_values=True))
        for name, value in options:
            _check_amqp_option(text, name, value, is_tls=is_tls)
        user, password = (unquote(part or "") or _GUEST for part in (url.username, url.password))
        vhost = unquote(url.path[1:]) or "/"
        return cls(str(url.hostname), port, user, password, vhost, is_tls, options)

    @property
    def each(self) -> tuple["AmqpUrl", ...]:
        """Return the URL of each node."""
        return (replace(self, others=()), *self.others)

    def rotated(self) -> "AmqpUrl":
        """Return the same nodes, beginning with the second."""
        first, *others = (*self.others, replace(self, others=()))
        return replace(first, others=tuple(others))

    @property
    def url(self) -> str:
        """Return the whole URL with the password, for programs that are started with it, never for a log.

        The vhost `/` is left out, because clients in Java and Rust read a slash at the end as a vhost without a name.
        """
        if self.others:
            return ",".join(one.url for one in self.each)
        login = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}"
        path = "" if self.vhost == "/" else f"/{quote(self.vhost, safe='')}"
        query = f"?{urlencode(self.options)}" if self.options else ""
        scheme = "amqps" if self.is_tls else "amqp"
        return f"{scheme}://{login}@{HostPort(self.host, self.port)}{path}{query}"

    def __str__(self) -> str:
        return ",".join(redacted(one.url) for one in self.each)

    def __repr__(self) -> str:
        return f"AmqpUrl({str(self)!r})"


@dataclass(frozen=True, slots=True, repr=False)
class DatabaseUrl:
    """A database: `sqlite:///FILE`, or `mysql+pymysql://USER:PASSWORD@HOST:PORT/DATABASE` for MySQL or MariaDB.

    `str` hides the password. With `?ssl_ca=FILE`, or `?ssl_verify_identity=1` for the system's authorities, the
    connection is encrypted, and the server's certificate and host name are checked.
    """

    url: str

    @property
    def is_sqlite(self) -> bool:
        """Return whether the database is a file, not on a server."""
        return self.url.startswith("sqlite:")

    @property
    def path(self) -> Path:
        """Return the file of an SQLite database."""
        return Path(self.url.removeprefix("sqlite:///"))

    def __str__(self) -> str:
        return redacted(self.url)

    def __repr__(self) -> str:
        return f"DatabaseUrl({str(self)!r})"


def redacted(url: str) -> str:
    """Return the URL without its password, for logs and error messages.

    The text may be no valid URL, for instance because the password has a slash. So the text is not parsed: everything
    between the user's name and the last @ is hidden.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        scheme, rest = "", url
    login, at, place = rest.rpartition("@")
    user, colon, _ = login.partition(":")
    if not colon or user.startswith("/"):  # a file has no login
        return url
    return f"{scheme}{separator}{user}:***{at}{place}"


def split_url(text: str, schemes: set[str], example: str) -> SplitResult:
    """Return the parts of a URL. Raises SettingsError if the URL has no host or none of the schemes."""
    # urlsplit silently drops line ends and tabs, so the URL in use would differ from the URL that was given.
    if not text.isprintable() or " " in text:
        raise SettingsError(f"{redacted(text)!r} has a space or control character; write it as %XX")
    try:
        url = urlsplit(text)
        has_host = bool(url.hostname)
    except ValueError:
        raise SettingsError(f"{redacted(text)!r} is not a URL, for example {example}") from None
    if url.scheme not in schemes or not has_host:
        raise SettingsError(f"{redacted(text)!r} is not a URL such as {example}")
    return url


def _check_amqp_option(text: str, name: str, value: str, *, is_tls: bool) -> None:
    wrong = ""
    if name not in _AMQP_OPTIONS + _TLS_OPTIONS:
        wrong = f"{name!r} is none of {', '.join(_AMQP_OPTIONS + _TLS_OPTIONS)}"
    elif name in _TLS_OPTIONS and not is_tls:
        wrong = f"{name!r} is an option of TLS, so the URL begins with amqps://"
    elif name in _TLS_FILES and not Path(value).exists():
        wrong = f"{name}={value!r} does not exist"
    elif name == "heartbeat" and not (re.fullmatch("[0-9]{1,5}", value) and 0 < int(value) < 65535):
        wrong = "a heartbeat is a whole number of seconds from 1"
    elif name == "no_verify_ssl" and value not in ("0", "1"):
        wrong = "no_verify_ssl is 0 or 1"
    elif name == "auth" and value.lower() not in ("plain", "external"):
        wrong = "auth is one of plain, external"
    if wrong:
        raise SettingsError(f"{redacted(text)!r}: {wrong}")


def url_port(url: SplitResult, text: str, default: int) -> int:
    """Return the port of a URL, which was split from `text`. Raises SettingsError if the port is invalid."""
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
