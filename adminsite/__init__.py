"""The Django site: settings, addresses, Celery, the administration's looks."""
