"""Packs files into a reproducible tarball: the same bytes on every machine and at any time.

Three things make tarballs differ. The first is the owner and the time: here every member has owner 0, mode 644 and
time 0. The second is the order: here members are sorted by name. The third is compression: versions of zlib and its
successors compress the same bytes differently. Therefore nothing is compressed: the gzip stream (RFC 1952) contains
DEFLATE's stored blocks (RFC 1951, section 3.2.4), which can be written in only one way. The contracts are small, and a
hash that is the same everywhere is more useful than a smaller file.
"""

import io
import tarfile
import zlib
from collections.abc import Iterator, Mapping

_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"  # method deflate, no name, no time, unknown system
_MOST_IN_A_BLOCK = 0xFFFF


def tarball(files: Mapping[str, bytes], *, folder: str) -> bytes:
    """Return `files`, contents by paths below `folder`, packed as .tar.gz (POSIX 1003.1-2001)."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(files):
            member = tarfile.TarInfo(f"{folder}/{path}")
            member.size = len(files[path])
            archive.addfile(member, io.BytesIO(files[path]))
    return _gzip(packed.getvalue())


def _gzip(data: bytes) -> bytes:
    trailer = zlib.crc32(data).to_bytes(4, "little") + (len(data) & 0xFFFFFFFF).to_bytes(4, "little")
    return b"".join([_GZIP_HEADER, *_stored(data), trailer])


def _stored(data: bytes) -> Iterator[bytes]:
    """Return stored blocks: a flag for the last block, the length, its complement, and the bytes without change."""
    for start in range(0, max(len(data), 1), _MOST_IN_A_BLOCK):
        block = data[start : start + _MOST_IN_A_BLOCK]
        last = start + _MOST_IN_A_BLOCK >= len(data)
        length = len(block)
        yield bytes([last]) + length.to_bytes(2, "little") + (length ^ 0xFFFF).to_bytes(2, "little") + block
