"""The certificate for TLS: given by the operator, or made when the first client needs TLS.

The `cryptography` library makes the certificate. PyMySQL, which the consumer and the site use, needs that library
already (Apache-2.0 or BSD-3-Clause), so it adds no package; the `openssl` command is missing in slim containers. A
new certificate authority signs the certificate, and the authority's key is not kept. Clients that verify certificates
get the authority's certificate.
"""

import asyncio
import datetime as dt
import ipaddress
import os
import ssl
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cryptography import x509

LIFETIME: Final = dt.timedelta(days=397)  # the longest lifetime that all of today's TLS libraries accept
NAMES: Final = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Identity:
    """The server's TLS identity: the TLS context, and in PEM the certificate that a client must trust."""

    context: ssl.SSLContext
    trusted_pem: str


class Identities:
    """The server's certificate: a given certificate, or a certificate that is made for `names` at the first use.

    `given` names the files of a certificate chain and its key in PEM; the constructor reads them at once. Raises
    OSError or ssl.SSLError if they cannot be used.
    """

    def __init__(self, names: Sequence[str] = (), given: tuple[Path, Path] | None = None) -> None:
        self._names = (*NAMES, *(name for name in names if name not in NAMES))
        self._identity = _given(*given) if given else None
        self._making = threading.Lock()

    async def identity(self) -> Identity:
        """Return the certificate; make the certificate at the first call."""
        if self._identity is not None:
            return self._identity
        return await asyncio.to_thread(self._make)

    def _make(self) -> Identity:
        with self._making:
            identity = self._identity or _made(self._names, dt.datetime.now(dt.UTC))  # noqa: TID251 (a thin shell)
            self._identity = identity
            return identity


def _given(certificate: Path, key: Path) -> Identity:
    context = _context()
    context.load_cert_chain(certificate, key)
    return Identity(context, certificate.read_text())


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _made(names: Sequence[str], now: dt.datetime) -> Identity:
    authority, chain_and_key = _signed(names, now)
    context = _context()
    handle, path = tempfile.mkstemp(prefix="mailpact-")  # the ssl module reads certificates from files only
    try:
        with os.fdopen(handle, "w") as file:
            file.write(chain_and_key)
        context.load_cert_chain(path)
    finally:
        os.unlink(path)
    return Identity(context, authority)


def _signed(names: Sequence[str], now: dt.datetime) -> tuple[str, str]:
    """Return an authority's certificate in PEM, and the certificate that it signed together with its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, "Mailpact capture server, for tests only")]
    )
    identifier = x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key())

    def builder(subject: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        blank = x509.CertificateBuilder(issuer_name=authority, subject_name=subject, public_key=public)
        dated = blank.not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + LIFETIME)
        return dated.serial_number(x509.random_serial_number())

    root = builder(authority, authority_key.public_key())
    root = root.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    root = root.add_extension(identifier, critical=False).add_extension(_usage(signs=True), critical=True)
    leaf = builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]), key.public_key())
    leaf = leaf.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    leaf = leaf.add_extension(
        x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False
    )
    leaf = leaf.add_extension(_usage(signs=False), critical=True)
    leaf = leaf.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    leaf = leaf.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False
    )
    pems = [each.sign(authority_key, hashes.SHA256()).public_bytes(Encoding.PEM) for each in (root, leaf)]
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pems[0].decode(), (pems[1] + secret).decode()


def _usage(*, signs: bool) -> "x509.KeyUsage":
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not signs, key_cert_sign=signs, crl_sign=signs, content_commitment=False,
        key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False,
        decipher_only=False,
    )  # fmt: skip


def _general_name(name: str) -> "x509.GeneralName":
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
