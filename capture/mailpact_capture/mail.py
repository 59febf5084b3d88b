"""What a reader sees in a mail: parsed from its bytes, never trusted, always bounded.

Parsing cannot fail. A mail that cannot be understood, or is built to exhaust whoever tries (thousands of parts,
deep nesting), is shown by its header and its bytes, and `defect` says why. The bytes are kept in any case.
"""

import email.parser
import email.policy
import hashlib
import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from email.message import Message
from typing import Final

from mailpact_capture.headers import (
    Address,
    addresses,
    date,
    decode_bytes,
    decode_words,
    encodable,
    raw_value,
)

MAX_PARTS: Final = 1000
MAX_DEPTH: Final = 100
MAX_HEADER_BYTES: Final = 256 * 1024
MAX_HEADER_FIELDS: Final = 1000
MAX_SNIPPET_CHARACTERS: Final = 250  # as Mailpit

_HEADER_END: Final = re.compile(rb"\r?\n\r?\n")
_DELIMITER: Final = b"\n--"
_PARSED_FOR_SNIPPET: Final = 65536
_PARSER: Final = email.parser.BytesParser(policy=email.policy.compat32)


@dataclass(frozen=True, slots=True)
class Attachment:
    """A part that is not the mail's text; `inline` is one that the HTML shows by its Content-ID."""

    part_id: str
    file_name: str
    content_type: str
    content_id: str
    inline: bool
    content: bytes

    def checksums(self) -> dict[str, str]:
        """Return the digests that Mailpit's API names."""
        return {
            "MD5": hashlib.md5(self.content, usedforsecurity=False).hexdigest(),
            "SHA1": hashlib.sha1(self.content, usedforsecurity=False).hexdigest(),
            "SHA256": hashlib.sha256(self.content).hexdigest(),
        }


@dataclass(frozen=True, slots=True)
class Mail:
    """A parsed mail. `fields` are all header fields in their order, undecoded; `defect` is empty if all went well."""

    fields: tuple[tuple[str, str], ...] = ()
    sender: Address | None = None
    to: tuple[Address, ...] = ()
    cc: tuple[Address, ...] = ()
    bcc: tuple[Address, ...] = ()
    reply_to: tuple[Address, ...] = ()
    subject: str = ""
    message_id: str = ""
    date: datetime | None = None
    text: str = ""
    html: str = ""
    attachments: tuple[Attachment, ...] = ()
    defect: str = ""

    def values(self, name: str) -> tuple[str, ...]:
        """Return all values of a header field, undecoded."""
        return tuple(value for field, value in self.fields if field.lower() == name)

    def readable_text(self) -> str:
        """Return the start of the text on one line, taken from the HTML if there is no other."""
        text = self.text or text_of_html(self.html[:_PARSED_FOR_SNIPPET])
        return " ".join(text[:_PARSED_FOR_SNIPPET].split())

    def snippet(self) -> str:
        """Return the first words, as a list shows them."""
        return self.readable_text()[:MAX_SNIPPET_CHARACTERS]


def parse(raw: bytes) -> Mail:
    """Read a mail. Never raises: what is not understood stays empty, and `defect` tells so."""
    head, defect = _head(raw)
    if not defect and raw.count(_DELIMITER) > 2 * MAX_PARTS and b"multipart/" in head.lower():
        defect = f"more than {MAX_PARTS} parts"
    try:
        message = _PARSER.parsebytes(head if defect else raw)
        return _read(message, defect)
    except Exception as error:  # noqa: BLE001 (hostile input makes `email` raise anything; the mail is shown anyway)
        return Mail(defect=defect or f"not readable as a mail ({type(error).__name__})")


def _head(raw: bytes) -> tuple[bytes, str]:
    end = _HEADER_END.search(raw, 0, MAX_HEADER_BYTES)
    if end:
        return raw[: end.end()], ""
    if len(raw) > MAX_HEADER_BYTES:
        return raw[:MAX_HEADER_BYTES] + b"\r\n\r\n", f"a header over {MAX_HEADER_BYTES // 1024} KiB"
    return raw, ""


