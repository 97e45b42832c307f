"""Certificates of a test's own authority: of a server, of clients, and a list of revoked ones."""

import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

START = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)
END = START + datetime.timedelta(days=1)


def named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


class Authority:
    """A certificate authority. Its files are in ``folder``: NAME.pem, NAME.key, and its own as ``ca.pem``."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.key = folder, ec.generate_private_key(ec.SECP256R1())
        self.name = named("test authority")
        self.certificate = (
            self._builder(self.name, self.key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self.key, hashes.SHA256())
        )
        self._write("ca.pem", self.certificate)

    def issue(self, name: str, host: str | None = None) -> x509.Certificate:
        """A certificate and its key, as files; for a server with its host name."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(named(name), key.public_key())
        if host:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        certificate = builder.sign(self.key, hashes.SHA256())
        self._write(f"{name}.pem", certificate)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (self.folder / f"{name}.key").write_bytes(private)
        return certificate

    def revoke(self, *revoked: x509.Certificate) -> None:
        """Write ``revoked.crl`` with these certificates."""
        builder = x509.CertificateRevocationListBuilder(self.name, last_update=START, next_update=END)
        for certificate in revoked:
            entry = x509.RevokedCertificateBuilder(certificate.serial_number, START).build()
            builder = builder.add_revoked_certificate(entry)
        made = builder.sign(self.key, hashes.SHA256())
        (self.folder / "revoked.crl").write_bytes(made.public_bytes(serialization.Encoding.PEM))

    def _builder(self, name: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return x509.CertificateBuilder(self.name, name, key, x509.random_serial_number(), START, END)

    def _write(self, file: str, certificate: x509.Certificate) -> None:
        (self.folder / file).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
