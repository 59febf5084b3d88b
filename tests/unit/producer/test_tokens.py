"""A form token is valid only with the matching cookie, and only if this site signed it."""

from hypothesis import given
from hypothesis import strategies as st

from mailpact_producer.tokens import (
    KEY_BYTES,
    RANDOM_BYTES,
    Purpose,
    is_form_of_session,
    is_from_our_form,
    make_token,
    read_signed,
    sign,
    token_of_session,
)

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


@given(st.binary(), st.sampled_from(Purpose))
def test_signed_text_is_read_back_for_its_own_purpose_only(content: bytes, purpose: Purpose) -> None:
    signed = sign(KEY, purpose, content)

    read = {each: read_signed(KEY, each, signed) for each in Purpose}

    assert read == {each: content if each is purpose else None for each in Purpose}


@given(st.text())
def test_text_that_nobody_signed_is_not_read(text: str) -> None:
    assert read_signed(KEY, Purpose.SENT_TO, text) is None


def test_token_of_a_session_is_good_for_that_session_only() -> None:
    token = token_of_session(KEY, "one")

    assert is_form_of_session(KEY, session="one", field=token)
    assert not is_form_of_session(KEY, session="two", field=token)
    assert not is_form_of_session(OTHER_KEY, session="one", field=token)
    assert not is_form_of_session(KEY, session="one", field=make_token(KEY, b"n" * RANDOM_BYTES))
