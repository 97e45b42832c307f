"""Addresses: the administration, and the API with its health pages."""

from django.contrib import admin
from django.urls import include, path

handler400 = "featurestore.api.urls.bad_request"

urlpatterns = [
    path("admin/", admin.site.urls),
    path("", include("featurestore.api.urls")),
]
