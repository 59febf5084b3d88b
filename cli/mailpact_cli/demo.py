"""The demo: registers one reader as a browser would, waits for the mail, and prints its journey."""

import asyncio
import hashlib
import json
import secrets
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from html.parser import HTMLParser

import aiohttp
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from mailpact.telemetry import Point
from mailpact_cli.errors import NotShown
from mailpact_cli.running_system import RunningSystem

CONTRACT = "email/2"
MAIL_SECONDS = 30
REQUEST_SECONDS = 10
CONSUMING_SECONDS = 5
STAGES: Mapping[Point | None, tuple[str, str]] = {
    None: ("registered", "the site answered the form with 303"),
    Point.COMMITTED: ("committed", "account and message were stored in one transaction"),
    Point.CONFIRMED: ("confirmed by the broker", "the broker has stored the message"),
    Point.VALIDATED: ("validated", f"the message obeys the contract {CONTRACT}"),
    Point.HANDED_TO_SMTP: ("handed to SMTP", "the mail server answered 250 after the mail"),
    Point.CAPTURED: ("captured", "the mail is stored and can be seen in the viewer"),
}


@dataclass(frozen=True, slots=True)
class Mail:
    """The captured mail. `raw_sha256` is the hash of the bytes as the capture server received them."""

    sender: str
    to: str
    subject: str
    text: str
    raw_sha256: str


@dataclass(frozen=True, slots=True)
class Shown:
    """The demo's result. Times are milliseconds after the form was posted."""

    message_id: str
    registered_ms: float
    reached_ms: Mapping[Point, float]
    mail: Mail
    mail_url: str


class JourneyTimes:
    """Records when each message reached each point, in seconds of a monotonic clock."""

    def __init__(self) -> None:
        self.captured = asyncio.Event()
        self._times: dict[str, dict[Point, float]] = {}

    def note(self, point: Point, message_id: str) -> None:
        """Record that a message has reached a point now."""
        self._times.setdefault(message_id, {}).setdefault(point, time.perf_counter())
        if point is Point.CAPTURED:
            self.captured.set()

    def of(self, message_id: str, since: float) -> dict[Point, float]:
        """Return the points that a message reached, in milliseconds after `since`."""
        return {point: _milliseconds(at - since) for point, at in self._times.get(message_id, {}).items()}


