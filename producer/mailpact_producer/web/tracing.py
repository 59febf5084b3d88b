"""Sets the trace context of each request."""

import secrets

from aiohttp import web
from aiohttp.typedefs import Handler

from mailpact_producer import trace


@web.middleware
async def tracing(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Serve the request within the trace that its header names, or within a new trace."""
    header = request.headers.get(trace.HEADER, "")
    token = trace.current.set(trace.continued(header, secrets.token_bytes(trace.RANDOM_BYTES)))
    try:
        return await handler(request)
    finally:
        trace.current.reset(token)
