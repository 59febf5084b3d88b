"""Puts the site together: routes, templates, headers."""

import aiohttp_jinja2
from aiohttp import web
from jinja2 import PackageLoader, StrictUndefined

from mailpact.web.assets import add_asset_routes
from mailpact.web.security import add_security_headers
from mailpact_producer.web.failures import failure_pages
from mailpact_producer.web.form import MAX_BODY_BYTES
from mailpact_producer.web.pages import Pages
from mailpact_producer.web.register import RegistrationForm


def make_application(site_pages: Pages, registration_form: RegistrationForm) -> web.Application:
    """Make the site; whoever serves it ends it."""
    app = web.Application(middlewares=[failure_pages], client_max_size=MAX_BODY_BYTES)
    add_security_headers(app)
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
