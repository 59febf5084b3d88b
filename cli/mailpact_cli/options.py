"""Declares each option once, together with its environment variable.

`--amqp-url` is also `MAILPACT_AMQP_URL`. An invalid value is refused with the option's name and a valid example.
The parsers of the consumer's options import what they need when they run: most commands have none of these options.
"""

import re
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

import typer

from mailpact.settings import AmqpUrl, DatabaseUrl, SettingsError, redacted, split_url, url_port
from mailpact_cli.addresses import parse_database_url, parse_host_port

if TYPE_CHECKING:
    from mailpact_consumer.mailbox import Identities, Mailbox
    from mailpact_consumer.schedule import Schedule
    from mailpact_consumer.smtp_url import SmtpUrl

DEFAULT_AMQP_URL = AmqpUrl("127.0.0.1", 5672)
ENVIRONMENT_PREFIX = "MAILPACT_"
_NUMBER = re.compile("[0-9]{1,15}")
_SECONDS = re.compile(r"[0-9]{1,15}(\.[0-9]{1,15})?")

T = TypeVar("T")


def flag(name: str, help: str) -> Any:  # noqa: A002  # typer's own word
    """Declare an option without a value."""
    return typer.Option(name, envvar=_variable(name), help=help)


def switch(name: str, help: str) -> Any:  # noqa: A002  # typer's own word
    """Declare an option without a value and without an environment variable."""
    return typer.Option(name, help=help)


def argument(name: str, metavar: str, help: str) -> Any:  # noqa: A002  # typer's own word
    """Declare an option with a value and without an environment variable."""
    return typer.Option(name, metavar=metavar, help=help)


def seconds(name: str, help: str, *, most: float) -> Any:  # noqa: A002  # typer's own word
    """Declare an option with a number of seconds and without an environment variable."""

    def parse(text: str) -> float:
        if not _SECONDS.fullmatch(text) or float(text) > most:
            raise SettingsError(f"{text!r} is not a number of seconds from 0 to {most:g}")
        return float(text)

    return typer.Option(name, metavar="SECONDS", help=help, min=0, max=most, parser=_refusing(parse))


def number(name: str, help: str, *, least: int, most: int) -> Any:  # noqa: A002  # typer's own word
    """Declare an option whose value is a whole number."""

    def parse(text: str) -> int:
        if not _NUMBER.fullmatch(text) or not least <= int(text) <= most:
            raise SettingsError(f"{text!r} is not a whole number from {least} to {most}")
        return int(text)

    return typer.Option(
        name,
        envvar=_variable(name),
        metavar="NUMBER",
        help=help,
        min=least,  # shown in the help
        max=most,
        parser=_refusing(parse),
    )


def text(name: str, metavar: str, help: str) -> Any:  # noqa: A002  # typer's own word
    """Declare an option whose value is a text."""
    return typer.Option(name, envvar=_variable(name), metavar=metavar, help=help)


def choice(name: str, help: str) -> Any:  # noqa: A002  # typer's own word
    """Declare an option whose value is one of an enumeration's."""
    return typer.Option(name, envvar=_variable(name), help=help)


def path(name: str, help: str) -> Any:  # noqa: A002  # typer's own word
    """Declare an option whose value is a path."""
    return typer.Option(name, envvar=_variable(name), metavar="PATH", help=help)


def address(name: str, help: str) -> Any:  # noqa: A002  # typer's own word
    """Declare an option whose value is HOST:PORT."""
    return _parsed(name, parse_host_port, "HOST:PORT", help)


def amqp_url(help: str = "The URL of the broker.") -> Any:  # noqa: A002  # typer's own word
    """Declare `--amqp-url`."""
    return _parsed("--amqp-url", _parse_amqp_url, "URL[,URL]", help)


def _parse_amqp_url(text: str) -> AmqpUrl:
    url = AmqpUrl.parse(text)
    for name, file in (option for one in url.each for option in one.options):
        if name == "cafile":
            _parse_ca_file(file)
    return url


def smtp_url() -> Any:
    """Declare `--smtp-url`."""
    return _parsed("--smtp-url", _parse_smtp_url, "URL", "The URL of the mail server.")


def _parse_smtp_url(text: str) -> "SmtpUrl":
    from mailpact_consumer.smtp_url import SmtpUrl

    return SmtpUrl.parse(text)


def database_url(name: str, help: str) -> Any:  # noqa: A002  # typer's own word
    """Declare an option that names a database."""
    return _parsed(name, _parse_database_url, "URL", help)


def _parse_database_url(text: str) -> DatabaseUrl:
    url = parse_database_url(text)
    query = "" if url.is_sqlite else urlsplit(url.url).query
    for name, file in parse_qsl(query):
        if name == "ssl_ca":
            _parse_ca_file(file)
    return url


def local_logs() -> Any:
    """Declare `--local-logs`."""
    return flag("--local-logs", "Write log records to standard error only; do not publish them.")


def management_url(help: str) -> Any:  # noqa: A002  # typer's own word
    """Declare `--management-url`."""
    return _parsed("--management-url", _parse_management_url, "URL", help)


