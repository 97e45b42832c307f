"""The only writers of this app. Everything that changes a permission goes through here."""

from featurestore.consent.services.decisions import Choice, RecordedDecision, give, record_decisions, withdraw
from featurestore.consent.services.expiry import expire_due
from featurestore.consent.services.purposes import (
    Retired,
    define_purpose,
    publish_notice,
    retire_purpose,
    backfill_purposes,
)
from featurestore.consent.services.repair import raise_epoch, raise_versions

__all__ = [
    "Choice",
    "RecordedDecision",
    "Retired",
    "define_purpose",
    "expire_due",
    "give",
    "publish_notice",
    "raise_epoch",
    "record_decisions",
    "raise_versions",
    "retire_purpose",
    "backfill_purposes",
    "withdraw",
]
