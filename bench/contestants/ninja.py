"""Rapport without its fast path: every request goes through Django and django-ninja."""

from django.core.wsgi import get_wsgi_application

import adminsite.wsgi  # noqa: F401  (which prepares the process)

application = get_wsgi_application()
