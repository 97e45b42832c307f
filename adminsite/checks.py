"""System checks that refuse to start with unsafe production settings or an outdated database.

Django's commands run them; servers that are no command (Granian, Celery) call ``refuse_if_unsafe``.
"""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import structlog
from django.core.checks import CheckMessage, Error, Warning
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections
from django.db.migrations.recorder import MigrationRecorder

from featurestore.auditlog.errors import KeyUnusable
from featurestore.auditlog.signing_keys import secrets_of
from featurestore.config import INSECURE, Settings, settings
from featurestore.definitions import DefinitionError
from featurestore.installed_catalog import CatalogError, catalog
from featurestore.servers.checks import redis_and_kafka_problems
from featurestore.servers.database import database_problems, is_unverified
from featurestore.servers.expiry import expiring_certificates
from featurestore.signed_webhooks import webhook_problem
from featurestore.subjectkeys.errors import WrappingKeyUnusable
from featurestore.subjectkeys.wrapping_keys import secrets_of as wrapping_secrets

log = structlog.get_logger(__name__)

SECRETS = ("secret_key", "subject_secret", "contact_key")
SECRET_MIN_LENGTH = 32
LIMITS_QUERY = "SELECT current_setting('statement_timeout'), current_setting('lock_timeout')"
REPLICATION_QUERY = "SELECT current_setting('synchronous_standby_names'), current_setting('synchronous_commit')"


def unsafe(conf: Settings) -> list[CheckMessage]:
    """Errors of these settings in production; none outside of it."""
    if not conf.production:
        return []
    weak = [
        f"RAPPORT_{name.upper()}"
        for name in SECRETS
        if (secret := getattr(conf, name)) == INSECURE or len(secret) < SECRET_MIN_LENGTH
    ]
    unusable, log_keys = _audit_log_keys(conf)
    webhooks = [place for place in conf.audit_log_places if place.startswith("https://")]
    problem_of_places = next((webhook_problem(one, conf.audit_log_send_secret) for one in webhooks), "")
    unwrappable, wrapping = _wrapping_keys(conf)
    lists = {
        "suppression_keys": list(conf.suppression_keys_by_id.values()),
        "wrapping_keys": wrapping,
        "audit_log_keys": log_keys,
    }
    for name, keys in lists.items():
        if any(key == INSECURE or len(key) < SECRET_MIN_LENGTH for key in keys):
            weak.append(f"RAPPORT_{name.upper()}")
    named = [
        *((name, getattr(conf, name)) for name in SECRETS),
        *((n, key) for n, keys in lists.items() for key in keys),
    ]
    values = [value for _, value in named]
    equal = sorted({f"RAPPORT_{n.upper()}" for n, value in named if values.count(value) > 1})
    findings = [
        (weak, "E001", f"{' and '.join(weak)}: the development default, or under {SECRET_MIN_LENGTH} characters.",
         "Give each its own random text, as deploy/write_env.py does."),
        (equal, "E002", f"{' and '.join(equal)} are the same.",
         "One signs sessions, one pseudonymises, two encrypt, one suppresses, one signs the audit log: none "
         "must leak with another."),
        (unusable, "E013", unusable, "Write it for this process, or take the keys from the environment."),
        (unwrappable, "E014", unwrappable, "Write it for this process, or take the keys from the environment."),
        (conf.key_store_url == conf.database_url, "E015",
         "RAPPORT_KEY_STORE_URL is the database: its backups would have the keys of those who were erased since.",
         "Name another PostgreSQL server, or a file."),
        (conf.debug, "E003", "RAPPORT_DEBUG is on: errors would show settings and data to anyone.", "Turn it off."),
        (conf.database_url.startswith("sqlite"), "E004", "RAPPORT_DATABASE_URL is SQLite.",
         "Use PostgreSQL: several hosts write consents."),
        (not conf.allowed_hosts or "*" in conf.allowed_hosts, "E005", "RAPPORT_ALLOWED_HOSTS is empty or '*'.",
         'Name the hosts you serve, as a JSON list: ["features.example.org"].'),
        (not conf.https, "E006", "RAPPORT_HTTPS is off: the login's cookies would be sent unencrypted.",
         "Serve through TLS, then turn it on."),
        (conf.kafka_embedded, "E007", "RAPPORT_KAFKA_EMBEDDED is on: the demo's broker keeps no event on disk.",
         "Point RAPPORT_KAFKA_BOOTSTRAP at a real cluster and turn it off."),
        (not conf.journal_topic, "E010", "RAPPORT_JOURNAL_TOPIC is empty: lost commits would be noticed less well.",
         "Leave it out, or name a topic; then run `python -m streams topics apply`."),
        (not conf.passed_by_topic, "E012", "RAPPORT_PASSED_BY_TOPIC is empty: an emptied store would hide lost events.",
         "Leave it out, or name a topic; then run `python -m streams topics apply`."),
        (conf.second_factor == "optional", "E030", "RAPPORT_SECOND_FACTOR is optional: a password shows customers.",
         "Leave it out; staff set up their second factor at the next login."),
        (webhook_problem(conf.message_webhook_url, conf.message_webhook_secret), "E031",
         f"RAPPORT_MESSAGE_WEBHOOK_URL: {webhook_problem(conf.message_webhook_url, conf.message_webhook_secret)}.",
         "Messages to customers pass there: encrypt and sign them."),
        (problem_of_places, "E032", f"RAPPORT_AUDIT_LOG_SEND_TO: {problem_of_places}.",
         "Set RAPPORT_AUDIT_LOG_SEND_SECRET, which the receiver verifies the webhooks by."),
        (conf.celery_eager, "E008", "RAPPORT_CELERY_EAGER is on: tasks would run inside requests.", "Turn it off."),
    ]  # fmt: skip
    servers = [*database_problems(conf), *redis_and_kafka_problems(conf)]
    return [
        *(Error(message, hint=hint, id=f"rapport.{code}") for found, code, message, hint in findings if found),
        *(Error(problem.message, hint=problem.remedy, id=f"rapport.{problem.code}") for problem in servers),
    ]


