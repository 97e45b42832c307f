"""Examples of the OpenAPI document. tests/api/test_examples.py sends each and compares its answer."""

from typing import Any, NamedTuple


class Example(NamedTuple):
    """A request and its answer. A request of None has no body."""

    name: str
    summary: str
    request: dict[str, Any] | None
    status: int
    answer: dict[str, Any]


INSTANCE = "urn:rapport:request:5f0c2f0f7d4b4c2f9d1e6a8b3c7d2e10"


def problem(status: int, name: str, title: str, detail: str) -> dict[str, Any]:
    """A problem document; ``instance`` differs each time."""
    return {
        "type": f"urn:rapport:problem:{name}",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": INSTANCE,
    }


QUERY = {"service": "support_chat", "purpose": "service", "customer_id": "C42"}
SOME_FEATURES = {"features": ["spend_amount_sum_30d", "returns_90d", "tickets_open"]}
BATCH_QUERY = {
    "service": "support_chat",
    "purpose": "service",
    "customer_ids": ["C42", "C43"],
    "features": ["returns_90d"],
}

NO_KEY = Example(
    "unauthorised",
    "No key, or a wrong, expired or revoked one",
    None,
    401,
    problem(
        401,
        "unauthorised",
        "No valid API key or token",
        "Send an API key or access token that is neither expired nor revoked: `Authorization: Bearer rap_...`.",
    ),
)
STORE_UNAVAILABLE = (
    503,
    problem(503, "unavailable", "Temporarily unavailable", "The store did not answer in time. Nothing was read."),
)

FEATURES = [
    Example(
        "chosen",
        "Three features of a customer who agreed",
        QUERY | SOME_FEATURES | {"timeout_ms": 250},
        200,
        {
            "service": "support_chat",
            "purpose": "service",
            "at": "2026-11-22T12:00:00.000Z",
            "features": {"spend_amount_sum_30d": 36.5, "returns_90d": 1, "tickets_open": 0},
            "views": {
                "spend": {"status": "present", "start": "2026-11-01T00:00:00.000Z", "age_s": 0.4, "reason": None},
                "returns": {"status": "present", "start": "2026-11-01T00:00:00.000Z", "age_s": 0.4, "reason": None},
                "tickets": {"status": "missing", "start": "2026-11-01T00:00:00.000Z", "age_s": 0.4, "reason": None},
            },
        },
    ),
    Example(
        "withheld",
        "A customer who refused: null",
        QUERY | SOME_FEATURES | {"customer_id": "C43"},
        200,
        {
            "service": "support_chat",
            "purpose": "service",
            "at": "2026-11-22T12:00:00.000Z",
            "features": {"spend_amount_sum_30d": None, "returns_90d": None, "tickets_open": None},
            "views": {
                view: {"status": "withheld", "start": None, "age_s": None, "reason": "refused"}
                for view in ("spend", "returns", "tickets")
            },
        },
    ),
    Example(
        "withheld-defaults",
        "A customer who refused: the declared defaults, marked",
        QUERY | SOME_FEATURES | {"customer_id": "C43", "withheld": "defaults"},
        200,
        {
            "service": "support_chat",
            "purpose": "service",
            "at": "2026-11-22T12:00:00.000Z",
            "features": {"spend_amount_sum_30d": 0, "returns_90d": 0, "tickets_open": 0},
            "views": {
                view: {"status": "withheld", "start": None, "age_s": None, "reason": "refused", "defaults": True}
                for view in ("spend", "returns", "tickets")
            },
        },
    ),
    Example(
        "wrong-field",
        "A field of the wrong type",
        QUERY | {"customer_id": 42},
        400,
        problem(400, "malformed", "The body is malformed", "Expected `str`, got `int` - at `$.customer_id`"),
    ),
    NO_KEY,
    Example(
        "forbidden-purpose",
        "A purpose that the key is not bound to",
        QUERY | {"purpose": "analytics"},
        403,
        problem(
            403,
            "forbidden",
            "The key may not do this",
            "This key is not bound to this purpose; GET /v1/services lists the purposes of the key.",
        ),
    ),
    Example(
        "unknown-service",
        "A service that does not exist, or is not for this key",
        QUERY | {"service": "support_chatt"},
        404,
        problem(
            404,
            "unknown-service",
            "There is no such service",
            "GET /v1/services lists the services that this key may use - at `$.service`",
        ),
    ),
    Example(
        "unknown-feature",
        "A feature that the service does not have",
        QUERY | {"features": ["returns_90d", "returns_91d"]},
        422,
        problem(
            422,
            "unprocessable",
            "The request can't be answered as it is",
            "The service has no such feature; GET /v1/services lists them - at `$.features[1]`",
        ),
    ),
    Example(
        "as-of",
        "As of an earlier time, after the newest event",
        QUERY | {"features": ["returns_90d"], "as_of": "2026-11-22T10:00:00+01:00"},
        200,
        {
            "service": "support_chat",
            "purpose": "service",
            "at": "2026-11-22T09:00:00.000Z",
            "features": {"returns_90d": 1},
            "views": {
                "returns": {"status": "present", "start": "2026-11-01T00:00:00.000Z", "age_s": 0.0, "reason": None}
            },
        },
    ),
    Example(
        "as-of-too-early",
        "As of a time before the newest event",
        QUERY | {"features": ["returns_90d"], "as_of": "2026-11-20T12:00:00Z"},
        422,
        problem(
            422,
            "as-of-too-early",
            "There is no exact answer as of that time",
            "view returns: events came later. Use a later time, or leave these out - at `$.as_of`",
        ),
    ),
    Example("store-unavailable", "The store is unavailable", QUERY, *STORE_UNAVAILABLE),
]

