"""Logs are JSON lines without personal data, from our loggers and everybody else's."""

import io
import json
import logging
from typing import Any

import pytest
import structlog

from featurestore.logs import configure_logs

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


def test_a_field_that_identifies_is_concealed(lines: Any) -> None:
    structlog.get_logger("test").info("registered", email=EMAIL, region="eu")
    (line,) = lines()
    assert (line["event"], line["email"], line["region"]) == ("registered", "[private]", "eu")


def test_an_exception_tells_its_first_line_and_no_variables(lines: Any) -> None:
    secret = EMAIL
    try:
        raise ValueError(f"duplicate key\nDETAIL: (email)=({secret})")
    except ValueError:
        logging.getLogger("library").exception("failed")
    (line,) = lines()
    assert line["exception"][0]["exc_value"] == "duplicate key"
    assert EMAIL not in json.dumps(line)


def test_the_level_holds(lines: Any) -> None:
    structlog.get_logger("test").debug("unseen")
    logging.getLogger("library").debug("unseen")
    assert lines() == []
