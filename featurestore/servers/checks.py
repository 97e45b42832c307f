"""Checks at start of the Redis servers and Kafka, by settings and files alone: a server that is down refuses no start.

The database's are in ``featurestore.servers.database``, whose client the stream workers do not load.
"""

from collections.abc import Iterator
from urllib.parse import urlsplit

from featurestore.config import Settings
from featurestore.servers.errors import ServerNameError
from featurestore.servers.kafka import KafkaCluster, kafka_cluster
from featurestore.servers.problems import Problem, is_local, misnamed, plaintext
from featurestore.servers.redis_url import parse_redis_url
from featurestore.servers.tls import unusable


def redis_and_kafka_problems(conf: Settings) -> Iterator[Problem]:
    """The problems of all servers but the database."""
    yield from redis_problems(conf, "store")
    yield from redis_problems(conf, "control")
    yield from kafka_problems(conf)


def redis_problems(conf: Settings, server: str) -> Iterator[Problem]:
    """The problems of ``store`` or ``control``."""
    setting = f"RAPPORT_{server.upper()}_URL"
    try:
        url = parse_redis_url(getattr(conf, f"{server}_url"))
    except ServerNameError as error:
        yield misnamed(f"{setting} {error}.")
        return
    if server == "control" and url.kind == "cluster":
        yield misnamed(f"{setting} names a cluster, which Celery can't use.", "Use one server, or Sentinels.")
    if url.tls and (reason := unusable(url.tls)):
        yield misnamed(f"{setting}: {reason}.", "Name PEM files that this process may read.")
    if url.tls is None and not all(is_local(host) for host, _ in url.hosts):
        yield from plaintext(conf, server, setting)


def kafka_problems(conf: Settings) -> Iterator[Problem]:
    """The problems of Kafka."""
    cluster = kafka_cluster(conf)
    yield from (misnamed(f"{message}.") for message in _misnamed(cluster))
    if cluster.security != "plaintext" and (reason := unusable(cluster.tls)):
        yield misnamed(
            f"RAPPORT_KAFKA_CA_FILE, _CERTIFICATE_FILE or _KEY_FILE: {reason}.",
            "Name PEM files that this process may read. RAPPORT_KAFKA_KEY_PASSWORD opens an encrypted key.",
        )
    if cluster.security == "plaintext" and not all(is_local(_host(address)) for address in cluster.addresses):
        yield from plaintext(conf, "kafka", "RAPPORT_KAFKA_BOOTSTRAP")


def _misnamed(cluster: KafkaCluster) -> Iterator[str]:
    """Settings that a client would not take, or would ignore."""
    if not all(_host(address) for address in cluster.addresses):
        yield "RAPPORT_KAFKA_BOOTSTRAP is not host:port,host:port. RAPPORT_KAFKA_SECURITY says how they are reached"
    credentials = bool(cluster.username or cluster.password)
    if cluster.security == "plaintext" and (credentials or any(cluster.tls)):
        yield "RAPPORT_KAFKA_SECURITY is plaintext: user, password and files would be ignored. Use sasl_ssl or ssl"
    if cluster.security == "ssl" and credentials:
        yield "RAPPORT_KAFKA_SECURITY is ssl: user and password would be ignored. Use sasl_ssl"
    if cluster.security == "sasl_ssl" and not (cluster.username and cluster.password):
        yield "RAPPORT_KAFKA_SECURITY is sasl_ssl, which needs RAPPORT_KAFKA_USERNAME and RAPPORT_KAFKA_PASSWORD"
    if cluster.tls.key_file and not cluster.tls.certificate_file:
        yield "RAPPORT_KAFKA_KEY_FILE is set without RAPPORT_KAFKA_CERTIFICATE_FILE"


def _host(address: str) -> str:
    """The host of host:port; empty if the address has another form."""
    try:
        split = urlsplit(f"//{address}")
        return (split.hostname or "") if split.port and split.netloc == address and "@" not in address else ""
    except ValueError:
        return ""
