"""What can be wrong with dead letters and events. Messages say what to do and repeat nothing of a record."""


class DeadLetterError(Exception):
    """Nothing was changed."""


class KafkaUnavailable(DeadLetterError):
    """Kafka did not answer in time."""


class UnknownDeadLetter(DeadLetterError):
    """Nobody put such a record aside, as far as is known."""


class RecordExpired(DeadLetterError):
    """Kafka no longer has the record."""


class NotOpen(DeadLetterError):
    """The letter was decided, or is being replayed."""


class Futile(DeadLetterError):
    """A replay would be put aside again, whatever was mended."""


class NoReason(DeadLetterError):
    """Nobody said why, or who."""


class NotAcknowledged(Exception):
    """Kafka did not acknowledge every event in time; some may be there, or come to be. Sent again, they count once."""
