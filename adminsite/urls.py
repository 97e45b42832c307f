"""Addresses: the administration, and the API with its health pages."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

from featurestore.config import ROOT

urlpatterns: list[URLPattern | URLResolver] = [path("admin/", admin.site.urls)]

if (ROOT / "featurestore" / "api" / "urls.py").exists():
    urlpatterns.append(path("", include("featurestore.api.urls")))
