"""A fail-over of the store's cluster against the real processes: one node's customers wait, and nobody's values err."""

from collections.abc import Iterator

import pytest

from devservers.installation import installation
from devservers.redis_cluster import RedisCluster
from devservers.server import running
from devservers.waiting import eventually
from featurestore.store.cluster import ClusterStore
from tests.system.test_withdrawal import PARTITIONS, Shop

CUSTOMERS = [f"customer-{n}" for n in range(9)]


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    with running(RedisCluster(tmp_path_factory.mktemp("failover-cluster"))) as made:
        yield made


@pytest.mark.timeout(300)
def test_a_fail_over_stops_one_node_s_customers_and_loses_nothing(
    kafka: str, redis_server: str, cluster: RedisCluster, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("failover")
    places = {"store": cluster.url, "control_url": redis_server, "kafka": kafka}
    with installation(folder, partitions=PARTITIONS, **places) as made:
        made.prepare()
        made.start_store_verifier()
        made.start_worker()
        shop = Shop(made)
        store = ClusterStore(cluster.url, 500)
        eventually(lambda: store.read([], [], [], 500).vouched, "every node is vouched for")
        node = store.nodes()[0]
        stopped = [name for name in CUSTOMERS if node.owns(shop.subject(name))]
        others = [name for name in CUSTOMERS if name not in stopped]
        assert stopped
        assert others
        shop.agree(*CUSTOMERS)
        for name in CUSTOMERS:
            shop.buys(name)
        eventually(lambda: all(shop.spend(name) == ("present", 10) for name in CUSTOMERS), "everybody is served")

        primary = next(server for server in cluster.servers if node.name.endswith(f":{server.port}"))
        primary.kill()
        assert shop.decide(stopped[0], "withdrawn").status_code == 202
        for name in CUSTOMERS:
            shop.buys(name)
        seen = set[str]()

        def served_again() -> bool:
            assert {shop.spend(name)[0] for name in others} == {"present"}, "the other nodes' customers are served"
            withdrawn = shop.spend(stopped[0])[0]
            seen.add(withdrawn)
            known = [shop.spend(name) for name in CUSTOMERS if name != stopped[0]]
            return withdrawn == "withheld" and all(one == ("present", 20) for one in known)

        eventually(served_again, "everybody is answered again, with what came meanwhile")
        assert seen <= {"away", "withheld"}, "what was withdrawn was never served"
        assert shop.spend(stopped[0]) == ("withheld", 0)
        assert shop.api.get("/readyz").status_code == 200
