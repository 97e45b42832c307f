"""Download: limited tries, an end, one answer for every wrong link, and nothing left afterwards."""

from datetime import timedelta
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from featurestore.clock import milliseconds
from featurestore.customers.selectors import person_of
from featurestore.locations import erase_all, export_all, prove_all
from featurestore.requests import services as requests
from featurestore.requests.export import folder, services, views
from featurestore.requests.export.errors import LinkRefused
from featurestore.requests.export.expiry import end_overdue
from featurestore.requests.export.link import new_link
from featurestore.requests.export.locations import ExportLocation
from featurestore.requests.export.models import DataExport, ExportCategory
from featurestore.requests.export.services import download
from featurestore.requests.export.states import ExportState
from featurestore.requests.export.work import advance
from tests.kit.exports import ExportEnvironment, is_readable, reloaded
from tests.kit.requests import NOON, OLIVIA, day
from tests.requests.export.conftest import ChangeSettings

pytestmark = pytest.mark.django_db


def released(exports: ExportEnvironment, **fields: str) -> tuple[DataExport, str]:
    """A released export and its link."""
    export = exports.collected(**fields)
    services.release(export.pk, OLIVIA, now=NOON)
    advance(NOON)
    return reloaded(export), services.show_link(export.pk, OLIVIA, NOON).link


@pytest.fixture
def at_noon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Downloads happen at noon, within one window of the rate limits."""
    monkeypatch.setattr(views, "now_ms", lambda: milliseconds(NOON))
    monkeypatch.setattr(views, "take_try", lambda link: services.take_try(link, NOON))
    monkeypatch.setattr(views, "delivered", lambda pk: services.delivered(pk, NOON))


def test_customer_downloads_the_package(exports: ExportEnvironment, at_noon: None) -> None:
    export, link = released(exports)
    passphrase = services.show_link(export.pk, OLIVIA, NOON).passphrase
    browser = Client(enforce_csrf_checks=True)
    page = browser.get(reverse("export_download", args=[link]))
    assert page.status_code == 200
    assert reloaded(export).tries_left == 3, "opening the page takes no try"
    answer = browser.post(reverse("export_download", args=[link]))
    content = b"".join(answer.streaming_content)  # type: ignore[attr-defined]
    assert len(content) == int(answer["Content-Length"]) == export.package_bytes
    assert answer["Content-Disposition"] == f'attachment; filename="{export.request.reference}.zip"'
    assert answer["Cache-Control"] == "no-store"
    assert "default-src 'none'" in answer["Content-Security-Policy"]
    assert not answer.cookies
    copy = exports.folder / "copy.zip"
    copy.write_bytes(content)
    assert is_readable(copy, passphrase)
    export = reloaded(export)
    assert (export.state, export.tries_left, export.downloaded_at) == (ExportState.DOWNLOADED, 2, NOON)
    assert export.request.events.last().kind == "export_downloaded"


def test_every_wrong_link_has_one_answer(exports: ExportEnvironment, at_noon: None) -> None:
    export, link = released(exports)
    other, cancelled = released(exports, customer_id="C2")
    services.cancel(other.pk, OLIVIA, "a mistake", NOON)
    browser = Client()
    wrong = [new_link(), cancelled, link[:-1], "x", "x" * 3000, link.replace(".", ":"), "%00"]
    answers = {(got.status_code, got.content) for one in wrong for got in [browser.post(f"/exports/{one}")]}
    assert len(answers) == 1
    assert next(iter(answers))[0] == 404
    pages = {browser.get(f"/exports/{one}").content for one in [*wrong, link]}
    assert len(pages) == 1, "opening a page tells nothing of its link"
    assert reloaded(export).tries_left == 3


def test_link_works_as_often_as_it_has_tries(exports: ExportEnvironment, change_settings: ChangeSettings) -> None:
    change_settings(export_tries=2)
    _, link = released(exports)
    for _ in range(2):
        services.take_try(link, NOON).file.close()
    with pytest.raises(LinkRefused):
        services.take_try(link, NOON)


def test_of_downloads_at_once_no_more_succeed_than_there_are_tries(
    exports: ExportEnvironment, change_settings: ChangeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another download takes the last try between this one's look and its own."""
    change_settings(export_tries=1)
    export, link = released(exports)

    def after_another(name: str, kind: str) -> Path:
        monkeypatch.setattr(download, "path_of", folder.path_of)
        services.take_try(link, NOON).file.close()
        return folder.path_of(name, kind)

    monkeypatch.setattr(download, "path_of", after_another)
    with pytest.raises(LinkRefused):
        services.take_try(link, NOON)
    assert reloaded(export).tries_left == 0


def test_link_ends_with_its_time_and_its_package_is_deleted(exports: ExportEnvironment) -> None:
    export, link = released(exports)
    with pytest.raises(LinkRefused):
        services.take_try(link, day(7))
    assert end_overdue(day(6.9)).expired == 0
    assert end_overdue(day(7)).expired == 1
    export = reloaded(export)
    assert (export.state, export.encrypted_passphrase, export.link_digest) == (ExportState.EXPIRED, "", "")
    assert exports.files() == []
    with pytest.raises(LinkRefused):
        services.take_try(link, NOON)


def test_clock_that_is_set_back_opens_no_link_again(exports: ExportEnvironment) -> None:
    export, link = released(exports)
    end_overdue(day(8))
    with pytest.raises(LinkRefused):
        services.take_try(link, day(1))
    assert reloaded(export).changed_at == day(8)


