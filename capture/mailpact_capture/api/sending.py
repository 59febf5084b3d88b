"""Mail that is sent by HTTP instead of SMTP: Mailpit's `send`, and whole `.eml` files."""

import base64
import binascii
import re
import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime, formataddr, localtime
from typing import Any, Final

from aiohttp import web

from mailpact_capture.addresses import addresses
from mailpact_capture.asking import body_of, json_of, namespace_of
from mailpact_capture.envelope import Envelope
from mailpact_capture.headers import split_fields
from mailpact_capture.ids import RANDOM_BYTES, public_id
from mailpact_capture.limits import MAX_MESSAGE_BYTES, MAX_RECIPIENTS
from mailpact_capture.mime import read_header
from mailpact_capture.records import MAX_TAG_CHARACTERS, clean_tag
from mailpact_capture.store import Store
from mailpact_capture.writes import Arrival

Holding = Callable[[], AbstractContextManager[Callable[[int], bool]]]

RESTRICTED: Final = frozenset(
    {"to", "from", "cc", "bcc", "reply-to", "date", "subject", "content-type", "mime-version", "message-id"}
)
_FIELD_NAME: Final = re.compile(r"[!-9;-~]{1,200}")  # RFC 5322, 3.6.8
ENCODED_AT_ONCE: Final = 57 * 1024  # whole lines of base64
MAX_SEND_BYTES: Final = MAX_MESSAGE_BYTES * 3 // 2

_TYPES: Final[dict[type[Any], str]] = {str: "a text", dict: "an object", list: "a list"}
_ADDRESS: Final = {"Name": str, "Email": str}
_BODY: Final = {
    "From": _ADDRESS, "To": [_ADDRESS], "Cc": [_ADDRESS], "Bcc": [str], "ReplyTo": [_ADDRESS], "Subject": str,
    "Text": str, "HTML": str, "Headers": dict, "Tags": [str],
    "Attachments": [{"Content": str, "ContentType": str, "Filename": str, "ContentID": str}],
}  # fmt: skip


class Sending:
    """Stores mails that clients send by HTTP. `holding` counts the bytes of all mails that are being received."""

    def __init__(self, store: Store, holding: Holding) -> None:
        self._store = store
        self._holding = holding

    def add_routes(self, router: web.UrlDispatcher, prefix: str) -> None:
        """Add the routes below `prefix`."""
        router.add_post(prefix + "/api/v1/send", self.send)
        router.add_post(prefix + "/api/mailpact/v1/import", self.import_mail)

    async def send(self, request: web.Request) -> web.Response:
        """Build a mail from a JSON object and store the mail; errors are JSON, as in Mailpit."""
        with self._holding() as hold:
            return await self._send(request, hold)

    async def _send(self, request: web.Request, hold: Callable[[int], bool]) -> web.Response:
        try:
            # The JSON object is not kept while the mail is stored: it is as large as the mail.
            sender, recipients, raw, tags = _made(_lower(await json_of(request, MAX_SEND_BYTES, hold)))
        except web.HTTPRequestEntityTooLarge:
            return web.json_response({"Error": "the mail is too large"}, status=413)
        except (web.HTTPBadRequest, web.HTTPRequestTimeout, web.HTTPServiceUnavailable) as error:
            said = str(error.text).removeprefix("Error: ").strip()
            return web.json_response({"Error": said}, status=error.status)
        except UnicodeError:
            return web.json_response({"Error": "the mail cannot be made: a text is not Unicode"}, status=400)
        except (ValueError, TypeError, KeyError, AttributeError, LookupError) as error:
            return web.json_response({"Error": f"the mail cannot be made: {error}"}, status=400)
        return web.json_response({"ID": await self._keep(request, sender, recipients, raw, tags)})

    async def import_mail(self, request: web.Request) -> web.Response:
        """Store the body as a mail, byte for byte; the envelope is made from the mail's header fields."""
        with self._holding() as hold:
            raw = await body_of(request, MAX_MESSAGE_BYTES, hold)
            values: dict[str, list[str]] = {}
            for name, value in split_fields(read_header(raw, 0, len(raw))[0]):
                values.setdefault(name.lower(), []).append(value)
            sender = next((each.address for each in addresses(values.get("from", ()))), "")
            recipients = [
                each.address for name in ("to", "cc", "bcc") for each in addresses(values.get(name, ()))
            ]
            return web.json_response({"ID": await self._keep(request, sender, recipients, raw, ())})

    async def _keep(
        self, request: web.Request, sender: str, recipients: list[str], raw: bytes, tags: tuple[str, ...]
    ) -> str:
        namespace = namespace_of(request)
        envelope = Envelope(
            mail_from=sender,
            rcpt_tos=tuple(dict.fromkeys(recipients))[:MAX_RECIPIENTS],
            helo="HTTP",
            peer=request.remote or "",
            received_us=time.time_ns() // 1000,
        )
        name = public_id(envelope.received_us, secrets.token_bytes(RANDOM_BYTES))
        await self._store.keep(Arrival(name, envelope, raw, tags, namespace))
        return name


def _lower(value: object) -> Any:
    """Return a JSON value with the keys of all objects in lower case, except the names of header fields."""
    if isinstance(value, dict):
        return {
            key.lower(): each if key.lower() == "headers" else _lower(each) for key, each in value.items()
        }
    return [_lower(each) for each in value] if isinstance(value, list) else value


