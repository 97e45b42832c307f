"""The feature read: 1. plan, 2. one round trip to the store, 3. the guard, 4. windows finished at the time of the read.

The plan names the fields (VIEW/PURPOSE) and the sources whose watermarks are read; it is the same for every subject.
"""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from struct import error as StructError  # noqa: N812 it is a class
from typing import Any, NamedTuple

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from featurestore.definitions.service import FeatureService
from featurestore.definitions.view import FeatureView
from featurestore.definitions.windows import window_start_s
from featurestore.identity import partition_of
from featurestore.permission import Denial, PurposePermission
from featurestore.serving import as_of
from featurestore.serving.answer import EVICTED, Answer, Status, ViewAnswer
from featurestore.serving.guard import carries_grant, decide_access
from featurestore.store.metrics import DAMAGED
from featurestore.store.protocol import OnlineStore, StoredSubject, Watermark
from featurestore.tiles.layout_id import layout_id_of
from featurestore.tiles.stored_field import field_name, unchecked_s_of
from featurestore.tiles.view_codec import ViewCodec
from featurestore.tiles.view_reader import ReaderClockBehind, ViewReader, WindowQuery, open_view

MAX_AHEAD_MS = 2_000
"""So far ahead of now a watermark may be: twice what a stream worker tolerates between its clock and the brokers'."""
AHEAD = "of unknown age: this server's clock is behind, or a stream worker's is ahead"
UNREPORTED = "the store has no report of a stream worker about this view and the customer's partition"
REPUBLISHING = "the store's permissions were published anew; its values are being pushed to it again"
RECREATED = "the store had no permission of this customer for a while; the values are being pushed to it again"
UNREADABLE = "the stored values can't be read: another program wrote to the store"
UNREADABLE_ERRORS = (StructError, ValueError, IndexError, OverflowError)  # of values that no worker wrote
CUT = "more values than a view keeps: earlier events are not in every window"


class PlannedView(NamedTuple):
    """View of a service as one purpose reads it."""

    view: FeatureView
    codec: ViewCodec
    query: WindowQuery
    defaults: dict[str, Any]  # where nothing was counted
    unknown: dict[str, Any]  # where nothing is known: null, or the defaults if the read asks for them
    field_index: int | None  # in the plan's fields; None: the view does not serve the purpose
    source_index: int  # in the plan's sources


class Plan(NamedTuple):
    """Fields and sources that a read of one (service, purpose, chosen features) needs, and its views."""

    fields: list[str]
    sources: list[str]
    views: list[PlannedView]
    mark: bool | UnsetType  # ``defaults`` of a view of which nothing is known
    not_served: ViewAnswer  # of each view that does not serve the purpose


class ReadTooSlow(RuntimeError):
    """Read of several subjects whose values take longer than the time-out: ask for fewer at a time."""


