"""Registry of data locations, and the walk over their pages."""

from datetime import timedelta

import pytest

from featurestore.locations import (
    AT_ONCE,
    ErasePage,
    Impersonal,
    Item,
    Kind,
    LocationError,
    Page,
    Person,
    Proof,
    Registry,
    Storage,
    erase_all,
    export_all,
    prove_all,
)


class Numbers:
    """Location of the numbers below five, whose pages are sometimes empty."""

    title, personal_data, erased_by = "Numbers", "A number.", "Erasure deletes it."
    derived_from: tuple[str, ...] = ()

    def __init__(self, name: str = "numbers", erased_after: tuple[str, ...] = ()) -> None:
        self.name, self.erased_after = name, erased_after
        self.stored_in = (Storage(Kind.TOPIC, f"{name}.*"),)
        self.numbers = list(range(5))

    def gone_within(self) -> timedelta:
        return AT_ONCE

    def export(self, person: Person, after: str | None, limit: int) -> Page:
        start = int(after or 0)
        items = [Item("number", "counted", None, {"number": n}) for n in self.numbers[start : start + limit] if n != 2]
        return Page(items, str(start + limit) if start + limit < len(self.numbers) else None)

    def erase(self, person: Person, after: str | None, limit: int) -> ErasePage:
        erased = len(self.numbers[:limit])
        del self.numbers[:limit]
        return ErasePage(erased, 0, "more" if self.numbers else None)

    def pause(self, person: Person, actor: str, reason: str) -> int:
        return 0

    def prove(self, person: Person, after: str | None, limit: int) -> Proof:
        start = int(after or 0)
        found = len(self.numbers[start : start + limit])
        return Proof(found, found, 0, str(start + limit) if start + limit < len(self.numbers) else None)


@pytest.mark.parametrize("limit", [1, 2, 1000])
def test_pages_of_any_size_give_the_same(limit: int) -> None:
    numbers, person = Numbers(), Person()
    assert [item.data["number"] for item in export_all(numbers, person, limit)] == [0, 1, 3, 4]
    assert prove_all(numbers, person, limit) == Proof(5, 5, 0, None)
    assert erase_all(numbers, person, limit) == ErasePage(5, 0, None)
    assert erase_all(numbers, person, limit) == ErasePage(0, 0, None)
    assert prove_all(numbers, person, limit) == Proof(0, 0, 0, None)


def test_location_comes_after_those_that_are_erased_before_it() -> None:
    registry = Registry()
    registry.register(Numbers("rows", erased_after=("store", "topics")), Numbers("store", erased_after=("topics",)))
    registry.register(Numbers("topics"))
    assert [one.name for one in registry.in_order()] == ["topics", "store", "rows"]


def test_two_locations_of_one_name_are_refused() -> None:
    registry, numbers = Registry(), Numbers()
    registry.register(numbers)
    registry.register(numbers)
    with pytest.raises(LocationError, match="two data locations are called numbers"):
        registry.register(Numbers())


def test_location_that_states_nothing_is_refused() -> None:
    silent = Numbers()
    silent.erased_by = ""
    with pytest.raises(LocationError, match="numbers has no title"):
        Registry().register(silent)


def test_name_of_a_missing_location_is_refused() -> None:
    registry = Registry()
    registry.register(Numbers(erased_after=("missing",)))
    with pytest.raises(LocationError, match="missing, which does not exist"):
        registry.in_order()
    with pytest.raises(LocationError, match="there is no data location missing; there are numbers"):
        registry["missing"]


def test_storage_is_owned_or_impersonal_by_kind_and_name() -> None:
    registry, numbers = Registry(), Numbers()
    registry.register(numbers, impersonal=[Impersonal(Storage(Kind.TABLE, "jobs_*"), "Names of tasks.")])
    assert registry.owners(Kind.TOPIC, "numbers.g1") == [numbers]
    assert registry.owners(Kind.TABLE, "numbers.g1") == registry.owners(Kind.TOPIC, "other") == []
    assert registry.reason_impersonal(Kind.TABLE, "jobs_joblease") == "Names of tasks."
    assert registry.reason_impersonal(Kind.TOPIC, "jobs_joblease") is None


def test_call_about_a_purpose_or_source_includes_only_what_serves_no_other() -> None:
    whole = Person()
    assert whole.whole
    assert whole.includes()
    service = Person(purposes=frozenset({"service"}))
    assert not service.whole
    assert [service.includes(purposes) for purposes in (["service"], ["service", "marketing"], [])] == [
        True,
        False,
        False,
    ]
    orders = Person(sources=frozenset({"orders"}))
    assert [orders.includes(["service"], source) for source in ("orders", "visits", None)] == [True, False, False]
    both = service._replace(sources=orders.sources)
    assert both.includes(["service"], "orders")
    assert not both.includes(["marketing"], "orders")
