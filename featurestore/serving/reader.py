"""The read: one round trip to the store, the guard, windows finished at now."""

from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

from featurestore.definitions.service import FeatureService
from featurestore.definitions.view import FeatureView
from featurestore.definitions.windows import window_start_s
from featurestore.identity import partition_of
from featurestore.permission import Denial, PurposePermission
from featurestore.serving import as_of
from featurestore.serving.answer import Answer, Status, ViewAnswer
from featurestore.serving.guard import carries_grant, decide_access
from featurestore.store.protocol import OnlineStore, StoredSubject, Watermark
from featurestore.tiles.record import layout_id_of
from featurestore.tiles.stored_field import field_name
from featurestore.tiles.view_codec import ViewCodec
from featurestore.tiles.view_reader import QueryTooEarly, WindowQuery, open_view

NOT_SERVED = ViewAnswer(Status.WITHHELD, reason=Denial.NOT_SERVED)


class PlannedView(NamedTuple):
    """A view of a service as one purpose reads it. ``slot`` is its place among the fields read; None: not served."""

    view: FeatureView
    codec: ViewCodec
    asked: WindowQuery
    defaults: dict[str, Any]
    slot: int | None
    source: int  # place of its source among the plan's sources


class Plan(NamedTuple):
    """What one (service, purpose, chosen features) asks of the store."""

    fields: list[str]
    sources: list[str]
    views: list[PlannedView]


class FeatureReader:
    """Reads features of subjects for a service and purpose. Keeps no answer and no permission."""

    def __init__(self, store: OnlineStore, partitions: int):
        self.store, self.partitions = store, partitions

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
    ) -> list[Answer]:
        """One answer a subject, in order. ``features`` chooses some of the service's; views without one are left out.

        ``as_of_ms`` asks for the values of an earlier time than now; the permission is judged now all the same. Raises
        AsOfTooEarly if one of them has no exact answer. Without it, a view is stale, with its defaults, while its
        newest event is more than five minutes ahead of now.

        Raises StoreUnavailable within the time-out if no node of the subjects answers; the subjects of one that does
        not are withheld.
        """
        plan = _plan(service, purpose, None if features is None else frozenset(features))
        partitions = [partition_of(subject, self.partitions) for subject in subjects]
        places = {place: i for i, place in enumerate((s, p) for p in dict.fromkeys(partitions) for s in plan.sources)}
        reading = self.store.read(subjects, plan.fields, list(places), timeout_ms)
        at_ms = now_ms if as_of_ms is None else as_of_ms
        at = rfc3339(at_ms)
        answers: list[Answer] = []
        too_early: list[as_of.TooEarlyView] = []
        for stored, partition in zip(reading.subjects, partitions, strict=True):
            fill, found = stored.node
            marks = [found[places[source, partition]] for source in plan.sources]
            grant = decide_access(stored.permission, purpose, vouched=bool(fill), now_ms=now_ms)
            if as_of_ms is not None:
                too_early += _too_early(len(answers), plan, stored, grant, marks, as_of_ms)
            answers.append(_answer(service.name, purpose, at, plan, stored, grant, marks, fill, at_ms))
        if too_early:
            raise as_of.AsOfTooEarly(too_early, answers)
        return answers


def _too_early(
    place: int,
    plan: Plan,
    stored: StoredSubject,
    grant: PurposePermission | Denial,
    marks: Sequence[Watermark | None],
    at_ms: int,
) -> Iterator[as_of.TooEarlyView]:
    """The views of one subject that can't be answered as of a time. What is withheld is so at any time."""
    for view, _, _, _, slot, source in plan.views:
        if slot is not None and isinstance(grant, PurposePermission):
            cause = as_of.too_early_reason(view, stored.fields[slot], grant, marks[source], at_ms)
            if cause is not None:
                yield as_of.TooEarlyView(place, view.name, cause)


