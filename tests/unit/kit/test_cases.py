"""The files of the cases are valid, and wrong files are refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from mailpact.contracts.catalogue import Contract
from mailpact.contracts.errors import ErrorCode
from mailpact_kit.cases import ConsumerCase, LetterExpected, Level, Role, load, read
from mailpact_kit.errors import UsageProblem
from tests.each import each

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "contract_tests" / "cases"


def document(**changes: Any) -> dict[str, Any]:
    """Return a valid case with these changes; None removes a member."""
    case: dict[str, Any] = json.loads((FOLDER / "C-MSG-01.json").read_text()) | changes
    return {name: value for name, value in case.items() if value is not None}


def test_enough_cases_are_installed_and_most_must_hold() -> None:
    consumer, producer = load(Role.CONSUMER), load(Role.PRODUCER)

    assert (len(consumer), len(producer)) == (29, 17)
    assert {case.id for case in consumer + producer if case.level is not Level.MUST} == {
        *("C-DLV-01", "C-OPS-04", "P-MSG-06", "P-MSG-10", "P-OPS-01", "P-TX-01")
    }


def test_every_case_stands_in_the_readme() -> None:
    readme = (ROOT / "contract_tests" / "README.md").read_text()

    assert [
        case.id for case in load(Role.CONSUMER) + load(Role.PRODUCER) if f"| `{case.id}` |" not in readme
    ] == []


def test_each_case_stands_in_the_file_of_its_name() -> None:
    assert all(json.loads(path.read_text())["id"] == path.stem for path in FOLDER.glob("*.json"))


@each("case", load(Role.CONSUMER), name=lambda case: case.id)
def test_cases_ask_for_nothing_that_the_contract_does_not_name(case: Any, contract: Contract) -> None:
    if not isinstance(case.does, ConsumerCase):
        return
    binding = contract.wire
    for message in case.does.messages:
        assert message.content_type in (None, "", *binding.content_types)
        if isinstance(message.expected, LetterExpected):
            assert message.expected.code in set(ErrorCode)


@each("case", load(Role.CONSUMER) + load(Role.PRODUCER), name=lambda case: case.id)
def test_each_case_points_to_a_page_that_exists(case: Any) -> None:
    assert (ROOT / case.spec.where.partition(",")[0].partition(" and ")[0]).is_file()


def test_cases_are_chosen_by_a_pattern_of_their_ids() -> None:
    assert [case.id for case in load(Role.CONSUMER, wanted="C-HDR-*")] == ["C-HDR-04", "C-HDR-05", "C-HDR-06"]


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"id": "MSG-1"}, "/id"),
        ({"level": "must"}, "/level"),
        ({"messages": None}, "C-MSG-01"),
        ({"messages": []}, "/messages"),
        ({"stimulus": {"message": "x"}, "observe": ["one_publish"]}, "C-MSG-01"),
        ({"messages": [{"body": "", "expect": {}}]}, "/messages/0/expect"),
        ({"unknown": 1}, "member"),
    ],
)
def test_file_of_another_form_is_refused_with_the_place(
    tmp_path: Path, changes: dict[str, Any], fault: str
) -> None:
    (tmp_path / "C-MSG-01.json").write_text(json.dumps(document(**changes)))

    with pytest.raises(UsageProblem, match=fault):
        read(tmp_path, Role.CONSUMER, wanted="*")


def test_an_id_is_never_used_twice(tmp_path: Path) -> None:
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text(json.dumps(document()))

    with pytest.raises(UsageProblem, match="C-MSG-01"):
        read(tmp_path, Role.CONSUMER, wanted="*")
