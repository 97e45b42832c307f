"""Fail-over of the store's cluster against the real processes: one node's customers wait, all values stay right."""

from collections.abc import Iterator

import pytest

from devservers.redis_cluster import RedisCluster
from devservers.server import running
from devservers.waiting import eventually
from featurestore.store.cluster import ClusterStore
from tests.system.shop import open_shop

CUSTOMERS = [f"customer-{n}" for n in range(9)]


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    with running(RedisCluster(tmp_path_factory.mktemp("failover-cluster"))) as made:
        yield made


@pytest.mark.timeout(300)
def test_failover_denies_one_nodes_customers_and_loses_nothing(
    kafka: str, redis_server: str, cluster: RedisCluster, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("failover")
    with open_shop(folder, kafka=kafka, store=cluster.url, control_url=redis_server) as shop:
        store = ClusterStore(cluster.url, 500)
        eventually(lambda: store.read([], [], [], 500).vouched, "every node is vouched for")
        node = store.nodes()[0]
        stopped = [name for name in CUSTOMERS if node.owns(shop.subject(name))]
        others = [name for name in CUSTOMERS if name not in stopped]
        assert stopped
        assert others
        shop.give_consent(*CUSTOMERS)
        for name in CUSTOMERS:
            shop.buy(name)
        eventually(lambda: all(shop.spend(name) == ("present", 10) for name in CUSTOMERS), "all customers are served")

        primary = next(server for server in cluster.servers if node.name.endswith(f":{server.port}"))
        primary.kill()
        assert shop.decide(stopped[0], "withdrawn").status_code == 202
        for name in CUSTOMERS:
            shop.buy(name)
        seen = set[str]()

        def served_again() -> bool:
            assert {shop.spend(name)[0] for name in others} == {"present"}, "customers of other nodes are served"
            withdrawn = shop.spend(stopped[0])[0]
            seen.add(withdrawn)
            known = [shop.spend(name) for name in CUSTOMERS if name != stopped[0]]
            return withdrawn == "withheld" and all(one == ("present", 20) for one in known)

        eventually(served_again, "all customers are served again, with later orders")
        assert seen <= {"unavailable", "withheld"}, "withdrawn values were never served"
        assert shop.spend(stopped[0]) == ("withheld", None)
        assert shop.api.get("/readyz").status_code == 200
