"""Random histories break no invariant. ``MODEL_EXAMPLES=5000`` runs so many long ones, others each time."""

import os
import sqlite3

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.model.machine import Machine

DEEP = "MODEL_EXAMPLES" in os.environ
EXAMPLES, STEPS = (int(os.environ["MODEL_EXAMPLES"]), 25) if DEEP else (40, 12)


@pytest.mark.timeout(60 + 10 * EXAMPLES)
def test_no_history_breaks_an_invariant(template: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Machine, "template", template, raising=False)
    options = settings(max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None, print_blob=False)
    run_state_machine_as_test(Machine, settings=settings(options, derandomize=not DEEP, database=None))
