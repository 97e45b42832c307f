"""Stand-ins for the images that Dockerfile and docker-compose.yml name, made of what this machine has installed.

No registry of images is asked. Each stand-in has the programs, users, folders and start of its original as far as the
files of this project rely on them: what is proved with them is our own image, its options, and how the containers work
together, not the originals.
"""

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pip

from devservers.kafka import broker as kafka_server
from devservers.nginx_server import executable as nginx_program
from devservers.postgres_server import programs as postgres_programs
from tests.containers.package_settings import MOUNTED
from tests.containers.rootfs import Entry, Rootfs

SHELL = ("sh", "cat", "mkdir", "sleep", "env", "ls")
DEBIAN = (
    *SHELL, "bash", "chmod", "chown", "cp", "cut", "date", "dirname", "grep", "groupadd", "head", "id", "install", "ln",
    "mktemp", "mv", "readlink", "rm", "sed", "sort", "tail", "tr", "true", "uname", "useradd", "wc",
)  # fmt: skip
OF_WHEELS = tuple(
    f"lib{name}.so.*" for name in ("c", "m", "dl", "pthread", "rt", "util", "resolv", "gcc_s", "stdc++", "z")
)
"""Libraries that a manylinux wheel may expect."""
NOT_OF_PYTHON = ("*-packages", "test", "*/test", "*/tests", "idlelib", "tkinter", "turtledemo", "config-*")
POSTGRES_USER, KAFKA_USER, REDIS_USER, NOBODY = 70, 1000, 999, 65534
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

POSTGRES_START = """#!/bin/sh
set -eu
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    echo "$POSTGRES_PASSWORD" > /tmp/password
    initdb -D "$PGDATA" -U "$POSTGRES_USER" -A scram-sha-256 --auth-local=trust --pwfile=/tmp/password \\
        -E UTF8 --locale=C --no-sync
    rm /tmp/password
    echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
    echo "CREATE DATABASE \\"$POSTGRES_DB\\"" | postgres --single -D "$PGDATA" postgres
fi
exec postgres -D "$PGDATA" -c listen_addresses='*' -c unix_socket_directories=/var/run/postgresql
"""
KAFKA_START = """#!/bin/bash
# As Apache's image does: KAFKA_A_B=c is a.b=c in the properties, and a new folder is formatted.
set -eu
properties=/tmp/server.properties
env | while IFS='=' read -r name value; do
    case "$name" in
        KAFKA_HEAP_OPTS | KAFKA_JVM) ;;
        KAFKA_*) name=${name#KAFKA_}; name=${name,,}; echo "${name//_/.}=$value" ;;
    esac
done > $properties
run() { java $KAFKA_JVM $KAFKA_HEAP_OPTS -cp "$KAFKA_CLASSPATH" "$@"; }
if [ ! -e "$KAFKA_LOG_DIRS/meta.properties" ]; then
    run kafka.tools.StorageTool format -t "$CLUSTER_ID" -c $properties
fi
exec java $KAFKA_JVM $KAFKA_ARCHIVE $KAFKA_HEAP_OPTS -cp "$KAFKA_CLASSPATH" kafka.Kafka $properties
"""
PIP = """#!/bin/sh
exec /usr/local/bin/python3 -m pip "$@"
"""
KAFKA_ANSWERS = """#!/bin/bash
# Whether the broker's port is open: a second Java only to ask for its versions would take seconds of the processor.
exec 3<> "/dev/tcp/${2%:*}/${2#*:}"
"""


@dataclass
class StandIn:
    """An image: its name in our files, its files, and the instructions of its configuration."""

    name: str
    files: Rootfs
    configuration: list[str] = field(default_factory=list)

    def fingerprint(self) -> str:
        return self.files.fingerprint(self.configuration)


def python(name: str) -> StandIn:
    """Python's image: the Python of this run at /usr/local, with pip alone, on a small Debian."""
    files = Rootfs(entries=users())
    files.add_programs(*DEBIAN)
    files.add_tree("/usr/share/zoneinfo", without=["right", "posix"])
    files.add("/etc/ssl/certs/ca-certificates.crt")
    files.add("/etc/login.defs")
    prefix, version = Path(sys.base_prefix), f"python{sys.version_info.major}.{sys.version_info.minor}"
    for link in ("python", "python3", version):
        files.add(prefix / "bin" / version, to=f"/usr/local/bin/{link}")
    files.add_tree(prefix / "lib" / version, to=f"/usr/local/lib/{version}", without=NOT_OF_PYTHON)
    packages = f"/usr/local/lib/{version}/site-packages"
    files.add_tree(Path(pip.__file__).parent, to=f"{packages}/pip")
    files.entries += [Entry("/usr/local/bin/pip", PIP), Entry(MOUNTED, "", 0o644)]
    files.add_libraries(*OF_WHEELS)
    return StandIn(name, files, [f"ENV {PATH}", "ENV LANG=C.UTF-8", 'CMD ["python3"]'])


def redis(name: str) -> StandIn:
    files = Rootfs(entries=[*users(redis=REDIS_USER), Entry("/data", owner=REDIS_USER)])
    files.add_programs(*SHELL, "redis-server", "redis-cli")
    files.add_libraries()
    return StandIn(name, files, [f"ENV {PATH}", "WORKDIR /data", 'CMD ["redis-server"]'])


