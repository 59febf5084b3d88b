"""Makes an edition: the published files, the files made from them, and a name derived from the contents.

    README.md                    a list of the files
    contracts/…                  the published files, byte for byte
    schemas/…                    one self-contained schema for each contract and side
    types/…                      the messages of writers as TypeScript types
    asyncapi.json                all contracts as an AsyncAPI 3 document
    rabbitmq-definitions.json    exchanges, queues, bindings and users as RabbitMQ imports them
    SHA256SUMS                   the hash of each of these files: `sha256sum --check SHA256SUMS`

The same contracts and the same release of Mailpact make the same bytes, and so the same name.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mailpact.contracts.catalogue import Catalogue
from mailpact_contract_tool.folder.documents import json_bytes
from mailpact_contract_tool.publish import asyncapi
from mailpact_contract_tool.publish.archive import tarball
from mailpact_contract_tool.publish.bundle import key
from mailpact_contract_tool.publish.definitions import definitions
from mailpact_contract_tool.publish.described import Described, describe
from mailpact_contract_tool.publish.typescript import declarations

CHECKSUMS = "SHA256SUMS"
_DIGITS_IN_A_NAME = 12
_README = """\
# Mailpact's contracts

What a program in any language needs in order to send mail through Mailpact, and to read what Mailpact says.

| here | is |
|---|---|
| `contracts/` | the published files: start with `contracts/README.md` |
| `schemas/<contract>.writer.json` | validate with it before you publish; one file, nothing to fetch |
| `schemas/<contract>.reader.json` | the same for what you read |
| `types/<contract>.d.ts` | what writers send, as TypeScript types |
| `asyncapi.json` | the same as an AsyncAPI 3 document, for generators and documentation tools |
| `rabbitmq-definitions.json` | for operators: `rabbitmqctl import_definitions`; its users have no password yet |
| `SHA256SUMS` | the hash of every file: `sha256sum --check SHA256SUMS` |

The folder's name is made from its contents: another name is another edition. Published files never change.
"""


@dataclass(frozen=True, slots=True)
class Edition:
    """One edition: its files by their paths, and a name such as `mailpact-contracts-0123456789ab`."""

    name: str
    files: Mapping[str, bytes]

    @property
    def archive_name(self) -> str:
        """Return the name of the edition's tarball."""
        return f"{self.name}.tar.gz"


def edition(published: Mapping[str, bytes], catalogue: Catalogue, *, release: str) -> Edition:
    """Return the edition of `published`, the files that `catalogue` was read from; `release` is Mailpact's version."""
    contracts = describe(catalogue, published)
    files = {
        "README.md": _README.encode(),
        **{f"contracts/{path}": data for path, data in published.items()},
        **{path: data for contract in contracts for path, data in _made_from(contract)},
        "rabbitmq-definitions.json": json_bytes(definitions(catalogue.topology, vhost="/")),
        "asyncapi.json": json_bytes(asyncapi.document(contracts, published, release=release)),
    }
    sums = checksums(files)
    name = f"mailpact-contracts-{hashlib.sha256(sums).hexdigest()[:_DIGITS_IN_A_NAME]}"
    return Edition(name, {**files, CHECKSUMS: sums})


def laid_out(whole: Edition) -> dict[str, bytes]:
    """Return all files of an edition's folder: the edition's files, the tarball, and the tarball's hash."""
    packed = tarball(whole.files, folder=whole.name)
    files = {
        **whole.files,
        whole.archive_name: packed,
        f"{whole.archive_name}.sha256": checksums({whole.archive_name: packed}),
    }
    del files[CHECKSUMS]
    return {**files, CHECKSUMS: checksums(files)}


def checksums(files: Mapping[str, bytes]) -> bytes:
    """Return the SHA-256 of each file, in the format of `sha256sum`."""
    lines = [f"{hashlib.sha256(files[path]).hexdigest()}  {path}\n" for path in sorted(files)]
    return "".join(lines).encode()


def _made_from(contract: Described) -> Iterator[tuple[str, bytes]]:
    name = key(contract.name)
    for side, schema in contract.schemas.items():
        yield f"schemas/{name}.{side}.json", json_bytes(schema)
    yield f"types/{name}.d.ts", declarations(contract.name, contract.schemas["writer"]).encode()
