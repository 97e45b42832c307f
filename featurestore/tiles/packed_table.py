"""A table: columns of as many rows each, behind their forms, to be read a cell at a time. Pure.

The bytes: a form a column (featurestore.tiles.cell_codecs); then the columns of which the forms alone tell the length; then
the others. A column that is like an earlier one has the form ``=`` and holds that one's number.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from featurestore.tiles import cell_codecs
from featurestore.tiles.cell_codecs import BLOBS, NULLS, WIDTHS, Packer

LIKE = "="


class Numbers(NamedTuple):
    """Where the numbers of one column lie, from the first column on, and how one is read. ``width`` 0: all are one."""

    at: int
    width: int
    unpack: Callable[[bytes, int], tuple[Any, ...]]
    null: int | None


def numbers_of(letter: str, at: int = 0) -> Numbers:
    return Numbers(at, WIDTHS[letter], cell_codecs.array(1, letter).unpack_from, NULLS.get(letter))


RUNS = {digit: numbers_of(letter) for digit, letter in cell_codecs.LETTERS.items() if letter not in BLOBS}


class Shape(NamedTuple):
    """What some forms tell of a table with some rows: the place of each column, if they tell it."""

    numbers: list[Numbers | None]
    places: list[int]  # of likes, too
    open: list[int]  # columns whose length is in the data
    size: int  # of the others


@lru_cache(maxsize=4_096)  # customers are alike: a few forms, as many lengths as they have tiles
def shape(forms: str, rows: int) -> Shape:
    numbers: list[Numbers | None] = []
    places: list[int] = []
    size = 0
    for form in forms:
        letter, found = form.lower(), None
        places.append(size)
        if form == LIKE:
            size += 1
        elif letter in WIDTHS and letter not in BLOBS:
            found = numbers_of(letter, size)
            size += found.width * (1 if form.isupper() else rows)
            found = found._replace(width=0) if form.isupper() else found
        numbers.append(found)
    sized = [form == LIKE or found is not None for form, found in zip(forms, numbers, strict=True)]
    return Shape(numbers, places, [number for number, known in enumerate(sized) if not known], size)


def write(packers: Sequence[Packer], cells: Sequence[Sequence[Any]]) -> bytes:
    """Columns of at least one row, as bytes. Raises OverflowError for an integer of more than 64 bits."""
    plain = len(cells[0]) < cell_codecs.RUNS_FROM
    forms, sized, others = "", list[bytes](), list[bytes]()
    there: dict[bytes, int] = {}
    for number, (packer, values) in enumerate(zip(packers, cells, strict=True)):
        form, raw = packer(values) if plain else cell_codecs.pack(packer, values)
        if len(raw) > 1 and number < 256:
            earlier = there.setdefault(raw, number)
            if earlier < number and forms[earlier] == form:
                form, raw = LIKE, bytes((earlier,))
        forms += form
        (others if form in OPEN else sized).append(raw)
    return b"".join((forms.encode(), *sized, *others))


OPEN = frozenset([*cell_codecs.LETTERS, *BLOBS, *map(str.upper, BLOBS)])


class Table:
    """A table of so many columns and rows that begins at ``at``."""

    __slots__ = ("at", "forms", "raw", "rows", "shape")

    def __init__(self, raw: bytes, at: int, width: int, rows: int):
        self.raw, self.rows = raw, rows
        self.forms = raw[at : at + width].decode()
        self.shape = shape(self.forms, rows)
        self.at = at + width

    def number(self, column: int, row: int) -> Any:
        """One cell of a column of numbers."""
        if (found := self.shape.numbers[column]) is not None:
            at, width, unpack, null = found
            (value,) = unpack(self.raw, self.at + at + row * width)
            return None if value == null or value != value else value
        if self.forms[column] == LIKE:
            return self.number(self.raw[self.at + self.shape.places[column]], row)
        _, width, unpack, null = RUNS[self.forms[column]]
        run, at = cell_codecs.run_of(self.raw, self._place(column), row)
        (value,) = unpack(self.raw, at + run * width)
        return None if value == null or value != value else value

    def column(self, number: int) -> list[Any]:
        """All cells of a column, blobs as bytes."""
        if self.forms[number] == LIKE:
            return self.column(self.raw[self.at + self.shape.places[number]])
        return cell_codecs.unpack(self.forms[number], self.raw, self._place(number), self.rows)[0]

    def _place(self, column: int) -> int:
        at = self.at
        if (found := self.shape.numbers[column]) is not None:
            return at + found.at
        at += self.shape.size
        for other in self.shape.open:
            if other == column:
                break
            at = cell_codecs.end(self.forms[other], self.raw, at, self.rows)
        return at
