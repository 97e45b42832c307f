"""Django's settings. Everything that differs between installations comes from ``featurestore.config``."""

from csp import constants as csp
from django.templatetags.static import static
from django.urls import reverse_lazy

from featurestore.config import CODE, ROOT, settings
from featurestore.logs import configure_logs
from featurestore.servers.checks import redis_and_kafka_problems
from featurestore.servers.database import database_problems, django_database
from featurestore.servers.problems import refuse_misnamed

conf = settings()

refuse_misnamed([*database_problems(conf), *redis_and_kafka_problems(conf)])  # no client could be told of them

DEBUG = conf.debug
SECRET_KEY = conf.secret_key
ALLOWED_HOSTS = conf.allowed_hosts
CSRF_TRUSTED_ORIGINS = conf.csrf_trusted_origins

# A process that serves only the API loads neither the administration nor what only its pages need.
_ADMINISTRATION = [
    "unfold",  # before the admin, whose templates it replaces
    "unfold.contrib.filters",
    "django.contrib.admin",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "featurestore.logins",
]
INSTALLED_APPS = [
    "adminsite.apps.AdminsiteConfig",
    *(_ADMINISTRATION if conf.serves_admin else ["django.contrib.staticfiles"]),  # of the API's page, /v1/docs
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "guardian",
    "ninja",
    "oauth2_provider",  # before access, which unregisters its pages
    "featurestore.access",
    "featurestore.accesslog",
    "featurestore.audit",
    "featurestore.auditlog",
    "featurestore.subjectkeys",
    "featurestore.compliance",
    "featurestore.consent",
    "featurestore.customers",
    "featurestore.ingest",
    "featurestore.jobs",
    "featurestore.profiles",
    "featurestore.requests",
    "featurestore.requests.erasure",
    "featurestore.requests.export",
    "featurestore.retention",
    "featurestore.staffreads",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "featurestore.api.public_pages.PublicPages",  # before the next one, which refuses unknown hosts
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "adminsite.login_rules.LoginRulesMiddleware",
    *(["adminsite.time_zone.TimeZoneMiddleware"] if conf.serves_admin else []),
]
if not conf.serves_admin:
    MIDDLEWARE = [
        "whitenoise.middleware.WhiteNoiseMiddleware",
        "featurestore.api.public_pages.PublicPages",
        "django.middleware.common.CommonMiddleware",  # refuses unknown hosts
    ]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [CODE / "adminsite" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                *(["adminsite.login_rules.login_pages"] if conf.serves_admin else []),
            ]
        },
    }
]

ROOT_URLCONF = "adminsite.urls"
WSGI_APPLICATION = "adminsite.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# ------------------------------------------------------------------------------------------------------------ database
if conf.database_url.startswith("sqlite"):
    (ROOT / "var").mkdir(exist_ok=True)
DATABASES = {"default": django_database(conf.database_url, conf.database_pgbouncer)}

# ---------------------------------------------------------------------------------------------------------------- time
USE_TZ = True
TIME_ZONE = "UTC"
USE_I18N = True
LANGUAGE_CODE = "en"
FORMAT_MODULE_PATH = "adminsite.formats"

# ------------------------------------------------------------------------------------------------------- authentication
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "guardian.backends.ObjectPermissionBackend",
]
ANONYMOUS_USER_NAME = None  # guardian: no user without a login
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
if conf.serves_admin:  # a process of the API hashes no password
    PASSWORD_HASHERS = ["featurestore.logins.password_hasher.QueuedPBKDF2PasswordHasher"]
    # In the database, so that limits hold for all processes, and logins work while the control Redis is away.
    CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.db.DatabaseCache",
            "LOCATION": "logins_loginlimit",
            "OPTIONS": {"MAX_ENTRIES": 100_000},  # beyond them, rows that still count would be dropped
        }
    }
