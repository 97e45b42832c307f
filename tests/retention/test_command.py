"""The command ``evict_idle``: a dry run, a run, and what it refuses."""

import io

import pytest
from django.core.management import CommandError, call_command

from featurestore.jobs.job_leases import hold_job_lease
from featurestore.retention import evictions
from featurestore.retention.models import EvictionRun
from tests.kit.clock import T0
from tests.kit.shop import Shop
from tests.retention.test_evictions import Customers

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture
def customers(shop: Shop) -> Customers:
    made = Customers(shop)
    made.add("long idle", 100)
    return made


def output(*arguments: str) -> str:
    out = io.StringIO()
    call_command("evict_idle", *arguments, stdout=out)
    return out.getvalue()


def test_a_dry_run_tells_what_a_run_then_evicts(customers: Customers) -> None:
    told = output("--dry-run", "--days", "1")
    assert "1 subjects looked at: 1 would be evicted, 0.0 MiB of values." in told
    assert customers.evicted == set()
    assert "1 evicted" in output("--days", "1", "--by", "petra")
    assert customers.evicted == {"long idle"}
    assert EvictionRun.objects.filter(dry_run=False, started_by="petra").exists()


def test_a_store_that_does_not_answer_is_told(customers: Customers) -> None:
    customers.store.available = False
    with pytest.raises(CommandError, match="The store does not answer"):
        output("--days", "1")


def test_what_can_not_be_started_is_told(customers: Customers) -> None:
    with pytest.raises(CommandError, match="number of days"):
        output("--days", "-1")
    evictions.start(1, dry_run=False, actor="olivia", now=T0)
    with pytest.raises(CommandError, match="has not ended"):
        output("--days", "1")
    with hold_job_lease(evictions.LEASE, 10**9, T0), pytest.raises(CommandError, match="at work on an eviction run"):
        output("--days", "1", "--dry-run")
