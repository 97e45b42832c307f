"""What can be wrong with dead letters and events. Messages say what to do and repeat nothing of a record."""


class LetterError(Exception):
    """Nothing was changed."""


class KafkaAway(LetterError):
    """Kafka did not answer in time."""


class UnknownLetter(LetterError):
    """Nobody put such a record aside, as far as is known."""


class Gone(LetterError):
    """Kafka no longer has the record."""


class NotOpen(LetterError):
    """The letter was decided, or is being replayed."""


class Futile(LetterError):
    """A replay would be put aside again, whatever was mended."""


class NoReason(LetterError):
    """Nobody said why, or who."""


class NotAcknowledged(Exception):
    """Kafka did not acknowledge every event in time; some may be there, or come to be. Sent again, they count once."""
