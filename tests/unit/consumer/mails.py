"""The vectors of email/2 and parsed mails in one form, so that the two can be compared."""

import base64
import email.parser
import email.policy
import hashlib
import json
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import getaddresses
from pathlib import Path
from typing import Any

from mailpact.amqp.messages import Message

EMAIL_2 = Path(__file__).parents[3] / "contracts" / "email" / "2" / "vectors"
PARSER = email.parser.BytesParser(policy=email.policy.default)
LIST_FIELDS = {"list_unsubscribe": "List-Unsubscribe", "list_unsubscribe_post": "List-Unsubscribe-Post"}


def vectors(kind: str) -> list[Path]:
    return sorted((EMAIL_2 / kind).glob("*.json"))


def joined(pieces: list[dict[str, Any]]) -> str:
    return "".join(piece["text"] * piece["times"] for piece in pieces)


def body_of(vector: dict[str, Any]) -> bytes:
    match vector:
        case {"body": str(text)}:
            return text.encode()
        case {"body_pieces": list(pieces)}:
            return joined(pieces).encode()
        case {"body_base64": str(encoded)}:
            return base64.b64decode(encoded)
    raise AssertionError("the vector has no body")


def message_of(vector: dict[str, Any]) -> Message:
    given = {"content_type": vector.get("content_type", "application/json"), **vector.get("properties", {})}
    return Message(body_of(vector), **given)


def load(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return loaded


def comparable(text: str) -> str:
    return text.replace("\r\n", "\n").removesuffix("\n")


def expected_by(vector: dict[str, Any]) -> dict[str, Any]:
    """Return a valid vector's `mail` without the recipients, which a mail does not show."""
    mail = {key: value for key, value in vector["mail"].items() if key != "recipients"}
    for key in ("text", "html"):
        if f"{key}_pieces" in mail:
            mail[key] = joined(mail.pop(f"{key}_pieces"))
        if key in mail:
            mail[key] = comparable(mail[key])
    return mail


def shown_by(raw: bytes) -> dict[str, Any]:
    """Return what Python's parser finds in a mail, in the form of a vector's `mail`."""
    parsed = PARSER.parsebytes(raw)
    shown: dict[str, Any] = {"subject": str(parsed["Subject"]), "structure": structure(parsed)}
    for key, field in (("from", "From"), ("to", "To"), ("cc", "Cc"), ("reply_to", "Reply-To")):
        if field in parsed:
            boxes = mailboxes(raw, field)
            shown[key] = boxes if key in ("to", "cc") else boxes[0]
    for key, field in LIST_FIELDS.items():
        if field in parsed:
            shown[key] = str(parsed[field])
    files = []
    for part in parsed.walk():
        if part.is_multipart():
            continue
        payload = part.get_payload(decode=True)
        assert isinstance(payload, bytes)
        if part.get_filename() is None:
            shown["html" if part.get_content_subtype() == "html" else "text"] = comparable(payload.decode())
        else:
            files.append(file_in(part, payload))
    if files:
        shown["attachments"] = files
    return shown


def file_in(part: EmailMessage, payload: bytes) -> dict[str, Any]:
    content_type = "; ".join(
        [part.get_content_type(), *(f"{k}={v}" for k, v in part["Content-Type"].params.items())]
    )
    file: dict[str, Any] = {
        "filename": part["Content-Disposition"].params["filename"],  # get_filename strips it
        "content_type": content_type,
        "bytes": len(payload),
        "sha256": hashlib.sha256(payload).hexdigest(),
    }
    if part["Content-ID"] is not None:
        file["content_id"] = str(part["Content-ID"]).strip("<>")
    return file


def mailboxes(raw: bytes, field: str) -> list[dict[str, str]]:
    """Return the mailboxes of a field as Python's older parser reads them: the newer one loses spaces inside names."""
    parsed = email.parser.BytesHeaderParser(policy=email.policy.compat32).parsebytes(raw)
    found = []
    for name, address in getaddresses([parsed[field]]):
        shown = str(make_header(decode_header(name))) if name else ""
        found.append({"address": address, "name": shown} if shown else {"address": address})
    return found


def structure(part: EmailMessage) -> Any:
    if not part.is_multipart():
        return part.get_content_type()
    return {part.get_content_type(): [structure(child) for child in part.iter_parts()]}
