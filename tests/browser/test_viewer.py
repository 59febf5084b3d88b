"""The viewer's script in a real Chromium: live list, keys, deletion with undo. axe finds nothing wrong on any page."""

import re
import smtplib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import mail

pytestmark = pytest.mark.xdist_group("browser")

SLOW_MS = 30_000  # a loaded machine


@pytest.fixture
def page(browser: Any) -> Iterator[Page]:
    """Yield a page whose script must not fail."""
    context = browser.new_context()
    opened = context.new_page()
    opened.set_default_timeout(SLOW_MS)
    complaints: list[str] = []
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    yield opened
    context.close()
    assert complaints == []


def send(places: Any, name: str, *subjects: str) -> None:
    """Send mails to a namespace."""
    with smtplib.SMTP("127.0.0.1", places.mail_port, timeout=30) as client:
        for subject in subjects:
            client.sendmail("me@example.org", f"reader+ns-{name}@example.org", mail(subject, "text"))


def rows(page: Page) -> Any:
    return page.locator("#list li[data-id]:visible")


def test_mail_that_comes_appears_without_a_reload(page: Page, places: Any) -> None:
    send(places, "live", "first")
    page.goto(f"{places.viewer}ns/live/")
    expect(rows(page)).to_have_count(1)

    send(places, "live", "second")

    expect(rows(page)).to_have_count(2, timeout=SLOW_MS)
    expect(rows(page).first).to_contain_text("second")
    expect(page).to_have_title(re.compile(r"^\(2\)"))


def test_eml_files_are_opened_and_a_refusal_is_said(page: Page, places: Any, tmp_path: Path) -> None:
    (tmp_path / "small.eml").write_bytes(mail("from a file", "text"))
    (tmp_path / "large.eml").write_bytes(bytes(33 * 1024 * 1024))
    said: list[str] = []
    page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    page.goto(places.viewer)

    page.locator("#eml").set_input_files([tmp_path / "large.eml", tmp_path / "small.eml"])

    expect(page.get_by_role("link", name="from a file")).to_be_visible(timeout=SLOW_MS)
    assert [text.partition(":")[0] for text in said] == ["large.eml was not stored"]


def test_scrolled_list_is_left_alone_and_says_what_came(page: Page, places: Any) -> None:
    send(places, "scrolled", *map(str, range(40)))
    page.set_viewport_size({"width": 390, "height": 500})
    page.goto(f"{places.viewer}ns/scrolled/")
    page.mouse.wheel(0, 900)
    page.wait_for_function("window.scrollY > 80")

    send(places, "scrolled", "new one")

    expect(page.locator("#news")).to_have_text("1 new", timeout=SLOW_MS)
    expect(page.get_by_role("link", name="new one")).to_have_count(0)
    page.locator("#news").click()
    expect(rows(page).first).to_contain_text("new one")


def test_a_screen_shows_fifteen_mails_and_a_long_subject_three_lines(page: Page, places: Any) -> None:
    send(places, "dense", *("Long subject " * 40 for _ in range(20)))
    page.set_viewport_size({"width": 1280, "height": 720})
    page.goto(f"{places.viewer}ns/dense/")
    expect(rows(page)).to_have_count(20)
    bottoms = rows(page).evaluate_all("rows => rows.map(row => row.getBoundingClientRect().bottom)")

    page.goto(f"{places.viewer}ns/dense/mail/latest")
    lines = page.locator("h1").evaluate(
        "title => title.getBoundingClientRect().height / parseFloat(getComputedStyle(title).lineHeight)"
    )

    assert bottoms[14] <= 720
    assert lines < 3.5


def test_keys_walk_through_the_list_open_and_search(page: Page, places: Any) -> None:
    send(places, "keys", "a", "b", "c")
    page.goto(f"{places.viewer}ns/keys/")

    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    page.keyboard.press("j")
    expect(page.locator("#list li.current")).to_contain_text("b")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("b")

    page.keyboard.press("/")
    expect(page.locator("#query")).to_be_focused()
    page.keyboard.type("jk?")
    expect(page.locator("#query")).to_have_value("jk?")
    page.keyboard.press("Tab")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()


def test_deletion_can_be_undone_and_otherwise_happens(page: Page, places: Any) -> None:
    send(places, "undo", "stays", "goes")
    page.goto(f"{places.viewer}ns/undo/")

    page.keyboard.press("j")
    page.keyboard.press("d")
    expect(rows(page)).to_have_count(1)
    page.get_by_role("button", name="Undo").click()
    expect(rows(page)).to_have_count(2)
    expect(page.locator("#undo")).to_be_hidden()

    page.keyboard.press("j")
    page.keyboard.press("k")
    with page.expect_response(lambda answer: answer.request.method == "DELETE") as answer:
        page.keyboard.press("d")
    assert answer.value.status == 200
    page.reload()
    expect(rows(page)).to_have_count(1)
    expect(rows(page)).to_contain_text("stays")


def test_key_deletes_the_mail_that_is_shown_and_no_other(page: Page, places: Any) -> None:
    send(places, "shown", "c", "b", "a")
    page.goto(f"{places.viewer}ns/shown/")
    rows(page).nth(1).locator("a").click()
    page.set_viewport_size({"width": 1280, "height": 800})

    page.keyboard.press("d")
    page.keyboard.press("d")
    expect(page.locator("#list li.gone")).to_have_count(1)
    expect(rows(page)).to_have_count(2)
    page.keyboard.press("j")

    expect(page.get_by_role("heading", level=1)).to_have_text("c")


