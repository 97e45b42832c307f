"""Writers of subject requests. Each takes the actor and, from tests, the time."""

from featurestore.requests.services.answers import Answered, Effect, answer, effect_of
from featurestore.requests.services.handling import (
    approve_refusal,
    assign,
    close,
    continue_work,
    extend,
    refuse,
    remaining,
    return_refusal,
    wait_for_customer,
    withdraw,
)
from featurestore.requests.services.intake import Intake, ReceivedRequest, receive, was_received
from featurestore.requests.services.verification import (
    ask_for_code,
    attest,
    confirm_code,
    lapse_unverified,
    record_contact,
    send_codes,
    verify_by_hand,
)

__all__ = [
    "Answered",
    "Effect",
    "Intake",
    "ReceivedRequest",
    "answer",
    "approve_refusal",
    "ask_for_code",
    "assign",
    "attest",
    "close",
    "confirm_code",
    "continue_work",
    "effect_of",
    "extend",
    "lapse_unverified",
    "receive",
    "record_contact",
    "refuse",
    "remaining",
    "return_refusal",
    "send_codes",
    "verify_by_hand",
    "wait_for_customer",
    "was_received",
    "withdraw",
]
