"""Examples of POST /v1/consents/as-of. tests/api/test_examples.py sends each and compares its answer."""

from featurestore.api.examples import NO_KEY, Example, problem

ASKED = {"customer_id": "C42", "at": "2026-11-22T12:00:05Z", "purposes": ["service"]}
UNANSWERED = "The question can't be answered"
AGREED = {
    "purpose": "service",
    "lawful_basis": "consent",
    "allowed": True,
    "reason": None,
    "since": "2026-11-22T12:00:01Z",
    "until": None,
    "recorded_at": "2026-11-22T12:00:00Z",
    "in_effect_at": "2026-11-22T12:00:00.008Z",
    "record": 7,
    "decision": "given",
    "decided_at": "2026-11-22T12:00:00Z",
    "method": "chat",
    "notice": "privacy/1/en",
}
UNDECIDED = AGREED | dict.fromkeys(
    ("since", "recorded_at", "in_effect_at", "record", "decision", "decided_at", "method", "notice")
)
ANSWER = {
    "at": ASKED["at"],
    "reads_since": "2026-11-21T12:00:05Z",
    "reads": [],
    "reads_complete": True,
    "signed_document": None,
}

AS_OF = [
    Example("allowed", "A customer had agreed five seconds before", ASKED, 200, ANSWER | {"purposes": [AGREED]}),
    Example(
        "not-allowed",
        "A customer had not been asked yet",
        ASKED,
        200,
        ANSWER | {"purposes": [UNDECIDED | {"allowed": False, "reason": "never_allowed"}]},
    ),
    Example(
        "to-be-signed",
        "The answer is to be signed: it is in the answer a minute later",
        ASKED | {"signed": True},
        200,
        ANSWER | {"purposes": [AGREED]},
    ),
    NO_KEY,
    Example(
        "to-come",
        "A time in the future",
        ASKED | {"at": "2999-01-01T00:00:00Z"},
        422,
        problem(422, "wrong-date", UNANSWERED, "The time is in the future: nothing is known of it yet."),
    ),
    Example(
        "unknown-customer",
        "A customer who is not registered, or was erased",
        ASKED | {"customer_id": "C99"},
        404,
        problem(404, "unknown-customer", UNANSWERED, "No customer with this id is registered."),
    ),
]
