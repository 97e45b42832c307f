from django.apps import AppConfig


class StaffReadsConfig(AppConfig):
    name = "featurestore.staffreads"
    verbose_name = "reads by staff"
