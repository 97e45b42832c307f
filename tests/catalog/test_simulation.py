"""The simulated shop: consistent actions, the same for the same seed."""

from collections import Counter
from decimal import Decimal
from itertools import islice
from random import Random

import pytest

from featurestore.catalog import registry
from featurestore.catalog.chat import Message
from featurestore.catalog.orders import OrderLine
from featurestore.catalog.simulation import actions as actions_of
from featurestore.catalog.support import TicketChange
from featurestore.definitions.simulation import Action, ConsentDecision, CustomerEvent

CUSTOMERS = [f"C{n}" for n in range(1, 11)]


def generate(seed: int = 1, length: int = 20_000) -> list[Action]:
    return list(islice(actions_of(CUSTOMERS, Random(seed)), length))


@pytest.fixture(scope="module")
def actions() -> list[Action]:
    return generate()


def test_same_seed_gives_the_same_actions() -> None:
    assert generate(7, 500) == generate(7, 500) != generate(8, 500)


def test_every_source_and_kind_occurs(actions: list[Action]) -> None:
    sources = {action.source.name for action in actions if isinstance(action, CustomerEvent)}
    assert sources == set(registry.sources)
    kinds = Counter(
        action.data.kind for action in actions if isinstance(action, CustomerEvent) and hasattr(action.data, "kind")
    )
    assert kinds.keys() == {
        "page_view", "search", "add_to_cart", "remove_from_cart", "checkout", "completed", "returned",
        "opened", "reopened", "solved",
    }  # fmt: skip


def test_every_event_is_valid_for_its_source(actions: list[Action]) -> None:
    for action in actions:
        if isinstance(action, CustomerEvent):
            action.source.values(action.data)


def test_returns_never_exceed_purchases(actions: list[Action]) -> None:
    pieces: Counter[tuple[str, str, str]] = Counter()
    for action in actions:
        if isinstance(action, CustomerEvent) and isinstance(line := action.data, OrderLine):
            pieces[action.customer_id, line.order_id, line.sku] += line.quantity
            assert (line.amount > 0) == (line.quantity > 0) == (line.kind == "completed")
    assert min(pieces.values()) >= 0


def test_open_ticket_counts_are_consistent(actions: list[Action]) -> None:
    open_tickets: dict[str, set[str]] = {}
    for action in actions:
        if isinstance(action, CustomerEvent) and isinstance(change := action.data, TicketChange):
            tickets = open_tickets.setdefault(action.customer_id, set())
            (tickets.remove if change.kind == "solved" else tickets.add)(change.ticket_id)
            assert change.open_tickets == len(tickets)


def test_sentiments_are_between_minus_one_and_one(actions: list[Action]) -> None:
    messages = [
        action.data for action in actions if isinstance(action, CustomerEvent) and isinstance(action.data, Message)
    ]
    sentiments = [message.sentiment for message in messages if message.sentiment is not None]
    assert -1 <= min(sentiments) < 0 < max(sentiments) <= 1


def test_consents_alternate_except_the_first_customers(actions: list[Action]) -> None:
    last_decisions: dict[tuple[str, str], str] = {}
    decisions = [action for action in actions if isinstance(action, ConsentDecision)]
    for customer_id, purpose, decision in decisions:
        assert last_decisions.get((customer_id, purpose), "given") != decision
        last_decisions[customer_id, purpose] = decision
    assert {"given", "withdrawn"} == {decision.decision for decision in decisions}
    assert CUSTOMERS[0] not in {decision.customer_id for decision in decisions}


def test_amounts_are_decimals_with_cents(actions: list[Action]) -> None:
    amounts = {d.data.amount for d in actions if isinstance(d, CustomerEvent) and isinstance(d.data, OrderLine)}
    assert all(isinstance(amount, Decimal) and amount == round(amount, 2) for amount in amounts)
