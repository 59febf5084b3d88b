"""The Atom feed (RFC 4287) and the sitemap (sitemaps.org) of the site's pages. Pure."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final
from xml.etree import ElementTree as ET

from mailpact_producer.page_text import NOT_IN_XML
from mailpact_producer.store.pages import Page

FEED_PATH: Final = "/feed.atom"
FEED_TYPE: Final = "application/atom+xml"

_ATOM: Final = "http://www.w3.org/2005/Atom"
_SITEMAP: Final = "http://www.sitemaps.org/schemas/sitemap/0.9"
_BEGINNING: Final = datetime.fromtimestamp(0, UTC)


def atom(site_name: str, base_url: str, pages: Sequence[Page], html: Mapping[str, str]) -> bytes:
    """Return the feed of these pages, the newest first; `html` has their text by guid.

    `base_url` has no slash at its end.
    """
    feed = ET.Element("feed", xmlns=_ATOM)
    _add(feed, "id", f"{base_url}/")
    _add(feed, "title", site_name)
    _add(feed, "updated", _iso(max((page.updated_at for page in pages), default=_BEGINNING)))
    ET.SubElement(_add(feed, "author"), "name").text = site_name
    _add(feed, "link", rel="self", type=FEED_TYPE, href=base_url + FEED_PATH)
    _add(feed, "link", rel="alternate", type="text/html", href=f"{base_url}/")
    for page in pages:
        entry = _add(feed, "entry")
        _add(entry, "id", f"urn:uuid:{page.guid}")
        _add(entry, "title", page.title)
        _add(entry, "link", rel="alternate", type="text/html", href=base_url + page.path)
        _add(entry, "published", _iso(page.published_at))
        _add(entry, "updated", _iso(page.updated_at))
        _add(entry, "content", html[page.guid], type="html")
    return _document(feed)


def sitemap(base_url: str, pages: Sequence[Page]) -> bytes:
    """Return the sitemap of the home page and these pages."""
    urls = ET.Element("urlset", xmlns=_SITEMAP)
    _add(_add(urls, "url"), "loc", f"{base_url}/")
    for page in pages:
        url = _add(urls, "url")
        _add(url, "loc", base_url + page.path)
        _add(url, "lastmod", _iso(page.updated_at))
    return _document(urls)


def _add(parent: ET.Element, name: str, text: str | None = None, **attributes: str) -> ET.Element:
    child = ET.SubElement(parent, name, attributes)
    # A page of an earlier release, or a reference such as &#12; in a text, may contain characters that XML cannot.
    child.text = text and NOT_IN_XML.sub("", text)
    return child


def _document(root: ET.Element) -> bytes:
    document: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return document


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
