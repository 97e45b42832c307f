"""Oracle: what customers decided and what was acknowledged, which events were recorded, and what may be answered then.

It knows nothing of permissions, tiles or claims. An event's amount is a power of four, so a sum states which events
were counted, and how often. The invariants:

I1  A purpose whose newest decision in effect is a denial or a pause is withheld by every node. A decision is in effect
    when it is answered with 201, when the database says that it was published, and 32 s after it was recorded.
I2  A value counts events of its subject, each once, none from before the grant (or the withdrawal before it).
I3  No event that was recorded and happened at or after the answer's ``start`` is missing, up to the answer's age.
I4  State in a table is deleted only after a denial of its grant was stored.
I5  No grant id is in effect for two grants.
I6  Once nothing is wrong any more, everybody is served who allows it.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from featurestore.permission import Permission
from featurestore.serving.answer import Status, ViewAnswer
from featurestore.tiles.state_record import decode

GIVEN, WITHDRAWN, PAUSED, LIFTED = "given", "withdrawn", "paused", "lifted"
ENDED_BY = {WITHDRAWN: GIVEN, PAUSED: LIFTED}
START_DELAY_MS = 1_000
LONGEST_202_MS = 32_000
"""For so long at most is a decision that was answered with 202 not in effect."""
MAX_AHEAD_MS = 300_000
MAX_EVENTS = 19  # a field takes at most 10 ** 12
Pair = tuple[str, str]
"""Subject and purpose."""


@dataclass
class Act:
    """One decision, in the order of commits. ``effective_ms``: answered with 201, or marked as published."""

    number: int
    kind: str
    at_ms: int
    effective_ms: int | None = None  # None: it is not known to be in effect
    relayed: bool = False  # the relay has handled it, so it stands outside of the database too
    lost: bool = False  # the database does not hold it any more
    forgotten: bool = False  # nothing that is reachable holds it any more: nobody could deny by it
    sequence: int = 0  # 0: not known yet
    granted: bool = False  # it began a grant, as far as is known: a repeat does not

    @property
    def effective(self) -> bool:
        return self.effective_ms is not None

    @property
    def binding(self) -> bool:
        """Whether it must be obeyed."""
        return self.effective and not self.forgotten


@dataclass
class RecordedEvent:
    """One event, and when its client had the broker record it. A replay of its dead letter is no recording."""

    index: int
    subject: str
    time_ms: int
    recorded_ms: list[int]

    def foldable_ms(self) -> list[int]:
        """The recordings that were not quarantined for a time that is too far ahead."""
        return [at_ms for at_ms in self.recorded_ms if self.time_ms - at_ms <= MAX_AHEAD_MS]


@dataclass
class Oracle:
    """``acts`` by subject and purpose."""

    acts: dict[Pair, list[Act]] = field(default_factory=dict)
    events: list[RecordedEvent] = field(default_factory=list)
    numbers: int = 0
    denied_grants: set[tuple[str, str, int]] = field(default_factory=set)
    allowed_grants: set[tuple[str, str, int]] = field(default_factory=set)
    grants: dict[int, list[Act]] = field(default_factory=dict)

    # ------------------------------------------------------------------------------------------------- what happens

    def act(self, subject: str, purpose: str, kind: str, at_ms: int) -> Act:
        self.numbers += 1
        one = Act(self.numbers, kind, at_ms)
        self.acts.setdefault((subject, purpose), []).append(one)
        return one

    def refused(self, subject: str, purpose: str, act: Act) -> None:
        self.acts[subject, purpose].remove(act)

    def granted(self, act: Act, grant_id: int) -> None:
        act.granted = True
        self.grants.setdefault(grant_id, []).append(act)

    def reissued(self, pair: Pair, grant_id: int) -> None:
        """The database gave the newest grant, which may not have been in effect yet, another id."""
        granted = [act for act in self.acts.get(pair, []) if act.granted and not act.lost]
        for act in granted[-1:]:
            if act not in self.grants.get(grant_id, []):
                for acts in self.grants.values():
                    acts[:] = [other for other in acts if other is not act or act.effective]
                self.granted(act, grant_id)

    def in_effect(self, sequences: Collection[int], relayed: Collection[int], now_ms: int) -> None:
        """Changes that the database has marked as published, and of these those that the relay has finished."""
        for acts in self.acts.values():
            for act in acts:
                if not act.lost and act.sequence in sequences and not act.effective:
                    act.effective_ms = now_ms
                act.relayed |= act.sequence in relayed and not act.lost

    def event(self, subject: str, time_ms: int, now_ms: int) -> RecordedEvent:
        one = RecordedEvent(len(self.events), subject, time_ms, [now_ms])
        self.events.append(one)
        return one

    def published(self, subject: str, permission: Permission) -> None:
        """A permission was stored."""
        for purpose in [purpose for other, purpose in self.acts if other == subject]:
            held = permission.purposes.get(purpose)
            kept = held.grant_id if held is not None and (held.allowed or getattr(held, "paused", False)) else None
            if kept is not None:
                self.allowed_grants.add((subject, purpose, kept))
            for s, p, grant_id in list(self.allowed_grants):
                if (s, p) == (subject, purpose) and grant_id != kept:
                    self.denied_grants.add((s, p, grant_id))

    def database_lost(self, last: int) -> None:
        """The database holds no decision after this number any more."""
        for acts in self.acts.values():
            for act in acts:
                act.lost |= act.number > last

    def forget(self, holds: Callable[[Pair, Act], bool]) -> None:
        """Release from denials that the database has lost and that nothing holds any more."""
        for pair, acts in self.acts.items():
            for act in acts:
                if act.kind in ENDED_BY and act.lost and not act.forgotten:
                    act.forgotten = not holds(pair, act)

    # ----------------------------------------------------------------------------------------------- what must hold

    def binding_denials(self, pair: Pair, now_ms: int) -> list[Act]:
        """The withdrawal and the pause that must be obeyed now: in effect, or so old, and not ended by a later one."""
        found = []
        for kind, ended_by in ENDED_BY.items():
            later: list[Act] = []
            for act in self.acts.get(pair, []):
                if act.kind == ended_by:
                    later = []
                elif act.kind == kind and (act.binding or (not act.lost and now_ms > act.at_ms + LONGEST_202_MS)):
                    later.append(act)
            found += later[-1:]
        return found

    def grant_start_ms(self, pair: Pair) -> int | None:
        """Since when events may count: the start of the newest grant; None where there was none."""
        start, in_force = None, False
        for act in self.acts.get(pair, []):
            if act.kind == WITHDRAWN:
                in_force &= not act.binding  # until one is in effect, the old grant holds
            elif act.kind == GIVEN and not in_force:
                start, in_force = act.at_ms + START_DELAY_MS, True
        return start

    def is_allowed(self, pair: Pair) -> bool:
        """Whether the customer allows the purpose now, and the database has lost none of these decisions."""
        acts = self.acts.get(pair, [])
        given = [act for act in acts if act.kind in (GIVEN, WITHDRAWN)]
        pauses = [act.kind for act in acts if act.kind in (PAUSED, LIFTED)]
        lost = any(act.lost for act in acts)
        return not lost and given[-1:] != [] and given[-1].kind == GIVEN and pauses[-1:] in ([], [LIFTED])

    def was_paused(self, pair: Pair, at_ms: int) -> bool:
        """Whether a pause was in effect at a time."""
        paused_ms = None
        for act in self.acts.get(pair, []):
            if act.kind == PAUSED and act.binding and paused_ms is None:
                paused_ms = act.effective_ms
            elif act.kind == LIFTED and paused_ms is not None:
                if paused_ms < at_ms < act.at_ms:
                    return True
                paused_ms = None
        return paused_ms is not None and paused_ms < at_ms

    def check_answer(self, pair: Pair, answer: ViewAnswer, features: Mapping[str, Any], at_ms: int, where: str) -> None:
        subject, purpose = pair
        told = f"{purpose} of {subject[-4:]} at {where}: {answer} {features}"
        for denial in self.binding_denials(pair, at_ms):
            assert answer.status is Status.WITHHELD, f"I1: {denial} is in effect, yet {told}"
        if answer.status is Status.WITHHELD:
            return
        for window in ("1h", "lifetime"):
            count, total = features[f"bought_count_{window}"] or 0, features[f"bought_quantity_sum_{window}"] or 0
            counted = digits(total)
            assert count == sum(counted), f"I2: the count is not the sum's, {told}"
            assert all(times <= 1 for times in counted), f"I2: an event is counted twice, {told}"
            self._check_counted(pair, [i for i, times in enumerate(counted) if times], told)
            if answer.age_s is not None:
                self._check_complete(pair, answer, counted, at_ms, window, told)

    def _check_counted(self, pair: Pair, counted: list[int], told: str) -> None:
        for i in counted:
            event, start_ms = self.events[i], self.grant_start_ms(pair)
            assert event.subject == pair[0], f"I2: {event} is another subject's, {told}"
            assert start_ms is not None, f"I2: {event} is counted without a grant, {told}"
            recorded_ms = [at_ms for at_ms in event.recorded_ms if at_ms >= start_ms]
            assert recorded_ms, f"I2: {event} was recorded before the grant of {start_ms}, {told}"
            paused = all(self.was_paused(pair, at_ms) for at_ms in recorded_ms)
            assert not paused, f"I2: {event} was recorded during a pause, {told}"
            assert event.time_ms >= start_ms, f"I2: {event} happened before the grant of {start_ms}, {told}"

    def _check_complete(
        self, pair: Pair, answer: ViewAnswer, counted: list[int], at_ms: int, window: str, told: str
    ) -> None:
        assert answer.start is not None
        assert answer.age_s is not None
        start_ms = round(datetime.fromisoformat(answer.start).timestamp() * 1000)
        if window == "1h":
            second = at_ms // 1000 - 3600
            start_ms = max(start_ms, (second - second % 60) * 1000)
        folded_to_ms = at_ms - round(answer.age_s * 1000)
        for event in self.events:
            due = min(event.recorded_ms) >= start_ms and any(at_ms < folded_to_ms for at_ms in event.foldable_ms())
            if due and event.subject == pair[0] and event.time_ms >= start_ms:
                assert counted[event.index : event.index + 1] == [1], f"I3: {event} is missing, {told}"

    def check_deletion(self, subject: str, before: bytes | None, after: bytes | None) -> None:
        """State that a table's write deletes was denied, in the store."""
        kept = held_grants(after)
        for purpose, grant_id in held_grants(before) - kept:
            known = (subject, purpose, grant_id) in self.denied_grants
            assert known, f"I4: state of {purpose}, grant {grant_id}, of {subject[-4:]} is deleted, never denied"

    def check_grant_ids(self) -> None:
        for grant_id, acts in self.grants.items():
            in_effect = [act for act in acts if act.effective]
            assert len(in_effect) <= 1, f"I5: grant {grant_id} is in effect for {in_effect}"


def digits(total: int) -> list[int]:
    """How often each event is in a sum, by index."""
    found = []
    while total:
        total, digit = divmod(total, 4)
        found.append(digit)
    return found


def denied(permission: Permission | None, purpose: str) -> bool:
    held = permission.purposes.get(purpose) if permission else None
    return held is not None and not held.allowed


def held_grants(raw: bytes | None) -> set[tuple[str, int]]:
    """Purposes and grant ids of the state in a table's value."""
    views = decode(raw).views.values() if raw else ()
    return {held for stored in views for one in stored for held in one.grant_ids.items()}
