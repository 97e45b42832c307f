"""Client of an event stream: a thread collects the events."""

import contextlib
import json
import socket
import threading
from typing import Any, NamedTuple

import httpx

from devservers.waiting import eventually


class ReceivedEvent(NamedTuple):
    """An event as it was received."""

    event: str
    data: dict[str, Any]
    id: str


class Listener:
    """``status`` and ``headers`` of the answer, ``received`` events; ``ended`` after the server closed it."""

    def __init__(self, url: str, key: str, query: dict[str, Any], client: httpx.Client | None = None, **headers: str):
        self.received: list[ReceivedEvent] = []
        self.comments = 0
        self.ended = False
        self.problem: dict[str, Any] = {}
        self._client = client or httpx.Client(timeout=httpx.Timeout(10, read=60))
        request = self._client.build_request(
            "POST", f"{url}/v1/features/stream", json=query, headers={"Authorization": f"Bearer {key}"} | headers
        )
        self._response = self._client.send(request, stream=True)
        self.status, self.headers = self._response.status_code, self._response.headers
        if self.status == 200:
            threading.Thread(target=self._listen, daemon=True).start()
        else:
            self.problem = json.loads(self._response.read())

    def _listen(self) -> None:
        fields: dict[str, str] = {}
        try:
            for line in self._response.iter_lines():
                if line.startswith(":"):
                    self.comments += 1
                elif line:
                    name, _, value = line.partition(": ")
                    fields[name] = value
                elif "event" in fields:
                    self.received.append(ReceivedEvent(fields["event"], json.loads(fields["data"]), fields["id"]))
                    fields = {}
            self.ended = True
        except httpx.TransportError:  # closed by ``disconnect``, or broken: not an orderly end
            return

    def newest(self) -> ReceivedEvent:
        eventually(lambda: self.received, "a first event has come", within_s=10)
        return self.received[-1]

    def until_event(self, event: str, within_s: float = 20) -> ReceivedEvent:
        """Wait until the newest event has this name."""
        eventually(lambda: self.received and self.received[-1].event == event, f"{event} has come", within_s)
        return self.received[-1]

    def until_value(self, name: str, value: Any, within_s: float = 20) -> ReceivedEvent:
        """Wait until the newest answer has a feature's value."""
        eventually(
            lambda: self.received and self.received[-1].data.get("features", {}).get(name) == value, name, within_s
        )
        return self.received[-1]

    def disconnect(self) -> None:
        """Close the connection. ``close`` alone sends nothing while the thread still reads from the socket."""
        with contextlib.suppress(OSError):  # the server closed it first
            self._response.extensions["network_stream"].get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        self._client.close()
