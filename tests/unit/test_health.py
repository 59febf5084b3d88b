"""The health of a process as operators and orchestrators see it."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge

from mailpact import health
from mailpact.health import Condition, health_app
from mailpact.web.serving import serving

BROKER_AWAY = Condition("broker", ok=False, detail="cannot connect to the broker: connection refused")
DATABASE = Condition("database", ok=True, detail="connected")
MAIL_LATE = Condition("mail", ok=False, detail="degraded", required=False)


@asynccontextmanager
async def served(check: health.Check, registry: CollectorRegistry) -> AsyncIterator[aiohttp.ClientSession]:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    port = listener.getsockname()[1]
    async with (
        serving(health_app(check, registry), listener),
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client,
    ):
        yield client


async def all_well() -> Iterable[Condition]:
    return [DATABASE]


@pytest.mark.parametrize(
    ("conditions", "status"),
    [
        ([], 200),
        ([DATABASE], 200),
        ([DATABASE, MAIL_LATE], 200),
        ([DATABASE, BROKER_AWAY], 503),
        ([BROKER_AWAY, MAIL_LATE], 503),
    ],
)
async def test_a_process_is_ready_while_every_required_condition_holds(
    conditions: list[Condition], status: int
) -> None:
    async def check() -> Iterable[Condition]:
        return conditions

    async with served(check, CollectorRegistry()) as client:
        answer = await client.get("/readyz")
        body = await answer.json()

    assert (answer.status, body["ready"]) == (status, status == 200)


async def test_each_condition_is_named_with_its_detail() -> None:
    async def check() -> Iterable[Condition]:
        return [DATABASE, BROKER_AWAY, MAIL_LATE]

    async with served(check, CollectorRegistry()) as client:
        body = await (await client.get("/readyz")).json()

    assert body == {
        "ready": False,
        "conditions": {
            "database": {"ok": True, "required": True, "detail": "connected"},
            "broker": {
                "ok": False,
                "required": True,
                "detail": "cannot connect to the broker: connection refused",
            },
            "mail": {"ok": False, "required": False, "detail": "degraded"},
        },
    }


async def test_the_check_runs_for_each_request_and_does_not_make_the_process_look_dead() -> None:
    found = [[DATABASE], [DATABASE, BROKER_AWAY], [DATABASE]]

    async def check() -> Iterable[Condition]:
        return found.pop(0)

    async with served(check, CollectorRegistry()) as client:
        statuses = [(await client.get("/readyz")).status for _ in range(3)]
        alive = await client.get("/livez")

        assert (statuses, alive.status) == ([200, 503, 200], 200)


async def test_a_check_that_hangs_is_answered_as_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    async def check() -> Iterable[Condition]:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(health, "CHECK_SECONDS", 0.05)
    async with served(check, CollectorRegistry()) as client:
        answer = await client.get("/readyz")

        assert answer.status == 503
        assert (await answer.json())["conditions"]["check"]["detail"] == "no result within 0.05 seconds"


async def test_metrics_are_those_of_the_registry_that_was_handed_in_and_no_others() -> None:
    registry = CollectorRegistry()
    Counter("mail_delivery", "Mails by result.", ["result"], registry=registry).labels("sent").inc(3)
    Gauge("smtp_breaker_state", "1 while open.", registry=registry).set_function(lambda: 1)
    async with served(all_well, registry) as client:
        answer = await client.get("/metrics")
        lines = (await answer.text()).splitlines()

    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    assert 'mail_delivery_total{result="sent"} 3.0' in lines
    assert "smtp_breaker_state 1.0" in lines
    assert not [line for line in lines if line.startswith(("python_", "process_"))]


async def test_a_prometheus_server_that_asks_for_openmetrics_gets_it() -> None:
    async with served(all_well, CollectorRegistry()) as client:
        answer = await client.get(
            "/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"}
        )

        assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
        assert (await answer.text()).endswith("# EOF\n")


async def test_answers_do_not_tell_the_versions_of_libraries() -> None:
    async with served(all_well, CollectorRegistry()) as client:
        answers = [await client.get(path) for path in ("/livez", "/readyz", "/metrics", "/else")]

    assert [answer.status for answer in answers] == [200, 200, 200, 404]
    assert {answer.headers["Server"] for answer in answers} == {"Mailpact"}
