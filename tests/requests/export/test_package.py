"""What a package holds, read by a reader that shares no code with its writer."""

import json

import pytest

from featurestore.consent.selectors import ConsentRecord
from featurestore.requests.export import services
from featurestore.requests.export.states import ExportState
from featurestore.requests.export.work import advance
from tests.kit.exports import CANARY, ExportEnvironment, is_readable, reloaded
from tests.kit.requests import ANTON, NOON, OLIVIA, day

pytestmark = pytest.mark.django_db


def test_every_fact_is_in_the_package_in_both_formats(exports: ExportEnvironment) -> None:
    exports.requests.give(day(-2))
    export = exports.collected()
    assert export.state == ExportState.IN_REVIEW
    assert export.items == 603
    services.release(export.pk, OLIVIA, now=NOON)
    advance(NOON)
    export = reloaded(export)
    assert export.state == ExportState.RELEASED
    opened = exports.opened(export)
    assert opened.manifest["request"] == export.request.reference
    lines = opened.lines("orders")
    assert [line["data"]["order"] for line in lines] == list(range(600))
    assert lines[7] == {
        "at": "2026-03-01T15:30:00+00:00", "origin": "web shop", "data": {"order": 7, "total": 10.5, "tags": ["a", "7"]}
    }  # fmt: skip
    rows = opened.rows("orders")
    assert [row["data.order"] for row in rows] == [str(number) for number in range(600)]
    assert rows[7]["data.tags"] == '["a","7"]'
    notes = opened.lines("letters")
    assert notes[1]["data"]["text"] == 'zwei\nZeilen, "und" mehr; ä'
    assert [row["data.text"] for row in opened.rows("letters")][:2] == ["'=1+1", 'zwei\nZeilen, "und" mehr; ä']


def test_summary_says_what_for_who_read_and_how_long_and_names_no_staff(exports: ExportEnvironment) -> None:
    exports.requests.give(day(-2))
    export = exports.collected()
    services.release(export.pk, ANTON, now=NOON)
    advance(NOON)
    page = exports.opened(reloaded(export)).files["summary.html"].decode()
    for text in ("Orders", "web shop", "What it is used for", "given", "privacy/1/en", "3 days", "Your rights"):
        assert text in page
    assert ConsentRecord.objects.exists()
    for name in ("olivia", "anton", export.request.subject):
        assert name not in page
    assert "<script" not in page


@pytest.mark.parametrize(
    ("language", "title"), [("de", "Was wir über Sie speichern"), ("es", "Qué datos suyos tenemos")]
)
def test_summary_is_in_the_language_of_the_request(exports: ExportEnvironment, language: str, title: str) -> None:
    export = exports.collected(language=language)
    services.release(export.pk, OLIVIA, now=NOON)
    advance(NOON)
    page = exports.opened(reloaded(export)).files["summary.html"].decode()
    assert title in page
    assert f'<html lang="{language}">' in page


def test_what_is_redacted_is_nowhere_in_the_package(exports: ExportEnvironment) -> None:
    export = exports.collected()
    services.redact_item(export.pk, "Letters", 2, OLIVIA, "names another customer", now=NOON)
    services.redact_field(export.pk, "Orders", "total", OLIVIA, "a trade secret", now=NOON)
    services.release(export.pk, OLIVIA, now=NOON)
    advance(NOON)
    opened = exports.opened(reloaded(export))
    assert all(CANARY.encode() not in content for content in opened.files.values())
    assert len(opened.lines("letters")) == 2
    assert all("total" not in line["data"] and line["withheld"] == ["total"] for line in opened.lines("orders"))
    assert "data.total" not in opened.rows("orders")[0]
    withheld = {one["name"]: one.get("items_withheld") for one in opened.manifest["files"]}
    assert withheld["data/letters.jsonl"] == 1
    page = opened.files["summary.html"].decode()
    assert "fields: total" in page
    assert "1 items" in page
    assert "trade secret" not in page
    assert "total" not in json.loads(opened.files["schema/orders.schema.json"])["properties"]["data"]["properties"]


def test_category_that_is_redacted_altogether_leaves_its_name_and_number(exports: ExportEnvironment) -> None:
    export = exports.collected()
    services.redact_field(export.pk, "Letters", "", OLIVIA, "concerns others", now=NOON)
    services.release(export.pk, OLIVIA, now=NOON)
    advance(NOON)
    opened = exports.opened(reloaded(export))
    assert opened.lines("letters") == []
    assert opened.rows("letters") == []
    assert "all of it" in opened.files["summary.html"].decode()


def test_wrong_passphrase_and_changed_bytes_are_noticed(exports: ExportEnvironment) -> None:
    export = exports.collected()
    services.release(export.pk, OLIVIA, now=NOON)
    advance(NOON)
    delivery = services.show_link(export.pk, OLIVIA, NOON)
    path = exports.folder / f"{export.name}.zip"
    assert is_readable(path, delivery.passphrase)
    assert not is_readable(path, delivery.passphrase[:-1] + ("2" if delivery.passphrase[-1] != "2" else "3"))
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)
    assert not is_readable(path, delivery.passphrase)


def test_no_file_of_an_export_has_plain_text(exports: ExportEnvironment) -> None:
    export = exports.collected()
    spool = (exports.folder / f"{export.name}.spool").read_bytes()
    services.release(export.pk, OLIVIA, now=NOON)
    advance(NOON)
    package = (exports.folder / f"{export.name}.zip").read_bytes()
    for content in (spool, package):
        for text in (b"web shop", b"somebody else", CANARY.encode(), export.request.subject.encode(), b"What we hold"):
            assert text not in content
    assert exports.files() == [f"{export.name}.zip"]
    assert (exports.folder / f"{export.name}.zip").stat().st_mode & 0o077 == 0
