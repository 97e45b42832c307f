from django.apps import AppConfig


class AuditConfig(AppConfig):
    name = "featurestore.audit"
    label = "audit"
