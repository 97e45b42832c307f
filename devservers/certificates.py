"""A certificate authority of its own, and certificates of servers and clients that it signs, as PEM files."""

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LIFETIME = timedelta(days=2)
PEM, PKCS8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8


class Identity(NamedTuple):
    """A certificate and its key, in a file each, and in one file, as Java wants them."""

    certificate: Path
    key: Path
    both: Path


@dataclass
class Authority:
    """An authority with its files in ``folder``: ca.pem, those of its identities, and a list of revoked ones."""

    folder: Path
    name: str = "Rapport's test authority"
    _issued: dict[str, x509.Certificate] = field(default_factory=dict, init=False)

    @property
    def file(self) -> Path:
        """The authority's certificate: what a client must trust."""
        return self._signed[0]

    def identity(self, name: str, *hosts: str, password: str = "") -> Identity:
        """A new certificate for a server at ``hosts``, or of a client without any. A password encrypts the key."""
        _, issuer, authority_key = self._signed
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [_general_name(host) for host in hosts]
        builder = _builder(name, issuer.subject, key).add_extension(x509.BasicConstraints(False, None), True)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), False)
        certificate = builder.sign(authority_key, hashes.SHA256())
        encryption = serialization.BestAvailableEncryption(password.encode()) if password else None
        pem_key = key.private_bytes(PEM, PKCS8, encryption or serialization.NoEncryption())
        self._issued[name], pem = certificate, certificate.public_bytes(PEM)
        return Identity(
            _write(self.folder / f"{name}.crt", pem),
            _write(self.folder / f"{name}.key", pem_key),
            _write(self.folder / f"{name}.pem", pem_key + pem),
        )

    def revoke(self, *names: str) -> Path:
        """Write the list of revoked certificates, with those of these names."""
        _, issuer, authority_key = self._signed
        now = datetime.now(UTC) - timedelta(hours=1)
        builder = x509.CertificateRevocationListBuilder(issuer.subject, last_update=now, next_update=now + LIFETIME)
        for name in names:
            entry = x509.RevokedCertificateBuilder(self._issued[name].serial_number, now).build()
            builder = builder.add_revoked_certificate(entry)
        listed = builder.sign(authority_key, hashes.SHA256()).public_bytes(PEM)
        return _write(self.folder / "revoked.crl", listed)

    @cached_property
    def _signed(self) -> tuple[Path, x509.Certificate, ec.EllipticCurvePrivateKey]:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _name(self.name)
        builder = _builder(self.name, subject, key).add_extension(x509.BasicConstraints(True, None), True)
        certificate = builder.sign(key, hashes.SHA256())
        self.folder.mkdir(parents=True, exist_ok=True)
        return _write(self.folder / "ca.pem", certificate.public_bytes(PEM)), certificate, key


def _builder(name: str, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + LIFETIME)
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _write(path: Path, content: bytes) -> Path:
    """Write a file that its owner alone reads, as PostgreSQL demands of a key."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
    return path
