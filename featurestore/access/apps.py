from django.apps import AppConfig


class AccessConfig(AppConfig):
    name = "featurestore.access"
    label = "access"
    verbose_name = "Access"
