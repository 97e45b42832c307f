"""Rights that docs/servers.md lists, as its commands give them."""

import argparse
import subprocess
from collections.abc import Iterator
from itertools import product
from pathlib import Path

from confluent_kafka.admin import AclBinding, AclOperation, AclPermissionType, ResourcePatternType, ResourceType

from featurestore.config import ROOT
from tests.docs.pages import blocks

PAGE = ROOT / "docs" / "servers.md"
STAND_IN = """\
#!/bin/sh
for argument in "$@"; do echo "$argument"; done >> "$RECORDED"
echo >> "$RECORDED"
"""


def kafka_rules(folder: Path) -> list[AclBinding]:
    """The rules that the page's calls of Kafka's own program make, run with a stand-in that notes them."""
    program, recorded = folder / "kafka-acls.sh", folder / "calls"
    program.write_text(STAND_IN, encoding="utf-8")
    program.chmod(0o755)
    environment = {"PATH": f"{folder}:/usr/bin:/bin", "RECORDED": str(recorded), "KAFKA": "broker:9093"}
    (commands,) = (block.text for block in blocks(PAGE) if "kafka-acls.sh" in block.text)
    subprocess.run(["bash", "-euc", commands], env=environment, check=True)
    calls = recorded.read_text(encoding="utf-8").strip().split("\n\n")
    return [rule for call in calls for rule in _rules(call.split("\n"))]


def _rules(call: list[str]) -> Iterator[AclBinding]:
    parser = argparse.ArgumentParser(exit_on_error=False, allow_abbrev=False)
    for option in ("--add", "--force"):
        parser.add_argument(option, action="store_true", required=True)
    parser.add_argument("--cluster", dest="clusters", action="store_const", const=["kafka-cluster"], default=[])
    for option in ("--bootstrap-server", "--command-config", "--allow-principal"):
        parser.add_argument(option, required=True)
    parser.add_argument("--resource-pattern-type", default="literal")
    for option in ("--topic", "--group", "--operation"):
        parser.add_argument(option, action="append", default=[])
    given = parser.parse_args(call)
    pattern = ResourcePatternType[given.resource_pattern_type.upper()]
    assert pattern == ResourcePatternType.LITERAL or not given.clusters, "kafka-acls.sh refuses that"
    for kind, names in (
        (ResourceType.TOPIC, given.topic),
        (ResourceType.GROUP, given.group),
        (ResourceType.BROKER, given.clusters),
    ):
        for name, operation in product(names, given.operation):
            permission = _operation(operation), AclPermissionType.ALLOW
            yield AclBinding(kind, name, pattern, given.allow_principal, "*", *permission)


def _operation(name: str) -> AclOperation:
    """Kafka's AlterConfigs is librdkafka's ALTER_CONFIGS."""
    return next(one for one in AclOperation if one.name.replace("_", "") == name.upper())


def database_statements() -> tuple[list[str], list[str]]:
    """The page's statements for psql: before it connects to the new database, and there."""
    (text,) = (block.text for block in blocks(PAGE) if "CREATE ROLE" in block.text)
    before, after = text.split("\\connect rapport\n")
    return _statements(before), _statements(after)


def _statements(text: str) -> list[str]:
    return [statement.strip() for statement in text.split(";") if statement.strip()]
