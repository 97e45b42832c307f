"""Handler of the feature read, without any framework. Every adapter calls it, so that all answer alike.

A read: authenticate, decode, hash the identifier, check service and purpose, read the store, answer for unknown
customers as for those without consent, record the access, count the views.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec.structs import replace

from featurestore.access.scopes import Scope
from featurestore.access.selectors import Credential
from featurestore.accesslog.writer import AccessLogWriter, access_log_writer
from featurestore.api.as_of import AsOf, explanation, past_ms
from featurestore.api.auth import authenticate, charge, require_purpose
from featurestore.api.body import BodyDecoder, Identifier, Name, subject_at
from featurestore.api.errors import TooEarly, Unavailable, UnknownService, Unprocessable
from featurestore.api.metrics import count_views
from featurestore.api.reply import Call, Reply, encode
from featurestore.config import settings
from featurestore.definitions import FeatureService
from featurestore.installed_catalog import catalog
from featurestore.permission import Denial
from featurestore.serving.answer import Answer
from featurestore.serving.as_of import AsOfTooEarly, TooEarlyView
from featurestore.serving.reader import FeatureReader, ReadTooSlow
from featurestore.store import configured
from featurestore.store.protocol import StoreUnavailable

LARGEST_BATCH = 100
SHORTEST_TIMEOUT_MS, LONGEST_TIMEOUT_MS = 10, 2000

FeatureNames = Annotated[
    list[Name],
    msgspec.Meta(min_length=1, max_length=1000, description="Some of the service's features. Default: all."),
]
Timeout = Annotated[
    float,  # to JSON Schema 250.0 is an integer, too
    msgspec.Meta(
        ge=SHORTEST_TIMEOUT_MS,
        le=LONGEST_TIMEOUT_MS,
        description="Longest wait for the store. Default: 250, or as the operator sets it.",
    ),
]
Customers = Annotated[
    list[Identifier],
    msgspec.Meta(
        description=f"1 to {LARGEST_BATCH} customers, answered in order.",
        extra_json_schema={"minItems": 1, "maxItems": LARGEST_BATCH},
    ),
]


WithheldAs = Annotated[
    Literal["defaults"],
    msgspec.Meta(
        description="Features of which nothing may be known or is known (a view that is withheld, or stale without a "
        "value) are answered with their declared defaults, and the view is marked `defaults: true`. Default: null."
    ),
]


class FeatureQuery(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Fields of every feature read."""

    service: Name
    purpose: Annotated[Name, msgspec.Meta(description="The one purpose that the answer will be used for.")]
    features: FeatureNames | None = None
    timeout_ms: Timeout | None = None
    as_of: AsOf | None = None
    withheld: WithheldAs | None = None


class FeatureRequest(FeatureQuery, forbid_unknown_fields=True, kw_only=True):
    """A read of one customer's features."""

    customer_id: Identifier


class BatchRequest(FeatureQuery, forbid_unknown_fields=True, kw_only=True):
    """A read of the features of up to 100 customers, in one round trip to the store."""

    customer_ids: Customers


class BatchAnswer(msgspec.Struct):
    """One answer for each customer, in the order of the request."""

    results: list[Answer]


class ParsedRequest(NamedTuple):
    """An authenticated, decoded read of one customer."""

    credential: Credential
    query: FeatureRequest
    subject: str


FEATURE_REQUEST, BATCH_REQUEST = BodyDecoder(FeatureRequest), BodyDecoder(BatchRequest)


