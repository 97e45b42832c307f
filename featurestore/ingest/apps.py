from django.apps import AppConfig


class IngestConfig(AppConfig):
    name = "featurestore.ingest"
    label = "ingest"
