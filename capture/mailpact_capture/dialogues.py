"""What was said in a conversation, kept if the server refused something or the conversation broke off.

Everything is bounded: the characters of a line, the lines of a conversation, the conversations kept (the oldest go).
The content of a mail and what a client says to log in are never part of a dialogue. Lines are kept as they came and
made readable when somebody reads them, for nearly all dialogues are thrown away.
"""

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from mailpact_capture.envelope import namespaces

KEPT_DIALOGUES: Final = 200
MAX_CHARACTERS: Final = 300  # of a line
_MAX_BYTES: Final = 4 * MAX_CHARACTERS  # a character has at most four in UTF-8
FIRST_LINES: Final = 60
LAST_LINES: Final = 40
CLIENT: Final = "C"
SERVER: Final = "S"

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


@dataclass(slots=True)
class Dialogue:
    """One conversation. `reason` is empty as long as nothing was refused and nothing broke off.

    `began_us` and `ended_us` are UTC in microseconds. `recipients` are those that the client named, refused ones too.
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
        """Append a line; what has no place is left out in the middle and counted."""
        line = who, text[:_MAX_BYTES]
        if len(self._first) < FIRST_LINES:
            self._first.append(line)
            return
        self.omitted += len(self._last) == LAST_LINES
        self._last.append(line)

    def last(self, who: str) -> str:
        """Return the last line that somebody said; empty if there is none."""
        said = (*self._first, *self._last)
        return next((shown(text) for speaker, text in reversed(said) if speaker == who), "")

    def blame(self, reason: str) -> None:
        """Keep the first reason why this dialogue is worth to be kept."""
        self.reason = self.reason or reason[:MAX_CHARACTERS]

    def lines(self) -> Iterator[tuple[str, str]]:
        """Yield who said what, in order."""
        for who, text in self._first:
            yield who, shown(text)
        if self.omitted:
            yield "", f"({self.omitted} lines are left out)"
        for who, text in self._last:
            yield who, shown(text)


def shown(line: bytes) -> str:
    """Return a line as people can read it: control characters and bytes that are not UTF-8 are written as escapes."""
    text = line.decode("utf-8", "backslashreplace")
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)[:MAX_CHARACTERS]


class Dialogues:
    """The dialogues that were refused or broken off, the newest last."""

    def __init__(self) -> None:
        self.count = 0
        self._begun = 0
        self._kept: deque[Dialogue] = deque(maxlen=KEPT_DIALOGUES)

    def begin(self, peer: str, began_us: int) -> Dialogue:
        """Return a new dialogue."""
        self._begun += 1
        return Dialogue(self._begun, peer, began_us)

    def end(self, dialogue: Dialogue, ended_us: int) -> None:
        """Keep the dialogue if there is a reason."""
        if dialogue.reason:
            dialogue.ended_us = ended_us
            self.count += 1
            self._kept.append(dialogue)

    def newest(self, namespace: str | None = None) -> list[Dialogue]:
        """Return those that are kept, the newest first; of a namespace those whose recipients name it."""
        return [
            each
            for each in reversed(self._kept)
            if namespace is None or namespace in namespaces(each.recipients)
        ]

    def clear(self, dialogues: list[Dialogue]) -> None:
        """Forget these dialogues."""
        gone = {dialogue.number for dialogue in dialogues}
        self._kept = deque((each for each in self._kept if each.number not in gone), maxlen=KEPT_DIALOGUES)
