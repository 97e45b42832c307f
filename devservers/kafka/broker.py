"""A local Apache Kafka: one process that is broker and KRaft controller.

    python -m devservers.kafka.broker start [--port 9092]     in the background; returns when it answers
    python -m devservers.kafka.broker stop                    stops the broker that ``start`` started

Needs Java 17 and Maven; the jars are fetched once into ``var/kafka/libs``. Tests use ``Broker`` directly.
"""

import argparse
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from devservers.ports import free_port
from devservers.server import DidNotStart, Server

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / "var" / "kafka"
LIBS = HOME / "libs"
CLASSES = HOME / "classes.jsa"
POM = Path(__file__).with_name("pom.xml")
START_TIMEOUT_S, ARCHIVE_TIMEOUT_S = 60, 120
SHORT_LIVED_JVM = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
"""Bytecode is compiled once, quickly; one thread collects garbage."""

PLAINTEXT_LISTENERS = """\
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{advertised_port},CONTROLLER://127.0.0.1:{controller_port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
"""
COMMON_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.listener.names=CONTROLLER
controller.quorum.bootstrap.servers=127.0.0.1:{controller_port}
log.dirs={logs}
auto.create.topics.enable=false
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=500
log.cleaner.backoff.ms=1000
log.retention.check.interval.ms=5000
log.segment.delete.delay.ms=1000
"""


def missing_programs() -> str | None:
    """A text that names missing programs; None if all are installed."""
    absent = [program for program in ("java", "mvn") if not shutil.which(program)]
    return f"{' and '.join(absent)} not installed (a real Kafka needs Java and Maven)" if absent else None


def fetch_jars() -> None:
    """Download Kafka's jars into ``LIBS``, all or none; other processes wait for the one that downloads."""
    HOME.mkdir(parents=True, exist_ok=True)
    with (HOME / "libs.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if LIBS.exists():
            return
        with tempfile.TemporaryDirectory(dir=HOME) as partial:
            command = [
                "mvn",
                "-q",
                "-B",
                "-f",
                POM,
                "dependency:copy-dependencies",
                f"-DoutputDirectory={partial}/libs",
            ]
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
            os.rename(f"{partial}/libs", LIBS)


def archive_classes() -> None:
    """Write the classes that a broker loads to ``CLASSES``, once: with them it starts in half of the processor time.

    Java writes them at the end of a broker that was started for that. Other processes wait. A Java that can't leaves an
    empty file.
    """
    with (HOME / "classes.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if CLASSES.exists():
            return
        with tempfile.TemporaryDirectory(dir=HOME) as folder:
            written = Path(folder) / CLASSES.name
            broker = Broker(Path(folder) / "broker", short_lived=True)
            broker.launch(f"-XX:ArchiveClassesAtExit={written}")
            assert broker.process
            broker.process.terminate()
            broker.process.wait(ARCHIVE_TIMEOUT_S)
            written.touch()
            os.rename(written, CLASSES)


@dataclass
class Broker(Server):
    """One broker with its data in ``folder``. After ``kill``, ``start`` recovers as after a crash.

    ``advertised_port`` is the port of a proxy that clients connect to; 0: they connect to the broker. ``short_lived``
    saves half of the processor time of a broker of minutes; one of hours is slower with it.
    """

    folder: Path
    port: int = field(default_factory=free_port)
    advertised_port: int = 0
    short_lived: bool = False
    controller_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def logs(self) -> Path:
        """The folder of its topics. It may be a disk of its own."""
        return self.folder / "logs"

    def listeners(self) -> str:
        """The properties of its listeners."""
        return PLAINTEXT_LISTENERS.format(**vars(self) | {"advertised_port": self.advertised_port or self.port})

    def format_options(self) -> Sequence[str]:
        """Further options of formatting its folder."""
        return ()

    def client_options(self) -> dict[str, Any]:
        """librdkafka's options of a client."""
        return {"bootstrap.servers": self.bootstrap}

    def start(self) -> None:
        """Format the folder if it is new, start, and return when the broker answers."""
        fetch_jars()
        archive_classes()
        self.launch(*([f"-XX:SharedArchiveFile={CLASSES.resolve()}"] if CLASSES.stat().st_size else []))

    def launch(self, *options: str) -> None:
        """Start with options of Java."""
        self.folder.mkdir(parents=True, exist_ok=True)
        properties = self.folder / "server.properties"
        properties.write_text(self.listeners() + COMMON_PROPERTIES.format(**vars(self), logs=self.logs), "utf-8")
        output = self.folder / "output.log"
        with output.open("ab") as log:
            if not (self.logs / "meta.properties").exists():
                cluster = "rapport-local-cluster0"  # 22 characters of base64: a Kafka uuid
                arguments = ["format", "--standalone", "-t", cluster, "-c", str(properties), *self.format_options()]
                subprocess.run(self._java("kafka.tools.StorageTool", *arguments), check=True, stdout=log, stderr=log)
            self.process = subprocess.Popen(
                self._java(*options, "kafka.Kafka", str(properties)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # not stopped by the terminal's Ctrl-C
            )
        self._wait_until_answers(output)

    def _java(self, *arguments: str) -> list[str]:
        jvm = SHORT_LIVED_JVM if self.short_lived else ()
        return ["java", *jvm, "-Xmx512m", "-Xms128m", "-cp", f"{LIBS.resolve()}/*", *arguments]

    def _wait_until_answers(self, output: Path) -> None:
        assert self.process
        client = AdminClient({**self.client_options(), "log_level": 0})
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if client.list_topics(timeout=1).brokers:
                    return
            except KafkaException:
                continue
        self.kill()
        raise DidNotStart(f"Kafka did not answer on {self.bootstrap}; its output is in {output}")


PID = HOME / "broker.pid"


def running_pid() -> int | None:
    """The pid that ``start`` wrote, if that process still is the broker: pids are reused."""
    if not PID.exists():
        return None
    pid = int(PID.read_text(encoding="utf-8"))
    listing = subprocess.run(["ps", "-p", str(pid), "-o", "args="], capture_output=True, text=True, check=False)
    return pid if str(HOME / "data") in listing.stdout else None


def start(port: int) -> None:
    if pid := running_pid():
        print(f"Kafka is running already (pid {pid}).")
        return
    if reason := missing_programs():
        sys.exit(reason)
    broker = Broker(HOME / "data", port, controller_port=port + 1)
    broker.start()
    assert broker.process
    PID.write_text(str(broker.process.pid), encoding="utf-8")
    print(f"Kafka answers at {broker.bootstrap} (pid {broker.process.pid}, data in {broker.folder}).")


def stop() -> None:
    if pid := running_pid():
        os.kill(pid, signal.SIGTERM)
        while running_pid():
            time.sleep(0.1)
        print(f"Kafka stopped (pid {pid}).")
    else:
        print("No Kafka that `start` started is running.")
    PID.unlink(missing_ok=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="A real single-node Apache Kafka.")
    parser.add_argument("command", choices=["start", "stop"])
    parser.add_argument("--port", type=int, default=9092)
    arguments = parser.parse_args()
    if arguments.command == "start":
        start(arguments.port)
    else:
        stop()


if __name__ == "__main__":
    main()