def _audit_log_keys(conf: Settings) -> tuple[str, list[str]]:
    """Why the keys of the audit log can't be used, or "", and the keys."""
    try:
        return "", [secret for _, secret in secrets_of(conf)]
    except KeyUnusable as error:
        return str(error), []


def _wrapping_keys(conf: Settings) -> tuple[str, list[str]]:
    """Why the wrapping keys can't be used, or "", and the keys."""
    try:
        return "", [secret for _, secret in wrapping_secrets(conf)]
    except WrappingKeyUnusable as error:
        return str(error), []


def unknown_addresses(app_configs: Sequence[Any] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """A warning where login limits count every attempt for the proxy, so that one guesser shuts everybody out."""
    conf = settings()
    if not (conf.production and conf.serves_admin) or conf.proxies:
        return []
    return [
        Warning(
            "RAPPORT_PROXIES is 0: all logins seem to come from the proxy, and 20 failed ones refuse everybody's.",
            hint="Set it to the number of proxies that add to X-Forwarded-For.",
            id="rapport.W030",
        )
    ]


def unreachable_links(app_configs: Sequence[Any] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """A warning where the links in messages to customers lead nowhere, or unencrypted."""
    if not settings().production or settings().public_url.startswith("https://"):
        return []
    return [
        Warning(
            "RAPPORT_PUBLIC_URL is no https address: links in messages to customers do not lead here.",
            hint="Set it to the address under which customers reach the API processes: https://privacy.example.org.",
            id="rapport.W031",
        )
    ]


def production(app_configs: Sequence[Any] | None = None, **kwargs: Any) -> list[CheckMessage]:
    return unsafe(settings())


def unusable_catalog(app_configs: Sequence[Any] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """An error if RAPPORT_CATALOG names no catalog, or one with faults."""
    try:
        catalog()
    except (CatalogError, DefinitionError) as error:
        return [Error(str(error), hint="`manage.py features check` shows every problem.", id="rapport.E011")]
    return []


def outdated_database(
    app_configs: Sequence[Any] | None = None, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """An error for each database of a version before 0.2, which had an app ``privacy``. `migrate` checks this first.

    A database that can't be reached is no error: servers start without it and report that they are not ready.
    """
    return [
        Error(
            f"The database {connections[alias].settings_dict['NAME']} was made by a version before 0.2, "
            "whose data this version does not read.",
            hint="Point RAPPORT_DATABASE_URL at a new, empty database (or remove the old one), "
            "then run `manage.py migrate` and `manage.py seed`.",
            id="rapport.E009",
        )
        for alias in databases or []
        if "privacy" in _migrated_apps(alias)
    ]


def asynchronous_replication(
    app_configs: Sequence[Any] | None = None, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """A warning for each PostgreSQL that acknowledges a commit which one server alone holds."""
    found: list[CheckMessage] = []
    for alias in databases or []:
        if connections[alias].vendor == "postgresql" and (weak := _replication_weakness(alias)):
            found.append(
                Warning(
                    f"{weak}: the loss of that server, or a fail-over, may lose decisions that were acknowledged.",
                    hint="Set synchronous_standby_names and synchronous_commit = on, with two standbys or more "
                    "(docs/operating.md, PostgreSQL). What the store or the consent journal holds is noticed, and "
                    "denies every read until it was taken over.",
                    id="rapport.W001",
                )
            )
    return found


def untimed_statements(
    app_configs: Sequence[Any] | None = None, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """A warning for each PostgreSQL without time limits: behind PgBouncer this process can't set them itself."""
    found: list[CheckMessage] = []
    for alias in databases or []:
        if connections[alias].vendor == "postgresql" and "0" in _row(alias, LIMITS_QUERY):
            found.append(
                Warning(
                    "PostgreSQL has no limit of a statement's or a lock's time, and through PgBouncer this process "
                    "sets none: one slow statement may occupy a pooled connection for ever.",
                    hint="ALTER ROLE rapport SET statement_timeout = '15s'; ALTER ROLE rapport SET lock_timeout = '5s'",
                    id="rapport.W020",
                )
            )
    return found


def unverified_database(app_configs: Sequence[Any] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """A warning if the database's connection is encrypted, and may lead to anyone."""
    if not is_unverified(settings().database_url):
        return []
    return [
        Warning(
            "RAPPORT_DATABASE_URL encrypts, and does not verify which server answers.",
            hint="Use sslmode=verify-full, with sslrootcert=FILE or sslrootcert=system.",
            id="rapport.W021",
        )
    ]


def expiring(app_configs: Sequence[Any] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """A warning for each certificate, of an authority or of this process, that expires within 30 days."""
    return [
        Warning(f"{text}.", hint="Renew it, and restart what speaks to Kafka.", id="rapport.W022")
        for text in expiring_certificates(settings(), datetime.now(UTC))
    ]


def _row(alias: str, query: str) -> tuple[Any, ...]:
    """The first row of a query; empty if the database can't be asked."""
    try:
        with connections[alias].cursor() as cursor:
            cursor.execute(query)
            return tuple(cursor.fetchone())
    except DatabaseError as error:
        log.warning("database not checked", reason=str(error))
        return ()


def _replication_weakness(alias: str) -> str:
    """Why a commit may be lost with one server; empty if it may not, or if the database can't be asked."""
    if not (found := _row(alias, REPLICATION_QUERY)):
        return ""
    standbys, commit = found
    if not standbys:
        return "PostgreSQL has no synchronous replication"
    return f"PostgreSQL's synchronous_commit is {commit}" if commit in ("off", "local") else ""


def _migrated_apps(alias: str) -> set[str]:
    try:
        return {app for app, _ in MigrationRecorder(connections[alias]).applied_migrations()}
    except DatabaseError as error:
        log.warning("database not checked", reason=str(error))
        return set()


def refuse_if_unsafe(**_: Any) -> None:
    """Exit with every error. Also a receiver of Celery's start signals, which swallow any other exception."""
    found = [*unsafe(settings()), *unusable_catalog()]  # first: no trouble with the database may hide them
    if not found:
        found = outdated_database(databases=[DEFAULT_DB_ALIAS])
        connections[DEFAULT_DB_ALIAS].close()
    if found:
        sys.exit("\n".join(f"{finding.id}: {finding.msg} {finding.hint}" for finding in found))
