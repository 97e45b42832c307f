"""What granian serves: ``granian --interface wsgi adminsite.wsgi:application``."""

import os

from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "adminsite.settings")
application = get_wsgi_application()

# A WSGI server runs no system check by itself; ours must, or unsafe settings would be served.
if found := run_checks(tags=["rapport"]):
    raise ImproperlyConfigured("\n".join(f"{error.id}: {error.msg} {error.hint}" for error in found))
