"""Comments: confirmed readers write them, approved ones are shown, and only their author can change them."""

import asyncio
import json
import re
from typing import Any

import pytest
from markupsafe import escape

from mailpact_producer.store.pages import WELCOME_PAGE
from tests.integration.producer.conftest import ADA, BOB, EVE

PAGE = f"/page/{WELCOME_PAGE}"
WRITE = f"{PAGE}/comments"
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }}{% raw %}",
    "</p></article><script>alert(1)</script>",
    "[x](javascript:alert(1))",
]


async def comment(person: Any, text: str) -> Any:
    return await person.submit(PAGE, WRITE, comment=text)


def last_id(data: Any) -> int:
    return int(data.rows("SELECT max(id) FROM comments")[0][0])


async def moderate(admin: Any, path: str) -> None:
    answer = await admin.submit("/moderation", f"/moderation/{path}")
    assert answer.status == 303, answer.text


async def test_first_comment_waits_for_approval_and_later_ones_do_not(
    site: Any, people: dict[str, Any], data: Any
) -> None:
    answer = await comment(people[BOB], "First words")
    waiting = [(await each.get(PAGE)).text for each in (site, people[EVE], people[BOB], people[ADA])]
    await moderate(people[ADA], f"comments/{last_id(data)}/approve")
    await comment(people[BOB], "Second words")
    shown = (await site.get(PAGE)).text

    assert (answer.status, answer.headers["Location"]) == (303, f"{PAGE}#comments")
    assert ["First words" in text for text in waiting] == [False, False, True, True]
    assert "Waiting for approval" in waiting[2]
    assert "First words" in shown
    assert "Second words" in shown
    assert "Waiting" not in shown


async def test_comment_with_a_link_waits_and_too_many_links_are_refused(
    people: dict[str, Any], data: Any
) -> None:
    await comment(people[BOB], "First words")
    await moderate(people[ADA], f"comments/{last_id(data)}/approve")

    await comment(people[BOB], "see https://one.example and www.two.example")
    refused = await comment(people[BOB], "https://a.example https://b.example http://c.example kept")

    assert data.rows("SELECT state FROM comments ORDER BY id") == [("shown",), ("waiting",)]
    assert refused.status == 422
    assert "kept" in refused.text
    assert 'id="comment-error"' in refused.text


async def test_author_changes_and_deletes_the_own_comment(people: dict[str, Any], data: Any) -> None:
    await comment(people[BOB], "First words")
    await moderate(people[ADA], f"comments/{last_id(data)}/approve")
    own = f"/comments/{last_id(data)}"

    await people[BOB].submit(own, own, comment="Better words")
    better = (await people[EVE].get(PAGE)).text
    await people[BOB].submit(own, own, comment="Spam https://spam.example")
    spam = (await people[EVE].get(PAGE)).text
    await people[BOB].submit(own, f"{own}/delete")

    assert "Better words" in better
    assert "changed" in better
    assert "Better words" not in spam  # an approved comment that gets a link waits again
    assert "spam.example" not in spam
    assert data.rows("SELECT count(*) FROM comments") == [(0,)]


async def test_comment_of_another_reader_cannot_be_opened_changed_or_deleted(
    site: Any, people: dict[str, Any], data: Any
) -> None:
    await comment(people[BOB], "Mine")
    stored = data.rows("SELECT * FROM comments")
    own, report = f"/comments/{last_id(data)}", f"/comments/{last_id(data)}/report"

    for person, token_page in ((people[EVE], PAGE), (people[ADA], PAGE)):
        hidden = await person.hidden_fields(token_page)
        assert (await person.get(own)).status == 404
        assert (await person.post(own, data=hidden | {"comment": "Taken"})).status == 404
        assert (await person.post(f"{own}/delete", data=hidden)).status == 404
        assert (await person.get(report)).status == 404  # the comment waits, so others do not see it
    stranger = await site.hidden_fields()
    for path in (own, f"{own}/delete", report, WRITE):
        assert (await site.post(path, data=stranger | {"comment": "Taken"})).status == 403
    for number in ("0", "-1", "x", "9" * 18, "9" * 400, "1 OR 1=1", "%D9%A1"):
        assert (await people[BOB].get(f"/comments/{number}")).status == 404
    assert data.rows("SELECT * FROM comments") == stored


async def test_only_administrators_moderate(site: Any, people: dict[str, Any], data: Any) -> None:
    await comment(people[BOB], "Words")
    number = last_id(data)
    ((bob,),) = data.rows("SELECT user_id FROM comments")
    paths = [f"comments/{number}/{act}" for act in ("approve", "delete", "block")]
    hidden = await people[EVE].hidden_fields(PAGE)

    for path in (*paths, f"readers/{bob}/unblock"):
        assert (await people[EVE].post(f"/moderation/{path}", data=hidden)).status == 404
        assert (await site.post(f"/moderation/{path}", data=await site.hidden_fields())).status == 404
        forged = await people[ADA].post(f"/moderation/{path}", data={"csrf": "x"})
        assert forged.status == 403
    assert (await people[EVE].get("/moderation")).status == 404
    assert (await site.get("/moderation")).headers["Location"] == "/login"
    assert data.rows("SELECT state FROM comments") == [("waiting",)]


