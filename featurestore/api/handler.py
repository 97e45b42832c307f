"""The feature read: one framework-free handler. Every door to it (django-ninja's routes, a fast lane) answers alike."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Annotated, NamedTuple

import msgspec

from featurestore.access.scopes import Scope
from featurestore.access.selectors import Credential
from featurestore.accesslog.writer import AccessLogWriter, access_log_writer
from featurestore.api.as_of import AsOf, explained, past_ms
from featurestore.api.auth import authenticate, charge, require_purpose
from featurestore.api.body import Body, Identifier, Name, subject_at
from featurestore.api.errors import TooEarly, Unavailable, UnknownService, Unprocessable
from featurestore.api.metrics import count_views
from featurestore.api.reply import Call, Reply, encode
from featurestore.catalog import registry
from featurestore.config import settings
from featurestore.definitions import FeatureService
from featurestore.permission import Denial
from featurestore.serving.answer import Answer, Status, ViewAnswer
from featurestore.serving.as_of import AsOfTooEarly
from featurestore.serving.reader import Reader
from featurestore.store import configured
from featurestore.store.protocol import StoreUnavailable

LARGEST_BATCH = 100
SHORTEST_TIMEOUT_MS, LONGEST_TIMEOUT_MS = 10, 2000

Chosen = Annotated[
    list[Name],
    msgspec.Meta(min_length=1, max_length=1000, description="Some of the service's features; all if left out."),
]
Timeout = Annotated[
    float,  # to JSON Schema 250.0 is an integer, too
    msgspec.Meta(
        ge=SHORTEST_TIMEOUT_MS, le=LONGEST_TIMEOUT_MS, description="Longest wait for the store; 250 as a rule."
    ),
]
Customers = Annotated[
    list[Identifier],
    msgspec.Meta(
        description=f"1 to {LARGEST_BATCH} customers, answered in order.",
        extra_json_schema={"minItems": 1, "maxItems": LARGEST_BATCH},
    ),
]


class FeatureQuery(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What every read names."""

    service: Name
    purpose: Annotated[Name, msgspec.Meta(description="The one purpose that the answer will be used for.")]
    features: Chosen | None = None
    timeout_ms: Timeout | None = None
    as_of: AsOf | None = None


class FeatureRequest(FeatureQuery, forbid_unknown_fields=True, kw_only=True):
    """One customer's features."""

    customer_id: Identifier


class BatchRequest(FeatureQuery, forbid_unknown_fields=True, kw_only=True):
    """The features of up to 100 customers, in one round trip to the store."""

    customer_ids: Customers


class BatchAnswer(msgspec.Struct):
    """One answer a customer, in the order of the request."""

    results: list[Answer]


class Asked(NamedTuple):
    """One customer's read, understood."""

    credential: Credential
    question: FeatureRequest
    subject: str


ONE, MANY = Body(FeatureRequest), Body(BatchRequest)
UNREGISTERED = ViewAnswer(Status.WITHHELD, reason=Denial.NO_RECORD)


class FeatureHandler:
    """Bytes and an Authorization header in, bytes out. Safe to share among threads."""

    def __init__(
        self,
        services: Mapping[str, FeatureService],
        reader: Reader,
        access_log: AccessLogWriter,
        secret: bytes,
        timeout_ms: int,
    ) -> None:
        self.services, self.reader, self.access_log = services, reader, access_log
        self.secret, self.timeout_ms = secret, timeout_ms
        self.names = {name: frozenset(service.defaults()) for name, service in services.items()}

    def one(self, call: Call) -> Reply:
        """POST /v1/features."""
        return self.answer(call, self.asked(call))

    def answer(self, call: Call, asked: Asked) -> Reply:
        """The answer of a read that is understood."""
        return Reply(200, encode(self._read(call, asked.credential, asked.question, [asked.subject])[0]))

    def asked(self, call: Call) -> Asked:
        """Who asks what of whom. Raises Problem."""
        credential = authenticate(call, Scope.FEATURES_READ)
        question = ONE.decode(call.body)
        return Asked(credential, question, subject_at(question.customer_id, self.secret, "$.customer_id"))

    def many(self, call: Call) -> Reply:
        """POST /v1/features/batch."""
        credential = authenticate(call, Scope.FEATURES_READ)
        question = MANY.decode(call.body)
        customers = question.customer_ids
        if not 1 <= len(customers) <= LARGEST_BATCH:
            raise Unprocessable(f"Ask for 1 to {LARGEST_BATCH} customers at a time - at `$.customer_ids`")
        charge(call, credential, len(customers) - 1)  # one is charged already
        subjects = [subject_at(customer, self.secret, f"$.customer_ids[{i}]") for i, customer in enumerate(customers)]
        return Reply(200, encode(BatchAnswer(self._read(call, credential, question, subjects))))

    def _read(
        self, call: Call, credential: Credential, question: FeatureQuery, subjects: Sequence[str]
    ) -> list[Answer]:
        service = self.services.get(question.service)
        if service is None or service.name not in credential.services:
            raise UnknownService("GET /v1/services lists the services that this key may use - at `$.service`")
        require_purpose(credential, question.purpose)
        call.log_fields |= {"service": service.name, "purpose": question.purpose, "subjects": len(subjects)}
        asked = list(dict.fromkeys(subjects))
        try:
            read = self.reader.read(
                service,
                question.purpose,
                asked,
                now_ms=call.now_ms,
                timeout_ms=self.timeout_ms if question.timeout_ms is None else int(question.timeout_ms),
                features=self._chosen(service.name, question.features),
                as_of_ms=None if question.as_of is None else past_ms(question.as_of, call.now_ms),
            )
        except AsOfTooEarly as error:
            self._record(call, credential, question, asked, error.answers)  # which views have later events is told
            places = subjects if isinstance(question, BatchRequest) else ()
            raise TooEarly(explained(error.found, asked, places)) from None
        except StoreUnavailable as error:
            call.log_fields["store"] = str(error)
            raise Unavailable("The store did not answer in time. Nothing was read.") from None
        self._record(call, credential, question, asked, read)
        by_subject = dict(zip(asked, read, strict=True))
        answers = [by_subject[subject] for subject in subjects]
        count_views(service.name, question.purpose, answers)
        return answers

    def _record(
        self,
        call: Call,
        credential: Credential,
        question: FeatureQuery,
        subjects: Sequence[str],
        answers: Sequence[Answer],
    ) -> None:
        for answer in answers:
            _hide_registration(answer.views)
        self.access_log.add_read(
            credential, question.service, question.purpose, subjects, answers, call.now_ms, call.request_id
        )

    def _chosen(self, service: str, features: Sequence[str] | None) -> frozenset[str] | None:
        if features is None:
            return None
        chosen = frozenset(features)
        if not chosen <= self.names[service]:
            at = next(i for i, name in enumerate(features) if name not in self.names[service])
            raise Unprocessable(f"The service has no such feature; GET /v1/services lists them - at `$.features[{at}]`")
        return chosen


def _hide_registration(views: dict[str, ViewAnswer]) -> None:
    """Answer for a customer nobody knows as for one without consent: reads don't tell who is a customer."""
    for name, view in views.items():
        if view.reason == Denial.UNKNOWN:
            views[name] = UNREGISTERED


@cache
def feature_handler() -> FeatureHandler:
    """The process's handler, over the catalog and the store of this installation."""
    conf = settings()
    reader = Reader(configured.store(), conf.partitions)
    access_log = access_log_writer()
    access_log.start()  # before the first read, so that a process that read anything is known
    return FeatureHandler(registry.services, reader, access_log, conf.subject_secret.encode(), conf.store_timeout_ms)
