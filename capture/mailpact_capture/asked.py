"""Make a message's body safe to show: without secrets and with a bounded size. Pure.

The links of mails confirm addresses and set passwords. So only the server and the words of the path of a link are
shown. The mail itself is shown in full on its own page to everybody who may read it.
"""

import json
import re
from typing import Final

from mailpact.contracts.errors import ErrorCode, Refusal
from mailpact.contracts.parse import JsonObject, JsonValue, parse
from mailpact_capture.journeys import Asked

MAX_DEPTH: Final = 32  # `hidden` calls itself once for each level
MAX_SHOWN_CHARACTERS: Final = 64 * 1024
MAX_VALUE_CHARACTERS: Final = 4_000
HIDDEN: Final = "(hidden)"

_SECRET_NAME: Final = re.compile(
    r"(?:pass(?:word|phrase)?|secret|token|code|pin|otp|api[-_]?key|authorization)s?$", re.IGNORECASE
)
_LINK: Final = re.compile(r"(https?://)([^\s/?#\"<>]*)([^\s\"<>]*)", re.IGNORECASE)
_VALUE: Final = re.compile(r"(?<==)[^&;#]+")
_LONG_SEGMENT: Final = re.compile(r"(?<=/)[^/?#]{20,}")


def value_of(asked: Asked) -> JsonValue | Refusal:
    """Return the body as JSON, or the reason why the body is not JSON."""
    if asked.body is None:
        return Refusal(ErrorCode.TOO_LARGE, detail=f"the body has {asked.size} bytes and was not kept")
    return parse(asked.body, max_bytes=len(asked.body), max_depth=MAX_DEPTH)


def shown_body(value: JsonValue) -> str:
    """Return a body as indented JSON without secrets, at most 64 KiB long."""
    text = json.dumps(hidden(value), ensure_ascii=False, indent=2)
    if len(text) > MAX_SHOWN_CHARACTERS:
        text = f"{text[:MAX_SHOWN_CHARACTERS]}\n… ({len(text)} characters in all)"
    return text


def hidden(value: JsonValue, name: str = "") -> JsonValue:
    """Return a value without secrets and without the content of attachments."""
    if isinstance(value, dict):
        is_file = isinstance(value.get("content"), str) and "filename" in value
        return {
            member: _size(inner) if is_file and member == "content" else hidden(inner, member)
            for member, inner in value.items()
        }
    if isinstance(value, list):
        return [hidden(inner, name) for inner in value]
    if value is not None and not isinstance(value, bool) and _SECRET_NAME.search(name):
        return HIDDEN
    return shown_text(value) if isinstance(value, str) else value


def shown_text(text: str) -> str:
    """Return a text, at most 4,000 characters long. Its links are cut to the server and the words of the path."""
    cut = (
        text
        if len(text) <= MAX_VALUE_CHARACTERS
        else f"{text[:MAX_VALUE_CHARACTERS]}… ({len(text)} characters)"
    )
    return _LINK.sub(lambda link: link[1] + link[2].rpartition("@")[2] + _path(link[3]), cut)


def _path(rest: str) -> str:
    return _LONG_SEGMENT.sub("…", _VALUE.sub("…", rest))


def _size(content: JsonValue) -> JsonValue:
    return f"({len(content)} characters of base64)" if isinstance(content, str) else HIDDEN


def members(value: JsonValue | Refusal) -> JsonObject:
    """Return the members of a body; an empty object if the body is not a JSON object."""
    return value if isinstance(value, dict) else {}
