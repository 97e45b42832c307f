"""Start of an export, for a verified request for access or portability."""

import secrets
from datetime import datetime

from django.db import IntegrityError, transaction

from featurestore.requests.actors import Actor
from featurestore.requests.export.errors import ExportNotPossible
from featurestore.requests.export.models import DataExport
from featurestore.requests.export.spool import new_key
from featurestore.requests.export.states import ExportAction
from featurestore.requests.models import RequestType
from featurestore.requests.services.timeline import append_event, begin_work, change_of
from featurestore.requests.states import State

EXPORTED = (RequestType.ACCESS, RequestType.PORTABILITY)


def start(reference: str, actor: Actor, now: datetime | None = None) -> DataExport:
    """Begin to collect what is held about the customer of a request. Raises RequestError."""
    with change_of(reference, now) as change:
        request = change.request
        if request.type not in EXPORTED:
            raise ExportNotPossible("Only a request for access or portability has an export.")
        if request.state not in (State.OPEN, State.IN_PROGRESS) or not request.subject:
            raise ExportNotPossible("The request must be verified, and not answered: nothing is collected before.")
        try:
            with transaction.atomic():
                export = DataExport.objects.create(
                    request=request,
                    name=secrets.token_hex(16),
                    encrypted_key=new_key(),
                    created_at=change.at,
                    changed_at=change.at,
                    next_attempt_at=change.at,
                    prepared_by=actor.name[:150],
                )
        except IntegrityError:
            raise ExportNotPossible("The request has an export that has not ended: cancel it first.") from None
        request.changed_at = change.at
        begin_work(request)
        append_event(request, ExportAction.START, actor, detail={"export": export.pk})
    return export
