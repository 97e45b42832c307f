"""Data location of the event topics."""

from datetime import timedelta

from featurestore import names
from featurestore.config import settings
from featurestore.installed_catalog import catalog
from featurestore.locations import Item, Person
from featurestore.topic_locations import ExportedTopicLocation, json_of, time_of
from featurestore.topic_retention import event_retention, gone_after
from featurestore.topic_scan import ScannedRecord


class EventLocation(ExportedTopicLocation):
    """Topics of events. A call about purposes is about the sources whose every view serves these alone."""

    name, title = "events", "Event topics"
    personal_data = (
        "By subject, what the shop sent: order ids and lines, pages, carts, tickets, sentiment and intent of messages, "
        "tier, language."
    )
    erased_by = "Deleted by retention, after RAPPORT_EVENT_RETENTION_DAYS: no record is erased by itself."
    patterns = ("events.*",)

    def gone_within(self) -> timedelta:
        return gone_after(event_retention(settings()))

    def is_in_scope(self, person: Person, topic: str) -> bool:
        source = names.source_of(topic) or ""
        registry = catalog().registry
        views = registry.views_of(source) if source in registry.sources else ()
        return person.whole or person.includes({purpose for view in views for purpose in view.purposes}, source)

    def item(self, record: ScannedRecord) -> Item:
        return event_item(record, names.source_of(record.at.topic) or record.at.topic)


def event_item(record: ScannedRecord, source: str) -> Item:
    """An event as it was sent, without its subject."""
    event = json_of(record.value)
    event.pop("subject", None)
    return Item("event", source, time_of(record), event)
