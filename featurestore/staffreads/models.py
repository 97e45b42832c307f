"""Table of emergency accesses."""

from django.db import models


class EmergencyAccess(models.Model):
    """Access of a staff member without the right to one customer's values, for some minutes and a stated reason."""

    personal_data = "A subject (pseudonym), whose values a staff member might look at, and why, in free text."
    erased_by = (
        "Erasure puts a pseudonym in place of the subject and empties the text: the row proves who might look. "
        "Retention deletes it after RAPPORT_ACCESS_RECORD_DAYS."
    )

    staff = models.CharField(max_length=150, db_index=True)
    subject = models.CharField(max_length=32, editable=False, db_index=True)  # empty: nobody is registered
    reason = models.CharField(max_length=500, blank=True)
    began_at = models.DateTimeField(db_index=True)
    ends_at = models.DateTimeField()

    class Meta:
        ordering = ["-began_at", "-pk"]
        verbose_name_plural = "emergency accesses"
        permissions = [("view_values", "Can view the values of customers")]
        constraints = [
            models.CheckConstraint(name="emergency_ends_after", condition=models.Q(ends_at__gt=models.F("began_at")))
        ]

    def __str__(self) -> str:
        return f"{self.staff}, {self.began_at:%Y-%m-%d %H:%M} UTC"
