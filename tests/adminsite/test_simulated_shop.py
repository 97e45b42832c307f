"""The simulated shop tells a story that could be true, and the same one for the same seed."""

from collections import Counter
from decimal import Decimal
from itertools import islice

import pytest

from adminsite.demo.simulated_shop import Decision, ShopAction, CustomerEvent, SimulatedShop
from featurestore.catalog import registry
from featurestore.catalog.chat import Message
from featurestore.catalog.orders import OrderLine
from featurestore.catalog.support import TicketChange

CUSTOMERS = [f"C{n}" for n in range(1, 11)]


def story(seed: int = 1, length: int = 20_000) -> list[ShopAction]:
    return list(islice(SimulatedShop(CUSTOMERS, seed).actions(), length))


@pytest.fixture(scope="module")
def told() -> list[ShopAction]:
    return story()


def test_the_same_seed_tells_the_same_story() -> None:
    assert story(7, 500) == story(7, 500) != story(8, 500)


def test_everything_there_is_happens(told: list[ShopAction]) -> None:
    happened = {deed.source.name for deed in told if isinstance(deed, CustomerEvent)}
    assert happened == set(registry.sources)
    kinds = Counter(deed.data.kind for deed in told if isinstance(deed, CustomerEvent) and hasattr(deed.data, "kind"))
    assert kinds.keys() == {
        "page_view", "search", "add_to_cart", "remove_from_cart", "checkout", "completed", "returned",
        "opened", "reopened", "solved",
    }  # fmt: skip


def test_every_event_is_one_that_its_source_takes(told: list[ShopAction]) -> None:
    for deed in told:
        if isinstance(deed, CustomerEvent):
            deed.source.values(deed.data)


def test_nobody_returns_more_than_was_bought(told: list[ShopAction]) -> None:
    pieces: Counter[tuple[str, str, str]] = Counter()
    for deed in told:
        if isinstance(deed, CustomerEvent) and isinstance(line := deed.data, OrderLine):
            pieces[deed.customer_id, line.order_id, line.sku] += line.quantity
            assert (line.amount > 0) == (line.quantity > 0) == (line.kind == "completed")
    assert min(pieces.values()) >= 0


def test_tickets_are_counted_as_a_help_desk_counts(told: list[ShopAction]) -> None:
    still_open: dict[str, set[str]] = {}
    for deed in told:
        if isinstance(deed, CustomerEvent) and isinstance(change := deed.data, TicketChange):
            tickets = still_open.setdefault(deed.customer_id, set())
            (tickets.remove if change.kind == "solved" else tickets.add)(change.ticket_id)
            assert change.open_tickets == len(tickets)


def test_sentiments_stay_on_their_scale(told: list[ShopAction]) -> None:
    messages = [deed.data for deed in told if isinstance(deed, CustomerEvent) and isinstance(deed.data, Message)]
    sentiments = [message.sentiment for message in messages if message.sentiment is not None]
    assert -1 <= min(sentiments) < 0 < max(sentiments) <= 1


def test_minds_change_back_and_forth_but_not_the_first_ones(told: list[ShopAction]) -> None:
    minds: dict[tuple[str, str], str] = {}
    decisions = [deed for deed in told if isinstance(deed, Decision)]
    for customer_id, purpose, decision in decisions:
        assert minds.get((customer_id, purpose), "given") != decision
        minds[customer_id, purpose] = decision
    assert {"given", "withdrawn"} == {decision.decision for decision in decisions}
    assert CUSTOMERS[0] not in {decision.customer_id for decision in decisions}


def test_prices_are_money(told: list[ShopAction]) -> None:
    amounts = {d.data.amount for d in told if isinstance(d, CustomerEvent) and isinstance(d.data, OrderLine)}
    assert all(isinstance(amount, Decimal) and amount == round(amount, 2) for amount in amounts)
