"""Rapport without its fast lane: every request goes through Django and django-ninja. Called as adminsite.serve is."""

from django.core.wsgi import get_wsgi_application

from adminsite import serve

if __name__ == "__main__":
    serve.main("bench.contestants.ninja:application")
else:
    import adminsite.wsgi  # noqa: F401  (which prepares the process)

    application = get_wsgi_application()
