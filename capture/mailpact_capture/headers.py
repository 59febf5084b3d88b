"""Parse header fields: split, unfold and decode them (RFC 2047, RFC 2231), and parse dates and parameters.

An invalid line does not affect the other lines. The standard library's parser is not used: it ends the header at the
first line without a colon, its results for address lists differ between Python versions, and it raises on input that
occurs in practice. The functions of this module accept any bytes or text, return text that can be encoded as UTF-8,
and never raise.
"""

import binascii
import codecs
import contextlib
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import unquote_to_bytes

from mailpact_capture.charsets import decode_bytes, decode_unlabelled

Fields = tuple[tuple[str, str], ...]

MAX_VALUE_CHARACTERS: Final = 65536  # of one decoded value; the raw mail has the whole value
MAX_HEADER_FIELDS: Final = 1000

_FIELD: Final = re.compile(
    rb"([!-9;-~\x80-\xff]{1,200})[ \t]*:(.*)", re.DOTALL
)  # RFC 5322, 4.5: obs-optional
_CHARSET: Final = re.compile(rb"""[;\s]charset\s*=\s*["']?([A-Za-z0-9_:.-]{1,40})""", re.IGNORECASE)
_FOLD: Final = re.compile(rb"[\r\n]+[ \t]*")
_ENCODED_WORD: Final = re.compile(r"=\?([^?*\s]{1,64})(?:\*[^?\s]*)?\?([bq])\?([^?]*)\?=", re.IGNORECASE)
_ENCODED_RUN: Final = re.compile(
    r"=\?[^?*\s]{1,64}(?:\*[^?\s]{0,64})?\?[bq]\?[^?]*\?="
    r"(?:\s*=\?[^?*\s]{1,64}(?:\*[^?\s]{0,64})?\?[bq]\?[^?]*\?=)*",
    re.IGNORECASE,
)
_COMMENT: Final = re.compile(r"\((?:[^()\\]|\\.)*\)")
_ZONE_AT_TIME: Final = re.compile(r"(\d\d:\d\d)(?=[A-Z+-])", re.IGNORECASE)
_ISO_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")
_ZONE: Final = re.compile(r" ?(?:GMT|UTC?)?([+-]\d\d):?(\d\d)\Z", re.IGNORECASE)
_LEAP_SECOND: Final = re.compile(r"(\d\d:\d\d):60\b")
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_PARAMETER: Final = re.compile(r';\s*([^\s=;"]{1,100})\s*=\s*("(?:[^"\\]|\\.)*"?|[^;]*)', re.DOTALL)
_QUOTED_PAIR: Final = re.compile(r'\\(["\\])')
_CONTINUED: Final = re.compile(r"(.+?)\*(\d{1,3})(\*?)\Z")
_CHUNK_BYTES: Final = 1024 * 1024
_PADDING: Final = re.compile(rb"=+")
_ONLY_BASE64: Final = re.compile(rb"[A-Za-z0-9+/\s]*")
_NOT_BASE64: Final = bytes(
    set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
)


def split_fields(head: bytes) -> Fields:
    """Return the fields of a header in their order. A line that neither begins nor continues a field is left out.

    Bytes above 127 that are not UTF-8 are in the character set that the header names for the content.
    """
    declared = None if head.isascii() else _CHARSET.search(head)
    hint = declared[1].decode() if declared else None
    unfolded: list[tuple[bytes, list[bytes]]] = []
    is_in_field = False
    for ended in head.removeprefix(codecs.BOM_UTF8).split(b"\n"):
        line = ended.rstrip(b"\r")
        if line[:1] in (b" ", b"\t"):
            if is_in_field:
                unfolded[-1][1].append(line)
        elif match := _FIELD.match(line):
            unfolded.append((match[1], [match[2]]))
            is_in_field = True
        elif line:
            is_in_field = False  # a continuation of an invalid line is left out, too
    return tuple((decode_bytes(name, None), _value(lines, hint)) for name, lines in unfolded)


def _value(lines: list[bytes], hint: str | None) -> str:
    joined = (
        lines[0] if len(lines) == 1 else b" ".join([lines[0], *(line.lstrip(b" \t") for line in lines[1:])])
    )
    return decode_unlabelled(_FOLD.sub(b" ", joined).replace(b"\0", b" ").strip(), hint)


def first(fields: Fields, name: str) -> str:
    """Return the value of the first field with this name (in lower case); empty if there is no such field."""
    return next((value for field, value in fields if field.lower() == name), "")


def canonical_name(name: str) -> str:
    """Return a field's name as Mailpit writes it: `Message-Id`, `Mime-Version`."""
    return "-".join(part.capitalize() for part in name.split("-")) if _TOKEN.match(name) else name


def decode_words(value: str) -> str:
    """Return a value with its encoded words decoded; a word that cannot be decoded is not changed.

    Adjacent words of one character set are joined before they are decoded, because some senders split a character
    between two words.
    """
    if "=?" not in value:
        return value
    return _ENCODED_RUN.sub(_decode_run, value[:MAX_VALUE_CHARACTERS])


def _decode_run(match: re.Match[str]) -> str:
    words = _ENCODED_WORD.findall(match[0])
    texts: list[str] = []
    pending: list[tuple[str, bytes]] = []
    for charset, encoding, payload in _joined_payloads(words):
        if pending and pending[0][0] != charset:
            texts.append(_text_of(pending))
            pending = []
        pending.append((charset, _payload_bytes(encoding, payload)))
    return "".join([*texts, _text_of(pending)])


