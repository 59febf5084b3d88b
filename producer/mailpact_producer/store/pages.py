"""The pages of the site."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from mailpact_producer.store.schema import pages


@dataclass(frozen=True, slots=True)
class Page:
    """One page; its body is plain text, paragraphs apart by blank lines."""

    guid: str
    title: str
    body: str


WELCOME = Page(
    guid="0f4c5a0e-7d8e-4a53-9a57-3a0f1c0d9b11",
    title="Welcome",
    body=(
        "This is a small site with one purpose: readers register here, and a message leaves for each of them.\n\n"
        "The message is written in the same transaction as the reader. If the registration was stored, the message "
        "exists; if it was not, it does not. What becomes of it afterwards, a mail most likely, is the work of another "
        "program that shares nothing with this one but a contract.\n\n"
        "Register, and look into the mail viewer."
    ),
)


def all_pages(connection: Connection) -> Sequence[Page]:
    """Give all pages, the oldest first."""
    found = connection.execute(select(pages).order_by(pages.c.created_at, pages.c.guid))
    return [Page(row.guid, row.title, row.body) for row in found]


def find_page(connection: Connection, guid: str) -> Page | None:
    """Give the page of that GUID, None when there is none."""
    row = connection.execute(select(pages).where(pages.c.guid == guid)).first()
    return Page(row.guid, row.title, row.body) if row is not None else None
