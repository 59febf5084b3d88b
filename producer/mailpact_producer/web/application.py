"""Puts the site together: routes, templates, headers."""

import aiohttp_jinja2
from aiohttp import web
from jinja2 import PackageLoader, StrictUndefined

from mailpact.web.assets import add_asset_routes
from mailpact_producer.web.failures import REPORTS, failure_pages
from mailpact_producer.web.forms import MAX_BODY_BYTES
from mailpact_producer.web.headers import add_site_headers
from mailpact_producer.web.notices import Notices
from mailpact_producer.web.pages import Pages
from mailpact_producer.web.register import RegistrationForm
from mailpact_producer.web.render import FRAME, Frame
from mailpact_producer.web.reports import Reports


def make_application(
    site_pages: Pages, registration_form: RegistrationForm, notices: Notices, *, is_https: bool
) -> web.Application:
    """Make the site; whoever serves it ends it."""
    app = web.Application(middlewares=[notices.middleware(), failure_pages], client_max_size=MAX_BODY_BYTES)
    app[REPORTS] = Reports()
    app[FRAME] = Frame(notices)
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
    app.router.add_get("/", site_pages.home)
    app.router.add_get("/page/{guid}", site_pages.page)
    app.router.add_get("/register", registration_form.show)
    app.router.add_post("/register", registration_form.take)
    return app
