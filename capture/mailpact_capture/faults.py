"""Scripted faults: which answer a client gets instead of the usual answer, how often, and after which delay. Pure.

A rule names a stage of the conversation, the addresses to which it applies, and what happens. Each rule counts how
often it matched. `nth` lists the matches at which the rule applies (1 is the first match); without `nth` the rule
applies at each match. The first rule that applies decides. Only `probability` is random. Its random numbers come from
a seed, so that a run can be repeated.
"""

import fnmatch
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

MAX_RULES: Final = 100
MAX_NTH: Final = 1000  # the longest list
MAX_SEEN: Final = 2**31
MAX_DELAY_SECONDS: Final = 600
MAX_TEXT: Final = 400  # characters of a reply
DEFAULT_SEED: Final = 1

_TEXT: Final = re.compile(r"[\x20-\x7e]*\Z")


class FaultError(Exception):
    """A rule is invalid; the message says which rule and why."""


class Stage(StrEnum):
    """The stage of a conversation at which a fault happens.

    `dot` is the end of the data; the mail is not stored. At `stored` the mail is stored, but the client gets no
    answer or another answer than 250.
    """

    CONNECT = "connect"
    EHLO = "ehlo"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    DOT = "dot"
    STORED = "stored"


WITH_RECIPIENT: Final = frozenset({Stage.RCPT, Stage.DATA, Stage.DOT, Stage.STORED})
WITH_SENDER: Final = WITH_RECIPIENT | {Stage.MAIL}


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens: wait, then answer with `reply` or close the connection.

    Without both, continue normally after the delay.
    """

    delay_seconds: float
    reply: str | None
    disconnects: bool


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `recipient` and `sender` are patterns with `*`, in lower case, or None for anybody.

    `percent` is the probability with which the rule applies at the matches that `nth` allows.
    """

    stage: Stage
    recipient: re.Pattern[str] | None
    sender: re.Pattern[str] | None
    nth: frozenset[int] | None
    percent: float
    fault: Fault
    source: Mapping[str, Any]

    def matches(self, stage: Stage, sender: str, recipients: Sequence[str]) -> bool:
        """Return whether the rule matches this stage, this sender and at least one of these recipients."""
        if stage is not self.stage or (self.sender and not self.sender.match(sender.lower())):
            return False
        return self.recipient is None or any(self.recipient.match(each.lower()) for each in recipients)


@dataclass(slots=True)
class Counted:
    """A rule, how often the rule matched and how often it was applied."""

    rule: Rule
    matched: int = 0
    applied: int = 0


@dataclass(slots=True)
class Script:
    """Rules with their counts, and the seed of their random numbers."""

    rules: list[Counted] = field(default_factory=list)
    seed: int = DEFAULT_SEED


def parse_script(body: object, *, in_namespace: bool = False) -> Script:
    """Return the script of a JSON object with `rules` and optionally `seed`. Raises FaultError.

    A namespace is known only by its recipients, so its rules must not name a stage before the first recipient.
    """
    if not isinstance(body, dict):
        raise FaultError("the script must be a JSON object")
    if unknown := set(body) - {"rules", "seed"}:
        raise FaultError(f"the script has the unknown member {min(unknown)!r}")
    rules, seed = body.get("rules", []), body.get("seed", DEFAULT_SEED)
    if not isinstance(rules, list) or len(rules) > MAX_RULES:
        raise FaultError(f"rules must be a list of at most {MAX_RULES} rules")
    if not _is_whole(seed, 0, MAX_SEEN):
        raise FaultError(f"seed must be a whole number from 0 to {MAX_SEEN}")
    parsed = []
    for number, rule in enumerate(rules, 1):
        try:
            parsed.append(Counted(parse_rule(rule)))
        except FaultError as error:
            raise FaultError(f"rule {number}: {error}") from None
        if in_namespace and parsed[-1].rule.stage not in WITH_RECIPIENT:
            raise FaultError(
                f"rule {number}: a namespace has no stage {parsed[-1].rule.stage}, only recipients"
            )
    return Script(parsed, seed)


def parse_rule(rule: object) -> Rule:
    """Return one rule of a script; raise FaultError."""
    if not isinstance(rule, dict):
        raise FaultError("the rule must be a JSON object")
    known = {"stage", "recipient", "sender", "nth", "probability", "code", "text", "delay", "disconnect"}
    if unknown := set(rule) - known:
        raise FaultError(f"unknown member {min(unknown)!r}; known are {', '.join(sorted(known))}")
    try:
        stage = Stage(rule.get("stage", ""))
    except ValueError:
        raise FaultError(f"stage must be one of {', '.join(Stage)}") from None
    for name, stages in (("recipient", WITH_RECIPIENT), ("sender", WITH_SENDER)):
        if name in rule and stage not in stages:
            raise FaultError(f"no {name} is known at the stage {stage}")
    probability = rule.get("probability", 100)
    if not _is_number(probability, 0, 100):
        raise FaultError("probability must be a number from 0 to 100, in percent")
    return Rule(
        stage=stage,
        recipient=_pattern(rule, "recipient"),
        sender=_pattern(rule, "sender"),
        nth=_nth(rule.get("nth")),
        percent=float(probability),
        fault=_fault(rule),
        source=rule,
    )


def _fault(rule: Mapping[str, Any]) -> Fault:
    code, text, delay, disconnect = (rule.get(each) for each in ("code", "text", "delay", "disconnect"))
    if delay is not None and not _is_number(delay, 0, MAX_DELAY_SECONDS):
        raise FaultError(f"delay must be a number of seconds from 0 to {MAX_DELAY_SECONDS}")
    if disconnect is not None and not isinstance(disconnect, bool):
        raise FaultError("disconnect must be true or false")
    if code is None and delay is None and not disconnect:
        raise FaultError("the rule must have a code, a delay or a disconnect")
    if code is not None and not _is_whole(code, 200, 599):
        raise FaultError("code must be a whole number from 200 to 599")
    if text is not None and (not isinstance(text, str) or len(text) > MAX_TEXT or not _TEXT.match(text)):
        raise FaultError(f"text must have at most {MAX_TEXT} printable ASCII characters")
    if text is not None and code is None:
        raise FaultError("text needs a code")
    reply = None if code is None else f"{code} {text or 'scripted fault'}"
    return Fault(float(delay or 0), reply, bool(disconnect))


def _nth(value: object) -> frozenset[int] | None:
    if value is None:
        return None
    numbers = value if isinstance(value, list) else [value]
    if not numbers or len(numbers) > MAX_NTH or not all(_is_whole(each, 1, MAX_SEEN) for each in numbers):
        raise FaultError("nth must be a whole number of at least 1, or a list of such numbers")
    return frozenset(numbers)


def _pattern(rule: Mapping[str, Any], name: str) -> re.Pattern[str] | None:
    value = rule.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not value or len(value) > 320 or value.count("*") > 4:
        raise FaultError(f"{name} is an address, where * stands for any characters (at most four)")
    escaped = value.lower().replace("[", "[[]").replace("?", "[?]")  # only * is special here
    return re.compile(fnmatch.translate(escaped))


def _is_whole(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _is_number(value: object, least: float, most: float) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) and least <= value <= most
