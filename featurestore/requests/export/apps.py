from django.apps import AppConfig


class ExportConfig(AppConfig):
    name = "featurestore.requests.export"
    label = "exports"
    verbose_name = "Exports"
