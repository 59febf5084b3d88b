"""Reads the form of a page that an administrator has filled in, and decides whether it can be a page. Pure."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from mailpact_producer.accounts import NOT_IN_NAMES, FieldErrors, normalised, without_invisible_ends
from mailpact_producer.errors import TooComplex
from mailpact_producer.markup import require_simple

MAX_TITLE: Final = 200  # characters
MAX_SLUG: Final = 100  # characters
MAX_BODY: Final = 16_000  # characters: in UTF-8 never more than a TEXT of MySQL holds
UNNAMED: Final = "page"
_MADE_SLUG: Final = 80  # leaves room for a number at the end

_SLUG: Final = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
NOT_IN_XML: Final = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, section 2.2


class PageField(StrEnum):
    """The fields of the form, by their names."""

    TITLE = "title"
    SLUG = "slug"
    BODY = "body"
    PUBLISHED = "published"
    VERSION = "version"


@dataclass(frozen=True, slots=True)
class PageText:
    """The content of a page; if `slug` is None, the site makes the slug from the title."""

    title: str
    slug: str | None
    body: str
    is_published: bool


def read_page_text(fields: Mapping[str, str]) -> PageText | FieldErrors:
    """Return the page that the form describes, or a sentence for each wrong field."""
    errors: FieldErrors = {}
    title = normalised(without_invisible_ends(fields.get(PageField.TITLE, "")), MAX_TITLE)
    slug = fields.get(PageField.SLUG, "").strip()
    body = readable(fields.get(PageField.BODY, ""))
    if not title:
        errors[PageField.TITLE] = "Please enter a title."
    elif len(title) > MAX_TITLE:
        errors[PageField.TITLE] = f"The title is too long: {MAX_TITLE} characters at most."
    elif any(unicodedata.category(each) in NOT_IN_NAMES for each in title) or NOT_IN_XML.search(title):
        errors[PageField.TITLE] = "The title has a character that cannot be shown."
    if slug and not is_slug(slug):
        errors[PageField.SLUG] = (
            f"Please use small letters from a to z, digits, and single hyphens between them: {MAX_SLUG} at most."
        )
    if not without_invisible_ends(body):
        errors[PageField.BODY] = "Please enter a text."
    elif len(body) > MAX_BODY:
        errors[PageField.BODY] = f"The text is too long: {len(body)} characters. {MAX_BODY} are allowed."
    else:
        try:
            require_simple(body)
        except TooComplex:
            errors[PageField.BODY] = "The text has too many brackets, quotes or link definitions to be shown."
    return errors or PageText(title, slug or None, body, PageField.PUBLISHED in fields)


def is_slug(text: str) -> bool:
    """Return whether a page can have this text in its address."""
    return len(text) <= MAX_SLUG and _SLUG.fullmatch(text) is not None


def readable(typed: str) -> str:
    """Return the text with one kind of line end, without the characters that XML cannot hold."""
    return NOT_IN_XML.sub("", typed.replace("\r\n", "\n").replace("\r", "\n"))


def slug_of(title: str) -> str:
    """Return the part of a page's address that is made of its title: ASCII, at most 80 characters."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    words = re.findall(r"[a-z0-9]+", plain)
    slug = ""
    for word in words:
        longer = f"{slug}-{word}" if slug else word[:_MADE_SLUG]
        if len(longer) > _MADE_SLUG:
            break
        slug = longer
    return slug or UNNAMED
