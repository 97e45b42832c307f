"""Script that writes a first ``.env`` of random secrets, readable only by its owner. It never overwrites a file."""

import os
import secrets
import sys

NAMES = ("SECRET_KEY", "SUBJECT_SECRET", "CONTACT_KEY")


def main(path: str) -> None:
    lines = [f"RAPPORT_{name}={secrets.token_urlsafe(48)}\n" for name in NAMES]
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.writelines(lines)


if __name__ == "__main__":
    main(sys.argv[1])
