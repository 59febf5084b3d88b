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

# The characters above ASCII are an ellipsis and the punctuation of Chinese and Japanese.
_URL: Final = re.compile(
    r"https?://[^\s<>\"'`\x00-\x1f\x7f\u2026\u3001\u3002\u300c-\u3011\uff08\uff09\uff0c]{1,2000}",
    re.IGNORECASE,
)
_NOT_AT_END: Final = ".,;:!?)]}"
_CLOSES: Final = {")": "(", "]": "[", "}": "{"}
_IGNORED_IN_URL: Final = str.maketrans(
    "", "", "\t\r\n"
)  # https://url.spec.whatwg.org/#concept-basic-url-parser
_HREF: Final = re.compile(
    r"""<a\s[^<>]{0,2000}?href\s*=\s*(?:"([^"<>]{1,2000})"|'([^'<>]{1,2000})'|([^\s"'<>]{1,2000}))""",
    re.IGNORECASE,
)
_CODE: Final = re.compile(
    r"(?<![/.@#+-])(?<!{letter})(?:[0-9]{{4,8}}|[0-9]{{3}}[ -][0-9]{{3}}|[A-Z0-9]{{4}}-[A-Z0-9]{{4}})"
    r"(?![/=@%-]|{letter}|[.,][0-9])".format(letter="[^\\W\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]")
)  # no blanks are between the words of Chinese, Japanese and Korean
_SAYS_CODE: Final = re.compile(
    r"code|otp|\bpin\b|passcode|token|password|verif|kennwort|c[oó]digo|код|验证码|驗證碼|校验码|コード|認証|인증",
    re.IGNORECASE,
)
_NAMED_BEFORE: Final = re.compile(rf"(?:{_SAYS_CODE.pattern})\w{{0,20}}[:=]\Z", re.IGNORECASE)
_NEAR: Final = 120


def links(mail: Mail) -> tuple[str, ...]:
    """Return the web addresses of the HTML's links, then those of the text, each once."""
    markup = mail.html[:_READ_CHARACTERS]
    written = (html.unescape(next(filter(None, match.groups()))) for match in _HREF.finditer(markup))
    hrefs = (each.strip().translate(_IGNORED_IN_URL) for each in written)
    found = [url for url in hrefs if url.lower().startswith(("http://", "https://"))]
    found += [url for _, url in urls(mail.text[:_READ_CHARACTERS])]
    return tuple(dict.fromkeys(found))[:MAX_FOUND]


def urls(text: str) -> Iterator[tuple[int, str]]:
    """Yield each web address in a text with its position. Punctuation behind an address does not belong to it."""
    for match in _URL.finditer(text):
        url = match[0]
        while url[-1] in _NOT_AT_END and (url[-1] not in _CLOSES or _is_unbalanced(url)):
            url = url[:-1]
        yield match.start(), url


def _is_unbalanced(url: str) -> bool:
    return url.count(_CLOSES[url[-1]]) < url.count(url[-1])


def codes(mail: Mail) -> tuple[str, ...]:
    """Return the likely one-time codes: 4 to 8 digits, 123-456 or AB12-CD34, close to a word such as "code".

    A code that stands alone on its line is found, too. Spaces and hyphens between digits are removed. The HTML is read
    only if neither the subject nor the text has a code.
    """
    found = list(_codes(f"{mail.subject}\n{mail.text[:_READ_CHARACTERS]}"))
    if not found and mail.html:
        found = list(_codes(text_of_html(mail.html[:_READ_CHARACTERS])))
    return tuple(dict.fromkeys(found))[:MAX_FOUND]


def _codes(text: str) -> Iterator[str]:
    text = _URL.sub(" ", text)
    for match in _CODE.finditer(text):
        code = match[0]
        before = text[max(0, match.start() - _NEAR) : match.start()]
        after = text[match.end() : match.end() + _NEAR // 2]
        is_alone = not before.rpartition("\n")[2].strip() and not after.partition("\n")[0].strip()
        if before.endswith((":", "=")) and not _NAMED_BEFORE.search(before):
            continue  # a time, a port, or the value of something else
        if (is_alone or _SAYS_CODE.search(before) or _SAYS_CODE.search(after)) and any(
            each.isdigit() for each in code
        ):
            yield re.sub(r"[ -]", "", code) if code.replace("-", "").replace(" ", "").isdigit() else code
