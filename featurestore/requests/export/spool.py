"""Spool: what an export has collected, as one file of encrypted parts, which only the export's row has the key of.

A part is a nonce of 12 bytes, then AES-256-GCM of its deflated lines; its number is authenticated with it, so that no
part stands in for another. The row says where each part begins. What a killed process wrote behind the last part that
the row knows is cut off and written again under another nonce.
"""

import base64
import secrets
import zlib
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from featurestore.requests.contact_box import decrypt, encrypt
from featurestore.requests.export.errors import FolderFull, SpoolDamaged
from featurestore.requests.export.folder import SPOOL, create, cut, full_is_told, path_of, sync

NONCE, LEVEL = 12, 1
LARGEST_PART = 64 * 1024 * 1024
"""Most bytes of a part, deflated or not: more is damage. A part has some 1 MiB, or one item that is larger."""


def new_key() -> str:
    """A new key, as it is stored: encrypted."""
    return encrypt(base64.b64encode(AESGCM.generate_key(256)).decode())


class Spool:
    """The spool of an export, by the name of its file and its stored key."""

    def __init__(self, name: str, encrypted_key: str) -> None:
        self.name, self._cipher = name, AESGCM(base64.b64decode(decrypt(encrypted_key)))

    def append(self, parts: Sequence[bytes], number: int, at: int) -> list[tuple[int, int]]:
        """Write parts from this number on, at this offset: the offset and length of each. On the disk when it returns.

        Where the folder is full, what was written of them is freed. Raises FolderFull, SpoolDamaged.
        """
        try:
            return self._append(parts, number, at)
        except FolderFull:
            cut(self.name, SPOOL, at)
            raise

    def _append(self, parts: Sequence[bytes], number: int, at: int) -> list[tuple[int, int]]:
        encrypted = [self._encrypted(part, number + index) for index, part in enumerate(parts)]
        places, offset = [], at
        with full_is_told(), create(self.name, SPOOL) if at == 0 else self._open("r+b") as file:
            file.truncate(at)
            file.seek(at)
            for one in encrypted:
                file.write(one)
                places.append((offset, len(one)))
                offset += len(one)
            sync(file)
        return places

    def read(self, number: int, offset: int, length: int) -> list[bytes]:
        """The lines of a part. Raises SpoolDamaged."""
        if length > LARGEST_PART:
            raise SpoolDamaged(f"Part {number} of a spool has {length} bytes.")
        with self._open("rb") as file:
            file.seek(offset)
            encrypted = file.read(length)
        try:
            plain = self._cipher.decrypt(encrypted[:NONCE], encrypted[NONCE:], _associated(number))
        except InvalidTag:
            raise SpoolDamaged(f"Part {number} of a spool can't be decrypted. Export again.") from None
        inflate = zlib.decompressobj()
        lines = inflate.decompress(plain, LARGEST_PART)
        if not inflate.eof:
            raise SpoolDamaged(f"Part {number} of a spool is larger than any that is written.")
        return lines.split(b"\n")

    def _open(self, mode: str):  # type: ignore[no-untyped-def]  # a binary file
        try:
            return path_of(self.name, SPOOL).open(mode)
        except FileNotFoundError:
            raise SpoolDamaged("The spool is not in the export folder: do all hosts share it? Export again.") from None

    def _encrypted(self, plain: bytes, number: int) -> bytes:
        nonce = secrets.token_bytes(NONCE)
        return nonce + self._cipher.encrypt(nonce, zlib.compress(plain, LEVEL), _associated(number))


def _associated(number: int) -> bytes:
    return b"part %d" % number
