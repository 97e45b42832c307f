"""Verifier of signed documents: it runs alone, with Python 3.11, the package ``cryptography`` and two files beside it.

    python document_verifier.py DOCUMENT --trust KEY

``log_verifier.py`` and ``canonical_json.py`` are the two. ``--trust`` names a key that the owner of the audit log
published (more may be given). The exit code is 0 if the document holds, 1 if not, 2 if it can't be read.

A signed document is a JSON object: ``format``; ``document``, what is said; ``proof`` (C2SP tlog-proof) that an entry of
the audit log has the SHA-256 of the document's canonical JSON (RFC 8785); ``keys``, the notes that introduce the keys
of tree heads. The proof's ``extra`` is the entry's salt and content, of which the leaf is the SHA-256.
"""

import argparse
import base64
import binascii
import hashlib
import json
import re
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple, NoReturn

try:
    from featurestore.auditlog.canonical_json import NotCanonical, canonical
    from featurestore.auditlog.log_verifier import (
        SALT_SIZE,
        Head,
        Note,
        Unreadable,
        Verification,
        VerifierKey,
        is_included,
    )
except ModuleNotFoundError:  # it runs alone
    from canonical_json import NotCanonical, canonical  # type: ignore[import-not-found, no-redef]
    from log_verifier import (  # type: ignore[import-not-found, no-redef]
        SALT_SIZE,
        Head,
        Note,
        Unreadable,
        Verification,
        VerifierKey,
        is_included,
    )

FORMAT = "rapport-document/1"
PROOF = "c2sp.org/tlog-proof@v1"
ISSUED = "document.issued"
"""Type of the entry that says which document was issued."""

MAX_BYTES = 1 << 20
MAX_KEYS = 1000
MEMBERS = {"format", "document", "proof", "keys"}
PARTS = re.compile(
    rf"{re.escape(PROOF)}\nextra ([\w+/=]{{1,20000}})\nindex (0|[1-9]\d{{0,15}})\n((?:[\w+/]{{43}}=\n){{0,63}})\n(.+)",
    re.ASCII | re.DOTALL,
)
PRINTED = re.compile(r"[^\x20-\x7e]")


class DocumentRefused(Exception):
    """A document that does not hold. The message says why."""


class VerifiedDocument(NamedTuple):
    """What holds: the document, its kind, when and as which entry it was issued; the tree head, and whose key signed.

    ``head.at_ms``: from then on at the latest the document existed as it is.
    """

    document: dict[str, Any]
    kind: str
    issued_at_ms: int
    entry: int
    head: Head
    key: VerifierKey


def verify_document(text: str, trusted: Iterable[str]) -> VerifiedDocument:
    """Verify a signed document by keys that are trusted. Raises Unreadable, DocumentRefused."""
    signed = _read(text)
    extra, index, hashes, checkpoint = _proof_parts(signed["proof"])
    key, head = _signed_head(checkpoint, signed["keys"], trusted)
    if not is_included(hashlib.sha256(extra).digest(), index, head.size, hashes, head.root):
        raise DocumentRefused(f"The proof does not lead from entry {index} to the tree head of {head.size} entries.")
    kind, digest, at_ms = _entry(extra[SALT_SIZE:])
    if digest_of(signed["document"]) != digest:
        raise DocumentRefused("The document is not the one that was issued: its text was changed.")
    return VerifiedDocument(signed["document"], kind, at_ms, index, head, key)


def digest_of(document: dict[str, Any]) -> str:
    """SHA-256 of the canonical JSON, hex. Raises Unreadable for a document without one."""
    try:
        return hashlib.sha256(canonical(document).encode()).hexdigest()
    except NotCanonical as error:
        raise Unreadable(f"the document has no canonical form: {error}") from None


def proof_text(extra: bytes, index: int, hashes: Iterable[bytes], checkpoint: str) -> str:
    """The text of a proof, as C2SP tlog-proof writes it."""
    lines = [PROOF, f"extra {_encoded(extra)}", f"index {index}", *map(_encoded, hashes), "", checkpoint]
    return "\n".join(lines)


