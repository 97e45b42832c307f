"""Command line of the streams.

python -m streams worker                   fold events, carry out purges, push to the store
python -m streams topics plan | apply      print what the cluster's topics lack (then exit code 2); apply the changes
python -m streams republish                push every permission and value to the store again, with progress
python -m streams broker [--address-file]  the demo's broker, in the foreground
"""

import argparse
import sys
from pathlib import Path

from confluent_kafka import KafkaException

from featurestore.command_output import quiet_at_a_broken_pipe
from featurestore.config import settings
from featurestore.definitions import DefinitionError
from featurestore.installed_catalog import CatalogError, catalog
from featurestore.servers.checks import kafka_problems, redis_problems
from featurestore.servers.problems import refuse
from featurestore.store.configured import store
from featurestore.store.protocol import StoreUnavailable
from streams import embedded, topics, worker
from streams.member import MemberError
from streams.republish_command import republish
from streams.wiring import build_pipeline

STEPS_DUE = 2  # exit code; 1 is an error


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m streams", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("worker")
    commands.add_parser("topics").add_argument("step", choices=["plan", "apply"])
    commands.add_parser("republish")
    commands.add_parser("broker").add_argument("--address-file", type=Path)
    options = parser.parse_args(arguments)
    if options.command == "broker":
        embedded.serve(options.address_file)
        return 0
    refuse([*redis_problems(settings(), "store"), *kafka_problems(settings())])
    if options.command == "worker":
        registry = catalog().registry
        worker.run(settings(), registry.sources, lambda app: build_pipeline(app, settings(), registry, store()))
        return 0
    if options.command == "republish":
        return republish_everything()
    return show_topics(options.step)


def write_line(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def republish_everything() -> int:
    partitions = [
        (source, partition) for source in catalog().registry.sources for partition in range(settings().partitions)
    ]
    republish(store(), partitions, write_line)
    return 0


def show_topics(step: str) -> int:
    """Print the steps, taken already if ``step`` is ``apply``; 2 if a plan has any."""
    if settings().kafka_embedded:
        raise topics.TopicsError("RAPPORT_KAFKA_EMBEDDED is on: the demo's broker creates topics by itself")
    steps = {"plan": topics.plan, "apply": topics.apply}[step](settings(), catalog().registry.sources)
    lines = steps.lines() or ["the cluster's topics are as they should be"]
    write_line("\n".join(lines))
    return STEPS_DUE if step == "plan" and steps.due else 0


if __name__ == "__main__":
    try:
        with quiet_at_a_broken_pipe():
            sys.exit(main())
    except (topics.TopicsError, StoreUnavailable, CatalogError, DefinitionError, MemberError) as error:
        sys.exit(str(error))
    except KafkaException as error:
        sys.exit(f"Kafka: {error.args[0].str()}. The rights of each process are in docs/servers.md")
    except TimeoutError:
        sys.exit(f"Kafka at {settings().kafka_bootstrap} does not answer. Is it running?")
