"""Data locations of dead letters: their topics, and the rows that say where Kafka stores each one."""

from datetime import timedelta

from django.db.models import QuerySet

from featurestore.config import settings
from featurestore.ingest.locations.events import event_item
from featurestore.ingest.models import DeadLetter
from featurestore.locations import Item, Person
from featurestore.row_locations import RowLocation
from featurestore.topic_locations import ExportedTopicLocation
from featurestore.topic_retention import event_retention, gone_after
from featurestore.topic_scan import ScannedRecord


class DeadLetterTopicLocation(ExportedTopicLocation):
    """Topics of dead letters, whose records hold what was sent."""

    name, title = "dead_letter_topic", "Dead-letter topics"
    personal_data = "A record that could not be folded, as it was sent: its key and its bytes."
    erased_by = "Deleted by retention, after RAPPORT_EVENT_RETENTION_DAYS: no record is erased by itself."
    patterns = ("dead-letters.*",)
    derived_from = ("events",)

    def gone_within(self) -> timedelta:
        return gone_after(event_retention(settings()))

    def item(self, record: ScannedRecord) -> Item:
        return event_item(record, "an event that could not be processed")


class DeadLetterLocation(RowLocation):
    """Rows of dead letters whose key is a subject."""

    name, title, category = "dead_letters", "Dead letters", "event that could not be processed"
    model = DeadLetter
    derived_from = ("dead_letter_topic",)

    def rows(self, person: Person) -> QuerySet[DeadLetter]:
        found = DeadLetter.objects.filter(subject__in=person.subjects)
        return found if person.whole else found.none()

    def item(self, row: DeadLetter) -> Item:
        data = {"topic": row.topic, "reason": row.reason, "bytes": row.size, "state": row.state}
        return Item(self.category, row.topic, row.recorded_at, data)
