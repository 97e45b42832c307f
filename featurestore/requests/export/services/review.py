"""Review of what was collected: redaction by rule (a field, a category) and by hand (an item), each with a reason."""

from datetime import datetime

from django.db import IntegrityError, transaction

from featurestore.requests.actors import Actor
from featurestore.requests.export.errors import WrongRedaction
from featurestore.requests.export.models import DataExport, ExportCategory, Redaction
from featurestore.requests.export.redactions import ORIGIN
from featurestore.requests.export.services.changes import export_change
from featurestore.requests.export.states import ExportAction
from featurestore.requests.services.timeline import check_text, required

MAX_REDACTIONS = 2000
WHY = "why it is withheld"


def redact_field(
    export_pk: int, category: str, field: str, actor: Actor, reason: str, now: datetime | None = None
) -> Redaction:
    """Withhold a field of every item of a category; with an empty field, the whole category. Raises RequestError."""
    return _redact(export_pk, category, field, None, actor, reason, now)


def redact_item(
    export_pk: int, category: str, item: int, actor: Actor, reason: str, field: str = "", now: datetime | None = None
) -> Redaction:
    """Withhold one item, by its number in its category, or one of its fields. Raises RequestError."""
    return _redact(export_pk, category, field, item, actor, reason, now)


def keep(redaction_pk: int, actor: Actor, reason: str, now: datetime | None = None) -> None:
    """End a redaction: the package has the data after all. Raises RequestError."""
    why = required(reason, "why it is not withheld")
    found = Redaction.objects.filter(pk=redaction_pk).select_related("category").first()
    if found is None:
        raise WrongRedaction("No such redaction.")
    detail = {"category": found.category.name, "field": found.field, "item": found.item}
    with export_change(found.export_id, ExportAction.KEEP, actor, why, now, **detail):
        found.delete()


def _redact(
    export_pk: int,
    category: str,
    field: str,
    item: int | None,
    actor: Actor,
    reason: str,
    now: datetime | None,
) -> Redaction:
    why = required(reason, WHY)
    check_text(why)
    detail = {"category": category[:100], "field": field[:200], "item": item}
    with export_change(export_pk, ExportAction.REDACT, actor, why, now, **detail) as export:
        row = _category(export, category)
        if field and field not in row.fields and field != ORIGIN:
            raise WrongRedaction("The category has no such field.")
        if item is not None and not 0 <= item < row.items:
            raise WrongRedaction("The category has no item of this number.")
        if export.redactions.count() >= MAX_REDACTIONS:
            raise WrongRedaction(f"An export has at most {MAX_REDACTIONS} redactions: withhold a field or a category.")
        try:
            with transaction.atomic():
                return Redaction.objects.create(
                    export=export,
                    category=row,
                    field=field,
                    item=item,
                    reason=why,
                    redacted_by=actor.name[:150],
                    redacted_at=export.changed_at,
                )
        except IntegrityError:
            raise WrongRedaction("It is withheld already.") from None


def _category(export: DataExport, name: str) -> ExportCategory:
    found = export.categories.filter(name=name).first()
    if found is None:
        raise WrongRedaction("The export has no such category.")
    return found
