"""Mailpit's URLs about the server itself, and its URLs of features that this server does not have.

Such a URL answers in Mailpit's JSON form that nothing was checked.
"""

import asyncio
import resource
import time
from importlib.metadata import version
from typing import Final

from aiohttp import web

from mailpact_capture import reads
from mailpact_capture.asking import namespace_of, stored_mail
from mailpact_capture.certificate import Identities
from mailpact_capture.dialogues import Dialogues
from mailpact_capture.errors import StoreUnavailable
from mailpact_capture.store import Store

READY_SECONDS: Final = 5
VERSION: Final = version("mailpact")


class About:
    """Answers questions about the server itself."""

    def __init__(self, store: Store, dialogues: Dialogues, identities: Identities) -> None:
        self._store = store
        self._dialogues = dialogues
        self._identities = identities
        self._began = time.monotonic()

    def add_routes(self, router: web.UrlDispatcher, prefix: str) -> None:
        """Add the routes below `prefix`."""
        router.add_get(prefix + "/api/v1/info", self.info)
        router.add_get(prefix + "/api/v1/webui", self.webui)
        router.add_get(prefix + "/api/v1/message/{id}/html-check", self.html_check)
        router.add_get(prefix + "/api/v1/message/{id}/link-check", self.link_check)
        router.add_post(prefix + "/api/v1/message/{id}/release", self.release)
        router.add_get(prefix + "/api/mailpact/v1/certificate", self.certificate)
        router.add_get(prefix + "/livez", self.livez)
        router.add_get(prefix + "/readyz", self.readyz)

    async def info(self, request: web.Request) -> web.Response:
        """Answer with versions and counts (AppInfo)."""
        namespace = namespace_of(request)
        total, unread = await self._store.ask(reads.counts, namespace)
        usage = resource.getrusage(resource.RUSAGE_SELF)
        answer = {
            "Version": f"mailpact-{VERSION}",
            "LatestVersion": f"mailpact-{VERSION}",
            "Database": "sqlite",
            "DatabaseSize": await self._store.ask(reads.size_of_file),
            "Messages": total,
            "Unread": unread,
            "Tags": await self._store.ask(reads.tag_counts, namespace),
            "RuntimeStats": {
                "Uptime": int(time.monotonic() - self._began),
                "Memory": usage.ru_maxrss * 1024,
                "MessagesDeleted": self._store.deleted,
                "SMTPAccepted": self._store.accepted,
                "SMTPAcceptedSize": self._store.accepted_bytes,
                "SMTPRejected": self._dialogues.count,
                "SMTPIgnored": 0,
            },
        }
        return web.json_response(answer)

    async def webui(self, _request: web.Request) -> web.Response:
        """Answer with the features that are switched on (WebUI): only Mailpit's chaos can be."""
        relay = {
            "Enabled": False, "SMTPServer": "", "ReturnPath": "", "AllowedRecipients": "", "BlockedRecipients": "",
            "OverrideFrom": "", "PreserveMessageIDs": False, "RecipientAllowlist": "",
        }  # fmt: skip
        answer = {
            "Label": "", "MessageRelay": relay, "SpamAssassin": False, "Rspamd": False, "ChaosEnabled": True,
            "DuplicatesIgnored": False, "HideDeleteAllButton": False,
        }  # fmt: skip
        return web.json_response(answer)

    async def html_check(self, request: web.Request) -> web.Response:
        """Answer in Mailpit's JSON form (HTMLCheck) that nothing was tested."""
        stored = await stored_mail(self._store, request)
        if not stored.mail.html:
            raise web.HTTPBadRequest(text="Error: message does not contain HTML")
        total = {"Tests": 0, "Nodes": 0, "Supported": 0, "Partial": 0, "Unsupported": 0}
        return web.json_response({"Warnings": [], "Platforms": {}, "Total": total})

    async def link_check(self, request: web.Request) -> web.Response:
        """Answer in Mailpit's JSON form that no link was tested.

        This server never sends a request to an address that stands in a mail.
        """
        await stored_mail(self._store, request)
        return web.json_response({"Errors": 0, "Links": []})

    async def release(self, _request: web.Request) -> web.Response:
        """Refuse: captured mail is never delivered."""
        raise web.HTTPBadRequest(text="Error: message relay is not enabled")

    async def certificate(self, _request: web.Request) -> web.Response:
        """Answer with the certificate, in PEM, that an SMTP client must trust for TLS."""
        identity = await self._identities.identity()
        return web.Response(text=identity.trusted_pem, content_type="application/x-pem-file")

    async def livez(self, _request: web.Request) -> web.Response:
        """Answer that the process is alive."""
        return web.Response()

    async def readyz(self, _request: web.Request) -> web.Response:
        """Answer whether the store can read and write mails."""
        try:
            async with asyncio.timeout(READY_SECONDS):
                await self._store.check()
        except StoreUnavailable as error:
            return web.Response(status=503, text=f"{error}\n")
        except TimeoutError:
            return web.Response(status=503, text="the mail store does not answer\n")
        return web.Response()
