"""Examines RabbitMQ through its management API, for facts that AMQP does not provide."""

import asyncio
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from mailpact.settings import AmqpUrl
from mailpact_cli.doctor.clocks import compared
from mailpact_cli.doctor.finding import Finding, ok, unknown, unreachable, wrong

if TYPE_CHECKING:
    import aiohttp

ANSWER_SECONDS: Final = 5.0
OPTION: Final = "--management-url"
FLAGS: Final = ("quorum_queue", "stream_queue")
LOG_QUEUE: Final = "logs.all"
WHOLE_SECONDS: Final = 1.0  # the precision of HTTP's Date


async def examine_management(url: str | None, amqp: AmqpUrl, *, utc_seconds: Any) -> AsyncIterator[Finding]:
    """Yield what is found; the login is that of `amqp`, unless `url` has one. `utc_seconds` is this machine's clock."""
    if url is None:
        for about in ("feature flags", "log policy", "broker clock"):
            yield unknown(about, f"{OPTION} http://HOST:15672, RabbitMQ's management API")
        return
    import aiohttp

    login = None if "@" in url else aiohttp.BasicAuth(amqp.user, amqp.password)
    timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
    try:
        async with aiohttp.ClientSession(auth=login, timeout=timeout, raise_for_status=True) as session:
            began = utc_seconds()
            flags, date = await _ask(session, f"{url}/api/feature-flags")
            yield _flags(flags)
            yield compared(
                "broker clock",
                "the broker's",
                parsedate_to_datetime(date).timestamp() + WHOLE_SECONDS / 2 if date else None,
                between=(began, utc_seconds()),
            )
            yield await _policy(session, url, amqp.vhost)
    except aiohttp.ClientResponseError as error:
        yield wrong(
            "management API",
            f"it answered with status {error.status}",
            f"Correct {OPTION}; the user needs the tag monitoring, and rights in the virtual host.",
        )
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        yield unreachable(
            "management API",
            f"no usable answer ({type(error).__name__})",
            f"Correct {OPTION}, or enable the plugin: `rabbitmq-plugins enable rabbitmq_management`.",
        )


async def _ask(session: "aiohttp.ClientSession", address: str) -> tuple[Any, str]:
    async with asyncio.timeout(ANSWER_SECONDS), session.get(address) as response:
        return await response.json(), response.headers.get("Date", "")


def _flags(listed: object) -> Finding:
    states = {
        str(flag.get("name")): str(flag.get("state"))
        for flag in (listed if isinstance(listed, list) else [])
        if isinstance(flag, dict)
    }
    # Newer releases of RabbitMQ have removed this flag, because every node has the feature.
    missing = [name for name in FLAGS if states.get(name, "enabled") != "enabled"]
    if missing:
        return wrong(
            "feature flags",
            f"not enabled: {', '.join(missing)}; dead letters may get lost on their way",
            "Run " + " and ".join(f"`rabbitmqctl enable_feature_flag {name}`" for name in missing) + ".",
        )
    return ok("feature flags", f"{' and '.join(FLAGS)} are enabled")


async def _policy(session: "aiohttp.ClientSession", url: str, vhost: str) -> Finding:
    import aiohttp

    try:
        queue, _ = await _ask(session, f"{url}/api/queues/{quote(vhost, safe='')}/{LOG_QUEUE}")
    except aiohttp.ClientResponseError as error:
        if error.status != 404:
            raise
        return ok("log policy", f"there is no queue {LOG_QUEUE}")
    definition = queue.get("effective_policy_definition") if isinstance(queue, dict) else None
    bounds = {"max-length", "max-length-bytes", "message-ttl"}
    if isinstance(definition, dict) and bounds & definition.keys():
        return ok("log policy", f"{LOG_QUEUE} is bounded by policy {queue.get('policy')}")
    return wrong(
        "log policy",
        f"no policy bounds {LOG_QUEUE}: log records may fill the broker's disk",
        f"""Run `rabbitmqctl set_policy -p {vhost} mailpact-logs '^logs\\.all$' """
        """'{"max-length": 100000, "max-length-bytes": 100000000, "overflow": "drop-head"}' --apply-to queues`.""",
    )
