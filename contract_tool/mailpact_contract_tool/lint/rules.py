"""Defines the rules of the linter by their names, and a finding.

The name of a rule never changes, and is never used for another rule, because people use the names in waivers and
searches. Each rule has a page of the same name in contract_tool/rules/lint; a test compares pages and rules.
"""

from dataclasses import dataclass
from enum import StrEnum


class LintRule(StrEnum):
    """Every rule of `mailpact contracts lint`."""

    FILE_MISSING = "EC-FILE-001"
    FILE_TOO_LARGE = "EC-FILE-002"
    FILE_NOT_JSON = "EC-FILE-003"
    FILE_MALFORMED = "EC-FILE-004"
    SCHEMA_NOT_2020_12 = "EC-FILE-005"
    REFERENCE_UNRESOLVED = "EC-FILE-006"

    PATTERN_DIALECT = "EC-PORT-001"
    PATTERN_NOT_ANCHORED = "EC-PORT-002"
    PATTERN_LETS_NEWLINE_THROUGH = "EC-PORT-003"
    PATTERN_EXPLODES = "EC-PORT-004"
    FORMAT_ALONE = "EC-PORT-005"
    MULTIPLE_OF_FRACTION = "EC-PORT-006"
    NUMBER_TOO_GREAT = "EC-PORT-007"
    NUMBER_WRITTEN_WITH_FRACTION = "EC-PORT-008"
    LIMITS_CONTRADICT = "EC-PORT-009"
    REFERENCE_NOT_LOCAL = "EC-PORT-010"
    REFERENCE_RECURSIVE = "EC-PORT-011"
    KEYWORD_FORBIDDEN = "EC-PORT-012"
    KEYWORD_UNKNOWN = "EC-PORT-013"
    REQUIRED_NOT_NAMED = "EC-PORT-014"
    TYPE_NOT_STATED = "EC-PORT-015"
    READER_CLOSED = "EC-PORT-016"
    WRITER_OPEN = "EC-PORT-017"
    PAIR_DISAGREES = "EC-PORT-018"
    REFERENCES_EXPLODE = "EC-PORT-019"

    BINDING_EXCHANGE_UNKNOWN = "EC-BIND-001"
    BINDING_KEY_NOT_READ = "EC-BIND-002"
    BINDING_CONTENT_TYPE_NOT_READ = "EC-BIND-003"
    BINDING_PROPERTY_UNTRIED = "EC-BIND-004"
    BINDING_DISAGREES = "EC-BIND-005"
    BINDING_PROPERTY_UNKNOWN = "EC-BIND-006"

    PUBLISHER_UNROUTABLE = "EC-TOPO-001"
    TOPOLOGY_UNDECLARED = "EC-TOPO-002"
    DEAD_LETTER_TARGET_MISSING = "EC-TOPO-003"
    DELIVERY_LIMIT_MISSING = "EC-TOPO-004"
    DEAD_LETTER_TARGET_LATE = "EC-TOPO-005"
    TOPOLOGY_NAME_TWICE = "EC-TOPO-006"

    VALID_VECTOR_REFUSED = "EC-VECT-001"
    INVALID_VECTOR_ACCEPTED = "EC-VECT-002"
    INVALID_VECTOR_REFUSED_OTHERWISE = "EC-VECT-003"
    KEYWORD_UNTRIED = "EC-VECT-004"
    ERROR_CODE_UNKNOWN = "EC-VECT-005"
    EXAMPLE_REFUSED = "EC-VECT-006"

    VERSION_GAP = "EC-HIST-001"
    CHANGELOG_INCOMPLETE = "EC-HIST-002"
    PUBLISHED_VERSION_EDITED = "PUBLISHED_VERSION_EDITED"
    UNRELEASED_CHANGES = "UNRELEASED_CHANGES"

    @property
    def page(self) -> str:
        """Return the path of the rule's page, from the top of the project."""
        return f"contract_tool/rules/lint/{self}.md"


@dataclass(frozen=True, slots=True)
class Fault:
    """A broken rule at a pointer (RFC 6901) of a document, without the name of the file."""

    rule: LintRule
    pointer: str
    sentence: str


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """A broken rule at a file below the folder, and at a pointer (RFC 6901) in the file; "" is the whole file."""

    file: str
    pointer: str
    rule: LintRule
    sentence: str
