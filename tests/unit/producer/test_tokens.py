"""A form token is good only with its twin, and only if this site signed it."""

from hypothesis import given
from hypothesis import strategies as st

from mailpact_producer.tokens import KEY_BYTES, RANDOM_BYTES, is_from_our_form, make_token

KEY, OTHER_KEY = b"k" * KEY_BYTES, b"o" * KEY_BYTES
TOKEN = make_token(KEY, b"n" * RANDOM_BYTES)


@given(st.binary(min_size=RANDOM_BYTES, max_size=RANDOM_BYTES))
def test_token_is_valid_with_its_twin(nonce: bytes) -> None:
    token = make_token(KEY, nonce)

    assert is_from_our_form(KEY, cookie=token, field=token)


def test_other_field_is_refused() -> None:
    assert not is_from_our_form(KEY, cookie=TOKEN, field=make_token(KEY, b"m" * RANDOM_BYTES))


def test_token_of_another_site_is_refused() -> None:
    foreign = make_token(OTHER_KEY, b"n" * RANDOM_BYTES)

    assert not is_from_our_form(KEY, cookie=foreign, field=foreign)


@given(st.text())
def test_made_up_token_is_refused(text: str) -> None:
    assert not is_from_our_form(KEY, cookie=text, field=text)


def test_no_token_at_all_is_refused() -> None:
    assert not is_from_our_form(KEY, cookie="", field="")
