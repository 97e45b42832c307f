"""The site's own Django app: its system checks, and Celery where tasks are started."""

from importlib import import_module

from django.apps import AppConfig
from django.core.checks import Tags, register

from adminsite.checks import outdated_database, production
from featurestore.config import settings


class AdminsiteConfig(AppConfig):
    name = "adminsite"
    label = "adminsite"

    def ready(self) -> None:
        register(production, "rapport")
        register(outdated_database, Tags.database)
        if settings().serves_admin:  # which starts no task, and is 17 MB smaller without
            import_module("adminsite.celery")
