"""The Django site: settings, addresses, Celery, the administration's looks."""

from adminsite.celery import app as celery_app

__all__ = ["celery_app"]
