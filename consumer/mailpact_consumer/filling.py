"""Fills one template with data in a sandbox. The template comes from the operator, the data from any publisher.

Data never become template source, and a template can do less than in Jinja's own sandbox. A template can read members
of the data, compare, loop, and use the filters below. It can call only macros and blocks that it defines, and no
methods or functions, so `format` strings and attributes of Python objects cannot be used. The length of the output is
limited.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from jinja2 import BaseLoader, StrictUndefined, nodes
from jinja2.environment import TemplateModule
from jinja2.exceptions import SecurityError, TemplateError, TemplateNotFound
from jinja2.runtime import BlockReference, Context, LoopContext, Macro
from jinja2.sandbox import SandboxedEnvironment

from mailpact.contracts.parse import JsonObject
from mailpact_consumer.fields import one_line
from mailpact_consumer.mail import Content

TEXT_CODE_POINTS = 262_144  # as in email/2
HTML_CODE_POINTS = 524_288
LARGEST_NUMBER = 10**15
# Excluded are filters that mark data as markup (safe), read attributes (attr, map) or enlarge the output (center,
# batch).
FILTERS = frozenset({
    "abs", "capitalize", "default", "d", "dictsort", "e", "escape", "first", "float", "int", "join",
    "last", "length", "list", "lower", "max", "min", "reverse", "sort", "string", "sum", "title",
    "trim", "truncate", "unique", "upper", "urlencode", "wordcount", "wordwrap",
})  # fmt: skip
TESTS = frozenset({
    "boolean", "defined", "divisibleby", "eq", "equalto", "even", "false", "float", "ge", "gt",
    "in", "integer", "le", "lower", "lt", "mapping", "ne", "none", "number", "odd", "sequence",
    "string", "true", "undefined", "upper",
})  # fmt: skip
LOOP_MEMBERS = frozenset({
    "depth", "depth0", "first", "index", "index0", "last", "length", "nextitem", "previtem",
    "revindex", "revindex0",
})  # fmt: skip


class TemplateFault(Exception):
    """A template cannot be filled; the message says why, in one line and without any data."""


class Sources(BaseLoader):
    """The sources of templates by name. They are read in advance, so filling a template reads no file."""

    def __init__(self, sources: Mapping[str, str]) -> None:
        self._sources = sources

    def get_source(self, environment: Any, template: str) -> tuple[str, str, Any]:
        """Return a source in the form that Jinja expects; raises TemplateNotFound."""
        del environment
        try:
            return self._sources[template], template, None
        except KeyError:
            raise TemplateNotFound(template) from None


class Sandbox(SandboxedEnvironment):
    """The restricted Jinja environment that the module's docstring describes."""

    intercepted_binops = frozenset(["*", "**", "%"])

    def __init__(self, sources: Mapping[str, str]) -> None:
        self.sources = sources
        super().__init__(
            loader=Sources(sources),
            autoescape=lambda name: name is None or not name.endswith((".txt", ".subject")),
            undefined=StrictUndefined,
            # no limit: each template is compiled once, and the operator decides how many there are
            cache_size=-1,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=False,
        )
        self.globals.clear()
        self.filters = {name: self.filters[name] for name in FILTERS}
        self.tests = {name: self.tests[name] for name in TESTS}

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Return a member of the data. The name `items` also means a member, never a method."""
        if isinstance(obj, Mapping):
            return obj[attribute] if attribute in obj else self.undefined(obj=obj, name=attribute)
        return super().getattr(obj, attribute)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Return whether a template may read an attribute: the position in a loop, or an imported template's macro."""
        is_macro = isinstance(obj, TemplateModule) and isinstance(value, Macro)
        return is_macro or (isinstance(obj, LoopContext) and attr in LOOP_MEMBERS)

    def is_safe_callable(self, obj: Any) -> bool:
        """Return whether a template may call an object: only its own macros and blocks."""
        return isinstance(obj, Macro | BlockReference)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Return the result of an operator on numbers.

        Texts can only be joined with `~`; they cannot be repeated or formatted.
        """
        numbers = all(isinstance(side, int | float) and abs(side) <= LARGEST_NUMBER for side in (left, right))
        if not numbers or (operator == "**" and abs(right) > 64):
            raise SecurityError(f"the operator {operator} works on numbers of modest size only")
        return super().call_binop(context, operator, left, right)


def check_source(sandbox: Sandbox, name: str) -> None:
    """Compile one template; raises TemplateFault with the line at fault, or if it turns escaping off."""
    try:
        tree = sandbox.parse(sandbox.sources[name], name)
        sandbox.get_template(name)
    except TemplateError as error:
        raise TemplateFault(f"{name}, line {getattr(error, 'lineno', None) or 1}: {error}") from error
    modifier = tree.find(nodes.EvalContextModifier)
    if modifier is not None:
        raise TemplateFault(
            f"{name}, line {modifier.lineno}: data are never markup, so escaping cannot be turned off"
        )


def fill(sandbox: Sandbox, name: str, data: JsonObject) -> Content:
    """Return the content that the templates `name`.subject, `name`.txt and `name`.html make; raises TemplateFault.

    The subject is converted to one line, as in email/1. Whitespace at both ends of text and HTML is removed.
    """
    subject = one_line(_filled(sandbox, f"{name}.subject", data, limit=HTML_CODE_POINTS))
    text = _filled(sandbox, f"{name}.txt", data, limit=TEXT_CODE_POINTS).strip() + "\n"
    html = _filled(sandbox, f"{name}.html", data, limit=HTML_CODE_POINTS).strip() + "\n"
    for what, result in (("subject", subject), ("text part", text.strip()), ("HTML part", html.strip())):
        if not result:
            raise TemplateFault(f"{name}: the {what} is empty")
    return Content(subject, text, html)


def _filled(sandbox: Sandbox, name: str, data: JsonObject, *, limit: int) -> str:
    try:
        return _bounded(name, sandbox.get_template(name).generate(data), limit)
    except (
        TemplateError,
        ArithmeticError,
        AttributeError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        kind = type(error).__name__
        raise TemplateFault(f"{name} cannot be filled: {kind}") from error


def _bounded(name: str, pieces: Iterable[str], limit: int) -> str:
    taken: list[str] = []
    length = 0
    for piece in pieces:
        length += len(piece)
        if length > limit:
            raise TemplateFault(f"{name} makes more than {limit} characters")
        taken.append(piece)
    return "".join(taken)
