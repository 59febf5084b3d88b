"""What an administrator and a reader do on the site, step by step in a real Chromium."""

import json
import re
import secrets
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import Engine, NullPool, create_engine, text

from tests.browser.conftest import PATIENCE_SECONDS, up
from tests.command import MAILPACT, environment

PASSWORD, OTHER_PASSWORD = "correct horse battery", "another long phrase"
WIDTHS = (1280, 390, 320)
LONG_WORD = "Donaudampfschifffahrtsgesellschaft" * 8
ARABIC = "\u0645\u0631\u062d\u0628\u0627 \u0628\u0643\u0645"
TEXT = f"# A heading\n\n{LONG_WORD}\n\n```\n{LONG_WORD}\n```\n\n{ARABIC}\n\n- one\n- two\n\n> quoted"

pytestmark = pytest.mark.xdist_group("browser")


@pytest.fixture(params=["light", "dark"])
def scheme(request: pytest.FixtureRequest) -> str:
    """Return the colour scheme that the browsers of a test ask for."""
    return str(request.param)


@pytest.fixture
def open_page(browser: Any, scheme: str) -> Any:
    """Open a page in a browser without cookies."""
    contexts = []

    def opened() -> Page:
        context = browser.new_context(color_scheme=scheme)
        contexts.append(context)
        page: Page = context.new_page()
        return page

    yield opened
    for context in contexts:
        context.close()


@dataclass(frozen=True)
class Site:
    """The URLs of site and viewer, of another process of the site, and of the database."""

    site: str
    viewer: str
    second: str
    database: Engine


