"""States of an export, and the actions that change them, as one table. Pure."""

from enum import StrEnum


class ExportState(StrEnum):
    """State of an export. The values are stored."""

    COLLECTING = "collecting"
    IN_REVIEW = "in_review"
    TO_RELEASE = "to_release"  # reviewed, and a second person must release it
    PACKING = "packing"  # released, and the package is being written
    RELEASED = "released"
    DOWNLOADED = "downloaded"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    FAILED = "failed"


WITH_SPOOL = frozenset({ExportState.COLLECTING, ExportState.IN_REVIEW, ExportState.TO_RELEASE, ExportState.PACKING})
"""States in which the export needs its spool."""
OPEN = WITH_SPOOL | {ExportState.RELEASED}
"""States in which something is left to do. A request has one export at most that is open."""
SENT = frozenset({ExportState.RELEASED, ExportState.DOWNLOADED})
"""States in which the customer can have the package."""
IN_WORK = frozenset({ExportState.COLLECTING, ExportState.PACKING})
"""States in which a Celery worker works on it."""


class ExportAction(StrEnum):
    """What is done with an export. The values are kinds of events in the request's timeline."""

    START = "export_started"
    COLLECTED = "export_collected"
    REDACT = "export_redacted"
    KEEP = "export_redaction_ended"
    PROPOSE = "export_proposed"
    RETURN = "export_returned"
    RELEASE = "export_released"
    PACKED = "export_packed"
    SHOW = "export_link_shown"
    DOWNLOAD = "export_downloaded"
    EXPIRE = "export_expired"
    CANCEL = "export_cancelled"
    FAIL = "export_failed"


_S = ExportState
_TABLE: dict[ExportAction, dict[ExportState, ExportState]] = {
    ExportAction.COLLECTED: {_S.COLLECTING: _S.IN_REVIEW},
    ExportAction.REDACT: {_S.IN_REVIEW: _S.IN_REVIEW},
    ExportAction.KEEP: {_S.IN_REVIEW: _S.IN_REVIEW},
    ExportAction.PROPOSE: {_S.IN_REVIEW: _S.TO_RELEASE},
    ExportAction.RETURN: {_S.TO_RELEASE: _S.IN_REVIEW},
    ExportAction.RELEASE: dict.fromkeys((_S.IN_REVIEW, _S.TO_RELEASE), _S.PACKING),
    ExportAction.PACKED: {_S.PACKING: _S.RELEASED},
    ExportAction.SHOW: {_S.RELEASED: _S.RELEASED, _S.DOWNLOADED: _S.DOWNLOADED},
    ExportAction.DOWNLOAD: dict.fromkeys((_S.RELEASED, _S.DOWNLOADED), _S.DOWNLOADED),
    ExportAction.EXPIRE: {_S.RELEASED: _S.EXPIRED},
    ExportAction.CANCEL: dict.fromkeys(OPEN, _S.CANCELLED),
    ExportAction.FAIL: dict.fromkeys(IN_WORK, _S.FAILED),
}


def possible(state: ExportState, action: ExportAction) -> bool:
    """Whether the action may be taken in the state.

    >>> possible(ExportState.IN_REVIEW, ExportAction.RELEASE), possible(ExportState.EXPIRED, ExportAction.RELEASE)
    (True, False)
    """
    return state in _TABLE[action]


def after(state: ExportState, action: ExportAction) -> ExportState:
    """The state after an action that is possible. Raises KeyError for any other.

    >>> after(ExportState.RELEASED, ExportAction.DOWNLOAD)
    <ExportState.DOWNLOADED: 'downloaded'>
    """
    return _TABLE[action][state]
