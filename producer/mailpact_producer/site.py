"""Connects the parts of the site: its work and its pages."""

import secrets
from functools import partial
from importlib import resources

from aiohttp import web

from mailpact.database.transactions import Database
from mailpact_producer.accounts import IsMailable
from mailpact_producer.cache import PageCache
from mailpact_producer.commenting import Commenting
from mailpact_producer.invalidation import Changes
from mailpact_producer.login import Login
from mailpact_producer.mail_flow import MailFlow
from mailpact_producer.mail_gate import MailGate
from mailpact_producer.mailer import Mailer
from mailpact_producer.passwords import PasswordHashing
from mailpact_producer.profile import Profile
from mailpact_producer.readers import Readers
from mailpact_producer.recovery import Recovery
from mailpact_producer.registration import Registrar
from mailpact_producer.settings import ProducerSettings
from mailpact_producer.tokens import SECRET_BYTES
from mailpact_producer.web.account import AccountPage
from mailpact_producer.web.api import Api
from mailpact_producer.web.application import Handlers, make_application
from mailpact_producer.web.asking import Asking, FormTools
from mailpact_producer.web.audit import AuditPage
from mailpact_producer.web.auditing import auditing
from mailpact_producer.web.comments import CommentForms
from mailpact_producer.web.cookies import Cookies
from mailpact_producer.web.csrf import Csrf
from mailpact_producer.web.editor import Editor
from mailpact_producer.web.forms import Forms
from mailpact_producer.web.links import LinkPages
from mailpact_producer.web.login import LoginForms
from mailpact_producer.web.mail_watch import watching_mail
from mailpact_producer.web.network import Networks
from mailpact_producer.web.notices import Notices
from mailpact_producer.web.pages import Pages
from mailpact_producer.web.readers import ReaderPages
from mailpact_producer.web.register import RegistrationForm
from mailpact_producer.web.render import Frame
from mailpact_producer.web.rendering import Rendering
from mailpact_producer.web.session import sessions


async def make_site(
    settings: ProducerSettings,
    database: Database,
    passwords: PasswordHashing,
    mailer: Mailer,
    flow: MailFlow,
    gate: MailGate,
    key: bytes,
    changes: Changes,
    cache: PageCache,
    is_mailable: IsMailable,
) -> web.Application:
    """Return the application. `key` is the key with which the site signs."""
    new_secret = partial(secrets.token_urlsafe, SECRET_BYTES)
    cookies = Cookies(is_https=settings.is_https)
    csrf = Csrf(key, cookies, settings.base_url)
    notices = Notices(key, cookies)
    networks = Networks(settings.trusted_proxies)
    asking = Asking(gate, networks)
    work = (database, passwords, mailer, gate, new_secret)
    registrar, recovery, profile = Registrar(*work), Recovery(*work), Profile(*work, changes)
    nobody = await passwords.hash(new_secret())
    login = Login(database, passwords, key, nobody=nobody, new_secret=new_secret)
    tools = FormTools(Forms(csrf), notices, cookies, asking, is_mailable, common_passwords())
    rendering = Rendering()
    site_pages = Pages(database, cache, tools.forms, rendering, settings.base_url, settings.site_name)
    handlers = Handlers(
        pages=site_pages,
        editor=Editor(database, changes, tools),
        comments=CommentForms(Commenting(database, changes, key), site_pages, tools),
        registration=RegistrationForm(registrar, site_pages, tools),
        links=LinkPages(registrar, profile, tools),
        login=LoginForms(login, recovery, tools),
        account=AccountPage(profile, tools),
        api=Api(database, rendering, settings.base_url),
        readers=ReaderPages(Readers(database, mailer, gate, new_secret=new_secret), tools),
        audit=AuditPage(database),
    )
    middlewares = [
        notices.middleware(),
        sessions(login, cookies),
        auditing(networks),
        watching_mail(flow),
    ]
    frame = Frame(notices, csrf, settings.site_name)
    return make_application(handlers, frame, middlewares, is_https=settings.is_https)


def common_passwords() -> frozenset[str]:
    """Return the 10,000 passwords that attackers try first, in lower case."""
    text = (resources.files("mailpact_producer") / "common_passwords.txt").read_text("ascii")
    return frozenset(text.splitlines())
