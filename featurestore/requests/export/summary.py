"""Summary: the page of a package that a person reads and prints, in the language of the request."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.template.loader import render_to_string

from featurestore.consent.permission_derivation import Decision
from featurestore.customers.selectors import person_of
from featurestore.requests.export.models import DataExport, ExportCategory
from featurestore.requests.export.overview import MOST, KeptData, PurposeUse, overview_of
from featurestore.requests.export.redactions import redactions_of
from featurestore.requests.export.summary_texts import TEXTS

DAY = "%Y-%m-%d"
MINUTE = "%Y-%m-%d %H:%M"


def summary_page(export: DataExport, categories: list[ExportCategory], names: Sequence[str], at: datetime) -> str:
    """The page as HTML, complete in itself: it loads nothing. ``names``: the files of the categories."""
    request = export.request
    texts, overview = TEXTS[request.language], overview_of(person_of(request.customer_id), categories)
    filled = texts | {
        "intro": texts["intro"].format(reference=request.reference, at=_time(at, MINUTE)),
        "more": texts["more"].format(number=MOST),
        "recipients_text": texts["recipients_text"].format(days=overview.access_record_days),
    }
    rows = [_category(row, name, texts) for row, name in zip(categories, names, strict=True)]
    return render_to_string(
        "exports/summary.html",
        {
            "language": request.language,
            "texts": filled,
            "categories": rows,
            "some_withheld": any(row["withheld"] for row in rows),
            "purposes": [_purpose(one, texts) for one in overview.purposes],
            "choices": [
                one._asdict() | {"at": _time(one.at, MINUTE), "decision": _decision(one.decision, texts)}
                for one in overview.choices
            ],
            "more_choices": overview.more_choices,
            "recipients": [
                one._asdict() | {"first": _time(one.first, DAY), "last": _time(one.last, DAY)}
                for one in overview.recipients
            ],
            "kept": [_kept(one, texts) for one in overview.kept],
        },
    )


def _category(row: ExportCategory, name: str, texts: dict[str, str]) -> dict[str, Any]:
    return {
        "name": row.name,
        "file": f"data/{name}.jsonl",
        "items": row.items,
        "first": _time(row.first_at, DAY),
        "last": _time(row.last_at, DAY),
        "origins": [] if "origin" in redactions_of(row).fields else sorted(row.origins),
        "withheld": _withheld(row, texts),
    }


def _withheld(row: ExportCategory, texts: dict[str, str]) -> str:
    found, said = redactions_of(row), list[str]()
    if found.everything:
        return texts["withheld_all"]
    if fields := sorted(found.fields.union(*found.item_fields.values())):
        said.append(texts["withheld_fields"].format(fields=", ".join(fields)))
    if found.items:
        said.append(texts["withheld_items"].format(number=len(found.items)))
    return "; ".join(said)


def _purpose(one: PurposeUse, texts: dict[str, str]) -> dict[str, Any]:
    state = "paused" if one.paused else "allowed" if one.allowed else "refused"
    return {
        "title": one.title,
        "description": one.description,
        "basis": texts[one.basis],
        "state": texts[state],
        "since": _time(one.since, DAY) if one.allowed else "",
        "until": _time(one.until, DAY) if one.allowed else "",
    }


def _decision(decision: str, texts: dict[str, str]) -> str:
    return texts["decision_paused" if decision == Decision.PAUSED else decision]


def _kept(one: KeptData, texts: dict[str, str]) -> dict[str, str]:
    days = math.ceil(one.gone_within / timedelta(days=1))
    gone = texts["days"].format(number=days) if days else texts["at_once"]
    return {"title": one.title, "holds": one.holds, "ends": one.ends, "gone": gone}


def _time(at: datetime | None, shape: str) -> str:
    return at.astimezone(UTC).strftime(shape) if at else ""
