"""The permission of one subject, as the store holds it: field ``p`` of the subject's hash. Pure.

Derived from the database by one function (featurestore.consent.purpose_states) and put by the consent services alone. The
bytes are msgpack, since the store's Lua scripts read them too (``cmsgpack``); every number is below 2**53.
"""

from enum import StrEnum

import msgspec


class PurposePermission(msgspec.Struct, array_like=True, frozen=True):
    """What one purpose may do with a subject. ``grant`` rises with every new grant; ``until_ms`` 0 is no end."""

    allowed: bool
    grant_id: int
    since_ms: int
    until_ms: int = 0


class Permission(msgspec.Struct, array_like=True, frozen=True):
    """All purposes of one subject with its fence: a put with a lower (epoch, sequence) is refused.

    A purpose without an entry has no record, which is denial; an entry that is not allowed is a refusal.
    """

    epoch: int
    sequence: int
    purposes: dict[str, PurposePermission] = {}

    def encode(self) -> bytes:
        return ENCODER.encode(self)

    @property
    def fence(self) -> tuple[int, int]:
        return self.epoch, self.sequence


class Denial(StrEnum):
    """Why a purpose may not have a subject's values: the ``reason`` of a withheld view."""

    UNKNOWN = "no_permission"  # the subject is not registered, or the store does not know it
    NO_RECORD = "no_consent"  # nothing says yes
    REFUSED = "refused"  # withdrawn, objected or expired
    EXPIRED = "expired"
    UNVOUCHED = "store_unvouched"  # nobody vouches for the permissions that this store run holds
    NOT_SERVED = "purpose_not_served"  # the view does not serve this purpose


ENCODER = msgspec.msgpack.Encoder()
DECODER = msgspec.msgpack.Decoder(Permission)


def decode(raw: bytes) -> Permission:
    """The permission in a field ``p``."""
    return DECODER.decode(raw)


def current(permission: Permission | None, purpose: str, now_ms: int) -> PurposePermission | Denial:
    """The grant under which a purpose may use a subject's values at a time, or why it may not."""
    if permission is None:
        return Denial.UNKNOWN
    grant = permission.purposes.get(purpose)
    if grant is None:
        return Denial.NO_RECORD
    if not grant.allowed:
        return Denial.REFUSED
    if grant.until_ms and now_ms >= grant.until_ms:
        return Denial.EXPIRED
    return grant