def postgres(name: str) -> StandIn:
    installed, data = postgres_programs(), "/var/lib/postgresql/data"
    assert installed
    files = Rootfs(
        entries=[
            *users(postgres=POSTGRES_USER),
            Entry(data, mode=0o700, owner=POSTGRES_USER),
            Entry("/var/run/postgresql", owner=POSTGRES_USER),
            Entry("/usr/local/bin/start", POSTGRES_START),
        ]
    )
    files.add_programs(*SHELL, "rm")
    files.add_tree("/usr/share/zoneinfo", without=["right", "posix"])
    files.add_tree(installed.parent, without=["lib/bitcode", "lib/llvmjit*", "lib/pgxs"])
    files.add_tree(Path("/usr/share/postgresql") / installed.parent.name, without=["man", "extension/[!p]*"])
    files.add_libraries()
    path = f"ENV {PATH}:{installed}"
    return StandIn(name, files, [path, f"ENV PGDATA={data}", "USER postgres", 'ENTRYPOINT ["start"]'])


def kafka(name: str) -> StandIn:
    kafka_server.fetch_jars()
    kafka_server.archive_classes()
    java = Path(shutil.which("java") or "").resolve()
    libs, classes = kafka_server.LIBS.resolve(), kafka_server.CLASSES.resolve()
    data, programs = "/var/lib/kafka/data", "/opt/kafka/bin"
    files = Rootfs(
        entries=[
            *users(appuser=KAFKA_USER),
            Entry(data, owner=KAFKA_USER),
            Entry("/usr/local/bin/start", KAFKA_START),
            Entry(f"{programs}/kafka-broker-api-versions.sh", KAFKA_ANSWERS),
        ]
    )
    files.add_programs(*SHELL, "bash")
    files.add_tree(java.parents[1], without=["man", "legal", "docs", "demo", "include", "jmods", "lib/src.zip"])
    files.add_tree(libs, to=str(libs))
    files.add(classes, to=str(classes))
    files.add_libraries()
    environment = {
        "PATH": f"/usr/local/bin:/usr/bin:{java.parent}",
        "KAFKA_CLASSPATH": f"{libs}/*",
        "KAFKA_JVM": '"' + " ".join(kafka_server.SHORT_LIVED_JVM) + '"',
        "KAFKA_ARCHIVE": f"-XX:SharedArchiveFile={classes}" if classes.stat().st_size else '""',
    }
    variables = [f"ENV {key}={value}" for key, value in environment.items()]
    return StandIn(name, files, [*variables, "USER appuser", 'ENTRYPOINT ["start"]'])


def nginx(name: str) -> StandIn:
    program = nginx_program()
    assert program
    files = Rootfs(entries=users(nginx=101))
    files.add_programs(*SHELL, "awk")
    files.add(program, to="/usr/sbin/nginx")
    files.add_libraries()
    return StandIn(name, files, [f"ENV {PATH}", 'CMD ["nginx", "-g", "daemon off;"]'])


def prometheus(name: str) -> StandIn:
    files = Rootfs(entries=[*users(nobody=NOBODY), Entry("/prometheus", owner=NOBODY)])
    files.add_programs("prometheus")
    files.add_libraries()
    arguments = '["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]'
    return StandIn(name, files, ["USER nobody", 'ENTRYPOINT ["/usr/bin/prometheus"]', f"CMD {arguments}"])


def alertmanager(name: str) -> StandIn:
    files = Rootfs(entries=[*users(nobody=NOBODY), Entry("/alertmanager", owner=NOBODY)])
    files.add_programs("prometheus-alertmanager")
    files.add_tree("/usr/share/prometheus/alertmanager", without=["ui"])  # Debian's keeps its templates there
    files.add_libraries()
    arguments = '["--config.file=/etc/alertmanager/alertmanager.yml", "--storage.path=/alertmanager"]'
    return StandIn(name, files, ["USER nobody", 'ENTRYPOINT ["/usr/bin/prometheus-alertmanager"]', f"CMD {arguments}"])


def users(**named: int) -> list[Entry]:
    """The files and folders that every Debian has, with root and these users."""
    accounts = {"root": 0, **named}
    passwd = "".join(f"{name}:x:{number}:{number}::/:/bin/sh\n" for name, number in accounts.items())
    group = "".join(f"{name}:x:{number}:\n" for name, number in accounts.items())
    return [
        Entry("/tmp", mode=0o1777),
        Entry("/var/tmp", mode=0o1777),
        Entry("/run"),
        Entry("/root", mode=0o700),
        Entry("/etc/passwd", passwd, 0o644),
        Entry("/etc/group", group, 0o644),
        Entry("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n", 0o644),
    ]


MAKERS: dict[str, Callable[[str], StandIn]] = {
    "python": python,
    "redis": redis,
    "postgres": postgres,
    "apache/kafka": kafka,
    "nginx": nginx,
    "prom/prometheus": prometheus,
    "prom/alertmanager": alertmanager,
}
"""How the stand-in of an image is made, by the image's name without its tag."""


def missing() -> list[str]:
    """What this machine lacks for the stand-ins."""
    needed = {
        "java and mvn": kafka_server.missing_programs() is None,
        "PostgreSQL's server programs": postgres_programs() is not None,
        "nginx": nginx_program() is not None,
        **{name: bool(shutil.which(name)) for name in ("redis-server", "prometheus", "prometheus-alertmanager")},
    }
    return [name for name, found in needed.items() if not found]
