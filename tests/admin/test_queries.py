"""Number of database queries of a page: the same for many rows as for few."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from featurestore.consent import services
from tests.admin.environment import AdminEnvironment

LISTS = [
    "consent_consentrecord", "consent_notice", "consent_permissionchange", "consent_purpose", "customers_customer",
    "ingest_deadletter", "audit_auditrun", "audit_finding", "access_apiclient", "access_apikey",
    "access_clientsecret", "accesslog_accessrecord", "accesslog_accessgap", "auth_user", "auth_group",
    "logins_loginevent", "retention_evictionrun",
    "retention_retentionrun", "requests_subjectrequest", "staffreads_emergencyaccess",
    "auditlog_entrycontent", "auditlog_logverification", "auditlog_headdestination",
]  # fmt: skip
MAX_QUERIES = 14
"""Session, user and its permissions, the page's rows, their count, choices of filters."""


def fill(env: AdminEnvironment, names: range) -> None:
    for n in names:
        env.register(f"D{n}")
        env.give(f"D{n}")
        env.give("C42")
        env.secret(f"bot-{n}")
        env.finding(customer_id=f"D{n}")
        env.access_record(f"D{n}", n)
        env.eviction_run()
        env.emergency()
        env.retention_run()
        env.log_verification()
        env.tree_head_place()
        env.dead_letter(f"D{n}", reason=f"reason_{n}")
        services.define_purpose(f"purpose{n}", title=f"Purpose {n}", lawful_basis="consent")
        services.publish_notice(f"notice{n}", 1, "en", "Text", ["service", f"purpose{n}"])
    env.log_entries()


@pytest.mark.parametrize("name", ["root", "olivia"])
def test_number_of_queries_does_not_grow_with_rows(
    env: AdminEnvironment,
    name: str,
    django_assert_max_num_queries: Callable[..., AbstractContextManager[CaptureQueriesContext]],
) -> None:
    pages = [reverse(f"admin:{page}_changelist") for page in LISTS if name == "root" or not page.startswith("auth")]
    fill(env, range(2))
    pages += [
        reverse("admin:index"),
        reverse("admin:customers_customer_change", args=[env.customers["C42"].pk]),
        reverse("admin:access_apiclient_change", args=[env.key("bot-1")[0].client.pk]),
    ]
    browser = env.log_in(name)

    def count_queries() -> dict[str, int]:
        counts: dict[str, Any] = {}
        for page in pages:
            with django_assert_max_num_queries(40) as queries:
                assert browser.get(page).status_code == 200
            counts[page] = len(queries)
        return counts

    count_queries()  # fills the caches of content types and sites
    few = count_queries()
    fill(env, range(2, 12))
    env.key("bot-1")
    assert count_queries() == few
    assert max(few[page] for page in pages[: len(LISTS) - 2]) <= MAX_QUERIES, few
