"""Bare Django view with one redis-py GET, without authentication, consent or windows: the floor of a read's cost.

    granian --interface wsgi bench.contestants.floor:application

``FLOOR_REDIS`` is the Redis' URL; it holds each customer's answer as JSON.
"""

import json
import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path
from redis import Redis

settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, MIDDLEWARE=[], SECRET_KEY="floor", LOGGING_CONFIG=None)
redis = Redis.from_url(os.environ["FLOOR_REDIS"])


def read(request: HttpRequest) -> HttpResponse:
    customer_id = json.loads(request.body)["customer_id"]
    return HttpResponse(redis.get(f"floor:{customer_id}"), content_type="application/json")


urlpatterns = [path("features", read)]
application = get_wsgi_application()
