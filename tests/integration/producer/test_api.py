"""The JSON API: the answers agree with the description, and hold nothing that readers may not see."""

import asyncio
import json
import re
import sys
from copy import deepcopy
from itertools import product
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import schemathesis

from mailpact_producer.store.pages import WELCOME_PAGE
from mailpact_producer.web.api import Api

ADA, BOB = "ada@example.org", "bob@example.org"
SCHEMATHESIS_SECONDS = 900  # on a busy machine
DESCRIPTION = json.loads(
    (Path(__file__).parents[3] / "producer/mailpact_producer/web/openapi.json").read_text()
)
WRONG = [
    ("limit=0", "limit"),
    ("limit=101", "limit"),
    ("limit=-1", "limit"),
    ("limit=", "limit"),
    ("limit=1.0", "limit"),
    ("limit=٢", "limit"),
    ("limit=+5", "limit"),
    ("limit=5%0A", "limit"),
    (f"limit={'9' * 5000}", "limit"),
    ("cursor=", "cursor"),
    ("cursor=x", "cursor"),
    (f"cursor=1.{'0' * 36}", "cursor"),
    (f"cursor={'9' * 19}.{WELCOME_PAGE}", "cursor"),
    ("cursor=1%20OR%201", "cursor"),
    ("limt=5", None),
    ("limit=5&limit=6", None),
    ("%ff=%ff", None),
    ("%3Cscript%3E", None),
]
NOT_THERE = [
    "/api",
    "/api/",
    "/api/page",
    "/api/pages/",
    "/api/pages/none",
    "/api/pages/none/comments",
    "/api/pages/Welcome",
    "/api/pages/welcome/",
    "/api/pages/%00",
    "/api/pages/%F0%9F%A6%86",
    "/api/pages/%ff%fe",
    "/api/pages/..%2fx",
    f"/api/pages/{'a' * 101}",
    "/api/pages/welcome/comments/1",
    "/%61pi/pages/none",
]


def add_page(data: Any, number: int, *, body: str = "Text.", is_published: bool = True) -> str:
    guid = f"00000000-0000-4000-8000-{number:012}"
    data.rows(
        "INSERT INTO pages (guid, slug, title, body, is_published, published_at)"
        " VALUES (:guid, :slug, :title, :body, :is_published, :at)",
        guid=guid, slug=f"page-{number}", title=f"Page {number}", body=body, is_published=int(is_published),
        at=1_000_000 * number,
    )  # fmt: skip
    return guid


def add_reader(data: Any, email: str, name: str) -> int:
    data.rows(
        "INSERT INTO users (email, email_key, name, password_hash, created_at)"
        " VALUES (:email, :email, :name, 'x', 1)",
        email=email, name=name,
    )  # fmt: skip
    return int(data.rows("SELECT id FROM users WHERE email = :email", email=email)[0][0])


def add_comment(data: Any, guid: str, reader: int, body: str, state: str = "shown") -> None:
    number = data.rows("SELECT count(*) FROM comments")[0][0]
    data.rows(
        "INSERT INTO comments (page_guid, user_id, body, state, created_at, once)"
        " VALUES (:guid, :reader, :body, :state, 1000000, :once)",
        guid=guid, reader=reader, body=body, state=state, once=f"once-{number}",
    )  # fmt: skip


def assert_described(answer: Any, operation: dict[str, Any]) -> Any:
    """Check an answer against the description of its operation; return the members of the answer."""
    described = operation["responses"][str(answer.status)]
    if "$ref" in described:
        described = DESCRIPTION["components"]["responses"][described["$ref"].rpartition("/")[2]]
    ((content_type, content),) = described["content"].items()
    assert answer.headers["Content-Type"].partition(";")[0] == content_type
    schema = content["schema"] | {"components": DESCRIPTION["components"]}
    validator = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
    members = json.loads(answer.text)
    validator.validate(members)
    return members