def _read(message: "Message[str, str]", defect: str) -> Mail:
    fields = tuple((encodable(name), raw_value(value)) for name, value in message.raw_items())
    if len(fields) > MAX_HEADER_FIELDS:
        fields, defect = fields[:MAX_HEADER_FIELDS], defect or f"more than {MAX_HEADER_FIELDS} header fields"
    head = Mail(fields=fields)
    texts, htmls, attachments, body_defect = ([], [], [], "") if defect else _read_body(message)
    senders = addresses(head.values("from"))
    return Mail(
        fields=fields,
        sender=senders[0] if senders else None,
        to=addresses(head.values("to")),
        cc=addresses(head.values("cc")),
        bcc=addresses(head.values("bcc")),
        reply_to=addresses(head.values("reply-to")),
        subject=decode_words(_first(head, "subject")),
        message_id=_first(head, "message-id").strip("<>"),
        date=date(_first(head, "date")),
        text="\n\n".join(texts),
        html="\n\n".join(htmls),
        attachments=tuple(attachments),
        defect=defect or body_defect,
    )


def _first(head: Mail, name: str) -> str:
    return next(iter(head.values(name)), "")


def _read_body(message: "Message[str, str]") -> tuple[list[str], list[str], list[Attachment], str]:
    texts: list[str] = []
    htmls: list[str] = []
    attachments: list[Attachment] = []
    for count, (part_id, part) in enumerate(_leaves(message, "", 0)):
        if count == MAX_PARTS:
            return texts, htmls, attachments, f"more than {MAX_PARTS} parts"
        content_type = part.get_content_type()
        if _is_attachment(part):
            attachments.append(_attachment(part_id or "1", part))
        elif content_type == "text/html":
            htmls.append(_text(part))
        else:
            texts.append(_text(part))
    return texts, htmls, attachments, ""


def _leaves(part: "Message[str, str]", part_id: str, depth: int) -> Iterator[tuple[str, "Message[str, str]"]]:
    """Walk the parts that hold content; a mail within the mail (message/rfc822) is one of them."""
    children = part.get_payload()
    if part.get_content_maintype() != "multipart" or not isinstance(children, list) or depth == MAX_DEPTH:
        yield part_id, part
        return
    for number, child in enumerate(children, start=1):
        if isinstance(child, Message):
            yield from _leaves(child, f"{part_id}.{number}" if part_id else str(number), depth + 1)


def _is_attachment(part: "Message[str, str]") -> bool:
    if part.get_content_type() not in ("text/plain", "text/html"):
        return True
    return part.get_content_disposition() == "attachment" or bool(part.get_filename())


def _attachment(part_id: str, part: "Message[str, str]") -> Attachment:
    content_id = raw_value(part.get("Content-ID", "")).strip("<>")
    return Attachment(
        part_id=part_id,
        file_name=decode_words(raw_value(part.get_filename("") or "")),
        content_type=encodable(part.get_content_type()),
        content_id=content_id,
        inline=part.get_content_disposition() == "inline" or bool(content_id),
        content=_content(part),
    )


def _content(part: "Message[str, str]") -> bytes:
    payload = part.get_payload(decode=True)
    if isinstance(payload, bytes):
        return payload
    inner = part.get_payload()
    first = inner[0] if isinstance(inner, list) and inner else None
    return first.as_bytes() if isinstance(first, Message) else b""


def _text(part: "Message[str, str]") -> str:
    return decode_bytes(_content(part), part.get_content_charset())


def text_of_html(markup: str) -> str:
    """Return the words of an HTML text, for snippets and search only; takes a time linear in its length."""
    start, *pieces = markup.split("<")
    words = [start]
    hidden_until = ""
    for piece in pieces:
        tag, closed, text = piece.partition(">")
        name = tag[:7].lower()
        if hidden_until:
            hidden_until = "" if name.startswith(hidden_until) else hidden_until
        elif name.startswith(("script", "style")):
            hidden_until = "/" + ("script" if name.startswith("script") else "style")
        if not hidden_until:
            words.append(text if closed else piece)
    return html.unescape(" ".join(words))
