"""Writes the parts of a mail's body (RFC 2045, RFC 2046): texts, files, and the multiparts around them.

A part consists of its fields and its body, in ASCII with LF line ends. The line end before a boundary belongs to the
boundary (RFC 2046 5.1.1), so a part's body arrives with exactly the line ends that it had.

No body can contain a boundary: each boundary contains `=_`, which neither base64 nor quoted-printable can produce, and
a text with these two characters is always encoded. So boundaries need no randomness, and a mail has the same bytes at
every try.
"""

from base64 import b64encode
from binascii import b2a_qp
from collections.abc import Sequence
from dataclasses import dataclass

from mailpact_consumer.fields import filename_parameter
from mailpact_consumer.mail import Attachment

LINE_OCTETS = 998  # RFC 5322 2.1.1, without the line end
BASE64_LINE_CHARACTERS = 76  # RFC 2045 6.8
BOUNDARY_MARK = "=_"

_VISIBLE = bytes(range(0x20, 0x7F)) + b"\n"
_QUOTED_LINE_CHARACTERS = 76  # in quoted-printable, including the "=" of a soft line break (RFC 2045 6.7)


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a mail. `fields` ends with a line end; `body` ends with one only if the content does."""

    fields: str
    body: str


def text_part(subtype: str, text: str) -> Part:
    """Return a part of type text/`subtype` with any Unicode text.

    A bare CR is not a line end and stays a CR, encoded in base64. All other line ends become CRLF, the line end of
    texts in mail (RFC 2046 4.1.1).
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n")
    if is_seven_bit(text) and BOUNDARY_MARK not in text:
        return Part(_text_fields(subtype, "us-ascii", "7bit"), text)
    encoded = text.encode()
    if "\r" in text or _is_mostly_beyond_ascii(text, encoded):
        return Part(_text_fields(subtype, "utf-8", "base64"), _base64_lines(encoded.replace(b"\n", b"\r\n")))
    return Part(_text_fields(subtype, "utf-8", "quoted-printable"), quoted_printable(text))


def is_seven_bit(text: str) -> bool:
    """Return whether a mail can contain the text unencoded: visible ASCII, spaces and tabs, in lines that end with LF.

    No line may have more than 998 characters.
    """
    is_short = len(text) <= LINE_OCTETS or max(map(len, text.split("\n"))) <= LINE_OCTETS
    return is_short and _has_only(_VISIBLE + b"\t", text)


def quoted_printable(text: str) -> str:
    """Return a text with LF line ends as quoted-printable, in lines of at most 76 characters (RFC 2045 6.7).

    The result is that of `b2a_qp`, which takes three times as long for lines of visible ASCII.
    """
    lines = text.split("\n")
    if _has_only(_VISIBLE, text) and not any(line.endswith(" ") or line == "." for line in lines):
        return "\n".join([_with_soft_breaks(line.replace("=", "=3D")) for line in lines])
    return b2a_qp(text.encode(), istext=True).decode("ascii")


def file_part(attachment: Attachment, *, is_inline: bool) -> Part:
    """Return a part with a file's bytes, which is shown by HTML (`is_inline`) or listed beside the text."""
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
    """Return a part that contains `parts`. The boundary contains BOUNDARY_MARK and differs from the inner ones."""
    inner = "".join(f"--{boundary}\n{part.fields}\n{part.body}\n" for part in parts)
    fields = f'Content-Type: multipart/{subtype}{parameter};\n boundary="{boundary}"\n'
    return Part(fields, f"{inner}--{boundary}--\n")


def _text_fields(subtype: str, charset: str, encoding: str) -> str:
    return f'Content-Type: text/{subtype}; charset="{charset}"\nContent-Transfer-Encoding: {encoding}\n'


def _has_only(characters: bytes, text: str) -> bool:
    # Deleting from bytes takes a third of the time of a regular expression.
    return text.isascii() and not text.encode().translate(None, characters)


def _with_soft_breaks(line: str) -> str:
    """Cut a line, in which each "=" begins an escape of three characters, at the positions where `b2a_qp` cuts it.

    Each piece has room for the "=" of its soft line break, and no escape is cut.
    """
    end, most = len(line), _QUOTED_LINE_CHARACTERS
    if end < most:
        return line
    pieces, start, room = [], 0, most - 1
    if "=" not in line:
        # The last character of a line needs no room for a soft line break behind it.
        *starts, last = range(0, end - 1, room)
        return "".join([f"{line[at : at + room]}=\n" for at in starts]) + line[last:]
    while end - start > most or (end - start == most and line[-3] == "="):
        escape = line.find("=", start + room - 2, start + room)
        cut = start + room if escape < 0 else escape
        pieces.append(line[start:cut])
        start = cut
    pieces.append(line[start:])
    return "=\n".join(pieces)


def _is_mostly_beyond_ascii(text: str, encoded: bytes) -> bool:
    """Return whether base64 is about as short as quoted-printable: base64 adds a third, an escape two bytes a byte."""
    return len(encoded) - len(text) > len(encoded) // 6


def _base64_lines(content: bytes) -> str:
    return _folded(b64encode(content).decode("ascii"))


def _folded(base64_text: str) -> str:
    lines = range(0, len(base64_text), BASE64_LINE_CHARACTERS)
    return "\n".join([base64_text[start : start + BASE64_LINE_CHARACTERS] for start in lines])


def _without_repeated_parameters(content_type: str) -> str:
    """Return the content type without repeated charset or method: each parameter may occur once (RFC 2045 5.1)."""
    kind, *parameters = content_type.split(";")
    first: dict[str, str] = {}
    for parameter in parameters:
        first.setdefault(parameter.partition("=")[0].strip(), parameter.strip())
    return "; ".join([kind, *first.values()])
