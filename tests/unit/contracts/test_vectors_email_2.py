"""The mails of email/2's vectors agree with the rules in the contract's README, also rules beyond the schema."""

import base64
import hashlib
from datetime import datetime, timedelta

import pytest

from mailpact.contracts.validate import Validator


def envelope(sent):
    """Return each address once: case makes no difference in domains, but in local parts."""
    addresses = [box["address"] for group in ("to", "cc", "bcc") for box in sent.get(group, [])]
    keys = [(address.split("@")[0], address.split("@")[1].lower()) for address in addresses]
    return [address for at, address in enumerate(addresses) if keys[at] not in keys[:at]]


def shown(box):
    kept = {member: box.get(member, "").strip(" ") for member in ("address", "name")}
    return {member: value for member, value in kept.items() if value}


def headers(sent):
    one = {name: shown(sent[name]) for name in ("from", "reply_to") if name in sent}
    many = {name: [shown(box) for box in sent[name]] for name in ("to", "cc") if sent.get(name)}
    subject = {"subject": sent["subject"].strip(" ")} if "subject" in sent else {}
    return one | many | subject | unsubscribe(sent.get("list_unsubscribe"))


def unsubscribe(asked):
    if asked is None:
        return {}
    mail = f", <mailto:{asked['mail']}>" if "mail" in asked else ""
    post = {"list_unsubscribe_post": "List-Unsubscribe=One-Click"} if asked.get("one_click") else {}
    return {"list_unsubscribe": f"<{asked['url']}>{mail}"} | post


def file(attachment):
    content = base64.b64decode(attachment["content"], validate=True)
    kept = {
        name: attachment[name] for name in ("filename", "content_type", "content_id") if name in attachment
    }
    return kept | {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def media_type(attachment):
    return attachment["content_type"].partition(";")[0]


def structure(sent):
    files = sent.get("attachments", [])
    inline = [file for file in files if "html" in sent and "content_id" in file]
    parts = ["text/plain"] if "text" in sent else []
    if "html" in sent:
        related = {"multipart/related": ["text/html", *map(media_type, inline)]}
        parts.append(related if inline else "text/html")
    body = {"multipart/alternative": parts} if len(parts) == 2 else parts[0]
    beside = [media_type(file) for file in files if file not in inline]
    return {"multipart/mixed": [body, *beside]} if beside else body


@pytest.fixture
def valid(vectors):
    """Return the valid vectors of email/2 by their names."""
    found = {each.name: each for each in vectors if (each.contract, each.kind) == ("email/2", "valid")}
    assert found
    return found


def mail_by_the_rules(sent):
    mail = {"recipients": envelope(sent)} | headers(sent)
    mail |= {part: sent[part] for part in ("text", "html") if part in sent}
    mail |= {"attachments": [file(item) for item in sent["attachments"]]} if sent.get("attachments") else {}
    if "template" in sent:
        mail["template"] = {name: sent["template"][name] for name in ("name", "version", "locale")}
    else:
        mail["structure"] = structure(sent)
    return mail


def test_mail_of_each_valid_vector_follows_from_the_written_rules(valid, parsed):
    mails = {name: mail_by_the_rules(parsed(vector)) for name, vector in valid.items()}

    assert mails == {name: vector.document["mail"] for name, vector in valid.items()}


def hidden_and_named(sent, mail):
    visible = {box["address"].lower() for group in ("to", "cc") for box in sent.get(group, [])}
    hidden = {box["address"].lower() for box in sent.get("bcc", [])} - visible

    named = {box["address"].lower() for group in ("to", "cc") for box in mail.get(group, [])}
    return hidden & named


def test_nobody_in_bcc_stands_in_a_header(valid, parsed):
    found = {
        name: hidden_and_named(parsed(vector), vector.document["mail"]) for name, vector in valid.items()
    }

    assert {name: addresses for name, addresses in found.items() if addresses} == {}


def wrong_time(sent, now):
    before, expires = (
        datetime.fromisoformat(sent[name]) if name in sent else None for name in ("not_before", "expires_at")
    )
    if before and before > now + timedelta(days=7):
        return {"code": "schema", "pointer": "/not_before", "keyword": ""}
    if before and expires and expires <= before:
        return {"code": "schema", "pointer": "/expires_at", "keyword": ""}
    return {"code": "expired"} if expires and expires <= now else None


def wrong_template(asked, installed, contracts):
    locales = [asked["locale"].rsplit("-", cut)[0] for cut in range(3)]
    found = [{"name": asked["name"], "version": asked["version"], "locale": locale} for locale in locales]
    if not [template for template in found if template in installed]:
        return {"code": "template_unknown", "pointer": "/template", "keyword": ""}
    schema = contracts.contract(f"template/{asked['name']}/{asked['version']}").schema
    wrong = Validator(schema).check(asked["data"])
    return {"code": "schema", "pointer": f"/template/data{wrong.pointer}", "keyword": wrong.keyword}


def wrong_identity(sent, allowed):
    if sent["from"]["address"] not in allowed:
        return {"code": "identity_not_allowed", "pointer": "/from/address", "keyword": ""}
    return None


def test_each_refusal_that_no_schema_can_say_follows_from_the_written_rules(refused, parsed, contracts):
    sent, given = parsed(refused), refused.document["given"]

    match given:
        case {"now": now}:
            error = wrong_time(sent, datetime.fromisoformat(now))
        case {"templates": installed}:
            error = wrong_template(sent["template"], installed, contracts)
        case {"identities": allowed}:
            error = wrong_identity(sent, allowed)
    assert error == refused.document["error"]


@pytest.mark.parametrize("code", ["schema", "template_unknown", "identity_not_allowed", "expired"])
def test_each_code_beyond_the_schema_has_a_vector(code, vectors):
    assert [v for v in vectors if v.kind == "refused" and v.document["error"]["code"] == code]
