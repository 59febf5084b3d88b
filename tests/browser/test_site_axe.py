"""axe finds nothing wrong on any page of the site, and no page is wider than its window."""

import hashlib
import secrets
import sqlite3
import time
from contextlib import closing
from typing import Any

import pytest
from playwright.sync_api import Page

PASSWORD = "correct horse battery"
SLOW_MS = 30_000  # a loaded machine
LONG_WORD = "Donaudampfschifffahrtsgesellschaft" * 8
TEXT = f"# A heading\n\n{LONG_WORD} and [a link](/)\n\n```\n{LONG_WORD}\n```\n\n- `one`\n\n> quoted"

pytestmark = pytest.mark.xdist_group("browser")


class Visit:
    """One browser that opens page after page, and collects what axe finds wrong."""

    def __init__(self, page: Page, places: Any, axe: str, widths: tuple[int, ...]) -> None:
        self.page = page
        self.site = places.site.rstrip("/")
        self.database = places.data / "cms.db"
        self.found: dict[tuple[str, int, str], Any] = {}
        self._axe = axe
        self._widths = widths
        page.set_default_timeout(SLOW_MS)

    def change(self, statement: str, *values: object) -> list[Any]:
        with closing(sqlite3.connect(self.database, timeout=20)) as connection, connection:
            return list(connection.execute(statement, values))

    def open(self, path: str) -> None:
        self.page.goto(self.site + path)

    def look(self, name: str, title: str) -> None:
        """Let axe check the page that is open, whose heading is `title`."""
        assert title in self.page.locator("h1").first.inner_text(), (name, self.page.content())
        for width in self._widths:
            self.page.set_viewport_size({"width": width, "height": 800})
            if self.page.evaluate("document.documentElement.scrollWidth") > width:
                self.found[name, width, "too wide"] = ""
            self.page.evaluate(self._axe)
            violations = self.page.evaluate("axe.run().then(result => result.violations)")
            self.found |= {
                (name, width, each["id"]): [node["html"][:200] for node in each["nodes"][:2]]
                for each in violations
            }

    def visit(self, path: str, name: str, title: str) -> None:
        self.open(path)
        self.look(name, title)

    def send(self, button: str, **fields: str) -> None:
        """Fill in fields by their name and press a button of the page."""
        for field, text in fields.items():
            self.page.locator(f"main [name={field}]").first.fill(text)
        self.page.get_by_role("main").get_by_role("button", name=button, exact=True).first.click()

    def link(self, purpose: str, email: str, *, is_used: bool = False) -> str:
        """Store a token as for a mailed link, and return the token."""
        token = secrets.token_urlsafe(32)
        ((user,),) = self.change("SELECT id FROM users WHERE email = ?", email)
        self.change(
            "INSERT INTO links (id, purpose, user_id, email, expires_at, used_at) VALUES (?, ?, ?, ?, ?, ?)",
            hashlib.sha256(token.encode()).hexdigest(), purpose, user, "new@example.org",
            int(time.time() + 600) * 1_000_000, 1 if is_used else None,
        )  # fmt: skip
        return token

    def register(self, name: str, email: str) -> None:
        self.open("/register")
        self.send("Register", name=name, email=email, password=PASSWORD)

    def confirm(self, email: str) -> None:
        self.change("UPDATE users SET confirmed_at = 1, delete_at = NULL WHERE email = ?", email)

    def log_in(self, email: str) -> None:
        self.open("/login")
        self.send("Log in", email=email, password=PASSWORD)


def see_what_strangers_see(visit: Visit, email: str) -> None:
    visit.visit("/", "list", "Pages worth")
    visit.visit("/pages/welcome", "page", "Welcome")
    visit.visit("/nowhere", "404", "There is no such page")
    visit.visit("/register", "register", "Register")
    visit.send("Register", name="", email="not an address", password="short")
    visit.look("register with errors", "Register")
    visit.register("Bob", email)
    visit.look("registered", "Welcome")
    visit.visit("/login", "login", "Log in")
    visit.send("Log in", email=email, password="wrong horse battery")
    visit.look("login refused", "Log in")
    visit.log_in(email)
    visit.look("login of an address that is not confirmed", "Log in")
    visit.visit("/forgot", "forgotten", "Choose a new password")
    visit.send("Send the link", email="nobody at all")
    visit.look("forgotten with an error", "Choose a new password")
    visit.send("Send the link", email=email)
    visit.look("forgotten, sent", "Pages worth")
    visit.visit("/confirm/again", "again", "Send another link")
    visit.send("Send the link", email="x")
    visit.look("again with an error", "Send another link")
    visit.visit("/confirm?token=x", "dead link", "This link does not work any more")
    visit.visit(
        f"/confirm?token={visit.link('confirm', email, is_used=True)}",
        "used link",
        "This link was used already",
    )
    visit.visit(f"/confirm?token={visit.link('confirm', email)}", "confirm", "Confirm your address")
    visit.send("Confirm the address")
    visit.look("confirmed", "Log in")
    visit.visit(f"/reset?token={visit.link('reset', email)}", "reset", "Choose a new password")
    visit.send("Save the password", password="password")
    visit.look("reset with an error", "Choose a new password")
    visit.visit("/reset?token=x", "dead reset", "This link does not work any more")
    visit.visit(
        f"/change-address?token={visit.link('change', email)}", "change address", "Confirm your new address"
    )


