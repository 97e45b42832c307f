"""Random events and decisions of customers, for a catalog that has no simulation of its own."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from random import Random
from typing import Any

import msgspec
from msgspec import inspect

from featurestore.definitions import EventSource, InvalidEvent, LawfulBasis
from featurestore.definitions.simulation import Action, ConsentDecision, CustomerEvent
from featurestore.installed_catalog import Catalog

FIRST_CUSTOMER_SHARE = 0.3
"""The first customer's share of all events. This customer's consents never change, so it can be watched."""

DECISION_SHARE = 0.02
GIVEN_SHARE = 0.5  # of the decisions, if anything is withdrawn
ABSENT_SHARE = 0.2  # of the values that may be null
WORDS = ("alpha", "beta", "gamma", "delta", "epsilon")
LARGEST = 100

Draw = Callable[[Random], Any]


class NoRandomEvents(Exception):
    """Source without random events. The message names the field, and what to do."""


class UndrawableType(Exception):
    """Type of a field of which no random value is drawn. The message names it."""


def random_actions(catalog: Catalog, customer_ids: Sequence[str], random: Random) -> Iterator[Action]:
    """Events of every source, and decisions about every purpose that rests on consent. Raises NoRandomEvents."""
    draws = {source: draw_of(source) for source in catalog.registry.sources.values()}
    return _actions(catalog, draws, customer_ids, random)


def _actions(
    catalog: Catalog, draws: Mapping[EventSource, Draw], customer_ids: Sequence[str], random: Random
) -> Iterator[Action]:
    purposes = [purpose.name for purpose in catalog.purposes if purpose.basis is LawfulBasis.CONSENT]
    withdrawn: set[tuple[str, str]] = set()
    first, *others = customer_ids
    while True:
        if purposes and others and random.random() < DECISION_SHARE:
            choice = random.choice(others), random.choice(purposes)
            if withdrawn and random.random() < GIVEN_SHARE:
                choice = random.choice(sorted(withdrawn))
            yield ConsentDecision(*choice, "given" if choice in withdrawn else "withdrawn")
            withdrawn ^= {choice}
        else:
            customer = first if not others or random.random() < FIRST_CUSTOMER_SHARE else random.choice(others)
            source = random.choice(list(draws))
            yield CustomerEvent(customer, source, draws[source](random))


def draw_of(source: EventSource) -> Draw:
    """The function that makes one event's data. Raises NoRandomEvents."""
    info = inspect.type_info(source.data)
    assert isinstance(info, inspect.StructType)
    draws = {}
    for field in info.fields:
        try:
            draws[field.encode_name] = _draw(field.type)
        except UndrawableType as error:
            if field.required:
                raise _refusal(source, f"field {field.name} is {error}") from None

    def draw(random: Random) -> Any:
        return msgspec.convert({name: value(random) for name, value in draws.items()}, source.data)

    try:
        source.values(draw(Random(0)))
    except (msgspec.ValidationError, InvalidEvent) as error:
        raise _refusal(source, str(error)) from error
    return draw


def _refusal(source: EventSource, why: str) -> NoRandomEvents:
    return NoRandomEvents(
        f"No random events of source {source.name} ({source.defined_at}) can be made: {why}. Give the catalog a module "
        "`simulation` with actions(customer_ids, random) and SHOWN; see featurestore/definitions/simulation.py."
    )


def _draw(type_: inspect.Type) -> Draw:
    """The function that draws a value of a type. Raises UndrawableType."""
    match type_:
        case inspect.Metadata():
            return _draw(type_.type)
        case inspect.UnionType():
            options = [_draw(option) for option in type_.types if not isinstance(option, inspect.NoneType)]
            absent = ABSENT_SHARE if type_.includes_none else 0.0
            return lambda random: None if random.random() < absent else random.choice(options)(random)
        case inspect.LiteralType():
            return lambda random: random.choice(type_.values)
        case inspect.BoolType():
            return lambda random: random.random() < 0.5
        case inspect.IntType():
            least, most = _limits(type_)
            return lambda random: random.randint(round(least), round(most))
        case inspect.FloatType():
            least, most = _limits(type_)
            return lambda random: round(random.uniform(least, most), 3)
        case inspect.DecimalType():
            return lambda random: Decimal(random.randint(100, 20_000)) / 100
        case inspect.StrType(pattern=None):
            least, most = type_.min_length or 0, type_.max_length or LARGEST
            return lambda random: random.choice(WORDS).ljust(least, "x")[:most]
    raise UndrawableType("a text with a pattern" if isinstance(type_, inspect.StrType) else type(type_).__name__)


def _limits(type_: inspect.IntType | inspect.FloatType) -> tuple[float, float]:
    least = type_.ge if type_.ge is not None else type_.gt + 1 if type_.gt is not None else None
    most = type_.le if type_.le is not None else type_.lt - 1 if type_.lt is not None else None
    if least is None:
        least = 0 if most is None or most >= 0 else most - LARGEST
    return least, least + LARGEST if most is None else most
