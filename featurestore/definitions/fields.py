"""Fields of events: the types of their data beyond Python's own, and the kind of each field. Pure."""

from collections.abc import Callable
from decimal import Context, Decimal, DecimalException, Inexact, InvalidOperation, Overflow
from functools import partial
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec
from msgspec import inspect

from featurestore.aggregations.answers import DIMENSIONLESS
from featurestore.aggregations.base import NUMBER_BYTES, TEXT_BYTES, Kind
from featurestore.identity import PATTERN, check_identifier, is_plain

T = TypeVar("T")

Personal = Annotated[T, msgspec.Meta(extra={"personal": True})]
"""A field that identifies a person, here or in another system: ``Personal[Label]``. Staff see it masked."""

Money = Annotated[Decimal, msgspec.Meta(description="Money, up to 4 decimals.", extra={"places": 4})]


def unit(symbol: str) -> msgspec.Meta:
    """The unit of a number: ``Annotated[Money, unit("EUR")]``, ``Annotated[int, unit("s")]``.

    A symbol of UCUM, or a currency's code of ISO 4217. A number without one has the unit "1".
    """
    return msgspec.Meta(extra={"unit": symbol})


Label = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
"""A short text that may become a feature: a category, a code, a language."""

Id = Annotated[Label, msgspec.Meta(extra={"identifier": True}, extra_json_schema={"pattern": PATTERN})]
"""The id of an order, a ticket and the like. Two that look alike are refused, as they would count as two."""

LARGEST = 10**12
"""Size of a number, in its field's smallest unit: 9.2 million of the largest sum up within signed 64 bits."""

DEFAULT_PLACES = 4
UTF8_BYTES = 4  # of a character, at most
encode = msgspec.msgpack.Encoder().encode
EXACT = Context(prec=40, traps=[Inexact, InvalidOperation, Overflow])
PYTHON_TYPES: dict[Kind, tuple[type, ...]] = {
    Kind.INTEGER: (int,),
    Kind.SCALED: (Decimal, int, float, str),
    Kind.FLOAT: (float, int),
    Kind.TEXT: (str,),
    Kind.BOOLEAN: (bool,),
}


class Field(NamedTuple):
    """Field of a source's data."""

    name: str
    kind: Kind
    places: int = 0
    literals: tuple[Any, ...] = ()  # the only values, if the type lists them
    personal: bool = False
    identifier: bool = False
    unit: str | None = None  # of a number; "1" by default
    most_bytes: int = NUMBER_BYTES  # of a value as msgpack

    @property
    def convert(self) -> Callable[[Any], Any] | None:
        """The function from a decoded value to what aggregations take; it raises ValueError for what they don't."""
        if self.kind is Kind.SCALED:
            return lambda value: scaled(value, self.places)
        if self.identifier:
            return partial(checked_identifier, name=self.name)
        return CHECKS.get(self.kind)

    @property
    def convert_or_null(self) -> Callable[[Any], Any]:
        """As ``convert``, of an optional label: an empty one is null."""
        return partial(identifier_or_none, name=self.name) if self.identifier else label_or_none

    def literal(self, value: Any) -> Any:
        """A value of a definition's filter, as events hold it. Raises ValueError for one that no event can have."""
        if self.literals and value not in self.literals:
            known = ", ".join(map(repr, self.literals))
            raise ValueError(f"where: {self.name} is never {value!r}; it is one of {known}")
        wrong = isinstance(value, bool) is not (self.kind is Kind.BOOLEAN)
        if wrong or not isinstance(value, PYTHON_TYPES[self.kind]):
            raise ValueError(f"where: {self.name} is never {value!r}; it is {self.kind}")
        try:
            converted = Decimal(str(value)) if self.kind is Kind.SCALED else value
            return self.convert(converted) if self.convert else converted
        except (ValueError, DecimalException) as error:
            raise ValueError(f"where: {self.name} is never {value!r}: {error}") from None


