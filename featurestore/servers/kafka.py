"""Kafka cluster of this installation, and the options with which each client library reaches it.

librdkafka, aiokafka and Faust have different names for the same options. All are made here, so that none is forgotten.
"""

import ssl
from typing import Any, Literal, NamedTuple

from featurestore.config import Settings
from featurestore.servers.tls import Tls

Security = Literal["plaintext", "ssl", "sasl_ssl"]


class KafkaCluster(NamedTuple):
    """Addresses of some brokers, and how they are reached. Only ``bootstrap`` is shown in texts."""

    bootstrap: str
    security: Security = "plaintext"
    tls: Tls = Tls()
    mechanism: str = ""
    username: str = ""
    password: str = ""

    def __str__(self) -> str:
        return self.bootstrap

    def __repr__(self) -> str:
        return f"<KafkaCluster {self.bootstrap} {self.security}>"

    @property
    def addresses(self) -> list[str]:
        return [address.strip() for address in self.bootstrap.split(",")]

    def librdkafka(self) -> dict[str, Any]:
        """Options of confluent-kafka's clients."""
        options: dict[str, Any] = {"bootstrap.servers": self.bootstrap}
        if self.security != "plaintext":
            # Not left to librdkafka, which would look for authorities at other places than Python does.
            authorities = self.tls.ca_file or ssl.get_default_verify_paths().cafile or "probe"
            files = {
                "ssl.certificate.location": self.tls.certificate_file,
                "ssl.key.location": self.tls.key_file or self.tls.certificate_file,
                "ssl.key.password": self.tls.key_password,
            }
            options |= {"security.protocol": self.security, "ssl.ca.location": authorities}
            options |= {name: value for name, value in files.items() if value}
            options["ssl.endpoint.identification.algorithm"] = "https"
        if self.security == "sasl_ssl":
            options |= {"sasl.mechanism": self.mechanism, "sasl.username": self.username}
            options["sasl.password"] = self.password
        return options

    def aiokafka(self) -> dict[str, Any]:
        """Options of aiokafka's clients."""
        options: dict[str, Any] = {"bootstrap_servers": self.addresses}
        if self.security != "plaintext":
            options |= {"security_protocol": self.security.upper(), "ssl_context": self.tls.context()}
        if self.security == "sasl_ssl":
            options |= {"sasl_mechanism": self.mechanism, "sasl_plain_username": self.username}
            options["sasl_plain_password"] = self.password
        return options


def kafka_cluster(conf: Settings) -> KafkaCluster:
    """The cluster that the settings name."""
    files = (conf.kafka_ca_file, conf.kafka_certificate_file, conf.kafka_key_file, conf.kafka_key_password)
    return KafkaCluster(
        conf.kafka_bootstrap,
        conf.kafka_security,
        Tls(*files),
        conf.kafka_sasl_mechanism,
        conf.kafka_username,
        conf.kafka_password,
    )
