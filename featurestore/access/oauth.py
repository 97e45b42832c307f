"""OAuth 2.0 client credentials (RFC 6749, section 4.4): oauthlib's server over django-oauth-toolkit's tokens.

The server knows this one grant; every other is an ``unsupported_grant_type``. The toolkit's own validator is for all of
them, one secret a client, and a query for each wrong one: ours has what this grant asks, and nothing else to be asked.
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
from featurestore.access.keys import Prefix, digest_of, new_token, readable
from featurestore.access.models import ApiClient
from featurestore.access.scopes import PURPOSE, words_of
from featurestore.access.selectors import Credential, Rejection, client_credential, invalidate_credentials
from featurestore.access.services import record_use
from featurestore.config import settings

BASIC = "basic "


class Presented(NamedTuple):
    """What a client says that it is."""

    client_id: str
    secret: str


class ClientValidator(RequestValidator):
    """Who asks for tokens, and for which scope. For one request; ``noted`` is for its log, ``charge`` may refuse it."""

    def __init__(self, now_ms: int, noted: dict[str, Any], charge: Callable[[Credential], None]) -> None:
        self.now_ms, self.noted, self.charge = now_ms, noted, charge
        self.holder: Credential | None = None

    def authenticate_client(self, request: Request, *args: Any, **kwargs: Any) -> bool:
        """By HTTP Basic or by the body, not by both. No wrong secret costs a query. Raises KeysUnavailable."""
        presented = _presented(request) or Presented("", "")
        found = client_credential(presented.client_id, presented.secret, self.now_ms)
        if isinstance(found, Rejection):
            self.noted["denied"] = found.value if presented.secret else Rejection.MISSING.value
            return False
        self.noted |= {"client": found.client, "key_id": found.key_id}
        self.charge(found)
        request.client = ApiClient.objects.filter(name=found.client, active=True).first()
        self.holder = found
        return request.client is not None

    def validate_grant_type(self, *args: Any, **kwargs: Any) -> bool:
        return True

    def get_default_scopes(self, *args: Any, **kwargs: Any) -> list[str]:
        """Whoever names no scope gets all that the client may."""
        return self._allowed()

    def validate_scopes(self, client_id: str, scopes: list[str], *args: Any, **kwargs: Any) -> bool:
        """Raises InvalidScopeError, which says what to change and repeats nothing that was sent."""
        if not set(scopes) <= set(self._allowed()):
            raise InvalidScopeError("This client may not have every word of that scope. Without one it gets all.")
        if len({word.startswith(PURPOSE) for word in scopes}) < 2:
            raise InvalidScopeError("Name an action and a purpose, as in: features:read purpose:service")
        return True

    def _allowed(self) -> list[str]:
        assert self.holder is not None  # oauthlib authenticates first
        return words_of(self.holder.scopes, self.holder.purposes)

    def token_text(self, request: Request) -> str:
        """oauthlib's ``token_generator``."""
        assert self.holder is not None
        record_use(self.holder.key_id, self.now_ms)
        return new_token(self.holder.key_id, self.now_ms // 1000 + request.expires_in, credential_cache.seal_key)

    def save_bearer_token(self, token: dict[str, Any], request: Request, *args: Any, **kwargs: Any) -> None:
        """Keep the token's digest, and its readable part, which says what secret bought it."""
        assert self.holder is not None
        expires = datetime.now(UTC) + timedelta(seconds=token["expires_in"])
        row = AccessToken(application=request.client, scope=token["scope"], expires=expires)
        set_token_value(row, token["access_token"])
        row.token = readable(Prefix.TOKEN, self.holder.key_id)
        row.save()

    def revoke_token(self, token: str, token_type_hint: str, request: Request, *args: Any, **kwargs: Any) -> None:
        """RFC 7009: in effect at once, everywhere. Another client's token, or none at all, is no error."""
        if AccessToken.objects.filter(token_checksum=digest_of(token), application=request.client).delete()[0]:
            invalidate_credentials()


def server(now_ms: int, noted: dict[str, Any], charge: Callable[[Credential], None]) -> BackendApplicationServer:
    """What answers one request for a token or its revocation."""
    validator = ClientValidator(now_ms, noted, charge)
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
