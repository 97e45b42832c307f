"""Compatibility of /v1 with the committed OpenAPI document, and detection of each breaking change."""

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from adminsite.management.commands import openapi
from adminsite.management.commands.openapi import ACCEPTED, promised
from featurestore.api.compatibility import breaking

Document = dict[str, Any]


@pytest.fixture
def before() -> Document:
    return json.loads(ACCEPTED.read_text())


def test_no_change_breaks_clients_of_the_committed_document(before: Document) -> None:
    assert breaking(before, promised()) == [], "see docs/versioning.md"


def test_committed_document_is_current(before: Document) -> None:
    assert before == promised(), "run `manage.py openapi --accept`"


def schema(document: Document, name: str) -> Document:
    return document["components"]["schemas"][name]


def field(document: Document, name: str, field: str) -> Document:
    return schema(document, name)["properties"][field]


def read_operation(document: Document) -> Document:
    return document["paths"]["/v1/features"]["post"]


Change = Callable[[Document], object]
BREAKING: dict[str, Change] = {
    "GET /v1/services: was removed": lambda d: d["paths"].pop("/v1/services"),
    "POST /v1/features: operationId was readFeatures": lambda d: read_operation(d).update(operationId="read"),
    "POST /v1/features: 422 was removed": lambda d: read_operation(d)["responses"].pop("422"),
    "POST /v1/features: 200: application/json was removed": lambda d: read_operation(d)["responses"]["200"][
        "content"
    ].pop("application/json"),
    "POST /v1/features: as_of was removed": lambda d: schema(d, "FeatureRequest")["properties"].pop("as_of"),
    "POST /v1/features: as_of is now required": lambda d: schema(d, "FeatureRequest")["required"].append("as_of"),
    "POST /v1/features: customer_id: type was string, is integer, number": lambda d: field(
        d, "FeatureRequest", "customer_id"
    ).update(type="number"),
    "POST /v1/features: customer_id: maxLength is now 99": lambda d: field(d, "FeatureRequest", "customer_id").update(
        maxLength=99
    ),
    "POST /v1/features/batch: customer_ids: minItems is now 2": lambda d: field(
        d, "BatchRequest", "customer_ids"
    ).update(minItems=2),
    "POST /v1/customers: brand: pattern is now ^a$": lambda d: field(d, "CustomerRequest", "brand").update(
        pattern="^a$"
    ),
    "POST /v1/consents: method: values are fewer": lambda d: field(d, "ConsentRequest", "method")["enum"].pop(),
    "POST /v1/features: 200: views was removed": lambda d: schema(d, "Answer")["properties"].pop("views"),
    "POST /v1/features: 200: views is now optional": lambda d: schema(d, "Answer")["required"].remove("views"),
    "POST /v1/features: 200: at: type was string, is null or string": lambda d: field(d, "Answer", "at").update(
        type=["string", "null"]
    ),
    "POST /v1/features: 200: views[]: status: values are more": lambda d: schema(d, "Status")["enum"].append("odd"),
    "POST /v1/features/batch: 200: results[]: at was removed": lambda d: schema(d, "Answer")["properties"].pop("at"),
    "POST /v1/events: events[]: data: author: values are fewer": lambda d: field(d, "Message", "author")["enum"].pop(),
    "GET /v1/services: now needs a body": lambda d: d["paths"]["/v1/services"]["get"].update(
        requestBody=read_operation(d)["requestBody"]
    ),
}


@pytest.mark.parametrize("change", BREAKING)
def test_breaking_change_is_detected(before: Document, change: str) -> None:
    after = deepcopy(before)
    BREAKING[change](after)
    assert change.replace("integer, number", "integer or number") in breaking(before, after)


ADDITIONS: dict[str, Change] = {
    "an address": lambda d: d["paths"].update({"/v1/more": {"post": read_operation(d)}}),
    "a status": lambda d: read_operation(d)["responses"].update({"429": read_operation(d)["responses"]["503"]}),
    "an optional field": lambda d: schema(d, "FeatureRequest")["properties"].update(more={"type": "string"}),
    "a field of an answer": lambda d: schema(d, "Answer")["properties"].update(more={"type": "string"}),
    "a value that may be sent": lambda d: field(d, "ConsentRequest", "method")["enum"].append("fax"),
    "a wider limit": lambda d: field(d, "FeatureRequest", "customer_id").update(maxLength=1000),
    "a field that is always there": lambda d: schema(d, "ViewAnswer")["required"].append("age_s"),
    "another description": lambda d: field(d, "FeatureRequest", "as_of").update(description="When."),
}


@pytest.mark.parametrize("addition", ADDITIONS)
def test_addition_is_compatible(before: Document, addition: str) -> None:
    after = deepcopy(before)
    ADDITIONS[addition](after)
    assert before != after
    assert breaking(before, after) == []


def test_accept_writes_additions_and_refuses_breaking_changes(
    before: Document, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "openapi.json"
    monkeypatch.setattr(openapi, "ACCEPTED", copy)
    monkeypatch.setattr(openapi, "ROOT", tmp_path)
    less = deepcopy(before)
    schema(less, "Answer")["properties"].pop("views")
    schema(less, "Answer")["required"].remove("views")
    copy.write_text(json.dumps(less))
    call_command("openapi", "--accept")
    assert json.loads(copy.read_text()) == before
    more = deepcopy(before)
    more["paths"]["/v1/gone"] = {"post": read_operation(more)}
    copy.write_text(json.dumps(more))
    with pytest.raises(CommandError, match="POST /v1/gone: was removed"):
        call_command("openapi", "--accept")
    assert json.loads(copy.read_text()) == more
