"""Puts the site together: routes, templates, headers."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import aiohttp_jinja2
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from jinja2 import PackageLoader, StrictUndefined

from mailpact.web.assets import add_asset_routes
from mailpact_producer.reports import Reports
from mailpact_producer.web.account import AccountPage
from mailpact_producer.web.api import Api
from mailpact_producer.web.audit import AuditPage
from mailpact_producer.web.comments import CommentForms
from mailpact_producer.web.editor import Editor
from mailpact_producer.web.failures import REPORTS, failure_pages
from mailpact_producer.web.feed import FEED_PATH
from mailpact_producer.web.forms import MAX_BODY_BYTES
from mailpact_producer.web.headers import add_site_headers
from mailpact_producer.web.links import LinkPages
from mailpact_producer.web.login import LoginForms
from mailpact_producer.web.pages import Pages
from mailpact_producer.web.problems import is_api
from mailpact_producer.web.readers import ReaderPages
from mailpact_producer.web.register import RegistrationForm
from mailpact_producer.web.render import FRAME, Frame
from mailpact_producer.web.tracing import tracing


@dataclass(frozen=True, slots=True)
class Handlers:
    """The handlers of the requests."""

    pages: Pages
    editor: Editor
    comments: CommentForms
    registration: RegistrationForm
    links: LinkPages
    login: LoginForms
    account: AccountPage
    api: Api
    readers: ReaderPages
    audit: AuditPage


def make_application(
    handlers: Handlers, frame: Frame, middlewares: Sequence[Middleware], *, is_https: bool
) -> web.Application:
    """Return the site's application; the caller must clean it up."""
    app = web.Application(
        middlewares=[failure_pages, tracing, _for_people(middlewares), failure_pages],
        client_max_size=MAX_BODY_BYTES,
    )
    app[REPORTS] = Reports()
    app[FRAME] = frame
    add_site_headers(app, is_https=is_https)
    environment = aiohttp_jinja2.setup(
        app,
        loader=PackageLoader("mailpact_producer.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["assets"] = add_asset_routes(app)
    app.add_routes(_routes(handlers))
    return app


def _for_people(middlewares: Sequence[Middleware]) -> Middleware:
    """Return the middlewares as one, which skips the API, because the API has neither sessions nor cookies."""

    @web.middleware
    async def unless_api(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not is_api(request.path):
            for middleware in reversed(middlewares):
                handler = partial(middleware, handler=handler)
        return await handler(request)

    return unless_api


def _routes(handlers: Handlers) -> list[web.RouteDef]:
    registration, links, login, account = (
        handlers.registration,
        handlers.links,
        handlers.login,
        handlers.account,
    )
    comments = handlers.comments
    return [
        web.get("/", handlers.pages.home),
        web.get("/page/{guid}", handlers.pages.page),
        web.get("/pages/{slug}", handlers.pages.page_by_slug),
        web.get(FEED_PATH, handlers.pages.feed),
        web.get("/sitemap.xml", handlers.pages.sitemap),
        *handlers.api.routes(),
        web.post("/page/{guid}/comments", comments.write),
        web.get("/comments/{id}", comments.show_edit),
        web.post("/comments/{id}", comments.edit),
        web.post("/comments/{id}/delete", comments.delete),
        web.get("/comments/{id}/report", comments.show_report),
        web.post("/comments/{id}/report", comments.report),
        web.get("/moderation", comments.show_queue),
        web.post("/moderation/comments/{id}/approve", comments.approve),
        web.post("/moderation/comments/{id}/delete", comments.remove),
        web.post("/moderation/comments/{id}/block", comments.block),
        web.post("/moderation/readers/{id}/unblock", comments.unblock),
        *handlers.readers.routes(),
        web.get("/audit", handlers.audit.show),
        web.get("/edit", handlers.editor.show_new),
        web.post("/edit", handlers.editor.take_new),
        web.get("/edit/{guid}", handlers.editor.show),
        web.post("/edit/{guid}", handlers.editor.take),
        web.get("/edit/{guid}/delete", handlers.editor.show_delete),
        web.post("/edit/{guid}/delete", handlers.editor.delete),
        web.get("/register", registration.show),
        web.post("/register", registration.take),
        web.post("/register/again", registration.send_again),
        web.get("/confirm", links.show_confirm),
        web.post("/confirm", links.confirm),
        web.post("/confirm/not-me", links.disown),
        web.get("/confirm/again", registration.show_again),
        web.post("/confirm/again", registration.take_again),
        web.get("/login", login.show),
        web.post("/login", login.take),
        web.post("/logout", login.log_out),
        web.get("/forgot", login.show_forgotten),
        web.post("/forgot", login.take_forgotten),
        web.get("/reset", login.show_reset),
        web.post("/reset", login.take_reset),
        web.get("/change-address", links.show_change),
        web.post("/change-address", links.change),
        web.post("/change-address/not-me", links.disown_change),
        web.get("/account", account.show),
        web.get("/account/export", account.export),
        web.post("/account/address", account.change_address),
        web.post("/account/password", account.change_password),
        web.post("/account/delete", account.delete),
    ]
