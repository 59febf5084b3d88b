"""Writes the parts of a mail's body (RFC 2045, RFC 2046): texts, files, and the multiparts around them.

A part is its fields and its body, ASCII with LF line ends. The line end before a boundary belongs to the boundary (RFC
2046 5.1.1), so a part's body comes back with the line ends that it had.

No body can hold a boundary: each boundary has `=_` in it, which neither base64 nor quoted-printable can produce, and a
text with these two characters is never left as it is. So boundaries need no randomness, and a mail has the same bytes
at every try.
"""

import re
from base64 import b64encode
from binascii import b2a_qp
from collections.abc import Sequence
from dataclasses import dataclass

from mailpact_consumer.fields import filename_parameter
from mailpact_consumer.mail import Attachment

LINE_OCTETS = 998  # RFC 5322 2.1.1, without the line end
BASE64_LINE_CHARACTERS = 76  # RFC 2045 6.8
BOUNDARY_MARK = "=_"

# What a mail can carry as it is: visible ASCII, spaces and tabs, in lines that end at LF and are not too long.
SEVEN_BIT = re.compile(rf"(?:[\t\x20-\x7e]{{0,{LINE_OCTETS}}}\n)*[\t\x20-\x7e]{{0,{LINE_OCTETS}}}")


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a mail. `fields` ends with a line end, `body` only where the content does."""

    fields: str
    body: str


def text_part(subtype: str, text: str) -> Part:
    """Return a part of type text/`subtype` with any Unicode text.

    A bare CR is no line end: it stays what it is, in base64. All other line ends become CRLF, the line end of texts in
    mail (RFC 2046 4.1.1).
    """
    text = text.replace("\r\n", "\n")
    if BOUNDARY_MARK not in text and SEVEN_BIT.fullmatch(text):
        return Part(_text_fields(subtype, "us-ascii", "7bit"), text)
    encoded = text.encode()
    if "\r" in text or _is_mostly_beyond_ascii(text, encoded):
        return Part(_text_fields(subtype, "utf-8", "base64"), _base64_lines(encoded.replace(b"\n", b"\r\n")))
    body = b2a_qp(encoded, istext=True).decode("ascii")
    return Part(_text_fields(subtype, "utf-8", "quoted-printable"), body)


def file_part(attachment: Attachment, *, is_inline: bool) -> Part:
    """Return a part with a file's bytes, shown by HTML (`is_inline`) or beside the text."""
    content_id = "" if attachment.content_id is None else f"Content-ID: <{attachment.content_id}>\n"
    disposition = "inline" if is_inline else "attachment"
    fields = (
        f"Content-Type: {_without_repeated_parameters(attachment.content_type)}\n"
        "Content-Transfer-Encoding: base64\n"
        f"Content-Disposition: {disposition}{filename_parameter(attachment.filename)}\n"
        f"{content_id}"
    )
    return Part(fields, _folded(attachment.content))


def multipart(subtype: str, parts: Sequence[Part], *, boundary: str, parameter: str = "") -> Part:
    """Return a part that holds `parts`. The boundary must hold BOUNDARY_MARK and differ from those inside."""
    inner = "".join(f"--{boundary}\n{part.fields}\n{part.body}\n" for part in parts)
    fields = f'Content-Type: multipart/{subtype}{parameter};\n boundary="{boundary}"\n'
    return Part(fields, f"{inner}--{boundary}--\n")


def _text_fields(subtype: str, charset: str, encoding: str) -> str:
    return f'Content-Type: text/{subtype}; charset="{charset}"\nContent-Transfer-Encoding: {encoding}\n'


def _is_mostly_beyond_ascii(text: str, encoded: bytes) -> bool:
    """Say whether base64 is about as short as quoted-printable: it adds a third, an escape two bytes for each byte."""
    return len(encoded) - len(text) > len(encoded) // 6


def _base64_lines(content: bytes) -> str:
    return _folded(b64encode(content).decode("ascii"))


def _folded(base64_text: str) -> str:
    lines = range(0, len(base64_text), BASE64_LINE_CHARACTERS)
    return "\n".join([base64_text[start : start + BASE64_LINE_CHARACTERS] for start in lines])


def _without_repeated_parameters(content_type: str) -> str:
    """Return the content type without a second charset or method: a parameter stands once (RFC 2045 5.1)."""
    kind, *parameters = content_type.split(";")
    first: dict[str, str] = {}
    for parameter in parameters:
        first.setdefault(parameter.partition("=")[0].strip(), parameter.strip())
    return "; ".join([kind, *first.values()])
