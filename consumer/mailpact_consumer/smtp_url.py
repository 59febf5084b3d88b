"""The URL of the mail server, with the login for it."""

from dataclasses import dataclass
from urllib.parse import SplitResult, quote, unquote

from mailpact.settings import HostPort, SettingsError, redacted, split_url, url_port


@dataclass(frozen=True, slots=True, repr=False)
class SmtpUrl:
    """The mail server: `smtp://HOST:PORT`, or `smtps://` for TLS from the first byte; `USER:PASSWORD@` for a login.

    Its text forms hide the password. Default ports: 25, and 465 for `smtps://`.
    """

    host: str
    port: int
    is_tls: bool = False
    user: str | None = None
    password: str | None = None

    @classmethod
    def parse(cls, text: str) -> "SmtpUrl":
        """Return the value of an SMTP URL; raise SettingsError for any part that would be ignored."""
        url = split_url(text, {"smtp", "smtps"}, "smtp://127.0.0.1:1025")
        if url.netloc.count("@") > 1 or url.query or url.fragment or url.path not in ("", "/"):
            raise SettingsError(
                f"{redacted(text)!r} is not smtp[s]://USER:PASSWORD@HOST:PORT;"
                " in a password / is written %2F, ? %3F, # %23, @ %40, % %25"
            )
        is_tls = url.scheme == "smtps"
        user, password = _login(url, text) if "@" in url.netloc else (None, None)
        return cls(str(url.hostname), url_port(url, text, 465 if is_tls else 25), is_tls, user, password)

    def __str__(self) -> str:
        login = "" if self.user is None else f"{quote(self.user, safe='')}:***@"
        return f"{'smtps' if self.is_tls else 'smtp'}://{login}{HostPort(self.host, self.port)}"

    def __repr__(self) -> str:
        return f"SmtpUrl({str(self)!r})"


def _login(url: SplitResult, text: str) -> tuple[str, str]:
    try:
        user, password = (unquote(part or "", errors="strict") for part in (url.username, url.password))
    except UnicodeDecodeError:
        user = password = ""
    if not user or not password or not (user + password).isprintable():
        raise SettingsError(f"{redacted(text)!r}: a login is USER:PASSWORD@, in UTF-8 with %XX where needed")
    return user, password
