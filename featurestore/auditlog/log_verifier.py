"""Verifier of an exported audit log: a file that runs alone, with Python 3.11 and the package ``cryptography``.

    python log_verifier.py EXPORT [--trust KEY] [--head FILE]

``--trust`` names a key that its owner published elsewhere (more may be given); without one the export's first key is
believed. ``--head`` names a file with tree heads that were kept: it shows whether the log was rewritten or cut since.
The exit code is 0 if everything holds, 1 if not, 2 if the export can't be read. Rapport itself verifies by this file.

Leaves and nodes are hashed as RFC 9162 says. A leaf's data is a commitment: SHA-256 of 32 random bytes (the salt) and
the entry's canonical JSON (RFC 8785). Tree heads and keys are signed notes with Ed25519 (C2SP signed-note,
tlog-checkpoint).
"""

import argparse
import base64
import binascii
import hashlib
import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

ORIGIN = "rapport/audit-log"
ERASED = "audit_log.contents_erased"  # type of the entry that says whose contents an erasure removed
HEAD = re.compile(rf"{ORIGIN}\n([1-9]\d{{0,15}})\n([\w+/]{{43}}=)\ntime (\d{{1,15}})\n", re.ASCII)
KEPT = re.compile(rf"^{ORIGIN}\n\d+\n.+\n.+\n\n— .+\n", re.MULTILINE)
KEY = re.compile(rf"{ORIGIN} key\n(\S{{1,200}})\ntime \d{{1,15}}\n", re.ASCII)
SALT_SIZE = 32
ED25519 = b"\x01"  # the kind of key in a signed note
MAX_LINE = 1 << 20
MAX_FINDINGS = 1000
EMPTY_ROOT = hashlib.sha256().digest()


def commitment_of(salt: bytes, content: str) -> bytes:
    return hashlib.sha256(salt + content.encode()).digest()


def leaf_hash(commitment: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + commitment).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


class CompactRange:
    """Roots of the complete subtrees of a tree, the largest first: all that its next entries need of it."""

    def __init__(self, size: int = 0, peaks: Iterable[bytes] = ()) -> None:
        self.size, self.peaks = size, list(peaks)

    def append(self, leaf: bytes, nodes: list[tuple[int, int, bytes]] | None = None) -> None:
        """Add a leaf hash. The nodes that it completes are added to ``nodes`` as (level, index, hash)."""
        level, rest = 0, self.size
        while rest & 1:
            leaf = node_hash(self.peaks.pop(), leaf)
            level, rest = level + 1, rest >> 1
            if nodes is not None:
                nodes.append((level, self.size >> level, leaf))
        self.peaks.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        if not self.peaks:
            return EMPTY_ROOT
        found = self.peaks[-1]
        for peak in self.peaks[-2::-1]:
            found = node_hash(peak, found)
        return found


def is_included(commitment: bytes, index: int, size: int, proof: Iterable[bytes], root: bytes) -> bool:
    """Whether a proof shows that a tree has an entry at an index (RFC 9162, 2.1.3.2)."""
    found = _follow(leaf_hash(commitment), proof, index, size - 1) if 0 <= index < size else None
    return found is not None and found[1] == root


