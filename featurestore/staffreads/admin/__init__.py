"""Admin pages of reads by staff, a file a screen: emergency accesses, and a customer's values."""

from featurestore.staffreads.admin import emergencies

__all__ = ["emergencies"]
