"""Scripted faults by HTTP, and Mailpit's chaos.

GET, PUT, DELETE /api/mailpact/v1/faults    the script with its counts; replaces the script; removes it
GET, PUT         /api/v1/chaos              Mailpit's three triggers; an omitted trigger is switched off
"""

from typing import Any, Final

from aiohttp import web

from mailpact_capture.asking import bad_request, json_of, namespace_of, only
from mailpact_capture.fault_desk import FaultDesk, TooManyScripts, Trigger, default_trigger
from mailpact_capture.faults import FaultError, Script, Stage, parse_script

TRIGGERS: Final = {"Sender": Stage.MAIL, "Recipient": Stage.RCPT, "Authentication": Stage.AUTH}


class Faults:
    """Shows and changes the faults."""

    def __init__(self, desk: FaultDesk) -> None:
        self._desk = desk

    def add_routes(self, router: web.UrlDispatcher, prefix: str) -> None:
        """Add the routes below `prefix`."""
        router.add_get(prefix + "/api/mailpact/v1/faults", self.faults)
        router.add_put(prefix + "/api/mailpact/v1/faults", self.replace)
        router.add_delete(prefix + "/api/mailpact/v1/faults", self.remove)
        router.add_get(prefix + "/api/v1/chaos", self.chaos)
        router.add_put(prefix + "/api/v1/chaos", self.set_chaos)

    async def faults(self, request: web.Request) -> web.Response:
        """Answer with the script and, for each rule, how often the rule matched and was applied."""
        return web.json_response(_script_json(self._desk.script(namespace_of(request))))

    async def replace(self, request: web.Request) -> web.Response:
        """Replace the script; all counts start at 0 again."""
        namespace = namespace_of(request)
        body = await json_of(request)
        if not body:
            raise bad_request("the body has no rules; DELETE removes the script")
        try:
            script = parse_script(body, in_namespace=namespace is not None)
            self._desk.put(namespace, script)
        except FaultError as error:
            raise bad_request(f"{error}; nothing was changed") from error
        except TooManyScripts:
            raise web.HTTPServiceUnavailable(text="too many namespaces have faults; remove some") from None
        return web.json_response(_script_json(script))

    async def remove(self, request: web.Request) -> web.Response:
        """Remove the script."""
        self._desk.put(namespace_of(request), Script())
        return web.Response(status=204)

    async def chaos(self, _request: web.Request) -> web.Response:
        """Answer with the triggers of Mailpit's chaos, which apply to all mail."""
        return web.json_response(_chaos_json(self._desk))

    async def set_chaos(self, request: web.Request) -> web.Response:
        """Set the triggers; a trigger that is not in the body is switched off."""
        if namespace_of(request) is not None:
            raise bad_request(
                "chaos is for all mail; a namespace has faults of its own instead; nothing was changed"
            )
        body = await json_of(request)
        if not request.body_exists:
            raise bad_request("the body has no triggers; nothing was changed")
        only(body, *(name.lower() for name in TRIGGERS))
        self._desk.chaos = {stage: _trigger(body, name) for name, stage in TRIGGERS.items()}
        return web.json_response(_chaos_json(self._desk))


def _trigger(body: dict[str, Any], name: str) -> Trigger:
    value = body.get(name.lower())
    default = default_trigger(TRIGGERS[name])
    if value is None:
        return default
    if not isinstance(value, dict):
        raise bad_request(f"{name} is not a JSON object; nothing was changed")
    given = {key.lower(): each for key, each in value.items()}
    only(given, "errorcode", "probability")
    code, percent = given.get("errorcode", default.code), given.get("probability", 0)
    if not _is_whole(code, 400, 599):
        raise bad_request(f"{name}: error code must be between 400 and 599; nothing was changed")
    if not _is_whole(percent, 0, 100):
        raise bad_request(f"{name}: probability must be between 0 and 100; nothing was changed")
    return Trigger(code, percent)


def _is_whole(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _chaos_json(desk: FaultDesk) -> dict[str, Any]:
    shown = {name: desk.chaos.get(stage, default_trigger(stage)) for name, stage in TRIGGERS.items()}
    return {
        name: {"ErrorCode": trigger.code, "Probability": trigger.percent} for name, trigger in shown.items()
    }


def _script_json(script: Script) -> dict[str, Any]:
    rules = [
        {**counted.rule.source, "matched": counted.matched, "applied": counted.applied}
        for counted in script.rules
    ]
    return {"seed": script.seed, "rules": rules}
