from django.apps import AppConfig


class PrivacyConfig(AppConfig):
    name = "featurestore.privacy"
    label = "privacy"
