"""Every published vector has its stated result in this consumer: this mail, or this refusal."""

import base64
import email.parser
import email.policy
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mailpact.amqp.messages import Message
from mailpact.contracts import catalogue
from mailpact.contracts.errors import Refusal
from mailpact_consumer.email_2 import Policy
from mailpact_consumer.mailbox import Identities, Mailbox
from mailpact_consumer.message import MailRequest, identify, read, readers
from mailpact_consumer.render import Renderer
from mailpact_consumer.template_folder import load_templates
from tests.each import each

VECTORS = sorted((Path(__file__).parents[3] / "contracts" / "email" / "1" / "vectors").rglob("*.json"))
CMS = Mailbox("cms@mail.example")
POLICY = Policy(CMS, Identities().and_of(CMS), load_templates(catalogue.load()))
SERVED = readers(catalogue.load(), POLICY)
ASSIGNED = "00000000-0000-4000-8000-000000000000"
DATE = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
PARSER = email.parser.BytesParser(policy=email.policy.default)


def joined(pieces: list[dict[str, Any]]) -> str:
    return "".join(piece["text"] * piece["times"] for piece in pieces)


def message_of(vector: dict[str, Any]) -> Message:
    """Return the message that a vector describes."""
    match vector:
        case {"body": str(text)}:
            body = text.encode()
        case {"body_pieces": list(pieces)}:
            body = joined(pieces).encode()
        case {"body_base64": str(encoded)}:
            body = base64.b64decode(encoded)
    return Message(
        body,
        **{"content_type": vector.get("content_type", "application/json"), **vector.get("properties", {})},
    )


def comparable(text: str) -> str:
    """Return a text as texts are compared: CRLF counts as LF, and one line end at the very end does not count."""
    return text.replace("\r\n", "\n").removesuffix("\n")


def outcome(vector: dict[str, Any]) -> MailRequest | Refusal:
    message = message_of(vector)
    return read(message, SERVED, identify(message, assigned_id=ASSIGNED), now=DATE)


@each("path", VECTORS, name=lambda path: path.stem)
def test_vector_means_what_it_says(path: Path) -> None:
    vector = json.loads(path.read_text(encoding="utf-8"))
    result = outcome(vector)

    if "error" in vector:
        assert isinstance(result, Refusal)
        assert result.code == vector["error"]["code"]
        return
    expected = vector["mail"]
    assert isinstance(result, MailRequest)
    mail = PARSER.parsebytes(
        Renderer(result, mail_from=CMS, domain="mail.example").mail(result.recipients[0], first_seen=DATE)
    )
    text = expected["text"] if "text" in expected else joined(expected["text_pieces"])
    payload = mail.get_payload(decode=True)
    assert isinstance(payload, bytes)
    assert (mail["To"], str(mail["Subject"])) == (expected["to"], expected["subject"])
    assert comparable(payload.decode()) == comparable(text)
