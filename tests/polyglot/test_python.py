"""Python: its two schema engines, and the programs on its page."""

import pytest

from tests.polyglot.engines import ask_jsonschema, ask_jsonschema_rs
from tests.polyglot.pages import program_on_page
from tests.polyglot.promises import (
    fails_in,
    sends_exactly_its_html,
    sends_exactly_its_mail,
    tells_valid_from_invalid,
)
from tests.polyglot.services import TROUBLES

pytestmark = pytest.mark.xdist_group("polyglot")  # they share the running system and the broker


def test_jsonschema_agrees_with_every_vector(asked, disagreements):
    assert disagreements(ask_jsonschema(asked)) == []


def test_jsonschema_rs_agrees_with_every_vector(asked, disagreements):
    assert disagreements(ask_jsonschema_rs(asked)) == []


def test_program_on_the_page_sends_exactly_its_mail(python, running_system, tmp_path):
    sends_exactly_its_mail(python.on_page("Publish"), python.title, running_system, tmp_path)


def test_program_on_the_page_sends_exactly_its_html(python, running_system, tmp_path):
    sends_exactly_its_html(python.html_on_page(), python.title, running_system, tmp_path)


@pytest.mark.parametrize("trouble", TROUBLES)
def test_program_on_the_page_notices_that_the_broker_does_not_take_its_message(
    python, trouble, broker, tmp_path
):
    fails_in(trouble, python.on_page("Publish"), broker, tmp_path)


@pytest.mark.parametrize(
    ("promise", "instead", "trouble"),
    [(", mandatory=True", "", "no queue"), ("channel.confirm_delivery()", "pass", "full queue")],
)
def test_a_program_without_mandatory_or_confirms_would_be_found(
    python, promise, instead, trouble, broker, tmp_path
):
    source = program_on_page("python", "Publish")
    careless = python.program("Careless", source.replace(promise, instead))

    assert promise in source
    with pytest.raises(AssertionError):
        fails_in(trouble, careless, broker, tmp_path)


def test_program_on_the_page_tells_valid_messages_from_invalid_ones(python, tmp_path):
    tells_valid_from_invalid(python.on_page("Validate"), tmp_path)
