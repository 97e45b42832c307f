"""The guard: consent decides before values leave the store's answer. Pure.

Whatever a reader hands out of a subject's fields has come through ``decide_access``.
"""

from featurestore.permission import Denial, Permission, PurposePermission, current
from featurestore.tiles.stored_field import fencing_header_of


def decide_access(
    permission: Permission | None, purpose: str, *, vouched: bool, now_ms: int
) -> PurposePermission | Denial:
    """The grant under which a purpose may see a subject now, or why it may not."""
    if not vouched:
        return Denial.UNVOUCHED
    return current(permission, purpose, now_ms)


def carries_grant(raw: bytes, grant: PurposePermission) -> bool:
    """Whether a stored field was folded under this very grant; what an earlier one left counts as not there."""
    return fencing_header_of(raw).grant_id == grant.grant_id
