"""The dialogue of an SMTP session, kept if the server refused something or the connection broke.

Everything is bounded: the characters of one line, the lines of a dialogue, and the number of dialogues (the oldest
are deleted). The content of a mail and what a client sends to log in are never part of a dialogue. Lines are stored
as received, and are made readable only when somebody reads them, because nearly all dialogues are discarded.
"""

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from mailpact_capture.envelope import namespaces

KEPT_DIALOGUES: Final = 200
MAX_CHARACTERS: Final = 300  # of one line
_MAX_BYTES: Final = 4 * MAX_CHARACTERS  # a character takes at most four bytes in UTF-8
FIRST_LINES: Final = 60
LAST_LINES: Final = 40
CLIENT: Final = "C"
SERVER: Final = "S"

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


@dataclass(slots=True)
class Dialogue:
    """The dialogue of one SMTP session. `reason` is empty as long as the session has no failure.

    `began_us` and `ended_us` are UTC in microseconds. `recipients` are all that the client named, also those that the
    server refused.
    """

    number: int
    peer: str
    began_us: int
    ended_us: int = 0
    reason: str = ""
    helo: str = ""
    username: str = ""
    mail_from: str = ""
    recipients: list[str] = field(default_factory=list)
    is_encrypted: bool = False
    omitted: int = 0
    _first: list[tuple[str, bytes]] = field(default_factory=list)
    _last: deque[tuple[str, bytes]] = field(default_factory=lambda: deque(maxlen=LAST_LINES))

    def add(self, who: str, text: bytes) -> None:
        """Append a line. If the dialogue is full, lines in the middle are left out and counted."""
        line = who, text[:_MAX_BYTES]
        if len(self._first) < FIRST_LINES:
            self._first.append(line)
            return
        self.omitted += len(self._last) == LAST_LINES
        self._last.append(line)

    def last(self, who: str) -> str:
        """Return the last line that `who` sent; empty if there is none."""
        said = (*self._first, *self._last)
        return next((shown(text) for speaker, text in reversed(said) if speaker == who), "")

    def blame(self, reason: str) -> None:
        """Set the reason why this dialogue is kept. Only the first reason counts."""
        self.reason = self.reason or reason[:MAX_CHARACTERS]

    def lines(self) -> Iterator[tuple[str, str]]:
        """Yield each speaker and line, in order."""
        for who, text in self._first:
            yield who, shown(text)
        if self.omitted:
            yield "", f"({self.omitted} lines are left out)"
        for who, text in self._last:
            yield who, shown(text)


def shown(line: bytes) -> str:
    """Return a readable line: control characters and bytes that are not UTF-8 are written as escapes."""
    text = line.decode("utf-8", "backslashreplace")
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)[:MAX_CHARACTERS]


class Dialogues:
    """The dialogues of sessions that failed, the newest last."""

    def __init__(self) -> None:
        self.count = 0
        self._begun = 0
        self._kept: deque[Dialogue] = deque(maxlen=KEPT_DIALOGUES)

    def begin(self, peer: str, began_us: int) -> Dialogue:
        """Return a new dialogue."""
        self._begun += 1
        return Dialogue(self._begun, peer, began_us)

    def end(self, dialogue: Dialogue, ended_us: int) -> None:
        """End a dialogue; keep the dialogue if it has a reason."""
        if dialogue.reason:
            dialogue.ended_us = ended_us
            self.count += 1
            self._kept.append(dialogue)

    def newest(self, namespace: str | None = None) -> list[Dialogue]:
        """Return the dialogues that are kept, newest first.

        For a namespace, only those with a recipient in the namespace.
        """
        return [
            each
            for each in reversed(self._kept)
            if namespace is None or namespace in namespaces(each.recipients)
        ]

    def clear(self, dialogues: list[Dialogue]) -> None:
        """Delete these dialogues."""
        gone = {dialogue.number for dialogue in dialogues}
        self._kept = deque((each for each in self._kept if each.number not in gone), maxlen=KEPT_DIALOGUES)
