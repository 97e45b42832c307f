"""Writers of consent: decisions, purposes, notices, expiry and fences. Every change is recorded, then published."""

from featurestore.consent.services.decisions import Choice, RecordedDecision, give, record_decisions, withdraw
from featurestore.consent.services.expiry import expire_due
from featurestore.consent.services.fences import raise_epoch, raise_versions
from featurestore.consent.services.pauses import lift, pause
from featurestore.consent.services.purposes import (
    Retirement,
    backfill_purposes,
    define_purpose,
    publish_notice,
    retire_purpose,
)

__all__ = [
    "Choice",
    "RecordedDecision",
    "Retirement",
    "backfill_purposes",
    "define_purpose",
    "expire_due",
    "give",
    "lift",
    "pause",
    "publish_notice",
    "raise_epoch",
    "raise_versions",
    "record_decisions",
    "retire_purpose",
    "withdraw",
]
