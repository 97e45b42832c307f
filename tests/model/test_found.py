"""Histories that broke an invariant once, as the machine found and shortened them. The first six are of issue 12."""

from collections.abc import Callable

import pytest

from tests.model.installation import APIS, HAS_JOURNAL, SUBJECTS, VERIFIERS
from tests.model.interleaving import Process
from tests.model.machine import Machine
from tests.model.steps import OPPOSITE


def run_to(process: Process, gate: str, begin: Callable[[], None]) -> None:
    """Run an operation of a process to the gate of this name."""
    begin()
    while process.paused_at != gate:
        assert not process.idle, f"{process.name} has no gate {gate}"
        process.resume(0)


def end(machine: Machine) -> None:
    """Check everything again once nothing is wrong any more."""
    machine.check()
    machine.run(steps=2, buys=True)
    if HAS_JOURNAL:
        machine.recover()


def test_lost_withdrawal_is_not_repaired_towards_allowing(machine: Machine) -> None:
    machine.decide(api=APIS[0], customer=0, purpose="service", kind=OPPOSITE, gates=None)
    machine.remember()
    machine.lose_commits(states_back=1)
    machine.check()
    machine.step(name="audit", gates=None)
    end(machine)


def test_no_grant_id_is_in_effect_twice_after_commits_were_lost(machine: Machine) -> None:
    machine.change_mind_twice(customer=0, purpose="service")
    machine.remember()
    machine.lose_commits(states_back=1)
    machine.change_mind_twice(customer=0, purpose="service")
    end(machine)


def test_lost_objection_holds_after_another_registration(machine: Machine) -> None:
    machine.decide(api=APIS[0], customer=0, purpose="analytics", kind=OPPOSITE, gates=None)
    machine.run(steps=2, buys=False)
    machine.remember()
    machine.lose_commits(states_back=len(machine.made.snapshots))
    machine.register(customer=0)
    machine.run(steps=4, buys=False)
    end(machine)


def test_store_that_is_emptied_between_vouch_and_claim_deletes_no_state(machine: Machine) -> None:
    machine.decide(api=APIS[0], customer=1, purpose="service", kind=OPPOSITE, gates=None)
    verifier = machine.made.processes[VERIFIERS[0]]
    run_to(verifier, "write_claim", lambda: machine.step(name=VERIFIERS[0], gates=0))
    machine.flush()
    verifier.resume()
    machine.check()
    machine.run(steps=1, buys=True)
    machine.run(steps=1, buys=True)
    end(machine)


@pytest.mark.parametrize("put_again_by", ["audit", "decision"])
def test_subject_that_was_deleted_is_stale_until_its_values_are_pushed(machine: Machine, put_again_by: str) -> None:
    machine.delete(customer=0)
    machine.check()
    if put_again_by == "audit":
        machine.step(name="audit", gates=None)
    else:
        machine.decide(api=APIS[0], customer=0, purpose="service", kind=OPPOSITE, gates=None)
    end(machine)


def test_event_that_was_skipped_before_the_store_was_emptied_is_not_claimed(machine: Machine) -> None:
    machine.delete(customer=0)
    machine.run(steps=1, buys=True)
    machine.flush()
    machine.run(steps=4, buys=True)
    end(machine)


@pytest.mark.parametrize("gates", range(8))
def test_store_that_is_emptied_at_any_step_of_the_worker_that_skips_an_event_claims_none(
    machine: Machine, gates: int
) -> None:
    machine.delete(customer=0)
    machine.event(customer=0, ahead_ms=0)
    machine.pump(number=0, gates=gates)
    machine.flush()
    for _ in range(3):
        machine.made.pass_ms(500)
        machine.step(name=VERIFIERS[0], gates=None)
    machine.check()
    machine.run(steps=4, buys=True)
    end(machine)


def test_decision_that_meets_an_emptied_store_keeps_the_start_of_another_purpose(machine: Machine) -> None:
    def start() -> str | None:
        answer = machine.made.answers(machine.made.master)[SUBJECTS[0], "service"]
        return answer.views["bought"].start  # type: ignore[no-any-return]

    before = start()
    machine.flush()
    machine.decide(api=APIS[0], customer=0, purpose="analytics", kind=OPPOSITE, gates=None)
    machine.run(steps=4, buys=False)
    assert start() == before is not None
    end(machine)


def test_replayed_dead_letter_of_before_a_withdrawal_does_not_count(machine: Machine) -> None:
    machine.event(customer=0, ahead_ms=301_000)
    machine.change_mind_twice(customer=0, purpose="service")
    machine.replay_dead_letters(gates=None)
    end(machine)


def test_old_master_beside_a_verifier_of_its_own_denies_too(machine: Machine) -> None:
    machine.start_second_verifier()
    machine.run(steps=1, buys=False)
    machine.fail_over(left_behind={VERIFIERS[0], APIS[0]}, lagging=False)
    machine.run(steps=4, buys=False)
    machine.decide(api=APIS[0], customer=0, purpose="service", kind=OPPOSITE, gates=None)
    end(machine)
