"""What granian serves as event streams: ``python -m adminsite.sse``."""

import os

import django

from adminsite.checks import refuse_if_unsafe

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "adminsite.settings")
refuse_if_unsafe()
django.setup()

from featurestore.api.sse.door import sse_door  # noqa: E402  (Django is set up now)

application = sse_door()
