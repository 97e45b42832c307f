"""Lost denials of one subject, from what it lost and what the database knows."""

import msgspec
import pytest

from featurestore.consent.journal.lost_denials import KnownState, LostDenial, lost_changes
from featurestore.consent.journal.records import Evidence, JournaledState, JournalRecord
from featurestore.consent.permission_derivation import ConsentState

FIRST_LOST = 100


def superseded(evidence: Evidence) -> Evidence:
    """The same decision, older than the newest one."""
    return msgspec.structs.replace(evidence, superseded=True)


def allowed(grant_id: int, **times: int) -> JournaledState:
    return JournaledState(True, False, grant_id, **{"since_ms": 1, **times})


def refused(grant_id: int = 7, ended_ms: int = 1000) -> JournaledState:
    return JournaledState(False, False, grant_id, 1, 0, ended_ms)


def paused(grant_id: int = 7) -> JournaledState:
    return JournaledState(True, True, grant_id, 1)


def record(number: int, state: JournaledState | None, decision: str = "", at_ms: int = 1000) -> JournalRecord:
    evidence = [Evidence("service", decision, at_ms, at_ms, 0, "web", "shop", decided_ms=at_ms)] if decision else []
    states = {"service": state} if state else {}
    return JournalRecord("change", number, 1, FIRST_LOST + number, at_ms, "a" * 32, states, evidence)


def known(grant_id: int = 7, *, is_allowed: bool = True, decided_ms: int = 500, is_paused: bool = False) -> KnownState:
    return KnownState(ConsentState(is_allowed, grant_id, 1, paused=is_paused), decided_ms)


def lost(history: list[JournalRecord], ours: KnownState | None) -> list[LostDenial]:
    return lost_changes(history, {"service": ours} if ours else {}, FIRST_LOST).denials


WITHDRAWN = record(0, refused(), "withdrawn")


def test_withdrawal_is_lost_with_its_evidence() -> None:
    assert lost([WITHDRAWN], known()) == [LostDenial("service", False, 1000, 1000, WITHDRAWN.evidence[0])]


def test_withdrawal_of_an_unknown_subject_is_lost() -> None:
    assert lost([WITHDRAWN], None) == [LostDenial("service", False, 1000, 1000, WITHDRAWN.evidence[0])]


def test_later_decision_of_the_database_stays() -> None:
    assert lost([WITHDRAWN], known(grant_id=120, decided_ms=2000)) == []


def test_old_yes_that_arrives_after_the_restore_overtakes_no_lost_no() -> None:
    assert lost([WITHDRAWN], known(grant_id=120, decided_ms=900))
    assert lost([WITHDRAWN], known(grant_id=120, decided_ms=1000)), "at equal times the refusal wins"


def test_superseded_withdrawal_is_no_denial() -> None:
    (evidence,) = WITHDRAWN.evidence
    old = msgspec.structs.replace(WITHDRAWN, states={"service": allowed(7)}, evidence=[superseded(evidence)])
    assert lost([old], known()) == []


def test_lost_expiry_ends_the_old_grant_and_no_newer_one() -> None:
    expired = record(0, refused(), "expired")
    assert lost([expired], known())
    assert lost([expired], known(grant_id=120, decided_ms=900)) == []


def test_grant_that_only_seems_to_have_lasted_gets_a_new_id() -> None:
    found = lost_changes([WITHDRAWN], {"service": known(decided_ms=2000)}, FIRST_LOST)
    assert (found.denials, found.renewed) == ([], ["service"])


def test_registration_after_the_restore_does_not_take_an_objection_back() -> None:
    objected = record(1, refused(100), "withdrawn")
    assert lost([record(0, allowed(100)), objected], known(grant_id=101, decided_ms=0))


def test_denial_known_from_a_later_record_has_no_evidence() -> None:
    assert lost([record(3, refused(ended_ms=900), at_ms=1200)], known()) == [LostDenial("service", False, 1200, 900)]


def test_old_refusal_that_the_database_knows_is_not_lost() -> None:
    assert lost([record(3, refused(ended_ms=400))], known(is_allowed=False)) == []


def test_old_grant_ends_although_it_was_given_again_later() -> None:
    history = [WITHDRAWN, record(1, allowed(101), "given", at_ms=1100)]
    assert lost(history, known()) == [LostDenial("service", False, 1000, 1000, WITHDRAWN.evidence[0])]
    assert lost(history, None) == []  # nothing of the old grant is left


def test_old_grant_that_another_replaced_ends() -> None:
    assert lost([record(1, allowed(101))], known()) == [LostDenial("service", False, 1000, 1000)]


def test_lost_consent_alone_changes_nothing() -> None:
    found = lost_changes([record(0, allowed(100), "given")], {"service": known(is_allowed=False)}, FIRST_LOST)
    assert found == ([], [], {})


def test_pause_is_lost_beside_the_grant() -> None:
    history = [record(0, paused(), "paused")]
    assert lost(history, known()) == [LostDenial("service", True, 1000, 1000, history[0].evidence[0])]
    assert lost(history, known(is_paused=True)) == []
    assert lost([*history, record(1, allowed(7), "lifted", at_ms=1100)], known()) == []


@pytest.mark.parametrize(
    ("state", "narrowed"),
    [
        (allowed(7, since_ms=50), ConsentState(True, 7, 50, 0)),
        (allowed(7, until_ms=90), ConsentState(True, 7, 1, 90)),
        (allowed(7, complete_from_ms=60), ConsentState(True, 7, 1, 0, complete_from_ms=60)),
    ],
)
def test_later_start_and_earlier_end_of_the_same_grant_count(state: JournaledState, narrowed: ConsentState) -> None:
    assert lost_changes([record(0, state)], {"service": known()}, FIRST_LOST) == ([], [], {"service": narrowed})


def test_grant_of_the_same_number_in_both_histories_is_not_narrowed() -> None:
    found = lost_changes([record(0, allowed(100, until_ms=90))], {"service": known(grant_id=100)}, FIRST_LOST)
    assert found.narrowed == {}
