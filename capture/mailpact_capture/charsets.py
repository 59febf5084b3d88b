"""Decode bytes by the WHATWG Encoding Standard's table of labels, as browsers and mail programs do.

The table says that `iso-8859-1` means windows-1252 and `gb2312` means GBK, because senders use the labels so. Labels
are looked up by webencodings; if Python's codec of that name knows fewer characters than the standard's decoder, a
larger codec is used.
"""

import codecs
import re
from encodings.aliases import aliases
from typing import Final

import webencodings  # type: ignore[import-untyped]  # it has no types

_WIDER: Final = {
    "shift_jis": "cp932",
    "gbk": "gb18030",
    "euc-kr": "cp949",
    "big5": "big5hkscs",
    "windows-874": "cp874",
    "iso-8859-8-i": "iso-8859-8",
    "x-mac-cyrillic": "mac-cyrillic",
    "macintosh": "mac-roman",
    "iso-2022-jp": "iso2022_jp_3",
    # Python's names
    "gb2312": "gb18030",
    "euc_kr": "cp949",
    "latin_1": "cp1252",
    "iso8859_9": "cp1254",
    "iso8859_11": "cp874",
    "tis_620": "cp874",
    "utf_8": "utf-8",
}
# The names that Python knows beside the table, such as cp850, eucjp or utf-7. codecs.lookup is not called with a
# mail's label, because it would look for a module of this name and keep each unknown name in memory.
_NO_CHARACTER_SETS: Final = frozenset(
    {
        "base64_codec",
        "bz2_codec",
        "hex_codec",
        "quopri_codec",
        "rot_13",
        "uu_codec",
        "zlib_codec",
        "mbcs",
        "tactis",
    }
)
_PYTHONS: Final = {
    **{alias: codec for alias, codec in aliases.items() if codec not in _NO_CHARACTER_SETS},
    **{codec: codec for codec in aliases.values() if codec not in _NO_CHARACTER_SETS},
}
_BETWEEN_WORDS: Final = re.compile(r"[^a-z0-9]+")
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"),
)  # fmt: skip
_META: Final = re.compile(
    rb"""<meta\s[^>]{0,200}?charset\s*=\s*["']?([A-Za-z0-9_:.-]{1,40})""", re.IGNORECASE
)
_SNIFFED_BYTES: Final = 1024


def encodable(text: str) -> str:
    """Return the text with lone surrogates replaced, which UTF-8 cannot encode."""
    return text if text.isascii() else text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def decode_bytes(content: bytes, label: str | None) -> str:
    """Decode text from the character set that the label names. Never raises.

    A byte order mark takes precedence over the label (https://encoding.spec.whatwg.org/#decode). Without a label, or
    with one that the table does not know, the text is UTF-8 if its bytes are, else windows-1252.
    """
    if label is None and content.isascii():  # true of most header fields; a byte order mark is not ASCII
        return content.decode("ascii")
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return encodable(content[len(mark) :].decode(encoding, "replace"))
    codec = _codec(label) if label else None
    if codec is None or codec == "utf-8":
        return _guessed(content) if codec is None else content.decode("utf-8", "replace")
    try:
        return encodable(content.decode(codec, "whatwg"))
    except (LookupError, ValueError):  # the codec cannot continue after an invalid byte
        return content.decode("utf-8", "replace")


def decode_unlabelled(content: bytes, hint: str | None) -> str:
    """Decode text without a label: UTF-8 if its bytes are, else the character set `hint` of other text of the mail."""
    codec = None if hint is None or content.isascii() else _codec(hint)
    if codec is None or codec.startswith("utf") or _is_utf8(content):
        return decode_bytes(content, None)
    return decode_bytes(content, hint)


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def label_in_html(markup: bytes) -> str | None:
    """Return the character set that an HTML text declares; None if the text declares none.

    UTF-16 is never returned: a text in UTF-16 could not declare its character set in ASCII.
    """
    match = _META.search(markup, 0, _SNIFFED_BYTES)
    label = match[1].decode() if match else None
    return None if label is None or label.lower().startswith("utf-16") else label


def _codec(label: str) -> str | None:
    name = label.partition("(")[0].strip().strip("'\"").lower()
    if name in ("us-ascii", "ascii"):
        return None  # senders that declare this one often send UTF-8
    encoding = webencodings.lookup(name)
    if encoding is not None and encoding.name not in ("x-user-defined", "replacement"):
        return _WIDER.get(str(encoding.name), str(encoding.name))
    codec = _PYTHONS.get(_BETWEEN_WORDS.sub("_", name))
    return None if codec is None or codec == "ascii" else _WIDER.get(codec, codec)


def _guessed(content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        text = content.decode("utf-8", "replace")
        # In damaged UTF-8 few bytes are invalid. In a text of another character set nearly all bytes above 127 are
        # invalid UTF-8.
        return content.decode("cp1252", "whatwg") if _is_single_byte(content, text) else text


def _is_single_byte(content: bytes, text: str) -> bool:
    beyond = sum(octet > 0x7F for octet in content[:4096])
    return text[:4096].count("\ufffd") * 2 > beyond


def _as_the_standard_says(error: UnicodeError) -> tuple[str | bytes, int]:
    """Map a byte that a Windows code page does not define to the control character with the same number."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    octet = error.object[error.start]
    if error.encoding == "charmap" and 0x80 <= octet <= 0x9F:
        return chr(octet), error.start + 1
    return "\ufffd", max(error.start + 1, error.end)


codecs.register_error("whatwg", _as_the_standard_says)
