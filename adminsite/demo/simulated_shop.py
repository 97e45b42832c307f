"""A simulated shop: customers who browse, fill carts, buy, return, complain, chat and change their minds about consent.

What happens next depends on what happened before: nobody returns what was not bought, and a ticket is reopened only
after it was solved. Seeded, so that the same seed tells the same story.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal, NamedTuple

import msgspec

from featurestore.catalog.behavior import Act, behavior
from featurestore.catalog.chat import Message, chat
from featurestore.catalog.orders import OrderLine, orders
from featurestore.catalog.profile import ProfileUpdate, profile
from featurestore.catalog.support import TicketChange, support
from featurestore.definitions import EventSource

Tier = Literal["bronze", "silver", "gold"]

MINDS = ("service", "personalisation")
TOPICS = ("delivery", "damaged", "wrong size", "refund", "invoice")
INTENTS = ("where is my order", "return", "advice", "complaint", "opening hours")
LIVELY = 0.3
"""The first customer's share of all that happens: somebody to watch, who never changes their mind."""


class Item(NamedTuple):
    """Something to buy."""

    sku: str
    category: str
    price: Decimal


class CustomerEvent(NamedTuple):
    """An event of one customer."""

    customer_id: str
    source: EventSource
    data: msgspec.Struct


class Decision(NamedTuple):
    """A customer's word about one purpose."""

    customer_id: str
    purpose: str
    decision: Literal["given", "withdrawn"]


ShopAction = CustomerEvent | Decision

ITEMS = [
    Item(f"{category[:2].upper()}-{number:02}", category, Decimal(price + 7 * number) + Decimal("0.95"))
    for category, price in {"coats": 79, "shoes": 49, "hats": 15, "bags": 35, "gifts": 5, "lamps": 25}.items()
    for number in range(1, 6)
]


@dataclass
class Customer:
    """What the shop knows of one customer."""

    customer_id: str
    cart: list[Item] = field(default_factory=list)
    bought: list[tuple[str, Item]] = field(default_factory=list)
    open: list[tuple[str, str]] = field(default_factory=list)  # tickets: id and topic
    solved: list[tuple[str, str]] = field(default_factory=list)
    looking_at: Item = ITEMS[0]
    mood: float = 0.3
    spent: Decimal = Decimal(0)
    tier: Tier = "bronze"
    willing: dict[str, bool] = field(default_factory=lambda: dict.fromkeys(MINDS, True))