class FeatureHandler:
    """Feature reads: from the bytes of a body and an Authorization header to the bytes of an answer. Thread-safe."""

    def __init__(
        self,
        services: Mapping[str, FeatureService],
        reader: FeatureReader,
        access_log: AccessLogWriter,
        secret: bytes,
        timeout_ms: int,
    ) -> None:
        self.services, self.reader, self.access_log = services, reader, access_log
        self.secret, self.timeout_ms = secret, timeout_ms
        self.feature_names = {name: frozenset(service.defaults()) for name, service in services.items()}

    def read_one(self, call: Call) -> Reply:
        """POST /v1/features."""
        return self.answer(call, self.parse(call))

    def read_batch(self, call: Call) -> Reply:
        """POST /v1/features/batch."""
        credential = authenticate(call, Scope.FEATURES_READ)
        query = BATCH_REQUEST.decode(call.body)
        customers = query.customer_ids
        if not 1 <= len(customers) <= LARGEST_BATCH:
            raise Unprocessable(f"Request 1 to {LARGEST_BATCH} customers at a time - at `$.customer_ids`")
        charge(call, credential, len(customers) - 1)  # one is charged already
        subjects = [subject_at(customer, self.secret, f"$.customer_ids[{i}]") for i, customer in enumerate(customers)]
        return Reply(200, encode(BatchAnswer(self._read(call, credential, query, subjects))))

    def parse(self, call: Call) -> ParsedRequest:
        """Credential, body and subject of a read of one customer. Raises Problem."""
        credential = authenticate(call, Scope.FEATURES_READ)
        query = FEATURE_REQUEST.decode(call.body)
        return ParsedRequest(credential, query, subject_at(query.customer_id, self.secret, "$.customer_id"))

    def answer(self, call: Call, request: ParsedRequest) -> Reply:
        """The answer to a read of one customer. Raises Problem."""
        return Reply(200, encode(self._read(call, request.credential, request.query, [request.subject])[0]))

    def _read(self, call: Call, credential: Credential, query: FeatureQuery, subjects: Sequence[str]) -> list[Answer]:
        """Answers in the order of ``subjects``, which may repeat."""
        service = self.services.get(query.service)
        if service is None or service.name not in credential.services:
            raise UnknownService("GET /v1/services lists the services that this key may use - at `$.service`")
        require_purpose(credential, query.purpose)
        call.log_fields |= {"service": service.name, "purpose": query.purpose, "subjects": len(subjects)}
        distinct = list(dict.fromkeys(subjects))
        read: Sequence[Answer]
        too_early: Sequence[TooEarlyView] = ()
        try:
            read = self.reader.read(
                service,
                query.purpose,
                distinct,
                now_ms=call.now_ms,
                timeout_ms=self.timeout_ms if query.timeout_ms is None else int(query.timeout_ms),
                features=self._requested_features(service.name, query.features),
                as_of_ms=None if query.as_of is None else past_ms(query.as_of, call.now_ms),
                with_defaults=query.withheld is not None,
            )
        except AsOfTooEarly as error:
            too_early, read = error.views, error.answers
        except StoreUnavailable as error:
            call.log_fields["store"] = str(error)
            raise Unavailable("The store did not answer in time. Nothing was read.") from None
        except ReadTooSlow as error:
            call.log_fields["read"] = str(error)
            raise Unavailable("The values could not be computed in time. Ask for fewer customers at a time.") from None
        hide_unknown_customers(read)
        self.access_log.add_read(credential, service.name, query.purpose, distinct, read, call.now_ms, call.request_id)
        if too_early:  # recorded as well: the problem states which views have later events
            batch = subjects if isinstance(query, BatchRequest) else ()
            raise TooEarly(explanation(too_early, distinct, batch))
        by_subject = dict(zip(distinct, read, strict=True))
        answers = [by_subject[subject] for subject in subjects]
        count_views(service.name, query.purpose, answers)
        return answers

    def _requested_features(self, service: str, features: Sequence[str] | None) -> frozenset[str] | None:
        """The features of a query as a set, None for all. Raises Unprocessable for one that the service lacks."""
        if features is None:
            return None
        requested = frozenset(features)
        if not requested <= self.feature_names[service]:
            at = next(i for i, name in enumerate(features) if name not in self.feature_names[service])
            raise Unprocessable(f"The service has no such feature; GET /v1/services lists them - at `$.features[{at}]`")
        return requested


def hide_unknown_customers(answers: Sequence[Answer]) -> None:
    """Answer for an unknown customer as for one without consent: no read may reveal whether a person is a customer.

    Replaces views within the answers.
    """
    for answer in answers:
        views = answer.views
        for name, view in views.items():
            if view.reason == Denial.UNKNOWN:
                views[name] = replace(view, reason=Denial.NO_RECORD)


@cache
def feature_handler() -> FeatureHandler:
    """The process's handler, over the catalog and the store of this installation."""
    conf = settings()
    reader = FeatureReader(configured.store(), conf.partitions)
    access_log = access_log_writer()
    access_log.start()  # before the first read, so that a process that read anything is known
    services = catalog().registry.services
    return FeatureHandler(services, reader, access_log, conf.subject_secret.encode(), conf.store_timeout_ms)
