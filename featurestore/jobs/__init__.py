"""Django app of background jobs.

``job_leases.py`` (one process at a time does a job), ``batches.py``, ``metrics.py``.
"""
