"""The administration of API clients, their keys and secrets, what they read, and staff."""

from featurestore.access.admin.clients import ApiClientAdmin
from featurestore.access.admin.keys import ApiKeyAdmin, ClientSecretAdmin
from featurestore.access.admin.records import AccessGapAdmin, AccessRecordAdmin
from featurestore.access.admin.staff import RoleAdmin, StaffMemberAdmin

__all__ = [
    "AccessGapAdmin",
    "AccessRecordAdmin",
    "ApiClientAdmin",
    "ApiKeyAdmin",
    "ClientSecretAdmin",
    "RoleAdmin",
    "StaffMemberAdmin",
]
