"""Steps of bench.auditlog in the database of the environment, each in a process of its own. It prints its figures.

python -m bench.log_steps append PAIRS | fill ENTRIES | verify ENTRIES
"""

import json
import resource
import sys
import time
from datetime import datetime, timedelta
from statistics import median
from unittest.mock import patch

from django.db import transaction

import adminsite.wsgi  # noqa: F401  (first: it sets Django up)
from featurestore.auditlog import export
from featurestore.auditlog.entries import Entry
from featurestore.auditlog.log_verifier import Verification
from featurestore.auditlog.services import append_all, sequence, sign_due
from featurestore.clock import database_now
from featurestore.consent import change_writer
from featurestore.consent.permission_derivation import Decision
from featurestore.consent.services import define_purpose
from featurestore.consent.services.choice import Choice
from featurestore.consent.services.decisions import write_decisions
from featurestore.identity import subject_of
from featurestore.profiles.services import register

CUSTOMER, PURPOSE = "C1", "measured"
WARMING = 20
BATCH = 1_000
DETAILS = {"method": "web", "notice": "privacy/1/en", "purpose": PURPOSE, "reason": "", "superseded": False}


def append(pairs: int) -> dict[str, float]:
    """Medians of a decision's transaction, and of what it takes longer than the same one without the log."""
    define_purpose(PURPOSE, title="Measured", lawful_basis="consent")
    register(CUSTOMER, "eu", "acme")
    logged, more = list[float](), list[float]()
    for number in range(WARMING + pairs):
        taken = {with_log: _decision_ms(with_log) for with_log in (number % 2 == 0, number % 2 == 1)}
        logged.append(taken[True])
        more.append(taken[True] - taken[False])
    return {"append_ms": median(more[WARMING:]), "decision_ms": median(logged[WARMING:])}


def _decision_ms(with_log: bool) -> float:
    choice = Choice(CUSTOMER, PURPOSE, Decision.WITHDRAWN, "web", "bench", reason="said so in the chat")
    appending = append_all if with_log else lambda _: None
    began = time.perf_counter()
    with patch.object(change_writer, "append_all", appending), transaction.atomic():
        write_decisions([choice])
    return (time.perf_counter() - began) * 1_000


def fill(entries: int) -> dict[str, float]:
    """Entries a second that get their index and tree heads, a thousand of them at a time."""
    taken_s, now = 0.0, database_now()
    for first in range(0, entries, BATCH):
        with transaction.atomic():
            append_all(_entry(number, now) for number in range(first, first + BATCH))
        began = time.perf_counter()
        sequence()
        sign_due(now + timedelta(hours=first // BATCH))
        taken_s += time.perf_counter() - began
    return {"sequenced_per_s": entries / taken_s}


def _entry(number: int, now: datetime) -> Entry:
    details = DETAILS | {"sequence": number}
    return Entry("consent.withdrawn", now, details, "bench", subject_of(f"C{number}", b"bench"))


def verify(entries: int) -> dict[str, float]:
    """Seconds that every entry and tree head takes to be verified, and the most memory of the process."""
    verification, began = Verification(), time.perf_counter()
    findings = export.verify(verification)
    taken_s = time.perf_counter() - began
    assert not findings, findings
    assert verification.entries >= entries, verification.summary()
    most_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {f"verify_s_{entries}": taken_s, f"verify_rss_mb_{entries}": most_mb}


STEPS = {"append": append, "fill": fill, "verify": verify}

if __name__ == "__main__":
    print(json.dumps(STEPS[sys.argv[1]](int(sys.argv[2]))))
