"""The one way to take an action on an export: request and export are locked, and the timeline gets an event."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from featurestore.requests.actors import Actor
from featurestore.requests.export.errors import ExportNotPossible
from featurestore.requests.export.models import DataExport
from featurestore.requests.export.states import ExportAction, ExportState, after, possible
from featurestore.requests.services.timeline import append_event, change_of


@contextmanager
def export_change(
    pk: int, action: ExportAction, actor: Actor, reason: str = "", now: datetime | None = None, **detail: Any
) -> Iterator[DataExport]:
    """The export, locked: the block checks and changes it; then it is saved in its next state, with the event.

    Its ``changed_at`` is the time of the action. Raises ExportNotPossible.
    """
    reference = DataExport.objects.filter(pk=pk).values_list("request__reference", flat=True).first()
    if reference is None:
        raise ExportNotPossible("No such export.")
    with change_of(reference, now) as change:
        export = DataExport.objects.select_for_update().get(pk=pk)
        if not possible(ExportState(export.state), action):
            raise ExportNotPossible(f"The export is {export.get_state_display().lower()}: this can't be done now.")
        export.changed_at = change.at = max(export.changed_at, change.at)
        yield export
        export.state = after(ExportState(export.state), action)
        export.save()
        change.request.changed_at = change.at
        append_event(change.request, action, actor, reason, {"export": pk, **detail})
