from django.apps import AppConfig


class RetentionConfig(AppConfig):
    name = "featurestore.retention"
    label = "retention"
