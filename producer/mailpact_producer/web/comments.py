"""The forms of comments: writing, changing, deleting and reporting; and what administrators moderate."""

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Final

from aiohttp import web

from mailpact_producer.accounts import Wrong
from mailpact_producer.comment_text import COMMENT_FIELD, MAX_COMMENT, read_comment
from mailpact_producer.commenting import Commenting
from mailpact_producer.errors import ReaderBlocked, TooManyComments
from mailpact_producer.limits import HOUR_SECONDS
from mailpact_producer.store.comments import Comment, CommentState
from mailpact_producer.store.users import User
from mailpact_producer.web.admins import require_admin, required_number, turned_away
from mailpact_producer.web.asking import FormTools
from mailpact_producer.web.forms import FORM_FIELD, FormRefused, see_other
from mailpact_producer.web.notices import NoticeKind
from mailpact_producer.web.pages import Pages, read_guid
from mailpact_producer.web.session import reader

_BLOCKED: Final = (
    "You cannot write comments on this site. Please write to the people who run it if this is a mistake."
)
_TOO_MANY: Final = "You have written many comments in the last hour. Please try again later."
_LIMITS: Final = {"max_comment": MAX_COMMENT}


class CommentForms:
    """Shows and handles the forms of comments."""

    def __init__(self, commenting: Commenting, site_pages: Pages, tools: FormTools) -> None:
        self._commenting = commenting
        self._pages = site_pages
        self._tools = tools

    async def write(self, request: web.Request) -> web.Response:
        """Store a comment on the page and redirect to the page."""
        user, guid = _reader(request), read_guid(request.match_info["guid"])
        context = await self._pages.context(request, guid)

        async def take(fields: Mapping[str, str]) -> web.Response:
            text = _text(fields)
            form = fields.get(FORM_FIELD, "")
            state = await _admitted(self._commenting.write(user, str(guid), text, form))
            return self._stored(state, str(guid))

        return await self._tools.forms.take(request, "page.html", context, take)

    async def show_edit(self, request: web.Request) -> web.Response:
        """Show the form of the reader's own comment."""
        user = reader(request)
        if user is None:
            return see_other("/login")
        comment = await self._own(request, user)
        fields = {COMMENT_FIELD: comment.body}
        context = {**_LIMITS, "comment": comment}
        return self._tools.forms.show(request, "comment-form.html", context, fields=fields)

    async def edit(self, request: web.Request) -> web.Response:
        """Store another text of the reader's own comment."""
        user = _reader(request)
        comment = await self._own(request, user)

        async def take(fields: Mapping[str, str]) -> web.Response:
            state = await _admitted(self._commenting.change(user, comment.id, _text(fields)))
            return self._stored(state, comment.page_guid)

        context = {**_LIMITS, "comment": comment}
        return await self._tools.forms.take(request, "comment-form.html", context, take)

    async def delete(self, request: web.Request) -> web.Response:
        """Delete the reader's own comment."""
        user = _reader(request)
        comment = await self._own(request, user)

        async def take(_fields: Mapping[str, str]) -> web.Response:
            await self._commenting.delete_own(user, comment.id)
            response = see_other(f"/page/{comment.page_guid}#comments")
            self._tools.notices.set(response, NoticeKind.COMMENT_DELETED)
            return response

        context = {**_LIMITS, "comment": comment}
        return await self._tools.forms.take(request, "comment-form.html", context, take)

    async def show_report(self, request: web.Request) -> web.Response:
        """Show a comment and the button that reports it."""
        if reader(request) is None:
            return see_other("/login")
        comment = await self._shown(request)
        return self._tools.forms.show(request, "comment-report.html", {"comment": comment})

    async def report(self, request: web.Request) -> web.Response:
        """Record the report for the administrators."""
        user = _reader(request)
        comment = await self._shown(request)

        async def take(_fields: Mapping[str, str]) -> web.Response:
            await self._commenting.report(user, comment.id)
            response = see_other(f"/page/{comment.page_guid}#comments")
            self._tools.notices.set(response, NoticeKind.COMMENT_REPORTED)
            return response

        return await self._tools.forms.take(request, "comment-report.html", {"comment": comment}, take)

    async def show_queue(self, request: web.Request) -> web.Response:
        """Show an administrator the comments to check."""
        away = turned_away(request)
        if away is not None:
            return away
        waiting, blocked = await self._commenting.queue()
        return self._tools.forms.show(request, "moderation.html", {"waiting": waiting, "blocked": blocked})

    async def approve(self, request: web.Request) -> web.Response:
        """Show a comment to everybody."""
        return await self._moderate(request, self._commenting.approve)

    async def remove(self, request: web.Request) -> web.Response:
        """Delete anybody's comment."""
        return await self._moderate(request, self._commenting.delete)

    async def block(self, request: web.Request) -> web.Response:
        """Delete a comment and block its author."""
        return await self._moderate(request, self._commenting.block_author)

    async def unblock(self, request: web.Request) -> web.Response:
        """Let a reader write comments again."""
        return await self._moderate(request, self._commenting.unblock)

    async def _moderate(self, request: web.Request, act: Callable[[int], Awaitable[None]]) -> web.Response:
        require_admin(request)
        number = required_number(request)
        waiting, blocked = await self._commenting.queue()

        async def take(_fields: Mapping[str, str]) -> web.Response:
            await act(number)
            return see_other("/moderation")

        context = {"waiting": waiting, "blocked": blocked}
        return await self._tools.forms.take(request, "moderation.html", context, take)

    def _stored(self, state: CommentState | None, guid: str) -> web.Response:
        if state is None:
            raise web.HTTPNotFound
        response = see_other(f"/page/{guid}#comments")
        kind = NoticeKind.COMMENT_SHOWN if state is CommentState.SHOWN else NoticeKind.COMMENT_WAITING
        self._tools.notices.set(response, kind)
        return response

    async def _own(self, request: web.Request, user: User) -> Comment:
        comment = await self._commenting.find(required_number(request))
        if comment is None or comment.user_id != user.id:
            raise web.HTTPNotFound
        return comment

    async def _shown(self, request: web.Request) -> Comment:
        comment = await self._commenting.find(required_number(request))
        if comment is None or comment.is_waiting:
            raise web.HTTPNotFound
        return comment


async def _admitted(writing: Awaitable[CommentState | None]) -> CommentState | None:
    try:
        return await writing
    except ReaderBlocked:
        raise FormRefused(_BLOCKED, status=HTTPStatus.FORBIDDEN) from None
    except TooManyComments:
        raise FormRefused(
            _TOO_MANY, status=HTTPStatus.TOO_MANY_REQUESTS, retry_seconds=HOUR_SECONDS
        ) from None


def _text(fields: Mapping[str, str]) -> str:
    try:
        return read_comment(fields.get(COMMENT_FIELD, ""))
    except Wrong as wrong:
        raise FormRefused(errors={COMMENT_FIELD: str(wrong)}) from None


def _reader(request: web.Request) -> User:
    user = reader(request)
    if user is None:
        raise web.HTTPForbidden
    return user
