"""`mailpact create-admin EMAIL`: make an administrator of the site."""

import asyncio
import secrets
from functools import partial
from typing import Annotated

import typer

from mailpact.settings import DatabaseUrl, SettingsError
from mailpact_cli import options
from mailpact_cli.log_output import configure_logging
from mailpact_producer.settings import SITE_NAME, parse_site_name
from mailpact_producer.tokens import SECRET_BYTES, VALID_MINUTES, LinkPurpose

ANSWER_SECONDS = 8


def create_admin(
    email: Annotated[str, typer.Argument(metavar="EMAIL", help="The administrator's address.")],
    database_url: Annotated[
        DatabaseUrl,
        options.database_url("--database-url", "The database with readers, pages and the outbox."),
    ] = DatabaseUrl("sqlite:///.mailpact/cms.db"),
    base_url: Annotated[str, options.base_url()] = "http://127.0.0.1:8080",
    site_name: Annotated[
        str, options.text("--site-name", "NAME", "The site's name, on its pages and in its mails.")
    ] = SITE_NAME,
) -> None:
    """Make an administrator of the site, and mail a link to choose a password.

    If the address has an account, the account becomes an administrator's. The running site sends the mail.
    """
    configure_logging(verbose=False)
    if database_url.is_sqlite and not database_url.path.is_file():
        raise SettingsError(f"{database_url.path} does not exist; give the site's --database-url")
    address = asyncio.run(_create(email, database_url, base_url, parse_site_name(site_name)))
    minutes = VALID_MINUTES[LinkPurpose.RESET]
    print(  # noqa: T201  # the result
        f"{address} is an administrator. The site mails a link to choose a password, which works for {minutes} minutes."
    )


async def _create(email: str, database_url: DatabaseUrl, base_url: str, site_name: str) -> str:
    from mailpact.database.engine import open_database
    from mailpact.database.transactions import DatabaseUnavailable
    from mailpact_producer.administrators import make_administrator

    async with open_database(database_url) as database:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await make_administrator(
                    database,
                    email,
                    base_url=base_url,
                    site_name=site_name,
                    new_secret=partial(secrets.token_urlsafe, SECRET_BYTES),
                )
        except TimeoutError:
            raise DatabaseUnavailable("the database does not answer in time") from None
