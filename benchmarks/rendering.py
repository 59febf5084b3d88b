"""Measure the time to render one mail of email/2: text and HTML of 5 KB, at most 150 microseconds.

The standard library's `EmailMessage` renders the same mail, in turns with ours, and the fastest turn of each counts.

    python benchmarks/rendering.py [--json]

Exit status 1: the bound is broken.
"""

import argparse
import email.policy
import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime

from mailpact_consumer.mail import Content, Mail
from mailpact_consumer.mailbox import Mailbox
from mailpact_consumer.render_mail import render_mail

MOST_US = 150.0
TURNS, MAILS = 15, 50
DATE = datetime(2026, 11, 24, 9, tzinfo=UTC)
SUBJECT, TEXT = "Grüße aus der Redaktion", "Guten Morgen, Zoë!\n" * 20
HTML = f"<!doctype html><html><body>{'<p>Guten Morgen, Zoë! Hier ist die Zeitung.</p>' * 105}</body></html>"
SENDER, READER = Mailbox("cms@mail.example", "Die Zeitung"), Mailbox("zoe@example.org", "Zoë")
MAIL = Mail(SENDER, (READER,), (), None, Content(SUBJECT, TEXT, HTML), (), None)


def ours() -> bytes:
    """Render the mail as the consumer does."""
    return render_mail(MAIL, date=DATE, boundary="0123456789abcdef01234567").with_message_id(
        "<1.2@mail.example>"
    )


def by_the_library() -> bytes:
    """Render the same mail with the standard library."""
    message = EmailMessage(policy=email.policy.SMTP)
    message["Message-ID"], message["Date"] = "<1.2@mail.example>", format_datetime(DATE)
    message["From"], message["To"] = f"{SENDER.name} <{SENDER.address}>", f"{READER.name} <{READER.address}>"
    message["Subject"] = SUBJECT
    message.set_content(TEXT)
    message.add_alternative(HTML, subtype="html")
    return message.as_bytes()


def one_turn(render: Callable[[], bytes]) -> float:
    """Return the microseconds for one mail."""
    started = time.perf_counter()
    for _ in range(MAILS):
        render()
    return (time.perf_counter() - started) / MAILS * 1e6


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Compare rendering a mail with the standard library.")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    turns = [(one_turn(ours), one_turn(by_the_library)) for _ in range(TURNS)]
    mailpact_us, library_us = (min(each) for each in zip(*turns, strict=True))
    is_broken = mailpact_us > MOST_US
    figures = {"mailpact_us": mailpact_us, "library_us": library_us, "most_us": MOST_US, "broken": is_broken}
    text = f"one mail of email/2: {mailpact_us:.0f} us (<= {MOST_US:.0f}); EmailMessage: {library_us:.0f} us"
    sys.stdout.write((json.dumps(figures) if given.json else text) + "\n")
    return int(is_broken)


if __name__ == "__main__":
    sys.exit(main())
