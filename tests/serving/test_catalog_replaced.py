"""What a read answers after another catalog has replaced the one under which the values were stored."""

import pytest

from featurestore.aggregations import Max, Mean, Sum
from featurestore.catalog.orders import COMPLETED, orders, spend
from featurestore.config import settings
from featurestore.definitions import FeatureService, FeatureView
from featurestore.serving.answer import ViewAnswer
from featurestore.serving.reader import FeatureReader
from tests.kit.serving_environment import NOW_MS, ServingEnvironment

LINE = {"kind": "completed", "order_id": "O1", "sku": "LAMP", "quantity": 1, "amount": "49.00"}


@pytest.fixture
def environment() -> ServingEnvironment:
    environment = ServingEnvironment()
    environment.permit("C1", service=True)
    environment.fold_events("C1", "orders", ("2026-11-20T09:00:00", LINE))
    return environment


def read(environment: ServingEnvironment, view: FeatureView) -> tuple[ViewAnswer, list[object]]:
    service = FeatureService("till", [view], purpose="service")
    reader = FeatureReader(environment.store, settings().partitions)
    subjects = [environment.subject("C1")]
    (answer,) = reader.read(service, "service", subjects, now_ms=NOW_MS, timeout_ms=100)
    return answer.views[view.name], list(answer.features.values())


def test_a_view_that_the_new_catalog_has_alike_keeps_its_values(environment: ServingEnvironment) -> None:
    again = FeatureView(
        "spend",
        source=orders,
        purposes={"service", "personalisation"},
        features=[
            Sum("amount").over("1h", "1d", "30d", "365d", name="money"),
            Mean("amount", where=COMPLETED).over("30d", "365d", name="usual"),
            Max("amount", where=COMPLETED).over("365d", name="largest"),
        ],
    )
    assert again.fingerprint == spend.fingerprint
    view, values = read(environment, again)
    assert (view.status, values) == ("present", [0, 0, 49, 49, 49, 49, 49])


def test_a_view_of_the_same_name_with_another_definition_reads_nothing_of_it(environment: ServingEnvironment) -> None:
    other = FeatureView(
        "spend",
        source=orders,
        purposes={"service", "personalisation"},
        features=[Sum("amount", where=COMPLETED).over("7d"), Max("amount").over("365d", name="largest")],
    )
    view, values = read(environment, other)
    assert (view.status, values) == ("stale", [None, None])
