r"""The part of regular expressions that every JSON Schema engine reads alike, as a small grammar.

    pattern      = ["^"] alternatives ["$"]          with an anchor, alternatives stand in a group
    alternatives = sequence *("|" sequence)
    sequence     = 1*(item [quantifier])
    quantifier   = "*" / "+" / "?" / "{" m "}" / "{" m ",}" / "{" m "," n "}"      at most 1000, nested ones multiplied
    item         = literal / class / "(" alternatives ")" / "(?:" alternatives ")"
    class        = "[" ["^"] 1*(member ["-" member]) "]"
    literal      = a character without a meaning, no control character / "\x" HH / "\" and a character with a meaning

Everything else is refused, above all what engines read differently: `.` (which line ends?), `\d` and `\w` (whose
digits and letters?), `\b`, `\p`, `\u`, look-around, back-references, lazy and possessive quantifiers, flags. What may
be escaped is what JavaScript's `u` flag lets be escaped; 1000 is where Go stops.
"""

from dataclasses import dataclass
from typing import Never, TypeAlias

from mailpact_contract_tool.code_points import complement, union

LONGEST_PATTERN = 2000  # characters
MOST_REPEATS = 1000
DEEPEST_GROUP = 20

_SYNTAX = frozenset("^$\\.*+?()[]{}|/")
_DOUBLES = ("&&", "--", "~~", "||")  # set operations, to Rust and Java, inside a class
_NEVER_BARE = {
    ".": "`.` leaves out other line ends in each language; write a class such as [^\\x0a\\x0d]",
    "^": "`^` stands at the very beginning only",
    "$": "`$` stands at the very end only",
    "*": "a quantifier needs something before it",
    "+": "a quantifier needs something before it",
    "?": "a quantifier needs something before it",
    "{": "write \\{ for the character",
    "}": "write \\} for the character",
    "]": "write \\] for the character",
}


class PatternError(Exception):
    """The pattern is not of the portable part; says what and at which character, counted from 1."""

    def __init__(self, fault: str, position: int) -> None:
        super().__init__(f"{fault} (character {position + 1})")


@dataclass(frozen=True, slots=True)
class Characters:
    """One character out of these ranges of code points, both ends included, in order and apart from each other."""

    ranges: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Sequence:
    """One after the other."""

    parts: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One of them."""

    branches: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """`least` to `most` times; None is without end."""

    inner: "Node"
    least: int
    most: int | None


Node: TypeAlias = Characters | Sequence | Choice | Repeat


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern of the portable part."""

    root: Node
    starts: bool
    ends: bool


def parse_pattern(text: str) -> Pattern:
    """Read a pattern; raises PatternError, in time proportional to its length."""
    if len(text) > LONGEST_PATTERN:
        raise PatternError(f"a pattern has at most {LONGEST_PATTERN} characters", LONGEST_PATTERN)
    return _Reader(text).pattern()


def least_length(node: Node) -> int:
    """Return the length in code points of the shortest text that a part matches."""
    match node:
        case Characters():
            return 1
        case Sequence(parts):
            return sum(least_length(part) for part in parts)
        case Choice(branches):
            return min(least_length(branch) for branch in branches)
        case Repeat(inner, least):
            return least * least_length(inner)


def _repeats(node: Node) -> int:
    """Return how often the innermost part is written out, as Go counts it: nested bounds are multiplied."""
    match node:
        case Characters():
            return 1
        case Sequence(parts):
            return max(_repeats(part) for part in parts)
        case Choice(branches):
            return max(_repeats(branch) for branch in branches)
        case Repeat(inner, least, most):
            return _repeats(inner) * max(1, least, most or 0)


