"""Faults of the store's contents and of the store verifiers."""

import time
from collections.abc import Iterator
from contextlib import ExitStack

from featurestore.store.redis import subject_key
from tests.chaos.comparison import adopt_starts, wait_until_up_to_date
from tests.chaos.customers import SERVICES, read_served, start_of
from tests.chaos.disturbance import Disturbance, FaultContext

FLUSHES, FLUSHES_WITHIN_S = 5, 4.0
FLUSHES_BETWEEN_CALLS, MAX_CALLS_BETWEEN = 3, 6
DELETED = 6
DECISION_S = 5.0
"""A decision that was answered so long before may still be under way in the store and the database."""
TAKE_OVER_S, WATCH_EVERY_S = 6.0, 0.2
"""For how long a store verifier is away, so that the second takes over; and for how long it is watched afterwards."""


def emptied(context: FaultContext) -> Iterator[Disturbance]:
    began_at = time.monotonic() - DECISION_S
    with context.env.redis() as redis:
        redis.flushall()
    yield Disturbance()
    context.expect_late_grants(began_at)


def emptied_again_and_again(context: FaultContext) -> Iterator[Disturbance]:
    """At random moments, while it is being filled."""
    began_at = time.monotonic() - DECISION_S
    with context.env.redis() as redis:
        for _ in range(FLUSHES):
            redis.flushall()
            time.sleep(context.choices.uniform(0, 2 * FLUSHES_WITHIN_S / FLUSHES))
    yield Disturbance()
    context.expect_late_grants(began_at)


def emptied_between_calls(context: FaultContext) -> Iterator[Disturbance]:
    """Between two calls of the store verifier, and again between two of those that fill the store."""
    proxy, began_at = context.env.verifier.proxy, time.monotonic() - DECISION_S
    with context.env.redis() as redis:
        for _ in range(FLUSHES_BETWEEN_CALLS):
            proxy.interrupt(redis.flushall, after=context.choices.randrange(MAX_CALLS_BETWEEN))
        disturbance = Disturbance()
        while proxy.interruptions:
            time.sleep(0.05)
    yield disturbance
    context.expect_late_grants(began_at)


def hashes_deleted(context: FaultContext) -> Iterator[Disturbance]:
    """Some customers' hashes vanish. The audit puts them again; events that came meanwhile do not count.

    What was counted before stays, so that the last events before are known: none is under way.
    """
    changing = [customer for customer in context.customers if customer.changes_consent]
    chosen = tuple(context.choices.sample(changing, DELETED))
    with ExitStack() as held, context.env.redis() as redis:
        for customer in chosen:
            held.enter_context(customer.without_decisions())
        with ExitStack() as quiet:
            for customer in chosen:
                quiet.enter_context(customer.without_events())
            wait_until_up_to_date(context.client, chosen)
            unexpected = adopt_starts(context.client, chosen)
            assert not unexpected, unexpected
            deleted_ms = round(time.time() * 1000)
            redis.delete(*(subject_key(customer.subject) for customer in chosen))
            disturbance = Disturbance(partitions=frozenset(), customers=chosen)
        yield disturbance
        for purpose in SERVICES:
            allowing = [customer for customer in chosen if customer.may_be_read(purpose)]
            for customer, answered in zip(allowing, read_served(context.client, purpose, allowing), strict=True):
                customer.start_later(purpose, deleted_ms, start_of(answered))
    yield Disturbance()


def watched() -> Iterator[Disturbance]:
    """Again and again, until a second store verifier has taken over, if it must."""
    began_at = time.monotonic()
    while time.monotonic() < began_at + TAKE_OVER_S:
        yield Disturbance()
        time.sleep(WATCH_EVERY_S)


def second_verifier(context: FaultContext) -> Iterator[Disturbance]:
    """A second store verifier runs beside the first; the first is stopped or cut off for a while, and comes back."""
    env = context.env
    env.second_verifier = env.add_verifier("store-verifier-2")
    yield Disturbance()
    first, is_stopped = env.verifier, context.choices.random() < 0.5
    if is_stopped:
        first.process.pause()
    else:
        first.proxy.cut()
    yield from watched()
    if is_stopped:
        first.process.resume()
    else:
        first.proxy.restore()
    yield from watched()
    env.remove_second_verifier()
    yield Disturbance()