async def read(site: Any, url: str, path: str | None = None) -> Any:
    """Read an address of the API, and check that the answer agrees with the description."""
    path = path or url.partition("?")[0]
    operation = DESCRIPTION["paths"][path]["get"]
    return assert_described(await site.get(url), operation)


def below_host(url: str) -> str:
    return re.sub("^https?://[^/]+", "", url)


async def parts(site: Any, url: str, name: str, path: str | None = None) -> list[list[Any]]:
    """Follow `next` to the end of a list; return its parts."""
    found = []
    following: str | None = url
    while following is not None:
        answer = await read(site, below_host(following), path)
        found.append(answer[name])
        following = answer["next"]
        assert len(found) < 50
    return found


async def test_pages_are_listed_in_parts_that_lead_from_one_to_the_next(start_site: Any, data: Any) -> None:
    site = await start_site(base_url="https://cms.example")
    for number in range(1, 25):
        add_page(data, number // 2 if number % 2 else 1000 + number)  # some are published in the same second

    by_five = await parts(site, "/api/pages?limit=5", "pages")
    by_default = await parts(site, "/api/pages", "pages")

    slugs = [page["slug"] for part in by_five for page in part]
    assert [len(part) for part in by_five] == [5, 5, 5, 5, 5]
    assert [len(part) for part in by_default] == [20, 5]
    assert slugs == [page["slug"] for part in by_default for page in part]
    assert len(set(slugs)) == 25
    moments = [page["published_at"] for part in by_default for page in part]
    assert moments == sorted(moments, reverse=True)


async def test_of_pages_of_one_moment_none_is_left_out_between_two_parts(site: Any, data: Any) -> None:
    for number in range(1, 8):
        add_page(data, number)
    data.rows("UPDATE pages SET published_at = 1234567891234567")

    found = [page["slug"] for part in await parts(site, "/api/pages?limit=2", "pages") for page in part]

    assert len(found) == len(set(found)) == 8


async def test_list_goes_on_behind_its_last_page_whatever_was_published_or_deleted_meanwhile(
    site: Any, data: Any
) -> None:
    for number in range(1, 7):
        add_page(data, number)
    data.rows("DELETE FROM pages WHERE guid = :guid", guid=WELCOME_PAGE)

    first = await read(site, "/api/pages?limit=3")
    add_page(data, 100)
    data.rows("DELETE FROM pages WHERE slug = 'page-4'")
    second = await read(site, below_host(first["next"]), "/api/pages")

    assert [page["slug"] for page in first["pages"]] == ["page-6", "page-5", "page-4"]
    assert [page["slug"] for page in second["pages"]] == ["page-3", "page-2", "page-1"]
    assert second["next"] is None


async def test_page_has_its_text_and_its_addresses_under_the_site_s_own_address(
    start_site: Any, data: Any
) -> None:
    site = await start_site(base_url="https://cms.example")
    guid = add_page(data, 7, body="A *word* <script>alert(1)</script>\n\n# More")

    page = await read(site, "/api/pages/page-7", "/api/pages/{slug}")
    listed = (await read(site, "/api/pages"))["pages"][-1]

    head = {
        "guid": guid,
        "slug": "page-7",
        "title": "Page 7",
        "url": "https://cms.example/pages/page-7",
        "comments": "https://cms.example/api/pages/page-7/comments",
        "published_at": "1970-01-01T00:00:07Z",
        "updated_at": "1970-01-01T00:00:07Z",
    }
    assert {name: page[name] for name in head} == head
    assert page["markdown"] == "A *word* <script>alert(1)</script>\n\n# More"
    assert "<em>word</em>" in page["html"]
    assert "<script" not in page["html"]
    assert listed == head | {"excerpt": "A word <script>alert(1)</script>"}


async def test_comments_are_answered_in_parts_the_oldest_first(site: Any, data: Any) -> None:
    guid, bob = add_page(data, 1), add_reader(data, BOB, "Bob")
    for number in range(7):
        add_comment(data, guid, bob, f"Number {number}")
    add_comment(data, add_page(data, 2), bob, "On another page")

    url, path = "/api/pages/page-1/comments", "/api/pages/{slug}/comments"
    found = await parts(site, f"{url}?limit=3", "comments", path)
    (everything,) = await parts(site, url, "comments", path)

    assert [len(part) for part in found] == [3, 3, 1]
    assert [each["text"] for part in found for each in part] == [f"Number {n}" for n in range(7)]
    assert {each["author"] for each in everything} == {"Bob"}
    assert {each["created_at"] for each in everything} == {"1970-01-01T00:00:01Z"}


async def test_nothing_that_is_not_for_everybody_is_answered_whoever_asks(
    site: Any, data: Any, browser: Any
) -> None:
    admin = browser(site.url)
    await admin.confirmed(ADA, data)
    data.rows("UPDATE users SET is_admin = 1 WHERE email = :email", email=ADA)
    assert (await admin.log_in(ADA)).status == 303
    add_page(data, 1, body="Secret plan", is_published=False)
    (ada,) = data.rows("SELECT id FROM users WHERE email = :email", email=ADA)[0]
    add_comment(data, WELCOME_PAGE, ada, "Waits for approval", "waiting")
    add_comment(data, WELCOME_PAGE, ada, "Approved")

    urls = ["/api/pages", "/api/pages/page-1", "/api/pages/page-1/comments", "/api/pages/welcome",
            "/api/pages/welcome/comments"]  # fmt: skip
    seen = [await admin.get(url) for url in urls]
    strangers = [await site.get(url) for url in urls]

    assert (await admin.get("/pages/page-1")).status == 200
    assert [answer.status for answer in seen] == [200, 404, 404, 200, 200]
    assert [answer.text for answer in seen] == [answer.text for answer in strangers]
    everything = "".join(answer.text for answer in seen)
    assert "Approved" in everything
    for hidden in ("ecret", "Waits", "@", "password", "page-1", "Set-Cookie"):
        assert hidden not in everything
    assert not any("Set-Cookie" in answer.headers for answer in seen)


async def test_wrong_parameter_is_a_problem_that_names_the_parameter(site: Any) -> None:
    for query, parameter in WRONG:
        answer = await site.get(f"/api/pages?{query}")

        problem = assert_described(answer, DESCRIPTION["paths"]["/api/pages"]["get"])
        seen = (query, answer.status, problem["status"], problem.get("parameter"))
        assert seen == (query, 400, 400, parameter)
        assert "<" not in answer.text


async def test_what_is_not_there_is_a_problem(site: Any) -> None:
    for path in NOT_THERE:
        answer = await site.get(path)

        assert (path, answer.status) == (path, 404)
        problem = assert_described(answer, DESCRIPTION["paths"]["/api/pages/{slug}"]["get"])
        assert problem["title"] == "Not Found"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_other_methods_than_reading_are_a_problem_that_names_those_allowed(site: Any) -> None:
    methods = ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND")
    paths = ("/api/pages", "/api/pages/welcome", "/api/pages/welcome/comments", "/api/openapi.json")
    for method, path in product(methods, paths):
        async with site.session.request(method, site.url + path, data=b"{}") as answer:
            problem = json.loads(await answer.text())

        assert answer.status == problem["status"] == 405
        assert answer.content_type == "application/problem+json"
        assert answer.headers["Allow"] == "GET,HEAD"


async def test_what_is_refused_before_its_path_is_looked_at_is_a_problem_too(site: Any) -> None:
    for header, value, status in (("Content-Encoding", "gzip", 415), ("Expect", "miracles", 417)):
        async with site.session.get(f"{site.url}/api/pages", headers={header: value}) as answer:
            problem = json.loads(await answer.text())

        assert (answer.status, problem["status"]) == (status, status)
        assert answer.content_type == "application/problem+json"


async def test_database_that_is_away_is_a_problem_that_says_when_to_try_again(site: Any, data: Any) -> None:
    data.rows("ALTER TABLE pages RENAME TO gone")
    try:
        answer = await site.get("/api/pages")
    finally:
        data.rows("ALTER TABLE gone RENAME TO pages")

    problem = assert_described(answer, DESCRIPTION["paths"]["/api/pages"]["get"])
    assert (answer.status, problem["status"]) == (503, 503)
    assert int(answer.headers["Retry-After"]) > 0


async def test_answer_that_the_client_has_already_is_not_sent_again(site: Any, data: Any) -> None:
    for path in ("/api/pages", "/api/pages/welcome", "/api/pages/welcome/comments", "/api/openapi.json"):
        first = await site.get(path)
        tag = {"If-None-Match": first.headers["ETag"]}
        async with site.session.get(site.url + path, headers=tag) as again:
            assert (again.status, await again.read()) == (304, b"")
            assert again.headers["ETag"] == first.headers["ETag"]
        async with site.session.get(site.url + path, headers={"If-None-Match": 'x"y, "other"'}) as other:
            assert (other.status, await other.text()) == (200, first.text)
        assert first.headers["Cache-Control"] == "no-cache"

    before = (await site.get("/api/pages/welcome")).headers["ETag"]
    data.rows("UPDATE pages SET body = 'New words.'")
    assert (await site.get("/api/pages/welcome")).headers["ETag"] != before


async def test_head_is_answered_as_get_without_a_body(site: Any) -> None:
    for path in ("/api/pages", "/api/pages/none", "/api/pages?limit=x"):
        async with site.session.head(site.url + path) as head, site.session.get(site.url + path) as full:
            body = await full.read()
            assert (head.status, await head.read()) == (full.status, b"")
            for name in ("Content-Type", "Content-Length", "ETag", "Cache-Control"):
                assert head.headers.get(name) == full.headers.get(name)
            assert head.headers["Content-Length"] == str(len(body))


async def test_description_that_is_served_is_the_file_and_names_each_route(site: Any) -> None:
    answer = await site.get("/api/openapi.json")

    described = assert_described(answer, DESCRIPTION["paths"]["/api/openapi.json"]["get"])
    no_database: Any = None
    routes = Api(no_database, no_database, "").routes()
    assert described == DESCRIPTION
    assert {(route.path, route.method) for route in routes} == {
        (path, "GET") for path in DESCRIPTION["paths"]
    }


def test_description_is_valid_openapi() -> None:
    assert DESCRIPTION["openapi"].startswith("3.1.")
    schemathesis.openapi.from_dict(deepcopy(DESCRIPTION)).validate()


def start_schemathesis(site: Any, folder: Path, *options: str) -> Any:
    """Start schemathesis on the site, with checks of every kind that a description allows."""
    return asyncio.create_subprocess_exec(
        *(str(Path(sys.executable).with_name("schemathesis")), "--no-color", "run"),
        *(f"{site.url}/api/openapi.json", "--checks", "all", *options),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        cwd=folder,
    )  # fmt: skip


async def assert_nothing_found(site: Any, data: Any, folder: Path, *options: str) -> None:
    bob = add_reader(data, BOB, "Bob")
    for number in range(3):
        add_page(data, number)
        add_comment(data, WELCOME_PAGE, bob, f"Number {number}")
    process = await start_schemathesis(site, folder, *options)
    try:
        async with asyncio.timeout(SCHEMATHESIS_SECONDS):
            said = (await process.communicate())[0].decode()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()

    assert process.returncode == 0, said
    assert "No issues found" in said, said


@pytest.mark.timeout(SCHEMATHESIS_SECONDS)
async def test_schemathesis_finds_no_answer_that_is_not_described(
    site: Any, data: Any, tmp_path: Path
) -> None:
    await assert_nothing_found(site, data, tmp_path, "--max-examples", "10", "--generation-deterministic")


@pytest.mark.long
@pytest.mark.timeout(2 * SCHEMATHESIS_SECONDS)
async def test_schemathesis_finds_nothing_in_many_random_requests(
    site: Any, data: Any, tmp_path: Path
) -> None:
    await assert_nothing_found(site, data, tmp_path, "--max-examples", "200", "--generation-database", "none")
