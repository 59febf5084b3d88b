r"""Reads a regular expression as ECMA-262 has it, with the flag `u`, into a tree.

Only what is regular and means the same in every engine is read: literals, classes, groups, alternatives, repetitions,
`^`, `$`, and the escapes for characters. `\d`, `\w`, `\s` and `.` have ECMA-262's meaning; engines differ about the
dot, so whoever asks says what it leaves out. All else (look-around, back-references, `\b`, `\p`, flags) raises
UnreadPattern, and nothing is concluded from such a pattern.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from mailpact_contract_tool.code_points import complement, union

Ranges: TypeAlias = tuple[tuple[int, int], ...]
"""Code points as inclusive ranges, sorted, disjoint, without the surrogates, which are no characters."""

DOT_OF_ECMA = "\n\r\u2028\u2029"
DOT_OF_OTHERS = "\n"

_DEEPEST = 40
_GREATEST_REPEAT = 100_000
_SPACES = "\t\n\v\f\r \u00a0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff" + "".join(
    map(chr, range(0x2000, 0x200B))
)
_CONTROLS = {"t": 9, "n": 10, "v": 11, "f": 12, "r": 13}
_COUNTS = re.compile(r"\{(?P<least>[0-9]{1,6})(?P<comma>,(?P<most>[0-9]{1,6})?)?\}")


class UnreadPattern(Exception):
    """A pattern uses what is not regular, what engines understand differently, or more than fits."""


@dataclass(frozen=True, slots=True)
class Chars:
    """One character out of these."""

    ranges: Ranges


@dataclass(frozen=True, slots=True)
class Sequence:
    """One part after the other."""

    parts: tuple["Tree", ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One of these."""

    options: tuple["Tree", ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """The part so many times; `most` None is without end."""

    part: "Tree"
    least: int
    most: int | None


@dataclass(frozen=True, slots=True)
class Edge:
    """The begin of the text, or its end."""

    at_end: bool


Tree: TypeAlias = Chars | Sequence | Choice | Repeat | Edge


def parse(text: str, *, dot_leaves_out: str = DOT_OF_ECMA) -> Tree:
    """Read a pattern; raises UnreadPattern."""
    return _Reader(text, dot_leaves_out).whole()


def literals(texts: Iterable[str]) -> Tree:
    """Return the tree that matches exactly these texts, as wholes."""
    options = tuple(Sequence(tuple(_one(ord(character)) for character in text)) for text in texts)
    return Sequence((Edge(at_end=False), Choice(options), Edge(at_end=True)))


def _one(code: int) -> Chars:
    return Chars(((code, code),))


def _union(ranges: Iterable[tuple[int, int]]) -> Ranges:
    return _without_surrogates(union(ranges))


def _without_surrogates(ranges: Iterable[tuple[int, int]]) -> Ranges:
    parts = [part for low, high in ranges for part in ((low, min(high, 0xD7FF)), (max(low, 0xE000), high))]
    return tuple((low, high) for low, high in parts if low <= high)


def _complement(ranges: Ranges) -> Ranges:
    return _without_surrogates(complement(ranges))


def _characters(text: str) -> Ranges:
    return _union((ord(character), ord(character)) for character in text)


_DIGITS: Ranges = ((0x30, 0x39),)
_WORD: Ranges = ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))


def _class_escape(letter: str) -> Ranges | None:
    match letter:
        case "d":
            return _DIGITS
        case "w":
            return _WORD
        case "s":
            return _characters(_SPACES)
        case "D" | "W" | "S":
            return _complement(_class_escape(letter.lower()) or ())
        case _:
            return None


