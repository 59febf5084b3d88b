"""The active faults: one script for all mail, one script for each namespace, and Mailpit's chaos."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mailpact_capture.envelope import namespaces
from mailpact_capture.faults import DEFAULT_SEED, Counted, Fault, Script, Stage

MAX_NAMESPACES: Final = 1000
DEFAULT_ERROR_CODE: Final = 451  # Mailpit's
DEFAULT_AUTH_CODE: Final = 535


class TooManyScripts(Exception):
    """The limit of namespaces with a script is reached."""


@dataclass(frozen=True, slots=True)
class Trigger:
    """One of Mailpit's chaos triggers: an error code, and the probability of this answer in percent."""

    code: int
    percent: int = 0


def default_trigger(stage: Stage) -> Trigger:
    """Return a trigger that is switched off, with Mailpit's error code for its stage."""
    return Trigger(DEFAULT_AUTH_CODE if stage is Stage.AUTH else DEFAULT_ERROR_CODE)


class FaultDesk:
    """Decides which fault a client gets instead of the usual answer. Scripts are tried first, then the chaos."""

    def __init__(self, script: Script | None = None) -> None:
        self.chaos: dict[Stage, Trigger] = {}
        self._scripts: dict[str | None, tuple[Script, random.Random]] = {}
        self._chaos_chance = random.Random(DEFAULT_SEED)  # noqa: S311 (it must be repeatable, not secret)
        if script is not None:
            self.put(None, script)

    @property
    def are_none(self) -> bool:
        """Return whether there is neither a script nor a trigger."""
        return not self._scripts and not self.chaos

    def script(self, namespace: str | None) -> Script:
        """Return the script of a namespace, or of all mail."""
        return self._scripts[namespace][0] if namespace in self._scripts else Script()

    def put(self, namespace: str | None, script: Script) -> None:
        """Replace a script; its counts start at 0. Raises TooManyScripts."""
        if not script.rules:
            self._scripts.pop(namespace, None)
            return
        if namespace not in self._scripts and len(self._scripts) > MAX_NAMESPACES:
            raise TooManyScripts
        self._scripts[namespace] = script, random.Random(script.seed)  # noqa: S311 (as above)

    def fault(self, stage: Stage, *, sender: str = "", recipients: Sequence[str] = ()) -> Fault | None:
        """Count this stage of a conversation, and return the fault that happens at this stage.

        None if there is none.
        """
        found: Fault | None = None
        for namespace, (script, chance) in list(self._scripts.items()):
            own = (
                [each for each in recipients if namespace in namespaces((each,))] if namespace else recipients
            )
            if namespace is None or own:
                for counted in script.rules:
                    applies = _count(counted, stage, sender, own, chance)
                    if applies and found is None:
                        counted.applied += 1
                        found = counted.rule.fault
        return found or self._chaotic(stage)

    def _chaotic(self, stage: Stage) -> Fault | None:
        trigger = self.chaos.get(stage)
        if trigger is None or self._chaos_chance.random() * 100 >= trigger.percent:
            return None
        return Fault(0, f"{trigger.code} Chaos", disconnects=False)


def _count(
    counted: Counted, stage: Stage, sender: str, recipients: Sequence[str], chance: random.Random
) -> bool:
    rule = counted.rule
    if not rule.matches(stage, sender, recipients):
        return False
    counted.matched += 1
    if rule.nth is not None and counted.matched not in rule.nth:
        return False
    return rule.percent >= 100 or chance.random() * 100 < rule.percent
