"""Which URLs the site may call; an error does not repeat a refused URL, because it may contain a secret."""

import pytest

from mailpact.settings import SettingsError
from mailpact_producer.settings import CanarySettings, parse_http_url


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://127.0.0.1:8025/ns/canary/", "http://127.0.0.1:8025/ns/canary"),
        ("https://watch.example/ping/1?fail=no", "https://watch.example/ping/1?fail=no"),
        ("http://user:pw@[::1]:8025", "http://user:pw@[::1]:8025"),
    ],
)
def test_url_to_call_loses_the_slashes_at_its_end(text: str, url: str) -> None:
    assert parse_http_url(text) == url


@pytest.mark.parametrize(
    "text",
    [
        "", "s3cret", "ftp://s3cret", "http://", "http:s3cret", "http://x:99999/s3cret", "http://[s3cret",
        "http://x/s3 cret", "http://x/s3cret#f", "http://x/s3cret\n", "http://x:0/s3cret",
    ],
)  # fmt: skip
def test_other_text_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(SettingsError) as refused:
        parse_http_url(text)

    assert "s3cret" not in str(refused.value)


def test_push_url_stands_in_no_text_of_the_settings() -> None:
    assert "s3cret" not in repr(CanarySettings("canary@example.org", push_url="https://watch.example/s3cret"))
