"""Signed documents: proven by the audit log, verified by a program of its own, refused when anything was changed."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from featurestore.auditlog import canonical_json, document_verifier, export, log_verifier
from featurestore.auditlog.document_verifier import DocumentRefused, digest_of, verify_document
from featurestore.auditlog.log_verifier import Note, Unreadable, VerifierKey, key_text, parse_key_text
from featurestore.auditlog.models import WaitingEntry
from featurestore.auditlog.services import erase_contents, sequence, sign_due, signed_document
from featurestore.auditlog.signing_keys import SigningPair
from tests.auditlog.conftest import SetKeys, write, write_signed
from tests.kit.clock import at

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
NEEDED = ("cryptography", "cffi", "_cffi_backend", "pycparser")
TEXT = {"receipt": "é", "purposes": ["service"], "number": 7, "ends": None}
OLD, NEW = "1:" + "o" * 40, "2:" + "n" * 40


def issued(document: dict[str, Any], subject: str = "s1") -> dict[str, Any] | None:
    return signed_document("test", document, subject=subject, actor="Staff S", now=at(9))


def published() -> str:
    """The first key, as its owner publishes it."""
    return str(parse_key_text(Note.parse(export.key_notes()[0]).text))


@pytest.fixture
def signed(database: str) -> dict[str, Any]:
    """A document, issued amid other entries."""
    write(1, 2)
    assert issued(TEXT) is None
    write(3)
    sequence()
    assert sign_due(at(3600)) is not None
    found = issued(TEXT)
    assert found is not None
    return found


def test_document_is_issued_once_and_signed_when_a_tree_head_covers_it(database: str) -> None:
    write(1)
    assert issued(TEXT) is None
    assert issued(dict(reversed(TEXT.items()))) is None
    assert WaitingEntry.objects.filter(subject="s1").count() == 1
    sequence()
    assert issued(TEXT) is None  # it has an index, and no tree head covers it
    assert sign_due(at(3600)) is not None
    found = verify_document(json.dumps(issued(TEXT)), [published()])
    assert (found.document, found.kind, found.entry, found.head.size) == (TEXT, "test", 1, 2)
    assert issued(TEXT, "s2") is None  # about somebody else it is another one


def test_document_verifies_by_an_earlier_or_a_later_key_alone(database: str, set_keys: SetKeys) -> None:
    set_keys(OLD)
    write_signed(2)
    set_keys(f"{NEW},{OLD}")
    assert issued(TEXT) is None
    sequence()
    assert sign_due(at(9000)) is not None
    text = json.dumps(issued(TEXT))
    old, new = (str(parse_key_text(Note.parse(note).text)) for note in export.key_notes())
    for trusted in (old, new):
        assert str(verify_document(text, [trusted]).key) == new
    with pytest.raises(DocumentRefused, match="none that is trusted"):
        verify_document(text, [str(VerifierKey("rapport/audit-log/9", bytes(32)))])
    with pytest.raises(Unreadable, match="no key is named"):
        verify_document(text, [])


def forged_extra(proof: str, change: Callable[[bytes], bytes]) -> str:
    lines = proof.split("\n")
    lines[1] = "extra " + base64.b64encode(change(base64.b64decode(lines[1].removeprefix("extra ")))).decode()
    return "\n".join(lines)


def with_proof(signed: dict[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
    return signed | {"proof": change(signed["proof"])}


FORGED: dict[str, tuple[Callable[[dict[str, Any]], dict[str, Any]], str]] = {
    "another text": (lambda s: s | {"document": TEXT | {"number": 8}}, "its text was changed"),
    "a member more": (lambda s: s | {"document": TEXT | {"more": 1}}, "its text was changed"),
    "another salt": (
        lambda s: with_proof(s, lambda p: forged_extra(p, lambda raw: bytes(32) + raw[32:])),
        "does not lead from entry 2",
    ),
    "another digest in the entry": (
        lambda s: with_proof(
            s | {"document": {}},
            lambda p: forged_extra(p, lambda r: r.replace(digest_of(TEXT).encode(), digest_of({}).encode())),
        ),
        "does not lead from entry 2",
    ),
    "another index": (
        lambda s: with_proof(s, lambda p: p.replace("\nindex 2\n", "\nindex 1\n")),
        "does not lead from entry 1",
    ),
    "an index beyond the tree": (
        lambda s: with_proof(s, lambda p: p.replace("\nindex 2\n", "\nindex 999\n")),
        "does not lead from entry 999",
    ),
    "another size of the tree": (
        lambda s: with_proof(s, lambda p: p.replace("rapport/audit-log\n4\n", "rapport/audit-log\n5\n")),
        "signature of its tree head is not one of",
    ),
}


def test_forged_document_is_refused(signed: dict[str, Any]) -> None:
    for name, (forge, why) in FORGED.items():
        with pytest.raises(DocumentRefused) as refused:
            verify_document(json.dumps(forge(signed)), [published()])
        assert why in str(refused.value), name


def test_proven_entry_that_is_about_no_document_is_refused(database: str) -> None:
    write(1)
    sequence()
    assert sign_due(at(3600)) is not None
    (row,) = export_rows()
    text = document_verifier.proof_text(*row)
    made = {"format": document_verifier.FORMAT, "document": {}, "proof": text, "keys": export.key_notes()}
    with pytest.raises(DocumentRefused, match="not about the issue of a document"):
        verify_document(json.dumps(made), [published()])


def export_rows() -> list[tuple[bytes, int, list[bytes], str]]:
    """The only entry of a log that is signed, as a proof has it."""
    lines = list(export.lines())
    entry = next(line for line in lines if line["kind"] == "entry")
    head = next(line for line in lines if line["kind"] == "head")
    return [(bytes.fromhex(entry["salt"]) + entry["content"].encode(), 0, [], head["note"])]


def test_document_of_a_forgers_own_log_is_refused(signed: dict[str, Any]) -> None:
    forger = Ed25519PrivateKey.from_private_bytes(bytes(32))
    raw = forger.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    pair = SigningPair(forger, VerifierKey("rapport/audit-log/1", raw))
    proof, _, checkpoint = signed["proof"].partition("\n\n")
    forged = signed | {
        "proof": f"{proof}\n\n{pair.sign(Note.parse(checkpoint).text)}",
        "keys": [pair.sign(key_text(pair.public, 0))],
    }
    assert verify_document(json.dumps(forged), [str(pair.public)]).document == TEXT
    with pytest.raises(DocumentRefused, match="none that is trusted"):
        verify_document(json.dumps(forged), [published()])


def test_truncated_document_is_unreadable(signed: dict[str, Any]) -> None:
    text = json.dumps(signed)
    for length in range(0, len(text), 7):
        with pytest.raises(Unreadable, match="was cut off"):
            verify_document(text[:length], [published()])


NO_DOCUMENTS = [
    ("", "no JSON"),
    ("[]", "no signed document"),
    ("{}", "no signed document"),
    ('{"a": 1, "a": 2}', "the same name twice"),
    ('{"a": 1.5}', "a fraction"),
    ('{"a": NaN}', "a fraction"),
    ("[" * 100_000, "no JSON|recursion"),
    ("9" * 10_000, "no JSON"),
    (" " * (document_verifier.MAX_BYTES + 1), "longer than"),
]


def test_what_is_no_document_is_unreadable(database: str) -> None:
    for text, why in NO_DOCUMENTS:
        with pytest.raises(Unreadable, match=why):
            verify_document(text, [str(VerifierKey("rapport/audit-log/9", bytes(32)))])


WRONG_MEMBERS: list[dict[str, Any]] = [
    {"format": "rapport-document/2"},
    {"document": []},
    {"document": {"large": 2**60}},
    {"document": {"half": "\ud800"}},
    {"proof": None},
    {"proof": "c2sp.org/tlog-proof@v1\n"},
    {"keys": "no list"},
    {"keys": [1]},
    {"keys": [""] * 1001},
    {"more": 1},
]


def test_document_with_a_wrong_member_is_unreadable(signed: dict[str, Any]) -> None:
    for member in WRONG_MEMBERS:
        with pytest.raises(Unreadable):
            verify_document(json.dumps(signed | member), [published()])


def test_document_that_somebody_has_holds_after_the_erasure_of_its_entry(signed: dict[str, Any]) -> None:
    key = published()
    erase_contents([2])
    assert verify_document(json.dumps(signed), [key]).document == TEXT


def test_program_runs_without_rapport_and_tells_by_its_exit_code(signed: dict[str, Any], tmp_path: Path) -> None:
    for module in (canonical_json, document_verifier, log_verifier):
        source = Path(str(module.__file__))
        (tmp_path / source.name).write_bytes(source.read_bytes())
    packages = tmp_path / "packages"
    packages.mkdir()
    for name in NEEDED:
        if (spec := find_spec(name)) and spec.origin:
            origin = Path(spec.origin)
            source = origin.parent if origin.name == "__init__.py" else origin
            (packages / source.name).symlink_to(source)
    written, key = tmp_path / "document.json", published()

    def run(document: str) -> tuple[int, str]:
        written.write_text(document, encoding="utf-8")
        command = [sys.executable, "-S", "document_verifier.py", str(written), "--trust", key]
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(packages)}
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
        return done.returncode, done.stdout + done.stderr

    status, printed = run(json.dumps(signed, indent=2, ensure_ascii=False))
    assert (status, printed[:15]) == (0, "It holds: test,")
    assert run(json.dumps(signed | {"document": {}}))[0] == 1
    assert run(json.dumps(signed)[:-1])[0] == 2
