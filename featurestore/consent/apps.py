from django.apps import AppConfig


class ConsentConfig(AppConfig):
    name = "featurestore.consent"
    label = "consent"
