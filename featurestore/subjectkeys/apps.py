from django.apps import AppConfig


class SubjectKeysConfig(AppConfig):
    name = "featurestore.subjectkeys"
