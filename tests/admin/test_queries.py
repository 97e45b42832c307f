"""A page asks the database as often for many rows as for few."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from featurestore.consent import services
from tests.admin.shop import Shop

LISTS = [
    "consent_consentrecord", "consent_notice", "consent_permissionchange", "consent_purpose", "customers_customer",
    "ingest_deadletter", "audit_auditrun", "audit_finding", "access_apiclient", "access_apikey",
    "access_clientsecret", "accesslog_accessrecord", "accesslog_accessgap", "auth_user", "auth_group",
]  # fmt: skip
AT_MOST = 14
"""Session, user and its permissions, the page's rows, their count, choices of filters."""


def fill(shop: Shop, names: range) -> None:
    for n in names:
        shop.register(f"D{n}")
        shop.give(f"D{n}")
        shop.give("C42")
        shop.secret(f"bot-{n}")
        shop.finding(customer_id=f"D{n}")
        shop.recorded(f"D{n}", n)
        shop.letter(f"D{n}", reason=f"reason_{n}")
        services.define_purpose(f"purpose{n}", title=f"Purpose {n}", lawful_basis="consent")
        services.publish_notice(f"notice{n}", 1, "en", "Text", ["service", f"purpose{n}"])


@pytest.mark.parametrize("name", ["root", "olivia"])
def test_as_many_queries_for_many_rows(
    shop: Shop, name: str, django_assert_max_num_queries: Callable[..., AbstractContextManager[CaptureQueriesContext]]
) -> None:
    pages = [reverse(f"admin:{page}_changelist") for page in LISTS if name == "root" or not page.startswith("auth")]
    fill(shop, range(2))
    pages += [
        reverse("admin:index"),
        reverse("admin:customers_customer_change", args=[shop.customers["C42"].pk]),
        reverse("admin:access_apiclient_change", args=[shop.key("bot-1")[0].client.pk]),
    ]
    browser = shop.browse(name)

    def asked() -> dict[str, int]:
        counts: dict[str, Any] = {}
        for page in pages:
            with django_assert_max_num_queries(40) as queries:
                assert browser.get(page).status_code == 200
            counts[page] = len(queries)
        return counts

    few = asked()
    fill(shop, range(2, 12))
    shop.key("bot-1")
    assert asked() == few
    assert max(few[page] for page in pages[: len(LISTS) - 2]) <= AT_MOST, few
