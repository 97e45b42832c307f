"""OAuth 2.0 server for client credentials (RFC 6749, section 4.4): oauthlib's, over django-oauth-toolkit's tokens.

It supports this one grant; every other is an ``unsupported_grant_type``. The toolkit's own validator is for all grants,
supports one secret per client, and queries the database for each wrong one; ours has what this grant needs.
"""

import base64
import binascii
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

from oauth2_provider.models import AccessToken, set_token_value
from oauthlib.common import Request
from oauthlib.oauth2 import BackendApplicationServer, InvalidScopeError, RequestValidator

from featurestore.access.credential_cache import credential_cache
from featurestore.access.keys import Prefix, digest_of, new_token, readable_part
from featurestore.access.models import ApiClient
from featurestore.access.scopes import PURPOSE, scope_tokens
from featurestore.access.selectors import Credential, Rejection, client_credential, invalidate_credentials
from featurestore.access.services import record_use
from featurestore.config import settings

BASIC = "basic "


class Presented(NamedTuple):
    """Client id and secret that a request presents."""

    client_id: str
    secret: str


class ClientValidator(RequestValidator):
    """Validator of one request for a token or a revocation. ``charge`` refuses a client that is over its rate limit."""

    def __init__(self, now_ms: int, log_fields: dict[str, Any], charge: Callable[[Credential], None]) -> None:
        self.now_ms, self.log_fields, self.charge = now_ms, log_fields, charge
        self.credential: Credential | None = None

    def authenticate_client(self, request: Request, *args: Any, **kwargs: Any) -> bool:
        """By HTTP Basic or by the body, not by both. A wrong secret costs no query. Raises KeysUnavailable."""
        presented = _presented(request) or Presented("", "")
        found = client_credential(presented.client_id, presented.secret, self.now_ms)
        if isinstance(found, Rejection):
            self.log_fields["denied"] = found.value if presented.secret else Rejection.MISSING.value
            return False
        self.log_fields |= {"client": found.client, "key_id": found.key_id}
        self.charge(found)
        request.client = ApiClient.objects.filter(name=found.client, active=True).first()
        self.credential = found
        return request.client is not None

    def validate_grant_type(self, *args: Any, **kwargs: Any) -> bool:
        return True

    def get_default_scopes(self, *args: Any, **kwargs: Any) -> list[str]:
        """All that the client may: a request without a scope gets it."""
        return self._allowed()

    def validate_scopes(self, client_id: str, scopes: list[str], *args: Any, **kwargs: Any) -> bool:
        """Raises InvalidScopeError, which states what to change and repeats nothing of the request."""
        if not set(scopes) <= set(self._allowed()):
            raise InvalidScopeError(
                "This client may not have every token of that scope. Leave the scope out to get all that it may."
            )
        if len({token.startswith(PURPOSE) for token in scopes}) < 2:
            raise InvalidScopeError("Name an action and a purpose, as in: features:read purpose:service")
        return True

    def _allowed(self) -> list[str]:
        assert self.credential is not None  # oauthlib authenticates first
        return scope_tokens(self.credential.scopes, self.credential.purposes)

    def token_text(self, request: Request) -> str:
        """oauthlib's ``token_generator``."""
        assert self.credential is not None
        record_use(self.credential.key_id, self.now_ms)
        return new_token(self.credential.key_id, self.now_ms // 1000 + request.expires_in, credential_cache.signing_key)

    def save_bearer_token(self, token: dict[str, Any], request: Request, *args: Any, **kwargs: Any) -> None:
        """Store the token's digest, and its readable part, which names its secret."""
        assert self.credential is not None
        expires = datetime.now(UTC) + timedelta(seconds=token["expires_in"])
        row = AccessToken(application=request.client, scope=token["scope"], expires=expires)
        set_token_value(row, token["access_token"])
        row.token = readable_part(Prefix.TOKEN, self.credential.key_id)
        row.save()

    def revoke_token(self, token: str, token_type_hint: str, request: Request, *args: Any, **kwargs: Any) -> None:
        """Revoke a token in every process (RFC 7009). Another client's token, or an unknown one, is no error."""
        if AccessToken.objects.filter(token_checksum=digest_of(token), application=request.client).delete()[0]:
            invalidate_credentials()


def server(now_ms: int, log_fields: dict[str, Any], charge: Callable[[Credential], None]) -> BackendApplicationServer:
    """A server for one request for a token or its revocation."""
    validator = ClientValidator(now_ms, log_fields, charge)
    return BackendApplicationServer(validator, validator.token_text, settings().token_lifetime_s)


def _presented(request: Request) -> Presented | None:
    authorization = request.headers.get("Authorization") or ""
    if not authorization:
        return Presented(request.client_id or "", request.client_secret or "")
    if request.client_secret is not None or authorization[: len(BASIC)].lower() != BASIC:
        return None
    try:
        decoded = base64.b64decode(authorization[len(BASIC) :].strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    client_id, _, secret = decoded.partition(":")
    return Presented(unquote_plus(client_id), unquote_plus(secret))
