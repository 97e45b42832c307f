"""The administration of API clients, their keys and secrets, and staff."""

from featurestore.access.admin.clients import ApiClientAdmin
from featurestore.access.admin.keys import ApiKeyAdmin, ClientSecretAdmin
from featurestore.access.admin.staff import RoleAdmin, StaffMemberAdmin

__all__ = [
    "ApiClientAdmin",
    "ApiKeyAdmin",
    "ClientSecretAdmin",
    "RoleAdmin",
    "StaffMemberAdmin",
]