async def demonstrate(system: RunningSystem, *, as_json: bool, stopping: asyncio.Event) -> None:
    """Run the demo and print its result, unless `stopping` is set before. Raises NotShown if no mail arrives."""
    show = asyncio.create_task(_show(system))
    stop = asyncio.create_task(stopping.wait())
    await asyncio.wait({show, stop}, return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    if not show.done():
        show.cancel()
        return
    shown = show.result()
    if as_json:
        print(json.dumps(_as_object(system, shown), ensure_ascii=False))  # noqa: T201  # the result
    else:
        _print_journey(system, shown)


async def _show(system: RunningSystem) -> Shown:
    times = JourneyTimes()
    system.journey.watch(times.note)
    reader = f"reader-{secrets.token_hex(3)}@example.org"
    # If the queue did not exist yet, the message would wait a second in the outbox. If the queue never exists, the
    # time limit for the mail reports this.
    with suppress(TimeoutError):
        async with asyncio.timeout(CONSUMING_SECONDS):
            await system.consuming.wait()
    timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
    jar = aiohttp.CookieJar(unsafe=True)  # keeps cookies of an IP address
    async with aiohttp.ClientSession(timeout=timeout, cookie_jar=jar) as session:
        posted_at = await _register(session, system.cms_url, reader)
        registered_ms = _milliseconds(time.perf_counter() - posted_at)
        try:
            async with asyncio.timeout(MAIL_SECONDS):
                mail_id = await _captured_mail(session, system.viewer_url, reader, times)
        except TimeoutError:
            raise NotShown(
                f"no mail to {reader} within {MAIL_SECONDS} seconds; does another consumer use the queue?"
            ) from None
        message_id, mail = await _read_mail(session, system.viewer_url, mail_id)
    return Shown(
        message_id=message_id,
        registered_ms=registered_ms,
        reached_ms=times.of(message_id, posted_at),
        mail=mail,
        mail_url=f"{system.viewer_url}mail/{mail_id}",
    )


async def _register(session: aiohttp.ClientSession, cms_url: str, reader: str) -> float:
    """Fill in the web form and post it; return the time of the post."""
    url = f"{cms_url}register"
    async with session.get(url) as page:
        form = _FormFields()
        form.feed(await page.text())
    fields = form.values | {"name": "Demo Reader", "email": reader, "password": secrets.token_urlsafe(12)}
    posted_at = time.perf_counter()
    async with session.post(url, data=fields, allow_redirects=False) as answer:
        if answer.status != 303:
            raise NotShown(f"the site answered the registration with {answer.status} instead of 303")
    return posted_at


async def _captured_mail(
    session: aiohttp.ClientSession, viewer_url: str, reader: str, times: JourneyTimes
) -> str:
    """Wait until the mail to the reader is captured; return its id in the viewer."""
    while True:
        times.captured.clear()
        query = {"query": f'to:"{reader}"'}
        async with session.get(f"{viewer_url}api/v1/search", params=query) as answer:
            found = (await answer.json())["messages"]
        if found:
            return str(found[0]["ID"])
        await times.captured.wait()


async def _read_mail(session: aiohttp.ClientSession, viewer_url: str, mail_id: str) -> tuple[str, Mail]:
    async with session.get(f"{viewer_url}api/v1/message/{mail_id}") as answer:
        read = await answer.json()
    async with session.get(f"{viewer_url}api/v1/message/{mail_id}/raw") as answer:
        raw = await answer.read()
    mail = Mail(
        sender=read["From"]["Address"],
        to=read["To"][0]["Address"],
        subject=read["Subject"],
        text=read["Text"],
        raw_sha256=hashlib.sha256(raw).hexdigest(),
    )
    message_id = str(read["MessageID"]).partition(".")[0]
    return message_id, mail


def _as_object(system: RunningSystem, shown: Shown) -> dict[str, object]:
    mail = asdict(shown.mail)
    return {
        "amqp": system.amqp,
        "database": system.database,
        "contract": CONTRACT,
        "message_id": shown.message_id,
        "registered_ms": shown.registered_ms,
        "captured_ms": shown.reached_ms[Point.CAPTURED],
        "mail": {"from": mail.pop("sender"), **mail},
        "links": {
            "cms": system.cms_url,
            "viewer": system.viewer_url,
            "mail": shown.mail_url,
            "smtp": str(system.smtp_url),
            "amqp": system.amqp_link,
        },
    }


def _print_journey(system: RunningSystem, shown: Shown) -> None:
    console = Console(highlight=False, soft_wrap=True)
    console.print(
        f"\n{shown.mail.to} registered and received the mail: [bold]{escape(shown.mail.subject)}[/bold]\n"
    )
    console.print(f"[dim]{'':<24}{'ms':>7}[/dim]")
    for point, (stage, meaning) in STAGES.items():
        ms = shown.registered_ms if point is None else shown.reached_ms.get(point)
        if ms is not None:
            console.print(f"{stage:<24}[cyan]{ms:>7.1f}[/cyan]  [dim]{meaning}[/dim]")
    console.print(
        "[dim]\nmilliseconds after the form was posted; a broker may deliver before it confirms[/dim]\n"
    )
    for name, url in (
        ("mail", shown.mail_url),
        ("viewer", system.viewer_url),
        ("site", system.cms_url),
    ):
        console.print(Text.assemble(f"{name:<8}", (url, f"link {url}")))
    console.print(Text(f"{'broker':<8}{system.amqp_link}\n"))


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 1)


class _FormFields(HTMLParser):
    """Collects the named fields of a page's form with their values."""

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an input's name and value."""
        attributes = dict(attrs)
        if tag == "input" and attributes.get("name"):
            self.values[str(attributes["name"])] = attributes.get("value") or ""
