"""Program that has imported the libraries of the project's processes, and forks when it is asked for one of them.

    python -m tests.kit.fork_server FILE_DESCRIPTOR

It knows no settings and has one thread. What it forks does what ``python ARGUMENTS`` does, without a second of
imports: in a session of its own, with its folder, environment and standard files. tests/kit/forks.py asks it.
"""

import gc
import json
import os
import runpy
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import ModuleType

LIBRARIES = """
aiokafka celery.app.trace celery.apps.beat celery.apps.worker celery.bin.celery celery.concurrency.prefork
celery.worker.consumer confluent_kafka.admin cryptography.hazmat.primitives.asymmetric.ed25519 cryptography.x509
dj_database_url django.core.management django.core.validators django.db.backends.postgresql.base
django.db.backends.sqlite3.base django.db.migrations.executor django.db.models django.forms django.http
django.middleware.csrf django.template.loader django.template.response django.test.client django.urls
django.utils.translation.trans_real django.views.generic faust.app faust.cli.faust faust.transport.drivers.aiokafka
httpx kombu.transport.redis msgspec oauthlib.oauth2 psycopg pydantic_settings redis.asyncio redis.cluster redis.sentinel
rocksdict structlog yaml
""".split()
"""They read no settings, and start no thread, when they are imported."""
FILES = 5
"""Of a request: its text, standard input, output and errors, and the socket of its answers."""


def serve(requests: socket.socket) -> list[str]:
    """Fork for each request, until nobody can ask. Returns only in a forked process, with the arguments for Python.

    A socket of answers gets the process's id and, after its end, its exit code, as Popen has it.
    """
    woken, waker = socket.socketpair()
    for one in (woken, waker):
        one.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waker.fileno())
    answers = dict[int, socket.socket]()
    while True:
        readable, _, _ = select.select([requests, woken], [], [])
        if woken in readable:
            woken.recv(4096)
            report_ends(answers)
        if requests in readable:
            message, files, _, _ = socket.recv_fds(requests, 1, FILES)
            if not message:
                sys.exit()
            text, *standard, answer = files
            if not (pid := os.fork()):
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for one in (requests, woken, waker, *answers.values()):
                    one.close()
                os.close(answer)
                return become(text, standard)
            answers[pid] = socket.socket(fileno=answer)
            tell(answers[pid], pid)
            for file in (text, *standard):
                os.close(file)


def report_ends(answers: dict[int, socket.socket]) -> None:
    """Tell the exit codes of the forked processes that have ended."""
    while answers:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        with answers.pop(pid) as answer:
            tell(answer, os.waitstatus_to_exitcode(status))


def tell(answer: socket.socket, number: int) -> None:
    with suppress(BrokenPipeError):  # nobody asks any more
        answer.send(str(number).encode())


def become(text: int, standard: Sequence[int]) -> list[str]:
    """Make this process the one that the request's text tells of; its arguments."""
    os.setsid()
    with open(text, encoding="utf-8") as file:
        request = json.load(file)
    for number, file in enumerate(standard):
        os.dup2(file, number)
        os.close(file)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    return request["arguments"]


def run(arguments: list[str]) -> None:
    """Do what ``python ARGUMENTS`` does."""
    match arguments:
        case ["-m", name, *rest]:
            sys.argv = [name, *rest]
            runpy.run_module(name, run_name="__main__", alter_sys=True)
        case ["-c", program, *rest]:
            sys.argv = ["-c", *rest]
            sys.modules["__main__"] = module = ModuleType("__main__")
            exec(compile(program, "<string>", "exec"), module.__dict__)
        case [path, *rest]:
            sys.argv = [path, *rest]
            runpy.run_path(path, run_name="__main__")


def main() -> None:
    for library in LIBRARIES:
        import_module(library)
    assert threading.active_count() == len(list(Path("/proc/self/task").iterdir())) == 1, "a fork has one thread"
    gc.collect()
    gc.freeze()  # the memory that forked processes have in common is not written to
    run(serve(socket.socket(fileno=int(sys.argv[1]))))


if __name__ == "__main__":
    main()
