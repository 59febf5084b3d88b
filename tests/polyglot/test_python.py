"""Python: the two engines, in this process."""

from tests.polyglot.engines import ask_jsonschema, ask_jsonschema_rs


def test_jsonschema_agrees_with_every_vector(asked, disagreements):
    assert disagreements(ask_jsonschema(asked)) == []


def test_jsonschema_rs_agrees_with_every_vector(asked, disagreements):
    assert disagreements(ask_jsonschema_rs(asked)) == []
