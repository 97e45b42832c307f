"""HTTP API: thin routers, one resource a file, in front of a framework-free handler of the feature read.

In reading order: ``reply`` (Call and Reply), ``handler`` (the feature read), ``request_cycle`` (from headers to a
counted, logged answer); the adapters ``django_adapter``, ``fast_path`` and ``sse/asgi_adapter``; ``urls`` and the
resources ``features``, ``consents``, ``customers``, ``events``, ``services``, ``tokens``, ``health``.

Used by these: ``auth``, ``body``, ``errors`` (problem documents), ``as_of``, ``trace``, ``admission`` (limits of
requests at once), ``draining``, ``metrics``. The OpenAPI document: ``documents``, ``examples``, ``compatibility``.
"""
