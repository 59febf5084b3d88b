"""Examines the mail server as the consumer uses it: connection, TLS, login, and MAIL with our sender."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from mailpact_cli.addresses import is_loopback
from mailpact_cli.doctor.finding import Finding, ok, unreachable, wrong
from mailpact_consumer.mailbox import Mailbox
from mailpact_consumer.settings import SmtpTls
from mailpact_consumer.smtp_url import SmtpUrl

ANSWER_SECONDS: Final = 8.0
START: Final = "Start the mail server, or correct host and port in --smtp-url."


async def examine_mail_server(
    url: SmtpUrl, tls: SmtpTls, ca_file: Path | None, mail_from: Mailbox, envelope_from: str
) -> AsyncIterator[Finding]:
    """Yield what is found."""
    from mailpact_consumer.deliver import MailServer
    from mailpact_consumer.smtp_session import Server, tls_context

    if url.password is not None and not url.is_tls:
        tls = SmtpTls.REQUIRED  # like the consumer, which never sends a password without encryption
    yield _tls(url, tls)
    server = MailServer(
        Server(url, tls, tls_context(ca_file), name=mail_from.domain),
        connections=1,
        rate=None,
        monotonic=time.monotonic,
    )
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            trouble = await server.probe(envelope_from or mail_from.address)
    except TimeoutError:
        yield unreachable("mail server", f"{url} gives no answer in time", START)
        return
    finally:
        await server.close()
    if trouble is None:
        yield ok("mail server", f"{url} accepts mail from {mail_from.domain}")
    elif trouble.code is None and trouble.setting is None:
        yield unreachable("mail server", f"{url}: {trouble.reason}", START)
    else:
        advice = (
            f"Correct {trouble.setting}."
            if trouble.setting
            else "Ask the operator of the mail server for the reason."
        )
        yield wrong("mail server", f"{url}: {trouble.reason}", advice)


def _tls(url: SmtpUrl, tls: SmtpTls) -> Finding:
    about = "mail server TLS"
    if url.is_tls or tls is SmtpTls.REQUIRED:
        return ok(about, "mail leaves encrypted")
    if is_loopback(url.host):
        return ok(about, "not needed: the mail server is on this machine")
    return wrong(
        about,
        f"mail to {url.host} may leave without encryption (--smtp-tls {tls})",
        "Set --smtp-tls required, or use smtps:// in --smtp-url.",
    )
