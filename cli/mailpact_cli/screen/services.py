"""Asks services at their `--health` addresses: `/readyz`, `/metrics`, and of a site also `/health/mail`."""

import asyncio
import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final

import aiohttp

from mailpact.settings import HostPort
from mailpact_cli.http_answer import read_body
from mailpact_cli.screen.situation import ConsumerHealth, Service, Silent, SiteHealth

ANSWER_SECONDS: Final = 5.0
MOST_BYTES: Final = 1_000_000
SAMPLE: Final = re.compile(r"^(\w+) (\S+)$", re.MULTILINE)
RELEASE: Final = re.compile(r'^mailpact_info\{version="([^"\n]*)"\}', re.MULTILINE)
BREAKER: Final = "smtp_breaker_state"
PENDING, OLDEST = "cms_outbox_pending", "cms_outbox_oldest_age_seconds"
LOST: Final = "log_records_lost_total"


class ServiceWatch:
    """One service, to be looked at again and again."""

    def __init__(self, session: aiohttp.ClientSession, address: HostPort) -> None:
        self._session = session
        self._address = address

    async def look(self) -> Service:
        """Ask the service within 5 seconds."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._ask()
        except TimeoutError:
            reason = "no answer in time"
        except aiohttp.ClientConnectionError:
            reason = "no connection"
        except (aiohttp.ClientError, ValueError, RecursionError):
            reason = "no service of Mailpact answers there"
        return Silent(str(self._address), reason)

    async def _ask(self) -> Service:
        ready = _object(await self._get("/readyz"))
        numbers, release = _numbers((await self._get("/metrics")).decode())
        common: dict[str, Any] = {
            "address": str(self._address),
            "release": release,
            "trouble": _trouble(ready),
            "lost_log_records": _whole(numbers.get(LOST, 0.0)),
        }
        if BREAKER in numbers:
            return ConsumerHealth(**common, breaker_is_open=numbers[BREAKER] != 0)
        if PENDING not in numbers:
            return Silent(str(self._address), "the service is neither a consumer nor a site")
        mail = _object(await self._get("/health/mail"))
        canary = mail.get("canary")
        return SiteHealth(
            **common,
            mail_flows=mail.get("flows") is True,
            mail_detail=str(mail.get("detail", "")),
            canary=canary if isinstance(canary, dict) else {},
            outbox_pending=_whole(numbers[PENDING]),
            outbox_oldest_seconds=_finite(numbers.get(OLDEST, 0.0)),
        )

    async def _get(self, path: str) -> bytes:
        async with self._session.get(f"http://{self._address}{path}") as response:
            return await read_body(response, most_bytes=MOST_BYTES)


def _object(text: bytes) -> dict[str, Any]:
    """Return a JSON object. Raises ValueError, RecursionError."""
    value = json.loads(text)
    if isinstance(value, dict):
        return value
    raise ValueError("the answer is no JSON object")


def _trouble(ready: Mapping[str, Any]) -> list[str]:
    """Return the conditions of `/readyz` that do not hold, each in words."""
    conditions = ready.get("conditions")
    if not isinstance(conditions, Mapping):
        return ["/readyz names no conditions"]
    return [
        f"{name}: {condition.get('detail') or 'does not work'}"
        for name, condition in conditions.items()
        if isinstance(condition, Mapping) and condition.get("ok") is not True
    ]


def _numbers(text: str) -> tuple[dict[str, float], str]:
    """Return the samples without labels by name, and the release. Raises ValueError for a value that is no number."""
    release = RELEASE.search(text)
    return {name: float(value) for name, value in SAMPLE.findall(text)}, release[1] if release else ""


def _whole(value: float) -> int:
    return int(_finite(value))


def _finite(value: float) -> float:
    return value if math.isfinite(value) else 0.0
