"""Settings of an installation, typed. Every process reads them from here: Django, Celery, Faust, store verifier, demo.

Values are read once, from the environment (prefix ``RAPPORT_``) and from a ``.env`` file that ``make`` writes with
random secrets at the first run. Nothing else in the project reads the environment.
"""

import re
from functools import cache
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

CODE = Path(__file__).resolve().parent.parent
ROOT = CODE if (CODE / "manage.py").exists() else Path.cwd()
"""Folder of the installation, with ``.env`` and ``var``: the checkout, or of the installed package the current one."""

INSECURE = "insecure-development-only"
KEY_LIST = re.compile(r"[a-z0-9]{1,32}:[^,:\s]+(,[a-z0-9]{1,32}:[^,:\s]+)*")


def known_time_zone(name: str) -> str:
    """Raises ValueError for what is no IANA name of a time zone."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("No time zone of this name: write it as Europe/Berlin.") from None
    return name


class Controller(BaseModel):
    """Who is responsible for the data (GDPR, Art. 4(7)), as receipts name them; how they keep them, in words."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=200)
    address: str = Field(min_length=1, max_length=500)
    country: str = Field(pattern=r"^[A-Z]{2}$")
    email: str = Field(pattern=r"^[^@\s]+@[^@\s]+$", max_length=254)
    phone: str = Field("", max_length=50)
    policy_url: str = Field(pattern=r"^https://\S+$", max_length=500)
    withdrawal: str = Field(min_length=1, max_length=500)
    storage: str = Field(min_length=1, max_length=500)
    retention: str = Field(min_length=1, max_length=500)
    authority: str = Field(min_length=1, max_length=500)
    recipients: list[str] = Field([], max_length=100)
    special_categories: dict[str, list[str]] = Field({}, max_length=100)
    """By a purpose's name: its special categories of data (GDPR, Art. 9)."""


