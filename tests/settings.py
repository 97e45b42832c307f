"""The site's settings for tests. An explicit environment wins, then these; a checkout's ``.env`` never does."""

import logging
import os

for name, value in {
    "ENVIRONMENT": "development",
    "SECRET_KEY": "the-tests-secret-key-of-more-than-32-characters",
    "SUBJECT_SECRET": "the-tests-subject-secret-of-more-than-32-characters",
    "CONTACT_KEY": "the-tests-contact-key-of-more-than-32-characters",
    "SUPPRESSION_KEYS": "1:the-tests-suppression-key-of-more-than-32-characters",
    "WRAPPING_KEYS": "1:the-tests-wrapping-key-of-more-than-32-characters",
    "AUDIT_LOG_KEYS": "1:the-tests-audit-log-key-of-more-than-32-characters",
    "DATABASE_URL": "sqlite://:memory:",
    # Port 1 answers nobody: a test that needs a server asks for its fixture.
    "STORE_URL": "redis://127.0.0.1:1/0",
    "CONTROL_URL": "redis://127.0.0.1:1/1",
    "KAFKA_BOOTSTRAP": "127.0.0.1:1",
    "JOURNAL_TOPIC": "",
    "PASSED_BY_TOPIC": "",
    "CELERY_EAGER": "true",
    "LOG_LEVEL": "WARNING",
    "SECOND_FACTOR": "optional",
}.items():
    os.environ.setdefault(f"RAPPORT_{name}", value)

from adminsite.settings import *  # noqa: E402, F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # logins by the hundred
logging.getLogger().handlers.clear()  # pytest collects what is logged
