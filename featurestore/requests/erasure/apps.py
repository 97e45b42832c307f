from django.apps import AppConfig


class ErasureConfig(AppConfig):
    name = "featurestore.requests.erasure"
    label = "erasure"
