"""Client of the API with a key: records consents, reads features."""

import http.client
import json
from typing import Any, NamedTuple
from urllib.parse import urlsplit

TIMEOUT_S = 5


class Reply(NamedTuple):
    """Status and body of an answer. ``status`` 0: the API can't be reached."""

    status: int
    body: dict[str, Any]


class ApiClient:
    """Client with one connection, which is opened again when it breaks."""

    def __init__(self, url: str, key: str) -> None:
        self._address = urlsplit(url).netloc
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self._connection = http.client.HTTPConnection(self._address, timeout=TIMEOUT_S)

    def record_decision(self, customer_id: str, purpose: str, decision: str, notice: str) -> Reply:
        """Record a consent or its withdrawal."""
        body = {"customer_id": customer_id, "purpose": purpose, "decision": decision, "notice": notice}
        return self.post("/v1/consents", {**body, "method": "app"})

    def read_features(self, customer_id: str, service: str, purpose: str) -> Reply:
        """A customer's features."""
        return self.post("/v1/features", {"service": service, "purpose": purpose, "customer_id": customer_id})

    def get(self, path: str) -> Reply:
        return self._request("GET", path, None)

    def post(self, path: str, body: dict[str, Any]) -> Reply:
        return self._request("POST", path, json.dumps(body))

    def _request(self, method: str, path: str, body: str | None) -> Reply:
        try:
            self._connection.request(method, path, body, self._headers)
            answer = self._connection.getresponse()
            return Reply(answer.status, json.loads(answer.read()))
        except (OSError, http.client.HTTPException, ValueError):
            self._connection.close()
            return Reply(0, {})
