"""Java: its engine."""

import pytest

from tests.polyglot.engines import ask_program
from tests.polyglot.workshops import BUILD_SECONDS

pytestmark = pytest.mark.timeout(BUILD_SECONDS)


def test_networknt_agrees_with_every_vector(java, asked, disagreements):
    assert disagreements(ask_program(java.validator, asked)) == []
