"""Simulated shop: endless events and consent decisions of customers, for the demo. Pure.

Actions are consistent with those before: only bought products are returned, only solved tickets reopened. The same
random numbers give the same actions.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Literal, NamedTuple

from featurestore.catalog.behavior import Act, behavior
from featurestore.catalog.chat import Message, chat
from featurestore.catalog.orders import OrderLine, orders
from featurestore.catalog.profile import ProfileUpdate, profile
from featurestore.catalog.support import TicketChange, support
from featurestore.definitions.simulation import Action, ConsentDecision, CustomerEvent, ShownFeatures

if TYPE_CHECKING:
    from random import Random

Tier = Literal["bronze", "silver", "gold"]

CONSENT_PURPOSES = ("service", "personalisation")
TOPICS = ("delivery", "damaged", "wrong size", "refund", "invoice")
INTENTS = ("where is my order", "return", "advice", "complaint", "opening hours")
SHOWN = ShownFeatures(
    "sales_chat",
    ("seconds_since_visit", "page_views_5m", "viewed_categories_1h", "cart_intent", "cart_last_sku"),
)
FIRST_CUSTOMER_SHARE = 0.3
"""The first customer's share of all actions. This customer's consents never change, so it can be watched."""


class Product(NamedTuple):
    """A product of the shop."""

    sku: str
    category: str
    price: Decimal


PRODUCTS = [
    Product(f"{category[:2].upper()}-{number:02}", category, Decimal(price + 7 * number) + Decimal("0.95"))
    for category, price in {"coats": 79, "shoes": 49, "hats": 15, "bags": 35, "gifts": 5, "lamps": 25}.items()
    for number in range(1, 6)
]


@dataclass
class Customer:
    """State of one customer."""

    customer_id: str
    cart: list[Product] = field(default_factory=list)
    bought: list[tuple[str, Product]] = field(default_factory=list)
    open: list[tuple[str, str]] = field(default_factory=list)  # tickets: id and topic
    solved: list[tuple[str, str]] = field(default_factory=list)
    viewed: Product = PRODUCTS[0]
    sentiment: float = 0.3
    spent: Decimal = Decimal(0)
    tier: Tier = "bronze"
    consents: dict[str, bool] = field(default_factory=lambda: dict.fromkeys(CONSENT_PURPOSES, True))


class SimulatedShop:
    """Endless source of actions of these customers."""

    def __init__(self, customer_ids: Sequence[str], random: "Random") -> None:
        self.random = random
        self.customers = [Customer(customer_id) for customer_id in customer_ids]
        self.number = 0

    def actions(self) -> Iterator[Action]:
        """The next actions, without end."""
        while True:
            first = self.random.random() < FIRST_CUSTOMER_SHARE
            customer = self.customers[0] if first else self.random.choice(self.customers)
            choices = self.weighted_choices(customer)
            yield from self.random.choices(list(choices), list(choices.values()))[0](customer)

    def weighted_choices(self, customer: Customer) -> dict[Callable[[Customer], Iterator[Action]], float]:
        """The methods that the customer's state allows, with their weights."""
        has_withdrawn = not all(customer.consents.values())
        changes_consent = 0 if customer is self.customers[0] else 1.5 if has_withdrawn else 0.3
        return {
            self.view_product: 10,
            self.add_to_cart: 3,
            self.remove_from_cart: 1 if customer.cart else 0,
            self.order: 1 + len(customer.cart) if customer.cart else 0,
            self.return_product: 0.5 if customer.bought else 0,
            self.open_ticket: 0.6 if customer.bought else 0,
            self.solve_ticket: 1 if customer.open else 0,
            self.reopen_ticket: 0.3 if customer.solved else 0,
            self.exchange_messages: 3,
            self.update_profile: 0.3,
            self.change_consent: changes_consent,
        }

    def view_product(self, customer: Customer) -> Iterator[Action]:
        if self.random.random() < 0.4:
            customer.viewed = self.random.choice(PRODUCTS)
        sku, category, _ = customer.viewed
        kind: Literal["page_view", "search"] = "page_view" if self.random.random() < 0.8 else "search"
        yield CustomerEvent(customer.customer_id, behavior, Act(kind=kind, category=category, sku=sku))

    def add_to_cart(self, customer: Customer) -> Iterator[Action]:
        customer.cart.append(customer.viewed)
        yield cart_event(customer, "add_to_cart", customer.viewed)

    def remove_from_cart(self, customer: Customer) -> Iterator[Action]:
        product = customer.cart.pop(self.random.randrange(len(customer.cart)))
        yield cart_event(customer, "remove_from_cart", product)

    def order(self, customer: Customer) -> Iterator[Action]:
        yield CustomerEvent(customer.customer_id, behavior, Act(kind="checkout"))
        order_id = self.new_id("order")
        for product in customer.cart:
            yield order_line(customer, "completed", order_id, product)
        customer.bought += ((order_id, product) for product in customer.cart)
        customer.spent += sum(product.price for product in customer.cart)
        customer.cart, customer.sentiment = [], customer.sentiment + 0.2
        if (tier := tier_of(customer.spent)) != customer.tier:
            customer.tier = tier
            yield CustomerEvent(customer.customer_id, profile, ProfileUpdate(tier=tier))

    def return_product(self, customer: Customer) -> Iterator[Action]:
        order_id, product = customer.bought.pop(self.random.randrange(len(customer.bought)))
        customer.spent -= product.price
        yield order_line(customer, "returned", order_id, product)

    def open_ticket(self, customer: Customer) -> Iterator[Action]:
        ticket = (self.new_id("ticket"), self.random.choice(TOPICS))
        customer.open.append(ticket)
        customer.sentiment -= 0.5
        yield ticket_change(customer, "opened", ticket)

    def solve_ticket(self, customer: Customer) -> Iterator[Action]:
        ticket = customer.open.pop(0)
        customer.solved.append(ticket)
        customer.sentiment += 0.4
        yield ticket_change(customer, "solved", ticket, solved_after_s=self.random.randrange(600, 86_400))

    def reopen_ticket(self, customer: Customer) -> Iterator[Action]:
        ticket = customer.solved.pop()
        customer.open.append(ticket)
        customer.sentiment -= 0.6
        yield ticket_change(customer, "reopened", ticket)

    def exchange_messages(self, customer: Customer) -> Iterator[Action]:
        customer.sentiment = max(-1.0, min(1.0, 0.95 * customer.sentiment))
        sentiment = max(-1.0, min(1.0, round(self.random.gauss(customer.sentiment, 0.2), 3)))
        intent, conversation = self.random.choice(INTENTS), self.new_id("chat")
        question = Message(author="customer", conversation_id=conversation, sentiment=sentiment, intent=intent)
        answer = Message(author="agent" if sentiment < -0.5 else "bot", conversation_id=conversation)
        yield CustomerEvent(customer.customer_id, chat, question)
        yield CustomerEvent(customer.customer_id, chat, answer)

    def update_profile(self, customer: Customer) -> Iterator[Action]:
        update = ProfileUpdate(language=self.random.choice(["en", "de", "fr"]), newsletter=self.random.random() < 0.5)
        yield CustomerEvent(customer.customer_id, profile, update)

    def change_consent(self, customer: Customer) -> Iterator[Action]:
        withdrawn = [purpose for purpose in CONSENT_PURPOSES if not customer.consents[purpose]]
        purpose = self.random.choice(withdrawn or CONSENT_PURPOSES)
        given = customer.consents[purpose] = not customer.consents[purpose]
        yield ConsentDecision(customer.customer_id, purpose, "given" if given else "withdrawn")

    def new_id(self, prefix: str) -> str:
        self.number += 1
        return f"{prefix}-{self.number}"


def actions(customer_ids: Sequence[str], random: "Random") -> Iterator[Action]:
    """The actions of a simulated shop's customers, without end."""
    return SimulatedShop(customer_ids, random).actions()


def tier_of(spent: Decimal) -> Tier:
    """The tier of a customer who spent this much."""
    return "gold" if spent > 2000 else "silver" if spent > 500 else "bronze"


def cart_event(customer: Customer, kind: Literal["add_to_cart", "remove_from_cart"], product: Product) -> CustomerEvent:
    act = Act(kind=kind, category=product.category, sku=product.sku, amount=product.price)
    return CustomerEvent(customer.customer_id, behavior, act)


def order_line(
    customer: Customer, kind: Literal["completed", "returned"], order_id: str, product: Product
) -> CustomerEvent:
    sign = 1 if kind == "completed" else -1
    line = OrderLine(
        kind=kind,
        order_id=order_id,
        sku=product.sku,
        category=product.category,
        quantity=sign,
        amount=sign * product.price,
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
