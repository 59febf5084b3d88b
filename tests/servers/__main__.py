"""Download the servers and programs of the tests, before going offline: `python -m tests.servers fetch [NAME…]`.

MAILPACT_TEST_DEBIAN chooses the lane (`where`). The first download takes 10 s. The exit code is 3 if anything is
not available.
"""

import argparse
import sys
from contextlib import closing

from tests.servers.where import SOURCES, Servers, chosen_lane


def main() -> int:
    parser = argparse.ArgumentParser("python -m tests.servers", description=__doc__)
    parser.add_argument("command", choices=["fetch"])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(SOURCES))
    names = parser.parse_args().names or SOURCES
    if unknown := set(names) - set(SOURCES):
        parser.error(f"not known: {', '.join(unknown)}")
    try:
        chosen_lane()
    except ValueError as error:
        parser.error(str(error))
    with closing(Servers()) as servers:
        servers.download(names)
    sys.stderr.writelines(f"{line}\n" for line in sorted(servers.missing))
    return 3 if servers.missing else 0


if __name__ == "__main__":
    sys.exit(main())
