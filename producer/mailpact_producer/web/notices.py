"""The notice that a page shows once after a form was accepted, on the page to which the person is redirected.

The notice is a cookie. The address in it is signed, so that nobody can make the site say that it has written to an
address of their choice.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from mailpact_producer.tokens import Purpose, read_signed, sign
from mailpact_producer.web.cookies import Cookies

_SEPARATOR: Final = "."
_SHOWN: Final = web.RequestKey("SHOWN", bool)


class NoticeKind(StrEnum):
    """The kind of a notice."""

    REGISTERED = "registered"  # also when the same mail is sent again
    CONFIRMED = "confirmed"
    DISOWNED = "disowned"
    LOGGED_OUT = "logged-out"
    RESET_SENT = "reset-sent"
    PASSWORD_CHANGED = "password-changed"  # noqa: S105  # a notice's name
    CHANGE_SENT = "change-sent"
    ADDRESS_CHANGED = "address-changed"
    DELETED = "deleted"
    PAGE_SAVED = "page-saved"
    PAGE_DELETED = "page-deleted"
    MAIL_SENT_AGAIN = "mail-sent-again"
    COMMENT_SHOWN = "comment-shown"
    COMMENT_WAITING = "comment-waiting"
    COMMENT_DELETED = "comment-deleted"
    COMMENT_REPORTED = "comment-reported"


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice; `address` is the address of the mail, `signed_address` the signed form for sending the mail again."""

    kind: NoticeKind
    address: str = ""
    signed_address: str = ""


class Notices:
    """Sets notices and reads them."""

    def __init__(self, key: bytes, cookies: Cookies) -> None:
        self._key = key
        self._cookies = cookies

    def set(self, response: web.StreamResponse, kind: NoticeKind, address: str = "") -> None:
        """Set the notice for the next page."""
        signed = sign(self._key, Purpose.SENT_TO, address.encode()) if address else ""
        self._cookies.set_notice(response, f"{kind}{_SEPARATOR}{signed}")

    def address(self, signed: str) -> str | None:
        """Return the address that this site has signed; None for anything else."""
        content = read_signed(self._key, Purpose.SENT_TO, signed)
        return None if content is None else content.decode()

    def show(self, request: web.Request) -> Notice | None:
        """Return the notice for the page that answers this request; the next page does not show it again."""
        notice = self._read(request)
        request[_SHOWN] = notice is not None
        return notice

    def has(self, request: web.Request) -> bool:
        """Return whether there is a notice for the page that answers this request."""
        return self._read(request) is not None

    def middleware(self) -> Middleware:
        """Return a middleware that deletes a notice once an answer shows it."""

        @web.middleware
        async def forget_shown(request: web.Request, handler: Handler) -> web.StreamResponse:
            response = await handler(request)
            if request.get(_SHOWN, False):
                self._cookies.drop_notice(response)
            return response

        return forget_shown

    def _read(self, request: web.Request) -> Notice | None:
        name, _, signed = self._cookies.notice(request).partition(_SEPARATOR)
        try:
            kind = NoticeKind(name)
        except ValueError:
            return None
        address = self.address(signed) if signed else ""
        return None if address is None else Notice(kind, address, signed)
