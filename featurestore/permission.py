"""Permission of one subject, as the store holds it: field ``p`` of the subject's hash. Pure.

One function derives it from the database (featurestore.consent.permission_derivation), and consent alone publishes it.
The bytes are msgpack, since the store's Lua scripts read them too (``cmsgpack``); every number is below 2**53.
"""

from enum import StrEnum

import msgspec


class PurposePermission(msgspec.Struct, array_like=True, frozen=True):
    """Permission, pause or refusal of one purpose. Every new grant raises ``grant_id``; ``until_ms`` 0 is no end.

    ``allowed`` and ``paused`` are never both true; both false is a refusal. While a purpose is paused, nothing is
    counted or answered, and what was counted under its grant is kept. Events before ``since_ms`` do not count.
    ``complete_from_ms`` is later than it for an imported grant alone: events between the two may have been denied
    before the import. From both on every event is counted.
    """

    allowed: bool
    grant_id: int
    since_ms: int
    until_ms: int = 0
    paused: bool = False
    complete_from_ms: int = 0

    @property
    def start_ms(self) -> int:
        """Time from which on every event is counted: the ``start`` of answers is not before it."""
        return max(self.since_ms, self.complete_from_ms)


class Permission(msgspec.Struct, array_like=True, frozen=True):
    """Permission of one subject for each purpose, with its fence: the store refuses a lower (database epoch, sequence).

    A purpose without an entry has no consent record, which is denial; an entry that is neither allowed nor paused is a
    refusal. ``token``: that of the change which gave the sequence, since a database that lost commits gives the same
    numbers to other changes; 0: unknown, since the change has left the outbox, or of an earlier version.
    """

    epoch: int
    sequence: int
    purposes: dict[str, PurposePermission] = {}
    token: int = 0

    def encode(self) -> bytes:
        return ENCODER.encode(self)

    @property
    def fence(self) -> tuple[int, int]:
        return self.epoch, self.sequence


class Denial(StrEnum):
    """Reason why a purpose may not use a subject's values: the ``reason`` of a withheld view."""

    UNKNOWN = "no_permission"  # the subject is not registered, or the store has no permission of it
    NO_RECORD = "no_consent"  # no consent record for the purpose
    REFUSED = "refused"  # withdrawn, objected or expired
    EXPIRED = "expired"
    PAUSED = "paused"  # processing is restricted: nothing is counted or answered, and nothing is deleted
    UNVOUCHED = "store_unvouched"  # no vouch key for the permissions that this store run holds
    NOT_SERVED = "purpose_not_served"  # the view does not serve this purpose


ENCODER = msgspec.msgpack.Encoder()
DECODER = msgspec.msgpack.Decoder(Permission)


def decode(raw: bytes) -> Permission:
    """The permission in a field ``p``."""
    return DECODER.decode(raw)


def current(permission: Permission | None, purpose: str, now_ms: int) -> PurposePermission | Denial:
    """The permission under which a purpose may use a subject's values at a time, or why it may not."""
    if permission is None:
        return Denial.UNKNOWN
    found = permission.purposes.get(purpose)
    if found is None:
        return Denial.NO_RECORD
    if not found.allowed:
        return Denial.PAUSED if found.paused else Denial.REFUSED
    if found.until_ms and now_ms >= found.until_ms:
        return Denial.EXPIRED
    return found


def held(permission: Permission | None, purpose: str, now_ms: int) -> PurposePermission | None:
    """The permission under which a purpose's values are kept at a time: it allows them, or is paused.

    One whose time is over is answered as paused: nothing is counted under it, and what was counted is kept until the
    database has recorded the end. It may have been renewed in time, and the renewal not be in the store yet.
    """
    found = permission.purposes.get(purpose) if permission else None
    if found is None or found.paused:
        return found
    if not found.allowed:
        return None
    return found if not 0 < found.until_ms <= now_ms else _paused(found)


def _paused(one: PurposePermission) -> PurposePermission:
    return PurposePermission(False, one.grant_id, one.since_ms, one.until_ms, True, one.complete_from_ms)
