from django.apps import AppConfig


class JobsConfig(AppConfig):
    name = "featurestore.jobs"
