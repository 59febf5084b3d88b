r"""Reads a regular expression of ECMA-262 with the flag `u` into a tree, and notes what is not portable.

The reader supports regular constructs: literals, classes, groups, alternatives, repetitions, `^`, `$`, and escaped
characters. `\d`, `\w`, `\s` and `.` have the meaning of ECMA-262. Engines differ about the dot, so the caller says
which characters the dot excludes. Other constructs (look-around, back-references, `\b`, `\p`, flags) raise
UnreadPattern. The portable part, which every JSON Schema engine reads in the same way, is smaller:

    pattern      = ["^"] alternatives ["$"]          with an anchor, alternatives stand in a group
    alternatives = sequence *("|" sequence)
    sequence     = 1*(item [quantifier])
    quantifier   = "*" / "+" / "?" / "{" m "}" / "{" m ",}" / "{" m "," n "}"      at most 1000
    item         = literal / class / "(" alternatives ")" / "(?:" alternatives ")"
    class        = "[" ["^"] 1*(member ["-" member]) "]"
    literal      = a character without a meaning, no control character / "\x" HH / "\" and a character with a meaning

The characters that may be escaped are those that JavaScript allows with the flag `u`. Go allows at most 1000
repetitions.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Never

from mailpact_contract_tool.patterns.code_points import complement, union
from mailpact_contract_tool.patterns.tree import Characters, Choice, Edge, Ranges, Repeat, Sequence, Tree, one

DOT_OF_ECMA = "\n\r\u2028\u2029"
DOT_OF_OTHERS = "\n"
MOST_REPEATS = 1000
DEEPEST_GROUP = 20

_DEEPEST = 40
_GREATEST_REPEAT = 100_000
_SPACES = "\t\n\v\f\r \u00a0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff" + "".join(
    map(chr, range(0x2000, 0x200B))
)
_CONTROLS = {"t": 9, "n": 10, "v": 11, "f": 12, "r": 13}
_SYNTAX = frozenset("^$\\.*+?()[]{}|/")
_DOUBLES = ("&&", "--", "~~", "||")  # inside a class, Rust and Java read these as set operations
_BARE = {
    ".": "`.` leaves out other line ends in each language; write a class such as [^\\x0a\\x0d]",
    "^": "`^` is allowed only at the very beginning",
    "$": "`$` is allowed only at the very end",
    "*": "a quantifier needs something before it",
    "+": "a quantifier needs something before it",
    "?": "a quantifier needs something before it",
    "{": "write \\{ for the character",
    "}": "write \\} for the character",
    "]": "write \\] for the character",
}


class UnreadPattern(Exception):
    """A pattern is not regular, means different things to different engines, or is too large.

    `remark` is the first thing in the pattern that is not portable.
    """

    def __init__(self, fault: str, remark: str = "") -> None:
        super().__init__(fault)
        self.remark = remark or fault


@dataclass(frozen=True, slots=True)
class Reading:
    """A pattern's tree, and the first thing in it that is not portable, or None."""

    tree: Tree
    remark: str | None


def read(text: str, *, dot_leaves_out: str = DOT_OF_ECMA) -> Reading:
    """Return the tree of a pattern and what is not portable; raise UnreadPattern."""
    return _Reader(text, dot_leaves_out).whole()


def parse(text: str, *, dot_leaves_out: str = DOT_OF_ECMA) -> Tree:
    """Return the tree of a pattern; raise UnreadPattern."""
    return read(text, dot_leaves_out=dot_leaves_out).tree


def _without_surrogates(ranges: Iterable[tuple[int, int]]) -> Ranges:
    parts = [part for low, high in ranges for part in ((low, min(high, 0xD7FF)), (max(low, 0xE000), high))]
    return tuple((low, high) for low, high in parts if low <= high)


def _complement(ranges: Ranges) -> Ranges:
    return _without_surrogates(complement(ranges))


def _characters(text: str) -> Ranges:
    return union((ord(character), ord(character)) for character in text)


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


