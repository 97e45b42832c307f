"""Readers of emergency accesses, and the questions that may be asked."""

from datetime import datetime, timedelta

from django.contrib.auth.models import AbstractUser, AnonymousUser
from django.db.models import QuerySet

from featurestore.installed_catalog import catalog
from featurestore.staffreads.models import EmergencyAccess

DAY = timedelta(days=1)
VIEW_VALUES, BEGIN_EMERGENCY = "staffreads.view_values", "staffreads.add_emergencyaccess"


def may_look(user: AbstractUser | AnonymousUser) -> bool:
    """Whether somebody may view customers' values, by right or in an emergency."""
    return any(user.has_perm(one) for one in (VIEW_VALUES, BEGIN_EMERGENCY))


def in_force(at: datetime) -> QuerySet[EmergencyAccess]:
    """The emergency accesses that have begun and not ended."""
    return EmergencyAccess.objects.filter(began_at__lte=at, ends_at__gt=at)


def begun_since(at: datetime) -> QuerySet[EmergencyAccess]:
    """The emergency accesses that began since a time, in force or over."""
    return EmergencyAccess.objects.filter(began_at__gte=at)


def questions() -> dict[str, tuple[str, ...]]:
    """The purposes that each service's views serve, by its name; its usual purpose first."""
    services = catalog().registry.services
    return {
        name: tuple(dict.fromkeys([service.purpose, *(one for view in service.views for one in sorted(view.purposes))]))
        for name, service in sorted(services.items())
    }
