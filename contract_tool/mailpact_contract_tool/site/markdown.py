"""Writes Markdown: escaped text, tables, code, and pages of the repository with their links changed to this site."""

import posixpath
import re
from collections.abc import Iterable, Mapping

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|$~])")
_LINK = re.compile(
    r"""^(?P<fence>`{3,}|~{3,}).*?^(?P=fence)[ ]*$  # code, in which nothing is a link
      | (?P<tick>`+)[^`].*?(?P=tick)
      | (?<!!)\[(?P<words>[^\]]*)\]\((?P<target>[^)\s]+)\)""",
    re.MULTILINE | re.DOTALL | re.VERBOSE,
)
_ELSEWHERE = re.compile(r"[a-z][a-z+.-]*:|#")
_HEADING = re.compile(r"#{1,6} ")
_FENCE = re.compile(r" {0,3}(```+|~~~+)")


class Markdown(str):
    """A text that is already Markdown and is not escaped."""

    __slots__ = ()


def escaped(text: str) -> str:
    """Escape a text, so that no part of it is read as Markdown; line ends become spaces."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def code(text: str) -> Markdown:
    """Write a text as code within a line. The result can be used in a cell of a table."""
    fence = "`" * (max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    room = " " if text[:1] in ("`", " ") or text[-1:] in ("`", " ") else ""
    return Markdown(f"{fence}{room}{text}{room}{fence}".replace("|", "\\|"))


def block(text: str, language: str = "text") -> Markdown:
    """Write a text as a block of code."""
    fence = "`" * max(3, max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    return Markdown(f"{fence}{language}\n{text.rstrip()}\n{fence}\n")


def toctree(entries: Iterable[str], caption: str = "") -> Markdown:
    """Return the list from which Sphinx makes the navigation. The page itself does not show the list."""
    options = [f":caption: {caption}"] if caption else []
    return Markdown("```{toctree}\n" + "\n".join([*options, ":hidden:", "", *entries]) + "\n```\n")


def apart(page: str) -> str:
    """Exclude a page from the navigation.

    Every page contains the navigation, so its size grows with the square of the pages.
    """
    return f"---\norphan: true\n---\n\n{page}"


def body(page: str) -> str:
    """Return a page without its title, which is its first line."""
    return page.partition("\n")[2].strip() + "\n" if page.startswith("# ") else page


def lowered(page: str) -> Markdown:
    """Write a page's headings one level lower. Lines in blocks of code are not changed."""
    fence, lines = "", []
    for line in page.splitlines():
        found = _FENCE.match(line)
        if found:
            fence = "" if fence == found[1] else fence or found[1]
        lines.append(f"#{line}" if not fence and _HEADING.match(line) else line)
    return Markdown("\n".join(lines) + "\n")


def relinked(page: str, *, at: str, to: str, places: Mapping[str, str]) -> Markdown:
    """Change a page's links to this site. The page was at the path `at`, and is now at `to`.

    `places` maps paths of the repository to pages of this site. If a link's target has no page on this site, the link
    is removed and its text is kept.
    """

    def link(found: re.Match[str]) -> str:
        words, target = found["words"], found["target"]
        if target is None or _ELSEWHERE.match(target):
            return found[0]
        path, _, anchor = target.partition("#")
        place = places.get(posixpath.normpath(posixpath.join(posixpath.dirname(at), path)))
        if place is None:
            return words
        relative = posixpath.relpath(place, posixpath.dirname(to) or ".")
        return f"[{words}]({relative}{'#' + anchor if anchor else ''})"

    return Markdown(_LINK.sub(link, page))
