"""Tables of consent: ``purposes.py``, ``sequence.py``, ``decisions.py``, ``permissions.py``, ``outbox.py``."""

from featurestore.consent.models.decisions import ConsentRecord, KeptDenial
from featurestore.consent.models.outbox import PENDING, PermissionChange, new_token
from featurestore.consent.models.permissions import CurrentPermission, PermissionState, SubjectVersion
from featurestore.consent.models.purposes import MAX_VALIDITY_DAYS, Notice, Purpose
from featurestore.consent.models.sequence import ChangeSequence, JournalCheckpoint, VerifierLease

__all__ = [
    "MAX_VALIDITY_DAYS",
    "PENDING",
    "ChangeSequence",
    "ConsentRecord",
    "CurrentPermission",
    "JournalCheckpoint",
    "KeptDenial",
    "Notice",
    "PermissionChange",
    "PermissionState",
    "Purpose",
    "SubjectVersion",
    "VerifierLease",
    "new_token",
]
