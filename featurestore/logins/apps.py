from django.apps import AppConfig


class LoginsConfig(AppConfig):
    name = "featurestore.logins"
    label = "logins"
    verbose_name = "Logins"
