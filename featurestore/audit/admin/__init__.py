"""Admin pages of assurance, a file a screen: audits and findings; the audit log, its verifications, its tree heads."""

from featurestore.audit.admin import audits, log_entries, log_verifications, tree_heads

__all__ = ["audits", "log_entries", "log_verifications", "tree_heads"]
