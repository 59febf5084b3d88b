"""The mails of email/1's vectors, held against the rules as its README words them."""

import re


def subject_by_the_rules(message: str) -> str:
    for line in re.split("\r\n|\n|\r", message):
        if trimmed := re.sub("[\x00-\x1f\x7f-\x9f]", " ", line).strip(" "):
            return trimmed[:200].rstrip(" ")
    return "(no subject)"


def test_mail_of_each_valid_vector_follows_from_the_written_rules(valid_email_1, parsed):
    sent = parsed(valid_email_1)

    mail = {"to": sent["email"], "subject": subject_by_the_rules(sent["message"]), "text": sent["message"]}
    assert mail == valid_email_1.document["mail"]