class _Reader:
    """Reads by recursive descent; `_at` is the index of the next character."""

    def __init__(self, text: str, dot_leaves_out: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0
        self._dot = _complement(_characters(dot_leaves_out))

    def whole(self) -> Tree:
        tree = self._choice()
        if self._at < len(self._text):
            raise UnreadPattern("has a closing parenthesis too many")
        return tree

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self) -> str:
        character = self._peek()
        if not character:
            raise UnreadPattern("ends too early")
        self._at += 1
        return character

    def _skip(self, token: str) -> bool:
        if self._text.startswith(token, self._at):
            self._at += len(token)
            return True
        return False

    def _choice(self) -> Tree:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise UnreadPattern(f"has groups nested deeper than {_DEEPEST}")
        options = [self._sequence()]
        while self._skip("|"):
            options.append(self._sequence())
        self._depth -= 1
        return options[0] if len(options) == 1 else Choice(tuple(options))

    def _sequence(self) -> Tree:
        parts = []
        while self._peek() not in ("", "|", ")"):
            parts.append(self._repeated(self._atom()))
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def _atom(self) -> Tree:
        match character := self._take():
            case "^" | "$":
                return Edge(at_end=character == "$")
            case "(":
                return self._group()
            case "[":
                return self._class()
            case ".":
                return Chars(self._dot)
            case "\\":
                return Chars(self._escape())
            case "*" | "+" | "?" | "{":
                raise UnreadPattern(f"repeats nothing with {character}")
            case _:
                return _one(self._code(character))

    def _code(self, character: str) -> int:
        code = ord(character)
        if 0xD800 <= code <= 0xDFFF:
            raise UnreadPattern("holds half of a surrogate pair")
        return code

    def _group(self) -> Tree:
        if not self._skip("?:") and self._peek() == "?":
            raise UnreadPattern(f"uses ({self._text[self._at : self._at + 2]}")
        tree = self._choice()
        if not self._skip(")"):
            raise UnreadPattern("has a group that does not end")
        return tree

    def _repeated(self, atom: Tree) -> Tree:
        counts = self._counts()
        if counts is None:
            return atom
        if isinstance(atom, Edge):
            raise UnreadPattern("repeats an anchor")
        self._skip("?")  # a lazy repetition matches the same texts
        if self._peek() in ("*", "+", "?", "{"):
            raise UnreadPattern("repeats a repetition")
        return Repeat(atom, *counts)

    def _counts(self) -> tuple[int, int | None] | None:
        for token, counts in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._skip(token):
                return counts
        found = _COUNTS.match(self._text, self._at)
        if found is None:
            return None
        self._at = found.end()
        least = int(found["least"])
        most = least if not found["comma"] else int(found["most"]) if found["most"] else None
        if max(least, most or 0) > _GREATEST_REPEAT or (most is not None and most < least):
            raise UnreadPattern(f"repeats with {found[0]}")
        return least, most

    def _escape(self) -> Ranges:
        letter = self._take()
        ranges = _class_escape(letter)
        if ranges is not None:
            return ranges
        code = self._escaped_code(letter)
        return ((code, code),)

    def _escaped_code(self, letter: str) -> int:
        if letter in _CONTROLS:
            return _CONTROLS[letter]
        if letter in ("x", "u"):
            digits = self._text[self._at : self._at + (2 if letter == "x" else 4)]
            if re.fullmatch(r"(?:[0-9A-Fa-f]{2}){1,2}", digits) and len(digits) == (
                2 if letter == "x" else 4
            ):
                self._at += len(digits)
                return self._code(chr(int(digits, 16)))
        if letter.isalnum() or not letter.isascii():
            raise UnreadPattern(f"uses \\{letter}")
        return ord(letter)

    def _class(self) -> Tree:
        negated = self._skip("^")
        ranges: list[tuple[int, int]] = []
        if self._peek() == "]":
            raise UnreadPattern("has an empty class")
        while not self._skip("]"):
            ranges += self._class_item()
        found = _union(ranges)
        return Chars(_complement(found) if negated else found)

    def _class_item(self) -> Ranges:
        low = self._class_member()
        if self._peek() != "-" or self._text[self._at + 1 : self._at + 2] in ("]", ""):
            return low
        self._at += 1
        high = self._class_member()
        ends = low[0][0], high[-1][1]
        single = all(len(end) == 1 and end[0][0] == end[0][1] for end in (low, high))
        if not single or ends[0] > ends[1]:
            raise UnreadPattern("has a range that is none")
        return (ends,)

    def _class_member(self) -> Ranges:
        character = self._take()
        if character == "\\":
            return self._escape()
        doubled = character in "&|~-" and self._peek() == character
        if character == "[" or doubled:
            raise UnreadPattern(f"has an unescaped {character} in a class, which engines read differently")
        return _one(self._code(character)).ranges
