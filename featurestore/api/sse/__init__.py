"""Event streams (server-sent events): a customer's features during a conversation, sent again on each change.

In reading order: ``asgi_adapter`` (the ASGI application), ``streams`` (all streams of a process: opening, limits, end),
``stream`` (one of them), ``events`` (bytes of an event), ``operation`` (the OpenAPI document), ``metrics``.
"""
