"""Read the forms of an HTML page: the names and values of their fields, and each form's target URL. Pure."""

from collections.abc import Collection
from dataclasses import dataclass, field
from html.parser import HTMLParser

_NOT_SENT = frozenset({"submit", "button", "image", "reset", "file", "checkbox", "radio"})


@dataclass(slots=True)
class Form:
    """A form of a page. `action` is the URL relative to the page, "" for the page itself.

    `fields` holds the values that the form has before a user types.
    """

    action: str
    fields: dict[str, str] = field(default_factory=dict)


def forms_of(page: str) -> list[Form]:
    """Return the forms of a page that are sent by POST."""
    reader = _Reader()
    reader.feed(page)
    return reader.forms


def form_with(page: str, names: Collection[str]) -> Form | None:
    """Return the first form with a field for each of these names, or None if the page has no such form."""
    return next((form for form in forms_of(page) if set(names) <= set(form.fields)), None)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self._current: Form | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag == "form":
            is_post = attributes.get("method", "get").lower() == "post"
            self._current = Form(attributes.get("action", "")) if is_post else None
            if self._current is not None:
                self.forms.append(self._current)
        elif self._current is not None and tag in ("input", "textarea", "select"):
            is_sent = attributes.get("type", "text").lower() not in _NOT_SENT or "checked" in attributes
            if is_sent and attributes.get("name"):
                self._current.fields[attributes["name"]] = attributes.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._current = None
