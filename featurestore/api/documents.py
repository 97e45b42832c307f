"""The OpenAPI document: schemas of the structs that decode and encode, examples that tests execute."""

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from featurestore.access.scopes import PURPOSE, SCOPE_DESCRIPTIONS
from featurestore.api.errors import PROBLEM_JSON, Internal, Problem, ProblemDocument, TooManyRequests
from featurestore.api.examples import QUERY, Example
from featurestore.api.reply import JSON
from featurestore.definitions import FeatureService
from featurestore.definitions.description import features_schema
from featurestore.installed_catalog import catalog

REF = "#/components/schemas/{name}"
SECURITY: list[dict[str, list[str]]] = [{"key": []}, {"token": []}]
SECURITY_SCHEMES = {
    "key": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key, `rap_ID_SECRET`, bound to services, purposes and scopes. Shown once, when created.",
    },
    "token": {
        "type": "oauth2",
        "description": "An access token, valid for minutes. A scope names actions and purposes; without one the token "
        "has all that the client may. `POST /oauth/revoke` revokes a token (RFC 7009).",
        "flows": {
            "clientCredentials": {
                "tokenUrl": "/oauth/token",
                "scopes": SCOPE_DESCRIPTIONS
                | {f"{PURPOSE}{purpose.name}": purpose.title for purpose in catalog().purposes},
            }
        },
    },
}
REQUEST_ID = {
    "in": "header",
    "name": "X-Request-Id",
    "required": False,
    "description": "Your own id of this request, 8 to 64 letters, digits, - and _. Any other is replaced.",
    "schema": {"type": "string"},
}
TRACEPARENT = {
    "in": "header",
    "name": "traceparent",
    "required": False,
    "description": "Your trace (W3C Trace Context). A malformed one is ignored: a new trace begins.",
    "schema": {"type": "string"},
}
ABOUT = """Fresh, exact features of one customer in one round trip, and only with that customer's consent.

Errors are problem documents (RFC 9457): `type` is stable, `detail` states what to change, `instance` names this
occurrence. Every answer has an `X-Request-Id`, by which its line in the logs is found. You may send your own: 8 to 64
letters, digits, `-` and `_`, nothing that identifies a customer.
"""

OF_THIS_CATALOG = QUERY["service"] in catalog().registry.services
"""Whether the catalog has what the examples' requests name: a team's own has not, as a rule."""

_documented: set[type] = {ProblemDocument}


def operation(
    examples: Sequence[Example],
    answers: dict[int, type[msgspec.Struct]],
    problems: Sequence[type[Problem]],
    request: type[msgspec.Struct] | None = None,
    headers: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    """The OpenAPI entries of an operation: bodies, answers and their examples; ``headers`` of its own.

    Examples whose request names another catalog's services, sources and purposes are left out.
    """
    statuses_of_examples = {example.status for example in examples}
    examples = [example for example in examples if OF_THIS_CATALOG or example.request is None]
    _documented.update(answers.values())
    refusals: list[type[Problem]] = [*problems, TooManyRequests, Internal]
    statuses = sorted({refusal.status for refusal in refusals} | statuses_of_examples - answers.keys())
    responses = {status: _response(status, JSON, answer, examples) for status, answer in answers.items()}
    responses |= {int(status): _response(status, PROBLEM_JSON, ProblemDocument, examples) for status in statuses}
    described: dict[str, Any] = {
        "parameters": [REQUEST_ID, TRACEPARENT, *headers],
        "responses": responses,
        "security": SECURITY,
    }
    if request is not None:
        _documented.add(request)
        bodies = {e.name: {"summary": e.summary, "value": e.request} for e in examples if e.request is not None}
        content = {JSON: {"schema": _ref(request), "examples": bodies}}
        described["requestBody"] = {"required": True, "content": content}
    return described


def components() -> dict[str, Any]:
    """The schemas of all bodies and answers of operations."""
    _, schemas = msgspec.json.schema_components(sorted(_documented, key=lambda type_: type_.__name__), ref_template=REF)
    return {"schemas": _with_ecma_patterns(schemas), "securitySchemes": SECURITY_SCHEMES}


def _with_ecma_patterns(schema: Any) -> Any:
    """A schema with its patterns as JSON Schema has them: Python's end of a text, \\Z, is $ in ECMA-262."""
    if isinstance(schema, dict):
        pattern = schema.get("pattern")
        changed = {"pattern": re.sub(r"\\Z$", "$", pattern)} if isinstance(pattern, str) else {}
        return {name: _with_ecma_patterns(value) for name, value in schema.items()} | changed
    return [_with_ecma_patterns(value) for value in schema] if isinstance(schema, list) else schema


def with_features(document: dict[str, Any], services: Sequence[FeatureService]) -> dict[str, Any]:
    """A document whose answers have the features of these services, each with its type, instead of any object.

    For generated clients. The served document is public and does not list the features of services.
    """
    schemas = dict(document["components"]["schemas"])
    made = {f"{service.name}_features": features_schema(service) for service in services}
    schemas |= {
        name: {key: value for key, value in schema.items() if key != "$schema"} for name, schema in made.items()
    }
    options = [{"$ref": REF.format(name=name)} for name in made]
    features = options[0] if len(options) == 1 else {"anyOf": options}
    answer = schemas["Answer"]
    schemas["Answer"] = answer | {"properties": answer["properties"] | {"features": features}}
    return document | {"components": document["components"] | {"schemas": schemas}}


def _response(status: int, media_type: str, type_: type, examples: Sequence[Example]) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": _ref(type_)}
    if shown := {e.name: {"summary": e.summary, "value": e.answer} for e in examples if e.status == status}:
        content["examples"] = shown
    headers = {
        "X-Request-Id": _header("The request's id, as in the logs.", "string"),
        "traceresponse": _header("The trace and span that answered (W3C Trace Context), as in the logs.", "string"),
    }
    if status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS):
        headers["Retry-After"] = _header("Seconds to wait before trying again.", "integer")
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = _header("How to authenticate.", "string")
    return {"description": HTTPStatus(status).phrase, "headers": headers, "content": {media_type: content}}


def _header(description: str, type_: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": type_}}


def _ref(type_: type) -> dict[str, str]:
    return {"$ref": REF.format(name=type_.__name__)}
