"""Time limits of tests on a machine that others may load.

A test that a promise holds "within two seconds" allows five times as long, which still tells a hang or a wait for a
time limit from an answer. MAILPACT_TEST_STRICT_TIMES=1 holds the promise itself, on a machine that is idle.
"""

import os

_IS_STRICT = bool(os.environ.get("MAILPACT_TEST_STRICT_TIMES"))


def at_most(seconds: float) -> float:
    """Return the limit in seconds for what is promised within so many seconds."""
    return seconds if _IS_STRICT else 5 * seconds
