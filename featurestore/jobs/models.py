"""Table of job leases."""

from django.db import models


class JobLease(models.Model):
    """The process that holds it, and the time at which it ends unless it is renewed."""

    personal_data = "None."
    erased_by = "Never."

    name = models.CharField(max_length=32, primary_key=True)
    holder = models.CharField(max_length=64)
    until = models.DateTimeField()

    def __str__(self) -> str:
        return self.name
