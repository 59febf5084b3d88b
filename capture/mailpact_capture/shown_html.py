"""A mail's HTML in a safe form for browsers: in a sandbox, without scripts, forms, frames and network requests.

The HTML itself is not sanitized. The response's Content-Security-Policy allows only styles and pictures, in a
document with an opaque origin. So an error in our parsing of HTML cannot make the page unsafe. The mail's own
pictures (`cid:`) are embedded as data URLs, because a document with an opaque origin may not load them from this
server.
"""

import base64
import re
from typing import Final

from mailpact_capture.mail import CID, Mail, shown_id
from mailpact_capture.mime import Part

POLICY: Final = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src 'unsafe-inline'; "
    "img-src data:{remote}; form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
)
MAX_HTML_CHARACTERS: Final = 4 * 1024 * 1024
MAX_PICTURE_BYTES: Final = 10 * 1024 * 1024  # of all embedded pictures of one mail together
PICTURE_TYPES: Final = frozenset(
    f"image/{kind}" for kind in ("png", "jpeg", "jpg", "gif", "webp", "bmp", "avif", "x-icon")
)

_HEAD: Final = re.compile(r"<head(?:\s[^<>]{0,1000})?>", re.IGNORECASE)
_PREAMBLE: Final = re.compile(
    r"\s*(?:<!doctype[^<>]{0,1000}>)?\s*(?:<html(?:\s[^<>]{0,1000})?>)?", re.IGNORECASE
)
_TARGET: Final = '<base target="_blank">'


def policy(*, remote_pictures: bool) -> str:
    """Return the Content-Security-Policy of a mail's HTML; remote pictures are allowed by https only, or not at all."""
    return POLICY.format(remote=" https:" if remote_pictures else "")


def shown_html(mail: Mail, raw: bytes) -> str:
    """Return the mail's HTML with its own pictures as data; its links open in a new tab."""
    markup = mail.html[:MAX_HTML_CHARACTERS]
    pictures: dict[str, Part] = {}
    for attachment in mail.attachments:
        part = attachment.part
        if part.content_id() and part.content_type in PICTURE_TYPES:
            pictures.setdefault(part.content_id().casefold(), part)
    shown: dict[str, str] = {}
    left = MAX_PICTURE_BYTES

    def data_url(match: re.Match[str]) -> str:
        nonlocal left
        name = shown_id(match[1])
        if name not in shown and name in pictures:
            content = pictures[name].content(raw)
            shown[name] = f"data:{pictures[name].content_type};base64,{base64.b64encode(content).decode()}"
        url = shown.get(name, "")
        left -= len(url)
        return url if url and left > 0 else match[0]

    with_pictures = CID.sub(data_url, markup) if pictures else markup
    place = _HEAD.search(with_pictures, 0, 5000) or _PREAMBLE.match(with_pictures)
    at = place.end() if place else 0
    return with_pictures[:at] + _TARGET + with_pictures[at:]


def has_remote_pictures(markup: str) -> bool:
    """Return whether the HTML probably refers to pictures on other servers."""
    return (
        re.search(
            r"""(?:src|background|srcset)\s*=\s*["']?\s*https?://|url\(\s*["']?https?://""",
            markup,
            re.IGNORECASE,
        )
        is not None
    )
