"""Optional labels of events that are sent as an empty text, and mean null. Pure.

Many senders have no null: an unset text of theirs is empty. A label has at least one character, so an empty one can't
mean anything else. Required labels refuse it.
"""

import types
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec

NONE = type(None)


def accepting_empty(data: type[msgspec.Struct]) -> tuple[type[msgspec.Struct], frozenset[str]]:
    """A struct that decodes the same data and also empty optional labels; and the names of these fields."""
    labels = [field for field in msgspec.structs.fields(data) if is_label(field.type, optional=False)]
    if not labels:
        return data, frozenset()
    changed = [
        (label.name, without_shortest(label.type), msgspec.field(default=label.default, name=label.encode_name))
        for label in labels
    ]
    made = msgspec.defstruct(data.__name__, changed, bases=(data,), module=data.__module__, kw_only=True)
    made.__doc__ = data.__doc__
    return made, frozenset(label.name for label in labels)


def is_label(type_: Any, *, optional: bool) -> bool:
    """Whether a type is a text of one character or more, or null: ``Label | None``, ``Personal[Label] | None``."""
    base, *metas = get_args(type_) if get_origin(type_) is Annotated else (type_,)
    if get_origin(base) in (Union, types.UnionType):
        options = [option for option in get_args(base) if option is not NONE]
        return len(options) == 1 and len(get_args(base)) == 2 and is_label(options[0], optional=True)
    texts = [meta for meta in metas if isinstance(meta, msgspec.Meta)]
    return (
        optional
        and base is str
        and any(meta.min_length for meta in texts)
        and not any(meta.pattern for meta in texts)  # it may refuse the empty text for another reason
    )


def without_shortest(type_: Any) -> Any:
    """A type of ``is_label`` without its shortest length."""
    if get_origin(type_) is Annotated:
        base, *metas = get_args(type_)
        return annotated(without_shortest(base), map(unbounded, metas))
    if get_origin(type_) in (Union, types.UnionType):
        return Union[tuple(map(without_shortest, get_args(type_)))]  # noqa: UP007  (of a variable number)
    return type_


def unbounded(meta: Any) -> Any:
    """An annotation without its shortest length."""
    if not isinstance(meta, msgspec.Meta) or not meta.min_length:
        return meta
    kept = ("max_length", "title", "description", "examples", "extra_json_schema", "extra")
    return msgspec.Meta(**{name: getattr(meta, name) for name in kept})


def annotated(base: Any, metas: Any) -> Any:
    """A type with annotations."""
    for meta in metas:
        base = Annotated[base, meta]
    return base
