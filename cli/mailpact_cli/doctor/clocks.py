"""Compares another machine's clock with ours."""

from typing import Final

from mailpact_cli.doctor.finding import Finding, ok, wrong

MOST_SECONDS: Final = 5.0


def compared(about: str, whose: str, theirs: float | None, *, between: tuple[float, float]) -> Finding:
    """Return whether a clock agrees with ours within 5 seconds.

    `theirs` was read between the two times of our clock (seconds since 1970); None if the time is unknown.
    """
    if theirs is None:
        return ok(about, "not told")
    first, last = between
    ahead = max(0.0, theirs - last) - max(0.0, first - theirs)
    if abs(ahead) > MOST_SECONDS:
        direction = "ahead of" if ahead > 0 else "behind"
        return wrong(
            about,
            f"{whose} clock is {abs(ahead):.0f} seconds {direction} this machine's",
            "Let NTP set the clocks of all machines: expiry times and the order of events depend on them.",
        )
    return ok(about, f"{whose} clock agrees with this machine's")
