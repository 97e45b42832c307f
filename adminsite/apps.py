"""Django app of the site: registers system checks, and loads Celery where the process starts tasks."""

from importlib import import_module

from django.apps import AppConfig
from django.core.checks import Tags, register

from adminsite.checks import (
    asynchronous_replication,
    expiring,
    outdated_database,
    production,
    unknown_addresses,
    unreachable_links,
    untimed_statements,
    unusable_catalog,
    unverified_database,
)
from adminsite.host_checks import untested_host
from featurestore.config import settings


class AdminsiteConfig(AppConfig):
    name = "adminsite"
    label = "adminsite"

    def ready(self) -> None:
        register(production, "rapport")
        register(unusable_catalog, "rapport")
        register(untested_host, "rapport")
        register(unknown_addresses, "rapport")
        register(unreachable_links, "rapport")
        register(outdated_database, Tags.database)
        register(asynchronous_replication, Tags.database)
        register(untimed_statements, Tags.database)
        register(unverified_database, "rapport")
        register(expiring, "rapport")
        if settings().serves_admin:  # an API process starts no task, and needs 17 MB less without Celery
            import_module("adminsite.celery")