class FeatureReader:
    """Reader of subjects' features for a service and purpose. Keeps no answer and no permission."""

    def __init__(self, store: OnlineStore, partitions: int, clock: Callable[[], float] = time.monotonic):
        self.store, self.partitions, self.clock = store, partitions, clock

    def read(
        self,
        service: FeatureService,
        purpose: str,
        subjects: Sequence[str],
        *,
        now_ms: int,
        timeout_ms: int,
        features: Collection[str] | None = None,
        as_of_ms: int | None = None,
        with_defaults: bool = False,
    ) -> list[Answer]:
        """One answer a subject, in order. ``features`` chooses some of the service's; views without one are left out.

        The features of a view that is withheld, or stale without a value, are null; ``with_defaults``: their declared
        defaults, and the view is marked.

        With ``as_of_ms`` the values are those of an earlier time; the permission is judged now all the same. Raises
        AsOfTooEarly if a view has no exact answer. Without it, a view is stale, without a value, while its newest
        counted event is more than MAX_CLOCK_SKEW_S ahead of now.

        Raises StoreUnavailable within the time-out if no node of the subjects answers; the subjects of one that does
        not are withheld. Raises ReadTooSlow if the time-out is over before the values of the last subject are computed.
        """
        deadline = self.clock() + timeout_ms / 1000
        plan = _plan(service, purpose, None if features is None else frozenset(features), with_defaults)
        partitions = [partition_of(subject, self.partitions) for subject in subjects]
        indexes = {key: i for i, key in enumerate((s, p) for p in dict.fromkeys(partitions) for s in plan.sources)}
        result = self.store.read(subjects, plan.fields, list(indexes), timeout_ms)
        at_ms = now_ms if as_of_ms is None else as_of_ms
        at = rfc3339(at_ms)
        answers: list[Answer] = []
        too_early: list[as_of.TooEarlyView] = []
        for stored, partition in zip(result.subjects, partitions, strict=True):
            if answers and self.clock() > deadline:
                raise ReadTooSlow(f"{len(answers)} of {len(subjects)} subjects computed within {timeout_ms} ms")
            incarnation, found = stored.node
            watermarks = [found[indexes[source, partition]] for source in plan.sources]
            access = decide_access(stored.permission, purpose, vouched=bool(incarnation), now_ms=now_ms)
            if as_of_ms is not None:
                too_early += _too_early(len(answers), plan, stored, access, watermarks, as_of_ms)
            answers.append(_answer(service.name, purpose, at, plan, stored, access, watermarks, at_ms, now_ms))
        if too_early:
            raise as_of.AsOfTooEarly(too_early, answers)
        return answers


def _too_early(
    subject_index: int,
    plan: Plan,
    stored: StoredSubject,
    access: PurposePermission | Denial,
    watermarks: Sequence[Watermark | None],
    at_ms: int,
) -> Iterator[as_of.TooEarlyView]:
    """The views of one subject without an exact answer as of a time. A withheld view has one: it is withheld."""
    for planned in plan.views:
        if planned.field_index is not None and isinstance(access, PurposePermission):
            raw, watermark = stored.fields[planned.field_index], watermarks[planned.source_index]
            reason = as_of.too_early_reason(planned.view, raw, access, watermark, at_ms)
            if reason is not None:
                yield as_of.TooEarlyView(subject_index, planned.view.name, reason)


def _answer(
    service: str,
    purpose: str,
    at: str,
    plan: Plan,
    stored: StoredSubject,
    access: PurposePermission | Denial,
    watermarks: Sequence[Watermark | None],
    at_ms: int,
    now_ms: int,
) -> Answer:
    features: dict[str, Any] = {}
    views: dict[str, ViewAnswer] = {}
    for planned in plan.views:
        features |= planned.unknown
        if planned.field_index is None:
            views[planned.view.name] = plan.not_served
        elif isinstance(access, Denial):
            views[planned.view.name] = ViewAnswer(Status.WITHHELD, reason=access, defaults=plan.mark)
        else:
            raw, watermark, opened = stored.fields[planned.field_index], watermarks[planned.source_index], None
            start_ms = watermark.coverage_starts_ms.get(planned.view.fingerprint) if watermark else None
            is_damaged = False
            try:
                if start_ms is not None and raw is not None and carries_grant(raw, access):
                    opened = open_view(planned.codec, raw, layout_id_of(planned.view.fingerprint, start_ms))
            except UNREADABLE_ERRORS:
                is_damaged = True
            answer = _status(planned.view, opened is not None, access, watermark, stored, at_ms, now_ms)
            if opened is not None:
                try:
                    features |= opened.values(planned.query, at_ms)
                except ReaderClockBehind as error:
                    answer = ViewAnswer(Status.STALE, answer.start, None, str(error), plan.mark)
                except UNREADABLE_ERRORS:
                    is_damaged = True
                assert raw is not None
                if not is_damaged and (opened.cuts or unchecked_s_of(raw)):
                    answer = _qualified(answer, planned.view, opened, unchecked_s_of(raw), at_ms)
            elif answer.status is Status.MISSING and not is_damaged:
                features |= planned.defaults
            else:
                answer = replace(answer, defaults=plan.mark)
            if is_damaged:
                DAMAGED.labels("values").inc()
                answer = ViewAnswer(Status.STALE, answer.start, None, UNREADABLE, plan.mark)
            views[planned.view.name] = answer
    return Answer(service, purpose, at, features, views)


