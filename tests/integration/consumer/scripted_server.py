"""A mail server that answers each command from a list, byte for byte, and with success after the end of the list."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

ENDS: dict[str, bytes] = {
    "MAIL": b"250 ok\r\n",
    "RCPT": b"250 ok\r\n",
    "DATA": b"354 go\r\n",
    ".": b"250 ok\r\n",
}
GREETING = b"220 mail.example\r\n"
SILENCE, HANG_UP = b"(silence)", b"(hang up)"


@dataclass
class Script:
    """A mail server that answers each command from a list, and then with success."""

    greeting: bytes = GREETING
    offers: Sequence[str] = ("PIPELINING",)
    answers: dict[str, list[bytes]] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)
    reads: list[bytes] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()
            for writer in self.writers:
                writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        first = self.answers.get("greeting")
        is_open = self._say(writer, first.pop(0) if first else self.greeting)
        in_data, buffer = False, b""
        while is_open and (data := await reader.read(65536)):
            self.reads.append(data)
            buffer += data
            while is_open and b"\r\n" in buffer:
                line, _, buffer = buffer.partition(b"\r\n")
                if in_data and line != b".":
                    continue
                in_data = False
                word = line.decode().partition(" ")[0]
                self.commands.append(line.decode())
                answer = self._answer(word)
                in_data = word == "DATA" and answer.startswith(b"354")
                is_open = self._say(writer, answer)

    def _answer(self, word: str) -> bytes:
        if self.answers.get(word):
            return self.answers[word].pop(0)
        if word == "EHLO":
            return (
                "".join(f"250-{offer}\r\n" for offer in ("mail.example", *self.offers)).encode()
                + b"250 HELP\r\n"
            )
        return ENDS.get(word, b"221 bye\r\n" if word == "QUIT" else b"250 ok\r\n")

    def _say(self, writer: asyncio.StreamWriter, answer: bytes) -> bool:
        if answer == SILENCE:
            return True
        if answer.endswith(HANG_UP):
            writer.write(answer.removesuffix(HANG_UP))
            writer.close()
            return False
        writer.write(answer)
        return True
