"""Access: the programs that may call the API, their credentials and rate limits, and the roles of staff.

In reading order:

- ``models``: clients, keys, secrets, requests per client and hour. ``errors``: what is refused, and what to do.
- ``keys``: texts of credentials. ``scopes``: actions and purposes. ``roles``: permissions of staff.
- ``services``: creates, rotates and revokes. ``usage``: adds and sums requests. ``tasks``: Celery's part.
- ``selectors``: authenticates a text, by ``credential_cache``, which ``cache_invalidation`` empties in all processes.
- ``oauth``: the server that issues tokens. ``rate_limiter``: requests of a client, or of an
  address (``addresses``), in a window.
- ``admin``: pages of clients, keys, secrets and staff.
"""
