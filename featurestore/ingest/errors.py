"""Errors of dead letters and event producers. Messages name the remedy and contain nothing of a record."""


class DeadLetterError(Exception):
    """Base class: an operation on dead letters failed and changed nothing."""


class KafkaUnavailable(DeadLetterError):
    """Kafka did not answer in time."""


class UnknownDeadLetter(DeadLetterError):
    """No such record is known to have been quarantined."""


class RecordExpired(DeadLetterError):
    """Kafka no longer has the record."""


class NoReason(DeadLetterError):
    """A decision lacks its reason or its actor."""


class NotAcknowledged(Exception):
    """Kafka did not acknowledge all events in time; some may be written, now or later. Sent again, they count once."""
