"""Command that lists data locations and proves what they hold."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from featurestore.config import settings
from featurestore.locations import Registry
from tests.locations.written_facts import WRITERS, Servers, register

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


def run(*arguments: str) -> list[str]:
    out = StringIO()
    call_command("locations", *arguments, stdout=out)
    return out.getvalue().splitlines()


def rows_of(lines: list[str]) -> dict[str, list[str]]:
    """The cells of each location."""
    return {line.split()[0]: line.split()[1:] for line in lines[1:]}


def test_list_tells_of_every_location_what_it_holds_and_how_that_ends(database: str, locations: Registry) -> None:
    lines = run("list")
    for location in locations.in_order():
        start = lines.index(f"{location.name}: {location.title}")
        assert lines[start + 2 : start + 4] == [
            f"  holds: {location.personal_data}",
            f"  erased by: {location.erased_by}",
        ]


def test_proof_counts_traces_in_every_location(servers: Servers, locations: Registry) -> None:
    register(servers, "dana")
    for name in ("events", "access_records", "store"):
        WRITERS[name](servers, "dana")
    rows = rows_of(run("prove", "dana"))
    assert list(rows) == [location.name for location in locations.in_order()]
    assert {name for name, cells in rows.items() if cells[0] != "0"} == {
        *("customers", "permissions", "consent_records", "permission_states", "permission_changes"),
        *("versioned_denials", "audit_log"),
        *("store", "events", "access_records"),
    }
    assert rows["events"][2:] == ["31", "days"]
    assert all(cells[0] == "0" for cells in rows_of(run("prove", "nobody")).values())


def test_proof_for_a_purpose_counts_what_serves_no_other(servers: Servers) -> None:
    register(servers, "emil")
    WRITERS["store"](servers, "emil")
    rows = rows_of(run("prove", "emil", "--purpose", "service"))
    assert rows["store"][0] != "0"
    assert rows["customers"][0] == rows["versioned_denials"][0] == "0"
    of_nothing = rows_of(run("prove", "emil", "--purpose", "service", "--source", "chat"))
    assert of_nothing["store"][0] == "0"


def test_location_that_does_not_answer_is_named_and_the_others_are_counted(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(servers, "fay")
    monkeypatch.setenv("RAPPORT_CONTROL_URL", "redis://127.0.0.1:1/1")
    settings.cache_clear()
    out = StringIO()
    with pytest.raises(CommandError, match=r"access_stream: the control Redis does not answer: .+ Is it running\?"):
        call_command("locations", "prove", "fay", stdout=out)
    rows = rows_of(out.getvalue().splitlines())
    assert rows["access_stream"][:2] == ["?", "?"]
    assert rows["customers"][0] == "1"