def _parse_management_url(text: str) -> str:
    # The login may stand in the URL, and everything else must be an address.
    _, at, place = text.rpartition("@")
    scheme = "https" if text.startswith("https://") else "http"
    _parse_base_url(f"{scheme}://{place}" if at else text)
    return text.rstrip("/")


def base_url() -> Any:
    """Declare `--base-url`."""
    return _parsed("--base-url", _parse_base_url, "URL", "The site's public address, for links and cookies.")


def _parse_base_url(text: str) -> str:
    """Return the site's public URL without a trailing slash; raise SettingsError when it is not http(s)."""
    url = split_url(text, {"http", "https"}, "http://127.0.0.1:8080")
    url_port(url, text, 80)
    if url.query or url.fragment or "@" in url.netloc:
        raise SettingsError(f"{redacted(text)!r}: a base URL has no user, query or fragment")
    if url.path.strip("/"):
        raise SettingsError(f"{redacted(text)!r}: a base URL has no path; the site needs its own host name")
    return f"{url.scheme}://{url.netloc.lower()}"


def called_url(name: str, help: str) -> Any:  # noqa: A002  # typer's own word
    """Declare an option whose value is a URL that Mailpact calls; a value that is refused is never shown."""
    return _parsed(name, _parse_called_url, "URL", help)


def _parse_called_url(text: str) -> str:
    from mailpact_producer.settings import parse_http_url

    return parse_http_url(text)


def mailbox(name: str, help: str) -> Any:  # noqa: A002  # typer's own word
    """Declare an option whose value is an address, with or without a display name."""
    return _parsed(name, _parse_mailbox, "MAILBOX", help)


def ca_file(name: str, help: str) -> Any:  # noqa: A002  # typer's own word
    """Declare an option that names a file with certificates."""
    return _parsed(name, _parse_ca_file, "FILE", help)


def mail_address(name: str, help: str) -> Any:  # noqa: A002  # typer's own word
    """Declare an option whose value is an address that a mail may come from."""
    return _parsed(name, _parse_mail_address, "ADDRESS", help)


def sqlite_folder(url: DatabaseUrl) -> DatabaseUrl:
    """Make the folder of an SQLite file; raise SettingsError if that fails. A server's database needs no folder."""
    if url.is_sqlite:
        make_folder(url.path.parent)
    return url


def make_folder(folder: Path) -> Path:
    """Make a folder for data that only its owner may read; raise SettingsError if that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise SettingsError(
            f"the folder {folder} cannot be created: {error.strerror}; choose another folder"
        ) from error
    return folder


def _parse_mailbox(text: str) -> "Mailbox":
    from mailpact_consumer.mailbox import Mailbox

    try:
        mailbox = Mailbox.parse(text)
    except ValueError as error:
        raise SettingsError(str(error)) from error
    _parse_mail_address(mailbox.address)
    return mailbox


def _parse_ca_file(text: str) -> Path:
    path = Path(text)
    try:
        ssl.create_default_context(cafile=path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "bad file name"
        raise SettingsError(f"{text!r} is not a file with certificates in PEM form: {reason}") from error
    return path


def identities(name: str, help: str) -> Any:  # noqa: A002  # typer's own word
    """Declare an option whose value is a list of addresses that mails may come from, with commas between."""
    return _parsed(name, _parse_identities, "ADDRESSES", help)


def _parse_identities(text: str) -> "Identities":
    from mailpact_consumer.mailbox import Identities

    return Identities.of(_parse_mail_address(word.strip()) for word in text.split(",") if word.strip())


def _parse_mail_address(text: str) -> str:
    from mailpact.contracts import catalogue
    from mailpact.contracts.validate import compiled

    # The contract's own rule: what may stand in `email` may also be the sender.
    schema: Any = catalogue.load().contract("email/1").writer_schema
    rule = compiled({"$defs": schema.get("$defs", {}), **schema["properties"]["email"]})
    # The rule itself says ASCII; a text with half a surrogate pair could not be handed to the engine.
    if not text.isascii() or not rule.is_valid(text):
        raise SettingsError(f"{text!r} is not a plain ASCII address, for example cms@mail.example")
    return text


def schedule(name: str, help: str) -> Any:  # noqa: A002  # typer's own word
    """Declare an option whose value is a retry schedule, such as `10s 1m 5m`."""
    return _parsed(name, _parse_schedule, "STEPS", help)


def _parse_schedule(text: str) -> "Schedule":
    from mailpact_consumer.schedule import Schedule, ScheduleError

    try:
        return Schedule.parse(text)
    except ScheduleError as error:
        raise SettingsError(str(error)) from error


def _parsed(name: str, parse: Callable[[str], T], metavar: str, help: str) -> Any:  # noqa: A002  # typer's own word
    parser = _refusing(parse)
    return typer.Option(name, envvar=_variable(name), parser=parser, metavar=metavar, help=help)


def _refusing(parse: Callable[[str], T]) -> Callable[[str | T], T]:
    """Return a parser for typer, which also passes a default value through it."""

    def parser(value: str | T) -> T:
        if not isinstance(value, str):
            return value
        try:
            return parse(value)
        except SettingsError as error:
            raise typer.BadParameter(str(error)) from error

    return parser


def _variable(name: str) -> str:
    return ENVIRONMENT_PREFIX + name.removeprefix("--").replace("-", "_").upper()