def _check(value: Any, shape: Any, place: str) -> None:
    """Raise TypeError if a value does not have the type that Mailpit expects.

    Members that are null, absent or unknown are accepted.
    """
    if value is None:
        return
    expected: type[Any] = shape if isinstance(shape, type) else type(shape)
    if type(value) is not expected:
        raise TypeError(f"{place} is not {_TYPES[expected]}")
    if isinstance(shape, dict):
        for key, each in shape.items():
            _check(value.get(key.lower()), each, f"{place}.{key}".lstrip("."))
    elif isinstance(shape, list):
        for each in value:
            _check(each, shape[0], f"a member of {place}")


def _made(body: Any) -> tuple[str, list[str], bytes, tuple[str, ...]]:
    """Return the mail that a JSON object describes: sender, recipients, bytes and tags."""
    _check(body, _BODY, "")
    message, recipients, tags = _message(body)
    is_ascii = all(_address(each)[1].isascii() for each in _people(body))
    policy = SMTP if is_ascii else SMTPUTF8  # an address beyond ASCII has no other form than UTF-8 (RFC 6532)
    return _address(body["from"])[1], recipients, message.as_bytes(policy=policy), tags


def _message(body: Mapping[str, Any]) -> tuple[EmailMessage, list[str], tuple[str, ...]]:
    if not body.get("from"):
        raise ValueError("From is missing")
    if not all(each and each.get("email") for each in _people(body)):
        raise ValueError("an address has no Email")
    to, cc = body.get("to") or [], body.get("cc") or []
    bcc = [str(each) for each in body.get("bcc") or []]
    if not (to or cc or bcc):
        raise ValueError("there is no recipient")
    message = EmailMessage()
    message["From"] = _mailbox(body["from"])
    for name, all_of in (("To", to), ("Cc", cc)):
        if all_of:
            message[name] = ", ".join(map(_mailbox, all_of))
    if body.get("replyto"):
        message["Reply-To"] = ", ".join(map(_mailbox, body["replyto"]))
    message["Subject"] = str(body.get("subject") or "")
    message["Date"] = format_datetime(localtime())
    message["Message-ID"] = f"<{secrets.token_hex(16)}@mailpact.capture>"
    _add_fields(message, body.get("headers") or {})
    _fill(message, body)
    tags = tuple(map(clean_tag, body.get("tags") or []))
    if None in tags:
        raise ValueError(f"a tag has 1 to {MAX_TAG_CHARACTERS} printable characters")
    return message, [_address(each)[1] for each in (*to, *cc)] + bcc, tuple(filter(None, tags))


def _add_fields(message: EmailMessage, fields: Mapping[str, Any]) -> None:
    for name, value in fields.items():
        if name.lower() in RESTRICTED:
            raise ValueError(f"the header field {name} cannot be set here")
        if not _FIELD_NAME.fullmatch(name):
            raise ValueError(f"{name[:60]!r} is not the name of a header field")
        if not isinstance(value, str):
            raise TypeError(f"the header field {name[:60]} is not a text")
        message[name] = value


def _fill(message: EmailMessage, body: Mapping[str, Any]) -> None:
    text, markup = str(body.get("text") or ""), str(body.get("html") or "")
    if text or not markup:
        message.set_content(text)
        if markup:
            message.add_alternative(markup, subtype="html")
    else:
        message.set_content(markup, subtype="html")
    for each in body.get("attachments") or []:
        if "content" not in each:
            raise ValueError("an attachment has no Content")
        try:
            content = base64.b64decode(str(each["content"]).rpartition(",")[2], validate=True)
        except binascii.Error as error:
            raise ValueError("an attachment's Content is not base64") from error
        main, _, sub = str(each.get("contenttype") or "application/octet-stream").partition("/")
        message.add_attachment(b"", maintype=main, subtype=sub or "octet-stream")
        part = list(message.iter_attachments())[-1]
        part.set_payload(_encoded(content))
        if each.get("filename"):
            part.set_param("filename", str(each["filename"]), "Content-Disposition", charset="utf-8")
        if each.get("contentid"):
            part.replace_header(
                "Content-Disposition", str(part["Content-Disposition"]).replace("attachment", "inline", 1)
            )
            part["Content-ID"] = f"<{each['contentid']}>"


def _encoded(content: bytes) -> str:
    """Return the content in base64. The library would make an object of each line, which takes twice the memory."""
    chunks = range(0, len(content), ENCODED_AT_ONCE)
    return "".join(base64.encodebytes(content[at : at + ENCODED_AT_ONCE]).decode() for at in chunks)


def _people(body: Mapping[str, Any]) -> list[Any]:
    """Return the sender and all recipients whom the header names."""
    return [body["from"], *(each for name in ("to", "cc", "replyto") for each in body.get(name) or [])]


def _mailbox(value: Mapping[str, Any]) -> str:
    """Return a mailbox as a header field has it."""
    name, address = _address(value)
    if address.isascii():
        return formataddr((name, address))
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}" <{address}>'


def _address(value: Mapping[str, Any]) -> tuple[str, str]:
    return str(value.get("name") or ""), str(value["email"])
