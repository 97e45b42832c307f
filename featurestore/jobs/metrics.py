"""Prometheus metrics of Celery tasks, counted by the process that ran them."""

from prometheus_client import Counter, Histogram

TASKS = Counter("rapport_tasks", "Tasks that ended.", ["task", "state"])
SECONDS = Histogram(
    "rapport_task_seconds", "Duration of a task.", ["task"], buckets=(0.01, 0.05, 0.2, 1, 5, 20, 60, 180)
)