def is_consistent(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether a proof shows that a tree begins with an older one (RFC 9162, 2.1.4.2)."""
    if old == new:
        return not proof and old_root == new_root
    first, last, path = old - 1, new - 1, [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    if not 0 < old < new or not path:
        return False
    while first & 1:
        first, last = first >> 1, last >> 1
    return _follow(path[0], path[1:], first, last) == (old_root, new_root)


def _follow(start: bytes, proof: Iterable[bytes], first: int, last: int) -> tuple[bytes, bytes] | None:
    """The roots of the old and the new tree to which a proof leads; None if it has not as many hashes as it must."""
    old = new = start
    for one in proof:
        if last == 0:
            return None
        if first & 1 or first == last:
            old, new = node_hash(one, old), node_hash(one, new)
            while first and not first & 1:
                first, last = first >> 1, last >> 1
        else:
            new = node_hash(new, one)
        first, last = first >> 1, last >> 1
    return None if last else (old, new)


class Unreadable(ValueError):
    """A note, a key or a line that is not written as it should be."""


class VerifierKey(NamedTuple):
    """Public key with its name, as signed notes name it: ``NAME+HASH+BASE64``."""

    name: str
    public: bytes

    @property
    def hash(self) -> bytes:
        return hashlib.sha256(self.name.encode() + b"\n" + ED25519 + self.public).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.hash.hex()}+{base64.b64encode(ED25519 + self.public).decode()}"

    @classmethod
    def parse(cls, text: str) -> "VerifierKey":
        """Raises Unreadable."""
        name, _, rest = text.strip().partition("+")
        hash_, _, encoded = rest.partition("+")
        raw = _decoded(encoded)
        found = cls(name, raw[1:])
        if len(raw) != 33 or raw[:1] != ED25519 or found.hash.hex() != hash_:
            raise Unreadable(f"no key of a tree head: {text:.80}")
        return found


class Note(NamedTuple):
    """Signed note: its text, the name and hash of the key that signed it, the signature."""

    text: str
    name: str
    hash: bytes
    signature: bytes

    @classmethod
    def parse(cls, note: str) -> "Note":
        """Raises Unreadable."""
        text, separator, line = note.rpartition("\n\n")
        words = line.split(" ")
        if not separator or len(words) != 3 or words[0] != "—" or not line.endswith("\n"):
            raise Unreadable(f"no signed note: {note:.80}")
        raw = _decoded(words[2].strip())
        return cls(text + "\n", words[1], raw[:4], raw[4:])

    def is_signed_by(self, key: VerifierKey) -> bool:
        if (key.name, key.hash) != (self.name, self.hash):
            return False
        try:
            Ed25519PublicKey.from_public_bytes(key.public).verify(self.signature, self.text.encode())
        except InvalidSignature:
            return False
        return True


class Head(NamedTuple):
    """What a tree head states: so many entries, with this root, at this time (ms since 1970)."""

    size: int
    root: bytes
    at_ms: int

    @property
    def text(self) -> str:
        return f"{ORIGIN}\n{self.size}\n{base64.b64encode(self.root).decode()}\ntime {self.at_ms}\n"

    @classmethod
    def parse(cls, text: str) -> "Head":
        """Raises Unreadable."""
        if not (found := HEAD.fullmatch(text)):
            raise Unreadable(f"no tree head: {text:.80}")
        return cls(int(found[1]), _decoded(found[2]), int(found[3]))


def key_text(key: VerifierKey, at_ms: int) -> str:
    """The text of the note by which a key is introduced: signed by itself if it is the first, else by another."""
    return f"{ORIGIN} key\n{key}\ntime {at_ms}\n"


def parse_key_text(text: str) -> VerifierKey:
    """Raises Unreadable."""
    if not (found := KEY.fullmatch(text)):
        raise Unreadable(f"no introduction of a key: {text:.80}")
    return VerifierKey.parse(found[1])


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Unreadable(f"no base64: {text:.80}") from None


class Verification:
    """Verification of a log that is told from its beginning: keys, then entries in order, each head after its last.

    Its memory does not grow with the log, but for the numbers of erased entries whose erasure was not told yet.
    """

    def __init__(self, trusted: Iterable[str] = (), kept_heads: Iterable[str] = ()) -> None:
        """Raises Unreadable."""
        self.findings: list[str] = []
        self.more_findings = 0
        self.tree = CompactRange()
        self.entries = self.erased = self.heads = self.signed_size = 0
        self.believed: VerifierKey | None = None
        self._broken = False  # an entry is missing or twice: no later root can be computed
        self._root_differs = self._heads_differ = False
        self._without_content: set[int] = set()
        self._named = {key.hash: key for key in map(VerifierKey.parse, trusted)}
        self.keys = dict(self._named)
        self._kept: dict[int, list[str]] = {}
        for note in kept_heads:
            self._kept.setdefault(Head.parse(Note.parse(note).text).size, []).append(note)

    def key(self, note: str) -> None:
        """Take a key, if one that is trusted introduced it."""
        try:
            key = parse_key_text((introduced := Note.parse(note)).text)
        except Unreadable as error:
            self.find(f"a key can't be read: {error}")
            return
        if not self.keys:
            self.believed = key
        if (by := self.keys.get(introduced.hash, self.believed)) and introduced.is_signed_by(by):
            self.keys[key.hash] = key
        elif key not in self._named.values():
            self.find(f"key {key} was introduced by no key that is trusted")

    def entry(self, index: int, commitment: bytes, root: bytes, salt: bytes | None, content: str | None) -> None:
        """Take the next entry. Without salt and content it was erased."""
        if index != self.entries:
            self._broken = True
            missing = "missing, so that no later root can be computed", self.entries, index - 1
            self.find(*missing if index > self.entries else ("comes twice, or out of order", index))
        self.entries = max(self.entries, index + 1)
        if content is None or salt is None:
            self._without_content.add(index)
        elif len(salt) != SALT_SIZE or commitment_of(salt, content) != commitment:
            self.find("its content is not the one that was appended", index)
        elif ERASED in content:
            self._take_erasure(index, content)
        if not self._broken:
            self.tree.append(leaf_hash(commitment))
            if (differs := self.tree.root() != root) and not self._root_differs:
                self.find("from here on the entries are not those whose root was stored with each", index)
            self._root_differs = differs
        for note in self._kept.pop(self.entries, ()):
            self.head(note, kept=True)

    def head(self, note: str, kept: bool = False) -> None:
        """Take a tree head of the entries so far. ``kept``: it was kept elsewhere."""
        try:
            parsed = Note.parse(note)
            head = Head.parse(parsed.text)
        except Unreadable as error:
            self.find(f"a tree head can't be read: {error}")
            return
        where = "a kept tree head" if kept else "the tree head"
        key = self.keys.get(parsed.hash)
        if not (key and parsed.is_signed_by(key)):
            self.find(f"{where} of {head.size} entries is signed by no key that is trusted")
            return
        self.heads += 1
        if self._broken:
            return
        if head.size != self.tree.size:
            self.find(f"{where} of {head.size} entries comes after {self.tree.size}")
        elif head.root != self.tree.root():
            if kept or not self._heads_differ:
                last = head.size - 1
                self.find(f"not what {where} of {head.size} entries signed", min(self.signed_size, last), last)
            self._heads_differ |= not kept
        elif not kept:
            self.signed_size = head.size

    def end(self) -> list[str]:
        """Finish; everything that does not hold."""
        for size in sorted(self._kept):
            self.find(f"a kept tree head has {size} entries, and the log {self.entries}: its end was removed")
        for first, last in runs(sorted(self._without_content)):
            self.find("the content was removed, and no entry says that it was erased", first, last)
        if self.entries and not self.heads:
            self.find("no tree head is signed by a key that is trusted")
        return self.findings

    def summary(self) -> str:
        outcome = f"{len(self.findings) + self.more_findings:,} findings." if self.findings else "Everything holds."
        believed = f"\nThe first key was believed: {self.believed}" if self.believed else ""
        told = (
            f"{self.entries:,} entries ({self.erased:,} erased, {self.signed_size:,} signed), {self.heads:,} tree heads"
        )
        return f"{told}. {outcome}{believed}"

    def _take_erasure(self, index: int, content: str) -> None:
        try:
            told = json.loads(content)
            stretches = told["details"]["entries"] if told["type"] == ERASED else []
            named = {number for first, last in stretches for number in range(max(first, 0), min(last, index) + 1)}
        except (ValueError, TypeError, KeyError):
            self.find("its content says of no erasure what was erased", index)
            return
        self.erased += len(self._without_content & named)
        self._without_content -= named

    def find(self, text: str, first: int | None = None, last: int | None = None) -> None:
        """Keep something that does not hold, of an entry or a stretch of them."""
        if len(self.findings) >= MAX_FINDINGS:
            self.more_findings += 1
            return
        if first is not None:
            where = f"entry {first}" if last in (None, first) else f"entries {first} to {last}"
            text = f"{where}: {text}"
        self.findings.append(text)


def runs(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """First and last of each stretch of consecutive numbers, which come in order."""
    for _, stretch in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]):
        found = [number for _, number in stretch]
        yield found[0], found[-1]


def verify_lines(lines: Iterable[str], verification: Verification) -> None:
    """Verify the lines of an export. Raises Unreadable for one that is no line of an export, or without its end."""
    is_ended = False
    for number, line in enumerate(lines, 1):
        if is_ended:
            raise Unreadable(f"line {number} comes after the end")
        try:
            is_ended = _take(json.loads(line), verification)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Unreadable(f"line {number} can't be read ({type(error).__name__}: {error})") from None
    if not is_ended:
        raise Unreadable("the export has no end, it was cut off")


def _take(told: dict[str, Any], verification: Verification) -> bool:
    """Take a line; whether it is the end."""
    match told["kind"]:
        case "key":
            verification.key(told["note"])
        case "entry":
            salt = None if told["salt"] is None else bytes.fromhex(told["salt"])
            commitment, root = bytes.fromhex(told["commitment"]), bytes.fromhex(told["root"])
            verification.entry(int(told["index"]), commitment, root, salt, told["content"])
        case "head":
            verification.head(told["note"])
        case "end":
            if told["entries"] != verification.entries:
                raise ValueError(f"it tells of {told['entries']} entries, and there were {verification.entries}")
            return True
        case kind:
            raise ValueError(f"no kind {kind}")
    return False


def kept_heads(path: str) -> list[str]:
    """The tree heads of a file; what a crash left of one is passed over. Raises Unreadable, OSError."""
    if not (found := KEPT.findall("".join(_lines(path)))):
        raise Unreadable(f"no tree head in {path}")
    return found


def _lines(path: str) -> Iterator[str]:
    with open(path, encoding="utf-8") as file:
        yield from iter(lambda: file.readline(MAX_LINE), "")


def main() -> int:
    parser = argparse.ArgumentParser(description="Verify an exported audit log.")
    parser.add_argument("export", help="file that `auditlog export` wrote")
    parser.add_argument("--trust", action="append", default=[], metavar="KEY", help="key that was published elsewhere")
    parser.add_argument("--head", action="append", default=[], metavar="FILE", help="tree heads that were kept")
    given = parser.parse_args()
    try:
        verification = Verification(given.trust, [one for path in given.head for one in kept_heads(path)])
        verify_lines(_lines(given.export), verification)
    except (OSError, UnicodeDecodeError, Unreadable) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write("\n".join([*verification.end(), verification.summary(), ""]))
    return 1 if verification.findings else 0


if __name__ == "__main__":
    sys.exit(main())
