"""The corpus: nothing is said to be compatible that is not, next to nothing stays open, every break is shown."""

import json

import jsoncompat

from mailpact.contracts.compare import NO_WITNESS, Verdict, compare

NO_END = "recursion without an end has no documents"  # jsoncompat's generator does not come back from it


def sides(pair, direction):
    """Give first the schema whose documents must all be documents of the second."""
    names = ("old", "new") if direction == "backward" else ("new", "old")
    return tuple(pair[name] for name in names)


def test_verdict_never_contradicts_the_truth(pair, direction, compared):
    truth = Verdict.COMPATIBLE if pair[direction] else Verdict.BREAKING

    assert getattr(compared(pair), direction) in (truth, Verdict.UNPROVEN)


def test_at_most_one_verdict_in_twenty_is_unproven(pairs, compared):
    verdicts = [verdict for pair in pairs for verdict in (compared(pair).backward, compared(pair).forward)]

    assert len(verdicts) >= 2 * (26 + 80)
    assert verdicts.count(Verdict.UNPROVEN) <= len(verdicts) / 20


def test_every_break_is_explained_by_a_change_with_a_document(pair, direction, accepts, compared):
    comparison = compared(pair)
    accepting, refusing = sides(pair, direction)

    broken = [change for change in comparison.changes if getattr(change, direction) == Verdict.BREAKING]
    assert bool(broken) == (getattr(comparison, direction) == Verdict.BREAKING)
    for change in broken:
        witness = getattr(change, f"witness_{direction}")
        assert witness is not NO_WITNESS
        assert accepts(accepting, witness)
        assert not accepts(refusing, witness)


def test_what_is_compatible_has_no_change_that_is_not(pair, direction, compared):
    comparison = compared(pair)

    if getattr(comparison, direction) == Verdict.COMPATIBLE:
        assert {getattr(change, direction) for change in comparison.changes} <= {Verdict.COMPATIBLE}


def test_jsoncompat_denies_no_compatible_verdict_but_those_that_it_does_not_see_through(
    pair, direction, compared
):
    accepting, refusing = (json.dumps(schema) for schema in sides(pair, direction))
    try:
        agrees = jsoncompat.check_compat(accepting, refusing, "deserializer")
    except ValueError:  # a keyword that it does not know
        agrees = False

    if getattr(compared(pair), direction) == Verdict.COMPATIBLE:
        assert agrees == (direction not in pair.get("jsoncompat_denies", []))


def test_no_sample_contradicts_a_compatible_verdict(pair, direction, accepts, compared):
    accepting, refusing = sides(pair, direction)
    if pair["name"] == NO_END or getattr(compared(pair), direction) != Verdict.COMPATIBLE:
        return
    for _ in range(20):
        try:
            sample = json.loads(jsoncompat.generate_value(json.dumps(accepting)))
        except ValueError:  # it finds none; that is no proof of anything
            break
        assert accepts(refusing, sample)


def test_comparison_is_the_same_every_time(pair, compared):
    assert compare(pair["old"], pair["new"]) == compared(pair)
