"""Roles of staff: what each may do, and may not."""

import pytest
from django.contrib.auth.models import Group, User

from featurestore.access.models import ApiClient
from featurestore.access.roles import (
    CHAT_ENGINEER,
    PLATFORM_ENGINEER,
    PRIVACY_OFFICER,
    REQUEST_APPROVER,
    REQUEST_INTAKE,
)
from featurestore.access.services import assign_client, create_client, seed_roles


def staff_member(role: str) -> User:
    user = User.objects.create_user("somebody", is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    return user


def test_seeding_is_idempotent() -> None:
    first = [{p.codename for p in group.permissions.all()} for group in seed_roles()]
    again = [{p.codename for p in group.permissions.all()} for group in seed_roles()]
    assert first == again
    assert all(first)


@pytest.mark.parametrize(
    ("role", "may", "may_not"),
    [
        (PRIVACY_OFFICER, "access.view_apiclient", "access.add_apikey"),
        (PRIVACY_OFFICER, "customers.view_customer", "customers.delete_customer"),
        (PLATFORM_ENGINEER, "access.add_apikey", "customers.view_customer"),
        (PLATFORM_ENGINEER, "ingest.change_deadletter", "ingest.delete_deadletter"),
        (PRIVACY_OFFICER, "ingest.view_deadletter", "ingest.change_deadletter"),
        (PRIVACY_OFFICER, "accesslog.view_accessrecord", "access.change_accessrecord"),
        (PLATFORM_ENGINEER, "accesslog.view_accessgap", "accesslog.view_accessrecord"),
        (PLATFORM_ENGINEER, "access.view_apikey", "accesslog.view_accessrecord"),
        (CHAT_ENGINEER, "consent.view_purpose", "accesslog.view_accessrecord"),
        (CHAT_ENGINEER, "consent.view_notice", "ingest.view_deadletter"),
        (CHAT_ENGINEER, "consent.view_purpose", "access.view_apiclient"),
        (PRIVACY_OFFICER, "requests.change_subjectrequest", "requests.approve_subjectrequest"),
        (REQUEST_INTAKE, "requests.add_subjectrequest", "requests.change_subjectrequest"),
        (REQUEST_INTAKE, "requests.view_subjectrequest", "customers.view_customer"),
        (REQUEST_APPROVER, "requests.approve_subjectrequest", "requests.change_subjectrequest"),
        (REQUEST_APPROVER, "exports.release_dataexport", "exports.add_dataexport"),
        (REQUEST_APPROVER, "exports.review_dataexport", "exports.deliver_dataexport"),
        (REQUEST_APPROVER, "erasure.view_erasure", "erasure.run_erasure"),
        (PLATFORM_ENGINEER, "ingest.change_deadletter", "requests.view_subjectrequest"),
    ],
)
def test_role_has_its_permissions_and_no_others(role: str, may: str, may_not: str) -> None:
    seed_roles()
    user = staff_member(role)
    assert user.has_perm(may)
    assert not user.has_perm(may_not)


def test_chat_engineer_manages_only_assigned_clients(bot: ApiClient) -> None:
    seed_roles()
    user = staff_member(CHAT_ENGINEER)
    other = create_client("sales-bot", owner="sales", actor="test")
    assign_client(bot, user, actor="test")
    assert user.has_perm("access.change_apiclient", bot)
    assert not user.has_perm("access.change_apiclient", other)
