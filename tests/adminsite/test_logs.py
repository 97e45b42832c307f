"""Logs: JSON lines without personal data, from every logger; request lines through a pipe."""

import io
import json
import logging
import os
import select
import subprocess
import sys
from typing import Any

import pytest
import structlog

from featurestore import logs
from featurestore.logs import RequestLog, configure_logs

EMAIL = "ada@example.org"


@pytest.fixture
def lines() -> Any:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    configure_logs("INFO")
    (handler,) = root.handlers
    written = handler.stream = io.StringIO()
    yield lambda: [json.loads(line) for line in written.getvalue().splitlines()]
    root.handlers[:], root.level = before


def test_identifying_field_is_replaced(lines: Any) -> None:
    structlog.get_logger("test").info("registered", email=EMAIL, region="eu")
    (line,) = lines()
    assert (line["event"], line["email"], line["region"]) == ("registered", "[private]", "eu")


def test_exception_is_logged_with_one_line_and_no_variables(lines: Any) -> None:
    secret = EMAIL
    try:
        raise ValueError(f"duplicate key\nDETAIL: (email)=({secret})")
    except ValueError:
        logging.getLogger("library").exception("failed")
    (line,) = lines()
    assert line["exception"][0]["exc_value"] == "duplicate key"
    assert EMAIL not in json.dumps(line)


def test_log_level_is_applied(lines: Any) -> None:
    structlog.get_logger("test").debug("unseen")
    logging.getLogger("library").debug("unseen")
    assert lines() == []


@pytest.fixture
def pieces(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Lines about requests, with their writing left to the test: what is written, piece by piece."""
    logging.getLogger("featurestore.requests").setLevel(logging.INFO)
    monkeypatch.setattr(RequestLog, "_start", lambda self: None)
    written: list[bytes] = []
    monkeypatch.setattr(logs.os, "write", lambda number, raw: written.append(raw))
    yield written
    logging.getLogger("featurestore.requests").setLevel(logging.NOTSET)


def test_request_lines_are_written_whole_within_pipe_buf(pieces: list[bytes]) -> None:
    request_log = RequestLog()
    for number in range(100):
        request_log.add({"number": number, "email": EMAIL})
    request_log.flush()
    assert len(pieces) > 1
    assert all(len(piece) <= select.PIPE_BUF and piece.endswith(b"\n") for piece in pieces)
    lines = [json.loads(line) for line in b"".join(pieces).splitlines()]
    assert [(line["number"], line["email"]) for line in lines] == [(number, "[private]") for number in range(100)]


def test_request_lines_are_kept_while_standard_error_is_full(
    pieces: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RequestLog, "MAX_LINES", 3)
    request_log, take = RequestLog(), logs.os.write

    def full(number: int, raw: bytes) -> int:
        raise BlockingIOError

    monkeypatch.setattr(logs.os, "write", full)
    for number in range(5):
        request_log.add({"number": number})
        request_log.flush()
    monkeypatch.setattr(logs.os, "write", take)
    request_log.flush()
    assert len(b"".join(pieces).splitlines()) == 3


def test_forked_process_writes_only_its_own_request_lines() -> None:
    program = """
import logging, multiprocessing
from featurestore.logs import request_log
logging.getLogger("featurestore.requests").setLevel(logging.INFO)
def child(): request_log.add({"by": "child"})
request_log.add({"by": "parent"})
started = multiprocessing.get_context("fork").Process(target=child)
started.start(); started.join()
"""
    done = subprocess.run([sys.executable, "-c", program], stderr=subprocess.PIPE, check=True, cwd=os.getcwd())
    assert sorted(json.loads(line)["by"] for line in done.stderr.splitlines()) == ["child", "parent"]


def test_text_of_a_terminal_has_no_control_characters_and_no_private_field(
    monkeypatch: pytest.MonkeyPatch, lines: Any
) -> None:
    monkeypatch.setattr(logs, "in_terminal", lambda: True)
    configure_logs("INFO")
    (handler,) = logging.getLogger().handlers
    written = handler.stream = io.StringIO()
    try:
        raise ValueError(f"duplicate key\nDETAIL: (email)=({EMAIL})")
    except ValueError:
        structlog.get_logger("test").exception("failed", email=EMAIL, reason="a\x1b[2Jb\nc")
    text = written.getvalue()
    assert EMAIL not in text
    assert "error failed email=[private]" in text
    assert "reason=a?[2Jb c" in text
    assert "ValueError: duplicate key" in text
    assert not text.startswith("{")


def test_request_line_in_a_terminal_is_text(pieces: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "in_terminal", lambda: True)
    log = RequestLog()
    log.add({"route": "features", "status": 200})
    log.flush()
    (piece,) = pieces
    assert piece.endswith(b"info request logger=featurestore.requests route=features status=200\n")
