"""WSGI application of ``python -m adminsite.serve``: the fast path before Django."""

import gc
import os
from wsgiref.types import WSGIApplication

import django
from django.core.wsgi import get_wsgi_application
from django.db import connections

from adminsite.checks import refuse_if_unsafe
from adminsite.export_checks import refuse_without_export_folder
from featurestore.api.draining import close_while_draining, drain_state
from featurestore.config import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "adminsite.settings")
django.setup()
refuse_if_unsafe()
refuse_without_export_folder()
application: WSGIApplication = get_wsgi_application()
# Hundreds of threads answer requests: if each kept its own connection, PostgreSQL would run out of them.
connections.settings["default"]["CONN_MAX_AGE"] = 0

import adminsite.urls  # noqa: E402, F401  (Django is set up now; its first request would import them after the freeze)
from featurestore.api.fast_path import with_fast_path  # noqa: E402
from featurestore.api.process_metrics import serve_to_other_workers  # noqa: E402

if settings().serves_api:
    application = with_fast_path(application)
application = close_while_draining(application)
drain_state.start_on_signal()
serve_to_other_workers()
# Objects made until now stay alive. Without this, the garbage collector scans all of them again and again while access
# records are pending, and reads wait for 60 ms.
gc.collect()
gc.freeze()
