"""What granian serves: ``python -m adminsite.serve``; the fast lane before Django."""

import gc
import os
from wsgiref.types import WSGIApplication

from django.core.wsgi import get_wsgi_application
from django.db import connections

from adminsite.checks import refuse_if_unsafe
from featurestore.api.draining import drain, draining
from featurestore.config import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "adminsite.settings")
refuse_if_unsafe()
application: WSGIApplication = get_wsgi_application()
# Any of hundreds of threads may answer the next request: if each kept its own, PostgreSQL would run out of connections.
connections.settings["default"]["CONN_MAX_AGE"] = 0

from featurestore.api.lane import fast_lane  # noqa: E402  (Django is set up now)

if settings().serves_api:
    application = fast_lane(application)
application = draining(application)
drain.listen()
# What was made until now stays. Without this, answers that wait for their access record to be sent have the collector
# look through all of it again and again, and reads wait for 60 ms.
gc.collect()
gc.freeze()
