"""The mails of email/1's vectors agree with the rules in the contract's README."""

import re


def subject_by_the_rules(message: str) -> str:
    for line in re.split("\r\n|\n|\r", message):
        if trimmed := re.sub("[\x00-\x1f\x7f-\x9f]", " ", line).strip(" "):
            return trimmed[:200].rstrip(" ")
    return "(no subject)"


def test_mail_of_each_valid_vector_follows_from_the_written_rules(vectors, parsed):
    valid = {each.name: each for each in vectors if (each.contract, each.kind) == ("email/1", "valid")}
    sent = {name: parsed(vector) for name, vector in valid.items()}

    mails = {
        name: {"to": each["email"], "subject": subject_by_the_rules(each["message"]), "text": each["message"]}
        for name, each in sent.items()
    }
    assert mails
    assert mails == {name: vector.document["mail"] for name, vector in valid.items()}