def see_what_readers_see(visit: Visit, email: str) -> None:
    visit.log_in(email)
    visit.look("account", "Your account")
    visit.send("Send the link", email="x")
    visit.look("account, wrong address", "Your account")
    visit.send("Save the password")
    visit.look("account, wrong password", "Your account")
    visit.send("Delete my account")
    visit.look("account, not deleted", "Your account")
    visit.open("/pages/welcome")
    visit.send("Send the comment", comment="")
    visit.look("empty comment", "Welcome")
    visit.send("Send the comment", comment=f"I like it. {LONG_WORD}")
    visit.look("comment waits", "Welcome")
    visit.page.get_by_role("link", name="Change or delete").click()
    visit.look("change a comment", "Your comment")


def see_what_administrators_see(visit: Visit, email: str) -> None:
    visit.register("Ada", email)
    visit.confirm(email)
    visit.change("UPDATE users SET is_admin = 1 WHERE email = ?", email)
    visit.log_in(email)
    visit.visit("/", "list of an administrator", "Pages worth")
    visit.visit("/edit", "new page", "New page")
    visit.send("Save the page")
    visit.look("new page with errors", "New page")
    visit.send("Save the page", title="A draft", body=TEXT)
    visit.look("page saved", "A draft")
    visit.page.get_by_role("link", name="Delete this page").click()
    visit.look("delete a page", "Delete the page")
    visit.page.go_back()
    visit.page.get_by_role("link", name="Edit this page").click()
    visit.look("edit", "Edit the page")
    visit.change("UPDATE pages SET version = version + 1 WHERE title = 'A draft'")
    visit.send("Save the page", body="My own words.")
    visit.look("edit, conflict", "Edit the page")
    visit.visit("/readers", "readers", "Readers")
    visit.send("Search", address="nobody at all")
    visit.look("readers, none found", "Readers")
    visit.send("Search", address=email)
    visit.look("readers, found", "Readers")
    visit.page.get_by_role("main").get_by_role("link", name="Ada").click()
    visit.change("UPDATE mails SET state = 'failed', smtp_code = 550, reply = '5.1.1 no such user'")
    visit.page.reload()
    visit.look("reader", "Ada")
    visit.visit("/audit", "audit log", "Audit log")
    visit.visit("/audit?kind=account-deleted", "audit log, no entry", "Audit log")
    visit.visit("/moderation", "moderation", "Moderation")
    visit.visit("/readers", "readers", "Readers")
    visit.page.get_by_role("main").get_by_role("link", name="Ada").first.click()
    visit.look("reader", "Ada")
    visit.visit("/audit", "audit log", "Audit log")
    visit.change("UPDATE comments SET state = 'shown'")
    visit.open("/pages/welcome")
    visit.page.get_by_role("link", name="Report").first.click()
    visit.look("report a comment", "Report a comment")
    visit.send("Report the comment")
    visit.look("comment reported", "Welcome")
    visit.visit("/moderation", "moderation of a report", "Moderation")
    visit.send("Delete, and block the reader")
    visit.look("moderation, nobody waits", "Moderation")


def see_what_goes_wrong(visit: Visit) -> None:
    visit.page.context.clear_cookies()
    visit.open("/register")
    visit.page.context.clear_cookies()
    visit.send("Register", name="Eve", email="eve@example.org", password=PASSWORD)
    visit.look("form of another site", "Register")
    visit.change("UPDATE pages SET is_published = 0")
    visit.visit("/", "no pages", "Pages worth")
    visit.change("UPDATE pages SET is_published = 1, updated_at = 'broken'")
    visit.visit("/pages/welcome?comments=1", "500", "The site made a mistake")
    visit.change("ALTER TABLE pages RENAME TO gone")
    visit.visit("/pages/welcome?comments=1", "503", "The site cannot do this at the moment")
    visit.change("ALTER TABLE gone RENAME TO pages")
    visit.change("UPDATE pages SET updated_at = NULL")


def started(browser: Any, places: Any, axe: str, scheme: str, widths: tuple[int, ...]) -> Visit:
    """Return a visit with windows of these widths."""
    return Visit(browser.new_context(color_scheme=scheme).new_page(), places, axe, widths)


@pytest.mark.timeout(300)
def test_axe_finds_nothing_on_the_pages_for_strangers(browser: Any, places: Any, axe: str) -> None:
    visit = started(browser, places, axe, "dark", (390,))

    see_what_strangers_see(visit, f"eve.{secrets.token_hex(4)}@example.org")
    see_what_goes_wrong(visit)
    visit.page.context.close()

    assert visit.found == {}


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_any_page_of_the_site(browser: Any, places: Any, axe: str, scheme: str) -> None:
    visit = started(browser, places, axe, scheme, (1280, 390, 320))
    name = secrets.token_hex(4)

    see_what_strangers_see(visit, f"bob.{name}@example.org")
    see_what_readers_see(visit, f"bob.{name}@example.org")
    visit.page.context.clear_cookies()
    see_what_administrators_see(visit, f"ada.{name}@example.org")
    see_what_goes_wrong(visit)
    visit.page.context.close()

    assert visit.found == {}
