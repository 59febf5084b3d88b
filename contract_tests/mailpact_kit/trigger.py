"""Make a producer send one mail: through its web form, as a browser does, or by a command.

A form is fetched first, and its hidden fields and cookies are sent back, so that a form with a CSRF token works.
`{email}`, `{message}` and `{nonce}` are placeholders for the values of the case, in addition to the kit's own names.
"""

import asyncio
import shlex
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

import aiohttp
from yarl import URL

from mailpact_kit.changes import Changes
from mailpact_kit.environment import filled, named
from mailpact_kit.form import Form, form_with, forms_of
from mailpact_kit.process import Process

MAX_PAGE_BYTES = 1024 * 1024
LOOK_AGAIN_SECONDS = 0.05
SHOWN_LINES = 5


class TriggerFailed(Exception):
    """The producer refused the request; the message contains its answer. The case reports this as a problem."""


@dataclass(frozen=True, slots=True)
class FormTrigger:
    """A web form: its URL, and the fields to fill in as pairs (field, text with placeholders)."""

    url: str
    fields: tuple[tuple[str, str], ...]

    @property
    def words(self) -> tuple[str, ...]:
        """Return the texts that may contain placeholders."""
        return (self.url, *(text for _, text in self.fields))


@dataclass(frozen=True, slots=True)
class CommandTrigger:
    """A command line with placeholders; it must end with exit code 0."""

    words: tuple[str, ...]


Trigger = FormTrigger | CommandTrigger


def command_trigger(text: str) -> CommandTrigger:
    """Split a command line as a shell does; raises ValueError for an unclosed quotation."""
    return CommandTrigger(tuple(shlex.split(text)))


def carries_message(trigger: Trigger) -> bool:
    """Return whether the trigger has a placeholder for the text of the mail."""
    return any("message" in named(word) for word in trigger.words)


async def pull(
    trigger: Trigger, values: Mapping[str, str], variables: Mapping[str, str], *, seconds: float
) -> None:
    """Make the producer send one mail; raises TriggerFailed."""
    try:
        async with asyncio.timeout(seconds):
            match trigger:
                case FormTrigger():
                    await _fill_in(trigger, values)
                case CommandTrigger():
                    await _run(trigger, values, variables)
    except TimeoutError:
        raise TriggerFailed(f"the trigger took longer than {seconds:g} s") from None


async def answers(url: str, *, seconds: float) -> None:
    """Return as soon as a server answers at this URL; raises TimeoutError."""
    async with asyncio.timeout(seconds), aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(url):
                    return
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(LOOK_AGAIN_SECONDS)


async def _fill_in(trigger: FormTrigger, values: Mapping[str, str]) -> None:
    url = filled(trigger.url, values)
    typed = {name: filled(text, values) for name, text in trigger.fields}
    try:
        # The option `unsafe` means that the jar also keeps cookies of an IP address.
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
            async with session.get(url) as answer:
                page, at = await _page(answer), answer.url
            form = _wanted_form(page, url, typed)
            target = at.join(URL(form.action)) if form.action else at
            async with session.post(target, data=form.fields | typed, allow_redirects=False) as answer:
                await _page(answer)
    except aiohttp.ClientError as error:
        raise TriggerFailed(f"the form at {url} cannot be reached: {error}") from error


async def _page(answer: aiohttp.ClientResponse) -> str:
    body = await answer.content.read(MAX_PAGE_BYTES)
    while len(body) < MAX_PAGE_BYTES and (more := await answer.content.read(MAX_PAGE_BYTES)):
        body += more
    if answer.status >= 400:
        raise TriggerFailed(f"{answer.method} {answer.url} was answered with {answer.status} {answer.reason}")
    return body.decode(answer.charset or "utf-8", "replace")


def _wanted_form(page: str, url: str, typed: Mapping[str, str]) -> Form:
    form = form_with(page, typed)
    if form is None:
        found = "; ".join(", ".join(form.fields) for form in forms_of(page)) or "(there is none)"
        raise TriggerFailed(f"no form at {url} has the fields {', '.join(typed)}; its forms have: {found}")
    return form


async def _run(trigger: CommandTrigger, values: Mapping[str, str], variables: Mapping[str, str]) -> None:
    command = [filled(word, values) for word in trigger.words]
    async with AsyncExitStack() as stack:
        changes = Changes()
        try:
            process = await Process.start(command, variables, changes)
        except OSError as error:
            raise TriggerFailed(f"the trigger {command[0]} cannot be started: {error.strerror}") from error
        stack.push_async_callback(process.stop)
        while process.exit_code is None:
            await changes.wait_for(lambda: process.exit_code is not None, seconds=1)
    if process.exit_code:
        said = " | ".join(process.tail(SHOWN_LINES))
        raise TriggerFailed(f"the trigger {command[0]} ended with exit code {process.exit_code}: {said}")
