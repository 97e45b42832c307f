"""Redactions applied to lines: a field, a whole category, or one item of an export is withheld."""

from dataclasses import dataclass, field
from typing import Any

from featurestore.requests.export.models import ExportCategory

ORIGIN = "origin"


@dataclass
class Redactions:
    """What is withheld of one category. ``items``: numbers of items; ``item_fields``: fields of single items."""

    everything: bool = False
    fields: set[str] = field(default_factory=set)
    items: set[int] = field(default_factory=set)
    item_fields: dict[int, set[str]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return self.everything or bool(self.fields or self.items or self.item_fields)

    def applied(self, number: int, line: dict[str, Any]) -> dict[str, Any] | None:
        """A line without what is withheld, which it names; None if nothing of it is left.

        >>> Redactions(fields={"note"}).applied(0, {"at": None, "origin": "shop", "data": {"note": "x", "total": 5}})
        {'at': None, 'origin': 'shop', 'data': {'total': 5}, 'withheld': ['note']}
        """
        if self.everything or number in self.items:
            return None
        names = self.fields | self.item_fields.get(number, set())
        withheld = sorted(names & (line["data"].keys() | {ORIGIN}))
        if not withheld:
            return line
        data = {name: value for name, value in line["data"].items() if name not in names}
        origin = "" if ORIGIN in names else line["origin"]
        return line | {"origin": origin, "data": data, "withheld": withheld}


def redactions_of(category: ExportCategory) -> Redactions:
    """The redactions of a category that hold now."""
    found = Redactions()
    for one in category.redactions.all():
        if one.item is None and one.field:
            found.fields.add(one.field)
        elif one.item is None:
            found.everything = True
        elif one.field:
            found.item_fields.setdefault(one.item, set()).add(one.field)
        else:
            found.items.add(one.item)
    return found
