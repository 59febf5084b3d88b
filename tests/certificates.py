"""Certificates for servers that tests start: a certificate authority of their own, and what it signs."""

import datetime as dt
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LIFETIME = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Certificate:
    """The files of a certificate: the authority that signed it, the certificate and its key, all in PEM."""

    authority: Path
    certificate: Path
    key: Path


def make_certificate(folder: Path, host: str, *, expired: bool = False) -> Certificate:
    """Make an authority and a certificate for a host name or an IP address, in an empty folder."""
    now = dt.datetime.now(dt.UTC)
    ends = now - LIFETIME if expired else now + LIFETIME
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Authority of the tests")])
    made = Certificate(*(folder / name for name in ("authority.pem", "certificate.pem", "key.pem")))

    def builder(subject: x509.Name, public_key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        blank = x509.CertificateBuilder(issuer_name=authority, subject_name=subject, public_key=public_key)
        serial = x509.random_serial_number()
        return blank.serial_number(serial).not_valid_before(now - 2 * LIFETIME).not_valid_after(ends)

    root = builder(authority, authority_key.public_key()).add_extension(
        x509.BasicConstraints(ca=True, path_length=0), critical=True
    )
    made.authority.write_bytes(
        root.sign(authority_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    )
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    leaf = builder(name, key.public_key()).add_extension(
        x509.SubjectAlternativeName([_general_name(host)]), critical=False
    )
    made.certificate.write_bytes(
        leaf.sign(authority_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    )
    made.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return made


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
