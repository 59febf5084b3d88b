"""Node: its engine."""

import pytest

from tests.polyglot.engines import ask_program
from tests.polyglot.workshops import BUILD_SECONDS

pytestmark = pytest.mark.timeout(BUILD_SECONDS)


def test_ajv_agrees_with_every_vector(node, asked, disagreements):
    assert disagreements(ask_program(node.validator, asked)) == []
