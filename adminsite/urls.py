"""URLs of the parts that this process serves: API, administration, health pages."""

from django.urls import URLPattern, URLResolver, include, path

from adminsite.front_page import front_page
from featurestore.api.urls import health_pages, with_problems
from featurestore.config import settings

handler400 = "featurestore.api.urls.bad_request"
handler404 = "featurestore.api.urls.page_not_found"

urlpatterns: list[URLPattern | URLResolver] = [*health_pages, path("", with_problems(front_page))]

if settings().serves_api:
    urlpatterns += [path("", include("featurestore.api.urls"))]

if settings().serves_admin:
    from django.contrib import admin

    urlpatterns += [
        path("admin/", include("adminsite.login_urls")),
        path("admin/", admin.site.urls),
        path("", include("featurestore.requests.export.urls")),
    ]
