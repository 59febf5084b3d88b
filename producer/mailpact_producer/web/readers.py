"""The pages where administrators see readers and their mails, and send a mail again."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final
from uuid import UUID

from aiohttp import web

from mailpact_producer.accounts import MAX_ADDRESS
from mailpact_producer.limits import HOUR_SECONDS
from mailpact_producer.readers import Again, Readers, Record
from mailpact_producer.web.admins import number_of, require_admin, required_number, turned_away
from mailpact_producer.web.asking import FormTools
from mailpact_producer.web.forms import FORM_FIELD, FormRefused, see_other
from mailpact_producer.web.notices import NoticeKind

ADDRESS_FIELD: Final = "address"
OVERRIDE_FIELD: Final = "override"
_OVER_LIMIT: Final = (
    "This mailbox has had as many mails in the last hour as one mailbox may. Nothing was sent."
    " You can send the mail in spite of the limit; the audit log then says so."
)
_NO_USE: Final = "This mail is of no use any more. Nothing was sent."


class ReaderPages:
    """Shows readers. For anybody but an administrator, the pages do not exist."""

    def __init__(self, readers: Readers, tools: FormTools) -> None:
        self._readers = readers
        self._tools = tools

    def routes(self) -> list[web.RouteDef]:
        """Return the addresses of the pages."""
        return [
            web.get("/readers", self.show_list),
            web.post("/readers", self.search),
            web.get("/readers/{id}", self.show),
            web.post("/readers/{id}/mails/{message_id}/again", self.send_again),
        ]

    async def show_list(self, request: web.Request) -> web.Response:
        """Show readers, the latest first."""
        away = turned_away(request)
        if away is not None:
            return away
        before = number_of(request.query.get("before", ""))
        found, has_more = await self._readers.listed(before=before)
        context = _list(found, has_more) | {"before": before}
        return self._tools.forms.show(request, "readers.html", context)

    async def search(self, request: web.Request) -> web.Response:
        """Show readers whose address contains the text of the form.

        The form is posted, so that no address is in the URL, which servers on the way may log.
        """
        require_admin(request)

        async def take(fields: Mapping[str, str]) -> web.Response:
            text = fields.get(ADDRESS_FIELD, "").strip()[:MAX_ADDRESS]
            if not text:
                return see_other("/readers")
            found, has_more = await self._readers.search(text)
            context = _list(found, has_more) | {"searched": text}
            return self._tools.forms.show(request, "readers.html", context, fields={ADDRESS_FIELD: text})

        return await self._tools.forms.take(request, "readers.html", _list([], has_more=False), take)

    async def show(self, request: web.Request) -> web.Response:
        """Show one reader and the states of the reader's mails."""
        away = turned_away(request)
        if away is not None:
            return away
        return self._tools.forms.show(request, "reader.html", _record(await self._record(request)))

    async def send_again(self, request: web.Request) -> web.Response:
        """Send one of the reader's mails again, with a new link."""
        require_admin(request)
        record = await self._record(request)
        message_id = _message_id(request)
        if all(mail.message_id != message_id for mail in record.mails):
            raise web.HTTPNotFound
        context = _record(record)

        async def take(fields: Mapping[str, str]) -> web.Response:
            overrides = fields.get(OVERRIDE_FIELD) == "yes"
            form = fields.get(FORM_FIELD, "")
            match await self._readers.send_again(record.user.id, message_id, form, overrides_limit=overrides):
                case Again.SENT:
                    response = see_other(f"/readers/{record.user.id}")
                    self._tools.notices.set(response, NoticeKind.MAIL_SENT_AGAIN)
                    return response
                case Again.OVER_LIMIT:
                    context["over_limit"] = message_id
                    raise FormRefused(
                        _OVER_LIMIT, status=HTTPStatus.TOO_MANY_REQUESTS, retry_seconds=HOUR_SECONDS
                    )
                case Again.NO_USE:
                    raise FormRefused(_NO_USE, status=HTTPStatus.CONFLICT)
                case Again.UNKNOWN:
                    raise web.HTTPNotFound

        return await self._tools.forms.take(request, "reader.html", context, take)

    async def _record(self, request: web.Request) -> Record:
        record = await self._readers.find(required_number(request))
        if record is None:
            raise web.HTTPNotFound
        return record


def _list(found: object, has_more: object) -> dict[str, object]:
    limits = {"max_address": MAX_ADDRESS}
    return {**limits, "readers": found, "has_more": has_more, "before": None, "searched": ""}


def _record(record: Record) -> dict[str, object]:
    return {"record": record, "over_limit": ""}


def _message_id(request: web.Request) -> str:
    try:
        return str(UUID(request.match_info["message_id"]))
    except ValueError:
        raise web.HTTPNotFound from None
