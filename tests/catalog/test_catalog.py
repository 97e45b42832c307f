"""Shipped catalog: valid, with every aggregation in use."""

import json
from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from featurestore import aggregations
from featurestore.aggregations import Aggregation
from featurestore.catalog import registry
from featurestore.catalog.behavior import Act, behavior
from featurestore.catalog.chat import Message, chat
from featurestore.catalog.orders import OrderLine, orders
from featurestore.catalog.profile import ProfileUpdate, profile
from featurestore.catalog.purposes import PURPOSES, LawfulBasis
from featurestore.catalog.support import TicketChange, support
from featurestore.config import ROOT
from featurestore.definitions import EventSource, FeatureView

RECORDED = json.loads((ROOT / "featurestore" / "catalog" / "fingerprints.json").read_text())
EXAMPLES = {
    "orders": OrderLine(kind="completed", order_id="o1", sku="s1", quantity=1, amount=Decimal("1.50")),
    "behavior": Act(kind="page_view", category="hats"),
    "support": TicketChange(kind="opened", ticket_id="t1", topic="delivery", open_tickets=1),
    "chat": Message(author="customer", conversation_id="c1", sentiment=-0.5, intent="complaint"),
    "profile": ProfileUpdate(tier="gold"),
}
views = pytest.mark.parametrize("view", registry.views.values(), ids=lambda view: view.name)


def test_shipped_definitions_have_no_problem() -> None:
    assert registry.check([purpose.name for purpose in PURPOSES], RECORDED) == []


def test_shipped_sources_and_their_topics() -> None:
    assert list(registry.sources.values()) == [orders, behavior, support, chat, profile]
    assert [source.topic for source in registry.sources.values()] == [
        "events.orders", "events.behavior", "events.support", "events.chat", "events.profile",
    ]  # fmt: skip


@pytest.mark.parametrize("aggregation", aggregations.all_aggregations(), ids=lambda aggregation: aggregation.__name__)
def test_every_aggregation_is_used(aggregation: type[Aggregation]) -> None:
    used = Counter(type(one.aggregation) for view in registry.views.values() for one in view.aggregations)
    assert used[aggregation]


@views
def test_every_view_has_an_owner_and_a_description(view: FeatureView) -> None:
    assert view.owner
    assert view.description


@views
def test_every_view_is_in_a_service_of_one_of_its_purposes(view: FeatureView) -> None:
    services = [service for service in registry.services.values() if view in service.views]
    assert any(service.purpose in view.purposes for service in services)


def test_every_view_of_a_service_serves_its_purpose() -> None:
    for service in registry.services.values():
        assert [view.name for view in service.views if service.purpose not in view.purposes] == []


def test_every_purpose_is_used_and_described() -> None:
    used = {purpose for view in registry.views.values() for purpose in view.purposes}
    assert used == {purpose.name for purpose in PURPOSES}
    assert all(purpose.title and purpose.description and purpose.basis in LawfulBasis for purpose in PURPOSES)


@pytest.mark.parametrize("source", registry.sources.values(), ids=lambda source: source.name)
def test_every_source_forbids_unknown_fields(source: EventSource) -> None:
    assert source.data.__struct_config__.forbid_unknown_fields
    sent = source.encode(id="1", source="tests", subject="0" * 32, time=datetime.now(UTC), data=EXAMPLES[source.name])
    assert source.decode(sent).values == source.values(EXAMPLES[source.name])


def test_no_source_has_a_field_for_names_or_texts() -> None:
    fields = {field for source in registry.sources.values() for field in source.data.__struct_fields__}
    assert not fields & {"name", "first_name", "email", "phone", "address", "text", "body", "birthday"}
