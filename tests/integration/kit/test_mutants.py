"""The kit can fail: a right program passes every case, and each mutant is killed by the cases about its mistake."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from mailpact_kit.cases import Level, Role, load

KIT = Path(__file__).parents[3] / "contract_tests"


def _matrix() -> ModuleType:
    """Load the program that runs mutants; it is no module of a package."""
    spec = importlib.util.spec_from_file_location("matrix", KIT / "mutants" / "matrix.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["matrix"] = module
    spec.loader.exec_module(module)
    return module


MATRIX = _matrix()
MUTANTS = MATRIX.mutants()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_each_mutant_is_killed_by_the_cases_about_its_mistake(mutant: object) -> None:
    found = {case: MATRIX.verdicts(mutant, case)[case] for case in mutant.killed_by}  # type: ignore[attr-defined]  # loaded by hand

    assert {case: verdict for case, verdict in found.items() if verdict not in MATRIX.KILLED} == {}


def test_each_case_has_a_mutant() -> None:
    cases = {case.id for role in Role for case in load(role)}
    idle = cases - {case for mutant in MUTANTS for case in mutant.killed_by}

    assert idle == {
        "C-VEC-02"
    }  # no program of these serves email/2; the vectors are judged as those of email/1


def test_most_mistakes_are_about_what_must_hold() -> None:
    must = {case.id for role in Role for case in load(role) if case.level is Level.MUST}

    assert len([mutant for mutant in MUTANTS if set(mutant.killed_by) & must]) > 40
