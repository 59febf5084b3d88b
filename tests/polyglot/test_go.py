"""Go: its engine."""

import pytest

from tests.polyglot.engines import ask_program
from tests.polyglot.workshops import BUILD_SECONDS

pytestmark = pytest.mark.timeout(BUILD_SECONDS)


def test_santhosh_tekuri_agrees_with_every_vector(go, asked, disagreements):
    assert disagreements(ask_program(go.validator, asked)) == []
