"""The pages that readers read, and the key that the site's forms are signed with."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, and_, case, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from mailpact.database import clock
from mailpact_producer.errors import SlugTaken
from mailpact_producer.page_text import PageText, slug_of
from mailpact_producer.store import comments
from mailpact_producer.store.schema import pages, site_key

_BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)

WELCOME_PAGE: Final = "6f1d2c1e-0d3b-4f7a-9a55-5b8f5d0c7e01"
"""The page that the first migration makes, and that readers are sent to when no other is known."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page; `body` is Markdown, and `version` changes with each change of the page."""

    guid: str
    slug: str
    title: str
    body: str
    is_published: bool
    version: int
    published_at: datetime
    updated_at: datetime

    @property
    def path(self) -> str:
        """Return the page's address on the site."""
        return f"/pages/{self.slug}"

    @property
    def position(self) -> tuple[int, str]:
        """Return the page's position in the list: microseconds since 1970, and the guid."""
        return (self.published_at - _BEGINNING) // timedelta(microseconds=1), self.guid


def listed(connection: Connection, *, has_drafts: bool, offset: int, limit: int) -> Sequence[Page]:
    """Return pages, the newest first."""
    query = select(pages).order_by(pages.c.published_at.desc(), pages.c.guid).offset(offset).limit(limit)
    if not has_drafts:
        query = query.where(pages.c.is_published == 1)
    return [_page(row) for row in connection.execute(query)]


def published_after(connection: Connection, after: tuple[int, str] | None, limit: int) -> Sequence[Page]:
    """Return published pages, the newest first, from the page behind `after` on: a page's `position`."""
    query = select(pages).where(pages.c.is_published == 1).limit(limit)
    if after is not None:
        published_at, guid = after
        is_older = pages.c.published_at < published_at
        query = query.where(or_(is_older, and_(pages.c.published_at == published_at, pages.c.guid > guid)))
    rows = connection.execute(query.order_by(pages.c.published_at.desc(), pages.c.guid))
    return [_page(row) for row in rows]


def find(connection: Connection, guid: str) -> Page | None:
    """Return one page, also a draft; `guid` in canonical lower case."""
    row = connection.execute(select(pages).where(pages.c.guid == guid)).first()
    return None if row is None else _page(row)


def find_slug(connection: Connection, slug: str) -> Page | None:
    """Return one page, also a draft, by the readable part of its address."""
    row = connection.execute(select(pages).where(pages.c.slug == slug)).first()
    return None if row is None else _page(row)


def add(connection: Connection, text: PageText, guid: str) -> Page:
    """Store a new page and return it; return the page that has this guid already. Raises SlugTaken."""
    new = insert(pages).values(
        guid=guid,
        slug=text.slug or _free_slug(connection, text.title, guid),
        title=text.title,
        body=text.body,
        is_published=int(text.is_published),
        version=1,
        published_at=clock.now(),
        updated_at=clock.now(),
    )
    try:
        connection.execute(new)
    except IntegrityError:
        known = find(connection, guid)
        if known is None:
            raise SlugTaken from None
        return known
    return _stored(find(connection, guid))


def change(connection: Connection, guid: str, version: int, text: PageText) -> Page | None:
    """Store another text of the page; None if the page has another version now, or does not exist. Raises SlugTaken.

    A draft that is published counts as published now.
    """
    published_at = (
        case((pages.c.is_published == 0, clock.now()), else_=pages.c.published_at)
        if text.is_published
        else pages.c.published_at
    )
    changed = (
        update(pages)
        .where(pages.c.guid == guid, pages.c.version == version)
        .values(
            # MySQL assigns in the order of the table's columns: `published_at` before `is_published`.
            published_at=published_at,
            slug=text.slug or _free_slug(connection, text.title, guid),
            title=text.title,
            body=text.body,
            is_published=int(text.is_published),
            version=version + 1,
            updated_at=clock.now(),
        )
    )
    try:
        found = connection.execute(changed).rowcount
    except IntegrityError:
        raise SlugTaken from None
    return find(connection, guid) if found else None


def remove(connection: Connection, guid: str, version: int) -> bool:
    """Delete a page and its comments; False if the page has another version now, or does not exist."""
    found = delete(pages).where(pages.c.guid == guid, pages.c.version == version)
    if not connection.execute(found).rowcount:
        return False
    comments.remove_of_page(connection, guid)
    return True


def signing_key(connection: Connection) -> bytes:
    """Return the secret that all processes of the site share: 32 random bytes, made with the tables."""
    secret: bytes = connection.execute(select(site_key.c.secret)).scalar_one()
    return secret


def _free_slug(connection: Connection, title: str, guid: str) -> str:
    """Return a slug of the title that no other page has."""
    slug = slug_of(title)
    query = select(pages.c.slug).where(pages.c.slug.like(f"{slug}%"), pages.c.guid != guid)
    taken = set(connection.execute(query).scalars())
    numbered = (f"{slug}-{number}" for number in range(2, len(taken) + 2))
    return slug if slug not in taken else next(each for each in numbered if each not in taken)


def _stored(page: Page | None) -> Page:
    assert page is not None  # noqa: S101  # this transaction has stored the page
    return page


def _page(row: Row[*tuple[Any, ...]]) -> Page:
    return Page(
        guid=row.guid,
        slug=row.slug,
        title=row.title,
        body=row.body,
        is_published=bool(row.is_published),
        version=row.version,
        published_at=_moment(row.published_at),
        updated_at=_moment(row.updated_at or row.published_at),
    )


def _moment(microseconds: int) -> datetime:
    return _BEGINNING + timedelta(microseconds=microseconds)  # exact, as `position` requires
