"""Admin pages of purposes, notices, consent records and the outbox."""

from featurestore.consent.admin.changes import PermissionChangeAdmin
from featurestore.consent.admin.notices import NoticeAdmin
from featurestore.consent.admin.purposes import PurposeAdmin
from featurestore.consent.admin.records import ConsentRecordAdmin

__all__ = ["ConsentRecordAdmin", "NoticeAdmin", "PermissionChangeAdmin", "PurposeAdmin"]
