"""Makes the site's messages, and checks each against its contract.

A message is checked before it is stored, so that an invalid message is never stored. It is checked again before it is
published, because another release may have written the row; this second check is skipped if this process has just
checked the same bytes. The data of a template are checked against the template's own contract, too.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from mailpact.amqp.messages import Message
from mailpact.contracts.catalogue import Catalogue
from mailpact.contracts.errors import Refusal
from mailpact.contracts.parse import parse
from mailpact.contracts.validate import Validator
from mailpact_producer.mails import Mail

CONTRACT: Final = "email/2"
EARLIER_CONTRACT: Final = "email/1"
"""The contract of the first release's mails. Rows of this release may still wait in the outbox."""

CANARY_CATEGORY: Final = "canary"
APP_ID: Final = "mailpact-producer"
TEMPLATE_VERSION: Final = 1
LOCALE: Final = "en"  # the language of the site's pages
TRACEPARENT: Final = "traceparent"

MOST_CHECKED: Final = 500
"""Bodies that a process remembers as checked until they are published."""

_SECOND: Final = 1_000_000  # microseconds


def mail_body(mail: Mail) -> bytes:
    """Return the body of the message that becomes this mail."""
    template = {
        "name": mail.template,
        "version": TEMPLATE_VERSION,
        "locale": LOCALE,
        "data": dict(mail.data),
    }
    members: dict[str, object] = {"to": [{"address": mail.to}], "template": template}
    if mail.expires_at is not None:
        members["expires_at"] = _moment(mail.expires_at)
    return _encoded(members)


def canary_body(address: str, site_name: str, expires_at: int) -> bytes:
    """Return the body of the message that becomes a canary's mail; the message expires at `expires_at`."""
    text = (
        f"{site_name} sends this mail to test whether its mail flows, from its database to this mailbox.\r\n"
        "Nobody needs to read it, and it may be thrown away.\r\n"
    )
    members: dict[str, object] = {
        "to": [{"address": address}],
        "subject": f"{site_name}: mail flows",
        "text": text,
        "category": CANARY_CATEGORY,
        "expires_at": _moment(expires_at),
    }
    return _encoded(members)


class Writer:
    """Makes messages of one contract: the binding gives the properties, and the writers' schema checks the body."""

    def __init__(self, catalogue: Catalogue, name: str) -> None:
        """Read the contract `name`, such as "email/2". Raises UnknownContractError, PublishedFileError."""
        contract = catalogue.contract(name)
        self._catalogue = catalogue
        self._binding = contract.wire
        self._validator = Validator(contract.writer_schema)
        self._templates: dict[str, Validator] = {}
        self._checked: dict[bytes, bool] = {}  # used by several threads
        self.exchange = contract.wire.exchange
        self.routing_key = contract.wire.routing_key
        self.mandatory = contract.wire.mandatory

    def new_message(
        self, body: bytes, *, message_id: str, made_at_seconds: int, traceparent: str | None = None
    ) -> Message | Refusal:
        """Return a message as `message` does, and remember that the body was checked."""
        message = self.message(
            body, message_id=message_id, made_at_seconds=made_at_seconds, traceparent=traceparent
        )
        if isinstance(message, Message):
            if len(self._checked) >= MOST_CHECKED:
                self._checked.clear()
            self._checked[body] = True
        return message

    def message(
        self, body: bytes, *, message_id: str, made_at_seconds: int, traceparent: str | None = None
    ) -> Message | Refusal:
        """Return the message as it is published, or why its body may not be. `made_at_seconds` counts since 1970."""
        is_checked = self._checked.pop(body, False)
        if not is_checked and (refusal := self.check(body)) is not None:
            return refusal
        return Message(
            body=body,
            content_type=self._binding.content_type,
            type=self._binding.type,
            message_id=message_id,
            app_id=APP_ID,
            timestamp=datetime.fromtimestamp(made_at_seconds, UTC),
            headers={} if traceparent is None else {TRACEPARENT: traceparent},
        )

    def check(self, body: bytes) -> Refusal | None:
        """Return why readers may refuse this body; None if the body obeys the contract."""
        limits = self._binding.limits
        value = parse(body, max_bytes=limits.max_body_bytes, max_depth=limits.max_depth)
        if isinstance(value, Refusal):
            return value
        return self._validator.check(value) or self._check_template(value)

    def is_mailable(self, email: str) -> bool:
        """Return whether `email/2` allows a mail to this address."""
        # Text beyond ASCII may contain a lone surrogate, for which the validator raises an error.
        body: Any = {"to": [{"address": email}], "subject": "-", "text": "-"}
        return email.isascii() and self._validator.check(body) is None

    def _check_template(self, value: Any) -> Refusal | None:
        template = value.get("template") if isinstance(value, Mapping) else None
        if template is None:
            return None
        name = f"template/{template['name']}/{template['version']}"
        if name not in self._templates:
            self._templates[name] = Validator(self._catalogue.contract(name).writer_schema)
        refusal = self._templates[name].check(template["data"])
        return refusal and replace(refusal, pointer=f"/template/data{refusal.pointer}")


def _moment(microseconds: int) -> str:
    return datetime.fromtimestamp(microseconds // _SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _encoded(members: Mapping[str, object]) -> bytes:
    # `surrogatepass`, so that a lone surrogate does not raise here, but reaches the check, which refuses the body.
    return json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
