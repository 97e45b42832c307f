"""A local Apache Kafka that speaks no plaintext to clients: SASL_SSL with SCRAM at one port, mutual TLS at another.

Its authorizer lets a user do only what a rule allows; USER and the broker itself may do everything.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka.admin import (
    AclBinding,
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from devservers.certificates import Authority, Identity
from devservers.kafka.broker import Broker
from devservers.ports import free_port

USER, PASSWORD = "rapport", "100%/p@ss:word"
LISTENERS = """\
listeners=SASL_SSL://127.0.0.1:{port},SSL://127.0.0.1:{mutual_port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=SASL_SSL://127.0.0.1:{port},SSL://127.0.0.1:{mutual_port},CONTROLLER://127.0.0.1:{controller_port}
listener.security.protocol.map=SASL_SSL:SASL_SSL,SSL:SSL,CONTROLLER:PLAINTEXT
inter.broker.listener.name=SSL
ssl.keystore.type=PEM
ssl.keystore.location={identity.both}
ssl.truststore.type=PEM
ssl.truststore.location={authority.file}
listener.name.ssl.ssl.client.auth=required
ssl.principal.mapping.rules=RULE:^CN=(.*)$/$1/
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:{user};User:{broker};User:ANONYMOUS
sasl.enabled.mechanisms=SCRAM-SHA-512,SCRAM-SHA-256
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={scram} required;
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config={scram} required;
"""
SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule"
BROKER = "kafka"
TIMEOUT_S = 20


@dataclass
class SecureBroker(Broker):
    """One broker with certificates of ``authority``, which also signed those of its clients."""

    authority: Authority = field(kw_only=True)
    mutual_port: int = field(default_factory=free_port)
    identity: Identity = field(init=False)

    def __post_init__(self) -> None:
        self.identity = self.authority.identity(BROKER, "127.0.0.1")

    @property
    def mutual_bootstrap(self) -> str:
        """The address that asks for a client's certificate."""
        return f"127.0.0.1:{self.mutual_port}"

    def listeners(self) -> str:
        return LISTENERS.format(**vars(self), scram=SCRAM, user=USER, broker=BROKER)

    def format_options(self) -> Sequence[str]:
        mechanisms = ("SCRAM-SHA-512", "SCRAM-SHA-256")
        return [word for name in mechanisms for word in ("--add-scram", f"{name}=[name={USER},password={PASSWORD}]")]

    def client_options(self) -> dict[str, Any]:
        return {
            "bootstrap.servers": self.mutual_bootstrap,
            "security.protocol": "ssl",
            "ssl.ca.location": str(self.authority.file),
            "ssl.certificate.location": str(self.identity.both),
            "ssl.key.location": str(self.identity.both),
        }

    def create_users(self, passwords: dict[str, str]) -> None:
        """Make users of SCRAM-SHA-512, who may do nothing."""
        info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        made = [UserScramCredentialUpsertion(name, info, word.encode()) for name, word in passwords.items()]
        admin = self._admin()
        for future in admin.alter_user_scram_credentials(made).values():
            future.result(TIMEOUT_S)

    def allow(self, rules: Iterable[AclBinding]) -> None:
        admin = self._admin()
        for future in admin.create_acls(list(rules)).values():
            future.result(TIMEOUT_S)

    def _admin(self) -> AdminClient:
        return AdminClient({**self.client_options(), "log_level": 0})
