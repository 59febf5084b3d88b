"""Renders the pages as HTML with Sphinx, MyST and the theme Furo.

All files are local, so a reader's browser loads nothing from other servers.

Every warning is an error, such as a broken link or a page without a link to it.
"""

import importlib.util
import io
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

from mailpact_contract_tool.publish.writing import write_all

_STATIC = Path(__file__).with_name("static")
_NEEDED = ("sphinx", "myst_parser", "furo")
_LEFT_OUT = (".buildinfo", "objects.inv")  # these files contain versions of tools, which readers do not need
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_OPTIONS = {
    "project": "Mailpact's contracts",
    "copyright": "",
    "extensions": ["myst_parser"],
    "source_suffix": {".md": "markdown"},
    "exclude_patterns": ["files/**"],
    "myst_heading_anchors": 3,
    # A contract's texts come from other people, so HTML in them is shown as text.
    "myst_disable_syntax": ["html_block", "html_inline"],
    # An example may show code that no parser accepts.
    "suppress_warnings": ["misc.highlighting_failure"],
    "smartquotes": False,
    "html_theme": "furo",
    "html_title": "Mailpact's contracts",
    "html_static_path": [str(_STATIC)],
    "html_css_files": ["site.css"],
    "html_copy_source": False,
    "html_show_sourcelink": False,
    "html_show_copyright": False,
    "html_use_index": False,
}


class SiteError(Exception):
    """The site cannot be built; the message says why and what to do."""


def refuse_without_sphinx() -> None:
    """Raise SiteError if the tools for the site are not installed."""
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise SiteError(
            f"the site needs {', '.join(missing)}, which the extra `docs` installs: pip install 'mailpact[docs]'"
        )


def html(pages: Mapping[str, str], files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Build a site from Markdown `pages`, which may link to `files` below `files/`; raises SiteError."""
    refuse_without_sphinx()
    with tempfile.TemporaryDirectory(prefix="mailpact-site-") as folder:
        source, out = Path(folder, "source"), Path(folder, "html")
        write_all(source, {path: text.encode() for path, text in pages.items()})
        write_all(source / "files", files)
        _run_sphinx(source, out, Path(folder, "doctrees"))
        return {
            path.relative_to(out).as_posix(): path.read_bytes()
            for path in sorted(out.rglob("*"))
            if path.is_file() and path.name not in _LEFT_OUT
        }


def _run_sphinx(source: Path, out: Path, doctrees: Path) -> None:
    from sphinx.application import Sphinx
    from sphinx.errors import SphinxError

    warnings = io.StringIO()
    try:
        Sphinx(source, None, out, doctrees, "html", _OPTIONS, None, warnings, warningiserror=True).build()
    except SphinxError as error:
        raise SiteError(f"Sphinx cannot make the site: {error}") from error
    if warnings.getvalue():
        first = _COLOUR.sub("", warnings.getvalue()).splitlines()[0].replace(f"{source}/", "")
        raise SiteError(f"Sphinx reports an error in the pages, and nothing was written: {first}")
