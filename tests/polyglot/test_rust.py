"""Rust: the programs on its page."""

import pytest

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


def test_program_on_the_page_sends_exactly_its_mail(rust, running_system, tmp_path):
    sends_exactly_its_mail(rust.on_page("Publish"), rust.title, running_system, tmp_path)


def test_program_on_the_page_sends_exactly_its_html(rust, running_system, tmp_path):
    sends_exactly_its_html(rust.html_on_page(), rust.title, running_system, tmp_path)


@pytest.mark.parametrize("trouble", TROUBLES)
def test_program_on_the_page_notices_that_the_broker_does_not_take_its_message(
    rust, trouble, broker, tmp_path
):
    fails_in(trouble, rust.on_page("Publish"), broker, tmp_path)


def test_program_on_the_page_tells_valid_messages_from_invalid_ones(rust, tmp_path):
    tells_valid_from_invalid(rust.on_page("Validate"), tmp_path)