def test_package_is_deleted_an_hour_after_the_download_or_with_the_last_try(exports: ExportEnvironment) -> None:
    first, link = released(exports)
    second, other = released(exports, customer_id="C2")
    services.take_try(link, NOON).file.close()
    services.delivered(first.pk, NOON)
    for _ in range(3):
        services.take_try(other, NOON).file.close()
    services.delivered(second.pk, NOON)
    assert end_overdue(NOON + timedelta(minutes=59)).downloaded == 1
    assert exports.files() == [f"{first.name}.zip"]
    assert end_overdue(NOON + timedelta(minutes=60)).downloaded == 1
    assert exports.files() == []
    with pytest.raises(LinkRefused):
        services.take_try(link, NOON + timedelta(minutes=61))


def test_request_that_ends_without_an_answer_ends_its_export(exports: ExportEnvironment) -> None:
    export = exports.collected()
    requests.withdraw(export.request.reference, OLIVIA, "by telephone", NOON)
    assert end_overdue(NOON).cancelled == 1
    assert reloaded(export).state == ExportState.CANCELLED
    assert exports.files() == []


def test_files_of_no_export_are_deleted_and_no_other_file(exports: ExportEnvironment) -> None:
    export = exports.collected()
    for name in ("0" * 32 + ".zip", "1" * 32 + ".unfinished", f"{export.name}.zip", "notes.txt"):
        (exports.folder / name).write_bytes(b"x")
    assert end_overdue(NOON).orphans == 3
    assert exports.files() == [f"{export.name}.spool", "notes.txt"]


def test_package_that_is_missing_takes_no_try(exports: ExportEnvironment) -> None:
    export, link = released(exports)
    (exports.folder / f"{export.name}.zip").unlink()
    with pytest.raises(LinkRefused):
        services.take_try(link, NOON)
    assert reloaded(export).tries_left == 3


def test_erasure_deletes_the_exports_of_one_person(exports: ExportEnvironment) -> None:
    mine, link = released(exports)
    other, _ = released(exports, customer_id="C2")
    location, person = ExportLocation(), person_of(mine.request.customer_id)
    assert [item.data["request"] for item in export_all(location, person)] == [mine.request.reference]
    assert prove_all(location, person).traces == 1
    assert erase_all(location, person).erased == 1
    assert erase_all(location, person).erased == 0
    assert prove_all(location, person).traces == 0
    assert exports.files() == [f"{other.name}.zip"]
    assert not ExportCategory.objects.filter(export_id=mine.pk).exists()
    with pytest.raises(LinkRefused):
        services.take_try(link, NOON)


def test_ten_thousand_guesses_ask_no_database_and_take_no_try(
    exports: ExportEnvironment, at_noon: None, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    """Two hundred of them, each from an address of its own: each costs a signature."""
    export, link = released(exports)
    browser = Client()
    secret, _, signature = link.rpartition(".")
    guesses = [f"{secret[:-3]}{n:03}.{signature}" for n in range(200)]
    with django_assert_num_queries(0):
        answers = [
            browser.post(reverse("export_download", args=[guess]), REMOTE_ADDR=f"192.0.2.{n}").status_code
            for n, guess in enumerate(guesses)
        ]
    assert set(answers) == {404}
    assert reloaded(export).tries_left == 3
    answer = browser.post(reverse("export_download", args=[link]))
    assert len(b"".join(answer.streaming_content)) == export.package_bytes  # type: ignore[attr-defined]


@pytest.mark.parametrize("method", ["get", "post"])
def test_ten_thousand_requests_of_one_address_are_refused_after_twenty(
    exports: ExportEnvironment,
    at_noon: None,
    django_assert_num_queries: DjangoAssertNumQueries,
    method: str,
) -> None:
    """Two hundred of them. Those that are refused ask no database and take no try, and no other address is refused."""
    export, link = released(exports)
    browser, page = Client(), reverse("export_download", args=[link])
    guess = reverse("export_download", args=["guess"])
    first = {getattr(browser, method)(guess).status_code for _ in range(views.REQUESTS_PER_WINDOW)}
    assert first == {200 if method == "get" else 404}
    with django_assert_num_queries(0):
        refused = [getattr(browser, method)(page) for _ in range(200)]
    assert {one.status_code for one in refused} == {429}
    assert int(refused[0]["Retry-After"]) > 0
    assert "default-src 'none'" in refused[0]["Content-Security-Policy"]
    assert reloaded(export).tries_left == 3
    assert browser.post(page, REMOTE_ADDR="192.0.2.9").status_code == 200


def test_one_link_from_many_addresses_is_refused_after_five(
    exports: ExportEnvironment, at_noon: None, change_settings: ChangeSettings
) -> None:
    change_settings(export_tries=20)
    export, link = released(exports)
    other, second = released(exports, customer_id="C2")
    browser, page = Client(), reverse("export_download", args=[link])
    answers = [browser.post(page, REMOTE_ADDR=f"192.0.2.{n}").status_code for n in range(8)]
    assert answers == [200] * views.DOWNLOADS_PER_WINDOW + [429] * 3
    assert reloaded(export).tries_left == 20 - views.DOWNLOADS_PER_WINDOW
    assert browser.post(reverse("export_download", args=[second])).status_code == 200
    assert reloaded(other).tries_left == 19
