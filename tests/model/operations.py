"""Operations of an installation's processes: the real code, and what the oracle is told of its answers.

Each is begun by a process, and may be paused at a gate (``interleaving``).
"""

import sqlite3
from contextlib import suppress
from datetime import timedelta
from typing import Any

from django.db import connection

from featurestore.audit.consent_audit import run_audit
from featurestore.consent import services
from featurestore.consent.errors import ConsentError
from featurestore.consent.models import CurrentPermission
from featurestore.consent.outbox.relay import relay_due
from featurestore.consent.vouching.node_verifier import NodeVerifier
from featurestore.ingest import services as ingest_services
from featurestore.ingest.models import DeadLetter
from featurestore.profiles.services import register
from featurestore.store import configured
from featurestore.store.protocol import StoreUnavailable
from tests.model.broker import PURGES
from tests.model.installation import CUSTOMERS, HAS_JOURNAL, JOURNALS, SUBJECTS, VERIFIERS, Installation
from tests.model.oracle import GIVEN, PAUSED, WITHDRAWN, Act
from tests.model.worker import HAS_PASSED_BY

if HAS_JOURNAL:
    from featurestore.consent.journal.appender import append_due
    from featurestore.consent.journal.comparison import JournalComparer
    from featurestore.consent.journal.topic import JournalUnreadable
    from tests.model.journal import take_over_denials
if HAS_PASSED_BY:
    from featurestore.consent.passed_by.restarts import PassedByRestarts

EXPIRY_MS = 2_000
EVERYBODY_S = 2**32
"""A second since which everybody is idle."""
JOURNAL_DELAY = timedelta(seconds=5)
PUBLISHED = "SELECT sequence FROM consent_permissionchange WHERE published_at IS NOT NULL"
PENDING = "SELECT 1 FROM consent_permissionchange WHERE published_at IS NULL OR (purge AND purge_sent_at IS NULL)"
GRANTS = """
SELECT customer.subject, purpose.name, permission.grant_id FROM consent_currentpermission AS permission
JOIN customers_customer AS customer ON customer.id = permission.customer_id
JOIN consent_purpose AS purpose ON purpose.id = permission.purpose_id
WHERE permission.allowed
"""


