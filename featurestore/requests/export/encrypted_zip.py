"""Encrypted ZIP: files streamed into a ZIP whose contents AES-256 encrypts under a passphrase. It never seeks.

The format is WinZip's AE-2 (winzip.com, "AES Encryption Information"), which 7-Zip, WinZip, Keka, The Unarchiver and
libarchive open. Names and sizes of the files are readable in it; their contents are not, and any change of them shows.

The format derives the keys of a file from the passphrase by 1,000 rounds of PBKDF2-HMAC-SHA-1: far too few for a
passphrase that a person chose. ``new_passphrase`` makes one of 150 random bits, which no work factor needs to protect.

An entry, in bytes::

    local header, name, extra    method 99; ZIP64; the AES extra field 0x9901: AE-2, 256 bits, deflated
    salt 16, verifier 2          keys = PBKDF2(passphrase, salt): encryption 32, authentication 32, verifier 2
    deflated and encrypted       AES in counter mode; the counter is little-endian and begins at 1
    authentication 10            HMAC-SHA-1 of the encrypted bytes, cut
    data descriptor              CRC 0 (AE-2 has none, as it would tell of the contents), sizes of 8 bytes
"""

import hashlib
import hmac
import secrets
import zlib
from collections.abc import Callable, Iterable
from datetime import datetime
from struct import pack

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import ECB

ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
"""32 characters, without 0, 1, I and O, which are read for one another."""
GROUPS, GROUP_LENGTH = 6, 5
BLOCK, CHUNK = 16, 65_536
ROUNDS, KEY, SALT, MAC = 1000, 32, 16, 10
ENCRYPTED, DESCRIPTOR, UTF8 = 1, 1 << 3, 1 << 11
FLAGS = ENCRYPTED | DESCRIPTOR | UTF8
VERSION, METHOD, UNKNOWN = 51, 99, 0xFFFFFFFF
UNIX, MODE = 3 << 8, 0o100600 << 16
AES_EXTRA = pack("<HHH2sBH", 0x9901, 7, 2, b"AE", 3, 8)


def new_passphrase() -> str:
    """A passphrase of 150 random bits that can be read out: ``7KQWM-...``, six groups of five characters."""
    groups = ("".join(secrets.choice(ALPHABET) for _ in range(GROUP_LENGTH)) for _ in range(GROUPS))
    return "-".join(groups)


class EncryptedZip:
    """ZIP that is written by calls of ``write``, each with at most some 64 KiB of encrypted bytes or a header."""

    def __init__(self, write: Callable[[bytes], object], passphrase: str, at: datetime) -> None:
        self._sink, self._passphrase = write, passphrase.encode()
        self._time = at.hour << 11 | at.minute << 5 | at.second // 2
        self._date = (at.year - 1980) << 9 | at.month << 5 | at.day
        self._directory: list[bytes] = []
        self.size = 0

    def add(self, name: str, chunks: Iterable[bytes]) -> None:
        """Write a file, a chunk in memory at a time."""
        start, encoded = self.size, name.encode()
        extra = pack("<HHQQ", 1, 16, 0, 0) + AES_EXTRA
        self._write(
            pack("<4sHHHHHIIIHH", b"PK\3\4", VERSION, FLAGS, METHOD, self._time, self._date, 0, UNKNOWN, UNKNOWN,
                 len(encoded), len(extra)) + encoded + extra
        )  # fmt: skip
        before = self.size
        length = self._encrypt(chunks)
        packed = self.size - before
        self._write(pack("<4sIQQ", b"PK\7\10", 0, packed, length))
        extra = pack("<HHQQQ", 1, 24, length, packed, start) + AES_EXTRA
        self._directory.append(
            pack("<4sHHHHHHIIIHHHHHII", b"PK\1\2", VERSION | UNIX, VERSION, FLAGS, METHOD, self._time, self._date, 0,
                 UNKNOWN, UNKNOWN, len(encoded), len(extra), 0, 0, 0, MODE, UNKNOWN) + encoded + extra
        )  # fmt: skip

    def close(self) -> None:
        """Write the directory. Without it no tool opens what was written."""
        start = self.size
        for entry in self._directory:
            self._write(entry)
        length, number, end = self.size - start, len(self._directory), self.size
        self._write(pack("<4sQHHIIQQQQ", b"PK\6\6", 44, VERSION | UNIX, VERSION, 0, 0, number, number, length, start))
        self._write(pack("<4sIQI", b"PK\6\7", 0, end, 1))
        self._write(pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, UNKNOWN, UNKNOWN, 0))

    def _encrypt(self, chunks: Iterable[bytes]) -> int:
        """Write the encrypted part of an entry; the length of the plain bytes."""
        salt = secrets.token_bytes(SALT)
        keys = hashlib.pbkdf2_hmac("sha1", self._passphrase, salt, ROUNDS, 2 * KEY + 2)
        cipher, mac = _CounterMode(keys[:KEY]), hmac.new(keys[KEY : 2 * KEY], digestmod="sha1")
        deflate, waiting, length = zlib.compressobj(6, wbits=-zlib.MAX_WBITS), bytearray(), 0
        self._write(salt + keys[2 * KEY :])

        def write(end: int) -> None:
            encrypted = cipher.encrypt(bytes(waiting[:end]))
            del waiting[:end]
            mac.update(encrypted)
            self._write(encrypted)

        for chunk in chunks:
            length += len(chunk)
            waiting += deflate.compress(chunk)
            while len(waiting) >= CHUNK:
                write(CHUNK)
        waiting += deflate.flush()
        while waiting:
            write(min(CHUNK, len(waiting)))
        self._write(mac.digest()[:MAC])
        return length

    def _write(self, written: bytes) -> None:
        self._sink(written)
        self.size += len(written)


class _CounterMode:
    """AES in counter mode with WinZip's counter, which ``cryptography`` has not: little-endian, from 1 on."""

    def __init__(self, key: bytes) -> None:
        self._blocks = Cipher(AES256(key), ECB()).encryptor()  # noqa: S305  # of counters, each of which comes once
        self._next = 1

    def encrypt(self, plain: bytes) -> bytes:
        """Encrypt; every call but the last has a multiple of 16 bytes."""
        number = -(-len(plain) // BLOCK)
        counters = b"".join([count.to_bytes(BLOCK, "little") for count in range(self._next, self._next + number)])
        self._next += number
        stream = self._blocks.update(counters)[: len(plain)]
        return (int.from_bytes(plain, "little") ^ int.from_bytes(stream, "little")).to_bytes(len(plain), "little")
