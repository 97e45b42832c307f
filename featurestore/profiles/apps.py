from django.apps import AppConfig


class ProfilesConfig(AppConfig):
    name = "featurestore.profiles"
    label = "profiles"
