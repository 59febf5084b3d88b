"""The parts of a mail as positions in its bytes. A part's content is copied and decoded only when it is needed.

Part numbers are Mailpit's: `1`, `2.1`. A mail within the mail (message/rfc822) is one part, which holds the inner
mail's bytes unchanged.
"""

import binascii
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from mailpact_capture.headers import Fields, decode_base64, decode_uu, first, parameters, split_fields

MAX_PARTS: Final = 1000
MAX_DEPTH: Final = 30
MAX_HEADER_BYTES: Final = 256 * 1024  # the longest header of one part
MAX_HEADERS_BYTES: Final = 1024 * 1024  # of all headers of a mail together
MAX_HEADER_LINES: Final = 100_000
LINE_FEED: Final = ord(b"\n")
MAX_FIELD_BYTES: Final = 64 * 1024  # of one field, if the header is larger than MAX_HEADER_BYTES

_EMPTY_LINE: Final = re.compile(rb"\r*\n")
_HEADER_END: Final = re.compile(rb"\n\r*\n")
_CONTENT_TYPE: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9a-z]+/[!#$%&'*+\-.^_`|~0-9a-z]+(?=[\s(]|\Z)")
_BOUNDARY_LINE: Final = re.compile(rb"^--(\S[^\r\n]{0,69}?)[ \t\r]*$", re.MULTILINE)
_AFTER_BOUNDARY: Final = re.compile(rb"(--)?[ \t\r]*$", re.MULTILINE)
# RFC 2045, 6.7: blanks at the end of a line are not part of the text
_BLANKS_AT_LINE_END: Final = re.compile(rb"(?<![ \t])[ \t]+(?=\r?\n|\Z)")
_NOT_A_LETTER: Final = re.compile(r"[^a-z0-9]")


@dataclass(slots=True)
class Part:
    """One part: its header fields, and the position of its body in the mail."""

    part_id: str
    fields: Fields
    content_type: str
    parameters: Mapping[str, str]
    disposition: str
    disposition_parameters: Mapping[str, str]
    start: int
    end: int
    children: list["Part"] = field(default_factory=list)

    def file_name(self) -> str:
        """Return the name that the sender gave to the part's file; empty if there is none."""
        name = self.disposition_parameters.get("filename") or self.parameters.get("name", "")
        return " ".join(name.split())

    def content_id(self) -> str:
        """Return the Content-ID without its brackets."""
        return first(self.fields, "content-id").strip().strip("<>")

    def content(self, raw: bytes, limit: int | None = None) -> bytes:
        """Return the part's decoded content. `limit` is the approximate number of bytes that are decoded."""
        written = re.split(r"[;(]", first(self.fields, "content-transfer-encoding").lower(), maxsplit=1)[0]
        encoding = _NOT_A_LETTER.sub("", written)
        if self.content_type.startswith("message/") and encoding != "base64":
            encoding = ""
        end = self.end if limit is None else min(self.end, self.start + limit * 3)
        if encoding == "base64":
            return decode_base64(raw[self.start : end])
        if encoding == "quotedprintable":
            return binascii.a2b_qp(_BLANKS_AT_LINE_END.sub(b"", raw[self.start : end]))
        if encoding in ("xuuencode", "uuencode", "xuue", "uue"):
            return decode_uu(raw[self.start : end])
        return raw[self.start : end]

    def leaves(self) -> Iterator["Part"]:
        """Yield the parts that hold content, in their order."""
        if self.content_type.startswith("multipart/") and (self.children or self.start == self.end):
            for child in self.children:
                yield from child.leaves()
        else:
            yield self

    def tree(self) -> Iterator[tuple[int, "Part"]]:
        """Yield each part with its depth, also the multipart containers."""
        yield 0, self
        for child in self.children:
            yield from ((depth + 1, part) for depth, part in child.tree())


class Reader:
    """Parses the parts of one mail. `defect` says what was not parsed."""

    def __init__(self, raw: bytes) -> None:
        self.defect = ""
        self._raw = raw
        self._count = 0
        self._room = MAX_HEADERS_BYTES

    def read(self) -> Part:
        """Return the mail's outermost part."""
        fields, body = self._header(0, len(self._raw))
        return self._part("", fields, body, len(self._raw), 0, "text/plain")

    def _header(self, start: int, end: int) -> tuple[Fields, int]:
        """Return the fields of a header that begins at `start`, and where its body begins."""
        room = min(MAX_HEADER_BYTES, self._room)
        head, body, is_whole = read_header(self._raw, start, end, room)
        self._room -= len(head)
        if not is_whole:
            self.defect = self.defect or f"a header over {room // 1024} KiB"
        fields = split_fields(head)
        if not fields and head.strip():
            body = start  # there is no header: all bytes are content
        return fields, body

    def _part(self, part_id: str, fields: Fields, start: int, end: int, depth: int, default: str) -> Part:
        main, given = parameters(first(fields, "content-type"))
        disposition, disposition_parameters = parameters(first(fields, "content-disposition"))
        written = _CONTENT_TYPE.match(main)
        main = written[0] if written else "text/plain" if main else default
        part = Part(part_id, fields, main, given, disposition, disposition_parameters, start, end)
        if main.startswith("multipart/"):
            if depth < MAX_DEPTH:
                self._read_children(part, depth)
            else:
                self.defect = self.defect or f"parts within parts, over {MAX_DEPTH} levels"
        if not part.part_id and not part.content_type.startswith("multipart/"):
            part.part_id = "1"
        return part

    def _read_children(self, part: Part, depth: int) -> None:
        given = part.parameters.get("boundary", "").encode("utf-8", "replace")
        spans = None
        for boundary in dict.fromkeys(
            (given, given.rstrip())
        ):  # blanks at its end are not allowed (RFC 2046, 5.1.1)
            if boundary and spans is None:
                spans = self._spans(boundary, part.start, part.end)
        if spans is None and (guessed := self._guessed_boundary(part)):
            spans = self._spans(guessed, part.start, part.end)
        if spans is None:
            part.content_type = "text/plain"  # no boundary was found, so the body is shown as text
            return
        if not spans:
            part.end = part.start
        default = "message/rfc822" if part.content_type == "multipart/digest" else "text/plain"
        for number, (start, end) in enumerate(spans, start=1):
            if self._count == MAX_PARTS or self._room <= 0:
                self.defect = self.defect or f"more than {MAX_PARTS} parts"
                return
            self._count += 1
            fields, body = self._header(start, end)
            part_id = f"{part.part_id}.{number}" if part.part_id else str(number)
            part.children.append(self._part(part_id, fields, body, end, depth + 1, default))

    def _guessed_boundary(self, part: Part) -> bytes | None:
        match = _BOUNDARY_LINE.search(self._raw, part.start, min(part.end, part.start + MAX_HEADER_BYTES))
        return match[1] if match else None

    def _spans(self, boundary: bytes, start: int, end: int) -> list[tuple[int, int]] | None:
        """Return the positions of the parts between the boundary lines; None if there is no boundary line."""
        spans: list[tuple[int, int]] = []
        began = -1
        for line, after in self._lines_that_begin(b"--" + boundary, start, end):
            match = _AFTER_BOUNDARY.match(self._raw, after, end)
            if match is None:
                continue
            if began >= 0:
                spans.append((began, max(began, self._before_line_end(line))))
            if match[1] or len(spans) > MAX_PARTS:
                return spans
            began = min(end, match.end() + 1)
        if began < 0:
            return None
        return [*spans, (began, end)] if began < end else spans

    def _lines_that_begin(self, words: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield where each line that begins with these words starts, and the position behind the words.

        To compile a regular expression for each boundary would take longer than the search.
        """
        at = self._raw.find(words, start, end)
        while at >= 0:
            after = at + len(words)
            if at == 0 or self._raw[at - 1] == LINE_FEED:
                yield at, after
            at = self._raw.find(words, after, end)

    def _before_line_end(self, at: int) -> int:
        return at - 2 if self._raw[at - 2 : at] == b"\r\n" else at - 1


def read_header(raw: bytes, start: int, end: int, room: int = MAX_HEADER_BYTES) -> tuple[bytes, int, bool]:
    """Return a header, the position of the body, and whether the header is complete.

    If the header is longer than `room` bytes, only the beginnings of as many fields are returned as fit.
    """
    if empty := _EMPTY_LINE.match(raw, start, end):
        return b"", empty.end(), True
    found = _HEADER_END.search(raw, start, end)
    head_end, body = (found.start() + 1, found.end()) if found else (end, end)
    if head_end - start <= room:
        return raw[start:head_end], body, True
    return b"".join(_beginnings(raw, start, head_end, room)), body, False


def _beginnings(raw: bytes, start: int, end: int, room: int) -> Iterator[bytes]:
    in_field = 0
    for _ in range(MAX_HEADER_LINES):
        line_end = raw.find(b"\n", start, end) + 1 or end
        if raw[start : start + 1] not in (b" ", b"\t"):
            in_field = 0
        line = raw[start : min(line_end, start + MAX_FIELD_BYTES - in_field)]
        if start == end or len(line) > room:
            return
        if line:
            yield line if line.endswith(b"\n") else line + b"\n"
        in_field, room, start = in_field + len(line), room - len(line), line_end
