"""Admin pages of customers and of their decisions."""

from featurestore.profiles.admin.customers import CustomerAdmin

__all__ = ["CustomerAdmin"]
