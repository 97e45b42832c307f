"""Data locations of events and of what the streams make of them: event topics, dead letters, state tables."""

from featurestore.ingest.locations.dead_letters import DeadLetterLocation, DeadLetterTopicLocation
from featurestore.ingest.locations.events import EventLocation
from featurestore.ingest.locations.state_tables import ChangelogLocation, StateTableLocation
from featurestore.locations import Impersonal, Kind, Storage, registry

registry.register(
    EventLocation(),
    DeadLetterTopicLocation(),
    DeadLetterLocation(),
    StateTableLocation(),
    ChangelogLocation(),
    impersonal=[
        Impersonal(Storage(Kind.TOPIC, "rapport.clock.g*"), "Comparisons of clocks: a worker's name and a time."),
        Impersonal(Storage(Kind.TOPIC, "__*"), "Kafka's own: positions of consumer groups."),
        Impersonal(
            Storage(Kind.CONTROL_KEY, "recent-events:*"),
            "For 20 minutes, 64-bit hashes of events' ids by client: nobody's, without the event itself.",
        ),
    ],
)
