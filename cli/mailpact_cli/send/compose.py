"""Makes the message that `mailpact send` publishes, from a file and from options. Every message is validated."""

import base64
import json
import mimetypes
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mailpact.contracts.catalogue import Catalogue, Contract
from mailpact.contracts.errors import ErrorCode, Refusal
from mailpact.contracts.parse import JsonObject, parse
from mailpact.contracts.validate import Validator
from mailpact.settings import SettingsError
from mailpact_cli.body_file import read_body
from mailpact_consumer.email_2 import recipients_of
from mailpact_consumer.mailbox import Mailbox

ATTACHMENT_BYTES = 1024 * 1024  # as in email/2
UNKNOWN_TYPE = "application/octet-stream"
DEFAULT_VERSION = 1


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts from the options, which are added to the file's members or replace them."""

    to: Sequence[str]
    template: str | None
    locale: str
    data: Path | None
    attach: Sequence[Path]

    @property
    def is_empty(self) -> bool:
        """Return whether the file's body is sent as it is."""
        return not (self.to or self.template or self.attach)


@dataclass(frozen=True, slots=True)
class Composed:
    """A valid body, its contract and its recipients."""

    contract: Contract
    body: bytes
    recipients: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """A body that breaks its contract."""

    contract: str
    refusal: Refusal


def compose(catalogue: Catalogue, file: Path | None, parts: Parts) -> Composed | Refused:
    """Return the message, or how it breaks its contract. Raises SettingsError for a file that cannot be read."""
    newest = catalogue.contract("email/2")
    limits = newest.wire.limits
    body = b"{}" if file is None else read_body(file, limits.max_body_bytes + 1)
    value = parse(body, max_bytes=limits.max_body_bytes, max_depth=limits.max_depth)
    if isinstance(value, Refusal):
        return Refused("email/2", value)
    if not isinstance(value, dict):
        return Refused("email/2", Refusal(ErrorCode.SCHEMA, keyword="type", detail="is no JSON object"))
    contract = catalogue.contract("email/1") if _is_email_1(value) and parts.is_empty else newest
    if not parts.is_empty:
        value = _with_parts(value, parts, limits.max_body_bytes, limits.max_depth)
        body = json.dumps(value, ensure_ascii=False).encode()
    limits = contract.wire.limits
    if len(body) > limits.max_body_bytes:
        detail = f"the body has more than the {limits.max_body_bytes} bytes allowed"
        return Refused(_name(contract), Refusal(ErrorCode.TOO_LARGE, detail=detail))
    refusal = Validator(contract.writer_schema).check(value) or _refuse_data(catalogue, value)
    if refusal is not None:
        return Refused(_name(contract), refusal)
    recipients = (str(value["email"]),) if contract.major == 1 else recipients_of(value)
    return Composed(contract, body, recipients)


def _refuse_data(catalogue: Catalogue, value: JsonObject) -> Refusal | None:
    """Return why the template's contract refuses the data; None if it accepts them or is not published."""
    asked: Any = value.get("template")
    name = f"template/{asked['name']}/{asked['version']}" if asked is not None else ""
    if name not in catalogue.names:
        return None
    refusal = Validator(catalogue.contract(name).writer_schema).check(asked["data"])
    return refusal and replace(refusal, pointer=f"/template/data{refusal.pointer}")


def _name(contract: Contract) -> str:
    return f"{contract.name}/{contract.major}"


def _is_email_1(value: JsonObject) -> bool:
    return "email" in value and "to" not in value


def _with_parts(value: JsonObject, parts: Parts, max_bytes: int, max_depth: int) -> JsonObject:
    composed: dict[str, Any] = dict(value)
    if parts.to:
        composed["to"] = [_mailbox(text) for text in parts.to]
    if parts.template is not None:
        name, _, version = parts.template.partition("/")
        if version and not (version.isascii() and version.isdigit()):
            raise SettingsError(
                f"{parts.template!r} is not the name of a template; write NAME or NAME/VERSION, such as welcome/1"
            )
        composed["template"] = {
            "name": name,
            "version": int(version or DEFAULT_VERSION),
            "locale": parts.locale,
            "data": _data(parts.data, max_bytes, max_depth),
        }
    if parts.attach:
        files = composed.get("attachments", [])
        composed["attachments"] = (
            [*files, *map(_attachment, parts.attach)] if isinstance(files, list) else files
        )
    return composed


def _mailbox(text: str) -> dict[str, str]:
    try:
        mailbox = Mailbox.parse(text)
    except ValueError as error:
        raise SettingsError(f"--to {error}") from error
    return {"address": mailbox.address} | ({"name": mailbox.name} if mailbox.name else {})


def _data(file: Path | None, max_bytes: int, max_depth: int) -> JsonObject:
    if file is None:
        return {}
    value = parse(read_body(file, max_bytes + 1), max_bytes=max_bytes, max_depth=max_depth)
    if isinstance(value, Refusal):
        raise SettingsError(f"--data {file}: {value.code}: {value.detail}")
    if not isinstance(value, dict):
        raise SettingsError(f"--data {file}: the data of a template are a JSON object")
    return value


def _attachment(file: Path) -> dict[str, str]:
    content = read_body(file, ATTACHMENT_BYTES + 1)
    if len(content) > ATTACHMENT_BYTES:
        raise SettingsError(f"--attach {file}: has more than 1 MiB; send a link to the file instead")
    return {
        "filename": file.name,
        "content_type": _content_type(file.name, content),
        "content": base64.b64encode(content).decode("ascii"),
    }


def _content_type(name: str, content: bytes) -> str:
    kind, encoding = mimetypes.guess_type(name)
    if kind is None or encoding is not None or kind.startswith(("message/", "multipart/")):
        return UNKNOWN_TYPE
    if kind.startswith("text/"):
        try:
            content.decode()
        except UnicodeDecodeError:
            return kind
        return f"{kind}; charset=utf-8"
    return kind