def fields_of(data: type[msgspec.Struct]) -> dict[str, Field]:
    """The fields of an event's data that can be filtered on or aggregated. Nested ones are left out."""
    found = {}
    info = inspect.type_info(data)
    assert isinstance(info, inspect.StructType)
    for field in info.fields:
        if (known := _field(field.encode_name, field.type)) is not None:
            plain = DIMENSIONLESS if known.kind.numeric else None
            found[field.name] = known._replace(name=field.name, unit=known.unit or plain)
    return found


ANNOTATED = ("places", "personal", "identifier", "unit")


def _field(name: str, type_: inspect.Type) -> Field | None:
    if isinstance(type_, inspect.Metadata):
        inner = _field(name, type_.type)
        annotated = {name: value for name, value in (type_.extra or {}).items() if name in ANNOTATED}
        return inner and inner._replace(**annotated)
    if isinstance(type_, inspect.UnionType):
        options = [option for option in type_.types if not isinstance(option, inspect.NoneType)]
        return _field(name, options[0]) if len(options) == 1 else None
    if isinstance(type_, inspect.LiteralType):
        kind = Kind.TEXT if isinstance(type_.values[0], str) else Kind.INTEGER
        return Field(name, kind, 0, tuple(type_.values), most_bytes=max(map(len, map(encode, type_.values))))
    if isinstance(type_, inspect.StrType):
        longest = TEXT_BYTES if type_.max_length is None else min(UTF8_BYTES * type_.max_length, TEXT_BYTES)
        return Field(name, Kind.TEXT, most_bytes=longest + 3)
    for kind, types in {
        Kind.BOOLEAN: inspect.BoolType,
        Kind.INTEGER: inspect.IntType,
        Kind.FLOAT: inspect.FloatType,
    }.items():
        if isinstance(type_, types):
            return Field(name, kind)
    return Field(name, Kind.SCALED, DEFAULT_PLACES) if isinstance(type_, inspect.DecimalType) else None


def scaled(value: Decimal, places: int) -> int:
    """A decimal as an integer of 10**-places units, exactly."""
    if not value.is_finite() or value.copy_abs() > LARGEST:  # abs() rounds, and overflows at an exponent of a million
        raise ValueError(f"number is out of range: at most {LARGEST} in size")
    try:
        units = value.scaleb(places, EXACT)
        return bounded_integer(int(units.to_integral_exact(context=EXACT)))
    except Inexact:
        raise ValueError(f"number has more than {places} decimals") from None


def bounded_integer(value: int) -> int:
    if not -LARGEST <= value <= LARGEST:
        raise ValueError(f"number is out of range: at most {LARGEST} in size, in the field's smallest unit")
    return value


def finite_float(value: float) -> float:
    if not -LARGEST <= value <= LARGEST:  # false for a number that is none, too
        raise ValueError(f"number is not finite or out of range: at most {LARGEST} in size")
    return value + 0.0  # makes -0.0 into 0.0: a column of like cells holds one of them


def bounded_text(value: str) -> str:
    if len(value) * UTF8_BYTES > TEXT_BYTES and (size := len(value.encode())) > TEXT_BYTES:
        raise ValueError(f"text has {size} bytes in UTF-8, at most {TEXT_BYTES} can be aggregated")
    return value


def label_or_none(value: str) -> str | None:
    """The value of an optional label: an empty one is null."""
    return bounded_text(value) or None


def checked_identifier(value: str, name: str) -> str:
    """Raises IdentifierError, which is a ValueError."""
    if not is_plain(value):
        check_identifier(value, name)
    return value


def identifier_or_none(value: str, name: str) -> str | None:
    """As ``label_or_none``, of an optional identifier."""
    return checked_identifier(value, name) if value else None


CHECKS: dict[Kind, Callable[[Any], Any]] = {
    Kind.FLOAT: finite_float,
    Kind.INTEGER: bounded_integer,
    Kind.TEXT: bounded_text,
}
