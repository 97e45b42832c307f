"""The administration of customers."""

from featurestore.profiles.admin.customers import CustomerAdmin

__all__ = ["CustomerAdmin"]
