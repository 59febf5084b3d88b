"""Shows administrators on every page when mail does not flow."""

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from mailpact_producer.mail_flow import MailFlow
from mailpact_producer.web.session import MAIL_TROUBLE, is_admin


def watching_mail(flow: MailFlow) -> Middleware:
    """Return a middleware that checks the mail for administrators' pages; the session must be looked up before."""

    @web.middleware
    async def watch(request: web.Request, handler: Handler) -> web.StreamResponse:
        if is_admin(request):
            request[MAIL_TROUBLE] = (await flow.look()).trouble
        return await handler(request)

    return watch