def _has_edge(branch: Tree) -> bool:
    parts = branch.parts if isinstance(branch, Sequence) else (branch,)
    return any(isinstance(part, Edge) for part in parts)


class _Reader:
    """Reads by recursive descent; `_at` is the index of the next character."""

    def __init__(self, text: str, dot_leaves_out: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0
        self._dot = _complement(_characters(dot_leaves_out))
        self._remark: str | None = None

    def whole(self) -> Reading:
        tree = self._choice()
        if self._at < len(self._text):
            self._refuse("`)` has no opening `(`", self._at)
        if isinstance(tree, Choice) and any(_has_edge(branch) for branch in tree.branches):
            self._note("an anchor holds for one alternative only; write ^(?:...|...)$", 0)
        return Reading(tree, self._remark)

    def _note(self, fault: str, position: int) -> None:
        """Remember the first thing that is not portable."""
        self._remark = self._remark or f"{fault} (character {position + 1})"

    def _refuse(self, fault: str, position: int) -> Never:
        self._note(fault, position)
        raise UnreadPattern(f"{fault} (character {position + 1})", self._remark or "")

    def _next(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self) -> str:
        character = self._next()
        if not character:
            self._refuse("the pattern ends too early", self._at)
        self._at += 1
        return character

    def _skip(self, token: str) -> bool:
        if self._text.startswith(token, self._at):
            self._at += len(token)
            return True
        return False

    def _choice(self) -> Tree:
        branches = [self._sequence()]
        while self._skip("|"):
            branches.append(self._sequence())
        return branches[0] if len(branches) == 1 else Choice(tuple(branches))

    def _sequence(self) -> Tree:
        parts: list[Tree] = []
        while self._next() not in ("", "|", ")"):
            parts.append(self._repeated(self._item()))
        if all(isinstance(part, Edge) for part in parts):
            self._note("there is nothing here; use ? for an optional part", self._at)
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def _item(self) -> Tree:
        begin = self._at
        match character := self._take():
            case "^" | "$":
                at_end = character == "$"
                if self._depth or begin != (len(self._text) - 1 if at_end else 0):
                    self._note(_BARE[character], begin)
                return Edge(at_end=at_end)
            case "(":
                return self._group(begin)
            case "[":
                return self._class(begin)
            case ".":
                self._note(_BARE["."], begin)
                return Characters(self._dot)
            case "\\":
                return Characters(self._escape(_SYNTAX))
            case "*" | "+" | "?" | "{":
                self._refuse(_BARE[character], begin)
            case "}" | "]":
                self._note(_BARE[character], begin)
            case _:
                pass
        return one(self._code(character))

    def _code(self, character: str) -> int:
        code = ord(character)
        if 0xD800 <= code <= 0xDFFF:
            self._refuse("there is half of a surrogate pair here", self._at - 1)
        if code < 0x20 or 0x7F <= code < 0xA0:
            self._note("there is a control character here; write \\xHH", self._at - 1)
        return code

    def _group(self, begin: int) -> Tree:
        if self._next() == "?" and not self._skip("?:"):
            self._refuse(
                "look-around, named groups and flags are not portable; only (...) and (?:...) are", self._at
            )
        self._depth += 1
        if self._depth > DEEPEST_GROUP:
            self._note(f"groups are nested deeper than {DEEPEST_GROUP}", begin)
        if self._depth > _DEEPEST:
            self._refuse(f"groups are nested deeper than {_DEEPEST}", begin)
        tree = self._choice()
        self._depth -= 1
        if not self._skip(")"):
            self._refuse("`(` is not closed", begin)
        return tree

    def _repeated(self, item: Tree) -> Tree:
        begin = self._at
        counts = self._counts()
        if counts is None:
            return item
        if isinstance(item, Edge):
            self._refuse(_BARE["*"], begin)
        if self._next() in ("*", "+", "?", "{"):
            self._note("a quantifier after a quantifier (lazy, possessive) is not portable", self._at)
            if not self._skip("?") or self._next() in (
                "*",
                "+",
                "?",
                "{",
            ):  # a lazy quantifier matches the same texts
                self._refuse("a repetition is repeated", self._at)
        return Repeat(item, *counts)

    def _counts(self) -> tuple[int, int | None] | None:
        for token, counts in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._skip(token):
                return counts
        begin = self._at
        if not self._skip("{"):
            return None
        least = self._number()
        most: int | None = least
        if self._skip(","):
            most = None if self._next() == "}" else self._number()
        if not self._skip("}"):
            self._refuse("write {m}, {m,} or {m,n}", self._at)
        if most is not None and most < max(least, 1):
            self._note("the second number is smaller than the first, or zero", begin)
            if most < least:
                self._refuse("the second number is smaller than the first", begin)
        return least, most

    def _number(self) -> int:
        begin = self._at
        while self._next() != "" and self._next() in "0123456789":
            self._at += 1
        digits = self._text[begin : self._at]
        if not 1 <= len(digits) <= 6 or int(digits) > _GREATEST_REPEAT:
            self._refuse(f"a number from 0 to {MOST_REPEATS} is expected", begin)
        if int(digits) > MOST_REPEATS:
            self._note(f"a number from 0 to {MOST_REPEATS} is expected", begin)
        return int(digits)

    def _class(self, begin: int) -> Characters:
        excluded = self._skip("^")
        ranges: list[tuple[int, int]] = []
        first = self._at
        if self._next() == "]":
            self._refuse("a class holds at least one character; write \\] for the bracket itself", first)
        while not self._skip("]"):
            if self._next() == "":
                self._refuse("`[` is not closed", begin)
            ranges += self._range(first)
        found = _without_surrogates(union(ranges))
        return Characters(_complement(found) if excluded else found)

    def _range(self, first: int) -> Ranges:
        begin = self._at
        low = self._member(first)
        if self._next() != "-" or self._text[self._at + 1 : self._at + 2] in ("]", ""):
            return low
        self._at += 1
        high = self._member(None)
        ends = low[0][0], high[-1][1]
        single = all(len(end) == 1 and end[0][0] == end[0][1] for end in (low, high))
        if not single or ends[0] > ends[1]:
            self._refuse("a range runs backwards, or has no single character at its ends", begin)
        return (ends,)

    def _member(self, first: int | None) -> Ranges:
        """Read one character of a class; a bare hyphen is portable only at either end of the class."""
        begin = self._at
        if (double := self._text[begin : begin + 2]) in _DOUBLES:
            self._refuse(f"{double} inside a class is a set operation to some engines", begin)
        character = self._take()
        if character == "\\":
            return self._escape(_SYNTAX | {"-"})
        if character == "[":
            self._refuse("`[` inside a class nests classes to some engines; write \\[", begin)
        if character == "-" and begin != first and self._next() != "]":
            self._note("a hyphen must be first or last in its class, or be written \\-", begin)
        return one(self._code(character)).ranges

    def _escape(self, portable: frozenset[str]) -> Ranges:
        begin = self._at - 1
        letter = self._take()
        if letter in "xu":
            return self._hexadecimal(begin, 2 if letter == "x" else 4)
        if letter not in portable:
            self._note(f"\\{letter} is not read alike by all engines", begin)
        ranges = _class_escape(letter)
        if ranges is not None:
            return ranges
        if letter not in _CONTROLS and (letter.isalnum() or not letter.isascii()):
            self._refuse(f"\\{letter} is not read alike by all engines", begin)
        code = _CONTROLS.get(letter, ord(letter))
        return ((code, code),)

    def _hexadecimal(self, begin: int, length: int) -> Ranges:
        digits = self._text[self._at : self._at + length]
        if length == 4:
            self._note("\\u is not read alike by all engines", begin)
        if len(digits) != length or any(digit not in "0123456789abcdefABCDEF" for digit in digits):
            self._refuse(f"\\{self._text[begin + 1]} is followed by {length} hexadecimal digits", begin)
        self._at += length
        code = int(digits, 16)
        if 0xD800 <= code <= 0xDFFF:
            self._refuse("there is half of a surrogate pair here", begin)
        return ((code, code),)
