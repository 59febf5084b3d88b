"""A client for tests: waits for a mail at a capture server and reads the mail. Needs the standard library only.

mailbox = CaptureClient("http://127.0.0.1:8025").mailbox()
...                                             # make your program send to mailbox.address()
mail = mailbox.wait_for(subject="Welcome")
assert mail.links[0].startswith("https://")
"""

import json
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener

DEFAULT_URL: Final = "http://127.0.0.1:8025"
DEFAULT_SECONDS: Final = 10.0
ROUND_SECONDS: Final = 60  # the longest wait of one call to the server
SOCKET_SECONDS: Final = 30  # added to the time that the server may wait
MOST_NAMED: Final = 5  # how many mails an error message names

_NAMESPACE: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class CaptureUnavailable(Exception):
    """The capture server cannot be reached, or the server refuses a call; the message names the call."""


class NoMail(AssertionError):
    """The mail did not arrive in time. The message names the mails that arrived instead."""


class UnwantedMail(AssertionError):
    """A mail arrived that must not arrive. The message names this mail."""


@dataclass(frozen=True, slots=True)
class Mail:
    """A captured mail. `recipients` and `mail_from` are from the envelope; `codes` are one-time codes in the text."""

    id: str
    subject: str
    sender: str
    recipients: tuple[str, ...]
    mail_from: str
    text: str
    html: str
    links: tuple[str, ...]
    codes: tuple[str, ...]
    attachments: tuple[str, ...]
    details: Mapping[str, Any] = field(repr=False)
    _client: "CaptureClient" = field(repr=False)

    @property
    def raw(self) -> bytes:
        """Return the bytes that the SMTP client sent."""
        return self._client.call("GET", f"/api/v1/message/{self.id}/raw")

    def attachment(self, name: str) -> bytes:
        """Return the content of the attachment with that file name; raises KeyError."""
        for each in (*self.details["Attachments"], *self.details["Inline"]):
            if each["FileName"] == name:
                return self._client.call("GET", f"/api/v1/message/{self.id}/part/{each['PartID']}")
        raise KeyError(name)


class CaptureClient:
    """A capture server, named by the URL of its viewer. All methods raise CaptureUnavailable."""

    def __init__(self, url: str = DEFAULT_URL) -> None:
        self.url = url.rstrip("/")
        self._open = build_opener(ProxyHandler({})).open  # a proxy cannot reach a server on this machine

    def mailbox(self, name: str | None = None) -> "Mailbox":
        """Return a mailbox for one test: the namespace `name`, or a new namespace.

        Raises ValueError for a name that is not a namespace.
        """
        name = f"test-{secrets.token_hex(6)}" if name is None else name
        if not _NAMESPACE.fullmatch(name):
            raise ValueError(
                f"{name!r} is not a namespace: 1 to 64 letters, digits, dots, hyphens and underscores"
            )
        return Mailbox(self, name)

    def call(self, method: str, path: str, body: object = None, *, seconds: float = 0) -> bytes:
        """Return the body of an answer. `seconds` is added to the time that the server may usually take."""
        content = None if body is None else json.dumps(body).encode()
        request = Request(self.url + path, data=content, method=method)  # noqa: S310 (the caller's own server)
        request.add_header("Content-Type", "application/json")
        try:
            with self._open(request, timeout=seconds + SOCKET_SECONDS) as answer:
                return bytes(answer.read())
        except HTTPError as error:
            with error:
                reason = error.read().decode(errors="replace").strip()
            if error.code == 409 and "/wait?" in path:
                return reason.encode()
            raise CaptureUnavailable(f"{method} {path} is answered with {error.code}: {reason}") from error
        except (URLError, OSError, HTTPException) as error:
            raise CaptureUnavailable(f"the capture server at {self.url} does not answer: {error}") from error


