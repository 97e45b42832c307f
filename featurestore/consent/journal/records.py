"""Records of the consent journal, as JSON. They hold subjects and evidence, never an identifier or a free text."""

from typing import Any

import msgspec


class JournaledState(msgspec.Struct, frozen=True):
    """State of one purpose after a change. Times are milliseconds since 1970; 0 is none."""

    allowed: bool
    paused: bool
    grant_id: int = 0
    since_ms: int = 0
    until_ms: int = 0
    ended_ms: int = 0
    complete_from_ms: int = 0
    late_pause: bool = False


class Evidence(msgspec.Struct, frozen=True):
    """Evidence of a decision: what its consent record states, without the reason, which is free text."""

    purpose: str
    decision: str
    at_ms: int  # time of recording
    since_ms: int  # time from which it counts
    until_ms: int
    method: str
    actor: str
    notice: str = ""  # its reference
    decided_ms: int = 0  # time of the decision, which orders decisions about a purpose
    superseded: bool = False  # a newer decision had been recorded before: it changed nothing


class JournalRecord(msgspec.Struct, frozen=True):
    """One permission change, or the erasure of a subject.

    ``states`` are the subject's when the record was written: those of this change, or later ones. ``token``
    distinguishes the changes that two histories of a database recorded under one sequence.
    """

    kind: str  # change or erasure
    token: int
    epoch: int
    sequence: int
    at_ms: int
    subject: str
    states: dict[str, JournaledState] = {}
    evidence: list[Evidence] = []
    suppression: str = ""  # of an erasure: the entry, as of customers/suppressions.py

    @property
    def fence(self) -> tuple[int, int]:
        return self.epoch, self.sequence


_DECODER = msgspec.json.Decoder(JournalRecord)


def encode(record: JournalRecord) -> bytes:
    return msgspec.json.encode(record)


def decode(raw: Any) -> JournalRecord:
    """The record in a Kafka message. Raises msgspec.MsgspecError for anything else."""
    return _DECODER.decode(raw or b"")
