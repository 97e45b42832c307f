"""HTTP transport to this machine under a public host name, as DNS would lead there."""

import ssl

import httpx


class ToLoopback(httpx.HTTPTransport):
    """Transport that connects to 127.0.0.1, whatever the host's name is."""

    def __init__(self, trusted: ssl.SSLContext) -> None:
        super().__init__(verify=trusted)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.extensions["sni_hostname"] = request.url.host
        request.url = request.url.copy_with(host="127.0.0.1")
        return super().handle_request(request)
