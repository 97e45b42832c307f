"""Completeness of lists in the pages: every status, metric, role, model and process has a line."""

import re
from typing import Any

import pytest
import yaml
from prometheus_client.metrics import MetricWrapperBase

from featurestore.access.roles import ROLES
from featurestore.access.scopes import Scope
from featurestore.accesslog import metrics as access_log_metrics
from featurestore.accesslog import writer
from featurestore.api import errors as problems
from featurestore.api import metrics as api_metrics
from featurestore.api.sse import metrics as sse_metrics
from featurestore.api.sse.events import Ending, Event
from featurestore.api.urls import api
from featurestore.audit.comparison import DifferenceKind
from featurestore.auditlog import metrics as audit_log_metrics
from featurestore.config import ROOT
from featurestore.consent import metrics as consent_metrics
from featurestore.consent.errors import ConsentError, ImmutableRecord, NotPaused, PurposeChanged
from featurestore.consent.journal import metrics as journal_metrics
from featurestore.consent.permission_derivation import Basis
from featurestore.consent.vouching.node_verifier import VerifierState
from featurestore.customers import suppressions
from featurestore.ingest import metrics as dead_letter_metrics
from featurestore.jobs import metrics as task_metrics
from featurestore.permission import Denial
from featurestore.requests import metrics as request_metrics
from featurestore.requests.erasure import metrics as erasure_metrics
from featurestore.requests.errors import (
    ImmutableEvent,
    NoReason,
    NotExtendable,
    RequestError,
    SecondPersonNeeded,
    Unreadable,
)
from featurestore.requests.export.errors import LinkRefused, ReleaseNeedsAnother
from featurestore.requests.form_links import InvalidLink
from featurestore.serving.answer import Status
from streams import metrics as stream_metrics

METRIC_TYPES = (MetricWrapperBase, stream_metrics.EventToServedHistogram)
ALERTS = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text(encoding="utf-8"))
PROCFILE = (ROOT / "Procfile").read_text(encoding="utf-8")


def all_subclasses(parent: type[Any]) -> set[type[Any]]:
    return {child for direct in parent.__subclasses__() for child in {direct, *all_subclasses(direct)}}


def problem_names() -> set[str]:
    """Types of problem documents. No call of the API can cause the excluded errors."""
    names = {problem.name for problem in all_subclasses(problems.Problem) if hasattr(problem, "name")}
    decisions = all_subclasses(ConsentError) - {PurposeChanged, ImmutableRecord, NotPaused}
    requests = all_subclasses(RequestError) - {
        InvalidLink,
        LinkRefused,
        ReleaseNeedsAnother,
        ImmutableEvent,
        Unreadable,
        SecondPersonNeeded,
        NotExtendable,
        NoReason,
    }
    return names | {error.code.replace("_", "-") for error in decisions | requests}


def metric_names() -> set[str]:
    modules = (
        api_metrics,
        audit_log_metrics,
        sse_metrics,
        consent_metrics,
        dead_letter_metrics,
        access_log_metrics,
        writer,
        stream_metrics,
        journal_metrics,
        request_metrics,
        task_metrics,
        erasure_metrics,
        suppressions,
    )
    counted = [metric for module in modules for metric in vars(module).values()]
    families = [family for metric in counted if isinstance(metric, METRIC_TYPES) for family in metric.collect()]
    return {family.name + ("_total" if family.type == "counter" else "") for family in families}


LISTS = {
    "api.md": {
        *Status,
        *(set(Denial) - {Denial.UNKNOWN}),
        *problem_names(),
        *Scope,
        *(f"`{event}`" for event in Event),
        *(f"`{ending}`" for ending in set(Ending) - {Ending.SLOW, Ending.GONE, Ending.FAILED}),
        *api.get_openapi_schema()["paths"],
    },
    "consent.md": {*Basis, *DifferenceKind, *(state.value for state in VerifierState)},
    "operating.md": {
        *Ending,
        *metric_names(),
        *(rule["alert"] for group in ALERTS["groups"] for rule in group["rules"]),
    },
    "running.md": {f"`{process}`" for process in re.findall(r"^([\w-]+):", PROCFILE, re.MULTILINE)},
    "security.md": {*ROLES},
}


@pytest.mark.parametrize("page", LISTS)
def test_page_lists_all_items(page: str) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    assert {str(item) for item in LISTS[page] if str(item) not in text} == set()
