"""Bytes become text by the WHATWG Encoding Standard's table of labels, as in browsers and mail programs.

The table says that `iso-8859-1` means windows-1252 and `gb2312` means GBK, because that is what senders mean. Labels
are looked up by webencodings; where Python's codec of that name knows fewer characters than the standard's decoder,
a wider codec is taken.
"""

import codecs
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
}
_BEYOND_THE_TABLE: Final = {"utf-7": "utf-7", "cp437": "cp437", "cp850": "cp850", "iso-2022-kr": "iso2022_kr"}


def encodable(text: str) -> str:
    """Return the text with what UTF-8 cannot encode (lone surrogates) replaced."""
    return text if text.isascii() else text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def decode_bytes(content: bytes, label: str | None) -> str:
    """Return text decoded from the character set that it claims. Never raises.

    Without a label, or with one that the table does not know, the text is UTF-8 if its bytes are, else windows-1252.
    """
    codec = _codec(label) if label else None
    if codec is None or codec == "utf-8":
        return _guessed(content) if codec is None else content.decode("utf-8", "replace")
    try:
        return encodable(content.decode(codec, "whatwg"))
    except (LookupError, ValueError):  # a codec that cannot go on after a bad byte
        return content.decode("utf-8", "replace")


def _codec(label: str) -> str | None:
    name = label.strip().strip("'\"").lower()
    if name in ("us-ascii", "ascii"):
        return None  # senders that say so often send UTF-8
    encoding = webencodings.lookup(name)
    if encoding is not None and encoding.name not in ("x-user-defined", "replacement"):
        return _WIDER.get(str(encoding.name), str(encoding.name))
    return _BEYOND_THE_TABLE.get(name)


def _guessed(content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        text = content.decode("utf-8", "replace")
        # Few bytes are wrong in damaged UTF-8, and nearly all beyond ASCII are in another character set.
        return content.decode("cp1252", "whatwg") if _is_single_byte(content, text) else text


def _is_single_byte(content: bytes, text: str) -> bool:
    beyond = sum(octet > 0x7F for octet in content[:4096])
    return text[:4096].count("\ufffd") * 2 > beyond


def _as_the_standard_says(error: UnicodeError) -> tuple[str | bytes, int]:
    """Map a byte that a Windows code page leaves undefined to the control character of that number."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    octet = error.object[error.start]
    if error.encoding == "charmap" and 0x80 <= octet <= 0x9F:
        return chr(octet), error.start + 1
    return "\ufffd", max(error.start + 1, error.end)


codecs.register_error("whatwg", _as_the_standard_says)
