"""Writers of the log: ``appending.py``, ``sequencing.py``, ``tree_heads.py``, ``erasure.py``, ``documents.py``,
``destinations.py``, ``verification.py``."""

from featurestore.auditlog.services.appending import append, append_all
from featurestore.auditlog.services.destinations import send_heads
from featurestore.auditlog.services.documents import signed_document
from featurestore.auditlog.services.erasure import erase_contents
from featurestore.auditlog.services.sequencing import sequence, sequence_due
from featurestore.auditlog.services.tree_heads import sign_due
from featurestore.auditlog.services.verification import prune, request_verification, verify_due

__all__ = [
    "append",
    "append_all",
    "erase_contents",
    "prune",
    "request_verification",
    "send_heads",
    "sequence",
    "sequence_due",
    "sign_due",
    "signed_document",
    "verify_due",
]
