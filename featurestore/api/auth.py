"""Authentication and authorisation by the API key or access token in the Authorization header (RFC 6750)."""

from featurestore.access.rate_limiter import WINDOW_S, rate_limiter
from featurestore.access.scopes import Scope
from featurestore.access.selectors import Credential, Rejection, credential
from featurestore.access.services import record_use
from featurestore.api.errors import Forbidden, TooManyRequests, Unauthorised, Unprocessable
from featurestore.api.reply import Call

SCHEME = "bearer "


def authenticate(call: Call, scope: Scope | None = None) -> Credential:
    """The caller's credential, which has the scope. Charges one request. Raises Unauthorised, Forbidden."""
    header = call.authorization
    text = header[len(SCHEME) :].strip() if header[: len(SCHEME)].lower() == SCHEME else ""
    found = credential(text, call.now_ms)
    if isinstance(found, Rejection):
        call.log_fields["denied"] = found.value if header else Rejection.MISSING.value
        raise Unauthorised(presented=bool(header))
    call.log_fields["client"], call.log_fields["key_id"] = found.client, found.key_id
    record_use(found.key_id, call.now_ms)
    charge(call, found, 1)
    if scope is not None:
        require_scope(found, scope)
    return found


def require_scope(credential: Credential, scope: Scope) -> None:
    """Raises Forbidden unless the credential has the scope."""
    if scope not in credential.scopes:
        challenge = f'Bearer realm="rapport", error="insufficient_scope", scope="{scope}"'
        raise Forbidden(f"This key does not hold the scope {scope}.", {"WWW-Authenticate": challenge})


def charge(call: Call, credential: Credential, cost: int) -> None:
    """Take ``cost`` from the client's rate limit, and answer with what is left of this window.

    Raises TooManyRequests, or Unprocessable for a cost above the limit of a whole window.
    """
    if cost > credential.requests_per_s * WINDOW_S:
        raise Unprocessable(
            f"This client may send {credential.requests_per_s * WINDOW_S} customers or events in {WINDOW_S} s: "
            "send fewer at a time."
        )
    result = rate_limiter().acquire(credential.client, credential.requests_per_s * WINDOW_S, cost, call.now_ms)
    call.headers["RateLimit-Policy"] = f'"client";q={result.quota};w={WINDOW_S}'
    call.headers["RateLimit"] = f'"client";r={result.remaining};t={result.reset_s}'
    if not result.admitted:
        raise TooManyRequests(result.reset_s)


def require_purpose(credential: Credential, purpose: str) -> None:
    """Raises Forbidden unless the credential is bound to the purpose; it does not reveal whether the purpose exists."""
    if purpose not in credential.purposes:
        raise Forbidden("This key is not bound to this purpose; GET /v1/services lists the purposes of the key.")