@pytest.fixture(scope="module", params=["embedded", pytest.param("real", marks=pytest.mark.long)])
def places(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Yield site and viewer of a `mailpact up`: on the development broker and SQLite, then on RabbitMQ and MariaDB."""
    folder = tmp_path_factory.mktemp("up")
    with ExitStack() as stack:
        options: list[str] = []
        amqp_url, url = "", f"sqlite:///{folder}/.mailpact/cms.db"
        if request.param == "real":
            amqp_url, url = stack.enter_context(real_servers(request))
            options = ["--amqp-url", amqp_url, "--database-url", url]
        running = stack.enter_context(up(folder, *options))
        if not amqp_url:
            broker = re.search(r"^broker +\S*?([\d.]+:\d+)", (folder / "log").read_text(), re.MULTILINE)
            assert broker is not None
            amqp_url = f"amqp://guest:guest@{broker[1]}/"
        second = stack.enter_context(second_site(folder / "second", amqp_url, url))
        database = create_engine(url, poolclass=NullPool)
        yield Site(running.site, running.viewer, second, database)


@contextmanager
def second_site(log: Path, amqp_url: str, database_url: str) -> Iterator[str]:
    """Run another process of the site; yield its address, with a slash at its end."""
    words = ["producer", "--listen", "127.0.0.1:0", "--amqp-url", amqp_url, "--database-url", database_url]
    with log.open("w") as output:
        process = subprocess.Popen(
            [*MAILPACT, *words], stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment()
        )
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (found := re.search(r"site on (http://\S+/)", log.read_text())):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        yield found[1]
    finally:
        process.kill()
        process.wait()


@contextmanager
def real_servers(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """Yield the URLs of a vhost and a database that exist as long as the block lasts."""
    rabbitmq, mariadb = request.getfixturevalue("rabbitmq"), request.getfixturevalue("mariadb")
    name = f"test_{secrets.token_hex(4)}"
    rabbitmq.add_vhost(name)
    mariadb.create(name)
    yield rabbitmq.url(name), mariadb.url(name)
    mariadb.drop(name)
    rabbitmq.delete_vhost(name)


def change(places: Any, statement: str, **values: str) -> None:
    with places.database.begin() as connection:
        connection.execute(text(statement), values)


def register(page: Page, places: Any, name: str, email: str) -> None:
    page.goto(f"{places.site}register")
    page.get_by_label("Name").fill(name)
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("main").get_by_role("button", name="Register").click()
    expect(page.get_by_role("status")).to_contain_text("Thank you")
    change(places, "UPDATE users SET confirmed_at = 1, delete_at = NULL WHERE email = :email", email=email)


def make_administrator(places: Any, email: str) -> None:
    change(places, "UPDATE users SET is_admin = 1 WHERE email = :email", email=email)


def log_in(page: Page, places: Any, email: str, *, password: str = PASSWORD) -> None:
    page.goto(f"{places.site}login")
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill(password)
    page.get_by_role("main").get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Your account")


def fits(page: Page, name: str) -> None:
    """Check that the open page does not scroll sideways, whatever the window's width is."""
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width, (name, width)


def test_administrator_writes_a_page_and_moderates_a_comment(
    open_page: Any, places: Any, scheme: str
) -> None:
    admin, reader, stranger, elsewhere = (open_page() for _ in range(4))
    title = f"Brewing tea, {scheme}"
    register(admin, places, "Ada", f"ada.{scheme}@example.org")
    make_administrator(places, f"ada.{scheme}@example.org")
    log_in(admin, places, f"ada.{scheme}@example.org")

    admin.goto(places.site)
    fits(admin, f"home-{scheme}")
    admin.get_by_role("link", name="New page").click()
    fits(admin, f"new-page-{scheme}")
    admin.get_by_label("Title").fill(title)
    admin.get_by_label("Text").fill(TEXT)
    admin.get_by_label("Published").check()
    admin.get_by_role("button", name="Save the page").click()
    expect(admin.get_by_role("status")).to_have_text("The page is saved.")
    path = admin.url

    stranger.goto(path)
    expect(stranger.get_by_role("heading", level=1)).to_have_text(title)
    assert stranger.get_by_text(ARABIC).evaluate("each => getComputedStyle(each).direction") == "rtl"
    expect(stranger.get_by_text("There are no comments yet.")).to_be_visible()
    fits(stranger, f"page-{scheme}")
    elsewhere.goto(path.replace(places.site, places.second))
    expect(elsewhere.get_by_text("There are no comments yet.")).to_be_visible()

    register(reader, places, "Bob", f"bob.{scheme}@example.org")
    log_in(reader, places, f"bob.{scheme}@example.org")
    reader.goto(path)
    reader.get_by_label("Your comment").fill(f"I like it.\n\n{LONG_WORD}")
    reader.get_by_role("button", name="Send the comment").click()
    expect(reader.get_by_text("Waiting for approval")).to_be_visible()
    fits(reader, f"comment-waiting-{scheme}")

    admin.get_by_role("link", name="Moderation").click()
    fits(admin, f"moderation-{scheme}")
    admin.get_by_role("button", name="Approve").click()
    expect(admin.get_by_text("No comment waits")).to_be_visible()
    stranger.reload()
    expect(stranger.get_by_text("I like it.")).to_be_visible()
    fits(stranger, f"comments-{scheme}")
    reload_until(elsewhere, "I like it.")

    reader.goto(path)
    reader.get_by_role("link", name="Change or delete").click()
    fits(reader, f"comment-form-{scheme}")
    reader.get_by_role("button", name="Delete the comment").click()
    expect(reader.get_by_role("status")).to_have_text("Your comment is deleted.")
    reload_until(elsewhere, "There are no comments yet.")


def mailed_link(page: Page, places: Any, email: str, subject: str) -> str:
    """Return the first link in the mail with this subject to this address, once the viewer has the mail."""
    page.goto(f"{places.viewer}?query=to:{email}")
    reload_until(page, subject)
    page.get_by_role("main").get_by_role("link", name=subject).first.click()
    link = page.frame_locator("iframe").get_by_role("link").first.get_attribute("href")
    assert link is not None
    return link


def test_reader_forgets_the_password_and_moves_to_another_address(
    open_page: Any, places: Any, scheme: str
) -> None:
    reader = open_page()
    old, new = f"old.{scheme}@example.org", f"new.{scheme}@example.org"
    register(reader, places, "Ida", old)

    reader.goto(f"{places.site}forgot")
    reader.get_by_label("E-mail").fill(old)
    reader.get_by_role("button", name="Send the link").click()
    expect(reader.get_by_role("status")).to_contain_text(old)
    reader.goto(mailed_link(reader, places, old, "Choose a new password"))
    fits(reader, f"reset-{scheme}")
    reader.get_by_label("New password").fill(OTHER_PASSWORD)
    reader.get_by_role("button", name="Save the password").click()
    expect(reader.get_by_role("status")).to_contain_text("Your password is changed")
    mailed_link(reader, places, old, "Your password for")

    log_in(reader, places, old, password=OTHER_PASSWORD)
    form = reader.locator("form[action='/account/address']")
    form.get_by_label("New e-mail address").fill(new)
    form.get_by_label("Your password").fill(OTHER_PASSWORD)
    form.get_by_role("button", name="Send the link").click()
    expect(reader.get_by_role("status")).to_contain_text(new)
    reader.goto(mailed_link(reader, places, new, "Confirm your new address"))
    fits(reader, f"change-address-{scheme}")
    reader.get_by_role("button", name="Confirm the address").click()
    expect(reader.get_by_role("status")).to_contain_text("Your address is changed")
    mailed_link(reader, places, old, "Your address at")
    reader.goto(f"{places.site}account")
    expect(reader.get_by_text(new)).to_be_visible()


def test_second_editor_sees_both_texts(open_page: Any, places: Any, scheme: str) -> None:
    editor = open_page()
    register(editor, places, "Eve", f"eve.{scheme}@example.org")
    make_administrator(places, f"eve.{scheme}@example.org")
    log_in(editor, places, f"eve.{scheme}@example.org")
    editor.goto(f"{places.site}pages/welcome")
    editor.get_by_role("link", name="Edit this page").click()
    change(places, "UPDATE pages SET version = version + 1 WHERE slug = 'welcome'")

    editor.get_by_label("Text", exact=True).fill("My own words.")
    editor.get_by_role("button", name="Save the page").click()

    expect(editor.get_by_role("alert")).to_contain_text("Somebody else has changed this page")
    expect(editor.get_by_label("Text", exact=True)).to_have_value("My own words.")
    expect(editor.get_by_label("The page as it is now")).to_have_count(2)
    fits(editor, f"conflict-{scheme}")


def script_faults(places: Any, *rules: dict[str, Any]) -> None:
    """Set the fault rules of the mail server; without rules it accepts every mail."""
    request = urllib.request.Request(  # our own server
        f"{places.viewer}api/mailpact/v1/faults",
        data=json.dumps({"rules": rules}).encode(),
        headers={"Content-Type": "application/json"},
        method="PUT",
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 200


def link_of_latest_mail(page: Page, places: Any, email: str) -> str:
    """Return the link in the latest mail to this address, from the viewer."""
    page.goto(f"{places.viewer}?query=to:{email}")
    page.get_by_role("main").get_by_role("listitem").first.get_by_role("link").first.click()
    link = page.frame_locator("iframe").get_by_role("link").first.get_attribute("href")
    assert link is not None
    return link


def reload_until(page: Page, text: str) -> None:
    """Load the page again until the text is on it."""
    for _ in range(600):
        if page.get_by_text(text).count():
            return
        page.wait_for_timeout(100)
        page.reload()
    raise AssertionError(f"{text!r} never came")


def test_administrator_looks_after_a_mail_that_was_refused(open_page: Any, places: Any, scheme: str) -> None:
    admin, reader = open_page(), open_page()
    boss, bob = f"boss.{scheme}@example.org", f"robert.{scheme}@example.org"
    register(admin, places, "Grace", boss)
    make_administrator(places, boss)
    log_in(admin, places, boss)
    script_faults(places, {"stage": "rcpt", "recipient": bob, "code": 550, "text": "5.1.1 no such user"})
    reader.goto(f"{places.site}register")
    reader.get_by_label("Name").fill(f"Robert {LONG_WORD[:90]}")
    reader.get_by_label("E-mail").fill(bob)
    reader.get_by_label("Password").fill(PASSWORD)
    reader.get_by_role("main").get_by_role("button", name="Register").click()
    expect(reader.get_by_role("status")).to_contain_text("Thank you")

    admin.get_by_role("link", name="Readers").click()
    fits(admin, f"readers-{scheme}")
    admin.get_by_label("A part of the address").fill(bob.upper())
    admin.get_by_role("button", name="Search").click()
    expect(admin.get_by_role("link", name="Robert")).to_have_count(1)
    assert bob not in admin.url
    fits(admin, f"readers-search-{scheme}")
    admin.get_by_role("link", name="Robert").click()
    reload_until(admin, "The mail server said: 550")
    expect(admin.get_by_text("5.1.1 no such user")).to_be_visible()
    fits(admin, f"reader-failed-{scheme}")

    script_faults(places)
    admin.get_by_role("button", name="Send again").click()
    expect(admin.get_by_role("status")).to_contain_text("on its way again")
    reload_until(admin, "· Sent")
    expect(admin.get_by_text("Confirm your address", exact=True)).to_have_count(2)
    fits(admin, f"reader-sent-{scheme}")

    link = link_of_latest_mail(reader, places, bob)
    reader.goto(link)
    reader.get_by_role("button", name="Confirm").click()
    expect(reader.get_by_role("status")).to_contain_text("Your address is confirmed.")
    reader.goto(link)
    expect(reader.get_by_role("heading", level=1)).to_contain_text("link")

    admin.get_by_role("link", name="Audit log").click()
    fits(admin, f"audit-{scheme}")
    admin.get_by_label("Kind").select_option("Mail sent again")
    admin.get_by_role("button", name="Show").click()
    expect(admin.get_by_text("mail of reader").first).to_be_visible()
    expect(admin.get_by_role("link", name="Grace").first).to_be_visible()
    fits(admin, f"audit-kind-{scheme}")
