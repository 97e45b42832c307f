"""Random events of a catalog without a simulation of its own."""

from collections import Counter
from datetime import datetime
from itertools import islice
from random import Random
from typing import Annotated, Literal

import msgspec
import pytest

from adminsite.demo.random_events import NoRandomEvents, draw_of, random_actions
from featurestore.definitions import EventSource, InvalidEvent, Label, Money
from featurestore.definitions.simulation import ConsentDecision, CustomerEvent
from featurestore.installed_catalog import catalog

CUSTOMERS = [f"C{n}" for n in range(1, 11)]


def test_every_source_gets_valid_events_and_every_consent_decisions() -> None:
    actions = list(islice(random_actions(catalog(), CUSTOMERS, Random(1)), 5_000))
    events = [action for action in actions if isinstance(action, CustomerEvent)]
    for event in events:
        try:
            event.source.values(event.data)
        except InvalidEvent as error:
            pytest.fail(f"{event}: {error}")
    assert {event.source.name for event in events} == set(catalog().registry.sources)
    decisions = [action for action in actions if isinstance(action, ConsentDecision)]
    assert {decision.purpose for decision in decisions} == {"service", "personalisation"}
    assert Counter(decision.decision for decision in decisions).keys() == {"given", "withdrawn"}
    assert CUSTOMERS[0] not in {decision.customer_id for decision in decisions}


def test_decisions_about_a_purpose_alternate() -> None:
    last: dict[tuple[str, str], str] = {}
    for action in islice(random_actions(catalog(), CUSTOMERS, Random(2)), 5_000):
        if isinstance(action, ConsentDecision):
            assert last.get((action.customer_id, action.purpose), "given") != action.decision
            last[action.customer_id, action.purpose] = action.decision


class Sample(msgspec.Struct, frozen=True):
    """A field of each type."""

    kind: Literal["a", "b"]
    level: Literal[1, 2]
    label: Label
    long: Annotated[str, msgspec.Meta(min_length=12, max_length=14)]
    money: Money
    size: Annotated[int, msgspec.Meta(gt=5, lt=8)]
    debt: Annotated[int, msgspec.Meta(le=-1)]
    share: Annotated[float, msgspec.Meta(ge=-1, le=1)]
    flag: bool
    maybe: int | None = None
    at: datetime | None = None


def test_values_keep_the_limits_of_their_fields() -> None:
    draw, random = draw_of(EventSource("samples", data=Sample, type="sample")), Random(3)
    samples = [draw(random) for _ in range(300)]
    assert {sample.size for sample in samples} == {6, 7}
    assert max(sample.debt for sample in samples) <= -1
    assert {sample.maybe is None for sample in samples} == {True, False}
    assert {sample.kind for sample in samples} == {"a", "b"}
    assert {len(sample.long) for sample in samples} == {12}


class Pinned(msgspec.Struct, frozen=True):
    """A field for which no value can be made up."""

    count: int
    code: Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}$")]


def test_a_source_without_random_events_is_refused_with_what_to_do() -> None:
    source = EventSource("pinned", data=Pinned, type="pinned")
    message = r"source pinned \(.*\) can be made: field code is a text with a pattern. Give the catalog a module"
    with pytest.raises(NoRandomEvents, match=message):
        draw_of(source)
