"""Time limits of tests on a machine that others may load.

A test of a promise "within two seconds" allows five times as long. That is still far below the time of a hang or of a
time limit. MAILPACT_TEST_STRICT_TIMES=1 checks the promised time itself, on an idle machine.
"""

import os

_IS_STRICT = bool(os.environ.get("MAILPACT_TEST_STRICT_TIMES"))


def at_most(seconds: float) -> float:
    """Return the limit in seconds for a promise of that many seconds."""
    return seconds if _IS_STRICT else 5 * seconds
