"""Writers of consent: decisions, purposes, notices, expiry and fences. Every change is recorded, then published."""

from featurestore.consent.services.choice import Choice
from featurestore.consent.services.decisions import (
    RecordedDecision,
    WrittenDecision,
    give,
    publish_written,
    record_decisions,
    withdraw,
    write_decisions,
)
from featurestore.consent.services.expiry import expire_due
from featurestore.consent.services.fences import raise_epoch, raise_versions, record_erasure
from featurestore.consent.services.pauses import lift, pause, purposes_to_pause
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
    "WrittenDecision",
    "backfill_purposes",
    "define_purpose",
    "expire_due",
    "give",
    "lift",
    "pause",
    "publish_notice",
    "publish_written",
    "purposes_to_pause",
    "raise_epoch",
    "raise_versions",
    "record_decisions",
    "record_erasure",
    "request_key",
    "retire_purpose",
    "withdraw",
    "write_decisions",
]
