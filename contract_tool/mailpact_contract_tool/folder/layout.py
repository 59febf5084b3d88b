"""Finds the contracts in a folder by the paths NAME/MAJOR/schema.json; a name may contain slashes.

The files decide, not the index, so that contracts that were never released are checked too.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

WORKING_FILES = ("schema.json", "writer.schema.json", "binding.json")
_CONTRACT = re.compile(r"(?P<name>.+)/(?P<major>[1-9][0-9]{0,8})")
_HISTORY = re.compile(r"history/(?P<version>[^/]+)/[^/]+")
_TEMPLATES = "template/"


@dataclass(frozen=True, slots=True)
class ContractFolder:
    """The folder of a contract, by its path such as `email/1`, with all paths in the folder."""

    path: str
    name: str
    major: int
    files: tuple[str, ...]

    @property
    def is_template(self) -> bool:
        """Return whether the contract describes the data of a template, which has no binding."""
        return self.name.startswith(_TEMPLATES)

    @property
    def working_files(self) -> tuple[str, ...]:
        """Return the paths of the files that a release publishes."""
        return tuple(
            f"{self.path}/{name}"
            for name in WORKING_FILES
            if not (self.is_template and name == "binding.json")
        )

    @property
    def schemas(self) -> tuple[str, str]:
        """Return the paths of the readers' schema and of the writers'."""
        return f"{self.path}/schema.json", f"{self.path}/writer.schema.json"

    @property
    def binding(self) -> str:
        """Return the path of the binding."""
        return f"{self.path}/binding.json"

    @property
    def changelog(self) -> str:
        """Return the path of the changelog."""
        return f"{self.path}/CHANGELOG.md"

    def vectors(self, kind: str) -> tuple[str, ...]:
        """Return the paths of the vectors that are `valid` or `invalid`."""
        folder = f"{self.path}/vectors/{kind}/"
        return tuple(path for path in self.files if path.startswith(folder) and path.endswith(".json"))

    def history(self) -> dict[str, tuple[str, ...]]:
        """Return the paths of the published files by version, the oldest version first."""
        found: dict[str, list[str]] = {}
        for path in self.files:
            match = _HISTORY.fullmatch(path.removeprefix(f"{self.path}/"))
            if match:
                found.setdefault(match["version"], []).append(path)
        return {version: tuple(found[version]) for version in sorted(found, key=_order)}


def _order(version: str) -> list[int]:
    """Return the numbers of a version; a part that is no number counts as -1."""
    return [int(part) if part.isdecimal() and len(part) < 10 else -1 for part in version.split(".")]


def contract_folders(paths: Iterable[str]) -> list[ContractFolder]:
    """Return the folders that hold a contract, sorted by name and major version."""
    every = sorted(paths)
    folders = {path.rpartition("/")[0] for path in every if path.rpartition("/")[2] in WORKING_FILES}
    found = []
    for folder in folders:
        match = _CONTRACT.fullmatch(folder)
        if match and not {"history", "vectors"} & set(folder.split("/")):
            files = tuple(path for path in every if path.startswith(f"{folder}/"))
            found.append(ContractFolder(folder, match["name"], int(match["major"]), files))
    return sorted(found, key=lambda contract: (contract.name, contract.major))