async def test_reported_comment_is_in_the_queue_until_somebody_has_looked(
    people: dict[str, Any], data: Any
) -> None:
    await comment(people[BOB], "Rude words")
    await moderate(people[ADA], f"comments/{last_id(data)}/approve")
    report = f"/comments/{last_id(data)}/report"

    for _ in range(2):
        assert (await people[EVE].submit(report, report)).status == 303
    queue = (await people[ADA].get("/moderation")).text
    still = (await people[EVE].get(PAGE)).text
    await moderate(people[ADA], f"comments/{last_id(data)}/approve")

    assert "Rude words" in queue
    assert "Reported" in queue
    assert "Rude words" in still
    assert "Rude words" not in (await people[ADA].get("/moderation")).text


async def test_blocked_reader_writes_nothing_until_unblocked(people: dict[str, Any], data: Any) -> None:
    await comment(people[BOB], "Spam one")
    await comment(people[BOB], "Spam two")
    ((bob,),) = data.rows("SELECT DISTINCT user_id FROM comments")
    opened = await people[BOB].hidden_fields(PAGE)
    await moderate(people[ADA], f"comments/{last_id(data)}/block")

    refused = await people[BOB].post(WRITE, data=opened | {"comment": "Spam three"})
    page = (await people[BOB].get(PAGE)).text
    await moderate(people[ADA], f"readers/{bob}/unblock")
    again = await comment(people[BOB], "Sorry")

    assert refused.status == 403
    assert "You cannot write comments" in page
    assert again.status == 303
    assert data.rows("SELECT body FROM comments") == [("Sorry",)]


async def test_administrator_is_never_blocked(people: dict[str, Any], data: Any) -> None:
    await comment(people[ADA], "Official")
    report = f"/comments/{last_id(data)}/report"
    await people[EVE].submit(report, report)

    await moderate(people[ADA], f"comments/{last_id(data)}/block")

    assert data.rows("SELECT count(*) FROM users WHERE is_blocked = 1") == [(0,)]


async def test_eleventh_comment_of_an_hour_is_put_off_and_its_text_kept(
    people: dict[str, Any], data: Any
) -> None:
    answers = [await comment(people[BOB], f"Number {number}") for number in range(11)]

    assert [answer.status for answer in answers] == [303] * 10 + [429]
    assert "Number 10" in answers[-1].text
    assert answers[-1].headers["Retry-After"] == "3600"
    assert data.rows("SELECT count(*) FROM comments") == [(10,)]


async def test_form_that_is_posted_twice_stores_one_comment(people: dict[str, Any], data: Any) -> None:
    form = await people[BOB].hidden_fields(PAGE) | {"comment": "Once"}

    answers = await asyncio.gather(*(people[BOB].post(WRITE, data=form) for _ in range(4)))

    assert {answer.status for answer in answers} == {303}
    assert data.rows("SELECT count(*) FROM comments") == [(1,)]


@pytest.mark.parametrize("text", ["", " \n\t", "\x00", "x" * 2001])
async def test_comment_that_is_empty_or_too_long_is_refused(
    people: dict[str, Any], data: Any, text: str
) -> None:
    answer = await comment(people[BOB], text)

    assert answer.status == 422
    assert data.rows("SELECT count(*) FROM comments") == [(0,)]


@pytest.mark.parametrize("text", HOSTILE)
async def test_nothing_that_a_reader_writes_runs(people: dict[str, Any], data: Any, text: str) -> None:
    await comment(people[BOB], text)
    data.rows("UPDATE users SET name = :name WHERE email = :email", name=text, email=BOB)
    own = f"/comments/{last_id(data)}"
    pages = [await people[ADA].get("/moderation"), await people[BOB].get(own)]
    await moderate(people[ADA], f"comments/{last_id(data)}/approve")
    pages += [await people[EVE].get(PAGE), await people[EVE].get(f"{own}/report")]

    for page in pages:
        assert page.status == 200
        assert not re.search(r"<script|<img src=x|<a [^>]*javascript:", page.text)
        assert str(escape(text)) in page.text


async def test_comments_go_with_their_reader_and_with_their_page(people: dict[str, Any], data: Any) -> None:
    await comment(people[BOB], "Of a reader")
    export = json.loads((await people[BOB].get("/account/export")).text)
    await people[BOB].submit(
        "/account", "/account/delete", **{"password-for-delete": "correct horse battery"}
    )
    after_reader = data.rows("SELECT count(*) FROM comments")
    await comment(people[EVE], "Of a page")
    delete = f"/edit/{WELCOME_PAGE}/delete"
    await people[ADA].submit(delete, delete)

    assert [each["text"] for each in export["comments"]] == ["Of a reader"]
    assert after_reader == [(0,)]
    assert data.rows("SELECT count(*) FROM comments") == [(0,)]


async def test_comments_are_shown_in_parts_of_fifty(site: Any, people: dict[str, Any], data: Any) -> None:
    ((user,),) = data.rows("SELECT id FROM users WHERE email = :email", email=BOB)
    for number in range(51):
        data.rows(
            "INSERT INTO comments (page_guid, user_id, body, state, created_at, once)"
            " VALUES (:page, :user, :body, 'shown', 1, :body)",
            page=WELCOME_PAGE, user=user, body=f"words-{number}-",
        )  # fmt: skip

    first, second = [(await site.get(f"{PAGE}?comments={part}")).text for part in (1, 2)]

    assert (first.count("words-"), second.count("words-")) == (50, 1)
    assert "Later comments" in first
    assert "Earlier comments" in second
    assert (await site.get(f"{PAGE}?comments=x")).status == 404
