"""Types of answers: JSON type and unit, from the kind of answer and the field's type and unit. Pure."""

import math
from enum import StrEnum
from typing import Any, NamedTuple

DIMENSIONLESS, SECOND = "1", "s"


class Answers(StrEnum):
    """Kind of the answers that an aggregation gives when something was counted."""

    COUNT = "count"  # an integer of events, values or sessions
    WEIGHT = "weight"  # a number of events, not all of them whole
    VALUE = "value"  # a value of the field's type and unit
    VALUES = "values"  # a list of these
    MEASURE = "measure"  # a number in the field's unit
    SQUARE = "square"  # a number in the square of the field's unit
    SECONDS = "seconds"  # a number of seconds


class ValueType(NamedTuple):
    """Type of a feature's value in JSON: integer, number, string, boolean, or list with the type of its items.

    ``unit``: a symbol of UCUM ("s", "km"; "1" of what has none, "s2" of a square) or a currency's code of ISO 4217;
    None of what is no number.
    """

    type: str
    items: str | None
    unit: str | None

    def fits(self, value: Any) -> bool:
        """Whether a value is of the type."""
        if self.type == "list":
            return isinstance(value, list) and all(is_a(str(self.items), item) for item in value)
        return is_a(self.type, value)


def value_type(answers: Answers, type_of_field: str, unit_of_field: str | None) -> ValueType:
    """The type of an answer about a field.

    >>> value_type(Answers.SQUARE, "number", "GBP")
    ValueType(type='number', items=None, unit='GBP2')
    """
    match answers:
        case Answers.COUNT:
            return ValueType("integer", None, DIMENSIONLESS)
        case Answers.WEIGHT:
            return ValueType("number", None, DIMENSIONLESS)
        case Answers.SECONDS:
            return ValueType("number", None, SECOND)
        case Answers.VALUE:
            return ValueType(type_of_field, None, unit_of_field)
        case Answers.VALUES:
            return ValueType("list", type_of_field, unit_of_field)
        case Answers.MEASURE:
            return ValueType("number", None, unit_of_field)
        case Answers.SQUARE:
            plain = unit_of_field in (None, DIMENSIONLESS)
            return ValueType("number", None, unit_of_field if plain else f"{unit_of_field}2")


def is_a(type_: str, value: Any) -> bool:
    """Whether a single value is of a JSON type; an integer is a number too."""
    if isinstance(value, bool):
        return type_ == "boolean"
    if isinstance(value, int):
        return type_ in ("integer", "number")
    if isinstance(value, float):
        return type_ == "number" and math.isfinite(value)
    return isinstance(value, str) and type_ == "string"
