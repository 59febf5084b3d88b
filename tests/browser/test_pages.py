"""The pages of the site and of the viewer in a real Chromium."""

from typing import Any

import pytest
from playwright.sync_api import Page, expect

WIDTHS = (1280, 390, 320)
REFUSED = (
    "404 (Not Found)",
    "410 (Gone)",
    "422 (Unprocessable Entity)",
)  # which the browser itself reports as errors

pytestmark = pytest.mark.xdist_group("browser")


@pytest.fixture(params=["light", "dark"])
def page(request: pytest.FixtureRequest, browser: Any) -> Any:
    """Yield a page in each colour scheme; a script that runs in a mail, or an error in the console, fails the test."""
    context = browser.new_context(color_scheme=request.param)
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("dialog", lambda dialog: complaints.append(dialog.message))
    yield opened
    context.close()
    assert [complaint for complaint in complaints if not complaint.endswith(REFUSED)] == []


def mail_urls(page: Page, places: Any) -> list[str]:
    page.goto(places.viewer)
    return [
        places.viewer.rstrip("/") + str(link.get_attribute("href")).partition("?")[0]
        for link in page.locator(".mails a").all()
    ]


def test_registration_in_the_browser_becomes_a_mail_whose_link_confirms_the_address(
    page: Page, places: Any
) -> None:
    scheme = "dark" if page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") else "light"
    page.goto(places.site)
    page.get_by_role("link", name="Register").first.click()
    page.get_by_label("Name").fill("Ada")
    page.get_by_label("E-mail").fill(f"{scheme}@example.org")
    page.get_by_label("Password").fill("correct horse battery")
    page.get_by_role("button", name="Register").click()
    expect(page.get_by_role("status")).to_contain_text("Thank you")

    subject = page.locator(".mails a", has_text="Confirm your address for Our CMS")
    page.goto(f"{places.viewer}?query=to:{scheme}")
    for _ in range(50):
        if subject.count():
            break
        page.reload()
    subject.click()

    expect(page.get_by_role("heading", level=1)).to_have_text("Confirm your address for Our CMS")
    page.get_by_role("link", name="Text", exact=True).click()
    page.goto(str(page.locator(".body a").first.get_attribute("href")))
    page.get_by_role("button", name="Confirm the address").click()
    expect(page.get_by_role("status")).to_contain_text("Your address is confirmed")
    page.get_by_label("E-mail").fill(f"{scheme}@example.org")
    page.get_by_label("Password").fill("correct horse battery")
    page.get_by_role("main").get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Your account")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("status")).to_contain_text("logged out")


def test_wrong_input_is_said_beside_its_field_and_the_rest_is_kept(page: Page, places: Any) -> None:
    page.goto(f"{places.site}register")
    page.locator("main form").evaluate("form => { form.noValidate = true }")
    page.get_by_label("Name").fill("Ada")
    page.get_by_label("E-mail").fill("ada@")

    with page.expect_response(lambda response: response.request.method == "POST") as answer:
        page.get_by_role("button", name="Register").click()

    assert answer.value.status == 422
    email = page.get_by_label("E-mail")
    expect(email).to_have_value("ada@")
    expect(email).to_have_attribute("aria-invalid", "true")
    expect(email).to_be_focused()
    described = str(email.get_attribute("aria-describedby")).split()[0]
    expect(page.locator(f"#{described}")).to_be_visible()
    expect(page.get_by_label("Name")).to_have_value("Ada")


def test_hostile_mail_is_shown_and_runs_nothing(page: Page, places: Any) -> None:
    for url in mail_urls(page, places):
        for view in ("text", "source", "headers", "envelope"):
            page.goto(f"{url}?view={view}")

            assert page.title() != "owned"
            assert page.locator("main script, main img").count() == 0
            hrefs = [str(link.get_attribute("href")) for link in page.locator("main a").all()]
            assert all(href.startswith(("/", "https://", "http://")) for href in hrefs), hrefs


def test_web_address_in_a_text_can_be_clicked_and_tells_nobody_where_from(page: Page, places: Any) -> None:
    page.goto(f"{places.viewer}?query=invoice")
    page.locator(".mails a").first.click()

    link = page.locator(".body a")

    expect(link).to_have_attribute("href", "https://example.org/invoice?id=1&x=2")
    assert {"noreferrer", "noopener"} <= set(str(link.get_attribute("rel")).split())


@pytest.mark.parametrize("width", WIDTHS)
def test_no_page_scrolls_sideways(page: Page, places: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    paths = ("", "register", "login", "forgot", "confirm/again", "confirm?token=x", "nowhere")
    site = [places.site + path for path in paths]
    mails = [
        f"{url}?view={view}" for url in mail_urls(page, places) for view in ("text", "headers", "envelope")
    ]

    for url in (*site, places.viewer, *mails):
        page.goto(url)

        assert page.evaluate("document.documentElement.scrollWidth") <= width, url


def test_keyboard_reaches_what_can_be_done_and_shows_where_it_is(page: Page, places: Any) -> None:
    page.goto(places.viewer)

    page.keyboard.press("Tab")
    page.keyboard.press("Tab")

    expect(page.locator("#query")).to_be_focused()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