class Mailbox:
    """The mails to one namespace. Other tests neither see nor delete these mails."""

    def __init__(self, client: CaptureClient, name: str) -> None:
        self.name = name
        self._client = client
        self._base = f"/ns/{name}"
        self._after: dict[str, int] = {}

    def address(self, local_part: str = "reader", domain: str = "example.org") -> str:
        """Return an address; mail to this address arrives in this mailbox."""
        return f"{local_part}+ns-{self.name}@{domain}"

    def wait_for(
        self,
        *,
        subject: str = "",
        to: str = "",
        sender: str = "",
        query: str = "",
        timeout: float = DEFAULT_SECONDS,
    ) -> Mail:
        """Return the oldest mail that matches, as soon as the mail has arrived.

        The same call again returns the next mail.

        `subject`, `to` (a recipient of the envelope) and `sender` are compared as substrings without regard to case;
        `query` has the syntax of the viewer's search. `timeout` is in seconds. Raises NoMail.
        """
        wanted = _query(subject=subject, to=to, sender=sender, query=query)
        deadline = time.monotonic() + timeout
        while True:
            left = max(0.0, deadline - time.monotonic())
            answer = self._wait(wanted, min(left, ROUND_SECONDS), after=self._after.get(wanted, 0))
            if answer:
                self._after[wanted] = answer["cursor"]
                return self._mail(answer["messages"][0])
            if time.monotonic() >= deadline:
                raise NoMail(f"no mail {_named(wanted)} came within {timeout:g} s{self._others()}")

    def expect_none(
        self, *, subject: str = "", to: str = "", sender: str = "", query: str = "", seconds: float = 1.0
    ) -> None:
        """Return after `seconds` if no matching mail is stored or arrives; raise UnwantedMail otherwise."""
        wanted = _query(subject=subject, to=to, sender=sender, query=query)
        deadline = time.monotonic() + seconds
        while True:
            left = max(0.0, deadline - time.monotonic())
            if answer := self._wait(wanted, min(left, ROUND_SECONDS), expect="none"):
                mail = self._mail(answer["messages"][0])
                raise UnwantedMail(
                    f"a mail {_named(wanted)} came: {mail.subject!r} to {', '.join(mail.recipients)}"
                )
            if time.monotonic() >= deadline:
                return

    def delete_all(self) -> None:
        """Delete this mailbox's mails, faults and refused sessions."""
        self._client.call("DELETE", f"{self._base}/api/v1/messages")
        self._client.call("DELETE", f"{self._base}/api/mailpact/v1/faults")
        self._client.call("DELETE", f"{self._base}/api/mailpact/v1/smtp-sessions")

    def set_faults(self, *rules: Mapping[str, Any]) -> None:
        """Set the rules by which the server answers mail to this mailbox; without rules the server answers normally."""
        self._client.call("PUT", f"{self._base}/api/mailpact/v1/faults", {"rules": list(rules)})

    def _wait(self, query: str, seconds: float, **further: object) -> dict[str, Any] | None:
        asked = urlencode({"query": query, "timeout": f"{seconds:.3f}", **further})
        content = self._client.call("GET", f"{self._base}/api/mailpact/v1/wait?{asked}", seconds=seconds)
        return json.loads(content) if content else None

    def _mail(self, details: Mapping[str, Any]) -> Mail:
        return Mail(
            id=details["ID"],
            subject=details["Subject"],
            sender=details["From"]["Address"],
            recipients=tuple(details["Envelope"]["Recipients"]),
            mail_from=details["Envelope"]["From"],
            text=details["Text"],
            html=details["HTML"],
            links=tuple(details["Links"]),
            codes=tuple(details["Codes"]),
            attachments=tuple(each["FileName"] for each in details["Attachments"]),
            details=details,
            _client=self._client,
        )

    def _others(self) -> str:
        listed = json.loads(self._client.call("GET", f"{self._base}/api/v1/messages?limit={MOST_NAMED}"))
        if not listed["total"]:
            return f"; no mail came for {self.address('…', '…')} at all"
        named = (f"{each['Subject']!r} to {_first(each['To'] + each['Bcc'])}" for each in listed["messages"])
        return f"; {listed['total']} came that do not fit: {'; '.join(named)}"


def _query(*, subject: str, to: str, sender: str, query: str) -> str:
    keys = {"subject": subject, "rcpt": to, "from": sender}
    # The search syntax cannot express a quotation mark, so the text is split into terms at each quotation mark.
    terms = [
        f'{key}:"{piece.strip()}"'
        for key, value in keys.items()
        for piece in value.split('"')
        if piece.strip()
    ]
    return " ".join([*terms, *([query] if query else [])])


def _named(query: str) -> str:
    return f"with {query}" if query else "at all"


def _first(addresses: list[dict[str, str]]) -> str:
    return addresses[0]["Address"] if addresses else "nobody"
