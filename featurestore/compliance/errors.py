"""Errors of compliance reports; each message says what to do."""


class ComplianceError(Exception):
    """Report or export that can't be made as it was asked for."""


class UnsoundPeriod(ComplianceError):
    """Period that the report can say nothing true about."""


class ExportFailed(ComplianceError):
    """Export whose files can't be written."""


class ManifestRefused(ComplianceError):
    """Manifest that no export issued, or whose file was changed."""
