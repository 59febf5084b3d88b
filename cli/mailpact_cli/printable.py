"""Makes text from elsewhere safe for a terminal, which would obey control characters in it."""


def one_line(text: str) -> str:
    """Return the text with every character escaped that is no part of a line of text."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
