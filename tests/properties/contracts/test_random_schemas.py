"""Random schemas and documents: no document may contradict a verdict."""

import jsonschema_rs
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from mailpact_contract_tool.compare.schemas import compare
from mailpact_contract_tool.compare.verdict import NO_WITNESS, Verdict

PATTERNS = ["^a", "a$", "^a*$", "^[ab]+$", "b", "^(a|b)?$", "^$", "^aa?$", "^[^a]$"]
names = st.sampled_from("abc")
sizes = st.integers(0, 3)
numbers = st.sampled_from([-1, 0, 1, 1.5, 2, 3])
scalars = st.sampled_from([None, True, False, 0, 1, 2, 3, 1.5, -1, "", "a", "b", "ab", "aa"])
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
)


def some(**keywords):
    """Return a strategy for objects with some of these keywords."""
    return st.fixed_dictionaries({}, optional=keywords)


def schemas(inner):
    branches = st.lists(inner, min_size=1, max_size=3)
    return st.one_of(
        some(type=st.just("string"), minLength=sizes, maxLength=sizes, pattern=st.sampled_from(PATTERNS)),
        some(
            type=st.sampled_from(["integer", "number"]),
            minimum=numbers,
            exclusiveMaximum=numbers,
            multipleOf=st.integers(1, 3),
        ),
        some(type=st.just("array"), items=inner, prefixItems=branches, minItems=sizes, maxItems=sizes),
        some(
            type=st.just("array"), uniqueItems=st.just(True), contains=inner, maxContains=sizes, items=inner
        ),
        some(
            type=st.just("object"),
            properties=st.dictionaries(names, inner, max_size=2),
            additionalProperties=st.just(False) | inner,
            required=st.lists(names, unique=True, max_size=2),
        ),
        some(minProperties=sizes, maxProperties=sizes, propertyNames=some(pattern=st.sampled_from(PATTERNS))),
        some(**{"anyOf": branches, "oneOf": branches, "not": inner}),
        some(**{"if": inner, "then": inner, "else": inner, "allOf": branches}),
        some(enum=st.lists(values, min_size=1, max_size=3), const=values),
    )


schema = st.recursive(some(type=st.sampled_from(["string", "integer", "object", "array", "null"])), schemas)
changed = st.tuples(schema, schema, schema).map(
    lambda three: ({**three[0], **three[1]}, {**three[0], **three[2]})
)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(changed, st.lists(values, min_size=20, max_size=40))
def test_no_document_contradicts_a_verdict(pair, documents):
    old, new = pair
    comparison = compare(old, new)
    engines = [jsonschema_rs.Draft202012Validator(side, validate_formats=False) for side in (old, new)]

    for verdict, (accepting, refusing) in (
        (comparison.backward, engines),
        (comparison.forward, reversed(engines)),
    ):
        if verdict == Verdict.COMPATIBLE:
            assert not [one for one in documents if accepting.is_valid(one) and not refusing.is_valid(one)]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(changed)
def test_every_witness_shows_what_it_is_shown_for(pair):
    old, new = (jsonschema_rs.Draft202012Validator(side, validate_formats=False) for side in pair)
    found = compare(*pair).changes
    assume(found)

    for change in found:
        if change.witness_backward is not NO_WITNESS:
            assert (old.is_valid(change.witness_backward), new.is_valid(change.witness_backward)) == (
                True,
                False,
            )
        if change.witness_forward is not NO_WITNESS:
            assert (old.is_valid(change.witness_forward), new.is_valid(change.witness_forward)) == (
                False,
                True,
            )


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(schema)
def test_a_schema_is_compatible_with_itself_and_with_its_double_negation(one):
    assert compare(one, one).full == Verdict.COMPATIBLE
    assert compare(one, {"not": {"not": one}}).full != Verdict.BREAKING