def _qualified(answer: ViewAnswer, view: FeatureView, opened: ViewReader, unchecked_s: int, at_ms: int) -> ViewAnswer:
    """The answer with what its values lack: events before a cut, or a check for duplicates."""
    since_s = opened.complete_since_s(at_ms // 1000)
    if since_s and (start := rfc3339(since_s * 1000)) > (answer.start or ""):
        answer = replace(answer, start=start, reason=answer.reason or CUT)
    if unchecked_s * 1000 >= max(_window_start_ms(view, at_ms), 1):
        answer = replace(answer, unchecked_until=rfc3339((unchecked_s + 1) * 1000))
    return answer


def _status(
    view: FeatureView,
    present: bool,
    permission: PurposePermission,
    watermark: Watermark | None,
    stored: StoredSubject,
    at_ms: int,
    now_ms: int,
) -> ViewAnswer:
    """A view's status, start and age, by the watermark of its subject's partition."""
    coverage_start_ms = watermark.coverage_starts_ms.get(view.fingerprint) if watermark else None
    if watermark is None or coverage_start_ms is None:
        return ViewAnswer(Status.STALE, rfc3339(permission.start_ms), None, UNREPORTED)
    start = rfc3339(max(coverage_start_ms, permission.start_ms, _window_start_ms(view, at_ms)))
    if watermark.incarnation != stored.node.incarnation:
        return ViewAnswer(Status.STALE, start, None, REPUBLISHING)
    if stored.recreation_mark is not None:
        return ViewAnswer(Status.STALE, start, None, EVICTED if stored.is_evicted else RECREATED)
    if watermark.folded_to_ms > now_ms + MAX_AHEAD_MS:
        return ViewAnswer(Status.STALE, start, None, AHEAD)
    age_s = max(at_ms - watermark.folded_to_ms, 0) / 1000
    if age_s > view.max_age_s:
        return ViewAnswer(Status.STALE, start, age_s, f"older than the view's {view.max_age_s} s")
    return ViewAnswer(Status.PRESENT if present else Status.MISSING, start, age_s)


def _window_start_ms(view: FeatureView, at_ms: int) -> int:
    """The start of the view's longest window; 0 for lifetime."""
    window_s, resolution_s = view.resolutions[-1]
    return 0 if window_s is None else window_start_s(window_s, resolution_s, at_ms // 1000) * 1000


@lru_cache(maxsize=256)  # callers choose the features
def _plan(service: FeatureService, purpose: str, chosen: frozenset[str] | None, with_defaults: bool) -> Plan:
    fields: list[str] = []
    views = []
    sources = service.sources
    for view in service.views:
        features = tuple(feature for feature in view.features if chosen is None or feature.name in chosen)
        if not features:
            continue
        field_index = None
        if purpose in view.purposes:
            field_index = len(fields)
            fields.append(field_name(view.name, purpose))
        defaults = {feature.name: feature.default for feature in features}
        unknown = defaults if with_defaults else dict.fromkeys(defaults)
        codec = ViewCodec(view)
        query, source_index = WindowQuery(codec, features), sources.index(view.source.name)
        views.append(PlannedView(view, codec, query, defaults, unknown, field_index, source_index))
    mark = True if with_defaults else UNSET
    not_served = ViewAnswer(Status.WITHHELD, reason=Denial.NOT_SERVED, defaults=mark)
    return Plan(fields, sources, views, mark, not_served)


def rfc3339(time_ms: int) -> str:
    """A time as RFC 3339 in UTC with milliseconds."""
    return f"{_to_the_second(time_ms // 1000)}.{time_ms % 1000:03d}Z"


@lru_cache(maxsize=4_096)  # an answer has several times, most of them of earlier answers
def _to_the_second(time_s: int) -> str:
    return datetime.fromtimestamp(time_s, UTC).isoformat()[: len("2026-11-25T12:00:00")]
