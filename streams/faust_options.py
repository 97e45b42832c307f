"""Faust's settings for fetch batches, quick fail-over and recovery; the others are Faust's defaults."""

from typing import Any

from faust import SASLCredentials, SSLCredentials
from faust.types.auth import CredentialsT

from featurestore.config import Settings
from featurestore.servers.kafka import KafkaCluster, kafka_cluster
from streams.fetch_batches import FetchBatchScheduler
from streams.lease import REBALANCE_TIMEOUT_S
from streams.metrics import Monitor
from streams.tables import TableManager

DAY_S = 24 * 3600.0


def faust_options(settings: Settings) -> dict[str, Any]:
    """Keyword arguments for ``faust.App``."""
    session_s, cluster = settings.stream_session_ms / 1000, kafka_cluster(settings)
    return {
        "broker": [f"kafka://{address}" for address in cluster.addresses],
        "broker_credentials": credentials(cluster),
        "datadir": settings.stream_data_dir / settings.stream_member,
        "ConsumerScheduler": FetchBatchScheduler,
        "Monitor": Monitor,
        "TableManager": TableManager,
        "autodiscover": False,
        "cython_optimizations": True,
        "worker_redirect_stdouts": False,
        "web_enabled": False,
        "web_tables_enabled": False,  # it would serve the tables' contents
        "canonical_url": f"http://{settings.stream_member}",
        "topic_allow_declare": False,  # topics are code: python -m streams topics apply
        "topic_disable_leader": True,
        "topic_partitions": settings.partitions,
        "broker_client_id": settings.stream_member,
        "consumer_group_instance_id": settings.stream_member,
        "broker_session_timeout": session_s,
        "broker_heartbeat_interval": session_s / 6,
        "broker_rebalance_timeout": REBALANCE_TIMEOUT_S,
        "broker_max_poll_records": 2_000,
        "broker_max_poll_interval": DAY_S,  # a worker that waits for its store keeps its partitions
        "broker_check_crcs": False,
        "broker_commit_interval": 1.0,
        "stream_buffer_maxsize": 4,
        "stream_wait_empty": True,  # a rebalance waits for the fetch batches being handled (trap 10)
    }


def credentials(cluster: KafkaCluster) -> CredentialsT | None:
    """Faust's form of the cluster's security; None for plaintext."""
    if cluster.security == "plaintext":
        return None
    context = cluster.tls.context()
    if cluster.security == "ssl":
        return SSLCredentials(context)
    return SASLCredentials(
        username=cluster.username, password=cluster.password, ssl_context=context, mechanism=cluster.mechanism
    )
