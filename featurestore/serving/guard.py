"""The guard: the rule by which consent decides, before a value leaves the store's answer. Pure.

A view's value is answered only if its node is vouched for (``decide_access``), the subject's permission allows the
purpose now (``decide_access``), the view serves the purpose (the reader's plan reads no other field) and the field
carries the permission's grant id (``carries_grant``). Otherwise the view's features are null, or the declared defaults
if the request asks for them.
"""

from featurestore.permission import Denial, Permission, PurposePermission, current
from featurestore.tiles.stored_field import fencing_header_of


def decide_access(
    permission: Permission | None, purpose: str, *, vouched: bool, now_ms: int
) -> PurposePermission | Denial:
    """The permission under which a purpose may use a subject's values now, or the reason why it may not."""
    if not vouched:
        return Denial.UNVOUCHED
    return current(permission, purpose, now_ms)


def carries_grant(raw: bytes, permission: PurposePermission) -> bool:
    """Whether a stored field was folded under this permission's grant. One of an earlier grant counts as missing."""
    return fencing_header_of(raw).grant_id == permission.grant_id
