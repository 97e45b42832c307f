"""Celery task of a test that occupies its worker's process until the test lets it end."""

import time

from celery import shared_task
from redis import Redis

RUNNING, MAY_END = "tests:running", "tests:may-end"


@shared_task(name="tests.block")
def block(redis_url: str) -> None:
    """Count itself in RUNNING, and end when MAY_END is set. The task's time limit ends it at last."""
    with Redis.from_url(redis_url) as redis:
        redis.incr(RUNNING)
        while not redis.exists(MAY_END):
            time.sleep(0.05)
        redis.decr(RUNNING)
