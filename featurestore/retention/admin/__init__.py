"""Admin pages of retention, a file a screen."""

from featurestore.retention.admin import evictions, rules, runs

__all__ = ["evictions", "rules", "runs"]
