"""The one settings object. Every process (Django, Celery, Faust, the voucher, the demo) takes its settings from here.

Values are read once, from the environment (prefix ``RAPPORT_``) and from a ``.env`` file that ``make`` writes with
random secrets at the first run. Nothing else in the project reads the environment.
"""

from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

ROOT = Path(__file__).resolve().parent.parent
INSECURE = "insecure-development-only"


class Settings(BaseSettings):
    """Typed settings of one installation. Units are in the names."""

    model_config = SettingsConfigDict(env_prefix="RAPPORT_", env_file=ROOT / ".env", extra="ignore", frozen=True)

    environment: Literal["development", "production"] = Field(
        "development", description="In production, unsafe settings keep every process from starting."
    )
    debug: bool = Field(False, description="Django's error pages with settings and data. Never in production.")
    https: bool = Field(False, description="Served through TLS: secure cookies, HSTS, the proxy's forwarded scheme.")
    serves: Literal["all", "api", "admin"] = Field(
        "all", description="What this web process answers: the API, the administration, or both (small installations)."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least level that is logged.")
    secret_key: str = Field(INSECURE, description="Django's signing key.")
    subject_secret: str = Field(INSECURE, description="Key of the HMAC that turns an identifier into a subject.")
    allowed_hosts: list[str] = Field(
        ["localhost", "127.0.0.1", "[::1]"], description="Host names that requests may name, as a JSON list."
    )
    csrf_trusted_origins: list[str] = Field(
        [], description="Origins whose forms the administration accepts besides its own, as a JSON list."
    )
    database_url: str = Field(
        f"sqlite:///{ROOT / 'var' / 'rapport.sqlite3'}", description="PostgreSQL, or SQLite on one machine."
    )

    store_url: str = Field(
        "redis://127.0.0.1:6379/0",
        description="The store Redis: features and permissions; rediss:// for TLS. A cluster is "
        "redis+cluster://HOST:PORT,HOST:PORT/ (rediss+cluster://), some of its servers.",
    )
    store_timeout_ms: int = Field(250, description="Longest wait for the store in one feature read.")
    vouch_expiry_ms: int = Field(2000, description="How long a voucher's word for a Redis run holds.")
    control_url: str = Field(
        "redis://127.0.0.1:6379/1",
        description="The control Redis: Celery, access records not yet written, rate limits, cache invalidations.",
    )
    token_lifetime_s: int = Field(600, ge=60, le=900, description="How long an access token lives, 60 to 900 seconds.")

    sse_streams: int = Field(
        2000, gt=0, description="Most event streams of one process; beyond them new ones are refused."
    )
    sse_client_streams: int = Field(1000, gt=0, description="Most event streams of one client at one process.")
    sse_heartbeat_s: float = Field(
        15, gt=0, le=60, description="A quiet event stream is checked, and says that it lives, so often; 60 at most."
    )
    sse_life_s: float = Field(900, gt=0, description="An event stream ends after so long; its client connects again.")

    kafka_bootstrap: str = Field("127.0.0.1:9092", description="Where Kafka is first asked, as host:port.")
    kafka_embedded: bool = Field(False, description="The demo's in-process broker: no topic creation, no lease.")
    event_timeout_ms: int = Field(
        2000, gt=0, description="Longest wait for Kafka in one write of events through the API."
    )
    partitions: int = Field(8, description="Partitions of every event, purge and changelog topic.")
    replication: int = Field(1, description="Copies of every topic; three where brokers may fail.")
    generation: int = Field(1, description="Raised when topics are made anew or repartitioned; part of their names.")

    stream_tables: Literal["memory", "rocksdb"] = Field("rocksdb", description="Where a stream worker keeps its tiles.")
    stream_data_dir: Path = Field(ROOT / "var" / "streams", description="Folder of the RocksDB tables.")
    stream_member: str = Field("worker-1", description="Static member id of this stream worker; unique a worker.")
    stream_session_ms: int = Field(3000, description="A worker silent for so long loses its partitions.")
    stream_health_port: int = Field(6066, description="Port of a stream worker's health page and metrics.")
    stream_lease: bool = Field(True, description="Stamp changelog batches with the last heartbeat (zombie fence).")

    client_requests_per_s: int = Field(
        1000, gt=0, description="How often a client may ask, on average of ten seconds, if it has no limit of its own."
    )
    audit_interval_s: int = Field(300, description="Seconds from one consent audit to the next.")
    access_record_days: int = Field(90, gt=0, description="How long who read whom, and requests per client, are kept.")
    access_stream_mb: int = Field(
        256,
        gt=0,
        description="Memory in the control Redis for access records; beyond it processes keep theirs.",
    )

    celery_eager: bool = Field(False, description="Run tasks inside the caller: tests alone.")

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
