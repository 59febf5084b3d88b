"""`mailpact capture`: the capture server and its viewer by themselves."""

import asyncio
import json
import re
import ssl
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from mailpact.settings import AmqpUrl, HostPort, SettingsError
from mailpact_capture.limits import DEFAULT_KEPT_BYTES, DEFAULT_KEPT_MAILS
from mailpact_cli import options
from mailpact_cli.environment import new_journey
from mailpact_cli.listening import bound_address, listen
from mailpact_cli.log_output import configure_logging
from mailpact_cli.serving import announce, serve_until_stopped

if TYPE_CHECKING:
    from mailpact_capture.faults import Script


Keep = Annotated[
    int,
    options.number(
        "--keep-mails", "Keep at most this many mails; the oldest are deleted.", least=1, most=1_000_000
    ),
]
KeepBytes = Annotated[
    int,
    options.number(
        "--keep-bytes",
        "Keep at most this many bytes of mail; the oldest mails are deleted.",
        least=1_000_000,
        most=2**40,
    ),
]
AllowedHost = Annotated[
    list[str] | None,
    options.text(
        "--allowed-host", "NAME", "Another host name of this server, for containers; may be repeated."
    ),
]
Starttls = Annotated[bool, options.flag("--starttls", "Offer STARTTLS to clients.")]
Smtps = Annotated[
    HostPort | None, options.address("--smtps", "Where to receive mail by SMTP with TLS from the first byte.")
]
TlsCertificate = Annotated[
    Path | None,
    options.path(
        "--tls-certificate", "The certificate for TLS, in PEM form; by default a test certificate is made."
    ),
]
TlsKey = Annotated[Path | None, options.path("--tls-key", "The private key of the certificate, in PEM form.")]
AuthFile = Annotated[
    Path | None,
    options.path(
        "--auth-file",
        "A file with lines NAME:PASSWORD; clients must log in. By default any login is accepted.",
    ),
]
Faults = Annotated[
    Path | None, options.path("--faults", "A JSON file with faults that the SMTP server simulates.")
]

Broker = Annotated[
    AmqpUrl | None,
    options.amqp_url("Listen to this broker to show each mail with its message; publish log records to it."),
]


def capture(
    smtp: Annotated[HostPort, options.address("--smtp", "Where to receive mail by SMTP.")] = HostPort(
        "127.0.0.1", 1025
    ),
    http: Annotated[
        HostPort, options.address("--http", "Where to show the mail: web pages and API.")
    ] = HostPort("127.0.0.1", 8025),
    store: Annotated[
        Path | None,
        options.path(
            "--store", "Keep the mail in this file; without the option, mail is kept until the server stops."
        ),
    ] = None,
    keep_mails: Keep = DEFAULT_KEPT_MAILS,
    keep_bytes: KeepBytes = DEFAULT_KEPT_BYTES,
    allowed_host: AllowedHost = None,
    starttls: Starttls = False,
    smtps: Smtps = None,
    tls_certificate: TlsCertificate = None,
    tls_key: TlsKey = None,
    auth_file: AuthFile = None,
    faults: Faults = None,
    amqp_url: Broker = None,
) -> None:
    """Run a mail server for tests, which shows the mail and delivers nothing."""
    shipping = _log_shipping(amqp_url)
    journey = new_journey()
    if store is not None:
        options.make_folder(store.absolute().parent)
    certificate = _pair(tls_certificate, tls_key)
    names = tuple(map(host_name, allowed_host or ()))

    async def serve(stopping: asyncio.Event) -> None:
        from mailpact_capture.accounts import Accounts, read_accounts
        from mailpact_capture.service import Settings, running

        settings = Settings(
            kept_mails=keep_mails,
            kept_bytes=keep_bytes,
            allowed_hosts=names,
            offers_starttls=starttls,
            certificate=certificate,
            accounts=read_accounts(auth_file) if auth_file else Accounts(),
            faults=_script(faults) if faults else None,
            amqp_url=amqp_url,
        )
        plain, web, encrypted = listen(smtp), listen(http), listen(smtps) if smtps else None
        async with (
            shipping,
            running(plain, web, store=store, journey=journey, settings=settings, smtps=encrypted),
        ):
            announce(f"taking mail on smtp://{bound_address(plain)}")
            if encrypted is not None:
                announce(f"taking mail on smtps://{bound_address(encrypted)}")
            announce(f"showing mail on http://{bound_address(web)}/")
            await stopping.wait()

    serve_until_stopped(serve)


def _log_shipping(url: AmqpUrl | None) -> AbstractAsyncContextManager[object]:
    """Return the context that ships log records while the server runs.

    Its libraries are loaded only if there is a broker.
    """
    if url is None:
        configure_logging(verbose=True, service="capture")
        return nullcontext()
    from mailpact_cli.log_shipping import configure_service_logging, shipping

    return shipping(configure_service_logging("capture", url))


def host_name(text: str) -> str:
    """Return a value of --allowed-host; raise SettingsError for an invalid host name, such as a name with a port."""
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,253}|[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*", text):
        raise SettingsError(
            f"--allowed-host {text!r} is not a name or address without a port, such as `capture`"
        )
    return text


def _pair(certificate: Path | None, key: Path | None) -> tuple[Path, Path] | None:
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise SettingsError("give --tls-certificate and --tls-key together")
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key)
    except OSError as error:
        reason = getattr(error, "reason", None) or error.strerror
        raise SettingsError(f"{certificate} and {key} are not a certificate and its key: {reason}") from error
    return certificate, key


def _script(path: Path) -> "Script":
    from mailpact_capture.faults import FaultError, parse_script

    try:
        return parse_script(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise SettingsError(f"--faults {path} cannot be read: {error.strerror}") from error
    except FaultError as error:
        raise SettingsError(f"--faults {path}: {error}") from error
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"--faults {path} is not JSON: {error}") from error
