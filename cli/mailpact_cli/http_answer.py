"""Reads the answer of an HTTP server, up to a limit: a command must not fill its memory for a strange server."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import aiohttp


async def read_body(answer: "aiohttp.ClientResponse", *, most_bytes: int) -> bytes:
    """Return the whole body of an answer. Raises ValueError if the body is longer than `most_bytes`."""
    body = bytearray()
    async for chunk in answer.content.iter_any():
        body += chunk
        if len(body) > most_bytes:
            raise ValueError(f"the answer is longer than {most_bytes} bytes")
    return bytes(body)
