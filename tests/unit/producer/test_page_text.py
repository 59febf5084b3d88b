"""The form of a page becomes a page, or an error sentence for each wrong field."""

import pytest

from mailpact_producer.page_text import PageText, read_page_text, slug_of

GOOD = {"title": "Title", "slug": "", "body": "text"}


@pytest.mark.parametrize(
    ("title", "slug"),
    [
        ("Crème brûlée, twice!", "creme-brulee-twice"),
        ("  A  B  ", "a-b"),
        ("日本語", "page"),
        ("---", "page"),
        ("x" * 200, "x" * 80),
        ("word " * 40, "-".join(["word"] * 16)),
        ("<script>", "script"),
        ("../../etc", "etc"),
    ],
)
def test_address_is_made_of_the_title(title: str, slug: str) -> None:
    assert slug_of(title) == slug


def test_text_has_one_kind_of_line_end_and_nothing_that_a_feed_cannot_hold() -> None:
    text = read_page_text(GOOD | {"body": "a\r\nb\rc\x00\x0b\ufffe\td"})

    assert text == PageText("Title", None, "a\nb\nc\td", is_published=False)


@pytest.mark.parametrize("title", ["\ufffe", "a\x00b", "a\nb", "a\u2029b", "\u200b", "\u3164 \u2800"])
def test_title_that_cannot_be_shown_is_wrong(title: str) -> None:
    assert isinstance(read_page_text(GOOD | {"title": title}), dict)


def test_all_wrong_fields_are_named_at_once() -> None:
    errors = read_page_text({"slug": "Ä"})

    assert isinstance(errors, dict)
    assert set(errors) == {"title", "slug", "body"}


@pytest.mark.heavy
def test_text_that_takes_too_long_to_be_shown_is_refused_beside_its_field() -> None:
    errors = read_page_text(GOOD | {"body": "[a]: /b\n> ```\n= " * 1000})

    assert isinstance(errors, dict)
    assert list(errors) == ["body"]
