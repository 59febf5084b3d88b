"""Old programs, which know only the exchange, the routing key and two members of the body, need no change."""

import json
from typing import Any

REFUSED = {
    b"not json": "invalid_json",
    b"null": "schema",
    b'{"message":"m"}': "schema",
    b'{"email":"a@x.com,b@y.com","message":"m"}': "schema",
    b'{"email":"a@x.com\\n","message":"m"}': "schema",
    b'"You\'ve successfully registered!"': "schema",
}


def test_plain_text_program_without_message_id_is_served(on_both: Any, wait_until: Any) -> None:
    mailpact = on_both
    mailpact.consumer()

    body = json.dumps({"email": "ada@example.org", "message": "Hello\n\nada"}).encode()
    mailpact.publish(body, content_type="text/plain")

    (mail,) = wait_until("the mail is there", lambda: mailpact.mails("ada@example.org"))
    assert b"\r\nSubject: Hello\r\n" in mail
    assert mail.rstrip().endswith(b"Hello\r\n\r\nada")


def test_what_cannot_be_mailed_becomes_a_dead_letter_each_and_nothing_is_lost(
    on_both: Any, wait_until: Any
) -> None:
    mailpact = on_both
    mailpact.consumer()
    for body in REFUSED:
        mailpact.publish(body, content_type="text/plain")

    mailpact.publish(b'{"email": "fence@example.org", "message": "after them"}', content_type="text/plain")

    wait_until("the fence is mailed", lambda: mailpact.mails("fence@example.org"))
    wait_until("all are dead-lettered", lambda: mailpact.waiting("email.dead") == len(REFUSED))
    assert {body: code for code, body in mailpact.letters()} == REFUSED
    assert mailpact.waiting("email.work") == 0
    assert [mailpact.mails(address) for address in ("a@x.com", "b@y.com")] == [[], []]