class SimulatedShop:
    """Tells what happens, one deed after the other."""

    def __init__(self, customer_ids: Sequence[str], seed: int) -> None:
        self.random = random.Random(seed)
        self.customers = [Customer(customer_id) for customer_id in customer_ids]
        self.number = 0

    def actions(self) -> Iterator[ShopAction]:
        """What happens next, without end."""
        while True:
            lively = self.random.random() < LIVELY
            customer = self.customers[0] if lively else self.random.choice(self.customers)
            acts = self.acts(customer)
            yield from self.random.choices(list(acts), list(acts.values()))[0](customer)

    def acts(self, customer: Customer) -> dict[Callable[[Customer], Iterator[ShopAction]], float]:
        """What the customer may do now, and how likely."""
        return {
            self.look: 10,
            self.add: 3,
            self.remove: 1 if customer.cart else 0,
            self.order: 1 + len(customer.cart) if customer.cart else 0,
            self.give_back: 0.5 if customer.bought else 0,
            self.complain: 0.6 if customer.bought else 0,
            self.solve: 1 if customer.open else 0,
            self.reopen: 0.3 if customer.solved else 0,
            self.talk: 3,
            self.introduce: 0.3,
            self.change_mind: 0 if customer is self.customers[0] else 0.3 if all(customer.willing.values()) else 1.5,
        }

    def look(self, customer: Customer) -> Iterator[ShopAction]:
        if self.random.random() < 0.4:
            customer.looking_at = self.random.choice(ITEMS)
        sku, category, _ = customer.looking_at
        kind: Literal["page_view", "search"] = "page_view" if self.random.random() < 0.8 else "search"
        yield CustomerEvent(customer.customer_id, behavior, Act(kind=kind, category=category, sku=sku))

    def add(self, customer: Customer) -> Iterator[ShopAction]:
        customer.cart.append(customer.looking_at)
        yield cart_act(customer, "add_to_cart", customer.looking_at)

    def remove(self, customer: Customer) -> Iterator[ShopAction]:
        item = customer.cart.pop(self.random.randrange(len(customer.cart)))
        yield cart_act(customer, "remove_from_cart", item)

    def order(self, customer: Customer) -> Iterator[ShopAction]:
        yield CustomerEvent(customer.customer_id, behavior, Act(kind="checkout"))
        order_id = self.name("order")
        for item in customer.cart:
            yield order_line(customer, "completed", order_id, item)
        customer.bought += ((order_id, item) for item in customer.cart)
        customer.spent += sum(item.price for item in customer.cart)
        customer.cart, customer.mood = [], customer.mood + 0.2
        if (tier := tier_of(customer.spent)) != customer.tier:
            customer.tier = tier
            yield CustomerEvent(customer.customer_id, profile, ProfileUpdate(tier=tier))

    def give_back(self, customer: Customer) -> Iterator[ShopAction]:
        order_id, item = customer.bought.pop(self.random.randrange(len(customer.bought)))
        customer.spent -= item.price
        yield order_line(customer, "returned", order_id, item)

    def complain(self, customer: Customer) -> Iterator[ShopAction]:
        ticket = (self.name("ticket"), self.random.choice(TOPICS))
        customer.open.append(ticket)
        customer.mood -= 0.5
        yield ticket_change(customer, "opened", ticket)

    def solve(self, customer: Customer) -> Iterator[ShopAction]:
        ticket = customer.open.pop(0)
        customer.solved.append(ticket)
        customer.mood += 0.4
        yield ticket_change(customer, "solved", ticket, solved_after_s=self.random.randrange(600, 86_400))

    def reopen(self, customer: Customer) -> Iterator[ShopAction]:
        ticket = customer.solved.pop()
        customer.open.append(ticket)
        customer.mood -= 0.6
        yield ticket_change(customer, "reopened", ticket)

    def talk(self, customer: Customer) -> Iterator[ShopAction]:
        customer.mood = max(-1.0, min(1.0, 0.95 * customer.mood))
        sentiment = max(-1.0, min(1.0, round(self.random.gauss(customer.mood, 0.2), 3)))
        intent, conversation = self.random.choice(INTENTS), self.name("chat")
        asked = Message(author="customer", conversation_id=conversation, sentiment=sentiment, intent=intent)
        answered = Message(author="agent" if sentiment < -0.5 else "bot", conversation_id=conversation)
        yield CustomerEvent(customer.customer_id, chat, asked)
        yield CustomerEvent(customer.customer_id, chat, answered)

    def introduce(self, customer: Customer) -> Iterator[ShopAction]:
        update = ProfileUpdate(language=self.random.choice(["en", "de", "fr"]), newsletter=self.random.random() < 0.5)
        yield CustomerEvent(customer.customer_id, profile, update)

    def change_mind(self, customer: Customer) -> Iterator[ShopAction]:
        refused = [purpose for purpose in MINDS if not customer.willing[purpose]]
        purpose = self.random.choice(refused or MINDS)
        willing = customer.willing[purpose] = not customer.willing[purpose]
        yield Decision(customer.customer_id, purpose, "given" if willing else "withdrawn")

    def name(self, what: str) -> str:
        self.number += 1
        return f"{what}-{self.number}"


def tier_of(spent: Decimal) -> Tier:
    """What a customer is worth to the shop."""
    return "gold" if spent > 2000 else "silver" if spent > 500 else "bronze"


def cart_act(customer: Customer, kind: Literal["add_to_cart", "remove_from_cart"], item: Item) -> CustomerEvent:
    act = Act(kind=kind, category=item.category, sku=item.sku, amount=item.price)
    return CustomerEvent(customer.customer_id, behavior, act)


def order_line(customer: Customer, kind: Literal["completed", "returned"], order_id: str, item: Item) -> CustomerEvent:
    sign = 1 if kind == "completed" else -1
    line = OrderLine(
        kind=kind, order_id=order_id, sku=item.sku, category=item.category, quantity=sign, amount=sign * item.price
    )
    return CustomerEvent(customer.customer_id, orders, line)


def ticket_change(
    customer: Customer,
    kind: Literal["opened", "reopened", "solved"],
    ticket: tuple[str, str],
    solved_after_s: int | None = None,
) -> CustomerEvent:
    ticket_id, topic = ticket
    change = TicketChange(
        kind=kind, ticket_id=ticket_id, topic=topic, open_tickets=len(customer.open), solved_after_s=solved_after_s
    )
    return CustomerEvent(customer.customer_id, support, change)
