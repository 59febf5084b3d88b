"""Which metrics a PromQL expression reads."""

import re

_KEYWORDS = {"and", "or", "unless", "offset", "bool", "group_left", "group_right"}
_NOT_METRICS = (
    r'"[^"]*"',  # texts
    r"\{[^}]*\}",  # matchers of labels
    r"\[[^\]]*\]",  # ranges
    r"\b(?:by|without|on|ignoring)\s*\([^)]*\)",  # names of labels
    r"\b[a-z_]+\s*\(",  # functions
)
_NAME = re.compile(r"\b[a-zA-Z_:][a-zA-Z0-9_:]*")


def metrics_in(expression: str) -> set[str]:
    """Return the names of the metrics in an expression."""
    for pattern in _NOT_METRICS:
        expression = re.sub(pattern, " ", expression)
    return set(_NAME.findall(expression)) - _KEYWORDS
