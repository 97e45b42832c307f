"""Examples of the operations on subject requests in the OpenAPI document. tests/api/test_examples.py sends each."""

from featurestore.api.examples import NO_KEY, Example, problem

REFERENCE = "R-7K2M-9QXD"
ACCESS = {"type": "access", "regime": "gdpr", "customer_id": "C42", "language": "de"}
RECEIVED = {
    "id": REFERENCE,
    "type": "access",
    "regime": "gdpr",
    "received_at": "2026-11-22T12:00:00Z",
    "acknowledge_by": None,
    "due_at": "2026-12-22T23:00:00Z",
    "attested": False,
}
CONTACT = {"kind": "email", "address": "ann@example.org"}
UNKNOWN_REGIME = "unknown-regime", "A law that this installation has no rules of"
NO_SUCH_REGIME = problem(
    422, "unknown-regime", "The subject request is refused", "No such regime. There are: ccpa, gdpr, lgpd."
)
RECORDED = [
    Example("unverified", "A customer asks; nobody has verified who it is", ACCESS, 201, RECEIVED),
    Example(
        "attested",
        "The shop has verified the customer, and states where answers go",
        ACCESS | {"attested": True, "contact": CONTACT},
        201,
        RECEIVED | {"attested": True},
    ),
    Example(
        "opt-out",
        "An opt-out of one purpose under the CCPA",
        {"type": "opt-out", "regime": "ccpa", "customer_id": "C42", "purposes": ["service"]},
        201,
        RECEIVED | {"type": "opt-out", "regime": "ccpa", "due_at": "2026-12-12T08:00:00Z"},
    ),
    NO_KEY,
    Example(*UNKNOWN_REGIME, ACCESS | {"regime": "pipl"}, 422, NO_SUCH_REGIME),
]
LINKS = [
    Example(
        "everybody",
        "A link for the shop's page about privacy",
        {"regime": "gdpr", "language": "de", "hours": 720},
        201,
        {"url": "http://localhost:8000/requests/form/gAAAAABq...", "expires_at": "2026-12-22T12:00:00Z"},
    ),
    NO_KEY,
    Example(
        "too-long",
        "A link for longer than 30 days",
        {"regime": "gdpr", "hours": 1000},
        400,
        problem(400, "malformed", "The body is malformed", "Expected `float` <= 720.0 - at `$.hours`"),
    ),
    Example(*UNKNOWN_REGIME, {"regime": "pipl"}, 422, NO_SUCH_REGIME),
]
LOOKED_UP = [
    Example(
        "open",
        "A verified request that nobody works on yet",
        None,
        200,
        {
            "id": REFERENCE,
            "type": "access",
            "regime": "gdpr",
            "customer_id": "C42",
            "state": "open",
            "received_at": "2026-11-22T12:00:00Z",
            "verified_at": "2026-11-22T12:00:00Z",
            "acknowledge_by": None,
            "due_at": "2026-12-22T23:00:00Z",
            "paused": False,
            "extended": False,
            "answered_at": None,
            "ended_at": None,
            "refused_because": None,
            "duplicate_of": None,
        },
    ),
    NO_KEY,
    Example(
        "unknown-request",
        "A reference of no request",
        None,
        404,
        problem(404, "unknown-request", "The subject request is refused", "No such request."),
    ),
]
VERIFIED = [
    Example("verified", "The right code", {"code": "1234 5678"}, 200, {"id": REFERENCE, "verified": True}),
    NO_KEY,
    Example(
        "wrong-code",
        "A wrong code, or one that is no longer valid",
        {"code": "0000 0000"},
        422,
        problem(
            422,
            "wrong-code",
            "The subject request is refused",
            "The code is wrong, or no longer valid. Check it, or ask for a new one.",
        ),
    ),
]
