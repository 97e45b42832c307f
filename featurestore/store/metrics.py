"""Prometheus counter of damaged contents of the store. Whoever meets one counts it; it names no subject."""

from prometheus_client import Counter

DAMAGED = Counter(
    "rapport_store_damaged",
    "Contents of the store that could not be read, each time they were met: another program wrote to it.",
    ["content"],  # hash, permission, values, watermark, claim or highest_change
)