class Operations(Installation):
    """Installation with its processes. ``gates``: how many are passed before an operation pauses; None: all."""

    def __init__(self, template: sqlite3.Connection) -> None:
        super().__init__(template)
        self.verifiers: dict[str, NodeVerifier] = {}
        self.comparers: dict[str, JournalComparer] = {}
        self.restarts: dict[str, PassedByRestarts] = {}
        self.start_verifier(VERIFIERS[0])

    def start_verifier(self, name: str) -> None:
        """Start a verifier's process, or start it again."""
        options: dict[str, Any] = {}
        if self.journal is not None:
            options["journal"] = self.comparers[name] = JournalComparer(self.journal, self.seconds)
        if self.passed_by is not None:
            options["passed_by"] = self.restarts[name] = PassedByRestarts(self.passed_by)
        self.verifiers[name] = NodeVerifier(self.processes[name].store, EXPIRY_MS, self.seconds, **options)

    def register(self, api: str, customer: int, gates: int | None = None) -> None:
        pair = SUBJECTS[customer], "analytics"
        act = None if self.oracle.acts.get(pair) else self.oracle.act(*pair, GIVEN, self.now_ms)

        def operation() -> None:
            result = register(CUSTOMERS[customer], "eu", "acme", now=self.now)
            if act is not None:
                self.acknowledge(act, result.effective)
                row = CurrentPermission.objects.get(customer=result.customer, purpose__name="analytics")
                act.sequence = row.grant_id
                self.oracle.granted(act, row.grant_id)

        self.processes[api].begin(operation, gates)

    def decide(self, api: str, customer: int, purpose: str, kind: str, gates: int | None = None) -> None:
        pair = SUBJECTS[customer], purpose
        act = self.oracle.act(*pair, kind, self.now_ms)

        def operation() -> None:
            try:
                done = self._record(customer, purpose, kind)
            except ConsentError:
                self.oracle.refused(*pair, act)
                return
            self.acknowledge(act, done.effective)
            act.sequence = done.sequence
            if kind == GIVEN and not done.repeated:
                self.oracle.granted(act, done.sequence)

        self.processes[api].begin(operation, gates)

    def _record(self, customer: int, purpose: str, kind: str) -> Any:
        name, now = CUSTOMERS[customer], self.now
        if kind == GIVEN:
            return services.give(name, purpose, notice="privacy/1/en", method="web", actor="shop", now=now)
        if kind == WITHDRAWN:
            return services.withdraw(name, purpose, method="web", actor="shop", now=now)
        change = services.pause if kind == PAUSED else services.lift
        return change(name, purpose, method="web", actor="shop", reason="asked", now=now)[0]

    def acknowledge(self, act: Act, effective: bool) -> None:
        if effective and not act.effective:
            act.effective_ms = self.now_ms

    def verify(self, name: str, gates: int | None = None) -> None:
        def operation() -> None:
            self.verifiers[name].step()
            if self.processes[name].reaches_database:
                self.note_effects()

        self.processes[name].begin(operation, gates)

    def journalize(self, name: str, gates: int | None = None) -> None:
        """Let a verifier's process append to the journal, compare the database with it, and remove settled entries."""
        verifier = VERIFIERS[JOURNALS.index(name)]

        def operation() -> None:
            self.comparers[verifier].step()
            if verifier in self.restarts:
                self.restarts[verifier].step()

        self.processes[name].begin(operation, gates)

    def relay(self, gates: int | None = None) -> None:
        """Let Celery relay what is due, and append what waits for the journal."""

        def operation() -> None:
            relay_due(self.now)
            if self.journal is not None:
                append_due(self.journal, waiting=JOURNAL_DELAY)
            self.note_effects()

        self.processes["relay"].begin(operation, gates)

    def is_due(self) -> bool:
        """Whether the relay has anything to do."""
        with connection.cursor() as cursor:
            return cursor.execute(PENDING).fetchone() is not None

    def note_effects(self) -> None:
        """Tell the oracle which changes the database holds for published, and for relayed."""
        with connection.cursor() as cursor:
            for subject, purpose, grant_id in cursor.execute(GRANTS).fetchall():
                self.oracle.reissued((subject, purpose), grant_id)
            published = {number for (number,) in cursor.execute(PUBLISHED)}
            relayed = f"{PUBLISHED} AND NOT (purge AND purge_sent_at IS NULL)"
            self.oracle.in_effect(published, {number for (number,) in cursor.execute(relayed)}, self.now_ms)

    def audit(self, gates: int | None = None) -> None:
        self.processes["audit"].begin(lambda: run_audit(self.now), gates)

    def evict(self, gates: int | None = None) -> None:
        """Evict everybody, as if all were idle."""
        self.processes["evictions"].begin(lambda: configured.store().evict(SUBJECTS, EVERYBODY_S), gates)

    def request_values(self) -> None:
        """Let the values of evicted subjects be requested, as after a read of each."""
        stored = zip(SUBJECTS, self.master.read(SUBJECTS, [], [], 1_000).subjects, strict=True)
        for subject in [subject for subject, one in stored if one.is_evicted]:
            self.broker.append(PURGES, subject.encode(), b"")

    def take_over(self, gates: int | None = None) -> None:
        """Let the operator take over the denials that the database lost."""
        operator = self.processes["operator"]

        def operation() -> None:
            with suppress(StoreUnavailable, JournalUnreadable):
                take_over_denials(self.journal, operator.store)

        operator.begin(operation, gates)

    def replay_dead_letters(self, gates: int | None = None) -> None:
        """Let the operator replay every dead letter."""

        def operation() -> None:
            ingest_services.import_dead_letters(self.now)
            keys = list(DeadLetter.objects.filter(state=DeadLetter.State.OPEN).values_list("pk", flat=True))
            ingest_services.replay(keys, actor="olivia", now=self.now)

        self.processes["operator"].begin(operation, gates)

    def work(self) -> None:
        """Let the stream worker fold everything, and publish its watermark."""
        if self.workers[-1].ended:
            self.start_worker()
        worker = self.workers[-1]
        worker.fetch()
        worker.pump()
        worker.publish_watermarks()
        worker.pump()
