"""Admin pages of erasures, legal holds and suppressions."""

from featurestore.requests.erasure.admin.erasures import ErasureAdmin
from featurestore.requests.erasure.admin.holds import LegalHoldAdmin
from featurestore.requests.erasure.admin.suppressions import SuppressionAdmin

__all__ = ["ErasureAdmin", "LegalHoldAdmin", "SuppressionAdmin"]
