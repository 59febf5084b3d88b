"""The corpus of pairs: no wrong "compatible", hardly any "unproven", and a document for each break."""

import itertools
import json

import jsoncompat
import pytest

from mailpact_contract_tool.compare.schemas import compare
from mailpact_contract_tool.compare.verdict import NO_WITNESS, Verdict

DIRECTIONS = {"backward": ("old", "new"), "forward": ("new", "old")}
NO_END = "recursion without an end has no documents"  # jsoncompat's generator never ends on it


def sides(pairs):
    """Yield pair, direction, the schema whose documents are asked about, and the one that must accept them."""
    for pair, (direction, (first, second)) in itertools.product(pairs, DIRECTIONS.items()):
        yield pair, direction, pair[first], pair[second]


@pytest.mark.heavy
def test_verdict_never_contradicts_the_truth(pairs, compared):
    for pair, direction in itertools.product(pairs, DIRECTIONS):
        truth = Verdict.COMPATIBLE if pair[direction] else Verdict.BREAKING
        assert getattr(compared(pair), direction) in (truth, Verdict.UNPROVEN), pair["name"]


@pytest.mark.heavy
def test_at_most_one_verdict_in_twenty_is_unproven(pairs, compared):
    verdicts = [verdict for pair in pairs for verdict in (compared(pair).backward, compared(pair).forward)]

    assert len(verdicts) >= 2 * (26 + 80)
    assert verdicts.count(Verdict.UNPROVEN) <= len(verdicts) / 20


def test_every_break_is_explained_by_changes_with_documents_and_nothing_else_is(pairs, accepts, compared):
    for pair, direction, accepting, refusing in sides(pairs):
        verdict = getattr(compared(pair), direction)
        broken = [
            change for change in compared(pair).changes if getattr(change, direction) == Verdict.BREAKING
        ]

        assert bool(broken) == (verdict == Verdict.BREAKING), pair["name"]
        for change in broken:
            witness = getattr(change, f"witness_{direction}")
            assert witness is not NO_WITNESS, pair["name"]
            assert accepts(accepting, witness), pair["name"]
            assert not accepts(refusing, witness), pair["name"]
        if verdict == Verdict.COMPATIBLE:
            assert {getattr(change, direction) for change in compared(pair).changes} <= {
                Verdict.COMPATIBLE
            }, pair["name"]


def test_jsoncompat_denies_no_compatible_verdict_but_those_that_it_does_not_see_through(pairs, compared):
    for pair, direction, accepting, refusing in sides(pairs):
        if getattr(compared(pair), direction) == Verdict.COMPATIBLE:
            try:
                agrees = jsoncompat.check_compat(json.dumps(accepting), json.dumps(refusing), "deserializer")
            except ValueError:  # a keyword that it does not know
                agrees = False
            assert agrees == (direction not in pair.get("jsoncompat_denies", [])), pair["name"]


@pytest.mark.heavy
def test_no_sample_contradicts_a_compatible_verdict(pairs, accepts, compared):
    for pair, direction, accepting, refusing in sides(pairs):
        if pair["name"] == NO_END or getattr(compared(pair), direction) != Verdict.COMPATIBLE:
            continue
        for _ in range(20):
            try:
                sample = json.loads(jsoncompat.generate_value(json.dumps(accepting)))
            except ValueError:  # it finds none, which proves nothing
                break
            assert accepts(refusing, sample), pair["name"]


def test_comparison_is_the_same_every_time(pairs, compared):
    for pair in pairs[::10]:
        assert compare(pair["old"], pair["new"]) == compared(pair)
