"""The pages that readers read, and the key that the site's forms are signed with."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Connection, Row, select

from mailpact.database import clock
from mailpact_producer.store.schema import pages, site_key

WELCOME_PAGE: Final = "6f1d2c1e-0d3b-4f7a-9a55-5b8f5d0c7e01"
"""The page that the first migration makes, and that readers are sent to when no other is known."""

MAX_LISTED: Final = 100


@dataclass(frozen=True, slots=True)
class Page:
    """One page: plain text, its paragraphs separated by blank lines."""

    guid: str
    title: str
    body: str
    published_at: datetime

    @property
    def paragraphs(self) -> Sequence[str]:
        """The text as it is set."""
        return [paragraph.strip() for paragraph in self.body.split("\n\n") if paragraph.strip()]


def newest(connection: Connection) -> Sequence[Page]:
    """Read the newest pages, at most 100."""
    query = select(pages).order_by(pages.c.published_at.desc(), pages.c.guid).limit(MAX_LISTED)
    return [_page(row) for row in connection.execute(query)]


def find(connection: Connection, guid: str) -> Page | None:
    """Read one page; `guid` in canonical lower case."""
    row = connection.execute(select(pages).where(pages.c.guid == guid)).first()
    return None if row is None else _page(row)


def signing_key(connection: Connection) -> bytes:
    """Read the secret that all processes of the site share: 32 random bytes, made with the tables."""
    secret: bytes = connection.execute(select(site_key.c.secret)).scalar_one()
    return secret


def _page(row: Row[str, str, str, int]) -> Page:
    guid, title, body, published_at = row
    return Page(guid, title, body, datetime.fromtimestamp(published_at / clock.SECOND, UTC))
