"""Process that computes PBKDF2 for one web process, at the lowest priority: reads get the processor first.

Why a process: a thread of low priority would hold Python's lock while it waits for the processor, and every read of
its process with it. The web process starts this file, without the site, and speaks with it through pipes: a line of
hex fields each way. It ends when the pipe does.
"""

import hashlib
import os
import sys


def answer(line: str) -> str:
    """The derived key, for ``DIGEST ITERATIONS PASSWORD SALT``, the last two in hex."""
    digest, iterations, password, salt = line.removesuffix("\n").split(" ")
    return hashlib.pbkdf2_hmac(digest, bytes.fromhex(password), bytes.fromhex(salt), int(iterations)).hex()


def main() -> None:
    os.nice(19)
    for line in sys.stdin:
        sys.stdout.write(f"{answer(line)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
