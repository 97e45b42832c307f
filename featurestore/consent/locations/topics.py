"""Data locations of the topics that consent writes or reads: purges, the journal, passed-by subjects."""

from datetime import timedelta
from fnmatch import fnmatchcase

import msgspec

from featurestore.clock import moment
from featurestore.config import settings
from featurestore.consent.journal.records import decode
from featurestore.locations import Item
from featurestore.topic_locations import ExportedTopicLocation, time_of
from featurestore.topic_retention import changelog_lag, compacted_after, event_retention, gone_after, journal_retention
from featurestore.topic_scan import ScannedRecord

JOURNALS = "consent.journal*"
"""The default name of the topic, and names with more to it: also of journals that were used before."""


PASSED_BY = "rapport.passed-by*"


class PurgeLocation(ExportedTopicLocation):
    """Topics of purges."""

    name, title = "purges", "Purge topics"
    personal_data = "A subject (pseudonym), and the number of the change for which it was purged."
    erased_by = "Deleted by retention, after RAPPORT_EVENT_RETENTION_DAYS: no record is erased by itself."
    patterns = ("consent.purge.*",)
    derived_from = ("permission_changes",)

    def gone_within(self) -> timedelta:
        return gone_after(event_retention(settings()))

    def item(self, record: ScannedRecord) -> Item:
        return Item("order to delete values", "your decisions", time_of(record), {})


class JournalLocation(ExportedTopicLocation):
    """The consent journal. What names staff is not exported."""

    name, title = "consent_journal", "Consent journal"
    personal_data = (
        "By subject: which purposes were allowed, paused or refused, and each decision's evidence (time, method, "
        "actor, notice), never an identifier or a reason."
    )
    erased_by = "Deleted by retention, after RAPPORT_JOURNAL_RETENTION_DAYS: by it a restored database is corrected."
    derived_from = ("permission_changes", "consent_records")

    @property
    def patterns(self) -> tuple[str, ...]:  # type: ignore[override]
        topic = settings().journal_topic
        return (JOURNALS,) if not topic or fnmatchcase(topic, JOURNALS) else (JOURNALS, topic)

    def gone_within(self) -> timedelta:
        return gone_after(journal_retention(settings()))

    def item(self, record: ScannedRecord) -> Item:
        try:
            journaled = decode(record.value)
        except msgspec.MsgspecError:
            return Item("change of a permission", "your decisions", time_of(record), {"readable": False})
        decisions = [
            {
                "purpose": one.purpose,
                "decision": one.decision,
                "decided_at": moment(one.decided_ms or one.at_ms).isoformat(),
                "method": one.method,
                "notice": one.notice,
            }
            for one in journaled.evidence
        ]
        states = {purpose: _status_of(one.allowed, one.paused) for purpose, one in journaled.states.items()}
        data = {"kind": journaled.kind, "purposes": states, "decisions": decisions}
        return Item("change of a permission", "your decisions", moment(journaled.at_ms), data)


class PassedByLocation(ExportedTopicLocation):
    """Passed-by subjects. The store verifier removes their entries."""

    name, title = "passed_by", "Passed-by subjects"
    personal_data = "A subject (pseudonym) of which an event came while the store had no permission of it."
    erased_by = "The store verifier removes an entry after some two minutes; compacted away like a changelog's."
    derived_from = ("events",)

    @property
    def patterns(self) -> tuple[str, ...]:  # type: ignore[override]
        topic = settings().passed_by_topic
        return (PASSED_BY,) if not topic or fnmatchcase(topic, PASSED_BY) else (PASSED_BY, topic)

    def gone_within(self) -> timedelta:
        return compacted_after(changelog_lag(settings()))

    def item(self, record: ScannedRecord) -> Item:
        return Item("event that could not be counted", "the shop", time_of(record), {})


def _status_of(allowed: bool, paused: bool) -> str:
    if paused:
        return "paused"
    return "allowed" if allowed else "refused"
