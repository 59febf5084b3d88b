"""The time of an answer does not reveal whether an address is registered."""

import secrets
import time
from statistics import median
from typing import Any

import pytest

PASSWORD = "correct horse battery"
TRIES = 300
MOST_MS = 2.0
REPEATS = 3  # on a busy machine one measurement can fail; a real leak fails each time

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]


def register(data: Any, count: int) -> list[str]:
    """Make confirmed readers; return their addresses."""
    emails = [f"reader-{secrets.token_hex(8)}@example.org" for _ in range(count)]
    for email in emails:
        data.rows(
            "INSERT INTO users (email, email_key, name, password_hash, created_at, confirmed_at)"
            " SELECT :email, :email, 'Ada', password_hash, 1, 1 FROM users WHERE email = 'model@example.org'",
            email=email,
        )
    return emails


async def took_ms(site: Any, data: Any, path: str, hidden: dict[str, str], email: str) -> float:
    """Post the form for one address; return how long the answer took, in milliseconds."""
    data.rows("DELETE FROM login_delays")
    fields = hidden | {
        "form": secrets.token_hex(8),
        "name": "Ada",
        "email": email,
        "password": PASSWORD + "!",
    }
    began = time.perf_counter()
    answer = await site.post(path, data=fields)
    took = (time.perf_counter() - began) * 1000
    assert answer.status in (303, 422), answer.text
    return took


@pytest.mark.parametrize("path", ["/register", "/login", "/forgot", "/confirm/again"])
async def test_registered_and_unregistered_addresses_take_the_same_time(
    start_site: Any, data: Any, path: str
) -> None:
    site = await start_site(mail_limit_network=0, mail_limit_mailbox=3)
    await site.confirmed("model@example.org", data)
    hidden = await site.hidden_fields(path)
    measured = []

    for _ in range(REPEATS):
        pairs = []
        for number, known in enumerate(register(data, TRIES)):
            unknown = f"reader-{secrets.token_hex(8)}@example.org"
            order = (known, unknown) if number % 2 else (unknown, known)
            took = {email: await took_ms(site, data, path, hidden, email) for email in order}
            pairs.append((took[known], took[unknown]))
        # Both values of a pair were measured under the same load.
        of_pairs = median(known - unknown for known, unknown in pairs)
        of_kinds = median(known for known, _ in pairs) - median(unknown for _, unknown in pairs)
        measured.append(min(abs(of_pairs), abs(of_kinds)))
        if measured[-1] <= MOST_MS:
            return

    pytest.fail(f"{path}: the medians differ by {measured} ms")
