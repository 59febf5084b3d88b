"""Finds the sources of the site: the contracts, and the pages of the repository that the wheel contains."""

from collections.abc import Mapping
from pathlib import Path

from mailpact.contracts.catalogue import Catalogue, read_file
from mailpact_contract_tool.publish.described import describe
from mailpact_contract_tool.site.pages import Command, Material

_TEMPLATES = Path(__file__).with_name("templates")


def material(
    catalogue: Catalogue, published: Mapping[str, bytes], *, commands: tuple[Command, ...], archive: str
) -> Material:
    """Return the sources of the site. `archive` is the name of the tarball on the site.

    Raises UnresolvedReference, and PublishedFileError if errors.json is damaged.
    """
    return Material(
        contracts=describe(catalogue, published),
        errors=read_file(
            catalogue.root / "errors.json", lambda file: {row["code"]: row for row in file["errors"]}
        ),
        published=published,
        rules=_pages("rules", beside="contract_tool"),
        how_to=_pages("how-to", beside="docs"),
        templates={
            path.name.removesuffix(".md.jinja"): path.read_text(encoding="utf-8")
            for path in _TEMPLATES.glob("*.md.jinja")
        },
        commands=commands,
        archive=archive,
    )


def _pages(folder: str, *, beside: str) -> dict[str, str]:
    """Read a folder of pages.

    In a wheel the folder is in the package; in a checkout it is below the folder `beside`.
    """
    here = Path(__file__).parents[1]
    installed = here / folder
    root = installed if installed.is_dir() else here.parents[1] / beside / folder
    return {
        path.relative_to(root).with_suffix("").as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(root.rglob("*.md"))
    }
