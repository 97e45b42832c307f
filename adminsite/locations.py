"""Data locations of what the site stores by itself: none. Tables and keys of libraries, and files, with the reasons."""

from featurestore.locations import Impersonal, Kind, Storage, registry

TABLES = {
    "django_migrations": "Names of migrations.",
    "django_content_type": "Names of models.",
    "django_session": "Sessions of staff.",
    "django_admin_log": "What staff changed of clients, keys, staff and purposes; nothing of customers.",
    "auth_*": "Staff, their roles and permissions.",
    "account_*": "Addresses of staff.",
    "mfa_authenticator": "Second factors of staff.",
    "guardian_*": "Which staff member may see which client.",
    "oauth2_provider_*": "Access tokens of clients.",
    "sqlite_*": "SQLite's own: the highest keys of tables.",
}
CONTROL_KEYS = {
    "celery": "Celery's queue: names of tasks, which have no arguments.",
    "_kombu.*": "Names of Celery's queues.",
    "unacked*": "Celery's messages that a worker has taken: names of tasks, which have no arguments.",
    "*.reply.celery.pidbox": "Answers of Celery workers to each other.",
}

registry.register(
    impersonal=[
        *(Impersonal(Storage(Kind.TABLE, name), reason) for name, reason in TABLES.items()),
        *(Impersonal(Storage(Kind.CONTROL_KEY, name), reason) for name, reason in CONTROL_KEYS.items()),
    ]
)
