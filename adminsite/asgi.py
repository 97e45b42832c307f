"""ASGI application of ``python -m adminsite.sse``: event streams."""

import os

import django

from adminsite.checks import refuse_if_unsafe

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "adminsite.settings")
django.setup()
refuse_if_unsafe()

from featurestore.api.process_metrics import serve_to_other_workers  # noqa: E402  (Django is set up now)
from featurestore.api.sse.asgi_adapter import event_stream_app  # noqa: E402

application = event_stream_app()
serve_to_other_workers()
