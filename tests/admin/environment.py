"""Environment of the administration's tests: four purposes, a notice, customers with consents, staff of each role."""

import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.contrib.auth.models import Group, User
from django.http import HttpResponse
from django.test import Client

from featurestore.access import services as access
from featurestore.access.models import ApiClient, ApiKey, ClientSecret
from featurestore.access.roles import (
    CHAT_ENGINEER,
    PLATFORM_ENGINEER,
    PRIVACY_OFFICER,
    REQUEST_APPROVER,
    REQUEST_INTAKE,
)
from featurestore.accesslog.batches import Batch, BatchContext, Read, RequestCount
from featurestore.accesslog.consumer import ReceivedBatch, write
from featurestore.audit.models import AuditRun, Finding
from featurestore.auditlog.models import EntryContent, HeadDestination, LogVerification, TreeHead
from featurestore.auditlog.services import sequence_due, sign_due
from featurestore.consent import services
from featurestore.consent.services import RecordedDecision
from featurestore.customers.models import Customer, LegalHold, Suppression
from featurestore.ingest.models import DeadLetter
from featurestore.permission import Denial, PurposePermission
from featurestore.profiles.services import register
from featurestore.requests import services as requests
from featurestore.requests.actors import client as actor
from featurestore.requests.actors import staff
from featurestore.requests.contact_box import encrypt
from featurestore.requests.erasure.models import Erasure
from featurestore.requests.export.models import DataExport, ExportCategory, Redaction
from featurestore.requests.export.services import start
from featurestore.requests.models import RegimeRule, SubjectRequest
from featurestore.requests.services import Intake
from featurestore.retention.models import EvictionRun, RetentionRule, RetentionRun
from featurestore.serving.guard import decide_access
from featurestore.staffreads.models import EmergencyAccess
from featurestore.store.memory import MemoryStore
from tests.kit import logins
from tests.kit.dead_letter_topic import InMemoryDeadLetterTopic, quarantine
from tests.kit.requests import seed_regimes

PURPOSES = {
    "service": "consent",
    "analytics": "legitimate_interest",
    "fraud": "legal_obligation",
    "delivery": "contract",
}
STAFF = {
    "olivia": PRIVACY_OFFICER,
    "petra": PLATFORM_ENGINEER,
    "chris": CHAT_ENGINEER,
    "iris": REQUEST_INTAKE,
    "anton": REQUEST_APPROVER,
}
ALLOWANCE = {"services": ["support_chat"], "purposes": ["service"], "scopes": ["features:read"], "actor": "petra"}

CSRF_TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="\w+"')


def text_of(page: HttpResponse) -> str:
    """A page without CSRF tokens, whose random characters may contain any short id."""
    return CSRF_TOKEN.sub("", page.content.decode())


