"""Subject versions without a decision: the same permission, with a number that the store and the streams act on."""

from collections.abc import Collection, Mapping
from types import MappingProxyType

from featurestore.consent.change_sequence import take_number
from featurestore.consent.models import ChangeSequence, PermissionChange, SubjectVersion


def write_versions(
    change_sequence: ChangeSequence,
    subjects: Collection[str],
    kind: PermissionChange.Kind = PermissionChange.Kind.CHANGE,
    suppressions: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, int]:
    """Write a new version of subjects, and a change with a purge each, in the caller's transaction; the versions."""
    versions = {subject: take_number(change_sequence) for subject in sorted(subjects)}
    SubjectVersion.objects.bulk_create(
        [SubjectVersion(subject=subject, sequence=sequence) for subject, sequence in versions.items()],
        update_conflicts=True,
        unique_fields=["subject"],
        update_fields=["sequence"],
    )
    PermissionChange.objects.bulk_create(
        PermissionChange(
            sequence=sequence,
            kind=kind,
            subject=subject,
            suppression=suppressions.get(subject, ""),
            purge=True,
            created_at=change_sequence.at,
            next_attempt_at=change_sequence.at,
        )
        for subject, sequence in versions.items()
    )
    change_sequence.save(update_fields=["sequence", "at"])
    return versions
