from django.apps import AppConfig


class RequestsConfig(AppConfig):
    name = "featurestore.requests"
    label = "requests"
