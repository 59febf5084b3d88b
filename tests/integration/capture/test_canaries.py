"""Mails to the namespace `canary` appear in that namespace alone, so that they disturb neither tests nor people."""

import asyncio
from typing import Any

CANARY = "canary+ns-canary@example.org"


def mail(subject: str) -> bytes:
    return f"Subject: {subject}\r\n\r\nx\r\n".encode()


async def test_canary_is_seen_in_its_namespace_and_in_no_other_view(server: Any) -> None:
    async with server.web.ws_connect(server.url + "/api/events") as events:
        await server.send(mail("canary"), to=(CANARY,))
        await server.send(mail("a reader's"))
        async with asyncio.timeout(30):
            while (told := await events.receive_json())["Type"] != "new":
                pass
    listed = await server.json("/api/v1/messages")
    own = await server.json("/ns/canary/api/v1/messages")
    waited = await server.get("/api/mailpact/v1/wait?query=subject:canary&expect=none&timeout=0")

    assert told["Data"]["Subject"] == "a reader's"
    assert [each["Subject"] for each in listed["messages"]] == ["a reader's"]
    assert (listed["total"], listed["unread"]) == (1, 1)
    assert [each["Subject"] for each in own["messages"]] == ["canary"]
    assert waited[0] == 204
    assert (await server.get(f"/mail/{own['messages'][0]['ID']}"))[0] == 404
    assert (await server.get(f"/ns/canary/mail/{own['messages'][0]['ID']}"))[0] == 200


async def test_deleting_all_mail_leaves_a_canary_that_is_still_asked_for(server: Any) -> None:
    await server.send(mail("canary"), to=(CANARY,))

    await server.change("DELETE", "/api/v1/messages")
    left = await server.json("/ns/canary/api/v1/search?query=subject:canary&limit=1")
    await server.change("DELETE", "/ns/canary/api/v1/messages", {"IDs": [left["messages"][0]["ID"]]})

    assert (await server.json("/ns/canary/api/v1/messages"))["total"] == 0
