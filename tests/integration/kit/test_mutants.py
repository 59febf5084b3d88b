"""The kit can fail: each mutant fails the cases about its fault, and for each case there is a mutant that fails it.

`make test` runs every sixth mutant, `make test-faults` all of them (MAILPACT_TEST_MUTANTS=all).
"""

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

from mailpact_kit.cases import Level, Role, load

KIT = Path(__file__).parents[3] / "contract_tests"
SAMPLE_STEP = 6


def _matrix() -> ModuleType:
    """Load the program that runs mutants, which belongs to no package."""
    spec = importlib.util.spec_from_file_location("matrix", KIT / "mutants" / "matrix.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["matrix"] = module
    spec.loader.exec_module(module)
    return module


MATRIX = _matrix()
MUTANTS = MATRIX.mutants()


@pytest.mark.timeout(600)
def test_each_mutant_is_killed_by_the_cases_about_its_mistake() -> None:
    step = 1 if os.environ.get("MAILPACT_TEST_MUTANTS") == "all" else SAMPLE_STEP
    wanted = MUTANTS[::step]

    killed = MATRIX.matrix(wanted)

    sys.stdout.writelines(f"{name:<28}{' '.join(cases) or 'LIVES'}\n" for name, cases in killed.items())
    living = {each.name: sorted(set(each.killed_by) - set(killed[each.name])) for each in wanted}
    assert {name: cases for name, cases in living.items() if cases} == {}


def test_each_case_has_a_mutant() -> None:
    cases = {case.id for role in Role for case in load(role)}

    assert cases - {case for mutant in MUTANTS for case in mutant.killed_by} == set()


def test_most_mistakes_are_about_what_must_hold() -> None:
    must = {case.id for role in Role for case in load(role) if case.level is Level.MUST}

    assert len([mutant for mutant in MUTANTS if set(mutant.killed_by) & must]) > 40
