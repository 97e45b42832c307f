"""Comparison of two OpenAPI documents: the differences that could break a client of /v1. Pure.

Names stay, fields may be added. In requests no field may become required, and no value may be refused that was
accepted. In answers no field may vanish, become optional or have another type, and no new value may appear.
"""

from collections.abc import Iterator
from typing import Any

Document = dict[str, Any]
Schema = dict[str, Any]

LOWER_IS_STRICTER = ("maximum", "maxLength", "maxItems")
HIGHER_IS_STRICTER = ("minimum", "minLength", "minItems")
DEPTH = 20  # of nested schemas


def breaking(before: Document, after: Document) -> list[str]:
    """A sentence for each change that could break a client of the document ``before``, sorted."""
    return sorted(set(_changes(before, after)))


def _changes(before: Document, after: Document) -> Iterator[str]:
    compare = Comparison(before, after)
    for path, methods in before["paths"].items():
        for method, was in methods.items():
            where = f"{method.upper()} {path}"
            if (now := after["paths"].get(path, {}).get(method)) is None:
                yield f"{where}: was removed"
                continue
            if was["operationId"] != now["operationId"]:
                yield f"{where}: operationId was {was['operationId']}"
            if "requestBody" in now and "requestBody" not in was:
                yield f"{where}: now needs a body"
            if "requestBody" in was:
                yield from compare.bodies(where, was["requestBody"], now.get("requestBody", {}), sent=True)
            for status, answer in was["responses"].items():
                if status not in now["responses"]:
                    yield f"{where}: {status} was removed"
                else:
                    yield from compare.bodies(f"{where}: {status}", answer, now["responses"][status], sent=False)


class Comparison:
    """Comparison of schemas, each resolved in its own document."""

    def __init__(self, before: Document, after: Document) -> None:
        self.before, self.after = before["components"]["schemas"], after["components"]["schemas"]

    def bodies(self, where: str, was: Document, now: Document, *, sent: bool) -> Iterator[str]:
        for media_type, content in was.get("content", {}).items():
            if media_type not in now.get("content", {}):
                yield f"{where}: {media_type} was removed"
            else:
                yield from self.schemas(where, content["schema"], now["content"][media_type]["schema"], sent)

    def schemas(self, where: str, was: Schema, now: Schema, sent: bool, depth: int = 0) -> Iterator[str]:
        was, now = resolved(was, self.before), resolved(now, self.after)
        if depth > DEPTH:
            return
        old, new = types(was, self.before), types(now, self.after)
        if (old - new) if sent else (new - old):
            yield f"{where}: type was {' or '.join(sorted(old))}, is {' or '.join(sorted(new))}"
        allowed, admitted = set(map(repr, was.get("enum", ()))), set(map(repr, now.get("enum", ())))
        if "enum" in (now if sent else was) and ((allowed - admitted or not allowed) if sent else admitted - allowed):
            yield f"{where}: values are {'fewer' if sent else 'more'}"
        if sent:
            yield from stricter(where, was, now)
        yield from self.properties(where, was, now, sent, depth)
        for key in ("items", "additionalProperties"):
            if isinstance(was.get(key), dict) and isinstance(now.get(key), dict):
                yield from self.schemas(f"{where}[]", was[key], now[key], sent, depth + 1)
        for option, other in zip(options(was), options(now), strict=False):
            yield from self.schemas(where, option, other, sent, depth + 1)

    def properties(self, where: str, was: Schema, now: Schema, sent: bool, depth: int) -> Iterator[str]:
        old, new = was.get("properties", {}), now.get("properties", {})
        for name in old.keys() - new.keys():
            yield f"{where}: {name} was removed"
        required, demanded = set(was.get("required", ())), set(now.get("required", ()))
        for name in (demanded - required) if sent else (required - demanded) & new.keys():
            yield f"{where}: {name} is now {'required' if sent else 'optional'}"
        for name in old.keys() & new.keys():
            yield from self.schemas(f"{where}: {name}", old[name], new[name], sent, depth + 1)


def resolved(schema: Schema, schemas: dict[str, Schema]) -> Schema:
    """The schema that a reference names; another schema is returned as it is."""
    return schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


def options(schema: Schema) -> list[Schema]:
    return [*schema.get("anyOf", ()), *schema.get("oneOf", ())]


def types(schema: Schema, schemas: dict[str, Schema]) -> set[str]:
    """The JSON types that a schema allows; every integer is a number."""
    schema = resolved(schema, schemas)
    if found := options(schema):
        return {type_ for option in found for type_ in types(option, schemas)}
    declared = schema.get("type", ())
    names = {declared} if isinstance(declared, str) else set(declared)
    if not names and "enum" in schema:
        names = {"string" if isinstance(value, str) else "number" for value in schema["enum"]}
    return names | ({"integer"} if "number" in names else set())


def stricter(where: str, was: Schema, now: Schema) -> Iterator[str]:
    """Limits of request fields that have become narrower."""
    for key in LOWER_IS_STRICTER:
        if key in now and now[key] < was.get(key, float("inf")):
            yield f"{where}: {key} is now {now[key]}"
    for key in HIGHER_IS_STRICTER:
        if key in now and now[key] > was.get(key, float("-inf")):
            yield f"{where}: {key} is now {now[key]}"
    if "pattern" in now and now["pattern"] != was.get("pattern"):
        yield f"{where}: pattern is now {now['pattern']}"