@dataclass
class AdminEnvironment:
    """Database, store and staff. olivia is a privacy officer, petra and chris are engineers, iris takes requests in,
    anton approves refusals, root is a superuser.
    """

    store: MemoryStore
    dead_letters: InMemoryDeadLetterTopic
    customers: dict[str, Customer] = field(default_factory=dict)

    def set_up(self) -> None:
        for name, basis in PURPOSES.items():
            services.define_purpose(name, title=name.title(), lawful_basis=basis, description=f"About {name}.")
        services.publish_notice("privacy", 1, "en", "What we do.\n\nWith your data.", PURPOSES)
        self.register("C1", "C42", "C421")
        self.give("C42")
        self.create_staff()

    def create_staff(self) -> None:
        access.seed_roles()
        for name, role in STAFF.items():
            person = User.objects.create_user(name, password="pw", is_staff=True)
            person.groups.add(Group.objects.get(name=role))
        User.objects.create_superuser("root", password="pw")

    def register(self, *customer_ids: str) -> None:
        for customer_id in customer_ids:
            self.customers[customer_id] = register(customer_id, "eu", "acme").customer

    def give(self, customer_id: str, purpose: str = "service") -> None:
        services.give(customer_id, purpose, notice="privacy/1/en", method="web", actor="shop")

    def give_late(self, customer_id: str, purpose: str = "service") -> RecordedDecision:
        """Record a consent of an hour ago."""
        decided_at = datetime.now(UTC) - timedelta(hours=1)
        return services.give(
            customer_id, purpose, notice="privacy/1/en", method="web", actor="shop", decided_at=decided_at
        )

    def key(self, name: str = "support-bot") -> tuple[ApiKey, str]:
        client = ApiClient.objects.filter(name=name).first()
        return access.create_key(client or access.create_client(name, owner="chat", actor="petra"), **ALLOWANCE)

    def secret(self, name: str = "support-bot") -> tuple[ClientSecret, str]:
        return access.create_secret(self.key(name)[0].client, actor="petra")

    def finding(self, state: str = "open", kind: str = "missing_in_store", customer_id: str = "C42") -> Finding:
        now = datetime.now(UTC)
        run = AuditRun.objects.create(started_at=now, finished_at=now, found=1)
        dismissal = {"dismissed_by": "olivia", "dismissed_reason": "known"} if state == "dismissed" else {}
        subject = self.customers[customer_id].subject
        return Finding.objects.create(
            run=run, kind=kind, subject=subject, detail="", found_at=now, seen_at=now, state=state, **dismissal
        )

    def dead_letter(self, customer_id: str = "C42", value: bytes = b"{}", reason: str = "invalid") -> DeadLetter:
        """A record of the customer's that was quarantined two hours ago."""
        return quarantine(self.dead_letters, self.customers[customer_id].subject, value, reason)

    def erasure(self, reference: str = "R-2222-3333", customer_id: str = "C42") -> Erasure:
        """An erasure that waits for one location and is held in another; a hold; and a suppression."""
        now, subject = datetime.now(UTC), self.customers[customer_id].subject
        rule = RegimeRule.objects.filter(regime__name="gdpr").earliest("pk")
        request = SubjectRequest.objects.create(
            reference=reference, type="erasure", regime=rule.regime, rule=rule, channel="api", state="in_progress",
            received_at=now, changed_at=now, due_at=now, verified_at=now, verified_by="attested",
        )  # fmt: skip
        times = {"started_at": now, "changed_at": now, "next_attempt_at": now, "begun_at": now}
        made = Erasure.objects.create(request=request, started_by="olivia", encrypted_person="x", **times)
        for position, state in enumerate(("unavailable", "held", "checked")):
            error = "the store does not answer" if state == "unavailable" else ""
            made.steps.create(location=f"place{position}", position=position, state=state, since=now, last_error=error)
        LegalHold.objects.create(subject=subject, reason="a tax audit", begins_at=now, placed_by="olivia")
        number = Suppression.objects.count()
        Suppression.objects.create(key_id="1", normalisation="nfc", digest=f"{number:064x}", erased_at=now, refused=3)
        return made

    @staticmethod
    def eviction_run() -> EvictionRun:
        """A dry run of evictions that has ended."""
        now = datetime.now(UTC)
        return EvictionRun.objects.create(
            started_at=now, started_by="petra", dry_run=True, idle_days=30, finished_at=now, subjects=9, evicted=2
        )

    def emergency(self, customer_id: str = "C42", staff_member: str = "petra") -> EmergencyAccess:
        """An emergency access that began a minute ago."""
        began = datetime.now(UTC) - timedelta(minutes=1)
        subject = self.customers[customer_id].subject
        return EmergencyAccess.objects.create(
            staff=staff_member, subject=subject, reason="incident 7 of today", began_at=began,
            ends_at=began + timedelta(minutes=30),
        )  # fmt: skip

    def log_entries(self, customer_id: str = "C42") -> EntryContent:
        """What waits for its index gets it, with a tree head over it; the newest entry about a customer."""
        sequence_due()
        sign_due(datetime.now(UTC) + timedelta(hours=TreeHead.objects.count()))
        return EntryContent.objects.filter(subject=self.customers[customer_id].subject).latest("index")

    @staticmethod
    def log_verification(found: int = 0) -> LogVerification:
        """A verification that has ended."""
        now = datetime.now(UTC)
        return LogVerification.objects.create(
            started_at=now, started_by="olivia", finished_at=now, entries=9, heads=2, root="ab" * 32, found=found,
            findings="entry 5: missing" * found,
        )  # fmt: skip

    @staticmethod
    def tree_head_place() -> HeadDestination:
        """A place to which the last tree head could not be sent."""
        number = HeadDestination.objects.count()
        return HeadDestination.objects.create(
            address=f"file:/kept/{number}", size=7, sent_at=datetime.now(UTC), attempts=2, error="The disk is full."
        )

    @staticmethod
    def retention_run() -> RetentionRun:
        """A dry run of a rule about access records that has ended."""
        now = datetime.now(UTC)
        day = date(2026, 1, 1) + timedelta(days=RetentionRule.objects.count())
        rule = RetentionRule.objects.create(
            kind="reads", name="service", days=30, effective_from=day, basis="policy 7", created_by="oscar",
            created_at=now,
        )  # fmt: skip
        return RetentionRun.objects.create(
            rule=rule, started_at=now, started_by="oscar", dry_run=True, before=now, finished_at=now, gone=2, held=1
        )

    def export(self, customer_id: str = "C42", state: str = "in_review") -> DataExport:
        """An export with a category and a redaction, without files."""
        intake = Intake("access", "gdpr", "staff", customer_id, attested=True)
        request = requests.receive(intake, staff("olivia")).request
        export = start(request.reference, staff("olivia"))
        category = ExportCategory.objects.create(export=export, name="Orders", items=3, fields={"total": ["number"]})
        Redaction.objects.create(
            export=export,
            category=category,
            item=1,
            reason="concerns others",
            redacted_by="olivia",
            redacted_at=export.created_at,
        )
        secrets = {"encrypted_link": encrypt("a-link"), "encrypted_passphrase": encrypt("a passphrase")}
        DataExport.objects.filter(pk=export.pk).update(state=state, **(secrets if state == "released" else {}))
        return export

    def access_record(self, customer_id: str = "C42", number: int = 1, **withheld: str) -> None:
        """Write an access record of a minute ago by support-bot, and a gap: the record before it is lost."""
        at_ms = round(datetime.now(UTC).timestamp() * 1000) - 60_000
        context = BatchContext("support-bot", "0123456789ab", "support_chat", "service", ["spend", "returns"], withheld)
        read = Read(0, self.customers[customer_id].subject, at_ms, f"turn-{number:04}")
        requests = [RequestCount("support-bot", "features", 200, 1), RequestCount("", "features", 401, 2)]
        process = f"{number:016x}"
        write([ReceivedBatch(at_ms, Batch(process, at_ms - 1000, 1, at_ms, 1, [context], [read], requests))])

    def subject_request(
        self, type_: str = "access", customer_id: str = "C42", *, attested: bool = True, **fields: Any
    ) -> SubjectRequest:
        """A request of the customer, received now by the API."""
        seed_regimes()
        intake = requests.Intake(type_, "gdpr", "api", customer_id, attested=attested, **fields)
        return requests.receive(intake, actor("shop")).request

    def read(self, customer_id: str, purpose: str = "service") -> PurposePermission | Denial:
        """The permission that a reader gets 5 seconds later, when a new grant is in effect."""
        reading = self.store.read([self.customers[customer_id].subject], [], [], 1000)
        soon_ms = round((datetime.now(UTC) + timedelta(seconds=5)).timestamp() * 1000)
        return decide_access(reading.subjects[0].permission, purpose, vouched=reading.vouched, now_ms=soon_ms)

    @staticmethod
    def log_in(name: str) -> Client:
        """A client that has just shown its password."""
        return logins.log_in(name)
