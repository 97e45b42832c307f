"""Time zone of the administration's pages: times are shown, and entered, in that of the installation."""

from collections.abc import Callable
from zoneinfo import ZoneInfo

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone

from featurestore.config import settings

GetResponse = Callable[[HttpRequest], HttpResponse]


class TimeZoneMiddleware:
    """Middleware that shows the administration's times in RAPPORT_TIME_ZONE. The API always answers UTC."""

    def __init__(self, get_response: GetResponse):
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path_info.startswith(reverse("admin:index")):
            return self._get_response(request)
        with timezone.override(ZoneInfo(settings().time_zone)):
            return self._get_response(request)
