"""Celery application: settings of the workers, their two queues, and the schedule of beat.

The urgent queue has tasks of some seconds that others wait for, and a Celery worker of its own, so that none of them
waits behind an audit. A Celery worker without ``--queues`` takes both.

Tasks must be repeatable: a message is acknowledged after its task, and delivered again if the task runs longer than
``visibility_timeout``. The time limits stop a task before.
"""

import os
from typing import Any

from celery import Celery
from celery.signals import beat_init, celeryd_init
from kombu import Queue

from adminsite.celery_health import watch
from adminsite.checks import refuse_if_unsafe
from adminsite.export_checks import refuse_without_export_folder
from featurestore.config import settings
from featurestore.servers.celery_broker import celery_broker

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "adminsite.settings")

VISIBILITY_TIMEOUT_S = 300

AUDIT_S, HOUR_S, DAY_S = settings().audit_interval_s, 3600, 86_400
# A message expires when the next one is due, so that a Celery worker that was stopped does not repeat missed ones.
SCHEDULE: dict[str, dict[str, Any]] = {
    task: {"task": task, "schedule": every_s, "options": {"expires": every_s}}
    for task, every_s in {
        "consent.relay": 1.0,
        "accesslog.consume": 1.0,
        "consent.expire": 10.0,
        "requests.send_messages": 5.0,
        "requests.remind": 600.0,
        "erasure.walk": 5.0,
        "ingest.import_dead_letters": 30.0,
        "exports.advance": 10.0,
        "exports.expire": 60.0,
        "auditlog.sequence": 2.0,
        "auditlog.send_heads": 60.0,
        "auditlog.verify": 60.0,
        "auditlog.prune": float(DAY_S),
        "retention.evict": 30.0,
        "retention.apply": 60.0,
        "audit.audit": float(AUDIT_S),
        "accesslog.prune": float(HOUR_S),
        "access.prune": 600.0,
        "logins.prune": 600.0,
        "staffreads.prune": float(HOUR_S),
        "requests.prune": 600.0,
        "consent.prune": float(DAY_S),
        "ingest.prune_dead_letters": float(DAY_S),
        "audit.prune": float(DAY_S),
    }.items()
}

QUEUE, URGENT_QUEUE = "celery", "celery-urgent"  # the users of the control Redis may use names that begin so
URGENT = {"consent.relay", "consent.expire", "accesslog.consume", "auditlog.sequence"}
URGENT_LIMITS_S = {"soft_time_limit": 30, "time_limit": 60}

BROKER = celery_broker(settings().control_url)

app = Celery("rapport")
app.conf.update(
    broker_url=BROKER.url,
    broker_use_ssl=BROKER.use_ssl,
    broker_connection_retry_on_startup=True,
    broker_transport_options={
        "visibility_timeout": VISIBILITY_TIMEOUT_S,
        "socket_connect_timeout": 2,
        "socket_timeout": 10,
        "retry_on_timeout": True,
        **BROKER.transport_options,
    },
    # A request that enqueues must not hang while the control Redis is unavailable: the outbox row is committed.
    task_publish_retry_policy={"max_retries": 1, "interval_start": 0.1},
    task_default_queue=QUEUE,
    # Without names of their own all queues would be bound to one exchange, and each get every message.
    task_queues=[Queue(name, exchange=name, routing_key=name) for name in (QUEUE, URGENT_QUEUE)],
    task_routes={task: {"queue": URGENT_QUEUE} for task in URGENT},
    task_annotations=dict.fromkeys(URGENT, URGENT_LIMITS_S),
    task_always_eager=settings().celery_eager,
    task_eager_propagates=True,
    task_ignore_result=True,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_soft_time_limit=VISIBILITY_TIMEOUT_S - 120,
    task_time_limit=VISIBILITY_TIMEOUT_S - 60,
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=False,  # structlog's chain stays
    task_serializer="json",
    accept_content=["json"],
    timezone="UTC",
    beat_schedule=SCHEDULE,
)
app.autodiscover_tasks()
watch(app)


def check_export_folder(options: dict[str, Any], **_: Any) -> None:
    """Refuse the start of a Celery worker that takes export tasks, by its queues, and can't write to their folder."""
    if not (queues := options.get("queues")) or QUEUE in queues:
        refuse_without_export_folder()


celeryd_init.connect(refuse_if_unsafe, weak=False)
celeryd_init.connect(check_export_folder, weak=False)
beat_init.connect(refuse_if_unsafe, weak=False)