class _Reader:
    """Recursive descent over the grammar above, one character at a time."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0
        self._has_bare_choice = False

    def pattern(self) -> Pattern:
        starts = self._take("^")
        root = self._alternatives()
        ends = self._take("$")
        if self._has_bare_choice and (starts or ends):
            raise PatternError("an anchor holds for one alternative only; write ^(?:...|...)$", 0)
        if self._at < len(self._text):
            self._refuse("`)` closes nothing" if self._next() == ")" else self._bare_fault())
        if _repeats(root) > MOST_REPEATS:
            raise PatternError(f"something is repeated more than {MOST_REPEATS} times", 0)
        return Pattern(root, starts, ends)

    def _alternatives(self) -> Node:
        branches = [self._sequence()]
        while self._take("|"):
            self._has_bare_choice |= self._depth == 0
            branches.append(self._sequence())
        return branches[0] if len(branches) == 1 else Choice(tuple(branches))

    def _sequence(self) -> Node:
        parts: list[Node] = []
        while self._next() not in ("", "|", ")") and not self._at_last_dollar():
            parts.append(self._quantified())
        if not parts:
            self._refuse("nothing stands here; use ? for what may be missing")
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def _at_last_dollar(self) -> bool:
        return self._depth == 0 and self._text[self._at :] == "$"

    def _quantified(self) -> Node:
        node = self._item()
        bounds = self._quantifier()
        if bounds is None:
            return node
        if self._next() != "" and self._next() in "?+*{":
            self._refuse("a quantifier after a quantifier (lazy, possessive) is not portable")
        return Repeat(node, *bounds)

    def _quantifier(self) -> tuple[int, int | None] | None:
        for sign, bounds in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._take(sign):
                return bounds
        if self._next() != "{":
            return None
        self._at += 1
        least = self._number()
        most: int | None = least
        if self._take(","):
            most = None if self._next() == "}" else self._number()
        if not self._take("}"):
            self._refuse("write {m}, {m,} or {m,n}")
        if most is not None and most < max(least, 1):
            self._refuse("the second number is smaller than the first, or zero")
        return least, most

    def _number(self) -> int:
        begin = self._at
        while self._next() != "" and self._next() in "0123456789":
            self._at += 1
        digits = self._text[begin : self._at]
        if not 1 <= len(digits) <= 4 or int(digits) > MOST_REPEATS:
            raise PatternError(f"a number from 0 to {MOST_REPEATS} is expected", begin)
        return int(digits)

    def _item(self) -> Node:
        if self._next() == "(":
            return self._group()
        if self._next() == "[":
            return self._class()
        code = self._literal(in_class=False)
        return Characters(((code, code),))

    def _group(self) -> Node:
        begin = self._at
        self._at += 1
        if self._take("?") and not self._take(":"):
            self._refuse("look-around, named groups and flags are not portable; only (...) and (?:...) are")
        self._depth += 1
        if self._depth > DEEPEST_GROUP:
            self._refuse(f"groups are nested deeper than {DEEPEST_GROUP}")
        inner = self._alternatives()
        self._depth -= 1
        if not self._take(")"):
            raise PatternError("`(` is not closed" if self._next() == "" else self._bare_fault(), begin)
        return inner

    def _class(self) -> Characters:
        begin = self._at
        self._at += 1
        excluded = self._take("^")
        ranges: list[tuple[int, int]] = []
        first = self._at
        while self._next() != "]":
            if self._next() == "":
                raise PatternError("`[` is not closed", begin)
            ranges.append(self._range(first))
        if not ranges:
            self._refuse("a class holds at least one character; write \\] for the bracket itself")
        self._at += 1
        return Characters(complement(union(ranges)) if excluded else union(ranges))

    def _range(self, first: int) -> tuple[int, int]:
        begin = self._at
        least = self._member(first)
        if self._next() != "-" or self._text[self._at + 1 : self._at + 2] in ("]", ""):
            return least, least
        self._at += 1
        most = self._member(None)
        if most < least:
            raise PatternError("a range runs backwards", begin)
        return least, most

    def _member(self, first: int | None) -> int:
        """Read one character of a class; a bare hyphen is one only at either end of it."""
        if self._text[self._at : self._at + 2] in _DOUBLES:
            self._refuse(
                f"{self._text[self._at : self._at + 2]} inside a class is a set operation to some engines"
            )
        if self._next() == "-" and self._at != first and self._text[self._at + 1 : self._at + 2] != "]":
            self._refuse("a hyphen stands first or last in its class, or is written \\-")
        return self._literal(in_class=True)

    def _literal(self, *, in_class: bool) -> int:
        character = self._next()
        if character == "":
            self._refuse("the pattern ends too early")
        if character == "\\":
            return self._escape(_SYNTAX | {"-"} if in_class else _SYNTAX)
        if not in_class and character in _NEVER_BARE:
            self._refuse(self._bare_fault())
        if in_class and character == "[":
            self._refuse("`[` inside a class nests classes to some engines; write \\[")
        if ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0:
            self._refuse("a control character stands here; write \\xHH")
        self._at += 1
        return ord(character)

    def _escape(self, escapable: frozenset[str]) -> int:
        following = self._text[self._at + 1 : self._at + 2]
        if following == "x":
            digits = self._text[self._at + 2 : self._at + 4]
            if len(digits) != 2 or any(digit not in "0123456789abcdefABCDEF" for digit in digits):
                self._refuse("\\x is followed by two hexadecimal digits")
            self._at += 4
            return int(digits, 16)
        if following not in escapable or following == "":
            self._refuse(f"\\{following} is not read alike by all engines")
        self._at += 2
        return ord(following)

    def _bare_fault(self) -> str:
        return _NEVER_BARE.get(self._next(), f"{self._next()} cannot stand here")

    def _next(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self, character: str) -> bool:
        if self._next() != character:
            return False
        self._at += 1
        return True

    def _refuse(self, fault: str) -> Never:
        raise PatternError(fault, self._at)
