"""Leases and batches of background jobs."""