BATCH = [
    Example(
        "two",
        "Two customers, one of whom refused",
        BATCH_QUERY,
        200,
        {
            "results": [
                {
                    "service": "support_chat",
                    "purpose": "service",
                    "at": "2026-11-22T12:00:00.000Z",
                    "features": {"returns_90d": 1},
                    "views": {
                        "returns": {
                            "status": "present",
                            "start": "2026-11-01T00:00:00.000Z",
                            "age_s": 0.4,
                            "reason": None,
                        }
                    },
                },
                {
                    "service": "support_chat",
                    "purpose": "service",
                    "at": "2026-11-22T12:00:00.000Z",
                    "features": {"returns_90d": None},
                    "views": {"returns": {"status": "withheld", "start": None, "age_s": None, "reason": "refused"}},
                },
            ]
        },
    ),
    NO_KEY,
    Example(
        "no-customers",
        "No customers, or more than 100",
        BATCH_QUERY | {"customer_ids": []},
        422,
        problem(
            422,
            "unprocessable",
            "The request can't be answered as it is",
            "Request 1 to 100 customers at a time - at `$.customer_ids`",
        ),
    ),
    Example("store-unavailable", "The store is unavailable", BATCH_QUERY, *STORE_UNAVAILABLE),
]

CONSENT = {"customer_id": "C42", "purpose": "service", "decision": "given", "notice": "privacy/1/en", "method": "chat"}
WITHDRAWAL = {"customer_id": "C42", "purpose": "service", "decision": "withdrawn", "method": "chat"}

CUSTOMER = {"customer_id": "C42", "region": "Europe", "brand": "lamp"}
COME_BACK = "This customer was erased. If they came back by their own choice, state `after_erasure`."
ERASED = problem(409, "erased", "The customer was erased", COME_BACK)
CUSTOMERS = [
    Example("registered", "A new customer", CUSTOMER, 201, {"created": True, "effective": True}),
    Example("known", "A registered customer", CUSTOMER, 200, {"created": False, "effective": True}),
    Example(
        "pending", "A new customer while the store is unavailable", CUSTOMER, 202, {"created": True, "effective": False}
    ),
    NO_KEY,
    Example(
        "without-brand",
        "A customer without a brand",
        {"customer_id": "C42", "region": "Europe"},
        400,
        problem(400, "malformed", "The body is malformed", "Object missing required field `brand`"),
    ),
    Example("erased", "A customer who was erased", CUSTOMER | {"customer_id": "C13"}, 409, ERASED),
]

RECORDED = {
    "record": 7,
    "purpose": "service",
    "decision": "given",
    "since": "2026-11-22T12:00:01Z",
    "until": None,
    "effective": True,
    "decided_at": "2026-11-22T12:00:00Z",
    "superseded": False,
    "paused": False,
}
WITHDRAWN = RECORDED | {"record": 8, "decision": "withdrawn", "since": "2026-11-22T12:00:00Z"}
OLDER = "2026-11-22T11:58:00Z"
SUPERSEDED = {"since": "2026-11-22T12:00:00Z", "effective": False, "decided_at": OLDER, "superseded": True}

