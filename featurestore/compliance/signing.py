"""Signed manifest of an export: the audit log's proof of it, once a tree head covers the entry.

Only what an export issued is signed: who can write a manifest of their own gets no proof of it.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from featurestore.auditlog.document_proofs import proof_of_document
from featurestore.auditlog.document_verifier import digest_of
from featurestore.auditlog.log_verifier import Unreadable
from featurestore.compliance.errors import ManifestRefused

MAX_BYTES = 65_536
"""Longest manifest: the page that verifies documents takes no longer ones."""


def signed_manifest(path: Path) -> dict[str, Any] | None:
    """The signed document of a manifest whose file lies beside it; None while no tree head covers its entry.

    Raises ManifestRefused, OSError.
    """
    manifest = _read(path)
    try:
        proof = proof_of_document(digest_of(manifest), subject="")
    except Unreadable as error:
        raise ManifestRefused(f"{path}: {error}.") from None
    if not proof.issued:
        raise ManifestRefused(f"{path} is no manifest that was exported here, or was changed since: export again.")
    file = path.parent / manifest["file"]
    with file.open("rb") as opened:
        if hashlib.file_digest(opened, "sha256").hexdigest() != manifest["sha256"]:
            raise ManifestRefused(f"{file} was changed since it was exported: its SHA-256 is another one.")
    return proof.signed(manifest)


def _read(path: Path) -> dict[str, Any]:
    with path.open("rb") as opened:
        raw = opened.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise ManifestRefused(f"{path} is longer than {MAX_BYTES:,} bytes: no manifest is.")
    try:
        manifest = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ManifestRefused(f"{path} is no JSON, or was cut off ({error}).") from None
    if not isinstance(manifest, dict):
        raise ManifestRefused(f"{path} is no manifest: it is no JSON object.")
    return manifest
