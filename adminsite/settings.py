"""Django's settings. Everything that differs between installations comes from ``featurestore.config``."""

from typing import Any

import dj_database_url

from adminsite.logs import configure_logs
from featurestore.config import ROOT, settings

conf = settings()

DEBUG = conf.debug
SECRET_KEY = conf.secret_key
ALLOWED_HOSTS = conf.allowed_hosts
CSRF_TRUSTED_ORIGINS = conf.csrf_trusted_origins

INSTALLED_APPS = [
    "adminsite.apps.AdminsiteConfig",
    "unfold",  # before the admin, whose templates it replaces
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "guardian",
    "ninja",
    "featurestore.access",
    "featurestore.consent",
    "featurestore.privacy",
    "featurestore.profiles",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [ROOT / "adminsite" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

ROOT_URLCONF = "adminsite.urls"
WSGI_APPLICATION = "adminsite.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# ------------------------------------------------------------------------------------------------------------ database
_database: dict[str, Any] = dict(dj_database_url.parse(conf.database_url, conn_max_age=60, conn_health_checks=True))
if _database["ENGINE"].endswith("sqlite3"):
    (ROOT / "var").mkdir(exist_ok=True)
    # Several processes write: readers must not block, and a writer takes its lock when its transaction begins, so that
    # it waits for the other one instead of failing half-way.
    _database["OPTIONS"] = {
        "timeout": 20,
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
else:
    _database["OPTIONS"] = {"connect_timeout": 5, "options": "-c statement_timeout=15000 -c lock_timeout=5000"}
DATABASES = {"default": _database}

# ---------------------------------------------------------------------------------------------------------------- time
USE_TZ = True
TIME_ZONE = "UTC"
USE_I18N = True
LANGUAGE_CODE = "en"

# ------------------------------------------------------------------------------------------------------- who may enter
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "guardian.backends.ObjectPermissionBackend",
]
ANONYMOUS_USER_NAME = None  # guardian: nobody is a user without a login
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
LOGIN_URL = "admin:login"

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = conf.https
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_AGE = 12 * 3600
SECURE_HSTS_SECONDS = 365 * 86400 if conf.https else 0
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if conf.https else None
X_FRAME_OPTIONS = "DENY"

# --------------------------------------------------------------------------------------------------------------- files
STATIC_URL = "/static/"
STATIC_ROOT = ROOT / "var" / "static"
WHITENOISE_USE_FINDERS = not conf.production  # a checkout needs no collectstatic
STORAGES = {
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if conf.production
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    }
}

UNFOLD = {
    "SITE_TITLE": "Rapport",
    "SITE_HEADER": "Rapport",
    "SITE_SYMBOL": "handshake",
    "SHOW_VIEW_ON_SITE": False,
}

# ---------------------------------------------------------------------------------------------------------------- logs
LOGGING_CONFIG = None
configure_logs(conf.log_level)