def _read(text: str) -> dict[str, Any]:
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise Unreadable(f"the document is longer than {MAX_BYTES:,} bytes")
    try:
        signed = json.loads(text, object_pairs_hook=_once, parse_float=_no_fraction, parse_constant=_no_fraction)
    except Unreadable:
        raise
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"it is no JSON, or was cut off ({error})") from None
    if not isinstance(signed, dict) or set(signed) != MEMBERS or signed["format"] != FORMAT:
        raise Unreadable(f"it is no signed document ({FORMAT}) with the members {', '.join(sorted(MEMBERS))}")
    keys = signed["keys"]
    if not isinstance(signed["document"], dict) or not isinstance(signed["proof"], str):
        raise Unreadable("its document is no object, or its proof no text")
    if not isinstance(keys, list) or len(keys) > MAX_KEYS or not all(isinstance(note, str) for note in keys):
        raise Unreadable(f"its keys are not a list of at most {MAX_KEYS:,} texts")
    return signed


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose names are all different: two readers must not see two documents."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Unreadable("an object has the same name twice")
    return found


def _no_fraction(text: str) -> NoReturn:
    raise Unreadable(f"it has a number with a fraction: {text:.40}")


def _proof_parts(text: str) -> tuple[bytes, int, list[bytes], str]:
    if not (found := PARTS.fullmatch(text)):
        raise Unreadable(f"its proof is not written as {PROOF}, or was cut off")
    extra = _decoded(found[1])
    if len(extra) <= SALT_SIZE:
        raise Unreadable("its proof has no entry")
    return extra, int(found[2]), [_decoded(line) for line in found[3].splitlines()], found[4]


def _signed_head(checkpoint: str, notes: Iterable[str], trusted: Iterable[str]) -> tuple[VerifierKey, Head]:
    """The tree head, and the key that signed it: one that is trusted, or that such a one introduced."""
    verification = Verification(trusted)
    if not verification.keys:
        raise Unreadable("no key is named that is trusted")
    for note in notes:
        verification.key(note)
    parsed = Note.parse(checkpoint)
    key = verification.keys.get(parsed.hash)
    if key is None:
        raise DocumentRefused(f"Its tree head names the key {_plain(parsed.name)}, which is none that is trusted.")
    if not parsed.is_signed_by(key):
        raise DocumentRefused(f"The signature of its tree head is not one of the key {key.name}.")
    return key, Head.parse(parsed.text)


def _entry(content: bytes) -> tuple[str, str, int]:
    """Kind, digest and time of the document that an entry says was issued."""
    try:
        told = json.loads(content)
        if told["type"] != ISSUED:
            raise DocumentRefused("The proven entry of the audit log is not about the issue of a document.")
        return str(told["details"]["kind"]), str(told["details"]["sha256"]), int(told["at_ms"])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise Unreadable(f"its entry can't be read ({type(error).__name__})") from None


def _encoded(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Unreadable(f"no base64: {text:.40}") from None


def _plain(text: str) -> str:
    """A text that is safe to print on a terminal."""
    return PRINTED.sub("?", text)[:80]


def _time(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


def main() -> int:
    parser = argparse.ArgumentParser(description="Verify a signed document.")
    parser.add_argument("document", help="file with the document")
    parser.add_argument("--trust", action="append", required=True, metavar="KEY", help="key that was published")
    given = parser.parse_args()
    try:
        with open(given.document, encoding="utf-8") as file:
            found = verify_document(file.read(MAX_BYTES + 1), given.trust)
        printed = (
            f"It holds: {_plain(found.kind)}, issued at {_time(found.issued_at_ms)} as entry {found.entry} of the "
            f"audit log.\nSigned at {_time(found.head.at_ms)} by {found.key}\n"
        )
    except DocumentRefused as error:
        sys.stdout.write(f"It does not hold. {error}\n")
        return 1
    except (OSError, UnicodeDecodeError, OverflowError, ValueError) as error:
        sys.stderr.write(f"It can't be read: {error}\n")
        return 2
    sys.stdout.write(printed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
