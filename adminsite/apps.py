"""The site's own Django app: nothing but its system checks."""

from django.apps import AppConfig
from django.core.checks import register

from adminsite.checks import production


class AdminsiteConfig(AppConfig):
    name = "adminsite"
    label = "adminsite"

    def ready(self) -> None:
        register(production, "rapport")
