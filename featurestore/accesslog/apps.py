from django.apps import AppConfig


class AccessLogConfig(AppConfig):
    name = "featurestore.accesslog"
    verbose_name = "access log"