class Settings(BaseSettings):
    """Typed settings of one installation. Units are in the names."""

    model_config = SettingsConfigDict(env_prefix="RAPPORT_", env_file=ROOT / ".env", extra="ignore", frozen=True)

    environment: Literal["development", "production"] = Field(
        "development", description="In `production` unsafe settings are refused at start."
    )
    debug: bool = Field(False, description="Shows Django's error pages, with settings and data. Never in production.")
    https: bool = Field(
        False, description="A proxy terminates TLS: secure cookies, HSTS, X-Forwarded-Proto is trusted."
    )
    serves: Literal["all", "api", "admin"] = Field(
        "all", description="Part that a web process serves: `api`, `admin`, or `all` (small installations)."
    )
    catalog: str = Field(
        "featurestore.catalog", description="Module with the definitions: the shipped one, or a team's own."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Lowest level that is logged.")
    secret_key: str = Field(INSECURE, description="Key that signs sessions and access tokens.")
    subject_secret: str = Field(INSECURE, description="Key of the HMAC that turns an identifier into a subject.")
    contact_key: str = Field(
        INSECURE, description="Key of links for customers, of exports, and of the hashes by which contacts are found."
    )
    suppression_keys: str = Field(
        f"1:{INSECURE}",
        pattern=r"^[a-z0-9]{1,32}:[^,:\s]+(,[a-z0-9]{1,32}:[^,:\s]+)*$",
        description="Keys of the hashes of erased identifiers, as `ID:KEY,ID:KEY`. The first makes new ones. "
        "None may ever be removed: it would end the suppression of those who were erased under it.",
    )
    key_store_url: str = Field(
        f"sqlite:///{ROOT / 'var' / 'keys.sqlite3'}",
        pattern=r"^(sqlite:///|postgres(ql)?://).+$",
        description="Where the keys of subjects are kept: a file of all processes of one machine, or a PostgreSQL "
        "database. Never the database itself, nor in its backups.",
    )
    wrapping_key_provider: str = Field(
        "environment",
        pattern=r"^(environment|file:/.+)$",
        description="Where the keys are that encrypt those of subjects: `environment`, or `file:` and a path, whose "
        "text is written as RAPPORT_WRAPPING_KEYS.",
    )
    wrapping_keys: str = Field(
        f"1:{INSECURE}",
        pattern=f"^{KEY_LIST.pattern}$",
        description="Keys that encrypt those of subjects, as `ID:KEY,ID:KEY`. The first is used. To replace it, put "
        "another before it, and run `manage.py subject_keys rotate`: then the old one may go.",
    )
    audit_log_key_provider: str = Field(
        "environment",
        pattern=r"^(environment|file:/.+)$",
        description="Where the keys of the audit log are: `environment`, or `file:` and a path, whose text is written "
        "as RAPPORT_AUDIT_LOG_KEYS.",
    )
    audit_log_keys: str = Field(
        f"1:{INSECURE}",
        pattern=f"^{KEY_LIST.pattern}$",
        description="Keys that sign the audit log's tree heads, as `ID:KEY,ID:KEY`. The first signs. To replace it, "
        "put another before it: the old one may go once that has signed.",
    )
    audit_log_head_s: float = Field(
        60, ge=0, description="Shortest time from one tree head of the audit log to the next."
    )
    audit_log_send_to: str = Field(
        "",
        pattern=r"^((file:/|https://)\S+( (file:/|https://)\S+)*)?$",
        description="Places that get the audit log's tree heads, separated by spaces: addresses of webhooks, or "
        "`file:` and the path of a folder. Empty: none.",
    )
    audit_log_send_secret: str = Field("", description="Key that signs these webhooks: `whsec_` and base64.")
    controller: Controller | None = Field(
        None,
        description="Who is responsible for the data, as consent receipts name them: a JSON object "
        "([its members](documents.md#the-controller)). `None`: no receipts.",
    )
    allowed_hosts: list[str] = Field(
        ["localhost", "127.0.0.1", "[::1]"], description="Host names under which requests are accepted, as a JSON list."
    )
    proxies: int = Field(
        0,
        ge=0,
        description="Number of proxies before the administration that add to X-Forwarded-For. Login limits "
        "count by the address that the outermost of them saw.",
    )
    csrf_trusted_origins: list[str] = Field(
        [], description="Origins whose forms the administration accepts besides its own, as a JSON list."
    )
    database_url: str = Field(
        f"sqlite:///{ROOT / 'var' / 'rapport.sqlite3'}",
        description="URL of the database: PostgreSQL, or SQLite on one machine. Every option of libpq's holds.",
    )
    database_pgbouncer: bool = Field(
        False, description="The URL of the database leads to a PgBouncer in transaction mode."
    )
    plaintext_servers: list[Literal["database", "store", "control", "kafka"]] = Field(
        [],
        description="Servers that production may reach by plaintext over a network, as a JSON list: `database`, "
        "`store`, `control`, `kafka`.",
    )

    store_url: str = Field(
        "redis://127.0.0.1:6379/0",
        description="URL of the store Redis: features and permissions. Its forms: TLS, Unix sockets, Sentinels and "
        "clusters too, are in servers.md.",
    )
    store_timeout_ms: int = Field(
        250, description="Longest wait for the store in a feature read that states no `timeout_ms`."
    )
    idle_subject_days: int = Field(
        365,
        ge=0,
        description="Days without an event or a read after which a customer's values leave the store. The next event "
        "or read brings them back. 0: never.",
    )
    vouch_expiry_ms: int = Field(2000, description="Time until a vouch key expires.")
    control_url: str = Field(
        "redis://127.0.0.1:6379/1",
        description="URL of the control Redis: Celery, unwritten access records, rate limits, cache invalidations. "
        "The same forms, but no cluster.",
    )
    token_lifetime_s: int = Field(600, ge=60, le=900, description="Lifetime of an access token, 60 to 900 seconds.")

    sse_streams: int = Field(2000, gt=0, description="Most open event streams of a process. Further ones are refused.")
    sse_client_streams: int = Field(1000, gt=0, description="Most open event streams of a client at one process.")
    sse_heartbeat_s: float = Field(
        15,
        gt=0,
        le=60,
        description="Interval of an event stream's heartbeat, at which it is also read again; 60 at most.",
    )
    sse_life_s: float = Field(
        900, gt=0, description="Longest duration of an event stream. Then its client connects again."
    )

    kafka_bootstrap: str = Field("127.0.0.1:9092", description="Addresses of some brokers, as host:port,host:port.")
    kafka_security: Literal["plaintext", "ssl", "sasl_ssl"] = Field(
        "plaintext", description="How Kafka is reached: `plaintext`, `ssl` (TLS), `sasl_ssl` (TLS and a password)."
    )
    kafka_ca_file: str = Field("", description="File of the authorities of Kafka's certificates. Empty: the system's.")
    kafka_certificate_file: str = Field("", description="File of this process's certificate for Kafka (mutual TLS).")
    kafka_key_file: str = Field("", description="File of the certificate's key. Empty: it is in the same file.")
    kafka_key_password: str = Field("", description="Password of an encrypted key.")
    kafka_sasl_mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] = Field(
        "SCRAM-SHA-512", description="Mechanism of Kafka's password: `SCRAM-SHA-512`, `SCRAM-SHA-256` or `PLAIN`."
    )
    kafka_username: str = Field("", description="User of this process in Kafka.")
    kafka_password: str = Field("", description="Password of that user.")
    kafka_embedded: bool = Field(
        False, description="Kafka is the demo's embedded broker: it creates topics by itself and has no lease."
    )
    event_timeout_ms: int = Field(
        2000, gt=0, description="Longest wait for Kafka in one write of events through the API."
    )
    partitions: int = Field(8, description="Number of partitions of every topic.")
    replication: int = Field(1, description="Replicas of every topic; three where brokers may fail.")
    generation: int = Field(
        1, description="Number in the names of topics and tables. Raise it when topics are made anew or repartitioned."
    )
    generation_start: AwareDatetime | None = Field(
        None,
        description="Time from which events count, if this generation replaces one whose events are not sent again.",
    )
    event_retention_days: float = Field(
        30, gt=0, description="Days for which Kafka keeps events, purges and dead letters."
    )
    changelog_lag_hours: float = Field(
        24, gt=0, description="Hours after which a replaced or deleted value has left the changelogs."
    )
    journal_topic: str = Field(
        "consent.journal",
        description="Topic of the consent journal. Empty: there is none, and commits that the database lost are "
        "noticed less well; production refuses that.",
    )
    passed_by_topic: str = Field(
        "rapport.passed-by",
        description="Topic of the subjects of which the streams skipped events, because the store had no permission of "
        "them. Empty: there is none, and answers may miss such events after the store was emptied; production refuses "
        "that.",
    )
    journal_retention_days: float = Field(
        90, gt=0, description="Days for which Kafka keeps the consent journal: longer than any backup that is restored."
    )

    stream_tables: Literal["memory", "rocksdb"] = Field("rocksdb", description="Kind of a stream worker's tables.")
    stream_data_dir: Path = Field(ROOT / "var" / "streams", description="Folder of the RocksDB tables.")
    stream_compaction_s: float = Field(
        3600, gt=0, description="Seconds within which what a purge deleted has left the files of the RocksDB tables."
    )
    stream_member: str = Field(
        "worker-1",
        description="Static member id of this stream worker in the consumer group; each has its own. Empty: one that "
        "is made once and kept in its data folder.",
    )
    stream_session_ms: int = Field(3000, description="A worker without a heartbeat for so long loses its partitions.")
    stream_health_port: int = Field(6066, description="Port of a stream worker's health pages and metrics.")
    stream_lease: bool = Field(
        True, description="Changelog batches carry the heartbeat time, so that the broker refuses a replaced worker's."
    )

    health_port: int = Field(
        0,
        ge=0,
        le=65535,
        description="Port of health page and metrics of a Celery worker, of beat, of a store verifier; each has its "
        "own. 0: none.",
    )

    client_requests_per_s: int = Field(
        1000,
        gt=0,
        description="Requests a second of a client without a limit of its own, averaged over ten seconds; each "
        "customer or event of a batch counts as one.",
    )
    second_factor: Literal["required", "optional"] = Field(
        "required",
        description="Whether staff who can see customers need a second factor to log in. Production refuses "
        "`optional`.",
    )
    session_hours: int = Field(
        12,
        gt=0,
        le=24,
        description="Hours after which staff log in again, from when they last showed password or second factor.",
    )
    reauthentication_s: int = Field(
        600,
        ge=30,
        le=3600,
        description="Seconds after which a dangerous page asks for password or second factor again.",
    )
    login_event_days: int = Field(90, gt=0, description="Days for which login events are kept.")
    decision_max_age_days: int = Field(
        30, gt=0, description="A consent that was given longer ago (`decided_at`) is refused. A withdrawal never is."
    )
    refusals_need_approval: bool = Field(
        False, description="A refusal of a verified request needs a second person, who approves it."
    )
    request_reminder_days: int = Field(
        7, gt=0, le=60, description="Days before a request is due at which its assignee is reminded."
    )
    time_zone: Annotated[str, AfterValidator(known_time_zone)] = Field(
        "UTC", description="Time zone of the times that the administration shows, as `Europe/Berlin`."
    )
    organisation: str = Field("The privacy team", description="Name under which messages to customers are signed.")
    public_url: str = Field(
        "http://localhost:8000", description="Address under which customers reach the API processes: links begin so."
    )
    email_host: str = Field(
        "", description="Mail server (SMTP). Empty: e-mails become files in `var/mail`; in production none is sent."
    )
    email_port: int = Field(587, description="Port of the mail server.")
    email_security: Literal["starttls", "tls", "none"] = Field(
        "starttls", description="How the mail server is reached: `starttls`, `tls` or `none`."
    )
    email_username: str = Field("", description="User of this installation at the mail server.")
    email_password: str = Field("", description="Password of that user.")
    email_from: str = Field("privacy@localhost", description="Address from which e-mails are sent.")
    message_webhook_url: str = Field(
        "", description="Address of the shop's messenger, which messages are posted to (Standard Webhooks)."
    )
    message_webhook_secret: str = Field("", description="Key that signs them: `whsec_` and base64.")
    export_dir: str = Field(
        str(ROOT / "var" / "exports"),
        description="Folder of exports. Administration and Celery workers share it; its files are encrypted.",
    )
    exports_need_approval: bool = Field(
        False, description="A second person releases an export: neither who prepared it, nor who reviewed it."
    )
    export_link_days: int = Field(7, gt=0, le=60, description="Days for which an export can be downloaded.")
    export_tries: int = Field(3, gt=0, le=20, description="Downloads that the link of an export allows.")
    audit_interval_s: int = Field(300, description="Seconds from one consent audit to the next.")
    access_record_days: int = Field(
        90, gt=0, description="Days for which access records and requests per client are kept."
    )
    access_stream_mb: int = Field(
        256,
        gt=0,
        description="Most memory of access records in the control Redis. Beyond it processes keep theirs.",
    )

    celery_eager: bool = Field(False, description="Runs tasks inside the caller. For tests only.")

    @property
    def suppression_keys_by_id(self) -> dict[str, str]:
        return dict(one.split(":") for one in self.suppression_keys.split(","))

    @property
    def audit_log_places(self) -> list[str]:
        return self.audit_log_send_to.split()

    @property
    def serves_api(self) -> bool:
        return self.serves != "admin"

    @property
    def serves_admin(self) -> bool:
        return self.serves != "api"

    @property
    def production(self) -> bool:
        return self.environment == "production"


@cache
def settings() -> Settings:
    """The settings of this process, read once."""
    return Settings()
