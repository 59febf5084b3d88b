"""The SMTP server: accepts connections, runs a conversation on each connection, and ends all of them when it stops."""

import asyncio
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, cast

import structlog

from mailpact_capture import limits
from mailpact_capture.conversation import Conversation
from mailpact_capture.hall import Hall
from mailpact_capture.wire import HANDSHAKE_SECONDS, no_handshake, peer_of

ACCEPT_AGAIN_SECONDS: Final = 0.2

log = structlog.get_logger()


def conversations(hall: Hall) -> Callable[[], asyncio.Protocol]:
    """Return the protocol factory of a listening socket."""
    return lambda: _Busy() if _is_full(hall) else Conversation(hall)


async def take_tls(hall: Hall, listener: socket.socket) -> None:
    """Accept connections on which TLS begins with the first byte, until the task is cancelled.

    A server of asyncio would accept them, too, but would not report a failed handshake.
    """
    loop = asyncio.get_running_loop()
    handshakes: set[asyncio.Task[None]] = set()
    try:
        while True:
            try:
                connection, address = await loop.sock_accept(listener)
            except OSError as error:  # no file descriptor is free: the connection waits in the backlog
                log.warning("no connection can be accepted", error=type(error).__name__)
                await asyncio.sleep(ACCEPT_AGAIN_SECONDS)
                continue
            if _is_full(hall) or len(handshakes) >= limits.MAX_CONNECTIONS:
                connection.close()
                continue
            handshake = loop.create_task(_shake_hands(hall, connection, peer_of(address)))
            handshakes.add(handshake)
            handshake.add_done_callback(handshakes.discard)
    finally:
        for handshake in handshakes:
            handshake.cancel()
        await asyncio.gather(*handshakes, return_exceptions=True)


async def _shake_hands(hall: Hall, connection: socket.socket, peer: str) -> None:
    loop = asyncio.get_running_loop()
    try:
        identity = await hall.identities.identity()
        await loop.connect_accepted_socket(
            lambda: Conversation(hall),
            connection,
            ssl=identity.context,
            ssl_handshake_timeout=HANDSHAKE_SECONDS,
        )
    except OSError as error:  # ssl.SSLError is one
        dialogue = hall.dialogues.begin(peer, hall.now_us())
        dialogue.blame(no_handshake(error))
        hall.dialogues.end(dialogue, hall.now_us())


def _is_full(hall: Hall) -> bool:
    return hall.is_closing or len(hall.conversations) >= limits.MAX_CONNECTIONS


async def close(hall: Hall, *, grace_seconds: float) -> None:
    """End every conversation.

    Conversations whose mail is being stored get their answer first, within `grace_seconds`.
    """
    hall.is_closing = True
    storing = [each.task() for each in hall.conversations if each.is_storing]
    for conversation in list(hall.conversations):
        if not conversation.is_storing:
            conversation.say_goodbye()
    if storing:
        await asyncio.wait(storing, timeout=grace_seconds)
    tasks = [each.abort() for each in list(hall.conversations)]
    await asyncio.gather(*tasks, return_exceptions=True)


class _Busy(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports inherit from no class of asyncio
        writing = cast(asyncio.WriteTransport, transport)
        writing.write(b"421 4.3.2 Too many connections, try again later\r\n")
        writing.close()


@contextmanager
def quiet_library() -> Iterator[None]:
    """Silence aiosmtpd's own log while the server runs, because this log contains every command with its addresses."""
    library = logging.getLogger("mail.log")
    before = library.level
    library.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        library.setLevel(before)
