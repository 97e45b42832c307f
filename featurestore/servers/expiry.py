"""Certificates of authorities and clients that expire soon: afterwards no server is reached with them."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509

from featurestore.config import Settings
from featurestore.servers.database import POSTGRES_SCHEMES, postgres_options
from featurestore.servers.kafka import kafka_cluster
from featurestore.servers.redis_url import parse_redis_url

WARNED = timedelta(days=30)


def expiring_certificates(conf: Settings, now: datetime) -> list[str]:
    """A text for each certificate in the files that the settings name which expires within 30 days, or has expired."""
    return [text for file in sorted(certificate_files(conf)) for text in _expiring(Path(file), now)]


def certificate_files(conf: Settings) -> set[str]:
    """The files of certificates of every server's name."""
    urls = (parse_redis_url(url) for url in (conf.store_url, conf.control_url))
    used = [kafka_cluster(conf).tls, *(url.tls for url in urls if url.tls)]
    files: Iterable[str] = (file for tls in used for file in (tls.ca_file, tls.certificate_file))
    options = postgres_options(conf.database_url) if conf.database_url.startswith(POSTGRES_SCHEMES) else {}
    return {*files, *(options.get(name, "") for name in ("sslrootcert", "sslcert"))} - {"", "system"}


def _expiring(file: Path, now: datetime) -> Iterator[str]:
    try:
        found = x509.load_pem_x509_certificates(file.read_bytes())
    except ValueError:
        yield f"{file} holds no certificate in PEM"
        return
    for certificate in found:
        end, name = certificate.not_valid_after_utc, certificate.subject.rfc4514_string()
        if end - now < WARNED:
            yield f"{file}: the certificate of {name} expires at {end:%Y-%m-%d %H:%M} UTC"
