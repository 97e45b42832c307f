"""URLs of the parts that this process serves: API, administration, health pages."""

from django.urls import URLPattern, URLResolver, include, path

from featurestore.api.urls import health_pages
from featurestore.config import settings

handler400 = "featurestore.api.urls.bad_request"

urlpatterns: list[URLPattern | URLResolver] = [*health_pages]

if settings().serves_api:
    urlpatterns += [path("", include("featurestore.api.urls"))]

if settings().serves_admin:
    from django.contrib import admin

    urlpatterns += [path("admin/", admin.site.urls)]
