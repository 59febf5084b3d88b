"""Java: its schema engine, and the programs on its page."""

import pytest

from tests.polyglot.engines import ask_program
from tests.polyglot.promises import (
    fails_in,
    sends_exactly_its_html,
    sends_exactly_its_mail,
    tells_valid_from_invalid,
)
from tests.polyglot.services import TROUBLES
from tests.polyglot.workshops import BUILD_SECONDS

pytestmark = [
    pytest.mark.timeout(BUILD_SECONDS),
    pytest.mark.xdist_group("polyglot"),  # they share the running system and the broker
]


def test_networknt_agrees_with_every_vector(java, asked, disagreements):
    assert disagreements(ask_program(java.validator, asked)) == []


def test_program_on_the_page_sends_exactly_its_mail(java, running_system, tmp_path):
    sends_exactly_its_mail(java.on_page("Publish"), java.title, running_system, tmp_path)


def test_program_on_the_page_sends_exactly_its_html(java, running_system, tmp_path):
    sends_exactly_its_html(java.html_on_page(), java.title, running_system, tmp_path)


@pytest.mark.parametrize("trouble", TROUBLES)
def test_program_on_the_page_notices_that_the_broker_does_not_take_its_message(
    java, trouble, broker, tmp_path
):
    fails_in(trouble, java.on_page("Publish"), broker, tmp_path)


def test_program_on_the_page_tells_valid_messages_from_invalid_ones(java, tmp_path):
    tells_valid_from_invalid(java.on_page("Validate"), tmp_path)