ACCOUNT_ADAPTER = "featurestore.logins.adapters.StaffAccountAdapter"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_SESSION_REMEMBER = True  # to the session's age, and never longer
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"
# Failed attempts; the second factor's codes count by the same rates. The longer ones make a patient guesser slower.
ACCOUNT_RATE_LIMITS = {"login": "60/m/ip", "login_failed": "20/5m/ip,200/d/ip,5/5m/key,20/h/key,60/d/key"}
ALLAUTH_TRUSTED_PROXY_COUNT = conf.proxies
MFA_ADAPTER = "featurestore.logins.adapters.SecondFactorAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_FORMS = {"add_webauthn": "featurestore.logins.forms.AddPasskeyForm"}
MFA_TOTP_ISSUER = "Rapport"
MFA_TOTP_TOLERANCE = 1  # half a minute either way, for telephones whose clock is not exact
MFA_RECOVERY_CODES_SHOW_ONCE = True
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = not conf.https  # http://localhost, for a demo
# featurestore/access/oauth.py has the one grant. Only a token's digest is stored (RFC 9700).
OAUTH2_PROVIDER_APPLICATION_MODEL = "access.ApiClient"
OAUTH2_PROVIDER = {"COMPLIANT_BCP_RFC9700_TOKEN_STORAGE": True}
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "admin:index"

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = conf.https
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_AGE = conf.session_hours * 3600
SECURE_HSTS_SECONDS = 365 * 86400 if conf.https else 0
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if conf.https else None
X_FRAME_OPTIONS = "DENY"
# No inline script and no eval. unfold sets widths in style attributes; its one style element carries the nonce.
CONTENT_SECURITY_POLICY = {
    "EXCLUDE_URL_PREFIXES": ["/v1/"],  # the API's own documentation
    "DIRECTIVES": {
        "default-src": [csp.NONE],
        "script-src": [csp.SELF],
        "style-src": [csp.SELF, csp.NONCE],
        "style-src-attr": [csp.UNSAFE_INLINE],
        "img-src": [csp.SELF, "data:"],
        "font-src": [csp.SELF],
        "connect-src": [csp.SELF],
        "form-action": [csp.SELF],
        "frame-ancestors": [csp.NONE],
        "base-uri": [csp.NONE],
    },
}

# -------------------------------------------------------------------------------------------------------------- e-mail
EMAIL_BACKEND = f"django.core.mail.backends.{'smtp' if conf.email_host else 'filebased'}.EmailBackend"
EMAIL_FILE_PATH = ROOT / "var" / "mail"
EMAIL_HOST, EMAIL_PORT, EMAIL_TIMEOUT = conf.email_host, conf.email_port, 10
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = conf.email_username, conf.email_password
EMAIL_USE_TLS, EMAIL_USE_SSL = conf.email_security == "starttls", conf.email_security == "tls"
DEFAULT_FROM_EMAIL = conf.email_from

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
    "SITE_SUBHEADER": "Consent and features",
    "SITE_SYMBOL": "handshake",
    "SITE_URL": None,
    "SHOW_VIEW_ON_SITE": False,
    "DASHBOARD_CALLBACK": "adminsite.dashboard.dashboard",
    "SIDEBAR": {"navigation": "adminsite.navigation.navigation"},
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("rapport/icon.svg")}],
    "ACCOUNT": {
        "navigation": [
            {"title": "Change password", "link": reverse_lazy("admin:password_change")},
            {"title": "Your second factor", "link": reverse_lazy("mfa_index")},
        ]
    },
    "SCRIPTS": [lambda request: static("rapport/alpine_data.js")],
    "STYLES": [lambda request: static("rapport/admin.css")],
    # A quiet teal instead of unfold's purple. 600 on white, and 500 on the dark ground, are above 4.5:1.
    "COLORS": {
        "primary": {
            "50": "oklch(98.4% .014 180.7)",
            "100": "oklch(95.3% .051 180.8)",
            "200": "oklch(91% .096 180.4)",
            "300": "oklch(85.5% .138 181.1)",
            "400": "oklch(77.7% .152 181.9)",
            "500": "oklch(70.4% .14 182.5)",
            "600": "oklch(51.1% .096 186.4)",
            "700": "oklch(43.7% .078 188.2)",
            "800": "oklch(38.6% .063 188.4)",
            "900": "oklch(32% .055 188)",
            "950": "oklch(27.7% .046 192.5)",
        }
    },
}

# ---------------------------------------------------------------------------------------------------------------- logs
LOGGING_CONFIG = None
configure_logs(conf.log_level)