CONSENTS = [
    Example("given", "A customer agrees, having read the notice", CONSENT, 201, RECORDED),
    Example("withdrawn", "A customer withdraws: the next read is withheld", WITHDRAWAL, 201, WITHDRAWN),
    Example(
        "pending", "A withdrawal while the store is unavailable", WITHDRAWAL, 202, WITHDRAWN | {"effective": False}
    ),
    Example(
        "superseded",
        "A consent of two minutes ago, after a withdrawal of a minute ago: it changes nothing",
        CONSENT | {"decided_at": OLDER},
        200,
        RECORDED | SUPERSEDED,
    ),
    NO_KEY,
    Example(
        "no-notice",
        "A consent without the notice that was shown",
        {name: value for name, value in CONSENT.items() if name != "notice"},
        422,
        problem(
            422,
            "wrong-notice",
            "The decision is refused",
            "A consent needs the notice that was shown: give its reference, name/version/language.",
        ),
    ),
    Example(
        "unknown-customer",
        "A customer who is not registered",
        CONSENT | {"customer_id": "C99"},
        404,
        problem(404, "unknown-customer", "The decision is refused", "No such customer. Register the customer first."),
    ),
    Example(
        "obligation",
        "A purpose that rests on a legal obligation",
        WITHDRAWAL | {"purpose": "fraud"},
        409,
        problem(
            409,
            "wrong-basis",
            "The decision is refused",
            "This purpose rests on a legal obligation: it can't be withdrawn. Ask for access or erasure.",
        ),
    ),
]

MESSAGE: dict[str, Any] = {
    "source": "chat",
    "customer_id": "C42",
    "id": "conversation-7/message-3",
    "time": "2026-11-22T11:59:58Z",
    "data": {"author": "customer", "conversation_id": "conversation-7", "sentiment": -0.4, "intent": "return"},
}
EVENTS = [
    Example(
        "accepted",
        "A customer's message",
        {"events": [MESSAGE]},
        202,
        {"accepted": 1, "refused": 0, "results": [{"status": "accepted"}]},
    ),
    Example(
        "some-refused",
        "A message, the same again, one of a customer who refused, and one with a score out of range",
        {
            "events": [
                MESSAGE,
                MESSAGE,
                MESSAGE | {"customer_id": "C43"},
                MESSAGE | {"data": MESSAGE["data"] | {"sentiment": 7}},
            ]
        },
        207,
        {
            "accepted": 3,
            "refused": 1,
            "results": [
                {"status": "accepted"},
                {"status": "duplicate"},
                {"status": "not_counted", "reason": "no_permission"},
                {
                    "status": "refused",
                    "reason": "malformed",
                    "detail": "Expected `float` <= 1.0 - at `$.events[3].data.sentiment`",
                },
            ],
        },
    ),
    NO_KEY,
    Example(
        "wrong-data",
        "A score out of range, in every event",
        {"events": [MESSAGE | {"data": MESSAGE["data"] | {"sentiment": 7}}]},
        400,
        problem(400, "malformed", "The body is malformed", "Expected `float` <= 1.0 - at `$.events[0].data.sentiment`"),
    ),
    Example(
        "closed-source",
        "A source that is not open to clients",
        {"events": [MESSAGE | {"source": "orders"}]},
        400,
        problem(
            400,
            "malformed",
            "The body is malformed",
            "Not a source that is open to clients: chat - at `$.events[0].source`",
        ),
    ),
    Example(
        "too-old",
        "An event of last week",
        {"events": [MESSAGE | {"time": "2026-11-14T12:00:00Z"}]},
        422,
        problem(
            422,
            "event-time",
            "An event is too old, or in the future",
            "An event is at most 6 days old - at `$.events[0].time`",
        ),
    ),
    Example(
        "kafka-unavailable",
        "Kafka is unavailable",
        {"events": [MESSAGE]},
        503,
        problem(
            503,
            "unavailable",
            "Temporarily unavailable",
            "Kafka did not acknowledge the events in time. "
            "Send the same events again, with the same ids: none counts twice.",
        ),
    ),
]
