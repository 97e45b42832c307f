"""Legal holds: they keep their own rows and nothing else, also when placed late; a release ends the erasure."""

from datetime import timedelta

import pytest

from featurestore.accesslog.consumer import prune as prune_access_records
from featurestore.accesslog.models import AccessRecord, ReadContext
from featurestore.audit.models import AuditRun, Finding
from featurestore.audit.services import prune as prune_audits
from featurestore.customers.models import Customer, LegalHold
from featurestore.customers.selectors import held_subjects
from featurestore.ingest.models import DeadLetter
from featurestore.ingest.services import prune as prune_dead_letters
from featurestore.profiles.errors import KeptByHold
from featurestore.requests.erasure.errors import WrongHold
from featurestore.requests.erasure.holds import place_hold, release_hold
from featurestore.requests.errors import NoReason, NotPossible
from featurestore.requests.models import SubjectRequest
from featurestore.requests.services import close
from tests.kit.clock import at
from tests.kit.erasures import OLIVIA, ErasureEnvironment

DAY_S = 86_400
pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


def hold(locations: list[str], when: float = 15, customer_id: str = "ann", **kwargs) -> LegalHold:
    return place_hold(customer_id, locations, "a tax audit", OLIVIA, now=at(when), **kwargs)


def test_hold_keeps_its_own_rows_and_everything_else_is_erased(erasures: ErasureEnvironment) -> None:
    hold(["store"])
    erasure = erasures.start()
    erasures.walk_to_answer()
    erasure.refresh_from_db()
    assert erasures.states(erasure) == {
        "store": "held", "events": "checked", "records": "checked", "customers": "checked",
    }  # fmt: skip
    assert "a tax audit" in erasures.step(erasure, "store").last_error
    assert (erasure.state, erasures.left()) == ("answered", 5)
    answer = SubjectRequest.objects.get().answer
    assert "The law obliges us to keep these data" in answer
    assert answer.endswith("- Location store")
    with pytest.raises(NotPossible):
        close(erasure.request.reference, OLIVIA, "done")


def test_what_held_rows_refer_to_is_kept_too(erasures: ErasureEnvironment) -> None:
    hold(["records"])
    erasure = erasures.start()
    erasures.walk_to_answer()
    assert erasures.states(erasure) == {
        "store": "checked", "events": "checked", "records": "held", "customers": "held",
    }  # fmt: skip
    assert Customer.objects.get(customer_id="ann").erased_at == at(30)
    with pytest.raises(KeptByHold):
        erasures.shop.register("ann", 100, after_erasure=True)


def test_release_ends_the_erasure(erasures: ErasureEnvironment) -> None:
    placed = hold(["records"])
    erasure = erasures.start()
    erasures.walk_to_answer()
    release_hold(placed.pk, "the audit is over", OLIVIA, at(100))
    erasures.walk(110)
    erasure.refresh_from_db()
    assert (erasure.state, erasures.left()) == ("closed", 0)
    assert [event.kind for event in SubjectRequest.objects.get().events.all()][-3:] == ["erasing", "answered", "closed"]


def test_hold_that_ends_by_itself_is_noticed(erasures: ErasureEnvironment) -> None:
    hold(["store"], ends_at=at(600))
    erasure = erasures.start()
    erasures.walk_to_answer()
    for when in (400, 700, 1100):
        erasures.walk(when)
    erasure.refresh_from_db()
    assert (erasure.state, erasures.left()) == ("closed", 0)


def test_hold_that_begins_later_keeps_nothing_before(erasures: ErasureEnvironment) -> None:
    hold([], begins_at=at(5000))
    erasure = erasures.start()
    erasures.walk_to_answer()
    erasure.refresh_from_db()
    assert erasure.state == "closed"


