"""Download the servers and programs of the tests, before going offline: `python -m tests.servers fetch [NAME…]`.

MAILPACT_TEST_DEBIAN chooses the lane (`where`). It takes 10 s once; the exit code is 3 when something cannot be had.
"""

import sys
from contextlib import closing

from tests.servers.where import NAMES, Servers, UnknownLane

EXIT_USAGE, EXIT_UNAVAILABLE = 2, 3


def _say(line: object) -> None:
    sys.stderr.write(f"{line}\n")


def main(words: list[str]) -> int:
    """Return the exit code."""
    if words[:1] != ["fetch"] or not set(words[1:]) <= set(NAMES):
        _say(f"{__doc__}\nThe names: {', '.join(NAMES)}.")
        return EXIT_USAGE
    with closing(Servers(_say)) as servers:
        try:
            missing = servers.locate(words[1:] or NAMES)
        except UnknownLane as error:
            _say(error)
            return EXIT_USAGE
    for thing in missing:
        _say(thing)
    return EXIT_UNAVAILABLE if missing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
