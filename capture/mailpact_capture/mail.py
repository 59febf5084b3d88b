"""Parse a mail for its readers. The mail's content is never trusted, and the work is always bounded.

Parsing never fails. A hostile mail (thousands of parts, deep nesting) is shown up to the limits, and `defect` says
which limit was reached. The mail's bytes are always kept.
"""

import hashlib
import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from urllib.parse import unquote

from mailpact_capture.addresses import Address, addresses
from mailpact_capture.charsets import decode_bytes, label_in_html
from mailpact_capture.headers import MAX_HEADER_FIELDS, Fields, date, decode_words
from mailpact_capture.mime import Part, Reader

MAX_SNIPPET_CHARACTERS: Final = 250  # as Mailpit

_READ_FOR_SEARCH: Final = 65536
CID: Final = re.compile(
    r"cid:((?:[^\s\"'<>()&]|&(?!(?:quot|apos|lt|gt|#0*(?:34|39|60|62));)){1,500})", re.IGNORECASE
)
_MESSAGE_ID: Final = re.compile(r"<([^<>\s]+)>")


@dataclass(frozen=True, slots=True)
class Attachment:
    """A part that is not the mail's text. `inline` is true if the sender or the HTML places the part into the text."""

    part: Part
    inline: bool

    def content(self, raw: bytes) -> bytes:
        """Return the attachment's bytes."""
        return self.part.content(raw)


def checksums(content: bytes) -> dict[str, str]:
    """Return the digests that Mailpit's API names."""
    return {
        "MD5": hashlib.md5(content, usedforsecurity=False).hexdigest(),
        "SHA1": hashlib.sha1(content, usedforsecurity=False).hexdigest(),
        "SHA256": hashlib.sha256(content).hexdigest(),
    }


@dataclass(frozen=True, slots=True)
class Mail:
    """A parsed mail.

    `fields` are all header fields in their order, undecoded. `named` holds their values by their names in lower case.
    `defect` is empty if the whole mail was parsed.
    """

    root: Part
    fields: Fields = ()
    named: Mapping[str, Sequence[str]] = field(default_factory=dict)
    sender: Address | None = None
    to: tuple[Address, ...] = ()
    cc: tuple[Address, ...] = ()
    bcc: tuple[Address, ...] = ()
    reply_to: tuple[Address, ...] = ()
    subject: str = ""
    message_id: str = ""
    date_field: str = ""
    text: str = ""
    html: str = ""
    attachments: tuple[Attachment, ...] = ()
    defect: str = ""

    @property
    def date(self) -> datetime | None:
        """Return the time of the Date field; None if the field is missing or invalid.

        The store does not use this time.
        """
        return date(self.date_field)

    def values(self, name: str) -> tuple[str, ...]:
        """Return all values of a header field, undecoded."""
        return tuple(self.named.get(name, ()))

    def readable_text(self) -> str:
        """Return the start of the text, taken from the HTML if the mail has no plain text."""
        text = self.text[:_READ_FOR_SEARCH]
        return text if text and not text.isspace() else text_of_html(self.html[:_READ_FOR_SEARCH])

    def words(self) -> str:
        """Return the start of the text and the words of the HTML, for the search."""
        text = self.text[:_READ_FOR_SEARCH]
        return f"{text} {text_of_html(self.html[:_READ_FOR_SEARCH])}" if self.html else text

    def snippet(self) -> str:
        """Return the first words on one line, as a list shows them."""
        most = MAX_SNIPPET_CHARACTERS // 2 + 1  # a word and the blank behind it are two characters
        return " ".join(self.readable_text().split(None, most)[:most])[:MAX_SNIPPET_CHARACTERS]


def parse(raw: bytes, *, text_limit: int | None = None) -> Mail:
    """Parse a mail. Never raises: what cannot be parsed is left empty, and `defect` says so.

    `text_limit` is the approximate number of bytes of each text part that are decoded.
    """
    reader = Reader(raw)
    root = reader.read()
    fields, defect = root.fields, reader.defect
    values: dict[str, list[str]] = {}
    for name, value in fields:
        values.setdefault(name.lower(), []).append(value)
    if len(fields) > MAX_HEADER_FIELDS:
        fields, defect = fields[:MAX_HEADER_FIELDS], defect or f"more than {MAX_HEADER_FIELDS} header fields"
    texts, htmls, attachments = _read_body(raw, root, text_limit)
    senders = addresses(values.get("from", ()))
    return Mail(
        root=root,
        fields=fields,
        named=values,
        sender=senders[0] if senders else None,
        to=addresses(values.get("to", ())),
        cc=addresses(values.get("cc", ())),
        bcc=addresses(values.get("bcc", ())),
        reply_to=addresses(values.get("reply-to", ())),
        subject=decode_words(values.get("subject", [""])[0]),
        message_id=_message_id(values.get("message-id", [""])[0]),
        date_field=values.get("date", [""])[0],
        text="\n\n".join(texts),
        html="\n\n".join(htmls),
        attachments=attachments,
        defect=defect,
    )


def _message_id(value: str) -> str:
    match = _MESSAGE_ID.search(value)
    return match[1] if match else value.strip("<> ")


def _read_body(
    raw: bytes, root: Part, limit: int | None
) -> tuple[list[str], list[str], tuple[Attachment, ...]]:
    texts: list[str] = []
    htmls: list[str] = []
    others: list[Part] = []
    for part in root.leaves():
        shown = {"text/plain": texts, "text/html": htmls}.get(part.content_type)
        if shown is None or _is_file(part, is_first=not shown):
            others.append(part)
        else:
            content = part.content(raw, limit)
            label = part.parameters.get("charset") or (label_in_html(content) if shown is htmls else None)
            shown.append(decode_bytes(content, label))
    shown_ids = {shown_id(match) for markup in htmls for match in CID.findall(markup)} if others else set()
    return texts, htmls, tuple(Attachment(part, _is_inline(part, shown_ids)) for part in others)


def shown_id(written: str) -> str:
    """Return the Content-ID that a `cid:` address in HTML names, for comparison (RFC 2392, 2: it is URL-encoded)."""
    return unquote(html.unescape(written)).casefold()


def _is_file(part: Part, *, is_first: bool) -> bool:
    """Return whether a text part is a file.

    A text part is a file if the sender says so, or if the part has a file name and the mail has a text already.
    """
    if part.disposition == "attachment" or "filename" in part.disposition_parameters:
        return True
    return bool(part.parameters.get("name")) and not is_first


def _is_inline(part: Part, shown_ids: set[str]) -> bool:
    if shown_ids and part.content_id() and part.content_id().casefold() in shown_ids:
        return True
    return part.disposition == "inline"


def text_of_html(markup: str) -> str:
    """Return the words of an HTML text, for snippets and search only. The time is linear in the text's length."""
    start, *pieces = markup.split("<")
    words = [start]
    hidden_until = ""
    for piece in pieces:
        tag, closed, text = piece.partition(">")
        name = tag[:7].lower()
        if hidden_until:
            hidden_until = "" if name.startswith(hidden_until) else hidden_until
        elif name.startswith(("script", "style", "title")):
            hidden_until = "/" + next(each for each in ("script", "style", "title") if name.startswith(each))
        if not hidden_until:
            words.append(text if closed else piece)
    return html.unescape(" ".join(words)).replace("\0", " ")
