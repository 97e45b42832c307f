"""URLs of the login and of one's own second factors: django-allauth's pages, those that staff need."""

from allauth.account import views
from django.urls import include, path

urlpatterns = [
    path("login/", views.login, name="account_login"),  # in place of the admin's own, which asks for no second factor
    path("login/again/", views.reauthenticate, name="account_reauthenticate"),
    path("login/cancel/", views.logout, name="account_logout"),
    path("login/inactive/", views.account_inactive, name="account_inactive"),
    path("second-factor/", include("allauth.mfa.urls")),
]
