"""Leases: which process does a job that one process at a time should do."""

from django.db import models


class Lease(models.Model):
    """Who does a job that one process at a time should do. Held by conditional update, over at its time."""

    personal_data = "None."
    erased_by = "Never."

    name = models.CharField(max_length=32, primary_key=True)
    holder = models.CharField(max_length=64)
    until = models.DateTimeField()

    def __str__(self) -> str:
        return self.name
