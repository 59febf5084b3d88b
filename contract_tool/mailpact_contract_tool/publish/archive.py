"""Packs files into a tarball that is the same, byte for byte, on every machine and in every year.

Three things make tarballs differ. Who packed and when: every member has owner 0, mode 644 and the time 0. The order:
members are sorted by their names. And the compressor: zlib and its successors squeeze the same bytes differently, and
their versions do too. So nothing is squeezed: the gzip stream (RFC 1952) holds DEFLATE's stored blocks (RFC 1951,
section 3.2.4), which can be written in one way only. The contracts are small; a hash that holds
everywhere is worth more.
"""

import io
import tarfile
import zlib
from collections.abc import Iterator, Mapping

_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"  # deflate, no name, no time, unknown system
_MOST_IN_A_BLOCK = 0xFFFF


def tarball(files: Mapping[str, bytes], *, folder: str) -> bytes:
    """Pack `files`, their contents by their paths below `folder`, as .tar.gz (POSIX 1003.1-2001)."""
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
    """Return the blocks: whether it is the last, its length, the length's complement, and the bytes as they are."""
    for start in range(0, max(len(data), 1), _MOST_IN_A_BLOCK):
        block = data[start : start + _MOST_IN_A_BLOCK]
        last = start + _MOST_IN_A_BLOCK >= len(data)
        length = len(block)
        yield bytes([last]) + length.to_bytes(2, "little") + (length ^ 0xFFFF).to_bytes(2, "little") + block
