"""Django app of background jobs: ``leases.py`` (one process at a time does a job) and ``batches.py`` (iteration)."""
