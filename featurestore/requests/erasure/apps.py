from django.apps import AppConfig

from featurestore.row_locations import data_locations


class ErasureConfig(AppConfig):
    name = "featurestore.requests.erasure"
    label = "erasure"

    def ready(self) -> None:
        data_locations()
