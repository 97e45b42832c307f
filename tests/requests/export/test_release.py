"""Review and release: what may be withheld, who may release, what is recorded of it."""

import json

import pytest

from featurestore.requests.errors import NoReason
from featurestore.requests.export import services
from featurestore.requests.export.errors import ExportNotPossible, ReleaseNeedsAnother, WrongRedaction
from featurestore.requests.export.models import Redaction
from featurestore.requests.export.selectors import items_of
from featurestore.requests.export.services.review import _redact
from featurestore.requests.export.states import ExportState
from featurestore.requests.export.work import advance
from tests.kit.exports import CANARY, ExportEnvironment, reloaded
from tests.kit.requests import ANTON, NOON, OLIVIA
from tests.requests.export.conftest import ChangeSettings

pytestmark = pytest.mark.django_db


def test_items_are_read_by_page_with_what_is_withheld(exports: ExportEnvironment) -> None:
    export = exports.collected()
    orders = export.categories.get(name="Orders")
    assert [item.number for item in items_of(orders, 490)] == list(range(490, 515)), "over the end of a part"
    assert items_of(orders, 590)[-1].data["order"] == 599
    assert items_of(orders, 600) == items_of(orders, -1) == []
    notes = export.categories.get(name="Letters")
    services.redact_item(export.pk, "Letters", 1, OLIVIA, "concerns others", now=NOON)
    services.redact_item(export.pk, "Letters", 2, OLIVIA, "concerns others", "text", NOON)
    first, second, third = items_of(notes, 0)
    assert (first.withheld, first.redacted) == ([], False)
    assert second.redacted
    assert (third.withheld, third.redacted) == (["text"], False)


def test_redaction_is_recorded_with_its_reason_and_without_the_content(exports: ExportEnvironment) -> None:
    export = exports.collected()
    services.redact_item(export.pk, "Letters", 2, OLIVIA, "names somebody else", now=NOON)
    made = Redaction.objects.get()
    assert (made.item, made.reason, made.redacted_by, made.redacted_at) == (2, "names somebody else", "olivia", NOON)
    event = export.request.events.last()
    assert (event.kind, event.actor, event.reason) == ("export_redacted", "olivia", "names somebody else")
    assert CANARY not in json.dumps(event.detail)
    services.keep(made.pk, ANTON, "it names nobody after all", NOON)
    assert not Redaction.objects.exists()
    assert export.request.events.last().kind == "export_redaction_ended"


@pytest.mark.parametrize(
    ("category", "field", "item"),
    [("Letters", "nonsense", None), ("Nothing", "", None), ("Letters", "", 3), ("Letters", "", -1)],
)
def test_redaction_of_what_is_not_there_is_refused(
    exports: ExportEnvironment, category: str, field: str, item: int | None
) -> None:
    export = exports.collected()
    with pytest.raises(WrongRedaction):
        _redact(export.pk, category, field, item, OLIVIA, "why", NOON)


def test_redaction_needs_a_reason_and_happens_once(exports: ExportEnvironment) -> None:
    export = exports.collected()
    with pytest.raises(NoReason):
        services.redact_field(export.pk, "Orders", "total", OLIVIA, " ", NOON)
    services.redact_field(export.pk, "Orders", "total", OLIVIA, "why", NOON)
    with pytest.raises(WrongRedaction, match="already"):
        services.redact_field(export.pk, "Orders", "total", OLIVIA, "why", NOON)
    services.release(export.pk, OLIVIA, now=NOON)
    with pytest.raises(ExportNotPossible):
        services.redact_field(export.pk, "Orders", "tags", OLIVIA, "too late", NOON)


def test_one_person_releases_where_the_policy_wants_no_second(exports: ExportEnvironment) -> None:
    export = exports.collected()
    services.release(export.pk, OLIVIA, now=NOON)
    assert reloaded(export).state == ExportState.PACKING


def test_second_person_releases_where_the_policy_wants_one(
    exports: ExportEnvironment, change_settings: ChangeSettings
) -> None:
    change_settings(exports_need_approval=True)
    export = exports.collected()  # by olivia
    with pytest.raises(ReleaseNeedsAnother, match="Propose"):
        services.release(export.pk, ANTON, now=NOON)
    services.propose(export.pk, OLIVIA, now=NOON)
    with pytest.raises(ReleaseNeedsAnother, match="another person"):
        services.release(export.pk, OLIVIA, now=NOON)
    services.release(export.pk, ANTON, now=NOON)
    assert reloaded(export).released_by == "anton"


def test_neither_who_proposed_nor_who_redacted_releases(
    exports: ExportEnvironment, change_settings: ChangeSettings
) -> None:
    change_settings(exports_need_approval=True)
    export = exports.collected()
    services.propose(export.pk, ANTON, now=NOON)
    with pytest.raises(ReleaseNeedsAnother):
        services.release(export.pk, ANTON, now=NOON)
    services.return_to_review(export.pk, OLIVIA, "a letter names somebody", NOON)
    services.redact_item(export.pk, "Letters", 2, ANTON, "names somebody", now=NOON)
    services.propose(export.pk, OLIVIA, now=NOON)
    with pytest.raises(ReleaseNeedsAnother):
        services.release(export.pk, ANTON, now=NOON)
    assert reloaded(export).state == ExportState.TO_RELEASE


def test_nothing_is_released_before_it_is_collected(exports: ExportEnvironment) -> None:
    exports.notes.down = True
    export = exports.collected()
    with pytest.raises(ExportNotPossible, match="collecting"):
        services.release(export.pk, ANTON, now=NOON)
    exports.notes.down = False


def test_whoever_sees_link_and_passphrase_is_in_the_timeline(exports: ExportEnvironment) -> None:
    export = exports.collected()
    services.release(export.pk, OLIVIA, now=NOON)
    advance(NOON)
    delivery = services.show_link(export.pk, ANTON, NOON)
    event = export.request.events.last()
    assert (event.kind, event.actor) == ("export_link_shown", "anton")
    assert delivery.passphrase not in str(reloaded(export).__dict__)
    assert delivery.link not in str(reloaded(export).__dict__)


def test_who_puts_back_what_was_withheld_does_not_release_it(
    exports: ExportEnvironment, change_settings: ChangeSettings
) -> None:
    change_settings(exports_need_approval=True)
    export = exports.collected()
    withheld = services.redact_item(export.pk, "Letters", 2, OLIVIA, "names somebody else", now=NOON)
    services.propose(export.pk, OLIVIA, now=NOON)
    services.return_to_review(export.pk, ANTON, "look again", NOON)
    services.keep(withheld.pk, ANTON, "it names nobody after all", NOON)
    services.propose(export.pk, OLIVIA, now=NOON)
    with pytest.raises(ReleaseNeedsAnother):
        services.release(export.pk, ANTON, now=NOON)


def test_who_withheld_and_put_back_does_not_release_it(
    exports: ExportEnvironment, change_settings: ChangeSettings
) -> None:
    change_settings(exports_need_approval=True)
    export = exports.collected()
    withheld = services.redact_item(export.pk, "Letters", 2, ANTON, "names somebody else", now=NOON)
    services.keep(withheld.pk, ANTON, "never mind", NOON)
    services.propose(export.pk, OLIVIA, now=NOON)
    with pytest.raises(ReleaseNeedsAnother):
        services.release(export.pk, ANTON, now=NOON)
