"""A reader's input becomes the text of a comment or an error sentence."""

import pytest

from mailpact_producer.accounts import Wrong
from mailpact_producer.comment_text import links_in, read_comment


def test_text_is_kept_but_for_the_space_around_it() -> None:
    assert read_comment(" \r\n a\r\n\r\n  b \x00\n") == "a\n\n  b"


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("no link, www is a word, a:b, //x", 0),
        ("https://a.example WWW.b.example", 2),
        ("xhttp://a.example", 1),
        ("http://www.a.example", 2),
    ],
)
def test_links_are_counted_however_they_are_written(text: str, count: int) -> None:
    assert links_in(text) == count


@pytest.mark.parametrize("text", ["", " \x00", "\u200b\n\u3164", "x" * 2001, "a://b c://d e://f"])
def test_text_that_cannot_be_a_comment_is_wrong(text: str) -> None:
    with pytest.raises(Wrong):
        read_comment(text)
