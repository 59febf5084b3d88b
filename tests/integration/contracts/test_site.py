"""`mailpact contracts docs`: the pages that it writes, and its messages."""

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.command import run

ROOT = Path(__file__).parents[3]

SITE_SECONDS = 200  # writing the site takes 4 s of processor time

# All tests share one site and one folder.
pytestmark = [pytest.mark.xdist_group("published"), pytest.mark.timeout(SITE_SECONDS + 60)]


class Addresses(HTMLParser):
    """Collects where a page leads, and what a browser loads for it."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "a" and found.get("href"):
            self.links.append(str(found["href"]))
        if tag == "link" and "stylesheet" in str(found.get("rel")):
            self.loaded.append(str(found["href"]))
        if found.get("src"):
            self.loaded.append(str(found["src"]))


def addresses(page: Path) -> Addresses:
    parser = Addresses()
    parser.feed(page.read_text(encoding="utf-8"))
    return parser


def held(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def contracts(*arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the contract tool to its end."""
    return run("contracts", *arguments, cwd=cwd, seconds=SITE_SECONDS, **variables)


def test_every_link_leads_to_a_page_or_file_of_the_site(site: Path) -> None:
    broken = [
        f"{page.relative_to(site)}: {link}"
        for page in site.rglob("*.html")
        for link in addresses(page).links
        if not re.match(r"https?:|#", link) and not (page.parent / link.partition("#")[0]).exists()
    ]

    assert broken == []


def test_a_browser_loads_nothing_from_elsewhere(site: Path) -> None:
    loaded = {(address, page) for page in site.rglob("*.html") for address in addresses(page).loaded}
    styles = "".join(path.read_text(encoding="utf-8") for path in site.rglob("*.css"))

    assert [address for address, _ in loaded if "//" in address] == []
    assert all((page.parent / address.partition("?")[0]).exists() for address, page in loaded)
    assert re.findall(r"url\(['\"]?(?:https?:)?//|@import", styles) == []


def test_search_knows_the_error_codes(site: Path) -> None:
    assert "duplicate_key" in (site / "searchindex.js").read_text(encoding="utf-8")


@pytest.mark.long  # .ci/run publishes from the wheel too, in each run
def test_an_installed_wheel_makes_what_the_checkout_makes_wherever_and_whenever(
    site: Path, edition: Path, tmp_path: Path
) -> None:
    wheel = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*wheel, "-w", tmp_path, ROOT], check=True, timeout=SITE_SECONDS)
    (built,) = tmp_path.glob("*.whl")
    subprocess.run([sys.executable, "-m", "zipfile", "-e", built, tmp_path / "installed"], check=True)
    elsewhere = {
        "PYTHONPATH": str(tmp_path / "installed"),
        "TZ": "Asia/Kathmandu",
        "LC_ALL": "C",
        "PYTHONHASHSEED": "7",
    }

    documented = contracts("docs", "--out", "site", "--json", cwd=tmp_path, **elsewhere)
    published = contracts("publish", "--out", "published", cwd=tmp_path, **elsewhere)

    assert (documented.stderr, published.stderr) == ("", "")
    assert json.loads(documented.stdout)["start"] == "site/index.html"
    assert held(tmp_path / "site") == held(site)
    assert held(tmp_path / "published") == held(edition)


def test_a_folder_of_somebodys_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("my own site")

    done = contracts("docs", "--out", str(tmp_path), cwd=tmp_path)

    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert (tmp_path / "index.html").read_text() == "my own site"
