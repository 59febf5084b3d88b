"""Programs of all published versions understand each other; each exception is a waiver with a date."""

import json
from datetime import date, timedelta

import pytest

from mailpact.contracts import catalogue
from mailpact_contract_tool.check.reading import UnreadableDocument, read_contracts, read_waivers
from mailpact_contract_tool.check.versions import Contract, Release, Waiver, check, expired
from mailpact_contract_tool.compare.verdict import Verdict
from mailpact_contract_tool.folder.files import read_files

TODAY = date(2027, 1, 31)
TEXT = {"type": "string"}


def release(version, members, required=("id",), **reader_members):
    """Return a version whose writers are closed and whose readers are open."""
    schema = {"type": "object", "required": list(required), "properties": members}
    reader = {**schema, "properties": {**members, **reader_members}}
    return Release(version, reader, {**schema, "additionalProperties": False}, None)


def checked(then, now, waivers=()):
    return check([Contract("order/1", now, (then,))], None, waivers, TODAY)


def failed(then, now, waivers=()):
    return [one.question for one in checked(then, now, waivers) if not one.passes]


FIRST = release("1.0", {"id": TEXT})


@pytest.mark.heavy
def test_own_contracts_pass():
    files = read_files(catalogue.installed_folder())
    topology = json.loads(files["topology.json"])

    found = check(read_contracts(files), topology, read_waivers(files), TODAY)

    assert len(found) >= 3
    assert [one for one in found if not one.passes] == []


def test_optional_member_is_a_minor_version():
    assert failed(FIRST, release("1.1", {"id": TEXT, "at": TEXT})) == []


def test_member_that_old_readers_want_otherwise_is_none():
    then = release("1.0", {"id": TEXT}, at={"type": "integer"})

    assert failed(then, release("1.1", {"id": TEXT, "at": TEXT})) == ["writers of today to readers of 1.0"]


def test_required_member_is_none():
    now = release("1.1", {"id": TEXT, "at": TEXT}, required=("id", "at"))

    (old_writers, _) = checked(FIRST, now)
    (change,) = old_writers.changes
    assert old_writers.question == "writers of 1.0 to readers of today"
    assert (change.rule, change.pointer) == ("PROPERTY_ADDED_REQUIRED", "schema.json#/properties/at")
    assert change.witness_backward == {"id": ""}


def test_every_published_version_is_asked_not_only_the_last():
    narrow = release("1.0", {"id": {**TEXT, "maxLength": 5}})
    wide = release("1.1", {"id": {**TEXT, "maxLength": 9}})
    found = check([Contract("order/1", wide, (narrow, wide))], None, (), TODAY)

    assert [one.question for one in found if not one.passes] == ["writers of today to readers of 1.0"]


UNREAD = release("1.1", {"id": {**TEXT, "pattern": "^(?!x)"}})
QUESTION = "writers of 1.0 to readers of today"
RULES = [(change.rule, change.pointer) for one in checked(FIRST, UNREAD) for change in one.changes]


def waiver(rule, pointer, *, days=0):
    return Waiver("order/1", rule, pointer, "looked at by hand", TODAY + timedelta(days=days))


def test_unproven_fails_and_a_waiver_lets_it_pass_to_the_end_of_its_day():
    assert {one.verdict for one in checked(FIRST, UNREAD)} == {Verdict.UNPROVEN, Verdict.COMPATIBLE}
    assert failed(FIRST, UNREAD) == [QUESTION]
    assert failed(FIRST, UNREAD, [waiver(*RULES[0])]) == []
    assert failed(FIRST, UNREAD, [waiver(*RULES[0], days=-1)]) == [QUESTION]
    assert failed(FIRST, UNREAD, [waiver("PATTERN_ADDED", "schema.json#/other")]) == [QUESTION]


def test_what_is_shown_to_break_cannot_be_waived():
    now = release("1.1", {"id": TEXT, "at": TEXT}, required=("id", "at"))

    assert failed(FIRST, now, [waiver("PROPERTY_ADDED_REQUIRED", "schema.json#/properties/at")]) == [QUESTION]


def test_waiver_whose_day_is_over_is_named():
    over = waiver("PATTERN_ADDED", "", days=-1)

    assert expired([over, waiver("PATTERN_ADDED", "")], TODAY) == [over]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{", "not JSON"),
        ("[]", "no JSON object"),
        ('{"waivers": [{}]}', "contract"),
        (
            '{"waivers": [{"contract": "a/1", "rule": "R", "pointer": "", "reason": " ", "expires": "2027-01-31"}]}',
            "needs a reason",
        ),
        (
            '{"waivers": [{"contract": "a/1", "rule": "R", "pointer": "", "reason": "r", "expires": "soon"}]}',
            "isoformat",
        ),
    ],
)
def test_waivers_of_another_form_are_refused_with_the_file(text, fault):
    with pytest.raises(UnreadableDocument, match=f"compat-waivers.json: .*{fault}"):
        read_waivers({"compat-waivers.json": text.encode()})
