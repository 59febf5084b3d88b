"""The links and the one-time codes of a mail, for tests and for the top of its page.

The functions are pure and take a time linear in the text's length.
"""

import html
import re
from collections.abc import Iterator
from typing import Final

from mailpact_capture.mail import Mail, text_of_html

MAX_FOUND: Final = 100
_READ_CHARACTERS: Final = 256 * 1024

URL: Final = re.compile(r"https?://[^\s<>\"'`\x00-\x1f\x7f]{1,2000}")
NOT_AT_END: Final = ".,;:!?)]}"
_HREF: Final = re.compile(
    r"""<a\s[^<>]{0,2000}?href\s*=\s*(?:"([^"<>]{1,2000})"|'([^'<>]{1,2000})'|([^\s"'<>]{1,2000}))""",
    re.IGNORECASE,
)
_CODE: Final = re.compile(
    r"(?<![\w/=.@:#+-])(?:[0-9]{4,8}|[0-9]{3}[ -][0-9]{3}|[A-Z0-9]{4}-[A-Z0-9]{4})(?![\w/=@%-]|[.,][0-9])"
)
_SAYS_CODE: Final = re.compile(
    r"code|otp|\bpin\b|passcode|token|password|verif|kennwort|c[oó]digo|код", re.IGNORECASE
)
_NEAR: Final = 120


def links(mail: Mail) -> tuple[str, ...]:
    """Return the web addresses of the HTML's links, then those of the text, each once."""
    markup = mail.html[:_READ_CHARACTERS]
    hrefs = (html.unescape(next(filter(None, match.groups()))).strip() for match in _HREF.finditer(markup))
    found = [url for url in hrefs if url.startswith(("http://", "https://"))]
    found += [match[0].rstrip(NOT_AT_END) for match in URL.finditer(mail.text[:_READ_CHARACTERS])]
    return tuple(dict.fromkeys(found))[:MAX_FOUND]


def codes(mail: Mail) -> tuple[str, ...]:
    """Return the likely one-time codes: 4 to 8 digits, 123-456 or AB12-CD34, close to a word such as "code".

    A code that stands alone on its line is found, too. Spaces and hyphens between digits are removed.
    """
    text = mail.text[:_READ_CHARACTERS] or text_of_html(mail.html[:_READ_CHARACTERS])
    found = dict.fromkeys(_codes(URL.sub(" ", f"{mail.subject}\n{text}")))
    return tuple(found)[:MAX_FOUND]


def _codes(text: str) -> Iterator[str]:
    for match in _CODE.finditer(text):
        code = match[0]
        line_start = text.rfind("\n", 0, match.start()) + 1
        line_end = text.find("\n", match.end())
        is_alone = text[line_start : line_end if line_end >= 0 else len(text)].strip() == code
        before = text[max(0, match.start() - _NEAR) : match.start()]
        after = text[match.end() : match.end() + _NEAR // 2]
        if (is_alone or _SAYS_CODE.search(before) or _SAYS_CODE.search(after)) and any(
            each.isdigit() for each in code
        ):
            yield re.sub(r"[ -]", "", code) if code.replace("-", "").replace(" ", "").isdigit() else code
