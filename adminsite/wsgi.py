"""What granian serves: ``granian --interface wsgi adminsite.wsgi:application``."""

import os

from django.core.wsgi import get_wsgi_application

from adminsite.checks import refuse_if_unsafe

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "adminsite.settings")
refuse_if_unsafe()
application = get_wsgi_application()
