"""Problems: the errors of all requests, answered in one shape, problem documents (RFC 9457).

A detail states what to change. It never repeats a value of the request: that may identify a customer, and callers log
answers.
"""

from collections.abc import Mapping
from http import HTTPStatus

import msgspec

from featurestore.api.reply import Reply, encode

PROBLEM_JSON = "application/problem+json"
RETRY_AFTER_S = 1


class ProblemDocument(msgspec.Struct):
    """RFC 9457. ``instance`` names this occurrence; quote it when you ask for help."""

    type: str
    title: str
    status: int
    detail: str
    instance: str


class Problem(Exception):
    """Base class of the reasons to refuse a request. ``name`` is stable: it ends the document's ``type``."""

    status: int
    name: str
    title: str

    def __init__(self, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.detail, self.headers = detail, dict(headers or {})

    def reply(self, request_id: str) -> Reply:
        """The problem document of this occurrence."""
        document = ProblemDocument(
            f"urn:rapport:problem:{self.name}",
            self.title,
            self.status,
            self.detail,
            f"urn:rapport:request:{request_id}",
        )
        return Reply(self.status, encode(document), PROBLEM_JSON, self.headers)


class Malformed(Problem):
    status, name, title = HTTPStatus.BAD_REQUEST, "malformed", "The body is malformed"


class MalformedHeader(Problem):
    status, name, title = HTTPStatus.BAD_REQUEST, "malformed", "A header is malformed"


class Unauthorised(Problem):
    """No key or token, or an invalid one: the same text for both, so that it reveals none."""

    status, name, title = HTTPStatus.UNAUTHORIZED, "unauthorised", "No valid API key or token"

    def __init__(self, *, presented: bool) -> None:
        error = ', error="invalid_token"' if presented else ""  # has OAuth clients get a new token (RFC 6750, 3.1)
        super().__init__(
            "Send an API key or access token that is neither expired nor revoked: `Authorization: Bearer rap_...`.",
            {"WWW-Authenticate": f'Bearer realm="rapport"{error}'},
        )


class Forbidden(Problem):
    status, name, title = HTTPStatus.FORBIDDEN, "forbidden", "The key may not do this"


class NotFound(Problem):
    status, name, title = HTTPStatus.NOT_FOUND, "not-found", "No such address"


class UnknownService(Problem):
    """A service that is not defined, or not for this key: the same text for both, so that it reveals none."""

    status, name, title = HTTPStatus.NOT_FOUND, "unknown-service", "There is no such service"


class MethodNotAllowed(Problem):
    status, name, title = HTTPStatus.METHOD_NOT_ALLOWED, "method-not-allowed", "This method is not offered here"


class TooLarge(Problem):
    status, name, title = HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too-large", "The body is too large"


class Unprocessable(Problem):
    status, name, title = HTTPStatus.UNPROCESSABLE_ENTITY, "unprocessable", "The request can't be answered as it is"


class TooEarly(Problem):
    """An ``as_of`` for which there is no exact answer."""

    status, name, title = HTTPStatus.UNPROCESSABLE_ENTITY, "as-of-too-early", "There is no exact answer as of that time"


class InFuture(Problem):
    status, name, title = HTTPStatus.UNPROCESSABLE_ENTITY, "as-of-in-future", "The time is in the future"


class EventTimeRefused(Problem):
    """An event time that the streams would quarantine, or that is past the deduplication window."""

    status, name, title = HTTPStatus.UNPROCESSABLE_ENTITY, "event-time", "An event is too old, or in the future"


class ConsentProblem(Problem):
    """A consent decision that a rule refuses. Its name states the rule."""

    title = "The decision is refused"

    def __init__(self, status: int, name: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.name = status, name


class AsOfProblem(ConsentProblem):
    """A question about the past that has no answer."""

    title = "The question can't be answered"


class RequestProblem(Problem):
    """A subject request, or an action on one, that a rule refuses. Its name states the rule."""

    title = "The subject request is refused"

    def __init__(self, status: int, name: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.name = status, name


class ErasedIdentifier(Problem):
    status, name, title = HTTPStatus.CONFLICT, "erased", "The customer was erased"


class Retryable(Problem):
    """Base class of the refusals of a correct request, which may be sent again after ``after_s``."""

    def __init__(self, detail: str, after_s: int = RETRY_AFTER_S) -> None:
        super().__init__(detail, {"Retry-After": str(after_s)})


class Unavailable(Retryable):
    status, name, title = HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", "Temporarily unavailable"


class Overloaded(Retryable):
    """A concurrency limit of this process is reached; another process may have free capacity."""

    status, name, title = HTTPStatus.SERVICE_UNAVAILABLE, "overloaded", "Too many requests at once"

    def __init__(self) -> None:
        super().__init__("Nothing was done. Try again, or ask another process.")


class TooManyRequests(Retryable):
    """The client has used its rate limit up."""

    status, name, title = HTTPStatus.TOO_MANY_REQUESTS, "too-many-requests", "The client's rate limit is reached"

    def __init__(self, reset_s: int) -> None:
        super().__init__(
            "Send requests less often: the RateLimit headers state the limit, Retry-After when to send again.", reset_s
        )


class TooOften(Retryable):
    """An address has asked for public pages too often."""

    status, name, title = HTTPStatus.TOO_MANY_REQUESTS, "too-often", "This page is asked for too often"

    def __init__(self) -> None:
        super().__init__("Ask for it less often: it changes twice a second at most.")


class TooManyStreams(Retryable):
    status, name, title = HTTPStatus.TOO_MANY_REQUESTS, "too-many-streams", "Too many event streams"


class Internal(Problem):
    status, name, title = HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "Internal error"

    def __init__(self) -> None:
        super().__init__("The server failed; your request may be correct. Quote the instance when you report it.")
