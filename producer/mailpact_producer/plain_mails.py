"""The texts of the site's mails for `email/1`, whose subject is the first line. Pure."""

import re
from collections.abc import Mapping
from typing import Final

from mailpact_producer.mails import Mail

_TEXTS: Final[Mapping[str, str]] = {
    "confirm-address": """\
Please confirm your address

Hello {name},

somebody, most likely you, registered this address at {site_name}. Open this link within 24 hours to confirm it:

{confirm_url}

If it was not you, open the link and choose "This was not me", or ignore this mail: the registration then ends.
""",
    "account-exists": """\
You already have an account

Hello {name},

somebody, most likely you, tried to register this address at {site_name}. It has an account already. Log in here:

{login_url}

If you do not know your password any more, choose a new one here:

{forgot_url}

If it was not you, there is nothing to do.
""",
    "reset-password": """\
Choose a new password

Hello {name},

somebody, most likely you, asked for a new password at {site_name}. This link works for {valid_minutes} minutes:

{reset_url}

If it was not you, there is nothing to do: your password stays as it is.
""",
    "password-changed": """\
Your password was changed

Hello {name},

the password of your account at {site_name} was changed, and all other sessions were ended.

If it was not you, choose a new password here:

{forgot_url}
""",
    "change-address": """\
Please confirm your new address

Hello {name},

this address is to become the address of an account at {site_name}. Open this link within 24 hours to confirm it:

{confirm_url}

If it was not you who asked for this, there is nothing to do.
""",
    "address-changed": """\
Your address was changed

Hello {name},

your account at {site_name} has another mail address now. This was the last mail to this address.

If it was not you, please tell the people who run {site_url}
""",
    "account-deleted": """\
Your account was deleted

Hello {name},

your account at {site_name} was deleted, and what was stored about you with it.

{site_url}
""",
}
_PLACE: Final = re.compile(r"\{(\w+)\}")


def plain_text(mail: Mail) -> str:
    """Return the mail as one text; its first line is the subject."""
    return _PLACE.sub(lambda place: str(mail.data[place[1]]), _TEXTS[mail.template])
