"""Read a message of email/1: strict JSON, the published schema, and the subject rule.

This module does not use AMQP or SMTP. contracts/email/1/README.md defines the rules and their order.
"""

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path

from jsonschema import Draft202012Validator

STRING = re.compile(rb'"(?:[^"\\]|\\.)*"?', re.DOTALL)
LINE_END = re.compile(r"\r\n|\r|\n")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class Refused(Exception):
    """The message breaks the contract; the headers are those of its dead letter."""

    def __init__(self, code, pointer=None, keyword=None):
        super().__init__(code)
        self.headers = {"x-error-code": code}
        if keyword is not None:
            self.headers |= {"x-error-pointer": pointer, "x-error-keyword": keyword}


@dataclass(frozen=True)
class Mail:
    """The mail to send."""

    to: str
    subject: str
    text: str


class Contract:
    """The published files of email/1, read once."""

    def __init__(self, folder):
        folder = Path(folder) / "email" / "1"
        self.binding = json.loads((folder / "binding.json").read_text())
        self.validator = Draft202012Validator(json.loads((folder / "schema.json").read_text()))

    def read(self, body, message_type, content_type, content_encoding):
        """Return the mail that a message asks for, or raise Refused."""
        self._check_properties(message_type or "", content_type or "", content_encoding or "")
        value = parse(body, self.binding["limits"])
        error = next(iter(self.validator.iter_errors(value)), None)
        if error is not None:
            pointer = "".join(f"/{step}" for step in error.absolute_path)
            raise Refused("schema", pointer, error.validator)
        if value["email"].endswith("\n"):  # Python's $ also matches before a final line feed
            raise Refused("schema", "/email", "pattern")
        return Mail(value["email"], subject(value["message"]), value["message"])

    def _check_properties(self, message_type, content_type, content_encoding):
        readers = self.binding["readers"]
        if message_type not in ("", self.binding["type"]):
            raise Refused("unsupported_version")
        media_type = content_type.partition(";")[0].strip(" \t").lower()
        if content_type and media_type not in readers["content_types"]:
            raise Refused("unsupported_content_type")
        if content_encoding and content_encoding.lower() not in readers["content_encodings"]:
            raise Refused("unsupported_content_encoding")


def parse(body, limits):
    """Return the JSON value of a body; raise Refused with the first rule that the body breaks."""
    if len(body) > limits["max_body_bytes"]:
        raise Refused("too_large")
    if depth(body) > limits["max_depth"]:
        raise Refused("too_deep")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refused("invalid_encoding") from error
    if text.startswith("\ufeff"):
        raise Refused("byte_order_mark")
    faults = set()
    try:
        value = json.loads(
            text,
            parse_float=lambda digits: number(digits, float, faults),
            parse_int=lambda digits: number(digits, int, faults),
            parse_constant=lambda _: faults.add("invalid_number"),
            object_pairs_hook=lambda pairs: members(pairs, faults),
        )
    except ValueError as error:
        raise Refused("invalid_json") from error
    if has_lone_surrogate(value):
        faults.add("lone_surrogate")
    for code in ("invalid_number", "lone_surrogate", "duplicate_key"):
        if code in faults:
            raise Refused(code)
    return value


def depth(body):
    """Return how deep objects and arrays nest; brackets in strings do not count."""
    deepest = now = 0
    for byte in STRING.sub(b"", body):
        if byte in b"[{":
            now += 1
            deepest = max(deepest, now)
        elif byte in b"]}":
            now = max(0, now - 1)
    return deepest


def number(digits, kind, faults):
    """Return a number, and record a fault if the number is too large for a double."""
    if math.isinf(float(digits)):
        faults.add("invalid_number")
        return 0
    return kind(digits)


def members(pairs, faults):
    """Return an object, and record a fault if a name occurs twice."""
    if len({name for name, _ in pairs}) < len(pairs):
        faults.add("duplicate_key")
    if any(has_lone_surrogate(name) or has_lone_surrogate(value) for name, value in pairs):
        faults.add("lone_surrogate")
    return dict(pairs)


def has_lone_surrogate(value):
    """Return whether a string, or a string in a list, contains a lone surrogate."""
    if isinstance(value, str):
        return any("\ud800" <= character <= "\udfff" for character in value)
    return isinstance(value, list) and any(map(has_lone_surrogate, value))


def subject(message):
    """Return the subject of a message: its first line that is not blank."""
    lines = (CONTROL.sub(" ", line).strip(" ") for line in LINE_END.split(message))
    first = next((line for line in lines if line), "(no subject)")
    return first[:200].rstrip(" ")
