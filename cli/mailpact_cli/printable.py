"""Makes text from elsewhere safe for a terminal, which would obey control characters in it."""


def without_controls(text: str, *, keeping: str) -> str:
    """Return a text of several lines with its control characters replaced, but for those in `keeping`."""
    return "".join(
        one if one in keeping or one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text
    )


def one_line(text: str) -> str:
    """Return the text with every character escaped that is no part of a line of text."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
