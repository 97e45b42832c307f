"""Writers of consent: decisions, purposes, notices, expiry and fences. Every change is recorded, then published."""

from featurestore.consent.services.choice import Choice
from featurestore.consent.services.decisions import RecordedDecision, give, record_decisions, withdraw
from featurestore.consent.services.expiry import expire_due
from featurestore.consent.services.fences import raise_epoch, raise_versions, record_erasure
from featurestore.consent.services.pauses import lift, pause
from featurestore.consent.services.purposes import (
    Retirement,
    backfill_purposes,
    define_purpose,
    publish_notice,
    retire_purpose,
)
from featurestore.consent.services.request_keys import RequestKey, request_key

__all__ = [
    "Choice",
    "RecordedDecision",
    "RequestKey",
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
    "record_erasure",
    "request_key",
    "retire_purpose",
    "withdraw",
]
