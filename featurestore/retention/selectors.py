"""Readers of retention's runs, and of the store's memory."""

import structlog

from featurestore.retention.models import EvictionRun
from featurestore.store import configured
from featurestore.store.protocol import StoreMemory, StoreUnavailable

log = structlog.get_logger(__name__)


def last_eviction() -> EvictionRun | None:
    """The last run that ended and evicted, or found nobody to evict."""
    return EvictionRun.objects.filter(dry_run=False, finished_at__isnull=False).first()


def store_memory() -> dict[str, StoreMemory]:
    """The memory of each node by its name; none of the nodes that do not answer."""
    found: dict[str, StoreMemory] = {}
    try:
        nodes = configured.store().nodes()
    except StoreUnavailable as error:
        log.warning("the store's memory not measured", reason=str(error))
        return found
    for node in nodes:
        try:
            found[node.name] = node.memory()
        except StoreUnavailable as error:
            log.warning("a node's memory not measured", node=node.name, reason=str(error))
    return found
