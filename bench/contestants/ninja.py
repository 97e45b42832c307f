"""Rapport without its fast lane: every request goes through Django and django-ninja.

granian --interface wsgi bench.contestants.ninja:application
"""

from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()
