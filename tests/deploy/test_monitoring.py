"""Prometheus and Alertmanager: every process of Compose is scraped and missed; both programs accept their files."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from featurestore.config import ROOT

PROMETHEUS, ALERTMANAGER = ROOT / "deploy" / "prometheus", ROOT / "deploy" / "alertmanager"
CONFIGURATION = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text("utf-8"))
JOBS = {job["job_name"]: job for job in CONFIGURATION["scrape_configs"]}
OF_OTHERS = {"proxy", "kafka", "store", "control", "postgres", "prometheus", "grafana"}
"""Services that have no metrics for Prometheus without an exporter, and Prometheus itself."""


def services() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"]


def rules() -> dict[str, str]:
    groups = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text("utf-8"))["groups"]
    return {rule["alert"]: rule["expr"] for group in groups for rule in group["rules"]}


def processes() -> set[str]:
    """The services that run until they are stopped, and have metrics."""
    return {name for name, service in services().items() if service.get("restart") != "no"} - OF_OTHERS


def test_every_process_is_a_job_whose_copies_are_found_by_its_name() -> None:
    assert set(JOBS) == processes() | {"prometheus"}
    for name in processes():
        found = JOBS[name]["dns_sd_configs"]
        assert [(look_up["names"], look_up["type"]) for look_up in found] == [([name], "A")]


def test_port_of_a_job_is_that_of_the_health_check() -> None:
    for name in processes() - {"alertmanager"}:
        (look_up,) = JOBS[name]["dns_sd_configs"]
        assert services()[name]["healthcheck"]["test"][-2:] == ["featurestore.health_probe", str(look_up["port"])]


def test_process_without_an_address_is_missed() -> None:
    assert set(re.findall(r'job="([\w-]+)"', rules()["ProcessMissing"])) == processes()


def test_every_command_that_serves_metrics_is_told_its_port() -> None:
    settings = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["x-rapport"]["environment"]
    (look_up,) = JOBS["celery"]["dns_sd_configs"]
    assert settings["RAPPORT_HEALTH_PORT"] == str(look_up["port"])


@pytest.fixture
def promtool() -> str:
    if not (program := shutil.which("promtool")):
        pytest.skip("promtool is not installed (Debian's package prometheus)")
    return program


@pytest.fixture
def amtool() -> str:
    if not (program := shutil.which("amtool")):
        pytest.skip("amtool is not installed (Debian's package prometheus-alertmanager)")
    return program


def succeeds(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_accepts_its_files(promtool: str) -> None:
    succeeds(promtool, "check", "config", PROMETHEUS / "prometheus.yml")


def test_alertmanager_accepts_its_file_also_with_its_receivers_filled_in(amtool: str, tmp_path: Path) -> None:
    text = (ALERTMANAGER / "alertmanager.yml").read_text("utf-8")
    filled_in = tmp_path / "alertmanager.yml"
    filled_in.write_text(re.sub(r"^    # ", "    ", text, flags=re.MULTILINE))
    assert "email_configs" in str(yaml.safe_load(filled_in.read_text())["receivers"])
    succeeds(amtool, "check-config", ALERTMANAGER / "alertmanager.yml", filled_in)


CASES = """
rule_files: [{rules}]
evaluation_interval: 10s
tests:
  - interval: 10s
    input_series:
{present}
      - {{series: 'up{{job="streams", instance="a:6066"}}', values: '1x12 _x60'}}
      - {{series: 'rapport_tasks_total{{task="consent.relay", state="SUCCESS"}}', values: '0+10x60'}}
      - {{series: 'rapport_tasks_total{{task="audit.audit", state="FAILURE"}}', values: '0x6 0+1x60'}}
      - {{series: 'rapport_store_memory_bytes{{node="full", job="api"}}', values: '80x6 90x190'}}
      - {{series: 'rapport_store_memory_limit_bytes{{node="full", job="api"}}', values: '100x200'}}
      - {{series: 'rapport_store_memory_bytes{{node="unlimited", job="api"}}', values: '90x200'}}
      - {{series: 'rapport_store_memory_limit_bytes{{node="unlimited", job="api"}}', values: '0x200'}}
    alert_rule_test:
      - {{eval_time: 1m, alertname: ProcessMissing}}
      - {{eval_time: 5m, alertname: StoreMemory}}
      - eval_time: 8m
        alertname: StoreMemory
        exp_alerts:
          - exp_labels: {{node: full}}
            exp_annotations:
              summary: >-
                The store's node full is nearly full: a full one denies every read. Evict more,
                or give it more memory
      - {{eval_time: 1m, alertname: TasksFailed}}
      - {{eval_time: 8m, alertname: TasksStopped}}
      - eval_time: 8m
        alertname: ProcessMissing
        exp_alerts:
          - exp_labels: {{job: streams}}
            exp_annotations: {{summary: "No streams runs: its name has no address"}}
      - eval_time: 8m
        alertname: TasksFailed
        exp_alerts:
          - exp_labels: {{task: audit.audit}}
            exp_annotations: {{summary: "audit.audit keeps failing: read the Celery worker's log"}}
      - eval_time: 30m
        alertname: TasksStopped
        exp_alerts:
          - exp_annotations:
              summary: "No task ends well: are Celery worker, beat, control Redis and database there?"
"""


def test_alerts_fire_for_a_missing_process_and_for_tasks_that_fail_or_stop(promtool: str, tmp_path: Path) -> None:
    series = [f"""      - {{series: 'up{{job="{name}"}}', values: '1x600'}}""" for name in processes() - {"streams"}]
    cases = tmp_path / "cases.yml"
    cases.write_text(CASES.format(rules=PROMETHEUS / "alerts.yml", present="\n".join(series)))
    succeeds(promtool, "test", "rules", cases)
