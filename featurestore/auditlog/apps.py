from django.apps import AppConfig


class AuditLogConfig(AppConfig):
    name = "featurestore.auditlog"
    verbose_name = "audit log"
