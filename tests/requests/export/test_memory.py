"""Memory: an export of 200,000 items takes no more than one of some thousands."""

from collections.abc import Callable, Sequence

import psutil
import pytest

from featurestore.locations import Item, Page, Person
from featurestore.requests.export import packing, services
from featurestore.requests.export.encrypted_zip import EncryptedZip
from featurestore.requests.export.states import ExportState
from featurestore.requests.export.work import advance
from tests.kit.exports import LONG_AGO, ExportEnvironment, MemoryLocation, reloaded
from tests.kit.requests import NOON, OLIVIA

pytestmark = pytest.mark.django_db
ITEMS = 200_000
WARM = 20_000
"""Items after which buffers, caches and the database's pages are as large as they get."""
GROWTH_BYTES = 48 * 1024 * 1024
"""Far below what the items take: some 250 MB as objects."""


class LongLocation(MemoryLocation):
    """Data location of many items, which exist a page at a time."""

    def __init__(self, measure: Callable[[int], None]) -> None:
        super().__init__("long", self._nothing)
        self._measure = measure

    @staticmethod
    def _nothing(subject: str) -> Sequence[Item]:
        return []

    def export(self, person: Person, after: str | None, limit: int) -> Page:
        first = int(after or 0)
        self._measure(first)
        numbers = range(first, min(first + limit, ITEMS))
        items = [Item("Events", "the shop", LONG_AGO, {"number": n, "text": f"event {n} " * 12}) for n in numbers]
        return Page(items, str(first + limit) if first + limit < ITEMS else None)


def test_memory_does_not_grow_with_the_number_of_items(
    exports: ExportEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    process, sizes = psutil.Process(), {"warm": 0, "most": 0}

    def measure(items: int) -> None:
        size = process.memory_info().rss
        if items <= WARM:
            sizes["warm"] = max(sizes["warm"], size)
        sizes["most"] = max(sizes["most"], size)

    class Measured(EncryptedZip):
        def _write(self, written: bytes) -> None:
            measure(ITEMS)
            super()._write(written)

    exports.registry.register(LongLocation(measure))
    export = exports.started()
    while reloaded(export).state == ExportState.COLLECTING:
        assert advance(NOON)
    assert reloaded(export).items == ITEMS + 603
    monkeypatch.setattr(packing, "EncryptedZip", Measured)
    services.release(export.pk, OLIVIA, now=NOON)
    advance(NOON)
    assert reloaded(export).state == ExportState.RELEASED
    assert sizes["most"] - sizes["warm"] < GROWTH_BYTES
