"""Event source: a Kafka topic of one type of event, and how its records are decoded. Pure."""

import operator
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar

import msgspec

from featurestore.definitions.empty_labels import accepting_empty
from featurestore.definitions.errors import DefinitionError, caller_line
from featurestore.definitions.fields import Field, fields_of
from featurestore.identity import IdentifierError, check_spelling, is_plain

LARGEST_EVENT_BYTES = 64 * 1024
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
END_MS = 2**32 * 1000
"""February 2106: stored fields have seconds in 32 bits."""

T = TypeVar("T")


class CloudEvent(msgspec.Struct, Generic[T], kw_only=True):
    """CloudEvents 1.0 envelope in JSON. Extension attributes are allowed and ignored."""

    specversion: Literal["1.0"] = "1.0"
    id: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    source: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    type: str
    subject: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}\Z")]
    time: Annotated[datetime, msgspec.Meta(tz=True)]
    data: T


class Event(NamedTuple):
    """Event as the fold takes it. ``values`` are the source's fields in order, converted; None where absent."""

    subject: str
    time_ms: int
    event_id_hash: int  # 63-bit digest of source and id, which identify an event: fits a signed 64-bit cell
    values: tuple[Any, ...]


class InvalidEvent(Exception):
    """Event that can't be folded. The message states why and repeats no value; ``reason`` is one word, for counting."""

    def __init__(self, message: str, reason: str = "invalid"):
        super().__init__(message)
        self.reason = reason


class EventSource:
    """Kafka topic of one type of event, whose data is a msgspec struct.

    Unknown fields in the data are refused if the struct forbids them, as the shipped ones do. ``accepted`` is the
    struct that events are decoded into: an empty optional label (of ``optional_labels``) is null. ``writable`` opens
    the source to clients of the API with the scope ``events:write``.
    """

    def __init__(
        self,
        name: str,
        *,
        data: type[msgspec.Struct],
        type: str,
        owner: str = "",
        description: str = "",
        writable: bool = False,
    ):
        self.defined_at = caller_line()
        self.writable = writable
        self.name, self.data, self.type, self.owner, self.description = name, data, type, owner, description
        self.fields = fields_of(data)
        if not self.fields:
            raise DefinitionError(
                f"source {name}: {data.__name__} has no field that can be aggregated", self.defined_at
            )
        self.positions = {field: i for i, field in enumerate(self.fields)}
        self._values = operator.attrgetter(*self.fields)
        self.accepted, self.optional_labels = accepting_empty(data)
        self._converters = [
            (i, f.name, f.convert_or_null if f.name in self.optional_labels else f.convert)
            for i, f in enumerate(self.fields.values())
            if f.convert
        ]
        self._decoder = msgspec.json.Decoder(CloudEvent[self.accepted])  # type: ignore[name-defined]

    @property
    def topic(self) -> str:
        """The topic's name, without the generation."""
        return f"events.{self.name}"

    def field(self, name: str) -> Field:
        """A field by its name. Raises KeyError with the names of all fields."""
        if name not in self.fields:
            raise KeyError(f"source {self.name} has no field {name!r}; it has {', '.join(self.fields)}")
        return self.fields[name]

    def decode(self, raw: bytes) -> Event:
        """The event in a Kafka record's value. Raises InvalidEvent, whose message repeats no value of the event."""
        if len(raw) > LARGEST_EVENT_BYTES:
            raise InvalidEvent(f"event has {len(raw)} bytes, at most {LARGEST_EVENT_BYTES} are taken", "too_large")
        try:
            event = self._decoder.decode(raw)
        except msgspec.MsgspecError as error:
            raise InvalidEvent(self._reason(str(error))) from None
        except RecursionError:
            raise InvalidEvent("event is nested too deeply") from None
        except UnicodeDecodeError:
            raise InvalidEvent("event is not UTF-8") from None
        if event.type != self.type:
            raise InvalidEvent(f"type must be {self.type} on topic {self.topic} - at `$.type`")
        time_ms = ms_of(event.time)
        if time_ms < 0:
            raise InvalidEvent("time is before 1970 - at `$.time`")
        if time_ms >= END_MS:
            raise InvalidEvent("time is 2**32 s or more after 1970, past February 2106 - at `$.time`")
        identity = (
            f"{len(event.source)}|{event.source}|{event.id}"  # with its length, since a source may hold any separator
        )
        if not is_plain(identity):
            self._check_identifiers(event)
        event_id_hash = int.from_bytes(blake2b(identity.encode(), digest_size=8).digest(), "big") >> 1
        return Event(event.subject, time_ms, event_id_hash, self.values(event.data))

    def _check_identifiers(self, event: CloudEvent[Any]) -> None:
        for name, identifier in (("id", event.id), ("source", event.source)):
            try:
                check_spelling(identifier, name)
            except IdentifierError as error:
                raise InvalidEvent(f"{error} - at `$.{name}`") from None

    def _reason(self, error: str) -> str:
        """msgspec's message without the sender's text: a wrong value, or the name of an unknown field."""
        what, _, path = error.rpartition(" - at ")
        if what.startswith("Object contains unknown field"):
            known = ", ".join(self.data.__struct_encode_fields__)
            return f"Object contains an unknown field; known are {known} - at {path}"
        if what.startswith("Invalid enum value"):
            field = self.fields.get(path.strip("`").removeprefix("$.data."))
            allowed = ", ".join(map(repr, field.literals)) if field else "those that the specification allows"
            return f"Value is none of {allowed} - at {path}"
        return error

    def values(self, data: msgspec.Struct) -> tuple[Any, ...]:
        """The data's fields in order, converted. Raises InvalidEvent for a number or text that can't be aggregated."""
        values = self._values(data)
        if len(self.fields) == 1:
            values = (values,)
        if not self._converters:
            return tuple(values)
        converted = list(values)
        for i, name, convert in self._converters:
            if converted[i] is not None:
                try:
                    converted[i] = convert(converted[i])
                except ValueError as error:
                    raise InvalidEvent(f"{error} - at `$.data.{name}`") from None
        return tuple(converted)

    def encode(self, *, id: str, source: str, subject: str, time: datetime, data: msgspec.Struct) -> bytes:
        """The value of a Kafka record for one event."""
        empty = {name: None for name in self.optional_labels if getattr(data, name) == ""}
        data = msgspec.structs.replace(data, **empty) if empty else data
        event = CloudEvent(id=id, source=source, type=self.type, subject=subject, time=time, data=data)
        return msgspec.json.encode(event)


def ms_of(time: datetime) -> int:
    """A time as whole milliseconds since 1970."""
    return (time - EPOCH) // MILLISECOND