def _joined_payloads(words: list[tuple[str, str, str]]) -> Iterator[tuple[str, str, str]]:
    """Yield the words.

    Two words are joined if the sender split base64 within four characters or quoted-printable within three.
    """
    held: tuple[str, str, str] | None = None
    for charset, encoding, payload in words:
        word = (charset.lower(), encoding.lower(), payload)
        if held and held[:2] == word[:2] and _is_cut(word[1], held[2]):
            held = (*word[:2], held[2] + payload)
            continue
        if held:
            yield held
        held = word
    if held:
        yield held


def _is_cut(encoding: str, payload: str) -> bool:
    if encoding == "b":
        return len(payload) % 4 > 0 and "=" not in payload
    return "=" in payload[-2:]


def _payload_bytes(encoding: str, payload: str) -> bytes:
    octets = payload.encode()
    return decode_base64(octets) if encoding == "b" else binascii.a2b_qp(octets, header=True)


def _text_of(words: list[tuple[str, bytes]]) -> str:
    text = decode_bytes(b"".join(content for _, content in words), words[0][0])
    return text.replace("\r", " ").replace("\n", " ").replace("\0", " ")


def decode_base64(octets: bytes) -> bytes:
    """Decode base64; characters outside of its alphabet are skipped, and padding may be missing (RFC 2045, 6.8).

    Text after the padding is also decoded if it is base64, because some senders encode in pieces. Other text after
    the padding is left out, because mailing lists append a text.
    """
    end = octets.find(b"=")
    if end < 0 or not octets[end:].strip(b"=\r\n\t "):
        return _decode_piece(octets)
    pieces = [octets[:end]]
    for piece in _PADDING.split(octets[end:])[1:]:
        if not _ONLY_BASE64.fullmatch(piece):
            break
        pieces.append(piece)
    return b"".join(map(_decode_piece, pieces))


def _decode_piece(octets: bytes) -> bytes:
    """Decode base64 without padding; a large attachment is decoded in chunks, which saves two copies of it."""
    decoded: list[bytes] = []
    letters = b""
    for start in range(0, len(octets), _CHUNK_BYTES):
        letters += octets[start : start + _CHUNK_BYTES].translate(None, _NOT_BASE64)
        whole = len(letters) // 4 * 4
        decoded.append(binascii.a2b_base64(letters[:whole]))
        letters = letters[whole:]
    if len(letters) > 1:
        decoded.append(binascii.a2b_base64(letters + b"=" * (-len(letters) % 4)))
    return b"".join(decoded)


def decode_uu(octets: bytes) -> bytes:
    """Decode uuencode between `begin` and `end`; return the octets unchanged if there is no `begin`."""
    head, begin, body = octets.partition(b"begin ")
    if not begin or head.strip():
        return octets
    decoded = []
    for line in body.split(b"\n")[1:]:
        written = line.rstrip(b"\r")
        if written == b"end":
            break
        try:
            decoded.append(binascii.a2b_uu(written))
        except binascii.Error:  # some senders write more characters than the length says
            size = ((written[0] - 32) & 63) * 4 + 5 if written else 0
            with contextlib.suppress(binascii.Error):
                decoded.append(binascii.a2b_uu(written[: size // 3]))
    return b"".join(decoded)


def date(value: str) -> datetime | None:
    """Return the time of a Date field; None if the field is invalid.

    A date without a zone is UTC (RFC 5322, 3.3: -0000). ISO 8601 and zones such as GMT+01:00 are accepted, too.
    """
    written = value[:200]
    while (outer := _COMMENT.sub(" ", written)) != written:  # comments can be nested
        written = outer
    written = _ZONE.sub(r" \1\2", written.strip())
    try:
        if _ISO_DATE.match(written):
            moment = datetime.fromisoformat(value.strip())
        else:
            moment = parsedate_to_datetime(_LEAP_SECOND.sub(r"\1:59", _ZONE_AT_TIME.sub(r"\1 ", written)))
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        moment.astimezone(UTC).isoformat()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return moment


def parameters(value: str) -> tuple[str, Mapping[str, str]]:
    """Return a field's main value in lower case, and its decoded parameters (RFC 2231, and senders' other forms)."""
    if not value:
        return "", {}
    value = value[:MAX_VALUE_CHARACTERS]
    main = value.partition(";")[0].strip().lower()
    if "=" in main and "/" not in main:  # the main value is missing before the first parameter
        main, value = "", f";{value}"
    plain: dict[str, str] = {}
    extended: dict[str, str] = {}
    pieces: dict[str, list[tuple[int, bool, str]]] = {}
    for name, written in _PARAMETER.findall(value):
        key, text = name.lower(), _unquoted(written)
        if continued := _CONTINUED.match(key):
            pieces.setdefault(continued[1], []).append((int(continued[2]), bool(continued[3]), text))
        elif key.endswith("*"):
            extended.setdefault(key[:-1], _extended(text))
        else:
            plain.setdefault(key, decode_words(text))
    joined = {key: _continued(sorted(each)) for key, each in pieces.items()}
    return main, {**plain, **joined, **extended}


def _unquoted(written: str) -> str:
    if not written.startswith('"'):
        return written.strip()
    inner = written[1:-1] if len(written) > 1 and written.endswith('"') else written[1:]
    return _QUOTED_PAIR.sub(r"\1", inner)  # any other backslash is part of a path on Windows


def _extended(text: str) -> str:
    charset, quote, rest = text.partition("'")
    encoded = rest.partition("'")[2] if quote else text
    return decode_bytes(unquote_to_bytes(encoded), charset if quote else None)


def _continued(pieces: list[tuple[int, bool, str]]) -> str:
    charset, octets = None, b""
    for number, is_extended, text in pieces:
        if number == 0 and is_extended and text.count("'") > 1:
            charset, _, text = text.split("'", 2)  # noqa: PLW2901 (the rest of the piece)
        octets += unquote_to_bytes(text) if is_extended else text.encode("utf-8", "replace")
    return decode_words(decode_bytes(octets, charset))
