"""Denials that a database lost, of one subject: from what it lost, and from what it knows. Pure.

A denial is a refusal (withdrawn, objected, expired) or a pause. For each purpose:

- A refusal that the lost history ends with is taken over. So is one that the customer took back later in that history,
  if the database still allows the grant that it ended: values from before it must not come back. What the customer
  allowed in the lost history is not taken over: it has to be asked for again.
- An expiry is no decision, but it may hide one: the newest lost decision before it is taken over too, for its place in
  the order of decisions. An older consent that arrives late must not overtake it.
- A purpose that the lost history ends without was erased with its customer: it is refused.
- A pause that the lost history ends with is taken over.
- A decision of the database that was made later is newer, and stays. If it only repeated a grant that the lost history
  had ended, the grant gets a new id. An expiry is no decision: it ends the grant that it ended, and no newer one.
- Of a grant that both know, the later start and the earlier end count. If its id may have been issued twice, and the
  starts differ, it gets a new id.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from featurestore.consent.decision_order import ORDERED, Rank, rank_of
from featurestore.consent.journal.records import Evidence, JournaledState, JournalRecord
from featurestore.consent.permission_derivation import ConsentState, Decision

REFUSALS = (Decision.WITHDRAWN, Decision.EXPIRED)


class KnownState(NamedTuple):
    """What the database knows of a purpose: its state, when the newest decision was made, and a pause recorded last."""

    state: ConsentState
    decided_ms: int = 0
    paused_ms: int = 0  # or its end


class LostDenial(NamedTuple):
    """A refusal or a pause that the database lost. Without evidence it is known from the store or a later record.

    ``newest``: of an expiry, the newest lost decision about the purpose.
    """

    purpose: str
    paused: bool  # else refused
    recorded_ms: int
    since_ms: int
    evidence: Evidence | None = None
    newest: Evidence | None = None

    @property
    def decision(self) -> Decision:
        without = Decision.PAUSED if self.paused else Decision.WITHDRAWN
        return Decision(self.evidence.decision) if self.evidence else without

    @property
    def decided_ms(self) -> int:
        """When it was decided; without evidence, the latest time at which it may have been."""
        return self.evidence.decided_ms if self.evidence else self.recorded_ms


class LostChanges(NamedTuple):
    """What one subject lost: denials; purposes whose grant gets a new id; later starts and earlier ends, by purpose."""

    denials: list[LostDenial]
    renewed: list[str]
    narrowed: dict[str, ConsentState]


def lost_changes(
    history: Sequence[JournalRecord], known: Mapping[str, KnownState], first_lost: int, shared: int | None = None
) -> LostChanges:
    """What a subject lost. ``history``: the lost records since its last erasure, in order.

    ``first_lost``: the first sequence that was found lost; a grant with a lower id counts as allowed before the loss.
    ``shared``: the last sequence that was not lost for certain, if it may be lower than the one before ``first_lost``:
    the ids of grants between may be issued twice.
    """
    shared = first_lost - 1 if shared is None else shared
    found = LostChanges([], [], {})
    gone = (
        {name for name, ours in known.items() if ours.state.allowed and name not in history[-1].states}
        if history
        else set()
    )
    for purpose in sorted({name for record in history for name in _purposes_of(record)} | gone):
        ours = known.get(purpose)
        states = [record.states[purpose] for record in history if purpose in record.states]
        final = states[-1] if states else None
        refusal, pause = _last_refusal(history, purpose), _last_pause(history, purpose)
        allows_old = ours is not None and ours.state.allowed and ours.state.grant_id < first_lost
        is_gone = purpose in gone or (final is not None and ours is not None and final.grant_id != ours.state.grant_id)
        if refusal is None and allows_old and is_gone:
            refusal = LostDenial(purpose, False, history[-1].at_ms, history[-1].at_ms)  # it ended, nobody knows how
        if refusal and (allows_old or not (final and final.allowed)):
            if _holds(refusal, ours, allows_old):
                if refusal.evidence or ours is None or ours.state.allowed:
                    found.denials.append(refusal)
            elif allows_old:
                found.renewed.append(purpose)
        elif allows_old and ours and final and _may_be_another(ours.state, final, shared):
            found.renewed.append(purpose)
        elif allows_old and ours and final:
            narrowed = _narrowed(ours, final, history[-1].at_ms)
            if narrowed != ours.state:
                found.narrowed[purpose] = narrowed
        if pause and not (ours and (ours.state.paused or ours.paused_ms > pause.recorded_ms)):
            found.denials.append(pause)
    return found


def _holds(refusal: LostDenial, ours: KnownState | None, allows_old: bool) -> bool:
    """Whether a lost refusal is newer than what the database knows; at equal times the refusal wins."""
    if ours is None:
        return True
    if refusal.newest and ours.decided_ms <= refusal.newest.decided_ms:
        return True
    if refusal.decision is Decision.EXPIRED and ours.state.allowed and not allows_old:
        return False
    return ours.decided_ms <= refusal.decided_ms


def _purposes_of(record: JournalRecord) -> set[str]:
    return {*record.states, *(evidence.purpose for evidence in record.evidence)}


def _last_refusal(history: Sequence[JournalRecord], purpose: str) -> LostDenial | None:
    """The last refusal, by its evidence if there is any."""
    found: LostDenial | None = None
    ended_ms = 0
    for record in history:
        state = record.states.get(purpose)
        decided = [e for e in record.evidence if e.purpose == purpose and e.decision in REFUSALS and not e.superseded]
        if decided:
            found = LostDenial(purpose, False, decided[-1].at_ms, decided[-1].since_ms, decided[-1])
            ended_ms = max(ended_ms, state.ended_ms if state else 0)
        elif state and not state.allowed and state.ended_ms > ended_ms:
            found, ended_ms = LostDenial(purpose, False, record.at_ms, state.ended_ms), state.ended_ms
    if found and found.decision is Decision.EXPIRED:
        found = found._replace(newest=_newest_decision(history, purpose))
    return found


def _newest_decision(history: Sequence[JournalRecord], purpose: str) -> Evidence | None:
    decisions = (one for record in history for one in record.evidence if one.purpose == purpose)
    ordered = (one for one in decisions if Decision(one.decision) in ORDERED)
    return max(ordered, key=rank_of_evidence, default=None)


def rank_of_evidence(evidence: Evidence) -> Rank:
    """The place of a journaled decision among those about its purpose."""
    return rank_of(Decision(evidence.decision), evidence.decided_ms, evidence.until_ms)


def _last_pause(history: Sequence[JournalRecord], purpose: str) -> LostDenial | None:
    """The pause that the history ends with."""
    found: LostDenial | None = None
    for record in history:
        state = record.states.get(purpose)
        if state and not state.paused:
            found = None
        elif state and found is None:
            found = LostDenial(purpose, True, record.at_ms, record.at_ms)
        for evidence in record.evidence:
            if evidence.purpose == purpose and evidence.decision == Decision.PAUSED and state and state.paused:
                found = LostDenial(purpose, True, evidence.at_ms, evidence.since_ms, evidence)
    return found


def _may_be_another(ours: ConsentState, lost: JournaledState, shared: int) -> bool:
    """Whether two grants of one id may be different ones."""
    return lost.allowed and lost.grant_id == ours.grant_id > shared and lost.since_ms != ours.since_ms


def _narrowed(ours: KnownState, lost: JournaledState, lost_ms: int) -> ConsentState:
    """Our grant with the later start and, unless it was decided on later, the earlier end of both."""
    state = ours.state
    if not lost.allowed or lost.grant_id != state.grant_id:
        return state
    ends = [end for end in (state.until_ms, lost.until_ms) if end]
    return state._replace(
        since_ms=max(state.since_ms, lost.since_ms),
        complete_from_ms=max(state.complete_from_ms, lost.complete_from_ms),
        until_ms=state.until_ms if ours.decided_ms > lost_ms else min(ends, default=0),
    )
