"""Faults by which the database loses commits: a standby that lags is promoted, a backup is restored.

Decisions that were acknowledged meanwhile are lost in it. The run acts as the operator of docs/operating.md: reads stay
denied until the denials are taken over from the journal and the store.
"""

import time
from collections.abc import Iterator
from itertools import count
from typing import LiteralString

import psycopg

from devservers.waiting import eventually
from tests.chaos.customers import NEVER, Customer, ExpectedPermission, make_customers
from tests.chaos.disturbance import ALL_PARTITIONS, Disturbance, FaultContext
from tests.chaos.servers import DATABASE

LOST_S = 4.0
"""For how long decisions are recorded that the database loses."""
WITHDRAWALS = 3
COMMAND = "take_over_denials"
_numbers = count(1)


def standby_promoted(context: FaultContext) -> Iterator[Disturbance]:
    """The database is gone for good, and a standby without its last commits is promoted."""
    servers = context.env.servers
    standby = servers.database.standby()
    standby.start()
    standby.cut_off()
    newcomer, began_at = lose_decisions(context)
    servers.processes[DATABASE].kill_and_hold()
    disturbance = Disturbance(purges=True)
    standby.promote()
    standby.stop()
    servers.replace_database(standby)
    yield from continue_with(context, disturbance, newcomer, began_at)


def backup_restored(context: FaultContext) -> Iterator[Disturbance]:
    """The database is replaced by a backup while everything runs; perhaps the store is emptied as well.

    Then the journal alone knows what was lost, and by contract it lacks what was decided within the last second.
    """
    servers = context.env.servers
    backup = servers.database.base_backup()
    newcomer, began_at = lose_decisions(context)
    disturbance = Disturbance(purges=True)
    if context.choices.random() < 0.5:
        with context.consent_traffic.paused():
            eventually(lambda: is_journaled(context), "the journal holds every change", every_s=0.1)
            with context.env.redis() as redis:
                redis.flushall()
            servers.replace_database(backup)
    else:
        servers.replace_database(backup)
    yield from continue_with(context, disturbance, newcomer, began_at)


def lose_decisions(context: FaultContext) -> tuple[Customer, float]:
    """Have decisions acknowledged that the database will lose: a new customer's, who objects, and the traffic's.

    Returns the new customer, and the monotonic time from which decisions are lost.
    """
    began_at = time.monotonic()
    secret = str(context.env.installation.settings["subject_secret"])
    (newcomer,) = make_customers(secret, 1, f"newcomer{next(_numbers)}-")
    register(context, newcomer)
    for purpose in ("service", "personalisation"):
        newcomer.expected[purpose] = ExpectedPermission(None, time.monotonic())
    newcomer.expected["analytics"] = ExpectedPermission(None, NEVER)
    context.consent_traffic.decide_and_record(context.client, newcomer, "analytics", "withdrawn")
    context.leak_monitor.customers.append(newcomer)
    changing = [one for one in context.customers if one.changes_consent and one.may_be_read("analytics")]
    for customer in context.choices.sample(changing, min(WITHDRAWALS, len(changing))):
        context.consent_traffic.change(context.client, customer, "analytics")
    time.sleep(max(0.0, began_at + LOST_S - time.monotonic()))
    return newcomer, began_at


def continue_with(
    context: FaultContext, disturbance: Disturbance, newcomer: Customer, began_at: float
) -> Iterator[Disturbance]:
    """Let a database without the last commits be noticed, and take the denials over as an operator does."""
    eventually(lambda: is_latched(context), "the loss is noticed, and every read is denied", every_s=0.2)
    with context.consent_traffic.paused():
        for arguments in ((COMMAND,), (COMMAND, "--apply")):
            eventually(lambda arguments=arguments: succeeds(context, *arguments), " ".join(arguments), every_s=1)
        register(context, newcomer)
        context.read_probe.measure(time.monotonic(), ALL_PARTITIONS)
        context.adopt_taken_over(began_at)
    yield disturbance


def register(context: FaultContext, customer: Customer) -> None:
    body = {"customer_id": customer.customer_id, "region": "EU", "brand": "lamp"}

    def registered() -> bool:
        return context.client.post("/v1/customers", json=body).status_code in (200, 201, 202)

    eventually(registered, f"{customer.customer_id} is registered", every_s=0.2)


def succeeds(context: FaultContext, *arguments: str) -> bool:
    """Whether a management command succeeds. It may fail while a server that it needs is slow."""
    try:
        context.env.installation.manage(*arguments)
    except AssertionError as error:
        print(f"  {error}", flush=True)
        return False
    return True


def is_latched(context: FaultContext) -> bool:
    return is_true(context, "SELECT latched_at IS NOT NULL FROM consent_changesequence")


def is_journaled(context: FaultContext) -> bool:
    return is_true(context, "SELECT NOT EXISTS (SELECT FROM consent_permissionchange WHERE journaled_at IS NULL)")


def is_true(context: FaultContext, query: LiteralString) -> bool:
    """What a query of one truth value finds; False while the database starts."""
    try:
        with psycopg.connect(context.env.servers.database.url, connect_timeout=2) as connection:
            row = connection.execute(query).fetchone()
    except psycopg.OperationalError:
        return False
    return bool(row and row[0])
