"""Texts of the administration: each value that a page can meet has one."""

import pkgutil
from collections.abc import Iterator, Mapping
from enum import Enum
from importlib import import_module
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

import adminsite
import featurestore
from featurestore.consent import selectors
from featurestore.consent.models import ConsentRecord
from featurestore.consent.selectors import StoreStatus
from featurestore.store.protocol import NodeState, ReadResult
from tests.admin.environment import AdminEnvironment

OF_SOME_VALUES = (
    "featurestore.profiles.admin.customers.",  # the decisions that each of these pages records; nobody an expiry
    "featurestore.requests.admin.messages.SECRET",  # kinds of messages whose stored text lacks a secret
    "featurestore.requests.admin.next_step.ENDED_TEXTS",  # states in which nothing is left to do
    "featurestore.requests.admin.timeline.ROLES",  # of others the name is shown
)
"""Texts of some values."""


def texts_by_value() -> Iterator[tuple[str, Mapping[Any, Any]]]:
    """Every mapping from the values of an enumeration, in a module of the administration."""
    for package in (featurestore, adminsite):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if ".admin" not in module.name and module.name != "adminsite.dashboard":
                continue
            for name, value in vars(import_module(module.name)).items():
                if isinstance(value, Mapping) and value and all(isinstance(key, Enum) for key in value):
                    yield f"{module.name}.{name}", value


FOUND = dict(texts_by_value())


def test_texts_are_found() -> None:
    assert {"adminsite.dashboard.STORE", "featurestore.profiles.admin.status.STORE_PROBLEMS"} <= FOUND.keys()


@pytest.mark.parametrize("name", FOUND)
def test_every_value_of_an_enumeration_has_a_text(name: str) -> None:
    texts = FOUND[name]
    if not name.startswith(OF_SOME_VALUES):
        assert set(texts) == set(type(next(iter(texts))))


@pytest.mark.parametrize("status", StoreStatus)
def test_customer_page_shows_every_state_of_the_store(
    env: AdminEnvironment, monkeypatch: pytest.MonkeyPatch, status: StoreStatus
) -> None:
    monkeypatch.setattr(selectors, "permissions_in_store", lambda subjects=(): (status, [None] * len(subjects)))
    page = env.log_in("olivia").get(reverse("admin:customers_customer_change", args=[env.customers["C42"].pk]))
    assert page.status_code == 200
    assert bool(page.context["status"].store_problem) == (status is not StoreStatus.VOUCHED)
    assert {line.in_store is None for line in page.context["status"].purposes} == {status is not StoreStatus.VOUCHED}


def test_customer_page_judges_the_customers_own_node(env: AdminEnvironment, monkeypatch: pytest.MonkeyPatch) -> None:
    read = env.store.read

    def read_partly(*args: Any) -> ReadResult:
        result = read(*args)
        return result._replace(nodes=[*result.nodes, NodeState("", [])])

    monkeypatch.setattr(env.store, "read", read_partly)
    assert selectors.permissions_in_store()[0] is StoreStatus.PARTLY
    assert selectors.permissions_in_store([env.customers["C42"].subject])[0] is StoreStatus.VOUCHED


@pytest.fixture
def olivia(env: AdminEnvironment) -> Client:
    return env.log_in("olivia")


def test_records_and_timeline_show_when_a_decision_was_made(env: AdminEnvironment, olivia: Client) -> None:
    recorded = env.give_late("C42")
    assert recorded.record.superseded
    record = ConsentRecord.objects.first()
    assert record is not None
    listed = olivia.get(reverse("admin:consent_consentrecord_changelist")).content.decode()
    assert "Decided at" in listed
    page = olivia.get(reverse("admin:consent_consentrecord_change", args=[record.pk])).content.decode()
    assert "Decided at" in page
    assert "Superseded" in page
    customer = olivia.get(reverse("admin:customers_customer_change", args=[env.customers["C42"].pk]))
    assert "superseded: a newer decision had been recorded" in customer.content.decode()
    (line,) = [line for line in customer.context["status"].purposes if line.purpose.name == "service"]
    assert line.record.sequence != record.sequence, "a superseded decision is not the reason of the permission"
