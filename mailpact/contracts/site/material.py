"""Finds what the site is made from: the contracts, and the pages of the repository that come in the wheel."""

from collections.abc import Mapping
from pathlib import Path

from mailpact.contracts.catalogue import Catalogue
from mailpact.contracts.publish.described import describe
from mailpact.contracts.site.pages import Material
from mailpact.contracts.site.reference_pages import Command


def material(
    catalogue: Catalogue, published: Mapping[str, bytes], *, commands: tuple[Command, ...], archive: str
) -> Material:
    """Gather it; `archive` names the tarball that the site offers. Raises UnresolvedReference."""
    return Material(
        contracts=describe(catalogue, published),
        errors={code.value: error for code, error in catalogue.error_codes.items()},
        published=published,
        rules=_pages("rules"),
        how_to=_pages("how-to"),
        commands=commands,
        archive=archive,
    )


def _pages(folder: str) -> dict[str, str]:
    """Read a folder of docs/: in a wheel it lies in the package, in a checkout where it is written."""
    here = Path(__file__).parents[1]
    installed = here / folder
    root = installed if installed.is_dir() else here.parents[1] / "docs" / folder
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted(root.glob("*.md"))}
