"""Serves an aiohttp application on a socket that listens already."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

STOP_SECONDS = 5  # for requests that are being answered; an idle server stops at once
BACKLOG = 200


@asynccontextmanager
async def serving(
    app: web.Application, listener: socket.socket, *, runner: type[web.AppRunner] = web.AppRunner
) -> AsyncIterator[None]:
    """Serve until the context ends, and close the listener. No access log: paths and queries may hold addresses."""
    running = runner(app, access_log=None, shutdown_timeout=STOP_SECONDS)
    await running.setup()
    try:
        await web.SockSite(running, listener, backlog=BACKLOG).start()
        yield
    finally:
        await running.cleanup()
