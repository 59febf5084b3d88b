"""What the server does not do and does not tell, whoever asks."""

from typing import Any

import pytest

from mailpact_capture.accounts import Accounts


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
async def test_health_tells_nothing(server: Any, path: str) -> None:
    await server.send(b"Subject: secret\r\n\r\nx\r\n")

    status, body, headers = await server.get(path)

    assert (status, body) == (200, b"")
    assert headers["Server"] == "Mailpact"  # no version
    assert "X-Mailpact-Cursor" not in headers


@pytest.mark.parametrize("password", ["", "s3cre", "s3crett", "S3cret", "ü"])
def test_wrong_password_is_refused_for_names_that_exist_and_for_others(password: str) -> None:
    accounts = Accounts({"ada": "s3cret"})

    assert accounts.accept("ada", "s3cret")
    assert not accounts.accept("ada", password)
    assert not accounts.accept("nobody", password)


async def test_nothing_is_ever_released_to_anybody(server: Any) -> None:
    await server.send(b"Subject: x\r\n\r\nx\r\n")
    public_id = (await server.json("/api/v1/messages"))["messages"][0]["ID"]

    status, answer = await server.change(
        "POST", f"/api/v1/message/{public_id}/release", {"To": ["eve@x.org"]}
    )

    assert status == 400
    assert "not enabled" in answer
    assert (await server.json("/api/v1/webui"))["MessageRelay"]["Enabled"] is False


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize("path", ["/quit", "/api/v1/quit", "/shutdown"])
async def test_nobody_can_stop_the_server_by_http(server: Any, method: str, path: str) -> None:
    assert (await server.change(method, path))[0] == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/api/mailpact/v1/faults"),
        ("DELETE", "/api/mailpact/v1/faults"),
        ("PUT", "/api/v1/chaos"),
        ("DELETE", "/api/mailpact/v1/smtp-sessions"),
        ("GET", "/api/mailpact/v1/smtp-sessions"),
        ("GET", "/refused"),
    ],
)
@pytest.mark.parametrize(
    "headers", [{"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}]
)
async def test_foreign_page_can_neither_change_nor_read(
    server: Any, method: str, path: str, headers: dict[str, str]
) -> None:
    async with server.web.request(method, server.url + path, headers=headers, json={"rules": []}) as answer:
        assert answer.status == 403