def test_hold_placed_amid_an_erasure_is_obeyed_at_the_next_step(erasures: ErasureEnvironment) -> None:
    store = erasures.places["store"]
    store.page = 1
    erase = store.erase

    def slow(*args):
        erasures.clock.pass_s(10)
        return erase(*args)

    store.erase = slow
    erasure = erasures.start()
    erasures.walk(30)
    erasures.walk(40)
    assert erasures.step(erasure, "store").erased == 1
    placed = hold([], when=45)
    erasures.walk(50)
    states = erasures.states(erasure)
    assert states.pop("events") == "checked"  # it was erased before the hold
    assert set(states.values()) == {"held"}
    assert erasures.left() == 4 + 5 + 1
    release_hold(placed.pk, "over", OLIVIA, at(60))
    store.erase = erase
    erasures.walk(70)
    erasure.refresh_from_db()
    assert (erasure.state, erasures.left()) == ("closed", 0)


def test_hold_of_another_customer_keeps_nothing(erasures: ErasureEnvironment) -> None:
    hold([], customer_id="bob")
    erasure = erasures.start()
    erasures.walk_to_answer()
    erasure.refresh_from_db()
    assert erasure.state == "closed"


def test_retention_learns_who_is_held_where(erasures: ErasureEnvironment) -> None:
    ann, bob = (Customer.objects.get(customer_id=name).subject for name in ("ann", "bob"))
    placed = hold(["store"])
    hold([], customer_id="bob", ends_at=at(100))
    assert held_subjects("store", at(50)) == {ann, bob}
    assert held_subjects("events", at(50)) == {bob}
    assert held_subjects("store", at(5)) == set()
    assert held_subjects("events", at(100)) == set()
    release_hold(placed.pk, "over", OLIVIA, at(60))
    assert held_subjects("store", at(70)) == {bob}


def test_retention_leaves_what_a_hold_keeps(erasures: ErasureEnvironment) -> None:
    subjects = {name: Customer.objects.get(customer_id=name).subject for name in ("ann", "bob")}
    old = {"started_at": at(), "finished_at": at()}
    context = ReadContext.objects.create(digest="0" * 32, client="bot", credential="k", service="s", purpose="p")
    for number, subject in enumerate(subjects.values()):
        AccessRecord.objects.create(pk=number, context=context, subject=subject, at=at(), request_id="r")
        run = AuditRun.objects.create(**old)
        Finding.objects.create(run=run, kind="unknown", subject=subject, detail="", found_at=at(), seen_at=at())
        DeadLetter.objects.create(
            generation=1, topic="t", partition=0, offset=number, reason="invalid", recorded_at=at(), size=1,
            dead_letter_offset=number, quarantined_at=at(), subject=subject, sha256="", state="expired",
            decided_at=at(),
        )  # fmt: skip
    hold([])
    later = at(100 * DAY_S)
    assert (prune_access_records(later), prune_audits(later), prune_dead_letters(later)) == (1, 1, 1)
    for model in (AccessRecord, Finding, DeadLetter):
        assert model.objects.get().subject == subjects["ann"]
    release_hold(LegalHold.objects.get().pk, "over", OLIVIA, at(20))
    assert (prune_access_records(later), prune_audits(later), prune_dead_letters(later)) == (1, 1, 1)


def test_wrong_holds_are_refused(erasures: ErasureEnvironment) -> None:
    with pytest.raises(WrongHold, match="no data location"):
        hold(["nowhere"])
    with pytest.raises(WrongHold):
        hold([], ends_at=at(15) - timedelta(days=1))
    with pytest.raises(NoReason):
        place_hold("ann", [], "  ", OLIVIA, now=at())
    with pytest.raises(WrongHold):
        hold([], customer_id="")
    placed = hold([])
    with pytest.raises(NoReason):
        release_hold(placed.pk, "", OLIVIA)
    release_hold(placed.pk, "over", OLIVIA, at(20))
    with pytest.raises(WrongHold):
        release_hold(placed.pk, "over", OLIVIA, at(30))
