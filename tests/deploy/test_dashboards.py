"""Grafana's dashboards and Prometheus' alerts use only metrics that the code defines."""

import json
import re
from pathlib import Path

import promql_parser
import pytest
import yaml

from featurestore.config import ROOT

FILES = [ROOT / "deploy" / "grafana" / "dashboards" / "rapport.json", ROOT / "deploy" / "prometheus" / "alerts.yml"]
CODE = "\n".join(
    path.read_text(encoding="utf-8")
    for package in ("featurestore", "streams")
    for path in (ROOT / package).rglob("*.py")
)
DEFINED = {
    name + suffix
    for kind, name in re.findall(r'\b(Counter|Gauge|Histogram)(?:MetricFamily)?\(\s*"(rapport_\w+)"', CODE)
    for suffix in {"Counter": ["_total"], "Gauge": [""], "Histogram": ["_bucket", "_count", "_sum"]}[kind]
}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_metric_in_use_is_defined(path: Path) -> None:
    used = set(re.findall(r"\brapport_\w+", path.read_text(encoding="utf-8")))
    assert used
    assert used <= DEFINED


def expressions() -> list[str]:
    panels = json.loads(FILES[0].read_text(encoding="utf-8"))["panels"]
    groups = yaml.safe_load(FILES[1].read_text(encoding="utf-8"))["groups"]
    return [target["expr"] for panel in panels for target in panel["targets"]] + [
        rule["expr"] for group in groups for rule in group["rules"]
    ]


@pytest.mark.parametrize("expression", expressions())
def test_every_expression_is_promql(expression: str) -> None:
    assert promql_parser.parse(expression)


@pytest.mark.parametrize("path", sorted((ROOT / "deploy").rglob("*.yml")), ids=lambda path: path.name)
def test_provisioned_file_is_yaml(path: Path) -> None:
    assert yaml.safe_load(path.read_text(encoding="utf-8"))