def _answer(
    service: str,
    purpose: str,
    at: str,
    plan: Plan,
    stored: StoredSubject,
    grant: PurposePermission | Denial,
    marks: Sequence[Watermark | None],
    fill: str,
    at_ms: int,
) -> Answer:
    features: dict[str, Any] = {}
    views: dict[str, ViewAnswer] = {}
    for planned in plan.views:
        features |= planned.defaults
        if planned.slot is None:
            views[planned.view.name] = NOT_SERVED
        elif isinstance(grant, Denial):
            views[planned.view.name] = ViewAnswer(Status.WITHHELD, reason=grant)
        else:
            raw, mark, served = stored.fields[planned.slot], marks[planned.source], None
            coverage_start_ms = mark.coverage_starts_ms.get(planned.view.fingerprint) if mark else None
            if coverage_start_ms is not None and raw is not None and carries_grant(raw, grant):
                served = open_view(planned.codec, raw, layout_id_of(planned.view.fingerprint, coverage_start_ms))
            worth = _worth(planned.view, served is not None, grant, mark, fill, at_ms)
            if served is not None:
                try:
                    features |= served.values(planned.asked, at_ms)
                except QueryTooEarly as error:
                    worth = ViewAnswer(Status.STALE, worth.start, None, str(error))
            views[planned.view.name] = worth
    return Answer(service, purpose, at, features, views)


def _worth(
    view: FeatureView, present: bool, grant: PurposePermission, mark: Watermark | None, fill: str, at_ms: int
) -> ViewAnswer:
    """A view's status, start and age, from the mark of its subject's partition."""
    coverage_start_ms = mark.coverage_starts_ms.get(view.fingerprint) if mark else None
    if mark is None or coverage_start_ms is None:
        reason = "no worker has folded this view on the subject's partition yet"
        return ViewAnswer(Status.STALE, rfc3339(grant.since_ms), None, reason)
    start_ms = max(coverage_start_ms, grant.since_ms, _window_start_ms(view, at_ms))
    if mark.incarnation != fill:
        return ViewAnswer(
            Status.STALE,
            rfc3339(start_ms),
            None,
            "the store was emptied or restarted; values are being republished to it",
        )
    age_s = max(at_ms - mark.folded_to_ms, 0) / 1000
    if age_s > view.max_age_s:
        return ViewAnswer(Status.STALE, rfc3339(start_ms), age_s, f"older than the view's {view.max_age_s} s")
    return ViewAnswer(Status.PRESENT if present else Status.MISSING, rfc3339(start_ms), age_s)


def _window_start_ms(view: FeatureView, at_ms: int) -> int:
    """The start of the view's longest window; 0 for lifetime."""
    window_s, resolution_s = view.resolutions[-1]
    return 0 if window_s is None else window_start_s(window_s, resolution_s, at_ms // 1000) * 1000


@lru_cache(maxsize=256)  # callers choose the features
def _plan(service: FeatureService, purpose: str, chosen: frozenset[str] | None) -> Plan:
    fields: list[str] = []
    views = []
    sources = service.sources
    for view in service.views:
        features = tuple(feature for feature in view.features if chosen is None or feature.name in chosen)
        if not features:
            continue
        slot = None
        if purpose in view.purposes:
            slot = len(fields)
            fields.append(field_name(view.name, purpose))
        defaults = {feature.name: feature.default for feature in features}
        source = sources.index(view.source.name)
        codec = ViewCodec(view)
        views.append(PlannedView(view, codec, WindowQuery(codec, features), defaults, slot, source))
    return Plan(fields, sources, views)


def rfc3339(time_ms: int) -> str:
    """A time as RFC 3339 in UTC with milliseconds."""
    return f"{_to_the_second(time_ms // 1000)}.{time_ms % 1000:03d}Z"


@lru_cache(maxsize=4_096)  # a read tells several times, most of which were told before
def _to_the_second(time_s: int) -> str:
    return datetime.fromtimestamp(time_s, UTC).isoformat()[: len("2026-11-25T12:00:00")]
