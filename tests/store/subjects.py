"""Subjects in a store: their permissions, their values, and what the store has of them."""

from featurestore.permission import Permission, PurposePermission
from featurestore.store.protocol import FieldWrite, OnlineStore
from featurestore.tiles.stored_field import pack_field

ANN, BOB = "a" * 32, "b" * 32
NOW_MS = 1_800_000_000_000


def allowing(grant: int = 1, *, sequence: int = 1, epoch: int = 1, since_ms: int = 5, until_ms: int = 0) -> Permission:
    return Permission(epoch, sequence, {"service": PurposePermission(True, grant, since_ms, until_ms)})


def refusing(*, sequence: int = 2, epoch: int = 1) -> Permission:
    return Permission(epoch, sequence, {"service": PurposePermission(False, 1, 5)})


def pausing(grant: int = 1, *, sequence: int = 2) -> Permission:
    return Permission(1, sequence, {"service": PurposePermission(False, grant, 5, paused=True)})


def field(offset: int, *, grant: int = 1, generation: int = 1, subject: str = ANN, view: str = "spend") -> FieldWrite:
    value = pack_field(generation, offset, grant, b"values of %d" % offset)
    return FieldWrite(subject, f"{view}/service", "service", value)


def stored(store: OnlineStore, subject: str = ANN) -> tuple[Permission | None, list[bytes | None]]:
    """A subject's permission and values of the view."""
    return store.read([subject], ["spend/service"], [], 1_000).subjects[0][:2]
