"""Address of the download page."""

from django.urls import URLPattern, path

from featurestore.requests.export.views import download

urlpatterns: list[URLPattern] = [path("exports/<str:link>", download, name="export_download")]
