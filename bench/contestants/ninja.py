"""Rapport without its fast lane: every request goes through Django and django-ninja. Called as adminsite.serve is."""

from django.core.wsgi import get_wsgi_application

from adminsite import serve

if __name__ == "__main__":
    serve.main("bench.contestants.ninja:application")
else:
    application = get_wsgi_application()