def test_list_beside_a_mail_keeps_its_form_when_mail_comes(page: Page, places: Any) -> None:
    page.set_viewport_size({"width": 1280, "height": 800})
    send(places, "beside", "first")
    page.goto(f"{places.viewer}ns/beside/mail/latest")

    send(places, "beside", "second")

    expect(rows(page)).to_have_count(2, timeout=SLOW_MS)
    expect(page.locator("h1")).to_have_count(1)
    expect(page.locator("#list button")).to_have_count(0)


def test_buttons_of_the_pages_are_not_taken_for_those_of_another_site(page: Page, places: Any) -> None:
    send(places, "buttons", "one", "two")
    page.goto(f"{places.viewer}ns/buttons/")
    page.get_by_role("button", name="Mark all read").click()
    expect(page.locator("#list li.unread")).to_have_count(0, timeout=SLOW_MS)
    rows(page).first.locator("a").click()
    page.get_by_role("button", name="Mark unread").click()
    expect(page.locator("#list li.unread")).to_have_count(1, timeout=SLOW_MS)
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete all").click()

    expect(page.get_by_role("heading", name="No mail yet")).to_be_visible(timeout=SLOW_MS)


def test_mails_are_read_marked_and_deleted_without_javascript(browser: Any, places: Any) -> None:
    send(places, "plain", "one", "two")
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.set_default_timeout(SLOW_MS)

    page.goto(f"{places.viewer}ns/plain/?query=subject:one")
    page.locator("#list li a").first.click()
    page.get_by_role("button", name="Mark unread").click()
    expect(page.locator("#list li.unread")).to_have_count(1)
    page.locator("#list li a").first.click()
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", name="Nothing found")).to_be_visible()
    page.goto(f"{places.viewer}ns/plain/")
    expect(page.locator("#list li[data-id]")).to_have_count(1)
    page.get_by_role("button", name="Delete all").click()
    expect(page.get_by_role("heading", name="No mail yet")).to_be_visible()

    context.close()


def test_many_mails_in_tabs_of_their_own_leave_connections_for_the_next(page: Page, places: Any) -> None:
    send(places, "tabs", "in many tabs")
    page.goto(f"{places.viewer}ns/tabs/mail/latest")
    hide = """is_hidden => {
        Object.defineProperty(document, "hidden", {value: is_hidden, configurable: true});
        document.dispatchEvent(new Event("visibilitychange"));
    }"""
    for _ in range(7):
        tab = page.context.new_page()
        tab.goto(page.url, timeout=SLOW_MS)
        tab.evaluate(hide, True)

    page.evaluate(hide, True)
    send(places, "tabs", "came while nobody looked")
    page.evaluate(hide, False)

    expect(page.locator("#list li[data-id]")).to_have_count(2, timeout=SLOW_MS)


def test_mail_is_marked_unread_by_its_key(page: Page, places: Any) -> None:
    send(places, "unread", "again")
    page.goto(f"{places.viewer}ns/unread/")
    page.get_by_role("link", name="again").click()
    page.goto(f"{places.viewer}ns/unread/")
    expect(page.locator("#list li.unread")).to_have_count(0)

    page.keyboard.press("j")
    page.keyboard.press("u")

    expect(page.locator("#list li[data-id] .visually-hidden", has_text="Unread")).to_have_count(
        1, timeout=SLOW_MS
    )


def test_names_of_the_views_are_not_broken_into_pieces(page: Page, places: Any) -> None:
    send(places, "tabs", "views")
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(f"{places.viewer}ns/tabs/mail/latest")

    heights = page.locator(".tabs a").evaluate_all("links => links.map(link => link.getClientRects().length)")
    lines = page.locator(".tabs a").evaluate_all(
        "links => links.map(link => { const range = document.createRange(); range.selectNodeContents(link);"
        " return range.getClientRects().length })"
    )

    assert set(heights) == set(lines) == {1}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_any_page(browser: Any, places: Any, axe: str, scheme: str) -> None:
    send(places, f"axe-{scheme}", "Welcome")
    with smtplib.SMTP("127.0.0.1", places.mail_port, timeout=30) as client:
        client.docmd("NONSENSE")
    context = browser.new_context(color_scheme=scheme)
    page = context.new_page()
    page.set_default_timeout(SLOW_MS)
    own = f"{places.viewer}ns/axe-{scheme}/"
    page.goto(own)
    opened = own + "mail/" + str(page.locator("#list li[data-id]").get_attribute("data-id"))
    views = [f"{opened}?view={view}" for view in ("text", "headers", "source", "envelope")]
    pages = [places.viewer, own, f"{own}?query=nothing", f"{places.viewer}ns/empty/", f"{places.viewer}refused",
             f"{own}mail/{'0' * 22}", *views]  # fmt: skip

    found = {}
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 800})
        for url in pages:
            page.goto(url)
            page.evaluate(axe)
            violations = page.evaluate("axe.run().then(result => result.violations)")
            found |= {
                (url, width, each["id"]): [node["html"][:200] for node in each["nodes"][:2]]
                for each in violations
            }
    context.close()

    assert found == {}
