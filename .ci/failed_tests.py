"""Print the tests that failed in pytest's last run, one on each line, without the groups that pytest-xdist appends."""

import json
from pathlib import Path

FAILED = Path(__file__).parents[1] / ".pytest_cache/v/cache/lastfailed"


def main() -> None:
    """Print the failed tests; print nothing if no test failed, or if pytest stopped before."""
    for test in json.loads(FAILED.read_text()) if FAILED.exists() else ():
        end = test.rfind("@")
        print(test[:end] if end > test.rfind("]") else test)  # noqa: T201  # the result


if __name__ == "__main__":
    main()
