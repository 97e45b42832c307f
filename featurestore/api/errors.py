"""Everything that can go wrong with a request, in one shape: problem documents (RFC 9457).

A detail says what to change. It never repeats a value of the request: that may identify a customer, and an answer ends
up in the caller's logs.
"""

from collections.abc import Mapping
from http import HTTPStatus

import msgspec

from featurestore.api.reply import Reply, encode

PROBLEM_JSON = "application/problem+json"
RETRY_AFTER_S = 1


class ProblemDocument(msgspec.Struct):
    """RFC 9457. ``instance`` names this one occurrence; quote it when you ask for help."""

    type: str
    title: str
    status: int
    detail: str
    instance: str


class Problem(Exception):
    """Why a request is refused. ``name`` is stable: programs may tell problems apart by their type."""

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


class Unauthorised(Problem):
    """No key or token, or one that is not taken: the same words for each, so that nobody learns which exist."""

    status, name, title = HTTPStatus.UNAUTHORIZED, "unauthorised", "No valid API key or token"

    def __init__(self, *, presented: bool) -> None:
        error = ', error="invalid_token"' if presented else ""  # OAuth's clients buy a new one then (RFC 6750, 3.1)
        super().__init__(
            "Send an API key or access token that is neither expired nor revoked: `Authorization: Bearer rap_...`.",
            {"WWW-Authenticate": f'Bearer realm="rapport"{error}'},
        )


class Forbidden(Problem):
    status, name, title = HTTPStatus.FORBIDDEN, "forbidden", "The key may not do this"


class NotFound(Problem):
    status, name, title = HTTPStatus.NOT_FOUND, "not-found", "Nothing is here"


class UnknownService(Problem):
    """One that is not defined, or that the key is not bound to: the same words, so that nobody learns which exist."""

    status, name, title = HTTPStatus.NOT_FOUND, "unknown-service", "There is no such service"


class NotAllowed(Problem):
    status, name, title = HTTPStatus.METHOD_NOT_ALLOWED, "method-not-allowed", "This method is not offered here"


class TooLarge(Problem):
    status, name, title = HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too-large", "The body is too large"


class Unprocessable(Problem):
    status, name, title = HTTPStatus.UNPROCESSABLE_ENTITY, "unprocessable", "The request can't be answered as it is"


class TooEarly(Problem):
    """A time as of which there is no exact answer."""

    status, name, title = HTTPStatus.UNPROCESSABLE_ENTITY, "as-of-too-early", "There is no exact answer as of that time"


class InFuture(Problem):
    status, name, title = HTTPStatus.UNPROCESSABLE_ENTITY, "as-of-in-future", "The time asked for has not come"


class EventRefused(Problem):
    """An event of a time that the streams would put aside, or could not recognise again."""

    status, name, title = HTTPStatus.UNPROCESSABLE_ENTITY, "event-time", "An event is too old, or of the future"


class Refused(Problem):
    """A consent decision that the rules refuse. Its name says which rule."""

    title = "The decision is refused"

    def __init__(self, status: int, name: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.name = status, name


class Later(Problem):
    """Nothing is wrong with the request: try again after a while."""

    def __init__(self, detail: str, after_s: int = RETRY_AFTER_S) -> None:
        super().__init__(detail, {"Retry-After": str(after_s)})


class Unavailable(Later):
    status, name, title = HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", "Temporarily unavailable"


class Overloaded(Later):
    """As much is in hand as this process takes: it says so at once, and another may be free."""

    status, name, title = HTTPStatus.SERVICE_UNAVAILABLE, "overloaded", "Too much is in hand"

    def __init__(self) -> None:
        super().__init__("Nothing was done. Try again, or ask another process.")


class TooMany(Later):
    """The client has used up its window."""

    status, name, title = HTTPStatus.TOO_MANY_REQUESTS, "too-many-requests", "The client's rate limit is reached"

    def __init__(self, reset_s: int) -> None:
        super().__init__("Ask less often: the RateLimit headers say how much, and Retry-After when again.", reset_s)


class TooManyStreams(Later):
    status, name, title = HTTPStatus.TOO_MANY_REQUESTS, "too-many-streams", "Too many event streams"


class Internal(Problem):
    status, name, title = HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "Internal error"

    def __init__(self) -> None:
        super().__init__("Something broke that is not your fault. Quote the instance when you report it.")
